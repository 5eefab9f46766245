"""Segments to token ids, with message, part and sampling of every token.

Plain text between two control tokens is one run and is encoded whole, as the reference tokenizers
do; a run is cut only where sampling starts, because inference cuts there. Control tokens come from
segments marked control and from nowhere else: runs are encoded with every control token of the
tokenizer switched off.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rolecall.errors import TokenizerError
from rolecall.lost import Lost
from rolecall.runs import Run, RunStart, runs_of
from rolecall.segment import PARTS, Rendered, Segment, Writer
from rolecall.tokenizers import Span, Tokenizer

if TYPE_CHECKING:
    from rolecall.conversation import Author, Message
    from rolecall.mask import Said

WHITE_SPACE = (
    "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007"
    "\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
"""What the engines take for white space: Unicode's property, narrower than Python's `str.strip`."""

CALLERS_PARTS = frozenset(("name", "content", "reasoning", "tool_calls", "tools"))
"""Parts that hold text of the caller's."""

PART_CODE = {part: code for code, part in enumerate(PARTS)}


@dataclass(frozen=True, eq=False)
class Encoding:
    """Token ids and, for each of the n tokens, where it comes from."""

    ids: npt.NDArray[np.int32]
    """int32[n]: token ids."""
    message: npt.NDArray[np.int32]
    """int32[n]: index of the caller's message, -1 where a token belongs to none."""
    part: npt.NDArray[np.uint8]
    """uint8[n]: index into `rolecall.segment.PARTS`."""
    sampled: npt.NDArray[np.bool_]
    """bool[n]: whether the model would emit the token."""
    straddles: npt.NDArray[np.bool_]
    """bool[n]: whether the token spans segments; it then takes the origin of its last character."""
    lost: tuple[Lost, ...]
    """What the tokenizer itself does not round-trip, beside what the rendering lost."""
    rendering: Rendered
    """What was encoded."""
    tokenizer: Tokenizer | None = field(default=None, repr=False)
    """The vocabulary that the ids are of. A pickle leaves it out: it would be of megabytes."""

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def later(cls, **known: Any) -> Encoding:
        """An encoding whose `lost` is made when it is asked for."""
        encoding = object.__new__(cls)
        encoding.__dict__.update(known)
        return encoding

    def __getattr__(self, name: str) -> Any:
        """What was left for later; only then is an attribute missing."""
        if name != "lost" or "tokenizer" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        known = self.__dict__
        behind = known.get("_behind")
        if "lost" in known:
            return known["lost"]  # Made by another thread.
        if behind is not None:
            first, more = behind
            known["lost"] = tuple(dict.fromkeys((*first.lost, *more)))
            known.pop("_behind", None)
        else:
            assert self.tokenizer is not None
            rendering = self.rendering
            known["lost"] = encode_segments(
                rendering.writer, rendering.segments, self.tokenizer, opened=rendering.opened
            ).lost
        return known["lost"]

    def extended(self, more: tuple[Lost, ...], **known: Any) -> Encoding:
        """An encoding that goes on behind this one.

        Args:
            more: What of the new text does not round-trip.
            **known: Its other attributes.
        """
        if "lost" in self.__dict__:
            return Encoding(lost=tuple(dict.fromkeys((*self.lost, *more))), **known)
        first, before = self.__dict__.get("_behind", (self, ()))
        return Encoding.later(_behind=(first, (*before, *more)), **known)

    def __getstate__(self) -> dict[str, Any]:
        _ = self.lost
        return {**self.__dict__, "tokenizer": None}

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
        """The tokens to train on: those that said what the chosen messages say.

        A message is chosen if any of the conditions given holds; with none given, every message
        of a model is. Of a model's message the sampled tokens are taken, a prefill left out and
        the end-of-turn token included; of any other message its content and end.

        Args:
            author: ``"owner"``, ``"client"``, ``"model"`` or ``"tool"``.
            role: Messages under this role.
            name: Messages of this speaker.
            message: The message of this index; negative counts from the end.
            where: Messages for which this returns True.
            header: Take the tokens of the header too: who speaks.

        Returns:
            bool[n].

        Raises:
            InputError: If a condition is of the wrong form.
        """
        from rolecall.mask import Choice, of_model

        choice = Choice(author, role, name, message, where, header).checked()
        said = self.said
        chosen = choice.of(said, lambda: self.rendering.conversation.messages)
        # Index -1, a token of no message, reads the last entry of both tables, which is False.
        none = np.zeros(1, np.bool_)
        return choice.tokens(
            self,
            np.concatenate((chosen, none)),
            np.concatenate((of_model(said), none)),
            self.message,
        )

    def weights(self, author: str | None = None, **conditions: Any) -> npt.NDArray[np.float32]:
        """The loss weight of every token: `mask` times the weight of its message (None is 1).

        Returns:
            float32[n].

        Raises:
            InputError: If a condition is of the wrong form.
        """
        from rolecall.mask import factors

        found = np.concatenate((factors(self.said), np.zeros(1, np.float32)))
        return self.mask(author, **conditions) * found[self.message]

    @property
    def said(self) -> Said:
        """Who said the messages, and what they weigh."""
        return said_of(self.rendering)


def said_of(rendering: Rendered) -> Said:
    """Who said the messages of a rendering, and what they weigh."""
    filled = getattr(rendering, "filled", None)
    if filled is not None:
        return filled.mould
    messages = rendering.conversation.messages
    return _Said(
        rendering.authors,
        tuple(message.role for message in messages),
        tuple(message.name for message in messages),
        tuple(message.weight for message in messages),
    )


class _Said(NamedTuple):
    """Who said the messages of a conversation."""

    authors: tuple[Author, ...]
    roles: tuple[str, ...]
    names: tuple[str | None, ...]
    weights: tuple[float | None, ...]


def encode(rendering: Rendered, tokenizer: Tokenizer, *, missing: int | None = None) -> Encoding:
    """Encode a rendering.

    Args:
        rendering: What to encode.
        tokenizer: The vocabulary.
        missing: Id to write for control tokens that the vocabulary lacks, or None to refuse.

    Raises:
        TokenizerError: If the vocabulary lacks a control token and `missing` is None.
    """
    if missing is None:
        from rolecall.bulk.single import encode_alone

        encoded = encode_alone(rendering, tokenizer)
        if encoded is not None:
            return encoded
    absent = missing_control(rendering.segments, tokenizer)
    if absent and missing is None:
        raise lacking(rendering.writer, tokenizer, absent)
    found = encode_segments(
        rendering.writer, rendering.segments, tokenizer, opened=rendering.opened, missing=missing
    )
    return Encoding(**found._asdict(), rendering=rendering, tokenizer=tokenizer)


def lacking(fmt: Writer, tokenizer: Tokenizer, absent: list[str]) -> TokenizerError:
    """The error for control tokens that a vocabulary lacks."""
    return TokenizerError(
        f"{tokenizer.name} has no token {', '.join(map(repr, absent))}, which "
        f"{fmt.name} writes as structure; add "
        f"{'it' if len(absent) == 1 else 'them'} to the tokenizer as special tokens, or choose "
        "a format this model was trained with"
    )


class Tokens(NamedTuple):
    """The arrays of an `Encoding`, by the names that they have there."""

    ids: npt.NDArray[np.int32]
    message: npt.NDArray[np.int32]
    part: npt.NDArray[np.uint8]
    sampled: npt.NDArray[np.bool_]
    straddles: npt.NDArray[np.bool_]
    lost: tuple[Lost, ...]


def encode_segments(
    fmt: Writer,
    segments: tuple[Segment, ...],
    tokenizer: Tokenizer,
    *,
    opened: int | None = None,
    missing: int | None = None,
    before: Segment | None = None,
) -> Tokens:
    """Encode segments.

    Args:
        fmt: The format that wrote them.
        segments: What to encode.
        tokenizer: The vocabulary; it has every control token, or `missing` is given.
        opened: Of a final message that is left open: its first segment.
        missing: Id to write for control tokens that the vocabulary lacks.
        before: What stands before the first segment, or None at the start of a document. Text
            behind text is not joined to it.
    """
    items = runs_of(segments, opened, before, dummy_prefix=fmt.dummy_prefix)
    texts = _texts(segments, items, tokenizer, before)
    encoded = iter(
        tokenizer.encode_runs([(run.text, run.start) for run in texts], frozenset(fmt.control))
    )
    ids: list[int] = []
    spans: list[Span] = []
    bases: list[int] = []
    counts: list[int] = []
    bounds = np.cumsum([0, *(len(segment.text) for segment in segments)])
    waiting = iter(texts)
    for item in items:
        if isinstance(item, int):
            token = segments[item].text
            found = tokenizer.control_id(token)
            ids.append(missing if found is None else found)  # type: ignore[arg-type]
            spans.append((0, len(token)))
            bases.append(int(bounds[item]))
            counts.append(1)
            continue
        run_ids, run_spans = next(encoded)
        ids += run_ids
        spans += run_spans
        bases.append(int(bounds[item.segments[0]]) + next(waiting).skipped)
        counts.append(len(run_ids))
    places = np.array(spans, np.int64).reshape(-1, 2) + np.repeat(bases, counts)[:, None]
    return _arrays(segments, ids, places, bounds[1:], tokenizer, texts)


def missing_control(segments: tuple[Segment, ...], tokenizer: Tokenizer) -> list[str]:
    """The control tokens of a rendering that a vocabulary lacks, each once."""
    tokens = dict.fromkeys(segment.text for segment in segments if segment.control)
    return [token for token in tokens if tokenizer.control_id(token) is None]


class _Text(NamedTuple):
    """What of a run is encoded."""

    text: str
    start: RunStart
    skipped: int
    """Characters on the left that the control token before them swallows."""
    swallowed: frozenset[int]
    """The caller's messages of whose own text white space is swallowed."""


def _texts(
    segments: tuple[Segment, ...],
    items: list[int | Run],
    tokenizer: Tokenizer,
    before: Segment | None,
) -> list[_Text]:
    """The text of each run without the white space that the control tokens around it swallow.

    Where a token swallows all of a run, it goes on with the run that was cut from it: to that one
    it is the neighbour, for the reference tokenizers as for a model that samples after it.
    """
    texts: list[_Text] = []
    swallowing = before is not None and before.control and tokenizer.swallows_right(before.text)
    behind_control = False
    for position, item in enumerate(items):
        if isinstance(item, int):
            swallowing = tokenizer.swallows_right(segments[item].text)
            behind_control = False
            continue
        whole = "".join(segments[index].text for index in item.segments)
        text = whole.lstrip(WHITE_SPACE) if swallowing else whole
        skipped = len(whole) - len(text)
        after = items[position + 1] if position + 1 < len(items) else None
        if isinstance(after, int) and tokenizer.swallows_left(segments[after].text):
            text = text.rstrip(WHITE_SPACE)
        start = RunStart.SECTION if behind_control else item.start
        swallowed = frozenset[int]()
        if len(text) != len(whole):
            swallowed = _swallowed(segments, item, skipped, skipped + len(text))
        texts.append(_Text(text, start, skipped, swallowed))
        behind_control = swallowing and item.start is not RunStart.CONTINUED and not text
        swallowing = swallowing and not text
    return texts


def _swallowed(segments: tuple[Segment, ...], run: Run, first: int, end: int) -> frozenset[int]:
    """The messages that lose text of their own where only some characters of a run are kept."""
    found: set[int] = set()
    at = 0
    for index in run.segments:
        segment = segments[index]
        begin, at = at, at + len(segment.text)
        if (begin < first or at > end) and segment.part in CALLERS_PARTS:
            found.add(-1 if segment.message is None else segment.message)
    return frozenset(found)


def _respelled(segments: tuple[Segment, ...], tokenizer: Tokenizer) -> list[Lost]:
    """Warnings about names and roles that the vocabulary spells as others.

    Ids then tell less of who speaks than the text does.
    """
    found: list[Lost] = []
    for index, segment in enumerate(segments):
        if segment.part not in ("name", "role") or segment.control or segment.text.isascii():
            continue
        # What stands beside it may become one character with its first or last.
        before = segments[index - 1].text[-1:] if index and not segments[index - 1].control else ""
        after = segments[index + 1 : index + 2]
        text = before + segment.text + "".join(s.text[:1] for s in after if not s.control)
        for reason in tokenizer.losses([text], ()):
            detail = f"{segment.text!r} shares its ids with another spelling: {reason}"
            found.append(Lost("warning", "ambiguous", segment.message, segment.part, detail))
    return found


def _arrays(
    segments: tuple[Segment, ...],
    ids: list[int],
    places: npt.NDArray[np.int64],
    bounds: npt.NDArray[np.int64],
    tokenizer: Tokenizer,
    texts: list[_Text],
) -> Tokens:
    """Give each token the segment of its last character.

    Args:
        segments: What was encoded.
        ids: The n token ids.
        places: int64[n, 2]: first character of each token in the rendered text, and the one after
            its last.
        bounds: int64[segments]: the character after the last one of each segment.
        tokenizer: The vocabulary.
        texts: The runs of plain text.
    """
    # A token that spells nothing, such as a lone dummy prefix, belongs to what follows it.
    last = np.searchsorted(bounds, np.maximum(places[:, 1], places[:, 0] + 1))
    first = np.minimum(np.searchsorted(bounds, places[:, 0], side="right"), last)
    message = np.array([-1 if s.message is None else s.message for s in segments] or [0], np.int32)
    part = np.array([PART_CODE[s.part] for s in segments] or [0], np.uint8)
    # Segments that are not sampled, counted: a token is sampled if it spans none of them.
    unsampled = np.cumsum([0, *(not segment.sampled for segment in segments)])
    lost = [
        Lost("note", "tokenizer", None, "content", reason)
        for reason in tokenizer.losses(
            [run.text for run in texts], ids, [run.start for run in texts]
        )
    ]
    detail = f"control tokens of {tokenizer.name} swallow the white space beside this text"
    lost += [
        Lost("note", "tokenizer", None if message < 0 else message, "content", detail)
        for message in sorted(frozenset[int]().union(*(run.swallowed for run in texts)))
    ]
    lost += _respelled(segments, tokenizer)
    return Tokens(
        ids=np.array(ids, dtype=np.int32),
        message=message[last],
        part=part[last],
        sampled=unsampled[last + 1] == unsampled[first],
        straddles=first != last,
        lost=tuple(lost),
    )
