"""Unicode normal forms, asked of Python where it is sure to know."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Any


def is_normalized(form: Any, text: str) -> bool:
    """Whether a text is in a normal form under every version of Unicode from Python's own on.

    Args:
        form: ``NFC``, ``NFD``, ``NFKC`` or ``NFKD``.
        text: Any text.
    """
    return text.isascii() or (
        unicodedata.is_normalized(form, text) and _unassigned().search(text) is None
    )


@cache
def _unassigned() -> re.Pattern[str]:
    """Characters without a meaning to Python, which a later version of Unicode may compose.

    The planes behind the first two have ideographs alone, and compose nothing.
    """
    ranges: list[str] = []
    first = None
    for code in range(0x20001):
        unknown = code < 0x20000 and unicodedata.category(chr(code)) == "Cn"
        if unknown and first is None:
            first = code
        elif not unknown and first is not None:
            ranges.append(f"{re.escape(chr(first))}-{re.escape(chr(code - 1))}")
            first = None
    return re.compile(f"[{''.join(ranges)}]")
