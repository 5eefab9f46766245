"""A chat template on standard input."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from rolecall.errors import InputError, RolecallError

if TYPE_CHECKING:
    from rolecall.template.template import Template

STDIN = "standard input"


def read_template() -> Template:
    """The template on standard input, or that of the tokenizer_config.json there.

    Raises:
        InputError: If it is neither.
        TemplateError: If it holds a template that is none.
    """
    from rolecall.template.source import CONFIG, read_source
    from rolecall.template.template import Template

    if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison]
        raise InputError(f"cannot read {STDIN}: it is closed")
    data = sys.stdin.buffer.read()
    if data.startswith(b"GGUF"):
        raise InputError(f"{STDIN} is a GGUF file; give its path")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{STDIN} is not UTF-8 text: byte {data[error.start]:#04x} at offset {error.start}; "
            f"give a template or a {CONFIG}"
        ) from None
    if not text.strip():
        raise InputError(f"{STDIN} is empty; give a template or a {CONFIG}")
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, (dict, list)):
        return Template.from_text(text, name=STDIN)
    with TemporaryDirectory() as folder:
        file = Path(folder, CONFIG)
        file.write_text(text, encoding="utf-8")
        try:
            return Template(replace(read_source(file), name=STDIN))
        except RolecallError as error:
            raise InputError(f"{STDIN}, read as a {CONFIG}: {error}") from None
