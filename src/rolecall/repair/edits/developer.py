"""A developer message, which OpenAI's newer models take in place of a system message."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from jinja2 import nodes

from rolecall.audit.finding import Finding
from rolecall.audit.outcome import Outcome
from rolecall.repair.branches import is_role, widened
from rolecall.repair.conditions import relaxed
from rolecall.repair.edit import Candidate, Edit
from rolecall.repair.judge import arrived
from rolecall.repair.loops import quote_of
from rolecall.repair.syntax import Syntax
from rolecall.repair.trial import Trial

RULES = ("developer-dropped",)
OPT_IN = ""
WHY = "no place where the template asks for a system message can take it as well"


def propose(trial: Trial, finding: Finding) -> Iterator[Candidate]:
    """Whatever is done with a system message is done with it."""
    syntax = trial.syntax
    edits = tuple(_asked(syntax))
    if edits:
        yield Candidate(edits, "A developer message is written as a system message is.")
    yield from relaxed(syntax)
    says = "A developer message has a turn of its own."
    yield from widened(syntax, is_role(syntax, "developer"), says)


def _asked(syntax: Syntax) -> Iterator[Edit]:
    """Every question for the role of a system message, asked for both."""
    mark = quote_of(syntax.jinja)
    for node in syntax.find(nodes.Compare):
        place = syntax.inner(node)
        operand = node.ops[0]
        word = operand.expr
        if (
            place is None
            or len(node.ops) != 1
            or operand.op not in ("eq", "ne")
            or not isinstance(word, nodes.Const)
            or word.value != "system"
        ):
            continue
        within = "in" if operand.op == "eq" else "not in"
        both = f"[{mark}system{mark}, {mark}developer{mark}]"
        yield Edit(place, f"{syntax.text(node.expr)} {within} {both}")


def concerns(old: Outcome, new: Outcome) -> bool:
    """A developer message was lost and is there."""
    return bool(arrived(old, new, "developer"))


def like(conversation: Mapping[str, Any]) -> dict[str, Any]:
    """The same conversation with system messages in their place."""
    messages = [
        {**one, "role": "system"} if one.get("role") == "developer" else one
        for one in conversation["messages"]
    ]
    return {**conversation, "messages": messages}
