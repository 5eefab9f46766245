"""Unicode normal forms, asked of Python where it is sure to know."""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt


def is_normalized(form: Any, text: str) -> bool:
    """Whether a text is in a normal form under every version of Unicode from Python's own on.

    Args:
        form: ``NFC``, ``NFD``, ``NFKC`` or ``NFKD``.
        text: Any text.
    """
    if text.isascii():
        return True
    if not unicodedata.is_normalized(form, text):
        return False
    characters = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    return not _unassigned()[characters].any()


@cache
def _unassigned() -> npt.NDArray[np.bool_]:
    """By character, whether it is one without a meaning to Python.

    A later version of Unicode may compose it. The planes behind the first two have ideographs
    alone, and compose nothing.
    """
    found = np.zeros(0x110000, np.bool_)
    found[:0x20000] = [unicodedata.category(chr(code)) == "Cn" for code in range(0x20000)]
    return found
