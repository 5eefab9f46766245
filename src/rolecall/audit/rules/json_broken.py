r"""Text with quotes, backslashes or line breaks makes invalid JSON of a schema or of a call.

Tried with the description of a tool, with an argument and with a result. Only what is JSON with
plain text, or with a number as the result, is asked: formats that write schemas and calls in
another way are not concerned. Whole schemas and arguments that are printed as Python spells them,
in single quotes, are reported too.

## Why it matters

The model reads `"description": "Says "hot"."`, in which the string ends too early, and has to
guess. A history with a broken call teaches it to write broken calls. Descriptions come from
comments in code, arguments are whatever the model wrote, so quotes and line breaks are common in
both. A text can also close the string and add keys of its own. Who publishes the template has to
act; an application can only avoid such text.

## Example

```jinja
{{ '{"name": "' + tool.name + '", "description": "' + tool.description + '"}' }}
```

## What to do instead

Let `tojson` write every string, quotes included: `'"description": ' + (tool.description | tojson)`.

## Is a repair safe?

Yes where plain text gives the same prompt as before. What was printed as Python spells it changes
in every prompt, and the model may have been trained on it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import CITY, call, calling, result, user, weather
from rolecall.audit.outcome import Outcome
from rolecall.audit.probe import ARGUMENTS, Probe
from rolecall.audit.rule import Evidence, Group

SEVERITY: Severity = "warning"
KIND: Kind = "changes"
GROUP: Group = "form"

DESCRIPTION = "tools[0].function.description"

HOSTILE = {
    "a quotation mark": 'Says "hot" or not.',
    "a backslash": r"Reads C:\weather.",
    "a line break": "Reads a file.\nSays what it holds.",
    "a letter beyond ASCII": "Sagt, ob es heiß ist.",
}

Run = Callable[[str], Outcome]


def check(probe: Probe) -> Iterator[Evidence]:
    """Report what makes the JSON of a schema and of a call invalid."""

    def described(text: str) -> Outcome:
        return probe.run([user()], tools=[weather(text)], add_generation_prompt=True)

    def called(text: str) -> Outcome:
        made = call(arguments=probe.arguments({"city": text}))
        return probe.run([user(), calling(made), result()])

    if probe.takes_tools:
        plain = described("Tells the weather of a city.")
        yield from _printed(plain, None, "tools", "The tools are")
        yield from _broken(described, plain, None, DESCRIPTION, "the description of a tool")
    if probe.takes_calls:
        plain = called(CITY)
        # As an object, which is the form that transformers documents.
        as_object = probe.run([user(), calling(call(arguments={"city": CITY})), result()])
        yield from _printed(as_object, 1, ARGUMENTS, "Arguments that are given as an object are")
        yield from _broken(called, plain, 1, ARGUMENTS, "an argument of a call")
        yield from _bare_result(probe)


def _bare_result(probe: Probe) -> Iterator[Evidence]:
    """Report an object that holds a number as a result, and a text without quotes."""
    made = calling(call(arguments=probe.arguments({"city": CITY})))
    text = probe.run([user(), made, result()])
    if not text.reached(2) or _json_around(text, 2, "content") is not None:
        return
    number = probe.run([user(), made, result("31")])
    if isinstance(_json_around(number, 2, "content"), dict):
        yield Evidence(
            "With a text as the result of a call what is written is no JSON.",
            text,
            span=text.place(2),
            expected="The text stands in quotes, in JSON as it is with a number.",
        )


def _broken(
    run: Run, plain: Outcome, message: int | None, field: str, what: str
) -> Iterator[Evidence]:
    if _json_around(plain, message, field) is None:
        return
    tried = {name: run(text) for name, text in HOSTILE.items()}
    broken = {
        name: shown
        for name, shown in tried.items()
        if shown.reached(message, field) and _json_around(shown, message, field) is None
    }
    if broken:
        shown = next(iter(broken.values()))
        yield Evidence(
            f"With {', '.join(broken)} in {what} what is written is no JSON.",
            shown,
            span=shown.place(message, field),
            expected="It is JSON, as it is with plain text.",
        )


def _printed(shown: Outcome, message: int | None, field: str, what: str) -> Iterator[Evidence]:
    """Report a whole object that Python spelled."""
    place = shown.place(message, field)
    whole = (field, f"{field}[0]", f"{field}[0].function", f"{field}[0].function.parameters")
    if place and any(
        span.origin.field in whole and shown.text[span.start] in "[{"
        for span in shown.spans(message, field, ("printed",))
    ):
        yield Evidence(
            f"{what} printed as Python spells them, which is no JSON.",
            shown,
            span=place,
            expected="JSON, as tojson writes it.",
        )


def _json_around(shown: Outcome, message: int | None, field: str) -> Any:
    """The JSON in which a field stands, or None."""
    place = shown.place(message, field)
    if place is None:
        return None
    decoder = json.JSONDecoder()
    for start in range(place[0] + 1):
        if shown.text[start] in "[{":
            try:
                value, end = decoder.raw_decode(shown.text, start)
            except ValueError:
                continue
            if end >= place[1]:
                return value
    return None
