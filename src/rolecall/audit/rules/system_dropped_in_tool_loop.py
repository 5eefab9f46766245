"""The system message vanishes while tools are used: with tools given, or after a tool's result.

Without tools it arrives. Where it never does, `system-dropped` says so.

## Why it matters

The instructions of an agent are gone in the very step in which it acts on what a tool gave it. The
first step looks right, so a test that only reads the first prompt finds nothing.

## Example

```jinja
{% if message.role == 'user' %}
{% if loop.last and system_message is defined %}[INST]{{ system_message }} {{ message.content }}
{% else %}[INST]{{ message.content }}{% endif %}[/INST]
```

In a loop of calls and results the user's message is not the last one.

## What to do instead

Tie the place of the system message to the last *user* message or to the first turn, never to the
end of the list. Write it beside the schemas of tools, not instead of them.

## Is a repair safe?

Yes: only conversations change that lacked their system prompt.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import again, assistant, calling, result, system, user, weather
from rolecall.audit.places import city_call, with_tools
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "error"
KIND: Kind = "loses"


def check(probe: Probe) -> Iterator[Evidence]:
    """Report a system message that tools, calls or results make vanish."""
    if not probe.keeps_system:
        return
    given = probe.run([system(), user()], tools=[weather()], add_generation_prompt=True)
    if given.ok and given.reached(1) and not given.reached(0):
        yield Evidence(
            "The system message is dropped as soon as tools are given.",
            given,
            span=given.gap(0),
            expected="The system message and the tools both stand in the prompt.",
        )
        return
    loop = [calling(city_call(probe)), result()]
    for turns in ([user()], [user(), assistant(), again()]):
        shown = with_tools(probe, [system(), *turns, *loop], add_generation_prompt=True)
        asked = with_tools(probe, [system(), *turns], add_generation_prompt=True)
        if asked.reached(0) and shown.ok and shown.reached(len(turns)) and not shown.reached(0):
            yield Evidence(
                "The system message is dropped once a tool gave its result.",
                shown,
                span=shown.gap(0),
                expected="The system message stands where it does before the call.",
            )
            return
