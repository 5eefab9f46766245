"""What there is to audit under a path: one template, or every one in a folder of many."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rolecall.errors import InputError, TemplateError
from rolecall.gguf import in_folder

TEMPLATES = (".jinja", ".jinja2", ".j2")
"""Files of a folder that are templates. A ``.txt`` is one only where it is given by name."""

OWN = (
    *("tokenizer_config.json", "chat_template.jinja", "chat_template.json", "tokenizer.json"),
    *("config.json", "generation_config.json", "additional_chat_templates"),
)
"""What only the folder of a model holds."""

KEY = b'"chat_template"'
LARGEST = 2**24
"""Bytes of a JSON file that are searched for a template. A larger one is a vocabulary."""


class Job(NamedTuple):
    """One source to audit."""

    name: str
    """What reports call it: the path as it was given, or the path within the folder given."""
    path: str


def collect(source: str) -> list[Job]:
    """What there is to audit under a path.

    A file is itself, and so is the folder of a model. Any other folder stands for everything in it:
    folders of models, template files, JSON files with a ``chat_template``, GGUF files. A folder in
    it that holds none of these is a job too, which then fails and says so.

    Raises:
        TemplateError: If a folder cannot be read, or holds nothing of these.
    """
    if not source:
        raise TemplateError("the path of the chat template is empty")
    path = Path(source)
    if not _is_folder(path) or _is_model(path):
        return [Job(source, source)]
    jobs = [Job(found.relative_to(path).as_posix(), str(found)) for found in _within(path)]
    if not jobs:
        raise TemplateError(
            f"the folder {source!r} holds no chat template: no {', '.join(OWN[:3])}, no file with "
            f"one of the endings {', '.join(TEMPLATES)}, .gguf, and no folder that holds one"
        )
    # A folder that holds nothing is worth a word only beside some that do.
    seen = {job.name.partition("/")[0] for job in jobs}
    empty = [one for one in _folders(path) if one.name not in seen and not one.is_symlink()]
    jobs += [Job(f"{folder.name}/", str(folder)) for folder in empty]
    return sorted(jobs)


def _within(folder: Path) -> Iterator[Path]:
    for inner in _folders(folder):
        if _is_model(inner):
            yield inner
        elif not inner.is_symlink():  # a link may lead back
            yield from _within(inner)
    for file in _listed(folder):
        if not file.is_dir() and _is_template(file):
            yield file


def _is_template(file: Path) -> bool:
    """Whether a file of a folder of many is one to audit; whether it can be, the audit tells."""
    suffix = file.suffix.lower()
    if suffix in TEMPLATES:
        return True
    if suffix == ".gguf":
        return not file.name.startswith("mmproj")
    try:
        if suffix != ".json" or file.stat().st_size > LARGEST:
            return False
        return KEY in file.read_bytes()
    except OSError:
        return False


def _is_model(folder: Path) -> bool:
    """Whether a folder is one model's."""
    if any((folder / name).exists() for name in OWN):
        return True
    names = [file.suffix.lower() for file in _listed(folder)]
    if ".gguf" not in names or any(suffix in TEMPLATES for suffix in names):
        return False
    try:
        return in_folder(folder) is not None
    except InputError:
        return False  # Several models, each a file.


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False  # The audit says what is wrong with it.


def _folders(folder: Path) -> list[Path]:
    """The folders in a folder, without those that hold no data of anyone's."""
    return [
        inner
        for inner in _listed(folder)
        if inner.is_dir() and not inner.name.startswith((".", "__"))
    ]


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise TemplateError(
            f"cannot read the folder {str(folder)!r}: {error.strerror or error}"
        ) from None
