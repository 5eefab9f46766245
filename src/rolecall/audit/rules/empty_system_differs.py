r"""An empty system message gives another prompt than no system message.

Either an empty system turn is written, or a default system prompt is not, or the template raises.

## Why it matters

Chat programs have a field for the system prompt and many send it when it is empty. Two requests
that mean the same then give two prompts, which share no cache, and an empty turn is something that
the model has hardly seen in training. Where the template has a default system prompt it is the
other way round: an empty message is the way to be rid of it. Who writes applications should know
which of the two they send.

## Example

```jinja
{% if messages[0].role == 'system' %}
{{ '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}{% endif %}
```

## What to do instead

An application leaves an empty system message out. A template asks for content too:
`{% if messages[0].role == 'system' and messages[0].content %}`.

## Is a repair safe?

Yes, unless applications use the empty message to switch a default off.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import system, user
from rolecall.audit.probe import CONTROL_SHAPE, Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "note"
KIND: Kind = "adds"


def check(probe: Probe) -> Iterator[Evidence]:
    """Report what an empty system message changes."""
    if not probe.hello.ok or not probe.takes_system:
        return
    shown = probe.run([system(""), user()], add_generation_prompt=True)
    if probe.refuses(shown, probe.hello):
        yield Evidence(
            f"An empty system message raises {shown.reason!r}.",
            shown,
            expected="It renders, as one with text does.",
            severity="warning",
            kind="refuses",
        )
        return
    if not shown.ok or shown.text == probe.hello.text:
        return
    start, end, instead = _difference(shown.text, probe.hello.text)
    written = shown.text[start:end]
    if instead.strip():
        what = f"takes the place of {_short(instead)!r}"
        if written.strip():
            what = f"gives {_short(written)!r} in place of {_short(instead)!r}"
    elif written:
        what = f"adds {_short(written)!r}"
    else:
        what = f"leaves out {instead!r}"
    yield Evidence(
        f"An empty system message {what}.",
        shown,
        span=(start, end),
        expected="The prompt is the same as without the message.",
        kind="changes" if instead.strip() else None,
    )


def _difference(text: str, other: str) -> tuple[int, int, str]:
    """Where a text differs from another, and what stands there in the other."""
    same = 0
    shorter = min(len(text), len(other))
    while same < shorter and text[-1 - same] == other[-1 - same]:
        same += 1
    start = 0
    while start < shorter - same and text[start] == other[start]:
        start += 1
    end = len(text) - same
    if start == len(other) - same:
        # Something was added, and several places for it give the same text: take one that does not
        # begin inside a token.
        inside = {at for one in CONTROL_SHAPE.finditer(text) for at in range(*one.span())[1:]}
        for step in range(same):
            if start + step not in inside:
                return start + step, end + step, ""
            if text[start + step] != text[end + step]:
                break
    return start, end, other[start : len(other) - same]


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}…"
