"""Turn: what a format writes as one unit, on its way from messages to segments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from rolecall.conversation import Author
from rolecall.pattern import EMPTY, Pattern, Piece, Value


@dataclass(frozen=True, slots=True)
class TurnSpec:
    """How one author's (or one role's) turns are written, compiled from a format file."""

    author: Author
    role: str
    """The role that a header without a role slot stands for."""
    open: Pattern = EMPTY
    body: Pattern = EMPTY
    reads: tuple[Pattern, ...] = ()
    """What models write in place of the body too."""
    end: Pattern = EMPTY
    gap: Pattern = EMPTY
    final_end: Pattern | None = None
    call_end: Pattern | None = None
    prompt: Pattern = EMPTY
    merge: str | None = None
    group: str | None = None
    empty: bool = True
    """Whether a turn may say nothing."""
    after: Mapping[Author, Pattern] = field(default_factory=dict[Author, Pattern])
    """Previous author to the header that replaces `open`."""

    def header(self, previous: Author | None) -> Pattern:
        """The header to write after a turn of the previous author."""
        return self.open if previous is None else self.after.get(previous, self.open)


class CallFields(NamedTuple):
    """What the fields of a call are called in the account of a message."""

    call: str
    name: str
    arguments: str
    id: str


@lru_cache(maxsize=256)
def call_fields(number: int) -> CallFields:
    """The fields of a call by its position among the calls of its message."""
    call = f"tool_calls[{number}]"
    return CallFields(call, f"{call}.function.name", f"{call}.function.arguments", f"{call}.id")


@dataclass(slots=True)
class Call:
    """A tool call whose fields are ready to be written."""

    message: int | None
    number: int
    """Position among the calls of its message."""
    name: str
    arguments: dict[str, Any]
    id: str | None
    written_id: Value = ()
    """The id as the format's own pattern writes it, where it has one."""


@dataclass(slots=True)
class Turn:
    """One turn: whose it is and what fills its slots."""

    spec: TurnSpec
    author: Author
    role: str
    name: str | None
    message: int | None
    """The caller's message whose header is written, None for a turn the format adds."""
    values: dict[str, Value] = field(default_factory=dict[str, Value])
    calls: list[Call] = field(default_factory=list[Call])
    merged: list[int] = field(default_factory=list[int])
    """The caller's messages that were merged into this turn after its own."""
    weight: float | None = None

    @property
    def last_message(self) -> int | None:
        """The caller's message that ends this turn."""
        return self.merged[-1] if self.merged else self.message

    def join(self, slot: str, separator: str, value: Value, *, before: bool = False) -> None:
        """Add a value to a slot, with a separator where both are there."""
        own = self.values.get(slot, ())
        first, second = (value, own) if before else (own, value)
        between: Value = ()
        if separator and first and second:
            between = (Piece(separator, "scaffold", second[0].message),)
        self.values[slot] = first + between + second


def text_of(value: Value) -> str:
    """The characters of a value."""
    return "".join(piece.text for piece in value)
