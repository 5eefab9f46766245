"""Repair of chat templates: what an audit found is mended in the template's own Jinja.

`repair` tries small changes of the text, derived from its syntax tree, and keeps one only with a
proof: see `rolecall.repair.search`.
"""

from __future__ import annotations

from rolecall.repair.proof import Change, Proof, Step, Unrepaired
from rolecall.repair.repair import Repair, repair

__all__ = ["Change", "Proof", "Repair", "Step", "Unrepaired", "repair"]
