"""The same conversation gives another prompt at another time.

Rendered under clocks of different days and hours. Where an option fixes the date, it is named.

## Why it matters

A test that compares prompts passes today and fails tomorrow. A prompt that was cached is computed
again after midnight, or every minute where the time of day is written. Data for training hold the
day on which they were prepared, in every example, and the model learns it as a fact. Engines
without a clock write something else, so the same request differs between servers.

## Example

```jinja
{{ 'Today Date: ' + strftime_now('%d %b %Y') }}
```

## What to do instead

Give the date yourself where the template has an option for it, and the same one always in training
and tests. A template takes the date as an option and writes none where it is not given.

## Is a repair safe?

Models that were trained with a date do without it, mostly. To write a fixed date keeps the shape
that they know.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import system, user, weather
from rolecall.audit.outcome import Outcome
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence, Group
from rolecall.errors import TemplateError

SEVERITY: Severity = "warning"
KIND: Kind = "differs"
GROUP: Group = "form"

MORNING = datetime(2024, 1, 15, 9, 5, 7)
EVENING = datetime(2024, 1, 15, 22, 48, 36)
YEARS_LATER = datetime(2031, 12, 27, 9, 5, 7)


def check(probe: Probe) -> Iterator[Evidence]:
    """Report the first conversation that the clock changes."""
    programs = {probe.template.program(tools=tools).jinja for tools in (False, True)}
    if not any("strftime_now" in jinja for jinja in programs):
        return
    for shown in (
        probe.hello,
        probe.run([system(), user()], add_generation_prompt=True),
        probe.run([user()], tools=[weather()], add_generation_prompt=True),
    ):
        if not shown.ok:
            continue
        morning, later = _at(probe, shown, MORNING), _at(probe, shown, YEARS_LATER)
        evening = _at(probe, shown, EVENING)
        if morning == later and morning == evening:
            continue
        every = "at another hour of the day" if morning != evening else "on another day"
        options = [name for name in _options(*programs) if _fixes(probe, shown, name)]
        fixed = f" Given {' or '.join(options)}, it does." if options else ""
        yield Evidence(
            f"The same conversation gives another prompt {every}.",
            shown,
            span=_dated(shown, morning if shown.text != morning else later),
            expected=f"The prompt depends on the conversation alone.{fixed}",
        )
        return


def _at(probe: Probe, shown: Outcome, moment: datetime, **more: Any) -> str | None:
    """What is written of a conversation at a moment, or None where it raises."""
    given: dict[str, Any] = dict(shown.conversation)
    options: Mapping[str, Any] = given.pop("options", {})
    try:
        return probe.template.trace(**given, **{**options, **more}, now=lambda: moment).text
    except TemplateError:
        return None


def _options(*programs: str) -> list[str]:
    """Names in a template that may be options for a date."""
    names = {
        name
        for jinja in programs
        for name in re.findall(r"\b[a-z_]*(?:date|today|time|now)[a-z_]*\b", jinja)
    }
    return sorted(names - {"strftime_now"})


def _fixes(probe: Probe, shown: Outcome, option: str) -> bool:
    """Whether the clock changes nothing once an option is given."""
    given = {option: MORNING.strftime("%d %b %Y")}
    morning = _at(probe, shown, MORNING, **given)
    return morning is not None and all(
        _at(probe, shown, moment, **given) == morning for moment in (EVENING, YEARS_LATER)
    )


def _dated(shown: Outcome, other: str | None) -> tuple[int, int] | None:
    """Where the date stands."""
    if shown.trace is None or other is None:
        return None
    # What a clock says comes from nobody's text.
    foreign = [span for span in shown.trace.spans if span.origin.kind == "unknown"]
    if foreign:
        return foreign[0].start, foreign[0].end
    start, shorter = 0, min(len(shown.text), len(other))
    while start < shorter and shown.text[start] == other[start]:
        start += 1
    same = 0
    while same < shorter - start and shown.text[-1 - same] == other[-1 - same]:
        same += 1
    return start, len(shown.text) - same
