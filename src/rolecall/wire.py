"""Reading wire form: everything a caller can give, checked field by field.

Every complaint names the message, the field, what was found and the way out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isinf
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
    new_message,
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

_KNOWN_KEYS = frozenset(MESSAGE_KEYS)
_CALL_KEYS = ("id", "type", "function", "index")
_KNOWN_CALL_KEYS = frozenset(_CALL_KEYS)
_FUNCTION_KEYS = ("name", "arguments")
_KNOWN_FUNCTION_KEYS = frozenset(_FUNCTION_KEYS)

CONVERSATION_KEYS = ("messages", "tools", "cast", "options")

PARSED_KEY = "unread"
"""What ``rolecall parse`` writes beside them: records about what it read."""


def read_cast(given: object) -> Cast:
    """Check a cast; see `Cast.read`."""
    if given is None:
        return Cast({})
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
    own_cast: Cast | None = None
    own_options: Mapping[str, Any] = {}
    wire = _as_mapping(given)
    if isinstance(given, Conversation):
        own_cast, own_options = read_cast(given.cast), _read_options(given.options)
        tools = given.tools if tools is None else tools
        given = given.messages
    elif wire is not None:
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
    messages = tuple([_read_message(index, item) for index, item in enumerate(_as_items(given))])
    entries: dict[tuple[str, str | None], Author] = {}
    for some in (own_cast, None if cast is None else read_cast(cast)):
        if some is not None:
            entries.update(some.entries)
    return Conversation(
        messages,
        None if tools is None else _read_tools(tools),
        Cast(entries),
        {**own_options, **options},
    )


def _as_mapping(value: object) -> Mapping[str, Any] | None:
    """The value if it is a JSON object, else None."""
    if type(value) is dict:
        return typing_cast("dict[str, Any]", value)
    return typing_cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else None


def _as_list(value: object) -> Sequence[object] | None:
    """The value if it is a JSON list, else None."""
    if type(value) is list:
        return typing_cast("list[object]", value)
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Sequence):
        return None
    return typing_cast("Sequence[object]", value)


def _as_items(given: object) -> Iterable[object]:
    """The messages one by one."""
    if type(given) is not list and (
        isinstance(given, (str, bytes)) or not isinstance(given, Iterable)
    ):
        raise ConversationError(f"found {_kind(given)}; give a list of messages", field="messages")
    return typing_cast("Iterable[object]", given)


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
    wire = _message_wire(index, given)
    spare: Mapping[str, Any] = {} if _KNOWN_KEYS.issuperset(wire) else _read_spare(index, wire)
    if "role" not in wire:
        raise ConversationError(
            "it is missing; every message has a role", message=index, field="role"
        )
    get = wire.get
    role = wire["role"]
    if type(role) is not str or role not in STANDARD_ROLES:
        check_text(role, index, "role")
    if not role:
        raise ConversationError("it is empty; give the label to write", message=index, field="role")
    name, calls = get("name"), get("tool_calls")
    reasoning, content, answered = get("reasoning_content"), get("content"), get("tool_call_id")
    if name is not None:
        name = check_text(name, index, "name")
    if calls is not None:
        calls = _read_calls(index, calls)
    if reasoning is not None:
        reasoning = check_text(reasoning, index, "reasoning_content")
    if type(content) is str:
        check_text(content, index, "content")
    else:
        content = _read_content(index, content, bool(calls or reasoning or spare))
    if answered is not None:
        answered = check_text(answered, index, "tool_call_id")
    weight, attributes, prefix = get("weight"), get("attributes"), get("prefix")
    return new_message(
        role,
        content,
        name or None,
        reasoning or None,
        calls or (),
        answered,
        None if weight is None else _read_weight(index, weight),
        {} if attributes is None else _read_attributes(index, attributes),
        spare,
        prefix=False if prefix is None else _read_flag(index, prefix),
    )


def _message_wire(index: int, given: object) -> Mapping[str, Any]:
    """The message as a JSON object."""
    if type(given) is dict:
        return typing_cast("dict[str, Any]", given)
    if isinstance(given, Message):
        # It may have been made by hand.
        return {key: getattr(given, key) for key in MESSAGE_KEYS} | dict(given.spare)
    dump: Callable[[], object] | None = getattr(given, "model_dump", None)
    wire = _as_mapping(dump() if callable(dump) and _as_mapping(given) is None else given)
    if wire is None:
        raise ConversationError(f"found {_kind(given)}; a message is an object", message=index)
    return wire


def _read_spare(index: int, wire: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a message holds that no format carries."""
    for key in wire:
        if key not in _KNOWN_KEYS and key not in SPARE_KEYS:
            raise ConversationError(
                "unknown key"
                + (nearest(str(key), MESSAGE_KEYS) or f" (known: {', '.join(MESSAGE_KEYS)})"),
                message=index,
                field=repr(key),
            )
    return {key: wire[key] for key in SPARE_KEYS if key in wire and not _is_empty(wire[key])}


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
    calls = _as_list(given)
    if calls is None:
        raise ConversationError(
            f"found {_kind(given)}; it must be a list of calls", message=index, field="tool_calls"
        )
    return tuple(
        [_read_call(index, f"tool_calls[{number}]", call) for number, call in enumerate(calls)]
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
    if not _KNOWN_CALL_KEYS.issuperset(call):
        raise _unknown_key(index, where, call, _CALL_KEYS)
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
    if not _KNOWN_FUNCTION_KEYS.issuperset(inner):
        raise _unknown_key(index, f"{where}.function", inner, _FUNCTION_KEYS)
    name = check_text(inner.get("name"), index, f"{where}.function.name")
    if not name:
        raise ConversationError("it is empty", message=index, field=f"{where}.function.name")
    identifier = call.get("id")
    return ToolCall(
        name,
        read_arguments(index, f"{where}.function.arguments", inner.get("arguments")),
        None if identifier is None else check_text(identifier, index, f"{where}.id"),
    )


def _unknown_key(
    index: int, where: str, found: Mapping[str, Any], known: tuple[str, ...]
) -> ConversationError:
    key = next(key for key in found if key not in known)
    return ConversationError(
        f"unknown key {key!r}{nearest(str(key), known)}", message=index, field=where
    )


def read_arguments(index: int, where: str, given: object) -> dict[str, Any]:
    """Read the arguments of a call, a JSON object or its text.

    Raises:
        ConversationError: If they are neither, or cannot be written as JSON.
    """
    if given is None or given == "":
        return {}
    value = given
    checked = False
    if isinstance(given, str):
        check_text(given, index, where)
        try:
            value = _FINITE.decode(given)
            # What was read is JSON, and where nothing is escaped no half a character is.
            checked = "\\u" not in given and not _may_nest(given)
        except (ValueError, RecursionError, _InfiniteError):
            value = _decoded(index, where, given)
    arguments = _as_mapping(value)
    if arguments is None:
        raise ConversationError(
            f"found {_kind(value)}; arguments are a JSON object, as a string or as an object",
            message=index,
            field=where,
        )
    if not checked:
        check_json(arguments, index, where)
    return dict(arguments)


def _decoded(index: int, where: str, given: str) -> object:
    """The value of a JSON text, or else what is wrong with it."""
    try:
        return json.loads(
            given, parse_constant=_refuse_constant, object_pairs_hook=_without_doubles
        )
    except (ValueError, RecursionError) as error:
        raise ConversationError(
            f"found {_kind(given)}, which is not JSON ({error}); give a JSON object",
            message=index,
            field=where,
        ) from None


class _InfiniteError(Exception):
    """A number is too large for a float."""


def _read_float(text: str) -> float:
    number = float(text)
    if isinf(number):
        raise _InfiniteError
    return number


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        double = next(key for number, key in enumerate(keys) if key in keys[:number])
        raise ValueError(f"the key {double!r} stands in it twice")
    return found


_FINITE = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_float=_read_float, object_pairs_hook=_without_doubles
)
_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


def _may_nest(text: str) -> bool:
    """Whether a JSON text has brackets enough to be nested too deep."""
    return text.count("{") + text.count("[") >= DEEPEST_JSON


def check_json(value: object, index: int | None, where: str) -> None:
    """Refuse what JSON or UTF-8 cannot write.

    Raises:
        ConversationError: If `value` holds NaN, an infinity, a lone surrogate or a foreign type.
    """
    try:
        text = _JSON.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConversationError(
            f"it cannot be written as JSON ({error})", message=index, field=where
        ) from None
    if _may_nest(text) and _nests_deeper(value, DEEPEST_JSON):
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


def _read_weight(index: int, given: object) -> float:
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
    if isinstance(given, bool):
        return given
    raise ConversationError(
        f"found {_kind(given)}; it must be true or false", message=index, field="prefix"
    )


def _read_tools(given: object) -> tuple[Mapping[str, Any], ...]:
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
