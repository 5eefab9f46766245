"""In minijinja the template fails, or writes another prompt than in jinja2.

minijinja is asked where its package is installed (`pip install minijinja`), with a few plain
conversations: with a system message, reasoning, typed content, tools, calls and their results. What
differs only with tools is a note.

It is set up as servers do it: `trim_blocks` and `lstrip_blocks`, Python's methods,
`raise_exception`, `strftime_now`, and `tojson` as transformers has it. minijinja's own `tojson`
escapes `<`, `>`, `&` and `'`, and so do those of mistral.rs and Dynamo: there every template that
writes JSON differs as soon as a tool's description has an apostrophe, and this rule does not say
so. mistral.rs and Dynamo cut `{% generation %}` out of a template before they run it; the others do
not.

## Why it matters

Servers in Rust run chat templates with minijinja: text-generation-inference, mistral.rs, Dynamo,
the gateway of SGLang. A template that fails there cannot be served; one that writes something else
gives the model a prompt that it was not trained on, and nobody sees it.

## Example

```jinja
{% for message in messages %}{% generation %}{{ message.content }}{% endgeneration %}{% endfor %}
```

minijinja knows no `{% generation %}` and does not read the template.

## What to do instead

Write it without the construct that the finding names. Keep a template with `{% generation %}` for
training, and publish its twin without for serving.

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
    """Report the first conversation that minijinja renders otherwise."""
    yield from differences(probe, "minijinja")
