r"""Text before the reasoning in the content of an assistant's message never reaches the prompt.

Templates split such content at the tags of the reasoning. What is done with the reasoning itself is
meant by `reasoning-dropped`.

## Why it matters

A reply may begin with words before it begins to think: a prefill, an announcement, or an
explanation of what `</think>` means. The user saw them, and they vanish from the history. Few
models write so by themselves, which is why this is a warning.

## Example

```jinja
{% set reasoning = content.split('</think>')[0].split('<think>')[-1] %}
{% set content = content.split('</think>')[-1] %}
```

The text before `<think>` is in neither of the two.

## What to do instead

Take content apart only where it begins with the tag:
`{% if content.lstrip().startswith('<think>') %}`.

## Is a repair safe?

Yes: only content changes of which something was missing.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import again, assistant, user
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence
from rolecall.audit.thinking import inline, tags

SEVERITY: Severity = "warning"
KIND: Kind = "loses"

BEFORE = "Sure, a moment please."
ANSWER = "Good day to you."


def check(probe: Probe) -> Iterator[Evidence]:
    """Report text before the tag that is missing while the text after the reasoning is there."""
    text = f"{BEFORE}\n{inline(probe, ANSWER)}"
    after = text.index(ANSWER)
    for shown in (
        probe.run([user(), assistant(text)]),
        probe.run([user(), assistant(text), again()], add_generation_prompt=True),
    ):
        arrived = [(start, end) for _, start, end in shown.ranges(1)]
        kept = any(end > after for _, end in arrived)
        if kept and not shown.spelled(1) and all(start >= len(BEFORE) for start, _ in arrived):
            yield Evidence(
                f"Text before {tags(probe)[0]!r} is dropped from an assistant's message.",
                shown,
                span=shown.turn(1) or shown.place(1),
                expected=f"It stands before the reasoning: {BEFORE!r}.",
            )
            return
