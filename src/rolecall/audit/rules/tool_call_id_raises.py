"""The template raises on the ids of tool calls: on OpenAI's form of them, or where there are none.

The same calls with ids of nine letters and digits render. Where a template only asks that there is
an id, it is a note.

## Why it matters

Ids come from the program that ran the call: OpenAI's begin with `call_` and hold two dozen letters,
others are UUIDs. Examples in transformers' documentation have none. An agent that was started with
another model, or data for training made with one, cannot be rendered. Who runs agents or trains on
calls has to rewrite the ids.

## Example

```jinja
{% if tool_call.id is not defined or tool_call.id | length != 9 %}
{{ raise_exception('Tool call IDs should be alphanumeric strings with length 9!') }}{% endif %}
```

## What to do instead

An application gives ids of nine letters and digits, the same for a call and its result. A template
can write the last nine characters of what it is given, and make one up from the number of the call
where there is none.

## Is a repair safe?

Only conversations that raised before change. Cut ids may be the same for two calls: cut at the end
at which they differ.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import CITY, call, calling, result, user
from rolecall.audit.outcome import Outcome
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "warning"
KIND: Kind = "refuses"

OPENAI_ID = "call_Jk2mXw4QpZr7sTvB9nLcYd3e"
"""As long as OpenAI's are, and of the same letters."""


def check(probe: Probe) -> Iterator[Evidence]:
    """Report a template that takes ids of one form only."""
    tried: dict[str, Outcome] = {}
    arguments = probe.arguments({"city": CITY})
    control = probe.run([user(), calling(call(arguments=arguments)), result()])
    for what, call_id in (
        (f"a tool call with an id of OpenAI's form, {OPENAI_ID!r},", OPENAI_ID),
        ("a tool call without an id", None),
    ):
        made = calling(call(arguments=arguments, call_id=call_id))
        shown = probe.run([user(), made, result(call_id=call_id)])
        if probe.refuses(shown, control):
            tried[what] = shown
    if tried:
        shown = next(iter(tried.values()))
        what = " and ".join(tried)
        yield Evidence(
            f"{what[0].upper()}{what[1:]} {'raise' if len(tried) > 1 else 'raises'} "
            f"{shown.reason!r}.",
            shown,
            expected="It renders, as it does with an id of nine letters and digits.",
            severity="note" if shown.messages[1]["tool_calls"][0].get("id") is None else None,
        )
