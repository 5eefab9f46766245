"""The sandbox in which transformers runs chat templates, with every character's origin kept.

The environment is set up as transformers' is: the same sandbox, the same filters and functions,
``{% generation %}`` and loop controls. What differs is unseen by a template: literals know that
they are the template's, strings made from others keep their origins, and what a rendering may use
is limited.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, update_wrapper
from itertools import count
from types import BuiltinMethodType, MethodType
from typing import Any, NoReturn, cast

import jinja2
import jinja2.ext
import jinja2.runtime
from jinja2 import nodes, sandbox
from jinja2.parser import Parser
from jinja2.runtime import LoopContext
from jinja2.utils import Namespace
from markupsafe import Markup

from rolecall.errors import TemplateLimit
from rolecall.template.filters import FILTERS, TESTS
from rolecall.template.generator import DICT_NAMES, METHODS, Generator
from rolecall.template.limits import Meter, meter
from rolecall.template.runs import AnyRun, Origin, merge, of_template, unknown
from rolecall.template.traced import (
    Pieces,
    Traced,
    TracedDict,
    TracedFloat,
    TracedInt,
    TracedList,
    TracedMarkup,
    check_percent,
    check_widths,
    counted,
    kept,
    mapped,
    origin_of,
    own_runs,
    sized,
)
from rolecall.template.written import to_text


class RaisedByTemplate(jinja2.TemplateError):
    """What ``raise_exception`` raises."""


class GenerationBlock(jinja2.ext.Extension):
    """``{% generation %}``, which marks what the model says."""

    tags = {"generation"}  # noqa: RUF012  (Jinja's own declaration)

    def parse(self, parser: Parser) -> nodes.Node:
        """Read the block."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_mark"), [], [], body).set_lineno(line)

    def _mark(self, caller: Callable[[], str]) -> str:
        return mapped(Traced(caller()), _generated)


@lru_cache(maxsize=4_096)
def _generated(origin: Origin) -> Origin:
    return origin._replace(generated=True)


class _Formatter(sandbox.SandboxedFormatter):
    """Finds the origins of what `str.format` writes."""

    def write(self, form: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        """What is written, piece by piece, with a look at every size before it is made."""
        return self._write(form, args, kwargs, count())

    def _write(
        self, form: str, args: Sequence[Any], kwargs: Mapping[str, Any], numbers: Iterator[int]
    ) -> str:
        pieces = Pieces(form)
        for text, field, spec, conversion in self.parse(str.__str__(form)):
            if text:
                pieces.literal(text)
            if field is None:
                continue
            name = f"{next(numbers)}{field}" if field[:1] in ("", ".", "[") else field
            value = self.get_field(name, args, kwargs)[0]
            meter().measure(value)
            value = self.convert_field(value, conversion)  # type: ignore[arg-type]
            inner = str.__str__(self._write(spec or "", args, kwargs, numbers))
            check_widths(inner)
            pieces.value(str.__str__(self.format_field(value, inner)), value)
        return pieces.text()


class Environment(sandbox.ImmutableSandboxedEnvironment):
    """The sandbox of one template."""

    code_generator_class = Generator
    intercepted_binops = frozenset(("+", "*", "**", "%"))

    def __init__(self) -> None:
        self.literals: list[Traced] = []
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[GenerationBlock, jinja2.ext.loopcontrols],
            # Folded constants would be plain strings.
            optimized=False,
        )
        self.filters = dict(FILTERS)
        self.tests = dict(TESTS)
        self.globals |= {  # pyright: ignore[reportUnknownMemberType]
            "raise_exception": _raise_exception,
            "strftime_now": _strftime_now,
            "lipsum": _lipsum,
            "dict": _TemplateDict(),
            "namespace": _TemplateNamespace,
        }

    # What compiled templates call.

    def meter(self) -> Meter:
        """The meter of the rendering that runs."""
        return meter()

    def concat(self, pieces: Iterable[str | tuple[str, ...]]) -> str:  # type: ignore[override]
        """Everything that was written, as one string."""
        flat: list[str] = []
        for piece in pieces:
            if isinstance(piece, tuple):
                flat += piece
            else:
                flat.append(piece)
        return _joined(flat) if all(type(x) is Traced for x in flat) else Traced().join(flat)

    def str_join(self, values: Iterable[Any]) -> str:
        """What ``~`` makes of its operands."""
        texts = self.texts(values)
        return _joined(texts) if all(type(x) is Traced for x in texts) else Traced().join(texts)

    def texts(self, values: Iterable[Any]) -> tuple[str, ...]:
        """The operands of ``~``, to be written one behind the other."""
        return tuple([x if type(x) is Traced else to_text(x) for x in values])

    def markup_join(self, values: Sequence[Any]) -> str:
        """What ``~`` makes of its operands where strings are escaped."""
        size = sum(len(x) if isinstance(x, str) else len(to_text(x)) for x in values)
        meter().characters(size)
        return counted(jinja2.runtime.markup_join(values))

    def plus(self, context: Any, values: tuple[Any, ...]) -> Any:
        """What ``+`` makes of these, from left to right."""
        for value in values:
            if type(value) is not Traced:
                total = values[0]
                for one in values[1:]:
                    total = self.call_binop(context, "+", total, one)
                return total
        return _joined(values)

    def parts(self, context: Any, values: tuple[Any, ...]) -> str | tuple[str, ...]:
        """What is written of a sum: strings need not be joined to be written."""
        for value in values:
            if type(value) is not Traced:
                return to_text(self.plus(context, values))
        return values

    def written(self, used: Meter, value: Any) -> str:
        """A value as it is written, with the message whose turn is being written."""
        text = value if type(value) is Traced else to_text(value)
        speaking = used.speaking
        if speaking is None or not text:
            return text
        runs = own_runs(text)
        for _, origin, _ in runs:
            if origin.message is None and origin.kind != "caller":
                spoken = [(n, of_template(origin, speaking), at) for n, origin, at in runs]
                return Traced(str.__str__(text), merge(spoken))
        return text if type(text) is Traced else Traced(text)

    def method(self, context: Any, obj: Any, name: str, *args: Any) -> Any:
        """What `obj.name(*args)` gives, for a method in `METHODS`."""
        if type(obj) in METHODS[name]:
            for value in args:
                if type(value) is not Traced and type(value) is not int:
                    break
            else:
                return counted(getattr(obj, name)(*args))
        return self.call(context, self.getattr(obj, name), *args)

    # What is written for these: the function itself, as a method would call it once more.
    text = staticmethod(to_text)
    sized = staticmethod(sized)
    mapping = TracedDict

    def searched(self, value: Any) -> Any:
        """A value in which another is looked for; in an object it is found without comparing."""
        return value if type(value) is TracedDict else sized(value)

    def enter(self, used: Meter, *items: Any) -> None:
        """A loop is at these items; remember the message among them."""
        used.tick()
        for item in items:
            if type(item) is TracedDict:
                origin = item._origin  # pyright: ignore[reportPrivateUsage]
                message = None if origin.field else origin.message
            else:
                message = _message_of(item)
            if message is not None:
                used.speaking = message

    def message_of(self, value: Any) -> int | None:
        """The message that a variable was set to in a loop over numbers."""
        return _message_of(value)

    # What the sandbox asks.

    def getattr(self, obj: Any, attribute: str) -> Any:
        # The usual ones first: each gives what the sandbox gives, by a shorter way.
        kind = type(obj)  # type: ignore[reportUnknownVariableType]
        if kind is TracedDict:
            if attribute not in DICT_NAMES:
                return (
                    obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)
                )
        elif kind is LoopContext:
            if attribute in _LOOP_NAMES:
                return getattr(obj, attribute)
        elif kind is _TemplateNamespace:
            held = object.__getattribute__(obj, "_Namespace__attrs")
            if attribute in held:
                return held[attribute]
        if _is_ours(obj, attribute):
            return self._item(obj, attribute)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if type(obj) is TracedDict and type(argument) is Traced and argument in obj:
            return obj[argument]
        if isinstance(argument, str):
            if _is_ours(obj, argument):
                return self._item(obj, argument)
        elif isinstance(argument, (list, tuple, dict)):
            meter().measure(argument)
        return super().getitem(obj, cast("Any", argument))

    def _item(self, obj: Any, key: str) -> Any:
        """What a plain value answers, which has no such attribute."""
        try:
            return obj[key]
        except (TypeError, LookupError):
            return self.undefined(obj=obj, name=key)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        used = meter()
        used.tick()
        if operator == "*":
            used.product(left, right)
        elif operator == "**":
            used.power(left, right)
        elif operator == "+":
            used.total(left, right)
        elif isinstance(left, (str, bytes)):
            check_percent(left, right)
            left = kept(left)
        return counted(_OPERATORS[operator](left, right))

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        # The names are Jinja's: an argument may be called `self`.
        meter().tick()
        if isinstance(__obj, _BUILTIN):
            _check_call(__obj, (*args, *kwargs.values()))
        return counted(super().call(__context, __obj, *args, **kwargs))

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        wrapped = super().wrap_str_format(value)
        if wrapped is None:
            return None

        def write(*args: Any, **kwargs: Any) -> str:
            traced: str | None = None
            try:
                given = ((), args[0]) if value.__name__ == "format_map" else (args, kwargs)
                # This first, for its limits.
                traced = _Formatter(self).write(value.__self__, *given)
            except TemplateLimit:
                raise
            except Exception:
                pass  # what is wrong with it, the sandbox's own call says next
            text = wrapped(*args, **kwargs)
            if isinstance(text, Markup):
                return text
            text = str.__str__(text)
            return Traced(text, unknown(len(text))) if traced != text else cast("str", traced)

        return update_wrapper(write, value)


def _joined(texts: Sequence[str]) -> Traced:
    """These strings one behind the other."""
    meter().characters(sum(map(len, texts)))
    runs: list[AnyRun] = []
    for text in texts:
        runs += own_runs(text)
    return Traced("".join(texts), merge(runs))


_LOOP_NAMES = frozenset(
    ("index", "index0", "first", "last", "length", "revindex", "revindex0", "previtem", "nextitem")
)

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "*": operator.mul,
    "**": pow,
    "%": operator.mod,
}


_BUILTIN = (BuiltinMethodType, MethodType)

_WIDE = frozenset(
    ("center", "ljust", "rjust", "zfill", "expandtabs", "replace", "to_bytes", "join", "hex")
)
"""Methods of strings, bytes and numbers that write as much as they are told to."""

_EMPTY: dict[Any, Any] = {}
_OWNERS: tuple[type[Any], ...] = (
    *(str, bytes, int, float, list, tuple, dict),
    *(type(_EMPTY.keys()), type(_EMPTY.items())),
)


def _check_call(method: Any, arguments: tuple[Any, ...]) -> None:
    """Refuse what a method of a plain value would make, if that is too much."""
    owner: Any = method.__self__
    if not isinstance(owner, (*_OWNERS, _TemplateDict)):
        return
    used = meter()
    for value in arguments:
        # A tuple is hashed and lists are compared, member by member.
        if isinstance(value, (list, tuple, dict)):
            used.measure(value)
    name: str = method.__name__
    if isinstance(owner, (list, tuple)) and name in ("count", "index"):
        used.measure(owner)
    if name in _WIDE and isinstance(owner, (str, bytes, int)):
        _check_method(owner, arguments)


def _check_method(owner: str | bytes | int, arguments: tuple[Any, ...]) -> None:
    used = meter()
    size = 0 if isinstance(owner, int) else len(owner)
    times = max(size, 1)
    for value in arguments:
        if isinstance(value, int):
            used.characters(abs(value) * times)
        elif isinstance(value, (str, bytes)) and isinstance(owner, (bytes, Markup)):
            used.characters((size + 1) * len(value))
        elif isinstance(value, Sequence):
            used.characters(used.measure(value) + size * len(cast("Sequence[Any]", value)))


def _is_ours(obj: object, attribute: str) -> bool:
    """Whether this attribute is one that tracing added, which a plain value does not have."""
    plain = _PLAIN.get(type(obj))
    return plain is not None and attribute.startswith("_") and attribute not in plain


_PLAIN: dict[type, frozenset[str]] = {
    made: frozenset(dir(plain))
    for made, plain in (
        (Traced, str),
        (TracedDict, dict),
        (TracedList, list),
        (TracedInt, int),
        (TracedFloat, float),
        (TracedMarkup, Markup),
    )
}


def _message_of(item: Any) -> int | None:
    """The message that an item of a loop is, or None."""
    if type(item) is TracedDict:
        origin = item._origin  # pyright: ignore[reportPrivateUsage]
        return None if origin.field else origin.message
    if type(item) is dict:
        # A message that the template put together itself belongs to the one it took its text from.
        for value in cast("dict[Any, Any]", item).values():
            if isinstance(value, Traced):
                for _, origin, _ in own_runs(value):
                    if origin.message is not None:
                        return origin.message
            found = origin_of(value)
            if found is not None and found.message is not None:
                return found.message
    return None


def _raise_exception(message: Any) -> NoReturn:
    raise RaisedByTemplate(sized(message))


def _strftime_now(format: str) -> str:
    return meter().now().strftime(format)


def _lipsum(n: int = 5, html: bool = True, min: int = 20, max: int = 100) -> str:
    meter().characters(n * max * 10)
    return jinja2.utils.generate_lorem_ipsum(n, html, min, max)


class _TemplateDict:
    """``dict`` as a template may use it: to be called, and ``dict.fromkeys``."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        sized([*args, kwargs])  # its keys are hashed
        return counted(dict(*args, **kwargs))

    def fromkeys(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        """As `dict.fromkeys`."""
        return dict.fromkeys(*args, **kwargs)


class _TemplateNamespace(Namespace):
    """``namespace`` without names that begin with an underscore: they reach into Python."""

    def __init__(*args: Any, **kwargs: Any) -> None:  # `namespace(self=…)` has to work
        self, rest = args[0], args[1:]
        attributes: dict[Any, Any] = dict(*rest, **kwargs)
        for name in attributes:
            _check_name(name)
        Namespace.__init__(self, attributes)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise jinja2.exceptions.SecurityError(
            f"a namespace holds no names that begin with an underscore; found {name!r}"
        )
