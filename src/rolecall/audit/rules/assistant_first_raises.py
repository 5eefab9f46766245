"""The template raises on a conversation that begins with an assistant message.

Tried alone and behind a system message.

## Why it matters

Characters greet before anybody wrote to them, assistants of a web page open the conversation, and a
history that was cut to fit the context may begin with an answer. Each of these fails. Programs for
role play act on it, and whoever cuts histories.

## Example

```jinja
{% if (message.role == 'user') != (loop.index0 % 2 == 0) %}
{{ raise_exception('Conversation roles must alternate user/assistant/...') }}{% endif %}
```

## What to do instead

Where the format has a header for the assistant's turn, write it first as anywhere else. Where an
answer is told from a question only by what stands before it, as in `[INST] … [/INST]`, to raise is
right; an application puts a short user message in front.

## Is a repair safe?

Only conversations that raised before change. Whether the model does well with a first turn that is
its own is to be tried.
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
    """Report a template that refuses a greeting."""
    shown = probe.run([assistant(), again()], add_generation_prompt=True)
    if probe.refuses(shown, probe.hello, probe.chat):
        yield Evidence(
            f"An assistant message at the start raises {shown.reason!r}.",
            shown,
            expected="It renders, as it does after a user message.",
        )
        return
    prompted = probe.run([system(), assistant(), again()], add_generation_prompt=True)
    control = probe.run([system(), user(), assistant(), again()], add_generation_prompt=True)
    if probe.refuses(prompted, probe.hello, control):
        yield Evidence(
            f"An assistant message right behind the system message raises {prompted.reason!r}.",
            prompted,
            expected="It renders, as it does after a user message.",
        )
