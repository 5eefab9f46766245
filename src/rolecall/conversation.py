"""Conversation, Message and cast: what the caller gives, checked and frozen.

The wire form is the OpenAI message dict, extended by a free ``role``, a free ``name``, ``weight``
and ``attributes``. `Conversation.read` turns wire form into the types below; `Message.to_wire` and
`Conversation.to_wire` turn them back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from rolecall.errors import UndeclaredRoleError

if TYPE_CHECKING:
    from rolecall.unread import Unread

Author = Literal["owner", "client", "model", "tool"]
AUTHORS: tuple[Author, ...] = ("owner", "client", "model", "tool")

STANDARD_ROLES: dict[str, Author] = {
    "system": "owner",
    "developer": "owner",
    "user": "client",
    "assistant": "model",
    "tool": "tool",
}
"""The roles that need no cast entry, with who authors them."""

DEFAULT_ROLE: dict[Author, str] = {
    "owner": "system",
    "client": "user",
    "model": "assistant",
    "tool": "tool",
}
"""The role that a turn without a label stands for."""

SPARE_KEYS: dict[str, Literal["error", "note"]] = {
    "refusal": "error",
    "audio": "error",
    "function_call": "error",
    "annotations": "note",
    "index": "note",
}
"""Keys that OpenAI and vLLM clients dump: ignored when empty, else lost at this level."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a tool by the model."""

    name: str
    """Name of the function."""
    arguments: dict[str, Any]
    """Arguments as a JSON object, in the order given."""
    id: str | None = None
    """Identifier that the result refers to, or None where the caller gave none."""

    def to_wire(self) -> dict[str, Any]:
        """The OpenAI form, with the arguments as a JSON string."""
        call: dict[str, Any] = {"type": "function"}
        if self.id is not None:
            call["id"] = self.id
        arguments = json.dumps(self.arguments, ensure_ascii=False)
        call["function"] = {"name": self.name, "arguments": arguments}
        return call


@dataclass(frozen=True, slots=True)
class Message:
    """One message: who speaks under which label, and what is said."""

    role: str
    """What the label says: ``system``, ``writer``, ``judge`` …"""
    content: str | tuple[Mapping[str, Any], ...] | None = None
    """Text, typed parts, or None beside tool calls or reasoning."""
    name: str | None = None
    """Which speaker, or None."""
    reasoning_content: str | None = None
    """What the model thought before it spoke."""
    tool_calls: tuple[ToolCall, ...] = ()
    """Calls the model makes at the end of this message."""
    tool_call_id: str | None = None
    """The call a tool result answers."""
    weight: float | None = None
    """Weight of this message in the training loss; None means by policy (1)."""
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])
    """What a format's header declares beyond role and name."""
    prefix: bool = False
    """mistral-common's mark of a final message that is to be continued."""
    spare: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Known keys that no format carries and that held a value (see `SPARE_KEYS`)."""

    @property
    def text(self) -> str:
        """The content as one string: its text parts joined, the other parts left out."""
        return "".join(self.texts)

    @property
    def texts(self) -> tuple[str, ...]:
        """The text parts of the content; of a string, the string alone."""
        if self.content is None or isinstance(self.content, str):
            return (self.content or "",)
        return tuple(str(part["text"]) for part in self.content if part["type"] == "text")

    def to_wire(self) -> dict[str, Any]:
        """The OpenAI form of the message, without the keys that are empty."""
        wire: dict[str, Any] = {"role": self.role}
        if self.name is not None:
            wire["name"] = self.name
        wire["content"] = (
            [dict(part) for part in self.content]
            if isinstance(self.content, tuple)
            else self.content
        )
        if self.reasoning_content is not None:
            wire["reasoning_content"] = self.reasoning_content
        if self.tool_calls:
            wire["tool_calls"] = [call.to_wire() for call in self.tool_calls]
        if self.tool_call_id is not None:
            wire["tool_call_id"] = self.tool_call_id
        if self.weight is not None:
            wire["weight"] = self.weight
        if self.attributes:
            wire["attributes"] = dict(self.attributes)
        if self.prefix:
            wire["prefix"] = True
        return {**wire, **self.spare}


class _Draft:
    """A message while it is made: one that is frozen takes much longer to take its fields."""

    __slots__ = Message.__slots__


def new_message(
    role: str,
    content: str | tuple[Mapping[str, Any], ...] | None,
    name: str | None,
    reasoning_content: str | None,
    tool_calls: tuple[ToolCall, ...],
    tool_call_id: str | None,
    weight: float | None,
    attributes: Mapping[str, str],
    spare: Mapping[str, Any],
    *,
    prefix: bool,
) -> Message:
    """What `Message` makes of these fields, sooner."""
    message: Any = _Draft()
    message.role = role
    message.content = content
    message.name = name
    message.reasoning_content = reasoning_content
    message.tool_calls = tool_calls
    message.tool_call_id = tool_call_id
    message.weight = weight
    message.attributes = attributes
    message.prefix = prefix
    message.spare = spare
    message.__class__ = Message
    return message


@dataclass(frozen=True, slots=True)
class Cast:
    """Who may author what: a map from a role, or a role with a name, to an author."""

    entries: Mapping[tuple[str, str | None], Author] = field(
        default_factory=dict[tuple[str, str | None], Author]
    )
    """``(role, name)`` or ``(role, None)`` to author; the entry with a name wins."""

    def author(self, role: str, name: str | None) -> Author | None:
        """The author of `role` spoken by `name`, or None where neither entry nor standard says."""
        if name is not None and (role, name) in self.entries:
            return self.entries[role, name]
        return self.entries.get((role, None)) or STANDARD_ROLES.get(role)

    def to_wire(self) -> list[dict[str, str]]:
        """The JSON form: a list of ``{role, name?, author}``."""
        return [
            {"role": role, **({} if name is None else {"name": name}), "author": author}
            for (role, name), author in self.entries.items()
        ]

    @classmethod
    def read(cls, given: object) -> Cast:
        """Check a cast given as a dict, as its JSON list, as a `Cast`, or as None.

        Raises:
            ConversationError: If an entry has the wrong form, an unknown author, or gives a
                standard role to another author than its own.
        """
        from rolecall.wire import read_cast

        return read_cast(given)


@dataclass(frozen=True, slots=True)
class Conversation:
    """Messages with the tools, cast and options they come with."""

    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...] | None = None
    """Tool schemas in the OpenAI form, as given."""
    cast: Cast = field(default_factory=Cast)
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Values for the options that the format declares."""
    unread: tuple[Unread, ...] = field(default=(), compare=False, repr=False)
    """Of a conversation that was parsed: what could not be read as the format writes it."""

    def to_wire(self) -> dict[str, Any]:
        """The JSON form: ``{messages, tools, cast, options}`` without the empty ones."""
        wire: dict[str, Any] = {"messages": [message.to_wire() for message in self.messages]}
        if self.tools:
            wire["tools"] = [dict(tool) for tool in self.tools]
        if self.cast.entries:
            wire["cast"] = self.cast.to_wire()
        if self.options:
            wire["options"] = dict(self.options)
        return wire

    @classmethod
    def read(
        cls,
        given: object,
        *,
        tools: object = None,
        cast: object = None,
        options: Mapping[str, Any] | None = None,
    ) -> Conversation:
        """Check wire form and freeze it.

        Args:
            given: A list of messages (dicts, `Message`s or objects with ``model_dump()``), a dict
                ``{messages, tools, cast, options}``, or a `Conversation`.
            tools: Tool schemas; they replace those in `given`.
            cast: Cast; its entries are added to those in `given` and win over them.
            options: Option values; they are added to those in `given` and win over them.

        Raises:
            ConversationError: If anything is missing, unknown or of the wrong type; the error
                names message, field, what was found and the way out.
        """
        from rolecall.wire import read_conversation

        return read_conversation(given, tools, cast, options or {})

    def authors(self, declared: Mapping[str, Author], first: int = 0) -> tuple[Author, ...]:
        """The author of each message.

        Args:
            declared: Roles that the format declares by itself; the cast wins over them.
            first: The message to begin with.

        Raises:
            UndeclaredRoleError: If a role is neither standard, nor cast, nor declared.
        """
        found: list[Author] = []
        cast = self.cast
        for index, message in enumerate(self.messages[first:], first):
            role = message.role
            if cast.entries:
                author = cast.author(role, message.name) or declared.get(role)
            else:
                author = STANDARD_ROLES.get(role) or declared.get(role)
            if author is None:
                raise UndeclaredRoleError(
                    f"the role {message.role!r} is not declared; say who authors it with "
                    f"cast={{{message.role!r}: 'model'}} (or 'client', 'owner', 'tool')",
                    message=index,
                    field="role",
                )
            found.append(author)
        return tuple(found)
