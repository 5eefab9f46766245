"""What a stream reports while a reply comes in; see `Format.stream`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from rolecall.conversation import Author, Message, ToolCall
from rolecall.unread import Unread

Reason = Literal["end", "calls", "header", "unfinished"]
"""Why a message ended: its end token, the end token behind tool calls, the header of another
turn, or no more ids."""


@dataclass(frozen=True, slots=True)
class SpeakerStarted:
    """A message begins; it comes before anything of the message."""

    role: str
    name: str | None
    author: Author | None
    """Who may speak so, or None where neither cast nor format says."""
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])
    """What the header says beyond role and name."""
    problem: Unread | None = None
    """Why this speaker may not speak here: not the model's, or not on the allowed list."""


@dataclass(frozen=True, slots=True)
class ContentDelta:
    """More of the content."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """More of the reasoning."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallStarted:
    """A tool call whose function is known."""

    index: int
    """Position among the calls of the message."""
    name: str
    id: str | None


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """More of the arguments, as JSON text."""

    index: int
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolCallEnded:
    """A tool call is complete."""

    index: int
    call: ToolCall | None
    """The call; None where it was malformed, which a record of the stream says, or is another than
    it began as, which follows."""


@dataclass(frozen=True, slots=True)
class MessageEnded:
    """A message is complete."""

    reason: Reason
    message: Message


Event = (
    SpeakerStarted
    | ContentDelta
    | ReasoningDelta
    | ToolCallStarted
    | ToolCallDelta
    | ToolCallEnded
    | MessageEnded
)
