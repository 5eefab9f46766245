"""A generation prompt that is not what stands before a reply in training.

Only its words and white space are repaired. Where it opens a block of reasoning, or anything else
with a token of its own, the model may have been trained so, and nobody but its makers can tell.
"""

from __future__ import annotations

from collections.abc import Iterator

from jinja2 import nodes

from rolecall.audit.ending import answered, tokens_in
from rolecall.audit.finding import Finding
from rolecall.audit.messages import user
from rolecall.audit.outcome import Outcome
from rolecall.repair.chain import Piece, respell
from rolecall.repair.edit import Candidate
from rolecall.repair.literals import Literal, literals
from rolecall.repair.syntax import Syntax
from rolecall.repair.trial import Trial
from rolecall.template.tokens import common_prefix

RULES = ("generation-prompt-not-trained-prefix",)
OPT_IN = ""
WHY = (
    "it differs from what stands before a reply in more than words and white space, and only the "
    "model's makers know which of the two it was trained on"
)


def propose(trial: Trial, finding: Finding) -> Iterator[Candidate]:
    """The literal of the generation prompt, as it stands before replies."""
    probe, syntax = trial.probe, trial.syntax
    prompt, full = probe.generation_prompt, answered(probe)
    place = full.place(1)
    start = len(probe.run([user()]).text)
    if not prompt or place is None or place[0] < start:
        return
    header = full.text[start : place[0]]
    tokens = [[token[0] for token in tokens_in(probe, one)] for one in (prompt, header)]
    if tokens[0] != tokens[1] or not full.text.startswith(probe.run([user()]).text):
        return
    for one in literals(syntax):
        if not one.text or not _asked(syntax, one):
            continue
        at = prompt.find(one.text)
        while at >= 0:
            tail = prompt[at + len(one.text) :]
            if header.startswith(prompt[:at]) and header[at:].endswith(tail):
                text = header[at : len(header) - len(tail)]
                piece = Piece(one.node, one.place, one.text, one.quoted, False)
                says = f"The generation prompt is {header!r}, as before a reply."
                yield Candidate((respell(syntax, piece, text),), says)
            at = prompt.find(one.text, at + 1)


def _asked(syntax: Syntax, one: Literal) -> bool:
    """Whether a literal is written where a generation prompt is asked for."""
    return any(
        isinstance(above, (nodes.If, nodes.CondExpr))
        and "add_generation_prompt" in syntax.text(above.test)
        for above in syntax.ancestors(one.node)
    )


def concerns(old: Outcome, new: Outcome) -> bool:
    """A generation prompt was asked for, and nothing before it is another text."""
    asked = old.conversation.get("options", {}).get("add_generation_prompt")
    if not asked or not old.ok or not new.ok or old.trace is None:
        return False
    given = [span.end for span in old.trace.spans if span.origin.kind not in ("template", "token")]
    return len(common_prefix(old.text, new.text)) >= max(given, default=0)
