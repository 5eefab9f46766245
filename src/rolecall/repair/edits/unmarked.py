"""``{% generation %}``, which only transformers runs, left out of a template for other engines."""

from __future__ import annotations

from collections.abc import Iterator

from jinja2 import nodes

from rolecall.audit.finding import Finding
from rolecall.audit.outcome import Outcome
from rolecall.repair.edit import Candidate, Edit
from rolecall.repair.syntax import Place
from rolecall.repair.trial import Trial

RULES = ("not-portable-minijinja", "not-portable-huggingface-js", "not-portable-llama-cpp")
OPT_IN = "no-markers"
WHY = "the marks of what the model says are not what the engine cannot run"


def propose(trial: Trial, finding: Finding) -> Iterator[Candidate]:
    """No tag at all, or one that every engine knows and that strips the same white space."""
    syntax = trial.syntax
    bodies = [
        body
        for node in syntax.find(nodes.CallBlock)
        if (body := syntax.body(node.body)) is not None
        and "generation" in syntax.jinja[body.opened.start : body.opened.end]
    ]
    tags = [tag for body in bodies for tag in (body.opened, body.closed)]
    if not tags:
        return
    says = "The marks of what the model says are left out."
    for lines in (True, False):
        edits = (Edit(_around(syntax.jinja, tag, lines), "") for tag in tags)
        yield Candidate(tuple(edits), says)
    instead: list[Edit] = []
    for body in bodies:
        for tag, word in ((body.opened, "if true"), (body.closed, "endif")):
            text = syntax.jinja[tag.start : tag.end]
            said = text.strip("{%-+ }")
            instead.append(Edit(tag, text.replace(said, word)))
    yield Candidate(tuple(instead), "What was marked as the model's is marked no more.")


def _around(jinja: str, tag: Place, lines: bool) -> Place:
    """A tag; with its line, where it has one to itself."""
    begin = jinja.rfind("\n", 0, tag.start) + 1
    alone = not jinja[begin : tag.start].strip() and jinja[tag.end : tag.end + 1] in ("\n", "")
    return Place(begin, min(tag.end + 1, len(jinja))) if lines and alone else tag


def concerns(old: Outcome, new: Outcome) -> bool:
    """No text may change."""
    return False
