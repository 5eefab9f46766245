"""The template raises on a conversation that begins with a system message.

The same conversation without it renders, so the system message is what it raised on.

## Why it matters

Most applications and most chat programs send a system prompt with every request. With this template
each of these requests fails, or the serving program drops the message in a way of its own.

## Example

```jinja
{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}
```

## What to do instead

To raise is honest for a model that was trained without system messages, and better than to drop
them. An application puts such text in front of the first user message. A template can do the same.

## Is a repair safe?

Folding the text into the first user message changes nothing that rendered before, but the model may
not have been trained on it.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import system, user
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "warning"
KIND: Kind = "refuses"


def check(probe: Probe) -> Iterator[Evidence]:
    """Report a template that refuses a leading system message."""
    shown = probe.run([system(), user()], add_generation_prompt=True)
    if probe.refuses(shown, probe.hello):
        yield Evidence(
            f"A system message at the start raises {shown.reason!r}.",
            shown,
            expected="It renders, as it does without the system message.",
        )
