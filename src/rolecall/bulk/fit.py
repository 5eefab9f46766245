"""Moulds fitted to a vocabulary: what all conversations of a shape share is encoded once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple
from weakref import proxy

import numpy as np
import numpy.typing as npt

from rolecall.bulk.mould import Mould
from rolecall.encode import PART_CODE
from rolecall.runs import Run as Plain
from rolecall.runs import runs_of
from rolecall.tokenizers import RunStart, Tokenizer

if TYPE_CHECKING:
    from rolecall.segment import Segment

STARTS = tuple(RunStart)

Run = tuple[str, int, str]
"""A run of plain text with one text between two literals. A run without any has the number -1."""

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


class Layout(NamedTuple):
    """The s segments of conversations; r of them stand in runs that are encoded with the texts."""

    message: npt.NDArray[np.int32]
    """int32[s]."""
    part: npt.NDArray[np.uint8]
    """uint8[s]."""
    sampled: Bools
    """bool[s]."""
    counts: Ints
    """int64[s]: how many tokens the segment has, 0 of those in runs."""
    in_runs: Bools
    """bool[s]: whether it stands in a run."""
    ids: npt.NDArray[np.int32]
    """int32[…]: the tokens of the segments that stand in none, end to end."""
    lengths: Ints
    """int64[r]: bytes of the segments in runs, those of the texts left out."""
    texts: Bools
    """bool[r]: whether it is a text."""
    sizes: Ints
    """int64[runs]: how many segments each run has."""
    starts: npt.NDArray[np.uint8]
    """uint8[runs]: what stands before it: an index into `STARTS`."""


def join(layouts: Sequence[Layout]) -> Layout:
    """Layouts end to end."""
    if len(layouts) == 1:
        return layouts[0]
    return Layout(*map(np.concatenate, zip(*layouts, strict=True)))


@dataclass(frozen=True, eq=False)
class Fitted:
    """A mould with the ids of its literals."""

    mould: Mould
    layout: Layout
    used: tuple[int, ...]
    """The texts in the order of their segments."""
    in_order: bool
    """Whether they are the first texts, as they come."""
    runs: tuple[Run, ...] | None
    """The runs, where none holds two texts."""
    parts: tuple[tuple[str | int, ...], ...]
    """The runs: literals, and texts by number."""
    most: int
    """How many tokens it has without the texts, at most."""

    def fill(self, texts: list[str]) -> list[str]:
        """The runs of plain text of a conversation."""
        if self.runs is not None:
            texts = [*texts, ""]
            return [f"{left}{texts[number]}{right}" for left, number, right in self.runs]
        return [
            "".join([part if isinstance(part, str) else texts[part] for part in run])
            for run in self.parts
        ]


MOST_LITERALS = 10_000
"""Literals that are kept encoded of one format under one vocabulary; then all are made anew."""


class Literals:
    """The control tokens and literals of a format under a vocabulary, each encoded once."""

    def __init__(self, tokenizer: Tokenizer, control: frozenset[str]) -> None:
        # Tables of literals are kept by vocabulary, and must not keep the vocabulary.
        self.tokenizer: Tokenizer = proxy(tokenizer)
        self._control = control
        self._tokens: dict[str, int | None] = {}
        self._known: dict[tuple[tuple[str, ...], int], _Literal | None] = {}
        self.spaces = tuple(map(tokenizer.adds_space, STARTS))

    def token(self, text: str) -> int | None:
        """The id of a control token; None where there is none, or it changes the text beside it."""
        if text not in self._tokens:
            tokenizer = self.tokenizer
            swallows = tokenizer.swallows_left(text) or tokenizer.swallows_right(text)
            self._tokens[text] = None if swallows else tokenizer.control_id(text)
        return self._tokens[text]

    def run(self, texts: tuple[str, ...], start: int) -> _Literal | None:
        """A run of plain literals, or None where a token spans two of them.

        Args:
            texts: The literals.
            start: What stands before it: an index into `STARTS`.
        """
        key = (texts, start)
        # Another thread may forget all of them at any time.
        found = self._known.get(key, False)
        if isinstance(found, bool):
            found = self._encode(texts, STARTS[start])
            if len(self._known) >= MOST_LITERALS:
                self._known.clear()
            self._known[key] = found
        return found

    def _encode(self, texts: tuple[str, ...], start: RunStart) -> _Literal | None:
        ((ids, spans),) = self.tokenizer.encode_runs([("".join(texts), start)], self._control)
        ends = np.cumsum([len(text) for text in texts])
        if any(end <= begin for begin, end in spans):
            return None
        last = np.searchsorted(ends, [end for _, end in spans])
        first = np.searchsorted(ends, [begin for begin, _ in spans], side="right")
        if (first != last).any():
            return None
        return _Literal(list(ids), np.bincount(last, minlength=len(texts)).tolist())


class _Literal(NamedTuple):
    ids: list[int]
    counts: list[int]
    """How many of them each of its texts has."""


class Laid(NamedTuple):
    """Segments laid out for encoding."""

    layout: Layout
    runs: list[slice]
    """The segments of each run that is encoded with the texts."""


def lay_out(
    segments: tuple[Segment, ...],
    items: list[int | Plain],
    varies: Sequence[bool],
    literals: Literals,
) -> Laid | None:
    """Lay segments out, or None where control tokens change the text beside them or are not there.

    Args:
        segments: The segments.
        items: Control segments by index, and runs of plain text between them.
        varies: Of each segment: whether it is not the same every time.
        literals: The literals of the format under the vocabulary.
    """
    texts, _, messages, parts, sampled = zip(*segments, strict=True) if segments else ((),) * 5
    lengths = [*map(len, texts)]
    if not "".join(texts).isascii():
        lengths = [len(text.encode()) for text in texts]
    ids: list[int] = []
    counts = [-1] * len(segments)
    runs: list[slice] = []
    starts: list[int] = []
    for item in items:
        if isinstance(item, int):
            found = literals.token(texts[item])
            if found is None:
                return None
            ids.append(found)
            counts[item] = 1
            continue
        own = slice(item.segments.start, item.segments.stop)
        start = STARTS.index(item.start)
        if True not in varies[own]:
            literal = literals.run(texts[own], start)
            if literal is not None:
                ids += literal.ids
                counts[own] = literal.counts
                continue
        lengths[own.start] += literals.spaces[start]
        runs.append(own)
        starts.append(start)
    found_counts = np.array(counts, np.int64)
    in_runs = found_counts < 0
    found_counts[in_runs] = 0
    layout = Layout(
        message=np.array([-1 if number is None else number for number in messages], np.int32),
        part=np.array([*map(PART_CODE.__getitem__, parts)], np.uint8),
        sampled=np.array(sampled, np.bool_),
        counts=found_counts,
        in_runs=in_runs,
        ids=np.array(ids, np.int32),
        lengths=np.array(lengths, np.int64)[in_runs],
        texts=np.array(varies, np.bool_)[in_runs],
        sizes=np.array([run.stop - run.start for run in runs], np.int64),
        starts=np.array(starts, np.uint8),
    )
    return Laid(layout, runs)


def fit(mould: Mould, literals: Literals) -> Fitted | None:
    """Fit a mould to a vocabulary, or None where that cannot be done; see `lay_out`."""
    segments, slots = mould.segments, mould.slots
    items = runs_of(segments, mould.opened, None, dummy_prefix=mould.dummy_prefix)
    varies = [number is not None for number in slots]
    laid = lay_out(segments, items, varies, literals)
    if laid is None:
        return None
    layout = laid.layout
    # The texts of the mould's own conversation are no part of it.
    own = [
        (len(segment.text.encode()), number)
        for run in laid.runs
        for segment, number in zip(segments[run], slots[run], strict=True)
        if number is not None
    ]
    layout.lengths[layout.texts] -= np.array([size for size, _ in own], np.int64)
    used = tuple(number for _, number in own)
    parts = [_parts(segments, run, slots) for run in laid.runs]
    return Fitted(
        mould,
        layout,
        used,
        used == tuple(range(len(used))),
        _runs(parts),
        tuple(parts),
        len(layout.ids) + int(layout.lengths.sum()),
    )


def _runs(parts: list[tuple[str | int, ...]]) -> tuple[Run, ...] | None:
    runs: list[Run] = []
    for run in parts:
        match run:
            case (str(left), int(number), str(right)):
                runs.append((left, number, right))
            case (str(text),):
                runs.append((text, -1, ""))
            case _:
                return None
    return tuple(runs)


def _parts(
    segments: tuple[Segment, ...], run: slice, slots: tuple[int | None, ...]
) -> tuple[str | int, ...]:
    parts: list[str | int] = []
    literal = ""
    for segment, number in zip(segments[run], slots[run], strict=True):
        if number is None:
            literal += segment.text
        else:
            parts += [literal, number]
            literal = ""
    return (*parts, literal)
