"""The schemas of the tools stand in the prompt twice.

That a name or a description is repeated in a sentence beside the schema is not reported: only whole
schemas are.

## Why it matters

Schemas are long; a dozen tools take thousands of tokens, and each request pays for them two times.
The model may also take them for two sets of tools. Who serves agents pays for it.

## Example

```jinja
{% if tools %}{{ tools | tojson }}{% endif %}
{% for message in messages %}
{% if message.role == 'user' and tools %}{{ tools | tojson }}{% endif %}{{ message.content }}
{% endfor %}
```

Or, less visibly, where the last question is found by its text, and the user asks the same again:

```jinja
{% if tools and message == user_messages[-1] %}{{ tools | tojson }}{% endif %}
```

## What to do instead

Write the tools in one place, the system turn or the question for which the model was trained, and
open a system turn for them only where the conversation has none.

## Is a repair safe?

Yes where the second copy is an oversight. A copy at every question was perhaps trained; compare
with the model's own examples.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import (
    CITY,
    Wire,
    again,
    assistant,
    call,
    calling,
    result,
    system,
    user,
    weather,
)
from rolecall.audit.outcome import Outcome
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "warning"
KIND: Kind = "adds"

PARTS = (
    "tools[0].function.description",
    "tools[0].function.parameters.properties.city.description",
)
"""What is written of a schema once, if the schema is."""


def check(probe: Probe) -> Iterator[Evidence]:
    """Report the first conversation in which the schema stands twice."""
    if not probe.takes_tools:
        return
    for where, messages in _conversations(probe):
        shown = probe.run(messages, tools=[weather()], add_generation_prompt=True)
        second = _second_copy(shown)
        if second is not None:
            yield Evidence(
                f"The tools are written twice{where}.",
                shown,
                span=second,
                expected="Each schema is written once.",
            )
            return


def _conversations(probe: Probe) -> Iterator[tuple[str, list[Wire]]]:
    yield "", [user()]
    yield " beside a system message", [system(), user()]
    yield " once the user spoke again", [user(), assistant(), again()]
    # A template that looks for the last question by its text finds both.
    yield " where the user asks the same again", [user(), assistant(), user()]
    if probe.takes_calls:
        asked = calling(call(arguments=probe.arguments({"city": CITY})))
        yield " once a tool gave its result", [user(), asked, result()]


def _second_copy(shown: Outcome) -> tuple[int, int] | None:
    """Where the schema stands for the second time."""
    starts: list[int] = []
    for part in PARTS:
        text = shown.inputs(None, part).get(part, "")
        found = [span.start for span in shown.spans(None, part) if span.at == 0]
        if len(found) < 2 or not text:
            return None
        starts.append(found[1])
    end = max(span.end for span in shown.spans(None, "tools"))
    return min(starts), end
