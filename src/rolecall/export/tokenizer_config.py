"""A model's folder with a format's control tokens in its vocabulary, and its template.

The model's folder is only read. What comes out is a folder that transformers loads: the tokens of
the format are added, or take the place of reserved ones that nothing uses; ``chat_template.jinja``
is the format's; ``generation_config.json`` stops where its turns end; and where there are weights,
the rows of the new tokens are set by a rule while all the others stay as they are, bit by bit.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rolecall.errors import InputError
from rolecall.export.model_files import (
    TOKENIZER,
)
from rolecall.export.rows import (
    RULES,
)
from rolecall.export.safetensors import write_changed
from rolecall.export.staging import check_output, copy_file, files_of, staged
from rolecall.export.tokenizer_plan import TokenizerPlan
from rolecall.export.vocabulary import (
    Placed,
)
from rolecall.lost import Lost

if TYPE_CHECKING:
    from rolecall.format import Format


_RULE = re.compile("=(?=mean$|keep$|copy:|describe:)")
"""Where a rule begins behind its token, either of which may hold an equals sign."""


@dataclass(frozen=True)
class TokenizerExport:
    """What was written, and what whoever loads it should know."""

    folder: Path
    ids: Mapping[str, int]
    """Every control token of the format with its id."""
    added: tuple[str, ...]
    """Those that were put behind the vocabulary."""
    mapped: Mapping[str, str]
    """Those that took the place of a reserved token, with its name."""
    promoted: tuple[str, ...]
    """Those that were pieces of text before; their rows stay."""
    stop: tuple[int, ...]
    """The end tokens in ``generation_config.json``, the model's own first."""
    options: Mapping[str, str]
    """What `Format.render` is to be given for the ids of the folder's template."""
    rows: Mapping[str, tuple[int, int]]
    """Tensor to the number of its rows before and after."""
    left_out: Mapping[str, str]
    """Files of the model that were not copied, with the reason."""
    lost: tuple[Lost, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done, and what whoever loads the folder must know: a sentence each."""
        found = [
            f"{token!r} took the place of {old!r} as id {self.ids[token]}"
            for token, old in self.mapped.items()
        ]
        found += [f"{token!r} was added as id {self.ids[token]}" for token in self.added]
        found += [
            f"{token!r} was text, and is a control token now; its row stays"
            for token in self.promoted
        ]
        found += [
            f"{name} has {after} rows"
            + (f", {after - before} of them new" if after > before else "")
            for name, (before, after) in self.rows.items()
        ]
        found.append(f"generation stops at {', '.join(map(str, self.stop)) or 'no token'}")
        if self.options:
            options = ", ".join(f"{kind}={token!r}" for kind, token in self.options.items())
            found.append(f"Format.render gives the same ids with {options}")
        return (
            *found,
            *(f"{name} was not copied: {why}" for name, why in self.left_out.items()),
        )

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON has it."""
        return {
            "folder": str(self.folder),
            "ids": dict(self.ids),
            "added": list(self.added),
            "mapped": dict(self.mapped),
            "promoted": list(self.promoted),
            "stop": list(self.stop),
            "options": dict(self.options),
            "rows": {name: list(counts) for name, counts in self.rows.items()},
            "left_out": dict(self.left_out),
            "lost": [record._asdict() for record in self.lost],
            "notes": list(self.notes),
        }


def export_tokenizer_config(
    fmt: Format,
    model: str | Path,
    output: str | Path,
    *,
    reserved: bool | Mapping[str, str] = True,
    rows: str | Mapping[str, str] = "mean",
    bos_token: str | None = None,
    eos_token: str | None = None,
    cast: object = None,
    generation_markers: bool = False,
    weights: bool = True,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> TokenizerExport:
    """Write a model's folder anew, with the tokens and the template of a format.

    The folder appears whole or not at all, and nothing in the model's own is opened for writing.
    Files are copied and never linked, so that who saves into the export later does not change the
    model it came from.

    Args:
        fmt: The format.
        model: The model's folder, with a ``tokenizer.json`` in it.
        output: The folder to make.
        reserved: True gives new tokens the places of reserved ones that nothing uses, as far as
            there are some; False puts them behind the vocabulary; a mapping says which control
            token takes the place of which, and the others are put behind.
        rows: What the rows of new tokens are set to: ``"mean"`` of the rows of the vocabulary,
            ``"copy:TOKEN"``, ``"describe:TEXT"`` for the mean of the rows of a text, or ``"keep"``
            for what stands there. A mapping gives a rule for each control token; the others have
            the rule under the key ``""``, or ``"mean"``.
        bos_token: What begins a text; by default the model's own token, or the format's where the
            model has none.
        eos_token: What ends a text, likewise.
        cast: Who authors which role, for the template; standard roles need no entry.
        generation_markers: Whether the template marks what is trained on, for transformers.
        weights: Whether to copy the weights, if there are some, and to set their rows.
        force: Whether to replace an earlier export that is there already.
        progress: Is given the bytes that are done and those there are in all.

    Raises:
        InputError: If the folder lacks what is needed, or its files do not belong together, or the
            output cannot be there.
    """
    source, target = Path(model), Path(output)
    try:
        if not source.is_dir():
            raise InputError(f"there is no folder {str(model)!r}; give the folder of a model")
        check_output(target, source, force=force)
        given = {"bos_token": bos_token, "eos_token": eos_token}
        plan = TokenizerPlan(
            fmt, source, reserved, rows, given, cast, generation_markers=generation_markers
        )
        left_out = _write(plan, target, weights=weights, progress=progress)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise InputError(
            f"cannot export into {str(output)!r}: {error.strerror or error}{where}"
        ) from None
    return TokenizerExport(
        folder=target,
        ids=plan.placed.ids,
        added=plan.placed.added,
        mapped=plan.placed.mapped,
        promoted=plan.placed.promoted,
        stop=tuple(plan.ends),
        options=plan.options,
        rows=plan.counts(),
        left_out=left_out,
        lost=plan.lost(),
    )


def _write(
    plan: TokenizerPlan,
    target: Path,
    *,
    weights: bool,
    progress: Callable[[int, int], None] | None,
) -> dict[str, str]:
    """Write the folder; returns the files that were left out, with the reasons."""
    files = dict(files_of(plan.folder))
    plan.read_weights(files, wanted=weights)
    written = plan.written()
    left_out = plan.left_out(files, wanted=weights)
    copied = {
        name: path for name, path in files.items() if name not in left_out and name not in written
    }
    meter = _Meter(progress, plan.bytes_to_do(copied))
    _check_room(target.resolve().parent, copied, written)
    changes = plan.new_rows(meter.report)
    with staged(target) as folder:
        for name, content in written.items():
            (folder / name).write_bytes(content)
        for name, path in copied.items():
            if changes.get(name):
                assert plan.weights is not None
                write_changed(
                    plan.weights.headers[name], folder / name, changes[name], meter.report
                )
            else:
                copy_file(path, folder / name, meter.report)
        _check_written(folder / TOKENIZER, plan.placed)
    return left_out


def read_rows(given: Sequence[str]) -> str | dict[str, str]:
    """Read rules from a command line, each ``RULE`` or ``TOKEN=RULE``, for `rows`."""
    found: dict[str, str] = {}
    for text in given:
        for_all = text.partition(":")[0] in RULES or "=" not in text
        cut = None if for_all else _RULE.search(text)
        token, _, rule = ("", "", text) if for_all else text.rpartition("=")
        if cut is not None:
            token, rule = text[: cut.start()], text[cut.end() :]
        found[token] = rule
    return found


def read_mapping(given: Sequence[str]) -> dict[str, str]:
    """Read ``TOKEN=RESERVED`` from a command line, for `reserved`.

    Raises:
        InputError: If one is not of that form.
    """
    found: dict[str, str] = {}
    for text in given:
        token, sign, old = text.rpartition("=")
        if not (token and sign and old):
            raise InputError(f"found {text!r}; give TOKEN=RESERVED, the new token first")
        found[token] = old
    return found


def _check_room(place: Path, copied: Mapping[str, Path], written: Mapping[str, bytes]) -> None:
    needed = sum(path.stat().st_size for path in copied.values())
    needed += sum(map(len, written.values()))
    free = shutil.disk_usage(place).free
    if needed > free:
        raise InputError(
            f"the export takes {needed / 1e9:.1f} GB and {str(place)!r} has {free / 1e9:.1f} GB "
            "left; make room or give another folder"
        )


def _check_written(path: Path, placed: Placed) -> None:
    """Have the engine read what was written: it numbers added tokens by itself."""
    from tokenizers import Tokenizer

    try:
        engine: Any = Tokenizer.from_file(str(path))
    except Exception as error:
        # The engine reports a bad file with bare exceptions of several kinds.
        raise InputError(f"{TOKENIZER} cannot be loaded: {error}") from None
    for token, number in placed.ids.items():
        if engine.token_to_id(token) != number or engine.id_to_token(number) != token:
            raise InputError(
                f"the vocabulary cannot take the token {token!r} as id {number}: its ids have gaps "
                "that the engine fills otherwise. Map it onto a reserved token, if there is one"
            )


class _Meter:
    """Adds up what is done."""

    def __init__(self, progress: Callable[[int, int], None] | None, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def report(self, count: int) -> None:
        self._done += count
        if self._progress is not None:
            self._progress(min(self._done, self._total), self._total)
