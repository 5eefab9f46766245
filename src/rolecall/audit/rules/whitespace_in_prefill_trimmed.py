r"""White space around the text that the model is to continue is cut off.

## Why it matters

A prefill says exactly where the model goes on: after a space, after a line break, inside indented
code. Without it the model begins its first token somewhere else, writes the space once more, or
answers on the line that was to be left. Programs that look for the prefill in the output, as
transformers does to cut it off there, may not find it.

## Example

```jinja
{{ '<|assistant|>\n' + message.content | trim }}
```

## What to do instead

Write the content of the last assistant's message as it is.

## Is a repair safe?

For a prefill yes. Where training data went through the template with white space around its
answers, the model was trained on what was cut.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import assistant, user
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "warning"
KIND: Kind = "changes"

BEGUN = "\n  The weather \n"


def check(probe: Probe) -> Iterator[Evidence]:
    """Report white space of a final assistant's message that is missing."""
    shown = probe.run([user(), assistant(BEGUN)], continue_final_message=True)
    place = shown.place(1)
    texts = shown.inputs(1, "content")
    gone = [(start, texts[field][start:end]) for field, start, end in shown.missing(1)]
    if place is None or not gone or "".join(text for _, text in gone).strip():
        return
    sides = [
        side for side, there in (("start", gone[0][0] == 0), ("end", gone[-1][0] > 0)) if there
    ]
    where = " and the ".join(sides)
    yield Evidence(
        f"White space at the {where} of what the model is to continue is cut off.",
        shown,
        span=place,
        expected=f"The text stands as it was given: {BEGUN!r}.",
    )
