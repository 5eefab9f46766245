"""The audits of many templates side by side."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from typing import Any

from rolecall.audit.collect import Job
from rolecall.audit.finding import SEVERITIES, Finding, Severity
from rolecall.audit.report import Report
from rolecall.audit.workers import spread

SECONDS = 30.0
"""What one template of many may take. Most take less than one."""

LETTERS: Mapping[Severity, str] = {"error": "E", "warning": "W", "note": "n"}
NO_PLACE = "o"


def letter(found: Sequence[Finding]) -> str:
    """What stands for the findings of a cell: the letter of the gravest, and how many."""
    gravest = found[0]
    sign = NO_PLACE if gravest.kind == "no-place" else LETTERS[gravest.severity]
    return f"{sign}{len(found)}" if len(found) > 1 else sign


@dataclass(frozen=True)
class Asked:
    """What is asked of each template: the arguments of `rolecall.audit.audit`."""

    template: str | None = None
    tokenizer: str | None = None
    rules: Sequence[str] | None = None
    silence: Mapping[str, str] = field(default_factory=dict[str, str])

    def audit(self, source: object) -> Report:
        """Audit one source.

        Raises:
            RolecallError: If it cannot be audited.
        """
        from rolecall.audit import audit

        return audit(
            source,
            template=self.template,
            tokenizer=None if self.tokenizer is None else _loaded(self.tokenizer),
            rules=self.rules,
            silence=self.silence,
        )


@dataclass(frozen=True)
class Entry:
    """One template of a scoreboard, or one source of several templates."""

    name: str
    report: Report | None
    error: str = ""
    """Why there is no report."""
    seconds: float = 0.0

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found; nothing where it could not be audited."""
        return self.report.findings if self.report else ()

    @property
    def counts(self) -> dict[Severity, int]:
        """How many findings there are of each severity."""
        return _counts(self.findings)

    @property
    def rank(self) -> tuple[Any, ...]:
        """Sorts entries: what could not be audited first, then worst first."""
        return (self.report is not None, *(-count for count in self.counts.values()), self.name)

    def at_least(self, severity: Severity) -> Entry:
        """The entry with the findings of a severity and the graver ones only."""
        if self.report is None:
            return self
        return replace(self, report=replace(self.report, findings=self.report.at_least(severity)))

    def to_json(self) -> dict[str, Any]:
        """The entry as plain data; the keys are those of a report, and ``error``."""
        report = self.report or Report(self.name, (), ())
        return {**report.to_json(), "template": self.name, "error": self.error or None}


@dataclass(frozen=True)
class Row:
    """One rule of a scoreboard."""

    rule: str
    severity: Severity
    """The gravest of its findings."""
    templates: int
    """On how many templates it has findings."""
    gravest: int
    """On how many templates it has findings of that severity."""


@dataclass(frozen=True)
class Scoreboard:
    """Rules by templates."""

    given: Sequence[Entry]

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """Worst first; what could not be audited before all."""
        return tuple(sorted(self.given, key=lambda entry: entry.rank))

    @cached_property
    def failed(self) -> tuple[Entry, ...]:
        """What could not be audited."""
        return tuple(entry for entry in self.entries if entry.report is None)

    @cached_property
    def audited(self) -> tuple[Entry, ...]:
        """What was audited, worst first."""
        return tuple(entry for entry in self.entries if entry.report is not None)

    @cached_property
    def counts(self) -> dict[Severity, int]:
        """How many findings there are of each severity."""
        return _counts(finding for entry in self.given for finding in entry.findings)

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The rules that found something: gravest first, and the most frequent first of those."""
        found: dict[str, list[tuple[int, Finding]]] = {}
        for number, entry in enumerate(self.given):
            for finding in entry.findings:
                found.setdefault(finding.rule, []).append((number, finding))
        rows: list[Row] = []
        for rule, hits in found.items():
            severity = min((finding for _, finding in hits), key=lambda one: one.rank).severity
            gravest = {number for number, finding in hits if finding.severity == severity}
            rows.append(Row(rule, severity, len({number for number, _ in hits}), len(gravest)))
        rows.sort(key=lambda row: (SEVERITIES.index(row.severity), -row.gravest, row.rule))
        return tuple(rows)

    def cell(self, entry: Entry, rule: str) -> tuple[Finding, ...]:
        """What a rule found on a template, worst first."""
        return tuple(finding for finding in entry.findings if finding.rule == rule)


def audit_all(
    jobs: Sequence[Job],
    asked: Asked,
    *,
    seconds: float = SECONDS,
    processes: int | None = None,
    progress: Callable[[Entry], None] | None = None,
) -> Scoreboard:
    """Audit many templates, in processes of their own.

    One that cannot be read, or hangs, is an entry that says so; the others are audited all the
    same.

    Args:
        jobs: What to audit.
        asked: How.
        seconds: Wall-clock time that each may take.
        processes: How many processes; None is one a core.
        progress: Called with each entry as it is done.

    Raises:
        RolecallError: If no process can be started.
    """
    entries: dict[int, Entry] = {}
    work = partial(_one, asked)
    paths = [job.path for job in jobs]
    for done in spread(work, paths, seconds=seconds, processes=processes, prepare=_prepare):
        entry = Entry(jobs[done.index].name, done.result, done.error, done.seconds)
        entries[done.index] = entry
        if progress is not None:
            progress(entry)
    return Scoreboard([entries[index] for index in range(len(jobs))])


def audit_one(name: str, source: object, asked: Asked) -> Entry:
    """Audit one template in this process.

    Raises:
        RolecallError: If it cannot be audited.
    """
    began = time.monotonic()
    return Entry(name, asked.audit(source), seconds=time.monotonic() - began)


def _one(asked: Asked, path: str) -> Report:
    return asked.audit(path)


def _prepare() -> None:
    """Load what every audit needs."""
    from rolecall.audit.rules import rules
    from rolecall.template.template import Template

    rules()
    Template.from_text("{{ messages }}")


@cache
def _loaded(tokenizer: str) -> object:
    """A tokenizer that was given; a process that audits many loads it once."""
    from rolecall.tokenizers import tokenizer as load

    return load(tokenizer)


def _counts(findings: Iterable[Finding]) -> dict[Severity, int]:
    found = Counter(finding.severity for finding in findings)
    return {severity: found[severity] for severity in SEVERITIES}
