"""Of two system messages at the start one never reaches the prompt.

## Why it matters

Frameworks put their own system message before that of the application, or a memory after it. One of
the two is gone, and which one depends on the template.

## Example

```jinja
{% for message in messages if message.role == 'system' %}
{% set system.text = message.content %}
{% endfor %}
```

Each one replaces the one before.

## What to do instead

Write both: as two turns, or joined by a blank line in one.

## Is a repair safe?

Yes: only conversations with two system messages change.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import system, user
from rolecall.audit.places import system_lost_at_start
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "error"
KIND: Kind = "loses"

SECOND = "You know that the user lives in Lima."


def check(probe: Probe) -> Iterator[Evidence]:
    """Report the one of two leading system messages of which nothing arrives."""
    if system_lost_at_start(probe):
        return
    shown = probe.run([system(), system(SECOND), user()], add_generation_prompt=True)
    if not shown.ok or not shown.reached(2):
        return
    gone = [index for index in (0, 1) if not shown.reached(index)]
    if not gone:
        return
    which = " and the ".join(("first", "second")[index] for index in gone)
    yield Evidence(
        f"Of two system messages at the start the {which} {'is' if len(gone) == 1 else 'are'}"
        " dropped.",
        shown,
        span=shown.gap(gone[0]),
        expected="Both stand in the prompt, or the template raises.",
    )
