r"""The template raises where a message has no content, or a key whose value is None.

Tried with calls whose message has no content, and with answers whose unused keys are None. It is an
error where a call needs content that is not there in any spelling, and a warning where None alone
raises and the message without the key renders.

## Why it matters

In OpenAI's wire form a message that calls tools has `content: null`, and an answer that is written
back into the history as it came has `tool_calls: null` too. Recent versions of transformers take
such keys out before the template sees them; older ones and other engines hand them on. An agent
fails at its second request, though the format has a place for all that was said. Who runs agents
meets it first.

## Example

```jinja
{{ '<|im_start|>assistant\n' + message.content }}
```

None cannot be joined to a string, nor can what is not there.

## What to do instead

Ask before writing: `{% if message.content %}{{ message.content }}{% endif %}`. Until then an
application writes an empty string for None, and takes other keys of None out of the message.

## Is a repair safe?

Yes: only conversations that raised before change.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import CITY, Wire, again, assistant, call, calling, result, user
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "error"
KIND: Kind = "refuses"

UNUSED = ("tool_calls", "reasoning_content", "name", "refusal", "audio", "function_call")
"""What an answer in OpenAI's wire form holds beside its content, None where it is unused."""


def check(probe: Probe) -> Iterator[Evidence]:
    """Report messages whose content may not be missing, and keys that may not be None."""
    if probe.takes_calls:
        made = calling(call(arguments=probe.arguments({"city": CITY})))
        control = probe.run([user(), made, result()])
        bare: Wire = {key: value for key, value in made.items() if key != "content"}
        without = probe.run([user(), bare, result()])
        of_none = probe.run([user(), {**made, "content": None}, result()])
        if probe.refuses(without, control):
            yield Evidence(
                f"A message that calls a tool and has no content raises {without.reason!r}.",
                without,
                expected="It renders, as it does with an empty string for content.",
            )
        elif probe.refuses(of_none, control):
            yield Evidence(
                f"A message that calls a tool and whose content is None raises {of_none.reason!r}.",
                of_none,
                expected="It renders, as it does without the key or with an empty string.",
                severity="warning",
            )
    answer = assistant(**dict.fromkeys(UNUSED))
    shown = probe.run([user(), answer, again()], add_generation_prompt=True)
    if not probe.refuses(shown, probe.chat):
        return
    alone = {
        key: probe.run([user(), assistant(**{key: None}), again()], add_generation_prompt=True)
        for key in UNUSED
    }
    raising = {key: outcome for key, outcome in alone.items() if outcome.refused}
    if raising:
        shown = next(iter(raising.values()))
    yield Evidence(
        f"An answer whose {' or '.join(raising or UNUSED)} is None raises {shown.reason!r}.",
        shown,
        expected="It renders, as it does without that key.",
        severity="warning",
    )
