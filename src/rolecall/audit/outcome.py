"""What became of one conversation under a template, asked by origin and not by searching text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rolecall.errors import TemplateError, TemplateLimit, TemplateRaised

if TYPE_CHECKING:
    from rolecall.template.trace import Span, Trace


@dataclass(frozen=True, slots=True)
class Outcome:
    """A conversation, and what the template wrote of it or raised on it.

    A field is named as in the trace: ``content``, ``name``, ``tool_calls[0].function.name``. A
    field given to a method stands for everything in it too: ``content`` is also
    ``content[0].text``, and an empty field is the message as a whole. Message None is what belongs
    to no message: tools, documents, options.
    """

    conversation: Mapping[str, Any]
    """As it was given: ``messages``, and where given ``tools``, ``documents``, ``options``."""
    trace: Trace | None
    error: TemplateError | None

    @property
    def ok(self) -> bool:
        """Whether it rendered."""
        return self.trace is not None

    @property
    def limited(self) -> bool:
        """Whether it was stopped for taking too long or writing too much."""
        return isinstance(self.error, TemplateLimit)

    @property
    def refused(self) -> bool:
        """Whether the template raised. To blame a message for it, use `Probe.refuses`."""
        return self.error is not None and not self.limited

    @property
    def messages(self) -> Sequence[Mapping[str, Any]]:
        """The messages as the template got them."""
        return self.conversation["messages"]

    @property
    def text(self) -> str:
        """What was written; empty where it raised."""
        return "" if self.trace is None else self.trace.text

    @property
    def reason(self) -> str | None:
        """What was raised, in one line, in the template's words or Jinja's; None for nothing.

        In a sentence write it in quotes, ``{outcome.reason!r}``: it may end as it likes.
        """
        if self.error is None:
            return None
        raised = self.error.reason if isinstance(self.error, TemplateRaised) else str(self.error)
        return " ".join(raised.split())

    def spans(
        self, message: int | None, field: str = "", kinds: Iterable[str] = ("caller",)
    ) -> list[Span]:
        """The spans that come from a field of a message, in the order of the output.

        Kinds are ``caller`` for what was copied, ``printed`` for what Python spelled.
        """
        if self.trace is None:
            return []
        wanted = frozenset(kinds)
        return [
            span
            for span in self.trace.spans
            if span.origin.kind in wanted
            and span.origin.message == message
            and within(span.origin.field, field)
        ]

    def reached(self, message: int | None, field: str = "content") -> bool:
        """Whether anything of a field stands in the output, however it is written there.

        Where the field's own words stand in text of which the trace lost the origin, the field
        counts as arrived: a rule must not claim a loss that it cannot know of.
        """
        if self.spans(message, field, ("caller", "printed")):
            return True
        if self.trace is None:
            return False
        strayed = [span for span in self.trace.spans if span.origin.kind == "unknown"]
        if not strayed:
            return False
        return any(
            found.start() < span.end and span.start < found.end()
            for value in self.inputs(message, field).values()
            if value.strip()
            for found in re.finditer(re.escape(value.strip()), self.trace.text)
            for span in strayed
        )

    def inputs(self, message: int | None, field: str = "") -> dict[str, str]:
        """The strings that the caller gave in a field: full name of each, and its text."""
        if self.trace is None:
            return {}
        return {
            name: text
            for (owner, name), text in self.trace.inputs.items()
            if owner == message and within(name, field)
        }

    def ranges(self, message: int | None, field: str = "content") -> list[tuple[str, int, int]]:
        """Which characters of a field were copied: ``(full field, start, end)`` in output order.

        What was copied twice is there twice. What arrived in another spelling (escaped by
        ``tojson``, in capitals) is not: ask `spelled` first.
        """
        return [
            (span.origin.field, span.at, span.at + span.end - span.start)
            for span in self.spans(message, field)
            if span.at >= 0
        ]

    def spelled(self, message: int | None, field: str = "content") -> bool:
        """Whether some of a field arrived in another spelling, so that `ranges` is not all."""
        return any(span.at < 0 for span in self.spans(message, field, ("caller", "printed")))

    def missing(self, message: int | None, field: str = "content") -> list[tuple[str, int, int]]:
        """Which characters of a field were not copied: ``(full field, start, end)``.

        Empty where the field arrived in another spelling, since it cannot be said then.
        """
        if self.spelled(message, field):
            return []
        gone: list[tuple[str, int, int]] = []
        copied = self.ranges(message, field)
        for name, text in self.inputs(message, field).items():
            position = 0
            for start, end in sorted((a, b) for owner, a, b in copied if owner == name):
                if start > position:
                    gone.append((name, position, start))
                position = max(position, end)
            if position < len(text):
                gone.append((name, position, len(text)))
        return gone

    def place(self, message: int | None, field: str = "content") -> tuple[int, int] | None:
        """From the first to the last character that comes from a field, or None for nothing."""
        found = self.spans(message, field, ("caller", "printed"))
        return (found[0].start, found[-1].end) if found else None

    def turn(self, message: int) -> tuple[int, int] | None:
        """From the first to the last character that belongs to a message's turn, or None.

        A turn is what was written while the template's loop stood at that message, its header and
        its end included. Text written outside a loop over the messages belongs to no turn.
        """
        if self.trace is None:
            return None
        found = [span for span in self.trace.spans if span.message == message]
        return (found[0].start, found[-1].end) if found else None

    def gap(self, message: int, field: str = "content") -> tuple[int, int]:
        """Where a message that is missing should have stood: between its neighbours' content."""
        before = [self.place(index, field) for index in range(message)]
        after = [self.place(index, field) for index in range(message + 1, len(self.messages))]
        start = max((place[1] for place in before if place is not None), default=0)
        later = [place[0] for place in after if place is not None and place[0] >= start]
        return start, min(later, default=len(self.text))

    def between(self, before: int | None, after: int | None) -> str:
        """The text from the end of one message's content to the start of another's.

        None stands for the start or the end of the output. Empty where either did not arrive.
        """
        first = (0, 0) if before is None else self.place(before)
        last = (len(self.text),) * 2 if after is None else self.place(after)
        if first is None or last is None:
            return ""
        return self.text[first[1] : last[0]]

    def structure(self, start: int = 0, end: int | None = None) -> str:
        """What the template itself wrote between two places: its literals and its tokens."""
        if self.trace is None:
            return ""
        end = len(self.trace.text) if end is None else end
        return "".join(
            self.trace.text[max(span.start, start) : min(span.end, end)]
            for span in self.trace.spans
            if span.origin.kind in ("template", "token") and span.start < end and span.end > start
        )


def within(field: str, wanted: str) -> bool:
    """Whether a field is another one or lies in it."""
    return (
        not wanted
        or field == wanted
        or field.startswith((f"{wanted}.", f"{wanted}[", f"{wanted}{{"))
    )


def conversation_key(conversation: Mapping[str, Any]) -> str:
    """What tells a conversation from every other one."""
    return json.dumps(conversation, ensure_ascii=False, default=repr)
