"""Tokens that vocabularies hold in reserve: no text makes them, and no model was trained on them.

A reviewed table. What T5, Exaone and others number in the same way and do train on, sentinels such
as ``<extra_id_0>``, is not in it.
"""

from __future__ import annotations

import re

RESERVED: dict[str, str] = {
    r"<\|(?:[a-z_]+_)?reserved_special_token_\d+\|>": "Llama 3 and 4, SmolLM 3",
    r"<unused\d+>": "Gemma, MiniCPM",
    r"<\|unused\d+\|>": "Yi",
    r"\[unused\d+\]": "BERT, Exaone",
    r"\[UNUSED_TOKEN_\d+\]": "InternLM 2",
    r">>UNUSED_\d+<<": "Falcon 3",
    r"<\|\|_unused_\d+_\|\|>": "DBRX",
    r"\[control_\d+\]": "Mistral v2, v3 and v7",
    r"<SPECIAL_\d+>": "Mistral's Tekken, Nemotron",
    r"<｜place▁holder▁no▁\d+｜>": "DeepSeek V3",
    r"<\|reserved_\d+\|>": "gpt-oss, MiniCPM 4",
    r"<\|reserved\d+\|>": "Yi",
    r"<reserved_\d+>": "MiniCPM",
    r"<\|reserved_token_\d+\|>": "Kimi",
    r"<\|dummy_\d+\|>": "phi-4",
    r"<\|placeholder\d+\|>": "Phi-3",
    r"<\|EXTRA_\d+_TOKEN\|>": "Command R",
}
"""What such a token looks like, to the vocabularies that have some."""

_ANY = re.compile("|".join(f"(?:{pattern})" for pattern in RESERVED))


def is_reserved(token: str) -> bool:
    """Whether a token is one of those that are held in reserve, by its name."""
    return _ANY.fullmatch(token) is not None
