"""Learning how tool calls are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rolecall.learn.cells import (
    Cell,
    Key,
    Ref,
    Repeated,
    find,
    inner,
    repeated,
    shared_end,
    shared_start,
    spelled,
    unnumbered,
)
from rolecall.learn.draft import Draft, Inexpressible
from rolecall.learn.model import (
    EARLIER,
    LAST,
    CallForm,
    Observation,
    Policy,
    fit_body,
    observations,
    set_body,
    wire_message,
)
from rolecall.learn.probe import Prober
from rolecall.learn.settle import settle
from rolecall.learn.spots import (
    Needle,
    Wire,
    Written,
    ended,
    frame,
    message_field,
    read,
    tokens,
    without_end,
)
from rolecall.pattern import dump_json
from rolecall.template.trace import Trace

NAMES = r"^[A-Za-z0-9_.-]+\Z"
"""What a function may be called: no template escapes a name, and no other is in use."""
IDS = r"^[A-Za-z0-9_.:-]+\Z"
NINE = r"^[A-Za-z0-9]{9}\Z"

SAMPLES: tuple[dict[str, Any], ...] = (
    {"zeta": 1, "alpha": [True, None, {"x": "y"}], "mid": {}},
    {"text": 'say "it" \\ back\n\tand <b>&amp;</b> – größer, 日本語, it\'s'},
    {"number": 1.5, "large": 10**15, "list": []},
)
"""Arguments that tell how JSON is written."""


def calls(prober: Prober, draft: Draft) -> None:
    """Learn how a model's turn writes its calls.

    Args:
        prober: Tries conversations.
        draft: What was learnt so far; it is extended.

    Raises:
        Inexpressible: If calls are not written, or in a way that the format language has no
            words for.
    """
    prober.step = "calls"
    form = call_form(prober)
    several, most = _several(prober, draft, form)
    given: list[Key] = [
        frozenset(key) for key in ((), ("content",), ("calls",), ("content", "calls"))
    ]
    seen = list(observations(prober, draft, (LAST, EARLIER), given, form))
    if not any("calls" in one.given for one in seen):
        raise Inexpressible("what stands around a turn that makes calls is not known")
    rule = _rule_of(several, seen)
    seen = pulled_out(rule, seen)
    thinks = draft.tables.get("reasoning", {}).get("thinks", "with-reasoning")
    keep = draft.tables.get("reasoning", {}).get("keep", "all")
    body = fit_body(seen, [Policy(keep, thinks)])
    table: dict[str, Any] = {"each": spelled(rule.each)}
    for key, cell in (("begin", rule.begin), ("join", rule.join), ("finish", rule.finish)):
        if cell:
            table[key] = spelled(cell)
    if most is not None:
        table["max"] = most
    for cell in (*rule, *body.cells.values()):
        tokens(prober, draft, cell)
    _ids(prober, form, rule, table)
    _check_arguments(prober, form, draft)
    draft.tables["calls"] = table
    if "call_end" in draft.known:
        draft.turn("model")["call_end"] = spelled((draft.known["call_end"],))
    draft.table("match")["call_name"] = NAMES
    set_body(draft, body.pattern)
    draft.known["form"] = form
    draft.known.setdefault("holds", {})["content with calls"] = holds(seen, "content")
    draft.known["observations"] = seen
    draft.known["call_rule"] = rule
    settle(prober, draft, "calls")


def call_form(prober: Prober) -> CallForm:
    """How the template wants calls to be given.

    Raises:
        Inexpressible: If it refuses them, does not write them, or does not write their arguments
            as JSON.
    """
    reason = ""
    for form in (CallForm("object"), CallForm("string")):
        name, key, value = prober.word().lower(), prober.word(), prober.word()
        arguments = {key: value}
        trace = _tried(prober, [form.wire(name, arguments, prober.word() + "0123")])
        if not isinstance(trace, Trace):
            reason = reason or f"it refuses a call: {trace}"
        elif name not in trace.text:
            reason = reason or "it writes no calls"
        elif dump_json(arguments) not in trace.text:
            reason = _spelling(trace.text, arguments) or reason
        else:
            return form
    raise Inexpressible(reason)


def _tried(prober: Prober, made: Sequence[Wire], content: str = "") -> Trace | object:
    """A conversation in which these calls are made, the shortest that the template takes."""
    user = wire_message("client", prober.word())
    caller = wire_message("model", content, calls=made)
    results = [
        {
            "role": "tool",
            "content": prober.word(),
            "tool_call_id": call["id"],
            "name": call["function"]["name"],
        }
        for call in made
    ]
    found: object = None
    for messages in ([user, caller], [user, caller, *results]):
        found = prober.trace(messages)
        if isinstance(found, Trace):
            break
    return found


def _spelling(text: str, arguments: Mapping[str, Any]) -> str:
    """Why arguments are not written as JSON in one line."""
    import json

    (key, value) = next(iter(arguments.items()))
    if repr(dict(arguments)) in text:
        return "it writes arguments as Python spells them"
    for indent in (2, 4):
        lines = json.dumps(arguments, indent=indent)
        if lines in text or lines.replace("\n", "\n" + " " * 2 * indent) in text:
            return "it writes arguments as JSON on several lines"
    if f'"{key}":"{value}"' in text:
        return "it writes arguments as JSON without spaces"
    if key in text and value in text:
        return "it writes each argument by itself"
    return "it does not write the arguments of calls"


def _several(prober: Prober, draft: Draft, form: CallForm) -> tuple[list[Cell], int | None]:
    """A turn that makes one call and nothing else, two, and three; and the most it may make."""
    found: list[Cell] = []
    for count in (1, 2, 3):
        cell = _of_calls(prober, draft, form, count)
        if cell is None:
            break
        named = {a.slot for a in cell if isinstance(a, Ref) and a.slot.startswith("call_name#")}
        if len(named) < count:
            break
        found.append(cell)
    if not found:
        raise Inexpressible("it refuses a message that makes a call and says nothing else")
    if len(found) == 2:
        raise Inexpressible("it writes two calls and not three")
    return found, None if len(found) == 3 else 1


def _of_calls(prober: Prober, draft: Draft, form: CallForm, count: int) -> Cell | None:
    names = [prober.word().lower() for _ in range(count)]
    arguments = [{prober.word(): prober.word()} for _ in names]
    made = [
        form.wire(name, given, prober.word() + "0123")
        for name, given in zip(names, arguments, strict=True)
    ]
    word = prober.word()
    user = wire_message("client", prober.word())
    around = frame(
        draft, "model", [user, wire_message("model", word)], word, **draft.known.get("options", {})
    )
    trace = prober.trace([user, wire_message("model", "", calls=made)])
    if around is None or not isinstance(trace, Trace):
        return None
    start, end, own = ended(trace, around)
    spelled_out = [dump_json(given) for given in arguments]
    needles = {a: Needle(f"arguments#{n}", a) for n, a in enumerate(spelled_out)}
    needles |= {name: Needle(f"call_name#{n}", name) for n, name in enumerate(names)}
    needles |= {call["id"]: Needle(f"call_id#{n}", call["id"]) for n, call in enumerate(made)}
    numbers = {str(n): f"index#{n}" for n in range(count)}
    cell = read([Written(trace, start, end, needles, numbers)], message_field(1))
    return without_end(draft, cell) if own else cell


def pulled_out(rule: Repeated, seen: Sequence[Observation]) -> list[Observation]:
    """What was seen, with the slot ``calls`` in the place of one call.

    Raises:
        Inexpressible: If the call is not written as elsewhere.
    """
    whole = (*rule.begin, *rule.each, *rule.finish)
    found: list[Observation] = []
    for one in seen:
        cell = unnumbered(one.cell)
        if "calls" in one.given:
            at = find(cell, whole)
            if at is None:
                raise Inexpressible("calls are not written alike wherever they stand")
            cell = (*cell[:at], Ref("calls"), *cell[at + len(whole) :])
        found.append(Observation(one.context, one.given, cell))
    return found


def _rule_of(several: Sequence[Cell], seen: Sequence[Observation]) -> Repeated:
    """How calls are written."""
    inners = [inner(one.cell, 1) for one in seen if "calls" in one.given]
    alone = inner(several[0], 1)
    if any(found.items != alone.items for found in inners):
        raise Inexpressible("calls are written otherwise beside content")
    befores, afters = [found.before for found in inners], [found.after for found in inners]
    if len(several) == 3:
        one, two, three = several
        return repeated(one, two, three, befores, afters)
    lead = min(shared_end(alone.before, before) for before in befores)
    trail = min(shared_start(alone.after, after) for after in afters)
    before = alone.before[len(alone.before) - lead :]
    return Repeated((), (*before, *alone.items[0], *alone.after[:trail]), (), ())


def holds(seen: Sequence[Observation], slot: str) -> bool:
    """Whether a slot that is given beside calls is written, wherever it stands."""
    beside = [one.cell for one in seen if {slot, "calls"} <= one.given]
    return all(any(isinstance(a, Ref) and a.slot == slot for a in cell) for cell in beside)


def _ids(prober: Prober, form: CallForm, rule: Repeated, table: dict[str, Any]) -> None:
    """What ids must look like."""
    free = form.wire(prober.word().lower(), {}, "call_0123-456789_abcdef")
    if not isinstance(_tried(prober, [free]), Trace):
        table["ids"] = NINE
        table["ids_hint"] = "nine letters or digits"
    elif Ref("call_id") in rule.each:
        table["ids"] = IDS
        table["ids_hint"] = "letters, digits and _ . : -"


def _check_arguments(prober: Prober, form: CallForm, draft: Draft) -> None:
    """Refuse a template that writes some arguments as JSON and others not.

    Raises:
        Inexpressible: If it does.
    """
    for arguments in (*SAMPLES, {}):
        name = prober.word().lower()
        trace = _tried(prober, [form.wire(name, arguments, prober.word() + "0123")])
        written = isinstance(trace, Trace) and dump_json(arguments) in trace.text
        if written:
            continue
        if not arguments:
            draft.known.setdefault("limits", []).append("calls without arguments")
            continue
        raise Inexpressible(f"it does not write the arguments {dump_json(arguments)} as JSON")
