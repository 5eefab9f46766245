"""`rolecall learn`: a format file from a model's own chat template, and its proof."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rolecall.cli.files import write_files
from rolecall.cli.options import Force, TemplateArgument, TemplateName
from rolecall.cli.screen import Output, json_bytes, one_line, write_bytes, write_lines
from rolecall.cli.standard_input import read_template
from rolecall.errors import InputError, LearnError

if TYPE_CHECKING:
    from rolecall.learn.learning import Learnt

LONGEST = 600
"""Characters of a reason that are shown."""


def command(
    source: TemplateArgument,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where to write the format file; without it, or with -, it goes to standard "
            "output.",
        ),
    ] = None,
    force: Force = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object: the file, what is claimed, the proof.")
    ] = False,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", metavar="NUMBER", help="Seed of the proof's conversations; a new one else."
        ),
    ] = None,
    template: TemplateName = None,
) -> Output:
    """Learn a format file from a chat template, and prove that both write the same.

    A template that no format file can follow is refused, with the conversation that shows why.
    """
    file = None if output in (None, "-") else Path(str(output))
    if file is not None:
        _check(file, force=force)
    made = _learnt(source, template, seed)
    if file is not None:
        write_files({file: made.toml.encode()}, force=force)
    notes = [] if file is None else [f"written: {file}"]
    if as_json:
        data = json_bytes([to_json(made)], indent=1)
        return Output(lambda: write_bytes(data), notes)
    if file is None:
        text = made.toml.encode()
        return Output(lambda: write_bytes(text), [*_lines(made)])
    lines = list(_lines(made))
    return Output(lambda: write_lines(lines), notes)


def to_json(made: Learnt) -> dict[str, Any]:
    """What was learnt as JSON."""
    return {
        "format": made.format.name,
        "toml": made.toml,
        "claims": made.claims,
        "unclaimed": made.unclaimed,
        "domain": list(made.domain),
        "seed": made.seed,
        "probes": made.probes,
    }


def _lines(made: Learnt) -> Iterator[str]:
    """What is claimed, and what is not."""
    for kind, count in made.claims.items():
        yield f"proved: {kind} ({count:,} conversations, seed {made.seed})"
    for kind, why in made.unclaimed.items():
        yield f"not claimed: {kind}: {_short(why)}"
    for sentence in made.domain:
        yield f"domain: {_short(sentence)}"


def _short(text: str) -> str:
    line = one_line(text)
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def _learnt(source: str, template: str | None, seed: int | None) -> Learnt:
    """Learn from what stands under a path.

    Raises:
        RolecallError: If it cannot be read, or not learnt.
    """
    from rolecall.learn import learn

    given: Any = read_template() if source == "-" else source
    try:
        with _progress() as progress:
            return learn(given, template=template, seed=seed, progress=progress)
    except LearnError as error:
        lines = [_short(str(error).split("; of [")[0])]
        if error.conversation is not None:
            lines += [
                f"the conversation: {_short(repr(error.conversation))}",
                f"the template: {_short(error.expected)}",
            ]
            lines += [f"the best format file: {_short(error.found)}"] if error.found else []
        raise InputError("\n".join(lines)) from None


@contextmanager
def _progress() -> Generator[Callable[[str, int], None] | None]:
    """What is being done, on standard error, if somebody sees it."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console

    screen = Console(file=sys.stderr, markup=False, highlight=False, emoji=False)
    with screen.status("learning") as status:
        yield lambda doing, count: status.update(one_line(f"{doing} ({count:,} conversations)"))


def _check(file: Path, *, force: bool) -> None:
    """Refuse at once what could not be written in the end.

    Raises:
        InputError: If it is there already, or cannot be there.
    """
    if file.is_dir():
        raise InputError(f"-o {file}: it is a folder; give a file")
    if (file.exists() or file.is_symlink()) and not force:
        raise InputError(f"{file} is there already; --force writes over it")
    if not file.parent.is_dir():
        raise InputError(f"-o {file}: there is no folder {file.parent}")
    if file.suffix != ".toml":
        raise InputError(f"-o {file}: a format file ends in .toml")
