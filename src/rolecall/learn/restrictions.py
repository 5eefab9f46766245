"""What random conversations may hold that a format file need not be claimed for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, cast

from rolecall.learn.model import CallForm
from rolecall.template.layout import REASONING_FIELDS

Wire = dict[str, Any]

PROMPT = "add_generation_prompt"


@dataclass(frozen=True, slots=True)
class Case:
    """A conversation, and what is given beside it."""

    messages: list[Wire]
    arguments: Mapping[str, Any]
    form: CallForm = field(default_factory=CallForm)

    def wire(self) -> list[Wire]:
        """The messages as the template wants them."""
        return [self._wire(message) for message in self.messages]

    def _wire(self, message: Wire) -> Wire:
        made = {key: value for key, value in message.items() if key != "reasoning_content"}
        if "reasoning_content" in message:
            made |= dict.fromkeys(REASONING_FIELDS, message["reasoning_content"])
        if "tool_calls" in message:
            made["tool_calls"] = [
                self.form.wire(call["function"]["name"], call["function"]["arguments"], call["id"])
                for call in message["tool_calls"]
            ]
        return made


@dataclass(frozen=True, slots=True)
class Restriction:
    """Something that conversations need not hold."""

    sentence: str
    holds: Callable[[Case], bool]
    """Whether a conversation holds it."""


def _of(role: str, key: str = "content") -> Callable[[Case], list[str]]:
    return lambda case: [
        str(message[key]) for message in case.messages if message["role"] == role and key in message
    ]


_results, _systems, _questions = _of("tool"), _of("system"), _of("user")
_thoughts = _of("assistant", "reasoning_content")


def _arguments(case: Case) -> list[Wire]:
    return [
        call["function"]["arguments"]
        for message in case.messages
        for call in message.get("tool_calls", ())
    ]


def _tools(case: Case) -> list[Wire]:
    return [tool["function"] for tool in case.arguments.get("tools", ())]


def _is_odd(value: object) -> bool:
    """Whether JSON is more than strings and whole numbers, or holds what JSON escapes."""
    if isinstance(value, dict):
        return any(_is_odd(x) for x in cast("Wire", value).items())
    if isinstance(value, tuple):
        return any(_is_odd(x) for x in cast("tuple[object, ...]", value))
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False) != f'"{value}"' or value != value.strip()
    return not isinstance(value, int) or isinstance(value, bool)


def _escapes(value: object) -> bool:
    """Whether JSON has to escape anything."""
    return "\\" in json.dumps(value, ensure_ascii=False)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _unanswered(case: Case) -> bool:
    return any(
        "tool_calls" in message and (after is None or after["role"] != "tool")
        for message, after in zip(case.messages, [*case.messages[1:], None], strict=True)
    )


def _calls(case: Case) -> list[Wire]:
    return [message for message in case.messages if "tool_calls" in message]


RESTRICTIONS: Mapping[str, Restriction] = {
    "blank results": Restriction(
        "Results of tools are never empty or white space alone.",
        lambda case: any(not text.strip() for text in _results(case)),
    ),
    "result ends": Restriction(
        "Results of tools neither begin nor end with white space.",
        lambda case: any(text != text.strip() for text in _results(case)),
    ),
    "json results": Restriction(
        "Results of tools are no JSON.", lambda case: any(map(_is_json, _results(case)))
    ),
    "blank beside calls": Restriction(
        "Beside calls a message says nothing, or more than white space.",
        lambda case: any(m["content"] and not m["content"].strip() for m in _calls(case)),
    ),
    "blank thoughts": Restriction(
        "Reasoning is never white space alone.",
        lambda case: any(not text.strip() for text in _thoughts(case)),
    ),
    "thought ends": Restriction(
        "Reasoning neither begins nor ends with white space.",
        lambda case: any(text != text.strip() for text in _thoughts(case)),
    ),
    "silent thoughts": Restriction(
        "A message with reasoning says something too.",
        lambda case: any(
            "reasoning_content" in m and not m["content"].strip() for m in case.messages
        ),
    ),
    "old thoughts": Restriction(
        "Reasoning stands behind the last message of a user's only.",
        lambda case: any(
            "reasoning_content" in message and any(m["role"] == "user" for m in case.messages[n:])
            for n, message in enumerate(case.messages)
        ),
    ),
    "odd thoughts": Restriction(
        "Reasoning holds none of the template's own words, and no tokens.",
        lambda case: any(not set(text.split()) <= set(PLAIN) for text in _thoughts(case)),
    ),
    "empty system": Restriction(
        "A system prompt that comes with tools says something.",
        lambda case: bool(_tools(case)) and any(not text for text in _systems(case)),
    ),
    "blank system": Restriction(
        "A system prompt that comes with tools is no white space alone.",
        lambda case: bool(_tools(case)) and any(not text.strip() for text in _systems(case)),
    ),
    "empty arguments": Restriction(
        "Calls have arguments.", lambda case: any(not given for given in _arguments(case))
    ),
    "escaped arguments": Restriction(
        "The arguments of calls hold nothing that JSON escapes.",
        lambda case: any(map(_escapes, _arguments(case))),
    ),
    "odd arguments": Restriction(
        "Arguments of calls are strings and whole numbers, and hold nothing that JSON escapes.",
        lambda case: any(map(_is_odd, _arguments(case))),
    ),
    "odd schemas": Restriction(
        "Tool schemas hold nothing that JSON escapes.",
        lambda case: any(map(_escapes, _tools(case))),
    ),
    "bare schemas": Restriction(
        "Tool schemas have a description and parameters.",
        lambda case: any(not {"description", "parameters"} <= tool.keys() for tool in _tools(case)),
    ),
    "further fields": Restriction(
        "Tool schemas have no fields beside name, description and parameters.",
        lambda case: any("strict" in tool for tool in _tools(case)),
    ),
    "calls without tools": Restriction(
        "Where tools are called they are given.",
        lambda case: bool(_calls(case)) and not _tools(case),
    ),
    "tools without system": Restriction(
        "Tools come with a system prompt.",
        lambda case: bool(_tools(case)) and not _systems(case),
    ),
    "tools with system": Restriction(
        "Tools come without a system prompt.",
        lambda case: bool(_tools(case)) and bool(_systems(case)),
    ),
    "tools without calls": Restriction(
        "Where tools are given they are called.",
        lambda case: bool(_tools(case)) and not _calls(case),
    ),
    "tools behind a reply": Restriction(
        "Tools are given where the model is to speak next.",
        lambda case: bool(_tools(case)) and case.messages[-1]["role"] == "assistant",
    ),
    "tools in a loop": Restriction(
        "Tools are given where a user spoke last.",
        lambda case: bool(_tools(case)) and case.messages[-1]["role"] != "user",
    ),
    "system in a loop": Restriction(
        "There is no system prompt where calls or results come last.",
        lambda case: (
            bool(_systems(case))
            and ("tool_calls" in case.messages[-1] or case.messages[-1]["role"] == "tool")
        ),
    ),
    "repeated questions": Restriction(
        "Where tools are given no user says the same twice.",
        lambda case: bool(_tools(case)) and len(set(_questions(case))) < len(_questions(case)),
    ),
    "prompts behind results": Restriction(
        "The model is not asked to speak where results come last.",
        lambda case: case.messages[-1]["role"] == "tool" and bool(case.arguments.get(PROMPT)),
    ),
    "several replies": Restriction(
        "With reasoning, messages of the assistant's do not follow each other.",
        lambda case: any(
            before["role"] == message["role"] == "assistant"
            for before, message in pairwise(case.messages)
        ),
    ),
    "calls behind results": Restriction(
        "Behind results the model answers, and makes no further calls.",
        lambda case: any(
            before["role"] == "tool" and "tool_calls" in message
            for before, message in pairwise(case.messages)
        ),
    ),
    "unanswered calls": Restriction("Calls have their results, also at the end.", _unanswered),
    "words beside calls": Restriction(
        "A message that makes calls says nothing else.",
        lambda case: any(m["content"] for m in _calls(case)),
    ),
    "several calls": Restriction(
        "A message makes one call.",
        lambda case: any(len(m["tool_calls"]) > 1 for m in _calls(case)),
    ),
}
"""What may be left out of a domain."""

SHOWS: Mapping[str, Callable[[Case], bool]] = {
    "tools": lambda case: bool(_tools(case)),
    "calls": lambda case: bool(_calls(case)),
    "results": lambda case: bool(_results(case)),
    "reasoning": lambda case: bool(_thoughts(case)),
}
"""Kind to whether a conversation holds what the kind is about."""

PLAIN = ("fog", "lamp", "harbour", "word", "nineteen")
"""Words that no template knows."""
