"""What is still to be read, as nodes: the form that patterns take in the automaton of a format.

Nodes are immutable and made from patterns by `rolecall.grammar`. A symbol is one character: a
control token of the format is the lone surrogate that stands for it, everything else is itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from rolecall.conversation import Author

Kind = Literal["text", "object", "string", "value", "raw"]
"""What a slot takes: any text, a JSON object, a JSON string, any JSON value, any symbols."""


@dataclass(frozen=True, slots=True)
class Lit:
    """Symbols of the format's own, never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """A place for a value."""

    slot: str
    kind: Kind = "text"
    filter: str | None = None
    filled: bool = False
    """Whether the slot is known to hold something, as a test before it said."""
    free: bool = False
    """Whether it may hold words that the format itself would not write."""
    stops: frozenset[str] = frozenset()
    """Of kind ``raw``: the symbols that it does not take."""


@dataclass(frozen=True, slots=True)
class Test:
    """Nodes that are there if a slot is filled (or, negated, if it is empty)."""

    slot: str
    negated: bool
    nodes: Nodes
    lazy: bool = False
    """Whether it is read as empty where that can be; see `rolecall.pattern.expression`."""


@dataclass(frozen=True, slots=True)
class Alt:
    """One of several ways on, each with its penalty; of equal ones the first is preferred."""

    options: tuple[tuple[int, Nodes], ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """Something to remember where it is passed."""

    kind: str
    data: int | str | None = None


@dataclass(frozen=True, slots=True)
class HeaderEnd:
    """A header is complete: what it says decides how the turn goes on."""

    header: int
    previous: Author | None
    facts: frozenset[tuple[str, bool]] = frozenset()


@dataclass(frozen=True, slots=True)
class Boundary:
    """Between turns: any header, or the end of the document."""

    previous: Author | None
    may_end: bool = True
    """Whether the document may end here; where the last turn ends in another way it may not."""


@dataclass(frozen=True, slots=True)
class Items:
    """The slot ``calls`` or ``tools``: one item after another."""

    kind: Literal["calls", "tools"]
    filled: bool = False


@dataclass(frozen=True, slots=True)
class Item:
    """One item and what may follow it."""

    kind: Literal["calls", "tools"]


@dataclass(frozen=True, slots=True)
class AfterItem:
    """Behind an item: another one or the end of the list."""

    kind: Literal["calls", "tools"]


@dataclass(frozen=True, slots=True)
class Again:
    """Another body under the same header, for turns that are grouped."""

    spec: int


@dataclass(frozen=True, slots=True)
class Accept:
    """The document may end here."""


Node = (
    Lit
    | Text
    | Test
    | Alt
    | Mark
    | HeaderEnd
    | Boundary
    | Items
    | Item
    | AfterItem
    | Again
    | Accept
)
Nodes = tuple[Node, ...]

Actions = tuple[Mark, ...]


def is_control(symbol: str) -> bool:
    """Whether a symbol stands for a control token."""
    return "\ud800" <= symbol <= "\udfff"


def plain(symbols: str) -> str:
    """The symbols that are plain characters; control tokens that were passed over go."""
    if symbols.isascii():
        return symbols
    return "".join(symbol for symbol in symbols if not is_control(symbol))


PREFIX = Alt(((0, (Lit(" "),)), (1, ())))
"""SentencePiece's dummy prefix at the beginning of a run of plain text."""


def lazy(header: Nodes, *, followed: bool = False) -> Nodes:
    """A header in which names are read as short as they can be.

    With what follows a name no name can begin, or the text behind a header without one would be a
    name. Where something stands in the place of a name, the name comes first.
    """
    found: list[Node] = []
    for number, node in enumerate(header):
        rest = header[number + 1 :]
        if isinstance(node, Test):
            more = followed or bool(rest)
            inner = lazy(node.nodes, followed=more)
            found.append(replace(node, nodes=inner, lazy=more and not either(node, rest)))
        else:
            found.append(node)
    return tuple(found)


def free(nodes: Nodes, words: frozenset[str]) -> Nodes:
    """Nodes that are only read: what fills their slots need not be what the format writes."""
    found: list[Node] = []
    for node in nodes:
        if isinstance(node, Text):
            found.append(replace(node, free=node.slot in words))
        elif isinstance(node, Test):
            found.append(replace(node, nodes=free(node.nodes, words)))
        else:
            found.append(node)
    return tuple(found)


def flexible(nodes: Nodes) -> Nodes:
    """JSON in which the spaces behind colons and commas may be missing."""
    found: list[Node] = []
    for node in nodes:
        if not isinstance(node, Lit):
            found.append(node)
            continue
        for number, part in enumerate(re.split(r"(?<=[:,]) ", node.text)):
            if number:
                found.append(Alt(((0, (Lit(" "),)), (0, ()))))
            if part:
                found.append(Lit(part))
    return tuple(found)


def either(node: Test, rest: Nodes) -> bool:
    """Whether something stands in the place of nodes that are not there."""
    following = rest[0] if rest else None
    return (
        isinstance(following, Test)
        and following.slot == node.slot
        and following.negated != node.negated
    )


def ends_control(nodes: list[Node]) -> bool:
    """Whether the last of the nodes ends in a control token."""
    last = nodes[-1] if nodes else None
    return isinstance(last, Lit) and is_control(last.text[-1])


def assume(nodes: Nodes, slot: str, value: bool) -> Nodes:
    """The nodes that are left once it is known whether a slot is filled."""
    found: list[Node] = []
    for node in nodes:
        if isinstance(node, Test):
            if node.slot != slot:
                found.append(replace(node, nodes=assume(node.nodes, slot, value)))
            elif value != node.negated:
                found.extend(assume(node.nodes, slot, value))
        elif (isinstance(node, Text) and node.slot == slot) or (
            isinstance(node, Items) and node.kind == slot
        ):
            if value:
                found.append(replace(node, filled=True))
        elif isinstance(node, Alt):
            options = tuple((cost, assume(inner, slot, value)) for cost, inner in node.options)
            found.append(Alt(options))
        elif isinstance(node, HeaderEnd):
            found.append(replace(node, facts=node.facts | {(slot, value)}))
        else:
            found.append(node)
    return tuple(found)
