"""What a repair comes to: the template before and after, the changes and the proof."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rolecall.repair.proof import Proof, Step, Unrepaired

if TYPE_CHECKING:
    from rolecall.repair.learnt import Offer


@dataclass(frozen=True, slots=True)
class Repair:
    """A template before and after."""

    name: str
    """What the template is called in messages."""
    template: str
    """Which of the source's named templates it is; ``default`` where there is one only."""
    original: str
    jinja: str
    """The repaired template; the original where nothing could be repaired."""
    steps: tuple[Step, ...]
    """The changes, in the order in which they were made."""
    unrepaired: tuple[Unrepaired, ...]
    """The findings that were to be repaired and stay, and why."""
    proof: Proof
    offer: Offer | None
    """Where nothing could be repaired: the exported template of a format that was learnt from this
    one, which refuses where this one loses, if there is such a one."""
    assumed: Mapping[str, str]
    """Tokens that the template asks for and no file tells, with what stood in for them."""

    @property
    def changed(self) -> bool:
        """Whether anything was repaired."""
        return self.jinja != self.original

    @property
    def diff(self) -> str:
        """The change as a unified diff; empty where nothing could be repaired."""
        from rolecall.repair.edit import diff  # loads jinja2

        return diff(self.original, self.jinja, self.name)

    def to_json(self) -> dict[str, Any]:
        """The repair as plain data; the keys are stable."""
        return {
            "template": self.name,
            "name": self.template,
            "changed": self.changed,
            "jinja": self.jinja,
            "diff": self.diff,
            "steps": [step.to_json() for step in self.steps],
            "unrepaired": [one.to_json() for one in self.unrepaired],
            "proof": self.proof.to_json(),
            "offer": None if self.offer is None else self.offer.to_json(),
            "assumed": dict(self.assumed),
        }
