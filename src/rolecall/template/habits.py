"""What a template writes around a model's turn, found by rendering a small conversation."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from rolecall.errors import TemplateError
from rolecall.template.tokens import common_prefix, control_pattern
from rolecall.template.trace import Prepared, Trace

if TYPE_CHECKING:
    from rolecall.template.template import Template


class Habits(NamedTuple):
    """What a template writes around any turn of the model's."""

    prompt: str = ""
    """Its generation prompt; empty where it writes none."""
    end: frozenset[str] = frozenset()
    """Control tokens that end what a model says."""


def habits(
    template: Template,
    control: Collection[str] | None,
    tools: Sequence[Any] | Prepared | None,
    options: Mapping[str, Any],
) -> Habits:
    """Try the template out.

    Args:
        template: The template.
        control: The control tokens, or None where they are not known.
        tools: Tool schemas to give.
        options: Options to give.
    """
    eos = template.source.tokens.get("eos_token")
    ends = frozenset((*template.source.eos, *((eos,) if eos else ())))
    for question in _questions():
        try:
            without = template.trace(question, tools, **options)
            prompted = template.trace(question, tools, **options, add_generation_prompt=True)
        except TemplateError:
            continue
        prompt = _added(without.text, prompted.text, control)
        answer = {"role": "assistant", "content": question[-1]["content"]}
        try:
            answered = template.trace([*question, answer], tools, **options)
        except TemplateError:
            return Habits(prompt, ends)
        return Habits(prompt, _ends(answered, len(question), control, ends))
    return Habits("", ends)


def _added(without: str, prompted: str, control: Collection[str] | None) -> str:
    """What only the prompted text has, whole tokens."""
    start = len(common_prefix(without, prompted))
    for found in control_pattern(control).finditer(prompted):
        if found.start() < start < found.end():
            return prompted[found.start() :]
    return prompted[start:]


def _questions() -> Iterator[list[dict[str, Any]]]:
    """Conversations that end with the user; a template may refuse some of them."""
    typed = [{"type": "text", "text": "x"}]
    for content in ("x", typed):
        user = {"role": "user", "content": content}
        yield [user]
        yield [{"role": "system", "content": content}, user]


def _ends(
    trace: Trace, message: int, control: Collection[str] | None, known: frozenset[str]
) -> frozenset[str]:
    """The token that ends the last message.

    It is a known end token among those that follow what was said without text between them, or
    else the last of them.
    """
    said = [span.end for span in trace.spans if span.origin[:2] == ("caller", message)]
    tail = trace.text[max(said, default=len(trace.text)) :]
    following: list[str] = []
    at = None
    for found in control_pattern(control).finditer(tail):
        if at is not None and found.start() != at:
            break
        following.append(found[0])
        at = found.end()
    return known & set(following) or frozenset(following[-1:])
