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

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from rolecall.engines import Answer, Engine, one_line, variables
from rolecall.engines.process import Process, python

SECONDS = 5.0


class MiniJinja:
    """minijinja as the package of that name has it, in one process of Python."""

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

    @cached_property
    def _process(self) -> Process:
        return Process("minijinja", lambda: python("minijinja_server.py"))

    def render(
        self,
        jinja: str,
        conversations: Sequence[Mapping[str, Any]],
        tokens: Mapping[str, str],
        now: datetime,
    ) -> list[Answer]:
        """Run a template: see `rolecall.engines.Engine`."""
        question = {
            "jinja": jinja,
            "variables": [variables(one, tokens, self.options) for one in conversations],
            "now": now.isoformat(),
        }
        return [
            Answer(one["text"])
            if "text" in one
            else Answer(None, one_line(one["error"]), one.get("line"), one.get("parsed", True))
            for one in self._process.ask(question, SECONDS)
        ]


def engine() -> Engine:
    """The engine."""
    return MiniJinja()
