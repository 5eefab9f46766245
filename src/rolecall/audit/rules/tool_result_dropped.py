"""What a tool gave never reaches the prompt.

A format that has no place for tools at all is meant by `tool-call-dropped`.

## Why it matters

The model asked, and gets no answer. It asks again without end, or makes the answer up.

## Example

```jinja
{% if message.role == 'ipython' %}<|ipython|>{{ message.content }}{% endif %}
```

Results come under the role `tool`, which this template passes over.

## What to do instead

Write messages of the role `tool`, every one of them where several follow each other.

## Is a repair safe?

Yes: only conversations change that lost a result.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import again, assistant, calling, result, user
from rolecall.audit.places import (
    city_call,
    has_place_for_tools,
    two_calls,
    two_results,
    with_tools,
)
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "error"
KIND: Kind = "loses"


def check(probe: Probe) -> Iterator[Evidence]:
    """Report the plainest conversation of which a result is missing."""
    if not has_place_for_tools(probe):
        return
    asked = [user(), calling(city_call(probe))]
    for fault, messages, results in (
        ("The result of a tool is dropped", [*asked, result()], (2,)),
        (
            "Of two results of tools the {} is dropped",
            [user(), calling(*two_calls(probe)), *two_results()],
            (2, 3),
        ),
        (
            "The result of a tool in an earlier turn is dropped",
            [*asked, result(), assistant(), again()],
            (2,),
        ),
    ):
        shown = with_tools(probe, messages, add_generation_prompt=True)
        gone = [index for index in results if not shown.reached(index)]
        if shown.ok and shown.reached(0) and gone:
            which = " and the ".join(("first", "second")[index - 2] for index in gone)
            yield Evidence(
                f"{fault.format(which)}.",
                shown,
                span=shown.gap(gone[0]),
                expected="The result stands after the call, or the template raises.",
            )
            return
