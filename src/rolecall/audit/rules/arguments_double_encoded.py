r"""Arguments of a call that are given as JSON text are put into quotes a second time.

Given as an object the same arguments stand in the prompt as an object.

## Why it matters

OpenAI's wire form has the arguments as a string, `"{\"city\": \"Lima\"}"`, and whoever keeps the
answers of a server in a history has them in this form. The model then reads a string full of
backslashes where it was trained on an object, and begins to write calls in the same way, which no
parser takes. Some servers turn the string into an object before they render, transformers does not.
Who renders histories or data with transformers has to act.

## Example

```jinja
{{ '{"name": ' + (call.function.name | tojson) + ', "arguments": ' }}
{{ call.function.arguments | tojson }}{{ '}' }}
```

## What to do instead

Write a string as it is:

```jinja
{% if call.function.arguments is string %}{{ call.function.arguments }}
{% else %}{{ call.function.arguments | tojson }}{% endif %}
```

An application reads the text with a JSON parser and gives the object.

## Is a repair safe?

Yes: prompts of arguments that are objects do not change.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import CITY, call, calling, result, user
from rolecall.audit.outcome import Outcome
from rolecall.audit.probe import ARGUMENTS, Probe
from rolecall.audit.rule import Evidence, Group

SEVERITY: Severity = "warning"
KIND: Kind = "changes"
GROUP: Group = "form"


def check(probe: Probe) -> Iterator[Evidence]:
    """Report JSON text that becomes a JSON string, where an object stays an object."""
    arguments = {"city": CITY}
    text = json.dumps(arguments)
    as_object = probe.run([user(), calling(call(arguments=arguments)), result()])
    as_text = probe.run([user(), calling(call(arguments=text)), result()])
    quoted = _string(as_text, text)
    if quoted is None or not as_object.reached(1, ARGUMENTS) or _string(as_object, text):
        return
    yield Evidence(
        "Arguments that are given as JSON text are quoted again, as a string of JSON.",
        as_text,
        span=quoted,
        expected=f"They stand there as they do when they are given as an object: {text}",
    )


def _string(shown: Outcome, text: str) -> tuple[int, int] | None:
    """Where the arguments stand as a JSON string that holds this text."""
    place = shown.place(1, ARGUMENTS)
    if place is None:
        return None
    start = shown.text.rfind('"', 0, place[0] + 1)
    while start >= 0 and place[0] - start < 20:
        try:
            value, end = json.JSONDecoder().raw_decode(shown.text, start)
        except ValueError:
            value, end = None, start
        if value == text and end >= place[1]:
            return start, end
        start = shown.text.rfind('"', 0, start)
    return None
