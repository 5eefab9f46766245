"""The compiler of traced templates: Jinja's own, which also writes down where literals are from.

What it writes differs from Jinja's code in three ways. Literals are traced strings of the
environment. Loops say which message they are at. And what templates do most, adding strings and
calling methods of them, is written so that it takes one step where Jinja takes many.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from markupsafe import Markup

from rolecall.template.traced import Traced, TracedDict, literal

if TYPE_CHECKING:
    from rolecall.template.environment import Environment


class Generator(CodeGenerator):
    """Jinja's compiler, writing literals with their origin and loops that say what they are at."""

    environment: Environment

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._bodies: list[tuple[list[nodes.Node], nodes.Node]] = []
        self._written: nodes.Expr | None = None
        """A sum whose operands are written one behind the other, without being joined."""

    def _literal(self, value: Any) -> str:
        """An expression for a constant, strings as literals of the template."""
        if isinstance(value, str) and not isinstance(value, Markup):
            self.environment.literals.append(literal(value))
            return f"literals[{len(self.environment.literals) - 1}]"
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

    def write_commons(self) -> None:
        super().write_commons()
        self.writeline("literals = environment.literals")
        self.writeline("meter = environment.meter()")
        self.writeline("mapping = environment.mapping")

    # What is written.

    def visit_Output(self, node: nodes.Output, frame: Frame) -> None:  # noqa: N802
        self._streams = frame.buffer is None and not self.blocks
        super().visit_Output(node, frame)

    _streams = False
    """Whether what is written goes to the rendering at once, which sees what message is speaking.
    Else, as in a macro, the message is written down with it."""

    def _output_const_repr(self, group: Iterable[Any]) -> str:
        text = self._literal("".join(str.__str__(piece) for piece in group))
        return text if self._streams else f"environment.written(meter, {text})"

    def _output_child_pre(self, node: nodes.Expr, frame: Frame, finalize: Any) -> None:
        if frame.eval_ctx.volatile or frame.eval_ctx.autoescape:
            super()._output_child_pre(node, frame, finalize)
            self.write("environment.sized(")
        elif not self._streams:
            self.write("environment.written(meter, ")
        elif isinstance(node, (nodes.Add, nodes.Concat)):
            self._written = node
        else:
            self.write("environment.text(")

    def _output_child_post(self, node: nodes.Expr, frame: Frame, finalize: Any) -> None:
        if frame.eval_ctx.volatile or frame.eval_ctx.autoescape:
            self.write(")")
            super()._output_child_post(node, frame, finalize)
        elif not (self._streams and isinstance(node, (nodes.Add, nodes.Concat))):
            self.write(")")

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802
        join = "environment.texts" if self._written is node else "environment.str_join"
        self._written = None
        if frame.eval_ctx.volatile:
            join = f"(environment.markup_join if context.eval_ctx.volatile else {join})"
        elif frame.eval_ctx.autoescape:
            join = "environment.markup_join"
        self._tuple(join, node.nodes, frame)

    def _tuple(self, function: str, items: Iterable[nodes.Node], frame: Frame) -> None:
        """A call with all these as one argument."""
        self.write(f"{function}((")
        for item in items:
            self.visit(item, frame)
            self.write(", ")
        self.write("))")

    def visit_Add(self, node: nodes.Add, frame: Frame) -> None:  # noqa: N802
        function = "parts" if self._written is node else "plus"
        self._written = None
        operands = _operands(node)
        # Jinja adds from left to right: what may fail is looked at when all before it is added.
        stops = [n for n in range(2, len(operands)) if not _is_quiet(operands[n], operands[:n])]
        self.write(
            f"environment.{function}(context, (" + "environment.plus(context, (" * len(stops)
        )
        for number, operand in enumerate(operands):
            if number in stops:
                self.write(")), ")
            self.visit(operand, frame)
            self.write(", ")
        self.write("))")

    def visit_Getattr(self, node: nodes.Getattr, frame: Frame) -> None:  # noqa: N802
        key = None if node.attr in DICT_NAMES else node.attr
        asked = self._ask_mapping(node.node, key, frame)
        super().visit_Getattr(node, frame)
        self.write(")" if asked else "")

    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:  # noqa: N802
        key = node.arg.value if isinstance(node.arg, nodes.Const) else None
        asked = self._ask_mapping(node.node, key, frame)
        super().visit_Getitem(node, frame)
        self.write(")" if asked else "")

    def _ask_mapping(self, node: nodes.Node, key: object, frame: Frame) -> bool:
        """Begin with what a variable holds under a key, where it is an object that has the key."""
        if type(key) is not str or not isinstance(node, nodes.Name):
            return False
        name = frame.symbols.ref(node.name)
        self.write(f"({name}[{key!r}] if type({name}) is mapping and {key!r} in {name} else ")
        return True

    def visit_Call(self, node: nodes.Call, frame: Frame, forward_caller: bool = False) -> None:  # noqa: N802
        called = node.node
        plain = not (node.kwargs or node.dyn_args or node.dyn_kwargs or forward_caller)
        if (
            plain
            and isinstance(called, nodes.Getattr)
            and called.attr in METHODS
            and all(isinstance(one, (nodes.Const, nodes.Name)) for one in node.args)
        ):
            self.write("environment.method(context, ")
            self.visit(called.node, frame)
            self.write(f", {called.attr!r}")
            for one in node.args:
                self.write(", ")
                self.visit(one, frame)
            self.write(")")
        else:
            super().visit_Call(node, frame, forward_caller=forward_caller)

    def visit_Compare(self, node: nodes.Compare, frame: Frame) -> None:  # noqa: N802
        # Lists that hold each other many times over are compared member by member.
        self._sized(node.expr, frame)
        for operand in node.ops:
            self.write(f" {_COMPARISONS[operand.op]} ")
            within = operand.op in ("in", "notin")
            self._sized(operand.expr, frame, "searched" if within else "sized")

    def _sized(self, node: nodes.Expr, frame: Frame, check: str = "sized") -> None:
        if isinstance(node, nodes.Const):
            self.visit(node, frame)
            return
        self.write(f"environment.{check}(")
        self.visit(node, frame)
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
        self.writeline(f"{before} = meter.speaking")
        self._bodies.append((node.body, node.target))
        super().visit_For(node, frame)
        self._bodies.pop()
        self.writeline(f"meter.speaking = {before}")

    def blockvisit(self, nodes: Iterable[nodes.Node], frame: Frame) -> None:
        if self._bodies and nodes is self._bodies[-1][0]:
            names = _names(self._bodies[-1][1])
            items = "".join(f", {frame.symbols.ref(name)}" for name in names)
            self.writeline(f"environment.enter(meter{items})")
        super().blockvisit(nodes, frame)

    def visit_Assign(self, node: nodes.Assign, frame: Frame) -> None:  # noqa: N802
        super().visit_Assign(node, frame)
        if self._bodies and isinstance(node.target, nodes.Name):
            # A loop over numbers sets the message itself.
            name = frame.symbols.ref(node.target.name)
            self.writeline(
                f"if meter.speaking is None: meter.speaking = environment.message_of({name})"
            )


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


_STRINGS = (
    *("startswith", "endswith", "strip", "lstrip", "rstrip", "removeprefix", "removesuffix"),
    *("split", "rsplit", "splitlines", "find", "count", "lower", "upper"),
)

DICT_NAMES = frozenset(dir(dict))

METHODS: dict[str, frozenset[type]] = {
    **{name: frozenset((Traced,)) for name in _STRINGS},
    **{name: frozenset((TracedDict, dict)) for name in ("get", "items", "keys", "values")},
}
"""Methods that are called without asking the sandbox, by the types of which that is known to be
safe: they change nothing, and make no more than they were given."""


def _operands(node: nodes.Add) -> list[nodes.Expr]:
    """What a sum adds, from left to right; literals that follow each other are one."""
    found = [node.right]
    left = node.left
    while isinstance(left, nodes.Add):
        found.append(left.right)
        left = left.left
    found.append(left)
    made: list[nodes.Expr] = []
    for operand in reversed(found):
        last = made[-1] if made else None
        if isinstance(last, nodes.Const) and isinstance(operand, nodes.Const):
            values = (last.value, operand.value)
            # The first two of a sum decide what it is; behind them, a string goes with strings.
            if all(type(value) is str for value in values):
                made[-1] = nodes.Const("".join(values), lineno=last.lineno)
                continue
        made.append(operand)
    return made


def _is_quiet(node: nodes.Expr, before: list[nodes.Expr]) -> bool:
    """Whether an operand cannot fail once those before it did not."""
    if isinstance(node, nodes.Filter) and node.name == "trim" and node.node is not None:
        return not (node.args or node.kwargs) and _is_quiet(node.node, before)
    held = _held(node)
    if held is not None:
        # What is undefined would have failed there.
        return any(_held(one) == held for one in before)
    return isinstance(node, (nodes.Const, nodes.Name))


def _held(node: nodes.Node | None) -> str | None:
    """The variable of which this is an attribute or item, or None."""
    if isinstance(node, nodes.Filter) and node.name == "trim":
        node = node.node
    if isinstance(node, nodes.Getitem) and not isinstance(node.arg, nodes.Const):
        return None
    if isinstance(node, (nodes.Getattr, nodes.Getitem)) and isinstance(node.node, nodes.Name):
        return node.node.name
    return None
