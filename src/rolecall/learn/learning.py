"""Learning: probe, draft, prove; what cannot be proved is taken out again, or all is refused."""

from __future__ import annotations

import random
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rolecall.errors import FormatFileError
from rolecall.learn import chats, plain
from rolecall.learn.conversations import maker
from rolecall.learn.draft import Draft, Inexpressible
from rolecall.learn.narrowing import QUICK, Learning
from rolecall.learn.probe import OutOfTime, Prober
from rolecall.learn.prove import Difference, first_difference, stream
from rolecall.learn.table import Key

if TYPE_CHECKING:
    from rolecall.format import Format
    from rolecall.learn.reading import Reading
    from rolecall.template.template import Template


PROOFS = 6
"""How often a proof may find another conversation, after which the draft is narrowed."""


@dataclass(frozen=True, slots=True)
class Learnt:
    """A format that was learnt and proved."""

    format: Format
    """The format, as the ordinary loader reads the file."""
    toml: str
    """The text of its file."""
    claims: dict[str, int]
    """Kind of conversation to how many of it were compared after learning, all alike."""
    unclaimed: dict[str, str]
    """Kind of conversation that is not claimed, and why."""
    domain: tuple[str, ...]
    """What the claims leave out, one sentence each."""
    seed: int
    """The seed of the conversations that it was proved on."""
    probes: int
    """How many conversations the template was tried on in all."""


STEPS = ("tools", "calls", "results", "reasoning", "options")
"""What is added to a draft of plain conversations, in this order."""
KINDS = ("tools", "calls", "results", "reasoning")
"""Kinds of conversation that are claimed beside plain ones."""


@dataclass(slots=True)
class Claims:
    """What a draft claims so far."""

    draft: Draft
    kinds: list[str] = field(default_factory=list[str])
    unclaimed: dict[str, str] = field(default_factory=dict[str, str])
    counts: dict[str, int] = field(default_factory=dict[str, int])
    snapshots: list[tuple[str, Draft, list[str]]] = field(
        default_factory=list[tuple[str, Draft, list[str]]]
    )
    """After each step that held: its name, the draft and its kinds."""


def learn_format(
    template: Template,
    *,
    assumed: Mapping[str, str],
    seed: int | None,
    seconds: float,
    size: int,
    progress: Callable[[str, int], None] | None,
) -> Learnt:
    """Learn a format; see `rolecall.learn.learn`.

    Args:
        template: The template.
        assumed: Tokens that it was given because nobody tells them.
        seed: Seed of the proof.
        seconds: How long it may take, in time of the processor.
        size: How many conversations are compared in the proof of a kind.
        progress: Told what is being done and how many conversations were tried.

    Raises:
        LearnError: If no format file writes plain conversations as the template does.
    """
    # A part of the time is left for the proof.
    prober = Prober(template, seconds=0.6 * seconds, progress=progress)
    learning = Learning(prober)
    seed = random.SystemRandom().randrange(10**9) if seed is None else seed
    first = learning.read()
    for attempt in range(PROOFS):
        # Where what is plain is disproved, all is made again, and proved on other conversations.
        claims = _claims(learning, first, seed + attempt, size, seconds)
        if claims is not None:
            break
    else:
        raise learning.refused("every proof found another conversation that comes out otherwise")
    made, name = claims.draft, _name(template)
    if made.has("options", "date_string") and prober.date_form:
        made.tables["options"]["date_string"]["default"] = template.now().strftime(prober.date_form)
    made.tables = {"title": name, **made.tables}
    domain = [*learning.sentences(made)]
    if assumed:
        stood = " and ".join(f"{text} for {token}" for token, text in assumed.items())
        domain.append(f"No file says what its tokens are: {stood} stands in.")
    made.header = _header(template.name, claims, domain)
    return Learnt(
        made.format(name),
        made.toml(),
        claims.counts,
        claims.unclaimed,
        tuple(domain),
        seed,
        prober.count,
    )


def _claims(
    learning: Learning, first: Reading, seed: int, size: int, seconds: float
) -> Claims | None:
    """What is claimed, proved; None where a plain conversation disproved it and it was narrowed."""
    prober = learning.prober
    prober.seconds = 0.6 * seconds
    draft = learning.plain(first)
    prober.step = "the proof of plain conversations"
    found = learning.difference(draft.format(), f"{seed}, plain", size)
    if found is not None:
        learning.narrow(draft.format(), found)
        return None
    draft = learning.readable(first, draft, seed)
    claims = Claims(draft, ["plain"], dict(learning.unclaimed), {"plain": 2 * size})
    claims.snapshots.append(("plain", draft, ["plain"]))
    _wider(learning, claims, seed, size)
    for step in STEPS:
        try:
            _extend(learning, claims, step)
        except OutOfTime as error:
            claims.unclaimed[step] = str(error)
    prober.seconds = seconds
    found = _prove(learning, claims, seed, size)
    if found is not None:
        learning.narrow(claims.draft.format(), found)
        return None
    return claims


def _name(template: Template) -> str:
    """The name of the format: that of the template's file or folder."""
    last = re.split(r"[/\\]", template.name.rstrip("/\\"))[-1]
    stem = re.sub(r"\.(jinja2?|json|gguf|txt)\Z", "", last)
    return re.sub(r"[^\w.-]+", "-", stem).strip("-.") or "learnt"


def _wider(learning: Learning, claims: Claims, seed: int, size: int) -> None:
    """Claim what goes beyond the usual order, where the format writes all of it."""
    draft = claims.draft
    fmt = draft.format()
    makers = {"system anywhere": chats.system_anywhere, "any order": chats.unusual}
    for kind, make in makers.items():
        later = draft.known["reading"].pairs.get(Key("A", "S"))
        if kind == "system anywhere" and not later:
            claims.unclaimed[kind] = "system messages stand first, or nowhere"
            continue
        cases = stream(lambda rng, make=make: make(rng, learning.domain), f"{seed}, {kind}")
        found = first_difference(learning.prober, fmt, cases, size // 2, whole=True)
        if found is None:
            claims.counts[kind] = size // 2
        else:
            claims.unclaimed[kind] = _told(found)


def _steps() -> Mapping[str, Callable[[Prober, Draft], None]]:
    from rolecall.learn.calls import calls
    from rolecall.learn.reasoning import options, reasoning
    from rolecall.learn.results import results
    from rolecall.learn.tools import tools

    return {
        "tools": tools,
        "calls": calls,
        "results": results,
        "reasoning": reasoning,
        "options": options,
    }


def _extend(learning: Learning, claims: Claims, step: str) -> None:
    """Add something to a draft, unless that makes it write conversations otherwise."""
    prober = learning.prober
    prober.step = step
    if step == "results" and "calls" not in claims.kinds:
        return
    draft = claims.draft.copy()
    try:
        _steps()[step](prober, draft)
        plain.name_control(prober, draft)
        fmt = draft.format()
    except (Inexpressible, FormatFileError) as error:
        claims.unclaimed[step] = str(error)
        return
    for kind in claims.kinds:
        found = _first(learning, draft, fmt, kind, f"learning {step}, {kind}", QUICK // 4)
        if found is not None:
            claims.unclaimed[step] = _told(found)
            return
    made = draft.known.get("claims", ())
    kinds = [*claims.kinds, *(kind for kind in KINDS if kind in made and kind not in claims.kinds)]
    if step in KINDS and step not in kinds:
        claims.unclaimed[step] = "the template writes none"
        return
    claims.draft, claims.kinds = draft, kinds
    claims.snapshots.append((step, draft, kinds))


def _prove(learning: Learning, claims: Claims, seed: int, size: int) -> Difference | None:
    """Prove every kind; what fails is taken out again, with what was built on it.

    Returns:
        What disproved plain conversations, with which all falls.
    """
    while True:
        learning.prober.step = "the proof"
        failed = ""
        for kind in claims.kinds:
            count = size // 2
            fmt = claims.draft.format()
            found = _first(learning, claims.draft, fmt, kind, f"{seed}, {kind}", count)
            if found is not None and kind == "plain":
                return found
            if found is not None:
                claims.unclaimed[kind] = _told(found)
                failed = kind
                break
            if kind != "plain":
                claims.counts[kind] = count
        if not failed:
            return None
        while claims.snapshots and failed in claims.snapshots[-1][2] and len(claims.snapshots) > 1:
            claims.snapshots.pop()
        _, claims.draft, claims.kinds = claims.snapshots[-1]
        claims.counts = {k: n for k, n in claims.counts.items() if k not in KINDS}
        seed += 1


def _told(found: Difference) -> str:
    return (
        f"of {found.case.messages} with {dict(found.case.arguments)} the template makes "
        f"{found.expected}, the format {found.found}"
    )


def _first(
    learning: Learning, draft: Draft, fmt: Format, kind: str, seed: str, count: int
) -> Difference | None:
    """The first of so many conversations of a kind that the two write otherwise."""
    if kind == "plain":
        return learning.difference(fmt, seed, count // 2)
    cases = stream(maker(draft.known["domain"], kind), seed)
    return first_difference(learning.prober, fmt, cases, count, whole=True)


def _header(name: str, claims: Claims, domain: Sequence[str]) -> list[str]:
    """The comment at the head of a file: where it is from and what it claims."""
    claimed = ", ".join(claims.counts)
    lines = textwrap.wrap(
        f"Learnt from the template {name}. Proved on conversations that were made afterwards: "
        f"{claimed}.",
        WIDE,
    )
    missing = [kind for kind in claims.unclaimed if kind not in (*claims.counts, "options")]
    sentences = [*domain, *([f"Not claimed: {', '.join(missing)}."] if missing else [])]
    return [*lines, "", *(line for one in sentences for line in textwrap.wrap(one, WIDE))]


WIDE = 96
"""Characters of a line of comment."""
