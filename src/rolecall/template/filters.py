"""The filters of the sandbox: Jinja's own and transformers' ``tojson``, with origins kept.

Most filters use methods of strings and need nothing. Those here make strings in ways of their own,
or write as much as they are told to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import Any

from jinja2 import pass_eval_context
from jinja2.filters import FILTERS as DEFAULT_FILTERS  # pyright: ignore[reportUnknownVariableType]
from jinja2.filters import make_attrgetter
from jinja2.nodes import EvalContext
from markupsafe import Markup, soft_str

from rolecall.template.traced import Traced, TracedMarkup, kept, literal, meter, runs_of
from rolecall.template.written import indented, joined, to_json, to_text

_JINJA: dict[str, Callable[..., Any]] = dict(DEFAULT_FILTERS)  # pyright: ignore[reportUnknownArgumentType]


def _indent(s: Any, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    if isinstance(width, int):
        meter().characters(width)
    if not isinstance(s, str) or isinstance(s, Markup):
        return _JINJA["indent"](s, width, first, blank)
    return indented(s, width, first, blank)


@pass_eval_context
def _join(
    eval_ctx: EvalContext, value: Any, d: Any = "", attribute: str | int | None = None
) -> str:
    if eval_ctx.autoescape:
        return _JINJA["join"](eval_ctx, value, d, attribute)
    if attribute is not None:
        pick = make_attrgetter(eval_ctx.environment, attribute)
        value = map(pick, value)
    return joined(literal(d) if d == "" else to_text(d), value)


def _title(s: Any) -> str:
    text = to_text(s)
    found: str = _JINJA["title"](str.__str__(text))
    return Traced(text)._rewritten(found, ())  # pyright: ignore[reportPrivateUsage]


def _safe(value: Any) -> Markup:
    if type(value) is Traced:
        made = TracedMarkup(str.__str__(value))
        made._runs = runs_of(value)  # pyright: ignore[reportPrivateUsage]
        return made
    return Markup(value)


def _batch(value: Iterable[Any], linecount: int, fill_with: Any = None) -> Iterator[list[Any]]:
    meter().items(linecount)
    return _JINJA["batch"](value, linecount, fill_with)


def _slice(value: Iterable[Any], slices: int, fill_with: Any = None) -> Iterator[list[Any]]:
    meter().items(slices)
    return _JINJA["slice"](value, slices, fill_with)


def _pprint(value: Any) -> str:
    meter().measure(value)
    return _JINJA["pprint"](value)


def _center(value: Any, width: int = 80) -> str:
    meter().characters(width)
    return _JINJA["center"](value, width)


def _format(value: Any, *args: Any, **kwargs: Any) -> str:
    return _JINJA["format"](kept(soft_str(value)), *args, **kwargs)


def _string(value: Any) -> str:
    return value if isinstance(value, str) else to_text(value)


def _followed(filter: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that looks at the clock, and whose strings are followed."""

    @wraps(filter)  # keeps Jinja's mark of filters that take the environment
    def run(*args: Any, **kwargs: Any) -> Any:
        meter().tick()
        return kept(filter(*args, **kwargs))

    return run


_OURS: dict[str, Callable[..., Any]] = {
    "tojson": to_json,
    "string": _string,
    "indent": _indent,
    "join": _join,
    "title": _title,
    "safe": _safe,
    "batch": _batch,
    "slice": _slice,
    "pprint": _pprint,
    "center": _center,
    "format": _format,
}

FILTERS: dict[str, Callable[..., Any]] = {
    name: _followed(found) for name, found in {**_JINJA, **_OURS}.items()
}
"""Every filter by name, for the environment."""
