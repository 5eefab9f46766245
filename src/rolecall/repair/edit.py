"""Edits: characters of a template that are replaced, and nothing else of it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rolecall.repair.syntax import Place


class Edit(NamedTuple):
    """One replacement."""

    place: Place
    """What is replaced; an empty place for what is inserted."""
    text: str
    """What stands there instead."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A change of a template that may repair a finding."""

    edits: tuple[Edit, ...]
    says: str
    """One sentence for the person who reads the proof: what is written otherwise."""

    @property
    def size(self) -> int:
        """How much is changed, in characters; smaller ones are tried first."""
        return sum(edit.place.end - edit.place.start + len(edit.text) for edit in self.edits)

    def apply(self, jinja: str) -> str:
        """The template with the change."""
        return apply(jinja, self.edits)


def apply(jinja: str, edits: Sequence[Edit]) -> str:
    """A template with edits, which must not overlap."""
    made: list[str] = []
    at = 0
    for edit in sorted(edits):
        if edit.place.start < at:
            raise ValueError(f"edits overlap at character {edit.place.start}")
        made += [jinja[at : edit.place.start], edit.text]
        at = edit.place.end
    return "".join((*made, jinja[at:]))


def diff(before: str, after: str, name: str, context: int = 3) -> str:
    """The change as a unified diff; empty where nothing changed."""
    lines = difflib.unified_diff(
        before.splitlines(keepends=True),
        after.splitlines(keepends=True),
        name,
        f"{name} (repaired)",
        n=context,
    )
    made: list[str] = []
    for line in lines:
        if line.endswith("\n"):
            made.append(line)
        else:
            made.append(f"{line}\n\\ No newline at end of file\n")
    return "".join(made)
