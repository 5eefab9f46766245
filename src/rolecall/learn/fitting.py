"""Gaps cut into what ends one turn and what opens the next."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from rolecall.learn.draft import Inexpressible
from rolecall.learn.reading import Reading, own
from rolecall.learn.table import (
    BOS,
    END,
    EOS,
    GEN,
    LABEL,
    MARKS,
    USUAL,
    Key,
    has_token,
    resolved,
)
from rolecall.template.tokens import common_prefix


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
    """What stands in the body of the last turn alone, before the tail of the lead."""
    tail: str = ""
    """The end of the lead, behind what stands in the last turn alone."""
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
    authors = own(found)
    gaps = dict(found.table.gaps)
    made.last = _of_the_last(found, made, gaps)
    made.labels = {key.behind for key, gap in gaps.items() if LABEL in gap}
    gaps = {key: resolved(gap, key.behind) for key, gap in gaps.items()}
    for letter in authors:
        _cut_end(found, made, gaps, letter, control)
    _finish(made, gaps, authors)
    _begin(made, gaps, authors, control)
    if found.place in ("turn", "start"):
        _default(made, gaps)
    elif found.default is not None:
        made.default = found.default
    _prompt(found, made, gaps, control)
    return made


def _of_the_last(found: Reading, made: Fitted, gaps: dict[Key, str]) -> str:
    """What stands before the model's last message beyond what stands before its others."""
    table = found.table
    usual, last = gaps.get(Key("U", "A")), table.last.get(Key("U", "A"))
    extra = ""
    if usual is not None and last is not None:
        head = len(common_prefix(usual, last))
        made.tail = usual[head:]
        if not last.endswith(made.tail) or len(last) < len(usual):
            raise Inexpressible(
                f"before the last message of the assistant's it writes {last!r}, before others "
                f"{usual!r}"
            )
        extra = last[head : len(last) - len(made.tail)]
    for key, gap in table.last.items():
        bare = gap.removesuffix(made.tail).removesuffix(extra) + made.tail
        if not gap.endswith(extra + made.tail) or gaps.get(key, bare) != bare:
            # It is not so behind every author: those that differ may not stand there.
            found.pairs[key] = False
            gaps.pop(key, None)
        else:
            gaps[key] = bare
    return extra


def _behind(gaps: Mapping[Key, str], letter: str | None) -> dict[str, str]:
    """What stands behind an author, by what follows."""
    return {key.behind: gap for key, gap in gaps.items() if key.before == letter}


def _cuts(text: str, control: re.Pattern[str]) -> list[int]:
    """Where a gap may be cut: not inside a control token."""
    inside = {
        at for token in control.finditer(text) for at in range(token.start() + 1, token.end())
    }
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
        if not closed and not has_token(shared[:at], control) and at:
            continue
        if closed and not at:
            continue  # what ends the last turn has something in its place in the others
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


def _drop(found: Reading, gaps: dict[Key, str], key: Key) -> None:
    """Neighbours that may not stand so."""
    gaps.pop(key, None)
    found.table.gaps.pop(key, None)
    found.pairs[key] = False


def _finish(made: Fitted, gaps: Mapping[Key, str], authors: str) -> None:
    """What ends a finished conversation whoever spoke last."""
    rests = {
        letter: gaps[Key(letter, END)].removeprefix(made.ends[letter])
        for letter in authors
        if Key(letter, END) in gaps and gaps[Key(letter, END)].startswith(made.ends[letter])
    }
    whole = [letter for letter in authors if Key(letter, END) in gaps]
    if len(rests) == len(whole) and len(set(rests.values())) == 1 and len(whole) > 1:
        made.finish = next(iter(rests.values()))
        made.finals.clear()


def _begin(made: Fitted, gaps: Mapping[Key, str], authors: str, control: re.Pattern[str]) -> None:
    begins = _behind(gaps, None)
    shared = next(iter(begins.values()))
    for gap in begins.values():
        shared = common_prefix(shared, gap)
    opens = {
        (key.behind, gap[len(made.ends[key.before]) :])
        for key, gap in gaps.items()
        if key.before in made.ends and key.behind in authors
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
        if key.before in made.ends and key.behind in authors:
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
    if any(mark in said for mark in MARKS) or made.opens[Key(None, "U")] == usual:
        return
    made.default = said
    made.opens[Key(None, "U")] = usual or made.opens[Key("S", "U")]


def _prompt(found: Reading, made: Fitted, gaps: dict[Key, str], control: re.Pattern[str]) -> None:
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
        both = min(both, len(header) - len(made.tail))
        both = max(at for at in _cuts(header, control) if at <= both and at in _cuts(gap, control))
        made.lead, made.prompt = header[both:], gap[both:]
    for before, header in headers.items():
        # What the model's turns begin with elsewhere must end as it does behind a user's.
        opening = header[: len(header) - len(made.lead)]
        if not header.endswith(made.lead) or asked.get(before or "", opening + made.prompt) != (
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
