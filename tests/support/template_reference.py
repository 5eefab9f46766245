"""The reference for rendered chat templates: transformers' own environment.

`render` hands a template exactly the messages that it is given; `apply_chat_template` first does to
them what transformers' method of that name does: keys whose value is None are dropped, and
reasoning is copied under its other names. Both give a `Rendered` or a `Failed`, never an exception
of the template.

The clock stands still, so that a template which writes today's date gives the same text each time.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, cast

import jinja2
from transformers.utils import chat_template_utils as reference

NOW = datetime.datetime(2025, 3, 9, 14, 5, 7)
"""What the clock shows while a template is rendered."""

Messages = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a template wrote."""

    text: str
    generated: tuple[tuple[int, int], ...] = ()
    """The places inside ``{% generation %}``, where they were asked for."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The error that a template, or the engine on its behalf, raised."""

    type: str
    reason: str
    by_template: bool
    """Whether the template raised it itself, with raise_exception."""


Outcome = Rendered | Failed


@contextmanager
def clock(now: datetime.datetime = NOW) -> Iterator[None]:
    """Have transformers' ``strftime_now`` read `now`."""

    class Standing(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Standing:
            return cls(*now.timetuple()[:6], tzinfo=tz)

    module: Any = reference
    real, module.datetime = module.datetime, Standing
    try:
        yield
    finally:
        module.datetime = real


def render(
    jinja: str,
    messages: Messages,
    tools: Sequence[Mapping[str, Any]] | None = None,
    documents: Sequence[Mapping[str, Any]] | None = None,
    tokens: Mapping[str, str] | None = None,
    *,
    add_generation_prompt: bool = False,
    generated: bool = False,
    **options: Any,
) -> Outcome:
    """What transformers' environment makes of exactly these messages.

    The template works on copies: what it does to the messages is not seen outside.

    Args:
        generated: Also find what stands inside ``{% generation %}``.
    """
    given: dict[str, Any] = {
        **(tokens or {}),
        **deepcopy(options),
        "messages": deepcopy(list(messages)),
        "tools": deepcopy(tools),
        "documents": deepcopy(documents),
        "add_generation_prompt": add_generation_prompt,
    }
    places: list[tuple[int, int]] = []
    with clock():
        try:
            compiled: Any = _compiled(jinja)
            if generated:
                text, places = _with_generation(compiled, given)
            else:
                text = cast(str, compiled.render(**given))
        except Exception as error:
            return failed(error)
    return Rendered(text, tuple(places))


def apply_chat_template(
    jinja: str,
    messages: Messages,
    tools: Sequence[Mapping[str, Any]] | None = None,
    documents: Sequence[Mapping[str, Any]] | None = None,
    tokens: Mapping[str, str] | None = None,
    *,
    add_generation_prompt: bool = False,
    continue_final_message: bool = False,
    **options: Any,
) -> Outcome:
    """What ``tokenizer.apply_chat_template(…, tokenize=False)`` makes of the messages."""
    kept = [{key: value for key, value in one.items() if value is not None} for one in messages]
    with clock():
        try:
            rendered: Any = reference.render_jinja_template(
                conversations=[cast(Any, deepcopy(kept))],
                tools=cast(Any, deepcopy(tools)),
                documents=cast(Any, deepcopy(documents)),
                chat_template=jinja,
                continue_final_message=continue_final_message,
                add_generation_prompt=add_generation_prompt,
                **{**(tokens or {}), **deepcopy(options)},
            )
        except Exception as error:
            return failed(error)
    return Rendered(rendered[0][0])


def failed(error: Exception) -> Failed:
    """A template's error, as `Failed` tells it."""
    # raise_exception raises the base class, which jinja2 itself raises nowhere.
    by_template = type(error) is jinja2.TemplateError
    return Failed(type(error).__name__, str(error), by_template)


def _compiled(jinja: str) -> Any:
    # The decorated function hides its type from the checker.
    return cast(Any, reference)._compile_jinja_template(jinja)


def _with_generation(compiled: Any, given: dict[str, Any]) -> tuple[str, list[tuple[int, int]]]:
    rest = {
        key: value
        for key, value in given.items()
        if key not in {"messages", "tools", "documents", "add_generation_prompt"}
    }
    return cast(Any, reference)._render_with_assistant_indices(
        compiled_template=compiled,
        messages=given["messages"],
        tools=given["tools"],
        documents=given["documents"],
        add_generation_prompt=given["add_generation_prompt"],
        **rest,
    )
