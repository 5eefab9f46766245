"""What the messages of a plain conversation look like, tried out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import product

from rolecall.errors import TemplateLimit, TemplateRaised
from rolecall.learn.draft import Inexpressible
from rolecall.learn.probe import CLOCK, Prober
from rolecall.learn.table import (
    BOS,
    END,
    EOS,
    GEN,
    LABEL,
    USUAL,
    Key,
    Observed,
    Refused,
    Seen,
    Table,
    Unlike,
    has_token,
    messages,
    observe,
    resolved,
)
from rolecall.template.tokens import control_pattern

LETTERS = "SUA"


@dataclass(slots=True)
class Reading:
    """What the probes say of the messages of a plain conversation."""

    place: str
    """Of system messages: ``turn``, ``start``, ``first-client``, ``last-client``, ``refuse``, or
    ``none`` where they are left out."""
    table: Table = field(default_factory=Table)
    around: tuple[str, str] = ("", "")
    """In a client's turn: what stands before the system prompt and behind it."""
    default: str | None = None
    """In a client's turn: the system prompt of a conversation that has none."""
    opening: str = ""
    """What then stands before the default in the first client's turn."""
    join: str = "\n\n"
    merged: dict[str, str] = field(default_factory=dict[str, str])
    """Author to what joins two messages in a row."""
    pairs: dict[Key, bool] = field(default_factory=dict[Key, bool])
    """Neighbours to whether they may stand so."""
    notes: list[str] = field(default_factory=list[str])
    """What the format leaves open or refuses, beside what the template says."""
    alone: bool = False
    """Whether a system message may be all there is."""
    named: str = ""
    """Authors whose names the template writes, or minds in another way."""
    prompts: bool = True
    """Whether the template opens the model's turn when asked to."""


def read(prober: Prober) -> Reading:
    """Try out what messages look like in their usual order, and in any other.

    Raises:
        Inexpressible: If not even the usual order comes to a table of gaps.
    """
    prober.step = "plain conversations"
    _find_date(prober)
    one = observe(prober, "U")
    for prober.typed, prober.listed in product((False, True), repeat=2):
        if isinstance(observe(prober, "U"), Seen) and isinstance(observe(prober, "UA"), Seen):
            break
    else:
        prober.typed = prober.listed = False
        if isinstance(one, Seen):
            two = observe(prober, "UA")
            raise Inexpressible(f"of a user's message and a reply: {_said(two)}", letters="UA")
        raise Inexpressible(f"of a single user message: {_said(one)}", letters="U")
    _check_clock(prober)
    found = Reading(_place(prober))
    found.named = "".join(letter for letter in "SUA" if _minds_name(prober, letter))
    _usual(prober, found)
    _unusual(prober, found)
    if found.default is not None:
        found.table.gaps[Key(None, "U")] = found.opening
    return found


_DATE = re.compile(r"""strftime_now\(\s*["']([^"']+)["']\s*\)""")


def _find_date(prober: Prober) -> None:
    """How the template spells the day, if it does."""
    forms = dict.fromkeys(_DATE.findall(prober.template.jinja))
    for letters in ("U", "SU"):
        trace = prober.trace(messages(letters, prober.words(len(letters))))
        if isinstance(trace, (TemplateRaised, TemplateLimit)):
            continue
        for form in forms:
            if CLOCK.strftime(form) in trace.text:
                prober.date, prober.date_form = CLOCK.strftime(form), form
                return


CLOCKS = (
    datetime(2020, 2, 29, 0, 30, 1),
    datetime(2021, 1, 1, 23, 59, 59),
    datetime(2022, 12, 5, 13, 5),
    datetime(2031, 10, 12, 18, 0, 30),
)
"""Other days and hours than that of every probe."""


def _check_clock(prober: Prober) -> None:
    """Refuse a template that reads more from the clock than the one date that it writes.

    Raises:
        Inexpressible: If it does.
    """
    if "strftime_now" not in prober.template.jinja:
        return
    for letters, prompt in product(("U", "SU", "UA", "SUAUAU"), (False, True)):
        given = messages(letters, prober.words(len(letters)))
        usual = prober.trace(given, add_generation_prompt=prompt)
        if isinstance(usual, (TemplateRaised, TemplateLimit)):
            continue
        for clock in CLOCKS:
            other = prober.at(clock, given, add_generation_prompt=prompt)
            text = getattr(other, "text", "")
            if prober.date:
                text = text.replace(clock.strftime(prober.date_form), prober.date)
            if text != usual.text:
                raise Inexpressible(
                    f"it writes more from the clock than one date: {usual.text!r} on {CLOCK}, "
                    f"{text!r} on {clock}",
                    letters=letters,
                )


def _minds_name(prober: Prober, letter: str) -> bool:
    """Whether the name of an author's message changes what is written."""
    letters = {"S": "SU", "U": "U", "A": "UA"}[letter]
    given = messages(letters, prober.words(len(letters)))
    named = [*given]
    at = letters.index(letter)
    named[at] = {**given[at], "name": prober.word()}
    before, after = prober.trace(given), prober.trace(named)
    return getattr(before, "text", None) != getattr(after, "text", None)


def _said(seen: Observed) -> str:
    match seen:
        case Refused(reason):
            return f"the template refuses: {reason}"
        case Seen():
            return "the template writes it"
        case _:
            return "not every content is written once and in its place"


def _place(prober: Prober) -> str:
    """Where a system message stands that begins a conversation."""
    alone, with_system = observe(prober, "U"), observe(prober, "SU")
    longer = observe(prober, "SUAU")
    if isinstance(with_system, Refused):
        return "refuse"
    if not isinstance(with_system, Seen):
        order = with_system.order
        if order == (1,):
            return "none"
        raise Inexpressible(
            f"a system message and a user message: {_said(with_system)}", letters="SU"
        )
    assert isinstance(alone, Seen)
    begins = resolved(alone.gaps[0], "U")
    headed = begins not in ("", BOS) and resolved(with_system.gaps[0], "S").startswith(begins)
    if not isinstance(longer, Seen):
        if headed and getattr(longer, "order", None) == (1, 2, 0, 3):
            return "last-client"
        raise Inexpressible(f"system, user, assistant, user: {_said(longer)}", letters="SUAU")
    if headed:
        return "first-client"
    written = resolved(with_system.gaps[0], "S")
    defaults = begins.startswith(written) and len(begins) > len(written)
    if defaults and _later_header(prober, written) not in (None, written):
        return "first-client"
    return "turn"


def own(found: Reading) -> str:
    """The authors that have turns of their own."""
    return LETTERS if found.place in ("turn", "start") else "UA"


def _usual(prober: Prober, found: Reading) -> None:
    """The gaps of conversations in their usual order."""
    usual = ["U", "UA", "UAU", "UAUA", "UAUAU", "UAUAUA"]
    if found.place == "turn":
        usual += [f"S{letters}" for letters in usual]
    for letters, prompt in product(usual, (False, True)):
        seen = observe(prober, letters, prompt=prompt)
        if isinstance(seen, Seen):
            found.table.add(letters, seen, prompt=prompt)
        elif letters.endswith("U") or not prompt:
            asked = f"{letters}{' and a prompt' if prompt else ''}"
            raise Inexpressible(f"{asked}: {_said(seen)}", letters=letters)
    if found.place in ("first-client", "last-client"):
        _in_client(prober, found)
    _prompting(found)


def _prompting(found: Reading) -> None:
    """Leave out prompts where the template writes none."""
    table = found.table
    asked = table.gaps.get(Key("U", GEN))
    turn = table.get("U", "A")
    assert asked is not None
    assert turn is not None
    if table.gaps.get(Key("U", END)) == asked and not resolved(turn, "A").startswith(asked):
        found.prompts = False
    if not found.prompts:
        for key in [key for key in table.gaps if key.behind == GEN]:
            del table.gaps[key]
        found.notes.append("the template has no generation prompt; the one here is the header")
    elif Key("A", GEN) in table.gaps and table.gaps[Key("A", GEN)] == table.gaps[Key("A", END)]:
        del table.gaps[Key("A", GEN)]
        found.notes.append(
            "behind a message of the assistant's the template writes no generation prompt"
        )


def _in_client(prober: Prober, found: Reading) -> None:
    """What stands around a system prompt in a client's turn."""
    first = found.place == "first-client"
    seen = observe(prober, "SU" if first else "SUAU")
    alone = observe(prober, "U" if first else "UAU")
    assert isinstance(seen, (Seen, Unlike))
    assert isinstance(alone, Seen)
    gaps, usual = seen.gaps, alone.gaps
    number = 0 if first else 2
    before = resolved(usual[number], "U")
    written = resolved(gaps[number], "S")
    if first and not written.startswith(before):
        _default(prober, found, written, gaps[1])
        return
    if not written.startswith(before) or gaps[number + 2 :] != usual[number + 1 :]:
        raise Inexpressible("a system message changes more than what stands before its user's")
    found.around = (written[len(before) :], gaps[number + 1])


def _later_header(prober: Prober, written: str) -> str | None:
    """The beginning of what stands before a system prompt that opens later users' turns too."""
    later = observe(prober, "UAU")
    if not isinstance(later, Seen):
        return None
    gap = resolved(later.gaps[2], "U")
    for start in range(len(gap)):
        header = gap[start:]
        at = len(written) - len(written.removeprefix(BOS)) if not header.startswith(BOS) else 0
        if len(header.strip()) > 1 and written.startswith(header, at):
            return written[: at + len(header)]
    return None


def _default(prober: Prober, found: Reading, written: str, behind: str) -> None:
    """A system prompt that the first user's turn has where none is given."""
    opening = _later_header(prober, written)
    begins = found.table.gaps[Key(None, "U")]
    begins = resolved(begins, "U")
    if opening is None or not begins.startswith(written) or not begins.endswith(behind):
        raise Inexpressible("a system message changes more than what stands before its user's")
    found.default = begins[len(written) : len(begins) - len(behind)]
    found.opening = opening
    found.around = (written[len(opening) :], behind)


CONTEXTS: Mapping[Key, tuple[str, ...]] = {
    Key(None, "S"): ("SU", "SUA"),
    Key(None, "U"): ("U", "UA"),
    Key("S", "U"): ("SU", "SUA"),
    Key("U", "A"): ("UA", "UAU"),
    Key("A", "U"): ("UAU", "UAUA"),
    Key("U", "U"): ("UU", "UUA", "UAUU", "UAUUA", "UUU", "UUUA"),
    Key("A", "A"): ("UAA", "UAAU", "UAUAA", "UAAUA", "UAAA", "UAAAU"),
    Key(None, "A"): ("A", "AU", "AUA", "AUAU"),
    Key("S", "S"): ("SS", "SSU", "SSUA", "SSS"),
    Key("S", "A"): ("SA", "SAU", "SAUA"),
    Key("A", "S"): ("UAS", "UASU", "UASUA", "SUASU", "UASA", "UAUAS"),
    Key("U", "S"): ("US", "USU", "UAUS", "USA", "SUS"),
}
"""Neighbours to conversations in which they meet, the commoner ones first."""


def _unusual(prober: Prober, found: Reading) -> None:
    """Neighbours that a usual conversation has not, each kept if all of its conversations agree."""
    prober.step = "other orders"
    authors = own(found)
    for key, contexts in CONTEXTS.items():
        known = Key(*key) in found.table.gaps or Key(*key) in found.table.last
        if key.behind not in authors or (key.before or "U") not in authors:
            continue
        found.pairs[key] = known or _pair(prober, found, key, contexts)
    if "S" in authors:
        found.alone = _pair(prober, found, Key(None, "S"), ("S",))
    if found.place == "turn" and not found.pairs.get(Key("U", "S")):
        _hoisted(prober, found)


def _pair(prober: Prober, found: Reading, key: Key, contexts: Iterable[str]) -> bool:
    """Whether two neighbours have one gap wherever they meet; it is added to the table then."""
    table = found.table
    tried = table.copy()
    # No other neighbours in them that do not agree with themselves.
    kept = {other for other, stands in found.pairs.items() if stands} | {key}
    contexts = [
        letters
        for letters in contexts
        if all(Key(*pair) in kept for pair in zip([None, *letters], letters, strict=False))
    ]
    asked = [(letters, prompt) for letters in contexts for prompt in (False, True)]
    written = 0
    for letters, prompt in asked:
        known = Key(letters[-1], GEN) in tried.gaps or letters[-1] == "S"
        if prompt and not (found.prompts and known):
            continue
        seen = observe(prober, letters, prompt=prompt)
        if isinstance(seen, Refused):
            continue
        if not isinstance(seen, Seen):
            return False
        before = tried.copy()
        try:
            tried.add(letters, seen, prompt=prompt)
        except Inexpressible:
            pairs = {*zip([None, *letters], letters, strict=False)} - {key}
            if pairs <= USUAL:
                return False
            # It may be the other neighbours that are written in two ways.
            tried = before
            continue
        written += 1
    if not written or not (Key(*key) in tried.gaps or Key(*key) in tried.last):
        return False
    gap = tried.get(*key)
    assert gap is not None
    control = control_pattern(prober.template.control)
    if (
        key.before in ("U", "A")
        and key.before == key.behind
        and _joins(tried, key.before, gap, control)
    ):
        # Two messages that become one: the gap is no end and no header.
        if BOS in gap or EOS in gap or LABEL in gap:
            return False
        found.merged[key.behind] = gap
        for kept in (tried.gaps, tried.last):
            kept.pop(key, None)
    found.table = tried
    return True


def _joins(table: Table, letter: str, gap: str, control: re.Pattern[str]) -> bool:
    """Whether a gap between two messages of one author is neither end nor header."""
    other = table.get(letter, "A" if letter == "U" else "U") or ""
    return has_token(other, control) and not has_token(gap, control)


def _hoisted(prober: Prober, found: Reading) -> None:
    """Whether later system messages are moved to the start."""
    later = observe(prober, "UAS")
    between = observe(prober, "UASU")
    twice = observe(prober, "SUASU")
    orders = [getattr(seen, "order", None) for seen in (between, twice)]
    if orders != [(2, 0, 1, 3), (0, 3, 1, 2, 4)]:
        return
    del later
    gaps = twice.gaps  # type: ignore[union-attr]
    found.place, found.join = "start", gaps[1]
    for letter in "SUA":
        found.pairs[Key(letter, "S")] = True
    found.pairs |= {
        Key("S", letters): found.pairs.get(Key(None, letters), False) for letters in "UA"
    }
