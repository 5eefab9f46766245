"""Rules: a module of `rolecall.audit.rules` each, and what such a module holds."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Literal, get_args

from rolecall.audit.finding import KINDS, SEVERITIES, Finding, Kind, Severity

if TYPE_CHECKING:
    from rolecall.audit.outcome import Outcome
    from rolecall.audit.probe import Probe

SECTIONS = (
    "## Why it matters",
    "## Example",
    "## What to do instead",
    "## Is a repair safe?",
)
"""Headings of a rule's page, in this order. Before the first stands what the rule reports: one
sentence, and further paragraphs where it needs them."""

Group = Literal["lost", "refused", "moved", "generation", "security", "form", "portability"]
"""Where a rule stands on the page of all rules, in this order."""

GROUPS: tuple[Group, ...] = get_args(Group)

GROUP_OF: Mapping[Kind, Group] = {
    "loses": "lost",
    "no-place": "lost",
    "changes": "lost",
    "refuses": "refused",
    "moves": "moved",
    "adds": "moved",
    "breaks": "generation",
    "forges": "security",
    "differs": "portability",
}
"""The group of a rule that names none, by its kind."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a rule found. With the rule's own severity and kind it becomes a finding."""

    message: str
    """One sentence for the person who reads the report; it says what happened to what."""
    outcome: Outcome
    """The smallest conversation that shows it, and what the template made of it."""
    span: tuple[int, int] | None = None
    """The place in the output; an empty one where something is missing."""
    expected: str | None = None
    """What was expected and how the output differs from it."""
    severity: Severity | None = None
    """Where this finding is graver or lighter than the rule's usual ones."""
    kind: Kind | None = None
    """Where this finding is of another kind than the rule's usual ones."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the audit."""

    name: str
    severity: Severity
    kind: Kind
    group: Group
    """Where it stands on the page of all rules."""
    summary: str
    """First line of the page."""
    page: str
    """The whole page, in markdown."""
    check: Callable[[Probe], Iterable[Evidence]]
    unrendered: bool
    """Whether it also runs on a template that renders no plain chat at all."""
    last: bool
    """Whether it runs after the others, because it reports what they met."""

    def findings(self, probe: Probe) -> list[Finding]:
        """What the rule reports of a template."""
        return [
            Finding(
                rule=self.name,
                severity=shown.severity or self.severity,
                kind=shown.kind or self.kind,
                message=shown.message,
                template=probe.used(shown.outcome),
                conversation=shown.outcome.conversation,
                output=shown.outcome.text if shown.outcome.ok else None,
                span=shown.span,
                expected=shown.expected,
                error=shown.outcome.reason,
            )
            for shown in self.check(probe)
        ]


def read_rule(module: ModuleType) -> Rule:
    """The rule that a module holds.

    A module has ``SEVERITY``, ``KIND`` and ``check(probe)``; ``GROUP`` where the kind does not say
    it, ``UNRENDERED = True`` and ``LAST = True`` where they apply. Its name is the module's with
    hyphens, its page the docstring.

    Raises:
        TypeError: If the module lacks something, or has what no rule knows.
    """
    name = module.__name__.rpartition(".")[2].replace("_", "-")
    severity, kind = getattr(module, "SEVERITY", None), getattr(module, "KIND", None)
    check: Callable[[Probe], Iterable[Evidence]] | None = getattr(module, "check", None)
    page = inspect.cleandoc(module.__doc__ or "")
    if severity not in SEVERITIES:
        raise TypeError(f"rule {name}: SEVERITY is {severity!r}; give one of {SEVERITIES}")
    if kind not in KINDS:
        raise TypeError(f"rule {name}: KIND is {kind!r}; give one of {KINDS}")
    group = getattr(module, "GROUP", GROUP_OF[kind])
    if group not in GROUPS:
        raise TypeError(f"rule {name}: GROUP is {group!r}; give one of {GROUPS}")
    if check is None:
        raise TypeError(f"rule {name}: has no check(probe)")
    found = tuple(line for line in page.splitlines() if line.startswith("## "))
    if found != SECTIONS:
        raise TypeError(f"rule {name}: its page has the sections {found}; give it {SECTIONS}")
    return Rule(
        name,
        severity,
        kind,
        group,
        summary=page.partition("\n")[0],
        page=page,
        check=check,
        unrendered=getattr(module, "UNRENDERED", False),
        last=getattr(module, "LAST", False),
    )
