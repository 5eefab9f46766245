"""What encoding needs of a vocabulary, and what every engine does alike."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from rolecall.errors import TokenizerError
from rolecall.runs import RunStart
from rolecall.tokenizers.fast import Flat, join

Span = tuple[int, int]
"""First character of a token and the one after its last, in the text that was encoded."""


@runtime_checkable
class Tokenizer(Protocol):
    """What encoding needs of a vocabulary."""

    @property
    def name(self) -> str:
        """What it is called in messages."""
        ...

    @property
    def control(self) -> Mapping[str, int]:
        """Every control token of the vocabulary with its id."""
        ...

    def control_id(self, token: str) -> int | None:
        """The id of an added token, or None where the vocabulary has none of that text."""
        ...

    def swallows_left(self, token: str) -> bool:
        """Whether the reference drops white space before this control token."""
        ...

    def swallows_right(self, token: str) -> bool:
        """Whether the reference drops white space after this control token."""
        ...

    def encode_runs(
        self, runs: Sequence[tuple[str, RunStart]], control: frozenset[str]
    ) -> list[tuple[list[int], list[Span]]]:
        """Encode runs of plain text; neither own control tokens nor those in `control` match."""
        ...

    @property
    def engine(self) -> str:
        """The package whose ids are given out, which is as exact as the reference."""
        ...

    @property
    def engine_note(self) -> str:
        """Why a faster one is not used, or nothing."""
        ...

    def encode_flat(
        self,
        texts: Sequence[str],
        start: RunStart,
        control: frozenset[str],
        *,
        parallel: bool = True,
    ) -> Flat:
        """Encode runs of plain text that begin alike, in bulk: the ids of `encode_runs`.

        Args:
            texts: The runs.
            start: What stands before each of them.
            control: Added tokens that are structure, even if they count as text elsewhere.
            parallel: Whether the engine may use its threads.
        """
        ...

    @property
    def widths(self) -> npt.NDArray[np.int32]:
        """By id, how many UTF-8 bytes it spells inside a run; -1 where that cannot be counted on.

        For texts that are not among `odd_texts`, the widths of the ids of a run add up to the bytes
        of its text, and one more where `adds_space`, or the vocabulary does not know some of it.
        """
        ...

    def odd_texts(self, texts: Sequence[str], start: RunStart) -> Sequence[int]:
        """The indices of runs of which `losses` may have something to say, or a few more.

        Of all others it has nothing to say, whatever their ids, unless the widths do not add up.
        """
        ...

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids, control tokens included."""
        ...

    def token_text(self, token: int) -> str | None:
        """The string of an added or control token, those that count as text included.

        None for every other id.
        """
        ...

    def token_bytes(self, token: int) -> bytes | None:
        """The UTF-8 bytes that an id spells inside a run; None outside the vocabulary.

        One id may hold part of a character. White space stands as white space, a byte token is that
        byte, an unknown piece is U+FFFD, and an added token is its string. The bytes of the ids of
        a run, without the space of `adds_space`, are the run's text, up to `losses`.
        """
        ...

    def adds_space(self, start: RunStart, *, behind: int | None = None) -> bool:
        """Whether encoding puts a space in front of a run that its text does not have.

        Args:
            start: What stands before the run.
            behind: Id of an added token inside the run that is text; then the question is about
                the text that follows it, which some engines treat as another beginning.
        """
        ...

    def losses(
        self, texts: Sequence[str], ids: Sequence[int], starts: Sequence[RunStart] = ()
    ) -> list[str]:
        """What of the texts the vocabulary does not round-trip, one sentence each.

        Args:
            texts: Runs of plain text.
            ids: What they were encoded to, or nothing where that does not matter.
            starts: What stands before each of the texts. Without it they are not taken for the
                beginnings of runs.
        """
        ...


def _tags(names: str) -> frozenset[str]:
    return frozenset(f"<{slash}{name}>" for name in names.split() for slash in ("", "/"))


HTML_TAGS = _tags(
    "table caption thead tbody tfoot tr th td h1 h2 h3 h4 h5 h6 "
    "blockquote strong em b i u s sub sup code"
)
"""Gemma's HTML tags: added tokens that are text. They count as text only in a vocabulary that holds
them all, since others use some of these strings as structure."""

LATER_HTML_TAGS = _tags("a html body img span bbox ul li div iframe footer")
"""What Gemma 3 added to them; text under the same condition."""

_TEXT_RUN = re.compile(r"[\n\t\r \u2581]+|[0-9]")
"""Runs of white space (Gemma, Exaone) and single digits (Ernie): added tokens that are text."""


def is_text_token(token: str, *, special: bool, added: frozenset[str]) -> bool:
    """Whether an added token is text by the reviewed table, and not control.

    Args:
        token: The characters of the token.
        special: Whether the vocabulary flags it special; then it is control.
        added: Every added token of the vocabulary.
    """
    if special:
        return False
    if _TEXT_RUN.fullmatch(token) is not None:
        return True
    return token in HTML_TAGS | LATER_HTML_TAGS and added >= HTML_TAGS


REPLACEMENT = "\ufffd".encode()
"""What an unknown piece spells: U+FFFD."""


def need(module: str, package: str, extra: str) -> Any:
    """Import an optional package.

    Raises:
        TokenizerError: If it is not installed; the error says which extra brings it.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise TokenizerError(
            f"this tokenizer needs the package {package}: pip install 'rolecall[{extra}]'"
        ) from None


class ControlFree:
    """Encodes runs and makes sure that no control id comes out of plain text."""

    control: Mapping[str, int]
    control_ids: frozenset[int]
    engine_note: str = ""

    @property
    def widths(self) -> npt.NDArray[np.int32]:
        """By id, how many bytes it spells; see `Tokenizer.widths`."""
        return self._widths

    @cached_property
    def _widths(self) -> npt.NDArray[np.int32]:
        raise NotImplementedError

    def control_id(self, token: str) -> int | None:
        """The id of a control token, or None."""
        return self.control.get(token)

    def swallows_left(self, token: str) -> bool:
        """Never, unless an engine knows such a flag."""
        return False

    def swallows_right(self, token: str) -> bool:
        """Never, unless an engine knows such a flag."""
        return False

    def adds_space(self, start: RunStart, *, behind: int | None = None) -> bool:
        """Never, unless an engine says so."""
        return False

    def encode_plain(
        self, runs: Sequence[tuple[str, RunStart]], control: frozenset[str]
    ) -> list[tuple[list[int], list[Span]]]:
        """Encode with the engine, control tokens switched off as far as the engine can."""
        raise NotImplementedError

    def possible_ids(self) -> Iterable[int]:
        """The ids that `encode_plain` may give, or more."""
        return self.control_ids

    def flat(
        self, texts: Sequence[str], start: RunStart, control: frozenset[str], *, parallel: bool
    ) -> Flat:
        """The ids of `encode_plain`, in bulk."""
        return join([ids for ids, _ in self.encode_plain([(t, start) for t in texts], control)])

    def encode_flat(
        self,
        texts: Sequence[str],
        start: RunStart,
        control: frozenset[str],
        *,
        parallel: bool = True,
    ) -> Flat:
        """Encode runs in bulk; see `Tokenizer.encode_flat`."""
        found = self.flat(texts, start, control, parallel=parallel)
        table = self._is_control
        if table is None:
            return found
        forbidden = table[found.ids]
        if not forbidden.any():
            return found
        bounds = found.offsets.tolist()
        parts: list[Any] = [found.ids[bounds[i] : bounds[i + 1]] for i in range(len(texts))]
        hit = np.searchsorted(found.offsets, np.flatnonzero(forbidden), side="right") - 1
        for index in map(int, np.unique(hit)):
            parts[index] = self.encode_runs([(texts[index], start)], control)[0][0]
        return join(parts)

    @cached_property
    def _is_control(self) -> npt.NDArray[np.bool_] | None:
        """By id, whether it must not come out of text; None where the engine cannot give any."""
        if self.control_ids.isdisjoint(self.possible_ids()):
            return None
        found = np.zeros(max(len(self.widths), *self.control_ids, 0) + 1, np.bool_)
        found[[*self.control_ids]] = True
        return found

    def encode_runs(
        self, runs: Sequence[tuple[str, RunStart]], control: frozenset[str]
    ) -> list[tuple[list[int], list[Span]]]:
        """Encode runs; see `Tokenizer.encode_runs`."""
        return [
            encoded
            if self.control_ids.isdisjoint(encoded[0])
            else self._split(text, start, encoded, control)
            for (text, start), encoded in zip(runs, self.encode_plain(runs, control), strict=True)
        ]

    def _split(
        self,
        text: str,
        start: RunStart,
        encoded: tuple[list[int], list[Span]],
        control: frozenset[str],
    ) -> tuple[list[int], list[Span]]:
        """Encode again in pieces, cut inside each text that became a control token."""
        cuts = [0]
        for token, (first, end) in zip(*encoded, strict=True):
            if token not in self.control_ids:
                continue
            if end - first < 2:
                raise TokenizerError(
                    f"the character {text[first:end]!r} is a control token of this vocabulary and "
                    "has no other spelling in it; replace it in the text"
                )
            cuts.append(first + 1)
        starts = [start, *[RunStart.CONTINUED] * (len(cuts) - 1)]
        pieces = [text[begin:end] for begin, end in zip(cuts, [*cuts[1:], None], strict=True)]
        ids: list[int] = []
        spans: list[Span] = []
        for begin, piece in zip(
            cuts, self.encode_runs(list(zip(pieces, starts, strict=True)), control), strict=True
        ):
            ids += piece[0]
            spans += [(first + begin, end + begin) for first, end in piece[1]]
        return ids, spans


def spans_of(text: str, widths: npt.NDArray[np.integer[Any]], name: str) -> list[Span]:
    """Character spans of tokens from how many bytes of the text each of them spells.

    Raises:
        TokenizerError: If the tokens do not spell the text byte for byte.
    """
    ends = np.cumsum(widths, dtype=np.int64)
    begins = ends - widths
    data = text.encode()
    if (int(ends[-1]) if len(ends) else 0) != len(data):
        raise TokenizerError(f"{name} rewrites the text before encoding it; it cannot be traced")
    if len(data) != len(text):
        # The character of each byte: bytes that go on with one begin with the bits 10.
        of = np.cumsum((np.frombuffer(data, np.uint8) & 0xC0) != 0x80) - 1
        spelled = widths > 0
        begins = np.where(spelled, of[np.minimum(begins, len(data) - 1)], 0)
        ends = np.where(spelled, of[ends - 1] + 1, 0)
    return [*zip(begins.tolist(), ends.tolist(), strict=True)]
