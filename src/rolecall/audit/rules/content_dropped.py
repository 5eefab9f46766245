"""The content of a user's or an assistant's message never reaches the prompt of a plain chat.

Messages of other roles, and content beside calls or reasoning, have rules of their own.

## Why it matters

The model does not see what was said. Nothing is raised, so nobody but the model notices.

## Example

```jinja
{% for message in messages %}{{ message.role }}: {{ message.content.text }}{% endfor %}
```

A string has no `text`, and Jinja writes nothing for what is not there.

## What to do instead

Write `message.content` where it is a string, and the text of each part where it is a list.

## Is a repair safe?

Yes: only prompts change from which something was missing.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import assistant, user
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "error"
KIND: Kind = "loses"


def check(probe: Probe) -> Iterator[Evidence]:
    """Report the smallest plain chat of which some content is missing."""
    for shown in (probe.hello, probe.run([user(), assistant()]), probe.chat):
        for index, message in enumerate(shown.messages):
            if shown.ok and not shown.reached(index):
                yield Evidence(
                    f"The content of the {message['role']} message is dropped.",
                    shown,
                    span=shown.gap(index),
                    expected=f"It stands in the prompt: {message['content']!r}.",
                )
                return
