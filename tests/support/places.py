"""Places in a rendered text: what the model would emit, and what a template marks."""

from collections.abc import Iterable, Sequence

from rolecall.segment import Segment

Runs = list[tuple[int, int]]
"""Where each stretch starts and ends, in characters."""


def sampled(segments: Iterable[Segment]) -> Runs:
    """The places that the model would emit."""
    found: Runs = []
    at = 0
    for segment in segments:
        if segment.sampled:
            found.append((at, at + len(segment.text)))
        at += len(segment.text)
    return joined(found)


def joined(places: Sequence[tuple[int, int]]) -> Runs:
    """Places, those that touch made one."""
    found: Runs = []
    for start, end in places:
        if start == end:
            continue
        if found and found[-1][1] == start:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found
