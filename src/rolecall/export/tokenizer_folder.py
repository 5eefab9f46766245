"""A model's folder that knows the tokens and the template of a format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rolecall.errors import InputError
from rolecall.export import Exported
from rolecall.export.template_file import refuse_options

if TYPE_CHECKING:
    from rolecall.format import Format


def export(
    fmt: Format,
    options: Mapping[str, Any],
    *,
    model: str | Path | None = None,
    output: str | Path | None = None,
    reserved: bool | Mapping[str, str] = True,
    rows: str | Mapping[str, str] = "mean",
    weights: bool = True,
    cast: object = None,
    generation_markers: bool = False,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Exported:
    """Write the folder; see `rolecall.export.tokenizer_config.export_tokenizer_config`.

    Args:
        fmt: The format.
        options: `bos_token` and `eos_token`, where they are not the model's own.
        model: The model's folder, which stays as it is.
        output: The folder to write.
        reserved: Use reserved tokens of the model first; or which ones for which tokens.
        rows: What the rows of new tokens are set to.
        weights: Write weights too, where the model's folder has them.
        cast: Who authors which role, for the template.
        generation_markers: Mark in the template what the model samples.
        force: Replace a folder that an earlier export wrote.
        progress: Called with how many bytes are done, and how many there are.

    Raises:
        InputError: If a folder is not given, or cannot be read or written.
    """
    from rolecall.export.tokenizer_config import export_tokenizer_config

    for name, given in (("model", model), ("output", output)):
        if given is None:
            raise InputError(f"tokenizer-config makes a folder of a model's folder; give {name}")
    assert model is not None
    assert output is not None
    tokens = {name: options[name] for name in ("bos_token", "eos_token") if name in options}
    refuse_options(fmt, {k: v for k, v in options.items() if k not in tokens}, "tokenizer-config")
    made = export_tokenizer_config(
        fmt,
        model,
        output,
        reserved=reserved,
        rows=rows,
        weights=weights,
        cast=cast,
        generation_markers=generation_markers,
        force=force,
        progress=progress,
        **tokens,
    )
    return Exported("tokenizer-config", {}, made.lost, made.notes, folder=made.folder)
