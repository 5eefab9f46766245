"""A call of a tool, or its arguments, never reaches the prompt.

A template that writes neither schemas nor calls has no place for tools, which is a note. One of
several calls in a turn is meant by `parallel-call-dropped`.

## Why it matters

The model sees a result without having asked, or an answer that comes from nowhere. It repeats the
call, or learns from such samples to make up what a tool would have said.

## Example

```jinja
{% if message.content %}<|assistant|>{{ message.content }}
{% elif message.tool_calls %}<|assistant|>{{ message.tool_calls | tojson }}{% endif %}
```

A message with text and a call loses the call.

## What to do instead

Write `content` and then `tool_calls`, each where it is there. For a model that was trained without
tools, raise, or describe the calls in the content before rendering.

## Is a repair safe?

Yes where the format has calls: only conversations change that lost one.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import Wire, again, assistant, calling, result, user
from rolecall.audit.places import city_call, has_place_for_tools, tool_loop, with_tools
from rolecall.audit.probe import ARGUMENTS, Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "error"
KIND: Kind = "loses"

TEXT = "Let me look that up."
NAME = "tool_calls[0].function.name"


def check(probe: Probe) -> Iterator[Evidence]:
    """Report the plainest conversation of which a call is missing."""
    if not has_place_for_tools(probe):
        yield from _no_place(probe)
        return
    made = city_call(probe)
    tried: list[tuple[str, list[Wire], bool]] = [
        ("", [user(), calling(made), result()], True),
        ("", [user(), calling(made)], False),
        (" beside text", [user(), calling(made, content=TEXT)], False),
        (" beside null content", [user(), calling(made, content=None)], False),
        (" of an earlier turn", [user(), calling(made), result(), assistant(), again()], True),
    ]
    for which, messages, prompted in tried:
        options = {"add_generation_prompt": True} if prompted else {}
        shown = with_tools(probe, messages, **options)
        name, arguments = shown.reached(1, NAME), shown.reached(1, ARGUMENTS)
        if not shown.ok or not shown.reached(0) or (name and arguments):
            continue
        severity: Severity | None = None
        if name:
            said = f"The arguments of a tool call{which} are dropped"
        elif arguments:
            said = f"The function of a tool call{which} is dropped"
            if shown.reached(1, "tool_calls[0].id"):
                # Ids that such a model makes tell the function, those of other programs do not.
                said += ", and its id stands there instead"
                severity = "warning"
        else:
            said = f"A tool call{which} is dropped"
            null = with_tools(probe, [user(), calling(made, content=None)])
            said += " unless its content is null" if null.reached(1, NAME) else ""
        yield Evidence(
            f"{said}.",
            shown,
            span=shown.turn(1) or shown.gap(1),
            expected="The name of the function and its arguments stand in the assistant's turn.",
            severity=severity,
        )
        return


def _no_place(probe: Probe) -> Iterator[Evidence]:
    """Report a format without tools, unless its template refuses calls."""
    shown = tool_loop(probe)
    if not shown.ok:
        shown = with_tools(probe, [user(), calling(city_call(probe))])
    if shown.ok and shown.reached(0):
        yield Evidence(
            "The format has no place for tools: neither schemas nor calls of tools reach the"
            " prompt.",
            shown,
            span=shown.turn(1) or shown.gap(1),
            expected="An application that uses tools describes them in the content it sends.",
            severity="note",
            kind="no-place",
        )
