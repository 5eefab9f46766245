"""The template changes a list or an object while it runs, such as the messages themselves.

transformers runs templates in a sandbox that refuses this with an error, also where the list is the
template's own. The finding says which of the two it is.

## Why it matters

With transformers, and every server that renders with it, such a conversation fails. An engine
without this sandbox carries the change out: the caller's messages are other ones after rendering,
the second rendering of the same list gives another prompt, and a history that is kept loses what
was taken out of it. Who publishes the template has to act; nobody else sees why it fails.

## Example

```jinja
{% set system = messages.pop(0) %}
```

## What to do instead

Take parts and leave the whole as it is: `{% set rest = messages[1:] %}`. To collect things, make a
new list: `{% set found.ids = found.ids + [message.id] %}`.

## Is a repair safe?

Yes: only conversations that raised before change.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from rolecall.audit.finding import Kind, Severity
from rolecall.audit.messages import (
    CITY,
    Wire,
    again,
    assistant,
    call,
    calling,
    result,
    system,
    user,
    weather,
)
from rolecall.audit.outcome import Outcome
from rolecall.audit.probe import Probe
from rolecall.audit.rule import Evidence, Group
from rolecall.errors import TemplateRaised

SEVERITY: Severity = "error"
KIND: Kind = "refuses"
UNRENDERED = True
GROUP: Group = "form"


def check(probe: Probe) -> Iterator[Evidence]:
    """Report the first conversation at which the sandbox stops a change."""
    for messages, tools in _conversations(probe):
        shown = probe.run(messages, tools=tools, add_generation_prompt=True)
        error = shown.error
        if not isinstance(error, TemplateRaised) or error.kind != "SecurityError":
            continue
        changed = changed_by(probe, shown)
        if changed:
            yield Evidence(
                f"The template changes the {' and the '.join(changed)} that it is given; where "
                f"that is forbidden it raises {shown.reason!r}.",
                shown,
                expected="The conversation is the same before and after.",
            )
            return
        if "unsafe" in error.reason and any(f"'{name}'" in error.reason for name in CHANGING):
            yield Evidence(
                "The template changes a list or an object of its own, which transformers forbids: "
                f"it raises {shown.reason!r}.",
                shown,
                expected="It renders; a changed list is a new list.",
            )
            return


CHANGING = frozenset(
    ("append", "clear", "extend", "insert", "pop", "popitem", "remove", "reverse", "setdefault")
) | {"sort", "update"}
"""Methods of lists and objects that change them."""


def _conversations(probe: Probe) -> Iterator[tuple[list[Wire], list[Wire] | None]]:
    yield [user()], None
    yield [system(), user()], None
    yield [user(), assistant(), again()], None
    yield [user()], [weather()]
    arguments = probe.arguments({"city": CITY})
    yield [user(), calling(call(arguments=arguments)), result()], [weather()]


def changed_by(probe: Probe, shown: Outcome) -> list[str]:
    """What of a conversation is another one after it was rendered where changes are allowed."""
    from jinja2.sandbox import SandboxedEnvironment

    from rolecall.template.environment import Environment
    from rolecall.template.limits import METER, Meter

    class Changeable(Environment):
        """The same sandbox, but for lists and objects that can be changed."""

        def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
            return SandboxedEnvironment.is_safe_attribute(self, obj, attr, value)

    given: dict[str, Any] = copy.deepcopy(dict(shown.conversation))
    options = given.pop("options", {})
    options.pop("continue_final_message", None)
    before = copy.deepcopy(given)
    template = probe.template
    jinja = template.program(tools=given.get("tools") is not None).jinja
    used = METER.set(Meter(template.limits, template.now))
    try:
        Changeable().from_string(jinja).render(**template.source.tokens, **options, **given)
    except Exception:  # it may fail later on; what it changed until then is asked
        pass
    finally:
        METER.reset(used)
    return [name for name in before if given[name] != before[name]]
