"""Runs: stretches of a string that have one origin, how they are cut and joined."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from functools import lru_cache
from itertools import accumulate, repeat
from typing import Any, Literal, NamedTuple, TypeVar, cast

from rolecall.template.limits import meter

Kind = Literal["template", "token", "caller", "printed", "unknown"]


class Origin(NamedTuple):
    """Where characters come from."""

    kind: Kind
    """``template``: a literal of the template. ``token``: bos_token, eos_token and their like.
    ``caller``: what the caller gave. ``printed``: Python's spelling of a value that is no string,
    such as ``None`` or a list. ``unknown``: nobody knows, so it counts as the caller's."""
    message: int | None = None
    """Index of the caller's message; for other kinds, the message whose turn is being written."""
    field: str = ""
    """Of the caller's: ``content``, ``content[0].text``, ``tool_calls[0].function.name``,
    ``tools[0].function.description``, ``options.x``. Of a token: its name. Of what was printed: the
    field, or the value where that is None, True or False."""
    generated: bool = False
    """Whether it stands inside ``{% generation %}``."""


class Run(NamedTuple):
    """So many characters of one origin."""

    length: int
    origin: Origin
    at: int
    """Index of the first of them in the field's own string, or -1 where they are no plain copy."""


AnyRun = tuple[int, Origin, int]
"""A `Run`, or a plain tuple of the same: most are made and gone again, and those cost less."""

Runs = tuple[AnyRun, ...]
"""The runs of a string; none is empty."""

TEMPLATE = Origin("template")
UNKNOWN = Origin("unknown")


@lru_cache(maxsize=4_096)
def of_field(message: int | None, field: str) -> Origin:
    """The origin of a caller's field: the same object for the same field, quick to compare."""
    return Origin("caller", message, field)


def unknown(length: int) -> Runs:
    """Runs of so many characters of which nobody knows anything."""
    return ((length, UNKNOWN, -1),) if length else ()


def cut(runs: Runs, start: int, end: int) -> Runs:
    """The runs of a slice."""
    if end <= start:
        return ()
    if len(runs) == 1:
        length, origin, place = runs[0]
        end = min(end, length)
        if end - start == length:
            return runs
        if end <= start:
            return ()
        return ((end - start, origin, place + start if place >= 0 else -1),)
    found: list[AnyRun] = []
    at = 0
    for run in runs:
        length, origin, place = run
        following = at + length
        if following > start:
            first, last = max(at, start), min(following, end)
            if last - first == length:
                found.append(run)
            else:
                found.append((last - first, origin, place + first - at if place >= 0 else -1))
            if following >= end:
                break
        at = following
    return tuple(found)


def merge(runs: Iterable[AnyRun]) -> Runs:
    """The same runs, those that go on where the one before ends joined to it."""
    found: list[AnyRun] = []
    size, before, last = 0, UNKNOWN, -2
    for run in runs:
        length, origin, place = run
        if not length:
            continue
        if (
            found
            and (origin is before or origin == before)
            and (place == last + size if last >= 0 else place < 0)
        ):
            size += length
            found[-1] = (size, before, last)
            continue
        size, before, last = run
        found.append(run)
        if not len(found) & 0xFFF:
            used = meter()
            used.tick()
            used.changes(len(found))
    return tuple(found)


def of_template(origin: Origin, speaking: int) -> Origin:
    """The origin of what is no caller's, written while a message is speaking."""
    if origin.message is not None or origin.kind == "caller":
        return origin
    return _of_template(origin, speaking)


@lru_cache(maxsize=4_096)
def _of_template(origin: Origin, speaking: int) -> Origin:
    return Origin(origin.kind, speaking, origin.field, origin.generated)


Row = TypeVar("Row", bound=tuple[Any, ...])


def named(kind: type[Row], rows: Iterable[tuple[Any, ...]]) -> tuple[Row, ...]:
    """Named tuples of plain ones, all at once, which takes a third of the time."""
    return tuple(map(cast("Any", tuple).__new__, repeat(kind), rows))


class Ruler:
    """Cuts many slices out of runs, each without going through those before it."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._ends = list(accumulate(run[0] for run in runs))

    def cut(self, start: int, end: int) -> Runs:
        """The runs of a slice."""
        if end <= start:
            return ()
        first = bisect_right(self._ends, start)
        before = self._ends[first - 1] if first else 0
        last = bisect_left(self._ends, end, first) + 1
        return cut(self._runs[first:last], start - before, end - before)
