"""The tokenizer begins every text with bos, and the template writes none.

Nothing is said of models whose tokenizer does not add it: many have a bos token and never use it.

## Why it matters

A prompt of the template is tokenized without the tokens that the tokenizer adds, since the template
is to write them. So the first token, which the model saw at the beginning of every text, is not
there. Some models write worse without it, and some nothing but noise.

## Example

```jinja
{% for message in messages %}{{ '<|' + message.role + '|>' + message.content }}{% endfor %}
```

## What to do instead

Write `{{ bos_token }}` before the first message.

## Is a repair safe?

Yes, unless a program adds bos to the prompts itself, because it was missing.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.bos import added_by_tokenizer, bos_token, prompt
from rolecall.audit.finding import Kind, Severity
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "warning"
KIND: Kind = "breaks"


def check(probe: Probe) -> Iterator[Evidence]:
    """Report a prompt without the bos that plain texts have."""
    bos, shown = bos_token(probe), prompt(probe)
    if bos is None or not shown.ok or bos in shown.structure():
        return
    if added_by_tokenizer(probe):
        yield Evidence(
            f"The template does not write {bos!r}, with which the tokenizer begins every other "
            "text.",
            shown,
            span=(0, 0),
            expected=f"The prompt begins with {bos!r}.",
        )
