"""The report of an audit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rolecall.audit.finding import SEVERITIES, Finding, Severity
from rolecall.errors import OptionError, nearest


@dataclass(frozen=True, slots=True)
class Silenced:
    """A rule that was told to be silent."""

    rule: str
    reason: str
    findings: tuple[Finding, ...]
    """What it would have reported. Where this is empty, the silence is no longer needed."""

    def to_json(self) -> dict[str, Any]:
        """The silence as plain data."""
        return {"rule": self.rule, "reason": self.reason, "findings": len(self.findings)}


@dataclass(frozen=True, slots=True)
class Failure:
    """A rule that failed. This is a bug of the rule, or of Rolecall, and not of the template."""

    rule: str
    template: str
    error: str

    def __str__(self) -> str:
        return (
            f"rule {self.rule} failed on template {self.template!r}: {self.error}. "
            "This is a bug of the rule; the other rules are not affected"
        )

    def to_json(self) -> dict[str, Any]:
        """The failure as plain data."""
        return {"rule": self.rule, "template": self.template, "error": self.error}


@dataclass(frozen=True, slots=True)
class Report:
    """What an audit found."""

    template: str
    """What was audited, as messages call it."""
    templates: tuple[str, ...]
    """Names of the templates that the source holds; ``("default",)`` for most."""
    findings: tuple[Finding, ...]
    """Worst first."""
    silenced: tuple[Silenced, ...] = ()
    failures: tuple[Failure, ...] = ()
    unread: str = ""
    """Why rules that read ids had nothing to read; empty where they had."""
    unasked: Mapping[str, str] = field(default_factory=dict[str, str])
    """Other engines that could not be asked, and why; the rules about them were quiet."""
    assumed: Mapping[str, str] = field(default_factory=dict[str, str])
    """Tokens that the template asks for and no file tells, with what stood in for them."""

    def counts(self) -> dict[Severity, int]:
        """How many findings there are of each severity."""
        return {
            severity: sum(finding.severity == severity for finding in self.findings)
            for severity in SEVERITIES
        }

    def at_least(self, severity: str) -> tuple[Finding, ...]:
        """The findings of a severity and the graver ones.

        Raises:
            OptionError: If there is no such severity.
        """
        if severity not in SEVERITIES:
            raise OptionError(
                f"there is no severity {severity!r}{nearest(severity, SEVERITIES)}; "
                f"give one of {', '.join(SEVERITIES)}"
            )
        worst = SEVERITIES[: SEVERITIES.index(severity) + 1]
        return tuple(finding for finding in self.findings if finding.severity in worst)

    def to_json(self) -> dict[str, Any]:
        """The report as plain data; the keys are stable."""
        return {
            "template": self.template,
            "templates": list(self.templates),
            "counts": self.counts(),
            "findings": [finding.to_json() for finding in self.findings],
            "silenced": [silence.to_json() for silence in self.silenced],
            "failures": [failure.to_json() for failure in self.failures],
            "unread": self.unread,
            "assumed": dict(self.assumed),
            "unasked": dict(self.unasked),
        }


def sorted_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings, worst first."""
    return tuple(sorted(findings, key=lambda finding: finding.rank))
