"""The conversations of each round, the same for every process of a run."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.texts import Texts

CACHE = Path(__file__).parents[1] / ".cache/benchmarks"

SOURCES = ("corpus.py", "texts.py", "loads.py")

BYTES = 600_000
"""Of the texts of a round."""

FEW_BYTES = 60_000
"""Of those that the slow ones are given: the first few conversations."""

FEWEST = 3
"""Conversations that everybody is given at least, however long they are."""


class Load(NamedTuple):
    """A kind of conversation."""

    shape: str
    words: int
    bytes: int = BYTES

    def make(self, number: int) -> list[dict[str, Any]]:
        """The conversations of one round."""
        named = f"{self.shape} {self.words} {number}".encode()
        texts = Texts(int.from_bytes(hashlib.sha256(named).digest()[:6]))
        made: list[dict[str, Any]] = []
        size = 0
        while size < self.bytes or len(made) < 2 * FEWEST:
            made.append(texts.conversation(self.shape, self.words))
            size += text_bytes(made[-1])
        return made

    def conversations(self, number: int) -> list[dict[str, Any]]:
        """The conversations of one round, kept for the next process that asks.

        They are fresh all the same: no process sees a text twice.
        """
        folder = CACHE / _fingerprint()
        file = folder / f"{self.shape}-{self.words}-{self.bytes}-{number}.json"
        if not file.exists():
            folder.mkdir(parents=True, exist_ok=True)
            draft = file.with_suffix(f".{os.getpid()}")
            draft.write_text(json.dumps(self.make(number), ensure_ascii=False), encoding="utf-8")
            draft.replace(file)
        return json.loads(file.read_text(encoding="utf-8"))


def _fingerprint() -> str:
    whole = hashlib.sha256()
    for name in SOURCES:
        whole.update(Path(__file__).with_name(name).read_bytes())
    return whole.hexdigest()[:16]


def few(conversations: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    """The first few, enough for the slow contenders."""
    size = 0
    for number, one in enumerate(conversations):
        size += text_bytes(one)
        if size >= FEW_BYTES and number + 1 >= FEWEST:
            return conversations[: number + 1]
    return conversations


def text_bytes(conversation: dict[str, Any]) -> int:
    """The size of a conversation's texts in UTF-8, about."""
    return sum(len((one.get("content") or "").encode()) for one in conversation["messages"])


def message_count(conversations: Sequence[dict[str, Any]]) -> int:
    return sum(len(one["messages"]) for one in conversations)
