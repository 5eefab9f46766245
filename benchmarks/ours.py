"""Our own calls."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import rolecall as rc
from benchmarks.contender import Contender, Conversation, Ids
from benchmarks.models import Model, with_objects

BATCH_TOKENS = 1 << 17

ARRAYS = "ids, message, part, sampled, straddles and mask"
LOSSES = "what is lost is refused; lesser records, and segments, are made when asked for"


def touched(encoding: Any) -> Any:
    """An encoding or a batch with every array made, the mask too."""
    return (
        encoding.ids,
        encoding.message,
        encoding.part,
        encoding.sampled,
        encoding.straddles,
        encoding.mask(),
    )


def ids_of_each(results: list[Any]) -> Ids:
    return [arrays[0].tolist() for arrays in results]


def ids_of_batches(results: list[tuple[Any, Any]]) -> Ids:
    return [
        arrays[0][begin:end].tolist()
        for arrays, offsets in results
        for begin, end in itertools.pairwise(offsets.tolist())
    ]


def _own_tokenizer(file: Path, folder: Path) -> Any:
    """A tokenizer whose engine, and whose engine's caches, nobody else uses."""
    folder.mkdir()
    for one in (file, file.with_name("tokenizer_config.json")):
        if one.exists():
            shutil.copy(one, folder / one.name)
    return rc.tokenizer(folder / file.name)


def _one_by_one(model: Model, folder: Path, key: str, call: str, source: Any) -> Contender:
    traced = key == "traced"
    file = model.huggingface_file if traced else model.file
    tokenizer = _own_tokenizer(file, folder / key)
    options = {} if key == "encode" else model.options

    def run(conversations: Sequence[Conversation]) -> list[Any]:
        return [touched(source.render(**one, **options).encode(tokenizer)) for one in conversations]

    return Contender(
        key=key,
        call=call,
        returns=f"{ARRAYS} of each; {LOSSES}",
        run=run,
        prepare=with_objects if traced else list,
        ids=ids_of_each,
        slow=True,
    )


def _batches(
    key: str, call: str, make: Callable[[Sequence[Conversation]], list[Any]], *, slow: bool = False
) -> Contender:
    def run(conversations: Sequence[Conversation]) -> list[Any]:
        return [(touched(batch), batch.offsets) for batch in make(conversations)]

    return Contender(
        key=key,
        call=call,
        returns=f"flat arrays: {ARRAYS}; {LOSSES}",
        run=run,
        ids=ids_of_batches,
        slow=slow,
        warm=not slow,
    )


def ours(model: Model, folder: Path) -> list[Contender]:
    """Our contenders under the bundled format.

    Args:
        model: The model.
        folder: An empty folder, where each contender gets a copy of the tokenizer's file.
    """
    fmt = rc.format(model.format)
    # Many conversations and few: they are not the same ones, so they can share an engine.
    tokenizer = _own_tokenizer(model.file, folder / "encode_batch")
    other = _own_tokenizer(model.file, folder / "encode_iter")
    batch = "fmt.encode_batch(conversations, t)"

    def encode_batch(conversations: Sequence[Conversation]) -> list[Any]:
        return [fmt.encode_batch(conversations, tokenizer)]

    def encode_iter(conversations: Sequence[Conversation]) -> Any:
        return fmt.encode_iter(iter(conversations), other, batch_tokens=BATCH_TOKENS)

    return [
        _batches("encode_batch", batch, encode_batch),
        _batches("encode_batch_few", f"{batch}, of few", encode_batch, slow=True),
        _batches("encode_iter", "fmt.encode_iter(conversations, t)", encode_iter),
        _one_by_one(model, folder, "encode", "fmt.render(m).encode(t)", fmt),
    ]


def write_template(model: Model, folder: Path) -> Path:
    """A model's folder: its template, its tokenizer, the tokens that the template is given."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(model.huggingface_file, folder / "tokenizer.json")
    (folder / "chat_template.jinja").write_text(model.jinja(), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(model.special_tokens()))
    return folder


def templates(model: Model, folder: Path, learnt: Path | None) -> list[Contender]:
    """The model's own template, traced, and the format that was learnt from it.

    Args:
        model: The model.
        folder: As for `ours`.
        learnt: The file of the learnt format, if there is one.
    """
    if model.template is None:
        return []
    template = rc.template(write_template(model, folder / "template"))
    made = [_one_by_one(model, folder, "traced", "tpl.render(m).encode(t)", template)]
    if learnt is not None:
        fmt = rc.format(learnt)
        made.append(_one_by_one(model, folder, "learnt", "learnt.render(m).encode(t)", fmt))
    return made
