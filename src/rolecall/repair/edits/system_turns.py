"""A system message that is not the first one: the second, one in the middle, one at the end."""

from __future__ import annotations

from collections.abc import Iterator

from jinja2 import nodes

from rolecall.audit.finding import Finding
from rolecall.audit.outcome import Outcome
from rolecall.repair.branches import added, is_role, widened
from rolecall.repair.conditions import relaxed
from rolecall.repair.edit import Candidate, Edit
from rolecall.repair.judge import arrived, labelled
from rolecall.repair.loops import loop_of, quote_of
from rolecall.repair.syntax import Syntax
from rolecall.repair.trial import Trial

RULES = ("second-system-dropped", "system-mid-dropped", "system-last-dropped")
OPT_IN = ""
WHY = "the template has no turn that could be a system message's, but at the start"


def propose(trial: Trial, finding: Finding) -> Iterator[Candidate]:
    """A turn of its own where it stands, or a place beside the first one."""
    syntax = trial.syntax
    yield from relaxed(syntax)
    for more in (" and not loop.first", ""):
        asks = is_role(syntax, "system", more)
        says = "A system message behind the first one has a turn where it stands."
        yield from widened(syntax, asks, says)
        yield from added(syntax, asks, "system", says)
    yield from _joined(syntax)


def _joined(syntax: Syntax) -> Iterator[Candidate]:
    """A variable that each system message replaces, and that becomes all of them."""
    mark = quote_of(syntax.jinja)
    for node in syntax.find(nodes.Assign):
        place, target = syntax.place(node.node), node.target
        if place is None or not isinstance(target, nodes.NSRef) or loop_of(syntax, node) is None:
            continue
        name = f"{target.name}.{target.attr}"
        value = syntax.jinja[place.start : place.end]
        says = f"`{name}` holds every system message, and not the last of them."
        # What is joined by ``~`` may be a list, which cannot be added to a string.
        for sign in ("~", "+"):
            joined = f"{name} {sign} {mark}\\n\\n{mark} {sign} {value} if {name} else {value}"
            yield Candidate((Edit(place, joined),), says)


def concerns(old: Outcome, new: Outcome) -> bool:
    """A system message was lost, and is there under a label of its own or beside another one."""
    found = arrived(old, new, "system")
    return bool(found) and all(labelled(new, index) for index in found)
