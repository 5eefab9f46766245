"""What a report shows of a finding: its place in the output, and its conversation in short."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

from rolecall.audit.finding import Finding

LONGEST = 80
"""Characters of a text that a conversation in short shows."""


class Excerpt(NamedTuple):
    """A place in an output, with what stands around it."""

    skipped: int
    """Characters of the output before."""
    before: str
    place: str
    """The marked text; empty where something is missing."""
    after: str
    left: int
    """Characters of the output after."""
    marked: bool
    """Whether there is a place at all."""
    inside: int = 0
    """Characters left out in the middle of the place; they stand behind its half."""

    @property
    def halves(self) -> tuple[str, str]:
        """The place before and after what is left out in its middle."""
        half = (len(self.place) + 1) // 2
        return self.place[:half], self.place[half:]


def excerpt(finding: Finding, before: int, place: int, after: int) -> Excerpt | None:
    """The place of a finding, or the beginning of its output where no place is marked.

    Args:
        finding: The finding.
        before: Most characters to show before the place.
        place: Most characters to show of it.
        after: Most characters to show after it.

    Returns:
        None where the template raised.
    """
    output = finding.output
    if output is None:
        return None
    if finding.span is None:
        shown = output[: before + place + after]
        return Excerpt(0, shown, "", "", len(output) - len(shown), marked=False)
    start, end = finding.span
    first, last = max(0, start - before), min(len(output), end + after)
    text, inside = output[start:end], 0
    if len(text) > place + place // 4:  # Not for the sake of a few characters.
        inside = len(text) - place
        text = text[: (place + 1) // 2] + text[len(text) - place // 2 :]
    return Excerpt(
        first, output[first:start], text, output[end:last], len(output) - last, True, inside
    )


def in_short(conversation: Mapping[str, Any]) -> str:
    """A conversation on one line: ``system "Be brief."; user "Hello."; add_generation_prompt``.

    It is for a person to read; the whole of it is in the JSON of the finding.
    """
    return "; ".join(_pieces(conversation))


def _pieces(conversation: Mapping[str, Any]) -> Iterator[str]:
    for message in conversation.get("messages", ()):
        yield _message(message)
    for key in ("tools", "documents"):
        if key in conversation:
            yield f"{key} {_things(conversation[key])}"
    for name, value in conversation.get("options", {}).items():
        yield name if value is True else f"{name}={_value(value)}"


def _message(message: object) -> str:
    if not isinstance(message, Mapping):
        return _value(message)
    fields = dict(cast("Mapping[str, Any]", message))
    role = fields.pop("role", None)
    text = role if isinstance(role, str) and role.isidentifier() else _value(role)
    calls = fields.pop("tool_calls", None)
    has_content = "content" in fields
    content = fields.pop("content", None)
    if fields:
        text += f" ({', '.join(f'{key}={_value(value)}' for key, value in fields.items())})"
    if has_content and (content or not calls):
        text += f" {_content(content)}"
    if calls is not None:
        text += f" calls {_things(calls)}"
    return text


def _content(content: object) -> str:
    """Content; typed parts of text stand in brackets."""
    if not isinstance(content, list):
        return _value(content)
    parts: list[str] = []
    for item in cast("list[object]", content):
        part = _mapping(item)
        is_text = part.get("type") == "text" and set(part) == {"type", "text"}
        parts.append(_value(part["text"] if is_text else item))
    return f"[{', '.join(parts)}]"


def _things(things: object) -> str:
    """Tools, calls and documents: their names, and the arguments of calls."""
    if not isinstance(things, list):
        return _value(things)
    return ", ".join(_thing(thing) for thing in cast("list[object]", things)) or "[]"


def _thing(thing: object) -> str:
    outer = _mapping(thing)
    inner = _mapping(outer.get("function", outer))
    name = inner.get("name")
    if not isinstance(name, str):
        return _value(thing)
    if "arguments" in inner:
        return f"{name}({_value(inner['arguments'])})"
    return name


def _mapping(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _value(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    if len(text) <= LONGEST:
        return text
    half = LONGEST // 2
    return f"{text[:half]}…{text[len(text) - half :]}"
