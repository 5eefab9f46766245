"""What a person sees of the audits of many templates: a scoreboard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rolecall.audit.finding import SEVERITIES, Severity
from rolecall.audit.scoreboard import letter
from rolecall.cli.findings import STYLES, Paper, counted
from rolecall.cli.screen import count, one_line

if TYPE_CHECKING:
    from rich.text import Text

    from rolecall.audit.scoreboard import Scoreboard


def board_lines(paper: Paper, board: Scoreboard, *, hidden: int) -> list[Text]:
    """A scoreboard for a person: templates, then rules, then what could not be audited.

    Args:
        paper: What it is written on.
        board: The scoreboard.
        hidden: How many findings were not to be shown.
    """
    from rich.text import Text

    lines: list[Text] = []
    if board.audited:
        lines += [*_templates(paper, board), Text()]
    if board.rows:
        lines += [*_rules(paper, board), Text()]
    if board.failed:
        lines.append(Text("Could not be audited", paper.style(STYLES["error"])))
        for entry in board.failed:
            text = Text(paper.signs.said(f"{entry.name}: {entry.error}"))
            lines += paper.wrapped(text, "  ", "    ")
        lines.append(Text())
    silenced = {
        silence.rule: silence.reason
        for entry in board.audited
        if entry.report is not None
        for silence in entry.report.silenced
    }
    for rule, reason in silenced.items():
        lines += paper.wrapped(Text(paper.signs.said(f"silenced {rule}: {reason}")), "", " " * 9)
    if silenced:
        lines.append(Text())
    return [*lines, *_last(paper, board, hidden)]


def _templates(paper: Paper, board: Scoreboard) -> list[Text]:
    from rich.text import Text

    head = ["#", "template", *(f"{severity}s" for severity in SEVERITIES), "gravest"]
    rows: list[list[Text]] = [[Text(word, paper.style("bold")) for word in head]]
    for number, entry in enumerate(board.audited, 1):
        gravest = ", ".join(dict.fromkeys(finding.rule for finding in entry.findings[:3]))
        rows.append(
            [
                Text(str(number), paper.style("dim")),
                Text(one_line(entry.name)),
                *(_number(paper, severity, entry.counts[severity]) for severity in SEVERITIES),
                Text(gravest or "-"),
            ]
        )
    return _grid(paper, rows, right=(0, 2, 3, 4), names=1)


def _rules(paper: Paper, board: Scoreboard) -> list[Text]:
    """Rules with the number of templates, and the cells themselves where they fit."""
    from rich.text import Text

    numbers = range(1, len(board.audited) + 1)
    wide = len(str(len(board.audited)))
    longest = max(len(row.rule) for row in board.rows)
    matrix = len(board.audited) > 1 and longest + 24 + (wide + 2) * len(numbers) <= paper.width
    head = ["rule", "severity", "templates", *(map(str, numbers) if matrix else ())]
    rows: list[list[Text]] = [[Text(word, paper.style("bold")) for word in head]]
    for row in board.rows:
        cells = [
            Text(row.rule),
            Text(row.severity, paper.style(STYLES[row.severity])),
            Text(str(row.templates)),
        ]
        for entry in board.audited if matrix else ():
            found = board.cell(entry, row.rule)
            if not found:
                cells.append(Text(paper.signs.between, paper.style("dim")))
                continue
            cells.append(Text(letter(found), paper.style(STYLES[found[0].severity])))
        rows.append(cells)
    return _grid(paper, rows, right=range(2, len(head)), names=0)


def _number(paper: Paper, severity: Severity, number: int) -> Text:
    from rich.text import Text

    return Text(str(number), paper.style(STYLES[severity] if number else "dim"))


FEWEST = 10
"""Characters of a name that are left in a terminal however narrow."""


def _grid(
    paper: Paper, rows: Sequence[Sequence[Text]], *, right: Sequence[int], names: int
) -> list[Text]:
    """Columns; in a terminal that is too narrow names lose their beginnings, then lines their ends.

    Args:
        paper: Where they are written.
        rows: Their cells.
        right: Columns that are written to the right.
        names: The column that gives way so that the numbers behind it can be read.
    """
    from rich.text import Text

    widths = [max(row[index].cell_len for row in rows) for index in range(len(rows[0]))]
    numbers = max(right) + 1
    # Room for the dots, if there are columns behind the numbers.
    more = 2 + len(paper.signs.dots) if numbers < len(widths) else 0
    over = sum(widths[:numbers]) + 2 * (numbers - 1) + more - paper.width
    if paper.terminal and over > 0:
        widths[names] = max(min(FEWEST, widths[names]), widths[names] - over)
    lines: list[Text] = []
    for row in rows:
        line = Text()
        for index, (whole, width) in enumerate(zip(row, widths, strict=True)):
            cell = _shortened(whole, width, paper.signs.dots)
            space = " " * (width - cell.cell_len)
            line.append("  " if index else "")
            line.append_text(
                Text.assemble(space, cell) if index in right else Text.assemble(cell, space)
            )
        line.rstrip()
        if paper.terminal and line.cell_len > paper.width:
            line.truncate(paper.width - len(paper.signs.dots))
            line.append(paper.signs.dots)
        lines.append(line)
    return lines


def _shortened(cell: Text, width: int, dots: str) -> Text:
    """A cell that is not wider, without its beginning: files are told apart by their ends."""
    from rich.text import Text

    if cell.cell_len <= width:
        return cell
    kept = cell
    while kept.cell_len > width - len(dots):
        kept = kept[1:]
    return Text.assemble(dots, kept)


def _last(paper: Paper, board: Scoreboard, hidden: int) -> list[Text]:
    from rich.text import Text

    signs = paper.signs
    facts = [count(len(board.audited), "template"), counted(board.counts)]
    bad = sum(bool(entry.counts["error"]) for entry in board.audited)
    if bad:
        facts.append(f"{bad} with errors")
    if board.failed:
        facts.append(f"{len(board.failed)} could not be audited")
    if hidden:
        facts.append(f"{count(hidden, 'finding')} below --min-severity not shown")
    lines = [*paper.wrapped(Text(f" {signs.between} ".join(facts), paper.style("bold")), "", "")]
    if board.rows:
        step = (
            "'rolecall audit PATH' shows what was found on one of them, --html FILE writes a page "
            f"with everything, 'rolecall audit --explain {board.rows[0].rule}' what a rule means."
        )
        lines += paper.wrapped(Text(step), "", "")
    return lines
