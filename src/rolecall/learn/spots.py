"""Where a turn stands in what a template wrote, and what of it fills which slot.

The turn is found with the draft: what stands before and behind it is what the draft writes there.
Inside, the origin of every character tells slots from literals, and JSON is found by its text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rolecall.canonical import CLIENT_PLACES
from rolecall.errors import ConversationError, LossError
from rolecall.learn.cells import Atom, Cell, Ref, flat
from rolecall.learn.draft import Draft, Inexpressible
from rolecall.learn.probe import Prober, filters
from rolecall.pattern import FILTERS
from rolecall.template.layout import REASONING_FIELDS
from rolecall.template.trace import Trace

Wire = dict[str, Any]

OPEN, BODY, END, CLOSED = "\ue0f0", "\ue0f1", "\ue0f2", "\ue0f3"
"""Marks around the parts of a turn; no template holds them."""
SCHEMAS = "\ue0f7"
"""Marks around tool schemas, whose place is not known yet."""


class Frame(NamedTuple):
    """What the draft writes around the body of one turn."""

    before: str
    """Everything before the turn."""
    header: str
    end: str
    after: str
    """Everything behind the end of the turn."""


def frame(
    draft: Draft,
    author: str,
    messages: Sequence[Mapping[str, Any]],
    word: str,
    tools: Sequence[Mapping[str, Any]] | None = None,
    **options: Any,
) -> Frame | None:
    """What the draft writes around the body of the turn that says `word`; None if it refuses.

    Args:
        draft: The draft.
        author: Who authors the turn.
        messages: A conversation.
        word: The content of the turn, a word that stands nowhere else.
        tools: Tool schemas, which are left out of what is returned.
        options: Arguments of `Format.render` and options of the format.
    """
    marked = draft.copy()
    table = marked.turn(author)
    table["open"] = OPEN + table.get("open", "")
    for after in table.get("after", {}).values():
        after["open"] = OPEN + after.get("open", "")
    table["body"] = BODY + "{content}" + END
    for key in ("end", "final_end", "call_end"):
        if key in table or key == "end":
            table[key] = table.get(key, "") + CLOSED
    table.pop("prompt", None)
    if author == "model":
        marked.remove("calls")
    else:
        marked.remove("tools")
    if author == "client" and marked.tables.get("system", {}).get("place") in CLIENT_PLACES:
        # Its slot is gone with the body.
        marked.tables["system"] = {"place": "refuse"}
    if tools and not marked.has("tools"):
        marked.tables["tools"] = {"place": "start", "frame": f"{SCHEMAS}{{tools}}{SCHEMAS}"}
    for key in ("first", "alone", "after", "rules"):
        marked.tables.get("order", {}).pop(key, None)
    try:
        text = marked.format().render(messages, tools=tools, strict=False, **options).text
    except (ConversationError, LossError):
        return None
    text = re.sub(f"{SCHEMAS}[^{SCHEMAS}]*{SCHEMAS}", "", text)
    found = re.search(
        f"{OPEN}([^{OPEN}]*){BODY}[^{BODY}]*{word}[^{END}]*{END}([^{CLOSED}]*){CLOSED}",
        text,
        re.DOTALL,
    )
    if found is None:
        return None
    texts = (text[: found.start()], found[1], found[2], text[found.end() :])
    return Frame(*(re.sub(f"[{OPEN}{BODY}{END}{CLOSED}]", "", one) for one in texts))


Known = Callable[[int | None, str], str | None]
"""Message and field to the slot they fill, or None where they count as literal text."""


def message_field(index: int) -> Known:
    """The slots of a model's message."""

    def slot(message: int | None, field: str) -> str | None:
        if message != index:
            return None
        if field == "content":
            return "content"
        if field in REASONING_FIELDS:
            return "reasoning"
        called = re.fullmatch(r"tool_calls\[(\d+)\]\.(?:(?:function\.)?(name)|(id))", field)
        if called is None:
            return None
        return f"{'call_name' if called[2] else 'call_id'}#{called[1]}"

    return slot


class Needle(NamedTuple):
    """What a text stands for wherever it is found, as JSON that was made of an object."""

    slot: str
    given: str
    """What fills the slot, before any filter."""


class Written(NamedTuple):
    """One probe, a part of whose output is to be read."""

    trace: Trace
    start: int
    end: int
    needles: Mapping[str, Needle]
    """Text to what it stands for."""
    numbers: Mapping[str, str] = {}
    """The same of digits, where their origin is not known."""


class _Run(NamedTuple):
    slot: str
    given: str
    text: str


def read(probes: Sequence[Written], known: Known) -> Cell:
    """The cell that some probes are, which differ in the white space around texts alone.

    Raises:
        Inexpressible: If they differ in anything else, or no filter makes what was written.
    """
    found = [list(_runs(probe, known)) for probe in probes]
    first = found[0]
    shapes = {tuple(r if isinstance(r, str) else (r.slot,) for r in one) for one in found}
    if len(shapes) != 1:
        raise Inexpressible("white space around a text changes what stands beside it")
    cell: list[Atom] = []
    for number, run in enumerate(first):
        if isinstance(run, str):
            cell.append(run)
            continue
        runs = [one[number] for one in found]
        cell.append(Ref(run.slot, _filter([r for r in runs if isinstance(r, _Run)])))
    return flat(cell)


def _filter(runs: Sequence[_Run]) -> str | None:
    fitting = [filters(run.given, run.text) for run in runs]
    for name in (None, *FILTERS):
        if all(name in some for some in fitting):
            return name
    raise Inexpressible(f"no filter makes {runs[0].text!r} of {runs[0].given!r}")


def _runs(probe: Written, known: Known) -> Iterator[str | _Run]:
    """Literals and slots; literals that follow each other are one."""
    text = ""
    for piece in _pieces(probe, known):
        if isinstance(piece, str):
            text += piece
            continue
        if text:
            yield text
        text = ""
        yield piece
    if text:
        yield text


def _pieces(probe: Written, known: Known) -> Iterator[str | _Run]:
    trace, start, end = probe.trace, probe.start, probe.end
    places = sorted(_needles(trace.text, start, end, probe.needles))
    for first, last, needle in [*places, (end, end, None)]:
        yield from _spans(trace, start, first, known, probe.numbers)
        if needle is not None:
            yield _Run(*needle, trace.text[first:last])
        start = last


def _needles(
    text: str, start: int, end: int, needles: Mapping[str, Needle]
) -> Iterator[tuple[int, int, Needle]]:
    taken: list[tuple[int, int]] = []
    for needle in sorted(needles, key=len, reverse=True):
        at = text.find(needle, start, end)
        while at >= 0:
            if all(at >= b or at + len(needle) <= a for a, b in taken):
                taken.append((at, at + len(needle)))
                yield at, at + len(needle), needles[needle]
            at = text.find(needle, at + len(needle), end)


def _spans(
    trace: Trace, start: int, end: int, known: Known, numbers: Mapping[str, str]
) -> Iterator[str | _Run]:
    waiting: _Run | None = None
    key: tuple[int | None, str] | None = None
    for span in trace.spans:
        first, last = max(span.start, start), min(span.end, end)
        if first >= last:
            continue
        text = trace.text[first:last]
        kind, message, name, _ = span.origin
        slot: str | None = None
        if kind == "caller":
            slot = known(message, name)
        elif kind == "token":
            slot = name
        elif kind == "unknown":
            slot = numbers.get(text)
        if slot is not None and waiting is not None and key == (message, name):
            waiting = waiting._replace(text=waiting.text + text)
            continue
        if waiting is not None:
            yield waiting
            waiting = None
        if slot is None:
            yield text
            continue
        given = trace.inputs.get((message, name), text) if kind == "caller" else text
        waiting, key = _Run(slot, given, text), (message, name)
    if waiting is not None:
        yield waiting


def located(trace: Trace, around: Frame) -> tuple[int, int]:
    """Where a body stands, between what the draft writes around it.

    Raises:
        Inexpressible: If the template writes something else there.
    """
    before = around.before + around.header
    after = around.end + around.after
    text = trace.text
    if not text.startswith(before):
        raise Inexpressible("what stands before the turn changes")
    if not text.endswith(after) or len(text) < len(before) + len(after):
        raise Inexpressible("what stands behind the turn changes")
    return len(before), len(text) - len(after)


def ended(trace: Trace, around: Frame) -> tuple[int, int, bool]:
    """Where the body of a turn stands that makes calls, and whether an end of its own follows it.

    Its own end, if it has one, belongs to what is returned.

    Raises:
        Inexpressible: If the template writes something else around it.
    """
    try:
        return *located(trace, around), False
    except Inexpressible:
        return *located(trace, around._replace(end="")), True


def without_end(draft: Draft, cell: Cell) -> Cell:
    """The body of a turn that makes calls and has an end of its own, which the draft is told of.

    Raises:
        Inexpressible: If nothing tells the end from the call, or it is another one elsewhere.
    """
    own = cell[-1] if cell else ""
    tag = own.slot if isinstance(own, Ref) else own
    known = draft.known.setdefault("call_end", own)
    if own != known or not (tag in ("eos_token", "bos_token") or tag[:1] in "<["):
        raise Inexpressible("what stands behind the turn changes")
    return cell[:-1]


PADS = (("\n ", " \n"), (" \n", "\n "))
"""White space to put around a text; what is left of both tells which filter it went through."""


def tokens(prober: Prober, draft: Draft, cell: Sequence[Atom]) -> None:
    """Make the document's tokens known to the draft where a cell holds one."""
    for atom in cell:
        if isinstance(atom, Ref) and atom.slot in ("bos_token", "eos_token"):
            draft.tables.setdefault(atom.slot, prober.template.source.tokens[atom.slot])
