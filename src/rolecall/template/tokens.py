"""Control tokens in what a template wrote."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from functools import lru_cache

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


Places = tuple[tuple[int, int], ...]


def control_finder(control: Collection[str] | None) -> Callable[[str], Places]:
    """Finds where control tokens stand in what a template wrote."""
    return _finder(control_pattern(control))


_LONG = 200
"""Characters of a text that is looked through each time anew."""


@lru_cache(maxsize=16)
def _finder(pattern: re.Pattern[str]) -> Callable[[str], Places]:
    def find(text: str) -> Places:
        return tuple(token.span() for token in pattern.finditer(text))

    # A template writes the same few texts between the messages again and again.
    kept = lru_cache(maxsize=1_024)(find)
    return lambda text: kept(text) if len(text) <= _LONG else find(text)
