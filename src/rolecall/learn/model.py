"""A model's turn: content, reasoning and calls tried together, and the body that writes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

from rolecall import strategies
from rolecall.conversation import STANDARD_ROLES, Author
from rolecall.errors import FormatFileError
from rolecall.learn import plain
from rolecall.learn.cells import Cell, Key, fit
from rolecall.learn.draft import Draft, Inexpressible
from rolecall.learn.probe import Prober
from rolecall.learn.spots import (
    PADS,
    Needle,
    Wire,
    Written,
    ended,
    frame,
    located,
    message_field,
    read,
    without_end,
)
from rolecall.pattern import Piece, dump_json
from rolecall.template.layout import REASONING_FIELDS
from rolecall.template.trace import Trace
from rolecall.turn import Call, Turn, TurnSpec

VARIABLES = ("calls", "thinks", "reasoning", "content")
"""Slots that the body of a model's turn may ask for."""


@dataclass(frozen=True, slots=True)
class CallForm:
    """How calls are handed to the template."""

    arguments: str = "object"
    """``object``, or ``string`` where the template wants JSON as text."""

    def wire(self, name: str, arguments: Mapping[str, Any], call_id: str) -> Wire:
        """One call in wire form."""
        given: Any = dict(arguments)
        if self.arguments == "string":
            given = dump_json(given)
        function = {"name": name, "arguments": given}
        return {"id": call_id, "type": "function", "function": function}


@dataclass(frozen=True, slots=True)
class Context:
    """A conversation around a model's turn."""

    authors: tuple[Author, ...]
    index: int
    """Which of the messages is the turn in question."""


LAST = Context(("client", "model"), 1)
EARLIER = Context(("client", "model", "client"), 1)
ANSWERED = Context(("client", "model", "tool"), 1)


@dataclass(frozen=True, slots=True)
class Observation:
    """What a turn says in one context."""

    context: Context
    given: Key
    """What the message holds: ``content``, ``reasoning``, ``calls``."""
    cell: Cell


def wire_message(
    author: Author, content: str, *, calls: Sequence[Wire] = (), reasoning: str = ""
) -> Wire:
    """A message in wire form, reasoning under all its names."""
    role = next(role for role, who in STANDARD_ROLES.items() if who == author)
    made: Wire = {"role": role, "content": content}
    if reasoning:
        made |= dict.fromkeys(REASONING_FIELDS, reasoning)
    if calls:
        made["tool_calls"] = list(calls)
    return made


def observations(
    prober: Prober,
    draft: Draft,
    contexts: Sequence[Context],
    given: Sequence[Key],
    form: CallForm,
) -> Iterator[Observation]:
    """What a model's turn says in these contexts; what the template refuses is left out.

    Args:
        prober: Tries the conversations.
        draft: The draft, which knows what stands around a turn.
        contexts: Where the turn stands.
        given: What the message holds, each tried in every context.
        form: How calls are given.

    Raises:
        Inexpressible: If what stands around the turn changes with what it says.
    """
    for context, key in product(contexts, given):
        try:
            cell = _observed(prober, draft, context, key, form)
        except Inexpressible:
            if key & {"content", "calls"}:
                raise
            # A turn that says nothing may be cut short; random conversations tell what that means.
            cell = None
        if cell is not None:
            yield Observation(context, key, cell)


def _observed(
    prober: Prober, draft: Draft, context: Context, key: Key, form: CallForm
) -> Cell | None:
    word, thought, name = prober.word(), prober.word(), prober.word().lower()
    others = [prober.word() for _ in context.authors]
    arguments = {prober.word(): prober.word()}
    call_id = f"{prober.word()}0123"
    call = form.wire(name, arguments, call_id)
    spoken = [wire_message(a, other) for a, other in zip(context.authors, others, strict=True)]
    spoken[context.index]["content"] = word
    for message in spoken:
        if message["role"] == "tool":
            message |= {"tool_call_id": call_id, "name": name}
    around = frame(draft, "model", spoken, word, **draft.known.get("options", {}))
    if around is None:
        return None
    spelled = dump_json(arguments)
    # Names and ids are found by their text too, where their origin is lost.
    needles = {spelled: Needle("arguments#0", spelled), name: Needle("call_name#0", name)}
    needles[call_id] = Needle("call_id#0", call_id)
    probes: list[Written] = []
    own = False
    for before, after in PADS:
        message = wire_message(
            "model",
            before + word + after if "content" in key else "",
            calls=[call] if "calls" in key else (),
            reasoning=before + thought + after if "reasoning" in key else "",
        )
        messages = [*spoken[: context.index], message, *spoken[context.index + 1 :]]
        trace = prober.trace(messages)
        if not isinstance(trace, Trace):
            return None
        if "calls" in key:
            start, end, own = ended(trace, around)
        else:
            start, end = located(trace, around)
        probes.append(Written(trace, start, end, needles, {"0": "index#0"}))
    cell = read(probes, message_field(context.index))
    return without_end(draft, cell) if own else cell


@dataclass(frozen=True, slots=True)
class Policy:
    """Which turns keep their reasoning, and which have a block for it."""

    keep: str = "all"
    thinks: str = "with-reasoning"

    def key(self, seen: Observation) -> Key:
        """The slots that are filled in a turn under this policy."""
        found = set(seen.given & {"content", "calls", "reasoning"})
        turns = _turns(seen)
        if seen.context.index < strategies.KEEP[self.keep].apply(turns):
            found.discard("reasoning")
            turns[seen.context.index].values.pop("reasoning", None)
        if strategies.THINKS[self.thinks].apply(turns, seen.context.index):
            found.add("thinks")
        return frozenset(found)


def _turns(seen: Observation) -> list[Turn]:
    """The turns of a context, as strategies see them."""
    turns: list[Turn] = []
    for number, author in enumerate(seen.context.authors):
        turn = Turn(TurnSpec(author, author), author, author, None, number)
        held = seen.given if number == seen.context.index else frozenset(("content",))
        for slot in held & {"content", "reasoning"}:
            turn.values[slot] = (Piece("-", "content"),)
        if "calls" in held:
            turn.calls = [Call(number, 0, "-", {}, None)]
        turns.append(turn)
    return turns


class Body(NamedTuple):
    """What was learnt of a model's turn."""

    pattern: str
    policy: Policy
    cells: Mapping[Key, Cell]


def fit_body(seen: Sequence[Observation], policies: Sequence[Policy]) -> Body:
    """The simplest body, and the policy under which it writes everything that was seen.

    Raises:
        Inexpressible: If there is none.
    """
    found: list[Body] = []
    problem: Inexpressible | None = None
    for policy in policies:
        cells: dict[Key, Cell] = {}
        clash = False
        for one in seen:
            key = policy.key(one)
            if cells.setdefault(key, one.cell) != one.cell:
                clash = True
        if clash:
            continue
        try:
            found.append(Body(fit(cells, VARIABLES), policy, cells))
        except Inexpressible as error:
            problem = error
    if not found:
        raise problem or Inexpressible("what a model's turn says depends on more than where it is")
    return min(found, key=lambda body: len(body.pattern))


def policies() -> list[Policy]:
    """Every policy, the plainest first."""
    return [Policy(k, t) for t, k in product(strategies.THINKS, strategies.KEEP)]


def set_body(draft: Draft, pattern: str) -> None:
    """Make a pattern the body of the model's turns, so that it can begin as its prompt does."""
    turn = draft.turn("model")
    turn["body"] = pattern
    prompt = draft.known.get("model", {}).get("prompt")
    if not prompt:
        return
    try:
        draft.format()
    except FormatFileError as error:
        if "`prompt`" not in str(error):
            raise
        turn["body"] = plain.prompted(draft, prompt, pattern)
