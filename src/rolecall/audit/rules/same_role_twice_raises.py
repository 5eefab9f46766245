"""The template raises where two messages of one role follow each other.

Tried with two questions, two answers, and the results of two calls made at once. Where it is the
results it is an error; otherwise a warning.

## Why it matters

People send a second message before the answer comes, group chats have several users, an answer that
was cut off is continued in a second message. Such a conversation fails. Results are worse: who
calls two tools at once gets two results, and an agent whose history cannot be rendered stops there.

## Example

```jinja
{% if (message.role == 'user') != (loop.index0 % 2 == 0) %}
{{ raise_exception('Conversation roles must alternate user/assistant/...') }}{% endif %}
```

## What to do instead

Where the format closes each turn, write two turns. Where the model was trained on alternating turns
only, an application joins neighbours of one role with a blank line before it renders them. A check
of the order must pass over calls and results.

## Is a repair safe?

Only conversations that raised before change. Joined with a blank line they are in a shape that the
model was trained on.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import again, assistant, calling, result, user
from rolecall.audit.outcome import Outcome
from rolecall.audit.places import two_calls, two_results
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "warning"
KIND: Kind = "refuses"


def check(probe: Probe) -> Iterator[Evidence]:
    """Report roles of which two messages in a row raise, and results that do."""
    tried = {
        "user": probe.run([user(), again()], add_generation_prompt=True),
        "assistant": probe.run(
            [user(), assistant(), assistant("And to yours."), again()], add_generation_prompt=True
        ),
    }
    controls = {"user": (probe.hello, probe.chat), "assistant": (probe.chat,)}
    raising = {
        role: shown for role, shown in tried.items() if probe.refuses(shown, *controls[role])
    }
    if raising:
        shown = next(iter(raising.values()))
        yield Evidence(
            f"Two {' or two '.join(raising)} messages in a row raise {shown.reason!r}.",
            shown,
            expected="It renders, as one of them does.",
        )
    results = _two_results(probe)
    if results is not None:
        yield Evidence(
            f"The results of two calls made at once raise {results.reason!r}.",
            results,
            expected="It renders, as the first of the results does.",
            severity="error",
        )


def _two_results(probe: Probe) -> Outcome | None:
    """The conversation with two results, where the second of them raises."""
    if not probe.takes_calls:
        return None
    both = calling(*two_calls(probe))
    shown = probe.run([user(), both, *two_results()])
    controls = probe.run([user(), both, result()]), probe.run([user(), both])
    return shown if probe.refuses(shown, *controls) else None
