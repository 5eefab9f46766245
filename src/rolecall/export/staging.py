"""A folder that appears whole or not at all, made of another one that is only read."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rolecall.errors import InputError
from rolecall.export.safetensors import Report, copy_bytes

MODEL_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
"""What a folder holds that may be replaced, all of it: an earlier export, or a model like one. A
`config.json` alone many a project has."""


def check_output(output: Path, model: Path, *, force: bool) -> None:
    """Refuse a place where the folder cannot be, before anything is worked out.

    Args:
        output: The folder to be made.
        model: The folder it is made of.
        force: Whether an earlier export there may be replaced.

    Raises:
        InputError: If it cannot be there.
    """
    here, source = output.resolve(), model.resolve()
    if here == source or here in source.parents or source in here.parents:
        raise InputError(
            f"the output {str(output)!r} is the model's own folder, or one of them is in the "
            "other; the model is only read, so give another folder"
        )
    if not here.parent.is_dir():
        raise InputError(f"there is no folder {str(output.parent)!r} to make {output.name!r} in")
    if output.is_symlink() or (output.exists() and not output.is_dir()):
        raise InputError(f"the output {str(output)!r} is there and is no folder; give another name")
    if not output.is_dir() or not any(output.iterdir()):
        return
    if not force:
        raise InputError(
            f"the output {str(output)!r} holds files already; give another folder, or have it "
            "replaced (force=True, --force)"
        )
    lacking = [name for name in MODEL_FILES if not (output / name).is_file()]
    if lacking:
        raise InputError(
            f"the output {str(output)!r} holds files and is no export of a model (it has no "
            f"{lacking[0]}), so it is not replaced even by force; give another folder"
        )
    hidden = next((one.name for one in output.iterdir() if one.name[0] == "." and one.is_dir()), "")
    if hidden:
        raise InputError(
            f"the output {str(output)!r} holds {hidden!r}, which no export has, so it is not "
            "replaced even by force; give another folder"
        )


@contextmanager
def staged(output: Path) -> Generator[Path]:
    """A new folder beside the output, which takes its name when all went well.

    Whatever ends it otherwise, also an interruption, leaves nothing behind but what was there. Only
    a process that is killed leaves the unfinished folder, under a name that begins with a dot.
    """
    here = output.resolve()
    folder = Path(tempfile.mkdtemp(prefix=f".{here.name}.unfinished-", dir=here.parent))
    try:
        yield folder
        # `mkdtemp` lets only its owner in.
        mask = os.umask(0)
        os.umask(mask)
        folder.chmod(0o777 & ~mask)
        _put(folder, here)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _put(folder: Path, here: Path) -> None:
    if not here.exists():
        folder.rename(here)
        return
    with suppress(OSError):
        # Only an empty folder goes.
        here.rmdir()
        folder.rename(here)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{here.name}.replaced-", dir=here.parent))
    here.rename(aside / here.name)
    try:
        folder.rename(here)
    except BaseException:
        (aside / here.name).rename(here)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def files_of(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every file of a folder by its path in it, files that links lead to included.

    Folders that are links or hidden are not entered. What is neither a file nor a folder is no
    part of a model.

    Raises:
        InputError: If a link leads nowhere.
    """
    for place, names, files in os.walk(folder):
        names[:] = sorted(
            name for name in names if name[0] != "." and not Path(place, name).is_symlink()
        )
        for name in sorted(files):
            path = Path(place, name)
            try:
                mode = path.stat().st_mode
            except OSError:
                raise InputError(
                    f"{str(path)!r} is a link that leads nowhere; download the model again"
                ) from None
            if stat.S_ISREG(mode):
                yield path.relative_to(folder).as_posix(), path


def copy_file(source: Path, target: Path, report: Report) -> None:
    """Copy what is in a file.

    The copy is no link: who writes into it later must not write into the model it came from.
    Where the file system can share the bytes until then, it does.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as old, target.open("xb") as new:
        size = left = os.fstat(old.fileno()).st_size
        while left:
            done = _share(old.fileno(), new.fileno(), left)
            if not done:
                break
            left -= done
            report(done)
        if left:
            old.seek(size - left)
            new.seek(size - left)
            copy_bytes(old, new, left, report)


def _share(old: int, new: int, left: int) -> int:
    """Have the system copy some bytes; 0 where it cannot."""
    if not hasattr(os, "copy_file_range"):
        return 0
    try:
        return os.copy_file_range(old, new, min(left, 2**28))
    except OSError:
        # Another file system, or one that does not know how; plain copying says what is wrong.
        return 0
