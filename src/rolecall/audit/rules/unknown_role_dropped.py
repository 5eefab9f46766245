"""A message under a role that the template does not know never reaches the prompt.

## Why it matters

Fiction is trained under `writer`, judging under `judge`, and agents get roles of their own. A
template that passes over such a message gives a prompt that looks right and lacks what was said.

This is a warning and no error, since only who made up the role can send such a message.

## Example

```jinja
{% for message in messages %}
{% if message.role == 'user' %}<|user|>{{ message.content }}
{% elif message.role == 'assistant' %}<|assistant|>{{ message.content }}{% endif %}
{% endfor %}
```

## What to do instead

A template whose format writes the role as a label can write any role. One whose roles are fixed
tokens should raise, so that the application learns of it: `{% else %}{{ raise_exception('…') }}`.

## Is a repair safe?

Yes: only conversations that lost a message change.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import again, other, user
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "warning"
KIND: Kind = "loses"


def check(probe: Probe) -> Iterator[Evidence]:
    """Report a message of an unknown role of which nothing arrives."""
    shown = probe.run([user(), other(), again()], add_generation_prompt=True)
    if shown.ok and shown.reached(0) and not shown.reached(1):
        yield Evidence(
            "A message of the role 'writer' is dropped: no character of the prompt comes from it.",
            shown,
            span=shown.gap(1),
            expected="The message stands between its neighbours, or the template raises.",
        )
