"""SentencePiece ``.model`` files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from rolecall.errors import TokenizerError
from rolecall.tokenizers.base import (
    REPLACEMENT,
    ControlFree,
    RunStart,
    Span,
    is_text_token,
    need,
    spans_of,
)
from rolecall.tokenizers.fast import Flat, join, use_threads

USER_DEFINED = 4
"""Type of a piece that was added by hand. Source: sentencepiece_model.proto."""


class SentencePieceTokenizer(ControlFree):
    """A SentencePiece ``.model`` file, with its dummy prefix under our control."""

    def __init__(self, model: bytes, name: str) -> None:
        """Read a model.

        Args:
            model: The serialized model.
            name: What to call it in messages.

        Raises:
            TokenizerError: If it is no SentencePiece model, or the package is missing.
        """
        package = need("sentencepiece", "sentencepiece", "sentencepiece")
        self.name = name
        try:
            self._plain = package.SentencePieceProcessor(model_proto=_no_dummy_prefix(model))
            self._prefixed = package.SentencePieceProcessor(model_proto=model)
            self._adds_space = _dummy_prefix(model)
        except (RuntimeError, IndexError, ValueError) as error:
            raise TokenizerError(f"{name} is no SentencePiece model: {error}") from None
        count = range(self._plain.vocab_size())
        self._pieces: list[str] = [self._plain.id_to_piece(index) for index in count]
        user_defined = _user_defined(model)
        structure = {
            piece
            for piece in user_defined
            if not is_text_token(piece, special=False, added=user_defined)
        }
        self.control = {
            piece: index
            for index, piece in enumerate(self._pieces)
            if self._plain.is_control(index) or piece in structure
        }
        self.control_ids = frozenset(self.control.values())
        self._added = {
            index: piece
            for index, piece in enumerate(self._pieces)
            if piece in self.control or piece in user_defined
        }

    engine = "sentencepiece"

    @cached_property
    def _widths(self) -> npt.NDArray[np.int32]:
        found = self._traced.copy()
        found[[*self.control_ids]] = -1
        if self._plain.unk_id() >= 0:
            found[self._plain.unk_id()] = -1
        return found

    @cached_property
    def _traced(self) -> npt.NDArray[np.int32]:
        """How many bytes each id is taken for where tokens are traced to their characters."""
        return np.array(
            [
                1 if self._plain.is_byte(index) else len(piece.replace("\u2581", " ").encode())
                for index, piece in enumerate(self._pieces)
            ],
            np.int32,
        )

    def odd_texts(self, texts: Sequence[str], start: RunStart) -> Sequence[int]:
        """Those that have the character that SentencePiece writes spaces with."""
        if "\u2581" not in "".join(texts):
            return ()
        return [index for index, text in enumerate(texts) if "\u2581" in text]

    def encode_plain(
        self, runs: Sequence[tuple[str, RunStart]], control: frozenset[str]
    ) -> list[tuple[list[int], list[Span]]]:
        """Encode runs; only user-defined pieces come out of text, and are split up again."""
        result: list[tuple[list[int], list[Span]]] = []
        for given, start in runs:
            text = given.replace("\u2581", " ")
            if not self.adds_space(start):
                ids: list[int] = self._plain.encode(text)
                result.append((ids, self._spans(text, ids)))
                continue
            ids = self._prefixed.encode(text)
            prefixed = self._spans(" " + text, ids) if ids else []
            result.append((ids, [(max(0, first - 1), end - 1) for first, end in prefixed]))
        return result

    def flat(
        self, texts: Sequence[str], start: RunStart, control: frozenset[str], *, parallel: bool
    ) -> Flat:
        """The ids of `encode_plain`, in bulk."""
        engine = self._prefixed if self.adds_space(start) else self._plain
        threads = -1 if use_threads(texts, parallel=parallel) else 1
        given = [text.replace("\u2581", " ") for text in texts]
        return join(engine.encode(given, num_threads=threads))

    def _spans(self, text: str, ids: list[int]) -> list[Span]:
        return spans_of(text, self._traced[ids], self.name)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids, control pieces by name, spaces as they stand."""
        data = bytearray()
        for index in ids:
            data += self._spelling(index)
        return data.decode(errors="replace")

    def _spelling(self, index: int) -> bytes:
        piece = self._pieces[index]
        if self._plain.is_byte(index):
            return bytes([int(piece[3:-1], 16)])
        return piece.replace("\u2581", " ").encode()

    @cached_property
    def _bytes(self) -> list[bytes]:
        """What each piece spells inside a run, by id."""
        spelled = [self._spelling(index) for index in range(len(self._pieces))]
        for index, piece in self._added.items():
            if index in self.control_ids:
                spelled[index] = piece.encode()
        if self._plain.unk_id() >= 0:
            spelled[self._plain.unk_id()] = REPLACEMENT
        return spelled

    def token_text(self, token: int) -> str | None:
        """The control or user-defined piece of an id, or None."""
        return self._added.get(token)

    def token_bytes(self, token: int) -> bytes | None:
        """The bytes of a piece; see `Tokenizer.token_bytes`."""
        return self._bytes[token] if 0 <= token < len(self._bytes) else None

    def adds_space(self, start: RunStart, *, behind: int | None = None) -> bool:
        """Whether the model has a dummy prefix and the run begins where the reference begins."""
        return self._adds_space and behind is None and start is not RunStart.CONTINUED

    def losses(
        self, texts: Sequence[str], ids: Sequence[int], starts: Sequence[RunStart] = ()
    ) -> list[str]:
        """The character that SentencePiece writes spaces with, and unknown pieces."""
        found: list[str] = []
        if any("\u2581" in text for text in texts):
            found.append(f"{self.name} cannot tell the character U+2581 from a space")
        if self._plain.unk_id() in ids:
            found.append(f"{self.name} does not know some characters")
        return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at a place, and the place after it."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7


def _written(value: int) -> bytes:
    data = bytearray()
    while value >= 0x80:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*data, value])


def _fields(data: bytes) -> Iterator[tuple[int, int, bytes | int]]:
    """Number, place and value of each field of a serialized message.

    Source: sentencepiece_model.proto of the SentencePiece project.
    """
    at = 0
    while at < len(data):
        begin = at
        tag, at = _varint(data, at)
        value: bytes | int
        match tag & 7:
            case 0:
                value, at = _varint(data, at)
            case 2:
                length, at = _varint(data, at)
                value, at = data[at : at + length], at + length
            case 5:
                value, at = data[at : at + 4], at + 4
            case _:
                raise ValueError("unexpected wire type")
        yield tag >> 3, begin, value


def _user_defined(model: bytes) -> frozenset[str]:
    """The pieces (field 1) whose type (field 1.3) is USER_DEFINED: text always becomes them."""
    found: set[str] = set()
    for number, _, piece in _fields(model):
        if number != 1 or isinstance(piece, int):
            continue
        fields = {number: value for number, _, value in _fields(piece)}
        text = fields.get(1)
        if fields.get(3) == USER_DEFINED and isinstance(text, bytes):
            found.add(text.decode())
    return frozenset(found)


def _dummy_prefix(model: bytes) -> bool:
    """``normalizer_spec.add_dummy_prefix`` (field 3.3), which is true where it is not written."""
    found = True
    for number, _, spec in _fields(model):
        if number == 3 and isinstance(spec, bytes):
            for inner, _, value in _fields(spec):
                if inner == 3:
                    found = bool(value)
    return found


def _no_dummy_prefix(model: bytes) -> bytes:
    """The serialized model with ``normalizer_spec.add_dummy_prefix`` (field 3.3) set to false.

    Protocol buffers take the last value of a field, so the setting is appended to the message.
    """
    for number, begin, value in _fields(model):
        if number == 3 and isinstance(value, bytes):
            tag, length = _written(3 << 3 | 2), _written(len(value))
            end = begin + len(tag) + len(length) + len(value)
            inner = value + b"\x18\x00"
            return model[:begin] + tag + _written(len(inner)) + inner + model[end:]
    raise ValueError("there is no normalizer_spec")
