"""Tokenizers in the metadata of GGUF files."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple, cast

from rolecall.errors import InputError, TokenizerError
from rolecall.gguf import read_metadata
from rolecall.tokenizers.base import Tokenizer
from rolecall.tokenizers.huggingface import HuggingFaceTokenizer
from rolecall.tokenizers.sentencepiece import SentencePieceTokenizer


class TokenType(IntEnum):
    """What a token is; the numbers are SentencePiece's. Source: docs/gguf.md of ggml."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


def read_tokenizer(file: Path, *, fast: bool = True) -> Tokenizer:
    """The tokenizer of a GGUF file.

    Args:
        file: The model.
        fast: Whether the engine is to be the one that is fast over much text.

    Raises:
        TokenizerError: If the file cannot be read, or holds no tokenizer of a known kind.
    """
    try:
        metadata = read_metadata(file)
    except InputError as error:
        raise TokenizerError(str(error)) from None
    return from_metadata(metadata, file.name, fast=fast)


def from_metadata(metadata: Mapping[str, Any], name: str, *, fast: bool = True) -> Tokenizer:
    """The tokenizer that the metadata of a GGUF file describes.

    ``tokenizer.ggml.model`` is ``gpt2`` (byte-level BPE) or ``llama`` (SentencePiece). Text is
    split as llama.cpp splits it, which normalizes nothing: where a model's own ``tokenizer.json``
    has a Unicode normal form, such as Qwen's, text in another form gets other ids there.

    Args:
        metadata: What `rolecall.gguf.read_metadata` gave.
        name: What to call it in messages.
        fast: Whether the engine is to be the one that is fast over much text.

    Raises:
        TokenizerError: If there is none, or none of a known kind.
    """
    model = metadata.get("tokenizer.ggml.model")
    if model is None:
        raise TokenizerError(f"{name} holds no tokenizer: it has no tokenizer.ggml.model")
    if model == "gpt2":
        return HuggingFaceTokenizer(tokenizer_json(metadata, name), name, fast=fast)
    if model == "llama":
        return SentencePieceTokenizer(_sentencepiece_model(metadata, name), name)
    raise TokenizerError(
        f"{name} holds a tokenizer of the kind {model!r}; those of the kinds 'gpt2' and 'llama' "
        "can be read. Use the tokenizer.json that the model was published with"
    )


class Split(NamedTuple):
    """How llama.cpp cuts text before the merges of a byte-level BPE."""

    steps: tuple[Mapping[str, object], ...]
    """Pre-tokenizers of a ``tokenizer.json``."""
    ignores_merges: bool = False
    """Whether a whole word of the vocabulary is one token, whatever the merges."""


def _cut(pattern: str) -> dict[str, object]:
    return {
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": "Isolated",
        "invert": False,
    }


def _bytes(*, words: bool) -> dict[str, object]:
    """The bytes as characters; with `words`, cut as GPT-2 cuts."""
    return {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": words,
    }


_SHORTENED = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_SIGNS = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
_SPACE = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_LOWER_WORD = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
_UPPER_WORD = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
_PATHS = r" ?[^\s\p{L}\p{N}]+[\r\n/]*"


def _modern(numbers: str) -> tuple[dict[str, object], ...]:
    """GPT-4's pattern, with that many digits to a number."""
    pattern = f"{_SHORTENED}|{_WORD}|{numbers}|{_SIGNS}|{_SPACE}"
    return (_cut(pattern), _bytes(words=False))


_THREE = _modern(r"\p{N}{1,3}")
_ONE = _modern(r"\p{N}")
_GPT2 = (_bytes(words=True),)
_DIGITS = ({"type": "Digits", "individual_digits": True}, _bytes(words=True))
_O200K = (
    _cut(
        rf"{_LOWER_WORD}{_SHORTENED}?|{_UPPER_WORD}{_SHORTENED}?|\p{{N}}{{1,3}}|{_PATHS}|{_SPACE}"
    ),
    _bytes(words=False),
)
_TEKKEN = (
    _cut(rf"{_LOWER_WORD}|{_UPPER_WORD}|\p{{N}}|{_PATHS}|{_SPACE}"),
    _bytes(words=False),
)
_DEEPSEEK = (
    _cut(r"\p{N}{1,3}"),
    _cut("[一-龥\u3040-ゟ゠-ヿ]+"),
    _cut(
        r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"""
        r"|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"
        rf"|{_SPACE}"
    ),
    _bytes(words=False),
)
_DEEPSEEK_CODER = (
    _cut(r"[\r\n]"),
    _cut(r"\s?\p{L}+"),
    _cut(r"\s?\p{P}+"),
    _cut("[一-龥ࠀ-一가-\ud7ff]+"),
    _cut(r"\p{N}"),
    _bytes(words=False),
)
_QWEN35 = (
    _cut(
        rf"{_SHORTENED}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}"
        rf"| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{_SPACE}"
    ),
    _bytes(words=False),
)
_DEFAULT = (
    _cut(r"[\p{P}$+<=>^~|]+"),
    _cut(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"),
    _cut(r"\p{N}+"),
    _cut("[0-9][0-9][0-9]"),
    _bytes(words=False),
)

SPLITS: Mapping[str, Split] = {
    name: split
    for names, split in (
        ("default", Split(_DEFAULT)),
        (
            "llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano",
            Split(_THREE, ignores_merges=True),
        ),
        ("dbrx smaug-bpe glm4 chatglm-bpe", Split(_THREE)),
        (
            "qwen2 deepseek-r1-qwen kormo f2llmv2 megrez stablelm2 hunyuan solar-open grok-2",
            Split(_ONE),
        ),
        ("qwen35", Split(_QWEN35)),
        ("gpt-2 phi-2 gigachat a.x-4.0 mellum exaone4 mpt olmo jais trillion", Split(_GPT2)),
        ("granite-docling", Split(_GPT2)),
        ("smollm command-r starcoder refact codeshell exaone minerva-7b mellum2", Split(_DIGITS)),
        ("gpt-4o llama4 kanana2 talkie minimax-m2", Split(_O200K)),
        ("tekken", Split(_TEKKEN, ignores_merges=True)),
        ("deepseek-v3 hunyuan-dense joyai-llm hy_v4", Split(_DEEPSEEK)),
        ("deepseek-coder", Split(_DEEPSEEK_CODER)),
    )
    for name in names.split()
}
"""By ``tokenizer.ggml.pre``.

Source: ``src/llama-vocab.cpp`` of llama.cpp at 00ad355e, which name goes with which pattern and
which ignores merges. Where it spells a pattern otherwise for its own engine, the pattern is the one
of the models' ``tokenizer.json``. The long run asks llama.cpp for the ids of each way.
"""


def _tokens(metadata: Mapping[str, Any], name: str) -> tuple[list[str], Sequence[int]]:
    """Every token with its type.

    Raises:
        TokenizerError: If one of the lists is missing, or they are not of one length.
    """
    tokens: object = metadata.get("tokenizer.ggml.tokens")
    types: object = metadata.get("tokenizer.ggml.token_type")
    if not _is_list_of(tokens, str) or not tokens:
        raise TokenizerError(f"{name} holds no tokenizer: it has no list tokenizer.ggml.tokens")
    if not _is_list_of(types, int):
        raise TokenizerError(
            f"{name} has no list tokenizer.ggml.token_type, without which control tokens cannot be "
            "told from text; convert the model again"
        )
    texts, kinds = cast("list[str]", tokens), cast("Sequence[int]", types)
    if len(texts) != len(kinds):
        raise TokenizerError(
            f"{name} is damaged: it has {len(texts)} tokens and {len(kinds)} token types"
        )
    if len(set(texts)) != len(texts):
        seen: set[str] = set()
        twice = next(text for text in texts if text in seen or seen.add(text))
        raise TokenizerError(f"{name} is damaged: the token {twice!r} is there twice")
    return texts, kinds


def _is_list_of(value: object, kind: type) -> bool:
    """Whether a value of the metadata is an array of such values, which are all of one type."""
    if isinstance(value, (str, Mapping)) or not isinstance(value, Sequence):
        return False
    items = cast("Sequence[object]", value)
    return not len(items) or isinstance(items[0], kind)


def tokenizer_json(metadata: Mapping[str, Any], name: str) -> str:
    """A ``tokenizer.json`` for the byte-level BPE that the metadata of a GGUF file describes.

    Raises:
        TokenizerError: If it is not described whole, or splits text in an unknown way.
    """
    tokens, kinds = _tokens(metadata, name)
    split_as = metadata.get("tokenizer.ggml.pre", "default")
    split = SPLITS.get(split_as) if isinstance(split_as, str) else None
    if split is None:
        raise TokenizerError(
            f"{name} splits text as {split_as!r} (tokenizer.ggml.pre), which is not known here; "
            "use the tokenizer.json that the model was published with"
        )
    merges: object = metadata.get("tokenizer.ggml.merges")
    if not _is_list_of(merges, str):
        raise TokenizerError(f"{name} holds no merges: it has no list tokenizer.ggml.merges")
    added = [
        {
            "id": number,
            "content": token,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": kind == TokenType.CONTROL,
        }
        for number, (token, kind) in enumerate(zip(tokens, kinds, strict=True))
        if kind in (TokenType.CONTROL, TokenType.USER_DEFINED)
    ]
    return json.dumps(
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": added,
            "normalizer": None,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": split.steps},
            "post_processor": None,
            "decoder": _bytes(words=True),
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "continuing_subword_prefix": None,
                "end_of_word_suffix": None,
                "fuse_unk": False,
                "byte_fallback": False,
                "ignore_merges": split.ignores_merges,
                "vocab": {token: number for number, token in enumerate(tokens)},
                "merges": merges,
            },
        },
        ensure_ascii=False,
    )


# --- SentencePiece --------------------------------------------------------------------------------

# Fields of sentencepiece_model.proto of the SentencePiece project.
_BPE = 2


def _sentencepiece_model(metadata: Mapping[str, Any], name: str) -> bytes:
    """The serialized SentencePiece model that the pieces were taken from, as far as they tell."""
    tokens, kinds = _tokens(metadata, name)
    scores: object = metadata.get("tokenizer.ggml.scores")
    if not _is_list_of(scores, float) or len(cast("Sequence[float]", scores)) != len(tokens):
        raise TokenizerError(f"{name} does not have a score for each token (tokenizer.ggml.scores)")
    data = bytearray()
    known = {int(kind) for kind in TokenType}
    for number, (token, score, kind) in enumerate(
        zip(tokens, cast("Sequence[float]", scores), kinds, strict=True)
    ):
        if kind not in known:
            raise TokenizerError(
                f"{name} is damaged: the token {token!r} has the unknown type {kind}"
            )
        # SentencePiece takes no piece without characters.
        text = (token or f"[EMPTY_{number}]").encode()
        written = kind if token else TokenType.UNUSED
        piece = _field(1, text) + b"\x15" + struct.pack("<f", score) + _field(3, written)
        data += _field(1, piece)
    trainer = _field(3, _BPE) + _field(4, len(tokens))
    # The engine falls back on bytes only where it has them all, and refuses to load otherwise.
    trainer += _field(35, sum(kind == TokenType.BYTE for kind in kinds) == 256)
    ids = {"unknown": (40, 0), "bos": (41, 1), "eos": (42, 2), "padding": (43, -1)}
    for key, (field, default) in ids.items():
        value: object = metadata.get(f"tokenizer.ggml.{key}_token_id", default)
        number = value if isinstance(value, int) and value < len(tokens) else -1
        trainer += _field(field, number)
        if number >= 0:
            trainer += _field(field + 5, tokens[number].encode())
    prefix = metadata.get("tokenizer.ggml.add_space_prefix", True)
    remove = metadata.get("tokenizer.ggml.remove_extra_whitespaces", False)
    normalizer = _field(1, b"identity") + _field(3, bool(prefix)) + _field(4, bool(remove))
    data += _field(2, trainer) + _field(3, normalizer + _field(5, True))
    return bytes(data)


def _field(number: int, value: bytes | int) -> bytes:
    """A field of a protocol buffer: a number, or what has a length."""
    if isinstance(value, bytes):
        return _varint(number << 3 | 2) + _varint(len(value)) + value
    # Negative numbers are written as 64 bits of two's complement.
    return _varint(number << 3) + _varint(value & 2**64 - 1)


def _varint(value: int) -> bytes:
    data = bytearray()
    while value >= 0x80:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*data, value])
