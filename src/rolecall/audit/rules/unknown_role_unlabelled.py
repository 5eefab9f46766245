"""A message under a role that the template does not know is written as another role's turn.

Its content arrives and its role does not: it reads as a turn of the user or of the assistant, or as
a part of the turn before. A format that labels nobody has no place for roles, which is a note.

## Why it matters

The model takes the words for somebody else's: a judge's verdict for the user's wish, a narrator's
line for its own. A loss mask by role and the text disagree.

## Example

```jinja
{% if message.role == 'user' %}<|user|>{% else %}<|assistant|>{% endif %}{{ message.content }}
```

Everything that is not a user is an assistant here.

## What to do instead

Name every role that the format has, and raise on any other. A format that writes the role as a
label can write `message.role`.

## Is a repair safe?

Yes: only conversations change in which a message stood under another role's label.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import again, other, system, user
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "warning"
KIND: Kind = "changes"


def check(probe: Probe) -> Iterator[Evidence]:
    """Report an unknown role that does not arrive with its message."""
    shown = probe.run([user(), other(), again()], add_generation_prompt=True)
    place = shown.place(1)
    if place is None or shown.reached(1, "role"):
        return
    before = shown.place(0)
    start = before[1] if before is not None and before[1] <= place[0] else place[0]
    header = shown.text[start : place[0]]
    if probe.chat.ok and probe.chat.between(0, 1) == probe.chat.between(1, 2) == header:
        yield Evidence(
            "The format has no place for roles: nothing but the order tells who speaks.",
            shown,
            span=(start, place[1]),
            expected="A header tells the role 'writer'.",
            severity="note",
            kind="no-place",
        )
        return
    yield Evidence(
        f"A message of the role 'writer' is written {_as(probe, header)}.",
        shown,
        span=(start, place[1]),
        expected="Its header tells the role 'writer', or the template raises.",
    )


def _as(probe: Probe, header: str) -> str:
    """What the message reads as: the role whose header it has."""
    for role, outcome, index in (
        ("assistant", probe.chat, 1),
        ("user", probe.run([user(), again(), again()], add_generation_prompt=True), 1),
        ("user", probe.chat, 2),
        ("system", probe.run([user(), system(), again()], add_generation_prompt=True), 1),
    ):
        if outcome.place(index) is not None and outcome.between(index - 1, index) == header:
            return f"as a turn of the {role}"
    return "without a label that tells its role" if header.strip() else "without any label"
