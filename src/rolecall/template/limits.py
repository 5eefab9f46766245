"""Limits on what a template may use: a template is foreign code.

The sandbox keeps a template from reaching Python; these limits keep it from using up the machine.
Time is looked at in every turn of a loop and every call, sizes before anything large is made.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NoReturn

from rolecall.errors import TemplateLimit


@dataclass(frozen=True, slots=True)
class Limits:
    """What one rendering may use."""

    seconds: float = 10.0
    """Wall-clock time."""
    characters: int = 20_000_000
    """Characters of the output, and of any string that is made on the way."""
    items: int = 1_000_000
    """Items of a list that is made on the way, and values looked at within each other."""
    digits: int = 4_000
    """Digits of a number."""
    source: int = 2_000_000
    """Characters of the template itself."""


@dataclass(slots=True)
class Meter:
    """One rendering while it runs: what it has used of its limits, and what it is at."""

    limits: Limits
    now: Callable[[], datetime] = datetime.now
    """The clock that the template sees."""
    speaking: int | None = None
    """The message that the loop over messages is at."""
    started: float = field(default_factory=time.monotonic)

    def tick(self) -> None:
        """Look at the clock.

        Raises:
            TemplateLimit: If the time is over.
        """
        if time.monotonic() - self.started > self.limits.seconds:
            raise TemplateLimit(
                f"the template ran for more than {self.limits.seconds:g} seconds; "
                "look for a loop or a recursion without end in it"
            )

    def characters(self, count: int) -> None:
        """Refuse a string of so many characters, before it is made."""
        if count > self.limits.characters:
            self._refuse(f"a string of {count:,} characters", f"{self.limits.characters:,}")

    def items(self, count: int) -> None:
        """Refuse a list of so many items, before it is made."""
        if count > self.limits.items:
            self._refuse(f"a list of {count:,} items", f"{self.limits.items:,}")

    def product(self, left: object, right: object) -> None:
        """Refuse what `left * right` would make."""
        for value, times in ((left, right), (right, left)):
            if not isinstance(times, int):
                continue
            if isinstance(value, (str, bytes, bytearray)):
                self.characters(len(value) * max(times, 0))
            elif isinstance(value, (list, tuple)):
                self.items(len(value) * max(times, 0))  # type: ignore[arg-type]
        if isinstance(left, int) and isinstance(right, int):
            self._bits(left.bit_length() + right.bit_length())

    def power(self, base: object, exponent: object) -> None:
        """Refuse what `base ** exponent` would make."""
        if isinstance(base, int) and isinstance(exponent, int) and exponent > 0:
            self._bits(max(base.bit_length(), 1) * exponent)

    def total(self, left: object, right: object) -> None:
        """Refuse what `left + right` would make."""
        if isinstance(left, (str, bytes)) and isinstance(right, (str, bytes)):
            self.characters(len(left) + len(right))
        elif isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
            self.items(len(left) + len(right))  # type: ignore[arg-type]

    def measure(self, value: Any) -> None:
        """Refuse a value that holds too much: one list may hold itself many times over."""
        waiting: list[Any] = [value]
        seen = 0
        while waiting:
            one = waiting.pop()
            if isinstance(one, dict):
                waiting.extend(one.keys())  # type: ignore[reportUnknownMemberType]
                waiting.extend(one.values())  # type: ignore[reportUnknownMemberType]
            elif isinstance(one, (list, tuple, set, frozenset)):
                waiting.extend(one)  # type: ignore[reportUnknownArgumentType]
            seen += 1
            if seen + len(waiting) > self.limits.items:
                self._refuse("values within each other", f"{self.limits.items:,}")
        if seen > 1_000:
            self.tick()

    def _bits(self, count: int) -> None:
        if count > self.limits.digits * 3.33:
            self._refuse("a number", f"{self.limits.digits:,} digits")

    def _refuse(self, what: str, limit: str) -> NoReturn:
        raise TemplateLimit(f"the template makes {what}; the limit is {limit}")
