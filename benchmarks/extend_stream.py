"""What one more turn, and one more token, cost behind a long history: `extend` and `stream`.

Both must cost what is new and nothing for what stands before it. Each is timed behind a short and
behind a long history by turns in one process, with fresh texts every time; what counts is the time
of the processor. `rows` measures `MODELS`; `python -m benchmarks.extend_stream` every bundled
format, with every tokenizer that has its control tokens.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

import rolecall as rc
from benchmarks.row import Row
from benchmarks.texts import Texts
from rolecall.encode import Encoding
from rolecall.format import Format
from rolecall.tokenizers import RunStart, Tokenizer
from rolecall.tokenizers import tokenizer as load
from tests.support.assets import tokenizer_file
from tests.support.vocabulary import vocabulary

MODELS = (
    ("qwen3", "qwen3"),
    ("llama-3.2", "llama-3.2"),
    ("mistral-v3-tekken", "mistral-tekken-240718"),
    ("gemma-3", "gemma-3"),
    ("chatml", "qwen3"),
)
"""The formats of real tokenizers, and one that can be extended by any turn."""

REAL = ("qwen3", "llama-3.1", "mistral-tekken-240718", "gemma-3")
"""Tokenizers of models, by their names in `tests.support.assets`."""

TEST_VOCABULARY = "test vocabulary"

SHORT_TURNS, LONG_TURNS = 2, 128
SHORT_REPLY, LONG_REPLY = 200, 20_000
LIMITS = {"extend": 1.3, "stream": 1.2}

WINDOW = 200
"""Tokens at the end of a reply that are timed."""
PIECE = 20
"""Tokens that are timed at once: what interrupts the process then spoils one piece."""

USER: dict[str, Any] = {"role": "user", "content": "Write on."}

Messages = list[dict[str, Any]]


class Shape:
    """Fresh conversations of one kind, which go on turn by turn."""

    def __init__(self, texts: Texts, *, thinks: bool) -> None:
        self.texts = texts
        self.thinks = thinks
        """Whether the format carries what a model thought."""

    def history(self, turns: int) -> Messages:
        """What stands before a reply, so many messages or one fewer; the model speaks next."""
        raise NotImplementedError

    def reply(self) -> dict[str, Any]:
        """What the model says then."""
        raise NotImplementedError

    def more(self) -> Messages:
        """What is added behind that."""
        raise NotImplementedError


class Chat(Shape):
    """User and assistant by turns."""

    def history(self, turns: int) -> Messages:
        """Both by turns, the user at both ends."""
        return [
            {"role": "assistant" if number % 2 else "user", "content": self.texts.text(30)}
            for number in range(turns - 1 + turns % 2)
        ]

    def reply(self) -> dict[str, Any]:
        """An answer."""
        return {"role": "assistant", "content": self.texts.text(25)}

    def more(self) -> Messages:
        """What the user says next."""
        return [{"role": "user", "content": self.texts.text(30)}]


class Trace(Shape):
    """A task, then calls and their results by turns."""

    def history(self, turns: int) -> Messages:
        """The task, and calls with their results."""
        messages: Messages = [{"role": "user", "content": self.texts.text(30)}]
        for _ in range((turns - 1) // 2):
            messages += [self.reply(), *self.more()]
        return messages

    def reply(self) -> dict[str, Any]:
        """One call of a tool, with a thought where the format carries it."""
        arguments = {"query": self.texts.text(12), "limit": 3}
        thought = {"reasoning_content": self.texts.text(15)} if self.thinks else {}
        return {"role": "assistant", "content": None, **thought, "tool_calls": [call(arguments)]}

    def more(self) -> Messages:
        """Its result."""
        content = json.dumps({"found": self.texts.text(25)})
        return [{"role": "tool", "name": "run", "tool_call_id": "abcdefgh1", "content": content}]


def call(arguments: dict[str, Any]) -> dict[str, Any]:
    """A tool call in wire form."""
    function = {"name": "run", "arguments": json.dumps(arguments)}
    return {"id": "abcdefgh1", "type": "function", "function": function}


def thinks(fmt: Format) -> bool:
    """Whether a format carries reasoning."""
    thought = {"role": "assistant", "content": "Yes.", "reasoning_content": "Is it so?"}
    lost = fmt.render([USER, thought], strict=False).lost
    return all(record.code != "reasoning-dropped" for record in lost)


def every_pair(formats: Sequence[str] = ()) -> Iterator[tuple[str, str]]:
    """Formats, or all there are, with each tokenizer that has their control tokens."""
    for source in (*REAL, TEST_VOCABULARY):
        tokenizer = tokenizer_of(source)
        for name in formats or rc.formats():
            if all(tokenizer.control_id(token) is not None for token in rc.format(name).control):
                yield name, source


def tokenizer_of(source: str) -> Tokenizer:
    """A tokenizer by name."""
    return vocabulary() if source == TEST_VOCABULARY else load(tokenizer_file(source))


# Extending ----------------------------------------------------------------------------------------


def extension(
    turns: int, *, fmt: Format, tokenizer: Tokenizer, shape: Shape
) -> Callable[[], float]:
    """What times one `extend` by a reply and what follows it, behind so many turns."""
    history, reply, more = shape.history(turns), shape.reply(), shape.more()
    prompt = fmt.render(history, add_generation_prompt=True, strict=False).encode(tokenizer)
    whole = fmt.render([*history, reply], strict=False).encode(tokenizer)
    last = int(np.flatnonzero(whole.sampled)[-1])
    sampled = whole.ids[len(prompt) : last + 1].tolist()

    def seconds() -> float:
        begin = time.process_time()
        found = fmt.extend(prompt, more, sampled, add_generation_prompt=True, strict=False)
        taken = time.process_time() - begin
        assert len(found) > len(prompt)
        return taken

    return seconds


def extend_rows(
    rounds: int, pairs: Sequence[tuple[str, str]] = MODELS, *, seed: int | None = None
) -> Iterator[Row]:
    """The time of one `extend` at 128 turns against at 2.

    A format that would have to rewrite what stands before the new turn raises
    `rolecall.HistoryChanged` and has no row for that shape.

    Args:
        rounds: How often each is timed.
        pairs: Formats with tokenizers.
        seed: Of the texts; without it the time of day.
    """
    texts = Texts(time.time_ns() if seed is None else seed)
    for name, source in pairs:
        fmt, tokenizer = rc.format(name), tokenizer_of(source)
        shapes: dict[str, Shape] = {"chat": Chat(texts, thinks=False)}
        if fmt.calls is not None:
            shapes["trace"] = Trace(texts, thinks=thinks(fmt))
        for kind, shape in shapes.items():
            made = partial(extension, fmt=fmt, tokenizer=tokenizer, shape=shape)
            try:
                times = by_turns(made, SHORT_TURNS, LONG_TURNS, rounds)
            except rc.HistoryChanged:
                continue
            yield row("extend", "fmt.extend, by one turn", name, source, kind, times, rounds)


def by_turns(
    made: Callable[[int], Callable[[], float]], short: int, long: int, rounds: int
) -> tuple[float, float]:
    """The medians of two measurements made by turns; the first of each is not counted.

    All is made before anything is timed: what making a long history leaves in the processor's
    caches is not of the measurement.
    """
    cases = [(made(short), made(long)) for _ in range(rounds + 1)]
    taken: tuple[list[float], list[float]] = ([], [])
    for number, case in enumerate(cases):
        for which in (0, 1) if number % 2 else (1, 0):
            taken[which].append(case[which]())
    return statistics.median(taken[0][1:]), statistics.median(taken[1][1:])


# Streaming ----------------------------------------------------------------------------------------


def long_replies(fmt: Format, texts: Texts) -> dict[str, Callable[[int], dict[str, Any]]]:
    """Kinds of replies that a format can write, each made with about so many tokens."""

    def content(tokens: int) -> dict[str, Any]:
        return {"role": "assistant", "content": long_text(texts, tokens)}

    def reasoning(tokens: int) -> dict[str, Any]:
        return {**content(20), "reasoning_content": long_text(texts, tokens)}

    def arguments(tokens: int) -> dict[str, Any]:
        lines = long_text(texts, tokens).splitlines()
        return {"role": "assistant", "content": None, "tool_calls": [call({"lines": lines})]}

    found = {"content": content}
    if thinks(fmt):
        found["reasoning"] = reasoning
    if fmt.calls is not None:
        found["call"] = arguments
    return found


def long_text(texts: Texts, tokens: int) -> str:
    """A text of more than so many tokens, in lines."""
    return "\n".join(texts.text(20) for _ in range(tokens // 20 + 1))


def reply_ids(
    fmt: Format, tokenizer: Tokenizer, prompt: Encoding, message: dict[str, Any], count: int
) -> list[int]:
    """The first so many ids of a long reply."""
    whole = fmt.render([USER, message], strict=False)
    behind = len(prompt.rendering.text)
    found: list[int] = []
    for segment in whole.segments:
        text, behind = segment.text[behind:], max(0, behind - len(segment.text))
        if not text:
            continue
        if segment.control:
            found.append(tokenizer.control_id(text) or 0)
        else:
            run = [(text, RunStart.CONTINUED)]
            found += tokenizer.encode_runs(run, frozenset(fmt.control))[0][0]
    assert len(found) >= count, (fmt.name, len(found))
    return found[:count]


def reading(
    count: int, *, fmt: Format, tokenizer: Tokenizer, reply: Callable[[int], dict[str, Any]]
) -> Callable[[], float]:
    """What times one token at the end of a reply of so many, fed one by one.

    It is the median over the pieces of the last tokens.
    """
    prompt = fmt.render([USER], add_generation_prompt=True, strict=False).encode(tokenizer)
    ids = reply_ids(fmt, tokenizer, prompt, reply(count), count)
    # The first token opens the slot; it is not like the others.
    first = max(1, len(ids) - WINDOW)

    def seconds() -> float:
        stream = fmt.stream(tokenizer, prompt)
        for number in ids[:first]:
            stream.feed([number])
        taken: list[float] = []
        for at in range(first, len(ids) - PIECE + 1, PIECE):
            piece = ids[at : at + PIECE]
            begin = time.process_time()
            for number in piece:
                stream.feed([number])
            taken.append((time.process_time() - begin) / PIECE)
        return statistics.median(taken)

    return seconds


def stream_rows(
    rounds: int, pairs: Sequence[tuple[str, str]] = MODELS, *, seed: int | None = None
) -> Iterator[Row]:
    """The time of one token at 20,000 tokens of a reply against at 200.

    Args:
        rounds: How often each is timed.
        pairs: Formats with tokenizers.
        seed: Of the texts; without it the time of day.
    """
    texts = Texts(time.time_ns() if seed is None else seed)
    for name, source in pairs:
        fmt, tokenizer = rc.format(name), tokenizer_of(source)
        for kind, reply in long_replies(fmt, texts).items():
            made = partial(reading, fmt=fmt, tokenizer=tokenizer, reply=reply)
            times = by_turns(made, SHORT_REPLY, LONG_REPLY, rounds)
            yield row("stream", "stream.feed([id])", name, source, kind, times, rounds)


def row(
    what: str,
    contender: str,
    fmt: str,
    tokenizer: str,
    shape: str,
    times: tuple[float, float],
    rounds: int,
) -> Row:
    """The row of two medians, behind a short history and behind a long one."""
    short, long = times
    return Row(
        what=what,
        contender=contender,
        median=long,
        rounds=rounds,
        tokenizer=tokenizer,
        shape=shape,
        ratio=long / short,
        facts={"format": fmt, "short": short},
    )


def rows(rounds: int) -> list[Row]:
    """Both measurements for the models."""
    return [*extend_rows(3 * rounds), *stream_rows(rounds)]


def main() -> int:
    """Print both measurements; returns 1 where a figure is not reached."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.extend_stream", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="rounds of each (default 9)")
    parser.add_argument("--only", choices=("extend", "stream"), help="one of the two")
    parser.add_argument("--models", action="store_true", help="the models' own formats only")
    parser.add_argument("formats", nargs="*", help="formats (default: all)")
    asked = parser.parse_args()
    pairs = MODELS if asked.models else tuple(every_pair(asked.formats))
    reached = True
    for kind, measure in (("extend", extend_rows), ("stream", stream_rows)):
        if asked.only not in (None, kind):
            continue
        worst = 0.0
        for one in measure(asked.rounds, pairs):
            ratio = one.ratio or 0.0
            worst = max(worst, ratio)
            print(
                f"{kind} {one.facts['format']:24} {one.tokenizer:22} {one.shape:10} "
                f"{1e6 * one.facts['short']:8.1f} µs {1e6 * one.median:8.1f} µs {ratio:6.2f}",
                flush=True,
            )
        print(f"{kind}: at worst {worst:.2f}, to be under {LIMITS[kind]}")
        reached = reached and worst < LIMITS[kind]
    return int(not reached)


if __name__ == "__main__":
    sys.exit(main())
