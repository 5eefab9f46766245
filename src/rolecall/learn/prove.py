"""The proof: a format file held against the template that it was learnt from."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from rolecall.errors import InputError, ParseError, RolecallError, TemplateLimit, TemplateRaised

if TYPE_CHECKING:
    from rolecall.format import Format
    from rolecall.learn.probe import Prober


class Case(Protocol):
    """A conversation that both are given."""

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages in wire form."""
        ...

    @property
    def arguments(self) -> Mapping[str, Any]:
        """What else is given to both, by name."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one of the two made of a conversation."""

    text: str | None
    """What it wrote, or None where it refuses."""
    reason: str = ""
    """Why it refuses."""

    def __str__(self) -> str:
        return f"refused: {self.reason}" if self.text is None else repr(self.text)


@dataclass(frozen=True, slots=True)
class Difference:
    """A conversation that the two make different things of."""

    case: Any
    expected: Outcome
    """What the template made of it."""
    found: Outcome
    """What the format made of it."""


def of_template(prober: Prober, case: Case) -> Outcome:
    """What the template makes of a conversation."""
    wire = getattr(case, "wire", None)
    given = wire() if callable(wire) else case.messages
    trace = prober.fresh(given, **case.arguments)  # type: ignore[arg-type]
    if isinstance(trace, (TemplateRaised, TemplateLimit)):
        return Outcome(None, str(getattr(trace, "reason", "") or trace))
    return Outcome(trace.text)


def of_format(fmt: Format, case: Case) -> Outcome:
    """What the format makes of it."""
    try:
        return Outcome(fmt.render(case.messages, **case.arguments).text)
    except InputError as error:
        return Outcome(None, str(error))


def compare(prober: Prober, fmt: Format, case: Case, *, whole: bool) -> Difference | None:
    """What is wrong with a format on one conversation.

    Args:
        prober: Has the template.
        fmt: The format.
        case: The conversation.
        whole: Whether the format must write what the template writes; else it may refuse it.
    """
    found = of_format(fmt, case)
    if found.text is None and not whole:
        return None
    expected = of_template(prober, case)
    return None if expected.text == found.text else Difference(case, expected, found)


def first_difference(
    prober: Prober, fmt: Format, cases: Iterator[Case], count: int, *, whole: bool
) -> Difference | None:
    """The first conversation of so many that the two make different things of."""
    for _ in range(count):
        found = compare(prober, fmt, next(cases), whole=whole)
        if found is not None:
            return found
    return None


def stream(make: Callable[[random.Random], Case], seed: str) -> Iterator[Case]:
    """Random conversations without end, the same ones for the same seed."""
    rng = random.Random(seed)
    while True:
        yield make(rng)


def reads_back(fmt: Format, case: Case) -> str | None:
    """What is wrong with what is read back from the text, or None where it is all there.

    Contents that spell the format's own tokens are read as tokens in a text, so that only ids would
    tell them apart: cases must not hold any.
    """
    try:
        given = {key: value for key, value in case.arguments.items() if key != "tools"}
        given.pop("add_generation_prompt", None)
        tools = case.arguments.get("tools")
        text = fmt.render(case.messages, tools=tools, **given).text
        meant = fmt.canonical(case.messages, tools=tools, **given)
    except InputError:
        return None
    try:
        read = fmt.parse(text, **given)
    except ParseError as error:
        return f"{text!r} cannot be read: {error}"
    except RolecallError as error:
        return f"{text!r} cannot be read: {error}"
    said = [_told(message.to_wire()) for message in read.messages]
    wanted = [_told(message.to_wire()) for message in meant.messages]
    return None if said == wanted else f"{text!r} is read as {said}, not as {wanted}"


def _told(wire: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in wire.items() if value not in (None, "")}
