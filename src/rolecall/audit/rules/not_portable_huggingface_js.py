"""In huggingface.js the template fails, or writes another prompt than in jinja2.

`@huggingface/jinja` is asked where node is installed and finds it: among its global packages
(`npm install --global @huggingface/jinja`), or in the folder that the environment variable
`ROLECALL_HUGGINGFACE_JINJA` names. It gets a few plain conversations: with a system message,
reasoning, typed content, tools, calls and their results. What differs only with tools is a note.

JavaScript has one kind of number, so `1.0` in a tool's schema is written `1` by every template.
That is not tried.

## Why it matters

Transformers.js and node-llama-cpp run chat templates with it. A template that fails there cannot be
used; one that writes something else gives the model a prompt that it was not trained on, and nobody
sees it.

## Example

```jinja
{% for message in messages %}
    {%- if message.role == 'system' %}
        {{- '<|system|>' + message.content }}
        {%- continue %}
    {%- endif %}
    {{- '<|' + message.role + '|>' + message.content }}
{%- endfor %}
```

`{% continue %}` inside `{% if %}` takes back what the branch wrote: the system message is gone.

## What to do instead

Write it without the construct that the finding names: here `{% else %}` serves as well.

## Is a repair safe?

Yes, if jinja2 writes the same as before: compare both on real conversations.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.portability import differences
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "warning"
KIND: Kind = "differs"


def check(probe: Probe) -> Iterator[Evidence]:
    """Report the first conversation that huggingface.js renders otherwise."""
    yield from differences(probe, "huggingface_js")
