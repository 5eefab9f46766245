"""Exports: a format as the files that other programs load.

Every target is a function from a format to named files. What a target cannot carry is listed in
`Exported.lost`; what whoever loads the files must know besides is in `Exported.notes`. Everything
is derived from the format's data, so that a change of the format's file changes what is exported.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rolecall.errors import InputError, nearest
from rolecall.lost import Lost

if TYPE_CHECKING:
    from rolecall.format import Format


@dataclass(frozen=True)
class Exported:
    """What a target makes of a format."""

    target: str
    files: Mapping[str, str | bytes]
    """Name of each file to what it holds; the one that the target is about comes first."""
    lost: tuple[Lost, ...] = ()
    """What the target cannot carry. Their `message` is None: they hold for every conversation."""
    notes: tuple[str, ...] = ()
    """What whoever loads the files must know or do, one sentence or more each."""
    folder: Path | None = None
    """The folder that was written, for a target that writes one by itself; `files` is empty."""

    @property
    def text(self) -> str:
        """The first file as text.

        Raises:
            InputError: If there is none.
        """
        for content in self.files.values():
            return content if isinstance(content, str) else content.decode()
        raise InputError(f"{self.target} wrote a folder, {self.folder}, and holds no file")


@dataclass(frozen=True)
class Target:
    """One thing that formats can be exported to."""

    name: str
    doc: str
    """What it is for, one sentence."""
    module: str
    """The module below `rolecall.export` whose function `export` makes it."""
    folder: bool = False
    """Whether it makes a folder of a model's folder, and no files."""

    def load(self) -> Callable[..., Exported]:
        """The function, imported only now: some targets need more than others."""
        return import_module(f"rolecall.export.{self.module}").export

    def takes(self) -> tuple[str, ...]:
        """The names of what it may be told, beside the options of the format."""
        parameters = inspect.signature(self.load()).parameters.values()
        return tuple(p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY)


TARGETS: Mapping[str, Target] = {
    target.name: target
    for target in (
        Target("jinja", "A chat_template for transformers and the engines.", "template_file"),
        Target(
            "tokenizer-config",
            "A model's folder with the tokens and the template of the format in it.",
            "tokenizer_folder",
            folder=True,
        ),
        Target(
            "sillytavern", "Instruct, context and system prompt presets of SillyTavern.", "tavern"
        ),
        Target("ollama", "A Modelfile with a TEMPLATE for Ollama.", "ollama"),
        Target("kobold", "A chat completions adapter for KoboldCpp.", "kobold"),
        Target("llama-cpp", "A template and the arguments of llama.cpp's server.", "llama_cpp"),
        Target(
            "axolotl", "The part of an axolotl configuration that is about the chat.", "axolotl"
        ),
    )
}
"""Every target by its name."""


def export(fmt: Format, target: str, /, **options: Any) -> Exported:
    """Write a format as the files that another program loads.

    Args:
        fmt: The format.
        target: A name of `TARGETS`.
        **options: What the target may be told (`Target.takes`), and values of the options that the
            format declares, which are written into the files. What the target takes is meant
            where both have something of that name; see `make`.

    Raises:
        InputError: If there is no such target, or it cannot write this format.
        OptionError: If an option is unknown or its value is of the wrong type.
    """
    if target not in TARGETS:
        raise InputError(
            f"there is no target {target!r}{nearest(target, TARGETS)} "
            f"(there are: {', '.join(TARGETS)})"
        )
    known = TARGETS[target].takes()
    own = {name: value for name, value in options.items() if name in known}
    rest = {name: value for name, value in options.items() if name not in known}
    return make(fmt, TARGETS[target], rest, own)


def make(
    fmt: Format, target: Target, options: Mapping[str, Any], arguments: Mapping[str, Any]
) -> Exported:
    """Write the files of a target, options of the format and of the target told apart.

    Args:
        fmt: The format.
        target: The target.
        options: Values of options that the format declares.
        arguments: What the target is told, of what it takes.

    Raises:
        InputError: If it cannot write this format, or takes no such option.
        OptionError: If a value is of the wrong type.
    """
    declared = fmt.option_values({})
    for name in options:
        if name not in declared:
            names = (*target.takes(), *declared)
            raise InputError(
                f"{target.name} takes no {name!r}{nearest(name, names)} "
                f"(it takes: {', '.join(names)})"
            )
    fmt.option_values(options)
    return target.load()(fmt, options, **arguments)
