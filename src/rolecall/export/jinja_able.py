"""Which formats a template can follow, and which only an interpreter of them could."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rolecall.export.jinja_patterns import NoTemplate
from rolecall.export.jinja_rewrite import MOVED
from rolecall.pattern import DOCUMENT_TOKENS, Literal, Pattern, Slot, walk

if TYPE_CHECKING:
    from rolecall.format import Format

RESERVED = (
    *("and", "else", "false", "if", "in", "is", "none", "not", "or", "true"),
    *(
        "False",
        "None",
        "True",
        "loop",
        "messages",
        "namespace",
        "raise_exception",
        "range",
        "tools",
    ),
    *("add_generation_prompt", "authors", "continue_final_message", "continuing", "documents"),
    *("bos_token", "eos_token", "speaker", "strftime_now", "chat_template", "tokenize"),
)
"""Names that mean something in every template, or to those who render one."""

RUNS = "a run of text begins in some turns and not in others"


def check(fmt: Format) -> None:
    """Refuse what a template could follow only by interpreting the format.

    Raises:
        NoTemplate: If it does such a thing.
    """
    merges = {spec.author for spec in fmt.specs if spec.merge is not None}
    if merges and fmt.calls is not None and fmt.calls.id:
        raise NoTemplate(f"{fmt.name}: turns are merged and calls are numbered")
    if "model" in merges and fmt.reasoning.keeps != ("all",):
        raise NoTemplate(f"{fmt.name}: turns whose reasoning is dropped are merged")
    if "owner" in merges and fmt.system.place in MOVED:
        raise NoTemplate(f"{fmt.name}: system messages are merged and moved")
    for spec in fmt.specs:
        trimmed = (node for node in walk(spec.body) if isinstance(node, Slot))
        if spec.merge is not None and any(node.filter == "trim-parts" for node in trimmed):
            raise NoTemplate(f"{fmt.name}: turns are merged and trimmed part by part")
    for spec in fmt.specs if fmt.dummy_prefix else ():
        if spec.group is not None or spec.final_end is not None or spec.call_end is not None:
            raise NoTemplate(f"{fmt.name}: {RUNS}")


def check_names(fmt: Format, template: str) -> None:
    """Refuse options that are called as something that the template has of its own.

    Raises:
        NoTemplate: If there is one.
    """
    taken = {*RESERVED, *re.findall(r"{%- (?:set|macro) (\w+)", template)}
    for names in re.findall(r"{%- for ([\w, ]+) in ", template):
        taken.update(names.split(", "))
    for name in fmt.options:
        if name in taken:
            raise NoTemplate(
                f"{fmt.name}: an option of a template cannot be called {name!r}, which has a "
                "meaning of its own there; give the option another name"
            )


def ends_in_token(pattern: Pattern) -> bool:
    """Whether what stands behind a pattern stands behind a control token, or behind nothing."""
    last = pattern[-1] if pattern else None
    if isinstance(last, Literal):
        return last.control
    return last is None or (isinstance(last, Slot) and last.name in DOCUMENT_TOKENS)
