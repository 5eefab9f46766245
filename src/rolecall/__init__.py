"""Rolecall, the compiler for chat formats.

Everything public is here. Importing this module loads no numpy, no template engine and no
tokenizer; they are loaded where they are first needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

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
from rolecall.render import ANY, Rendering
from rolecall.repair import repair
from rolecall.segment import PARTS, Segment
from rolecall.template import load_template as template

if TYPE_CHECKING:
    from pathlib import Path

    from rolecall.template.template import Template

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


def tokenizer(source: object) -> object:
    """Load a tokenizer from a file, a folder or an object of another package.

    Load once and keep the result: reading a file takes a second or so. It is what
    `Rendering.encode` takes; its own methods are no part of the public surface.

    Args:
        source: A `tokenizer.json`, `tekken.json`, SentencePiece `.model` or `.gguf` file, a folder
            that holds one, a `tokenizers.Tokenizer`, a fast transformers tokenizer, or what this
            function returned.

    Raises:
        TokenizerError: If the source cannot be read as a tokenizer.
    """
    from rolecall.tokenizers import tokenizer as load  # loads the engines, so not above

    return load(source)


def load(source: str | Path) -> Format | Template:
    """Load whatever `source` names: a bundled format, a format file, or a model's template.

    A bundled name wins; a path has a separator or a suffix.

    Raises:
        UnknownFormatError: If there is no such format or file.
        FormatFileError: If a format file has an unknown key, a wrong type or an impossible rule.
        TemplateError: If there is no template to be read, or it is no Jinja.
    """
    from rolecall.format import holds_template

    return template(source) if holds_template(source) else format(source)
