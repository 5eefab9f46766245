"""A `str` that knows where each of its characters comes from, in runs of one origin.

Every method gives what `str` gives, and finds the runs of its result beside it. A method that is
not followed gives a plain `str`, whose characters count as unknown: never as the template's own.
"""

from __future__ import annotations

import dataclasses
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial, wraps
from typing import Any, SupportsIndex, cast

from markupsafe import Markup

from rolecall.template.limits import METER, meter
from rolecall.template.runs import (
    TEMPLATE,
    UNKNOWN,
    AnyRun,
    Origin,
    Ruler,
    Run,
    Runs,
    cut,
    merge,
    of_field,
    unknown,
)

_OBJECT = 100
"""Bytes that a string takes beside its characters, about."""
_RUN = 8
"""Bytes that each of its runs takes, about."""

_running = METER.get
_new = str.__new__


class Traced(str):
    """A string with the origin of its characters."""

    __slots__ = ("_runs",)
    _runs: Runs

    def __new__(cls, text: object = "", runs: Runs | None = None) -> Traced:
        made = _new(cls, text)
        if runs is None:
            runs = own_runs(text) if isinstance(text, str) else unknown(len(made))
        made._runs = runs
        used = _running(None)
        if used is not None:
            # As `Meter.spend` does, which is too slow to be called for every string.
            spent = used.spent + _OBJECT + len(made) + _RUN * len(runs)
            used.spent = spent
            if spent > used.due:
                used.look()
        return made

    def __str__(self) -> str:
        return self

    # Joining.

    def __add__(self, other: str, /) -> str:
        if not _joins(other):
            reflected: Any = getattr(type(other), "__radd__", None)
            joined = NotImplemented if reflected is None else reflected(other, self)
            # What cannot be joined is refused by str itself, in its own words.
            return super().__add__(other) if joined is NotImplemented else joined
        meter().characters(len(self) + len(other))
        return Traced(super().__add__(other), merge(self._runs + own_runs(other)))

    def __radd__(self, other: str) -> str:
        if not _joins(other):
            return NotImplemented
        meter().characters(len(self) + len(other))
        return Traced(str.__add__(other, self), merge(own_runs(other) + self._runs))

    def __mul__(self, times: SupportsIndex, /) -> str:
        if not hasattr(times, "__index__"):
            raise TypeError(_NO_NUMBER.format(type(times).__name__))
        meter().product(self, times)
        text = super().__mul__(times)
        if len(self._runs) == 1 and self._runs[0][2] < 0:
            return Traced(text, merge(((len(text), self._runs[0][1], -1),)))
        meter().changes(len(self._runs) * max(operator.index(times), 0))
        return Traced(text, merge(self._runs * max(operator.index(times), 0)))

    def __rmul__(self, times: SupportsIndex, /) -> str:
        if isinstance(times, (list, tuple, bytes)):
            raise TypeError(_NO_NUMBER.format("str"))  # the other one is the sequence
        return self * times

    def join(self, iterable: Iterable[str], /) -> str:
        pieces = list(iterable)
        gap = len(self) * max(len(pieces) - 1, 0)
        # What is no string is refused by str.join itself, in its own words.
        size = sum(len(p) for p in pieces if isinstance(p, str))  # pyright: ignore[reportUnnecessaryIsInstance]
        meter().characters(gap + size)
        text = super().join(pieces)
        runs: list[AnyRun] = []
        for number, piece in enumerate(pieces):
            if number:
                runs += self._runs
            runs += own_runs(piece)
        return Traced(text, merge(runs))

    # Parts.

    def __getitem__(self, key: SupportsIndex | slice, /) -> str:
        text = super().__getitem__(key)
        if not isinstance(key, slice):
            at = int(key)
            at += len(self) if at < 0 else 0
            return Traced(text, cut(self._runs, at, at + 1))
        start, end, step = key.indices(len(self))
        if step == 1:
            return Traced(text, cut(self._runs, start, max(start, end)))
        if step == -1:
            between = cut(self._runs, min(end, start) + 1, start + 1)
            return Traced(text, merge(_moved(run) for run in reversed(between)))
        if len(self._runs) == 1:
            return Traced(text, merge(((len(text), self._runs[0][1], -1),)))
        meter().items(len(text))
        ruler = Ruler(self._runs)
        picked = (ruler.cut(at, at + 1)[0] for at in range(start, end, step))
        return Traced(text, merge(_moved(run) for run in picked))

    def __iter__(self) -> Iterator[str]:
        characters = super().__iter__()
        for length, origin, place in self._runs:
            for number in range(length):
                found = place + number if place >= 0 else -1
                yield Traced(next(characters), ((1, origin, found),))

    def _between(self, kept: str, start: int, ruler: Ruler | None = None) -> Traced:
        if len(kept) == len(self):
            return self
        cutting = partial(cut, self._runs) if ruler is None else ruler.cut
        return Traced(kept, cutting(start, start + len(kept)))

    def strip(self, chars: str | None = None, /) -> str:
        kept = super().strip(chars)
        if len(kept) == len(self):
            return self
        return self._between(kept, len(self) - len(super().lstrip(chars)))

    def lstrip(self, chars: str | None = None, /) -> str:
        kept = super().lstrip(chars)
        return self._between(kept, len(self) - len(kept))

    def rstrip(self, chars: str | None = None, /) -> str:
        return self._between(super().rstrip(chars), 0)

    def removeprefix(self, prefix: str, /) -> str:
        kept = super().removeprefix(prefix)
        return self._between(kept, len(self) - len(kept))

    def removesuffix(self, suffix: str, /) -> str:
        return self._between(super().removesuffix(suffix), 0)

    def _pieces(self, pieces: Sequence[str], gap: int) -> list[str]:
        """Pieces that follow each other in this string, so many characters apart."""
        found: list[str] = []
        at = 0
        ruler = Ruler(self._runs)
        for piece in pieces:
            found.append(self._between(piece, at, ruler))
            at += len(piece) + gap
        return found

    def _words(self, words: Sequence[str]) -> list[str]:
        """Pieces between which there is white space alone."""
        found: list[str] = []
        at = 0
        ruler = Ruler(self._runs)
        for word in words:
            at = self.index(word, at)
            found.append(self._between(word, at, ruler))
            at += len(word)
        return found

    def _check_pieces(self, sep: str | None, maxsplit: SupportsIndex) -> None:
        if len(self) > meter().limits.items and not 0 <= operator.index(maxsplit) < 1_000:
            # White space may stand at every second character.
            meter().items(len(self) // 2 if sep is None else super().count(sep) if sep else 0)

    def split(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        self._check_pieces(sep, maxsplit)
        pieces = super().split(sep, maxsplit)
        return self._words(pieces) if sep is None else self._pieces(pieces, len(sep))

    def rsplit(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        self._check_pieces(sep, maxsplit)
        pieces = super().rsplit(sep, maxsplit)
        return self._words(pieces) if sep is None else self._pieces(pieces, len(sep))

    def splitlines(self, keepends: bool = False) -> list[str]:
        if len(self) > meter().limits.items:
            meter().items(sum(super(Traced, self).count(end) for end in _LINE_ENDS))
        found: list[str] = []
        at = 0
        ruler = Ruler(self._runs)
        ended = super().splitlines(True)
        for line, whole in zip(super().splitlines(keepends), ended, strict=True):
            found.append(self._between(line, at, ruler))
            at += len(whole)
        return found

    def partition(self, sep: str, /) -> tuple[str, str, str]:
        return cast("tuple[str, str, str]", tuple(self._pieces(super().partition(sep), 0)))

    def rpartition(self, sep: str, /) -> tuple[str, str, str]:
        return cast("tuple[str, str, str]", tuple(self._pieces(super().rpartition(sep), 0)))

    # Changes.

    def replace(self, old: str, new: str, count: SupportsIndex = -1, /) -> str:
        found = super().count(old)
        times = found if int(count) < 0 else min(found, int(count))
        meter().characters(len(self) + times * max(len(new) - len(old), 0))
        text = super().replace(old, new, count)
        if not times:
            return Traced(text, self._runs)
        return Traced(text, merge(self._replaced(old, new, times)))

    def _replaced(self, old: str, new: str, times: int) -> Iterator[AnyRun]:
        ruler = Ruler(self._runs)
        own = own_runs(new)
        at = 0
        for number in range(times):
            # An empty string is found before every character.
            place = number if not old else self.index(old, at)
            yield from ruler.cut(at, place)
            yield from own
            at = place + len(old)
            if not number & 0xFFF:
                meter().tick()
        yield from ruler.cut(at, len(self))

    def _changed(self, text: str, change: Callable[[str], str]) -> Traced:
        """A change of letters, run by run where that comes to the same."""
        pieces: list[str] = []
        at = 0
        for length, _, _ in self._runs:
            pieces.append(change(str.__getitem__(self, slice(at, at + length))))
            at += length
        return self._rewritten(text, pieces)

    def _rewritten(self, text: str, pieces: Sequence[str]) -> Traced:
        """The text that became of each run; if they are not the whole, only its length tells."""
        if "".join(pieces) == text:
            return Traced(
                text,
                merge(
                    (len(piece), origin, -1)
                    for piece, (_, origin, _) in zip(pieces, self._runs, strict=True)
                    if piece
                ),
            )
        if len(text) == len(self):
            return Traced(text, merge(_moved(run) for run in self._runs))
        return Traced(text, unknown(len(text)))

    def upper(self) -> str:
        return self._changed(super().upper(), str.upper)

    def lower(self) -> str:
        return self._changed(super().lower(), str.lower)

    def casefold(self) -> str:
        return self._changed(super().casefold(), str.casefold)

    def swapcase(self) -> str:
        return self._changed(super().swapcase(), str.swapcase)

    def capitalize(self) -> str:
        return self._changed(super().capitalize(), str.lower)

    def title(self) -> str:
        return self._changed(super().title(), str.title)

    def translate(self, table: Any, /) -> str:
        text = super().translate(table)
        # What stands in the table may be the caller's.
        return Traced(text, self._runs if text == self else unknown(len(text)))

    def expandtabs(self, tabsize: SupportsIndex = 8) -> str:
        meter().characters(len(self) + super().count("\t") * max(int(tabsize), 0))
        text = super().expandtabs(tabsize)
        if text == self:
            return Traced(text, self._runs)
        return Traced(text, unknown(len(text)))

    def center(self, width: SupportsIndex, fillchar: str = " ", /) -> str:
        meter().characters(int(width))
        text = super().center(width, fillchar)
        padding = len(text) - len(self)
        # Of an odd padding the larger half stands where str.center puts it.
        before = padding // 2 + (padding & int(width) & 1)
        fill = _fill(fillchar)
        runs = ((before, fill, -1), *self._runs, (padding - before, fill, -1))
        return Traced(text, merge(runs))

    def ljust(self, width: SupportsIndex, fillchar: str = " ", /) -> str:
        meter().characters(int(width))
        text = super().ljust(width, fillchar)
        padding = (len(text) - len(self), _fill(fillchar), -1)
        return Traced(text, merge((*self._runs, padding)))

    def rjust(self, width: SupportsIndex, fillchar: str = " ", /) -> str:
        meter().characters(int(width))
        text = super().rjust(width, fillchar)
        padding = (len(text) - len(self), _fill(fillchar), -1)
        return Traced(text, merge((padding, *self._runs)))

    def zfill(self, width: SupportsIndex, /) -> str:
        meter().characters(int(width))
        return super().zfill(width)

    # Formatting.

    def __mod__(self, values: Any, /) -> str:
        check_percent(self, values)
        text = super().__mod__(values)
        try:
            runs = _percent(self, values, text)
        except (LookupError, TypeError, ValueError, OverflowError):
            runs = unknown(len(text))  # a spelling of its own that `%` understands all the same
        return Traced(text, runs)


_NO_NUMBER = "can't multiply sequence by non-int of type '{}'"


def _in_own_words(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    """The method, whose errors are those of `str`."""

    @wraps(method)
    def run(self: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except (TypeError, ValueError, OverflowError):
            getattr(str, name)(str.__str__(self), *args, **kwargs)
            raise

    return run


for _name, _method in list(vars(Traced).items()):
    if not _name.startswith("_") and hasattr(str, _name):
        setattr(Traced, _name, _in_own_words(_name, _method))


def _joins(other: object) -> bool:
    """Whether `+` with this string gives a string; Jinja's markup has a rule of its own."""
    return isinstance(other, str) and not isinstance(other, Markup)


def _fill(character: str) -> Origin:
    """The origin of padding: whose character it is."""
    runs = own_runs(character)
    return runs[0][1] if character != " " and runs else TEMPLATE


def _moved(run: AnyRun) -> AnyRun:
    return run if run[2] < 0 else (run[0], run[1], -1)


def own_runs(text: str) -> Runs:
    """The runs of a string; a plain one is unknown."""
    return text._runs if isinstance(text, Traced) else unknown(len(text))  # pyright: ignore[reportPrivateUsage]


def runs_of(text: str) -> tuple[Run, ...]:
    """The runs of a string, with names for what they say."""
    return tuple(map(Run._make, own_runs(text)))


def kept(value: Any) -> Any:
    """A plain string that something made is of unknown origin, and goes on being followed."""
    return Traced(value) if type(value) is str else value


def counted(value: Any) -> Any:
    """What something made, followed if it is a string, and counted if it is large."""
    kind = type(value)  # type: ignore[reportUnknownVariableType]
    if kind is Traced or kind is bool:
        return value
    if kind is str:
        return Traced(value)
    if isinstance(value, int):
        meter().integer(value)
    elif isinstance(value, (list, tuple, dict)):
        used = meter()
        used.items(len(value))  # type: ignore[reportUnknownArgumentType]
        used.spend((100 if isinstance(value, dict) else 8) * len(value))  # type: ignore[reportUnknownArgumentType]
    elif isinstance(value, (bytes, Markup)):
        used = meter()
        used.characters(len(value))
        used.spend(len(value))
    return cast("Any", value)


def sized(value: Any) -> Any:
    """The value, refused if it holds too much to be compared, hashed or printed."""
    if not isinstance(value, (str, int, float, type(None))):
        meter().measure(value)
    return value


def literal(text: str) -> Traced:
    """A literal of the template."""
    return Traced(text, ((len(text), TEMPLATE, -1),) if text else ())


def of_caller(text: str, message: int | None, field: str) -> Traced:
    """A string that the caller gave."""
    return Traced(text, ((len(text), _origin(message, field), 0),) if text else ())


def of_token(text: str, name: str) -> Traced:
    """``bos_token``, ``eos_token`` or their like."""
    return Traced(text, ((len(text), Origin("token", None, name), -1),) if text else ())


def mapped(text: Traced, change: Callable[[Origin], Origin]) -> Traced:
    """The same string with other origins."""
    changed = ((length, change(origin), at) for length, origin, at in text._runs)  # pyright: ignore[reportPrivateUsage]
    return Traced(str.__str__(text), merge(changed))


# `%` and `str.format` make their pieces one by one.

_PERCENT = re.compile(
    r"%(?:\((?P<key>[^)]*)\))?(?P<flags>[-+ #0]*)(?P<width>\*|\d+)?(?:\.(?P<precision>\*|\d+)?)?"
    r"[hlL]?(?P<kind>.)",
    re.DOTALL,
)
_NUMBER = re.compile(r"\d{4,}")
_LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"


def check_widths(text: str) -> int:
    """Refuse widths and precisions beyond the limit on characters; returns their sum."""
    total = 0
    for number in _NUMBER.findall(text):
        total += int(number) if len(number) < 20 else 10**20
        meter().characters(total)
    return total


def check_percent(form: str | bytes, values: Any) -> None:
    """Refuse what `form % values` would make, if it may be too long."""
    used = meter()
    text = str.__str__(form) if isinstance(form, str) else form.decode("latin-1")
    # Before the first `%` digits are text.
    total = len(text) + check_widths(text.partition("%")[2])
    conversions = text.count("%")
    if "*" in text:
        numbers = cast("tuple[Any, ...]", values) if isinstance(values, tuple) else (values,)
        total += sum(abs(one) for one in numbers if isinstance(one, int))
    if isinstance(values, Mapping):
        # One value may be written by every conversion.
        sizes = (used.measure(one) for one in cast("Mapping[Any, Any]", values).values())
        total += conversions * max(sizes, default=0)
        used.measure(values)
    else:
        total += used.measure(values)
    used.characters(total)


def _percent(form: Traced, values: Any, text: str) -> Runs:
    """The runs of ``form % values``, or unknown where the pieces do not come to `text`."""
    runs: list[AnyRun] = []
    pieces: list[str] = []
    plain = str.__str__(form)
    by_key = cast("Mapping[Any, Any]", values) if isinstance(values, Mapping) else None
    waiting: list[Any] = list(values) if isinstance(values, tuple) else [values]  # type: ignore[reportUnknownArgumentType]
    own = form._runs  # pyright: ignore[reportPrivateUsage]
    ruler = Ruler(own)
    at = 0
    waiting.reverse()
    for found in _PERCENT.finditer(plain):
        pieces.append(plain[at : found.start()])
        runs += ruler.cut(at, found.start())
        at = found.end()
        if found["kind"] == "%":
            pieces.append("%")
            runs += ruler.cut(at - 1, at)
            continue
        if "*" in (found["width"], found["precision"]):
            return unknown(len(text))
        key = found["key"]
        if key is not None and by_key is not None:
            value: Any = by_key[key]
            piece = f"%{found[0][len(key) + 3 :]}" % (value,)
        elif waiting:
            value = waiting.pop()
            piece = found[0] % (value,)
        else:
            return unknown(len(text))
        pieces.append(piece)
        runs += _inside(piece, value)
    pieces.append(plain[at:])
    runs += ruler.cut(at, len(plain))
    return merge(runs) if "".join(pieces) == text else unknown(len(text))


def _inside(piece: str, value: object) -> Runs:
    """The runs of a formatted value: the value's own, if it stands in the piece as it is."""
    if not isinstance(value, str):
        return unknown(len(piece))
    if piece == value:
        return own_runs(value)
    start = piece.find(value)
    if start < 0 or piece.strip(" ") != value.strip(" "):
        return unknown(len(piece))
    after = len(piece) - start - len(value)
    return ((start, TEMPLATE, -1), *own_runs(value), (after, TEMPLATE, -1))


class Pieces:
    """What `str.format` writes, piece by piece."""

    def __init__(self, form: str) -> None:
        origins = {origin for _, origin, _ in own_runs(form)}
        self._own = origins.pop() if len(origins) == 1 else UNKNOWN
        self._runs: list[AnyRun] = []
        self._texts: list[str] = []
        self._size = 0

    def _add(self, text: str, runs: Iterable[AnyRun]) -> None:
        self._size += len(text)
        meter().characters(self._size)
        self._texts.append(text)
        self._runs += runs

    def literal(self, text: str) -> None:
        """Text of the format string itself."""
        self._add(text, ((len(text), self._own, -1),))

    def value(self, text: str, value: object) -> None:
        """What became of one value."""
        self._add(text, _inside(text, value))

    def text(self) -> str:
        """Everything together."""
        return Traced("".join(self._texts), merge(self._runs))


# Containers and numbers of the caller's. Errors name their types as those of plain values.


class TracedDict(dict[Any, Any]):
    """An object of the caller's. No template can change it."""

    __slots__ = ("_json", "_origin")
    _origin: Origin
    _json: dict[Any, str]
    """What `to_json` made of it, by what it was asked for; unset before it is asked."""


class TracedList(list[Any]):
    """A list of the caller's. No template can change it."""

    __slots__ = ("_json", "_origin")
    _origin: Origin
    _json: dict[Any, str]


class TracedInt(int):
    """A whole number of the caller's."""

    _origin: Origin


class TracedFloat(float):
    """A number of the caller's."""

    _origin: Origin


class TracedMarkup(Markup):
    """What the filter ``safe`` returns: Jinja's own type, with the origins kept beside it."""

    __slots__ = ("_runs",)
    _runs: Runs


for _type, _name in (
    (Traced, "str"),
    (TracedDict, "dict"),
    (TracedList, "list"),
    (TracedInt, "int"),
    (TracedFloat, "float"),
):
    _type.__name__ = _type.__qualname__ = _name
    _type.__module__ = "builtins"


def origin_of(value: object) -> Origin | None:
    """The origin of a container or number of the caller's."""
    if isinstance(value, (TracedDict, TracedList, TracedInt, TracedFloat)):
        return value._origin  # pyright: ignore[reportPrivateUsage]
    return None


def traced(value: Any, message: int | None, field: str, inputs: dict[Any, str]) -> Any:
    """A copy of the caller's value, every string in it with its origin.

    Args:
        value: JSON: strings, numbers, lists, objects. Of anything else the template sees plain
            data, or the name of its type.
        message: The message it belongs to.
        field: What to call it; fields within add ``.key`` or ``[0]``, keys add ``{key}``.
        inputs: Receives ``(message, field)`` to text of every string.
    """
    kind = type(value)  # type: ignore[reportUnknownVariableType]
    if kind is str or isinstance(value, str):
        text = value if kind is str else str.__str__(value)
        inputs[message, field] = text
        return of_caller(text, message, field)
    if value is None or kind is bool:
        return value
    made: Any = value
    if isinstance(value, int):
        made = TracedInt(int.__int__(value))
    elif isinstance(value, float):
        made = TracedFloat(float.__float__(value))
    elif kind is dict or isinstance(value, Mapping):
        made = TracedDict()
        for key, item in cast("Mapping[Any, Any]", value).items():
            if not field and type(key) is str and type(item) is str and len(key) <= _LONG:
                # What most messages are made of.
                inputs[message, key] = item
                text = _new(Traced, item)
                text._runs = ((len(item), of_field(message, key), 0),) if item else ()  # pyright: ignore[reportPrivateUsage]
                made[_known_key(key, message, "")] = text
                continue
            own = key
            if type(key) is not str:
                own = key if isinstance(key, (str, int, float, type(None))) else _placeholder(key)
            if isinstance(own, str):
                own = _key(str.__str__(own), message, field)
            made[own] = traced(item, message, f"{field}.{key}" if field else str(key), inputs)
    elif isinstance(value, list):
        items = cast("Sequence[Any]", value)
        made = TracedList(traced(x, message, f"{field}[{n}]", inputs) for n, x in enumerate(items))
    elif isinstance(value, tuple):
        pairs = enumerate(cast("Sequence[Any]", value))
        return tuple(traced(x, message, f"{field}[{n}]", inputs) for n, x in pairs)
    else:
        return _of_object(value, message, field, inputs)
    made._origin = _origin(message, field)
    return made


_LONG = 64
"""Characters of a name that is too long to be kept for the next rendering."""


def _key(key: str, message: int | None, field: str) -> Traced:
    """The key of an object, as a string of the caller's."""
    if len(key) + len(field) > _LONG:
        return of_caller(key, message, f"{field}{{{key}}}")
    return _known_key(key, message, field)


@lru_cache(maxsize=4_096)
def _known_key(key: str, message: int | None, field: str) -> Traced:
    return of_caller(key, message, f"{field}{{{key}}}")


def _origin(message: int | None, field: str) -> Origin:
    """The origin of what the caller gave under this name."""
    return of_field(message, field) if len(field) <= _LONG else Origin("caller", message, field)


def _of_object(value: Any, message: int | None, field: str, inputs: dict[Any, str]) -> Any:
    """What a template sees of an object: plain data, as transformers hands it over."""
    kinds = cast("type[Any]", type(value)).__mro__
    if any(kind.__module__ == "numpy" and kind.__name__ == "generic" for kind in kinds):
        plain: Any = value.item()
        known = type(plain) in (str, int, float, bool)
        return traced(plain, message, field, inputs) if known else _placeholder(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}
        return traced(fields, message, field, inputs)
    dump: Any = getattr(value, "model_dump", None)
    if callable(dump):
        return traced(dump(), message, field, inputs)
    return _placeholder(value)


def _placeholder(value: object) -> Traced:
    """The name of an object's type: its methods are not for a template to call."""
    text = f"<{type(value).__name__}>"
    return Traced(text, unknown(len(text)))
