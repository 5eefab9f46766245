"""Whether anything became slower: ``python -m benchmarks.check``, or ``make bench-check``.

A shorter measurement is held against ``results.json``. A figure that fell by a third or more is
measured again, and if it fell again the check fails. Figures are ratios against something measured
in the same minute, but they still depend on the machine: on one of another kind the check says so
and fails nothing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.results import RESULTS, Results, machine, read_results
from benchmarks.row import Row
from benchmarks.targets import TARGETS, Target, outcomes
from benchmarks.throughput import MODELS, MODULES, SHAPES, others, throughput

FELL = 1 / 3

SLACK: Mapping[str, float] = {"µs a message": 1.0, "ms": 10.0, "MB": 20.0}
"""What times and sizes may differ by beside: a small one differs by much of itself."""

WORDS = (15, 60)
ROUNDS = 3
KEYS = (
    "encode_batch", "encode_batch_few", "encode", "transformers", "transformers_mask",
    "transformers_mask_list", "renderers", "mistral_common",
)  # fmt: skip
"""The contenders that a target is about."""


@dataclass(frozen=True)
class Fall:
    """A figure that is worse than the recorded one by a third or more."""

    target: Target
    where: str
    before: float
    now: float

    def __str__(self) -> str:
        return (
            f"{self.target.key}, {self.where}: {self.now:.2f} {self.target.unit}, "
            f"was {self.before:.2f}"
        )


def fell(target: Target, before: float, now: float) -> bool:
    """Whether a figure fell by a third: in speed, so a time grew by a half."""
    if target.at_least:
        return now <= before * (1 - FELL)
    return now >= before / (1 - FELL) + SLACK.get(target.unit, 0)


def falls(recorded: Iterable[Row], measured: Iterable[Row]) -> list[Fall]:
    """Every figure that both have and that fell."""
    before = {one.target.key: one.figures for one in outcomes(recorded)}
    return [
        Fall(one.target, where, before[one.target.key][where], now)
        for one in outcomes(measured)
        for where, now in one.figures.items()
        if where in before.get(one.target.key, {})
        and fell(one.target, before[one.target.key][where], now)
    ]


def twice(first: Sequence[Fall], second: Sequence[Fall]) -> list[Fall]:
    """Those of the second time that fell the first time too."""
    known = {(one.target.key, one.where) for one in first}
    return [one for one in second if (one.target.key, one.where) in known]


def same_kind(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two machines are of one kind."""
    return all(one[key] == other[key] for key in ("processor", "cores"))


def measure(models: Sequence[str], modules: Sequence[str], rounds: int) -> list[Row]:
    """The shorter measurement."""
    results = Results(machine=machine())
    with tempfile.TemporaryDirectory() as scratch:
        throughput(
            results,
            models=models,
            loads=product(SHAPES, WORDS),
            groups=("limit",),
            keys=KEYS,
            rounds=rounds,
            folder=Path(scratch),
        )
        others(results, modules, rounds, Path(scratch))
    for line in results.missing:
        print(f"not measured: {line}")
    return results.rows


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.check", description=__doc__)
    add = parser.add_argument
    add("--tokenizer", default=",".join(MODELS), help="default %(default)s")
    add("--rows", default="extend_stream,templates,start", help=f"some of {','.join(MODULES)}")
    add("--rounds", type=int, default=ROUNDS, help="rounds that count (default %(default)s)")
    add("--against", type=Path, default=RESULTS, help="recorded results (default %(default)s)")
    asked = parser.parse_args()
    recorded = read_results(asked.against)
    models = asked.tokenizer.split(",")
    modules = asked.rows.split(",") if asked.rows else []

    found = falls(recorded.rows, measure(models, modules, asked.rounds))
    if found:
        print("\nFell by a third or more; measured again:")
        for one in found:
            print(f"  {one}")
        touched = {row for row in models if any(row in one.where for one in found)}
        found = twice(
            found,
            falls(recorded.rows, measure(sorted(touched), modules, asked.rounds + 2)),
        )
    for one in found:
        print(f"fell: {one}")
    if not found:
        print(f"Nothing fell by a third ({len(TARGETS)} targets).")
        return 0
    if not same_kind(recorded.machine, machine()):
        print("The recorded results are of another kind of machine: this fails nothing.")
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
