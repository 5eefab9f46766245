"""`rolecall export`: a format as the files that another program loads."""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rolecall.cli import read
from rolecall.cli.files import write_files
from rolecall.cli.options import CastOption, Force
from rolecall.cli.screen import Output, json_bytes, write_bytes
from rolecall.errors import InputError, UnknownFormatError
from rolecall.export import TARGETS, Exported, Target, make
from rolecall.format import Format, holds_template, load_format

if TYPE_CHECKING:
    from collections.abc import Generator


def command(
    format: Annotated[
        str,
        typer.Argument(
            metavar="FORMAT",
            help="A bundled format ('rolecall formats' lists them), or the path of a .toml file.",
            show_default=False,
        ),
    ],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="TARGET",
            help=f"What to write: {', '.join(TARGETS)}.",
            show_default=False,
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE | FOLDER",
            help="Where to write; a folder where there are several files. Without it a single file "
            "goes to standard output, as it does with -.",
        ),
    ] = None,
    force: Force = False,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="NAME=VALUE", help="An option of the format. Repeatable."),
    ] = None,
    speaker: Annotated[
        str | None,
        typer.Option(
            "--speaker", metavar="ROLE", help="The role under which the model speaks (assistant)."
        ),
    ] = None,
    user: Annotated[
        str | None,
        typer.Option(
            "--user", metavar="ROLE", help="The role under which the client speaks (user)."
        ),
    ] = None,
    cast: CastOption = None,
    names: Annotated[
        bool | None,
        typer.Option(
            "--names/--no-names",
            help="Headers say who speaks, where the format has a place for it (sillytavern).",
            show_default=False,
        ),
    ] = None,
    generation_markers: Annotated[
        bool,
        typer.Option(
            "--generation-markers",
            help="Mark what the model samples with {% generation %}, for transformers (jinja).",
        ),
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="PATH",
            help="The model: its folder (tokenizer-config), or what FROM names (ollama).",
        ),
    ] = None,
    rows: Annotated[
        list[str] | None,
        typer.Option(
            "--rows",
            metavar="[TOKEN=]RULE",
            help="What the rows of new tokens are set to (tokenizer-config): mean, copy:TOKEN, "
            "describe:TEXT or keep. Repeatable.",
        ),
    ] = None,
    reserved: Annotated[
        bool | None,
        typer.Option(
            "--reserved/--no-reserved",
            help="Use reserved tokens of the model first (tokenizer-config; the default).",
            show_default=False,
        ),
    ] = None,
    mapping: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="TOKEN=RESERVED",
            help="A reserved token to use for a token (tokenizer-config). Repeatable.",
        ),
    ] = None,
    weights: Annotated[
        bool | None,
        typer.Option(
            "--weights/--no-weights",
            help="Write weights too, where the model has them (tokenizer-config; the default).",
            show_default=False,
        ),
    ] = None,
    fail_on: Annotated[
        str | None,
        typer.Option(
            "--fail-on",
            metavar="LEVEL",
            help="Write nothing and exit with 1 if something of this level cannot be carried: "
            "note, warning or error. (A model's folder is written all the same.)",
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="One JSON object with the files, what is lost, and the notes."),
    ] = False,
) -> Output:
    """Write a format as the files that another program loads.

    What the target cannot carry is said on standard error, one line each. Files are written whole
    or not at all.
    """
    if fail_on is not None:
        read.choice("--fail-on", fail_on, read.LEVELS)
    if output == "":
        raise InputError("-o: give a file or a folder")
    target = _target(to)
    fmt = _format(format)
    given: dict[str, Any] = {
        "speaker": speaker,
        "user": user,
        "cast": read.read_cast(cast) if cast else None,
        "names": names,
        "generation_markers": generation_markers or None,
        "model": model,
        "rows": rows,
        "reserved": reserved,
        "mapping": mapping,
        "weights": weights,
        "output": output if target.folder else None,
        "force": (force or None) if target.folder else None,
    }
    arguments = _arguments(target, given)
    options = read.read_options(option or [], fmt)
    for name in options:
        if name not in fmt.option_values({}) and name in target.takes():
            flag = FLAGS.get(name, f"--{name}")
            raise InputError(f"--option {name}: {fmt.name} has no such option; give {flag}")
    with _progress(target) as advance:
        if advance is not None:
            arguments["progress"] = advance
        made = make(fmt, target, options, arguments)
    reached = read.is_reached(fail_on, (record.level for record in made.lost))
    notes = [str(record) for record in made.lost]
    if as_json:
        data = json_bytes([_json(fmt, made)], indent=1)
        if not reached:
            _place(made, output, force=force, alone=False)
        return Output(lambda: write_bytes(data), notes, int(reached))
    notes += [f"{target.name}: {note}" for note in made.notes]
    if reached:
        return Output(lambda: None, notes, 1)
    return Output(_place(made, output, force=force, alone=True), notes)


def _target(name: str) -> Target:
    read.choice("--to", name, tuple(TARGETS))
    return TARGETS[name]


def _format(source: str) -> Format:
    if source == "-":
        raise InputError("FORMAT: give a name or a path; a format's file is not read from a pipe")
    if holds_template(source):
        raise UnknownFormatError(
            f"{source!r} holds a chat template, and formats are exported; "
            "'rolecall learn' makes a format of a template"
        )
    return load_format(source)


FLAGS: Mapping[str, str] = {
    "generation_markers": "--generation-markers",
    "mapping": "--map",
}
"""Arguments of targets to their options here, where those are not called alike."""


def _arguments(target: Target, given: Mapping[str, Any]) -> dict[str, Any]:
    """What is given, as the target takes it.

    Raises:
        InputError: If the target does not take it.
    """
    known = target.takes()
    arguments = {name: value for name, value in given.items() if value is not None}
    if target.folder:
        _read_folder(arguments)
    for name in arguments:
        if name not in known:
            flag = FLAGS.get(name, f"--{name}")
            users = [
                other.name for other in TARGETS.values() if name in other.takes() or other.folder
            ]
            raise InputError(f"{flag}: {target.name} takes none (it is for {', '.join(users)})")
    return arguments


def _read_folder(arguments: dict[str, Any]) -> None:
    """Read what only the making of a model's folder takes."""
    from rolecall.export.tokenizer_config import read_mapping, read_rows

    if "rows" in arguments:
        arguments["rows"] = read_rows(arguments["rows"])
    mapping = arguments.pop("mapping", None)
    if mapping is not None:
        if "reserved" in arguments:
            raise InputError("--map and --reserved: give only one of them")
        arguments["reserved"] = read_mapping(mapping)
    if arguments.get("output", "-") == "-":
        raise InputError("-o: tokenizer-config writes a folder; say which")


@contextmanager
def _progress(target: Target) -> Generator[Callable[[int, int], None] | None]:
    """A bar on standard error while weights are written, if somebody sees it."""
    if not target.folder or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    screen = Console(file=sys.stderr, markup=False, highlight=False, emoji=False)
    columns = (TextColumn("writing"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=screen, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, whole: bar.update(task, completed=done, total=whole)


def _json(fmt: Format, made: Exported) -> dict[str, Any]:
    return {
        "format": fmt.name,
        "target": made.target,
        "files": {
            name: content if isinstance(content, str) else _base64(content)
            for name, content in made.files.items()
        },
        "folder": None if made.folder is None else str(made.folder),
        "lost": [record._asdict() for record in made.lost],
        "notes": list(made.notes),
    }


def _base64(content: bytes) -> dict[str, str]:
    return {"base64": base64.b64encode(content).decode()}


# Writing.


def _place(made: Exported, output: str | None, *, force: bool, alone: bool) -> Callable[[], None]:
    """Write the files where they shall stand; what is left to do writes to standard output."""

    def nothing() -> None:
        pass

    if made.folder is not None:
        return nothing
    contents = {
        name: content.encode() if isinstance(content, str) else content
        for name, content in made.files.items()
    }
    if output is None or output == "-":
        if not alone:
            return nothing
        if len(contents) > 1:
            raise InputError(
                f"{made.target} makes {len(contents)} files ({', '.join(contents)}); give a folder "
                "with -o, or --json"
            )
        (data,) = contents.values()
        return lambda: write_bytes(data)
    try:
        _write(made.target, contents, output, force=force)
    except OSError as error:
        # Whether a path is a folder cannot always be asked.
        raise InputError(f"-o {output}: {error.strerror or error}") from None
    return nothing


def _write(target_name: str, contents: Mapping[str, bytes], output: str, *, force: bool) -> None:
    """Write files into a folder, or the only one as a file.

    Raises:
        InputError: If they cannot be there.
        OSError: If the path is none that the system takes.
    """
    target = Path(output)
    if len(contents) == 1 and not target.is_dir() and not output.endswith(("/", os.sep)):
        if not target.parent.is_dir():
            raise InputError(f"-o {output}: there is no folder {target.parent}")
        (data,) = contents.values()
        write_files({target: data}, force=force)
        return
    if target.exists() and not target.is_dir():
        raise InputError(
            f"-o {output}: {target_name} makes {len(contents)} files and this is one; give a folder"
        )
    write_files({target / name: data for name, data in contents.items()}, force=force)
