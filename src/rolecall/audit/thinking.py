"""How messages carry reasoning: in a field of its own, or in the content between two tags."""

from __future__ import annotations

from rolecall.audit.messages import REASONING, assistant, user
from rolecall.audit.probe import Probe

FIELDS: tuple[str, ...] = ("reasoning_content", "reasoning", "thinking", "thoughts")
"""Keys under which messages carry reasoning; the first is the most common one."""

TAGS = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"),
    ("<mm:think>", "</mm:think>"),
    ("<thinking>", "</thinking>"),
)
"""What stands around reasoning that a model wrote into the content."""


def tags(probe: Probe) -> tuple[str, str]:
    """The tags that a template knows; the common ones where it knows none."""
    known = [pair for pair in TAGS if pair[1] in probe.template.jinja]
    return known[0] if known else TAGS[0]


def field(probe: Probe) -> str | None:
    """The field in which reasoning of a last answer arrives without any option, or None."""
    for name in FIELDS:
        if probe.run([user(), assistant(**{name: REASONING})]).reached(1, name):
            return name
    return None


def inline(probe: Probe, answer: str) -> str:
    """Reasoning and an answer as a model writes them into the content."""
    opening, closing = tags(probe)
    return f"{opening}\n{REASONING}\n{closing}\n\n{answer}"
