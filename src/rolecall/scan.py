"""Where a JSON value ends, character by character.

A scan is a small immutable state, so that several readings of one text can carry their own. It
tells where a value ends and refuses what cannot be JSON; whether it is, ``json.loads`` says.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from rolecall.nodes import Kind

SPACE = " \t\n\r"
NUMBER = frozenset("0123456789.eE+-Infity")
WORDS = {"t": "rue", "f": "alse", "n": "ull", "N": "aN"}


class Scan(NamedTuple):
    """How far the reading of a JSON value has come."""

    mode: str
    stack: str = ""
    """The brackets that are open."""

    @property
    def complete(self) -> bool:
        """Whether the value may end here."""
        return self.mode == "done" or (self.mode == "number" and not self.stack)


QUOTED = frozenset(("string", "key"))
"""Modes in which nearly every character leaves the state as it is."""

QUOTED_END = re.compile('["\\\\\ud800-\udfff]')
"""Finds the next symbol that may change a state of these modes."""

DEEPEST = 900
"""Brackets that may be open at once; the JSON parser gives up a little beyond that."""

STARTS: dict[Kind, Scan] = {
    "object": Scan("object"),
    "string": Scan("string only"),
    "value": Scan("value"),
}
"""Kind of slot to where its reading begins."""


def advance(scan: Scan, symbol: str) -> Scan | None:
    """The state behind one more character, or None if no JSON value goes on like that."""
    mode, stack = scan
    if symbol in "{[" and len(stack) >= DEEPEST and mode not in ("string", "key"):
        return None
    if mode == "string":
        if symbol == "\\":
            return Scan("escape", stack)
        return _after(stack) if symbol == '"' else scan
    if mode == "key":
        if symbol == "\\":
            return Scan("key escape", stack)
        return Scan("colon", stack) if symbol == '"' else scan
    if mode == "escape":
        return Scan("string", stack)
    if mode == "key escape":
        return Scan("key", stack)
    if mode == "number":
        if symbol in NUMBER:
            return scan
        return advance(_after(stack), symbol)
    if mode.startswith("word"):
        rest = mode.removeprefix("word ")
        if symbol != rest[:1]:
            return None
        return Scan(f"word {rest[1:]}", stack) if rest[1:] else _after(stack)
    if symbol in SPACE and mode != "string only":
        return scan
    return _structure(mode, stack, symbol)


def _structure(mode: str, stack: str, symbol: str) -> Scan | None:
    if mode in ("value", "first value") and (found := _value(stack, symbol)) is not None:
        return found
    if mode == "first value" and symbol == "]":
        return _after(stack[:-1])
    if mode == "object":
        return Scan("first key", stack + "{") if symbol == "{" else None
    if mode == "string only":
        return Scan("string", stack) if symbol == '"' else None
    if mode in ("first key", "next key"):
        if symbol == '"':
            return Scan("key", stack)
        return _after(stack[:-1]) if symbol == "}" and mode == "first key" else None
    if mode == "colon":
        return Scan("value", stack) if symbol == ":" else None
    if mode == "next":
        if symbol == ",":
            return Scan("next key" if stack[-1] == "{" else "value", stack)
        closing = "}" if stack[-1] == "{" else "]"
        return _after(stack[:-1]) if symbol == closing else None
    return None


def _value(stack: str, symbol: str) -> Scan | None:
    if symbol == "{":
        return Scan("first key", stack + "{")
    if symbol == "[":
        return Scan("first value", stack + "[")
    if symbol == '"':
        return Scan("string", stack)
    if symbol in WORDS:
        return Scan(f"word {WORDS[symbol]}", stack)
    return Scan("number", stack) if symbol in "-0123456789I" else None


def _after(stack: str) -> Scan:
    return Scan("next", stack) if stack else Scan("done")
