"""Runs: plain text between control tokens, encoded whole and cut where sampling starts."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rolecall.segment import Segment


class RunStart(enum.Enum):
    """What stands before a run of plain text; some vocabularies begin a text with a space."""

    DOCUMENT = "document"
    """Nothing."""
    SECTION = "section"
    """A control token."""
    CONTINUED = "continued"
    """Plain text: the run was cut here, or the format writes the space itself."""


class Run(NamedTuple):
    """Plain text that is encoded whole."""

    segments: range
    """The segments that it is made of."""
    start: RunStart
    """What stands before it."""


def runs_of(
    segments: tuple[Segment, ...],
    opened: int | None,
    before: Segment | None,
    *,
    dummy_prefix: bool,
) -> list[int | Run]:
    """Control segments by index, and runs of plain ones, cut where sampling starts.

    What a message left open says was sampled once, behind the generation prompt.
    """
    items: list[int | Run] = []
    start = RunStart.CONTINUED
    begin: int | None = None
    was_sampled = False
    for index, (_, control, _, _, sampled) in enumerate(segments):
        if control:
            if begin is not None:
                items.append(Run(range(begin, index), start))
                begin = None
            items.append(index)
        elif begin is None:
            first = not items
            if dummy_prefix or (first and before is not None and not before.control):
                start = RunStart.CONTINUED
            else:
                start = RunStart.DOCUMENT if first and before is None else RunStart.SECTION
            begin = index
        elif (sampled and not was_sampled) or index == opened:
            items.append(Run(range(begin, index), start))
            start, begin = RunStart.CONTINUED, index
        was_sampled = sampled
    if begin is not None:
        items.append(Run(range(begin, len(segments)), start))
    return items
