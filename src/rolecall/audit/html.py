"""A scoreboard as one HTML page that needs nothing else: no network, no other file.

Everything of a template is foreign: its name, its output, what it raises. All of it is escaped, and
the page's own policy lets no script run but the one that stands in it, by its hash.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from html import escape as escape_html
from pathlib import Path

from rolecall.audit.excerpt import excerpt, in_short
from rolecall.audit.finding import SEVERITIES, Finding, Severity
from rolecall.audit.rule import Rule
from rolecall.audit.scoreboard import LETTERS, Entry, Row, Scoreboard, letter

BEFORE, PLACE, AFTER = 500, 800, 500
"""Characters of the output that are shown around the place, and of the place."""

FOLDER = Path(__file__).parent / "page"

WEIGHTS: Mapping[Severity, int] = {"error": 10_000, "warning": 100, "note": 1}
"""What a finding counts for where a column is sorted."""

_ODD = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ud800-\udfff\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
"""Characters that cannot be seen, that turn text around, or that HTML does not take."""


def page(board: Scoreboard, rules: Mapping[str, Rule]) -> str:
    """The page of a scoreboard.

    Args:
        board: The scoreboard.
        rules: Every rule, whose pages are appended where they found something.
    """
    return "".join(f"{part}\n" for part in _page(board, rules))


def _page(board: Scoreboard, rules: Mapping[str, Rule]) -> Iterator[str]:
    style = (FOLDER / "style.css").read_text(encoding="utf-8")
    script = (FOLDER / "script.js").read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    alone = len(board.entries) == 1
    title = (
        f"Audit of {board.entries[0].name}"
        if alone
        else f"Audit of {len(board.entries)} chat templates"
    )
    yield "<!doctype html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    yield '<meta name="referrer" content="no-referrer">'
    yield f"<title>{_text(title, plain=True)}</title><style>{style}</style></head><body>"
    yield '<a class="skip" href="#findings">To the findings</a>'
    yield f"<header><h1>{_text(title)}</h1>{_totals(board)}</header><main>"
    if board.rows:
        yield _controls(alone)
    if board.rows and not alone:
        yield from _table(board)
    if board.failed:
        yield from _failed(board.failed)
    yield '<section id="findings"><h2>Findings</h2>'
    for number, entry in enumerate(board.audited):
        yield from _template(number, entry)
    yield "</section>"
    if board.rows:
        yield '<section id="rules"><h2>Rules</h2>'
        for row in board.rows:
            yield from _rule(row, rules[row.rule])
        yield "</section>"
    yield (
        "</main><footer>Written by <code>rolecall audit</code>. An error loses content, or has the "
        "model continue after the end of its turn; a warning changes, adds or refuses something; a "
        "note is worth knowing.</footer>"
    )
    yield f"<script>{script}</script></body></html>"


def _hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


def _text(text: str, *, plain: bool = False) -> str:
    """Foreign text as HTML; what cannot be seen is spelled out.

    Args:
        text: The text.
        plain: Without tags: for attributes and the title.
    """

    def spelled(found: re.Match[str]) -> str:
        code = f"U+{ord(found.group()):04X}"
        return f"[{code}]" if plain else f'<span class="odd">{code}</span>'

    return _ODD.sub(spelled, escape_html(text, quote=True))


def _totals(board: Scoreboard) -> str:
    items = [f'<li class="chip">{_number(len(board.audited), "template")} audited</li>']
    items += [
        f'<li class="chip {severity}">{_number(number, severity)}</li>'
        for severity, number in board.counts.items()
        if number
    ]
    if not board.rows:
        items.append('<li class="chip">no findings</li>')
    if board.failed:
        link = f'<a href="#failed">{len(board.failed)} could not be audited</a>'
        items.append(f'<li class="chip error">{link}</li>')
    return f'<ul class="totals">{"".join(items)}</ul>'


def _number(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _controls(alone: bool) -> str:
    levels = (("note", "everything"), ("warning", "warnings and errors"), ("error", "errors"))
    choices = "".join(
        f'<label><input type="radio" name="level" id="level-{level}"'
        f"{' checked' if level == 'note' else ''}> {words}</label>"
        for level, words in levels
    )
    template = '<label>Template <input type="search" id="find-template"></label>'
    rule = '<label>Rule <input type="search" id="find-rule"></label>'
    fields = rule if alone else template + rule
    return (
        f'<div class="controls"><fieldset><legend>Show</legend>{choices}</fieldset>'
        f'<div class="controls needs-script">{fields}</div></div>'
    )


def _failed(entries: Iterable[Entry]) -> Iterator[str]:
    yield '<section class="failed" id="failed"><h2>Could not be audited</h2><dl>'
    for entry in entries:
        yield f'<dt class="name">{_text(entry.name)}</dt><dd>{_text(entry.error)}</dd>'
    yield "</dl></section>"


# The scoreboard.


def _table(board: Scoreboard) -> Iterator[str]:
    sort = '<button type="button" class="sort needs-script" aria-label="Sort by {}">↕</button>'
    yield '<section><h2 id="board">Scoreboard</h2>'
    yield (
        '<p class="soft">E error, W warning, n note, o the format has no place for it; a number '
        "where there are several. Each leads to what was found.</p>"
        '<div class="scroll" tabindex="0" role="region" aria-labelledby="board">'
        f'<table class="board"><thead><tr><th scope="col">Template {sort.format("name")}</th>'
    )
    for severity in SEVERITIES:
        yield (
            f'<th scope="col" class="col-{severity}"><abbr title="{severity}s">'
            f"{LETTERS[severity]}</abbr> {sort.format(f'number of {severity}s')}</th>"
        )
    for row in board.rows:
        yield (
            f'<th scope="col" class="rule col-{row.severity}" data-rule="{row.rule}">'
            f'<a href="#rule-{row.rule}">{row.rule}</a>'
            f'<span class="share">{row.templates}</span>{sort.format(row.rule)}</th>'
        )
    yield "</tr></thead><tbody>"
    for number, entry in enumerate(board.audited):
        name = _text(entry.name, plain=True)
        link = f'<a href="#t{number}">{_text(entry.name)}</a>'
        yield f'<tr data-name="{name}"><th scope="row">{link}</th>'
        for severity, found in entry.counts.items():
            none = "" if found else " none"
            yield f'<td class="total col-{severity}{none}" data-value="{found}">{found}</td>'
        yield "".join(_cell(board, number, entry, row) for row in board.rows) + "</tr>"
    yield "</tbody></table></div></section>"


def _cell(board: Scoreboard, number: int, entry: Entry, row: Row) -> str:
    found = board.cell(entry, row.rule)
    start = f'<td data-rule="{row.rule}" class="cell col-{row.severity}'
    if not found:
        return f'{start}"></td>'
    first = found[0]
    value = sum(WEIGHTS[finding.severity] for finding in found)
    what = f"{first.severity}s" if len(found) > 1 else first.severity
    several = str(len(found)) if len(found) > 1 else ""
    label = _text(f"{row.rule}: {several} {what}, {entry.name}", plain=True)
    target = f"f{number}-{entry.findings.index(first)}"
    return (
        f'{start} {first.severity}" data-value="{value}">'
        f'<a href="#{target}" aria-label="{label}" title="{_text(first.message, plain=True)}">'
        f"{letter(found)}</a></td>"
    )


# Findings.


def _template(number: int, entry: Entry) -> Iterator[str]:
    report = entry.report
    assert report is not None
    chips = "".join(
        f'<span class="chip {severity}">{_number(found, severity)}</span>'
        for severity, found in entry.counts.items()
        if found
    )
    yield (
        f'<details class="template" id="t{number}" open '
        f'data-name="{_text(entry.name, plain=True)}">'
        f'<summary><span class="name grow">{_text(entry.name)}</span>'
        f'{chips or "<span class=chip>no findings</span>"}</summary><div class="inside">'
    )
    numbered = list(enumerate(entry.findings))
    several = len(report.templates) > 1
    for place, finding in numbered:
        if finding.kind != "no-place":
            yield from _finding(f"f{number}-{place}", finding, several=several)
    absent = [(place, finding) for place, finding in numbered if finding.kind == "no-place"]
    if absent:
        yield "<h3>Has no place for</h3>"
        yield '<p class="soft">Nothing of the template is broken; an application has to know.</p>'
        for place, finding in absent:
            yield from _finding(f"f{number}-{place}", finding, several=several)
    for silence in report.silenced:
        count = _number(len(silence.findings), "finding")
        yield (
            f'<p class="soft">Silenced: <code>{silence.rule}</code> ({count}). '
            f"{_text(silence.reason)}</p>"
        )
    for failure in report.failures:
        yield f'<p class="soft">{_text(str(failure))}.</p>'
    if report.assumed:
        told = " and ".join(f"{text} for {name}" for name, text in report.assumed.items())
        yield (
            '<p class="soft">No tokens are known beside the template; '
            f"{_text(told)} stood in for them.</p>"
        )
    if report.unasked:
        absent = "; ".join(f"{engine}: {why}" for engine, why in report.unasked.items())
        yield f'<p class="soft">Other engines that were not asked: {_text(absent)}.</p>'
    if report.unread:
        yield f'<p class="soft">Token ids were not looked at: {_text(report.unread)}.</p>'
    yield "</div></details>"


def _finding(anchor: str, finding: Finding, *, several: bool) -> Iterator[str]:
    yield (
        f'<article class="finding {finding.severity}" id="{anchor}" data-rule="{finding.rule}">'
        f'<h4><span class="chip {finding.severity}">{finding.severity}</span>'
        f'<a href="#rule-{finding.rule}" class="name">{finding.rule}</a>'
        f'<span class="soft">{finding.kind}</span>'
    )
    if several:
        yield f'<span class="soft">template <code>{_text(finding.template)}</code></span>'
    yield f"</h4><p>{_text(finding.message)}</p><dl>"
    whole = json.dumps(finding.conversation, ensure_ascii=False, indent=1, default=str)
    yield (
        f"<dt>Given</dt><dd><code>{_text(in_short(finding.conversation))}</code>"
        f"<details><summary>as JSON</summary><pre>{_text(whole)}</pre></details></dd>"
    )
    if finding.error is not None:
        yield f"<dt>Raises</dt><dd>{_text(finding.error)}</dd>"
    else:
        yield f"<dt>Output</dt><dd><pre>{_marked(finding)}</pre></dd>"
    if finding.expected:
        yield f"<dt>Expected</dt><dd>{_text(finding.expected)}</dd>"
    yield "</dl></article>"


def _marked(finding: Finding) -> str:
    shown = excerpt(finding, BEFORE, PLACE, AFTER)
    assert shown is not None

    def cut(number: int) -> str:
        return f'<span class="cut">… {_number(number, "character")} …</span>' if number else ""

    place = ""
    if shown.marked and not shown.place:
        place = '<mark class="gap">⟪⟫</mark>'
    elif shown.inside:
        half, other = shown.halves
        place = f"<mark>{_text(half)}</mark>{cut(shown.inside)}<mark>{_text(other)}</mark>"
    elif shown.marked:
        place = f"<mark>{_text(shown.place)}</mark>"
    # A parser drops a newline that <pre> begins with, so nothing of the output may stand first.
    output = f"{cut(shown.skipped)}<span>{_text(shown.before)}</span>{place}{_text(shown.after)}"
    return output + cut(shown.left) if finding.output else '<span class="cut">(nothing)</span>'


# Rules.


def _rule(row: Row, rule: Rule) -> Iterator[str]:
    body = rule.page.partition("\n")[2]
    yield (
        f'<details class="page" id="rule-{row.rule}" data-rule="{row.rule}">'
        f'<summary><span class="name">{row.rule}</span>'
        f'<span class="grow">{"".join(_inline(rule.summary))}</span>'
        f'<span class="chip {row.severity}">{_number(row.templates, "template")}</span></summary>'
        f'<div class="inside">{"".join(_markdown(body))}</div></details>'
    )


def _markdown(text: str) -> Iterator[str]:
    """The markdown of a rule's page: headings, paragraphs, lists and fenced code."""
    pieces = re.split(r"^```[^\n]*\n(.*?)^```[ ]*$", text, flags=re.MULTILINE | re.DOTALL)
    for number, piece in enumerate(pieces):
        if number % 2:
            yield f"<pre><code>{_text(piece)}</code></pre>"
            continue
        for block in re.split(r"\n\s*\n", piece.strip()):
            heading, _, rest = block.partition("\n") if block.startswith("#") else ("", "", block)
            if heading:
                yield f"<h3>{''.join(_inline(heading.lstrip('# ')))}</h3>"
            if rest.startswith("- "):
                items = re.split(r"\n?^- ", rest, flags=re.MULTILINE)[1:]
                listed = "".join(f"<li>{''.join(_inline(item))}</li>" for item in items)
                yield f"<ul>{listed}</ul>"
            elif rest.strip():
                yield f"<p>{''.join(_inline(rest))}</p>"


def _inline(text: str) -> Iterator[str]:
    """Code and emphasis within a line."""
    for number, piece in enumerate(
        re.split(r"(?<!`)(``?)(?!`)(.+?)(?<!`)\1(?!`)", text, flags=re.DOTALL)
    ):
        if number % 3 == 0:
            yield re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", _text(piece))
        elif number % 3 == 2:
            yield f"<code>{_text(piece)}</code>"
