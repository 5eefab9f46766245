"""The bos token stands twice at the beginning of a prompt.

The template writes it twice; or it writes it once, and the tokenizer adds it where the prompt is
tokenized as any other text.

## Why it matters

The model saw one in training. Most answer a little worse with two and do not complain, so that it
goes on for long unnoticed. What the tokenizer adds hits whoever renders first and tokenizes then:
completion endpoints, and training on rendered texts.

## Example

```jinja
{{ bos_token }}{% for message in messages %}{{ message.content }}{% endfor %}
```

with a tokenizer that adds bos, and `tokenizer(tokenizer.apply_chat_template(…, tokenize=False))`.

## What to do instead

Tokenize prompts of a template with `add_special_tokens=False`, or let `apply_chat_template` do it,
or `render(…).encode(tokenizer)`. The template is to write bos once.

## Is a repair safe?

Writing it once instead of twice is. Leaving it out of the template, because the tokenizer adds it,
is not: `apply_chat_template` would write none.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.bos import added_by_tokenizer, bos_token, prompt
from rolecall.audit.finding import Kind, Severity
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence, Group

SEVERITY: Severity = "note"
KIND: Kind = "adds"
GROUP: Group = "generation"


def check(probe: Probe) -> Iterator[Evidence]:
    """Report bos behind bos, or a bos that the tokenizer would double."""
    bos, shown = bos_token(probe), prompt(probe)
    if bos is None or not shown.ok:
        return
    if shown.text.startswith(bos * 2):
        yield Evidence(
            f"The template writes {bos!r} twice at the beginning.",
            shown,
            span=(0, 2 * len(bos)),
            expected=f"The prompt begins with one {bos!r}.",
            severity="warning",
        )
    elif shown.text.startswith(bos) and added_by_tokenizer(probe):
        yield Evidence(
            f"The template writes {bos!r}, and the tokenizer adds another one to a prompt that is "
            "tokenized as any other text.",
            shown,
            span=(0, len(bos)),
            expected="A prompt is tokenized with add_special_tokens=False.",
        )
