"""A system message in the middle of a conversation never reaches the prompt.

The first one is meant by `system-dropped`, one at the end by `system-last-dropped`.

## Why it matters

Applications add a system message when something changes: a new task, a reminder of the rules, what
a moderator said, an author's note in a story. The template passes over it, and nothing is raised.

## Example

```jinja
{% if messages[0].role == 'system' %}<|system|>{{ messages[0].content }}{% endif %}
{% for message in messages if message.role != 'system' %}
<|{{ message.role }}|>{{ message.content }}
{% endfor %}
```

## What to do instead

Write every message in its place. A template whose format has no system turn after the first should
raise, so that the application learns of it and puts the text into a user's message.

## Is a repair safe?

Yes: only conversations change that lost a message. The model may not have been trained on it.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import again, assistant, system, user
from rolecall.audit.places import system_lost_at_start
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "error"
KIND: Kind = "loses"

NEWS = "Answer in verse from now on."


def check(probe: Probe) -> Iterator[Evidence]:
    """Report a system message between an answer and the next question that does not arrive."""
    if system_lost_at_start(probe):
        return
    for start in ([], [system()]):
        before = [*start, user(), assistant()]
        shown = probe.run([*before, system(NEWS), again()], add_generation_prompt=True)
        others = [index for index in range(len(before) + 2) if index != len(before)]
        # Where the first one is lost instead, `second-system-dropped` and others have to say it.
        if shown.ok and all(map(shown.reached, others)) and not shown.reached(len(before)):
            yield Evidence(
                "A system message in the middle of a conversation is dropped.",
                shown,
                span=shown.gap(len(before)),
                expected="It stands between the answer and the question, or the template raises.",
            )
            return
