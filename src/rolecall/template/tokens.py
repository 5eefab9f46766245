"""Control tokens in what a template wrote."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from functools import lru_cache
from typing import NamedTuple

TOKEN_SHAPES = re.compile(
    r"<[|｜][^<>|｜\s]+[|｜]?>|<[^<>|｜\s]+[|｜]>"
    r"|</?(?:s|bos|eos|pad|unk)>|</?(?:start|begin|end)_\w+>"
    r"|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\]"
)
"""What control tokens look like, for a template whose vocabulary is not known."""


def common_prefix(first: str, second: str) -> str:
    """What both texts begin with."""
    for shorter, longer in ((first, second), (second, first)):
        if longer.startswith(shorter):
            return shorter
    pairs = enumerate(zip(first, second, strict=False))
    return first[: next(n for n, (one, other) in pairs if one != other)]


def control_pattern(control: Collection[str] | None) -> re.Pattern[str]:
    """Finds control tokens in what a template wrote: at each place the longest."""
    return TOKEN_SHAPES if control is None else _pattern(frozenset(control))


@lru_cache(maxsize=16)
def _pattern(control: frozenset[str]) -> re.Pattern[str]:
    # A vocabulary may have thousands of them, and is asked for several times a rendering.
    longest = sorted(filter(None, control), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest)) or r"(?!)")


class Cut(NamedTuple):
    """Characters of a text that is written in several spans: a control token, or none at all."""

    start: int
    end: int
    first: int
    """The first of the spans that it is written in."""
    last: int
    """The one behind the last of them."""
    control: bool


Cutter = Callable[[str, tuple[int, ...]], tuple[Cut, ...]]


def control_cutter(control: Collection[str] | None) -> Cutter:
    """Cuts a text at its control tokens and at the ends of the spans that it is written in."""
    return _cutter(control_pattern(control))


_LONG = 200
"""Characters of a text that is looked through each time anew."""


@lru_cache(maxsize=16)
def _cutter(pattern: re.Pattern[str]) -> Cutter:
    def cut(text: str, ends: tuple[int, ...]) -> tuple[Cut, ...]:
        tokens = dict(token.span() for token in pattern.finditer(text))
        made: list[Cut] = []
        at = number = within = 0
        for bound in sorted({*ends, *tokens, *tokens.values()} - {0}):
            if at in tokens:
                within = tokens[at]
                made.append(Cut(at, within, number, number + 1, True))
            elif at < within:
                made[-1] = made[-1]._replace(last=number + 1)
            else:
                made.append(Cut(at, bound, number, number + 1, False))
            number += bound == ends[number]
            at = bound
        return tuple(made)

    # A template writes the same few texts between the messages again and again.
    known = lru_cache(maxsize=1_024)(cut)
    return lambda text, ends: (known if len(text) <= _LONG else cut)(text, ends)
