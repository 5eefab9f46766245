"""The template raises on a system message that stands behind the first turn.

The same conversation without it renders, and so does a system message at the start. A template that
refuses every system message is left to `system-raises`.

## Why it matters

Agents remind the model of the rules on the way, chat programs put instructions behind the history,
and long conversations are summed up in a system message. Each such request fails. Who writes
applications has to act: the model was most likely never trained on such a message.

## Example

```jinja
{% if message.role == 'system' and not loop.first %}
{{ raise_exception('System message must be at the beginning.') }}{% endif %}
```

## What to do instead

To raise is honest, and better than to move the message to the start. An application joins such text
to the first system message or to the user message that follows. A template whose format has a turn
for the system message can write that turn wherever the message stands.

## Is a repair safe?

Only conversations that raised before change. Whether the model heeds a system message there is to
be tried.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import again, assistant, system, user
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "warning"
KIND: Kind = "refuses"


def check(probe: Probe) -> Iterator[Evidence]:
    """Report a template that takes a system message at the start only."""
    if not probe.takes_system:
        return
    for place, messages in (
        ("between two turns", [user(), assistant(), system(), again()]),
        ("at the end", [user(), assistant(), again(), system()]),
    ):
        shown = probe.run(messages, add_generation_prompt=True)
        if probe.refuses(shown, probe.chat):
            yield Evidence(
                f"A system message {place} raises {shown.reason!r}.",
                shown,
                expected="It renders, as it does without the system message.",
            )
            return
