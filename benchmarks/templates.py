"""Published templates: traced and learnt, against plain jinja2 rendering of them.

Both sides render the same conversations, fresh ones in every round, by turns in one process; what
counts is the time of the processor. The plain side is the compiled template in the sandbox that
transformers sets up. A template is left out under a shape that it refuses or loses messages of.

`rows` measures the templates of usual models; `python -m benchmarks.templates --all` every one that
the tests know.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import rolecall as rc
from benchmarks.row import Row
from benchmarks.texts import Texts
from rolecall.errors import RolecallError
from rolecall.template.template import Template
from tests.support.templates import TEMPLATES, published

USUAL = (
    "Qwen3-8B",
    "Qwen2.5-7B-Instruct",
    "Llama-3.1-8B-Instruct",
    "Llama-3.2-3B-Instruct",
    "Mistral-Nemo-Instruct-2407",
    "gemma-3-4b-it",
    "DeepSeek-V3",
    "DeepSeek-V3.1",
    "GLM-4.5",
    "gpt-oss-120b",
    "ChatML",
)
"""Models whose templates are held against the limit."""

LEARNT = ("Qwen3-8B", "Llama-3.1-8B-Instruct", "Mistral-Nemo-Instruct-2407", "gemma-3-4b-it")
"""Models whose templates are learnt: it takes seconds each."""

SHAPES = {"short": (30, 24), "long": (60, 3), "agent": (40, 8)}
"""Of each shape: the average words of a message, and conversations in a round."""

LIMITS = {"traced": 10.0, "learnt": 1.0}

Conversation = dict[str, Any]
Render = Callable[[Conversation], object]


def rows(rounds: int) -> list[Row]:
    """The templates of usual models, traced and learnt."""
    found = [row for name in USUAL for row in traced(name, rounds)]
    return found + [row for name in LEARNT for row in learnt(name, rounds)]


def traced(name: str, rounds: int) -> Iterator[Row]:
    """A template's own rendering with the origin of every character, by shape.

    `Template.render` finds the origins and what is lost; what it takes to read the segments too is
    among the facts.
    """
    template, plain = _template(name), _plain(name)

    def render(given: Conversation) -> object:
        return template.render(given["messages"], given.get("tools"))

    def segments(given: Conversation) -> object:
        return template.render(given["messages"], given.get("tools")).segments

    for shape in SHAPES:
        kept = _accepted(shape, render)
        if kept is None:
            continue
        times = _measure(shape, kept, rounds, (render, plain, segments))
        yield _row("traced", f"template.render, {name}", shape, times[:2], times[2])


def learnt(name: str, rounds: int) -> Iterator[Row]:
    """The text of the format that was learnt of a template, by shape."""
    plain = _plain(name)
    learned = rc.learn(_template(name)).format

    def render(given: Conversation) -> object:
        return learned.render(given["messages"], given.get("tools")).text

    for shape in SHAPES:
        kept = _accepted(shape, render)
        if kept is not None:
            times = _measure(shape, kept, rounds, (render, plain))
            yield _row("learnt", f"learn(template).render, {name}", shape, times)


def _row(
    what: str,
    contender: str,
    shape: str,
    times: Sequence[list[float]],
    segments: list[float] | None = None,
) -> Row:
    """What was measured; the ratio is the median over the rounds, each with its own texts."""
    ours, plain = times
    ratios = sorted(own / other for own, other in zip(ours, plain, strict=True))
    facts: dict[str, Any] = {
        "plain": statistics.median(plain),
        "least": ratios[0],
        "most": ratios[-1],
    }
    if segments is not None:
        pairs = zip(segments, plain, strict=True)
        facts["with_segments"] = statistics.median(own / other for own, other in pairs)
    return Row(
        what=what,
        contender=contender,
        median=statistics.median(ours),
        rounds=len(ours),
        shape=shape,
        words=SHAPES[shape][0],
        ratio=statistics.median(ratios),
        facts=facts,
    )


def _template(name: str) -> Template:
    found = published(name)
    return Template.from_text(found.text, tokens=found.tokens, name=found.name)


def _plain(name: str) -> Render:
    """Jinja2 in the environment that transformers sets up, compiled once."""
    from transformers.utils import chat_template_utils

    found = published(name)
    compiled = cast("Any", chat_template_utils)._compile_jinja_template(found.text)
    tokens = dict(found.tokens)

    def render(given: Conversation) -> object:
        return compiled.render(
            messages=given["messages"],
            tools=given.get("tools"),
            documents=None,
            add_generation_prompt=False,
            **tokens,
        )

    return render


def _accepted(shape: str, render: Render) -> Callable[[Conversation], Conversation] | None:
    """What is to be done to conversations of a shape so that nothing of them is refused or lost.

    None where it is more than a template may ask for: arguments as objects, a content beside
    calls, one call a message, no system prompt.
    """
    texts = Texts(seed=7)
    tried = [texts.conversation(shape, words=8) for _ in range(6)]
    for steps in ((), _STEPS[:1], _STEPS[:2], _STEPS[2:], _STEPS):

        def change(given: Conversation, steps: Sequence[Change] = steps) -> Conversation:
            messages = given["messages"]
            for step in steps:
                messages = step(messages)
            return {**given, "messages": messages}

        try:
            for given in tried:
                render(change(given))
        except RolecallError:
            continue
        return change
    return None


Change = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]


def _with_objects(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Arguments of calls as objects, and a content beside every call."""
    made: list[dict[str, Any]] = []
    for message in messages:
        changed = {**message, "content": message["content"] or ""}
        if "tool_calls" in message:
            changed["tool_calls"] = [
                {**call, "function": {**function, "arguments": _object(function["arguments"])}}
                for call in message["tool_calls"]
                for function in (call["function"],)
            ]
        made.append(changed)
    return made


def _object(arguments: object) -> object:
    return json.loads(arguments) if isinstance(arguments, str) else arguments


def _with_one_call(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first call of each message, and its result."""
    made: list[dict[str, Any]] = []
    for message in messages:
        if message["role"] == "tool" and made and made[-1]["role"] == "tool":
            continue
        calls = message.get("tool_calls")
        made.append({**message, "tool_calls": calls[:1]} if calls else message)
    return made


def _without_system(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [message for message in messages if message["role"] != "system"]


_STEPS: tuple[Change, ...] = (_with_objects, _with_one_call, _without_system)


def _measure(
    shape: str,
    change: Callable[[Conversation], Conversation],
    rounds: int,
    contenders: Sequence[Render],
) -> list[list[float]]:
    """Seconds a conversation of each contender, by round; the first round is left out."""
    words, count = SHAPES[shape]
    texts = Texts(seed=61_000 + words)
    times: list[list[float]] = [[] for _ in contenders]
    for number in range(rounds + 1):
        batch = [change(texts.conversation(shape, words=words)) for _ in range(count)]
        gc.collect()
        # What this process holds besides is not to be looked through for each of them.
        gc.freeze()
        for turn in range(len(contenders)):
            at = (turn + number) % len(contenders)
            render = contenders[at]
            begin = time.process_time()
            for given in batch:
                render(given)
            taken = time.process_time() - begin
            if number:
                times[at].append(taken / count)
        gc.unfreeze()
    return times


def show(found: Sequence[Row]) -> None:
    """Print rows, the worst last, and the median of each shape."""
    print(f"{'what':8} {'shape':6} {'ratio':>6} {'segments':>8} {'ours µs':>8} {'plain µs':>8}")
    for row in sorted(found, key=lambda row: (row.what, row.shape, row.ratio)):
        plain, segments = row.facts["plain"], row.facts.get("with_segments")
        print(
            f"{row.what:8} {row.shape:6} {row.ratio:6.2f} "
            f"{'' if segments is None else format(segments, '.2f'):>8} "
            f"{1e6 * row.median:8.0f} {1e6 * plain:8.0f}  {row.contender}"
        )
    for what, limit in LIMITS.items():
        for shape in SHAPES:
            ratios = [cast("float", r.ratio) for r in found if (r.what, r.shape) == (what, shape)]
            if ratios:
                over = sum(ratio > limit for ratio in ratios)
                print(
                    f"{what}, {shape}: {len(ratios)} templates, median "
                    f"{statistics.median(ratios):.2f}, worst {max(ratios):.2f}, {over} above "
                    f"{limit:g}"
                )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.templates", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count (default 5)")
    parser.add_argument("--all", action="store_true", help="every template of the tests, traced")
    asked = parser.parse_args()
    if asked.all:
        show([row for name in TEMPLATES for row in traced(name, asked.rounds)])
    else:
        show(rows(asked.rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
