"""Arguments of a call given as an object, or given as JSON text, raise; the other form renders.

It is an error where the object is refused, which is the form that transformers documents, and a
warning where the text is, which is OpenAI's.

## Why it matters

In OpenAI's wire form the arguments are a string that holds JSON, and histories are kept in it. In
transformers' documentation they are an object, and some servers turn the string into one whatever
the template wants. So one template fails with histories from a server, and the other one in a
server. Who runs agents has to act, and who trains on calls.

## Example

```jinja
{% for name, value in call.function.arguments.items() %}
<{{ name }}>{{ value }}</{{ name }}>{% endfor %}
```

## What to do instead

A format that writes JSON can take both forms:

```jinja
{% if call.function.arguments is string %}{{ call.function.arguments }}
{% else %}{{ call.function.arguments | tojson }}{% endif %}
```

One that writes arguments by name needs the object, for Jinja cannot read JSON: raise with a
sentence that says so. An application gives the other form.

## Is a repair safe?

Yes: only conversations that raised before change.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import CITY, call, calling, result, user
from rolecall.audit.outcome import Outcome
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "warning"
KIND: Kind = "refuses"


def check(probe: Probe) -> Iterator[Evidence]:
    """Report the form of arguments that is refused where the other one is not."""
    if not probe.takes_calls:
        return
    arguments = {"city": CITY}

    def called(form: object) -> Outcome:
        return probe.run([user(), calling(call(arguments=form)), result()])

    as_object, as_text = called(arguments), called(json.dumps(arguments))
    if probe.refuses(as_object, as_text):
        yield Evidence(
            f"Arguments that are given as an object raise {as_object.reason!r}.",
            as_object,
            expected="It renders, as it does with JSON text.",
            severity="error",
        )
    elif probe.refuses(as_text, as_object):
        yield Evidence(
            f"Arguments that are given as JSON text raise {as_text.reason!r}.",
            as_text,
            expected="It renders, as it does with an object.",
        )
