"""`rolecall audit`: what chat templates do to the conversations that they are given."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from rolecall.cli import read
from rolecall.cli.options import TemplateName
from rolecall.cli.screen import (
    Output,
    count,
    fitting,
    json_bytes,
    one_line,
    write_bytes,
    write_lines,
)
from rolecall.cli.standard_input import STDIN, read_template
from rolecall.errors import InputError, OptionError, RolecallError

if TYPE_CHECKING:
    from rolecall.audit.collect import Job
    from rolecall.audit.finding import Severity
    from rolecall.audit.rule import Rule
    from rolecall.audit.scoreboard import Asked, Entry, Scoreboard

UNAUDITED = 2
"""Exit status where something could not be audited."""
PAGE = "<!doctype html>"
"""How a page begins; no other file is written over."""


def command(
    source: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCE...",
            help="A model's folder, a tokenizer_config.json, a .jinja or .gguf file, or a folder "
            "of many of these; - is a template or tokenizer_config.json on standard input.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object for each template.")
    ] = False,
    rules: Annotated[
        str | None, typer.Option("--rules", metavar="A,B,C", help="Ask these rules only.")
    ] = None,
    min_severity: Annotated[
        str,
        typer.Option(
            "--min-severity",
            metavar="LEVEL",
            help="Show findings of this severity and graver ones: note, warning or error.",
        ),
    ] = "note",
    fail_on: Annotated[
        str,
        typer.Option(
            "--fail-on",
            metavar="LEVEL",
            help="Exit with 1 if there is a finding of this severity, shown or not: note, "
            "warning, error or never.",
        ),
    ] = "error",
    silence: Annotated[
        list[str] | None,
        typer.Option(
            "--silence",
            metavar="RULE=REASON",
            help="Do not report what a rule finds. The reason is shown. Repeatable.",
        ),
    ] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            "--tokenizer",
            "-t",
            metavar="PATH",
            help="The model's tokenizer where it does not lie beside the template: a "
            "tokenizer.json, tekken.json or tokenizer.model, or a folder with one.",
        ),
    ] = None,
    template: TemplateName = None,
    html: Annotated[
        str | None,
        typer.Option("--html", metavar="FILE", help="Write a page with everything, too."),
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout", metavar="SECONDS", help="What each of several templates may take."
        ),
    ] = 30.0,
    list_rules: Annotated[bool, typer.Option("--list-rules", help="List the rules.")] = False,
    explain: Annotated[
        str | None, typer.Option("--explain", metavar="RULE", help="Show a rule's page.")
    ] = None,
) -> Output:
    """Audit chat templates: find what they lose, refuse, move, add and forge.

    One template gets a report, several get a scoreboard. Exit status: 1 if --fail-on is reached, 2
    if a template could not be audited.
    """
    if list_rules or explain is not None:
        if source or (list_rules and explain is not None):
            raise InputError("--list-rules and --explain stand alone, without a SOURCE")
        return _listed(as_json) if explain is None else _explained(explain, as_json)
    if not source:
        raise InputError(
            "missing argument 'SOURCE'; give a model's folder, a tokenizer_config.json, a .jinja "
            "or a .gguf file\nsee 'rolecall audit --help'"
        )
    least = cast("Severity", read.choice("--min-severity", min_severity, read.LEVELS))
    read.choice("--fail-on", fail_on, (*read.LEVELS, "never"))
    if not timeout > 0:
        raise InputError(f"--timeout: found {timeout:g}; give a number of seconds above 0")
    asked = _asked(rules, silence or [], tokenizer, template)
    if html is not None:
        _check_page(html)
    whole = _audited(source, asked, timeout)

    from rolecall.audit.scoreboard import Scoreboard

    board = Scoreboard([entry.at_least(least) for entry in whole.given])
    failures = _failures(whole)
    reached = fail_on != "never" and any(
        entry.report.at_least(fail_on) for entry in whole.audited if entry.report is not None
    )
    status = UNAUDITED if whole.failed or failures else 1 if reached else 0
    notes = list(failures)
    if html is not None:
        _write_page(html, board)
        notes.append(f"written: {html}")
    if as_json:
        notes += [f"{entry.name}: {entry.error}" for entry in whole.failed]
        data = json_bytes([entry.to_json() for entry in board.given])
        return Output(lambda: write_bytes(data), notes, status)
    return Output(_shown(whole, board, full=rules is not None), notes, status)


# What is asked.


def _asked(
    rules: str | None, silence: Sequence[str], tokenizer: str | None, template: str | None
) -> Asked:
    """What the arguments ask for.

    Raises:
        InputError: If there is no such rule or tokenizer, or a silence has no reason.
    """
    from rolecall.audit.rules import chosen
    from rolecall.audit.scoreboard import Asked

    names: list[str] | None = None
    if rules is not None:
        names = [name.strip() for name in rules.split(",")]
        if not all(names):
            raise InputError(f"--rules {rules!r}: give names of rules, separated by commas")
        with _of_rules("--rules"):
            chosen(names)
    reasons: dict[str, str] = {}
    for given in silence:
        name, _, reason = (part.strip() for part in given.partition("="))
        if not name or not reason:
            raise InputError(f"--silence {given!r}: give RULE=REASON; reports show the reason")
        if name in reasons:
            raise InputError(f"--silence {name}: it is given twice")
        with _of_rules("--silence"):
            chosen([name])
        reasons[name] = reason
    if tokenizer is not None:
        from rolecall.tokenizers import tokenizer as load

        load(tokenizer)  # Whatever is wrong with it, is wrong with the arguments.
    return Asked(template, tokenizer, names, reasons)


@contextmanager
def _of_rules(option: str) -> Generator[None]:
    try:
        yield
    except OptionError as error:
        raise InputError(f"{option}: {error}; 'rolecall audit --list-rules' lists them") from None


def _listed(as_json: bool) -> Output:
    from rolecall.audit.rules import rules

    every = sorted(rules().values(), key=lambda rule: rule.name)
    if as_json:
        data = json_bytes([{**_of_rule(rule), "summary": rule.summary} for rule in every])
        return Output(lambda: write_bytes(data))
    rows = [[rule.name, rule.severity, rule.kind, rule.summary] for rule in every]
    lines = fitting(("rule", "severity", "kind", "what it reports"), rows, spare=("kind",))
    return Output(lambda: write_lines(lines))


def _explained(name: str, as_json: bool) -> Output:
    from rolecall.audit.rules import chosen

    with _of_rules("--explain"):
        rule = chosen([name])[0]
    if as_json:
        data = json_bytes([{**_of_rule(rule), "page": rule.page}])
        return Output(lambda: write_bytes(data))
    lines = [f"# {rule.name}", "", f"{rule.severity}, {rule.kind}", "", *rule.page.splitlines()]
    return Output(lambda: write_lines(lines))


def _of_rule(rule: Rule) -> dict[str, Any]:
    return {"rule": rule.name, "severity": rule.severity, "kind": rule.kind}


# Auditing.


def _audited(sources: Sequence[str], asked: Asked, timeout: float) -> Scoreboard:
    """Audit what stands under the paths.

    Raises:
        RolecallError: If there is a single template, and it cannot be audited.
    """
    from rolecall.audit.collect import collect
    from rolecall.audit.scoreboard import Entry, Scoreboard, audit_all, audit_one

    if "-" in sources:
        if len(sources) > 1:
            raise InputError("- is standard input and stands alone; give the others as paths")
        return Scoreboard([audit_one(STDIN, read_template(), asked)])
    jobs: dict[str, Job] = {}
    failed: list[Entry] = []
    for source in dict.fromkeys(sources):
        try:
            for job in collect(source):
                # Two folders can hold files of one name.
                name = job.name if len(sources) == 1 else job.path
                jobs.setdefault(job.path, job._replace(name=name))
        except RolecallError as error:
            if len(sources) == 1:
                raise
            failed.append(Entry(source, None, str(error)))
    if len(sources) == len(jobs) == 1:
        job = next(iter(jobs.values()))
        return Scoreboard([audit_one(job.name, job.path, asked)])
    with _progress(len(jobs)) as progress:
        board = audit_all(list(jobs.values()), asked, seconds=timeout, progress=progress)
    return Scoreboard([*board.given, *failed])


@contextmanager
def _progress(total: int) -> Generator[Callable[[Entry], None] | None]:
    """A bar on standard error, if somebody sees it."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    screen = Console(file=sys.stderr, markup=False, highlight=False, emoji=False)
    columns = (
        *(TextColumn("auditing", markup=False), BarColumn(), MofNCompleteColumn()),
        *(TimeElapsedColumn(), TextColumn("{task.description}", markup=False)),
    )
    with Progress(*columns, console=screen, transient=True) as bar:
        task = bar.add_task("", total=total)

        def advance(entry: Entry) -> None:
            bar.update(task, advance=1, description=one_line(entry.name))

        yield advance


# What is written.


def _shown(whole: Scoreboard, board: Scoreboard, *, full: bool) -> Callable[[], None]:
    """What a person gets; it is written when the command is through."""
    from rolecall.cli.board import board_lines
    from rolecall.cli.findings import paper, report_lines

    sheet = paper()
    entry = board.given[0] if len(board.given) == 1 else None
    if entry is not None and entry.report is not None:
        hidden = [one for one in whole.given[0].findings if one not in entry.findings]
        lines = report_lines(sheet, entry.name, entry.report, hidden=hidden, full=full)
    else:
        hidden_count = sum(whole.counts.values()) - sum(board.counts.values())
        lines = board_lines(sheet, board, hidden=hidden_count)
    return lambda: sheet.write(lines)


def _failures(board: Scoreboard) -> list[str]:
    """A line for each rule that failed, however many templates it failed on."""
    found: dict[str, list[str]] = {}
    for entry in board.audited:
        for failure in entry.report.failures if entry.report is not None else ():
            found.setdefault(failure.rule, []).append(f"{entry.name}: {failure}")
    return [
        f"{lines[0]} (the same rule on {count(len(lines) - 1, 'other')})" if lines[1:] else lines[0]
        for lines in found.values()
    ]


def _check_page(file: str) -> None:
    """Refuse early what could not be written after minutes of work.

    Raises:
        InputError: If the file cannot be written, or is no page.
    """
    path = Path(file)
    try:
        if path.is_dir():
            raise InputError(f"--html {file!r}: it is a folder; give the path of a file in it")
        if not path.parent.is_dir():
            raise InputError(f"--html {file!r}: there is no folder {str(path.parent)!r}")
        if path.exists():
            with path.open("rb") as stream:
                beginning = stream.read(len(PAGE))
            if beginning and beginning.lower() != PAGE.encode():
                raise InputError(
                    f"--html {file!r}: there is a file already, and it is no page; give another "
                    "path, or remove it"
                )
    except (OSError, ValueError) as error:
        raise InputError(f"--html {file!r}: {getattr(error, 'strerror', None) or error}") from None


def _write_page(file: str, board: Scoreboard) -> None:
    from rolecall.audit.html import page
    from rolecall.audit.rules import rules

    text = page(board, rules())
    try:
        Path(file).write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")
    except OSError as error:
        raise InputError(f"--html: cannot write {file!r}: {error.strerror or error}") from None
