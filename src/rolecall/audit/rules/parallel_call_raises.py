"""The template raises where a model calls two tools in one turn.

The same turn with one of the calls renders. That one of the calls is dropped, or that two results
raise, is left to other rules.

## Why it matters

Models that were trained with several calls at once make them, and so do those whose answers stand
in histories and data from elsewhere. Such a turn cannot be rendered. Who runs agents has to act,
and who trains on calls of another model.

## Example

```jinja
{% if message.tool_calls | length != 1 %}
{{ raise_exception('This model only supports single tool-calls at once!') }}{% endif %}
```

## What to do instead

To raise is honest for a model that makes one call a turn, and better than to drop the others. An
application gives each call a turn of its own, with its result behind it.

## Is a repair safe?

Only conversations that raised before change. Two calls in one turn are something the model may not
have been trained on.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import calling, result, user
from rolecall.audit.places import two_calls, two_results
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "warning"
KIND: Kind = "refuses"


def check(probe: Probe) -> Iterator[Evidence]:
    """Report a template that takes one call at a time."""
    if not probe.takes_calls:
        return
    calls = two_calls(probe)
    one = probe.run([user(), calling(calls[0]), result()])
    shown = probe.run([user(), calling(*calls), *two_results()])
    # Where the calls alone render it is the results that raise.
    if probe.refuses(shown, one) and not probe.run([user(), calling(*calls)]).ok:
        yield Evidence(
            f"Two tool calls in one turn raise {shown.reason!r}.",
            shown,
            expected="It renders, as one of the calls does.",
        )
