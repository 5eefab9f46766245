"""A system message at the start of a conversation never reaches the prompt.

No character of the prompt comes from it, and nothing is raised.

## Why it matters

The system prompt holds the instructions and the guard rails of an application. When it is gone the
model answers as if there were none, and the application cannot see it: the request succeeds.

## Example

```jinja
{% for message in messages %}
{% if message.role == 'user' %}[INST] {{ message.content }} [/INST]
{% elif message.role == 'assistant' %}{{ message.content }}{{ eos_token }}{% endif %}
{% endfor %}
```

A message of role `system` meets neither branch, and the loop goes on.

## What to do instead

Write the system message where the model was trained to see it. For a model that was trained without
one, put it before the first user message, or raise: `{{ raise_exception('…') }}`.

## Is a repair safe?

Yes where the format has a system turn. Folding the text into the first user message changes nothing
for conversations without a system message, but the model may not have been trained on it.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import again, assistant, system, user
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "error"
KIND: Kind = "loses"


def check(probe: Probe) -> Iterator[Evidence]:
    """Report a leading system message of which nothing arrives."""
    for shown in (
        probe.run([system(), user()], add_generation_prompt=True),
        probe.run([system(), user()]),
        probe.run([system(), user(), assistant(), again()], add_generation_prompt=True),
    ):
        # A template that writes nothing of the user either has another fault than this one.
        if shown.ok and shown.reached(1) and not shown.reached(0):
            yield Evidence(
                "The system message is dropped: no character of the prompt comes from it.",
                shown,
                span=shown.gap(0),
                expected="The system message stands before the first turn, or the template raises.",
            )
            return
