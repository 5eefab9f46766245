r"""A system message arrives in another place: behind what it preceded, or before what it followed.

Tried with a system message at the start of a chat of several turns, and with one in the middle.
That it stands in a user's turn instead of its own is no move.

## Why it matters

A system prompt that wanders to the last question changes the prompt before it with every turn:
nothing of the history can be reused from a cache, and the model sees rules in another place than in
training on single turns. A reminder that wanders to the start is read as if it had held from the
beginning: "from now on answer in French" then speaks of the wrong turns. Who serves long chats and
who writes agents have to know.

## Example

```jinja
{% if message.role == 'user' and loop.last and messages[0].role == 'system' %}
{{ messages[0].content + '\n\n' + message.content }}{% endif %}
```

## What to do instead

Write a system message where it stands: in a turn of its own, or in front of the user message that
follows it. Where the format has room for it in one place only, raise on any other.

## Is a repair safe?

Not in general. Some models were trained with the system prompt in the last question, and this is
their format; ask their reference before changing it.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import again, assistant, system, user
from rolecall.audit.outcome import Outcome
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "warning"
KIND: Kind = "moves"

REMINDER = "Now answer in rhyme."


def check(probe: Probe) -> Iterator[Evidence]:
    """Report system messages that stand on the wrong side of another message."""
    first = probe.run([system(), user(), assistant(), again()], add_generation_prompt=True)
    where = _moved(first, 0)
    if where:
        yield Evidence(
            f"The system message at the start is moved {where}.",
            first,
            span=first.place(0),
            expected="It stands before the first user message.",
        )
        return
    for messages in (
        [user(), assistant(), system(), again()],
        [system(), user(), assistant(), system(REMINDER), again()],
    ):
        index = len(messages) - 2
        shown = probe.run(messages, add_generation_prompt=True)
        where = _moved(shown, index)
        if where:
            yield Evidence(
                f"A system message in the middle is moved {where}.",
                shown,
                span=shown.place(index),
                expected="It stands between the answer before it and the question after it.",
            )
            return


def _moved(shown: Outcome, index: int) -> str | None:
    """Where to a message was moved, or None where it stands in its place."""
    place = shown.place(index)
    if place is None:
        return None
    for other, message in enumerate(shown.messages):
        beside = shown.place(other)
        if other == index or beside is None:
            continue
        role = message["role"]
        if other < index and place[1] <= beside[0]:
            return f"before the {role} message that it followed"
        if other > index and beside[1] <= place[0]:
            return f"behind the {role} message that it preceded"
    return None
