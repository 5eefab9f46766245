"""A system message at the end of a conversation never reaches the prompt.

One in the middle is meant by `system-mid-dropped`.

## Why it matters

What stands last weighs most. Story-telling programs send their author's note there, agents what the
run time has to say, and both see only that the model does not heed it.

## Example

```jinja
{% for message in messages %}
{% if message.role == 'user' %}[INST] {{ message.content }} [/INST]
{% elif message.role == 'assistant' %}{{ message.content }}{{ eos_token }}{% endif %}
{% endfor %}
```

## What to do instead

Write every message in its place. A template whose format has no system turn there should raise, so
that the application learns of it and puts the text into a user's message.

## Is a repair safe?

Yes: only conversations change that lost a message. The model may not have been trained on it.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import assistant, system, user
from rolecall.audit.places import system_lost_at_start
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "error"
KIND: Kind = "loses"

NEWS = "Answer in verse from now on."


def check(probe: Probe) -> Iterator[Evidence]:
    """Report a system message after all others that does not arrive."""
    if system_lost_at_start(probe):
        return
    for before in ([user()], [user(), assistant()], [system(), user()]):
        shown = probe.run([*before, system(NEWS)], add_generation_prompt=True)
        last = len(before)
        if shown.ok and all(map(shown.reached, range(last))) and not shown.reached(last):
            yield Evidence(
                "A system message at the end of a conversation is dropped.",
                shown,
                span=shown.gap(last),
                expected="It stands after the message before it, or the template raises.",
            )
            return
