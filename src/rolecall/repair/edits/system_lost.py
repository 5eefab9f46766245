"""A system message at the start that vanishes: before a prefill, in a tool loop, or always."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rolecall.audit.finding import Finding
from rolecall.audit.outcome import Outcome
from rolecall.repair.branches import Asks, widened
from rolecall.repair.conditions import at_last_user, relaxed
from rolecall.repair.edit import Candidate
from rolecall.repair.judge import arrived
from rolecall.repair.loops import Loop, quote_of
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
    for developer in (False, True):
        yield from widened(trial.syntax, _says_something(trial.syntax, developer), says)


def _says_something(syntax: Syntax, developer: bool) -> Asks:
    """A condition on a system message; a developer message may be one."""
    mark = quote_of(syntax.jinja)
    both = f"[{mark}system{mark}, {mark}developer{mark}]"

    def asks(loop: Loop) -> str:
        asked = f"in {both}" if developer else f"== {mark}system{mark}"
        return f"{loop.role} {asked} and {loop.role.replace('role', 'content')}"

    return asks


def like(conversation: Mapping[str, Any]) -> dict[str, Any]:
    """The conversation up to the last question, where the system message has its place."""
    messages = conversation["messages"]
    users = [index for index, one in enumerate(messages) if one.get("role") == "user"]
    options = {**conversation.get("options", {}), "add_generation_prompt": False}
    kept = messages[: users[-1] + 1] if users else messages
    return {**conversation, "messages": kept, "options": options}


def concerns(old: Outcome, new: Outcome) -> bool:
    """A system message was lost and is there."""
    return bool(arrived(old, new, "system", "developer"))
