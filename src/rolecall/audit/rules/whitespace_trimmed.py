r"""White space at the start or the end of a message's content is cut off.

What is cut from text that the model is to continue is `whitespace-in-prefill-trimmed`.

## Why it matters

Mostly it does no harm. It does where white space means something: the indentation of the first line
of code, the blank line at the end of a file, a poem. And a reply that the model began with a line
break is read back without it, so the history is not what the model wrote.

## Example

```jinja
{{ '<|user|>\n' + message.content | trim + '<|end|>\n' }}
```

## What to do instead

Write the content as it is. Trim before rendering where a program adds white space by accident.

## Is a repair safe?

Mostly not: a model trained with trimmed content sees something new in what is not trimmed.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import again, assistant, system, user
from rolecall.audit.outcome import Outcome
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "note"
KIND: Kind = "changes"

TEXT = "\n  Hello there. \n"


def check(probe: Probe) -> Iterator[Evidence]:
    """Report the first conversation of which white space is missing, and every role concerned."""
    tried = (
        (probe.run([user(TEXT)], add_generation_prompt=True), 0),
        (probe.run([system(TEXT), user()], add_generation_prompt=True), 0),
        (probe.run([user(), assistant(TEXT), again()], add_generation_prompt=True), 1),
    )
    trimmed = [(shown, index) for shown, index in tried if _trimmed(shown, index)]
    if not trimmed:
        return
    shown, index = trimmed[0]
    roles = " and ".join(str(shown.messages[index]["role"]) for shown, index in trimmed)
    yield Evidence(
        f"White space around the content of {roles} messages is cut off.",
        shown,
        span=shown.place(index),
        expected=f"The content stands as it was given: {TEXT!r}.",
    )


def _trimmed(shown: Outcome, index: int) -> bool:
    """Whether a part of the content is missing, and nothing but white space is."""
    texts = shown.inputs(index, "content")
    gone = [texts[field][start:end] for field, start, end in shown.missing(index)]
    return shown.reached(index) and bool(gone) and not "".join(gone).strip()
