"""Segment: a run of characters with one origin, the one thing every output is made from."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, get_args

if TYPE_CHECKING:
    from rolecall.conversation import Author, Conversation
    from rolecall.lost import Lost

Part = Literal[
    "header",
    "role",
    "name",
    "content",
    "reasoning",
    "tool_calls",
    "tools",
    "end",
    "scaffold",
]
PARTS: tuple[Part, ...] = get_args(Part)
"""Parts in the order of their codes: ``Encoding.part`` holds indices into this tuple."""

HEADER_PARTS: frozenset[Part] = frozenset(("header", "role", "name"))
"""Parts that say who speaks; `Encoding.mask` adds them with ``header=True``."""

BODY_PARTS: frozenset[Part] = frozenset(("content", "reasoning", "tool_calls", "end"))
"""Parts that make up what was said, with the end of the turn."""


class Segment(NamedTuple):
    """A run of characters with one origin."""

    text: str
    """The characters, never empty."""
    control: bool
    """Whether this is exactly one control token, written by the format and never by the caller."""
    message: int | None
    """Index of the caller's message it belongs to, or None where it belongs to none."""
    part: Part
    """What it is for."""
    sampled: bool
    """Whether the model would emit it."""


class Writer(Protocol):
    """What encoding asks of whoever wrote the segments: a format or a template."""

    @property
    def name(self) -> str:
        """What it is called in messages."""
        ...

    @property
    def control(self) -> Collection[str]:
        """The control tokens that it writes as structure."""
        ...

    @property
    def dummy_prefix(self) -> bool:
        """Whether it writes itself the space that a vocabulary begins texts with."""
        ...


class Written(NamedTuple):
    """A writer that is known by what it wrote."""

    name: str
    control: frozenset[str]
    dummy_prefix: bool = False


class Rendered(Protocol):
    """A conversation as segments, whoever wrote them: what encoding and masks read."""

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The text in runs of one origin, in order."""
        ...

    @property
    def conversation(self) -> Conversation:
        """What was rendered."""
        ...

    @property
    def authors(self) -> tuple[Author, ...]:
        """Author of each message."""
        ...

    @property
    def lost(self) -> tuple[Lost, ...]:
        """What the rendering could not carry."""
        ...

    @property
    def stop(self) -> tuple[str, ...]:
        """What ends the next turn of the speaker asked for."""
        ...

    @property
    def opened(self) -> int | None:
        """Of a final message that is left open: its first segment behind the header."""
        ...

    @property
    def writer(self) -> Writer:
        """Who wrote the segments."""
        ...

    @property
    def text(self) -> str:
        """The segments as one string."""
        ...
