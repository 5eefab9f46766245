"""``tokenizer.json`` files, run by a fast engine and by the ``tokenizers`` package."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from rolecall.errors import TokenizerError
from rolecall.tokenizers.base import (
    REPLACEMENT,
    ControlFree,
    RunStart,
    Span,
    is_text_token,
    spans_of,
)
from rolecall.tokenizers.choice import BYTE_ALPHABET, MARK, load, steps
from rolecall.tokenizers.fast import Engine, Flat, encode_with, join
from rolecall.tokenizers.source import Model, dumps, loads
from rolecall.tokenizers.unicode import is_normalized

UNICODE_FORMS = frozenset(("NFC", "NFD", "NFKC", "NFKD"))
"""Normalizers that change no ASCII text."""

REFERENCE = "tokenizers"
"""The package whose ids are right by definition."""

_BYTE_PIECE = re.compile("<0x([0-9A-Fa-f]{2})>")


class HuggingFaceTokenizer(ControlFree):
    """A ``tokenizer.json`` run by a fast engine, and by the ``tokenizers`` package."""

    def __init__(self, source: str | dict[str, Any], name: str, *, fast: bool = True) -> None:
        """Read a tokenizer.

        Args:
            source: The JSON text of ``tokenizer.json``, or what it says.
            name: What to call it in messages.
            fast: Whether the engine is to be the one that is fast over much text.

        Raises:
            TokenizerError: If the JSON is no tokenizer that the package can load.
        """
        self.name = name
        try:
            self._data: dict[str, Any] = loads(source) if isinstance(source, str) else source
            added = cast("list[dict[str, Any]]", self._data["added_tokens"])
            self._tokens = {str(token["content"]): token for token in added}
            self._added = {int(token["id"]): str(token["content"]) for token in added}
            pieces = self._data["model"]["vocab"]
            self._ids: dict[str, int] = (
                pieces
                if isinstance(pieces, dict)
                else {piece: number for number, (piece, _) in enumerate(pieces)}
            )
        except Exception as error:
            raise TokenizerError(f"{name} is no tokenizer.json: {error}") from None
        every = frozenset(self._tokens)
        self._text_tokens = frozenset(
            token
            for token, entry in self._tokens.items()
            if is_text_token(token, special=entry["special"], added=every)
        )
        self.control = {
            token: int(entry["id"])
            for token, entry in self._tokens.items()
            if token not in self._text_tokens
        }
        self.control_ids = frozenset(self.control.values())
        self._wants_fast = fast
        self._plain: dict[tuple[RunStart, frozenset[str]], Any] = {}
        self._fast: dict[tuple[RunStart, frozenset[str]], Engine | None] = {}
        self._chosen: dict[
            tuple[RunStart, frozenset[str]], tuple[Engine | None, frozenset[str]]
        ] = {}
        self._spelled: dict[int, bytes] = {}
        self._adds: dict[tuple[RunStart, bool], bool] = {}
        if self._fast_for(RunStart.SECTION, frozenset()) is None:
            # So that a bad file is told of here.
            self._engine_for(RunStart.SECTION, frozenset())

    def control_id(self, token: str) -> int | None:
        """The id of an added token, or None."""
        entry = self._tokens.get(token)
        return None if entry is None else int(entry["id"])

    def swallows_left(self, token: str) -> bool:
        """Whether the token is flagged ``lstrip``."""
        return bool(self._tokens[token]["lstrip"]) if token in self._tokens else False

    def swallows_right(self, token: str) -> bool:
        """Whether the token is flagged ``rstrip``."""
        return bool(self._tokens[token]["rstrip"]) if token in self._tokens else False

    @property
    def engine(self) -> str:
        """The package whose ids are given out; see `Tokenizer.engine`."""
        fast = self._fast_for(RunStart.SECTION, frozenset())
        return REFERENCE if fast is None else fast.name

    def encode_plain(
        self, runs: Sequence[tuple[str, RunStart]], control: frozenset[str]
    ) -> list[tuple[list[int], list[Span]]]:
        """Encode runs with a vocabulary that has only the added tokens that are text."""
        structure = self._text_tokens & control
        result: list[tuple[list[int], list[Span]]] = [([], [])] * len(runs)
        for start in RunStart:
            chosen = [index for index, run in enumerate(runs) if run[1] is start]
            if not chosen:
                continue
            texts = [runs[index][0] for index in chosen]
            for index, encoded in zip(chosen, self._traced(texts, start, structure), strict=True):
                result[index] = encoded
        return result

    def _traced(
        self, texts: list[str], start: RunStart, structure: frozenset[str]
    ) -> list[tuple[list[int], list[Span]]]:
        """Ids and spans; of texts that the widths do not tell the spans of, by the reference."""
        result: list[tuple[list[int], list[Span]]] = [([], [])] * len(texts)
        fast = self._fast_for(start, structure)
        odd = [*(range(len(texts)) if fast is None else self.odd_texts(texts, start))]
        if fast is not None and len(odd) < len(texts):
            found = self._flat(fast, texts, start, structure, parallel=True)
            widths = self.widths[found.ids]
            bounds = found.offsets.tolist()
            skipped = {*odd}
            prefix = int(self.adds_space(start))
            for index, text in enumerate(texts):
                if index in skipped or not text:
                    continue
                own = slice(bounds[index], bounds[index + 1])
                spans = self._spans(text, widths[own], prefix)
                if spans is None:
                    odd.append(index)
                else:
                    result[index] = (found.ids[own].tolist(), spans)
        if odd:
            batch = self._engine_for(start, structure).encode_batch(
                [texts[index] for index in odd], add_special_tokens=False
            )
            for index, encoded in zip(odd, batch, strict=True):
                result[index] = (encoded.ids, encoded.offsets)
        return result

    def _spans(self, text: str, widths: npt.NDArray[np.int32], prefix: int) -> list[Span] | None:
        """The spans of tokens of these widths; None where they do not add up to the text."""
        if (widths < 0).any() or int(widths.sum()) != len(text.encode()) + prefix:
            return None
        if not prefix:
            return spans_of(text, widths, self.name)
        spans = spans_of(" " + text, widths, self.name)
        # What is put in front belongs to the first character.
        return [(max(first - 1, 0), max(end - 1, 1)) for first, end in spans]

    def flat(
        self, texts: Sequence[str], start: RunStart, control: frozenset[str], *, parallel: bool
    ) -> Flat:
        """The ids of `encode_plain`, in bulk."""
        key = (start, control)
        if key not in self._chosen:
            structure = self._text_tokens & control
            self._chosen[key] = (self._fast_for(start, structure), structure)
        fast, structure = self._chosen[key]
        return self._flat(fast, texts, start, structure, parallel=parallel)

    def possible_ids(self) -> Iterable[int]:
        """The ids of the pieces: the added tokens that are text are no control tokens."""
        return self._ids.values()

    def _flat(
        self,
        fast: Engine | None,
        texts: Sequence[str],
        start: RunStart,
        structure: frozenset[str],
        *,
        parallel: bool,
    ) -> Flat:
        def reference(texts: Sequence[str]) -> Flat:
            engine = self._engine_for(start, structure)
            batch = engine.encode_batch_fast(list(texts), add_special_tokens=False)
            return join([encoded.ids for encoded in batch])

        return encode_with(fast, reference, texts, parallel=parallel)

    def odd_texts(self, texts: Sequence[str], start: RunStart) -> Sequence[int]:
        """Texts that the vocabulary may not round-trip; see `Tokenizer.odd_texts`."""
        if not self._spells_out:
            return range(len(texts))
        # Nearly always all are plain, which is seen at once.
        asked = texts if self._unspelled else [text for text in texts if not text.isascii()]
        if (not asked or self._is_plain("\n".join(asked))) and not (
            start in self._hides_space and any(text.startswith(" ") for text in texts)
        ):
            return ()
        return [
            index
            for index, text in enumerate(texts)
            if not self._is_plain(text) or (text.startswith(" ") and start in self._hides_space)
        ]

    def _is_plain(self, text: str) -> bool:
        if self._writes_spaces_as_marks and MARK in text:
            return False
        if self._unspelled and self._unspelled.search(text.encode()):
            return False
        return all(is_normalized(form, text) for form in self._forms)

    @cached_property
    def _forms(self) -> tuple[str, ...]:
        """The Unicode normal forms that the normalizer brings text into."""
        return tuple(kind for kind in _kinds(self._data.get("normalizer")) if kind in UNICODE_FORMS)

    @cached_property
    def _spells_out(self) -> bool:
        """Whether the ids of ordinary text spell it, byte for byte."""
        if self._changes_ascii or self._bytes_of is None or self._splits_words:
            return False
        if self._joins_words:
            return False
        return not any(
            self.adds_space(start, behind=int(self._tokens[token]["id"]))
            for token in self._text_tokens
            for start in RunStart
        )

    @cached_property
    def _widths(self) -> npt.NDArray[np.int32]:
        size = max(max(self._ids.values(), default=-1), max(self._added, default=-1)) + 1
        found = np.full(size, -1, np.int32)
        numbers = np.fromiter(self._ids.values(), np.int64, len(self._ids))
        found[numbers] = self._piece_widths
        for number in self._added:
            found[number] = len(self.token_bytes(number) or b"")
        if self._unknown is not None:
            found[self._unknown] = -1
        found[[*self.control_ids, *self._rewritten]] = -1
        return found

    @property
    def _piece_widths(self) -> npt.NDArray[np.int32] | list[int]:
        """What each piece spells, in the order of the vocabulary."""
        if self._bytes_of is None:
            return [-1] * len(self._ids)
        if self._bytes_of is _of_byte_alphabet and _ALPHABET.issuperset("".join(self._ids)):
            return [*map(len, self._ids)]
        return [len(self._bytes_of(piece)) for piece in self._ids]

    def encode_parsed(self, text: str, *, special: bool = False) -> list[int]:
        """Encode a whole prompt as transformers does: what spells a control token becomes one.

        Encodings of conversations never use this; the audit shows what comes of it.

        Args:
            text: The prompt.
            special: Add the tokens that the tokenizer itself puts around a text.
        """
        return list(self._full.encode(text, add_special_tokens=special).ids)

    @cached_property
    def _full(self) -> Any:
        """The reference engine with all that the file says, but for truncation."""
        try:
            full = _engine(self._data)
        except Exception as error:
            # The engine reports a bad file with bare exceptions of several kinds.
            raise TokenizerError(f"{self.name} is no tokenizer.json: {error}") from None
        full.no_truncation()
        return full

    def _fast_for(self, start: RunStart, structure: frozenset[str]) -> Engine | None:
        """A fast engine, or None where none is sure to give the ids of the reference."""
        key = (self._like(start), structure)
        if key not in self._fast:
            self._fast[key], self.engine_note = (
                load(lambda: self._runs_data(*key), lambda: self._engine_for(*key))
                if self._wants_fast
                else (None, "asked for the engine that loads fastest")
            )
        return self._fast[key]

    def _engine_for(self, start: RunStart, structure: frozenset[str]) -> Any:
        """The reference engine for runs."""
        key = (self._like(start), structure)
        if key not in self._plain:
            try:
                self._plain[key] = _engine(self._runs_data(*key))
            except Exception as error:
                raise TokenizerError(f"{self.name} is no tokenizer.json: {error}") from None
        return self._plain[key]

    def _like(self, start: RunStart) -> RunStart:
        """The first of the beginnings that are alike to this tokenizer."""
        return next(s for s in RunStart if self._starts[s] == self._starts[start])

    @cached_property
    def _starts(self) -> dict[RunStart, tuple[Any, Any]]:
        """What goes before the model, by what stands before a run."""
        found: dict[RunStart, tuple[Any, Any]] = {}
        for start in RunStart:
            data = _without_prefix(self._data, start)
            found[start] = (data.get("normalizer"), data.get("pre_tokenizer"))
        return found

    def _runs_data(self, start: RunStart, structure: frozenset[str]) -> dict[str, Any]:
        """The tokenizer without its added tokens, but for those that are text."""
        kept = self._text_tokens - structure
        data = _without_prefix(self._data, start)
        data["added_tokens"] = [t for t in data["added_tokens"] if t["content"] in kept]
        data["post_processor"] = None
        data["truncation"] = data["padding"] = None
        if kept and isinstance(data["model"]["vocab"], dict):
            # The engine numbers added tokens that are no pieces by itself, one after the other,
            # and here some before them were left out.
            numbers = {token: int(self._tokens[token]["id"]) for token in kept}
            model = data["model"]
            whole = model.whole() if isinstance(model, Model) else model
            data["model"] = {**whole, "vocab": {**self._ids, **numbers}}
        return data

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids, control tokens included."""
        if self._joins_bytes:
            return b"".join(self.token_bytes(token) or b"" for token in ids).decode(
                errors="replace"
            )
        return str(self._full.decode(list(ids), skip_special_tokens=False))

    @cached_property
    def _joins_bytes(self) -> bool:
        """Whether decoding is joining bytes, for which the reference need not be loaded."""
        decoder = [*_kinds(self._data.get("decoder"))]
        # The reference takes an added token for a piece if it could be one.
        clear = all(
            token.isascii() or not _ALPHABET.issuperset(token) for token in self._added.values()
        )
        return decoder == ["ByteLevel"] and clear and self._unknown is None

    def token_text(self, token: int) -> str | None:
        """The string of an added token, or None."""
        return self._added.get(token)

    def token_bytes(self, token: int) -> bytes | None:
        """The bytes of an id; see `Tokenizer.token_bytes`."""
        found = self._spelled.get(token)
        if found is None and (found := self._spell(token)) is not None:
            self._spelled[token] = found
        return found

    def _spell(self, token: int) -> bytes | None:
        if (added := self._added.get(token)) is not None:
            if token not in self.control_ids and self._writes_spaces_as_marks:
                added = added.replace(MARK, " ")
            return added.encode()
        piece = self._piece_of.get(token)
        if piece is None:
            return None
        if token == self._unknown:
            return REPLACEMENT
        if self._bytes_of is None:
            return self.decode([token]).encode()
        return self._bytes_of(piece)

    @cached_property
    def _piece_of(self) -> dict[int, str]:
        """The pieces of the vocabulary by id, without the added tokens."""
        return {number: piece for piece, number in self._ids.items()}

    @cached_property
    def _unknown(self) -> int | None:
        """The id written for characters that the vocabulary cannot spell."""
        model = self._data["model"]
        if model.get("unk_token"):
            return self._ids.get(model["unk_token"])
        return model.get("unk_id")

    @cached_property
    def _bytes_of(self) -> Callable[[str], bytes] | None:
        """From a piece of the vocabulary to the bytes it spells inside a run.

        None where the decoder takes pieces for more than their characters.
        """
        before = {*_kinds(self._data.get("pre_tokenizer")), *_kinds(self._data.get("normalizer"))}
        model = self._data["model"]
        replaced = [(MARK, " ")] if self._writes_spaces_as_marks else []
        byte_level, byte_fallback = "ByteLevel" in before, bool(model.get("byte_fallback"))
        for step in steps(self._data.get("decoder")):
            match step["type"]:
                case "ByteLevel":
                    byte_level = True
                case "ByteFallback":
                    byte_fallback = True
                case "Metaspace":
                    replaced.append((step["replacement"], " "))
                case "Replace" if "String" in step["pattern"]:
                    replaced.append((step["pattern"]["String"], step["content"]))
                case "WordPiece":
                    return _word_piece(step["prefix"])
                # They join what was spelled, and take off what `adds_space` says was put there.
                case "Fuse" | "Strip":
                    pass
                case _:
                    return None
        if byte_level:
            return _of_byte_alphabet

        def spell(piece: str) -> bytes:
            if piece[:3] == "<0x" and byte_fallback and (byte := _BYTE_PIECE.fullmatch(piece)):
                return bytes([int(byte[1], 16)])
            for old, new in replaced:
                piece = piece.replace(old, new)
            return piece.encode()

        return spell

    def adds_space(self, start: RunStart, *, behind: int | None = None) -> bool:
        """Whether the normalizer or pre-tokenizer begins such a run with a space of its own."""
        normalized = True
        if behind is not None:
            token = self._added.get(behind)
            # Nothing is cut at a token whose string means white space only after normalizing: it
            # came out of the model.
            if token is None or (MARK in token and self._writes_spaces_as_marks):
                return False
            start = RunStart.SECTION if start is RunStart.DOCUMENT else start
            # Tokens that are searched in normalized text cut what has its prefix already.
            normalized = not self._tokens[token]["normalized"]
        key = (start, normalized)
        if key not in self._adds:
            begun = self._begin(start, "x", normalized=normalized)
            self._adds[key] = begun.startswith(b" ")
        return self._adds[key]

    def _begin(self, start: RunStart, text: str, *, normalized: bool = True) -> bytes:
        """The bytes that the model is given for a run, by the engine's own preparation."""
        if self._joins_words:
            return text.encode() if start is RunStart.CONTINUED else b" " + text.encode()
        engine = _stub(_without_prefix(self._data, start))
        if normalized and engine.normalizer is not None:
            text = engine.normalizer.normalize_str(text)
        if engine.pre_tokenizer is not None:
            text = "".join(piece for piece, _ in engine.pre_tokenizer.pre_tokenize_str(text))
        return text.encode() if self._bytes_of is None else self._bytes_of(text)

    @cached_property
    def _rewritten(self) -> dict[int, str]:
        """Added tokens that are text and are searched as what the normalizer makes of them.

        A normalizer that puts a space in front of all it is given puts one in front of these too.
        """
        found = [token for token in self._text_tokens if self._tokens[token]["normalized"]]
        normalizer = _stub(self._data).normalizer if found else None
        if normalizer is None:
            return {}
        return {
            int(self._tokens[token]["id"]): token
            for token in found
            if normalizer.normalize_str(token).replace(MARK, " ") != token.replace(MARK, " ")
        }

    @cached_property
    def _unspelled(self) -> re.Pattern[bytes] | None:
        """Bytes without a piece in a byte-level vocabulary, which drops them without a word."""
        if self._bytes_of is not _of_byte_alphabet or self._unknown is not None:
            return None
        known = self._data["model"]["vocab"]
        missing = bytes(byte for shown, byte in BYTE_ALPHABET.items() if shown not in known)
        return re.compile(b"[" + re.escape(missing) + b"]") if missing else None

    @cached_property
    def _hides_space(self) -> frozenset[RunStart]:
        """The beginnings at which a text with a space in front is given as one without."""
        return frozenset(s for s in RunStart if self._begin(s, " x") == self._begin(s, "x"))

    @cached_property
    def _normalizer(self) -> Any:
        """The normalizer without its steps that `token_bytes` and `adds_space` undo, or None."""
        kept = _lossy(self._data.get("normalizer"))
        return None if kept is None else _stub({"normalizer": kept}).normalizer

    @cached_property
    def _changes_ascii(self) -> bool:
        return bool({*_kinds(_lossy(self._data.get("normalizer")))} - UNICODE_FORMS)

    @cached_property
    def _writes_spaces_as_marks(self) -> bool:
        """Whether U+2581 stands for a space, as SentencePiece has it."""
        steps = [self._data.get("normalizer"), self._data.get("pre_tokenizer")]
        return "\u2581" in json.dumps(steps, ensure_ascii=False)

    @cached_property
    def _splits_words(self) -> bool:
        """Whether splitting a text changes it, as where white space between words is dropped."""
        return not all(self._keeps("Ab1 2,c(d  e\n\n\tf", start) for start in RunStart)

    def _keeps(self, text: str, start: RunStart) -> bool:
        """Whether a text is given to the model as it is, apart from a space in front."""
        if self._bytes_of is None or self._joins_words:
            return not text
        begun = self._begin(start, text, normalized=False).decode(errors="replace")
        return text in (begun, begun.removeprefix(" "))

    @cached_property
    def _joins_words(self) -> bool:
        """Whether pieces are words, between which decoding writes a space."""
        return "WordPiece" in _kinds(self._data.get("decoder"))

    def losses(
        self, texts: Sequence[str], ids: Sequence[int], starts: Sequence[RunStart] = ()
    ) -> list[str]:
        """What the normalizer and the splitting of words change, and unknown characters."""
        found: list[str] = []
        if self._normalizer is not None:
            changed = sum(
                (self._changes_ascii or not text.isascii())
                and self._normalizer.normalize_str(text).replace(MARK, " ")
                != text.replace(MARK, " ")
                for text in texts
            )
            if changed:
                how = "" if self._changes_ascii else " (Unicode normal form)"
                found.append(f"{self.name} normalizes {changed} runs of text{how}")
        if self._writes_spaces_as_marks and any("\u2581" in text for text in texts):
            found.append(f"{self.name} cannot tell the character U+2581 from a space")
        # Only texts that begin with a space are asked about, which few do.
        if any(
            text.startswith((" ", MARK)) and start in self._hides_space
            for text, start in zip(texts, starts, strict=False)
        ):
            found.append(f"{self.name} cannot tell a space at the beginning of a text from none")
        if self._splits_words and not all(
            map(self._keeps, texts, starts or [RunStart.SECTION] * len(texts))
        ):
            found.append(f"{self.name} splits text into words and does not keep what is between")
        if self._unspelled and any(self._unspelled.search(text.encode()) for text in texts):
            found.append(f"{self.name} has no tokens for some characters and drops them")
        if self._rewritten and not self._rewritten.keys().isdisjoint(ids):
            found.append(f"{self.name} takes a space before an added token for a part of it")
        if self._unknown is not None and self._unknown in ids:
            unknown = self._piece_of[self._unknown]
            found.append(f"{self.name} writes {unknown} for characters it does not know")
        return found


def _engine(data: dict[str, Any]) -> Any:
    from tokenizers import Tokenizer as Engine

    return Engine.from_str(dumps(data))


def _stub(data: dict[str, Any]) -> Any:
    """An engine with no vocabulary, for its normalizer and pre-tokenizer."""
    parts = {key: data.get(key) for key in ("normalizer", "pre_tokenizer")}
    model: dict[str, object] = {"type": "BPE", "vocab": {}, "merges": []}
    return _engine({"version": "1.0", "added_tokens": [], "model": model, **parts})


def _kinds(part: dict[str, Any] | None) -> Iterator[str]:
    return (str(step["type"]) for step in steps(part))


def _lossy(normalizer: dict[str, Any] | None) -> dict[str, Any] | None:
    """A normalizer without the steps that only write spaces in another way; None if none stays."""
    kept: list[dict[str, Any]] = []
    for step in steps(normalizer):
        marks = step["type"] == "Replace" and step["pattern"] == {"String": " "}
        if step["type"] in ("Prepend", "ByteLevel") or (marks and step["content"] == MARK):
            continue
        kept.append(step)
    return {"type": "Sequence", "normalizers": kept} if kept else None


_ALPHABET = frozenset(BYTE_ALPHABET)


def _of_byte_alphabet(piece: str) -> bytes:
    try:
        return bytes(BYTE_ALPHABET[character] for character in piece)
    except KeyError:
        # A piece that was put into the vocabulary by hand.
        return piece.encode()


def _word_piece(prefix: str) -> Callable[[str], bytes]:
    """Pieces that begin a word have a space in front, which a run begins with as well."""

    def spell(piece: str) -> bytes:
        if piece.startswith(prefix):
            return piece.removeprefix(prefix).encode()
        return b" " + piece.encode()

    return spell


def _without_prefix(data: dict[str, Any], start: RunStart) -> dict[str, Any]:
    """A copy of the data whose engine puts no space before a run that the reference would not."""
    copy: dict[str, Any] = dict(data)
    if start is RunStart.DOCUMENT:
        return copy
    if start is RunStart.CONTINUED and copy.get("normalizer"):
        copy["normalizer"] = _drop_prepend(copy["normalizer"])
    if copy.get("pre_tokenizer"):
        copy["pre_tokenizer"] = _prefix_scheme(copy["pre_tokenizer"], start)
    return copy


def _drop_prepend(normalizer: dict[str, Any]) -> dict[str, Any] | None:
    if normalizer["type"] == "Prepend":
        return None
    if normalizer["type"] == "Sequence":
        inner = [kept for item in normalizer["normalizers"] if (kept := _drop_prepend(item))]
        return {**normalizer, "normalizers": inner}
    return normalizer


def _prefix_scheme(pre_tokenizer: dict[str, Any], start: RunStart) -> dict[str, Any]:
    if pre_tokenizer["type"] == "Sequence":
        inner = [_prefix_scheme(item, start) for item in pre_tokenizer["pretokenizers"]]
        return {**pre_tokenizer, "pretokenizers": inner}
    if pre_tokenizer["type"] == "Metaspace":
        scheme = pre_tokenizer.get("prepend_scheme", "always")
        if start is RunStart.CONTINUED or scheme == "first":
            changed = {**pre_tokenizer, "prepend_scheme": "never"}
            changed.pop("add_prefix_space", None)
            return changed
    if pre_tokenizer["type"] == "ByteLevel" and start is RunStart.CONTINUED:
        return {**pre_tokenizer, "add_prefix_space": False}
    return pre_tokenizer
