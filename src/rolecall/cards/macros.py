"""The placeholders in a card's texts: ``{{char}}``, ``{{user}}`` and the others of V3.

What they stand for is put in once and never read again: a name that spells a placeholder stays a
name. A placeholder whose value is drawn by lot, or that no specification has, stays as it stands,
with a warning.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from rolecall.lost import Lost

LONGEST_SHOWN = 60
DEEPEST = 20
"""Placeholders within each other; what is deeper is text."""
DRAWN = ("random", "pick", "roll")
SILENT = ("//", "comment", "hidden_key")
"""Placeholders that stand for nothing in a prompt."""

_OLD = re.compile(r"<(user|bot|char)>", re.IGNORECASE)
"""How V1 writes them too."""
_MARK = re.compile(r"(\{\{(?!\{)|\}\})")
_HEAD = re.compile(r"\s*(//|[^\s:]+)\s*(::?)?(.*)", re.DOTALL)
_COMMA = re.compile(r"(?<!\\),")


@dataclass
class Macros:
    """Puts in what placeholders stand for, and records those that stay."""

    values: Mapping[str, str]
    """What a placeholder stands for, by its name in small letters."""
    lot: random.Random | None = None
    """Draws what is drawn by lot; None leaves it."""
    lost: list[Lost] = field(default_factory=list[Lost])

    def expand(self, text: str, where: str, more: Mapping[str, str] | None = None) -> str:
        r"""The text with its placeholders replaced and lines ended by ``\n``.

        Args:
            text: The text.
            where: The field, for what is recorded.
            more: Values of placeholders that only this field has.
        """
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        text = _OLD.sub(lambda old: "{{user}}" if old[1].lower() == "user" else "{{char}}", text)
        values = {**self.values, **(more or {})}
        # Each level of nesting: what it came to so far, and what is recorded if it is kept.
        stack: list[tuple[list[str], list[Lost]]] = [([], [])]
        for piece in _MARK.split(text):
            if piece == "{{" and len(stack) <= DEEPEST:
                stack.append(([], []))
            elif piece == "}}" and len(stack) > 1:
                inner, records = stack.pop()
                stack[-1][0].append(self._value("".join(inner), where, values, records))
                stack[-1][1].extend(records)
            else:
                stack[-1][0].append(piece)
        self.lost += [record for _, records in stack for record in records]
        return "{{".join("".join(pieces) for pieces, _ in stack)

    def _value(self, body: str, where: str, values: Mapping[str, str], records: list[Lost]) -> str:
        """What ``{{body}}`` stands for; itself if it stays."""
        found = _HEAD.fullmatch(body)
        name = found[1].lower() if found is not None else ""
        rest = found[3] if found is not None else ""
        named = found is not None and found[2] is not None
        if found is not None and not named and not rest and name in values:
            return values[name]
        if name in SILENT and (named or name == "//"):
            # What was inside is gone with it, and that is meant.
            records.clear()
            return ""
        if name == "reverse" and named:
            return rest[::-1]
        if name in DRAWN and named:
            drawn = self._drawn(name, rest)
            if drawn is not None:
                return drawn
            reason = "its value is drawn by lot" if self.lot is None else "nothing can be drawn"
            way = "; give a seed to have it drawn" if self.lot is None else ""
            records.append(self._kept("macro-undrawn", where, body, reason + way))
        else:
            reason = "no card specification has it, so nobody says what it stands for"
            records.append(self._kept("macro-unknown", where, body, reason))
        return f"{{{{{body}}}}}"

    def _drawn(self, name: str, rest: str) -> str | None:
        if self.lot is None:
            return None
        if name == "roll":
            sides = re.fullmatch(r"\s*d?([0-9]{1,9})\s*", rest, re.IGNORECASE)
            return None if sides is None or not int(sides[1]) else str(self._roll(int(sides[1])))
        choices = [choice.replace(r"\,", ",").strip() for choice in _COMMA.split(rest)]
        return self.lot.choice(choices)

    def _roll(self, sides: int) -> int:
        return 0 if self.lot is None else self.lot.randint(1, sides)

    @staticmethod
    def _kept(code: str, where: str, body: str, reason: str) -> Lost:
        shown = f"{{{{{body}}}}}"
        shown = shown if len(shown) <= LONGEST_SHOWN else f"{shown[:LONGEST_SHOWN]}…"
        return Lost("warning", code, None, where, f"{shown!r} stays as it stands: {reason}")
