"""Rendering a small conversation had to be stopped: it took too long or wrote too much.

After two such conversations no further one is tried, so the report is not complete then.

## Why it matters

A template runs on the machine that serves the model. One that loops without end on a conversation
that a user can send takes that machine down; serving engines set no limit of their own.

## Example

```jinja
{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}
```

Jinja's sandbox refuses one range that is too long, and not two within each other.

## What to do instead

Loop over messages, parts and calls only. Do not load a template that needs more than that from
someone you do not trust.

## Is a repair safe?

None is made: what was meant cannot be known.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence, Group

SEVERITY: Severity = "error"
KIND: Kind = "breaks"
GROUP: Group = "refused"
UNRENDERED = True
LAST = True


def check(probe: Probe) -> Iterator[Evidence]:
    """Report the first conversation that had to be stopped."""
    # Where this rule runs alone, nothing was tried yet.
    _ = probe.hello, probe.chat, probe.keeps_system, probe.takes_tools, probe.takes_calls
    for outcome in probe.limits[:1]:
        reason = (outcome.reason or "").removeprefix(f"{probe.source.name}: ")
        yield Evidence(
            f"A small conversation had to be stopped: {reason!r}.",
            outcome,
            expected="It renders at once.",
        )
