"""Where a template walks over the messages, and how it spells what it asks of one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from jinja2 import nodes

from rolecall.repair.syntax import Body, Syntax


@dataclass(frozen=True)
class Loop:
    """A loop over messages."""

    node: nodes.For
    variable: str
    role: str
    """A message's role as the template spells it: ``message.role``, ``message['role']``."""
    items: str
    """What is walked over, as it is spelled."""

    def last_user(self, quote: str) -> str:
        """An expression: no later message of the loop is the user's."""
        return (
            f"not {self.items}[loop.index:] | "
            f"selectattr({quote}role{quote}, {quote}equalto{quote}, {quote}user{quote}) | list"
        )


class Branch(NamedTuple):
    """One way through an ``if``."""

    condition: nodes.Node | None
    """None for ``else``."""
    statements: list[Any]


def quote_of(jinja: str) -> str:
    """The quotation mark that a template uses for its words."""
    return (
        '"'
        if jinja.count('"role"') + jinja.count('"user"')
        > jinja.count("'user'") + (jinja.count("'role'"))
        else "'"
    )


def loops(syntax: Syntax) -> list[Loop]:
    """The loops over messages: those that ask for a role."""
    found: list[Loop] = []
    for node in syntax.find(nodes.For):
        if not isinstance(node.target, nodes.Name):
            continue
        for inner in _attributes([*node.body, node.test] if node.test else node.body, "role"):
            if isinstance(inner.node, nodes.Name) and inner.node.name == node.target.name:
                role, items = syntax.text(inner), syntax.text(node.iter)
                if role and items:
                    found.append(Loop(node, node.target.name, role, items))
                    break
    return found


def loop_of(syntax: Syntax, node: nodes.Node) -> Loop | None:
    """The loop over messages in which a node stands."""
    above = {id(one) for one in syntax.ancestors(node)}
    return next((loop for loop in reversed(loops(syntax)) if id(loop.node) in above), None)


def branches(node: nodes.If) -> list[Branch]:
    """The ways through an ``if``, in order."""
    found = [Branch(node.test, node.body)]
    found += [Branch(other.test, other.body) for other in node.elif_]
    if node.else_:
        found.append(Branch(None, node.else_))
    return found


def chains(syntax: Syntax, loop: Loop) -> list[nodes.If]:
    """Every ``if`` of a loop that asks for the role of its message, with its ``elif``s."""
    alone = [node for node in _within(syntax, loop, nodes.If) if not _is_elif(syntax, node)]
    return [
        node
        for node in alone
        if any(
            branch.condition is not None and roles_in(branch.condition, loop.variable)
            for branch in branches(node)
        )
    ]


def last_body(syntax: Syntax, node: nodes.If) -> Body | None:
    """Where the last way through an ``if`` stands: before its ``endif``."""
    return syntax.body(branches(node)[-1].statements)


def roles_in(condition: nodes.Node, variable: str | None = None) -> list[str]:
    """The roles that a condition asks for by name."""
    found: list[str] = []
    compares = list(condition.find_all(nodes.Compare))
    if isinstance(condition, nodes.Compare):
        compares.append(condition)
    for compare in compares:
        if not _is_role(compare.expr, variable):
            continue
        for operand in compare.ops:
            inner = [operand.expr, *operand.expr.find_all(nodes.Const)]
            found += [
                one.value
                for one in inner
                if isinstance(one, nodes.Const) and isinstance(one.value, str)
            ]
    return list(dict.fromkeys(found))


def known_roles(syntax: Syntax) -> list[str]:
    """Every role that a template asks for by name, and the standard ones."""
    return list(dict.fromkeys(["system", "user", "assistant", "tool", *roles_in(syntax.tree)]))


def _within(syntax: Syntax, loop: Loop, kind: type[Any]) -> Iterator[Any]:
    for statement in loop.node.body:
        if isinstance(statement, kind):
            yield statement
        yield from statement.find_all(kind)


def _is_elif(syntax: Syntax, node: nodes.If) -> bool:
    above = syntax.parents.get(id(node))
    return isinstance(above, nodes.If) and any(node is other for other in above.elif_)


def _is_role(node: nodes.Node, variable: str | None) -> bool:
    if isinstance(node, nodes.Getattr):
        named = node.attr == "role"
    elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        named = node.arg.value == "role"
    else:
        return isinstance(node, nodes.Name) and node.name == "role"
    inner = node.node
    return named and (
        variable is None or (isinstance(inner, nodes.Name) and inner.name == variable)
    )


def _attributes(statements: list[Any], name: str) -> Iterator[Any]:
    for statement in statements:
        for node in statement.find_all((nodes.Getattr, nodes.Getitem)):
            if isinstance(node, nodes.Getattr):
                found = node.attr
            else:
                found = node.arg.value if isinstance(node.arg, nodes.Const) else None
            if found == name:
                yield node
