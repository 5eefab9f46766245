"""Many conversations at once: flat arrays with the offsets of each conversation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rolecall.bulk.assemble import Arrays, Poured, assemble, end_to_end, loose
from rolecall.bulk.filled import Filled, fill
from rolecall.bulk.moulds import Manner, manner, moulds_of
from rolecall.encode import Encoding, encode, said_of
from rolecall.errors import ConversationError, InputError
from rolecall.mask import Choice, Said, factors, of_model
from rolecall.render import Rendering
from rolecall.tokenizers import Tokenizer
from rolecall.tokenizers import tokenizer as load

if TYPE_CHECKING:
    from rolecall.conversation import Message
    from rolecall.format import Format

Made = Filled | Rendering
"""A conversation of a batch: in its mould, or rendered."""


@dataclass(frozen=True, eq=False)
class Batch:
    """The encodings of k conversations, n tokens in all, end to end."""

    ids: npt.NDArray[np.int32]
    """int32[n]: token ids."""
    message: npt.NDArray[np.int32]
    """int32[n]: index of the message in its conversation, -1 where a token belongs to none."""
    part: npt.NDArray[np.uint8]
    """uint8[n]: index into `rolecall.PARTS`."""
    sampled: npt.NDArray[np.bool_]
    """bool[n]: whether the model would emit the token."""
    straddles: npt.NDArray[np.bool_]
    """bool[n]: whether the token spans segments."""
    offsets: npt.NDArray[np.int64]
    """int64[k + 1]: conversation i holds the tokens from ``offsets[i]`` to ``offsets[i + 1]``."""
    made: Sequence[Made] = field(repr=False)
    """What each conversation was made of."""
    tokenizer: Tokenizer = field(repr=False)
    """The vocabulary that the ids are of."""

    def __len__(self) -> int:
        """How many conversations there are."""
        return len(self.made)

    @cached_property
    def encodings(self) -> tuple[Encoding, ...]:
        """The encoding of each conversation, in order; made when they are asked for."""
        return tuple(self._encoding(number) for number in range(len(self)))

    def __getstate__(self) -> dict[str, Any]:
        """All of it but the vocabulary; a pickle leaves that out, as that of an `Encoding` does."""
        state = {item.name: getattr(self, item.name) for item in fields(self)}
        made = [encoding.rendering for encoding in self.encodings]
        return {**state, "made": made, "encodings": self.encodings, "tokenizer": None}

    @property
    def arrays(self) -> Arrays:
        """The arrays alone."""
        return Arrays(self.ids, self.message, self.part, self.sampled, self.straddles, self.offsets)

    def _encoding(self, number: int) -> Encoding:
        made, own = self.made[number], self.arrays.between(number, number + 1)
        return Encoding.later(
            ids=own.ids,
            message=own.message,
            part=own.part,
            sampled=own.sampled,
            straddles=own.straddles,
            rendering=made.rendering() if isinstance(made, Filled) else made,
            tokenizer=self.tokenizer,
        )

    def mask(
        self,
        author: str | None = None,
        *,
        role: str | None = None,
        name: str | None = None,
        message: int | None = None,
        where: Callable[[Message], bool] | None = None,
        header: bool = False,
    ) -> npt.NDArray[np.bool_]:
        """The tokens to train on, over all conversations; see `Encoding.mask`.

        Returns:
            bool[n].

        Raises:
            InputError: If a condition is of the wrong form.
        """
        choice = Choice(author, role, name, message, where, header).checked()
        chosen = self._table(
            lambda made: choice.of(_said(made), lambda: _messages(made)),
            np.bool_,
            by_texts=where is not None,
        )
        return choice.tokens(self, chosen, self._of_model, self._entries)

    def weights(self, author: str | None = None, **conditions: Any) -> npt.NDArray[np.float32]:
        """The loss weight of every token, over all conversations; see `Encoding.weights`.

        Returns:
            float32[n].

        Raises:
            InputError: If a condition is of the wrong form.
        """
        table = self._table(lambda made: factors(_said(made)), np.float32)
        found: npt.NDArray[np.float32] = table[self._entries]
        found[~self.mask(author, **conditions)] = 0
        return found

    @cached_property
    def _of_model(self) -> npt.NDArray[np.bool_]:
        return self._table(lambda made: of_model(_said(made)), np.bool_)

    @cached_property
    def _entries(self) -> npt.NDArray[np.int64]:
        """int64[n]: where a table over all messages has the message of each token."""
        counts = np.array([1 + len(_said(made).authors) for made in self.made], np.int64)
        begins = counts.cumsum() - counts
        return (begins + 1).repeat(np.diff(self.offsets)) + self.message

    def _table(
        self, of: Callable[[Made], npt.NDArray[Any]], dtype: Any, *, by_texts: bool = False
    ) -> npt.NDArray[Any]:
        """A table over all messages, with an entry of 0 before those of each conversation.

        Args:
            of: Makes the entries of a conversation.
            dtype: The type of the entries.
            by_texts: Whether they depend on texts; if not, conversations of one mould share them.
        """
        known: dict[int, npt.NDArray[Any]] = {}
        none = np.zeros(1, dtype)
        parts = [none[:0]]
        for made in self.made:
            if by_texts or not isinstance(made, Filled):
                parts += (none, of(made))
                continue
            key = id(made.mould)
            if key not in known:
                known[key] = np.concatenate((none, of(made)))
            parts.append(known[key])
        return np.concatenate(parts)


def _said(made: Made) -> Said:
    return made.mould if isinstance(made, Filled) else said_of(made)


def _messages(made: Made) -> Sequence[Message]:
    rendering = made.rendered() if isinstance(made, Filled) else made
    return rendering.conversation.messages


class _Item(NamedTuple):
    """A conversation on its way into a batch."""

    made: Made
    poured: Poured | None
    """What to encode with the others, or None where it was encoded by itself."""
    encoding: Encoding | None


class _Maker:
    """Makes batches of one format, vocabulary and manner."""

    def __init__(self, fmt: Format, tokenizer: object, arguments: dict[str, Any]) -> None:
        self.fmt = fmt
        self.tokenizer = load(tokenizer)
        self.manner: Manner = manner(arguments)
        self.control = frozenset(fmt.control)
        self.literals = moulds_of(fmt).literals(self.tokenizer)

    def item(self, number: int, conversation: object) -> _Item:
        """Render a conversation, and make it ready for encoding."""
        try:
            made = fill(self.fmt, self.manner, conversation)
            if isinstance(made, Filled):
                poured = made.pour(self.tokenizer)
            else:
                poured = loose(made, made.varies, self.literals)
            if poured is not None:
                return _Item(made, poured, None)
            return self.alone(made)
        except ConversationError as error:
            error.args = (f"conversation {number}, {error}",)
            raise

    def alone(self, made: Made) -> _Item:
        """A conversation that cannot be encoded with others."""
        rendering = made.rendered() if isinstance(made, Filled) else made
        return _Item(made, None, encode(rendering, self.tokenizer))

    def batch(self, items: list[_Item]) -> Batch:
        """Encode what was poured, and put all of it end to end."""
        numbers = [number for number, item in enumerate(items) if item.poured is not None]
        poured = [item.poured for item in items if item.poured is not None]
        made = [item.made for item in items]
        arrays, odd = end_to_end(()), list[int]()
        if poured:
            arrays, odd = assemble(poured, self.tokenizer, self.control)
        if poured and not odd and len(poured) == len(items):
            return Batch(*arrays, made, self.tokenizer)
        items = list(items)
        for place in odd:
            items[numbers[place]] = self.alone(made[numbers[place]])
        places = {number: place for place, number in enumerate(numbers)}
        parts = [
            arrays.between(places[number], places[number] + 1)
            if item.encoding is None
            else _arrays(item.encoding)
            for number, item in enumerate(items)
        ]
        return Batch(*end_to_end(parts), made, self.tokenizer)


def _arrays(encoding: Encoding) -> Arrays:
    e = encoding
    return Arrays(e.ids, e.message, e.part, e.sampled, e.straddles, np.array([0, len(e)], np.int64))


def _joined(batches: list[Batch]) -> Batch:
    """Batches as one."""
    if len(batches) == 1:
        return batches[0]
    made = [item for batch in batches for item in batch.made]
    return Batch(*end_to_end([b.arrays for b in batches]), made, batches[0].tokenizer)


def encode_batch(
    fmt: Format, conversations: Iterable[object], tokenizer: object, arguments: dict[str, Any]
) -> Batch:
    """Encode conversations into one batch; see `Format.encode_batch`."""
    maker = _Maker(fmt, tokenizer, arguments)
    return maker.batch([maker.item(*numbered) for numbered in enumerate(conversations)])


def encode_iter(
    fmt: Format,
    conversations: Iterable[object],
    tokenizer: object,
    batch_tokens: int,
    arguments: dict[str, Any],
) -> Iterator[Batch]:
    """Batches of at least `batch_tokens` tokens, but for the last one; see `Format.encode_iter`."""
    if isinstance(batch_tokens, bool) or not isinstance(batch_tokens, int) or batch_tokens < 1:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(f"batch_tokens: found {batch_tokens!r}; it must be a whole number above 0")
    return _batches(_Maker(fmt, tokenizer, arguments), conversations, batch_tokens)


def _batches(maker: _Maker, conversations: Iterable[object], batch_tokens: int) -> Iterator[Batch]:
    """Read conversations as long as they cannot be more tokens than are missing, and encode them.

    So nothing is read that the next batch does not hold.
    """
    waiting: list[Batch] = []
    total = 0
    items: list[_Item] = []
    most = 0
    for numbered in enumerate(conversations):
        item = maker.item(*numbered)
        items.append(item)
        if item.poured is not None:
            most += item.poured.most
        elif item.encoding is not None:
            most += len(item.encoding)
        if total + most < batch_tokens:
            continue
        rest: Batch | None = maker.batch(items)
        items, most = [], 0
        while rest is not None:
            full, rest = _cut(rest, batch_tokens - total)
            waiting.append(full)
            total += len(full.ids)
            if total >= batch_tokens:
                yield _joined(waiting)
                waiting, total = [], 0
    if items:
        waiting.append(maker.batch(items))
    if waiting:
        yield _joined(waiting)


def _cut(batch: Batch, tokens: int) -> tuple[Batch, Batch | None]:
    """A batch up to the conversation that brings it to so many tokens, and what is behind it."""
    end = int(batch.offsets.searchsorted(tokens))
    if end >= len(batch):
        return batch, None
    return _between(batch, 0, end), _between(batch, end, len(batch))


def _between(batch: Batch, begin: int, end: int) -> Batch:
    return Batch(*batch.arrays.between(begin, end), batch.made[begin:end], batch.tokenizer)
