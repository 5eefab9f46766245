"""Unread records: what of ids or text could not be read as the format writes it."""

from __future__ import annotations

from typing import NamedTuple

from rolecall.lost import Level


class Unread(NamedTuple):
    """One thing that a model wrote, or a text holds, that the format does not account for."""

    level: Level
    """``error``: not a part of any message. ``warning``: it was mended, or it is said by somebody
    who may not. ``note``: read as it most plainly reads, though another conversation is written
    alike or the format writes it otherwise."""
    code: str
    """What happened, a fixed kebab-case word such as ``malformed-call``."""
    message: int | None
    """Index of the message it stands in or behind, or None where it stands before all of them."""
    detail: str
    """One sentence: what was found, what became of it, and the way out where there is one."""
    text: str = ""
    """The characters concerned, control tokens spelled out."""
    span: tuple[int, int] = (0, 0)
    """Where they stand: the first id and the one after the last, counted from the first that was
    given; of a text, characters."""

    def __str__(self) -> str:
        where = "conversation" if self.message is None else f"message {self.message}"
        return f"{self.level} {self.code}: {where}, {self.span[0]}:{self.span[1]}: {self.detail}"
