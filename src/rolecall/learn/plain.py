"""What system, user and assistant messages look like: the table of gaps made into turns."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from rolecall.conversation import Author
from rolecall.errors import TemplateLimit, TemplateRaised
from rolecall.learn.draft import Draft, Inexpressible, group, slot
from rolecall.learn.probe import Prober
from rolecall.learn.table import (
    AUTHOR,
    BOS,
    END,
    EOS,
    GEN,
    LABEL,
    ROLE,
    Key,
    Observed,
    Refused,
    Seen,
    Table,
    messages,
    observe,
    resolved,
    spelled,
)
from rolecall.pattern import FILTERS, Piece
from rolecall.template.tokens import common_prefix, control_pattern
from rolecall.turn import text_of

LETTERS = "SUA"
USUAL = {(None, "S"), (None, "U"), ("S", "U"), ("U", "A"), ("U", GEN), ("A", "U")}
"""Neighbours in a conversation of the usual order."""


@dataclass(slots=True)
class Reading:
    """What the probes say of the messages of a plain conversation."""

    place: str
    """Of system messages: ``turn``, ``start``, ``first-client``, ``last-client``, ``refuse``, or
    ``none`` where they are left out."""
    table: Table = field(default_factory=Table)
    around: tuple[str, str] = ("", "")
    """In a client's turn: what stands before the system prompt and behind it."""
    join: str = "\n\n"
    merged: dict[str, str] = field(default_factory=dict[str, str])
    """Author to what joins two messages in a row."""
    pairs: dict[Key, bool] = field(default_factory=dict[Key, bool])
    """Neighbours to whether they may stand so."""
    notes: list[str] = field(default_factory=list[str])
    """What the format leaves open or refuses, beside what the template says."""
    alone: bool = False
    """Whether a system message may be all there is."""
    prompts: bool = True
    """Whether the template opens the model's turn when asked to."""


def read(prober: Prober) -> Reading:
    """Try out what messages look like in their usual order, and in any other.

    Raises:
        Inexpressible: If not even the usual order comes to a table of gaps.
    """
    prober.step = "plain conversations"
    one = observe(prober, "U")
    if not isinstance(one, Seen):
        prober.typed = True
        typed = observe(prober, "U")
        if not isinstance(typed, Seen):
            prober.typed = False
            raise Inexpressible(f"of a single user message: {_said(one)}")
        one = typed
    found = Reading(_place(prober))
    _usual(prober, found)
    _unusual(prober, found)
    return found


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
        raise Inexpressible(f"a system message and a user message: {_said(with_system)}")
    assert isinstance(alone, Seen)
    begins = resolved(alone.gaps[0], "U")
    headed = begins not in ("", BOS) and resolved(with_system.gaps[0], "S").startswith(begins)
    if not isinstance(longer, Seen):
        if headed and getattr(longer, "order", None) == (1, 2, 0, 3):
            return "last-client"
        raise Inexpressible(f"system, user, assistant, user: {_said(longer)}")
    if headed:
        return "first-client"
    return "turn"


def _own(found: Reading) -> str:
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
            raise Inexpressible(f"{letters}{' and a prompt' if prompt else ''}: {_said(seen)}")
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
    elif (
        Key("A", GEN) in table.gaps and table.gaps[Key("A", GEN)] == table.gaps[Key("A", END)]
    ):
        del table.gaps[Key("A", GEN)]
        found.notes.append(
            "behind a message of the assistant's the template writes no generation prompt"
        )


def _in_client(prober: Prober, found: Reading) -> None:
    """What stands around a system prompt in a client's turn."""
    first = found.place == "first-client"
    seen = observe(prober, "SU" if first else "SUAU")
    alone = observe(prober, "U" if first else "UAU")
    assert isinstance(alone, Seen)
    gaps = seen.gaps  # type: ignore[union-attr]
    number = 0 if first else 2
    before = resolved(alone.gaps[number], "U")
    own = resolved(gaps[number], "S")
    if not own.startswith(before) or gaps[number + 2 :] != alone.gaps[number + 1 :]:
        raise Inexpressible("a system message changes more than what stands before its user's")
    found.around = (own[len(before) :], gaps[number + 1])


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
    own = _own(found)
    for key, contexts in CONTEXTS.items():
        known = Key(*key) in found.table.gaps or Key(*key) in found.table.last
        if key.behind not in own or (key.before is not None and key.before not in own):
            continue
        found.pairs[key] = known or _pair(prober, found, key, contexts)
    if "S" in own:
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
        if prompt and (not found.prompts or Key(letters[-1], GEN) not in tried.gaps):
            if letters[-1] != "S" or not found.prompts:
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
    if key.before in ("U", "A") and key.before == key.behind and _joins(tried, key.before, gap, control):
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
    return _has_token(other, control) and not _has_token(gap, control)


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
    for letters in "SUA":
        found.pairs |= {Key(letters, "S"): True}
    found.pairs |= {Key("S", letters): found.pairs.get(Key(None, letters), False) for letters in "UA"}


# Making turns of it.


@dataclass(slots=True)
class Fitted:
    """Gaps cut into what ends one turn and what opens the next."""

    begin: str = ""
    finish: str = ""
    default: str | None = None
    ends: dict[str, str] = field(default_factory=dict[str, str])
    finals: dict[str, str] = field(default_factory=dict[str, str])
    opens: dict[Key, str] = field(default_factory=dict[Key, str])
    lead: str = ""
    """What stands before the content in every body of the model's."""
    last: str = ""
    """What stands there in the last turn alone."""
    prompt: str = ""
    """What the generation prompt writes behind the header."""
    labels: set[str] = field(default_factory=set[str])
    """Authors whose header says the role as it was given."""


def fit(found: Reading, control: re.Pattern[str]) -> Fitted:
    """Cut every gap of a table.

    Raises:
        Inexpressible: If what is left over is not the same everywhere.
    """
    made = Fitted()
    own = _own(found)
    gaps = dict(found.table.gaps)
    made.last = _of_the_last(found, gaps)
    made.labels = {key.behind for key, gap in gaps.items() if LABEL in gap}
    gaps = {key: resolved(gap, key.behind) for key, gap in gaps.items()}
    for letter in own:
        _cut_end(found, made, gaps, letter, control)
    _finish(made, gaps, own)
    _begin(made, gaps, own, control)
    if found.place in ("turn", "start"):
        _default(made, gaps)
    _prompt(found, made, gaps, control)
    return made


def _of_the_last(found: Reading, gaps: dict[Key, str]) -> str:
    """What stands before the model's last message beyond what stands before its others."""
    table = found.table
    usual, last = gaps.get(Key("U", "A")), table.last.get(Key("U", "A"))
    extra = ""
    if usual is not None and last is not None:
        if not last.startswith(usual):
            raise Inexpressible(
                f"before the last message of the assistant's it writes {last!r}, before others "
                f"{usual!r}"
            )
        extra = last[len(usual) :]
    for key, gap in table.last.items():
        if not gap.endswith(extra) or gaps.get(key, gap[: len(gap) - len(extra)]) + extra != gap:
            # It is not so behind every author: those that differ may not stand there.
            found.pairs[key] = False
            gaps.pop(key, None)
        else:
            gaps[key] = gap[: len(gap) - len(extra)]
    return extra


def _behind(gaps: Mapping[Key, str], letter: str | None) -> dict[str, str]:
    """What stands behind an author, by what follows."""
    return {key.behind: gap for key, gap in gaps.items() if key.before == letter}


def _cuts(text: str, control: re.Pattern[str]) -> list[int]:
    """Where a gap may be cut: not inside a control token."""
    inside = {at for token in control.finditer(text) for at in range(token.start() + 1, token.end())}
    return [at for at in range(len(text) + 1) if at not in inside]


def _cut_end(
    found: Reading,
    made: Fitted,
    gaps: dict[Key, str],
    letter: str,
    control: re.Pattern[str],
) -> None:
    """Find what ends an author's turn; what does not begin so may not follow."""
    behind = _behind(gaps, letter)
    final = behind.pop(END, "")
    usual = {name: gap for name, gap in behind.items() if (letter, name) in USUAL} or behind
    shared = next(iter(usual.values()), final)
    for gap in usual.values():
        shared = common_prefix(shared, gap)
    begins = _behind(gaps, None)
    if final and shared.startswith(final):
        end = final
    else:
        end = shared[: _best_cut(usual, begins, shared, control, closed=bool(final))]
    made.ends[letter] = end
    if final != end:
        made.finals[letter] = final
    for name, gap in behind.items():
        if not gap.startswith(end):
            _drop(found, gaps, Key(letter, name))


def _best_cut(
    behind: Mapping[str, str],
    begins: Mapping[str, str],
    shared: str,
    control: re.Pattern[str],
    *,
    closed: bool,
) -> int:
    """Where to cut what stands behind an author, so that what is left opens a conversation too."""
    best = (0, 0)
    for at in _cuts(shared, control):
        if not closed and not _has_token(shared[:at], control) and at:
            continue
        score = sum(
            begins.get(name, "").endswith(gap[at:]) and at < len(gap)
            for name, gap in behind.items()
            if name != GEN
        )
        if score > best[0]:
            best = (score, at)
    if best[0] or not (closed or shared.startswith(EOS)):
        return best[1]
    tokens = [token.end() for token in control.finditer(shared)]
    marks = [at + 1 for at, character in enumerate(shared) if character == EOS]
    return min([*tokens, *marks], default=len(shared))


def _has_token(text: str, control: re.Pattern[str]) -> bool:
    return EOS in text or control.search(text) is not None


def _drop(found: Reading, gaps: dict[Key, str], key: Key) -> None:
    """Neighbours that may not stand so."""
    gaps.pop(key, None)
    found.table.gaps.pop(key, None)
    found.pairs[key] = False


def _finish(made: Fitted, gaps: Mapping[Key, str], own: str) -> None:
    """What ends a finished conversation whoever spoke last."""
    rests = {
        letter: gaps[Key(letter, END)].removeprefix(made.ends[letter])
        for letter in own
        if Key(letter, END) in gaps and gaps[Key(letter, END)].startswith(made.ends[letter])
    }
    whole = [letter for letter in own if Key(letter, END) in gaps]
    if len(rests) == len(whole) and len(set(rests.values())) == 1 and len(whole) > 1:
        made.finish = next(iter(rests.values()))
        made.finals.clear()


def _begin(made: Fitted, gaps: Mapping[Key, str], own: str, control: re.Pattern[str]) -> None:
    begins = _behind(gaps, None)
    shared = next(iter(begins.values()))
    for gap in begins.values():
        shared = common_prefix(shared, gap)
    opens = {
        (key.behind, gap[len(made.ends[key.before]) :])
        for key, gap in gaps.items()
        if key.before in made.ends and key.behind in own
    }
    best = (-1, 0)
    for at in _cuts(shared, control):
        score = sum((name, gap[at:]) in opens for name, gap in begins.items())
        if score > best[0]:
            best = (score, at)
    at = best[1] if best[0] > 0 else len(shared) - len(shared.lstrip(BOS))
    made.begin = shared[:at]
    for name, gap in begins.items():
        made.opens[Key(None, name)] = gap[at:]
    for key, gap in gaps.items():
        if key.before in made.ends and key.behind in own:
            made.opens[key] = gap[len(made.ends[key.before]) :]


def _default(made: Fitted, gaps: Mapping[Key, str]) -> None:
    """The system prompt of a conversation without one."""
    before, behind = gaps.get(Key(None, "S")), gaps.get(Key("S", "U"))
    begins = gaps.get(Key(None, "U"))
    if before is None or behind is None or begins is None:
        return
    before = resolved(before, "S")
    longer = len(begins) >= len(before) + len(behind)
    if not longer or not begins.startswith(before) or not begins.endswith(behind):
        return
    said = begins[len(before) : len(begins) - len(behind)]
    usual = made.opens.get(Key("A", "U"))
    if any(mark in said for mark in (BOS, EOS, LABEL)) or made.opens[Key(None, "U")] == usual:
        return
    made.default = said
    made.opens[Key(None, "U")] = usual or made.opens[Key("S", "U")]


def _prompt(
    found: Reading, made: Fitted, gaps: dict[Key, str], control: re.Pattern[str]
) -> None:
    """The generation prompt against the header of the model's turns."""
    asked = {
        key.before: gap[len(made.ends[key.before]) :]
        for key, gap in gaps.items()
        if key.behind == GEN and key.before in made.ends
    }
    headers = {key.before: o for key, o in made.opens.items() if key.behind == "A"}
    gap, header = asked.get("U"), headers.get("U")
    if gap is not None and header is not None:
        both = len(common_prefix(gap, header))
        both = max(at for at in _cuts(header, control) if at <= both and at in _cuts(gap, control))
        made.lead, made.prompt = header[both:], gap[both:]
    for before, header in headers.items():
        # What the model's turns begin with elsewhere must end as it does behind a user's.
        opening = header[: len(header) - len(made.lead)]
        if not header.endswith(made.lead) or asked.get(before, opening + made.prompt) != (
            opening + made.prompt
        ):
            _drop(found, gaps, Key(before, "A"))
            del made.opens[Key(before, "A")]
        else:
            made.opens[Key(before, "A")] = opening
    for before, gap in asked.items():
        if Key(before, "A") in made.opens:
            continue
        if gap.endswith(made.prompt):
            made.opens[Key(before, "A")] = gap[: len(gap) - len(made.prompt)]
        else:
            _drop(found, gaps, Key(before, GEN))


# Filters.

PADS = (
    ("", ""), (" ", " "), ("\n", "\n"), (" \n", "\n "), ("\n ", " \n"), ("\t", "\t"), ("  ", ""),
    ("", "  "), ("\n\n", ""), ("", "\n\n"), ("\u00a0", "\u00a0"), ("\r\n", "\r\n"),
)  # fmt: skip
SHAPING = ("trim", "ltrim", "rtrim", "rstrip-space", "strip-nl", "lstrip-nl", "rstrip-nl")


def filtered(name: str | None, text: str) -> str:
    """A text as a filter leaves it."""
    if name is None:
        return text
    return text_of(FILTERS[name][0]((Piece(text, "content", field="content"),)))


def shaping(
    prober: Prober,
    letters: str,
    number: int,
    names: Iterable[str | None] = (None, *SHAPING),
    wrap: Callable[[str], str] = lambda text: text,
) -> list[str | None]:
    """The filters that a content may have passed, found by padding it.

    Args:
        prober: Tries it.
        letters: The authors of the conversation.
        number: Which message is padded.
        names: The filters to choose from.
        wrap: What becomes of the padded word before it is given.
    """
    words = prober.words(len(letters))
    base = prober.trace(messages(letters, words))
    if isinstance(base, (TemplateRaised, TemplateLimit)):
        return [None]
    head, _, tail = base.text.partition(words[number])
    left = list(names)
    for before, after in PADS:
        given = list(words)
        given[number] = wrap(f"{before}{words[number]}{after}")
        trace = prober.trace(messages(letters, given))
        if isinstance(trace, (TemplateRaised, TemplateLimit)):
            continue
        left = [name for name in left if trace.text == head + filtered(name, given[number]) + tail]
    return left


def _filter(prober: Prober, cases: Iterable[tuple[str, int]]) -> str | None:
    """The one filter that a content passes in all these conversations.

    Raises:
        Inexpressible: If there is none.
    """
    left: list[str | None] = [None, *SHAPING]
    shown: list[str] = []
    for letters, number in cases:
        left = [name for name in left if name in shaping(prober, letters, number)]
        shown.append(letters)
    if not left:
        raise Inexpressible(f"no filter trims contents as it does in {', '.join(shown)}")
    return left[0]


def write(prober: Prober, found: Reading, made: Fitted, draft: Draft) -> None:
    """Write turns into a draft.

    Raises:
        Inexpressible: If something has no spelling.
    """
    prober.step = "white space"
    place = found.place
    own = _own(found)
    clients = [("U", 0), ("UA", 0), ("UAU", 2), ("UAUA", 2)]
    if place in ("turn", "start"):
        clients += [("SU", 1), ("SUAU", 3)]
    known: dict[str, Any] = {
        "client": {"filter": _filter(prober, clients)},
        "model": {"filter": _filter(prober, [("UAU", 1), ("UAUAU", 3)])},
        "owner": {"filter": None},
    }
    if place in ("turn", "start"):
        known["owner"]["filter"] = _filter(prober, [("SU", 0), ("SUA", 0)])
    draft.known |= known
    model = known["model"] | {"lead": made.lead, "last": made.last, "prompt": made.prompt}
    draft.known["model"] = model
    model["last_filter"] = _filter(prober, [("UA", 1), ("UAUA", 3)])
    _document(prober, made, draft)
    control = control_pattern(prober.template.control)
    for letter in own:
        _turn(found, made, draft, letter, control)
    draft.turn("client")["body"] = slot("content", known["client"]["filter"])
    if "owner" in draft.tables["turn"]:
        draft.turn("owner")["body"] = slot("content", known["owner"]["filter"])
    _model_body(draft, model)
    _system(prober, found, draft)
    if made.default is not None and draft.has("turn", "owner"):
        if filtered(known["owner"]["filter"], made.default) != made.default:
            raise Inexpressible("a default system prompt that is not trimmed as given ones are")
        draft.table("system")["default"] = made.default
    _order(found, draft)


def _document(prober: Prober, made: Fitted, draft: Draft) -> None:
    top = draft.tables
    if made.begin:
        top["begin"] = spelled(made.begin)
    if made.finish:
        top["finish"] = spelled(made.finish)
    written = "".join((made.begin, made.finish, made.lead, made.last, *made.ends.values(),
                       *made.finals.values(), *made.opens.values()))  # fmt: skip
    for mark, name in ((BOS, "bos_token"), (EOS, "eos_token")):
        if mark in written:
            top[name] = prober.template.source.tokens[name]


def _turn(
    found: Reading, made: Fitted, draft: Draft, letter: str, control: re.Pattern[str]
) -> None:
    author = AUTHOR[letter]
    turn = draft.turn(author)
    opens = {key.before: o for key, o in made.opens.items() if key.behind == letter}
    if None not in opens:
        counted = sorted(opens.values(), key=lambda one: -list(opens.values()).count(one))
        opens[None] = counted[0] if counted else ""
    base = opens.pop(None)
    turn["open"] = _header(made, letter, base)
    after = {
        AUTHOR[before]: {"open": _header(made, letter, o)}
        for before, o in opens.items()
        if before is not None and o != base
    }
    end = made.ends[letter]
    final = made.finals.get(letter)
    first, rest = _split(end, control)
    if final is not None:
        # What replaces the end stands before the gap, so that there is none.
        tail, ending = "", end
        if rest and final.endswith(rest):
            tail, ending, final = rest, first, final[: len(final) - len(rest)]
        first, rest = ending, tail
        turn["final_end"] = spelled(final)
    if first:
        turn["end"] = spelled(first)
    if rest:
        turn["gap"] = spelled(rest)
    if after:
        turn["after"] = after
    if letter in found.merged:
        turn["merge"] = found.merged[letter]


def _header(made: Fitted, letter: str, header: str) -> str:
    """A header as a pattern, with the slot of the role where the template writes it as given."""
    before, role, behind = header.partition(ROLE[letter])
    if letter in made.labels and behind and ROLE[letter] not in behind:
        return spelled(before) + slot("role") + spelled(behind)
    return spelled(header)


def _split(end: str, control: re.Pattern[str]) -> tuple[str, str]:
    """What ends a turn, up to its first token, and what stands behind that."""
    places = [token.end() for token in control.finditer(end)]
    places += [at + 1 for at, character in enumerate(end) if character == EOS]
    at = min(places, default=len(end))
    if not places and not end.strip():
        at = 0
    return end[:at], end[at:]


OPENING = re.compile(r"<(\w+)>(\n*)\Z")


def _model_body(draft: Draft, model: Mapping[str, Any]) -> None:
    turn = draft.turn("model")
    lead = spelled(model["lead"])
    content = slot("content", model["filter"])
    last = slot("content", model["last_filter"])
    body = lead + content
    if model["last"]:
        inner = spelled(model["last"], grouped=True) + last
        body = lead + group("thinks", inner, content)
        draft.table("reasoning")["thinks"] = "also-last"
    elif model["filter"] != model["last_filter"]:
        body = lead + group("thinks", last, content)
        draft.table("reasoning")["thinks"] = "also-last"
    prompt = spelled(model["prompt"])
    if prompt:
        turn["prompt"] = prompt
        if not (model["lead"] + model["last"]).startswith(model["prompt"]):
            body = prompted(draft, model["prompt"], body)
    turn["body"] = body


def prompted(draft: Draft, prompt: str, body: str) -> str:
    """A body that may begin as the generation prompt does, though no finished turn is written so."""
    opening = OPENING.search(prompt)
    draft.table("reasoning")["keep"] = "none"
    if opening is None:
        free = "thinks" not in draft.table("reasoning")
        return group("thinks" if free else "reasoning", spelled(prompt, grouped=True)) + body
    name, line = opening.groups()
    block = f"{spelled(prompt, grouped=True)}{{reasoning}}{line}</{name}>{line * 2}"
    return group("reasoning", block) + body


def _system(prober: Prober, found: Reading, draft: Draft) -> None:
    place = found.place
    rule = draft.table("system")
    if place == "none":
        draft.remove("system")
        found.notes.append("the template leaves out system messages; the format refuses them")
        return
    if place in ("refuse", "start"):
        rule["place"] = place
        if place == "start" and found.join != "\n\n":
            rule["join"] = found.join
    if place == "start" and LABEL in found.join:
        raise Inexpressible("system messages that are joined with a header between them")
    if place in ("first-client", "last-client"):
        rule["place"] = place
        draft.turn("owner")["body"] = ""
        _client_body(prober, found, draft)
    if not rule:
        draft.remove("system")


def _client_body(prober: Prober, found: Reading, draft: Draft) -> None:
    """The body of a client's turn that receives the system prompt."""
    before, behind = found.around
    if any(LABEL in part for part in found.around):
        raise Inexpressible("a system prompt with a header of its own in a user's turn")
    first = found.place == "first-client"
    letters, number = ("SU", 1) if first else ("SUAU", 3)
    of_system = shaping(prober, letters, 0)
    of_content = shaping(prober, letters, number)
    alone = draft.known["client"]["filter"]
    if not of_system or not of_content:
        raise Inexpressible("no filter trims a system prompt in a user's turn as it does")
    content = alone if alone in of_content else of_content[0]
    system = None if None in of_system else of_system[0]
    inner = spelled(before, grouped=True) + slot("system", system) + spelled(behind, grouped=True)
    if content == alone:
        draft.turn("client")["body"] = group("system", inner) + slot("content", alone)
    else:
        both = inner + slot("content", content)
        draft.turn("client")["body"] = group("system", both, slot("content", alone))


def _order(found: Reading, draft: Draft) -> None:
    """Who may follow whom, as far as the template says."""
    own = _own(found)
    order: dict[str, Any] = {}
    first = [letter for letter in "SUA" if found.pairs.get(Key(None, letter))]
    after: dict[Author, list[Author]] = {}
    for before in own:
        allowed = [letter for letter in own if found.pairs.get(Key(before, letter))]
        if len(allowed) < len(own):
            after[AUTHOR[before]] = [AUTHOR[letter] for letter in allowed]
    begins = [AUTHOR[letter] for letter in first]
    if found.place in ("first-client", "last-client"):
        after = {author: [*others] for author, others in after.items()}
        after.setdefault("client", ["client", "model"])
        after.setdefault("model", ["client", "model"])
        after["owner"] = ["client"]
        order["alone"] = begins
    elif "S" in own and not found.alone:
        order["alone"] = [author for author in begins if author != "owner"]
    if set(begins) != set(AUTHOR[letter] for letter in own):
        order["first"] = begins
    if after:
        order["after"] = after
    if order:
        draft.tables["order"] = order


def learn_plain(prober: Prober, draft: Draft) -> Reading:
    """Learn how plain conversations are written.

    Raises:
        Inexpressible: If they come to nothing that a format file can say.
    """
    found = read(prober)
    made = fit(found, control_pattern(prober.template.control))
    write(prober, found, made, draft)
    name_control(prober, draft)
    return found


def name_control(prober: Prober, draft: Draft) -> None:
    """List the control tokens among the literals of a draft."""
    pattern = control_pattern(prober.template.control)
    found: dict[str, None] = {}
    for text in _texts({k: v for k, v in draft.tables.items() if k not in _NO_PATTERNS}):
        found |= {token[0]: None for token in pattern.finditer(text)}
    tokens = {draft.tables.get(name) for name in ("bos_token", "eos_token")}
    listed = [token for token in found if token not in tokens]
    if listed:
        draft.tables["control"] = listed
    else:
        draft.tables.pop("control", None)


_NO_PATTERNS = ("control", "title", "bos_token", "eos_token", "order", "options", "stop")


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():  # type: ignore[reportUnknownVariableType]
            yield from _texts(item)  # type: ignore[reportUnknownArgumentType]


__all__ = ["ROLE", "Fitted", "Reading", "filtered", "learn_plain", "name_control", "shaping"]
