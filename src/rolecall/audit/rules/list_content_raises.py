r"""The template raises on typed content that holds nothing but text.

Content may be a string or a list of parts, `[{"type": "text", "text": "Hello."}]`. That parts of
other types are refused, such as pictures, is not reported.

## Why it matters

OpenAI's interface takes both forms, clients send what they like, and data for models that see
pictures is typed throughout. Some servers turn typed text into strings before the template sees it;
transformers does not. Who renders data with transformers, or trains on it, meets this.

## Example

```jinja
{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
```

A list cannot be joined to a string.

## What to do instead

Write a string as it is and of a list the text of each part:

```jinja
{% if message.content is string %}{{ message.content }}
{% else %}{% for part in message.content %}{{ part.text }}{% endfor %}{% endif %}
```

An application joins the text of the parts before it renders.

## Is a repair safe?

Yes: only conversations that raised before change.
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
    text_part,
    user,
)
from rolecall.audit.outcome import Outcome
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "warning"
KIND: Kind = "refuses"


def check(probe: Probe) -> Iterator[Evidence]:
    """Report the roles whose typed content is refused where a string is not."""
    raising: dict[str, Outcome] = {}
    for messages, index in _conversations(probe):
        subject = messages[index]
        control = probe.run(messages, add_generation_prompt=True)
        if control.messages[index]["content"] != subject["content"]:
            continue  # it takes typed content only
        parts: Wire = {**subject, "content": [text_part(subject["content"])]}
        shown = probe.run(
            [*messages[:index], parts, *messages[index + 1 :]], add_generation_prompt=True
        )
        if control.reached(index) and probe.refuses(shown, control):
            raising[str(subject["role"])] = shown
    if raising:
        shown = next(iter(raising.values()))
        yield Evidence(
            f"Typed content raises {shown.reason!r}, in messages of the role {', '.join(raising)}.",
            shown,
            expected="It renders, as a string of the same text does.",
        )


def _conversations(probe: Probe) -> Iterator[tuple[list[Wire], int]]:
    """Conversations in which one message's content is tried, and its index."""
    yield [user()], 0
    yield [system(), user()], 0
    yield [user(), assistant(), again()], 1
    if probe.takes_calls:
        arguments = probe.arguments({"city": CITY})
        yield [user(), calling(call(arguments=arguments)), result()], 2
