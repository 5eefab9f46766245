"""The word None where nothing was given."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from jinja2 import nodes

from rolecall.audit.finding import Finding
from rolecall.audit.outcome import Outcome
from rolecall.repair.conditions import relaxed
from rolecall.repair.edit import Candidate, Edit
from rolecall.repair.loops import quote_of
from rolecall.repair.syntax import Place, Syntax
from rolecall.repair.trial import Trial

RULES = ("none-printed",)
OPT_IN = ""
WHY = "no one expression writes the word"


def propose(trial: Trial, finding: Finding) -> Iterator[Candidate]:
    """An expression that may be nothing writes nothing, or null among arguments."""
    syntax = trial.syntax
    empty = quote_of(syntax.jinja) * 2
    null = empty[0] + "null" + empty[0]
    words = [(empty, "nothing"), (null, "null")]
    if any(None in _given(message) for message in finding.conversation["messages"]):
        words.reverse()  # arguments are JSON, in which there is a word for it
    for instead, word in words:
        for node in _values(syntax):
            place = syntax.place(node)
            if place is None:
                continue
            text = syntax.jinja[place.start : place.end]
            says = f"Where `{text}` is null, {word} is written."
            chosen = f"{text} if {text} is not none else {instead}"
            yield Candidate((_edit(syntax, node, place, chosen),), says)
    for node in syntax.find(nodes.Test):
        place = syntax.place(node)
        above = syntax.parents.get(id(node))
        if node.name == "defined" and place is not None and not isinstance(above, nodes.Not):
            text = syntax.text(node.node)
            says = f"`{text}` is asked for its value, and not only whether it is given."
            yield Candidate((Edit(place, text),), says)
    yield from relaxed(syntax)


def _given(message: dict[str, Any]) -> list[Any]:
    """The values of the arguments of a message's calls."""
    calls: list[dict[str, Any]] = message.get("tool_calls") or []
    found = [call["function"]["arguments"] for call in calls]
    mappings = [cast("dict[str, Any]", one) for one in found if isinstance(one, dict)]
    return [value for one in mappings for value in one.values()]


def _values(syntax: Syntax) -> Iterator[nodes.Expr]:
    """What is read of something that was given, not what it is compared with or called."""
    for node in syntax.find(nodes.Expr):
        if not isinstance(node, (nodes.Name, nodes.Getattr, nodes.Getitem, nodes.Filter)):
            continue
        if getattr(node, "ctx", "load") != "load":
            continue
        above = syntax.parents.get(id(node))
        if isinstance(above, nodes.Assign):
            written = above.target is not node
        elif isinstance(above, nodes.Filter):
            written = above.node is node
        else:
            written = isinstance(above, (nodes.Output, nodes.Add, nodes.Concat))
        if written:
            yield node


def _edit(syntax: Syntax, node: nodes.Expr, place: Place, text: str) -> Edit:
    above = syntax.parents.get(id(node))
    bare = isinstance(above, (nodes.Output, nodes.Assign))
    return Edit(place, text if bare else f"({text})")


def concerns(old: Outcome, new: Outcome) -> bool:
    """The word stood there, and stands there less often."""
    return old.ok and new.ok and _words(new) < _words(old)


def _words(outcome: Outcome) -> int:
    if outcome.trace is None:
        return 0
    return sum(
        span.origin.kind == "printed" and outcome.text[span.start : span.end] == "None"
        for span in outcome.trace.spans
    )
