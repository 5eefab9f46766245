"""Which entries of a lorebook are in the prompt before anybody has said a word.

Most wait for a word of the running chat; those that are constant do not. In V3 an entry may begin
with decorators, lines such as ``@@position before_desc``, which say more.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from rolecall.cards.card import Card, LoreEntry
from rolecall.lost import Lost

FIELD = "character_book"
Place = Literal["before", "after", "personality", "scenario"]

PLACES: dict[str, Place] = {
    "before_desc": "before",
    "after_desc": "after",
    "personality": "personality",
    "scenario": "scenario",
}
CONDITIONS = (
    *("activate_only_after", "activate_only_every", "keep_activate_after_match"),
    *("dont_activate_after_match", "additional_keys", "exclude_keys", "is_user_icon"),
)
"""Decorators that ask about a chat that has not begun, so that nobody can answer."""
MOVES = ("depth", "instruct_depth", "reverse_depth", "reverse_instruct_depth", "role")
"""Decorators that put an entry among the messages of the chat."""
IDLE = ("scan_depth", "instruct_scan_depth", "ignore_on_max_context", "disable_ui_prompt")
"""Decorators that change nothing about an entry that is there anyway."""

_DECORATOR = re.compile(r"(@@@?)([A-Za-z_]+)(?:[ \t]+(.*))?")


class Piece(NamedTuple):
    """An entry that is in the prompt."""

    place: Place
    where: str
    """Its field, for what is recorded of its text."""
    text: str


def pieces(card: Card, greeting: int | None) -> tuple[list[Piece], list[Lost]]:
    """The entries that are in the prompt, in their order, and what is recorded of the others."""
    book = card.character_book
    if book is None:
        return [], []
    found: list[tuple[float, Piece]] = []
    lost: list[Lost] = []
    waiting: list[str] = []
    for number, entry in enumerate(book.entries):
        where = f"{FIELD}.entries[{number}]"
        marks, text = _decorators(entry.content) if card.spec == "v3" else ({}, entry.content)
        if not entry.enabled or not text.strip():
            continue
        if not _is_active(entry, marks, greeting):
            waiting.append(entry.name or next(iter(entry.keys), "") or f"number {number}")
            continue
        lost += _of_marks(marks, where)
        place = PLACES.get(marks.get("position", ""), "before" if entry.before else "after")
        found.append((entry.order, Piece(place, where, text)))
    if waiting:
        shown = ", ".join(repr(name) for name in waiting[:5]) + (", …" if len(waiting) > 5 else "")
        lost.append(
            _note("lore-waiting", FIELD, f"{len(waiting)} of {len(book.entries)} entries wait for "
                  f"words or a state of the running chat and are not in the prompt: {shown}")
        )  # fmt: skip
    if found and book.token_budget is not None:
        lost.append(
            _note("lore-budget", f"{FIELD}.token_budget", "no entry is left out for it: tokens are "
                  "a tokenizer's matter")
        )  # fmt: skip
    return [piece for _, piece in sorted(found, key=lambda pair: pair[0])], lost


def _is_active(entry: LoreEntry, marks: dict[str, str], greeting: int | None) -> bool:
    if "is_greeting" in marks and marks["is_greeting"] != str(greeting):
        return False
    if "activate" in marks:
        return True
    if "dont_activate" in marks or any(mark in marks for mark in CONDITIONS):
        return False
    return entry.constant and not entry.use_regex


def _decorators(content: str) -> tuple[dict[str, str], str]:
    """The decorators that an entry begins with, the first of each name, and its text."""
    known = {"position", "activate", "dont_activate", "is_greeting", *CONDITIONS, *MOVES, *IDLE}
    lines = content.replace("\r\n", "\n").split("\n")
    marks: dict[str, str] = {}
    used = False
    for number, line in enumerate(lines):
        found = _DECORATOR.fullmatch(line.strip())
        if found is None:
            if line.strip():
                return marks, "\n".join(lines[number:])
            continue
        sign, name, value = found[1], found[2].lower(), (found[3] or "").strip()
        # Three signs stand before what counts if what is above does not.
        if sign == "@@@" and used:
            continue
        used = name in known and (name != "position" or value in PLACES)
        if used:
            marks.setdefault(name, value)
    return marks, ""


def _of_marks(marks: dict[str, str], where: str) -> list[Lost]:
    moved = [mark for mark in MOVES if mark in marks]
    if not moved:
        return []
    shown = ", ".join(f"@@{mark} {marks[mark]}" for mark in moved)
    return [
        _note("lore-moved", where, f"{shown} asks for a place among the messages; it stands in the "
              "system prompt")
    ]  # fmt: skip


def _note(code: str, where: str, text: str) -> Lost:
    return Lost("note", code, None, where, text)
