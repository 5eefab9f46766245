"""Values that are no strings, written as text: by Python's `str`, and as JSON.

Both give exactly what Python gives, with the origin of every string inside.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import Any, cast

from rolecall.template.traced import (
    Origin,
    Run,
    Traced,
    TracedMarkup,
    literal,
    merge,
    meter,
    origin_of,
    runs_of,
    sized,
    unknown,
)

_ESCAPED = re.compile(r'["\\\x00-\x1f]')
_ESCAPED_ASCII = re.compile(r'["\\\x00-\x1f]|[^ -~]')

Piece = tuple[str, Iterable[Run]]


def to_text(value: Any) -> str:
    """What ``str(value)`` gives, with its origins."""
    if type(value) is Traced:
        return value
    if isinstance(value, TracedMarkup):
        # Jinja's own methods make markup without origins.
        return Traced(str.__str__(value), getattr(value, "_runs", None))
    if isinstance(value, str):
        return str(value)
    if value is None or isinstance(value, bool):
        text = str(value)
        return Traced(text, (Run(len(text), Origin("printed", None, text), -1),))
    if isinstance(value, (dict, list, tuple)):
        meter().measure(value)
        text = str(value)  # type: ignore[reportUnknownArgumentType]
        return _joined(text, _representation(value, _printed(value)))
    text = str(sized(value))
    origin = origin_of(value)
    if origin is not None and isinstance(value, (int, float)):
        return Traced(text, (Run(len(text), origin, -1),))
    return text


def _joined(text: str, pieces: Iterable[Piece]) -> str:
    texts: list[str] = []
    runs: list[Run] = []
    for piece, own in pieces:
        texts.append(piece)
        runs += own
    meter().tick()
    return Traced(text, merge(runs) if "".join(texts) == text else unknown(len(text)))


def _printed(value: Any) -> Origin:
    """The origin of a container that is printed as Python spells it."""
    found = origin_of(value)
    if found is None:
        return Origin("printed", None, type(value).__name__)
    return found._replace(kind="printed")


def _of(text: str, origin: Origin) -> Piece:
    return text, (Run(len(text), origin, -1),)


def _representation(value: Any, around: Origin) -> Iterator[Piece]:
    """What ``repr(value)`` gives, piece by piece."""
    if isinstance(value, str):
        shown = repr(str.__str__(value))
        # With other quotes or an escape, no character is a plain copy for certain.
        copied = shown[1:-1] == value
        yield _of(shown[0], around)
        yield shown[1:-1], runs_of(value) if copied else _spread(value, shown[1:-1])
        yield _of(shown[-1], around)
    elif isinstance(value, dict):
        yield _of("{", around)
        for number, (key, item) in enumerate(cast("dict[Any, Any]", value).items()):
            if number:
                yield _of(", ", around)
            yield from _representation(key, around)
            yield _of(": ", around)
            yield from _representation(item, _inner(item, around))
        yield _of("}", around)
    elif isinstance(value, (list, tuple)):
        items = cast("list[Any]", value)
        opening, closing = "[]" if isinstance(value, list) else "()"
        yield _of(opening, around)
        for number, item in enumerate(items):
            if number:
                yield _of(", ", around)
            yield from _representation(item, _inner(item, around))
        yield _of("," + closing if closing == ")" and len(items) == 1 else closing, around)
    else:
        yield _of(repr(value), around)


def _inner(value: object, around: Origin) -> Origin:
    found = origin_of(value)
    return around if found is None else found._replace(kind=around.kind)


def _spread(value: str, shown: str) -> tuple[Run, ...]:
    """Runs of an escaped text: its origin if it has one alone."""
    origins = {run.origin for run in runs_of(value)}
    return (Run(len(shown), origins.pop(), -1),) if len(origins) == 1 else unknown(len(shown))


# JSON.


def to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """What ``json.dumps`` gives; the arguments are its own, with transformers' defaults."""
    meter().measure(value)
    if indent is not None:
        meter().characters(len(indent) if isinstance(indent, str) else int(indent))
    text = json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )
    meter().characters(len(text))
    origin = origin_of(value)
    around = Origin("unknown") if origin is None else origin
    between, colon = separators or (", " if indent is None else ",", ": ")
    writer = _Json(ensure_ascii, indent, between, colon, sort_keys)
    return _joined(text, writer.write(value, around, 1))


class _Json:
    """JSON piece by piece, as `json.dumps` writes it."""

    def __init__(
        self, ensure_ascii: bool, indent: int | str | None, between: str, colon: str, sort: bool
    ) -> None:
        self._escape: Callable[[str], str] = (
            encode_basestring_ascii if ensure_ascii else encode_basestring
        )
        self._escaped = _ESCAPED_ASCII if ensure_ascii else _ESCAPED
        self._indent = " " * indent if isinstance(indent, int) else indent
        self._between = between
        self._colon = colon
        self._sort = sort

    def write(self, value: Any, around: Origin, depth: int) -> Iterator[Piece]:
        """The pieces of a value that stands so deep."""
        if isinstance(value, str):
            yield from self._string(value, around)
        elif isinstance(value, dict):
            members = cast("dict[Any, Any]", value).items()
            # Keys are told apart before values, which need not have an order.
            pairs = sorted(members) if self._sort else list(members)
            yield from self._items(
                "{}", [self._member(key, item, around, depth) for key, item in pairs], around, depth
            )
        elif isinstance(value, (list, tuple)):
            yield from self._items(
                "[]",
                [self.write(item, _inner(item, around), depth + 1) for item in value],  # type: ignore[reportUnknownVariableType]
                around,
                depth,
            )
        else:
            yield _of(json.dumps(value), around)

    def _member(self, key: Any, item: Any, around: Origin, depth: int) -> Iterator[Piece]:
        # Keys that are no strings are written as JSON writes them, in quotes.
        written = key if isinstance(key, str) else json.dumps(key)
        yield from self._string(written, around)
        yield _of(self._colon, around)
        yield from self.write(item, _inner(item, around), depth + 1)

    def _items(
        self, brackets: str, items: list[Iterator[Piece]], around: Origin, depth: int
    ) -> Iterator[Piece]:
        yield _of(brackets[0], around)
        for number, item in enumerate(items):
            if number:
                yield _of(self._between, around)
            if self._indent is not None:
                yield _of("\n" + self._indent * depth, around)
            yield from item
        if items and self._indent is not None:
            yield _of("\n" + self._indent * (depth - 1), around)
        yield _of(brackets[1], around)

    def _string(self, value: str, around: Origin) -> Iterator[Piece]:
        yield _of('"', around)
        at = 0
        plain = str.__str__(value)
        for run in runs_of(value):
            end = at + run.length
            for found in self._escaped.finditer(plain, at, end):
                yield self._copy(plain, run, at, found.start(), end)
                yield _of(self._escape(found[0])[1:-1], run.origin)
                at = found.end()
            yield self._copy(plain, run, at, end, end)
            at = end
        yield _of('"', around)

    def _copy(self, plain: str, run: Run, first: int, last: int, end: int) -> Piece:
        """Characters of a run that ends at `end`, as they are."""
        place = run.at + run.length - (end - first) if run.at >= 0 else -1
        return plain[first:last], (Run(last - first, run.origin, place),)


def joined(separator: str, values: Iterable[Any]) -> str:
    """``separator.join(map(str, values))`` with its origins."""
    return Traced(separator).join(to_text(value) for value in values)


def indented(text: Any, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    """What the filter ``indent`` gives."""
    by = width if isinstance(width, str) else literal(" " * width)
    newline = literal("\n")
    meter().characters(len(text) + len(by) * (text.count("\n") + 1))
    lines = (Traced(text) + newline).splitlines()
    kept = [
        line if not number or not (line or blank) else by + line
        for number, line in enumerate(lines)
    ]
    done = newline.join(kept)
    return by + done if first else done
