"""Other engines that run chat templates, asked as they are installed here.

transformers runs a template with jinja2. Servers in other languages have engines of their own,
which were written after it and differ from it. What differs is not written down anywhere in full,
so it is found by asking: each module here has one engine with one small interface.

An engine that is not installed says so, and is not asked. Nothing is loaded before that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple, Protocol

from rolecall.errors import RolecallError

ENGINES = ("minijinja", "huggingface_js", "llama_cpp")
"""Modules of this package that have an ``engine()``."""


class Answer(NamedTuple):
    """What an engine made of one conversation: a text, or an error."""

    text: str | None
    error: str | None = None
    """What the engine said, in one line."""
    line: int | None = None
    """The template's line that the engine blames."""
    parsed: bool = True
    """False where the engine does not even read the template."""


class EngineError(RolecallError):
    """An engine did not answer: it is too slow, or its process ended."""


class Engine(Protocol):
    """An engine that runs chat templates."""

    name: str
    """What it is called in messages."""
    options: Mapping[str, Any]
    """What its servers hand to every template, whether a caller asks for it or not."""

    @property
    def absent(self) -> str:
        """Why it cannot be asked; empty where it can."""
        ...

    @property
    def version(self) -> str:
        """Its version; empty where it is absent."""
        ...

    def render(
        self,
        jinja: str,
        conversations: Sequence[Mapping[str, Any]],
        tokens: Mapping[str, str],
        now: datetime,
    ) -> list[Answer]:
        """Run a template.

        Args:
            jinja: The template.
            conversations: Each with ``messages`` and, where there are any, ``tools``,
                ``documents`` and ``options``.
            tokens: ``bos_token``, ``eos_token`` and what else the model's files name.
            now: What time it is for the template, where the engine can be told.

        Raises:
            EngineError: If the engine does not answer.
        """
        ...


@cache
def engine(name: str) -> Engine:
    """One of `ENGINES`; the same one each time, since some of them keep a process.

    Args:
        name: The module's name.
    """
    return import_module(f"{__name__}.{name}").engine()


def variables(
    conversation: Mapping[str, Any], tokens: Mapping[str, str], options: Mapping[str, Any]
) -> dict[str, Any]:
    """What transformers lets a template see of a conversation, by name."""
    return {
        **tokens,
        "tools": conversation.get("tools"),
        "documents": conversation.get("documents"),
        "add_generation_prompt": False,
        **options,
        **conversation.get("options", {}),
        "messages": conversation["messages"],
    }


def one_line(error: object) -> str:
    """An error's text in one line."""
    return " ".join(str(error).split())
