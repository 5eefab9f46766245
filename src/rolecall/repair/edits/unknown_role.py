"""A message under a role that the template does not know, where the format writes roles as labels.

A slot is open where the template writes ``message.role`` itself, or the words of two roles in the
same frame. Where roles are tokens of their own there is none, and nothing is repaired: the message
would read as another author's.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.ending import own_token
from rolecall.audit.finding import Finding
from rolecall.audit.outcome import Outcome
from rolecall.repair.branches import added, unknown, widened
from rolecall.repair.conditions import relaxed
from rolecall.repair.edit import Candidate
from rolecall.repair.judge import arrived
from rolecall.repair.trial import Trial

RULES = ("unknown-role-dropped",)
OPT_IN = ""
WHY = "the format has no open slot for a role: none of its turns is labelled with a plain word"
STANDARD = ("system", "user", "assistant", "tool")


def propose(trial: Trial, finding: Finding) -> Iterator[Candidate]:
    """The turn of another role, labelled with this one."""
    syntax = trial.syntax
    token = own_token(trial.probe) or "<"
    for guard in ("", token[:1]):
        beside = f", unless it holds {guard!r}" if guard else ""
        says = f"A role that the template does not name is written as a label{beside}."
        asks = unknown(syntax, guard)
        yield from widened(syntax, asks, says)
        yield from added(syntax, asks, lambda loop: loop.role, says)
    yield from relaxed(syntax)


def concerns(old: Outcome, new: Outcome) -> bool:
    """Messages of such roles were lost, and are there under their own label."""
    found = [
        index for index in arrived(old, new) if old.messages[index].get("role") not in STANDARD
    ]
    return bool(found) and all(new.reached(index, "role") for index in found)
