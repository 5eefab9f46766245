"""A real vocabulary that has the control tokens of every bundled format."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import rolecall as rc
from rolecall.tokenizers import HuggingFaceTokenizer
from tests.support.assets import tokenizer_file


@cache
def vocabulary(*more: str) -> HuggingFaceTokenizer:
    """The vocabulary, loaded; `more` are further control tokens."""
    return HuggingFaceTokenizer(vocabulary_json(*more), "the test vocabulary")


def vocabulary_file(folder: Path) -> Path:
    """The vocabulary as a ``tokenizer.json`` in a folder."""
    file = folder / "tokenizer.json"
    file.write_text(vocabulary_json(), encoding="utf-8")
    return file


def vocabulary_json(*more: str) -> str:
    """Qwen3's byte-level BPE with the control tokens of all formats added as special tokens.

    This is what a fine-tuner does who trains a model on a new format; `more` are further ones.
    """
    data = json.loads(tokenizer_file("qwen3").read_text(encoding="utf-8"))
    # The base model's own added tokens would be control in every format; the formats name theirs.
    data["added_tokens"] = []
    bundled = {token for name in rc.formats() for token in rc.format(name).control}
    wanted = sorted(bundled | set(more))
    pieces: dict[str, int] = data["model"]["vocab"]
    free = max(pieces.values()) + 1
    for token in wanted:
        # Some, such as ``<s>``, are pieces of the vocabulary already and keep their id.
        number = pieces.get(token, free)
        free += number == free
        data["added_tokens"].append(
            {
                "id": number,
                "content": token,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
        )
    data["normalizer"] = None
    return json.dumps(data, ensure_ascii=False)
