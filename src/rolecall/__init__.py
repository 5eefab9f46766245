"""Rolecall, the compiler for chat formats.

Everything public is here. Importing this module loads nothing of it: each name is loaded where it
is first asked for, and numpy, template engines and tokenizers where they are first needed.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from rolecall.audit import audit
    from rolecall.conversation import Cast, Conversation, Message, ToolCall
    from rolecall.errors import (
        HistoryChanged,
        InputError,
        ModelOutputError,
        ParseError,
        RolecallError,
        TemplateError,
    )
    from rolecall.format import Format, formats
    from rolecall.format import load_format as format
    from rolecall.learn import learn
    from rolecall.lost import Lost
    from rolecall.render import Rendering
    from rolecall.repair import repair
    from rolecall.segment import PARTS, Segment
    from rolecall.speaker import ANY
    from rolecall.template import load_template as template
    from rolecall.template.template import Template
else:
    ModuleType = type(sys)

__version__ = "0.1.0"

__all__ = [
    "ANY",
    "PARTS",
    "Cast",
    "Conversation",
    "Format",
    "HistoryChanged",
    "InputError",
    "Lost",
    "Message",
    "ModelOutputError",
    "ParseError",
    "Rendering",
    "RolecallError",
    "Segment",
    "TemplateError",
    "ToolCall",
    "audit",
    "format",
    "formats",
    "learn",
    "load",
    "repair",
    "template",
    "tokenizer",
]


_WHERE = {
    **dict.fromkeys(("Cast", "Conversation", "Message", "ToolCall"), "conversation"),
    **dict.fromkeys(("HistoryChanged", "InputError", "ModelOutputError"), "errors"),
    **dict.fromkeys(("ParseError", "RolecallError", "TemplateError"), "errors"),
    **dict.fromkeys(("Format", "formats", "format"), "format"),
    "ANY": "speaker",
    "Rendering": "render",
    **dict.fromkeys(("PARTS", "Segment"), "segment"),
    "Lost": "lost",
    "audit": "audit",
    "learn": "learn",
    "repair": "repair",
    "template": "template",
}
"""The module of each public name that is loaded when it is asked for."""

_THERE = {"format": "load_format", "template": "load_template"}
"""What a name is called in its module, where that is something else."""


def _load(name: str) -> object:
    """Load a public name; Python asks for those that are not here yet."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = getattr(import_module(f"{__name__}.{_WHERE[name]}"), _THERE.get(name, name))
    globals()[name] = found
    return found


class _Package(ModuleType):
    """This module, in which a function is not replaced by the module of the same name.

    Python sets every module that it loads as an attribute of its package; ``rolecall.format`` is
    the function all the same.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _WHERE and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package

if not TYPE_CHECKING:  # a checker shall know of no other names
    __getattr__ = _load


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def tokenizer(source: object, *, fast: bool = True) -> object:
    """Load a tokenizer from a file, a folder or an object of another package.

    Load once and keep the result: reading a file takes a second or so. It is what
    `Rendering.encode` takes; its own methods are no part of the public surface.

    Args:
        source: A `tokenizer.json`, `tekken.json`, SentencePiece `.model` or `.gguf` file, a folder
            that holds one, a `tokenizers.Tokenizer`, a fast transformers tokenizer, or what this
            function returned.
        fast: Whether to load the engine that is fast over much text. It takes up to three times
            as long to load, which a text or two do not repay. The ids are the same.

    Raises:
        TokenizerError: If the source cannot be read as a tokenizer.
    """
    from rolecall.tokenizers import tokenizer as load  # loads the engines, so not above

    return load(source, fast=fast)


def load(source: str | Path) -> Format | Template:
    """Load whatever `source` names: a bundled format, a format file, or a model's template.

    A bundled name wins; a path has a separator or a suffix.

    Raises:
        UnknownFormatError: If there is no such format or file.
        FormatFileError: If a format file has an unknown key, a wrong type or an impossible rule.
        TemplateError: If there is no template to be read, or it is no Jinja.
    """
    from rolecall.format import holds_template, load_format
    from rolecall.template import load_template

    return load_template(source) if holds_template(source) else load_format(source)
