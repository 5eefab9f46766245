"""A system message at the start that vanishes: before a prefill, in a tool loop, or always."""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.finding import Finding
from rolecall.audit.outcome import Outcome
from rolecall.repair.branches import Asks, is_role, widened
from rolecall.repair.conditions import at_last_user, relaxed
from rolecall.repair.edit import Candidate
from rolecall.repair.judge import arrived
from rolecall.repair.loops import Loop
from rolecall.repair.syntax import Syntax
from rolecall.repair.trial import Trial

RULES = ("system-dropped-with-prefill", "system-dropped-in-tool-loop", "system-dropped")
OPT_IN = ""
WHY = (
    "no change of one condition brings the system message back and leaves the other conversations "
    "as they are"
)


def propose(trial: Trial, finding: Finding) -> Iterator[Candidate]:
    """The condition on the end of the list, or one that is too strict."""
    yield from at_last_user(trial.syntax)
    yield from relaxed(trial.syntax)
    says = "A system message that says something has a turn."
    yield from widened(trial.syntax, _says_something(trial.syntax), says)


def _says_something(syntax: Syntax) -> Asks:
    system = is_role(syntax, "system")

    def asks(loop: Loop) -> str:
        return f"{system(loop)} and {loop.role.replace('role', 'content')}"

    return asks


def concerns(old: Outcome, new: Outcome) -> bool:
    """A system message was lost and is there."""
    return bool(arrived(old, new, "system", "developer"))
