"""The rows that a vocabulary has in a model's weights, and what a new token's row is set to."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from rolecall.errors import InputError, nearest
from rolecall.export.safetensors import (
    CHUNK,
    Header,
    NewRows,
    Report,
    Tensor,
    read_header,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"

INPUT: tuple[str, ...] = (
    "embed_tokens.weight",  # Llama, Mistral, Qwen, Gemma, Phi, DeepSeek, Cohere, Granite, GLM 4
    "wte.weight",  # GPT-2, GPT-J, Phi 1
    "tok_embeddings.weight",  # InternLM 2
    "word_embeddings.weight",  # Bloom, Falcon, ChatGLM
    "embed_in.weight",  # GPT-NeoX
    "embeddings.weight",  # RWKV, Mamba of transformers
    "embedding.weight",  # Mamba as first published
)
"""How the names end of tensors with a row for each token that the model reads."""

OUTPUT: tuple[str, ...] = (
    "lm_head.weight",  # most
    "lm_head.bias",  # GPT-J, Phi 1 and 2
    "embed_out.weight",  # GPT-NeoX
    "output_layer.weight",  # ChatGLM
    "output.weight",  # InternLM 2
    "shared_head.head.weight",  # DeepSeek V3, of its layer that predicts a second token
)
"""How the names end of tensors with a row for each token that the model may write."""

_PACKED = re.compile(
    r"(?:^|\.)("
    + "|".join(sorted({re.escape(end.rpartition(".")[0]) for end in (*INPUT, *OUTPUT)}))
    + r")\.(?:qweight|qzeros|scales|biases|g_idx|SCB|weight[._].+)$"
)
"""Names beside an embedding or a head that GPTQ, AWQ, bitsandbytes, MLX and others pack."""

_NUMBERED = re.compile(r"(?:^|\.)\d+\.")
"""Of a name inside one of many layers."""

PLAIN = ("F64", "F32", "F16", "BF16")
"""Elements that a mean can be written in."""

RuleName = Literal["mean", "copy", "describe", "keep"]
RULES: tuple[RuleName, ...] = ("mean", "copy", "describe", "keep")


@dataclass(frozen=True, slots=True)
class Rule:
    """What the row of a new token is set to."""

    name: RuleName
    """``mean`` of every trained row; ``copy`` of one; the mean of those of a text, which
    ``describe`` gives; ``keep`` what stands in a row that the model has already."""
    ids: tuple[int, ...] = ()
    """The token to copy, or those of the text."""


def read_rule(
    text: object, token: str, known: Mapping[str, int], encode: Callable[[str], Sequence[int]]
) -> Rule:
    """Read a rule as a caller writes it.

    Args:
        text: ``mean``, ``copy:TOKEN``, ``describe:TEXT`` or ``keep``.
        token: The new token, for messages.
        known: The model's own tokens with their ids.
        encode: Plain text to ids.

    Raises:
        InputError: If there is no such rule, or no such token.
    """
    name, colon, value = str(text).partition(":")
    if not isinstance(text, str) or name not in RULES or bool(colon) != (name in RULES[1:3]):
        raise InputError(
            f"the rule for the row of {token!r} is {text!r}{nearest(name, RULES)}; give 'mean', "
            "'copy:TOKEN', 'describe:TEXT', or 'keep'"
        )
    if name == "copy":
        if value not in known:
            raise InputError(
                f"the row of {token!r} is to be a copy of that of {value!r}, which the model's "
                f"vocabulary does not have{nearest(value, known)}"
            )
        return Rule(name, (known[value],))
    if name == "describe":
        ids = tuple(encode(value))
        if not ids:
            raise InputError(f"the row of {token!r} is described by a text without a token")
        return Rule(name, ids)
    return Rule(name)


@dataclass(frozen=True)
class Weights:
    """The safetensors files of a model, and the tensors in them that have a row for each token."""

    headers: Mapping[str, Header]
    """File to its header."""
    index: Mapping[str, Any] | None
    """The list of what is in which file, where there is one."""
    tensors: Mapping[str, tuple[str, Tensor]]
    """Name of a tensor with a row a token, to its file and itself."""
    count: int
    """How many rows each of them has."""


def find_weights(folder: Path, config: Mapping[str, Any]) -> Weights | None:
    """Find the weights in a folder, and their rows; None where there are none.

    Raises:
        InputError: If they are not whole, or their rows cannot be told or set.
    """
    index: dict[str, Any] | None = None
    files: list[str] = []
    if (folder / INDEX).is_file():
        index = _read_index(folder / INDEX)
        files = sorted({str(file) for file in index["weight_map"].values()})
    elif (folder / SINGLE).is_file():
        files = [SINGLE]
    if not files:
        return None
    for file in files:
        if Path(file).name != file or not (folder / file).is_file():
            raise InputError(
                f"{INDEX} names {file!r}, which is not in the folder; download the model again"
            )
    headers = {file: read_header(folder / file) for file in files}
    every = {
        name: (file, tensor)
        for file, header in headers.items()
        for name, tensor in header.tensors.items()
    }
    count = _row_count(every, config)
    tensors = {
        name: (file, tensor)
        for name, (file, tensor) in every.items()
        if _ends(name, (*INPUT, *OUTPUT)) and tensor.shape[:1] == (count,)
    }
    _check(every, tensors, count, config)
    return Weights(headers, index, tensors, count)


def _read_index(path: Path) -> dict[str, Any]:
    try:
        data: Any = json.loads(path.read_bytes())
        if not isinstance(data["weight_map"], dict) or not data["weight_map"]:
            raise TypeError
    except OSError as error:
        raise InputError(f"cannot read {str(path)!r}: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{path.name} is no JSON: {error}") from None
    except (TypeError, KeyError):
        raise InputError(f"{path.name} has no 'weight_map'; download the model again") from None
    return cast("dict[str, Any]", data)


def _ends(name: str, known: Collection[str]) -> str | None:
    """The known ending of a name, at a dot."""
    return next((end for end in known if name == end or name.endswith(f".{end}")), None)


def vocabulary_sizes(config: object) -> list[int]:
    """Every ``vocab_size`` of a configuration; models of several modalities have several."""
    found: list[int] = []
    if isinstance(config, Mapping):
        for key, value in cast("Mapping[str, object]", config).items():
            if key == "vocab_size" and type(value) is int:
                found.append(value)
            else:
                found += vocabulary_sizes(value)
    return found


def _row_count(every: Mapping[str, tuple[str, Tensor]], config: Mapping[str, Any]) -> int:
    """How many rows the embedding has, which `config` must know as its ``vocab_size``."""
    found = {name: tensor for name, (_, tensor) in every.items() if _ends(name, INPUT)}
    if not found:
        _refuse_packed(every, None)
        raise InputError(
            "the weights have no embedding under a name that is known; the names known end in "
            f"{', '.join(INPUT)}. Leave the weights out (weights=False) and set the rows elsewhere"
        )
    sizes = vocabulary_sizes(config)
    counts = {tensor.shape[0] for tensor in found.values() if len(tensor.shape) == 2}
    fitting = counts & {*sizes}
    if len(fitting) == 1:
        return fitting.pop()
    _refuse_packed(every, None)
    shown = ", ".join(f"{name} has {list(tensor.shape)}" for name, tensor in found.items())
    if fitting:
        raise InputError(f"the weights have embeddings of several vocabularies: {shown}")
    said = f"'vocab_size' {' and '.join(map(str, sizes))}" if sizes else "no 'vocab_size'"
    raise InputError(
        f"the weights do not match the vocabulary: {shown}, and config.json says {said}; "
        "take a folder whose files belong together"
    )


def _check(
    every: Mapping[str, tuple[str, Tensor]],
    tensors: Mapping[str, tuple[str, Tensor]],
    count: int,
    config: Mapping[str, Any],
) -> None:
    """Refuse weights of which some row would be forgotten or could not be written."""
    _refuse_packed(every, count)
    for name, (_, tensor) in tensors.items():
        if tensor.dtype not in PLAIN or len(tensor.shape) > 2:
            raise InputError(
                f"the rows of {name} cannot be set: its elements are {tensor.dtype}, not one of "
                f"{', '.join(PLAIN)}. Take the model as it was before it was quantised"
            )
    unknown = [
        f"{name} {list(tensor.shape)}"
        for name, (_, tensor) in every.items()
        if count in tensor.shape and name not in tensors
    ]
    if unknown:
        raise InputError(
            f"{unknown[0]} is as long as the vocabulary and has no name that is known, so its rows "
            "would not fit the new vocabulary. Leave the weights out (weights=False) and set the "
            "rows elsewhere"
        )
    heads = any(_ends(name, OUTPUT) for name in tensors)
    if not heads and config.get("tie_word_embeddings") is False:
        raise InputError(
            "the weights have no output rows under a name that is known, and config.json says that "
            "they are not those of the embedding ('tie_word_embeddings' is false); the names known "
            f"end in {', '.join(OUTPUT)}"
        )


def _refuse_packed(every: Mapping[str, tuple[str, Tensor]], count: int | None) -> None:
    """Refuse an embedding or a head whose numbers are packed, or scaled by another tensor."""
    for name, (_, tensor) in every.items():
        found = _PACKED.search(name)
        if found is None:
            continue
        # A layer may have a part that is called alike.
        beside = every.get(f"{name[: found.end(1)]}.weight")
        shapes = (tensor.shape, () if beside is None else beside[1].shape)
        if _NUMBERED.search(name) is None or any(count in shape for shape in shapes):
            raise InputError(
                f"the rows of {name[: found.end(1)]} are quantised: {name} lies beside them. Take "
                "the model as it was before it was quantised, and quantise the export"
            )


# --- The rows themselves --------------------------------------------------------------------------


def new_rows(
    weights: Weights,
    rules: Mapping[int, Rule],
    trained: Collection[int],
    report: Report,
) -> dict[str, NewRows]:
    """Work out the rows of new tokens, for each tensor from its own rows.

    Args:
        weights: Where they go.
        rules: Id of a new token to its rule.
        trained: The ids whose rows a mean is of.
        report: Is told how many bytes were read.

    Raises:
        InputError: If a rule asks for a row that is not there, or for the mean of what is not
            finite.
    """
    count = max((*(token + 1 for token in rules), weights.count))
    wanted = dict(rules)
    # Rows between those of the model and those of new tokens belong to tokens it never had rows of.
    for gap in range(weights.count, count):
        wanted.setdefault(gap, Rule("mean"))
    found: dict[str, NewRows] = {}
    for name, (file, tensor) in weights.tensors.items():
        rows = _rows_of(weights.headers[file].path, tensor, wanted, trained, report)
        found[name] = NewRows(count, rows)
    return found


def _rows_of(
    path: Path,
    tensor: Tensor,
    rules: Mapping[int, Rule],
    trained: Collection[int],
    report: Report,
) -> dict[int, bytes]:
    rows: dict[int, bytes] = {}
    mean: bytes | None = None
    for token, rule in rules.items():
        for one in rule.ids:
            if one >= tensor.shape[0]:
                raise InputError(
                    f"{tensor.name} has {tensor.shape[0]} rows and none for id {one}, of which a "
                    "row was to be made"
                )
        match rule.name:
            case "keep":
                if token >= tensor.shape[0]:
                    raise InputError(
                        f"{tensor.name} has {tensor.shape[0]} rows, so there is none to keep for "
                        f"the new id {token}; give another rule"
                    )
            case "copy":
                rows[token] = _read_row(path, tensor, rule.ids[0])
            case "describe":
                rows[token] = _mean_of(path, tensor, rule.ids)
            case "mean":
                mean = _mean(path, tensor, trained, report) if mean is None else mean
                rows[token] = mean
    return rows


def _read_row(path: Path, tensor: Tensor, row: int) -> bytes:
    with path.open("rb") as stream:
        stream.seek(tensor.begin + row * tensor.row_bytes)
        return stream.read(tensor.row_bytes)


def _mean_of(path: Path, tensor: Tensor, rows: Sequence[int]) -> bytes:
    data = b"".join(_read_row(path, tensor, row) for row in rows)
    return _written(tensor, _numbers(tensor, data).mean(axis=0, dtype="<f8"))


def _mean(path: Path, tensor: Tensor, trained: Collection[int], report: Report) -> bytes:
    """The mean of the rows of the trained tokens, read a few megabytes at a time."""
    import numpy as np

    counted = np.zeros(tensor.shape[0], dtype=np.bool_)
    counted[[row for row in trained if row < tensor.shape[0]]] = True
    if not counted.any():
        raise InputError(f"{tensor.name} has no row of a trained token, so there is no mean")
    width = tensor.row_bytes
    at_once = max(1, CHUNK // 4 // width)
    total = np.zeros(width // _size(tensor), dtype=np.float64)
    with path.open("rb") as stream:
        stream.seek(tensor.begin)
        for first in range(0, tensor.shape[0], at_once):
            data = stream.read(width * min(at_once, tensor.shape[0] - first))
            numbers = _numbers(tensor, data)
            total += numbers[counted[first : first + at_once]].sum(axis=0, dtype=np.float64)
            report(len(data))
    return _written(tensor, total / int(counted.sum()))


def _size(tensor: Tensor) -> int:
    return {"F64": 8, "F32": 4}.get(tensor.dtype, 2)


def _numbers(tensor: Tensor, data: bytes) -> npt.NDArray[np.floating[Any]]:
    """Rows of numbers from their bytes."""
    import numpy as np

    if tensor.dtype == "BF16":
        # The upper half of a float32.
        wide = np.frombuffer(data, dtype="<u2").astype("<u4") << np.uint32(16)
        flat = wide.view("<f4")
    else:
        flat = np.frombuffer(data, dtype={"F64": "<f8", "F32": "<f4", "F16": "<f2"}[tensor.dtype])
    width = tensor.row_bytes // _size(tensor)
    return flat.reshape(-1, width)


def _written(tensor: Tensor, row: npt.NDArray[np.float64]) -> bytes:
    """The bytes of a row in the tensor's own kind of number, rounded to the nearest.

    Raises:
        InputError: If it holds what is no number.
    """
    import numpy as np

    if not np.isfinite(row).all():
        raise InputError(
            f"{tensor.name} holds numbers that are not finite, so a mean of its rows is none; give "
            "the rule 'copy:TOKEN'"
        )
    if tensor.dtype != "BF16":
        kind = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}[tensor.dtype]
        return row.astype(kind).tobytes()
    bits = row.astype("<f4").view("<u4")
    # To the nearest, and where two are as near, to the even one.
    bits = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return (bits >> np.uint32(16)).astype("<u2").tobytes()
