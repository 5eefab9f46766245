"""JSON that quotation marks, backslashes and line breaks break: text between two quotes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from jinja2 import nodes

from rolecall.audit.finding import Finding
from rolecall.audit.outcome import Outcome
from rolecall.repair.chain import Piece, respell, rows
from rolecall.repair.edit import Candidate, Edit
from rolecall.repair.syntax import Place, Syntax
from rolecall.repair.trial import Trial

RULES = ("json-broken",)
OPT_IN = ""
WHY = (
    "no expression between two quotation marks can be left to tojson and leave other conversations "
    "as they are"
)


def propose(trial: Trial, finding: Finding) -> Iterator[Candidate]:
    """What stands between quotation marks is written by ``tojson``, which writes them too."""
    syntax = trial.syntax
    # Undefined is nothing that tojson can write.
    for given in ("", "|default('')"):
        found = list(_between_quotes(syntax, given))
        yield from found
        if len(found) > 1:
            edits = tuple(dict.fromkeys(edit for one in found for edit in one.edits))
            yield Candidate(edits, "What stands between quotation marks is written by tojson.")
    yield from _printed(syntax)


def _between_quotes(syntax: Syntax, given: str) -> Iterator[Candidate]:
    for row in rows(syntax):
        for (before, middle), (_, after) in pairwise(pairwise(row)):
            opens, closes = before.literal, after.literal
            if opens is None or closes is None or middle.literal is not None:
                continue
            if not opens.endswith('"') or opens.endswith('\\"') or not closes.startswith('"'):
                continue
            edits = (
                _cut(syntax, before, opens[:-1], Place(before.place.start, middle.place.start)),
                _as_json(syntax, middle, given),
                _cut(syntax, after, closes[1:], Place(middle.place.end, after.place.end)),
            )
            what = syntax.jinja[middle.place.start : middle.place.end]
            yield Candidate(edits, f"`{what}` is written by tojson, with its quotation marks.")


def _cut(syntax: Syntax, piece: Piece, text: str, joined: Place) -> Edit:
    """A literal without its quotation mark; one that held nothing else goes with its operator."""
    if text or piece.printed or not piece.in_string:
        return respell(syntax, piece, text)
    return Edit(joined, "")


def _as_json(syntax: Syntax, piece: Piece, given: str) -> Edit:
    text = syntax.jinja[piece.place.start : piece.place.end]
    plain = isinstance(piece.node, (nodes.Name, nodes.Getattr, nodes.Getitem, nodes.Filter))
    if plain or text.startswith("("):
        return Edit(piece.place, f"{text}{given}|tojson")
    return Edit(piece.place, f"({text}){given}|tojson")


def _printed(syntax: Syntax) -> Iterator[Candidate]:
    """Whole objects that Python spells."""
    for node in syntax.find(nodes.Expr):
        place = syntax.place(node)
        if (
            place is not None
            and syntax.tag(node) is not None
            and isinstance(node, (nodes.Name, nodes.Getattr, nodes.Getitem))
        ):
            text = syntax.jinja[place.start : place.end]
            yield Candidate((Edit(place, f"{text}|tojson"),), f"`{text}` is written by tojson.")


def concerns(old: Outcome, new: Outcome) -> bool:
    """Text of tools or calls holds what JSON escapes, or Python spelled an object."""
    if not old.ok or not new.ok:
        return False
    for index in (None, *range(len(old.messages))):
        fields = ("tools",) if index is None else ("tool_calls",)
        for field in fields:
            if any(_escaped(text) for text in old.inputs(index, field).values()):
                return True
            if old.spans(index, field, ("printed",)):
                return True
    return False


def _escaped(text: str) -> bool:
    return any(sign in '"\\' or ord(sign) < 32 for sign in text)
