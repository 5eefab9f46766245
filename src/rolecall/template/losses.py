"""What of a conversation a template did not write, read off the origins of its output."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from rolecall.conversation import STANDARD_ROLES
from rolecall.lost import Level, Lost
from rolecall.template.layout import REASONING_FIELDS
from rolecall.template.trace import Trace

_THOUGHTS_END = "</think>"
"""Behind it stands the answer, where a message holds its thoughts in the content."""

Reached = Mapping[tuple[int | None, str], list[tuple[int, int]]]


def losses(
    name: str,
    trace: Trace,
    messages: Sequence[Mapping[str, Any]],
    authors: Sequence[str],
    tools: Sequence[Mapping[str, Any]] | None,
    *,
    until: int | None = None,
) -> list[Lost]:
    """A lost record for everything that did not arrive.

    Args:
        name: The template.
        trace: Its output.
        messages: What it was given, in wire form.
        authors: Author of each message.
        tools: Tool schemas it was given.
        until: Where the output is cut, or None.
    """
    reached = _reached(trace, until)
    lost: list[Lost] = []
    for index, message in enumerate(messages):
        if not _is_whole(reached, index, message):
            lost += _message(name, trace, reached, index, message, authors)
    if tools and not any(
        message is None and field.startswith("tools") for message, field in reached
    ):
        detail = f"{name} writes nothing of the tool schemas"
        lost.append(Lost("error", "tools-dropped", None, "tools", detail))
    return lost


def _reached(trace: Trace, until: int | None) -> Reached:
    """Which characters of each field are in the output; ``(-1, -1)`` where they are rewritten."""
    found: dict[tuple[int | None, str], list[tuple[int, int]]] = {}
    for start, end, (kind, message, field, _), at in trace.spans:
        if until is not None and start >= until:
            break
        if kind in ("caller", "printed"):
            place = (at, at + end - start) if at >= 0 else (-1, -1)
            known = found.get((message, field))
            if known is None:
                found[message, field] = [place]
            else:
                known.append(place)
    return found


def _is_whole(reached: Reached, index: int, message: Mapping[str, Any]) -> bool:
    """Whether a message of role and content alone stands in the output, once and in one piece."""
    content = message.get("content")
    if not isinstance(content, str) or message.get("role") not in STANDARD_ROLES:
        return False
    if len(message) > 2 and not _MORE.isdisjoint(message):
        return False
    return not content or reached.get((index, "content")) == [(0, len(content))]


_MORE = frozenset(("name", "tool_calls", "tool_call_id", *REASONING_FIELDS))
"""Keys of a message that are looked for in the output, besides role and content."""


def _message(
    name: str,
    trace: Trace,
    reached: Reached,
    index: int,
    message: Mapping[str, Any],
    authors: Sequence[str],
) -> list[Lost]:
    lost: list[Lost] = []

    def gone(level: Level, code: str, field: str, detail: str) -> None:
        lost.append(Lost(level, code, index, field, detail))

    role = message.get("role", "")
    content = message.get("content")
    printed = _is_printed(trace, reached, index, content)
    if printed:
        detail = (
            f"{name} writes the list of parts as Python prints it; give the content as a string"
        )
        gone("warning", "content-printed", "content", detail)
    for field, text in ({} if printed else _texts(content)).items():
        places = reached.get((index, field), [])
        if text and not places:
            # Blank text says nothing that a model could miss.
            level: Level = "error" if text.strip() else "note"
            gone(
                level, "content-dropped", field, f"{name} writes nothing of the message of {role!r}"
            )
        elif text:
            lost += _cut(name, index, field, text, places)
    if isinstance(content, (int, float, Mapping)) and not any(
        (place == index and field.startswith("content"))
        # No boolean can tell of which field it is.
        or (place in (None, index) and isinstance(content, bool) and field == str(content))
        for place, field in reached
    ):
        kind = "an object" if isinstance(content, Mapping) else "a number or a boolean"
        detail = f"{name} writes nothing of a content that is {kind}; give a string"
        gone("error", "content-dropped", "content", detail)
    if (index, "role") not in reached and role not in STANDARD_ROLES:
        detail = f"{name} does not write the role {role!r}; the turn reads as another's"
        gone("warning", "role-dropped", "role", detail)
    if message.get("name") is not None and (index, "name") not in reached:
        speaker = message["name"]
        level = "note" if authors[index] == "tool" else "warning"
        detail = f"{name} writes no speaker names for {role!r}: {speaker!r} is not in the prompt"
        gone(level, "name-dropped", "name", detail)
    reasoning = next((key for key in REASONING_FIELDS if message.get(key)), None)
    if reasoning is not None and not any((index, key) in reached for key in REASONING_FIELDS):
        answered = "client" in authors[index + 1 :]
        detail = (
            f"{name} leaves out reasoning once the user spoke again"
            if answered
            else f"{name} writes no reasoning"
        )
        gone("note" if answered else "error", "reasoning-dropped", reasoning, detail)
    for number, call in enumerate(message.get("tool_calls") or ()):
        lost += _call(name, reached, index, number, call)
    if message.get("tool_call_id") and (index, "tool_call_id") not in reached:
        gone("note", "id-dropped", "tool_call_id", f"{name} writes no ids of results")
    return lost


def _texts(content: object) -> dict[str, str]:
    """The texts of a content by their fields."""
    if isinstance(content, str):
        return {"content": content}
    texts: dict[str, str] = {}
    for number, part in enumerate(_sequence(content)):
        text = _mapping(part).get("text")
        if isinstance(part, str):
            texts[f"content[{number}]"] = part
        elif isinstance(text, str):
            texts[f"content[{number}].text"] = text
    return texts


def _is_printed(trace: Trace, reached: Reached, index: int, content: object) -> bool:
    """Whether a list of parts stands in the output as Python spells it."""
    if not _sequence(content):
        return False
    if (index, "content") in reached:
        return True
    if any((index, field) in reached for field in _texts(content)):
        return False
    # A filter that wants a string prints the list itself, and then nobody knows whose text it is.
    spelled = repr(content)
    unknown = (trace.text[s.start : s.end] for s in trace.spans if s.origin.kind == "unknown")
    return any(spelled in text for text in unknown)


def _call(name: str, reached: Reached, index: int, number: int, call: object) -> list[Lost]:
    field = f"tool_calls[{number}]"
    arrived = {key for message, key in reached if message == index and key.startswith(field)}
    function = _mapping(call).get("function", call)
    if not any(".name" in key for key in arrived):
        called = _mapping(function).get("name")
        return [
            Lost(
                "error",
                "call-dropped",
                index,
                field,
                f"{name} does not write the call of {called!r}",
            )
        ]
    lost: list[Lost] = []
    arguments = _mapping(function).get("arguments")
    inner = f"{field}.function.arguments"
    if arguments and not any(".arguments" in key for key in arrived):
        detail = f"{name} writes no arguments of calls"
        lost.append(Lost("error", "arguments-dropped", index, inner, detail))
    elif _is_object(arguments) and (-1, -1) in reached.get((index, inner), []):
        detail = (
            f"{name} writes arguments as JSON and was given a JSON string, which it quotes again; "
            "give the arguments as an object"
        )
        lost.append(Lost("warning", "arguments-double-encoded", index, inner, detail))
    return lost


def _sequence(value: object) -> Sequence[object]:
    """The value, or an empty list where it is none."""
    return cast("Sequence[object]", value) if isinstance(value, (list, tuple)) else ()


def _mapping(value: object) -> Mapping[str, Any]:
    """The value, or an empty object where it is none."""
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _is_object(text: object) -> bool:
    """Whether this is a JSON object in a string."""
    if not isinstance(text, str):
        return False
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _cut(name: str, index: int, field: str, text: str, places: list[tuple[int, int]]) -> list[Lost]:
    """Records for a text of which only some is written, or some twice."""
    if (-1, -1) in places:
        return []
    missing: list[tuple[int, int]] = []
    at = 0
    twice = False
    for start, end in sorted(places):
        if start > at:
            missing.append((at, start))
        twice = twice or (start < at and bool(text[start : min(at, end)].strip()))
        at = max(at, end)
    missing.append((at, len(text)))
    lost: list[Lost] = []
    gone = "".join(text[start:end] for start, end in missing)
    if twice:
        detail = f"{name} writes this text more than once"
        lost.append(Lost("warning", "content-duplicated", index, field, detail))
    if gone and not gone.strip():
        detail = f"{name} trims white space"
        lost.append(Lost("note", "trimmed", index, field, detail))
    elif gone.strip():
        # Thoughts in the content may be left out, as reasoning is; what follows them may not.
        thoughts = text.rfind(_THOUGHTS_END) + len(_THOUGHTS_END) if _THOUGHTS_END in text else 0
        answer = "".join(text[max(start, thoughts) : end] for start, end in missing)
        level: Level = "error" if answer.strip() else "note"
        shown = gone.strip() if len(gone.strip()) <= 40 else gone.strip()[:37] + "..."
        detail = f"{name} leaves out part of the text: {shown!r}"
        lost.append(Lost(level, "content-cut", index, field, detail))
    return lost
