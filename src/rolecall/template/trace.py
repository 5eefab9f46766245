"""One run of a template: its output with the place every character comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import jinja2

from rolecall.errors import TemplateLimit, TemplateRaised, TemplateSyntaxError
from rolecall.template.environment import Environment, RaisedByTemplate
from rolecall.template.limits import METER, Limits, Meter
from rolecall.template.runs import Origin, named, of_template
from rolecall.template.traced import of_token, own_runs, traced


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
        output = _Output(used)
        try:
            context = self.compiled.new_context(values)
            for piece in self.compiled.root_render_func(context):
                output.write(piece)
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
        return output.trace(inputs)


class _Output:
    """Collects what a template writes, piece by piece."""

    def __init__(self, used: Meter) -> None:
        self._used = used
        self._texts: list[str] = []
        self._spans: list[_RawSpan] = []
        self._size = 0

    def write(self, piece: str | tuple[str, ...]) -> None:
        """Add what was written, or several things one behind the other."""
        used, spans = self._used, self._spans
        speaking = used.speaking
        texts: tuple[str, ...] = (piece,) if isinstance(piece, str) else piece
        for text in texts:
            start = self._size
            self._texts.append(text)
            self._size += len(text)
            for length, origin, at in own_runs(text):
                if speaking is not None and origin.message is None:
                    origin = of_template(origin, speaking)  # noqa: PLW2901
                end = start + length
                if spans:
                    begun, last, before, place = spans[-1]
                    if (origin is before or origin == before) and (
                        at == place + last - begun if place >= 0 else at < 0
                    ):
                        spans[-1] = (begun, end, before, place)
                        start = end
                        continue
                spans.append((start, end, origin, at))
                start = end
        used.characters(self._size)
        if len(spans) > _MANY:
            used.changes(len(spans))

    def trace(self, inputs: Inputs) -> Trace:
        """Everything that was written."""
        return Trace("".join(self._texts), named(Span, self._spans), inputs)


_RawSpan = tuple[int, int, Origin, int]
"""What a `Span` says."""

_MANY = 4_096
"""Spans of an output from which on it is looked whether they are too many."""
