"""Who speaks under which role, and which turns are written alike, decided before a template is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rolecall.conversation import AUTHORS, STANDARD_ROLES, Author, Cast
from rolecall.export.jinja_code import Node, both, choose, negated, one_of, quoted
from rolecall.turn import TurnSpec, text_of

if TYPE_CHECKING:
    from rolecall.format import Format


@dataclass(frozen=True)
class Branch:
    """Turns that are written alike."""

    author: Author
    roles: tuple[str, ...]
    """The roles that are written so; with `special`, it is one that has a table of its own."""
    spec: TurnSpec
    special: bool


class Roles:
    """The roles of a format and a cast."""

    def __init__(self, fmt: Format, cast: Cast) -> None:
        self.fmt = fmt
        self.cast = cast
        self.authors: dict[str, Author] = {**STANDARD_ROLES, **fmt.declared}
        self.authors |= {role: who for (role, name), who in cast.entries.items() if name is None}
        self.named: list[tuple[str, str, Author]] = [
            (role, name, who) for (role, name), who in cast.entries.items() if name is not None
        ]
        self.branches = self._branches()

    def roles(self, author: Author) -> list[str]:
        """The roles that an author speaks under, whatever the name."""
        return [role for role, who in self.authors.items() if who == author]

    def is_author(self, authors: Author | Sequence[Author], of: str = "message") -> str:
        """The condition that a message is of an author."""
        wanted = [authors] if isinstance(authors, str) else list(authors)
        if self.named:
            return one_of(f"author({of})", wanted)
        return one_of(f"{of}.role", [role for role in self.authors if self.authors[role] in wanted])

    def possible(self) -> list[Author]:
        """The authors that the format has a turn for."""
        return [author for author in AUTHORS if author in self.fmt.turns]

    def _branches(self) -> list[Branch]:
        fmt = self.fmt
        found: list[Branch] = []
        for role in fmt.roles:
            authors: list[Author] = [self.authors[role]]
            authors.extend(who for other, _, who in self.named if other == role)
            for author in dict.fromkeys(authors):
                spec = fmt.spec(author, role)
                if spec is not None:
                    found.append(Branch(author, (role,), spec, special=True))
        for author, spec in fmt.turns.items():
            roles = tuple(role for role in self.roles(author) if role not in fmt.roles)
            if roles or self.named:
                found.append(Branch(author, roles, spec, special=False))
        return found

    def is_branch(self, branch: Branch, of: str = "message") -> str:
        """The condition that a message is written so, where no branch before it is."""
        if not self.named:
            return one_of(f"{of}.role", branch.roles)
        mine = self.is_author(branch.author, of)
        return both(mine, one_of(f"{of}.role", branch.roles)) if branch.special else mine

    def is_spec(self, spec: TurnSpec, of: str) -> str:
        """The condition that a message is written by one specification, on its own."""
        mine = [branch for branch in self.branches if branch.spec is spec]
        if self.named and not mine[0].special and any(b.special for b in self.branches):
            special = [b for b in self.branches if b.special and b.author == mine[0].author]
            others = [role for b in special for role in b.roles]
            return both(
                self.is_author(spec.author, of),
                negated(one_of(f"{of}.role", others)) if others else "",
            )
        if self.named:
            return self.is_branch(mine[0], of)
        return one_of(f"{of}.role", [role for branch in mine for role in branch.roles])

    def alike(self, parts: Iterable[tuple[Branch, list[Node]]], of: str) -> list[Node]:
        """One list of nodes a branch, those that are alike written once."""
        groups: list[tuple[list[Branch], list[Node]]] = []
        for branch, nodes in parts:
            for branches, same in groups:
                if same == nodes:
                    branches.append(branch)
                    break
            else:
                groups.append(([branch], nodes))
        if len(groups) == 1 and len(groups[0][0]) == len(self.branches):
            return groups[0][1]
        if not self.named:
            groups = [group for group in groups if group[1]]
        made: list[tuple[str, list[Node]]] = []
        for branches, nodes in groups:
            if self.named:
                condition = " or ".join(self.is_branch(branch, of) for branch in branches)
            else:
                condition = one_of(f"{of}.role", [r for branch in branches for r in branch.roles])
            made.append((condition, nodes))
        return choose(made)

    def role(self, of: str) -> str:
        """The code of the label of a message."""
        code = f"{of}.role"
        for role, label in self.fmt.labels.items():
            code = f"{quoted(text_of(label))} if {of}.role == {quoted(role)} else {code}"
        return f"({code})" if self.fmt.labels else code
