"""A template as it would be, and what can be asked of it: each question is answered once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from rolecall.audit import STAND_INS
from rolecall.audit.finding import SEVERITIES, Finding
from rolecall.audit.outcome import Outcome
from rolecall.audit.probe import Probe
from rolecall.audit.rules import rules
from rolecall.repair.syntax import Syntax, read
from rolecall.template.source import Source
from rolecall.template.template import Template


class Trial:
    """A template's text beside the files of a source.

    Args:
        jinja: The text.
        source: The source that holds it, or an earlier text of it.
        name: Which of the source's named templates it is.

    Raises:
        TemplateError: If the text is no Jinja.
    """

    def __init__(self, jinja: str, source: Source, name: str = "default") -> None:
        templates = {**source.templates, name: jinja}
        tokens = source.tokens
        if not tokens:
            tokens = {key: text for key, text in STAND_INS.items() if key in jinja}
        made = dataclasses.replace(source, templates=templates, tokens=tokens, chosen=name)
        self.jinja = jinja
        self.source = source
        self.name = name
        self.template = Template(made)
        self.template.program()
        self.probe = Probe(self.template, name=name)
        self._findings: dict[str, list[Finding]] = {}

    def changed(self, jinja: str) -> Trial:
        """The same template with another text.

        Raises:
            TemplateError: If the text is no Jinja.
        """
        return Trial(jinja, self.source, self.name)

    @cached_property
    def syntax(self) -> Syntax:
        """The tree of the text."""
        return read(self.jinja, self.template.name)

    def findings(self, rule: str) -> list[Finding]:
        """What one rule reports. A rule that fails reports nothing."""
        if rule not in self._findings:
            asked = rules()[rule]
            found: list[Finding] = []
            try:
                if asked.unrendered or self.probe.renders:
                    found = asked.findings(self.probe)
            except Exception:  # as in an audit, which says so: a bug of the rule
                found = []
            self._findings[rule] = found
        return self._findings[rule]

    def audit(self) -> list[Finding]:
        """What every rule reports, worst first."""
        found = [one for rule in rules() for one in self.findings(rule)]
        return sorted(found, key=lambda finding: finding.rank)

    def outcome(self, conversation: Mapping[str, Any]) -> Outcome:
        """What becomes of a conversation."""
        given = dict(conversation)
        options = dict(given.pop("options", {}))
        return self.probe.run(**given, **options)


def worse(
    before: Trial, after: Trial, repaired: Finding, trades: tuple[str, ...] = ()
) -> str | None:
    """What an audit finds that it did not find before; None for nothing.

    Args:
        before: The template as it was.
        after: As it would be.
        repaired: The finding that is repaired. Another one of the same rule may come out from
            behind it, if there are no more of them and none is graver.
        trades: Rules that may have a lighter finding instead, which says what the repair is.
    """
    for rule in rules():
        had, has = before.findings(rule), after.findings(rule)
        if rule in trades and all(
            SEVERITIES.index(one.severity) > SEVERITIES.index(repaired.severity) for one in has
        ):
            continue
        if len(has) > len(had):
            return f"a new finding of {rule}: {has[-1].message}"
        gravest = min((SEVERITIES.index(one.severity) for one in had), default=len(SEVERITIES))
        for one in has:
            if SEVERITIES.index(one.severity) < gravest:
                return f"a graver finding of {rule}: {one.message}"
            if rule != repaired.rule and one.kind not in {other.kind for other in had}:
                return f"another finding of {rule}: {one.message}"
    return None
