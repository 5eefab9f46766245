r"""`add_generation_prompt` changes nothing where it would have to.

Asked for, the assistant's turn is not opened, though every answer in a history has a header. Or,
not asked for, it is opened behind an answer that is already there. Formats without a header, such
as Mistral's, need no generation prompt, and nothing is said of them.

## Why it matters

Without the header the model has to guess that it is to speak: it may go on as the user. With one
that nobody asked for, a conversation to train on ends with a header and no answer.

## Example

```jinja
{% for message in messages %}
{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
{% endfor %}
```

## What to do instead

```jinja
{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}
```

## Is a repair safe?

Yes: what is added is what the model was trained to answer behind. Programs that add the header to
the prompt themselves must stop doing so.
"""

from __future__ import annotations

from collections.abc import Iterator

from rolecall.audit.ending import answered, end_in_history, left_behind, quoted, tokens_in
from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import user
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence

SEVERITY: Severity = "warning"
KIND: Kind = "breaks"


def check(probe: Probe) -> Iterator[Evidence]:
    """Report a header that is not written when asked for, or written when it is not."""
    shown, plain, full = probe.hello, probe.run([user()]), answered(probe)
    place, behind = full.place(1), left_behind(full, 1)
    if not shown.ok or shown.text != plain.text or place is None or behind is None:
        return
    end = end_in_history(probe) or ""
    extra = behind.removeprefix(end).strip()
    opening = next((token[0] for token in tokens_in(probe, extra)), extra)
    if extra and opening in full.between(0, 1) and shown.text.rstrip().endswith(extra):
        start = full.text.rindex(extra)
        yield Evidence(
            f"A turn is opened behind the answer without add_generation_prompt: {quoted(extra)}.",
            full,
            span=(start, start + len(extra)),
            expected="The conversation ends with the answer and what closes its turn.",
        )
        return
    header = full.text[len(shown.text) : place[0]]
    if full.text.startswith(shown.text) and header.strip():
        yield Evidence(
            f"add_generation_prompt adds nothing: {quoted(header)}, which stands before every "
            "answer, is missing.",
            shown,
            span=(len(shown.text), len(shown.text)),
            expected=f"The prompt ends with {quoted(header)}.",
        )
