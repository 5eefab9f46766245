"""Findings: what the audit of a template reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

Severity = Literal["error", "warning", "note"]
"""How grave a finding is, worst first.

``error``: in a conversation that a user would have, content is gone, or the model is asked to
continue after the end of its turn. ``warning``: it arrives as something else, or is refused, or
something stands in it that nobody wrote. ``note``: worth knowing, nothing to mend in a hurry.
"""

Kind = Literal[
    "forges", "loses", "breaks", "refuses", "changes", "adds", "moves", "differs", "no-place"
]
"""What sort of thing a finding is, and so who can do something about it.

- ``forges``: what a caller wrote becomes structure. Whoever serves the model must know.
- ``loses``: what the format could carry does not arrive. A bug of the template.
- ``breaks``: training, generation or caching rely on something that does not hold. A bug of the
  template or of the configuration beside it.
- ``refuses``: the template raises. The application sees it and must do otherwise.
- ``changes``: it arrives, but not as it was written.
- ``adds``: something arrives that nobody wrote, or arrives twice.
- ``moves``: it arrives in another place.
- ``differs``: the same conversation gives another prompt on another day or in another engine.
- ``no-place``: the format has no room for it. Nothing of the template is broken, the application
  has to know. Always a ``note``.
"""

SEVERITIES: tuple[Severity, ...] = get_args(Severity)
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a template does to a conversation."""

    rule: str
    """Name of the rule, such as ``system-dropped``."""
    severity: Severity
    kind: Kind
    message: str
    """One sentence: what was found."""
    template: str
    """Which of the source's named templates; ``default`` where there is one only."""
    conversation: Mapping[str, Any]
    """The smallest conversation that shows it, as it was given to the template: ``messages``, and
    where they were given ``tools``, ``documents`` and ``options``."""
    output: str | None
    """What the template wrote, or None where it raised."""
    span: tuple[int, int] | None
    """The place in the output, start and end; an empty one marks where something is missing."""
    expected: str | None
    """What was expected and how the output differs from it."""
    error: str | None
    """What the template raised, or None where it wrote something."""

    def __post_init__(self) -> None:
        if (self.output is None) == (self.error is None):
            raise ValueError(f"{self.rule}: a finding has either an output or an error")
        if self.span is not None:
            start, end = self.span
            if self.output is None or not 0 <= start <= end <= len(self.output):
                raise ValueError(f"{self.rule}: span {self.span} is no place in the output")
        if self.kind == "no-place" and self.severity != "note":
            raise ValueError(f"{self.rule}: that a format has no place for something is a note")

    @property
    def place(self) -> str:
        """The marked text of the output; empty where nothing is marked or something is missing."""
        if self.output is None or self.span is None:
            return ""
        return self.output[slice(*self.span)]

    @property
    def rank(self) -> tuple[int, int, str, str]:
        """Sorts findings, worst first."""
        return (
            SEVERITIES.index(self.severity),
            KINDS.index(self.kind),
            self.rule,
            self.template,
        )

    def to_json(self) -> dict[str, Any]:
        """The finding as plain data; the keys are stable."""
        return {
            "rule": self.rule,
            "severity": self.severity,
            "kind": self.kind,
            "message": self.message,
            "template": self.template,
            "conversation": dict(self.conversation),
            "output": self.output,
            "span": None if self.span is None else list(self.span),
            "expected": self.expected,
            "error": self.error,
        }
