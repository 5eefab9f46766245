"""Learning how the results of tools are written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rolecall.errors import ConversationError, LossError
from rolecall.learn.cells import (
    Atom,
    Cell,
    Ref,
    flat,
    shared_end,
    shared_start,
    spelled,
    unnumbered,
)
from rolecall.learn.draft import Draft, Inexpressible, Tables
from rolecall.learn.model import CallForm, wire_message
from rolecall.learn.probe import Prober
from rolecall.learn.settle import settle
from rolecall.learn.spots import PADS, Needle, Wire, Written, read, tokens
from rolecall.pattern import dump_json
from rolecall.template.trace import Trace

HERE, THERE = "\ue0f5", "\ue0f6"
"""Marks where results begin and where they end."""


class Loop(NamedTuple):
    """A conversation in which calls are made and answered."""

    messages: list[Wire]
    results: range
    """Which of them are results."""
    last_word: str
    """The last word before the results that can be found in the text."""


def results(prober: Prober, draft: Draft) -> None:
    """Learn how a tool's turn is written.

    Args:
        prober: Tries conversations.
        draft: What was learnt of calls; it is extended.

    Raises:
        Inexpressible: If results are not written, or in a way that the format language has no
            words for.
    """
    prober.step = "results"
    if "form" not in draft.known:
        raise Inexpressible("the calls that they answer are not learnt")
    one = _between(prober, draft, 1)
    head, tail = _around(one, 0), one[_place(one, 0) + 1 :]
    content = one[_place(one, 0)]
    assert isinstance(content, Ref)
    turn = _single(draft, head, content, tail)
    if draft.tables.get("calls", {}).get("max") != 1:
        two = _between(prober, draft, 2)
        gap = unnumbered(two[_place(two, 0) + 1 : _place(two, 1)])
        if gap != (*tail, *head):
            turn = _grouped(draft, head, content, tail, gap)
    for cell in (head, tail):
        tokens(prober, draft, cell)
    draft.turn("tool").update(turn)
    _order(draft)
    _after_results(prober, draft)
    settle(prober, draft, "results")


def _loop(prober: Prober, draft: Draft, count: int, before: str = "", after: str = "") -> Loop:
    form: CallForm = draft.known["form"]
    made: list[Wire] = []
    last = ""
    for _ in range(count):
        last = prober.word()
        made.append(form.wire(prober.word().lower(), {prober.word(): last}, prober.word() + "0123"))
    answers: list[Wire] = [
        {
            "role": "tool",
            "content": before + prober.word() + after,
            "tool_call_id": call["id"],
            "name": call["function"]["name"],
        }
        for call in made
    ]
    user = wire_message("client", prober.word())
    messages = [user, wire_message("model", "", calls=made), *answers]
    return Loop(messages, range(2, 2 + count), last)


def _between(prober: Prober, draft: Draft, count: int) -> Cell:
    """What stands between a turn that makes calls and the end of the conversation.

    What the draft writes behind its last turn is left out, and contents are numbered.
    """
    probes: list[Written] = []
    slots: dict[tuple[int | None, str], str] = {}
    for before, after in PADS:
        loop = _loop(prober, draft, count, before, after)
        trace = prober.trace(loop.messages)
        if not isinstance(trace, Trace):
            raise Inexpressible(f"it refuses results: {trace}")
        start, end = _region(draft, loop, trace)
        needles: dict[str, Needle] = {}
        for number, index in enumerate(loop.results):
            slots[index, "content"] = f"content#{number}"
            slots[index, "tool_call_id"] = slots[1, f"tool_calls[{number}].id"] = "call_id"
            slots[index, "name"] = slots[1, f"tool_calls[{number}].function.name"] = "call_name"
            slots[index, "role"] = "role"
            said = loop.messages[index]["content"]
            needles[dump_json(said)] = Needle(f"content#{number}", said)
        probes.append(Written(trace, start, end, needles))
    return read(probes, lambda message, field: slots.get((message, field)))


def _region(draft: Draft, loop: Loop, trace: Trace) -> tuple[int, int]:
    """Where results stand: behind what the draft writes after the last call, before its end."""
    marked = draft.copy()
    marked.tables["turn"]["tool"] = {"open": HERE, "body": "{content}", "end": THERE}
    marked.tables.pop("order", None)
    try:
        text = (
            marked.format()
            .render(loop.messages, strict=False, **draft.known.get("options", {}))
            .text
        )
    except (ConversationError, LossError) as error:
        raise Inexpressible(f"what stands around results is not known: {error}") from None
    upto, behind = text.index(HERE), text.rindex(THERE) + 1
    at = text.rindex(loop.last_word, 0, upto)
    follows = text[at:upto]
    found = trace.text.rfind(follows)
    if found < 0:
        at = trace.text.rfind(loop.last_word)
        raise Inexpressible(
            f"behind calls that are answered it writes {trace.text[at : at + 60]!r}, "
            f"and not {follows!r}"
        )
    after = text[behind:]
    if not trace.text.endswith(after):
        raise Inexpressible("what stands behind results is not known")
    return found + len(follows), len(trace.text) - len(after)


def _place(cell: Cell, number: int) -> int:
    for place, atom in enumerate(cell):
        if isinstance(atom, Ref) and atom.slot == f"content#{number}":
            return place
    raise Inexpressible("it does not write the results of tools")


def _around(cell: Cell, number: int) -> Cell:
    return cell[: _place(cell, number)]


def _header(draft: Draft, head: Cell) -> Cell:
    """What of a cell is the header of another author's turn, whatever its label."""
    found: Cell = ()
    for author in ("client", "owner", "model"):
        source: str = draft.tables["turn"].get(author, {}).get("open", "")
        before, labelled, behind = source.partition("{role}")
        start, end = _slots(before), _slots(behind)
        until = len(start) + (1 if labelled else 0)
        if head[: len(start)] != start or head[until : until + len(end)] != end:
            continue
        found = max(found, head[: until + len(end)], key=len)
    return found


def _closed(draft: Draft) -> Cell:
    """What stands behind the content of a client's turn."""
    client: Tables = draft.tables["turn"].get("client", {})
    return _slots(client.get("end", "") + client.get("gap", ""))


def _slots(source: str) -> Cell:
    """A pattern without groups as a cell."""
    made: list[Atom] = []
    for number, piece in enumerate(re.split(r"\{([a-z_]+)\}", source)):
        made.append(Ref(piece) if number % 2 else piece)
    return flat(made)


def _single(draft: Draft, head: Cell, content: Ref, tail: Cell) -> Tables:
    """A turn for each result."""
    closing = _closed(draft)
    opened = _header(draft, head) or head
    inner, end = _split_tail(tail, closing)
    body = (*head[len(opened) :], *unnumbered((content,)), *inner)
    return {"open": spelled(opened), "body": spelled(body), **_closing(draft, end, closing)}


def _split_tail(tail: Cell, closing: Cell) -> tuple[Cell, Cell]:
    """What of a tail belongs to the body, and what ends the turn."""
    if closing and tail[len(tail) - len(closing) :] == closing:
        return tail[: len(tail) - len(closing)], closing
    # What ends a turn says nothing of the message.
    places = [place for place, atom in enumerate(tail) if isinstance(atom, Ref)]
    cut = next((p for p in places if tail[p] == Ref("eos_token")), len(tail))
    said = [place for place in places if place < cut]
    start = said[-1] + 1 if said else 0
    while said and start < cut and not _is_tag(tail[start]):
        start += 1
    return tail[:start], tail[start:]


def _is_tag(atom: Atom) -> bool:
    return isinstance(atom, str) and len(atom) > 2 and atom[0] in "<["


def _closing(draft: Draft, end: Cell, closing: Cell) -> Tables:
    client: Tables = draft.tables["turn"].get("client", {})
    if end == closing:
        return {key: client[key] for key in ("end", "gap") if key in client}
    text = spelled(end)
    bare = text.rstrip("\n")
    made: Tables = {"end": bare} if bare else {}
    return made | ({"gap": text[len(bare) :]} if len(bare) < len(text) else {})


def _grouped(draft: Draft, head: Cell, content: Ref, tail: Cell, gap: Cell) -> Tables:
    """One turn for results that follow each other."""
    closing = _closed(draft)
    opened = _header(draft, head)
    before = head[len(opened) :]
    if not opened or gap[len(gap) - len(before) :] != before:
        before = head[len(head) - shared_end(head, gap) :]
        opened = head[: len(head) - len(before)]
    rest = gap[: len(gap) - len(before)]
    inner, end = _split_tail(tail, closing)
    if end is tail or rest[: len(inner)] != inner:
        inner = tail[: shared_start(tail, rest)]
        end = tail[len(inner) :]
    joined = rest[len(inner) :]
    if any(isinstance(atom, Ref) for atom in joined):
        raise Inexpressible("results that follow each other are joined with more than text")
    body = (*before, *unnumbered((content,)), *inner)
    return {
        "open": spelled(opened),
        "body": spelled(body),
        "group": "".join(str(atom) for atom in joined),
        **_closing(draft, end, closing),
    }


def _order(draft: Draft) -> None:
    """Let results stand behind calls, where the draft says who may follow whom."""
    order: Tables = draft.tables.setdefault("order", {})
    after: Tables = order.get("after", {})
    if "model" in after and "tool" not in after["model"]:
        after["model"] = [*after["model"], "tool"]
    if after:
        after["tool"] = ["tool", "model", *(a for a in after.get("model", ()) if a == "client")]
    order["rules"] = ["answer-calls"]


def _after_results(prober: Prober, draft: Draft) -> None:
    """Give the model's turn a header of its own behind results, where it has one.

    Raises:
        Inexpressible: If what stands behind results is not what the draft writes there.
    """
    loop = _loop(prober, draft, 1)
    reply = prober.word()
    messages = [*loop.messages, wire_message("model", reply)]
    trace = prober.trace(messages)
    if not isinstance(trace, Trace):
        raise Inexpressible(f"it refuses a reply behind results: {trace}")
    expected = _from(trace.text, loop, reply)
    turn = draft.turn("model")
    headers = [turn.get("open", ""), *(t["open"] for t in turn.get("after", {}).values())]
    for header in dict.fromkeys(headers):
        text = _rendered(_with_header(draft, header), messages)
        if text is not None and _from(text, loop, reply) == expected:
            if header != headers[0]:
                turn["after"]["tool"] = {"open": header}
            return
    text = _rendered(draft, messages)
    if text is None:
        raise Inexpressible("the draft refuses a reply behind results")
    found = _from(text, loop, reply)
    opened: str = draft.turn("model").get("open", "")
    without = _rendered(_with_header(draft, HERE), messages)
    assert without is not None
    before, _, behind = _from(without, loop, reply).partition(HERE)
    if not expected.startswith(before):
        raise Inexpressible(f"behind a result it writes {expected!r}, and not {found!r}")
    rest = expected[len(before) :]
    header = rest[: len(rest) - len(behind)] if rest.endswith(behind) else None
    if header is None or header == opened:
        # The block of thoughts that a turn opens with is the affair of another step.
        if rest.startswith(re.sub(r"\{role\}", "assistant", opened)):
            return
        raise Inexpressible(f"behind a result it writes {expected!r}, and not {found!r}")
    draft.turn("model").setdefault("after", {})["tool"] = {"open": spelled(flat((header,)))}


def _with_header(draft: Draft, header: str) -> Draft:
    changed = draft.copy()
    changed.turn("model").setdefault("after", {})["tool"] = {"open": header}
    return changed


def _rendered(draft: Draft, messages: Sequence[Mapping[str, Any]]) -> str | None:
    try:
        options = draft.known.get("options", {})
        return draft.format().render(messages, strict=False, **options).text
    except (ConversationError, LossError):
        return None


def _from(text: str, loop: Loop, reply: str) -> str:
    """What stands between the last result and a reply."""
    said = str(loop.messages[loop.results[-1]]["content"])
    at = text.rfind(said)
    until = text.rfind(reply)
    if at < 0 or until < at:
        raise Inexpressible("results and replies are not written in their order")
    return text[at + len(said) : until]
