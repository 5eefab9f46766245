"""The bos token: who writes it."""

from __future__ import annotations

from rolecall.audit.outcome import Outcome
from rolecall.audit.probe import Probe


def bos_token(probe: Probe) -> str | None:
    """The model's bos token, where it has one."""
    return probe.source.tokens.get("bos_token") or None


def prompt(probe: Probe) -> Outcome:
    """The plainest prompt that renders."""
    return probe.hello if probe.hello.ok else probe.chat


def added_by_tokenizer(probe: Probe) -> bool | None:
    """Whether the tokenizer puts bos before a text by itself; None where that is not known."""
    if probe.source.add_bos is not None:
        return probe.source.add_bos
    bos = bos_token(probe)
    if bos is None or probe.tokenizer is None or not hasattr(probe.tokenizer, "encode_parsed"):
        return None
    number = probe.tokenizer.control_id(bos)
    if number is None:
        return None
    return probe.tokenizer.encode_parsed("x", special=True)[:1] == [number]
