"""What the time of `encode_batch` goes to, by share: ``python -m benchmarks.profile``.

A second thread looks, every tenth of a millisecond or so, at which of our functions the first one
is in, and counts the time since it last looked. A call into an engine or into numpy counts for the
function that made it.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from types import FrameType, TracebackType
from typing import NamedTuple

import rolecall as rc
from benchmarks.contender import Conversation
from benchmarks.limit import limit
from benchmarks.loads import Load, message_count
from benchmarks.models import MODELS
from benchmarks.ours import touched
from benchmarks.row import Row

PACKAGE = Path(rc.__file__).parent

KINDS: Sequence[tuple[str, tuple[str, ...]]] = (
    ("engine", ("tokenizers/",)),
    ("reading shapes", ("bulk/shape.py", "bulk/moulds.py", "wire.py")),
    ("joining texts", ("bulk/fit.py", "bulk/filled.py", "bulk/mould.py")),
    ("arrays", ("bulk/assemble.py", "encode.py", "batch.py")),
    ("masks", ("mask.py",)),
)
"""By the file of the innermost function of ours; the rest is the ordinary walk."""

REST = "the ordinary way"

TOKENIZER = "qwen3"

Where = tuple[str, str]


class Watch:
    """Counts the time that a thread spends in each function of ours."""

    def __init__(self) -> None:
        self.seconds: Counter[Where] = Counter()
        self.watched = threading.get_ident()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watch:
        self.before = sys.getswitchinterval()
        sys.setswitchinterval(1e-4)
        self.thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.over.set()
        self.thread.join()
        sys.setswitchinterval(self.before)

    def _look(self) -> None:
        last = time.perf_counter()
        while not self.over.is_set():
            time.sleep(1e-4)
            frame = sys._current_frames().get(self.watched)
            now = time.perf_counter()
            self.seconds[innermost(frame)] += now - last  # type: ignore[assignment]
            last = now


def innermost(frame: FrameType | None) -> Where:
    """The file and the name of the innermost function of ours that a frame stands in."""
    while frame is not None:
        file = Path(frame.f_code.co_filename)
        if file.is_relative_to(PACKAGE):
            return file.relative_to(PACKAGE).as_posix(), frame.f_code.co_name
        frame = frame.f_back
    return "", ""


def kind_of(where: Where) -> str:
    """What the time in a function counts as."""
    for kind, files in KINDS:
        if where[0].startswith(files):
            return kind
    return REST


def shares(seconds: Counter[Where]) -> dict[str, float]:
    """The share of each kind."""
    found: Counter[str] = Counter()
    for where, spent in seconds.items():
        if where[0]:  # else none of ours was running
            found[kind_of(where)] += spent  # type: ignore[assignment]
    whole = sum(found.values()) or 1
    return {kind: spent / whole for kind, spent in found.most_common()}


class Profile(NamedTuple):
    """What the time under one load went to."""

    seconds: Counter[Where]
    each: float
    """Seconds a message."""
    engine: str
    bare: float
    """Seconds a message that the engine alone takes for the bare texts."""


def watched(run: Callable[[Sequence[Conversation]], object], load: Load, name: str) -> Profile:
    """Profile one load."""
    model = MODELS[name]
    rounds = [[model.suited(one) for one in load.conversations(number)] for number in range(4)]
    (engine, *_), _ = limit(model, 1)
    run(rounds[0])
    engine.run(engine.prepare(rounds[0]))
    with Watch() as watch:
        begin = time.perf_counter()
        for conversations in rounds[1:]:
            run(conversations)
        spent = time.perf_counter() - begin
    bare = 0.0
    for conversations in rounds[1:]:
        texts = engine.prepare(conversations)
        begin = time.perf_counter()
        engine.run(texts)
        bare += time.perf_counter() - begin
    messages = sum(message_count(one) for one in rounds[1:])
    return Profile(watch.seconds, spent / messages, engine.key, bare / messages)


def encoding(name: str, *, one: bool = False) -> Callable[[Sequence[Conversation]], object]:
    """What is profiled: a model's conversations in one batch, or one by one."""
    model = MODELS[name]
    fmt, tokenizer = rc.format(model.format), rc.tokenizer(model.file)

    def batch(given: Sequence[Conversation]) -> object:
        return touched(fmt.encode_batch(given, tokenizer))

    def each(given: Sequence[Conversation]) -> object:
        return [touched(fmt.render(**one).encode(tokenizer)) for one in given]

    return each if one else batch


def rows(rounds: int) -> list[Row]:
    """The shares of every shape and length, for one tokenizer."""
    run = encoding(TOKENIZER)
    made: list[Row] = []
    for shape, words in product(("short", "long", "agent"), (15, 60)):
        found = watched(run, Load(shape, words), TOKENIZER)
        made.append(
            Row(
                what="profile",
                contender="fmt.encode_batch(conversations, t)",
                median=found.each,
                rounds=3,
                tokenizer=TOKENIZER,
                shape=shape,
                words=words,
                facts={"shares": {k: round(v, 3) for k, v in shares(found.seconds).items()}},
            )
        )
    return made


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    add = parser.add_argument
    add("--tokenizer", default=TOKENIZER, help="some of " + ",".join(MODELS))
    add("--shape", default="short,long,agent")
    add("--words", default="15,60")
    add("--one", action="store_true", help="profile `render(m).encode(t)`, call by call")
    asked = parser.parse_args()
    for name in asked.tokenizer.split(","):
        run = encoding(name, one=asked.one)
        for shape, words in product(asked.shape.split(","), map(int, asked.words.split(","))):
            found = watched(run, Load(shape, words), name)
            print(
                f"\n{name}, {shape}, {words} words: {1e6 * found.each:.1f} µs a message, "
                f"{found.engine} alone {1e6 * found.bare:.1f}"
            )
            parts = shares(found.seconds).items()
            print(", ".join(f"{kind} {share:.0%}" for kind, share in parts))
            whole = sum(found.seconds.values())
            for (file, function), taken in found.seconds.most_common(12):
                print(f"  {taken / whole:6.1%}  {file or 'outside of us'} {function}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
