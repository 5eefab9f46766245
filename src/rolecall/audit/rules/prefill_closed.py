r"""An assistant's message at the end is closed, and no turn is opened behind it to go on in.

A template that closes the message and opens a new turn with `add_generation_prompt` is not
reported: the model then answers a second time.

## Why it matters

A client puts the beginning of a reply at the end of the conversation for the model to continue.
Servers that do not know of this ask for a generation prompt, as ever, and the prompt ends behind
the end of the turn: the model was never asked to say anything there. Servers that do know cut the
text behind the message, as transformers does with `continue_final_message`, and are not affected.

## Example

```jinja
{% if message.role == 'user' %}{{ '[INST] ' + message.content + ' [/INST]' }}
{% else %}{{ message.content + eos_token }}{% endif %}
```

## What to do instead

Ask for `continue_final_message=True` and not for the generation prompt, with a server that cuts.
Do not leave out the end in the template where the last message is the assistant's: such a
conversation is what models are trained on, and they would never learn to stop.

## Is a repair safe?

Where the format has a header for the assistant, writing it whenever a generation prompt is asked
for is safe. Mistral's formats have none.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.ending import end_in_history, left_behind, quoted, tokens_in
from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import assistant, user
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "error"
KIND: Kind = "breaks"


def check(probe: Probe) -> Iterator[Evidence]:
    """Report a prompt that ends behind what closes the assistant's turn."""
    shown = probe.run([user(), assistant()], add_generation_prompt=True)
    place, behind, end = shown.place(1), left_behind(shown, 1), end_in_history(probe)
    if place is None or not behind or end is None:
        return
    # Without the header that answers have, `generation-prompt-ignored` is what is wrong.
    if not probe.hello.ok or not shown.text.startswith(probe.hello.text.rstrip()):
        return
    if shown.text[len(probe.hello.text.rstrip()) : place[0]].strip():
        return
    if behind.strip() != end.strip():
        return
    tokens = tokens_in(probe, behind)
    if not tokens:
        yield Evidence(
            f"Behind text that the model is to continue stands {quoted(behind)}, even with "
            "add_generation_prompt.",
            shown,
            span=(place[1], len(shown.text)),
            expected="The prompt ends with the text, or a new turn is opened.",
            severity="warning",
        )
        return
    yield Evidence(
        f"The model is asked to continue behind {tokens[0][0]!r}: the assistant's last message is "
        "closed, and add_generation_prompt opens no turn.",
        shown,
        span=(place[1], len(shown.text)),
        expected="The prompt ends with the text, or a new turn is opened.",
    )
