"""Constructs that another engine runs in a way of its own, written so that all agree."""

from __future__ import annotations

import re
from collections.abc import Iterator

from jinja2 import nodes

from rolecall.audit.constructs import found_in
from rolecall.audit.finding import Finding
from rolecall.audit.outcome import Outcome
from rolecall.repair.conditions import relaxed
from rolecall.repair.edit import Candidate, Edit
from rolecall.repair.syntax import Place, Syntax
from rolecall.repair.trial import Trial

RULES = ("not-portable-minijinja", "not-portable-huggingface-js", "not-portable-llama-cpp")
OPT_IN = ""
WHY = (
    "no construct that the engine runs otherwise can be written in another way with the same text "
    "in jinja2; marks of {% generation %} go only where no-markers is allowed"
)

MARKERS = "generation"


def propose(trial: Trial, finding: Finding) -> Iterator[Candidate]:
    """Each construct in another spelling, where there is one."""
    syntax = trial.syntax
    for node in syntax.find(nodes.Test):
        place = syntax.place(node)
        if node.name in ("iterable", "sequence") and place is not None:
            text = syntax.text(node.node)
            says = f"`{text}` is asked whether it holds anything, and not whether it can be walked."
            yield Candidate((Edit(place, text),), says)
    for node in syntax.find(nodes.Filter):
        place, inner = syntax.place(node), None if node.node is None else syntax.place(node.node)
        if node.name in ("safe", "string") and place is not None and inner is not None:
            edit = Edit(Place(inner.end, place.end), "")
            yield Candidate((edit,), f"The filter {node.name} is left out.")
    yield from _constructs(syntax)
    yield from relaxed(syntax)


def _constructs(syntax: Syntax) -> Iterator[Candidate]:
    """What the audit knows a replacement for."""
    for found in found_in(syntax.jinja):
        if not found.pattern or found.phrase.startswith(f"{{% {MARKERS}"):
            continue
        for match in re.finditer(found.pattern, syntax.jinja):
            place = Place(match.start(), match.end())
            edit = Edit(place, match.expand(found.instead) if found.instead else "")
            yield Candidate((edit,), f"{found.phrase} is written in another way.")


def concerns(old: Outcome, new: Outcome) -> bool:
    """No text may change."""
    return False
