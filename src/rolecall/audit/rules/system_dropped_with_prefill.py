"""The system message vanishes once the conversation ends with the assistant.

With a user's message at the end it arrives. Where it never does, `system-dropped` says so.

## Why it matters

A conversation ends with the assistant when the model is to continue what was begun for it (a
prefill), and in every sample of training data. The prefill then works without the instructions, and
a model trained on such samples learns to answer as if there had been none.

## Example

```jinja
{% if message.role == 'user' %}
{% if loop.last and system_message is defined %}[INST]{{ system_message }} {{ message.content }}
{% else %}[INST]{{ message.content }}{% endif %}[/INST]
```

The Mistral templates write the system prompt into the last user message. `loop.last` is another
thing: the last message of all.

## What to do instead

Find the index of the last user message before writing anything, and compare with that:

```jinja
{% set ns = namespace(last=-1) %}
{% for message in messages %}
{% if message.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}
{% endfor %}
```

To compare the message itself with the last one (`message == user_messages[-1]`) finds two places
where a user wrote the same twice.

## Is a repair safe?

Yes: conversations that end with the user do not change, and the others lacked their system prompt.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import again, assistant, system, user
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "error"
KIND: Kind = "loses"

BEGUN = "The weather in Lima"


def check(probe: Probe) -> Iterator[Evidence]:
    """Report a system message that is there before a user and gone before an assistant."""
    for turns in ([user()], [user(), assistant(), again()]):
        asked = probe.run([system(), *turns], add_generation_prompt=True)
        shown = probe.run([system(), *turns, assistant(BEGUN)], continue_final_message=True)
        last = len(turns)
        arrived = asked.reached(0) and shown.ok and shown.reached(last)
        if arrived and shown.reached(last + 1) and not shown.reached(0):
            yield Evidence(
                "The system message is dropped when the conversation ends with the assistant.",
                shown,
                span=shown.gap(0),
                expected="The system message stands where it does while the user is the last.",
            )
            return
