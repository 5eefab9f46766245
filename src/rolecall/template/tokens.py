"""Control tokens in what a template wrote."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache

TOKEN_SHAPES = re.compile(
    r"<[|｜][^<>|｜\s]+[|｜]?>|<[^<>|｜\s]+[|｜]>"
    r"|</?(?:s|bos|eos|pad|unk)>|</?(?:start|begin|end)_\w+>"
    r"|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\]"
)
"""What control tokens look like, for a template whose vocabulary is not known."""


def common_prefix(first: str, second: str) -> str:
    """What both texts begin with."""
    pairs = zip(first, second, strict=False)
    return first[
        : next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))
    ]


def control_pattern(control: Collection[str] | None) -> re.Pattern[str]:
    """Finds control tokens in what a template wrote: at each place the longest."""
    return TOKEN_SHAPES if control is None else _pattern(frozenset(control))


@lru_cache(maxsize=16)
def _pattern(control: frozenset[str]) -> re.Pattern[str]:
    # A vocabulary may have thousands of them, and is asked for several times a rendering.
    longest = sorted(filter(None, control), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest)) or r"(?!)")
