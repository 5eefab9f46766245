r"""Typed content is printed as Python spells a list, quotes and braces included.

Content may be a string or a list of parts, `[{"type": "text", "text": "Hello."}]`. Both forms are
common; serving engines hand them on as they come.

## Why it matters

The model reads `[{'type': 'text', 'text': 'Hello.'}]` where the user wrote `Hello.`, and answers
worse without any error.

## Example

```jinja
{{ '<|im_start|>' + message.role + '\n' }}{{ message.content }}{{ '<|im_end|>\n' }}
```

## What to do instead

Write a string as it is and of a list the text of each part:

```jinja
{% if message.content is string %}{{ message.content }}
{% else %}{% for part in message.content %}{{ part.text }}{% endfor %}{% endif %}
```

## Is a repair safe?

Yes: prompts of string content do not change.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import again, assistant, system, text_part, user
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "warning"
KIND: Kind = "changes"


def check(probe: Probe) -> Iterator[Evidence]:
    """Report typed content of which Python's spelling stands in the prompt."""
    parts = [text_part("Hello.")]
    for messages, index in (
        ([user(parts)], 0),
        ([system(parts), user()], 0),
        ([user(), assistant(parts), again()], 1),
    ):
        shown = probe.run(messages, as_given=not probe.typed, add_generation_prompt=True)
        printed = shown.spans(index, "content", ("printed",))
        if printed:
            yield Evidence(
                f"Typed content of the {messages[index]['role']} is printed as a Python list.",
                shown,
                span=(printed[0].start, printed[-1].end),
                expected="The text of the part: 'Hello.'",
            )
            return
