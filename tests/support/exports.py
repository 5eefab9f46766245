"""Exported templates beside the formats that they come from: conversations, and four engines.

`cases` makes conversations for a format, each with the arguments of a rendering and what
`Format.render` makes of it: a text, or a refusal. `answers` has an engine run the exported template
on all of them at once. jinja2 is asked as transformers sets it up; the other engines are those of
`rolecall.engines`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import rolecall as rc
from rolecall import engines
from rolecall.engines import Answer, EngineError
from rolecall.errors import LossError
from rolecall.lost import Lost
from rolecall.pattern import slots
from rolecall.render import Rendering
from tests.support import template_reference as reference
from tests.support.conversations import TEXT_TAGS, WORD_NAMES, Shape, random_conversations
from tests.support.shapes import shape_of

CAST: Mapping[str, str] = {"writer": "model", "judge": "model", "crowd": "client"}
"""Roles beside the standard ones, and the cast that templates are exported with."""

SCHEMA = "strings-integers-booleans-null-nested"
"""What law 7 is about: neither floats nor HTML characters."""

BATCH = 50
"""Conversations that an engine is handed at once: it has a time limit."""

KINDS = ("prompt", "finished", "prefill", "speaker", "wild", "finished", "prompt", "wild")


@dataclass(frozen=True)
class Case:
    """A conversation, how it is to be rendered, and what the format makes of it."""

    conversation: Mapping[str, Any]
    """As an engine is handed it: messages, tools, and options with all that a template reads."""
    text: str | None
    """What the format writes; None where it refuses."""
    refusal: str = ""
    """Why it refuses."""


@cache
def exported(name: str) -> str:
    """The template of a format, for the standard roles and those of `CAST`."""
    return rc.format(name).to_jinja(cast=dict(CAST))


def tokens_of(name: str) -> dict[str, str]:
    """The tokens that a template reads, as the format's file has them."""
    fmt = rc.format(name)
    tokens = {"bos_token": fmt.bos_token, "eos_token": fmt.eos_token}
    return {key: token for key, token in tokens.items() if token}


def cases(name: str, count: int, seed: int = 0) -> list[Case]:
    """Conversations of the kinds that a format carries, and of some that it may refuse."""
    fmt = rc.format(name)
    made: list[Case] = []
    for number in range(count):
        chance = random.Random(f"{name}:{seed}:{number}")
        kind = KINDS[number % len(KINDS)]
        shape = _wild(name, chance) if kind == "wild" else _shape(name, kind)
        one = next(random_conversations(shape, 1, seed * 1_000_003 + number))
        made.append(case(fmt, *_asked(fmt, kind, one, chance)))
    return made


def case(
    fmt: rc.Format,
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Case:
    """One conversation, with what the format makes of it."""
    conversation: dict[str, Any] = {"messages": messages, "tools": tools, "options": options or {}}
    try:
        return Case(conversation, rendered(fmt, conversation).text)
    except rc.InputError as error:
        return Case(conversation, None, str(error))


def rendered(
    fmt: rc.Format, conversation: Mapping[str, Any], strict: bool | str = True
) -> Rendering:
    """What the format makes of a conversation that is given as to an engine.

    Raises:
        InputError: If it refuses.
    """
    options = dict(conversation["options"])
    speaker = options.get("speaker")
    if isinstance(speaker, Mapping):
        # A template is told by a mapping, as JSON has it, and `render` by a pair.
        options["speaker"] = (speaker["role"], speaker["name"])
    messages, tools = conversation["messages"], conversation["tools"]
    return fmt.render(messages, tools, dict(CAST), strict=strict, **options)


def _shape(name: str, kind: str) -> Shape:
    shape = replace(shape_of(name), tool_schema=SCHEMA, arguments="canonical")
    if kind == "finished":
        return replace(shape, last=("assistant", "call") if shape.calls else ("assistant",))
    if kind == "prefill":
        return replace(shape, last=(), prefill=True)
    return shape


def _wild(name: str, chance: random.Random) -> Shape:
    """A shape that the format may or may not carry: any order of roles, names, what it lacks."""
    own = shape_of(name)

    def some(carried: bool) -> bool:
        return chance.random() < (0.8 if carried else 0.15)

    calls = some(own.calls)
    return Shape(
        system=chance.choice(("none", "first", "anywhere", "everywhere")),
        names=("user", "assistant", "system", "tool", "writer", "crowd") if some(True) else (),
        roles=CAST if some(True) else {},
        tools=some(own.tools),
        calls=calls,
        parallel_calls=some(own.parallel_calls),
        content_with_calls=some(own.content_with_calls),
        reasoning=some(own.reasoning),
        alternate=chance.random() < 0.6,
        first=("user", "assistant") if chance.random() < 0.3 else ("user",),
        last=("user", "tool", "assistant", *(("call",) if calls else ()), "system"),
        call_ids=chance.choice((own.call_ids, own.call_ids, "any", "none")),
        call_content="any",
        result_order=chance.choice(("calls", "any")),
        whitespace="any",
        empty_content=chance.random() < 0.3,
        tool_schema=SCHEMA,
        json_results=chance.random() < 0.5,
    )


def _asked(
    fmt: rc.Format, kind: str, one: Mapping[str, Any], chance: random.Random
) -> tuple[list[dict[str, Any]], Any, dict[str, Any]]:
    """The messages, the tools, and the arguments of a rendering."""
    messages = [{**message} for message in one["messages"]]
    options: dict[str, Any] = {}
    if messages[-1].pop("prefix", False):
        options["continue_final_message"] = True
    elif kind == "speaker":
        options["speaker"] = chance.choice(_speakers(fmt))
    else:
        options["add_generation_prompt"] = chance.random() < (0.1 if kind == "finished" else 0.8)
    for name, option in fmt.options.items():
        if chance.random() < 0.3:
            values: Sequence[Any] = option.choices
            if isinstance(option.default, bool):
                values = (True, False)
            elif not values:
                values = ("", "Some words.")
            options[name] = chance.choice(values)
    tokens = (*fmt.control, *TEXT_TAGS)
    return [_varied(message, tokens, chance) for message in messages], one["tools"], options


def _speakers(fmt: rc.Format) -> list[Any]:
    speakers: list[Any] = ["assistant", "writer", "judge"]
    if slots(fmt.turns["model"].open) & {"name", "speaker"}:
        speakers += [{"role": "assistant", "name": name} for name in WORD_NAMES[:2]]
        speakers += [{"role": "writer", "name": "Amy"}]
    return speakers


def _varied(
    message: dict[str, Any], tokens: Sequence[str], chance: random.Random
) -> dict[str, Any]:
    """A message under a name that no other role has, some with what a template may stumble over.

    Where a name stands in place of the role, two authors under one name would be refused.
    """
    if "name" in message and message["role"] != "tool":
        message["name"] = f"{message['name']} {message['role'][:4]}"
    if message["content"] and chance.random() < 0.1:
        place = chance.choice((0, len(message["content"]), len(message["content"]) // 2))
        text, token = message["content"], chance.choice(tokens)
        message["content"] = text[:place] + token + text[place:]
    if message["content"] and chance.random() < 0.08:
        place = chance.randint(0, len(message["content"]))
        halves = message["content"][:place], message["content"][place:]
        message["content"] = [{"type": "text", "text": half} for half in halves]
    if message.get("tool_calls") and chance.random() < 0.7:
        message["tool_calls"] = [
            {**call, "function": {**call["function"], "arguments": _read(call)}}
            for call in message["tool_calls"]
        ]
    return message


def _read(call: Mapping[str, Any]) -> Any:
    return json.loads(call["function"]["arguments"])


def answers(
    engine: str, jinja: str, cases: Sequence[Case], tokens: Mapping[str, str]
) -> list[Answer]:
    """What an engine makes of a template, ``jinja2`` or one of `rolecall.engines.ENGINES`."""
    given = [case.conversation for case in cases]
    if engine == "jinja2":
        return [_transformers(jinja, conversation, tokens) for conversation in given]
    return [
        answer
        for start in range(0, len(given), BATCH)
        for answer in _render(engine, jinja, given[start : start + BATCH], tokens)
    ]


def _transformers(jinja: str, conversation: Mapping[str, Any], tokens: Mapping[str, str]) -> Answer:
    found = reference.render(
        jinja,
        conversation["messages"],
        conversation["tools"],
        tokens=tokens,
        **conversation["options"],
    )
    if isinstance(found, reference.Failed):
        return Answer(None, found.reason if found.by_template else f"{found.type}: {found.reason}")
    return Answer(found.text)


def _render(
    engine: str, jinja: str, given: Sequence[Mapping[str, Any]], tokens: Mapping[str, str]
) -> list[Answer]:
    asked = engines.engine(engine)
    try:
        return asked.render(jinja, given, tokens, reference.NOW)
    except EngineError:
        # llama.cpp's server, started anew for each template, hangs once in some hundred times.
        return asked.render(jinja, given, tokens, reference.NOW)


def reasons(fmt: rc.Format, conversation: Mapping[str, Any]) -> Iterator[str]:
    """Everything that the format has against a conversation, as a template says it.

    The format tells what it cannot write before what it would lose, and of that the first and how
    many there are; a template tells what comes first.
    """
    messages = conversation["messages"]
    # A turn that says nothing is refused before what it would lose.
    filled = [{**message, "content": message["content"] or "."} for message in messages]
    # And so is one that may not be the only one.
    user = {"role": "user", "content": "."}
    parts = [
        {**conversation, "messages": [*given[:end], *behind], "options": {}}
        for given in (messages, filled)
        for behind in ((), (user,))
        for end in range(len(messages), 0, -1)
    ]
    # What is wrong with the tools is so whatever the messages are.
    parts.append({**conversation, "messages": [user], "options": {}})
    for part in (conversation, *parts):
        try:
            rendered(fmt, part)
        except LossError as error:
            yield from (
                f"{_where(one)}: {one.detail}" for one in error.lost if one.level == "error"
            )
        except rc.InputError as error:
            yield str(error)


def _where(lost: Lost) -> str:
    place = "conversation" if lost.message is None else f"message {lost.message}"
    return f"{place}, {lost.field}" if lost.field else place
