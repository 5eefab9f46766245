"""Limits on what a template may use: a template is foreign code.

The sandbox keeps a template from reaching Python; these limits keep it from using up the machine.
Time is looked at in every turn of a loop and every call, sizes before anything large is made, and
the memory of the process after every so many characters.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
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
    depth: int = 400
    """Values that hold each other, one within the other."""
    runs: int = 500_000
    """Changes of origin in one string."""
    memory: int = 400_000_000
    """Bytes by which the process may grow."""
    digits: int = 4_000
    """Digits of a number."""
    source: int = 250_000
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
    spent: int = 0
    """Bytes of everything that was made so far, also of what is gone again; about."""
    due: int = 0
    """What is spent when the memory is looked at next."""
    _before: int | None = None
    """What the process took when it was looked at first."""

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

    def spend(self, size: int) -> None:
        """Count what was made, and look at the memory now and then."""
        self.spent += size
        if self.spent > self.due:
            self.look()

    def look(self) -> None:
        """Look at the clock, and at the memory unless this is the first time."""
        first = not self.due
        self.due = self.spent + _BETWEEN
        self.tick()
        if first:
            return  # Most templates never come here again.
        taken = _resident()
        if taken is None:
            # Nothing tells what is still in use: most of what was made is gone again.
            grown = self.spent // 20
        elif self._before is None:
            self._before = taken
            return
        else:
            grown = taken - self._before
        if grown > self.limits.memory:
            self._refuse(f"{grown:,} bytes of values", f"{self.limits.memory:,}")

    def steps(self, count: int) -> None:
        """Refuse work that takes so many steps, each of them small."""
        if count > _STEPS:
            self._refuse(f"work of {count:,} steps", f"{_STEPS:,}")

    def integer(self, value: int) -> None:
        """Refuse a number that something made."""
        self._bits(value.bit_length())

    def changes(self, count: int) -> None:
        """Refuse a string with so many changes of origin."""
        if count > self.limits.runs:
            self._refuse("a string of too many pieces", f"{self.limits.runs:,}")

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
                self.spend(8 * len(value) * max(times, 0))  # type: ignore[arg-type]
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
            self.spend(8 * (len(left) + len(right)))  # type: ignore[arg-type]

    def measure(self, *values: Any) -> int:
        """Refuse values that hold too much: one list may hold itself many times over.

        Returns:
            About as many characters as they have when they are written.
        """
        level: list[Any] = list(values)
        seen = size = depth = 0
        while level:
            inner: list[Any] = []
            for one in level:
                if isinstance(one, (str, bytes)):
                    size += len(one)
                elif isinstance(one, dict):
                    inner.extend(one.keys())  # type: ignore[reportUnknownMemberType]
                    inner.extend(one.values())  # type: ignore[reportUnknownMemberType]
                elif isinstance(one, _HOLDING):
                    inner.extend(one)  # type: ignore[reportUnknownArgumentType]
                elif not isinstance(one, _SINGLE):
                    inner.extend(_within(one))
                if seen + len(inner) > self.limits.items:
                    self._refuse("values within each other", f"{self.limits.items:,}")
            seen += len(level)
            depth += 1
            if size > self.limits.characters:
                self._refuse(f"values of {size:,} characters", f"{self.limits.characters:,}")
            if depth > self.limits.depth:
                self._refuse("values within each other", f"a depth of {self.limits.depth:,}")
            level = inner
        if seen > 1_000:
            self.tick()
        return size + 8 * seen

    def _bits(self, count: int) -> None:
        if count > self.limits.digits * 3.33:
            self._refuse("a number", f"{self.limits.digits:,} digits")

    def _refuse(self, what: str, limit: str) -> NoReturn:
        raise TemplateLimit(f"the template makes {what}; the limit is {limit}")


METER: ContextVar[Meter] = ContextVar("meter")
"""The meter of the rendering that runs."""

_running = METER.get


def meter() -> Meter:
    """The meter of the rendering that runs, or a new one outside of any."""
    found = _running(None)
    return Meter(Limits()) if found is None else found


_BETWEEN = 16_000_000
"""Bytes between two looks at the memory."""

_STEPS = 2_000_000_000
"""Bytes that may be copied again and again: about a second."""

_SINGLE = (int, float, type(None))
_EMPTY: dict[Any, Any] = {}
_HOLDING: tuple[type[Any], ...] = (
    list,
    tuple,
    set,
    frozenset,
    type(_EMPTY.keys()),
    type(_EMPTY.values()),
    type(_EMPTY.items()),
)


def _within(value: object) -> Iterable[Any]:
    """What a namespace holds, which it prints."""
    try:
        attributes = object.__getattribute__(value, "_Namespace__attrs")
    except AttributeError:
        return ()
    return (attributes,)


def _resident() -> int | None:
    """Bytes of memory that the process takes, or None where nothing tells."""
    try:
        with Path("/proc/self/statm").open("rb") as numbers:
            return int(numbers.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
