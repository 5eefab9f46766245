"""One measurement: what the benchmarks write down and the page shows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Row:
    """One contender under one load, measured over some rounds."""

    what: str
    """Which target of `benchmarks.targets` the row is for, or what was measured."""
    contender: str
    """The call that is timed."""
    median: float
    """Over the rounds, the first one left out."""
    unit: str = "s"
    rounds: int
    tokenizer: str = ""
    shape: str = ""
    words: int = 0
    """The average words of a message, as asked for."""
    cores: int = 1
    ratio: float | None = None
    """What is held against the target's limit, where this row is held against one."""
    facts: dict[str, Any] = field(default_factory=dict[str, Any])
    """Whatever else is worth keeping: messages, tokens, the median of each case …"""
