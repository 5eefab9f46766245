"""GGUF files written for tests, and real tokenizers put into their metadata."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_TYPES = {"u8": 0, "i8": 1, "u16": 2, "i16": 3, "u32": 4, "i32": 5, "f32": 6, "bool": 7}
_TYPES |= {"str": 8, "array": 9, "u64": 10, "i64": 11, "f64": 12}
_CODES = {"u8": "B", "i8": "b", "u16": "H", "i16": "h", "u32": "I", "i32": "i", "f32": "f"}
_CODES |= {"bool": "?", "u64": "Q", "i64": "q", "f64": "d"}


class Typed:
    """A value with the GGUF type it is written as, where Python's own does not tell."""

    def __init__(self, kind: str, value: Any) -> None:
        self.kind = kind
        self.value = value


def gguf_bytes(
    metadata: Mapping[str, Any], *, version: int = 3, order: str = "<", weights: bytes = b""
) -> bytes:
    """A GGUF file without tensors: int as u32, float as f32, lists by their first item."""
    data = b"GGUF" + struct.pack(f"{order}IQQ", version, 0, len(metadata))
    for key, value in metadata.items():
        kind, content = _value(value, order)
        data += _string(key, order) + struct.pack(f"{order}I", kind) + content
    return data + weights


def _string(text: str, order: str) -> bytes:
    content = text.encode()
    return struct.pack(f"{order}Q", len(content)) + content


def _kind(value: Any) -> str:
    if isinstance(value, Typed):
        return value.kind
    if isinstance(value, list):
        return "array"
    return {bool: "bool", int: "u32", float: "f32", str: "str"}[type(value)]


def _value(value: Any, order: str) -> tuple[int, bytes]:
    kind = _kind(value)
    plain = value.value if isinstance(value, Typed) else value
    if isinstance(plain, Sequence) and not isinstance(plain, str):
        of = kind if isinstance(value, Typed) else _kind(plain[0]) if plain else "i32"
        head = struct.pack(f"{order}IQ", _TYPES[of], len(plain))
        if of == "str":
            return _TYPES["array"], head + b"".join(_string(text, order) for text in plain)
        if of == "array":
            return _TYPES["array"], head + b"".join(_value(one, order)[1] for one in plain)
        return _TYPES["array"], head + struct.pack(f"{order}{len(plain)}{_CODES[of]}", *plain)
    if kind == "str":
        return _TYPES["str"], _string(plain, order)
    return _TYPES[kind], struct.pack(f"{order}{_CODES[kind]}", plain)


def bpe_metadata(tokenizer_json: Path, pre: str) -> dict[str, Any]:
    """What llama.cpp's converter writes of a byte-level BPE in a ``tokenizer.json``.

    Added tokens are control where they are special and user-defined where they are not; ids that
    nothing has are filled with unused tokens.
    """
    data = json.loads(tokenizer_json.read_bytes())
    vocabulary: dict[str, int] = data["model"]["vocab"]
    added = {one["id"]: one for one in data["added_tokens"]}
    by_id = {number: token for token, number in vocabulary.items()}
    by_id |= {number: one["content"] for number, one in added.items()}
    tokens = [by_id.get(number, f"[PAD{number}]") for number in range(max(by_id) + 1)]
    kinds = [
        (3 if added[number]["special"] else 4) if number in added else (1 if number in by_id else 5)
        for number in range(len(tokens))
    ]
    merges = data["model"]["merges"]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": Typed("i32", kinds),
        "tokenizer.ggml.merges": [
            merge if isinstance(merge, str) else " ".join(merge) for merge in merges
        ],
    }


def sentencepiece_metadata(model: bytes) -> dict[str, Any]:
    """What llama.cpp's converter writes of a SentencePiece model."""
    import sentencepiece

    engine = sentencepiece.SentencePieceProcessor(model_proto=model)
    count = range(engine.vocab_size())
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": [engine.id_to_piece(number) for number in count],
        "tokenizer.ggml.scores": Typed("f32", [engine.get_score(number) for number in count]),
        "tokenizer.ggml.token_type": Typed("i32", _piece_types(model)),
        "tokenizer.ggml.bos_token_id": engine.bos_id(),
        "tokenizer.ggml.eos_token_id": engine.eos_id(),
        "tokenizer.ggml.unknown_token_id": engine.unk_id(),
        "tokenizer.ggml.add_bos_token": True,
    }


def _piece_types(model: bytes) -> list[int]:
    """The type of each piece, of which the engine's own interface does not tell user-defined.

    A model begins with its pieces: 0x0A, a length below 128 in one byte, and in the piece the text
    (0x0A), the score (0x15) and, where it is not 1, the type (0x18).
    """
    kinds: list[int] = []
    at = 0
    while model[at] == 0x0A:
        end = at + 2 + model[at + 1]
        kind_at = at + 4 + model[at + 3] + 5
        assert model[at + 1] < 128
        assert model[kind_at - 5] == 0x15
        kinds.append(model[kind_at + 1] if kind_at < end else 1)
        at = end
    return kinds
