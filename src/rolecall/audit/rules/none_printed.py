"""The word None stands in the prompt where nothing was given.

## Why it matters

Fields without a value come as null: the content beside a tool call, the keys that a program writes
because its data class has them. Jinja prints such a value as `None`. The model reads a word that
nobody said, and in a call a city of that name.

## Example

```jinja
<|assistant|>{{ message.content }}{% if message.tool_calls %}{{ message.tool_calls | tojson }}
{% endif %}
```

## What to do instead

Ask for a value and not for the key: `{{ message.content or '' }}`, `{% if message.name %}`. Write
arguments of calls with `tojson`, which spells null.

## Is a repair safe?

Yes: only prompts change that held the word.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import (
    Wire,
    again,
    assistant,
    call,
    calling,
    result,
    system,
    user,
)
from rolecall.audit.outcome import Outcome
from rolecall.audit.places import city_call, with_tools
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence, Group

SEVERITY: Severity = "warning"
KIND: Kind = "adds"
GROUP: Group = "lost"

EMPTY = dict.fromkeys(
    ("name", "refusal", "reasoning_content", "reasoning", "tool_calls", "function_call")
)
"""What OpenAI's data classes write for fields without a value."""


def check(probe: Probe) -> Iterator[Evidence]:
    """Report the first null that is printed, and the first one in what a tool is given."""
    made = city_call(probe)
    fields: list[tuple[str, list[Wire]]] = [
        ("content beside a tool call", [user(), calling(made, content=None), result()]),
        ("fields of an assistant's message", [user(), assistant(**EMPTY), again()]),
        ("the name of a user", [user(name=None)]),
        ("the name of a system message", [system(name=None), user()]),
        (
            "the name and the id of a tool's result",
            [user(), calling(made), {**result(), "name": None, "tool_call_id": None}],
        ),
    ]
    for what, messages in fields:
        found = _printed(probe, what, messages)
        if found is not None:
            yield found
            break
    arguments: Any = {"city": None}
    given = [user(), calling(call(arguments=arguments)), result()]
    if not isinstance(probe.arguments(arguments), str):
        found = _printed(probe, "an argument of a tool call", given)
        if found is not None and not _pythonic(found.outcome):
            yield found


def _printed(probe: Probe, what: str, messages: list[Wire]) -> Evidence | None:
    """A None in the output of a conversation where some field is null."""
    shown = with_tools(probe, messages, add_generation_prompt=True)
    if shown.trace is None:
        return None
    for span in shown.trace.spans:
        written = shown.text[span.start : span.end]
        if span.origin.kind == "printed" and written == "None":
            return Evidence(
                f"The word None is written where {what} {'are' if ' and ' in what else 'is'} null.",
                shown,
                span=(span.start, span.end),
                expected="Nothing is written, or null in what a tool is given.",
            )
    return None


def _pythonic(shown: Outcome) -> bool:
    """Whether calls are written as Python's own, `get_weather(city=None)`, where None is right."""
    name = shown.place(1, "tool_calls[0].function.name")
    return name is not None and shown.text[name[1] :].startswith("(")
