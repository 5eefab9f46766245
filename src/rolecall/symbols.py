"""Ids or text to symbols: plain characters, and one character for each control token.

What reads a format's turns reads this one stream, whether ids or text came in, and in whatever
pieces. Ids are the truth: only ids of control tokens become control symbols then. In text every
string that spells a control token of the format is one, since text cannot say otherwise.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from operator import index
from typing import TYPE_CHECKING, Literal, NamedTuple, SupportsIndex, cast

from rolecall.errors import InputError
from rolecall.runs import RunStart

if TYPE_CHECKING:
    from rolecall.tokenizers import Tokenizer

FOREIGN = "\udfff"
"""Symbol of every control token that the format does not have."""

REPLACEMENT = "\ufffd"

Problem = Literal["", "outside-vocabulary", "malformed-utf8", "lone-surrogate"]

_ESCAPED = re.compile("[\udc80-\udcff]+|[^\udc80-\udcff]+")
"""What decoding with ``surrogateescape`` made of bytes that are no UTF-8, and the rest."""

_SURROGATES = re.compile("[\ud800-\udfff]+|[^\ud800-\udfff]+")


class Chunk(NamedTuple):
    """Plain characters, or one control token, or something that has no characters."""

    text: str
    """Characters, complete ones; or one control symbol; or nothing for an id that spells nothing
    because it is outside the vocabulary."""
    first: int
    """The first id it came from, counted from the first that was fed; of text and of bytes, its
    first character."""
    end: int
    """The id or character after its last. A character in pieces shares an id with those beside."""
    token: str = ""
    """The string of the control token, if it is one; of an id outside the vocabulary, the id."""
    problem: Problem = ""
    """Why it is not what was written: an id ``outside-vocabulary``; bytes that are
    ``malformed-utf8`` or a ``lone-surrogate``, for which U+FFFD stands."""


def is_text(given: object) -> bool:
    """Whether something is text, as characters or as UTF-8; else it is ids."""
    if isinstance(given, (str, bytes, bytearray)):
        return True
    return isinstance(given, memoryview) and given.itemsize == 1


def whole_numbers(given: object) -> list[int]:
    """One id, or several, as a list.

    Raises:
        InputError: If it is none of those.
    """
    several = cast("Iterable[SupportsIndex]", given)
    try:
        if isinstance(given, (list, tuple)):
            return [index(number) for number in several]
        return [index(cast("SupportsIndex", given))]
    except TypeError:
        pass
    try:
        return [index(number) for number in several]
    except TypeError:
        raise InputError(
            f"found {type(several).__name__}; give token ids, which are whole numbers, or text"
        ) from None


class Symbols:
    """Turns what is fed into symbols, one stream each.

    Cutting what is fed into other pieces changes nothing but where chunks of plain characters are
    cut. The cost of an id or character does not depend on what came before it.
    """

    def __init__(
        self,
        control: Mapping[str, str],
        tokenizer: Tokenizer | None = None,
        start: RunStart = RunStart.DOCUMENT,
        *,
        section: RunStart = RunStart.SECTION,
    ) -> None:
        """Begin a stream.

        Args:
            control: The format's control tokens, each with its symbol, a lone surrogate.
            tokenizer: The vocabulary of the ids; not needed for text.
            start: What stands before the first id.
            section: How text behind a control token begins: `RunStart.CONTINUED` for formats that
                write the vocabulary's space themselves.
        """
        self._control = control
        self._tokenizer = tokenizer
        self._section = section
        self._given: Literal["ids", "text"] | None = None
        self._at = 0
        # Bytes of a character that is not complete yet, three at most.
        self._held = b""
        # Of ids: the first of those that no chunk has told about.
        self._from: int | None = None
        self._run = start
        self._drops = tokenizer is not None and tokenizer.adds_space(start)
        # Of text: what may be the beginning of a control token.
        self._tail: str = ""

    @property
    def position(self) -> int:
        """How many ids were fed; of text, how many characters came before what is held back."""
        return self._at

    def feed_ids(self, ids: Iterable[int]) -> list[Chunk]:
        """The symbols that ids complete.

        Args:
            ids: Any number of the ids that come next; numbers outside the vocabulary too.

        Raises:
            InputError: If there is no tokenizer, this stream was given text before, or something
                is no whole number.
        """
        tokenizer = self._tokenizer
        if tokenizer is None:
            raise InputError("ids can only be read with their tokenizer; pass tokenizer=")
        chunks: list[Chunk] = []
        token_text, token_bytes = tokenizer.token_text, tokenizer.token_bytes
        for given in ids:
            if self._given != "ids":
                self._takes("ids")
            try:
                number = index(given)
            except TypeError:
                kind = type(given).__name__
                raise InputError(f"an id is a whole number, not a {kind}") from None
            at = self._at
            self._at += 1
            added = token_text(number)
            if added is None:
                data = token_bytes(number)
                # Nearly every id: plain characters, with nothing left over from those before.
                if data and self._from is None and not self._drops and data.isascii():
                    chunks.append(Chunk(data.decode("ascii"), at, at + 1))
                    continue
            else:
                symbol = self._control.get(added)
                if symbol is None and added in tokenizer.control:
                    symbol = FOREIGN
                if symbol is not None:
                    self._interrupt(chunks, at)
                    chunks.append(Chunk(symbol, at, at + 1, token=added))
                    self._run = self._section
                    self._drops = tokenizer.adds_space(self._section)
                    continue
                data = token_bytes(number)
            if data is None:
                self._interrupt(chunks, at)
                problem: Problem = "outside-vocabulary"
                chunks.append(Chunk("", at, at + 1, token=f"id {number}", problem=problem))
                continue
            if self._drops and data:
                # An added token that begins with a space of its own was found in the text.
                if data[0] == 0x20 and (added is None or added[0] != " "):
                    data = data[1:]
                self._drops = False
            if added is not None:
                self._drops = tokenizer.adds_space(self._run, behind=number)
            self._spell(chunks, data, at)
        return chunks

    def feed_text(self, text: str | bytes | bytearray | memoryview) -> list[Chunk]:
        """The symbols that text completes.

        Args:
            text: What comes next, as characters or as UTF-8, cut anywhere.

        Raises:
            InputError: If this stream was given ids before.
        """
        if not text:
            return []
        self._takes("text")
        chunks: list[Chunk] = []
        if isinstance(text, str):
            # The bytes before were to be completed by bytes.
            self._finish_bytes(chunks)
            if text.isascii():
                self._read(chunks, text)
                return chunks
            for piece in _SURROGATES.findall(text):
                if "\ud800" <= piece[0] <= "\udfff":
                    self._replace(chunks, len(piece), "lone-surrogate")
                else:
                    self._read(chunks, piece)
            return chunks
        for piece in self._decode(bytes(text)):
            if _is_escaped(piece):
                self._replace(chunks, len(_replaced(piece)), "malformed-utf8")
            else:
                self._read(chunks, piece)
        return chunks

    def finish(self) -> list[Chunk]:
        """What was held back.

        An incomplete character is U+FFFD; the beginning of a control token is plain text.
        """
        chunks: list[Chunk] = []
        if self._given == "ids":
            self._interrupt(chunks, self._at)
        else:
            self._finish_bytes(chunks)
            self._read(chunks, "", final=True)
        return chunks

    def _takes(self, given: Literal["ids", "text"]) -> None:
        if self._given is None:
            self._given = given
        elif self._given != given:
            raise InputError(
                f"this stream was given {self._given} before and cannot go on with {given}; feed "
                "one of them, or begin another stream"
            )

    def _decode(self, data: bytes) -> list[str]:
        """Complete characters, and apart from them, escaped, bytes that cannot become any."""
        if not self._held and data.isascii():
            return [data.decode("ascii")] if data else []
        data = self._held + data
        # Each byte that is no UTF-8 becomes a surrogate, which UTF-8 itself cannot spell.
        text, used = codecs.utf_8_decode(data, "surrogateescape", False)
        self._held = data[used:]
        return _ESCAPED.findall(text)

    # Of ids

    def _spell(self, chunks: list[Chunk], data: bytes, at: int) -> None:
        """The characters that the bytes of one id complete."""
        first = at if self._from is None else self._from
        held = len(self._held)
        pieces = self._decode(data)
        done = 0
        for piece in pieces:
            text, problem = piece, cast("Problem", "")
            if _is_escaped(piece):
                text, problem = _replaced(piece), "malformed-utf8"
            begin, done = done, done + len(piece.encode(errors="surrogateescape"))
            # Bytes held before are of earlier ids, and so is a space that was dropped.
            chunks.append(
                Chunk(
                    text,
                    first if begin < held or not begin else at,
                    at if done <= held else at + 1,
                    problem=problem,
                )
            )
        if not pieces:
            self._from = first
        elif self._held:
            self._from = at
        else:
            self._from = None

    def _interrupt(self, chunks: list[Chunk], at: int) -> None:
        """Characters cannot go on behind this place."""
        if self._held:
            first = at if self._from is None else self._from
            chunks.append(
                Chunk(self._held.decode(errors="replace"), first, at, problem="malformed-utf8")
            )
            self._held = b""
        # A space that the vocabulary put in front of no text stands for nothing.
        self._from = None

    # Of text

    def _finish_bytes(self, chunks: list[Chunk]) -> None:
        if self._held:
            count = len(self._held.decode(errors="replace"))
            self._held = b""
            self._replace(chunks, count, "malformed-utf8")

    def _replace(self, chunks: list[Chunk], count: int, problem: Problem) -> None:
        """Characters that stand for others, which end what was held back."""
        self._read(chunks, "", final=True)
        at = self._at
        self._at += count
        chunks.append(Chunk(REPLACEMENT * count, at, self._at, problem=problem))

    def _read(self, chunks: list[Chunk], text: str, *, final: bool = False) -> None:
        """Find control tokens in what was held back and what comes next.

        Args:
            chunks: Where the symbols go.
            text: The characters that come next.
            final: Whether nothing follows, so that nothing can be held back.
        """
        text = self._tail + text
        scanner = _scanner(tuple(self._control))
        first = self._at
        done = 0
        held = len(text) if final else scanner.undecided(text, done)
        while True:
            if held < done:
                held = scanner.undecided(text, done)
            found = None if scanner.tokens is None else scanner.tokens.search(text, done)
            stop = held if found is None else min(held, found.start())
            if stop > done:
                chunks.append(Chunk(text[done:stop], first + done, first + stop))
                done = stop
            # A token that could still become a longer one is held back like its beginnings.
            if found is None or found.start() >= held:
                break
            done = found.end()
            token = found[0]
            at = first + found.start()
            chunks.append(Chunk(self._control[token], at, first + done, token=token))
        self._tail = text[done:]
        self._at = first + done


def _is_escaped(piece: str) -> bool:
    return "\udc80" <= piece[0] <= "\udcff"


def _replaced(escaped: str) -> str:
    """One U+FFFD for each sequence that is no UTF-8, as ``errors="replace"`` has it."""
    return escaped.encode(errors="surrogateescape").decode(errors="replace")


class _Scanner:
    """Finds control tokens in text."""

    def __init__(self, tokens: tuple[str, ...]) -> None:
        longest_first = sorted(filter(None, tokens), key=len, reverse=True)
        self.tokens = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None
        self._beginnings = {
            token[:length] for token in longest_first for length in range(1, len(token))
        }
        self._first = {token[0] for token in longest_first}
        self._longest = max((len(token) for token in longest_first), default=1)

    def undecided(self, text: str, begin: int) -> int:
        """Where the longest end of a text stands that is the beginning of a control token."""
        for at in range(max(begin, len(text) - self._longest + 1), len(text)):
            if text[at] in self._first and text[at:] in self._beginnings:
                return at
        return len(text)


@lru_cache(maxsize=64)
def _scanner(tokens: tuple[str, ...]) -> _Scanner:
    return _Scanner(tokens)
