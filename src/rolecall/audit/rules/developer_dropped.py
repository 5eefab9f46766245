"""A developer message never reaches the prompt.

## Why it matters

`developer` is what OpenAI's interface calls the system message of its newer models. Programs that
were written for it send their instructions under that role to any model, and a template that knows
`system` only passes over them without a word.

## Example

```jinja
{% if message.role == 'system' %}<|system|>{{ message.content }}
{% elif message.role == 'user' %}<|user|>{{ message.content }}
{% elif message.role == 'assistant' %}<|assistant|>{{ message.content }}{% endif %}
```

## What to do instead

Treat it as a system message, `{% if message.role in ['system', 'developer'] %}`, or raise.

## Is a repair safe?

Yes: only conversations change that lost their instructions.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import developer, user
from rolecall.audit.places import system_lost_at_start
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "error"
KIND: Kind = "loses"


def check(probe: Probe) -> Iterator[Evidence]:
    """Report a leading developer message of which nothing arrives."""
    if system_lost_at_start(probe):
        return
    shown = probe.run([developer(), user()], add_generation_prompt=True)
    if shown.ok and shown.reached(1) and not shown.reached(0):
        yield Evidence(
            "A developer message is dropped: no character of the prompt comes from it.",
            shown,
            span=shown.gap(0),
            expected="It stands where a system message does, or the template raises.",
        )
