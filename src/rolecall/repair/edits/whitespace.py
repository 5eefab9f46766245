"""White space at the ends of a content that is cut off."""

from __future__ import annotations

from collections.abc import Iterator

from jinja2 import nodes

from rolecall.audit.finding import Finding
from rolecall.audit.outcome import Outcome
from rolecall.repair.edit import Candidate, Edit
from rolecall.repair.syntax import Place, Syntax
from rolecall.repair.trial import Trial

RULES = ("whitespace-trimmed", "whitespace-in-prefill-trimmed")
OPT_IN = "whitespace"
WHY = "no one trim or strip is the reason"

METHODS = ("strip", "lstrip", "rstrip")


def propose(trial: Trial, finding: Finding) -> Iterator[Candidate]:
    """The template without one ``trim``, without two of them, without all."""
    edits = list(_trims(trial.syntax))
    for edit, what in edits:
        yield Candidate((edit,), f"`{what}` is written with its white space.")
    says = "What was trimmed is written with its white space."
    for number, (first, _) in enumerate(edits):
        for second, _ in edits[number + 1 :]:
            if first.place.end <= second.place.start:
                yield Candidate((first, second), says)
    every = tuple(edit for edit, _ in edits)
    if len(every) > 2:
        yield Candidate(every, says)
    # Where content may be a list, trim made a string of it.
    for edit, what in edits:
        says = f"`{what}` is written with its white space."
        yield Candidate((edit._replace(text=" | string"),), says)


def _trims(syntax: Syntax) -> Iterator[tuple[Edit, str]]:
    for node in syntax.find(nodes.Expr):
        inner: nodes.Node | None = None
        if isinstance(node, nodes.Filter) and node.name == "trim":
            inner = node.node
        if (
            isinstance(node, nodes.Call)
            and isinstance(node.node, nodes.Getattr)
            and node.node.attr in METHODS
        ):
            inner = node.node.node
        place, kept = syntax.inner(node), None if inner is None else syntax.place(inner)
        if place is not None and kept is not None and kept.end <= place.end:
            what = syntax.jinja[kept.start : kept.end]
            yield Edit(Place(kept.end, place.end), ""), what


def concerns(old: Outcome, new: Outcome) -> bool:
    """Some text has white space at its ends."""
    if not old.ok or not new.ok:
        return False
    return any(
        text != text.strip()
        for index in range(len(old.messages))
        for text in old.inputs(index).values()
    )
