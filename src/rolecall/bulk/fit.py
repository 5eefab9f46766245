"""Moulds fitted to a vocabulary: what all conversations of a shape share is encoded once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from rolecall.bulk.mould import Mould
from rolecall.encode import PART_CODE
from rolecall.encode import Run as Plain
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


def fit(mould: Mould, tokenizer: Tokenizer, control: frozenset[str]) -> Fitted | None:
    """Fit a mould to a vocabulary, or None where its control tokens change the text beside them.

    Args:
        mould: The mould.
        tokenizer: The vocabulary.
        control: The control tokens that the format writes.
    """
    segments = mould.segments
    ids: list[int] = []
    counts: list[int | None] = [None] * len(segments)
    lengths: list[int] = []
    used: list[int | None] = []
    parts: list[tuple[str | int, ...]] = []
    starts: list[int] = []
    sizes: list[int] = []
    for item in mould.items:
        if isinstance(item, int):
            token = segments[item].text
            found = tokenizer.control_id(token)
            if found is None or tokenizer.swallows_left(token) or tokenizer.swallows_right(token):
                return None
            ids.append(found)
            counts[item] = 1
            continue
        own = [mould.slots[index] for index in item.segments]
        if all(number is None for number in own):
            literal = _literal(segments, item, tokenizer, control)
            if literal is not None:
                ids += literal[0]
                for index, count in zip(item.segments, literal[1], strict=True):
                    counts[index] = count
                continue
        parts.append(_parts(segments, item, mould.slots))
        starts.append(STARTS.index(item.start))
        sizes.append(len(item.segments))
        spaces = [tokenizer.adds_space(item.start)] + [False] * (len(own) - 1)
        for index, number, space in zip(item.segments, own, spaces, strict=True):
            size = len(segments[index].text.encode()) if number is None else 0
            lengths.append(size + space)
            used.append(number)
    order = tuple(number for number in used if number is not None)
    layout = Layout(
        message=np.array([-1 if s.message is None else s.message for s in segments], np.int32),
        part=np.array([PART_CODE[s.part] for s in segments], np.uint8),
        sampled=np.array([s.sampled for s in segments], np.bool_),
        counts=np.array([count or 0 for count in counts], np.int64),
        in_runs=np.array([count is None for count in counts], np.bool_),
        ids=np.array(ids, np.int32),
        lengths=np.array(lengths, np.int64),
        texts=np.array([number is not None for number in used], np.bool_),
        sizes=np.array(sizes, np.int64),
        starts=np.array(starts, np.uint8),
    )
    return Fitted(
        mould,
        layout,
        order,
        order == tuple(range(len(order))),
        _runs(parts),
        tuple(parts),
        len(ids) + sum(lengths),
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


def _literal(
    segments: tuple[Segment, ...], run: Plain, tokenizer: Tokenizer, control: frozenset[str]
) -> tuple[list[int], list[int]] | None:
    """The ids of a run without a text and how many each segment has, or None if one spans two."""
    texts = [segments[index].text for index in run.segments]
    ((ids, spans),) = tokenizer.encode_runs([("".join(texts), run.start)], control)
    ends = np.cumsum([len(text) for text in texts])
    if any(end <= start for start, end in spans):
        return None
    last = np.searchsorted(ends, [end for _, end in spans])
    first = np.searchsorted(ends, [start for start, _ in spans], side="right")
    if (first != last).any():
        return None
    return list(ids), np.bincount(last, minlength=len(texts)).tolist()


def _parts(
    segments: tuple[Segment, ...], run: Plain, slots: tuple[int | None, ...]
) -> tuple[str | int, ...]:
    parts: list[str | int] = [""]
    for index in run.segments:
        number = slots[index]
        if number is not None:
            parts += [number, ""]
        elif isinstance(parts[-1], str):
            parts[-1] += segments[index].text
    return tuple(parts)
