"""Writing a repaired template into the file that holds it, with the original kept beside it."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, mkstemp
from typing import Any

from rolecall.errors import InputError, RolecallError

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
KEPT = ".orig"
"""The ending of the file that keeps the original."""


@dataclass(frozen=True, slots=True)
class Written:
    """What was written."""

    file: Path
    """The file that holds the repaired template."""
    kept: Path
    """The file that holds what was there before."""


def write(source: str, name: str, original: str, jinja: str) -> Written:
    """Put a template in place of another one in the file or folder that it was read from.

    All else in the file stays as it is. The file is replaced in one step, so that at every moment
    it holds the one template or the other.

    Args:
        source: The path that the template was read from.
        name: Which of the source's named templates it is.
        original: The template that is there.
        jinja: The one that is to be there.

    Raises:
        InputError: If the file cannot be written, or is of a kind that is not written to.
    """
    path = Path(source)
    found: Path | None = None
    for file in _files(path, name):
        text = _read(file)
        if text is None:
            continue
        found = found or file
        made = _replaced(file, text, name, original, jinja)
        if made is not None:
            return _put(file, made)
    if found is not None:
        raise InputError(
            f"{str(found)!r} does not hold the template that was read any more; nothing was "
            "written. Repair it again"
        )
    raise InputError(
        f"{source!r}: the template lies in a .gguf, which holds the whole model and is not written "
        "to. Leave out --write, save the repaired template (the key 'jinja' of --json) as "
        "chat_template.jinja, and give that file to the server, as with llama.cpp's "
        "--chat-template-file"
    )


def _files(path: Path, name: str) -> Iterator[Path]:
    """Where a template may lie, in the order in which it is read."""
    folder = path if path.is_dir() else path.parent
    if path.is_file():
        yield path
    if path.is_dir() or path.name == "tokenizer_config.json":
        yield folder / "chat_template.jinja"
        yield folder / "additional_chat_templates" / f"{name}.jinja"
    if path.is_dir():
        yield folder / "tokenizer_config.json"
        yield folder / "chat_template.json"


def _read(file: Path) -> str | None:
    try:
        if not file.is_file():
            return None
        with file.open("rb") as stream:
            if stream.read(4) == b"GGUF":
                return None
        # Ends of lines stay as they are.
        with file.open(encoding="utf-8", newline="") as stream:
            return stream.read()
    except UnicodeDecodeError:
        return None
    except OSError as error:
        raise InputError(f"cannot read {str(file)!r}: {error.strerror or error}") from None


def _replaced(file: Path, text: str, name: str, original: str, jinja: str) -> str | None:
    """The text of a file with another template, or None where it does not hold the original."""
    if file.suffix.lower() != ".json":
        mark = "\ufeff" if text.startswith("\ufeff") else ""
        body = text.removeprefix(mark)
        if body == original:
            return mark + jinja
        # The template was read with its lines ended by "\n" alone.
        ended = body.replace("\r\n", "\n")
        if ended == original and body == original.replace("\n", "\r\n"):
            return mark + jinja.replace("\n", "\r\n")
        return None
    for found in _STRING.finditer(text):
        if _said(found[0]) != original:
            continue
        # As it was spelled: with other letters than those of ASCII, or with escapes for them.
        written = json.dumps(jinja, ensure_ascii=found[0].isascii())
        made = text[: found.start()] + written + text[found.end() :]
        if _is_only_change(file, text, made, name, jinja):
            return made
    return None


def _said(literal: str) -> object:
    try:
        return json.loads(literal)
    except ValueError:
        return None


def _is_only_change(file: Path, before: str, after: str, name: str, jinja: str) -> bool:
    """Whether a file with another text gives the template, and every other one as before."""
    from rolecall.template.source import read_source

    try:
        with TemporaryDirectory() as folder:
            found: list[dict[str, Any]] = []
            for text in (before, after):
                # Of another name, so that nothing beside it is looked for.
                copy = Path(folder, "template.json")
                copy.write_text(text, encoding="utf-8", newline="")
                found.append(dict(read_source(copy).templates))
    except (RolecallError, OSError):
        return False
    return found[1] == {**found[0], name: jinja}


def _put(file: Path, text: str) -> Written:
    kept = _free(file)
    try:
        _copy(file, kept)
        handle, temporary = mkstemp(dir=file.parent, prefix=f".{file.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
                stream.write(text)
            shutil.copymode(file, temporary)
            Path(temporary).replace(file)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            kept.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InputError(f"cannot write {str(file)!r}: {error.strerror or error}") from None
    return Written(file, kept)


def _copy(file: Path, kept: Path) -> None:
    """Keep a file beside itself; what is kept is whole, or not there."""
    handle, temporary = mkstemp(dir=file.parent, prefix=f".{kept.name}.")
    os.close(handle)
    try:
        shutil.copy2(file, temporary)
        Path(temporary).replace(kept)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _free(file: Path) -> Path:
    """A name for the original under which nothing is kept yet."""
    kept = file.with_name(file.name + KEPT)
    number = 1
    while kept.exists() or kept.is_symlink():
        kept = file.with_name(f"{file.name}{KEPT}.{number}")
        number += 1
    return kept
