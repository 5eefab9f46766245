"""Fuzzing of `stream`: replies as a format writes them, taken apart at random.

`tests/test_fuzz.py` runs a short round of the same target. A long one:

    python -m tests.fuzz --minutes 10

Each case comes from a number; the first is printed, and ``--seed`` with that number repeats the
round. A case that fails is made as small as it gets and printed with what it takes to repeat it.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Protocol

import rolecall as rc
from rolecall.encode import Encoding
from rolecall.header import lets_model_choose
from rolecall.pattern import literals
from tests.support.conversations import Shape, random_conversations
from tests.support.shapes import shape_of
from tests.support.streams import (
    Monotone,
    check_account,
    check_events,
    check_rest,
    ids_behind,
    marker_ids,
    pieces_of,
    plain_ids,
    read,
    reply_of,
    spelled,
)
from tests.support.vocabulary import vocabulary

OUTSIDE = (-1, -(2**70), 10**7, 2**31 - 1, 2**63, 2**64 + 5)
"""Ids of no vocabulary."""

JSON = ('{"', '"}', "{", "}", "[", "]", '"', ",", ": ", "\\", "null", "1e9", '{"a": 1}', "\n", " ")


PLAIN: dict[str, Any] = {"messages": 1, "speakers": None, "prefill": True}
"""The arguments of a stream that are taken where none are given."""


class Choices(Protocol):
    """Where a case gets its decisions."""

    def number(self, low: int, high: int, /) -> int: ...


class Seeded:
    """Decisions that follow from a number."""

    def __init__(self, seed: int) -> None:
        self.number: Callable[[int, int], int] = random.Random(seed).randint


@dataclass(frozen=True)
class Case:
    """A stream to read."""

    format: str
    prompt: Encoding | None
    ids: tuple[int, ...]
    arguments: dict[str, Any]
    cuts: tuple[int, ...]


def pick(choices: Choices, options: Sequence[Any]) -> Any:
    return options[choices.number(0, len(options) - 1)]


@cache
def finished(name: str) -> Shape:
    shape = shape_of(name)
    return replace(shape, last=("assistant", "call") if shape.calls else ("assistant",))


def case(name: str, choices: Choices) -> Case:
    """A case of a format: a rendered reply, most often changed."""
    fmt = rc.format(name)
    prompt, ids = _rendered(fmt, choices)
    for _ in range(pick(choices, (0, 1, 1, 2, 3, 6))):
        ids = _changed(fmt, ids, choices)
    arguments = {
        "messages": pick(choices, (1, 1, 2, None)),
        "speakers": pick(choices, (None, None, ["assistant"], [("writer", "Amy")])),
        "prefill": bool(choices.number(0, 1)),
    }
    cuts = tuple(choices.number(0, 9999) for _ in range(choices.number(0, 6)))
    return Case(name, prompt, tuple(ids), arguments, cuts)


def _rendered(fmt: rc.Format, choices: Choices) -> tuple[Encoding | None, list[int]]:
    """A prompt and what follows it."""
    seed = choices.number(0, 2**32)
    conversation = next(random_conversations(finished(fmt.name), 1, seed))
    messages = conversation["messages"]
    models = {e["role"] for e in conversation["cast"] or () if e["author"] == "model"}
    spoken = [n for n, m in enumerate(messages) if m["role"] in {"assistant", *models}]
    at = pick(choices, spoken)
    message = messages[at]
    way = choices.number(0, 3)
    field = pick(choices, ("content", "reasoning_content"))
    held = (field, choices.number(1, len(message[field]))) if message.get(field) else None
    speaker = rc.ANY if way == 1 and lets_model_choose(fmt) else None
    upto = {**conversation, "messages": messages[: at + 1]}
    reply = reply_of(fmt, upto, speaker=speaker, held=held if way == 0 else None)
    if reply is None:
        return None, plain_ids(message["content"] or "x")
    ids = list(reply.ids)
    # The model goes on with whatever follows.
    if at + 1 < len(messages) and choices.number(0, 1):
        ids += _going_on(fmt, conversation, fmt.render(upto, strict=False).text)
    return reply.prompt, ids


def _going_on(fmt: rc.Format, conversation: dict[str, Any], text: str) -> list[int]:
    try:
        whole = fmt.render(conversation, strict=False)
    except rc.InputError:
        return []
    return ids_behind(whole, len(text)) if whole.text.startswith(text) else []


@cache
def _words(name: str) -> tuple[str, ...]:
    """The format's own plain text."""
    fmt = rc.format(name)
    found: set[str] = set()
    for spec in fmt.specs:
        for pattern in (spec.open, spec.body, spec.end, *spec.after.values()):
            found.update(literals(pattern, control=False))
    for rule in (fmt.calls, fmt.tools):
        for pattern in () if rule is None else (rule.begin, rule.each, rule.finish):
            found.update(literals(pattern, control=False))
    return tuple(sorted(found)) or ("x",)


def _changed(fmt: rc.Format, ids: list[int], choices: Choices) -> list[int]:
    at = choices.number(0, len(ids))
    end = min(len(ids), at + pick(choices, (1, 1, 2, 5, 20)))
    span = ids[at:end]
    way = choices.number(0, 13)
    if way == 0:
        return ids[:at] + ids[end:]
    if way == 1:
        return ids[:end] + span + ids[end:]
    if way == 2:
        return ids[:at] + ids[end:] + span
    if way == 3:
        return ids[:at]
    if way == 4:
        return ids[:at] + span[::-1] + ids[end:]
    if way == 5:
        # A token apart into bytes, of which some get lost.
        data = b"".join(vocabulary().token_bytes(i) or b"" for i in span)
        single = [_byte_id(byte) for byte in data]
        if single and choices.number(0, 1):
            del single[choices.number(0, len(single) - 1)]
        return ids[:at] + single + ids[end:]
    new: list[int]
    if way in (6, 7):
        new = [vocabulary().control[pick(choices, fmt.control)]] if fmt.control else []
    elif way == 8:
        new = [pick(choices, list(vocabulary().control.values()))]
    elif way == 9:
        new = [pick(choices, OUTSIDE)]
    elif way == 10:
        new = [_byte_id(choices.number(128, 255))]
    elif way == 11:
        new = plain_ids(pick(choices, JSON))
    elif way == 12:
        new = plain_ids(pick(choices, _words(fmt.name)))
    else:
        new = list(marker_ids(choices.number(0, 99)))
    return ids[:at] + new + ids[at:]


@cache
def _bytes() -> dict[bytes, int]:
    found: dict[bytes, int] = {}
    for token in range(256):
        data = vocabulary().token_bytes(token)
        if data is not None and len(data) == 1:
            found[data] = token
    return found


def _byte_id(byte: int) -> int:
    return _bytes()[bytes([byte])]


def check(made: Case) -> None:
    """What must hold of every stream."""
    fmt, ids = rc.format(made.format), list(made.ids)
    whole = read(fmt, [ids], made.prompt, **made.arguments)
    check_account(fmt, ids, whole)
    single = read(fmt, ids_one_by_one(ids), made.prompt, watch=Monotone(), **made.arguments)
    assert single == whole, "id by id"
    cut = read(fmt, pieces_of(ids, made.cuts), made.prompt, **made.arguments)
    assert cut == whole, "in pieces"
    check_events(whole, held=prefilled(made, fmt))
    text = spelled(ids)
    from_text = read(fmt, [text], made.prompt, **made.arguments)
    data = text.encode()
    assert read(fmt, list(text) or [text], made.prompt, **made.arguments) == from_text, (
        "by character"
    )
    check_rest(text, from_text)
    check_events(from_text, held=prefilled(made, fmt))
    by_byte = read(fmt, pieces_of(data, range(len(data) + 1)), made.prompt, **made.arguments)
    assert by_byte == from_text, "byte by byte"


def ids_one_by_one(ids: Sequence[int]) -> list[list[int]]:
    return [[token] for token in ids]


def prefilled(made: Case, fmt: rc.Format) -> tuple[str, str]:
    """What of the prompt the message holds."""
    if not made.arguments["prefill"] or made.prompt is None:
        return "", ""
    stream = fmt.stream(vocabulary(), made.prompt, prefill=True)
    stream.finish()
    message = stream.message
    return ("", "") if message is None else (message.text, message.reasoning_content or "")


# By command ---------------------------------------------------------------------------------------


def fails(made: Case) -> BaseException | None:
    """What goes wrong with a case, or None."""
    try:
        check(made)
    except Exception as error:
        return error
    return None


def smaller(made: Case, error: BaseException) -> Case:
    """The case with as few ids as still fail in the same way."""

    def alike(other: Case) -> bool:
        found = fails(other)
        return found is not None and _site(found) == _site(error)

    step = max(1, len(made.ids) // 2)
    while step:
        at = 0
        while at < len(made.ids):
            tried = replace(made, ids=made.ids[:at] + made.ids[at + step :])
            if alike(tried):
                made = tried
            else:
                at += step
        step //= 2
    return made


def _site(error: BaseException) -> tuple[type, Any]:
    frames = traceback.extract_tb(error.__traceback__)
    return type(error), (frames[-1].filename, frames[-1].lineno)


def show(made: Case, seed: int, error: BaseException) -> None:
    print(f"\n{made.format}, seed {seed}")
    if made.prompt is not None:
        print(f"  prompt ends {made.prompt.rendering.text[-80:]!r}")
    print(f"  ids {list(made.ids)}")
    print(f"  which spell {spelled(made.ids)!r}")
    print(f"  arguments {made.arguments}, cuts {made.cuts}")
    traceback.print_exception(error)
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=None, help="number of the first case")
    parser.add_argument("--cases", type=int, default=None, help="stop after so many")
    parser.add_argument("--format", default=None, help="one format instead of all of them")
    parser.add_argument("--failures", type=int, default=1, help="stop after so many that differ")
    given = parser.parse_args()
    first: int = random.SystemRandom().randrange(10**9) if given.seed is None else given.seed
    names = rc.formats() if given.format is None else [given.format]
    print(f"--seed {first} repeats this round", flush=True)
    until = time.monotonic() + 60 * given.minutes
    seen: set[Any] = set()
    count = 0
    while time.monotonic() < until and count != given.cases:
        seed = first + count
        made = case(names[seed % len(names)], Seeded(seed))
        count += 1
        error = fails(made)
        if error is None or _site(error) in seen:
            continue
        seen.add(_site(error))
        made = smaller(made, error)
        show(made, seed, fails(made) or error)
        if len(seen) >= given.failures:
            break
    print(f"{count} cases, {len(seen)} failures")
    return 1 if seen else 0


if __name__ == "__main__":
    sys.exit(main())
