"""Files that commands write: all of them whole, or none."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from rolecall.errors import InputError


def is_stream(file: Path) -> bool:
    """Whether it is there and takes what is written without being replaced: a device, a pipe."""
    return file.exists() and not file.is_file() and not file.is_dir()


def write_files(files: Mapping[Path, bytes], *, force: bool) -> None:
    """Write all of the files, or none.

    Folders that lack are made. A link stays one: what it points to is written.

    Args:
        files: What each of them shall hold.
        force: Write over those that are there.

    Raises:
        InputError: If one is there already, or cannot be written.
    """
    staged: list[tuple[str, Path]] = []
    try:
        there = [file for file in files if _is_there(file) and not is_stream(file)]
        if there and not force:
            raise InputError(f"{there[0]} is there already; --force writes over it")
        for file, data in files.items():
            if is_stream(file):
                continue
            place = Path(os.path.realpath(file))
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.is_dir():
                raise IsADirectoryError(21, "it is a folder", str(file))
            descriptor, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name[:40]}.")
            staged.append((name, place))
            with os.fdopen(descriptor, "wb") as scratch:
                scratch.write(data)
            Path(name).chmod(_mode(place))
        for file, data in files.items():
            if is_stream(file):
                file.write_bytes(data)
        while staged:
            name, place = staged[0]
            Path(name).replace(place)
            staged.pop(0)
    except OSError as error:
        # A scratch file's name says nothing to the caller.
        given = {str(file): file for file in files}
        where = given.get(str(error.filename), next(iter(files)))
        raise InputError(f"cannot write {where}: {error.strerror or error}") from None
    finally:
        for name, _ in staged:
            Path(name).unlink(missing_ok=True)


def _is_there(file: Path) -> bool:
    return file.exists() or file.is_symlink()


def _mode(file: Path) -> int:
    """The permissions of a file that is there, or those of a new one."""
    if file.exists():
        return file.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
