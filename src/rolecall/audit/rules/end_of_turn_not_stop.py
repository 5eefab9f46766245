r"""The token that closes the assistant's turn is none that generation stops at.

The end tokens are the tokenizer's `eos_token` and those in `generation_config.json` and
`config.json`, or in the model's metadata. Nothing is said where none of them are known.

## Why it matters

The model ends its turn as it was trained to, the server does not notice, and the reply goes on with
what the model takes for the next turn.

## Example

A ChatML template, whose turns end with `<|im_end|>`:

```jinja
{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
```

and a `generation_config.json` with no other end token than `<|endoftext|>`.

## What to do instead

Name the token in `eos_token_id` of `generation_config.json`; a list may hold several.

## Is a repair safe?

Yes: generation stops where the turn ends.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.ending import answered, end_in_history, left_behind, tokens_in
from rolecall.audit.finding import Kind, Severity
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "warning"
KIND: Kind = "breaks"


def check(probe: Probe) -> Iterator[Evidence]:
    """Report an end token that is not among those of the model."""
    known = probe.source.eos
    inside = end_in_history(probe)
    shown = answered(probe)
    behind, place = left_behind(shown, 1), shown.place(1)
    if not known or not inside or behind is None or place is None:
        return
    tokens = tokens_in(probe, behind)
    closing = tokens_in(probe, inside)
    if not closing or {token[0] for token in (*tokens, *closing)} & {*known}:
        return
    # Of several tokens that close a turn the last one ends it.
    last = closing[-1][0]
    ending = next((token for token in tokens if token[0] == last), None)
    if ending is None:
        return
    start, end = (place[1] + at for at in ending.span())
    named = " or ".join(map(repr, known))
    # Where the tokenizer alone was read, the model's own settings may name it.
    eos = probe.source.tokens.get("eos_token")
    alone = known == (eos,) and not probe.source.ends_read
    unless = ", unless its generation_config.json names it" if alone else ""
    yield Evidence(
        f"The assistant's turn ends with {last!r}, and generation stops at {named} only{unless}.",
        shown,
        span=(start, end),
        expected=f"{last!r} is an end token of the model.",
        severity="note" if alone else None,
    )
