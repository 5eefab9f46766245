"""One literal changed in a format's file changes what is written, read and stopped at, together.

Every bundled format is copied, and each literal of its patterns is changed in a copy of its own: a
control token is renamed, plain words get a character more. No list of literals is kept here: they
are found in the file.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest

import rolecall as rc
from rolecall.conversation import Conversation
from rolecall.format import Format
from rolecall.pattern import DOCUMENT_TOKENS, literals, slots
from rolecall.turn import TurnSpec
from tests.support.conversations import random_conversations
from tests.support.shapes import shape_of
from tests.support.vocabulary import vocabulary

MARK = "\u00a4"
"""The character that a plain literal gets more; no format and no conversation here has it."""

TOKEN = "<|planted|>"
"""What a control token is renamed to."""

TURN_KEYS = {"open", "body", "end", "gap", "final_end", "call_end", "group"}
OPENING = re.compile(r"\{!?[a-z][a-z0-9_]*(?:\|[a-z-]+)?[}?]")
"""What opens a slot or a group in a pattern."""

Data = dict[str, Any]
Where = tuple[str, ...]


class Plant(NamedTuple):
    """One change of one literal."""

    literal: str
    where: Where
    """The key in the file that holds it; empty for a control token, which may stand in many."""
    at: int = 0
    """Where in the value of the key it begins."""


@cache
def data_of(name: str) -> Data:
    return tomllib.loads(rc.format(name).path.read_text(encoding="utf-8"))


def patterns(data: Data) -> Iterator[tuple[Where, str]]:
    """The patterns of a file, each with its key."""
    for key in ("begin", "finish"):
        if key in data:
            yield (key,), data[key]
    for table in ("calls", "tools"):
        for key in ("begin", "each", "join", "finish", "frame"):
            if key in data.get(table, {}):
                yield (table, key), data[table][key]
    for table in ("turn", "role"):
        for where, value in leaves(data.get(table, {}), (table,)):
            if where[-1] in TURN_KEYS:
                yield where, value
    yield from leaves(data.get("labels", {}), ("labels",))


def leaves(table: Data, where: Where) -> Iterator[tuple[Where, str]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from leaves(cast("Data", value), (*where, key))
        elif isinstance(value, str):
            yield (*where, key), value


def plants(name: str) -> Iterator[Plant]:
    """Every literal of a format's patterns."""
    fmt = rc.format(name)
    for token in fmt.control:
        yield Plant(token, ())
    control = "|".join(map(re.escape, sorted(fmt.control, key=len, reverse=True)))
    other = re.compile(OPENING.pattern + (f"|{control}" if control else "") + "|[{}]")
    for where, source in patterns(data_of(name)):
        at = 0
        for match in (*other.finditer(source), None):
            end = len(source) if match is None else match.start()
            if end > at:
                yield Plant(source[at:end], where, at)
            at = end if match is None else match.end()


def changed(name: str, plant: Plant, folder: Path) -> Format:
    """The format with one literal changed, loaded from a file of the same name."""
    data = json.loads(json.dumps(data_of(name)))
    if plant.where:
        table = data
        for key in plant.where[:-1]:
            table = table[key]
        source = table[plant.where[-1]]
        middle = plant.at + max(1, len(plant.literal) // 2)
        table[plant.where[-1]] = source[:middle] + MARK + source[middle:]
    else:
        data = renamed(data, plant.literal, rc.format(name).control)
    path = folder / f"{name}.toml"
    path.write_text(toml(data), encoding="utf-8")
    return rc.format(path)


def renamed(value: Any, token: str, control: tuple[str, ...]) -> Any:
    """The data of a file with a control token renamed wherever it stands."""
    if isinstance(value, dict):
        items = cast("Data", value).items()
        return {key: renamed(item, token, control) for key, item in items}
    if isinstance(value, list):
        return [renamed(item, token, control) for item in cast("list[Any]", value)]
    if not isinstance(value, str):
        return value
    every = "|".join(map(re.escape, sorted(control, key=len, reverse=True)))
    return re.sub(every, lambda match: TOKEN if match[0] == token else match[0], value)


def toml(data: Data) -> str:
    """The TOML of a file's data, its tables inline."""
    return "".join(f"{json.dumps(key)} = {inline(value)}\n" for key, value in data.items())


def inline(value: Any) -> str:
    if isinstance(value, dict):
        items = cast("Data", value).items()
        return "{" + ", ".join(f"{json.dumps(key)} = {inline(item)}" for key, item in items) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(inline, cast("list[Any]", value))) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


TOOL: Data = {
    "type": "function",
    "function": {"name": "clock", "description": "d", "parameters": {"type": "object"}},
}


def calling(content: str | None, number: int, count: int = 1) -> Data:
    calls = [
        {
            "id": f"abcdefgh{number + index}",
            "type": "function",
            "function": {"name": "clock", "arguments": '{"zone": "UTC"}'},
        }
        for index in range(count)
    ]
    return {"role": "assistant", "content": content, "tool_calls": calls}


def result(number: int) -> Data:
    call_id = f"abcdefgh{number}"
    return {"role": "tool", "name": "clock", "tool_call_id": call_id, "content": "noon"}


USER: Data = {"role": "user", "content": "What time?"}
REPLY: Data = {"role": "assistant", "content": "Noon."}
SYSTEM: Data = {"role": "system", "content": "Be brief."}
THOUGHT: Data = {**REPLY, "reasoning_content": "Let me see"}


@cache
def conversations(name: str) -> list[Data]:
    """Conversations that between them have every literal of a format written."""
    fmt = rc.format(name)
    plain = [
        [USER],
        [SYSTEM],
        [USER, REPLY],
        [SYSTEM, USER, REPLY, USER, REPLY, USER],
        [{**SYSTEM, "name": "Eve"}, {**USER, "name": "Ann"}, {**REPLY, "name": "Bob"}],
        [USER, THOUGHT],
        [USER, REPLY, REPLY],
        [SYSTEM, SYSTEM, USER, USER, REPLY],
        [USER, SYSTEM, USER, REPLY, SYSTEM, USER],
        [USER, {**THOUGHT, "name": "Bob"}],
        [USER, {**REPLY, "content": ""}],
    ]
    calls = [
        [SYSTEM, USER, calling(None, 0), result(0), REPLY, USER],
        [USER, calling("One moment.", 0), result(0), REPLY],
        [USER, calling(None, 0, 2), result(0), result(1), REPLY],
        [USER, calling(None, 0, 2), result(0), result(1)],
        [USER, calling(None, 0, 2)],
        [USER, calling(None, 0), result(0), SYSTEM, USER],
        [USER, calling(None, 0), {"role": "tool", "name": "clock", "content": "noon"}],
        [USER, calling(None, 0), {"role": "tool", "content": "noon"}],
        [USER, {**calling("Now.", 0), "reasoning_content": "R"}, result(0), THOUGHT],
        [USER, {**calling(None, 0), "reasoning_content": "R"}, result(0), THOUGHT],
    ]
    made: list[Data] = [{"messages": messages} for messages in plain]
    made += [{"messages": messages, "tools": [TOOL]} for messages in (*plain, *calls)]
    samples: dict[str, Data] = {"owner": SYSTEM, "client": USER, "model": REPLY, "tool": result(0)}
    every = {key: "final" if key == "channel" else "x" for key in fmt.attributes}
    for author, spec in fmt.turns.items():
        history = [USER, calling(None, 0)] if author == "tool" else [USER]
        for key in fmt.attributes:
            attributes = {key: "final" if key == "channel" else "x"}
            for message in (samples[author], {**samples[author], "reasoning_content": "R"}):
                if spec.author == "model" or message is samples[author]:
                    said = {**message, "attributes": attributes}
                    made.append({"messages": [*history, said], "tools": [TOOL]})
        said = {**samples[author], "attributes": every}
        made.append({"messages": [*history, said], "tools": [TOOL]})
    for role, author in fmt.declared.items():
        message: Data = {"role": role, "content": "Said.", "attributes": every}
        made.append({"messages": [USER, message] if author == "model" else [message, USER]})
        made.append({"messages": [USER, {**message, "name": "Ann"}]})
    made += random_conversations(shape_of(name), 40)
    texts = [
        option
        for option, given in fmt.options.items()
        if isinstance(given.default, str) and not given.choices
    ]
    for values in product(("", "filled"), repeat=len(texts)):
        made.append({"messages": [USER], "options": dict(zip(texts, values, strict=True))})
    flags = [option for option, given in fmt.options.items() if isinstance(given.default, bool)]
    made += [
        {**conversation, "options": {flag: not fmt.options[flag].default}}
        for flag in flags
        for conversation in made[:30]
    ]
    return [conversation for conversation in made if text(fmt, conversation) is not None]


def text(fmt: Format, conversation: Data) -> str | None:
    """What a format writes of a conversation, or None where it refuses it."""
    try:
        return fmt.render(conversation, strict=False).text
    except rc.InputError:
        return None


def witnesses(name: str, fmt: Format) -> Iterator[Data]:
    """Conversations that the changed format writes otherwise."""
    for conversation in conversations(name):
        if text(fmt, conversation) not in (None, text(rc.format(name), conversation)):
            yield conversation


def ambiguous(fmt: Format, conversation: Data) -> bool:
    """Whether a record says that another conversation has the same ids."""
    codes = {record.code for record in fmt.render(conversation, strict=False).lost}
    return bool(codes & {"ambiguous", "reads-as-turn", "reads-as-call"})


def read(fmt: Format, conversation: Data, ids: list[int]) -> Conversation:
    """What a format reads ids as, told what the options and the cast of a conversation are."""
    canonical = fmt.canonical(conversation)
    return fmt.parse(ids, vocabulary(TOKEN), cast=canonical.cast, strict=False, **canonical.options)


def come_back(fmt: Format, conversation: Data) -> bool:
    """Whether a format reads what it writes as the canonical form of it."""
    found, canonical = (
        read(fmt, conversation, encoded(fmt, conversation)),
        fmt.canonical(conversation),
    )
    unread = [record for record in found.unread if record.level != "note"]
    return (found.messages, found.cast, found.options, unread) == (
        canonical.messages,
        canonical.cast,
        canonical.options,
        [],
    )


def stops_a_turn(spec: TurnSpec, fmt: Format) -> bool:
    """Whether the changed words of a plain literal stop the model where they stand."""
    ends = [spec.end if spec.final_end is None else spec.final_end, spec.call_end or ()]
    headers = [other.header("model") for other in fmt.specs if other.author in ("client", "tool")]
    return any(
        MARK in "".join(literals(pattern, control=False))
        and not literals(pattern, control=True)
        and not slots(pattern) & set(DOCUMENT_TOKENS)
        for pattern in (*ends, *headers)
    )


def cases(name: str, folder: Path) -> Iterator[tuple[Plant, Format]]:
    """Every literal with the format in which it is changed."""
    for plant in plants(name):
        try:
            yield plant, changed(name, plant, folder)
        except rc.InputError as error:
            # The one literal that a file has twice: a prompt is how its body begins.
            if plant.where[-1] != "body" or "`prompt` is not how `body` begins" not in str(error):
                raise


@pytest.mark.parametrize("name", rc.formats())
def test_a_changed_literal_changes_what_is_written(name: str, tmp_path: Path) -> None:
    count = 0
    for plant, fmt in cases(name, tmp_path):
        assert next(witnesses(name, fmt), None) is not None, f"{plant} is never written"
        count += 1
    assert count


@pytest.mark.parametrize("name", rc.formats())
def test_a_changed_literal_changes_what_stops_the_model(name: str, tmp_path: Path) -> None:
    fmt = rc.format(name)
    messages = [USER]
    before = fmt.render(messages, add_generation_prompt=True, strict=False).stop
    assert before
    reached = 0
    for plant, other in cases(name, tmp_path):
        stop = other.render(messages, add_generation_prompt=True, strict=False).stop
        if not plant.where:
            assert stop == tuple(TOKEN if item == plant.literal else item for item in before)
            reached += plant.literal in before
        elif stops_a_turn(other.turns["model"], other):
            assert stop != before
            assert any(MARK in item for item in stop), plant
        else:
            assert stop == before, plant
    assert reached, "no literal of the file is a token that stops the model"


@pytest.mark.parametrize("name", rc.formats())
def test_a_changed_literal_changes_what_is_read(name: str, tmp_path: Path) -> None:
    fmt = rc.format(name)
    for plant, other in cases(name, tmp_path):
        # Where a format cannot tell two conversations apart, its copy need not either.
        found = (
            one
            for one in witnesses(name, other)
            if not ambiguous(other, one) and come_back(fmt, one)
        )
        conversation = next(found, None)
        if conversation is None:
            conversation = next(witnesses(name, other))
            again = read(other, conversation, encoded(other, conversation))
            assert text(other, again.to_wire()) == text(other, conversation), plant
            continue
        assert come_back(other, conversation), plant
        before = read(fmt, conversation, encoded(fmt, conversation))
        after = read(fmt, conversation, encoded(other, conversation))
        assert before != after or told(before) != told(after), f"{plant} is read as it was before"


def told(found: Conversation) -> list[tuple[str, str]]:
    """What is said of what could not be read."""
    return [(record.code, record.text) for record in found.unread]


def encoded(fmt: Format, conversation: Data) -> list[int]:
    """The ids of a conversation."""
    return fmt.render(conversation, strict=False).encode(vocabulary(TOKEN)).ids.tolist()
