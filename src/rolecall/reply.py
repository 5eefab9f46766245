"""From what slots hold to messages and tool calls: the way back from `plan` and `canonical`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from rolecall.conversation import Message, ToolCall
from rolecall.pattern import (
    FILTERS,
    Group,
    Literal,
    Pattern,
    Piece,
    Slot,
    blank_for,
    walk,
)
from rolecall.turn import TurnSpec, text_of

if TYPE_CHECKING:
    from rolecall.format import Format
    from rolecall.thread import Speaker


@dataclass(slots=True)
class Draft:
    """A message as far as it was read."""

    speaker: Speaker
    first: int
    """The symbol at which what it says begins."""
    slots: dict[str, str] = field(default_factory=dict[str, str])
    blank: set[str] = field(default_factory=set[str])
    """Slots that held something of which trimming left nothing."""
    calls: list[ToolCall] = field(default_factory=list[ToolCall])
    items: list[list[ToolCall]] = field(default_factory=list[list[ToolCall]])
    """The calls that were read from each place for one: none where it was malformed."""
    ended: str | None = None
    """Why it ended, or None while it goes on."""
    end: int = 0
    """The symbol behind it, once it has ended."""

    @property
    def empty(self) -> bool:
        """Whether nothing is said and nothing ended."""
        return self.ended is None and not self.items and not any(self.slots.values())


def message_of(fmt: Format, draft: Draft, *, rendered: bool = True) -> Message:
    """The message that a draft says.

    Args:
        fmt: The format.
        draft: The message as far as it was read.
        rendered: Whether it was rendered: then a message that says nothing, where the format
            writes none of those, was one of white space, and so was what was trimmed to nothing.
    """
    speaker, texts = draft.speaker, draft.slots
    spec = speaker.spec
    given = dict(speaker.attributes)
    content = plain_content(spec, texts.get("content", ""))
    if rendered and not content and "content" in draft.blank:
        content = blank_for(filter_of(spec, "content"))
    if rendered and not content and not draft.items and not spec.empty:
        content = " "
    reasoning = texts.get("reasoning") or None
    if rendered and reasoning is None and "reasoning" in draft.blank:
        reasoning = blank_for(filter_of(spec, "reasoning"))
    answers = spec.author == "tool"
    name = speaker.name
    if answers:
        called = _unquoted(spec, "call_name", texts.get("call_name")) or given.get("call_name")
        named = _unquoted(spec, "name", texts.get("name"))
        name = called or named or name
    call_id = _unquoted(spec, "call_id", texts.get("call_id")) or given.get("call_id")
    attributes = {
        key: found for key in fmt.attributes if (found := texts.get(key) or given.get(key))
    }
    return Message(
        role=speaker.role,
        content=None if not content and (draft.calls or reasoning) else content,
        name=name,
        reasoning_content=reasoning,
        tool_calls=tuple(draft.calls),
        tool_call_id=call_id if answers else None,
        attributes=attributes,
    )


def filter_of(spec: TurnSpec, slot: str) -> str | None:
    """The filter that a slot has in the body of a turn, or None."""
    return next(
        (n.filter for n in walk(spec.body) if isinstance(n, Slot) and n.name == slot and n.filter),
        None,
    )


def _unquoted(spec: TurnSpec, slot: str, written: str | None) -> str | None:
    """What fills a slot that may be written as a JSON string."""
    if written is None or filter_of(spec, slot) != "json":
        return written
    return _json_string(written)


def _json_string(written: str) -> str | None:
    try:
        value: object = json.loads(written, strict=False)
    except ValueError:
        return None
    return value if isinstance(value, str) else None


def plain_content(spec: TurnSpec, written: str) -> str:
    """The content as trimmed, but not as JSON: quoting is the format's, not the caller's.

    Of all contents that are written alike this is the plainest.
    """
    found = filter_of(spec, "content")
    if found not in ("json", "json-value"):
        return written
    try:
        value: object = json.loads(written, strict=False)
    except ValueError:
        return written
    if not isinstance(value, str):
        return written
    plain = (Piece(value, "content"),) if value else ()
    return value if text_of(FILTERS[found][0](plain)) == written else written


def call_of(fmt: Format, texts: Mapping[str, str]) -> ToolCall | None:
    """The call that the slots of one item say, or None if they do not say one."""
    rule = fmt.calls
    assert rule is not None
    name, call_id = texts.get("call_name"), texts.get("call_id")
    filters = {n.name: n.filter for n in walk(rule.each) if isinstance(n, Slot)}
    if name is not None and filters.get("call_name") == "json":
        name = _json_string(name)
    if call_id is not None and filters.get("call_id") == "json":
        call_id = _json_string(call_id)
    if "call_name" not in texts and call_id is not None:
        name = _name_in(rule.id, call_id)
    arguments = _object(texts.get("arguments", "{}"))
    rule_for_name = fmt.match.get("call_name")
    if not name or arguments is None or (rule_for_name and not rule_for_name.search(name)):
        return None
    return ToolCall(name, arguments, call_id)


def _object(text: str) -> dict[str, Any] | None:
    try:
        value: object = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _name_in(pattern: Pattern, call_id: str) -> str | None:
    """The name of the function in an id that the format makes of it."""
    found = _id_expression(pattern).fullmatch(call_id)
    return None if found is None else found["call_name"]


def fits_id(fmt: Format, call_id: str) -> bool:
    """Whether an id is one that the format writes."""
    rule = fmt.calls
    if rule is None:
        return True
    if rule.id:
        return _id_expression(rule.id).fullmatch(call_id) is not None
    return rule.ids is None or rule.ids.search(call_id) is not None


@lru_cache(maxsize=64)
def _id_expression(pattern: Pattern) -> re.Pattern[str]:
    forms = {"call_name": "(?P<call_name>.+)", "index": r"\d+"}
    parts = [
        re.escape(node.text) if isinstance(node, Literal) else forms.get(node.name, ".*")
        for node in pattern
        if not isinstance(node, Group)
    ]
    return re.compile("".join(parts) or r"(?P<call_name>.+)", re.DOTALL)


def call_as_written(fmt: Format, text: str, control: Mapping[str, str]) -> ToolCall | None:
    """The call that a text of symbols is, its name read as long as it can be.

    Args:
        fmt: The format.
        text: The symbols of one call, up to the control token that closes it.
        control: Control token to its symbol.
    """
    rule = fmt.calls
    assert rule is not None
    each = list(rule.each)
    while each and isinstance(each[-1], Literal) and not each[-1].control:
        each.pop()
    if each and isinstance(each[-1], Literal):
        each.pop()
    else:
        each = list(rule.each)
    plain = "[^\ud800-\udfff]"
    forms = {
        "arguments": rf"(?P<arguments>\{{{plain}*\}})",
        "call_name": f"(?P<call_name>{plain}+)",
    }
    parts = [
        re.escape(control[node.text] if node.control else node.text)
        if isinstance(node, Literal)
        else forms.get(node.name, f"(?P<{node.name}>{plain}+?)")
        for node in each
        if not isinstance(node, Group)
    ]
    found = re.compile("".join(parts), re.DOTALL).fullmatch(text)
    return None if found is None else call_of(fmt, found.groupdict())


def calls_in(fmt: Format, text: str) -> tuple[list[ToolCall], str]:
    """The calls in a text that is not written as the format has it, and what is left of it.

    Other spacing, other order of keys and arguments that were quoted once more are read.
    """
    rule = fmt.calls
    assert rule is not None
    names = json_keys(rule.each)
    found: list[ToolCall] = []
    if not names:
        return found, text
    decoder = json.JSONDecoder(strict=False)
    at = _next_object(text, 0)
    while at is not None:
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            return found, text[at:]
        call = _unified(names, cast("dict[str, Any]", value))
        if call is None:
            return found, text[at:]
        found.append(call)
        text = text[end:]
        at = _next_object(text, 0)
    return found, text.strip(" \t\r\n,[]")


def _next_object(text: str, start: int) -> int | None:
    found = re.compile(r"[\s,\[\]]*\{").match(text, start)
    return None if found is None else found.end() - 1


@lru_cache(maxsize=64)
def json_keys(each: Pattern) -> Mapping[str, str]:
    """Key of the JSON object that a call is to the slot that it fills; empty if it is none."""
    text = "".join(
        node.text if isinstance(node, Literal) else _placeholder(node)
        for node in each
        if not isinstance(node, Group) and not (isinstance(node, Literal) and node.control)
    )
    begin, end = text.find("{"), text.rfind("}")
    try:
        value: object = json.loads(text[begin : end + 1])
    except ValueError:
        return {}
    if not isinstance(value, dict):
        return {}
    pairs = cast("dict[str, object]", value)
    return {
        key: slot[len(PLACEHOLDER) :]
        for key, slot in pairs.items()
        if isinstance(slot, str) and slot.startswith(PLACEHOLDER)
    }


PLACEHOLDER = "slot:"


def _placeholder(node: Slot) -> str:
    quoted = node.filter == "json" or node.name == "arguments"
    return f'"{PLACEHOLDER}{node.name}"' if quoted else f"{PLACEHOLDER}{node.name}"


def _unified(names: Mapping[str, str], value: dict[str, Any]) -> ToolCall | None:
    found = {names[key]: item for key, item in value.items() if key in names}
    if not set(value) - set(names):
        found.setdefault("arguments", {})
    name, arguments, call_id = (found.get(k) for k in ("call_name", "arguments", "call_id"))
    if isinstance(arguments, str):
        arguments = _object(arguments)
    if not isinstance(name, str) or not name or not isinstance(arguments, dict):
        return None
    if call_id is not None and not isinstance(call_id, str):
        return None
    return ToolCall(name, cast("dict[str, Any]", arguments), call_id)


def tool_of(fmt: Format, texts: Mapping[str, str]) -> dict[str, Any] | None:
    """The tool schema that the slots of one item say, or None if they cannot be read back."""
    whole = _object(texts.get("tool", ""))
    if whole is not None:
        return whole
    function = _object(texts.get("function", ""))
    return None if function is None else {"type": "function", "function": function}
