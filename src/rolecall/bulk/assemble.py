"""Arrays of many conversations from their runs of text, without an object per token.

Every token spells so many bytes, and every segment is so many bytes long: where the two sums meet
is where a segment ends. A token that reaches over the end of a segment belongs to the one in which
it ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rolecall.bulk.fit import STARTS, Fitted, Layout, Literals, join, lay_out
from rolecall.runs import runs_of
from rolecall.tokenizers import Tokenizer

if TYPE_CHECKING:
    from rolecall.segment import Rendered

Ints = npt.NDArray[np.int64]


class Arrays(NamedTuple):
    """The arrays of k conversations, n tokens in all, end to end; see `rolecall.batch.Batch`."""

    ids: npt.NDArray[np.int32]
    message: npt.NDArray[np.int32]
    part: npt.NDArray[np.uint8]
    sampled: npt.NDArray[np.bool_]
    straddles: npt.NDArray[np.bool_]
    offsets: Ints

    def between(self, begin: int, end: int) -> Arrays:
        """Those of the conversations from `begin` to `end`, the latter left out."""
        offsets = self.offsets[begin : end + 1]
        own = slice(offsets[0], offsets[-1])
        return Arrays(
            self.ids[own],
            self.message[own],
            self.part[own],
            self.sampled[own],
            self.straddles[own],
            offsets - offsets[0],
        )


def end_to_end(parts: Sequence[Arrays]) -> Arrays:
    """Arrays as one."""

    def joined(field: int, dtype: Any) -> npt.NDArray[Any]:
        return np.concatenate([np.zeros(0, dtype), *(part[field] for part in parts)])

    counts = [_steps(part.offsets[1:]) for part in parts]
    return Arrays(
        ids=joined(0, np.int32),
        message=joined(1, np.int32),
        part=joined(2, np.uint8),
        sampled=joined(3, np.bool_),
        straddles=joined(4, np.bool_),
        offsets=_from_zero(np.concatenate([np.zeros(0, np.int64), *counts]).cumsum()),
    )


class Poured(NamedTuple):
    """One conversation, ready to be encoded."""

    layout: Layout
    runs: list[str]
    """Its runs of plain text."""
    sizes: list[int]
    """How many bytes the texts are that `layout` leaves out, in the order of the segments."""
    most: int
    """How many tokens it can be, where a token is a byte at least."""


def pour(fitted: Fitted, texts: list[str], sizes: list[int]) -> Poured:
    """Put the texts of a conversation into its mould.

    Args:
        fitted: The mould.
        texts: The texts, with those that are made of them.
        sizes: How many bytes of UTF-8 each of them is.
    """
    if not fitted.in_order or len(sizes) != len(fitted.used):
        sizes = [sizes[number] for number in fitted.used]
    return Poured(fitted.layout, fitted.fill(texts), sizes, fitted.most + sum(sizes))


def loose(rendering: Rendered, varies: Sequence[bool], literals: Literals) -> Poured | None:
    """A rendering without a mould, or None where it cannot be encoded in bulk; see `lay_out`."""
    segments = rendering.segments
    items = runs_of(segments, rendering.opened, None, dummy_prefix=rendering.writer.dummy_prefix)
    laid = lay_out(segments, items, varies, literals)
    if laid is None:
        return None
    runs = ["".join([segment.text for segment in segments[run]]) for run in laid.runs]
    # Their lengths are known already.
    layout = laid.layout._replace(texts=np.zeros(len(laid.layout.texts), np.bool_))
    return Poured(layout, runs, [], len(layout.ids) + int(layout.lengths.sum()))


def assemble(
    poured: Sequence[Poured], tokenizer: Tokenizer, control: frozenset[str]
) -> tuple[Arrays, list[int]]:
    """Encode conversations.

    Args:
        poured: The k conversations.
        tokenizer: The vocabulary.
        control: The control tokens that the format writes.

    Returns:
        The arrays, and which conversations the vocabulary does not spell byte for byte; the arrays
        of these do not hold.
    """
    layout = join([one.layout for one in poured])
    runs = [run for one in poured for run in one.runs]
    lengths = layout.lengths.copy()
    lengths[layout.texts] += np.array([size for one in poured for size in one.sizes], np.int64)
    ids, reached, rewritten = _encode(runs, layout.starts, tokenizer, control)

    widths = tokenizer.widths[ids]
    ends = widths.cumsum(dtype=np.int64)
    segment_ends = lengths.cumsum()
    lasts = layout.sizes.cumsum() - 1
    run_ends = segment_ends[lasts]
    odd_runs = _odd(widths, ends, reached, run_ends)
    if len(odd_runs):
        ends = _aligned(ends, reached, run_ends)
    # How many tokens have ended where each segment ends.
    ended = ends.searchsorted(segment_ends, side="right")
    bounds = reached.repeat(layout.sizes)
    if len(odd_runs):
        # What the tokens of an odd run spell is nothing to the runs beside it.
        ended = np.minimum(ended, bounds)
        ended[lasts] = reached

    in_runs = layout.in_runs
    counts = layout.counts.copy()
    counts[in_runs] = _steps(ended)
    plain = in_runs.repeat(counts)
    every = np.empty(len(plain), np.int32)
    every[plain] = ids
    every[~plain] = layout.ids
    sampled = layout.sampled.repeat(counts)
    straddles = np.zeros(len(every), np.bool_)
    reaching = (_from_zero(ends)[ended] != segment_ends).nonzero()[0]
    reaching = reaching[ended[reaching] < bounds[reaching]]
    if len(reaching):
        places = plain.nonzero()[0][ended[reaching]]
        straddles[places] = True
        # One may span many segments: it is sampled if all of them are.
        np.logical_and.at(sampled, places, layout.sampled[in_runs][reaching])
    arrays = Arrays(
        ids=every,
        message=layout.message.repeat(counts),
        part=layout.part.repeat(counts),
        sampled=sampled,
        straddles=straddles,
        offsets=_offsets(poured, counts),
    )
    if not len(odd_runs) and not rewritten:
        return arrays, []
    owners = np.repeat(np.arange(len(poured)), [len(one.runs) for one in poured])
    return arrays, np.unique(owners[[*odd_runs.tolist(), *rewritten]]).tolist()


def _offsets(poured: Sequence[Poured], counts: Ints) -> Ints:
    """Where the tokens of each conversation begin, and the end of the last."""
    if len(poured) == 1:
        return np.array([0, counts.sum()], np.int64)
    segments = [len(one.layout.counts) for one in poured]
    return _from_zero(counts.cumsum())[np.cumsum([0, *segments])]


def _from_zero(sums: Ints) -> Ints:
    """Sums with the one of nothing in front."""
    found = np.zeros(len(sums) + 1, np.int64)
    found[1:] = sums
    return found


def _steps(sums: Ints) -> Ints:
    """What was summed up."""
    found = sums.copy()
    found[1:] -= sums[:-1]
    return found


def _odd(widths: Any, ends: Ints, reached: Ints, run_ends: Ints) -> Ints:
    """The runs whose tokens spell other bytes than they hold.

    Args:
        widths: int32[n]: bytes that each token spells.
        ends: int64[n]: their sums.
        reached: int64[runs]: the token behind the last one of each run.
        run_ends: int64[runs]: bytes of the runs up to each of them.
    """
    spelled = _from_zero(ends)[reached]
    if (spelled == run_ends).all() and (not len(widths) or widths.min() > 0):
        return np.zeros(0, np.int64)
    odd = _steps(spelled) != _steps(run_ends)
    odd[reached.searchsorted((widths <= 0).nonzero()[0], side="right")] = True
    return odd.nonzero()[0]


def _aligned(ends: Ints, reached: Ints, run_ends: Ints) -> Ints:
    """The ends of tokens with each run begun where it stands, whatever those before it spell."""
    spelled = _from_zero(ends)[reached]
    begun = _from_zero(run_ends[:-1])
    moved = begun - _from_zero(spelled[:-1])
    counts = _steps(reached)
    found = np.clip(ends + moved.repeat(counts), begun.repeat(counts), run_ends.repeat(counts))
    # A width may be negative.
    return np.maximum.accumulate(found)


class _Encoded(NamedTuple):
    """The ids of runs, end to end."""

    ids: npt.NDArray[np.int32]
    reached: Ints
    """int64[runs]: the token behind the last one of each run."""
    rewritten: list[int]
    """The runs that the vocabulary does not take as they are."""


def _encode(
    runs: list[str], starts: npt.NDArray[np.uint8], tokenizer: Tokenizer, control: frozenset[str]
) -> _Encoded:
    if not any(map(tokenizer.adds_space, STARTS)):
        # Where no run begins with a space of the vocabulary's, what stands before it is all one.
        ids, offsets = tokenizer.encode_flat(runs, STARTS[0], control)
        return _Encoded(ids, offsets[1:], [*tokenizer.odd_texts(runs, STARTS[0])])
    ids = np.zeros(0, np.int32)
    begins, counts = np.zeros(len(runs), np.int64), np.zeros(len(runs), np.int64)
    rewritten: list[int] = []
    for code, start in enumerate(STARTS):
        chosen: Ints = (starts == code).nonzero()[0]
        if not len(chosen):
            continue
        numbers: list[int] = chosen.tolist()
        texts = [runs[number] for number in numbers]
        found = tokenizer.encode_flat(texts, start, control)
        rewritten += [numbers[place] for place in tokenizer.odd_texts(texts, start)]
        if len(chosen) == len(runs):
            return _Encoded(found.ids, found.offsets[1:], rewritten)
        begins[chosen] = len(ids) + found.offsets[:-1]
        counts[chosen] = found.offsets[1:] - found.offsets[:-1]
        ids = np.concatenate((ids, found.ids))
    reached = counts.cumsum()
    # Back from the order of the calls to that of the runs.
    places = np.arange(len(ids)) + (begins - reached + counts).repeat(counts)
    return _Encoded(ids[places], reached, rewritten)
