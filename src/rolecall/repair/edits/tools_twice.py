"""Schemas of tools that are written twice."""

from __future__ import annotations

from collections.abc import Iterator

from jinja2 import nodes

from rolecall.audit.finding import Finding
from rolecall.audit.outcome import Outcome
from rolecall.repair.conditions import at_last_user
from rolecall.repair.edit import Candidate, Edit
from rolecall.repair.syntax import Syntax
from rolecall.repair.trial import Trial

RULES = ("tools-duplicated",)
OPT_IN = ""
WHY = "no single place that writes the schemas can be left out"


def propose(trial: Trial, finding: Finding) -> Iterator[Candidate]:
    """The last question by its place and not by its text, or one place less."""
    yield from at_last_user(trial.syntax)
    yield from _without(trial.syntax)


def _without(syntax: Syntax) -> Iterator[Candidate]:
    """The template without one block that writes schemas."""
    for node in syntax.find(nodes.If) + syntax.find(nodes.For):
        place = syntax.whole(node)
        text = "" if place is None else syntax.jinja[place.start : place.end]
        if place is None or "tool" not in text or "tool_calls" in text:
            continue
        yield Candidate((Edit(place, ""),), "The second place that writes the tools is gone.")


def concerns(old: Outcome, new: Outcome) -> bool:
    """A description stood there more than once, and stands there less often."""
    return (
        old.ok
        and new.ok
        and any(
            1 <= _copies(new, field) < _copies(old, field) for field in old.inputs(None, "tools")
        )
    )


def _copies(outcome: Outcome, field: str) -> int:
    return sum(span.at == 0 for span in outcome.spans(None, field))
