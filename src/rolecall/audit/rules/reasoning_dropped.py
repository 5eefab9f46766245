"""Reasoning of the turn under way never reaches the prompt.

Many formats leave out the reasoning of turns before the last question, and mean to. What is
reported is reasoning lost while tools are used, or in the last answer: the model is still at it, or
learns from it. A template that writes reasoning nowhere has no place for it, which is a note.

## Why it matters

Between two calls of tools the model has to think everything anew, or goes on as if it had not
thought. A sample of training data whose reasoning is gone teaches the model to answer without.

## Example

```jinja
{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}
```

Said of every assistant's message, this also cuts the last one.

## What to do instead

Write `reasoning_content` in every turn after the last user's message, and cut reasoning from the
turns before it only.

## Is a repair safe?

Yes for what stands after the last question, where models are trained with their reasoning.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import REASONING, assistant, calling, result, text_part, user
from rolecall.audit.outcome import Outcome
from rolecall.audit.places import city_call, has_place_for_tools, tool_loop, with_tools
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence
from rolecall.audit.thinking import FIELDS, inline, tags

SEVERITY: Severity = "error"
KIND: Kind = "loses"

ANSWER = "Good day to you."
SWITCHES: tuple[dict[str, Any], ...] = (
    {"enable_thinking": True},
    {"thinking": True},
    {"skip_think": False},
)
"""Options that templates ask whether to write reasoning at all."""
NO_SWITCH: dict[str, Any] = {}
EVERY_SWITCH: dict[str, Any] = {
    name: value for switch in SWITCHES for name, value in switch.items()
}


def check(probe: Probe) -> Iterator[Evidence]:
    """Report reasoning in a field and in the content that is missing where the model needs it."""
    cut = _inline(probe)
    found = _place(probe)
    if found is not None:
        yield from _field(probe, *found)
    elif cut is None and not _typed(probe):
        shown = _last(probe, {FIELDS[0]: REASONING}, {})
        # Where a template with tools raises on their use, it may be there that it has its place.
        used = tool_loop(probe).ok or not has_place_for_tools(probe)
        if used and shown.reached(0) and shown.reached(1):
            yield Evidence(
                "The format has no place for reasoning: no field of it reaches the prompt.",
                shown,
                span=shown.turn(1) or shown.gap(1),
                expected="Reasoning that has to be kept is put into the content.",
                severity="note",
                kind="no-place",
            )
    if cut is not None:
        yield cut


def _last(probe: Probe, fields: dict[str, str], options: dict[str, Any]) -> Outcome:
    """An answer with reasoning at the end of the conversation."""
    return probe.run([user(), assistant(**fields)], **options)


def _loop(probe: Probe, fields: dict[str, str], options: dict[str, Any]) -> Outcome:
    """A call with reasoning, and its result."""
    acting = calling(city_call(probe), **fields)
    return with_tools(probe, [user(), acting, result()], add_generation_prompt=True, **options)


def _place(probe: Probe) -> tuple[str, dict[str, Any]] | None:
    """The first field that arrives anywhere, and the options under which it does."""
    everything: dict[str, str] = dict.fromkeys(FIELDS, REASONING)
    for together, options in ((NO_SWITCH, (NO_SWITCH,)), (EVERY_SWITCH, SWITCHES)):
        for run in (_last, _loop):
            # All fields in one go, since most templates know none of them.
            shown = run(probe, everything, together)
            if shown.ok and not any(shown.reached(1, field) for field in FIELDS):
                continue
            for option in options:
                for field in FIELDS:
                    if run(probe, {field: REASONING}, option).reached(1, field):
                        return field, option
    return None


def _typed(probe: Probe) -> bool:
    """Whether reasoning arrives as a part of typed content."""
    content = [{"type": "thinking", "thinking": REASONING}, text_part(ANSWER)]
    shown = probe.run([user(), assistant(content)])
    # Where the type of the part is there too, the list is merely printed.
    return shown.reached(1, "content[0].thinking") and not shown.reached(1, "content[0].type")


def _field(probe: Probe, field: str, options: dict[str, Any]) -> Iterator[Evidence]:
    """Report the places where a field that the template knows is not written."""
    last = _last(probe, {field: REASONING}, options)
    loop = _loop(probe, {field: REASONING}, options)
    for words, shown, there in (
        ("while tools are used", loop, loop.reached(1, "tool_calls")),
        ("in the last answer", last, last.reached(1)),
    ):
        if there and not shown.reached(1, field):
            yield Evidence(
                f"Reasoning is dropped {words}: {field} does not reach the prompt.",
                shown,
                span=shown.turn(1) or shown.gap(1),
                expected=f"It stands in the assistant's turn: {REASONING!r}.",
            )
            return


def _inline(probe: Probe) -> Evidence | None:
    """Whether reasoning in the content of the last answer is cut off."""
    text = inline(probe, ANSWER)
    start = text.index(REASONING)
    end = start + len(REASONING)
    tried = [
        probe.run([user(), assistant(text)], **options) for options in (NO_SWITCH, EVERY_SWITCH)
    ]
    for shown in tried:
        arrived = [(a, b) for _, a, b in shown.ranges(1)]
        if not arrived or shown.spelled(1) or any(a < end and start < b for a, b in arrived):
            return None
    shown = tried[0]
    return Evidence(
        f"Reasoning in the content is cut off in the last answer, up to {tags(probe)[1]!r}.",
        shown,
        span=shown.turn(1) or shown.gap(1),
        expected=f"It stands in the assistant's turn: {REASONING!r}.",
    )
