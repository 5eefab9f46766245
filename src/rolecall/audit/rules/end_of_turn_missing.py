r"""No end token closes what the assistant says.

At the end of a conversation, or within it, or both. Where the next speaker's token follows at once,
as in GLM's format, a model can stop at that; whether it does, only the settings of its generation
tell, and without them it is a note.

## Why it matters

A model learns to stop from the token that stands behind its answers. Trained on conversations that
have none it goes on as the user, until a limit stops it.

## Example

```jinja
{% if not loop.last %}{{ eos_token }}{% endif %}
```

## What to do instead

Write the end token behind every message of the assistant's, the last one included. A message that
is to be continued is cut by `continue_final_message`; the template need not leave it open.

## Is a repair safe?

For training, yes. A server that lets the model continue a last message without cutting behind it
depends on the message being left open.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.ending import answered, end_in_history, left_behind, quoted, tokens_in
from rolecall.audit.finding import Kind, Severity
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "warning"
KIND: Kind = "breaks"


def check(probe: Probe) -> Iterator[Evidence]:
    """Report answers without an end token, the last one or those before it."""
    shown, chat = answered(probe), probe.chat
    behind, inside = left_behind(shown, 1), end_in_history(probe)
    place, earlier = shown.place(1), chat.place(1)
    if behind is None or inside is None or place is None or earlier is None:
        return
    ends_inside = bool(tokens_in(probe, inside))
    if ends_inside and not tokens_in(probe, behind):
        yield Evidence(
            "No end token closes the assistant's last message, as one does within the "
            f"conversation: {quoted(inside)}.",
            shown,
            span=(place[1], len(shown.text)),
            expected=f"The conversation ends with {quoted(inside)}.",
        )
    elif not ends_inside:
        following = tokens_in(probe, chat.between(1, 2))
        # A header that is written without being asked for is no end.
        header = behind.strip() and probe.hello.text.rstrip().endswith(behind.strip())
        if tokens_in(probe, behind) and not header:
            yield Evidence(
                "An end token closes the assistant's last message only, and none those before.",
                chat,
                span=(earlier[1], earlier[1] + len(chat.between(1, 2))),
                expected=f"Behind the reply stands {quoted(behind)}, as at the end of a "
                "conversation.",
                severity="note",
            )
        elif following and following[0][0] in probe.source.eos:
            yield Evidence(
                "The model stops at the header of the next turn, "
                f"{following[0][0]!r}, which its last message does not have.",
                shown,
                span=(place[1], len(shown.text)),
                expected=f"The conversation ends with {following[0][0]!r}.",
                severity="note",
            )
        else:
            next_turn = chat.between(1, 2)
            how = f"with {quoted(next_turn)}" if next_turn.strip() else "at once"
            # A model may stop at the next speaker's token, if it is not one that opens every turn.
            stops = following[0][0] if following else None
            alone = stops is not None and not probe.source.ends_read and not _opens(probe, stops)
            unless = f", and the model must stop at {stops!r}" if alone else ""
            yield Evidence(
                "No end token closes what the assistant says: the next turn follows "
                f"{how}{unless}.",
                chat,
                span=(earlier[1], earlier[1] + len(next_turn)),
                expected="Behind the reply stands an end token of the model.",
                severity="note" if alone else None,
            )


def _opens(probe: Probe, token: str) -> bool:
    """Whether a token opens the assistant's turns, so that generation cannot stop at it."""
    return token in (probe.generation_prompt or probe.chat.between(0, 1))
