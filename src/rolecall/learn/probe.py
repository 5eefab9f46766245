"""Prober: a template tried on small conversations, and what it wrote taken apart."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import product
from typing import TYPE_CHECKING, Any

from rolecall.errors import LearnError, TemplateLimit, TemplateRaised
from rolecall.pattern import FILTERS
from rolecall.pattern import Piece as PatternPiece
from rolecall.turn import text_of

if TYPE_CHECKING:
    from rolecall.template.template import Template
    from rolecall.template.trace import Trace


@dataclass(frozen=True, slots=True)
class Literal:
    """Characters of the template's own, or that nobody knows the origin of."""

    text: str
    token: str = ""
    """``bos_token`` or ``eos_token`` where it is that token."""


@dataclass(frozen=True, slots=True)
class Field:
    """Characters of the caller's."""

    message: int | None
    """Index of the message; None for tools and options."""
    field: str
    """As `Origin.field` names it: ``content``, ``role``, ``tool_calls[0].function.name``."""
    text: str
    """What was written of it."""
    given: str
    """What the caller gave."""


Piece = Literal | Field
Refusal = TemplateRaised | TemplateLimit

CLOCK = datetime(2019, 7, 23, 11, 43, 17)
"""What the clock says in every probe, so that it can be told from what a template always writes."""


class OutOfTime(LearnError):  # noqa: N818  (it says what happened)
    """A template that takes longer than it may."""


@dataclass(slots=True)
class Prober:
    """Tries a template out; every conversation once."""

    template: Template
    seconds: float = 25.0
    """How long all probes together may take."""
    progress: Callable[[str, int], None] | None = None
    """Told the name of the step, and how many conversations were tried so far."""
    step: str = "probing"
    count: int = 0
    """Conversations tried so far, those that were asked for again aside."""
    begun: float = field(default_factory=time.process_time)
    """Counted in the time of this process, which does not pass faster while others work."""
    listed: bool = False
    """Whether tools and documents are given as empty lists where there are none."""
    _seen: dict[str, Trace | Refusal] = field(default_factory=dict[str, Any], repr=False)
    _words: Iterator[str] | None = field(default=None, repr=False)
    _contents: list[str] = field(default_factory=list[str], repr=False)
    date: str = ""
    """How the template spells the date of `CLOCK`, or empty where it writes none."""
    date_form: str = ""
    """The same as ``strftime`` takes it."""
    typed: bool = False
    """Whether contents are given as lists of text parts."""

    def word(self) -> str:
        """A word that stands neither in the template nor in any probe before."""
        if self._words is None:
            self._words = _new_words(self.template.jinja)
        return next(self._words)

    def words(self, count: int) -> list[str]:
        """The first so many of the words that stand for contents; always the same ones."""
        while len(self._contents) < count:
            self._contents.append(self.word())
        return self._contents[:count]

    def trace(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        **options: Any,
    ) -> Trace | Refusal:
        """What the template makes of a conversation, or how it refuses it.

        Raises:
            OutOfTime: If the time is up.
        """
        form = [self.typed, self.listed]
        key = json.dumps([messages, tools, options, form], sort_keys=True, default=repr)
        if key not in self._seen:
            self._seen[key] = self.fresh(messages, tools, **options)
        return self._seen[key]

    def fresh(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        **options: Any,
    ) -> Trace | Refusal:
        """The same, of a conversation that will not be asked for again."""
        return self.at(CLOCK, messages, tools, **options)

    def at(
        self,
        clock: datetime,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        **options: Any,
    ) -> Trace | Refusal:
        """The same at another time."""
        self.tick()
        given = [_typed(one) for one in messages] if self.typed else messages
        if self.listed:
            tools = [] if tools is None else tools
            options = {"documents": [], **options}
        try:
            return self.template.trace(given, tools, now=lambda: clock, **options)
        except (TemplateRaised, TemplateLimit) as error:
            return error

    def tick(self) -> None:
        """Count one conversation.

        Raises:
            OutOfTime: If the time is up.
        """
        self.count += 1
        if self.progress is not None and self.count % 20 == 0:
            self.progress(self.step, self.count)
        if time.process_time() - self.begun > self.seconds:
            raise OutOfTime(
                f"{self.template.name}: not learnt within {self.seconds:.0f} seconds "
                f"({self.count} conversations tried, while {self.step})"
            )

    def pieces(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        **options: Any,
    ) -> list[Piece] | None:
        """What the template wrote, taken apart; None where it refuses."""
        found = self.trace(messages, tools, **options)
        return None if isinstance(found, (TemplateRaised, TemplateLimit)) else pieces(found)


def _typed(message: Mapping[str, Any]) -> dict[str, Any]:
    """The message with its content as a list of one text part."""
    content = message.get("content")
    if not isinstance(content, str):
        return dict(message)
    return {**message, "content": [{"type": "text", "text": content}]}


def pieces(trace: Trace) -> list[Piece]:
    """The output of a template as literals and fields of the caller's, in order.

    Fields that lost their origin on the way are found again where their text is a word of its own.
    """
    found: list[Piece] = []
    for span in trace.spans:
        text = trace.text[span.start : span.end]
        kind, message, name, _ = span.origin
        if kind == "caller":
            given = trace.inputs.get((message, name), text)
            last = found[-1] if found else None
            if isinstance(last, Field) and (last.message, last.field) == (message, name):
                found[-1] = Field(message, name, last.text + text, given)
            else:
                found.append(Field(message, name, text, given))
        elif kind == "token":
            found.append(Literal(text, name))
        elif kind == "unknown":
            for piece in _found_again(text, trace):
                _add(found, piece)
        else:
            _add(found, Literal(text))
    return found


def _add(found: list[Piece], piece: Piece) -> None:
    last = found[-1] if found else None
    if (
        isinstance(last, Literal)
        and isinstance(piece, Literal)
        and not last.token
        and not piece.token
    ):
        found[-1] = Literal(last.text + piece.text)
    else:
        found.append(piece)


def _found_again(text: str, trace: Trace) -> Iterator[Piece]:
    """Words of the caller's in text of unknown origin."""
    at = 0
    while at < len(text):
        places = [
            (text.find(given, at), -len(given), key)
            for key, given in trace.inputs.items()
            if len(given) >= _FIRM and text.find(given, at) >= 0
        ]
        if not places:
            break
        start, length, (message, name) = min(places, key=lambda place: place[:2])
        if start > at:
            yield Literal(text[at:start])
        yield Field(message, name, text[start : start - length], text[start : start - length])
        at = start - length
    if at < len(text):
        yield Literal(text[at:])


_FIRM = 4
"""A word of so many characters does not occur by chance."""


def filters(given: str, written: str) -> list[str | None]:
    """The filters that make `written` of `given`; None stands for none."""
    found: list[str | None] = [None] if given == written else []
    for name, (function, _) in FILTERS.items():
        if text_of(function((PatternPiece(given, "content", field="content"),))) == written:
            found.append(name)
    return found


def _new_words(template: str) -> Iterator[str]:
    low = template.lower()
    for letters in product("BDGKLMNPRSTVZ", "aeiou", "bdgklmnprstvz", "aeiou", "dlmnrsz"):
        word = "".join(letters)
        if word.lower() not in low:
            yield word
