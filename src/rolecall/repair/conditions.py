"""Changes of conditions: the end of the list taken for the last question, parts too strict."""

from __future__ import annotations

from collections.abc import Iterator

from jinja2 import nodes

from rolecall.repair.edit import Candidate, Edit
from rolecall.repair.loops import loop_of, quote_of
from rolecall.repair.syntax import Syntax


def at_last_user(syntax: Syntax) -> Iterator[Candidate]:
    """Conditions on the end of the list that become conditions on the last user's message."""
    quote = quote_of(syntax.jinja)
    for node in syntax.find(nodes.Expr):
        if not is_last(node):
            continue
        loop, place = loop_of(syntax, node), syntax.place(node)
        if loop is None or place is None:
            continue
        instead = loop.last_user(quote)
        above = syntax.parents.get(id(node))
        if not isinstance(above, (nodes.And, nodes.Or, nodes.If, nodes.CondExpr)):
            instead = f"({instead})"
        old = syntax.jinja[place.start : place.end]
        if old.startswith("(") and old.endswith(")"):
            instead = f"({instead.strip('()') if instead.startswith('((') else instead})"
        says = f"What asked for the end of the list, `{old}`, asks for the last user's message."
        yield Candidate((Edit(place, instead),), says)


def is_last(node: nodes.Node) -> bool:
    """Whether an expression asks if a message is the last of all, or equal to the last one."""
    if isinstance(node, nodes.Getattr):
        return (
            node.attr == "last" and isinstance(node.node, nodes.Name) and node.node.name == "loop"
        )
    if not isinstance(node, nodes.Compare) or len(node.ops) != 1 or node.ops[0].op != "eq":
        return False
    sides = (node.expr, node.ops[0].expr)
    return any(_is_end(one) for one in sides) or any(_counts(one) for one in sides)


def _is_end(node: nodes.Node) -> bool:
    """``messages[-1]`` or ``messages | last``."""
    if isinstance(node, nodes.Filter):
        return node.name == "last"
    if not isinstance(node, nodes.Getitem):
        return False
    argument = node.arg
    return isinstance(argument, nodes.Neg) and isinstance(argument.node, nodes.Const)


def _counts(node: nodes.Node) -> bool:
    """``loop.index`` or ``loop.index0``, which is compared with a length."""
    return (
        isinstance(node, nodes.Getattr)
        and node.attr in ("index", "index0")
        and isinstance(node.node, nodes.Name)
        and node.node.name == "loop"
    )


def relaxed(syntax: Syntax) -> Iterator[Candidate]:
    """Conditions without one of their parts, and choices without their condition."""
    for node in syntax.find(nodes.Expr):
        place = syntax.place(node)
        if place is None:
            continue
        if isinstance(node, (nodes.And, nodes.Or)):
            for kept, gone in ((node.left, node.right), (node.right, node.left)):
                says = f"The condition is no longer bound to `{syntax.text(gone)}`."
                yield Candidate((Edit(place, _wrapped(syntax, node, kept)),), says)
        if isinstance(node, nodes.CondExpr):
            for kept in (node.expr1, node.expr2):
                if kept is not None:
                    says = f"It is written without asking for `{syntax.text(node.test)}`."
                    yield Candidate((Edit(place, _wrapped(syntax, node, kept)),), says)


def _wrapped(syntax: Syntax, whole: nodes.Node, part: nodes.Node) -> str:
    """A part of an expression as it stands in place of the whole."""
    place = syntax.place(whole)
    text = syntax.text(part)
    if place is None:
        return text
    around = syntax.jinja[place.start : place.end]
    own = around.startswith("(") and around.endswith(")") and not text.startswith("(")
    return f"({text})" if own and " " in text else text
