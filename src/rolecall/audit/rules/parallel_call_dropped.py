"""Of several calls in one turn one never reaches the prompt.

## Why it matters

Models ask for several things at once. The prompt then holds one call and two results, or a call and
the wrong result beside it, and nothing is raised.

## Example

```jinja
{% if message.tool_calls %}<tool_call>{{ message.tool_calls[0].function | tojson }}</tool_call>
{% endif %}
```

## What to do instead

Write every call in a loop. A template of a model that makes one call a turn should raise on more,
as that of Llama 3.1 does.

## Is a repair safe?

Yes: only turns with several calls change.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import calling, user
from rolecall.audit.places import two_calls, two_results, with_tools
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "error"
KIND: Kind = "loses"


def check(probe: Probe) -> Iterator[Evidence]:
    """Report a turn of two calls of which one arrives, or the name or arguments of one."""
    turns = [user(), calling(*two_calls(probe))]
    for messages, options in (
        ([*turns, *two_results()], {"add_generation_prompt": True}),
        (turns, {}),
    ):
        shown = with_tools(probe, messages, **options)
        for part in ("name", "arguments"):
            there = [shown.reached(1, f"tool_calls[{call}].function.{part}") for call in (0, 1)]
            if sum(there) != 1:
                continue
            gone = there.index(False)
            what = "call" if part == "name" else "call's arguments"
            yield Evidence(
                f"Of two tool calls in one turn the {('first', 'second')[gone]} {what}"
                f" {'is' if part == 'name' else 'are'} dropped.",
                shown,
                span=shown.turn(1) or shown.gap(1),
                expected="Both calls stand in the assistant's turn, or the template raises.",
            )
            return
