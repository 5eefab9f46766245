"""What an expression or a row of outputs writes, piece after piece."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from jinja2 import nodes

from rolecall.repair.edit import Edit
from rolecall.repair.literals import quoted
from rolecall.repair.syntax import Place, Syntax


class Piece(NamedTuple):
    """One piece: a literal, or an expression."""

    node: nodes.Node
    place: Place
    literal: str | None
    """What it says, if it is a literal."""
    in_string: bool
    """Whether a literal stands in quotation marks, or between tags."""
    printed: bool
    """Whether the expression stands alone in its braces."""


def rows(syntax: Syntax) -> Iterator[list[Piece]]:
    """The pieces of every block, in the order in which they are written one after the other."""
    for statements in _blocks(syntax.tree):
        row: list[Piece] = []
        for statement in statements:
            if isinstance(statement, nodes.Output):
                for node in statement.nodes:
                    row += pieces(syntax, node, alone=True)
            elif not isinstance(statement, nodes.Assign):
                if row:
                    yield row
                row = []
        if row:
            yield row
    for assign in syntax.find(nodes.Assign):
        yield pieces(syntax, assign.node, alone=True)
    for choice in syntax.find(nodes.CondExpr):
        for way in (choice.expr1, choice.expr2):
            if way is not None:
                yield pieces(syntax, way, alone=False)


def pieces(syntax: Syntax, node: nodes.Node, alone: bool = True) -> list[Piece]:
    """The pieces of an expression, those that are joined by ``+`` or ``~`` each for itself."""
    if isinstance(node, nodes.Add):
        left = pieces(syntax, node.left, alone=False)
        return left + pieces(syntax, node.right, alone=False)
    if isinstance(node, nodes.Concat):
        return [piece for one in node.nodes for piece in pieces(syntax, one, alone=False)]
    place = syntax.inner(node) if isinstance(node, nodes.Const) else syntax.place(node)
    if place is None:
        return []
    if isinstance(node, nodes.Const) and isinstance(node.value, str):
        return [Piece(node, place, node.value, in_string=True, printed=alone)]
    if isinstance(node, nodes.TemplateData):
        return [Piece(node, place, node.data, in_string=False, printed=alone)]
    return [Piece(node, place, None, in_string=False, printed=alone)]


def respell(syntax: Syntax, piece: Piece, text: str) -> Edit:
    """A literal that says something else."""
    if piece.in_string:
        return Edit(piece.place, quoted(text, syntax.jinja[piece.place.start]))
    return Edit(piece.place, text)


def _blocks(node: nodes.Node) -> Iterator[list[Any]]:
    for field, value in node.iter_fields():
        if isinstance(value, list) and field in ("body", "else_"):
            yield value
    for child in node.iter_child_nodes():
        yield from _blocks(child)
