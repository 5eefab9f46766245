"""`rolecall repair`: a chat template with what the audit found mended, and the proof."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rolecall.cli import read
from rolecall.cli.options import TemplateArgument, TemplateName
from rolecall.cli.screen import Output, count, json_bytes, one_line, write_bytes, write_lines
from rolecall.cli.standard_input import read_template
from rolecall.errors import InputError, OptionError

if TYPE_CHECKING:
    from rolecall.repair import Change, Repair
    from rolecall.repair.write import Written

AROUND = 60
"""Characters that are shown around the place at which two texts differ."""


def command(
    source: TemplateArgument,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object: template, diff and proof.")
    ] = False,
    rules: Annotated[
        str | None,
        typer.Option("--rules", metavar="A,B,C", help="Repair what these rules find only."),
    ] = None,
    allow: Annotated[
        str | None,
        typer.Option(
            "--allow",
            metavar="A,B,C",
            help="Repair this too, though models are mostly not trained on it: names, whitespace, "
            "markers, no-markers.",
        ),
    ] = None,
    diff_only: Annotated[
        bool, typer.Option("--diff", help="Write the diff and nothing else.")
    ] = False,
    write: Annotated[
        bool,
        typer.Option(
            "--write", help="Write the repaired template into its file; FILE.orig keeps the other."
        ),
    ] = False,
    fail_on: Annotated[
        str,
        typer.Option(
            "--fail-on",
            metavar="LEVEL",
            help="Exit with 1 if a finding of this severity is left: note, warning, error or "
            "never.",
        ),
    ] = "never",
    template: TemplateName = None,
) -> Output:
    """Repair a chat template: change as little of its Jinja as mends what the audit finds.

    Nothing is written unless --write is given. Exit status: 1 if --fail-on is reached, 2 if the
    template cannot be read or written.
    """
    read.choice("--fail-on", fail_on, (*read.LEVELS, "never"))
    if diff_only and as_json:
        raise InputError("--diff and --json exclude each other; --json holds the diff")
    if write and source == "-":
        raise InputError(
            "--write: standard input is no file to write to; give a path, or take the key 'jinja' "
            "of --json"
        )
    made = _repaired(source, template, _names("--rules", rules), _names("--allow", allow) or [])
    written: Written | None = None
    if write and made.changed:
        from rolecall.repair.write import write as put

        written = put(source, made.template, made.original, made.jinja)
    notes = [] if written is None else [f"written: {written.file} (before: {written.kept})"]
    if write and written is None:
        notes.append("nothing was repaired, and nothing written")
    left = [one for one in made.proof.after if one.severity in read.LEVELS[: _rank(fail_on)]]
    status = 1 if left else 0
    if as_json:
        data = json_bytes([made.to_json()])
        return Output(lambda: write_bytes(data), notes, status)
    if diff_only:
        text = made.diff.encode(errors="backslashreplace")
        return Output(lambda: write_bytes(text), notes, status)
    lines = list(_lines(made))
    return Output(lambda: write_lines(lines), notes, status)


def _rank(level: str) -> int:
    return 0 if level == "never" else read.LEVELS.index(level) + 1


def _names(option: str, given: str | None) -> list[str] | None:
    if given is None:
        return None
    names = [name.strip() for name in given.split(",")]
    if not all(names):
        raise InputError(f"{option} {given!r}: give names, separated by commas")
    return names


def _repaired(
    source: str, template: str | None, rules: list[str] | None, allow: list[str]
) -> Repair:
    """Repair what stands under a path.

    Raises:
        RolecallError: If it cannot be read, or the options are wrong.
    """
    from rolecall.repair import repair
    from rolecall.repair.edits import opt_ins

    given: Any = read_template() if source == "-" else source
    for name in allow:
        if name not in opt_ins():
            read.choice("--allow", name, opt_ins())
    try:
        with _progress() as progress:
            return repair(given, template=template, rules=rules, allow=allow, progress=progress)
    except OptionError as error:
        said = re.sub(r"allow=\['([\w-]+)'.*\]", r"--allow \1", str(error))
        raise InputError(f"--rules: {said}") from None


@contextmanager
def _progress() -> Generator[Callable[[str], None] | None]:
    """What is being done, on standard error, if somebody sees it."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console

    screen = Console(file=sys.stderr, markup=False, highlight=False, emoji=False)
    with screen.status("auditing") as status:
        yield lambda doing: status.update(one_line(doing))


# What is written.


def _lines(made: Repair) -> Iterator[str]:
    proof = made.proof
    yield one_line(made.name)
    yield ""
    if made.changed:
        yield from made.diff.splitlines()
        yield ""
    for step in made.steps:
        yield f"repaired {step.rule}"
        yield f"         {one_line(step.finding)}"
        yield f"         {one_line(step.says)}"
        change = proof.example(step.rule)
        if change is not None:
            yield from _example(change)
        yield ""
    for one in made.unrepaired:
        yield f"left     {one.rule}"
        yield f"         {one_line(one.finding)}"
        yield f"         Not repaired: {one_line(one.why)}."
        yield ""
    for one in proof.new:
        yield f"new      {one.rule} ({one.severity})"
        yield f"         {one_line(one.message)} It says what the repair is."
        yield ""
    if made.assumed:
        tokens = " and ".join(f"{text} for {name}" for name, text in made.assumed.items())
        yield f"No tokens are known beside the template; {tokens} stood in for them."
        yield ""
    if made.offer is not None:
        offered = made.offer
        yield f"offered  without {', '.join(offered.without)}"
        yield "         A format could be learnt from the template. Exported again, it writes the"
        yield f"         same, and refuses what it has no place for: {offered.refused:,} of"
        yield f"         {offered.compared:,} conversations that are written now. --json holds it."
        yield ""
    if not made.changed:
        yield "nothing to repair" if not made.unrepaired else "nothing repaired"
        return
    yield (
        f"{count(len(proof.before), 'finding')} before, {len(proof.after)} after. Of "
        f"{proof.compared:,} conversations {proof.same:,} come out as before, "
        f"{len(proof.changes):,} change on purpose."
    )


def _example(change: Change) -> Iterator[str]:
    """A conversation, and what was written of it before and is now, around the difference."""
    from rolecall.audit.excerpt import in_short

    start = 0
    for first, second in zip(change.before, change.after, strict=False):
        if first != second:
            break
        start += 1
    begin = max(0, start - AROUND)
    yield f"         given   {one_line(in_short(change.conversation))}"
    for label, text in (("before", change.before), ("after", change.after)):
        shown = text[begin : start + 2 * AROUND]
        left = "…" if begin else ""
        right = "…" if len(text) > start + 2 * AROUND else ""
        yield f"         {label:<7} {left}{one_line(shown)}{right}"
