"""What a caller gives to a template to be rendered: read, and refused where it cannot be meant.

A template takes messages with any keys and does with them what it likes. What no template can use,
such as a call that is no object, is an error here, before it becomes text or is gone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from typing import cast as typing_cast

from rolecall.conversation import Cast, Conversation, Message
from rolecall.errors import ConversationError, nearest
from rolecall.template.layout import REASONING_FIELDS
from rolecall.wire import CONVERSATION_KEYS, PARSED_KEY, check_json, check_text

Wire = dict[str, Any]

ARGUMENTS = (
    "messages",
    "tools",
    "documents",
    "cast",
    "add_generation_prompt",
    "continue_final_message",
    "speaker",
    "strict",
    "now",
)
"""What no option of a template can be called: these are arguments of `Template.render`."""


class Given(NamedTuple):
    """A conversation as it was given, checked."""

    messages: list[Wire]
    """In wire form, with all their keys."""
    tools: Sequence[Mapping[str, Any]] | None
    documents: Sequence[Mapping[str, Any]] | None
    cast: Cast
    options: Mapping[str, Any]


def read(
    given: object, *, tools: object, documents: object, cast: object, options: Mapping[str, Any]
) -> Given:
    """Read what `Template.render` is given.

    Raises:
        ConversationError: If something of it has the wrong form; the error names message and field.
    """
    own_cast, own_options = Cast(), dict[str, Any]()
    if isinstance(given, Conversation):
        own_cast, own_options = given.cast, dict(given.options)
        tools = given.tools if tools is None else tools
        given = given.messages
    elif isinstance(given, Mapping):
        whole = _mapping(given)
        for key in whole:
            if key not in CONVERSATION_KEYS and key != PARSED_KEY:
                raise ConversationError(
                    f"unknown key {key!r}{nearest(str(key), CONVERSATION_KEYS)} "
                    f"(known: {', '.join(CONVERSATION_KEYS)})"
                )
        if "messages" not in whole:
            raise ConversationError("there is no key 'messages'")
        own_cast = Cast.read(whole.get("cast"))
        own_options = _options(whole.get("options"))
        tools = whole.get("tools") if tools is None else tools
        given = whole["messages"]
    if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Iterable):
        raise ConversationError(f"found {_kind(given)}; give a list of messages", field="messages")
    items = typing_cast("Iterable[object]", given)
    messages = [_message(index, item) for index, item in enumerate(items)]
    if not messages:
        raise ConversationError("the conversation is empty; give at least one message")
    return Given(
        messages,
        _objects(tools, "tools", "a tool"),
        _objects(documents, "documents", "a document"),
        Cast({**own_cast.entries, **Cast.read(cast).entries}),
        {**own_options, **_options(options)},
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value


def _kind(value: Any) -> str:
    return type(value).__name__


def _options(given: object) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ConversationError(
            f"found {type(given).__name__}; it must be an object", field="options"
        )
    options = dict(_mapping(given))
    for key in options:
        if not isinstance(key, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConversationError(
                f"found the key {key!r}; the name of an option is a string", field="options"
            )
        if key in ARGUMENTS:
            raise ConversationError(
                f"{key!r} is no option of a template; give it to render itself"
                if key != "now"
                else "'now' is no option of a template; the clock is Template.now",
                field=f"options.{key}",
            )
    return options


def _objects(given: object, where: str, one: str) -> Sequence[Mapping[str, Any]] | None:
    """Tools or documents: a list of objects."""
    if given is None:
        return None
    if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Iterable):
        raise ConversationError(f"found {_kind(given)}; it must be a list of objects", field=where)
    found: list[Mapping[str, Any]] = []
    for number, item in enumerate(typing_cast("Iterable[object]", given)):
        made = _plain(item)
        if not isinstance(made, Mapping):
            hint = (
                "; transformers.utils.get_json_schema makes one of a function"
                if callable(item) and where == "tools"
                else ""
            )
            raise ConversationError(
                f"found {type(item).__name__}; {one} is an object{hint}",
                field=f"{where}[{number}]",
            )
        check_json(_mapping(made), None, f"{where}[{number}]")
        found.append(_mapping(made))
    return found


# A message.


def _message(index: int, item: object) -> Wire:
    """One message as a dict with all its keys."""
    if isinstance(item, Message):
        return _wire(item)
    made = _plain(item)
    if not isinstance(made, Mapping):
        raise ConversationError(
            f"found {type(item).__name__}; a message is an object with role and content",
            message=index,
        )
    wire = dict(_mapping(made))
    content = wire.get("content")
    if type(content) is str:
        check_text(content, index, "content")
    elif "content" in wire:
        wire["content"] = _content(index, content)
    if not _FURTHER.isdisjoint(wire):
        for key in REASONING_FIELDS:
            if isinstance(wire.get(key), str):
                check_text(wire[key], index, key)
        if wire.get("tool_calls") is not None:
            wire["tool_calls"] = _calls(index, wire["tool_calls"])
    return wire


_FURTHER = frozenset(("tool_calls", *REASONING_FIELDS))
"""Keys of a message that are looked into, besides its content."""


def _plain(item: object) -> object:
    """Objects of pydantic and dataclasses as dicts."""
    if type(item) is dict:  # type: ignore[reportUnknownArgumentType]
        return typing_cast("object", item)
    dump = getattr(item, "model_dump", None)
    if callable(dump):
        return dump()
    if dataclasses.is_dataclass(item) and not isinstance(item, type):
        return {entry.name: getattr(item, entry.name) for entry in dataclasses.fields(item)}
    return item


def _wire(message: Message) -> Wire:
    """The wire form that templates expect: arguments of calls as objects."""
    wire = message.to_wire()
    for call, made in zip(wire.get("tool_calls", ()), message.tool_calls, strict=True):
        call["function"]["arguments"] = made.arguments
    return wire


def _content(index: int, value: object) -> object:
    """A content: a text, a list of parts, or another JSON value, such as the result of a tool.

    Whether a template writes what is no text is its own affair; what it does not write is lost.
    """
    if value is None or isinstance(value, (Mapping, bool, int, float)):
        return typing_cast("object", value)
    if isinstance(value, str):
        return check_text(value, index, "content")
    if not isinstance(value, (list, tuple)):
        raise ConversationError(
            f"found {type(value).__name__}; it must be a string or a list of parts",
            message=index,
            field="content",
        )
    parts: list[object] = []
    for number, item in enumerate(typing_cast("Sequence[object]", value)):
        where = f"content[{number}]"
        part = _plain(item)
        if isinstance(part, str):
            check_text(part, index, where)
        elif not isinstance(part, Mapping):
            raise ConversationError(
                f'found {type(item).__name__}; a part is an object such as {{"type": "text", '
                '"text": …}',
                message=index,
                field=where,
            )
        elif _mapping(part).get("type") == "text" and "text" in part:
            check_text(_mapping(part)["text"], index, f"{where}.text")
        parts.append(typing_cast("object", part))
    return tuple(parts) if isinstance(value, tuple) else parts


def _calls(index: int, value: object) -> list[object]:
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Sequence):
        raise ConversationError(
            f"found {_kind(value)}; it must be a list of calls",
            message=index,
            field="tool_calls",
        )
    calls: list[object] = []
    for number, item in enumerate(typing_cast("Sequence[object]", value)):
        where = f"tool_calls[{number}]"
        call = _plain(item)
        if not isinstance(call, Mapping):
            raise ConversationError(
                f'found {type(item).__name__}; a call is {{"type": "function", "function": '
                '{"name": …, "arguments": …}}',
                message=index,
                field=where,
            )
        function, at = _mapping(call).get("function", call), f"{where}.function"
        if not isinstance(function, Mapping):
            raise ConversationError(
                f"found {type(typing_cast('object', function)).__name__}; it must be an object",
                message=index,
                field=at,
            )
        if "name" not in function:
            raise ConversationError(
                "it is missing; a call names its function", message=index, field=f"{at}.name"
            )
        check_text(_mapping(function)["name"], index, f"{at}.name")
        check_json(_mapping(call), index, where)
        calls.append(_mapping(call))
    return calls
