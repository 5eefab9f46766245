"""What a kind of conversation is claimed for: as much as comes out right, and is read back."""

from __future__ import annotations

import random
import re
from dataclasses import replace

from rolecall.learn import plain
from rolecall.learn.chats import Plain
from rolecall.learn.conversations import Domain, conversation, settled
from rolecall.learn.draft import Draft, Inexpressible
from rolecall.learn.probe import Prober
from rolecall.learn.prove import compare, reads_back
from rolecall.learn.restrictions import Case

TRIED = 200
"""Conversations that are tried to find out what is claimed."""
READ_BACK = 24
"""Conversations that are read back."""


def settle(prober: Prober, draft: Draft, kind: str) -> None:
    """Find out what conversations of a kind the draft writes as the template does.

    Args:
        prober: Tries conversations.
        draft: What was learnt, this kind included; its domain is narrowed.
        kind: One of `conversations.KINDS`.

    Raises:
        Inexpressible: If hardly any come out right, or they are not read back.
    """
    draft.known.setdefault("claims", set()).add(kind)
    plain.name_control(prober, draft)
    fmt = draft.format()
    before: Domain | None = draft.known.get("domain")
    domain = Domain.of(draft, draft.known.get("plain") or Plain())
    domain = replace(domain, without=frozenset() if before is None else before.without)

    def fails(case: Case) -> bool:
        return compare(prober, fmt, case, whole=True) is not None

    found = settled(domain, kind, fails, seed=f"settle {kind}", count=TRIED)
    if found is None:
        raise Inexpressible(_shown(prober, draft, domain, kind))
    draft.known["domain"] = found
    if _unread(draft, kind) is None:
        return
    # What is written alike but for tags is told apart where those are tokens of their own.
    tags = _tags(prober, draft)
    draft.tables["control"] = [*draft.tables.get("control", ()), *tags]
    problem = _unread(draft, kind)
    if problem is not None:
        raise Inexpressible(problem)
    draft.known.setdefault("limits", []).append(
        f"It is read back where {', '.join(tags)} are tokens of their own."
    )


def _unread(draft: Draft, kind: str) -> str | None:
    """What is wrong with what is read back of plain words, if anything is."""
    fmt = draft.format()
    domain = replace(draft.known["domain"], plain_words=True)
    rng = random.Random(f"read {kind}")
    problems = (reads_back(fmt, conversation(rng, domain, kind)) for _ in range(READ_BACK))
    return min((one for one in problems if one is not None), key=len, default=None)


def _tags(prober: Prober, draft: Draft) -> list[str]:
    """Tags that the draft writes into the turns of models and tools and that may be tokens."""
    turns = draft.tables["turn"]
    texts = [
        *(
            str(turns.get(author, {}).get(key, ""))
            for author in ("model", "tool")
            for key in _PARTS
        ),
        *(str(value) for value in draft.tables.get("calls", {}).values()),
    ]
    found = dict.fromkeys(tag for text in texts for tag in _TAG.findall(text))
    known = prober.template.control
    control = draft.tables.get("control", ())
    return [tag for tag in found if tag not in control and (known is None or tag in known)]


_AUTHORS = ("model", "tool")
_PARTS = ("open", "body", "end")
_TAG = re.compile(r"</?[A-Za-z][^<>\s{}]{0,40}>|\[/?[A-Z_]{2,}\]")


def _shown(prober: Prober, draft: Draft, domain: Domain, kind: str) -> str:
    """The shortest conversation of some that comes out otherwise."""
    rng = random.Random(f"show {kind}")
    fmt = draft.format()
    found: list[str] = []
    for _ in range(60):
        case = conversation(rng, replace(domain, plain_words=True), kind)
        difference = compare(prober, fmt, case, whole=True)
        if difference is not None:
            expected, made = str(difference.expected), str(difference.found)
            pairs = zip(expected, made, strict=False)
            at = next(
                (n for n, (a, b) in enumerate(pairs) if a != b), min(len(expected), len(made))
            )
            start = max(at - 40, 0)
            given = f"{case.messages} with {dict(case.arguments)}"
            found.append(
                f"of {given} the template makes …{expected[start : start + 120]}, the format "
                f"…{made[start : start + 120]}"
            )
    return min(found, key=len, default="random conversations come out otherwise")
