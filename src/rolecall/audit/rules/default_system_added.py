r"""A system prompt that nobody wrote is added where a conversation has none.

An empty system turn that is written without being asked for is reported too, as a note.

## Why it matters

The model is told who it is or how to behave by a text that the application never sent. It costs
tokens in every request, it competes with instructions that stand in the user's message, and whoever
trains on conversations without a system prompt trains on this one.

## Example

```jinja
{% if messages[0].role != 'system' %}
{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}
{% endif %}
```

## What to do instead

Write what the conversation holds. Where the model was trained with a default, say so in its
documentation, and remember that an empty system message may not switch it off.

## Is a repair safe?

Not in general: the model may have been trained with the default in every conversation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import again, assistant, system, user
from rolecall.audit.probe import CONTROL_SHAPE, Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "warning"
KIND: Kind = "adds"

FEWEST_LETTERS = 12
"""What a template writes before the first turn is a prompt from so many letters on.

A round's number or a label is shorter.
"""


def check(probe: Probe) -> Iterator[Evidence]:
    """Report what stands in place of a system message that was not given."""
    shown = probe.hello
    place = shown.place(0)
    if place is None:
        return
    found = (_in_its_place(probe) if probe.keeps_system else None) or _before_header(probe)
    if found is None:
        return
    start, end = found
    text = shown.text[start:end].strip()
    start = shown.text.find(text, start)
    end = start + len(text)
    if not _letters(probe, text):
        yield Evidence(
            "An empty system turn is added where the conversation has none.",
            shown,
            span=(start, end),
            expected="The prompt begins with the user's turn.",
            severity="note",
        )
        return
    quoted = " ".join(probe.words(text).split())
    quoted = quoted if len(quoted) <= 60 else f"{quoted[:57]}…"
    yield Evidence(
        f"A system prompt that nobody wrote is added: {quoted!r}.",
        shown,
        span=(start, end),
        expected="The prompt begins with the user's turn.",
    )


def _in_its_place(probe: Probe) -> tuple[int, int] | None:
    """What stands where a system message would: between the same text before and after."""
    prompted = probe.run([system(), user()], add_generation_prompt=True)
    own, user_place = prompted.place(0), prompted.place(1)
    place = probe.hello.place(0)
    if own is None or user_place is None or place is None or own[1] > user_place[0]:
        return None
    before, after = prompted.text[: own[0]], prompted.text[own[1] : user_place[0]]
    head = probe.hello.text[: place[0]]
    if not head.startswith(before) or not head.endswith(after):
        return None
    if len(head) < len(before) + len(after):
        return None
    start, end = len(before), len(head) - len(after)
    if probe.words(head[start:end]):
        return start, end
    # Nothing stands in its place, but an empty turn for it does, if it has a header. Bos before the
    # system prompt of a format without a system turn is none.
    return (0, start) if _letters(probe, before) or "sys" in before.casefold() else None


def _before_header(probe: Probe) -> tuple[int, int] | None:
    """What stands before the first user's header, system message or not."""
    later = probe.run([user(), assistant(), again()], add_generation_prompt=True)
    answer, second = later.place(1), later.place(2)
    place = probe.hello.place(0)
    if answer is None or second is None or place is None:
        return None
    between, head = later.text[answer[1] : second[0]], probe.hello.text[: place[0]]
    same = 0
    while same < min(len(between), len(head)) and between[-1 - same] == head[-1 - same]:
        same += 1
    end = len(head) - same
    # What is alike may begin inside a control token.
    for token in CONTROL_SHAPE.finditer(head):
        if token.start() < end < token.end():
            end = token.end()
    return (0, end) if len(_letters(probe, head[:end])) >= FEWEST_LETTERS else None


def _letters(probe: Probe, text: str) -> str:
    """The letters of a text without control tokens and without the label of a system turn."""
    words = re.findall(r"[^\W\d_]+", probe.words(text))
    return "".join(word for word in words if word.casefold() != "system")
