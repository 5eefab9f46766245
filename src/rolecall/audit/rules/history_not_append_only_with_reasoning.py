r"""The reasoning of a reply is taken out, or written otherwise, once the conversation goes on.

Between a tool call and the reply to its result this is graver than from one question to the next,
from where many models were trained without earlier reasoning.

## Why it matters

The model no longer sees why it did what it did. What it computed of the last prompt cannot be used
for the next, and what trains on several turns at once trains on a text that the model never wrote.

## Example

```jinja
{% set content = message.content.split('</think>')[-1] if not loop.last else message.content %}
```

## What to do instead

Keep reasoning at least until the next message of the user, so that a tool loop is one text. For
training, split such a conversation after each turn of the model.

## Is a repair safe?

Not in general: a model trained without earlier reasoning may not know what to do with it.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.ending import parting, quoted
from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import (
    REASONING,
    again,
    assistant,
    call,
    calling,
    result,
    user,
    weather,
)
from rolecall.audit.outcome import Outcome
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence
from rolecall.audit.thinking import FIELDS, field, inline

SEVERITY: Severity = "note"
KIND: Kind = "breaks"


def check(probe: Probe) -> Iterator[Evidence]:
    """Report a tool loop in which reasoning changes, or else two questions."""
    for where, severity, first, later, thought, said in _tried(probe):
        place, ends = first.place(1, thought), first.place(1, said)
        if place is None or ends is None or not later.ok or first.missing(1, thought):
            continue
        end = max(place[1], ends[1])
        if later.text.startswith(first.text[:end]):
            continue
        same = parting(probe, first.text[:end], later.text)
        gone = not later.reached(1, thought) or bool(later.missing(1, thought))
        # In the content reasoning changes with everything else, which is the other rule's.
        if not gone and thought == said:
            continue
        what = "is taken out" if gone else "is written otherwise"
        yield Evidence(
            f"The reasoning of a reply {what} as soon as {where}.",
            later,
            span=(same, same) if gone else later.place(1, thought),
            expected=f"What was written before stands unchanged: {quoted(first.text[same:end])}.",
            severity=severity,
        )
        return


def _tried(probe: Probe) -> Iterator[tuple[str, Severity, Outcome, Outcome, str, str]]:
    """What follows, how grave it is, first and later, and the fields of reasoning and answer."""
    name = field(probe) or FIELDS[0]
    if probe.takes_tools and probe.takes_calls:
        arguments = probe.arguments({"city": "Lima"})
        called = calling(call(arguments=arguments), **{name: REASONING})
        tools = [weather()]
        yield (
            "the result of its tool call follows",
            "warning",
            probe.run([user(), called], tools=tools),
            probe.run([user(), called, result()], tools=tools, add_generation_prompt=True),
            name,
            "tool_calls",
        )
    for reasoned, thought in (
        (assistant(**{name: REASONING}), name),
        (assistant(inline(probe, "Good day to you.")), "content"),
    ):
        yield (
            "another question follows",
            "note",
            probe.run([user(), reasoned]),
            probe.run([user(), reasoned, again()], add_generation_prompt=True),
            thought,
            "content",
        )
