"""Memory of `encode_iter` over conversations that are never held together.

``python -m benchmarks.memory`` measures one gigabyte of texts in a process of its own. The texts
are spliced from real ones, each with words that never came before, since a cache that remembers
words would grow by those.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.row import Row

SOURCES = (("short", 60), ("long", 60), ("agent", 60))
"""The loads whose conversations are spliced; see `benchmarks.loads`."""

BATCH_TOKENS = 1 << 17

GIGABYTE = 1_000_000_000

CONSONANTS, VOWELS = "bcdfghjklmnprstvwxyz", "aeiou"


class Splicer:
    """An endless stream of conversations from a few."""

    def __init__(self, conversations: list[dict[str, Any]], seed: int) -> None:
        self.random = random.Random(seed)
        self.conversations = conversations
        self.pool = [
            one["content"]
            for conversation in conversations
            for one in conversation["messages"]
            if one.get("content")
        ]
        self.bytes = 0

    def word(self) -> str:
        """A word that never came before, most likely."""
        pick = self.random.choices
        return "".join(map("".join, zip(pick(CONSONANTS, k=5), pick(VOWELS, k=5), strict=True)))

    def text(self) -> str:
        """The first half of a text, two new words, and the second half of another."""
        one, other = self.random.choices(self.pool, k=2)
        left = one[: one.find(" ", len(one) // 2) + 1]
        right = other[other.find(" ", len(other) // 2) + 1 :]
        text = f"{left}{self.word()} {self.word()} {right}"
        self.bytes += len(text) if text.isascii() else len(text.encode())
        return text

    def up_to(self, most: int) -> Iterator[dict[str, Any]]:
        """Conversations until their texts have so many bytes."""
        while self.bytes < most:
            like = self.random.choice(self.conversations)
            messages = [
                {**one, "content": self.text()} if one.get("content") else one
                for one in like["messages"]
            ]
            yield {**like, "messages": messages}


def resident() -> float:
    """Megabytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


def measure(source: Path, tokenizer: Path, fmt: str, most: int) -> dict[str, Any]:
    """Encode, and note what the process holds on the way; run it in a process of its own."""
    import rolecall as rc

    splicer = Splicer(json.loads(source.read_text(encoding="utf-8")), seed=1)
    loaded = rc.tokenizer(tokenizer)
    before = resident()
    noted: dict[str, float] = {}
    tokens = 0
    begin = time.perf_counter()
    for batch in rc.format(fmt).encode_iter(splicer.up_to(most), loaded, batch_tokens=BATCH_TOKENS):
        tokens += len(batch.ids)
        batch.mask()
        for percent in (10, 25, 50, 75, 100):
            if splicer.bytes >= most * percent / 100 and str(percent) not in noted:
                noted[str(percent)] = round(resident(), 1)
    seconds = time.perf_counter() - begin
    return {
        "bytes": splicer.bytes,
        "tokens": tokens,
        "seconds": round(seconds, 1),
        "loaded": round(before, 1),
        "resident": noted,
        "peak": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6, 1),
    }


def _started(model: str, most: int) -> dict[str, Any]:
    """`measure` in a process that holds nothing else."""
    from benchmarks.loads import Load
    from benchmarks.models import MODELS

    chosen = MODELS[model]
    conversations = [
        chosen.suited(one)
        for shape, words in SOURCES
        for one in Load(shape, words).conversations(0)
    ]
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch, "conversations.json")
        source.write_text(json.dumps(conversations), encoding="utf-8")
        arguments = ["--child", str(source), str(chosen.file), chosen.format, str(most)]
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.memory", *arguments],
            check=True,
            capture_output=True,
            text=True,
        )
    return json.loads(done.stdout)


def rows(rounds: int, models: tuple[str, ...] = ("qwen3",), most: int = GIGABYTE) -> list[Row]:
    """The rows of the most memory and of its growth; one run each, whatever the rounds."""
    made: list[Row] = []
    for model in models:
        found = _started(model, most)
        noted = found["resident"]
        common: dict[str, Any] = {
            "contender": "fmt.encode_iter(conversations, t)",
            "rounds": 1,
            "tokenizer": model,
        }
        made += [
            Row(
                what="memory",
                median=found["peak"],
                unit="MB",
                ratio=found["peak"],
                facts=found,
                **common,
            ),
            Row(
                what="memory-flat",
                median=noted["100"] - noted["10"],
                unit="MB",
                ratio=round(noted["100"] / noted["10"], 4),
                **common,
            ),
        ]
    return made


def main() -> int:
    if sys.argv[1:2] == ["--child"]:
        source, tokenizer, fmt, most = sys.argv[2:]
        print(json.dumps(measure(Path(source), Path(tokenizer), fmt, int(most))))
        return 0
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--tokenizer", default="qwen3")
    parser.add_argument("--megabytes", type=int, default=GIGABYTE // 1_000_000)
    asked = parser.parse_args()
    models = tuple(asked.tokenizer.split(","))
    for row in rows(1, models, asked.megabytes * 1_000_000):
        print(f"{row.tokenizer} {row.what}: {row.ratio:g} {row.facts or ''}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
