"""Arguments of a call that are given as JSON text and put into quotes a second time."""

from __future__ import annotations

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
    syntax = trial.syntax
    for node in syntax.find(nodes.Filter):
        place = syntax.place(node)
        if node.name != "tojson" or node.node is None or place is None:
            continue
        value, whole = syntax.text(node.node), syntax.jinja[place.start : place.end]
        if not value:
            continue
        alone = syntax.tag(node) is not None
        says = f"`{value}` is written as it is where it is a string."
        yield _chosen(syntax, node, f"{value} if {value} is string else {whole}", says, alone)
        says = f"Arguments of `{value}` that are a string are written as they are."
        mark = "'"
        for spelled in (
            f"{value}.arguments",
            f"{value}[{quote_of(syntax.jinja)}arguments{quote_of(syntax.jinja)}]",
        ):
            name = spelled.replace("arguments", "name")
            text = (
                f'{mark}{{"name": {mark} + {name}|tojson + {mark}, "arguments": {mark} + '
                f"{spelled} + {mark}}}{mark} if {spelled} is string else {whole}"
            )
            yield _chosen(syntax, node, text, says, alone)


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
        isinstance(call.get("function", {}).get("arguments"), str)
        for message in old.messages
        for call in message.get("tool_calls") or ()
    )
