"""Where no change of a template serves: the exported template of a format that is learnt from it.

Such a template writes what the format writes and refuses everything else, where the original lost
it or printed it as Python does. So it is no repair, and nothing is put in place of the original: it
is offered, with what it refuses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rolecall.audit.outcome import Outcome
from rolecall.audit.rules import rules
from rolecall.errors import RolecallError, TemplateRaised
from rolecall.repair import search
from rolecall.repair.conversations import conversations
from rolecall.repair.judge import harm, lost, same
from rolecall.repair.proof import Unrepaired
from rolecall.repair.trial import OutOfTime, Trial

SECONDS = 12.0
"""How long learning may take, in time of the processor."""
SIZE = 150
"""Conversations of a kind that the learnt format is proved on."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A template that could take the place of one that no change repairs."""

    jinja: str
    toml: str
    """The file of the format that it was exported from."""
    without: tuple[str, ...]
    """The rules that find nothing any more, of those that were to be repaired."""
    refuses: tuple[str, ...]
    """The rules that now report that something is refused."""
    compared: int
    """How many random conversations were rendered with both."""
    refused: int
    """How many of them it refuses, of those that the original writes."""
    mended: int
    """How many come out otherwise: with what was lost before, or printed as Python does, or where
    the template failed without meaning to."""

    def to_json(self) -> dict[str, Any]:
        """The offer as plain data."""
        return {
            "jinja": self.jinja,
            "format": self.toml,
            "without": list(self.without),
            "refuses": list(self.refuses),
            "compared": self.compared,
            "refused": self.refused,
            "mended": self.mended,
        }


def offer(before: Trial, left: Sequence[Unrepaired], progress: search.Progress) -> Offer | None:
    """The exported template of a learnt format, where it loses nothing that the original writes.

    Args:
        before: The template.
        left: The findings that no change repairs.
        progress: Is told what is being done.
    """
    try:
        return _offer(before, left, progress)
    except OutOfTime:
        return None


def _offer(before: Trial, left: Sequence[Unrepaired], progress: search.Progress) -> Offer | None:
    from rolecall.learn import learn

    progress("learning a format")
    try:
        learnt = learn(before.template, seed=1, seconds=min(SECONDS, before.clock.left), size=SIZE)
        after = before.changed(learnt.format.to_jinja())
    except RolecallError:
        return None
    had = {rule: before.findings(rule) for rule in rules()}
    has = {rule: after.findings(rule) for rule in rules()}
    wanted = dict.fromkeys(one.rule for one in left)
    without = tuple(rule for rule in wanted if not has.get(rule, ()))
    new = [rule for rule in rules() if len(has[rule]) > len(had[rule])]
    if not without or any(one.kind != "refuses" for rule in new for one in has[rule]):
        return None
    refused = mended = 0
    tried = conversations(search.LAST, search.LAST_SEED)
    for conversation in tried:
        old, now = before.outcome(conversation), after.outcome(conversation)
        if same(old, now) or not (old.ok or now.ok):
            continue
        if not now.ok:
            refused += 1
        elif _mended(old, now):
            mended += 1
        else:
            return None
    return Offer(after.jinja, learnt.toml, without, tuple(new), len(tried), refused, mended)


def _mended(old: Outcome, now: Outcome) -> bool:
    """Whether a conversation comes out better: it failed without meaning to, or lost something."""
    if not old.ok:
        return not (isinstance(old.error, TemplateRaised) and old.error.by_template)
    return _faulty(old) and not _faulty(now) and harm(old, now) is None


def _faulty(outcome: Outcome) -> bool:
    """Whether something was lost, or printed as Python spells it."""
    printed = outcome.trace is not None and any(
        span.origin.kind == "printed" for span in outcome.trace.spans
    )
    return printed or bool(lost(outcome))
