"""The search for a repair: candidates are tried, and kept only where they are better and not worse.

A candidate is kept if the finding is gone, no rule of the audit finds what it did not find before,
and no conversation comes out otherwise but those that the finding is about, in which nothing may be
lost, repeated or moved that was not before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from rolecall.audit.finding import Finding
from rolecall.audit.outcome import Outcome
from rolecall.errors import TemplateError
from rolecall.repair.conversations import conversations
from rolecall.repair.edit import Candidate
from rolecall.repair.edits import Kind, Like, kinds, of_rule
from rolecall.repair.judge import arrived, harm, labelled, lost, same
from rolecall.repair.proof import Change, Proof, Step, Unrepaired
from rolecall.repair.trial import OutOfTime, Trial, worse

FIRST = 60
"""Random conversations that a candidate is tried on before it is audited."""
MOST = 400
"""Random conversations that a candidate is tried on before it is kept."""
LAST = 1_000
"""Further ones that the whole repair is tried on; no candidate has been chosen by them."""
SEED, LAST_SEED = 1, 2
UNRELATED = "conversations change that the finding is not about"
"""What speaks against most candidates, and tells nothing of the template."""
WORD = "Said."
"""What stands in for a text without a word."""
CANDIDATES = 150
"""Candidates that are tried on one finding."""

Progress = Callable[[str], None]


@dataclass
class Search:
    """What has been repaired so far.

    Args:
        trial: The template as it was.
        progress: Is told what is being done.
    """

    trial: Trial
    allow: frozenset[str]
    progress: Progress
    steps: list[Step] = field(default_factory=list[Step])
    states: list[Trial] = field(default_factory=list[Trial])
    """The template after each step."""
    unrepaired: list[Unrepaired] = field(default_factory=list[Unrepaired])
    _tried: list[dict[str, Any]] = field(default_factory=lambda: conversations(MOST, SEED))

    def repair(self, findings: Iterable[Finding]) -> None:
        """Repair what can be repaired, one finding after the other, while there is time."""
        findings = list(findings)
        try:
            self._search(findings)
        except OutOfTime as error:
            told = {(one.rule, one.finding) for one in (*self.steps, *self.unrepaired)}
            self.unrepaired += [
                Unrepaired(one.rule, one.message, str(error))
                for one in findings
                if (one.rule, one.message) not in told
            ]

    def _search(self, findings: Iterable[Finding]) -> None:
        given_up: set[tuple[str, str]] = set()
        wanted = {finding.rule for finding in findings}
        while True:
            left = [
                one
                for rule in _order(wanted)
                for one in self.trial.findings(rule)
                if (one.rule, one.message) not in given_up
            ]
            if not left:
                return
            finding = min(left, key=lambda one: (one.rank, one.message))
            why = self._repair(finding)
            if why is None:
                # What failed before may stand on what is repaired now.
                given_up.clear()
                self.unrepaired.clear()
            else:
                given_up.add((finding.rule, finding.message))
                self.unrepaired.append(Unrepaired(finding.rule, finding.message, why))

    def _repair(self, finding: Finding) -> str | None:
        """Repair one finding; returns why not where that cannot be done."""
        reasons: list[str] = []
        for kind in of_rule(finding.rule, self.allow):
            telling: str | None = None
            candidates = _distinct(kind.propose(self.trial, finding))
            for number, candidate in enumerate(candidates[:CANDIDATES], 1):
                self.progress(f"{finding.rule}: change {number} of {len(candidates)}")
                found, against = self.tried_on(candidate, kind, finding)
                if found is not None:
                    self.trial = found
                    self.steps.append(
                        Step(finding.rule, finding.message, candidate.says, kind.name)
                    )
                    self.states.append(found)
                    return None
                if against != UNRELATED:
                    telling = telling or against
            reasons.append(kind.why + (f" (with one change: {telling})" if telling else ""))
        return "; ".join(reasons)

    def tried_on(
        self, candidate: Candidate, kind: Kind, finding: Finding
    ) -> tuple[Trial | None, str | None]:
        """The template with a candidate, if it is better; or what speaks against it.

        Only a candidate by which the finding is gone has anything said against it.
        """
        try:
            return self._try(candidate, kind, finding)
        except OutOfTime:
            raise
        except (TemplateError, ValueError):
            return None, None  # it is no Jinja, or takes too long

    def _try(
        self, candidate: Candidate, kind: Kind, finding: Finding
    ) -> tuple[Trial | None, str | None]:
        made = self.trial.changed(candidate.apply(self.trial.jinja))
        left = made.findings(finding.rule)
        had = self.trial.findings(finding.rule)
        if len(left) > len(had) or any(one.message == finding.message for one in left):
            return None, None
        shown = made.outcome(finding.conversation)
        if not shown.ok and self.trial.outcome(finding.conversation).ok:
            return None, "the conversation of the finding is refused then"
        against = self._compare(made, kind, [finding.conversation, *self._tried[:FIRST]])
        against = against or worse(self.trial, made, finding, kind.trades)
        against = against or self._compare(made, kind, self._tried[FIRST:])
        return (None, against) if against else (made, None)

    def _compare(self, made: Trial, kind: Kind, tried: Sequence[Mapping[str, Any]]) -> str | None:
        """What comes out otherwise and should not; None for nothing."""
        for conversation in tried:
            old, new = self.trial.outcome(conversation), made.outcome(conversation)
            if same(old, new):
                continue
            if not concerned(kind, self.trial, made, conversation):
                return UNRELATED
            against = harm(old, new) if new.ok else None
            if against is not None:
                return f"in a conversation that the finding is about {against}"
        return None


def prove(before: Trial, search: Search) -> Proof | str:
    """The proof of a whole repair, or what speaks against it."""
    after = search.trial
    tried = [*conversations(MOST, SEED), *conversations(LAST, LAST_SEED)]
    tried = [*(one.conversation for one in before.audit()), *tried]
    changes: list[Change] = []
    refused = 0
    for number, conversation in enumerate(tried):
        if number % 50 == 0:
            search.progress(f"comparing: conversation {number} of {len(tried)}")
        old, new = before.outcome(conversation), after.outcome(conversation)
        if same(old, new):
            refused += not old.ok
            continue
        rules = _reasons(before, search, conversation)
        against = harm(old, new) if new.ok else None
        if not rules or against:
            return against or "conversations change that no repaired finding is about"
        changes.append(Change(rules, conversation, old.text, new.text, new.reason))
    return Proof(tuple(before.audit()), tuple(after.audit()), len(tried), refused, tuple(changes))


def _reasons(before: Trial, search: Search, conversation: Mapping[str, Any]) -> tuple[str, ...]:
    """The rules whose repair changes a conversation; none if a step changes it without a reason."""
    found: list[str] = []
    for step, state in zip(search.steps, search.states, strict=True):
        if not same(before.outcome(conversation), state.outcome(conversation)):
            if not concerned(kinds()[step.kind], before, state, conversation):
                return ()
            found.append(step.rule)
        before = state
    return tuple(dict.fromkeys(found))


def concerned(kind: Kind, before: Trial, after: Trial, conversation: Mapping[str, Any]) -> bool:
    """Whether a conversation is one that a class of repair is about.

    A text without a word cannot be followed, nor parts that the template does not write. Where a
    conversation has such, it is asked what becomes of the same conversation with words there.
    """
    old, new = before.outcome(conversation), after.outcome(conversation)
    if old.ok and not new.ok:
        return _refused_elsewhere(kind, before, after, conversation)
    if kind.concerns(old, new):
        return kind.like is None or _is_like(kind.like, before, conversation, new)
    messages = conversation["messages"]
    written = {i for i in range(len(messages)) if old.reached(i) or new.reached(i)}
    told = [
        {**one, "content": _told(one["content"], written=index in written)}
        if one.get("content") is not None and one["role"] != "tool"
        else one
        for index, one in enumerate(messages)
    ]
    if told == messages:
        return False
    twin = {**conversation, "messages": told}
    return kind.concerns(before.outcome(twin), after.outcome(twin))


def _is_like(like: Like, before: Trial, conversation: Mapping[str, Any], new: Outcome) -> bool:
    """Whether it is written as another conversation always was, or under a label of its own.

    A shorter one has to be its beginning.
    """
    old = before.outcome(conversation)
    if all(labelled(new, index) for index in arrived(old, new)):
        return True
    other = like(conversation)
    text = before.outcome(other).text
    whole = len(other["messages"]) == len(conversation["messages"])
    return new.text == text if whole else bool(text) and new.text.startswith(text)


def _refused_elsewhere(
    kind: Kind, before: Trial, after: Trial, conversation: Mapping[str, Any]
) -> bool:
    """Whether what is refused now had been dropped, and is refused only for its form.

    A template that cannot write typed content refuses it, but not where it drops the message.
    """
    old, new = before.outcome(conversation), after.outcome(conversation)
    if not lost(old):
        return False
    messages = conversation["messages"]
    if any(
        before.outcome({**conversation, "messages": messages[:end]}).reason == new.reason
        for end in range(1, len(messages))
    ):
        return True
    plain = [
        {**one, "content": _plain(one["content"])} if "content" in one else one for one in messages
    ]
    twin = {**conversation, "messages": plain}
    return plain != messages and after.outcome(twin).ok and concerned(kind, before, after, twin)


def _plain(content: Any) -> Any:
    """Typed content as one text; other content as it is."""
    if not isinstance(content, list):
        return content
    return "".join(part.get("text", "") for part in cast("list[dict[str, Any]]", content))


def _told(content: Any, *, written: bool) -> Any:
    """Content that can be followed: one with a word, a text where parts are not written."""
    if _blank(content):
        return WORD
    return content if written else _plain(content)


def _blank(content: object) -> bool:
    if isinstance(content, list):
        return all(_blank(part.get("text")) for part in cast("list[dict[str, Any]]", content))
    return content is not None and not str(content).strip()


def _distinct(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Candidates in the order in which they are tried, each once."""
    return list({candidate.edits: candidate for candidate in candidates}.values())


def _order(rules: Iterable[str]) -> list[str]:
    return sorted(rules)
