"""Parts of turns in Jinja: marks, what is left open, attributes that say what is said anyway."""

from __future__ import annotations

from collections.abc import Sequence

from rolecall.export.jinja_code import Block, If, Node, Out, Text, both, member, negated, quoted
from rolecall.export.jinja_patterns import EMPTY, Fill, NoTemplate, Writer
from rolecall.pattern import Group, Pattern, Slot

CONTENT, REASONING, OPEN = "§content§", "§reasoning§", "§open§"
"""Stand for values until it is known whether they are asked for more than once."""


def generation(nodes: Sequence[Node]) -> Block:
    """What the model samples, marked as transformers reads it."""
    return Block("generation", tuple(nodes), "endgeneration")


def decided(base: list[tuple[bool, str]], options: list[tuple[str, bool]]) -> str:
    """The condition on options, the last that is true deciding; nothing if it always holds."""
    holds: bool | str = base[0][0]
    for option, value in options:
        if holds == value:
            continue
        if value:
            holds = option if holds is False else f"({option} or {holds})"
        else:
            holds = negated(option) if holds is True else f"(not {option} and {holds})"
    return "" if holds is True else "false" if holds is False else holds


def unless(node: Node, condition: str) -> Node:
    """A node, with branches taken out that are never written while a condition holds."""
    if isinstance(node, If):
        kept = tuple(
            (test, tuple(unless(one, condition) for one in inner if not only_closed(one)))
            for test, inner in node.branches
        )
        return If(kept)
    return node


def only_closed(node: Node) -> bool:
    """Whether nodes are written only where the message is not left open."""
    return (
        isinstance(node, If)
        and len(node.branches) == 1
        and node.branches[0][0].startswith(negated(OPEN))
        and " or " not in node.branches[0][0]
    )


def implied(nodes: Pattern, key: str, fills: dict[str, Fill], under: str) -> str:
    """The condition that an attribute says what is written without it, or nothing."""
    for number, node in enumerate(nodes):
        if not isinstance(node, Group):
            continue
        following = nodes[number + 1] if number + 1 < len(nodes) else None
        if (
            node.slot == key
            and node.nodes == (Slot(key, None),)
            and isinstance(following, Group)
            and following.slot == key
            and following.negated
        ):
            instead = Writer(fills).write(following.nodes)
            return both(under, f"{member('attributes', key)} == {expression(instead)}")
        if node.slot == key:
            continue
        filled = fills.get(node.slot, EMPTY).filled
        if isinstance(filled, bool):
            if filled == node.negated:
                continue
            inner = under
        else:
            inner = both(under, negated(filled) if node.negated else filled)
        found = implied(node.nodes, key, fills, inner)
        if found:
            return found
    return ""


def expression(nodes: Sequence[Node]) -> str:
    """Nodes as one string expression."""
    terms: list[str] = []
    for node in nodes:
        if isinstance(node, Text):
            terms.append(quoted(node.text))
        elif isinstance(node, Out):
            terms.append(node.code)
        elif isinstance(node, If) and 1 <= len(node.branches) <= 2:
            condition, then = node.branches[0]
            other = expression(node.branches[1][1]) if len(node.branches) == 2 else "''"
            terms.append(f"({expression(then)} if {condition} else {other})")
        else:
            raise NoTemplate("an attribute's default is more than text")
    return " + ".join(terms) or "''"
