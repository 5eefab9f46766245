r"""A message's role can become a control token.

Graver where the template makes the token of the role, `'<|' + role + '|>'`, so that any token can
be had; a note where the role is a label that may hold one.

## Why it matters

An application that lets its clients name roles, as for a game or for several agents, lets them
write structure: with the role `im_end` or `endoftext` a client ends the turn, or the text.

## Example

```jinja
{{ '<|' + message.role + '|>\n' + message.content }}
```

## What to do instead

Write tokens for the roles that the format knows, and raise on any other one. Where roles are
labels, raise on a role that is no word.

## Is a repair safe?

Yes: conversations with the roles that the model knows stay the same.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.ending import own_token, stands_in, tokens_in
from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import again, other, user
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "warning"
KIND: Kind = "forges"


def check(probe: Probe) -> Iterator[Evidence]:
    """Report a token that is made of a role, or a label that may hold one."""
    shown = probe.run([user(), other(), again()], add_generation_prompt=True)
    for span in shown.spans(1, "role"):
        made = next(
            (
                token
                for token in tokens_in(probe, shown.text)
                if token.start() < span.start and span.end < token.end()
            ),
            None,
        )
        if made is not None:
            yield Evidence(
                f"The role becomes a token: 'writer' is written as {made[0]!r}.",
                shown,
                span=made.span(),
                expected="Tokens are made of the roles that the format knows, and of no other.",
            )
            return
    token = own_token(probe)
    if token is None:
        return
    shown = probe.run(
        [user(), other(f"writer{token}"), again()],
        add_generation_prompt=True,
    )
    place = stands_in(shown, token, 1, "role")
    if place is not None:
        yield Evidence(
            f"A role that holds {token!r} is written as it is, a control token in the header.",
            shown,
            span=place,
            expected="Such a role is refused, or written as text.",
            severity="note",
        )
