"""Typed content, or a part of it, never reaches the prompt.

Content may be a string or a list of parts, `[{"type": "text", "text": "Hello."}]`. A template that
prints the list in Python's spelling is meant by `list-content-printed`.

## Why it matters

Both forms are common, and serving engines hand them on as they come. The message is simply not
there, and nothing is raised.

## Example

```jinja
{% set content = message.content if message.content is string else '' %}
```

## What to do instead

Write a string as it is and of a list the text of each part:

```jinja
{% if message.content is string %}{{ message.content }}
{% else %}{% for part in message.content %}{{ part.text }}{% endfor %}{% endif %}
```

## Is a repair safe?

Yes: prompts of string content do not change.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import (
    again,
    assistant,
    calling,
    result,
    system,
    text_part,
    user,
)
from rolecall.audit.outcome import Outcome
from rolecall.audit.places import city_call, with_tools
from rolecall.audit.probe import Probe, typed_content
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "error"
KIND: Kind = "loses"

MORE = "And how are you?"


def check(probe: Probe) -> Iterator[Evidence]:
    """Report the roles whose typed content does not arrive, where a string does."""
    found: dict[str, list[tuple[Outcome, int]]] = {"": [], "a part of ": []}
    for messages, index in (
        ([user()], 0),
        ([system(), user()], 0),
        ([user(), assistant(), again()], 1),
        ([user(), calling(city_call(probe)), result()], 2),
    ):
        run = with_tools if index == 2 else Probe.run
        if not run(probe, messages, add_generation_prompt=True).reached(index):
            continue
        for more in ([], [text_part(MORE)]):
            parts = typed_content(messages[index])
            parts["content"] = [*parts["content"], *more]
            given = [parts if one is messages[index] else one for one in messages]
            shown = run(probe, given, add_generation_prompt=True)
            arrived = [
                shown.reached(index, f"content[{part}]")
                or bool(shown.spans(index, "content", ("printed",)))
                for part in range(1 + len(more))
            ]
            if shown.ok and not all(arrived):
                found["a part of " if any(arrived) else ""].append((shown, index))
                break
    for what, cases in found.items():
        if cases:
            shown, index = cases[0]
            roles = " and ".join(str(shown.messages[index]["role"]) for shown, index in cases)
            start = f"{what}typed content"
            yield Evidence(
                f"{start[0].upper()}{start[1:]} of {roles} messages is dropped.",
                shown,
                span=shown.gap(index) if not what else shown.place(index),
                expected="The text of every part stands in the prompt.",
            )
