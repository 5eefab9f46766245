r"""What was written of a conversation is written otherwise once it goes on.

Without reasoning; with it see `history-not-append-only-with-reasoning`. Compared are the prompt of
a first question and that of a second, the reply between them as it stands last and as it stands in
the history, and the same with a system message, with tools and with a tool call.

## Why it matters

A server that keeps what it computed of a prompt can use it for the next one as far as both are the
same. What trains on several turns at once, as reinforcement learning with tools does, takes each
prompt for the beginning of the next. Neither is told that it is wrong.

## Example

```jinja
{% if message.role == 'user' and loop.last %}{{ system_prompt + '\n\n' }}{% endif %}
```

The system prompt stands in the last user message, and moves with every turn.

## What to do instead

Write each message by what it is and what stands before it, and by nothing that follows.

## Is a repair safe?

Not in general: the model was trained on the text as it is. For training anew it is.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.ending import answered, end_in_history, left_behind, parting, quoted, tokens_in
from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import (
    again,
    assistant,
    call,
    calling,
    result,
    system,
    user,
    weather,
)
from rolecall.audit.outcome import Outcome
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "warning"
KIND: Kind = "breaks"


def check(probe: Probe) -> Iterator[Evidence]:
    """Report the simplest conversation of which the beginning changes, and name the others."""
    changed = [
        (what, first, later, end)
        for what, first, later, end in _tried(probe)
        if first.ok and later.ok and end and not later.text.startswith(first.text[:end])
    ]
    if not changed:
        yield from _closing(probe)
        return
    what, first, later, end = changed[0]
    same = parting(probe, first.text[:end], later.text)
    also = " and ".join(one for one, *_ in changed[1:])
    also = f", as is {also}" if also else ""
    gone = _gone(first.text[same:end], later.text[same:])
    if gone:
        how, span = f"{quoted(gone, 80)} is gone", (same, same)
    else:
        was, now = first.text[same:end], later.text[same : same + 40]
        how, span = f"{quoted(was, 40)} becomes {quoted(now, 40)}", (same, same + len(now))
    yield Evidence(
        f"As the conversation goes on, {what} is written otherwise{also}: {how}.",
        later,
        span=span,
        expected=f"What was written before stands unchanged: {quoted(first.text[same:end])}.",
    )


def _closing(probe: Probe) -> Iterator[Evidence]:
    """Report another end token within a history than at the end of a conversation.

    One that is missing from either is meant by `end-of-turn-missing`.
    """
    shown, chat = answered(probe), probe.chat
    place = chat.place(1)
    last = tokens_in(probe, left_behind(shown, 1) or "")
    inside = tokens_in(probe, end_in_history(probe) or "")
    if not (last and inside and place) or last[0][0] == inside[0][0]:
        return
    start, end = (place[1] + at for at in inside[0].span())
    yield Evidence(
        f"As the conversation goes on, what closes the reply is another token: {last[0][0]!r} "
        f"becomes {inside[0][0]!r}.",
        chat,
        span=(start, end),
        expected=f"The reply is closed as it was before, with {last[0][0]!r}.",
        severity="note",
    )


def _tried(probe: Probe) -> list[tuple[str, Outcome, Outcome, int]]:
    """What is written, at first and later, and up to which place the first is compared."""
    found = [
        ("the question", probe.hello, probe.chat, _end(probe.hello, 0)),
        ("the reply", answered(probe), probe.chat, _end(answered(probe), 1)),
    ]
    if probe.keeps_system:
        first = probe.run([system(), user()], add_generation_prompt=True)
        later = probe.run([system(), user(), assistant(), again()], add_generation_prompt=True)
        found.append(("a system message", first, later, _end(first, 1)))
    if probe.takes_tools:
        tools = [weather()]
        first = probe.run([user()], tools=tools, add_generation_prompt=True)
        later = probe.run([user(), assistant(), again()], tools=tools, add_generation_prompt=True)
        found.append(("what goes with tools", first, later, _end(first, 0)))
        if probe.takes_calls:
            called = calling(call(arguments=probe.arguments({"city": "Lima"})))
            first = probe.run([user(), called], tools=tools)
            later = probe.run([user(), called, result()], tools=tools, add_generation_prompt=True)
            found.append(("a tool call", first, later, _end(first, 1, "tool_calls")))
    return found


def _gone(was: str, now: str) -> str:
    """What stood before, if what followed it still follows; else nothing."""
    kept = next((at for at in range(1, len(was)) if now.startswith(was[at:])), 0)
    return was[:kept]


def _end(outcome: Outcome, message: int, field: str = "content") -> int:
    place = outcome.place(message, field)
    return 0 if place is None else place[1]
