"""No plain conversation renders: the template raises on every one.

A single user message, a user message with its answer, and a user message under a system message
were tried, with strings and with typed content, with and without tools and documents. The other
rules are quiet then, since nothing could be judged by what it raised on.

## Why it matters

Nobody can chat with a model whose template raises on a plain chat. Mostly the template needs an
option that it does not default, or calls a function that only one serving engine has.

## Example

```jinja
{% for message in messages %}{{ names[message.role] }}: {{ message.content }}{% endfor %}
```

`names` is defined nowhere, so looking something up in it raises on the first message.

## What to do instead

Give every variable that is not a message a default: `{% set names = names | default({}) %}`. Leave
out functions that transformers does not have.

## Is a repair safe?

None is made: what was meant cannot be known.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "error"
KIND: Kind = "refuses"
UNRENDERED = True


def check(probe: Probe) -> Iterator[Evidence]:
    """Report a template that renders no plain chat."""
    # Where it had to be stopped, `limit-reached` says so.
    if probe.renders or probe.hello.limited:
        return
    yield Evidence(
        f"Every plain chat raises, the first with {probe.hello.reason!r}.",
        probe.hello,
        expected="One user message renders.",
    )
