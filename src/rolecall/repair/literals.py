"""What a template writes itself: its literals, in expressions and between tags."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from jinja2 import nodes

from rolecall.repair.edit import Edit
from rolecall.repair.loops import loop_of, quote_of
from rolecall.repair.syntax import Place, Syntax


class Literal(NamedTuple):
    """A string that a template holds."""

    node: nodes.Node
    place: Place
    """With its quotation marks, or of the text between two tags."""
    text: str
    """What it says."""
    quoted: bool

    def spelled(self, text: str, quote: str | None = None) -> str:
        """Another text, written as this one is."""
        if not self.quoted:
            return text
        mark = quote or "'"
        return quoted(text, mark)


def quoted(text: str, mark: str) -> str:
    """A text as a string of Jinja."""
    made = text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")
    return f"{mark}{made.replace(mark, chr(92) + mark)}{mark}"


def literals(syntax: Syntax) -> list[Literal]:
    """Every string of a template that stands in one piece, in the order of the text."""
    found: list[Literal] = []
    for node in syntax.find(nodes.Const):
        place = syntax.inner(node)
        if isinstance(node.value, str) and place is not None:
            found.append(Literal(node, place, node.value, quoted=True))
    for node in syntax.find(nodes.TemplateData):
        place = syntax.inner(node)
        if place is not None:
            found.append(Literal(node, place, node.data, quoted=False))
    return sorted(found, key=lambda one: one.place)


def cut_end(syntax: Syntax, end: str, condition: str) -> Iterator[tuple[Edit, ...]]:
    """Literals of a loop over messages that close with a text, written so on a condition only."""
    for one in literals(syntax):
        if loop_of(syntax, one.node) is None or not one.text.rstrip().endswith(end):
            continue
        cut = one.text.rstrip().removesuffix(end).rstrip()
        tail = one.text[len(cut) :]
        if one.quoted:
            mark = syntax.jinja[one.place.start]
            chosen = f"({quoted(tail, mark)} if {condition} else {mark * 2})"
            text = f"{quoted(cut, mark)} + {chosen}" if cut else chosen
            yield (Edit(one.place, text),)
        else:
            mark = quote_of(syntax.jinja)
            text = f"{cut}{{{{ {quoted(tail, mark)} if {condition} else {mark * 2} }}}}"
            yield (Edit(one.place, text),)
