"""Patterns to Jinja: what a format's data decides is decided here, not asked in the template."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from rolecall.errors import InputError
from rolecall.export.jinja_code import (
    Node,
    Out,
    Text,
    both,
    negated,
    when,
)
from rolecall.pattern import Group, Literal, Pattern, Slot, slots

if TYPE_CHECKING:
    from rolecall.format import Format


class NoTemplate(InputError):  # noqa: N818  (it says what happened)
    """A format that uses a feature in a way that no template can follow."""


Filled = bool | str
"""Whether a slot is filled: known, or the condition that asks for it."""


@dataclass(frozen=True)
class Fill:
    """What fills a slot in the template."""

    filled: Filled = False
    """Whether there is anything."""
    code: str = ""
    """The string expression that is written."""
    nodes: Callable[[Writer], list[Node]] | None = None
    """What is written, where it is no expression."""


EMPTY = Fill()

CLIENT_PLACES = ("first-client", "last-client")
"""Places in a turn of the client."""

FILTERS: dict[str, tuple[str, str]] = {
    "trim": ("{} | trim", ""),
    "trim-parts": ("{}", ""),
    "ltrim": ("{}.lstrip()", ""),
    "rtrim": ("{}.rstrip()", ""),
    "rstrip-space": ("rstrip_space({})", "rstrip_space"),
    "strip-nl": ("strip_newlines({})", "strip_newlines"),
    "lstrip-nl": ("lstrip_newlines({})", "lstrip_newlines"),
    "rstrip-nl": ("rstrip_newlines({})", "rstrip_newlines"),
    "indent": ("{} | replace('\\n', '\\n    ')", ""),
    "json": ("{} | tojson", ""),
    # Jinja cannot read JSON: it is written as a string always.
    "json-value": ("({0} | tojson if {0} else '{{}}')", ""),
}
"""Filter to the expression for it, and the macro that the expression calls."""

NEVER_EMPTY = ("json", "json-value")
"""Filters that write something for an empty value too."""


@dataclass
class Writer:
    """Writes patterns, and remembers which macros what it wrote calls."""

    fills: Mapping[str, Fill]
    dummy_prefix: bool = False
    fresh: Filled = False
    """With a dummy prefix: whether plain text would begin a run here."""
    open: str = ""
    """The condition that the text ends in the field that is left open, in a body that it can."""
    macros: set[str] = field(default_factory=set[str])

    def write(self, nodes: Pattern) -> list[Node]:
        """The nodes of a pattern."""
        found: list[Node] = []
        rest = list(nodes)
        while rest:
            node = rest.pop(0)
            if isinstance(node, Literal):
                found += self._literal(node)
            elif isinstance(node, Slot):
                found += self._slot(node)
                ends = node.name if self.open and node.name in ("content", "reasoning") else ""
                if ends:
                    return found + self._behind(ends, tuple(rest))
            else:
                otherwise = _instead(node, rest)
                if otherwise:
                    rest.pop(0)
                found += self._group(node, otherwise)
                ends = self._ends((*node.nodes, *otherwise))
                if ends and rest:
                    return found + self._behind(ends, tuple(rest))
        return found

    def _ends(self, nodes: Pattern) -> str:
        """The slot in which nodes can end that are left open."""
        if not self.open:
            return ""
        names = slots(nodes)
        return "content" if "content" in names else "reasoning" if "reasoning" in names else ""

    def _behind(self, ends: str, nodes: Pattern) -> list[Node]:
        """What stands behind the field that may be left open."""
        assumed = assumption(self.fills, ends)
        probe = replace(self, fills=assumed, open="", macros=set())
        if not probe.write(nodes):
            return self.write(nodes)
        fresh = self.fresh
        inner = self.write(nodes)
        self.fresh = _either_way(negated(self.open), self.fresh, fresh)
        unless = negated(self.open)
        if ends == "reasoning":
            unless = f"{unless} or {self.fills['content'].filled}"
        return when(unless, inner)

    def _literal(self, node: Literal) -> list[Node]:
        if not self.dummy_prefix or node.control:
            self.fresh = self.dummy_prefix
            return [Text(node.text)]
        fresh, self.fresh = self.fresh, False
        if isinstance(fresh, bool):
            return [Text(" " + node.text if fresh else node.text)]
        return [*when(fresh, [Text(" ")]), Text(node.text)]

    def _slot(self, node: Slot) -> list[Node]:
        fill = self.fills.get(node.name, EMPTY)
        filled = fill.filled
        if fill.nodes is not None:
            if filled is False:
                return []
            written = fill.nodes(self)
            return written if filled is True else when(filled, written)
        if filled is False and node.filter not in NEVER_EMPTY:
            return []
        code = fill.code or "''"
        if node.filter is not None:
            shape, macro = FILTERS[node.filter]
            if node.filter == "trim-parts":
                code = f"trimmed({code})"
            self.macros |= {macro} - {""}
            code = shape.format(code)
        if not self.dummy_prefix:
            return [Out(code)]
        if node.name in ("bos_token", "eos_token"):
            self.fresh = True
            return [Out(code)]
        fresh = self.fresh
        if filled is True or node.filter in NEVER_EMPTY:
            self.fresh = False
            if isinstance(fresh, bool):
                return [Text(" "), Out(code)] if fresh else [Out(code)]
            return [*when(fresh, [Text(" ")]), Out(code)]
        if fresh is False:
            return [Out(code)]
        # What a filter leaves of it decides whether a run begins.
        left = code if node.filter else str(filled)
        if fresh is True:
            self.fresh = negated(left)
            return when(left, [Text(" "), Out(code)])
        self.fresh = both(fresh, negated(left))
        return [*when(both(fresh, left), [Text(" ")]), Out(code)]

    def _group(self, node: Group, otherwise: Pattern) -> list[Node]:
        filled = self.fills.get(node.slot, EMPTY).filled
        if isinstance(filled, bool):
            return self.write(node.nodes if filled != node.negated else otherwise)
        condition = negated(filled) if node.negated else filled
        before, known = self.fresh, self.fills
        self.fills = {**known, node.slot: _known(known[node.slot], not node.negated)}
        then = self.write(node.nodes)
        behind, self.fresh = self.fresh, before
        self.fills = {**known, node.slot: _known(known[node.slot], node.negated)}
        other = self.write(otherwise)
        self.fresh = _either_way(condition, behind, self.fresh)
        self.fills = known
        return when(condition, then, other)


def _instead(group: Group, following: Sequence[object]) -> Pattern:
    """What the next group has, if that is written just where this one is not."""
    other = following[0] if following else None
    if isinstance(other, Group) and other.slot == group.slot and other.negated != group.negated:
        return other.nodes
    return ()


def _known(fill: Fill, filled: bool) -> Fill:
    """A fill of which it is known whether there is anything."""
    return replace(fill, filled=filled) if filled else replace(fill, filled=False, nodes=None)


def _either_way(condition: str, first: Filled, second: Filled) -> Filled:
    """Where one of two branches was written, whether a run would begin behind it."""
    if first == second:
        return first
    if isinstance(first, bool) and isinstance(second, bool):
        return condition if first else negated(condition)
    return f"({_code(first)} if {condition} else {_code(second)})"


def _code(filled: Filled) -> str:
    return filled if isinstance(filled, str) else str(filled).lower()


def assumption(fills: Mapping[str, Fill], ends: str) -> dict[str, Fill]:
    """The fills of a message that is left open in a field."""
    assumed = dict(fills)
    assumed["calls"] = EMPTY
    if ends == "content":
        assumed["content"] = _known(fills.get("content", EMPTY), filled=True)
    else:
        assumed["content"] = EMPTY
        assumed["reasoning"] = _known(fills.get("reasoning", EMPTY), filled=True)
    return assumed


def used(nodes: Sequence[Pattern]) -> set[str]:
    """The slots that patterns write or ask for."""
    found: set[str] = set()
    for pattern in nodes:
        for node in pattern:
            if isinstance(node, Slot):
                found.add(node.name)
            elif isinstance(node, Group):
                found |= {node.slot} | used([node.nodes])
    return found


def known_ids(fmt: Format) -> tuple[str, int] | None:
    """The characters of an id and how many it has, where that is all that the format asks."""
    rule = fmt.calls.ids if fmt.calls is not None else None
    found = None if rule is None else _IDS.fullmatch(rule.pattern)
    if found is None:
        return None
    letters = re.compile(found[1])
    return "".join(c for c in map(chr, range(33, 127)) if letters.fullmatch(c)), int(found[2])


_IDS = re.compile(r"\^(\[(?:\w-\w|\w)+\])\{(\d+)\}(?:\$|\\Z)")
