"""Ways through a template's ``if`` for messages that none is there for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from jinja2 import nodes

from rolecall.audit.probe import CONTROL_SHAPE
from rolecall.repair.edit import Candidate, Edit
from rolecall.repair.literals import Literal, literals, quoted
from rolecall.repair.loops import (
    Branch,
    Loop,
    branches,
    chains,
    known_roles,
    last_body,
    loops,
    quote_of,
    roles_in,
)
from rolecall.repair.syntax import Place, Syntax

LONGEST = 1_000
"""Characters of a branch that may be written a second time."""

Asks = Callable[[Loop], str]
"""The condition of a new way, in a loop's own spelling."""


def unknown(syntax: Syntax, guard: str) -> Asks:
    """A condition that every role meets but those that the template asks for by name.

    Args:
        syntax: The template.
        guard: What must not stand in the role either, because it could forge a token; or nothing.
    """
    mark = quote_of(syntax.jinja)
    names = ", ".join(quoted(role, mark) for role in known_roles(syntax))

    def asks(loop: Loop) -> str:
        beside = f" and {quoted(guard, mark)} not in {loop.role}" if guard else ""
        return f"{loop.role} not in [{names}]{beside}"

    return asks


def is_role(syntax: Syntax, role: str, more: str = "") -> Asks:
    """A condition that one role meets."""
    mark = quote_of(syntax.jinja)
    return lambda loop: f"{loop.role} == {quoted(role, mark)}{more}"


def widened(syntax: Syntax, asks: Asks, says: str) -> Iterator[Candidate]:
    """Ways that are taken for further messages too; those of the user first."""
    for loop, _, branch in _ways(syntax):
        place = None if branch.condition is None else syntax.place(branch.condition)
        if place is None:
            continue
        asked = asks(loop)
        extra = f"({asked})" if " and " in asked else asked
        yield Candidate((Edit(Place(place.end, place.end), f" or {extra}"),), says)


def added(syntax: Syntax, asks: Asks, label: Asks | str, says: str) -> Iterator[Candidate]:
    """A new way: that of another role with its label replaced.

    Args:
        syntax: The template.
        asks: When it is taken.
        label: The word in place of the other role's, or the expression that writes it.
        says: What is said of it.
    """
    tokens = set(CONTROL_SHAPE.findall(syntax.jinja))
    every = literals(syntax)
    for loop, chain, branch in _ways(syntax):
        body = syntax.body(branch.statements)
        end = last_body(syntax, chain)
        if body is None or end is None or branches(chain)[-1].condition is None:
            continue
        place = body.place
        if place.end - place.start > LONGEST:
            continue
        roles = [] if branch.condition is None else roles_in(branch.condition)
        for role in roles:
            edits = [
                edit
                for one in every
                if place.start <= one.place.start and one.place.end <= place.end
                for edit in _relabelled(one, role, label, loop, every, syntax)
            ]
            if not edits:
                continue
            text = syntax.jinja[place.start : place.end]
            for edit in sorted(edits, reverse=True):
                at = edit.place.start - place.start
                text = text[:at] + edit.text + text[edit.place.end - place.start :]
            if set(CONTROL_SHAPE.findall(text)) - tokens:
                continue  # a token that the format does not have
            tag = syntax.jinja[end.opened.start : end.opened.end]
            opened = "{%-" if tag.startswith("{%-") else "{%"
            closed = "-%}" if tag.endswith("-%}") else "%}"
            way = f"{opened} elif {asks(loop)} {closed}{text}"
            yield Candidate((Edit(Place(end.closed.start, end.closed.start), way),), says)


def _ways(syntax: Syntax) -> Iterator[tuple[Loop, nodes.If, Branch]]:
    """Every way through an ``if`` on the role, with its loop; the user's first."""
    found = [
        (loop, chain, branch)
        for loop in loops(syntax)
        for chain in chains(syntax, loop)
        for branch in branches(chain)
        if branch.condition is not None and roles_in(branch.condition)
    ]
    found.sort(key=lambda way: "user" not in roles_in(way[2].condition or way[1]))
    yield from found


def _relabelled(
    one: Literal, role: str, label: Asks | str, loop: Loop, every: list[Literal], syntax: Syntax
) -> Iterator[Edit]:
    """A literal with another label in place of a role's word."""
    found = re.search(rf"(?<![A-Za-z]){re.escape(role)}(?![A-Za-z])", one.text)
    if found is None:
        return
    before, after = one.text[: found.start()], one.text[found.end() :]
    mark = syntax.jinja[one.place.start] if one.quoted else quote_of(syntax.jinja)
    if isinstance(label, str):
        yield Edit(one.place, one.spelled(f"{before}{label}{after}", mark))
        return
    if any(
        token.start() < found.start() < token.end() for token in CONTROL_SHAPE.finditer(one.text)
    ):
        return  # the word is a part of a token
    # A slot is open where another role's word stands in the same frame.
    if not any(
        other.text.startswith(f"{before}{word}{after.rstrip()}")
        for other in every
        for word in known_roles(syntax)
        if word != role
    ):
        return
    written = label(loop)
    if one.quoted:
        parts = [quoted(before, mark)] if before else []
        parts += [written, *([quoted(after, mark)] if after else [])]
        yield Edit(one.place, " + ".join(parts))
    else:
        yield Edit(one.place, f"{before}{{{{ {written} }}}}{after}")
