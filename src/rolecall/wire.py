"""Reading wire form: everything a caller can give, checked field by field.

Every complaint names the message, the field, what was found and the way out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from typing import cast as typing_cast

from rolecall.conversation import (
    AUTHORS,
    SPARE_KEYS,
    STANDARD_ROLES,
    Author,
    Cast,
    Conversation,
    Message,
    ToolCall,
)
from rolecall.errors import ConversationError, nearest

MESSAGE_KEYS = (
    "role",
    "name",
    "content",
    "reasoning_content",
    "tool_calls",
    "tool_call_id",
    "weight",
    "attributes",
    "prefix",
)
LARGEST_WEIGHT = 3.4e38
"""Loss weights are float32, which holds little more."""

DEEPEST_JSON = 100
"""Objects and lists within each other; writing JSON must not exhaust the stack."""

CONVERSATION_KEYS = ("messages", "tools", "cast", "options")

PARSED_KEY = "unread"
"""What ``rolecall parse`` writes beside them: records about what it read."""


def read_cast(given: object) -> Cast:
    """Check a cast; see `Cast.read`."""
    if given is None:
        return Cast()
    if isinstance(given, Cast):
        return given
    by_key, items = _as_mapping(given), _as_list(given)
    pairs: list[tuple[str, str | None, object]]
    if by_key is not None:
        pairs = [(*_cast_key(key), author) for key, author in by_key.items()]
    elif items is not None:
        pairs = [_cast_item(item) for item in items]
    else:
        raise ConversationError(
            f"found {_kind(given)}; give a dict such as {{'writer': 'model'}} "
            "or a list of {role, name, author}",
            field="cast",
        )
    entries: dict[tuple[str, str | None], Author] = {}
    for role, name, author in pairs:
        check_text(role, None, "cast")
        check_text(name or "", None, "cast")
        known: Author | None = next((one for one in AUTHORS if one == author), None)
        if known is None:
            raise ConversationError(
                f"{role!r} has the author {author!r}; authors are {', '.join(AUTHORS)}"
                + nearest(str(author), AUTHORS),
                field="cast",
            )
        own = STANDARD_ROLES.get(role)
        if own is not None and own != known:
            raise ConversationError(
                f"the role {role!r} belongs to {own} and cannot be given to {author}; "
                f"choose another label, such as '{role}-{known}'",
                field="cast",
            )
        entries[role, name] = known
    return Cast(entries)


def read_conversation(
    given: object, tools: object, cast: object, options: Mapping[str, Any]
) -> Conversation:
    """Check a conversation; see `Conversation.read`."""
    own_cast = Cast()
    own_options: Mapping[str, Any] = {}
    if isinstance(given, Conversation):
        own_cast, own_options = read_cast(given.cast), _read_options(given.options)
        tools = given.tools if tools is None else tools
        given = given.messages
    else:
        wire = _as_mapping(given)
        if wire is not None:
            for key in wire:
                if key not in CONVERSATION_KEYS and key != PARSED_KEY:
                    raise ConversationError(
                        f"unknown key {key!r}{nearest(str(key), CONVERSATION_KEYS)} "
                        f"(known: {', '.join(CONVERSATION_KEYS)})"
                    )
            if "messages" not in wire:
                raise ConversationError("there is no key 'messages'")
            own_cast = read_cast(wire.get("cast"))
            own_options = _read_options(wire.get("options"))
            tools = wire.get("tools") if tools is None else tools
            given = wire["messages"]
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise ConversationError(f"found {_kind(given)}; give a list of messages", field="messages")
    messages = tuple(
        _read_message(index, item)
        for index, item in enumerate(typing_cast("Iterable[object]", given))
    )
    merged: dict[tuple[str, str | None], Author] = {
        **own_cast.entries,
        **read_cast(cast).entries,
    }
    return Conversation(messages, _read_tools(tools), Cast(merged), {**own_options, **options})


def _as_mapping(value: object) -> Mapping[str, Any] | None:
    """The value if it is a JSON object, else None."""
    return typing_cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else None


def _as_list(value: object) -> Sequence[object] | None:
    """The value if it is a JSON list, else None."""
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Sequence):
        return None
    return typing_cast("Sequence[object]", value)


def _kind(value: object) -> str:
    """A short description of a wrong value for error messages."""
    if value is None:
        return "null"
    names = {"dict": "an object", "list": "a list", "str": "a string", "bool": "a boolean"}
    name = names.get(type(value).__name__, f"a value of type {type(value).__name__}")
    try:
        shown = repr(value)
    except (ValueError, RecursionError):
        # A number of thousands of digits, or nesting without end.
        return name
    return f"{name} {shown if len(shown) <= 40 else shown[:37] + '...'}"


def check_text(value: object, index: int | None, where: str) -> str:
    """Return `value` if it is a string that UTF-8 can write.

    Raises:
        ConversationError: If it is no string, or holds a lone surrogate.
    """
    if not isinstance(value, str):
        raise ConversationError(
            f"found {_kind(value)}; it must be a string", message=index, field=where
        )
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ConversationError(
                f"character {error.start} is the lone surrogate {value[error.start]!r}, which no "
                "tokenizer can encode; replace it before rendering",
                message=index,
                field=where,
            ) from None
    return value


def _read_message(index: int, given: object) -> Message:
    if isinstance(given, Message):
        # It may have been made by hand.
        given = {key: getattr(given, key) for key in MESSAGE_KEYS} | dict(given.spare)
    dump: Callable[[], object] | None = getattr(given, "model_dump", None)
    wire = _as_mapping(dump() if callable(dump) and _as_mapping(given) is None else given)
    if wire is None:
        raise ConversationError(f"found {_kind(given)}; a message is an object", message=index)
    spare = {key: wire[key] for key in SPARE_KEYS if key in wire and not _is_empty(wire[key])}
    for key in wire:
        if key not in MESSAGE_KEYS and key not in SPARE_KEYS:
            raise ConversationError(
                "unknown key"
                + (nearest(str(key), MESSAGE_KEYS) or f" (known: {', '.join(MESSAGE_KEYS)})"),
                message=index,
                field=repr(key),
            )
    if "role" not in wire:
        raise ConversationError(
            "it is missing; every message has a role", message=index, field="role"
        )
    role = check_text(wire["role"], index, "role")
    if not role:
        raise ConversationError("it is empty; give the label to write", message=index, field="role")

    def optional_text(key: str) -> str | None:
        value = wire.get(key)
        return None if value is None else check_text(value, index, key)

    name = optional_text("name")
    calls = _read_calls(index, wire.get("tool_calls"))
    reasoning = optional_text("reasoning_content")
    return Message(
        role=role,
        content=_read_content(index, wire.get("content"), bool(calls or reasoning or spare)),
        name=name or None,
        reasoning_content=reasoning or None,
        tool_calls=calls,
        tool_call_id=optional_text("tool_call_id"),
        weight=_read_weight(index, wire.get("weight")),
        attributes=_read_attributes(index, wire.get("attributes")),
        prefix=_read_flag(index, wire.get("prefix")),
        spare=spare,
    )


def _is_empty(value: object) -> bool:
    return value is None or (isinstance(value, (str, list, dict)) and not value)


def _read_content(
    index: int, given: object, may_be_null: bool
) -> str | tuple[Mapping[str, Any], ...] | None:
    if given is None:
        if may_be_null:
            return None
        raise ConversationError(
            "it is missing; content may be null only beside tool_calls or reasoning_content "
            '(an empty message is "")',
            message=index,
            field="content",
        )
    if isinstance(given, str):
        return check_text(given, index, "content")
    items = _as_list(given)
    if items is None:
        raise ConversationError(
            f"found {_kind(given)}; it must be a string or a list of typed parts",
            message=index,
            field="content",
        )
    parts: list[Mapping[str, Any]] = []
    for number, part in enumerate(items):
        where = f"content[{number}]"
        typed = _as_mapping(part)
        if typed is None or not isinstance(typed.get("type"), str):
            raise ConversationError(
                f"found {_kind(part)}; a part is an object with a 'type', "
                'such as {"type": "text", "text": "…"}',
                message=index,
                field=where,
            )
        if typed["type"] == "text":
            check_text(typed.get("text"), index, f"{where}.text")
        parts.append(typed)
    return tuple(parts)


def _read_calls(index: int, given: object) -> tuple[ToolCall, ...]:
    if given is None:
        return ()
    calls = _as_list(given)
    if calls is None:
        raise ConversationError(
            f"found {_kind(given)}; it must be a list of calls", message=index, field="tool_calls"
        )
    return tuple(
        _read_call(index, f"tool_calls[{number}]", call) for number, call in enumerate(calls)
    )


def _read_call(index: int, where: str, given: object) -> ToolCall:
    if isinstance(given, ToolCall):
        # It may have been made by hand.
        given = {
            "id": given.id,
            "function": {"name": given.name, "arguments": given.arguments},
        }
    call = _as_mapping(given)
    if call is None:
        raise ConversationError(
            f"found {_kind(given)}; a call is an object", message=index, field=where
        )
    known = ("id", "type", "function", "index")
    for key in call:
        if key not in known:
            raise ConversationError(
                f"unknown key {key!r}{nearest(str(key), known)}", message=index, field=where
            )
    if call.get("type", "function") != "function":
        raise ConversationError(
            f"found {call['type']!r}; only calls of type 'function' can be written",
            message=index,
            field=f"{where}.type",
        )
    inner = _as_mapping(call.get("function"))
    if inner is None:
        raise ConversationError(
            f"found {_kind(call.get('function'))}; it must be an object with name and arguments",
            message=index,
            field=f"{where}.function",
        )
    for key in inner:
        if key not in ("name", "arguments"):
            raise ConversationError(
                f"unknown key {key!r}{nearest(str(key), ('name', 'arguments'))}",
                message=index,
                field=f"{where}.function",
            )
    name = check_text(inner.get("name"), index, f"{where}.function.name")
    if not name:
        raise ConversationError("it is empty", message=index, field=f"{where}.function.name")
    identifier = call.get("id")
    return ToolCall(
        name=name,
        arguments=_read_arguments(index, f"{where}.function.arguments", inner.get("arguments")),
        id=None if identifier is None else check_text(identifier, index, f"{where}.id"),
    )


def _read_arguments(index: int, where: str, given: object) -> dict[str, Any]:
    if given is None or given == "":
        return {}
    value = given
    if isinstance(given, str):
        check_text(given, index, where)
        try:
            value = json.loads(
                given, parse_constant=_refuse_constant, object_pairs_hook=_without_doubles
            )
        except (ValueError, RecursionError) as error:
            raise ConversationError(
                f"found {_kind(given)}, which is not JSON ({error}); give a JSON object",
                message=index,
                field=where,
            ) from None
    arguments = _as_mapping(value)
    if arguments is None:
        raise ConversationError(
            f"found {_kind(value)}; arguments are a JSON object, as a string or as an object",
            message=index,
            field=where,
        )
    check_json(arguments, index, where)
    return dict(arguments)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        double = next(key for number, key in enumerate(keys) if key in keys[:number])
        raise ValueError(f"the key {double!r} stands in it twice")
    return found


def check_json(value: object, index: int | None, where: str) -> None:
    """Refuse what JSON or UTF-8 cannot write.

    Raises:
        ConversationError: If `value` holds NaN, an infinity, a lone surrogate or a foreign type.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConversationError(
            f"it cannot be written as JSON ({error})", message=index, field=where
        ) from None
    if _nests_deeper(value, DEEPEST_JSON):
        raise ConversationError(
            f"it is nested more than {DEEPEST_JSON} deep", message=index, field=where
        )
    check_text(text, index, where)


def _nests_deeper(value: object, depth: int) -> bool:
    level = [value]
    for _ in range(depth):
        level = [
            inner
            for item in level
            if isinstance(item, (Mapping, list, tuple))
            for inner in typing_cast(
                "Iterable[object]", item.values() if isinstance(item, Mapping) else item
            )
        ]
        if not level:
            return False
    return True


def _read_weight(index: int, given: object) -> float | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        raise ConversationError(
            f"found {_kind(given)}; it must be a number", message=index, field="weight"
        )
    if not 0 <= given <= LARGEST_WEIGHT:
        shown = f"{given:g}" if isinstance(given, float) or abs(given) < 10**9 else "a huge number"
        raise ConversationError(
            f"found {shown}; a loss weight is finite and not negative",
            message=index,
            field="weight",
        )
    return float(given)


def _read_attributes(index: int, given: object) -> Mapping[str, str]:
    if given is None:
        return {}
    attributes = _as_mapping(given)
    if attributes is None:
        raise ConversationError(
            f"found {_kind(given)}; it must be an object of strings",
            message=index,
            field="attributes",
        )
    return {
        check_text(key, index, "attributes"): check_text(value, index, f"attributes.{key}")
        for key, value in attributes.items()
    }


def _read_flag(index: int, given: object) -> bool:
    if given is None or isinstance(given, bool):
        return bool(given)
    raise ConversationError(
        f"found {_kind(given)}; it must be true or false", message=index, field="prefix"
    )


def _read_tools(given: object) -> tuple[Mapping[str, Any], ...] | None:
    if given is None:
        return None
    items = _as_list(given)
    if items is None:
        raise ConversationError(f"found {_kind(given)}; it must be a list of tools", field="tools")
    tools: list[Mapping[str, Any]] = []
    for number, tool in enumerate(items):
        where = f"tools[{number}]"
        schema = _as_mapping(tool)
        if schema is None:
            raise ConversationError(f"found {_kind(tool)}; a tool is an object", field=where)
        function = _as_mapping(schema.get("function"))
        if function is None or not isinstance(function.get("name"), str):
            raise ConversationError(
                'it has no function with a name; a tool is {"type": "function", "function": '
                '{"name": …, "description": …, "parameters": …}}',
                field=where,
            )
        check_json(schema, None, where)
        tools.append(schema)
    return tuple(tools)


def _read_options(given: object) -> Mapping[str, Any]:
    if given is None:
        return {}
    options = _as_mapping(given)
    if options is None:
        raise ConversationError(f"found {_kind(given)}; it must be an object", field="options")
    return dict(options)


def _cast_key(key: object) -> tuple[str, str | None]:
    if isinstance(key, str):
        return key, None
    pair = typing_cast("tuple[object, ...]", key) if isinstance(key, tuple) else ()
    if len(pair) == 2 and isinstance(pair[0], str) and isinstance(pair[1], str):
        return pair[0], pair[1]
    raise ConversationError(f"found the key {key!r}; give a role or (role, name)", field="cast")


def _cast_item(item: object) -> tuple[str, str | None, object]:
    entry = _as_mapping(item)
    if entry is not None:
        role, name = entry.get("role"), entry.get("name")
        if (
            isinstance(role, str)
            and (name is None or isinstance(name, str))
            and entry.keys() <= {"role", "name", "author"}
        ):
            return role, name, entry.get("author")
    raise ConversationError(
        f"found {_kind(item)}; an entry is {{role, name?, author}}", field="cast"
    )
