"""Learning how reasoning is written, which turns keep it, and what options say of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain, combinations
from typing import Any

import jinja2
from jinja2 import meta

from rolecall.learn.calls import holds, pulled_out
from rolecall.learn.cells import Cell, Key, Ref, fit, flat
from rolecall.learn.draft import Draft, Inexpressible
from rolecall.learn.model import (
    ANSWERED,
    EARLIER,
    LAST,
    CallForm,
    Observation,
    fit_body,
    observations,
    policies,
    set_body,
    wire_message,
)
from rolecall.learn.probe import Prober
from rolecall.learn.settle import settle
from rolecall.learn.spots import tokens
from rolecall.schema import TURN_SLOTS
from rolecall.template.trace import Trace


def reasoning(prober: Prober, draft: Draft) -> None:
    """Learn how a model's turn writes reasoning.

    Args:
        prober: Tries conversations.
        draft: What was learnt so far; it is extended.

    Raises:
        Inexpressible: If reasoning is not written, or in a way that the format language has no
            words for.
    """
    prober.step = "reasoning"
    seen = list(_seen(prober, draft))
    if not any(_holds(one.cell) for one in seen):
        raise Inexpressible("it writes no reasoning")
    try:
        body = fit_body(seen, policies())
    except Inexpressible:
        # What is left of reasoning in earlier turns may be out of order, and is not claimed then.
        seen = [one for one in seen if one.context is not EARLIER or "reasoning" not in one.given]
        body = fit_body(seen, policies())
    last = [one for one in seen if one.context is LAST]
    draft.known.setdefault("holds", {})["reasoning with calls"] = holds(last, "reasoning")
    table: dict[str, Any] = {}
    if body.policy.keep != "all":
        table["keep"] = body.policy.keep
    if body.policy.thinks != "with-reasoning":
        table["thinks"] = body.policy.thinks
    draft.remove("reasoning")
    if table:
        draft.tables["reasoning"] = table
    set_body(draft, body.pattern)
    for cell in body.cells.values():
        tokens(prober, draft, cell)
    settle(prober, draft, "reasoning")


def _holds(cell: Cell) -> bool:
    return any(isinstance(atom, Ref) and atom.slot == "reasoning" for atom in cell)


def _seen(prober: Prober, draft: Draft) -> Iterator[Observation]:
    claims: set[str] = draft.known.get("claims", set())
    form: CallForm = draft.known.get("form", CallForm())
    parts = ("content", "calls") if "calls" in claims else ("content",)
    bare = _subsets(parts)
    thoughtful = [key | {"reasoning"} for key in bare]
    found = list(observations(prober, draft, (LAST, EARLIER), [*bare, *thoughtful], form))
    if "results" in claims:
        keys = [key for key in (*bare, *thoughtful) if "calls" in key]
        found += observations(prober, draft, (ANSWERED,), keys, form)
    rule = draft.known.get("call_rule")
    yield from found if rule is None else pulled_out(rule, found)


def _subsets(parts: tuple[str, ...]) -> list[Key]:
    sizes = range(len(parts) + 1)
    return [frozenset(some) for some in chain.from_iterable(combinations(parts, n) for n in sizes)]


def options(prober: Prober, draft: Draft) -> None:
    """Learn the options that change nothing but the generation prompt.

    Args:
        prober: Tries conversations.
        draft: What was learnt so far; it is extended.

    Raises:
        Inexpressible: If there are none.
    """
    prober.step = "options"
    names = [name for name in _variables(prober) if _toggles(prober, name)]
    if not names:
        raise Inexpressible("no option changes the generation prompt alone")
    user = [wire_message("client", prober.word())]
    bare = prober.trace(user)
    assert isinstance(bare, Trace)
    usual = prober.trace(user, add_generation_prompt=True)
    assert isinstance(usual, Trace)
    known: str = draft.known["model"]["prompt"]
    if not usual.text.endswith(known):
        raise Inexpressible("the generation prompt is not known")
    before = usual.text[: len(usual.text) - len(known)]
    cells: dict[Key, Cell] = {}
    defaults: dict[str, bool] = {}
    for name in names:
        defaults[name] = _prompted(prober, user, name, True) == usual.text
    for some in _subsets(tuple(names)):
        given: dict[str, Any] = {name: name in some for name in names}
        trace = prober.trace(user, add_generation_prompt=True, **given)
        if not isinstance(trace, Trace) or not trace.text.startswith(before):
            raise Inexpressible("options change more than the end of the generation prompt")
        cells[some] = flat((trace.text[len(before) :],))
    draft.turn("model")["prompt"] = fit(cells, names)
    for name in names:
        draft.table("options", name).update(
            default=defaults[name], doc="Whether it is set changes how the model's turn begins."
        )
    draft.format()


def _variables(prober: Prober) -> list[str]:
    """Names that the template reads and does not set."""
    tree = jinja2.Environment(extensions=["jinja2.ext.loopcontrols"]).parse(
        _plain(prober.template.jinja)
    )
    found: set[str] = meta.find_undeclared_variables(tree)
    found = {name for name in found if re.fullmatch(r"[a-z][a-z0-9_]*", name)}
    return sorted(
        found
        - {*TURN_SLOTS, "messages", "tools", "bos_token", "eos_token", "add_generation_prompt"}
    )


def _plain(jinja: str) -> str:
    """The template without the block that only transformers knows."""
    return re.sub(r"\{%[-+]?\s*(end)?generation\s*[-+]?%\}", "", jinja)


def _prompted(prober: Prober, user: list[dict[str, Any]], name: str, value: bool) -> str | None:
    asked: dict[str, Any] = {"add_generation_prompt": True, name: value}
    trace = prober.trace(user, **asked)
    return trace.text if isinstance(trace, Trace) else None


def _toggles(prober: Prober, name: str) -> bool:
    """Whether an option changes the generation prompt, and nothing else that is tried."""
    user = wire_message("client", prober.word())
    usual = prober.trace([user], add_generation_prompt=True)
    if not isinstance(usual, Trace):
        return False
    texts = {_prompted(prober, [user], name, value) for value in (True, False)}
    if None in texts or len(texts) != 2 or usual.text not in texts:
        return False
    reply = wire_message("model", prober.word(), reasoning=prober.word())
    settings: list[dict[str, Any]] = [{}, {name: True}, {name: False}]
    for messages in (
        [user],
        [wire_message("owner", prober.word()), user, reply],
        [user, reply, user, reply],
    ):
        traces = [prober.trace(messages, **asked) for asked in settings]
        told = {one.text if isinstance(one, Trace) else "" for one in traces}
        if len(told) != 1:
            return False
    return True
