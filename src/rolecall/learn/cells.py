"""Cells: what a turn says for each choice of filled slots, and the shortest pattern that says so.

A cell is the text of one probe with its slots found again. A pattern of the format language is then
sought that writes every cell: what all cells share stands once, and where they differ a group asks
for the slot that tells them apart.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import NamedTuple

from rolecall.learn.draft import Inexpressible, group, literal, slot


class Ref(NamedTuple):
    """A slot of a pattern."""

    slot: str
    filter: str | None = None


Atom = str | Ref
"""A slot, or a piece of literal text that is not cut further."""
Cell = tuple[Atom, ...]
Key = frozenset[str]
"""The slots that are filled in a cell."""

_PIECES = re.compile(
    r"<[^<>\n{}\"']{1,60}>"  # a tag or token
    r"|\[/?[A-Z_]{2,}\]"
    r"|\w+|\s|[^\w\s]"
)


def atoms(text: str) -> tuple[str, ...]:
    """Literal text in pieces: tags whole, words, single signs."""
    return tuple(_PIECES.findall(text))


def flat(cell: Iterable[Atom]) -> tuple[Atom, ...]:
    """The same cell with every literal in pieces."""
    found: list[Atom] = []
    text = ""
    for atom in cell:
        if isinstance(atom, Ref):
            found += atoms(text)
            found.append(atom)
            text = ""
        else:
            text += atom
    return (*found, *atoms(text))


def shared_start(first: Sequence[Atom], second: Sequence[Atom]) -> int:
    """How many atoms two cells begin with alike."""
    count = 0
    while count < min(len(first), len(second)) and first[count] == second[count]:
        count += 1
    return count


def shared_end(first: Sequence[Atom], second: Sequence[Atom]) -> int:
    """How many atoms two cells end with alike."""
    return shared_start(first[::-1], second[::-1])


def spelled(cell: Iterable[Atom], *, grouped: bool = False) -> str:
    """A cell as a pattern.

    Raises:
        Inexpressible: If a literal of it cannot be spelled.
    """
    made: list[str] = []
    text = ""
    for atom in cell:
        if isinstance(atom, Ref):
            made += [literal(text, grouped=grouped), slot(*atom)]
            text = ""
        else:
            text += atom
    return "".join([*made, literal(text, grouped=grouped)])


def fit(cells: Mapping[Key, Iterable[Atom]], order: Sequence[str]) -> str:
    """The shortest pattern that writes every cell.

    Args:
        cells: The slots that are filled, to what is then written. A slot that is not among them
            may stand in the pattern all the same, as it writes nothing.
        order: Slots that groups may ask for; of equal patterns the one that asks for the earlier
            slot first is taken.

    Raises:
        Inexpressible: If no pattern writes them all: two cells differ though no slot tells them
            apart, or a literal cannot be spelled.
    """
    rows = tuple(sorted(((key, flat(cell)) for key, cell in cells.items()), key=_order))
    found = _Fit(tuple(order)).best(rows, False)
    if found is None:
        raise Inexpressible("it writes one thing or another, and no slot tells when")
    return found


Rows = tuple[tuple[Key, Cell], ...]


def _order(row: tuple[Key, Cell]) -> tuple[int, list[str]]:
    return len(row[0]), sorted(row[0])


def _cost(source: str) -> tuple[int, int]:
    # Content in a group of its own is read where there is none.
    own = len(re.findall(r"\{content\?(?:[^{}]|\{\w+\?)*\{content[|}]", source))
    return len(source) + 4 * source.count("?") + 20 * own, source.count("?")


class _Fit:
    """Finds patterns for cells; the same rest is fitted once."""

    def __init__(self, order: tuple[str, ...]) -> None:
        self._order = order
        self.best = cache(self._best)

    def _best(self, rows: Rows, grouped: bool) -> str | None:
        found = [made for name in self._order for made in self._added(rows, name, grouped)]
        for skips in ((False, False), (True, False), (False, True), (True, True)):
            before, middle, after = _stripped(rows, *skips)
            inner = self._middle(middle)
            if inner is not None:
                source = spelled(before, grouped=grouped) + inner + spelled(after, grouped=grouped)
                found.append(source)
        return min(found, key=_cost, default=None)

    def _added(self, rows: Rows, name: str, grouped: bool) -> Iterator[str]:
        """A pattern where a slot that is filled adds to what is written where it is empty."""
        cells = dict(rows)
        pairs = [(key, cells.get(key - {name})) for key in cells if name in key]
        if not pairs:
            return
        rest = tuple(row for row in rows if name not in row[0])
        more: list[tuple[Key, Cell]] = []
        for key, bare in pairs:
            cell = cells[key]
            if bare is None or cell[: len(bare)] != bare:
                return
            more.append((key, cell[len(bare) :]))
        inner, first = self.best(tuple(more), True), self.best(rest, grouped)
        if inner is not None and first is not None:
            yield first + (inner if _is_slot(inner, name) else group(name, inner))

    def _middle(self, rows: Rows) -> str | None:
        """A pattern for cells that share neither beginning nor end."""
        if not any(cell for _, cell in rows):
            return ""
        found: list[str] = []
        for name in self._order:
            filled = tuple(row for row in rows if name in row[0])
            empty = tuple(row for row in rows if name not in row[0])
            if not filled or not empty:
                continue
            inner, otherwise = self.best(filled, True), self.best(empty, True)
            if inner is not None and otherwise is not None:
                # A slot that is empty here writes nothing: it needs no group of its own.
                bare = inner if not otherwise and _is_slot(inner, name) else None
                found.append(bare or group(name, inner, otherwise))
        return min(found, key=_cost, default=None)


def _is_slot(source: str, name: str) -> bool:
    return re.fullmatch(r"\{" + name + r"(\|[a-z-]+)?\}", source) is not None


def _stripped(rows: Rows, first: bool, last: bool) -> tuple[Cell, Rows, Cell]:
    """What all cells begin and end with, and what is left of them.

    Args:
        rows: The cells.
        first: Whether a slot at the beginning may be missing where it is empty.
        last: The same at the end.
    """
    before, rest = _start(rows, first)
    turned: Rows = tuple((key, cell[::-1]) for key, cell in rest)
    after, turned = _start(turned, last)
    return tuple(before), tuple((key, cell[::-1]) for key, cell in turned), tuple(after[::-1])


def _start(rows: Rows, skip: bool) -> tuple[list[Atom], Rows]:
    places = [0] * len(rows)
    found: list[Atom] = []
    while True:
        taken = _step(rows, places, skip)
        if taken is None:
            break
        atom, movers = taken
        found.append(atom)
        for number in movers:
            places[number] += 1
    rest = tuple((key, cell[place:]) for (key, cell), place in zip(rows, places, strict=True))
    return found, rest


def _step(rows: Rows, places: Sequence[int], skip: bool) -> tuple[Atom, list[int]] | None:
    """The next atom that every cell can begin with, and the cells that do."""
    ahead = [
        cell[place] if place < len(cell) else None
        for (_, cell), place in zip(rows, places, strict=True)
    ]
    for atom in dict.fromkeys(atom for atom in ahead if atom is not None):
        movers = [number for number, other in enumerate(ahead) if other == atom]
        others = [number for number in range(len(rows)) if number not in movers]
        if not others:
            return atom, movers
        absent = isinstance(atom, Ref) and all(atom.slot not in rows[n][0] for n in others)
        if skip and absent:
            return atom, movers
    return None


class Repeated(NamedTuple):
    """How several of a kind are written: calls, or tool schemas."""

    begin: Cell
    each: Cell
    join: Cell
    finish: Cell


def repeated(
    one: Cell,
    two: Cell,
    three: Cell,
    befores: Iterable[Cell] = (),
    afters: Iterable[Cell] = (),
) -> Repeated:
    """What stands before, between and behind several of a kind.

    Args:
        one: The text with one of them, in pieces (`flat`); its slots are numbered, ``name#0``.
        two: With two, the second one's slots being ``name#1``.
        three: With three.
        befores: What else was seen to stand before the first slot of one.
        afters: What else was seen to stand behind the last slot of one.

    Raises:
        Inexpressible: If the three are not written alike.
    """
    first, second, third = inner(one, 1), inner(two, 2), inner(three, 3)
    gap, item = second.gaps[0], first.items[0]
    for found in (first, second, third):
        same = found.before == first.before and found.after == first.after
        if not same or any(each != item for each in found.items) or set(found.gaps) - {gap}:
            raise Inexpressible("several of a kind are not written as one is")
    befores, afters = (first.before, *befores), (first.after, *afters)
    lead = min(shared_end(before, gap) for before in befores)
    begin = first.before[: len(first.before) - lead]
    begin = begin[len(begin) - min(shared_end(begin, b[: len(b) - lead]) for b in befores) :]
    rest = gap[: len(gap) - lead]
    trail = min(shared_start(after, rest) for after in afters)
    finish = first.after[trail:]
    finish = finish[: min(shared_start(finish, after[trail:]) for after in afters)]
    each = (*gap[len(gap) - lead :], *item, *gap[:trail])
    return Repeated(begin, each, rest[trail:], finish)


class Inner(NamedTuple):
    """Several of a kind, and what stands around and between them."""

    before: Cell
    items: list[Cell]
    after: Cell
    gaps: list[Cell]


def inner(cell: Cell, count: int) -> Inner:
    """Take apart a text with so many of a kind, whose slots are numbered.

    Raises:
        Inexpressible: If one is missing, or they stand among each other.
    """
    spans: list[tuple[int, int]] = []
    for number in range(count):
        mine = f"#{number}"
        places = [
            place
            for place, atom in enumerate(cell)
            if isinstance(atom, Ref) and atom.slot.endswith(mine)
        ]
        if not places:
            raise Inexpressible("one of several is not written")
        spans.append((places[0], places[-1] + 1))
    if spans != sorted(spans) or any(a[1] > b[0] for a, b in itertools.pairwise(spans)):
        raise Inexpressible("several of a kind stand among each other")
    items = [unnumbered(cell[start:end]) for start, end in spans]
    gaps = [cell[a[1] : b[0]] for a, b in itertools.pairwise(spans)]
    return Inner(cell[: spans[0][0]], items, cell[spans[-1][1] :], gaps)


def unnumbered(cell: Iterable[Atom]) -> Cell:
    """The same with slots that do not tell one item from another."""
    return tuple(
        Ref(atom.slot.partition("#")[0], atom.filter) if isinstance(atom, Ref) else atom
        for atom in cell
    )


def find(cell: Cell, part: Cell) -> int | None:
    """Where a part stands in a cell, or None."""
    for at in range(len(cell) - len(part) + 1):
        if cell[at : at + len(part)] == part:
            return at
    return None
