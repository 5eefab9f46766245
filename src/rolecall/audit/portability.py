"""What other engines make of a template: shared by the rules ``not-portable-…``."""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from rolecall.audit.constructs import Found, Known, found_in
from rolecall.audit.messages import (
    CITY,
    REASONING,
    SECOND_CALL_ID,
    again,
    assistant,
    call,
    calling,
    result,
    system,
    text_part,
    user,
    weather,
)
from rolecall.audit.outcome import Outcome
from rolecall.audit.probe import LIMITS, Probe
from rolecall.audit.rule import Evidence
from rolecall.engines import Answer, Engine, EngineError, engine
from rolecall.errors import TemplateError
from rolecall.template.template import Template

LONGEST = 60
"""Characters of an output or a template's line that a message quotes."""


class _Tried(NamedTuple):
    outcome: Outcome
    tools: bool


def differences(probe: Probe, name: str) -> Iterator[Evidence]:
    """The first conversation of which another engine makes something else than jinja2.

    Args:
        probe: The template.
        name: One of `rolecall.engines.ENGINES`. Where it cannot be asked, `Probe.unasked` says why.
    """
    asked = engine(name)
    if asked.absent:
        probe.unasked[asked.name] = asked.absent
        return
    try:
        yield from _differences(probe, asked)
    except EngineError as error:
        probe.unasked[asked.name] = str(error)


def _differences(probe: Probe, asked: Engine) -> Iterator[Evidence]:
    now = probe.template.now()
    # With tools another template of the source may be the one in use, which is tried for itself.
    tried = [one for one in _conversations(probe, asked.options) if _own(probe, one.outcome)]
    if not tried:
        return
    answers = asked.render(
        probe.template.jinja,
        [one.outcome.conversation for one in tried],
        probe.source.tokens,
        now,
    )
    for one, answer in zip(tried, answers, strict=True):
        if answer.text != one.outcome.text and not _later(probe, one.outcome, answer, now):
            yield _evidence(probe, asked, one, answer)
            return


def _own(probe: Probe, outcome: Outcome) -> bool:
    return probe.used(outcome) == probe.name


def _later(probe: Probe, outcome: Outcome, answer: Answer, now: datetime) -> bool:
    """Whether an output differs only because the clock went on since jinja2 was asked."""
    if "strftime_now" not in probe.template.jinja:
        return False
    given = copy.deepcopy(dict(outcome.conversation))
    options = given.pop("options", {})
    try:
        return probe.template.trace(**given, **options, now=lambda: now).text == answer.text
    except TemplateError:
        return False


def _evidence(probe: Probe, asked: Engine, one: _Tried, answer: Answer) -> Evidence:
    engine_name = f"{asked.name} ({asked.version})"
    text, other = one.outcome.text, answer.text
    severity = "note" if one.tools else None
    if other is None:
        line = _line(probe.template.jinja, answer.line)
        return Evidence(
            f"{engine_name} {'fails on' if answer.parsed else 'cannot read'} the template"
            f"{' with tools' if one.tools and answer.parsed else ''}: {answer.error!r}{line}"
            f"{_failing(probe, asked, answer)}.",
            one.outcome,
            expected=f"What jinja2 writes as transformers runs it; {asked.name} writes nothing.",
            severity=severity,
        )
    start = _alike(text, other)
    tail = _alike(text[start:][::-1], other[start:][::-1])
    span = (start, len(text) - tail)
    return Evidence(
        f"{engine_name} writes another prompt{' with tools' if one.tools else ''}"
        f"{_differing(probe, asked, one.outcome, span)}.",
        one.outcome,
        span=span,
        expected=f"The same prompt in every engine; {asked.name} writes "
        f"{_short(other[start : len(other) - tail])} in place of {_short(text[slice(*span)])}.",
        severity=severity,
    )


def _alike(first: str, second: str) -> int:
    """How many characters two texts have in common at the start."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(first), len(second)))


def _failing(probe: Probe, asked: Engine, answer: Answer) -> str:
    """The constructs of the template that alone make this engine fail in the same way."""
    known = _known(asked.name, asked)
    phrases = dict.fromkeys(
        one.phrase
        for one in found_in(probe.template.jinja)
        if answer.line is None or one.line == answer.line
        if known.fails(one, answer.error)
    )
    return f"; what it cannot run is {_listed(list(phrases))}" if phrases else ""


def _differing(probe: Probe, asked: Engine, outcome: Outcome, span: tuple[int, int]) -> str:
    """The construct that differs: alone it does so too, and without it the template agrees."""
    known = _known(asked.name, asked)
    printed = _printed(outcome, span)
    if printed is not None and known.differs(printed):
        return f"; the construct that differs is {printed.phrase}"
    tried: set[str] = set()
    for one in found_in(probe.template.jinja):
        if one.pattern and one.pattern not in tried and known.differs(one):
            tried.add(one.pattern)
            if _agree(
                probe, asked, outcome, re.sub(one.pattern, one.instead, probe.template.jinja)
            ):
                return f"; the construct that differs is {one.phrase}"
    return ""


def _agree(probe: Probe, asked: Engine, outcome: Outcome, jinja: str) -> bool:
    """Whether jinja2 and the engine write the same with another text of the template."""
    tokens = probe.source.tokens
    try:
        other = dataclasses.replace(Template.from_text(jinja, tokens=tokens), limits=LIMITS)
        given = copy.deepcopy(dict(outcome.conversation))
        options = given.pop("options", {})
        text = other.trace(**given, **options).text
    except TemplateError:
        return False
    now = probe.template.now()
    return asked.render(jinja, [outcome.conversation], tokens, now)[0].text == text


@cache
def _known(name: str, asked: Engine) -> Known:
    """What is known of an engine by now."""
    return Known(asked)


def _printed(outcome: Outcome, span: tuple[int, int]) -> Found | None:
    """The value spelled by Python that an output starts to differ in, as a construct."""
    assert outcome.trace is not None
    for one in outcome.trace.spans:
        if one.origin.kind == "printed" and one.start <= span[0] < one.end:
            value = outcome.text[one.start : one.end]
            for sign, (what, snippet) in _SPELLED.items():
                if value.startswith(sign):
                    return Found(what, snippet, 0)
    return None


_SPELLED = {
    "None": ("a printed None", "{{ none }}"),
    "True": ("a printed truth value", "{{ true }}"),
    "False": ("a printed truth value", "{{ false }}"),
    "[": ("a printed list", "{{ [1, 'a'] }}"),
    "{": ("a printed dict", "{{ {'a': 'b'} }}"),
}


def _line(jinja: str, number: int | None) -> str:
    """A template's line as messages quote it."""
    lines = jinja.split("\n")
    if number is None or not 0 < number <= len(lines):
        return ""
    text = lines[number - 1].strip()
    # Many a template is one line.
    return f" (line {number}: {text!r})" if len(text) <= LONGEST else f" (line {number})"


def _short(text: str) -> str:
    return repr(text if len(text) <= LONGEST else text[: LONGEST - 1] + "…")


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _conversations(probe: Probe, options: Mapping[str, Any]) -> Iterator[_Tried]:
    """Small conversations without anything hostile, those without tools first.

    What a template loses or prints is left to other rules: llama.cpp mends messages for such
    templates, and writes more than jinja2 does.
    """
    extra: dict[str, Any] = {"add_generation_prompt": True, **options}
    for chat in (
        [user()],
        [user(), assistant(), again()],
        [system(), user()],
        [user(), assistant(reasoning_content=REASONING), again()],
    ):
        shown = probe.run(chat, **extra)
        if _whole(shown):
            yield _Tried(shown, tools=False)
    plain = probe.run([user()], as_given=True, **extra)
    typed = probe.run([user([text_part("Hello.")])], as_given=True, **extra)
    if typed.ok and typed.text == plain.text:
        yield _Tried(typed, tools=False)
    first = call(arguments=probe.arguments({"city": CITY}))
    second = call(arguments=probe.arguments({"city": "Quito"}), call_id=SECOND_CALL_ID)
    for chat in (
        [user()],
        [user(), calling(first), result()],
        [user(), calling(first, second), result(), result("18 degrees.", SECOND_CALL_ID)],
    ):
        shown = probe.run(chat, tools=[weather()], **extra)
        if _whole(shown) and shown.reached(None, "tools"):
            yield _Tried(shown, tools=True)


def _whole(shown: Outcome) -> bool:
    """Whether everything that was given arrives."""
    return shown.ok and all(
        shown.reached(index, field)
        for index, message in enumerate(shown.messages)
        for field in ("content", "reasoning_content", "tool_calls")
        if message.get(field)
    )
