"""What the assistant says beside a call of a tool never reaches the prompt.

## Why it matters

Models announce what they are about to do, and plans for several steps stand in such text. The user
saw it, and in the next step the model does not.

## Example

```jinja
{% if message.tool_calls %}[TOOL_CALLS]{{ message.tool_calls | tojson }}
{% else %}{{ message.content }}{% endif %}
```

## What to do instead

Write `content` where there is any, and then the calls.

## Is a repair safe?

Mostly: prompts without such text do not change. A model may never have been trained to say anything
beside a call.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import calling, result, user
from rolecall.audit.places import city_call, with_tools
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "error"
KIND: Kind = "loses"

TEXT = "Let me look that up."


def check(probe: Probe) -> Iterator[Evidence]:
    """Report text beside a call that does not arrive, where the call does."""
    shown = with_tools(
        probe,
        [user(), calling(city_call(probe), content=TEXT), result()],
        add_generation_prompt=True,
    )
    if shown.reached(1, "tool_calls[0].function") and not shown.reached(1):
        yield Evidence(
            "What the assistant says beside a tool call is dropped.",
            shown,
            span=shown.turn(1) or shown.place(1, "tool_calls"),
            expected=f"The text stands in the turn of the call: {TEXT!r}.",
        )
