"""The schemas of the tools never reach the prompt, though calls of tools do.

A template that writes neither schemas nor calls has no place for tools, which `tool-call-dropped`
says as a note.

## Why it matters

The request names the tools, the server accepts it, and the model is never told. It answers from
what it remembers, makes up a call of a tool that there is not, or says that it has none.

## Example

```jinja
{% for message in messages %}
<|{{ message.role }}|>{{ message.content }}
{% for call in message.tool_calls or [] %}<|call|>{{ call.function | tojson }}{% endfor %}
{% endfor %}
```

## What to do instead

Write `tools` in the form that the model was trained with. Without a repair the application
describes its tools in the system message, as the model's page shows.

## Is a repair safe?

Yes where the model's page or its reference shows the form: only conversations change that lost
their tools.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import Wire, calling, result, system, user, weather
from rolecall.audit.places import city_call, has_place_for_tools
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "error"
KIND: Kind = "loses"


def check(probe: Probe) -> Iterator[Evidence]:
    """Report the plainest conversation of which the schemas are missing."""
    if not has_place_for_tools(probe):
        return
    loop = [user(), calling(city_call(probe)), result()]
    conversations: tuple[tuple[str, list[Wire]], ...] = (
        ("The schemas of tools are dropped.", [user()]),
        ("The schemas of tools are dropped where there is a system message.", [system(), user()]),
        ("The schemas of tools are dropped once a tool gave its result.", loop),
    )
    for said, messages in conversations:
        shown = probe.run(messages, tools=[weather()], add_generation_prompt=True)
        if shown.ok and not shown.reached(None, "tools"):
            yield Evidence(
                said,
                shown,
                span=(0, (shown.place(0) or (0, 0))[0]),
                expected="The name, the description and the parameters of the tool stand in the "
                "prompt.",
            )
            return
