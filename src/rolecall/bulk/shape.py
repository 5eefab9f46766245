"""The shape of a conversation: all of it that decides how it is written, without its texts.

Two conversations of one shape are written in the same way but for the texts themselves. What of a
text matters to how it is written stands in the shape: whether there is any, and the white space at
its ends, which formats trim. Labels, names and weights are in it as they are.

`read` knows plain wire form only and says None to everything else, bad input included; that goes
the ordinary way, which reads and complains of everything.
"""

from __future__ import annotations

import json
import marshal
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from rolecall.errors import ConversationError
from rolecall.strategies import ARGUMENTS
from rolecall.wire import read_arguments

if TYPE_CHECKING:
    from rolecall.format import Format

Key = tuple[Any, ...]
"""A shape, hashable."""

SPACED_PARTS, MESSAGE_PARTS = 3, 7
"""How long the shape of a message is: a label with the white space around its text, or all there
can be. A message that is a label and a text alone is its label; an empty one, a tuple of it."""

_ABOUT = ("tools", "cast", "options")
_CONVERSATION_KEYS = frozenset(("messages", *_ABOUT))
_MESSAGE_KEYS = frozenset(
    ("role", "name", "content", "reasoning_content", "tool_calls", "tool_call_id", "weight")
)
_CALL_KEYS = frozenset(("id", "type", "function"))
_FUNCTION_KEYS = frozenset(("name", "arguments"))

_PLAIN_ID = re.compile(r"[A-Za-z0-9_-]+")
"""Ids that no header or JSON can be broken with."""


class Shape(NamedTuple):
    """A conversation taken apart."""

    key: Key
    texts: list[str]
    """Its texts, in the order of the messages; of one message reasoning, content, calls."""
    sizes: list[int]
    """How many bytes of UTF-8 each of them is."""


class Odd(Exception):  # noqa: N818 - nothing is wrong with such a conversation
    """A conversation that is not of the plain form."""


def read(
    fmt: Format, given: object, tools: object, rest: Key, met: Callable[[bytes], bool]
) -> Shape | None:
    """Take a conversation apart, or None where it is not of the plain form.

    Args:
        fmt: The format that will write it.
        given: A list of messages or ``{messages, tools, cast, options}``.
        tools: Tool schemas that replace those in `given`.
        rest: What else its text depends on: the arguments of `Format.render`.
        met: Whether tools, cast and options like these were met before; where they were not, no
            conversation of this shape was, and there is nothing to take apart for.
    """
    texts: list[str] = []
    try:
        about: dict[str, Any] = {}
        if type(given) is dict:
            about = cast("dict[str, Any]", given)
            given = about["messages"]
            if not about.keys() <= _CONVERSATION_KEYS:
                return None
            about = {name: about[name] for name in _ABOUT if about.get(name) is not None}
        if tools is not None:
            about["tools"] = tools
        # In version 2 equal values have equal bytes; later ones say which objects are the same.
        tail = (marshal.dumps(about, 2),) if about else ()
        if tail and not met(tail[0]):
            return None
        key = (*_messages(fmt, _list(given), texts), rest, tail)
        return Shape(key, texts, sizes(texts))
    except (Odd, KeyError, TypeError, ValueError, ConversationError):
        # Whatever is wrong, the ordinary way says it.
        return None


def sizes(texts: list[str]) -> list[int]:
    """How many bytes of UTF-8 each text is.

    Raises:
        UnicodeEncodeError: If one of them holds a lone surrogate.
    """
    return [len(text) if text.isascii() else len(text.encode()) for text in texts]


def _messages(fmt: Format, messages: list[Any], texts: list[str]) -> list[Any]:
    """The shape of each message; its texts are added to `texts`."""
    shapes: list[Any] = []
    ids: dict[str, int] = {}
    for message in messages:
        if message.__class__ is not dict:
            raise Odd
        if len(message) != 2 or "content" not in message:
            shapes.append(_message(fmt, message, texts, ids))
            continue
        # Most messages are a label and a text: a tuple is made only where there is more to say.
        role = message["role"]
        text = message["content"]
        if type(role) is not str or type(text) is not str or not role:
            raise Odd
        length = len(text)
        core = text.strip()
        if not core:
            if length:
                raise Odd
            shapes.append((role,))
            continue
        shapes.append(role if len(core) == length else (role, *_ends(text)))
        texts.append(text)
    return shapes


def _ends(text: str) -> tuple[str, str]:
    """The white space at the beginning and at the end of a text that is not blank."""
    left = text.lstrip()
    return text[: len(text) - len(left)], left[len(left.rstrip()) :]


def _message(fmt: Format, message: dict[str, Any], texts: list[str], ids: dict[str, int]) -> Key:
    """The shape of a message that is more than a label and a text."""
    if not message.keys() <= _MESSAGE_KEYS:
        raise Odd
    role, name, weight = message["role"], message.get("name"), message.get("weight")
    calls = message.get("tool_calls")
    if type(role) is not str or not role or not (name is None or type(name) is str):
        raise Odd
    if not (weight is None or type(weight) in (int, float)):
        raise Odd
    return (
        role,
        name,
        weight,
        _text(message.get("reasoning_content"), texts),
        _text(message.get("content"), texts),
        None if calls is None else tuple(_call(fmt, call, texts, ids) for call in _list(calls)),
        None if (called := message.get("tool_call_id")) is None else _id(fmt, called, texts, ids),
    )


def _list(value: Any) -> list[Any]:
    if type(value) is not list:
        raise Odd
    return cast("list[Any]", value)


def _object(value: Any, keys: frozenset[str]) -> dict[str, Any]:
    if type(value) is not dict:
        raise Odd
    found = cast("dict[str, Any]", value)
    if not found.keys() <= keys:
        raise Odd
    return found


def _text(text: object, texts: list[str]) -> tuple[str, str] | str | None:
    """The ends of a text, which is added to `texts`; or that there is none, or an empty one."""
    if text is None:
        return None
    if type(text) is not str:
        raise Odd
    if not text:
        return ""
    if not text.strip():
        raise Odd
    texts.append(text)
    return _ends(text)


def _id(fmt: Format, given: object, texts: list[str], ids: dict[str, int]) -> int:
    """The number of an id among those of the conversation, in the order of their appearance."""
    if type(given) is not str or not _PLAIN_ID.fullmatch(given):
        raise Odd
    rule = fmt.calls
    if rule is not None and rule.ids is not None and not rule.ids.search(given):
        raise Odd
    texts.append(given)
    return ids.setdefault(given, len(ids))


def _call(fmt: Format, call: Any, texts: list[str], ids: dict[str, int]) -> Key:
    call = _object(call, _CALL_KEYS)
    if call.get("type", "function") != "function" or fmt.calls is None:
        raise Odd
    function = _object(call["function"], _FUNCTION_KEYS)
    name, given = function["name"], call.get("id")
    if type(name) is not str or not name:
        raise Odd
    number = None if given is None else _id(fmt, given, texts, ids)
    arguments = read_arguments(0, "", function["arguments"])
    text: str = ARGUMENTS[fmt.calls.arguments].apply(arguments)
    if type(function["arguments"]) is not str and json.loads(text) != arguments:
        raise Odd  # Numbers as keys, tuples: JSON does not give them back.
    texts.append(text)
    return (name, number, bool(arguments))


def wire(shape: Shape) -> dict[str, Any]:
    """The conversation of a shape in wire form: what was read, as it was then."""
    *messages, _, tail = shape.key
    texts = iter(shape.texts)
    found: dict[str, Any] = {"messages": [_wire(message, texts) for message in messages]}
    for frozen in tail:
        found |= marshal.loads(frozen)
    return found


def _wire(message: Any, texts: Iterator[str]) -> dict[str, Any]:
    if type(message) is str:
        return {"role": message, "content": next(texts)}
    if len(message) != MESSAGE_PARTS:
        spaced = len(message) == SPACED_PARTS
        return {"role": message[0], "content": next(texts) if spaced else ""}
    role, name, weight, reasoning, content, calls, answered = cast("Key", message)
    found: dict[str, Any] = {"role": role, "name": name, "weight": weight}
    for field, ends in (("reasoning_content", reasoning), ("content", content)):
        found[field] = next(texts) if ends else ends
    if calls is not None:
        found["tool_calls"] = [_wire_call(call, texts) for call in calls]
    found["tool_call_id"] = None if answered is None else next(texts)
    return found


def _wire_call(call: Key, texts: Iterator[str]) -> dict[str, Any]:
    name, number, _ = call
    given = None if number is None else next(texts)
    return {"id": given, "function": {"name": name, "arguments": next(texts)}}
