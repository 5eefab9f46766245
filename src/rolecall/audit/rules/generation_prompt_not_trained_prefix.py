r"""The prompt with its generation prompt is no beginning of the same conversation with the reply.

It is compared for a plain reply, one with reasoning, and a tool call, each where the template
writes it.

## Why it matters

A model that is trained on whole conversations never sees the prompt that it gets afterwards. What
cuts prompt and reply apart for training, by their length or by comparing them, cuts in the wrong
place.

## Example

```jinja
{% if add_generation_prompt %}{{ '<|assistant|><think>\n' }}{% endif %}
```

The generation prompt opens reasoning, and replies in a history are written without any.

## What to do instead

Write before the reply what the generation prompt is, and nothing else. Where reasoning is opened
by the prompt, write an empty block for a reply that has none.

## Is a repair safe?

Not in general: the model was trained on the one text or the other. Ask which, and change the
other.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.ending import answered, parting, quoted
from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import REASONING, assistant, call, calling, result, user, weather
from rolecall.audit.outcome import Outcome
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence
from rolecall.audit.thinking import FIELDS, field

SEVERITY: Severity = "warning"
KIND: Kind = "breaks"


def check(probe: Probe) -> Iterator[Evidence]:
    """Report the simplest reply that does not follow on the prompt, and name the others."""
    tried = _tried(probe)
    differing = [
        (name, prompt, full)
        for name, prompt, full in tried
        if prompt.ok and full.ok and not full.text.startswith(prompt.text)
    ]
    if not differing:
        return
    name, prompt, full = differing[0]
    same = parting(probe, prompt.text, full.text)
    also = "".join(f" and {other}" for other, _, _ in differing[1:])
    # The generation prompt is shown whole, if the difference lies in it.
    added = len(prompt.text) - len(probe.generation_prompt or "")
    begin = min(same, added) if same >= added else same
    replied = min(
        (place for kind in PARTS if (place := full.place(1, kind)) is not None), default=None
    )
    end = same + 20 if replied is None else max(replied[0], same)
    # A model that is made to reason gives no reply without reasoning.
    reasons = name == PLAIN and any(one == REASONED for one, _, _ in tried)
    fits = reasons and all(one != REASONED for one, _, _ in differing)
    yield Evidence(
        f"The prompt ends with {quoted(prompt.text[begin:])}, but before {name}{also} stands "
        f"{quoted(full.text[begin:end])}.",
        prompt,
        span=(same, len(prompt.text)),
        expected=f"The conversation with {name} begins with the prompt.",
        severity="note" if fits else None,
    )


PLAIN = "a plain reply"
REASONED = "a reply with reasoning"
CALL = "a tool call"
PARTS = (*FIELDS, "content", "tool_calls")


def _tried(probe: Probe) -> list[tuple[str, Outcome, Outcome]]:
    """What the reply is, the prompt, and the conversation with the reply."""
    found: list[tuple[str, Outcome, Outcome]] = []
    plain = answered(probe)
    if plain.reached(1):
        found.append((PLAIN, probe.hello, plain))
    name = field(probe)
    if name is not None:
        reasoned = probe.run([user(), assistant(**{name: REASONING})])
        found.append((REASONED, probe.hello, reasoned))
    if probe.takes_tools and probe.takes_calls:
        tools = [weather()]
        asked = probe.run([user()], tools=tools, add_generation_prompt=True)
        called = calling(call(arguments=probe.arguments({"city": "Lima"})))
        full = probe.run([user(), called], tools=tools)
        if not full.ok:
            full = probe.run([user(), called, result()], tools=tools)
        if full.reached(1, "tool_calls"):
            found.append((CALL, asked, full))
    return found
