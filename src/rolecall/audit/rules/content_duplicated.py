"""The content of a message stands in the prompt twice.

## Why it matters

The model reads the same words two times and may take the repetition for emphasis or for a second
turn. It costs tokens, and a mask of the loss counts the words twice.

## Example

```jinja
{{ messages[0].content }}
{% for message in messages %}[{{ message.role }}] {{ message.content }}{% endfor %}
```

The first message is written before the loop and again in it.

## What to do instead

Write each message once: take a system message that is written apart out of the loop with
`{% set messages = messages[1:] %}`.

## Is a repair safe?

Yes where the second copy is an oversight. Some templates repeat the last question on purpose, after
long documents; a model trained so expects it.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import again, assistant, system, user
from rolecall.audit.outcome import Outcome
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "warning"
KIND: Kind = "adds"


def check(probe: Probe) -> Iterator[Evidence]:
    """Report content of which a character was copied more than once."""
    for shown in (
        probe.hello,
        probe.run([user(), assistant()]),
        probe.run([system(), user()], add_generation_prompt=True),
        probe.chat,
        probe.run([system(), user(), assistant(), again()], add_generation_prompt=True),
    ):
        for index, message in enumerate(shown.messages):
            second = _second_copy(shown, index)
            if second is not None:
                yield Evidence(
                    f"The content of the {message['role']} message is written twice.",
                    shown,
                    span=second,
                    expected="It is written once.",
                )
                return


def _second_copy(shown: Outcome, index: int) -> tuple[int, int] | None:
    """Where characters of a message's content stand that stood before already."""
    seen: dict[str, set[int]] = {}
    copied: list[tuple[int, int]] = []
    for span in shown.spans(index, "content"):
        if span.at < 0 or not shown.text[span.start : span.end].strip():
            continue
        places = set(range(span.at, span.at + span.end - span.start))
        before = seen.setdefault(span.origin.field, set())
        if places & before:
            copied.append((span.start, span.end))
        before |= places
    return (copied[0][0], copied[-1][1]) if copied else None
