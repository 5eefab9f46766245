"""The filters of the sandbox: Jinja's own and transformers' ``tojson``, with origins kept.

Most filters use methods of strings and need nothing. Those here make strings in ways of their own,
or write as much as they are told to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import Any

import jinja2
from jinja2 import pass_environment, pass_eval_context
from jinja2.filters import FILTERS as DEFAULT_FILTERS  # pyright: ignore[reportUnknownVariableType]
from jinja2.filters import make_attrgetter
from jinja2.nodes import EvalContext
from jinja2.runtime import Context
from jinja2.tests import TESTS as JINJA_TESTS  # pyright: ignore[reportUnknownVariableType]
from markupsafe import Markup, soft_str

from rolecall.template.limits import meter
from rolecall.template.traced import (
    Traced,
    TracedMarkup,
    check_percent,
    counted,
    kept,
    literal,
    own_runs,
    sized,
)
from rolecall.template.written import indented, joined, to_json, to_text

_TESTS: dict[str, Callable[..., Any]] = dict(JINJA_TESTS)  # pyright: ignore[reportUnknownArgumentType]
_JINJA: dict[str, Callable[..., Any]] = dict(DEFAULT_FILTERS)  # pyright: ignore[reportUnknownArgumentType]


def _indent(s: Any, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    if isinstance(width, int):
        meter().characters(width)
    if not isinstance(s, str) or isinstance(s, Markup):
        by = len(width) if isinstance(width, str) else width
        meter().characters((str(s).count("\n") + 1) * by)
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
    _small(text)
    found: str = _JINJA["title"](str.__str__(text))
    return Traced(text)._rewritten(found, ())  # pyright: ignore[reportPrivateUsage]


def _safe(value: Any) -> Markup:
    if type(value) is Traced:
        made = TracedMarkup(str.__str__(value))
        made._runs = own_runs(value)  # pyright: ignore[reportPrivateUsage]
        return made
    return Markup(value)


def _batch(value: Iterable[Any], linecount: int, fill_with: Any = None) -> Iterator[list[Any]]:
    meter().items(linecount)
    return _JINJA["batch"](value, linecount, fill_with)


@pass_eval_context
def _slice(
    eval_ctx: EvalContext, value: Iterable[Any], slices: int, fill_with: Any = None
) -> Iterator[list[Any]]:
    meter().items(slices)
    return _JINJA["slice"](eval_ctx, value, slices, fill_with)


def _pprint(value: Any) -> str:
    meter().items(meter().measure(value))
    return _JINJA["pprint"](value)


def _center(value: Any, width: int = 80) -> str:
    meter().characters(width)
    return _JINJA["center"](value, width)


def _format(value: Any, *args: Any, **kwargs: Any) -> str:
    check_percent(soft_str(value), kwargs or args)
    return _JINJA["format"](kept(soft_str(value)), *args, **kwargs)


def _replace(eval_ctx: EvalContext, s: Any, old: Any, new: Any, count: int | None = None) -> str:
    if not isinstance(s, Traced):
        meter().characters((len(to_text(s)) + 1) * max(len(to_text(new)), 1))
    return _JINJA["replace"](eval_ctx, s, old, new, count)


def _list(value: Iterable[Any]) -> list[Any]:
    if isinstance(value, str):
        meter().items(len(value))
    return list(value)


def _small(text: object) -> None:
    """Refuse a text that is too long to be looked at word by word, or by hard expressions."""
    if isinstance(text, str):
        meter().items(len(text))


def _urlize(eval_ctx: EvalContext, value: Any, *args: Any, **kwargs: Any) -> str:
    _small(value)
    longest = max((len(x) for x in (*args, *kwargs.values()) if isinstance(x, str)), default=0)
    # Every word may become a link that holds each of these.
    meter().characters(len(value) * (longest + 1))
    return _JINJA["urlize"](eval_ctx, value, *args, **kwargs)


def _striptags(value: Any) -> str:
    _small(value)
    return _JINJA["striptags"](value)


def _wordcount(s: str) -> int:
    _small(s)
    return _JINJA["wordcount"](s)


def _round(value: Any, precision: int = 0, method: Any = "common") -> Any:
    meter().power(10, abs(precision))
    return _JINJA["round"](value, precision, method)


@pass_environment
def _sum(
    environment: jinja2.Environment,
    iterable: Iterable[Any],
    attribute: str | int | None = None,
    start: Any = 0,
) -> Any:
    if isinstance(start, (int, float, str, bytes)) and not isinstance(start, Markup):
        # Of strings, sum() says that it does not add them.
        return _JINJA["sum"](environment, iterable, attribute, start)
    if attribute is not None:
        iterable = map(make_attrgetter(environment, attribute), iterable)
    used = meter()
    for value in iterable:
        used.tick()
        used.total(start, value)
        start = start + value
    return start


def _wordwrap(
    environment: jinja2.Environment,
    s: str,
    width: int = 79,
    break_long_words: bool = True,
    wrapstring: str | None = None,
    break_on_hyphens: bool = True,
) -> str:
    _small(s)
    if wrapstring:
        meter().characters(len(s) * (len(wrapstring) + 1))
    # A word that is too long is copied again for every line that it takes.
    longest = max(map(len, str.__str__(s).split()), default=0)
    meter().steps(longest * longest // max(width, 1))
    return _JINJA["wordwrap"](environment, s, width, break_long_words, wrapstring, break_on_hyphens)


def _string(value: Any) -> str:
    return value if isinstance(value, str) else to_text(value)


def _of_text(name: str) -> Callable[..., Any]:
    """A filter of Jinja's that makes text of what it is given, and would lose where it is from."""
    found = _JINJA[name]
    strips = name == "trim"

    @wraps(found)
    def run(value: Any, *args: Any, **kwargs: Any) -> Any:
        if strips and type(value) is Traced and not (args or kwargs):
            return value.strip()
        return found(_string(value), *args, **kwargs)

    return run


def _followed(filter: Callable[..., Any], *, deep: bool) -> Callable[..., Any]:
    """A filter that looks at the clock, and whose strings are followed.

    Args:
        filter: What it does.
        deep: Whether it prints, compares or hashes what it is given, all that is within included.
    """

    @wraps(filter)  # keeps Jinja's mark of filters that take the environment
    def run(*args: Any, **kwargs: Any) -> Any:
        meter().tick()
        if deep:
            for value in (*args, *kwargs.values()) if kwargs else args:
                if type(value) is not Traced and not isinstance(value, _JINJAS):
                    sized(value)
        return counted(filter(*args, **kwargs))

    return run


_OURS: dict[str, Callable[..., Any]] = {
    "tojson": to_json,
    "string": _string,
    **{name: _of_text(name) for name in ("trim", "upper", "lower", "capitalize")},
    "indent": _indent,
    "join": _join,
    "title": _title,
    "safe": _safe,
    "batch": _batch,
    "slice": _slice,
    "pprint": _pprint,
    "center": _center,
    "format": _format,
    "replace": pass_eval_context(_replace),
    "list": _list,
    "sum": _sum,
    "round": _round,
    "striptags": _striptags,
    "urlize": pass_eval_context(_urlize),
    "wordcount": _wordcount,
    "wordwrap": pass_environment(_wordwrap),
}

_SHALLOW = frozenset(
    (
        "attr",
        "batch",
        "count",
        "d",
        "default",
        "first",
        "items",
        "last",
        "length",
        "list",
        "map",
        "random",
        "reject",
        "rejectattr",
        "reverse",
        "select",
        "selectattr",
        "slice",
        "sum",
    )
)
"""Filters that look at no more than the items of what they are given."""

_COMPARING = frozenset(_TESTS) - {  # pyright: ignore[reportUnknownArgumentType]
    name for name, test in _TESTS.items() if test.__name__.startswith("test_")
} | {"in"}
"""Tests that compare."""

_JINJAS = (EvalContext, Context, jinja2.Environment)
"""What Jinja itself hands to a filter."""

FILTERS: dict[str, Callable[..., Any]] = {
    name: _followed(found, deep=name not in _SHALLOW) for name, found in {**_JINJA, **_OURS}.items()
}
"""Every filter by name, for the environment."""

_SIMPLE = frozenset(
    (
        *("defined", "undefined", "none", "string", "mapping", "sequence", "iterable"),
        *("number", "integer", "float", "boolean", "true", "false"),
    )
)
"""Tests that look at the type of a value alone, which needs no looking after."""

TESTS: dict[str, Callable[..., Any]] = {
    name: found if name in _SIMPLE else _followed(found, deep=name in _COMPARING)
    for name, found in _TESTS.items()
}
"""Every test by name, for the environment."""
