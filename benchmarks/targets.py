"""What must hold, and whether it does: rows to figures, each the worst of its cases."""

from __future__ import annotations

import operator
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from benchmarks.row import Row

LIMITS = ("limit_fastokens", "limit_gigatoken")


class Case(NamedTuple):
    """Where a figure was measured."""

    tokenizer: str
    shape: str
    words: int
    cores: int

    def __str__(self) -> str:
        words = f"{self.words} words" if self.words else ""
        cores = "" if self.cores == 1 else f"{self.cores} cores"
        return ", ".join(filter(None, (self.tokenizer, self.shape, words, cores)))


Cases = Mapping[Case, Mapping[str, Row]]
Figures = Callable[[Cases], Iterator[tuple[str, float]]]


@dataclass(frozen=True, kw_only=True)
class Target:
    """One line of the table.

    The figure is a ratio or a time; `at_least` says which way is better.
    """

    key: str
    what: str
    limit: float
    reach: float | None = None
    unit: str = "times"
    at_least: bool = False
    figures: Figures

    def holds(self, figure: float) -> bool:
        return figure >= self.limit if self.at_least else figure <= self.limit

    def reached(self, figure: float) -> bool:
        if self.reach is None:
            return self.holds(figure)
        return figure >= self.reach if self.at_least else figure <= self.reach


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a target."""

    target: Target
    figures: Mapping[str, float]
    """By where it was measured."""

    @property
    def worst(self) -> tuple[str, float]:
        pick = min if self.target.at_least else max
        return pick(self.figures.items(), key=lambda item: item[1])

    @property
    def best(self) -> tuple[str, float]:
        pick = max if self.target.at_least else min
        return pick(self.figures.items(), key=lambda item: item[1])

    @property
    def holds(self) -> bool:
        return self.target.holds(self.worst[1])


def _named(row: Row) -> str:
    """The contender, and the format where a row says which."""
    fmt = row.facts.get("format")
    return f"{row.contender}, {fmt}" if fmt else row.contender


def _fastest(rows: Mapping[str, Row], keys: Iterable[str]) -> Row | None:
    known = [rows[key] for key in keys if key in rows]
    return min(known, key=lambda row: row.median, default=None)


def _paired(one: Row, other: Row, join: Callable[[float, float], float]) -> float:
    """The median over the rounds, in each of which both had the same texts."""
    return statistics.median(map(join, one.facts["each"], other.facts["each"]))


def _over_limit(least_words: int) -> Figures:
    def figures(cases: Cases) -> Iterator[tuple[str, float]]:
        for case, rows in cases.items():
            engine = _fastest(rows, LIMITS)
            if case.words >= least_words and engine and "encode_batch" in rows:
                yield str(case), _paired(rows["encode_batch"], engine, operator.truediv)

    return figures


def _above_limit(cases: Cases) -> Iterator[tuple[str, float]]:
    for case, rows in cases.items():
        engine = _fastest(rows, LIMITS)
        if case.words == 15 and engine and "encode_batch" in rows:
            yield str(case), 1e6 * _paired(rows["encode_batch"], engine, operator.sub)


def _against(own: str, *peers: str) -> Figures:
    """How many times as fast we are as the fastest of some ways of calling a peer."""

    def figures(cases: Cases) -> Iterator[tuple[str, float]]:
        for case, rows in cases.items():
            theirs = _fastest(rows, peers)
            if theirs and own in rows:
                yield str(case), _paired(theirs, rows[own], operator.truediv)

    return figures


def _measured(key: str) -> Figures:
    """Figures that rows bring along."""

    def figures(cases: Cases) -> Iterator[tuple[str, float]]:
        for case, rows in cases.items():
            for row in rows.values():
                if row.what == key and row.ratio is not None:
                    yield ": ".join(filter(None, (str(case), _named(row)))), row.ratio

    return figures


TARGETS: Sequence[Target] = (
    Target(
        key="batch-60",
        what="`encode_batch` with ids, message, part, sampled and mask, against bare batch "
        "encoding of the same contents by the fastest engine; messages of 60 words or more",
        limit=2.5,
        reach=1.5,
        figures=_over_limit(60),
    ),
    Target(
        key="batch-15",
        what="the same for messages of 15 words: time above the engine's",
        limit=4,
        unit="µs a message",
        figures=_above_limit,
    ),
    Target(
        key="batch-renderers",
        what="`encode_batch` against `renderers` with its arrays",
        limit=50,
        reach=100,
        at_least=True,
        unit="times as fast",
        figures=_against("encode_batch_few", "renderers"),
    ),
    Target(
        key="batch-mask",
        what="`encode_batch` against `apply_chat_template` with mask",
        limit=35,
        reach=100,
        at_least=True,
        unit="times as fast",
        figures=_against("encode_batch_few", "transformers_mask", "transformers_mask_list"),
    ),
    Target(
        key="one-renderers",
        what="`encode` of one conversation against `renderers`",
        limit=10,
        at_least=True,
        unit="times as fast",
        figures=_against("encode", "renderers"),
    ),
    Target(
        key="one-transformers",
        what="`encode` of one conversation against `apply_chat_template` to ids",
        limit=10,
        at_least=True,
        unit="times as fast",
        figures=_against("encode", "transformers"),
    ),
    Target(
        key="one-mistral",
        what="`encode` of one conversation against mistral-common",
        limit=10,
        at_least=True,
        unit="times as fast",
        figures=_against("encode", "mistral_common"),
    ),
    Target(
        key="extend",
        what="`extend` by one turn at 128 turns against at 2 turns",
        limit=1.3,
        figures=_measured("extend"),
    ),
    Target(
        key="stream",
        what="`stream` parsing, per token at 20,000 tokens against at 200",
        limit=1.2,
        figures=_measured("stream"),
    ),
    Target(
        key="traced",
        what="a traced template against plain jinja2 rendering of it",
        limit=10,
        figures=_measured("traced"),
    ),
    Target(
        key="learnt",
        what="a learnt template against plain jinja2 rendering of it",
        limit=1,
        figures=_measured("learnt"),
    ),
    Target(
        key="memory",
        what="memory of `encode_iter` over 1 GB of conversations: the most",
        limit=500,
        unit="MB",
        figures=_measured("memory"),
    ),
    Target(
        key="memory-flat",
        what="the same: its growth from a tenth of the way to the end",
        limit=1.1,
        figures=_measured("memory-flat"),
    ),
    Target(
        key="import",
        what="`import rolecall` over bare Python",
        limit=50,
        unit="ms",
        figures=_measured("import"),
    ),
    Target(
        key="cli",
        what="`rolecall render` of a small chat without a tokenizer, whole process",
        limit=300,
        unit="ms",
        figures=_measured("cli"),
    ),
    Target(
        key="cli-tokenizer",
        what="the same with a tokenizer, over the load of the engine",
        limit=300,
        unit="ms",
        figures=_measured("cli-tokenizer"),
    ),
)


def by_case(rows: Iterable[Row]) -> dict[Case, dict[str, Row]]:
    """Rows that belong together."""
    cases: dict[Case, dict[str, Row]] = defaultdict(dict)
    for row in rows:
        case = Case(row.tokenizer, row.shape, row.words, row.cores)
        key = row.contender if row.what == "throughput" else f"{row.what} {_named(row)}"
        cases[case][key] = row
    return dict(cases)


def outcomes(rows: Iterable[Row]) -> list[Outcome]:
    """Every target for which there are figures."""
    cases = by_case(rows)
    made = [Outcome(target=one, figures=dict(one.figures(cases))) for one in TARGETS]
    return [one for one in made if one.figures]
