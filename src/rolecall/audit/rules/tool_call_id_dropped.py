"""The id that ties a result to its call never reaches the prompt.

A template that writes the id on one side only breaks the tie, which is a warning. One that writes
it on neither has no place for ids, which is a note: results belong to calls by their order.

## Why it matters

Tools finish in any order, and applications append the results as they come. Without ids the model
takes the first result for that of the first call.

## Example

```jinja
{% for call in message.tool_calls %}<call id="{{ call.id }}">{{ call.function | tojson }}</call>
{% endfor %}
{% if message.role == 'tool' %}<result>{{ message.content }}</result>{% endif %}
```

## What to do instead

Write `id` of the call and `tool_call_id` of the result, both. Where the format has no place for
them, put the results into the order of the calls before rendering.

## Is a repair safe?

Not in general: a model that was trained without ids has never seen them.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.places import tool_loop
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "warning"
KIND: Kind = "loses"


def check(probe: Probe) -> Iterator[Evidence]:
    """Report ids that are missing from a call and its result, where both arrive."""
    shown = tool_loop(probe)
    if not shown.reached(1, "tool_calls[0].function") or not shown.reached(2):
        return
    called = shown.reached(1, "tool_calls[0].id")
    answered = shown.reached(2, "tool_call_id")
    if called and answered:
        return
    span = shown.place(2) if called else shown.place(1, "tool_calls")
    if not called and not answered:
        yield Evidence(
            "The format has no place for the ids of tool calls: results belong to calls by order.",
            shown,
            span=span,
            expected="Results stand in the order of the calls.",
            severity="note",
            kind="no-place",
        )
        return
    there, gone = ("call", "result") if called else ("result", "call")
    yield Evidence(
        f"The id of a tool call is written with the {there} and dropped with the {gone}.",
        shown,
        span=span,
        expected="The same id stands in the call and in its result.",
    )
