"""The template raises as soon as a question was answered and a second one follows.

A single question renders.

## Why it matters

Nobody can talk with the model for more than one turn, unless the application adds to each answer
what the template asks for.

## Example

```jinja
{% if message.role == 'assistant' %}{{ '<think>' + message.reasoning_content }}{% endif %}
```

`reasoning_content` is not in every answer, and joining what is not there to a string raises.

## What to do instead

Ask whether a field is there before writing it, and write the answer without it where it is not.

## Is a repair safe?

Yes: only conversations that raised before change.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "error"
KIND: Kind = "refuses"


def check(probe: Probe) -> Iterator[Evidence]:
    """Report a template that renders one question and no second one."""
    if probe.refuses(probe.chat, probe.hello):
        yield Evidence(
            f"A second question after an answer raises {probe.chat.reason!r}.",
            probe.chat,
            expected="It renders, as the first question alone does.",
        )
