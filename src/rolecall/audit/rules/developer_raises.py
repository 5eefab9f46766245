"""The template raises on a conversation that begins with a developer message.

The same conversation without it renders. Where a system message is refused as well it is a note,
for the model then has no place for either.

## Why it matters

OpenAI's newer models take `developer` in place of `system`, and clients written for them send it to
every server. With this template each of their requests fails. Who serves the model for such clients
has to act.

## Example

```jinja
{% if message.role not in ['system', 'user', 'assistant'] %}
{{ raise_exception('Unexpected message role.') }}{% endif %}
```

## What to do instead

An application or a server renames `developer` to `system`. A template does the same with one word:
`{% if message.role in ['system', 'developer'] %}`.

## Is a repair safe?

Yes where a developer message is written as a system message is: the model knows that turn, and only
conversations that raised before change.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import developer, user
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "warning"
KIND: Kind = "refuses"


def check(probe: Probe) -> Iterator[Evidence]:
    """Report a template that refuses a leading developer message."""
    shown = probe.run([developer(), user()], add_generation_prompt=True)
    if not probe.refuses(shown, probe.hello):
        return
    if probe.takes_system:
        yield Evidence(
            f"A developer message at the start raises {shown.reason!r}, a system message does not.",
            shown,
            expected="It renders, as a system message does.",
        )
    else:
        yield Evidence(
            f"A developer message at the start raises {shown.reason!r}, as a system message does.",
            shown,
            expected="It renders, as it does without the developer message.",
            severity="note",
        )
