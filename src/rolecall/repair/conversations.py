"""Random conversations, on which a template before and after a repair is compared.

They are of every kind that templates treat in ways of their own: system messages anywhere,
prefills, tools, calls and results, reasoning, names, roles that nobody knows, typed content, white
space and characters that JSON escapes. The same seed gives the same conversations.
"""

from __future__ import annotations

import json
import random
from typing import Any

from rolecall.audit.messages import Wire

TEXTS = (
    *("Hello.", "Good day to you.", "Be brief.", "How is the weather?", "It was raining."),
    *("Tell me of Lima.", "And then?", "Why?", "Nobody knows.", "One\nTwo\n\nThree", "ok"),
    *('She said "no".', "C:\\temp\\x", "{'a': 1}", '{"a": 1}', "- one\n- two", "3 < 4 > 2"),
    *("Zürich, 東京 🌧", "# Title\n\nText.", "I think so.", "", "user", "assistant: no"),
)
EDGES = ("  leading", "trailing  ", "\nline before", "line behind\n", "   ", "\n")
ROLES = ("writer", "judge", "chat", "narrator")
NAMES = ("Amy", "Hirose Koichi", "get_weather", "bob_2")
WORDS = ("lima", "oslo", "fog", "tide", "lamp", "rope", "salt", "gull")
VALUES: tuple[Any, ...] = (
    *("Lima", 'a "quoted" word', "C:\\x", "two\nlines", "", 3, -1, True, False, None),
    *([1, "two"], {"deep": {"er": None}}, [], {}, 2.5, "Zürich"),
)
IDS = ("a1b2c3d4e", "f5g6h7i8j", "call_Jk2mXw4QpZr7sTvB9nLcYd3e", None)


def conversation(dice: random.Random) -> dict[str, Any]:
    """One random conversation: ``messages``, and mostly ``tools`` and ``options``."""
    kind = dice.random()
    with_tools = kind > 0.45
    # A third is as plain as most templates want it; the rest may be refused.
    strict = kind < 0.2 or 0.45 < kind < 0.7
    messages: list[Wire] = []
    if dice.random() < 0.6:
        messages.append(_said(dice, "system", strict))
        if not strict and dice.random() < 0.2:
            messages.append(_said(dice, "system", strict))
    for _ in range(dice.choice((1, 1, 2, 2, 3))):
        _round(dice, messages, strict, with_tools)
    end = dice.random()
    while end < 0.55 and messages and messages[-1]["role"] != "user":
        messages.pop()
    if not messages:
        messages.append(_said(dice, "user", strict))
    if not strict and dice.random() < 0.08:
        messages.append(_said(dice, "system", strict))
    made: dict[str, Any] = {"messages": messages}
    if with_tools and dice.random() < 0.85:
        made["tools"] = [_tool(dice) for _ in range(dice.choice((1, 1, 2)))]
    options: dict[str, Any] = {"add_generation_prompt": dice.random() < 0.6}
    if dice.random() < 0.1:
        options["enable_thinking"] = dice.random() < 0.5
    made["options"] = options
    return made


def conversations(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """So many random conversations."""
    dice = random.Random(seed)
    return [conversation(dice) for _ in range(count)]


def _round(dice: random.Random, messages: list[Wire], strict: bool, with_tools: bool) -> None:
    """A question, perhaps with calls, and its answer."""
    if not strict and dice.random() < 0.1:
        messages.append(_said(dice, dice.choice((*ROLES, "developer", "system")), strict))
    if strict or dice.random() < 0.9:
        messages.append(_said(dice, "user", strict))
    while with_tools and dice.random() < 0.5:
        _calls(dice, messages, strict)
    if strict or dice.random() < 0.9:
        answer = _said(dice, "assistant", strict)
        if dice.random() < 0.2:
            answer["reasoning_content"] = dice.choice(TEXTS)
        messages.append(answer)
    if not strict and dice.random() < 0.1:
        messages.append(_said(dice, dice.choice((*ROLES, "system")), strict))


def _said(dice: random.Random, role: str, strict: bool) -> Wire:
    text = dice.choice(EDGES) if dice.random() < 0.08 else dice.choice(TEXTS)
    content: Any = text
    if not strict and dice.random() < 0.06:
        content = [{"type": "text", "text": text}]
    made: Wire = {"role": role, "content": content}
    if not strict and dice.random() < 0.1:
        made["name"] = dice.choice((*NAMES, None))
    return made


def _calls(dice: random.Random, messages: list[Wire], strict: bool) -> None:
    calls: list[dict[str, Any]] = []
    for _ in range(dice.choice((1, 1, 1, 2))):
        keys = dice.sample(WORDS, dice.randint(0, 2))
        arguments: Any = {key: dice.choice(VALUES) for key in keys}
        if dice.random() < 0.25:
            arguments = json.dumps(arguments, ensure_ascii=False)
            if not strict and dice.random() < 0.2:
                arguments = dice.choice(("", 'no json "'))
        function = {"name": dice.choice(NAMES[2:]), "arguments": arguments}
        call: dict[str, Any] = {"type": "function", "function": function}
        if dice.random() < 0.1:
            del call["type"]
        identity = dice.choice(IDS[:2] if strict else IDS)
        calls.append(call if identity is None else {"id": identity, **call})
    content: Any = dice.choice((None, "", "", dice.choice(TEXTS)))
    said: Wire = {"role": "assistant", "content": content, "tool_calls": calls}
    if not strict and not content and dice.random() < 0.2:
        del said["content"]
    if dice.random() < 0.1:
        said["reasoning_content"] = dice.choice(TEXTS)
    messages.append(said)
    for call in calls:
        content = dice.choice((*TEXTS, "31", '{"degrees": 31, "sky": "clear"}', "[1, 2]"))
        result: Wire = {"role": "tool", "content": content}
        if not strict and dice.random() < 0.1:
            result["content"] = [{"type": "text", "text": content}]
        if "id" in call:
            result["tool_call_id"] = call["id"]
        if dice.random() < 0.8:
            result["name"] = call["function"]["name"]
        messages.append(result)


def _tool(dice: random.Random) -> dict[str, Any]:
    names = dice.sample(WORDS, dice.randint(0, 2))
    described = {"type": "string", "description": dice.choice(TEXTS)}
    parameters: dict[str, Any] = {
        "type": "object",
        "properties": {name: dict(described) for name in names},
        "required": names[:1],
    }
    function = {
        "name": dice.choice(NAMES[2:]),
        "description": dice.choice(TEXTS),
        "parameters": parameters,
    }
    # What a schema can do without, some templates read all the same.
    if dice.random() < 0.15:
        del function["description"]
    if dice.random() < 0.1:
        function["parameters"] = {}
    return {"type": "function", "function": function}
