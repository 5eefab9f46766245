"""What a person sees of the audit of one template: findings, worst first, and their places."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rolecall.audit.excerpt import excerpt, in_short
from rolecall.audit.finding import SEVERITIES, Finding, Severity
from rolecall.cli.screen import (
    console,
    count,
    has_colour,
    marks_for,
    one_line,
    visible,
    write_bytes,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from rolecall.audit.report import Report, Silenced

PIPE_WIDTH = 100
"""Columns of a report in a pipe: the same on every machine."""

BEFORE, PLACE, AFTER = 60, 120, 60
"""Characters of the output that are shown around the place, and of the place."""

GUTTER = 9
"""Where the text of a finding begins; its severity stands before."""

STYLES = {"error": "bold red", "warning": "bold yellow", "note": "bold blue"}


@dataclass(frozen=True)
class Signs:
    """What is drawn, in characters that the encoding has."""

    place: tuple[str, str]
    newline: str
    dots: str
    between: str

    def spelled(self, text: str) -> str:
        """A text on one line, in which nothing can pass for these signs."""
        own = re.escape("".join((*self.place, self.newline))) if self.dots == "…" else ""
        return visible(text, own).replace("\n", self.newline).replace("\t", "\\t")

    def said(self, text: str) -> str:
        """A sentence on one line; dots are as the encoding has them."""
        return one_line(text).replace("…", self.dots)


def signs_for(encoding: str) -> Signs:
    """The signs that an encoding can write."""
    marks = marks_for(encoding).masked
    try:
        "↵…·".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return Signs(marks, "\\n", "...", "-")
    return Signs(marks, "↵", "…", "·")


@dataclass(frozen=True)
class Paper:
    """What is written on: a terminal, or a pipe of a fixed width without colours."""

    screen: Console
    signs: Signs
    terminal: bool
    encoding: str

    @property
    def width(self) -> int:
        """Columns."""
        return max(24, self.screen.width)

    def style(self, style: str) -> str:
        """A style, or none where there are no colours."""
        return style if self.terminal and has_colour(self.screen) else ""

    def wrapped(self, text: Text, first: str, rest: str) -> Iterator[Text]:
        """The lines of a text, each after an indent."""
        from rich.text import Text

        width = max(12, self.width - len(first))
        for number, line in enumerate(text.wrap(self.screen, width, overflow="fold")):
            line.rstrip()
            yield Text.assemble(first if number == 0 else rest, line)

    def write(self, lines: Sequence[Text]) -> None:
        """Write lines to standard output."""
        if self.terminal:
            for line in lines:
                self.screen.print(line, soft_wrap=True)
            return
        text = "".join(f"{line.plain.rstrip()}\n" for line in lines)
        write_bytes(text.encode(self.encoding, errors="backslashreplace"))


def paper() -> Paper:
    """What standard output is."""
    from io import StringIO

    from rich.console import Console

    encoding = sys.stdout.encoding or "utf-8"
    if sys.stdout.isatty():
        screen = console()
        return Paper(screen, signs_for(screen.encoding), True, screen.encoding)
    screen = Console(file=StringIO(), width=PIPE_WIDTH, color_system=None, highlight=False)
    return Paper(screen, signs_for(encoding), False, encoding)


def report_lines(
    paper: Paper, name: str, report: Report, *, hidden: Sequence[Finding], full: bool
) -> list[Text]:
    """A report for a person.

    Args:
        paper: What it is written on.
        name: What the template is called.
        report: The report.
        hidden: Findings that were not to be shown.
        full: Show notes in full, too.
    """
    from rich.text import Text

    lines: list[Text] = [Text(one_line(name), paper.style("bold")), Text()]
    several = len(report.templates) > 1
    found = [finding for finding in report.findings if finding.kind != "no-place"]
    absent = [finding for finding in report.findings if finding.kind == "no-place"]
    for finding in found:
        detailed = full or finding.severity != "note"
        lines += _block(paper, finding, several=several, detailed=detailed)
        if detailed:
            lines.append(Text())
    if found and lines[-1].plain:
        lines.append(Text())
    if absent:
        lines.append(Text("Has no place for: nothing is broken, an application has to know."))
        for finding in absent:
            lines += _block(paper, finding, several=several, detailed=full)
        lines.append(Text())
    for silence in report.silenced:
        lines += _silence(paper, silence)
    if report.silenced:
        lines.append(Text())
    if report.assumed:
        tokens = " and ".join(f"{text} for {name}" for name, text in report.assumed.items())
        told = f"No tokens are known beside the template; {tokens} stood in for them."
        lines += [*paper.wrapped(Text(paper.signs.said(told)), "", ""), Text()]
    if report.unread:
        why = report.unread.replace("tokenizer=…", "--tokenizer PATH")
        text = Text(paper.signs.said(f"Token ids were not looked at: {why}."))
        lines += [*paper.wrapped(text, "", ""), Text()]
    if report.unasked:
        absent = "; ".join(f"{engine}: {why}" for engine, why in report.unasked.items())
        text = Text(paper.signs.said(f"Other engines that were not asked: {absent}."), "")
        lines += [*paper.wrapped(text, "", ""), Text()]
    return [*lines, *_last(paper, report, hidden, full=full)]


def _block(paper: Paper, finding: Finding, *, several: bool, detailed: bool) -> Iterator[Text]:
    """One finding."""
    from rich.text import Text

    style = paper.style(STYLES[finding.severity])
    head = Text.assemble(
        (f"{finding.severity:<{GUTTER}}", style), (finding.rule, paper.style("bold"))
    )
    head.append(f" {paper.signs.between} {finding.kind}", paper.style("dim"))
    if several:
        head.append(f" {paper.signs.between} template {one_line(finding.template)}")
    yield head
    indent = " " * (GUTTER if paper.width >= 60 else 2)
    yield from paper.wrapped(Text(paper.signs.said(finding.message)), indent, indent)
    if not detailed:
        return

    def labelled(label: str, text: Text) -> Iterator[Text]:
        for number, line in enumerate(
            paper.wrapped(text, f"{indent}{label:<9}", f"{indent}{'':9}")
        ):
            if number == 0:
                line.stylize(paper.style("dim"), 0, len(indent) + 9)
            yield line

    yield from labelled("given", Text(paper.signs.said(in_short(finding.conversation))))
    yield from (
        labelled("raises", Text(paper.signs.said(finding.error)))
        if finding.error is not None
        else labelled("output", _marked(paper, finding, style))
    )
    if finding.expected:
        yield from labelled("expected", Text(paper.signs.said(finding.expected)))


def _marked(paper: Paper, finding: Finding, style: str) -> Text:
    """The output around the place, which is marked with and without colours."""
    from rich.text import Text

    shown = excerpt(finding, BEFORE, PLACE, AFTER)
    assert shown is not None
    signs = paper.signs
    text = Text()
    text.append(signs.dots if shown.skipped else "", paper.style("dim"))
    text.append(signs.spelled(shown.before))
    if shown.marked:
        half, other = shown.halves if shown.inside else (shown.place, "")
        text.append(signs.place[0], style)
        reversed_style = f"{style} reverse".strip() if style else ""
        text.append(signs.spelled(half), reversed_style)
        if shown.inside:
            text.append(f" {signs.dots} {count(shown.inside, 'character')} {signs.dots} ", style)
        text.append(signs.spelled(other), reversed_style)
        text.append(signs.place[1], style)
    text.append(signs.spelled(shown.after))
    text.append(signs.dots if shown.left else "", paper.style("dim"))
    if not text.plain:
        text.append("(nothing)", paper.style("dim"))
    return text


def _silence(paper: Paper, silence: Silenced) -> Iterator[Text]:
    from rich.text import Text

    number = len(silence.findings)
    what = count(number, "finding") if number else "no finding: it need not be silenced any more"
    text = f"{silence.rule} ({what}): {silence.reason}"
    yield from paper.wrapped(Text(paper.signs.said(text)), f"{'silenced':<{GUTTER}}", " " * GUTTER)


def counted(counts: Mapping[Severity, int]) -> str:
    """``2 errors, 1 note``, or ``no findings``."""
    return (
        ", ".join(count(counts[level], level) for level in SEVERITIES if counts[level])
        or "no findings"
    )


def _last(paper: Paper, report: Report, hidden: Sequence[Finding], *, full: bool) -> Iterator[Text]:
    """What it comes to, and what to do next."""
    from rich.text import Text

    signs = paper.signs
    facts = [counted(report.counts())]
    absent = sum(finding.kind == "no-place" for finding in report.findings)
    if absent:
        facts[0] += f" ({absent} of them: no place for it)"
    if hidden:
        facts.append(f"{count(len(hidden), 'finding')} below --min-severity not shown")
    yield from paper.wrapped(Text(f" {signs.between} ".join(facts), paper.style("bold")), "", "")
    if report.findings:
        rule = report.findings[0].rule
        next_step = (
            f"'rolecall audit --explain {rule}' says why it matters and what to write instead"
        )
        if not full and any(finding.severity == "note" for finding in report.findings):
            next_step += f"; '--rules {report.findings[-1].rule}' shows a note in full"
        yield from paper.wrapped(Text(f"{next_step}."), "", "")
