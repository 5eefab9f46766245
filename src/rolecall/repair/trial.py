"""A template as it would be, and what can be asked of it: each question is answered once."""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import Any

from rolecall.audit import STAND_INS
from rolecall.audit.finding import SEVERITIES, Finding
from rolecall.audit.outcome import Outcome, conversation_key
from rolecall.audit.probe import Probe
from rolecall.audit.rules import rules
from rolecall.errors import TemplateError, TemplateLimit
from rolecall.repair.edits import own_rules
from rolecall.repair.syntax import Syntax, read
from rolecall.template.limits import Limits
from rolecall.template.source import Source
from rolecall.template.template import Template

LIMITS = Limits(seconds=8.0, characters=2_000_000)
"""What one conversation may use where it was stopped before."""
MOST_LIMITS = 1
"""After more than so many that were stopped again, the template is not repaired."""
SECONDS = 28.0
"""How long a repair may take, in time of the processor."""
SEARCHING = 0.6
"""The share of it after which nothing more is tried, so that the proof has the rest."""


class OutOfTime(TemplateError):  # noqa: N818  (it says what happened)
    """A template that takes longer than a repair may."""


@dataclasses.dataclass
class Clock:
    """The time that a repair may take, in all that is done for it."""

    seconds: float
    begun: float = dataclasses.field(default_factory=time.process_time)

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.seconds - (time.process_time() - self.begun)

    def tick(self, name: str) -> None:
        """Ask whether the time is up.

        Raises:
            OutOfTime: If it is.
        """
        if self.left < 0:
            raise OutOfTime(f"{name}: it is too slow to be repaired in {SECONDS:.0f} seconds")


class Trial:
    """A template's text beside the files of a source.

    Args:
        jinja: The text.
        source: The source that holds it, or an earlier text of it.
        name: Which of the source's named templates it is.
        now: What ``strftime_now`` shows.
        clock: The time that all trials of a repair have together; otherwise it never ends.

    Raises:
        TemplateError: If the text is no Jinja.
    """

    def __init__(
        self,
        jinja: str,
        source: Source,
        name: str = "default",
        now: datetime | None = None,
        clock: Clock | None = None,
    ) -> None:
        templates = {**source.templates, name: jinja}
        tokens = source.tokens
        if not tokens:
            tokens = {key: text for key, text in STAND_INS.items() if key in jinja}
        made = dataclasses.replace(source, templates=templates, tokens=tokens, chosen=name)
        self.jinja = jinja
        self.source = source
        self.name = name
        self.clock = clock or Clock(float("inf"))
        # The clock stands, so that what is compared is of one moment.
        self.now = now or datetime.now()
        self.template = Template(made, now=lambda: self.now)
        self.template.program()
        self.probe = Probe(self.template, name=name)
        self._patient: dict[str, Outcome] = {}
        self._stopped = 0
        self._findings: dict[str, list[Finding]] = {}

    def changed(self, jinja: str) -> Trial:
        """The same template with another text.

        Raises:
            TemplateError: If the text is no Jinja.
        """
        return Trial(jinja, self.source, self.name, self.now, self.clock)

    @cached_property
    def syntax(self) -> Syntax:
        """The tree of the text."""
        return read(self.jinja, self.template.name)

    def findings(self, rule: str) -> list[Finding]:
        """What one rule reports. A rule that fails reports nothing.

        Raises:
            OutOfTime: If the time is up.
        """
        if rule not in self._findings:
            self.clock.tick(self.source.name)
            asked = rules().get(rule)
            if asked is None:
                # Something of repair's own, which no audit reports.
                self._findings[rule] = own_rules()[rule](self)
                return self._findings[rule]
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
        """What becomes of a conversation.

        Raises:
            TemplateLimit: If several take more than a template may.
            OutOfTime: If the time is up.
        """
        self.clock.tick(self.source.name)
        given = dict(conversation)
        options = dict(given.pop("options", {}))
        found = self.probe.run(**given, **options)
        return self._patiently(found) if found.limited else found

    def _patiently(self, found: Outcome) -> Outcome:
        """A conversation that was stopped, once more: on a busy machine time passes quickly."""
        key = conversation_key(found.conversation)
        if key not in self._patient:
            given = copy.deepcopy(dict(found.conversation))
            options = given.pop("options", {})
            options.pop("continue_final_message", None)
            made = Outcome(found.conversation, None, found.error)
            try:
                trace = dataclasses.replace(self.template, limits=LIMITS).trace(**given, **options)
                made = Outcome(found.conversation, trace, None)
            except TemplateLimit:
                self._stopped += 1
                if self._stopped > MOST_LIMITS:
                    raise
            except TemplateError as error:
                made = Outcome(found.conversation, None, error)
            self._patient[key] = made
        return self._patient[key]


def worse(
    before: Trial, after: Trial, repaired: Finding, trades: tuple[str, ...] = ()
) -> str | None:
    """What an audit finds that it did not find before; None for nothing.

    Args:
        before: The template as it was.
        after: As it would be.
        repaired: The finding that is repaired. Another one of the same rule may come out from
            behind it, if there are no more of them and none is graver.
        trades: Rules that may have a lighter finding instead, which says what the repair is, or
            any where what is repaired is a note.
    """
    for rule in rules():
        had, has = before.findings(rule), after.findings(rule)
        if rule in trades and all(
            repaired.severity == "note"
            or SEVERITIES.index(one.severity) > SEVERITIES.index(repaired.severity)
            for one in has
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
