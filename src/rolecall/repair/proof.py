"""What a repair is known by: the findings before and after, and the conversations compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rolecall.audit.finding import Finding


@dataclass(frozen=True, slots=True)
class Step:
    """One change of the template, and the finding that it repairs."""

    rule: str
    finding: str
    """What had been found."""
    says: str
    """What is written otherwise now."""
    kind: str
    """Which class of repair it is."""

    def to_json(self) -> dict[str, Any]:
        """The step as plain data."""
        return {"rule": self.rule, "finding": self.finding, "change": self.says}


@dataclass(frozen=True, slots=True)
class Unrepaired:
    """A finding that stays, and why."""

    rule: str
    finding: str
    why: str

    def to_json(self) -> dict[str, Any]:
        """The finding as plain data."""
        return {"rule": self.rule, "finding": self.finding, "why": self.why}


@dataclass(frozen=True, slots=True)
class Change:
    """A conversation whose text a repair changes on purpose."""

    rules: tuple[str, ...]
    """The rules whose findings it is about."""
    conversation: Mapping[str, Any]
    before: str
    after: str
    """Empty where it is refused now."""
    refused: str | None = None
    """What is raised now: of a text that was dropped, and that the template refuses wherever it
    writes it."""

    def to_json(self) -> dict[str, Any]:
        """The change as plain data."""
        return {
            "rules": list(self.rules),
            "conversation": dict(self.conversation),
            "before": self.before,
            "after": self.after,
            "refused": self.refused,
        }


@dataclass(frozen=True, slots=True)
class Proof:
    """Why a repaired template is no worse than the one it comes from."""

    before: tuple[Finding, ...]
    """What an audit found, worst first."""
    after: tuple[Finding, ...]
    compared: int
    """How many random conversations were rendered with both."""
    refused: int
    """How many of them both refuse, in the same words."""
    changes: tuple[Change, ...]
    """Those that come out otherwise; all others are the same, character by character."""

    @property
    def same(self) -> int:
        """How many conversations come out as before."""
        return self.compared - len(self.changes)

    @property
    def gone(self) -> tuple[Finding, ...]:
        """The findings that are no more."""
        left = {(one.rule, one.message) for one in self.after}
        return tuple(one for one in self.before if (one.rule, one.message) not in left)

    @property
    def new(self) -> tuple[Finding, ...]:
        """Lighter findings of rules that had none: they say what a repair does on purpose."""
        had = {one.rule for one in self.before}
        return tuple(one for one in self.after if one.rule not in had)

    def example(self, rule: str) -> Change | None:
        """A conversation that changed for a rule: that of its finding, or else the shortest."""
        shown = [one.conversation for one in self.before if one.rule == rule]
        found = [one for one in self.changes if rule in one.rules and one.refused is None]
        own = [one for one in found if one.conversation in shown]
        alone = [one for one in found if one.rules == (rule,)]
        return min(own or alone, key=lambda change: len(change.before), default=None)

    def to_json(self) -> dict[str, Any]:
        """The proof as plain data."""
        return {
            "before": [finding.to_json() for finding in self.before],
            "after": [finding.to_json() for finding in self.after],
            "compared": self.compared,
            "same": self.same,
            "refused": self.refused,
            "changes": [change.to_json() for change in self.changes],
        }
