"""The canvas: segments in the order in which they are written, and the account of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rolecall.pattern import Piece, Value, with_part
from rolecall.segment import Segment
from rolecall.steps import Steps

new_segment: Callable[[type[Segment], tuple[Any, ...]], Segment]
new_segment = tuple.__new__  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
"""Makes a segment of its fields in half the time that its name takes."""


class Canvas:
    """Collects pieces as segments and keeps the account of what was written."""

    __slots__ = ("fields", "opened", "segments", "starts", "written")

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self.fields: list[str] = []
        """Of each segment: the field that its text is from, or nothing where it is the format's."""
        self.written: dict[tuple[int | None, str], str] = {}
        """``(message, field)`` to the characters of it that were written."""
        self.starts: set[int] = set()
        """Number of segments before each turn."""
        self.opened: int | None = None
        """Number of segments before what a final message that is left open says."""

    def put(self, value: Iterable[Piece], message: int | None, *, sampled: bool) -> None:
        """Add pieces; format text takes the message of the turn it stands in."""
        written, segments, fields = self.written, self.segments, self.fields
        for text, part, said_by, name, control in value:
            if not text:
                continue
            own = message if said_by is None and not name else said_by
            if part == "tools":
                own = None
            if name or (part == "content" and own is not None):
                key = (own, name or "content")
                before = written.get(key)
                written[key] = text if before is None else before + text
            segments.append(new_segment(Segment, (text, control, own, part, sampled)))
            fields.append(name)

    def write(
        self,
        patterns: Iterable[tuple[Steps, bool]],
        values: Mapping[str, Value],
        message: int | None,
    ) -> None:
        """Write what patterns say.

        Args:
            patterns: What each writes, and whether the model would emit it.
            values: Slot name to value; a slot that is absent is empty.
            message: The message of format text.
        """
        segments, fields = self.segments, self.fields
        for steps, sampled in patterns:
            for slot, change, text, control, part, placed in steps.steps:
                if not slot:
                    own = None if part == "tools" else message
                    segments.append(new_segment(Segment, (text, control, own, part, sampled)))
                    fields.append("")
                    continue
                value = values.get(slot)
                if change is not None:
                    value = change(value or ())
                if value:
                    if placed:
                        value = [with_part(piece, part) for piece in value]
                    self.put(value, message, sampled=sampled)
