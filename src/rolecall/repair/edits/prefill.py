"""A prompt that ends behind the end token of what the model is to continue.

The messages alone cannot say whether the last reply is finished or begun. Whoever asks for a
generation prompt asks the model to go on, and training never does: so the end is left out there
and nowhere else. transformers' ``continue_final_message`` cuts the text itself and hands the
template nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from jinja2 import nodes

from rolecall.audit.ending import end_in_history
from rolecall.audit.finding import Finding
from rolecall.audit.outcome import Outcome
from rolecall.repair.chain import pieces
from rolecall.repair.conditions import relaxed
from rolecall.repair.edit import Candidate, Edit
from rolecall.repair.literals import cut_end
from rolecall.repair.loops import loop_of, quote_of
from rolecall.repair.syntax import Place, Syntax
from rolecall.repair.trial import Trial

RULES = ("prefill-closed",)
OPT_IN = ""
# That the message is left open is now told of as what add_generation_prompt does.
TRADES = ("generation-prompt-after-assistant",)
WHY = "no place in the template writes the end of the assistant's turn alone"


def propose(trial: Trial, finding: Finding) -> Iterator[Candidate]:
    """Open the turn that the generation prompt asks for, or leave out the end of the last one."""
    syntax = trial.syntax
    for candidate in relaxed(syntax):
        if "add_generation_prompt" in syntax.jinja and trial.probe.generation_prompt:
            yield candidate
    end = (end_in_history(trial.probe) or "").strip()
    for condition in ("loop.last and add_generation_prompt",):
        yield from _left_open(syntax, end, condition)


def _left_open(syntax: Syntax, end: str, condition: str) -> Iterator[Candidate]:
    empty = quote_of(syntax.jinja) * 2
    says = "The end of the last reply is not written where a generation prompt is asked for."
    for node in syntax.find(nodes.Name):
        place = syntax.place(node)
        if node.name == "eos_token" and node.ctx == "load" and place is not None:
            if loop_of(syntax, node) is None:
                continue
            alone = syntax.tag(node) is not None
            chosen = f"{empty} if {condition} else eos_token"
            yield Candidate((Edit(place, chosen if alone else f"({chosen})"),), says)
            rest = _with_rest(syntax, node, place)
            if rest != place:
                text = syntax.jinja[rest.start : rest.end]
                yield Candidate((Edit(rest, f"({empty} if {condition} else {text})"),), says)
    if end:
        yield from (Candidate(edits, says) for edits in cut_end(syntax, end, f"not ({condition})"))


def _with_rest(syntax: Syntax, node: nodes.Node, place: Place) -> Place:
    """A token with what is joined to it on the right, and with blanks on its left."""
    whole = node
    for above in syntax.ancestors(node):
        if not isinstance(above, (nodes.Add, nodes.Concat)):
            break
        whole = above
    row = pieces(syntax, whole)
    at = next((number for number, one in enumerate(row) if one.place == place), None)
    if at is None:
        return place
    first = at
    while first and (text := row[first - 1].literal) is not None and not text.strip():
        first -= 1
    return Place(row[first].place.start, row[-1].place.end)


def concerns(old: Outcome, new: Outcome) -> bool:
    """The model is asked to go on behind its own last message."""
    asked = old.conversation.get("options", {}).get("add_generation_prompt")
    if not asked or not old.ok or not old.messages:
        return False
    # What follows on the old text is cut off, or a turn is opened behind it.
    last = len(old.messages) - 1
    if old.messages[last].get("role") != "assistant":
        return False
    if new.text.startswith(old.text):
        return True
    # The text ends where the words do: a blank behind them is no beginning of what follows.
    place = new.place(last)
    return old.text.startswith(new.text) and (place is None or place[1] == len(new.text))
