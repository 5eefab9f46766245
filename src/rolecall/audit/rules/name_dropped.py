r"""The name of a speaker never reaches the prompt.

A template that writes the names of some speakers and not of others loses them, which is a warning.
One that writes no speaker's name has no place for names, which is a note. The name on a tool's
result is the tool's and is not meant here.

## Why it matters

`name` tells who speaks where several people share a role: members of a group chat, characters of a
story, several agents. Without it the model reads all of them as one person.

## Example

```jinja
{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
```

## What to do instead

Write the name where the model was trained to see it, for users and for assistants alike. For a
format that has no place for names, write the name into the content before rendering.

## Is a repair safe?

Yes for conversations without names, which do not change. Whether the model understands the names
depends on its training.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import again, assistant, user
from rolecall.audit.outcome import Outcome
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "warning"
KIND: Kind = "loses"

NAME = "Amy"


def check(probe: Probe) -> Iterator[Evidence]:
    """Report speakers' names that do not arrive, where the message itself does."""
    shown: dict[str, tuple[Outcome, int]] = {
        "user": (probe.run([user(name=NAME)], add_generation_prompt=True), 0),
        "assistant": (
            probe.run([user(), assistant(name=NAME), again()], add_generation_prompt=True),
            1,
        ),
    }
    written = {
        role: outcome.reached(index, "name")
        for role, (outcome, index) in shown.items()
        if outcome.reached(index)
    }
    lost = [role for role, arrives in written.items() if not arrives]
    if not lost:
        return
    outcome, index = shown[lost[0]]
    turn = outcome.turn(index) or outcome.gap(index)
    place = outcome.place(index) or turn
    header = (min(turn[0], place[0]), place[0])
    if len(lost) == len(written):
        yield Evidence(
            "The format has no place for the names of speakers: none reaches the prompt.",
            outcome,
            span=header,
            expected=f"A header that tells the name {NAME!r}, or content that does.",
            severity="note",
            kind="no-place",
        )
        return
    kept = ", ".join(role for role, arrives in written.items() if arrives)
    yield Evidence(
        f"The name of the {lost[0]} is dropped, while that of the {kept} is written.",
        outcome,
        span=header,
        expected=f"The name {NAME!r} stands in the header of the turn.",
    )
