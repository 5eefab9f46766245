"""What texts are made of: words by their real frequencies, lines of real code, emoji.

The words are wordfreq's, counted over books, films, news and the web; the code is this Python's
standard library.
"""

from __future__ import annotations

import functools
import gzip
import random
import sysconfig
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.assets import asset

WORDS = "pypi:wordfreq==3.1.1/wordfreq/data/large_{}.msgpack.gz"

EMOJI_SEQUENCES = (
    "👍🏽", "👩‍💻", "🤷‍♀️", "❤️", "👨‍👩‍👧", "🇩🇪", "🇯🇵", "☀️", "✅", "1️⃣", "🏳️‍🌈", "🧑🏿‍🚀",
)  # fmt: skip


class Vocabulary:
    """Words, drawn by how often they are used."""

    def __init__(self, words: Sequence[str], weights: Sequence[float]) -> None:
        self.words = list(words)
        self.bounds = np.cumsum(weights)
        self.waiting: list[int] = []
        self.random = np.random.default_rng(0)

    def seed(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.waiting = []

    def draw(self, count: int) -> list[str]:
        while len(self.waiting) < count:
            points = self.random.random(8192) * self.bounds[-1]
            self.waiting += np.searchsorted(self.bounds, points, side="right").tolist()
        taken, self.waiting = self.waiting[-count:], self.waiting[:-count]
        words = self.words
        return [words[index] for index in taken] if count else []


@dataclass(frozen=True)
class Corpus:
    """All of it."""

    english: Vocabulary
    chinese: Vocabulary
    arabic: Vocabulary
    emoji: Vocabulary
    code: Sequence[Sequence[str]]
    """The lines of each source file."""

    def seed(self, seed: int) -> None:
        for number, one in enumerate((self.english, self.chinese, self.arabic, self.emoji)):
            one.seed(4 * seed + number)


def read_words(language: str) -> Vocabulary:
    msgpack: Any = __import__("msgpack")
    packed = gzip.decompress(asset(WORDS.format(language)).read_bytes())
    # Behind a header, a list of words for each hundredth of a power of ten.
    _, *classes = msgpack.unpackb(packed, raw=False)
    words: list[str] = []
    weights: list[float] = []
    for hundredths, members in enumerate(classes):
        # Its numbers stand for all numbers of their length; ours are made.
        kept = [word for word in members if not any(map(str.isdigit, word))]
        words += kept
        weights += [10 ** (-hundredths / 100)] * len(kept)
    return Vocabulary(words, weights)


def emoji() -> Vocabulary:
    blocks = (range(0x1F300, 0x1F650), range(0x1F680, 0x1F700), range(0x1F900, 0x1FA00))
    single = [chr(code) for block in blocks for code in block if unicodedata.name(chr(code), "")]
    random.Random(0).shuffle(single)
    known = [*EMOJI_SEQUENCES, *single]
    return Vocabulary(known, [1 / (rank + 5) for rank in range(len(known))])


def source_code() -> list[list[str]]:
    folder = Path(sysconfig.get_path("stdlib"))
    files = [*folder.glob("*.py"), *(folder / "asyncio").glob("*.py")]
    texts = (file.read_text(encoding="utf-8", errors="replace") for file in sorted(files))
    return [text.splitlines() for text in texts if text.count("\n") > 100]


@functools.cache
def corpus() -> Corpus:
    """The corpus of this machine: its words are the same everywhere, its code this Python's."""
    return Corpus(read_words("en"), read_words("zh"), read_words("ar"), emoji(), source_code())
