r"""With an assistant's message last, `add_generation_prompt` does something other than open a turn.

It raises, it is left out and the message is left open to be continued, or the new turn is opened
while the last one is not closed. Where the message is closed and no turn is opened, that is
`prefill-closed`.

## Why it matters

Servers ask for the generation prompt in every request that does not forbid it. What comes of a
conversation that ends with the assistant, a prefill or an answer to be followed by another one,
depends on the template alone, and clients cannot see it.

## Example

```jinja
{% if add_generation_prompt and messages[-1].role != 'assistant' %}
{{ '<|im_start|>assistant\n' }}
{% endif %}
```

## What to do instead

Write the generation prompt whenever it is asked for. A client that wants the last message to be
continued asks for `continue_final_message`, and gets the text cut behind it.

## Is a repair safe?

Clients that rely on the message being left open must ask for `continue_final_message` instead.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.ending import answered, end_in_history, left_behind, quoted, tokens_in
from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import assistant, user
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "note"
KIND: Kind = "breaks"


def check(probe: Probe) -> Iterator[Evidence]:
    """Report what happens where it is not that the turn is closed and another opened."""
    closed = answered(probe)
    shown = probe.run([user(), assistant()], add_generation_prompt=True)
    if probe.refuses(shown, closed, probe.hello):
        yield Evidence(
            f"A generation prompt after an assistant's message raises {shown.reason!r}.",
            shown,
            expected="It renders, as it does without add_generation_prompt.",
            kind="refuses",
        )
        return
    without, behind = left_behind(closed, 1), left_behind(shown, 1)
    place = shown.place(1)
    if without is None or behind is None or place is None:
        return
    if not behind.strip():
        # Where nothing ever ends the last message, that is `end-of-turn-missing`.
        if without.strip():
            yield Evidence(
                "add_generation_prompt leaves the assistant's last message open to be continued.",
                shown,
                span=(place[1], len(shown.text)),
                expected=f"Behind the message stands {quoted(without)}, as without it, and then "
                "the generation prompt.",
            )
        return
    end = tokens_in(probe, end_in_history(probe) or "")
    prompt = probe.generation_prompt
    closes = bool(end) and bool(tokens_in(probe, without))
    if closes and prompt and behind.strip() == prompt.strip():
        yield Evidence(
            "The generation prompt is written right behind the assistant's message, whose turn "
            "is not closed.",
            shown,
            span=(place[1], len(shown.text)),
            expected=f"Before the generation prompt stands {end[0][0]!r}, as it does before a "
            "user's message.",
            severity="warning",
        )
