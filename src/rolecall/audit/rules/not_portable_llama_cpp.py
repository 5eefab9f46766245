"""In llama.cpp the template fails, or writes another prompt than in jinja2.

llama.cpp is asked where the package xllamacpp is installed (`pip install xllamacpp`), which carries
its server. What is compared is what a user of llama-server gets: its own Jinja engine, and what it
does to messages before they reach the template. It gets a few plain conversations: with a system
message, reasoning, typed content, tools, calls and their results. What differs only with tools is
a note.

Left out is what says nothing about one template: `1.0` in a tool's schema is written `1` by all of
them, and where a template drops or prints something, llama.cpp may write it. The server sets
`enable_thinking` for every template, so it is set for jinja2 too.

## Why it matters

llama.cpp and what is built on it read the template from the GGUF file. A template that fails there
cannot be used; one that writes something else gives the model a prompt that it was not trained on,
and nobody sees it.

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
Where none is named, the place in the output tells what to look at: llama.cpp hands over typed
content for all roles where a template takes it for one, and knows the day as `date_string`.

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
    """Report the first conversation that llama.cpp renders otherwise."""
    yield from differences(probe, "llama_cpp")
