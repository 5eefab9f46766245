"""What may change in a conversation that a repair is about, and what may not in any."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rolecall.audit.outcome import Outcome
from rolecall.errors import TemplateRaised

SYSTEM_ROLES = ("system", "developer")
SYSTEM_WORDS = ("sys", "developer")
"""What stands in the header of a system message, whatever a format calls it."""

FIELDS = ("content", "reasoning_content", "tool_calls", "name")


def lost(outcome: Outcome, *roles: str) -> list[int]:
    """The messages of some roles, or of any, of whose content nothing stands in the output."""
    if not outcome.ok:
        return []
    return [
        index
        for index, message in enumerate(outcome.messages)
        if (not roles or message.get("role") in roles)
        and _says(message.get("content"))
        and not outcome.reached(index)
    ]


def arrived(old: Outcome, new: Outcome, *roles: str) -> list[int]:
    """The messages that were lost and now are there."""
    return [index for index in lost(old, *roles) if new.ok and new.reached(index)]


def same(old: Outcome, new: Outcome) -> bool:
    """Whether a conversation comes out as it did.

    Where both fail without meaning to, as a list that is added to a string does, the words of the
    failure are Python's own and may differ.
    """
    if old.ok or new.ok:
        return old.ok and new.ok and old.text == new.text
    if any(isinstance(one.error, TemplateRaised) and one.error.by_template for one in (old, new)):
        return old.reason == new.reason
    return True


def harm(old: Outcome, new: Outcome) -> str | None:
    """What a changed output lacks or repeats that the old one did not; None for nothing."""
    if not old.ok:
        return f"it was refused ({old.reason}) and is written otherwise now"
    if not new.ok:
        return f"it was written and is refused now: {new.reason}"
    for index, message in enumerate(old.messages):
        for field in FIELDS:
            if not message.get(field):
                continue
            if old.reached(index, field) and not new.reached(index, field):
                return f"the {field} of message {index} is gone"
            if _copies(new, index, field) > max(_copies(old, index, field), 1):
                return f"the {field} of message {index} stands there twice"
    if old.reached(None, "tools") and not new.reached(None, "tools"):
        return "the tools are gone"
    before, after = list(_order(old)), list(_order(new))
    if [one for one in after if one in before] != before:
        return "messages stand in another order"
    return None


def labelled(new: Outcome, index: int) -> bool:
    """Whether a message's text stands under its own label, or under that of a system message."""
    if new.reached(index, "role"):
        return True
    place = new.place(index)
    if place is None:
        return False
    others = [
        (found, message["role"])
        for other, message in enumerate(new.messages)
        if other != index and (found := new.place(other)) is not None
    ]
    # Beside another system message, in its turn.
    if any(
        role in SYSTEM_ROLES
        and not new.text[min(found[1], place[1]) : max(found[0], place[0])].strip()
        for found, role in others
    ):
        return True
    end = max((found[1] for found, _ in others if found[1] <= place[0]), default=0)
    header = new.text[end : place[0]].lower()
    return any(word in header for word in SYSTEM_WORDS)


def _says(content: object) -> bool:
    """Whether a content holds anything that could be lost."""
    if isinstance(content, str):
        return bool(content.strip())
    return bool(content)


def _copies(outcome: Outcome, index: int, field: str) -> int:
    """How often a field stands there; of typed content that is printed, its parts do."""
    found = Counter(
        span.origin.field
        for span in outcome.spans(index, field)
        if span.at == 0 and span.end > span.start
    )
    return max(found.values(), default=0)


def _order(outcome: Outcome) -> Iterator[int]:
    """The messages that arrived, by where their content first stands."""
    places = [(outcome.place(index), index) for index in range(len(outcome.messages))]
    found = sorted((place[0], index) for place, index in places if place is not None)
    return (index for _, index in found)
