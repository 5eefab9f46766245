"""The small messages that rules make conversations of.

Rules share these, so that a conversation which several rules ask about is rendered once. Each
function returns a new dict; a template may change what it is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Wire = dict[str, Any]
"""A message as it goes over the wire."""

CITY = "Lima"
CALL_ID = "a1b2c3d4e"
"""Nine letters and digits, which is all that some Mistral templates take."""
SECOND_CALL_ID = "f5g6h7i8j"
RESULT = "31 degrees, clear."
REASONING = "They greet me, so I greet back."


def system(content: Any = "Be brief.", **more: Any) -> Wire:
    """A system message."""
    return {"role": "system", "content": content, **more}


def developer(content: Any = "Answer in French.", **more: Any) -> Wire:
    """A developer message, which OpenAI's newer models take in place of a system message."""
    return {"role": "developer", "content": content, **more}


def user(content: Any = "Hello.", **more: Any) -> Wire:
    """A user message."""
    return {"role": "user", "content": content, **more}


def assistant(content: Any = "Good day to you.", **more: Any) -> Wire:
    """An assistant message."""
    return {"role": "assistant", "content": content, **more}


def again(content: Any = "How is the weather?", **more: Any) -> Wire:
    """A second user message."""
    return {"role": "user", "content": content, **more}


def other(role: str = "writer", content: Any = "It was raining.", **more: Any) -> Wire:
    """A message under a role that no template knows."""
    return {"role": role, "content": content, **more}


def text_part(text: str) -> Wire:
    """A part of typed content."""
    return {"type": "text", "text": text}


def call(
    name: str = "get_weather", arguments: Any = None, call_id: str | None = CALL_ID
) -> dict[str, Any]:
    """A tool call. Give `Probe.arguments(…)` as arguments: templates want them in two forms."""
    function = {"name": name, "arguments": {"city": CITY} if arguments is None else arguments}
    made: dict[str, Any] = {"type": "function", "function": function}
    return made if call_id is None else {"id": call_id, **made}


def calling(*calls: Mapping[str, Any], content: Any = "", **more: Any) -> Wire:
    """An assistant message that calls tools."""
    made = [dict(one) for one in calls] if calls else [call()]
    return {"role": "assistant", "content": content, "tool_calls": made, **more}


def result(
    content: Any = RESULT,
    call_id: str | None = CALL_ID,
    name: str | None = "get_weather",
    **more: Any,
) -> Wire:
    """A tool's result."""
    made: Wire = {"role": "tool"}
    if call_id is not None:
        made["tool_call_id"] = call_id
    if name is not None:
        made["name"] = name
    return {**made, "content": content, **more}


def weather(description: str = "Tells the weather of a city.") -> dict[str, Any]:
    """The schema of a tool."""
    return {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": description,
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string", "description": "Name of the city."}},
                "required": ["city"],
            },
        },
    }


def document() -> dict[str, Any]:
    """A document, for templates that ground their answers in documents."""
    return {"title": "Lima", "text": "Lima lies at the sea."}
