"""Values that are no strings, written as text: by Python's `str`, and as JSON.

Both give exactly what Python gives, with the origin of every string inside.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import Any, cast

from rolecall.template.limits import meter
from rolecall.template.runs import AnyRun, Origin, Runs, merge, unknown
from rolecall.template.traced import (
    Traced,
    TracedDict,
    TracedList,
    TracedMarkup,
    literal,
    origin_of,
    own_runs,
    sized,
)

_ESCAPED = re.compile(r'["\\\x00-\x1f]')
_ESCAPED_ASCII = re.compile(r'["\\\x00-\x1f]|[^ -~]')

Piece = tuple[str, Iterable[AnyRun]]


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
        return Traced(text, ((len(text), Origin("printed", None, text), -1),))
    if isinstance(value, (dict, list, tuple)):
        meter().measure(value)
        text = str(value)  # type: ignore[reportUnknownArgumentType]
        return _joined(text, _representation(value, _printed(value)))
    text = str(sized(value))
    origin = origin_of(value)
    if origin is not None and isinstance(value, (int, float)):
        return Traced(text, ((len(text), origin, -1),))
    return text


def _joined(text: str, pieces: Iterable[Piece]) -> str:
    texts: list[str] = []
    runs: list[AnyRun] = []
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
    return text, ((len(text), origin, -1),)


def _representation(value: Any, around: Origin) -> Iterator[Piece]:
    """What ``repr(value)`` gives, piece by piece."""
    if isinstance(value, str):
        shown = repr(str.__str__(value))
        # With other quotes or an escape, no character is a plain copy for certain.
        copied = shown[1:-1] == value
        yield _of(shown[0], around)
        yield shown[1:-1], own_runs(value) if copied else _spread(value, shown[1:-1])
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


def _spread(value: str, shown: str) -> Runs:
    """Runs of an escaped text: its origin if it has one alone."""
    origins = {origin for _, origin, _ in own_runs(value)}
    return ((len(shown), origins.pop(), -1),) if len(origins) == 1 else unknown(len(shown))


# JSON.


def to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """What ``json.dumps`` gives; the arguments are its own, with transformers' defaults."""
    asked = (ensure_ascii, indent, separators, sort_keys)
    plain = separators is None and isinstance(indent, (int, type(None)))
    if not plain or type(value) not in (TracedDict, TracedList):
        return _json(value, *asked)
    made: dict[Any, str] | None = getattr(value, "_json", None)
    if made is None:
        made = value._json = {}
    # Numbers that are equal are no booleans all the same: 1, 1.0 and True.
    key = (asked, *map(type, asked))
    if key not in made:
        made[key] = _json(value, *asked)
    return made[key]


def _json(
    value: Any,
    ensure_ascii: bool,
    indent: int | str | None,
    separators: tuple[str, str] | None,
    sort_keys: bool,
) -> str:
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
    writer.write(value, around, 1)
    meter().tick()
    same = "".join(writer.texts) == text
    return Traced(text, merge(writer.runs) if same else unknown(len(text)))


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

        self.texts: list[str] = []
        """What was written, piece by piece."""
        self.runs: list[AnyRun] = []
        """The runs of it."""

    def write(self, value: Any, around: Origin, depth: int) -> None:
        """Write a value that stands so deep."""
        if isinstance(value, str):
            self._put('"', around)
            self._string(value)
            self._put('"', around)
        elif isinstance(value, dict):
            members = cast("dict[Any, Any]", value).items()
            # Keys are told apart before values, which need not have an order.
            pairs = sorted(members) if self._sort else members
            item: Any
            before = "{" + self._line(depth)
            for key, item in pairs:
                self._put(before + '"', around)
                # Keys that are no strings are written as JSON writes them, in quotes.
                self._string(key if isinstance(key, str) else json.dumps(key))
                before = self._item(item, '"' + self._colon, around, depth)
            self._put("{}" if not pairs else self._last(before, depth) + "}", around)
        elif isinstance(value, (list, tuple)):
            before = "[" + self._line(depth)
            for item in cast("Sequence[Any]", value):
                before = self._item(item, before, around, depth)
            self._put("[]" if not value else self._last(before, depth) + "]", around)
        else:
            self._put(json.dumps(value), around)

    def _item(self, item: Any, before: str, around: Origin, depth: int) -> str:
        """Write what stands before an item, and the item; returns what stands behind it.

        A quotation mark is of one piece with what is beside it.
        """
        if isinstance(item, str):
            self._put(before + '"', around)
            self._string(item)
            return '"' + self._between + self._line(depth)
        self._put(before, around)
        self.write(item, _inner(item, around), depth + 1)
        return self._between + self._line(depth)

    def _last(self, before: str, depth: int) -> str:
        """What stands behind the last item, made of what would stand before another."""
        return before[: len(before) - len(self._between + self._line(depth))] + self._line(
            depth - 1
        )

    def _line(self, depth: int) -> str:
        """The line break with its white space, or nothing where all is on one line."""
        return "" if self._indent is None else "\n" + self._indent * depth

    def _put(self, text: str, origin: Origin) -> None:
        self.texts.append(text)
        self.runs.append((len(text), origin, -1))

    def _string(self, value: str) -> None:
        if self._escaped.search(value) is None:
            self.texts.append(value)
            self.runs += own_runs(value)
        else:
            self._escape_runs(str.__str__(value), own_runs(value))

    def _escape_runs(self, plain: str, runs: Runs) -> None:
        """Write a text, each of its characters that JSON spells otherwise by itself."""
        at = 0
        for length, origin, place in runs:
            begin, end = at, at + length
            for found in self._escaped.finditer(plain, at, end):
                self._copy(plain, at, found.start(), origin, place, begin)
                self._put(self._escape(found[0])[1:-1], origin)
                at = found.end()
            self._copy(plain, at, end, origin, place, begin)
            at = end

    def _copy(
        self, plain: str, first: int, last: int, origin: Origin, place: int, begin: int
    ) -> None:
        """Write characters of a run that begins at `begin`, as they are."""
        self.texts.append(plain[first:last])
        self.runs.append((last - first, origin, place + first - begin if place >= 0 else -1))


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
