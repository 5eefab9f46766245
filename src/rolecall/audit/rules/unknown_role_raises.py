"""The template raises on a message under a role that it does not know.

## Why it matters

It is the honest answer of a format whose roles are fixed tokens: nothing is lost in silence.
Whoever wants to train under a role of their own needs another template.

## Example

```jinja
{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}
```

## What to do instead

Nothing, where the format has no place for further roles. A format that writes the role as a label
has room for any, and its template need not refuse them.

## Is a repair safe?

Yes: only conversations that raised before change. The model was not trained on the new role.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import again, other, user
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "note"
KIND: Kind = "refuses"


def check(probe: Probe) -> Iterator[Evidence]:
    """Report a template that refuses an unknown role where an assistant's message renders."""
    shown = probe.run([user(), other(), again()], add_generation_prompt=True)
    if probe.refuses(shown, probe.chat):
        yield Evidence(
            f"A message of the role 'writer' raises {shown.reason!r}.",
            shown,
            expected="It renders, as it does with the role 'assistant'.",
        )
