"""Patterns ready to be written: their groups are resolved once for each choice of filled slots.

`rolecall.pattern.write` says what a pattern writes; a `Script` says the same, for the patterns of a
format, which are written for every turn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from rolecall.pattern import (
    DOCUMENT_TOKENS,
    FILTERS,
    GROUP_PARTS,
    Group,
    Literal,
    Pattern,
    Piece,
    Slot,
    Value,
    new_piece,
    walk,
    with_part,
)
from rolecall.segment import Part


class Step(NamedTuple):
    """One thing that a pattern writes: text of the format, or what fills a slot."""

    slot: str
    """The slot, or nothing for format text."""
    filter: Callable[[Value], Value] | None
    """What the slot's value goes through."""
    text: str
    """The text of the format."""
    control: bool
    part: Part
    """The part of format text, and of a token that begins or ends a text."""
    placed: bool
    """Whether what fills the slot is of `part`, whatever it says itself."""


class Steps(NamedTuple):
    """What a pattern writes where certain slots are filled."""

    steps: tuple[Step, ...]
    slots: frozenset[str]
    """The slots among them."""

    def pieces(self, values: Mapping[str, Value], message: int | None = None) -> list[Piece]:
        """The pieces that are written.

        Args:
            values: Slot name to value; a slot that is absent is empty.
            message: The message of what is of no field: format text above all.
        """
        found: list[Piece] = []
        for slot, change, text, control, part, placed in self.steps:
            if not slot:
                found.append(new_piece(Piece, (text, part, message, "", control)))
                continue
            value = values.get(slot, ())
            if change is not None:
                value = change(value)
            if placed:
                value = tuple([with_part(piece, part) for piece in value])
            if message is not None:
                value = [p if p.field else p._replace(message=message) for p in value]
            found.extend(value)
        return found

    def text(self, values: Mapping[str, Value]) -> str:
        """The characters that are written."""
        return "".join(piece.text for piece in self.pieces(values))


class Script:
    """A pattern ready to be written."""

    __slots__ = ("_asked", "_found", "_only", "always", "nodes", "part")

    def __init__(self, nodes: Pattern, part: Part) -> None:
        """Make one.

        Args:
            nodes: The pattern.
            part: The part of format text outside groups that have their own.
        """
        self.nodes = nodes
        self.part: Part = part
        self.always = frozenset(node.name for node in nodes if isinstance(node, Slot))
        """Slots that are written whatever is filled."""
        asked = {node.slot: None for node in walk(nodes) if isinstance(node, Group)}
        self._asked = tuple(asked)
        self._found: dict[tuple[bool, ...], Steps] = {}
        self._only = None if asked else self._resolved({})

    def steps(self, values: Mapping[str, Value]) -> Steps:
        """What is written for these values."""
        if self._only is not None:
            return self._only
        key = tuple([bool(values.get(slot)) for slot in self._asked])
        found = self._found.get(key)
        if found is None:
            filled = dict(zip(self._asked, key, strict=True))
            found = self._found[key] = self._resolved(filled)
        return found

    def _resolved(self, filled: Mapping[str, bool]) -> Steps:
        steps: list[Step] = []
        _resolve(self.nodes, filled, self.part, steps)
        return Steps(tuple(steps), frozenset(step.slot for step in steps if step.slot))


def _resolve(nodes: Pattern, filled: Mapping[str, bool], part: Part, steps: list[Step]) -> None:
    for node in nodes:
        if isinstance(node, Literal):
            steps.append(Step("", None, node.text, node.control, part, placed=False))
        elif isinstance(node, Slot):
            change = None if node.filter is None else FILTERS[node.filter][0]
            placed = node.name in DOCUMENT_TOKENS
            steps.append(Step(node.name, change, "", control=False, part=part, placed=placed))
        elif filled[node.slot] != node.negated:
            own = part if node.negated else GROUP_PARTS.get(node.slot, part)
            _resolve(node.nodes, filled, own, steps)
