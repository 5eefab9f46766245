"""Arguments of a call that are given as JSON text and put into quotes a second time."""

from __future__ import annotations

import json
from collections.abc import Iterator

from jinja2 import nodes

from rolecall.audit.finding import Finding
from rolecall.audit.outcome import Outcome
from rolecall.repair.edit import Candidate, Edit
from rolecall.repair.loops import quote_of
from rolecall.repair.syntax import Syntax
from rolecall.repair.trial import Trial

RULES = ("arguments-double-encoded",)
OPT_IN = ""
WHY = "no tojson of the template writes the arguments of a call alone"


def propose(trial: Trial, finding: Finding) -> Iterator[Candidate]:
    """A string is written as it is, everything else by ``tojson`` as before."""
    syntax, quote = trial.syntax, quote_of(trial.jinja)
    for node in syntax.find(nodes.Filter):
        place = syntax.place(node)
        if node.name != "tojson" or node.node is None or place is None:
            continue
        value, whole = syntax.text(node.node), syntax.jinja[place.start : place.end]
        if not value:
            continue
        alone = syntax.tag(node) is not None
        says = f"`{value}` is written as it is where it is a string that holds an object."
        chosen = f"{value} if {_is_object(value, quote)} else {whole}"
        yield _chosen(syntax, node, chosen, says, alone)
        says = f"Arguments of `{value}` that are a string are written as they are."
        for spelled in (f"{value}.arguments", f"{value}[{quote}arguments{quote}]"):
            name = spelled.replace("arguments", "name")
            text = (
                f"'{{\"name\": ' + {name}|tojson + ', \"arguments\": ' + {spelled} + '}}' "
                f"if {_is_object(spelled, quote)} and {value}|length == 2 else {whole}"
            )
            yield _chosen(syntax, node, text, says, alone)


def _is_object(value: str, quote: str) -> str:
    """A condition: a value is JSON text. Nothing, as some clients say "none", is no JSON."""
    begins = f"{value}[:1] == {quote}{{{quote}"
    return f"{value} is string and {begins} and {value}[-1:] == {quote}}}{quote}"


def _chosen(syntax: Syntax, node: nodes.Filter, text: str, says: str, alone: bool) -> Candidate:
    place = syntax.place(node)
    assert place is not None
    above = syntax.parents.get(id(node))
    bare = alone or (isinstance(above, nodes.Assign) and above.node is node)
    return Candidate((Edit(place, text if bare else f"({text})"),), says)


def concerns(old: Outcome, new: Outcome) -> bool:
    """A call's arguments are given as text."""
    if not old.ok or not new.ok:
        return False
    return any(
        _holds_object(call.get("function", {}).get("arguments"))
        for message in old.messages
        for call in message.get("tool_calls") or ()
    )


def _holds_object(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        return isinstance(json.loads(value), dict)
    except ValueError:
        return False
