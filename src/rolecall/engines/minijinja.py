"""minijinja, the engine of servers in Rust, such as text-generation-inference and mistral.rs.

It is set up as those servers do it where they agree, and otherwise as the one that is closest to
transformers:

- ``trim_blocks`` and ``lstrip_blocks``, as mistral.rs and Dynamo (text-generation-inference: not);
- Python's methods of strings, lists and dicts, as far as minijinja has them (all of them);
- ``raise_exception`` (all of them) and ``strftime_now`` (mistral.rs, Dynamo);
- ``tojson`` as transformers has it, with its arguments, as SGLang's gateway. minijinja's own, like
  that of mistral.rs and Dynamo, writes ``<``, ``>``, ``&`` and ``'`` as escapes and knows no
  ``ensure_ascii``: that changes every template that writes JSON alike and says nothing about one.

``{% generation %}`` is left as it stands. mistral.rs and Dynamo cut it out of the template's text
before minijinja sees it, in this one spelling; text-generation-inference does not.

Servers hand over values that came from JSON, not Python's objects. So that `append` and the like
fail here as they do there, values are given as literals in a template around the template.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, cast

from rolecall.engines import Answer, Engine, one_line, variables

FUEL = 5_000_000
"""Steps of one rendering; the conversations of an audit need some thousands."""

CHAT, AROUND = "chat", "around"


class MiniJinja:
    """minijinja as the package of that name has it."""

    name = "minijinja"
    options: Mapping[str, Any] = {}

    @property
    def absent(self) -> str:
        """Why it cannot be asked; empty where it can."""
        return "" if self.version else "the package minijinja is not installed"

    @property
    def version(self) -> str:
        """Its version; empty where it is absent."""
        try:
            return version("minijinja")
        except PackageNotFoundError:
            return ""

    def render(
        self,
        jinja: str,
        conversations: Sequence[Mapping[str, Any]],
        tokens: Mapping[str, str],
        now: datetime,
    ) -> list[Answer]:
        """Run a template: see `rolecall.engines.Engine`."""
        import minijinja

        templates = {CHAT: jinja}
        environment = minijinja.Environment(
            loader=templates.get,
            filters={"tojson": _tojson},
            globals={
                "raise_exception": _raise_exception,
                "strftime_now": now.strftime,
            },
            # By its default it escapes what is named like a page.
            auto_escape_callback=lambda _: False,
            fuel=FUEL,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        answers: list[Answer] = []
        for conversation in conversations:
            named = variables(conversation, tokens, self.options)
            templates[AROUND] = "".join(
                f"{{% set {name} = {_literal(value)} %}}" for name, value in named.items()
            )
            templates[AROUND] += f"{{% include '{CHAT}' %}}"
            environment.reload()
            try:
                answers.append(Answer(environment.render_template(AROUND)))
            except _Raised as error:
                answers.append(Answer(None, one_line(error)))
            except minijinja.TemplateError as error:
                answers.append(_failed(error))
        return answers


def engine() -> Engine:
    """The engine."""
    return MiniJinja()


class _Raised(Exception):  # noqa: N818  (what the template raised)
    pass


def _raise_exception(message: object) -> None:
    raise _Raised(message)


def _tojson(value: Any, **arguments: Any) -> str:
    """As transformers: `json.dumps`, with non-ASCII as it is."""
    given: dict[str, Any] = {"ensure_ascii": False, **arguments}
    return json.dumps(value, **given)


def _literal(value: Any) -> str:
    """A value of JSON as minijinja spells it."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()
        return "{" + ", ".join(f"{_literal(k)}: {_literal(item)}" for k, item in items) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_literal, cast("Sequence[object]", value))) + "]"
    return json.dumps(value)


_PLACE = re.compile(rf"^(?:caused by: )?(?P<what>.*) \(in {CHAT}:(?P<line>\d+)\)$", re.MULTILINE)


def _failed(error: Any) -> Answer:
    """What an error says of the template; the one around it is nobody's."""
    found = list(_PLACE.finditer(str(error)))
    if not found:
        return Answer(None, one_line(error.message))
    what, line = found[-1]["what"], int(found[-1]["line"])
    return Answer(None, one_line(what), line, parsed=not what.startswith("syntax error"))
