"""The sandbox in which transformers runs chat templates, with every character's origin kept.

The environment is set up as transformers' is: the same sandbox, the same filters and functions,
``{% generation %}`` and loop controls. What differs is unseen by a template: literals know that
they are the template's, strings made from others keep their origins, and what a rendering may use
is limited.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import update_wrapper
from itertools import count
from types import BuiltinMethodType, MethodType
from typing import Any, NoReturn, cast

import jinja2
import jinja2.ext
import jinja2.runtime
from jinja2 import nodes, sandbox
from jinja2.compiler import CodeGenerator, Frame
from jinja2.parser import Parser
from jinja2.utils import Namespace
from markupsafe import Markup

from rolecall.errors import TemplateLimit
from rolecall.template.filters import FILTERS, TESTS
from rolecall.template.traced import (
    Origin,
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
    literal,
    mapped,
    meter,
    origin_of,
    runs_of,
    sized,
    unknown,
)
from rolecall.template.written import to_text


class RaisedByTemplate(jinja2.TemplateError):
    """What ``raise_exception`` raises."""


class Generator(CodeGenerator):
    """Jinja's compiler, writing literals with their origin and loops that say what they are at."""

    environment: Environment

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._bodies: list[tuple[list[nodes.Node], nodes.Node]] = []

    def _literal(self, value: Any) -> str:
        """An expression for a constant, strings as literals of the template."""
        if isinstance(value, str) and not isinstance(value, Markup):
            self.environment.literals.append(literal(value))
            return f"environment.literals[{len(self.environment.literals) - 1}]"
        if isinstance(value, (list, set)):
            items = ", ".join(self._literal(item) for item in cast("Iterable[Any]", value))
            return f"[{items}]" if isinstance(value, list) else f"{{{items}}}" if items else "set()"
        if isinstance(value, tuple):
            return f"({''.join(self._literal(x) + ', ' for x in cast('tuple[Any, ...]', value))})"
        if isinstance(value, dict):
            pairs = cast("dict[Any, Any]", value).items()
            members = (f"{self._literal(key)}: {self._literal(item)}" for key, item in pairs)
            return f"{{{', '.join(members)}}}"
        return str(value) if isinstance(value, float) else repr(value)

    def visit_Const(self, node: nodes.Const, frame: Frame) -> None:  # noqa: N802
        self.write(self._literal(node.as_const(frame.eval_ctx)))

    def _output_const_repr(self, group: Iterable[Any]) -> str:
        text = "".join(str.__str__(piece) for piece in group)
        return f"environment.written({self._literal(text)})"

    def _output_child_pre(self, node: nodes.Expr, frame: Frame, finalize: Any) -> None:
        if frame.eval_ctx.volatile or frame.eval_ctx.autoescape:
            super()._output_child_pre(node, frame, finalize)
            self.write("environment.sized(")
        else:
            self.write("environment.written(")

    def _output_child_post(self, node: nodes.Expr, frame: Frame, finalize: Any) -> None:
        if frame.eval_ctx.volatile or frame.eval_ctx.autoescape:
            self.write(")")
        super()._output_child_post(node, frame, finalize)

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802
        join = "environment.str_join"
        if frame.eval_ctx.volatile:
            join = f"(environment.markup_join if context.eval_ctx.volatile else {join})"
        elif frame.eval_ctx.autoescape:
            join = "environment.markup_join"
        self.write(f"{join}((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")

    def visit_Compare(self, node: nodes.Compare, frame: Frame) -> None:  # noqa: N802
        # Lists that hold each other many times over are compared member by member.
        self.write("environment.sized(")
        self.visit(node.expr, frame)
        self.write(")")
        for operand in node.ops:
            self.write(f" {_COMPARISONS[operand.op]} environment.sized(")
            self.visit(operand.expr, frame)
            self.write(")")

    def visit_Dict(self, node: nodes.Dict, frame: Frame) -> None:  # noqa: N802
        # Tuples as keys are hashed member by member.
        self.write("{")
        for item in node.items:
            self.write("environment.sized(")
            self.visit(item.key, frame)
            self.write("): ")
            self.visit(item.value, frame)
            self.write(", ")
        self.write("}")

    def visit_For(self, node: nodes.For, frame: Frame) -> None:  # noqa: N802
        before = self.temporary_identifier()
        self.writeline(f"{before} = environment.speaking")
        self._bodies.append((node.body, node.target))
        super().visit_For(node, frame)
        self._bodies.pop()
        self.writeline(f"environment.speaking = {before}")

    def blockvisit(self, nodes: Iterable[nodes.Node], frame: Frame) -> None:
        if self._bodies and nodes is self._bodies[-1][0]:
            names = _names(self._bodies[-1][1])
            items = "".join(f"{frame.symbols.ref(name)}, " for name in names)
            self.writeline(f"environment.enter(({items}))")
        super().blockvisit(nodes, frame)

    def visit_Assign(self, node: nodes.Assign, frame: Frame) -> None:  # noqa: N802
        super().visit_Assign(node, frame)
        if self._bodies and isinstance(node.target, nodes.Name):
            self.writeline(f"environment.assigned({frame.symbols.ref(node.target.name)})")


_COMPARISONS = {
    "eq": "==",
    "ne": "!=",
    "gt": ">",
    "gteq": ">=",
    "lt": "<",
    "lteq": "<=",
    "in": "in",
    "notin": "not in",
}


def _names(target: nodes.Node) -> list[str]:
    """The variables that a loop sets."""
    if isinstance(target, nodes.Name):
        return [target.name]
    return [name.name for name in target.find_all(nodes.Name)]


class GenerationBlock(jinja2.ext.Extension):
    """``{% generation %}``, which marks what the model says."""

    tags = {"generation"}  # noqa: RUF012  (Jinja's own declaration)

    def parse(self, parser: Parser) -> nodes.Node:
        """Read the block."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_mark"), [], [], body).set_lineno(line)

    def _mark(self, caller: Callable[[], str]) -> str:
        return mapped(Traced(caller()), lambda origin: origin._replace(generated=True))


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

    @property
    def speaking(self) -> int | None:
        """The message that the loop over messages is at."""
        return meter().speaking

    @speaking.setter
    def speaking(self, message: int | None) -> None:
        meter().speaking = message

    def concat(self, pieces: Iterable[str]) -> str:  # type: ignore[override]
        """Everything that was written, as one string."""
        return Traced().join(pieces)

    def str_join(self, values: Iterable[Any]) -> str:
        """What ``~`` makes of its operands."""
        return Traced().join(to_text(value) for value in values)

    def markup_join(self, values: Sequence[Any]) -> str:
        """What ``~`` makes of its operands where strings are escaped."""
        size = sum(len(x) if isinstance(x, str) else len(to_text(x)) for x in values)
        meter().characters(size)
        return counted(jinja2.runtime.markup_join(values))

    def written(self, value: Any) -> str:
        """A value as it is written, with the message whose turn is being written."""
        text = to_text(value)
        if self.speaking is None or not text:
            return text
        if type(text) is not Traced:
            text = Traced(text)
        runs = runs_of(text)
        if all(run.origin.message is not None or run.origin.kind == "caller" for run in runs):
            return text
        return mapped(text, self._spoken)

    def _spoken(self, origin: Origin) -> Origin:
        if origin.message is not None or origin.kind == "caller":
            return origin
        return Origin(origin.kind, self.speaking, origin.field, origin.generated)

    def enter(self, items: tuple[Any, ...]) -> None:
        """A loop is at these items; remember the message among them."""
        meter().tick()
        for item in items:
            message = _message_of(item)
            if message is not None:
                self.speaking = message

    def assigned(self, value: Any) -> None:
        """A variable was set in a loop; a loop over numbers sets the message itself."""
        if self.speaking is None:
            self.speaking = _message_of(value)

    def sized(self, value: Any) -> Any:
        """The value, refused if it holds too much to be compared."""
        return sized(value)

    # What the sandbox asks.

    def getattr(self, obj: Any, attribute: str) -> Any:
        if _is_ours(obj, attribute):
            return self._item(obj, attribute)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
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
    if isinstance(item, TracedDict):
        origin = origin_of(item)
        return origin.message if origin is not None and not origin.field else None
    if type(item) is dict:
        # A message that the template put together itself belongs to the one it took its text from.
        for value in cast("dict[Any, Any]", item).values():
            if isinstance(value, Traced):
                for run in runs_of(value):
                    if run.origin.message is not None:
                        return run.origin.message
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
