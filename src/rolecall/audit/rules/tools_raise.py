"""A conversation for which tools are given raises; without them it renders.

A template that says in its own words that it takes no tools is a note: the application reads why.

## Why it matters

Agents send the schemas of their tools with every request, so every request of theirs fails, with an
error of the engine that names neither the tools nor the template.

## Example

```jinja
{{ tools | map(attribute='function') | tojson }}
```

`map` gives a generator, which transformers' `tojson` cannot write.

## What to do instead

Make a list of it first, `{{ tools | map(attribute='function') | list | tojson }}`, and try the
template with tools before it is published.

## Is a repair safe?

Yes: only conversations that raised before change.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import system, user, weather
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence
from rolecall.errors import TemplateRaised

SEVERITY: Severity = "warning"
KIND: Kind = "refuses"


def check(probe: Probe) -> Iterator[Evidence]:
    """Report the plainest conversation that raises as soon as there is a tool."""
    for messages in ([user()], [system(), user()]):
        shown = probe.run(messages, tools=[weather()], add_generation_prompt=True)
        if not probe.refuses(shown, probe.run(messages, add_generation_prompt=True)):
            continue
        error = shown.error
        if isinstance(error, TemplateRaised) and error.kind == "SecurityError":
            return  # `mutates-input` says it
        told = isinstance(error, TemplateRaised) and error.by_template
        yield Evidence(
            f"A conversation with tools raises {shown.reason!r}.",
            shown,
            expected="It renders, as it does without tools.",
            severity="note" if told else None,
        )
        return
