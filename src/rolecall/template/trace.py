"""One run of a template: its output with the place every character comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import jinja2

from rolecall.errors import TemplateLimit, TemplateRaised, TemplateSyntaxError
from rolecall.template.environment import Environment, RaisedByTemplate
from rolecall.template.limits import METER, Limits, Meter
from rolecall.template.runs import TEMPLATE, UNKNOWN, Origin, named, of_template
from rolecall.template.traced import Traced, of_token, own_runs, traced


class Span(NamedTuple):
    """Characters of the output that have one origin."""

    start: int
    """The first of them."""
    end: int
    """The one after the last."""
    origin: Origin
    at: int
    """Index of the first in the field's own string, or -1 where they are no plain copy of it."""

    @property
    def message(self) -> int | None:
        """The message it belongs to, or whose turn was being written."""
        return self.origin.message


Inputs = Mapping[tuple[int | None, str], str]


@dataclass(frozen=True, slots=True)
class Trace:
    """The output of a template, with the origin of every character."""

    text: str
    spans: tuple[Span, ...]
    """In order and without gaps; none is empty."""
    inputs: Inputs
    """Every string that the caller gave: ``(message, field)`` to text."""


class Prepared(NamedTuple):
    """What several runs of a template are given, with its origins; made once for all of them."""

    value: Any
    inputs: Inputs
    """The strings within."""

    @classmethod
    def of(cls, value: object, name: str) -> Prepared:
        """Prepare what a template sees by this name beside the messages."""
        inputs: dict[tuple[int | None, str], str] = {}
        return cls(traced(value, None, name, inputs), inputs)


@dataclass(frozen=True, slots=True)
class Program:
    """A template, compiled."""

    name: str
    """What it is called in errors."""
    jinja: str
    compiled: jinja2.Template

    @classmethod
    def compile(cls, jinja: str, name: str, limits: Limits) -> Program:
        """Compile a template.

        Raises:
            TemplateSyntaxError: If it is no Jinja.
            TemplateLimit: If it is too long, or nests too deep.
        """
        if len(jinja) > limits.source:
            raise TemplateLimit(
                f"{name}: the template has {len(jinja):,} characters; the limit is "
                f"{limits.source:,}"
            )
        try:
            return cls(name, jinja, Environment().from_string(jinja))
        except jinja2.TemplateSyntaxError as error:
            raise TemplateSyntaxError(
                f"{name}, line {error.lineno}: the template is no Jinja: {error.message}",
                error.lineno,
            ) from None
        except (RecursionError, MemoryError, SyntaxError) as error:
            raise TemplateLimit(
                f"{name}: the template nests too deep to be compiled ({type(error).__name__})"
            ) from None
        except (jinja2.TemplateError, ValueError) as error:
            # ValueError: a number of too many digits, a character that is none.
            raise TemplateSyntaxError(f"{name}: the template is no Jinja: {error}", None) from None

    def run(
        self,
        messages: Sequence[Any],
        tokens: Mapping[str, str],
        options: Mapping[str, Any],
        *,
        tools: Sequence[Any] | Prepared | None = None,
        documents: Sequence[Any] | None = None,
        limits: Limits,
        now: Callable[[], datetime] = datetime.now,
    ) -> Trace:
        """Run the template on messages in wire form, as they are.

        Args:
            messages: What the template sees as ``messages``.
            tokens: ``bos_token`` and its like.
            options: Everything else that it sees by name; these win over tokens.
            tools: What it sees as ``tools``, prepared or not.
            documents: What it sees as ``documents``.
            limits: What it may use.
            now: The clock that ``strftime_now`` reads.

        Raises:
            TemplateRaised: If the template raises an error or fails.
            TemplateLimit: If it takes more than `limits` allow.
        """
        inputs: dict[tuple[int | None, str], str] = {}
        values: dict[str, Any] = {name: of_token(text, name) for name, text in tokens.items()}
        given: dict[str, Any] = {f"options.{name}": value for name, value in options.items()}
        given |= {"tools": tools, "documents": documents}
        try:
            for name, value in given.items():
                if isinstance(value, Prepared):
                    inputs.update(value.inputs)
                    values[name] = value.value
                else:
                    values[name.removeprefix("options.")] = traced(value, None, name, inputs)
            values["messages"] = [
                traced(message, index, "", inputs) for index, message in enumerate(messages)
            ]
        except RecursionError:
            raise TemplateLimit(
                f"{self.name}: the messages or tools hold values too deep within each other"
            ) from None
        used = Meter(limits, now)
        before = METER.set(used)
        try:
            return self._run(values, used, inputs)
        finally:
            METER.reset(before)

    def _run(self, values: dict[str, Any], used: Meter, inputs: Inputs) -> Trace:
        try:
            context = self.compiled.new_context(values)
            texts, spans = _collect(self.compiled.root_render_func(context), used)
        except TemplateLimit as error:
            raise TemplateLimit(f"{self.name}: {error}") from None
        except RecursionError:
            raise TemplateLimit(f"{self.name}: the template calls itself without end") from None
        except MemoryError:
            raise TemplateLimit(f"{self.name}: the template takes all memory there is") from None
        except RaisedByTemplate as error:
            reason = str(error)
            raise TemplateRaised(
                f"{self.name}: the template refuses this conversation: {reason}",
                reason,
                "TemplateError",
                by_template=True,
            ) from None
        except Exception as error:  # a template is foreign code; it may fail in any way
            kind, reason = type(error).__name__, str(error)
            raise TemplateRaised(
                f"{self.name}: the template fails on this conversation: {kind}: {reason}",
                reason,
                kind,
                by_template=False,
            ) from None
        return Trace("".join(texts), named(Span, spans), inputs)


def _collect(
    pieces: Iterator[str | tuple[str, ...]], used: Meter
) -> tuple[list[str], list[_RawSpan]]:
    """What a template writes, piece by piece, and where it comes from."""
    texts: list[str] = []
    spans: list[_RawSpan] = []
    size = start = 0
    # The last span, and the message whose turn is being written with what it makes of a literal.
    before, place = UNKNOWN, -1
    known: int | None = None
    literal = TEMPLATE
    for piece in pieces:
        speaking = used.speaking
        if speaking is not None and speaking != known:
            known, literal = speaking, of_template(TEMPLATE, speaking)
        group: tuple[str, ...] = (piece,) if isinstance(piece, str) else piece
        for text in group:
            texts.append(text)
            runs = text._runs if type(text) is Traced else own_runs(text)  # pyright: ignore[reportPrivateUsage]
            for length, origin, at in runs:
                if speaking is not None:
                    # As `of_template` does, which is too slow to be called for every run.
                    if origin is TEMPLATE:
                        origin = literal  # noqa: PLW2901
                    elif origin.message is None:
                        origin = of_template(origin, speaking)  # noqa: PLW2901
                end = size + length
                if (
                    spans
                    and (origin is before or origin == before)
                    and (at == place + size - start if place >= 0 else at < 0)
                ):
                    spans[-1] = (start, end, before, place)
                else:
                    spans.append((size, end, origin, at))
                    start, before, place = size, origin, at
                size = end
        if size > used.limits.characters:
            used.characters(size)
        if len(spans) > _MANY:
            used.changes(len(spans))
    return texts, spans


_RawSpan = tuple[int, int, Origin, int]
"""What a `Span` says."""

_MANY = 4_096
"""Spans of an output from which on it is looked whether they are too many."""
