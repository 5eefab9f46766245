"""Names of speakers, which the template does not write."""

from __future__ import annotations

import re
from collections.abc import Iterator

from jinja2 import nodes

from rolecall.audit.ending import own_token
from rolecall.audit.finding import Finding
from rolecall.audit.outcome import Outcome
from rolecall.audit.probe import CONTROL_SHAPE
from rolecall.repair.conditions import relaxed
from rolecall.repair.edit import Candidate, Edit
from rolecall.repair.literals import literals, quoted
from rolecall.repair.loops import Loop, known_roles, loop_of, quote_of
from rolecall.repair.syntax import Syntax
from rolecall.repair.trial import Trial

RULES = ("name-dropped",)
OPT_IN = "names"
WHY = "the format labels its turns with tokens, so there is no place for a name beside a label"

LABEL = " name="
"""What stands between the label and the name, as in the format chatml-name-attr."""


def propose(trial: Trial, finding: Finding) -> Iterator[Candidate]:
    """A name beside the label of every turn that has a plain one."""
    syntax = trial.syntax
    yield from relaxed(syntax)
    token = own_token(trial.probe) or "<"
    says = (
        f"A name stands behind the label, as `{LABEL.strip()}…`; one with {token[:1]!r} does not."
    )
    labels, words = list(_labels(syntax, token[:1])), list(_words(syntax, token[:1]))
    for edits in (labels, words, [*labels, *words]):
        chosen = tuple(dict.fromkeys(edits))
        if chosen:
            yield Candidate(chosen, says)


def _labels(syntax: Syntax, guard: str) -> Iterator[Edit]:
    """Where ``message.role`` itself is written."""
    for node in syntax.find(nodes.Expr):
        loop, place = loop_of(syntax, node), syntax.place(node)
        if loop is None or place is None or syntax.jinja[place.start : place.end] != loop.role:
            continue
        above = syntax.parents.get(id(node))
        if isinstance(above, (nodes.Add, nodes.Concat, nodes.Output)):
            yield Edit(place, f"{loop.role} + {_name(syntax, loop, guard)}")


def _words(syntax: Syntax, guard: str) -> Iterator[Edit]:
    """Where a role's own word is written."""
    roles = "|".join(map(re.escape, known_roles(syntax)))
    for one in literals(syntax):
        loop = loop_of(syntax, one.node)
        found = re.search(rf"(?<![A-Za-z])({roles})(?![A-Za-z])", one.text)
        if loop is None or found is None or not CONTROL_SHAPE.search(one.text[: found.start()]):
            continue
        if not any(isinstance(x, (nodes.Output, nodes.Add)) for x in syntax.ancestors(one.node)):
            continue
        if any(isinstance(x, (nodes.Compare, nodes.Test)) for x in syntax.ancestors(one.node)):
            continue
        if any(x.start() < found.start() < x.end() for x in CONTROL_SHAPE.finditer(one.text)):
            continue
        before, after = one.text[: found.end()], one.text[found.end() :]
        name = _name(syntax, loop, guard)
        if one.quoted:
            mark = syntax.jinja[one.place.start]
            rest = f" + {quoted(after, mark)}" if after else ""
            yield Edit(one.place, f"{quoted(before, mark)} + {name}{rest}")
        else:
            yield Edit(one.place, f"{before}{{{{ {name} }}}}{after}")


def _name(syntax: Syntax, loop: Loop, guard: str) -> str:
    mark = quote_of(syntax.jinja)
    name = loop.role.replace("role", "name")
    asked = f"{name} and {quoted(guard, mark)} not in {name}"
    return f"({quoted(LABEL, mark)} + {name} if {asked} else {mark * 2})"


def concerns(old: Outcome, new: Outcome) -> bool:
    """A name was lost and is there."""
    return (
        old.ok
        and new.ok
        and any(
            message.get("name") and not old.reached(index, "name") and new.reached(index, "name")
            for index, message in enumerate(old.messages)
        )
    )
