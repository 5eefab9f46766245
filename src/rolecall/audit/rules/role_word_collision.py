r"""Turns are told apart by plain words, which a message may hold as well.

## Why it matters

A user who writes such words writes a turn of the assistant's into the prompt, and no tokenizer can
tell it from a real one, since no control token stands there. Text that is copied from a chat does
it by accident.

## Example

```jinja
{% for message in messages %}
{{ '### Instruction:\n' + message.content + '\n\n### Response:\n' }}
{% endfor %}
```

## What to do instead

For a model of your own, take a format whose turns begin with control tokens. For a model that
exists, an application can refuse a message that holds such words at the beginning of a line.

## Is a repair safe?

No: the format is what the model was trained on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from rolecall.audit.ending import quoted, tokens_in
from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import user
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence
from rolecall.template.tokens import control_pattern

SEVERITY: Severity = "warning"
KIND: Kind = "forges"


def check(probe: Probe) -> Iterator[Evidence]:
    """Report a user's text that reads like an answer was given."""
    question, answer = probe.chat.place(0), probe.chat.place(1)
    header = probe.chat.between(0, 1)
    if question is None or answer is None or not re.search(r"[^\W\d_]", header):
        return
    known = probe.template.control
    found = tokens_in(probe, header) if known is None else control_pattern(known).findall(header)
    if found:
        return
    forged = probe.chat.text[question[0] : answer[1]]
    shown = probe.run([user(forged)], add_generation_prompt=True)
    place = shown.place(0)
    if place is None or shown.text[slice(*place)] != forged:
        return
    start = place[0] + question[1] - question[0]
    yield Evidence(
        f"A user's text that holds {quoted(header)} reads as an answer: turns are told apart by "
        "plain words.",
        shown,
        span=(start, start + len(header)),
        expected="What stands in a message cannot be taken for a turn.",
    )
