"""A template's syntax tree with the exact place of every node in its text.

Jinja's own tree knows lines only. Here its parser runs on tokens that know where they stand, so an
edit can replace the characters of one expression and leave all others, white space and comments
included, as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, TypeVar, cast

import jinja2
from jinja2 import nodes
from jinja2.lexer import Token, TokenStream
from jinja2.parser import Parser

from rolecall.errors import TemplateSyntaxError
from rolecall.template.environment import Environment

_Node = TypeVar("_Node", bound=nodes.Node)


class Place(NamedTuple):
    """Characters of the template, from the first to the one behind the last."""

    start: int
    end: int


class _Placed(Token):
    """A token that knows where it stands."""

    number: int
    place: Place


@dataclass(frozen=True)
class Body:
    """The statements between two tags of a block."""

    place: Place
    """From behind the opening tag to before the closing one, white space included."""
    opened: Place
    """The tag before it, with its braces."""
    closed: Place
    """The tag behind it."""


@dataclass(eq=False)
class Syntax:
    """A template's text with its tree.

    Made by `read`.
    """

    jinja: str
    tree: nodes.Template
    _places: dict[int, list[Place]] = field(repr=False)
    _bodies: dict[int, Body] = field(repr=False)
    _tags: dict[int, Place] = field(repr=False)

    def place(self, node: nodes.Node) -> Place | None:
        """Where an expression stands, with the parentheses around it; None where unknown."""
        found = self._places.get(id(node))
        if found is not None:
            return found[-1] if found else None
        inner = [
            place for child in node.iter_child_nodes() if (place := self.place(child)) is not None
        ]
        if not inner:
            return None
        return Place(min(one.start for one in inner), max(one.end for one in inner))

    def inner(self, node: nodes.Node) -> Place | None:
        """Where an expression stands, without parentheses around it; None where unknown."""
        found = self._places.get(id(node))
        return found[0] if found else None

    def text(self, node: nodes.Node) -> str:
        """An expression as the template spells it; empty where its place is unknown."""
        place = self.place(node)
        return "" if place is None else self.jinja[place.start : place.end]

    def body(self, statements: list[Any]) -> Body | None:
        """Where the statements of a block's branch stand."""
        return self._bodies.get(id(statements))

    def tag(self, node: nodes.Node) -> Place | None:
        """The tag that opens a statement, or the braces that write an expression."""
        return self._tags.get(id(node))

    def whole(self, node: nodes.Node) -> Place | None:
        """A block from its opening tag to its closing one."""
        tag, found = self.tag(node), self._places.get(id(node))
        if tag is None or not found:
            return None
        end = self.jinja.find("%}", found[-1].end)
        return Place(tag.start, end + 2)

    @cached_property
    def parents(self) -> dict[int, nodes.Node]:
        """The node above each one, by the node's id."""
        above: dict[int, nodes.Node] = {}
        waiting: list[nodes.Node] = [self.tree]
        while waiting:
            node = waiting.pop()
            for child in node.iter_child_nodes():
                above[id(child)] = node
                waiting.append(child)
        return above

    def ancestors(self, node: nodes.Node) -> Iterator[nodes.Node]:
        """The nodes above one, the nearest first."""
        above = self.parents.get(id(node))
        while above is not None:
            yield above
            above = self.parents.get(id(above))

    def find(self, kind: type[_Node]) -> list[_Node]:
        """Every node of a kind, in the order of the text."""
        found = list(self.tree.find_all(kind))
        return sorted(found, key=lambda node: place.start if (place := self.start(node)) else 0)

    def start(self, node: nodes.Node) -> Place | None:
        """What tells where a node begins."""
        return self.tag(node) or self.place(node)

    def indent(self, at: int) -> str:
        """The white space before a place, where nothing else stands before it on its line."""
        begin = self.jinja.rfind("\n", 0, at) + 1
        before = self.jinja[begin:at]
        return before if not before.strip() else ""


def read(jinja: str, name: str = "the template") -> Syntax:
    """Read a template.

    Raises:
        TemplateSyntaxError: If it is no Jinja.
    """
    environment = Environment()
    try:
        parser = _Parser(environment, jinja)
        tree = parser.parse()
    except jinja2.TemplateSyntaxError as error:
        raise TemplateSyntaxError(
            f"{name}, line {error.lineno}: the template is no Jinja: {error.message}",
            error.lineno,
        ) from None
    return Syntax(jinja, tree, parser.places, parser.bodies, parser.tags)


_ENDS = ("block_end", "variable_end")


def _tokens(environment: Environment, jinja: str) -> list[_Placed]:
    """The tokens of a template, each with its place."""
    lexer = environment.lexer
    # Jinja reads every end of a line as one "\n".
    ends = [one.start() for one in re.finditer(r"\r\n", jinja)]
    text = re.sub(r"\r\n|\r", "\n", jinja)

    def original(at: int) -> int:
        for end in ends:
            if end >= at:
                break
            at += 1
        return at

    made: list[_Placed] = []
    at = 0
    for line, kind, value in lexer.tokeniter(text, None):
        # What Jinja strips before a tag is white space, and stands between two tokens.
        while not text.startswith(value, at) and at < len(text) and text[at].isspace():
            at += 1
        # The end of a tag takes the white space behind it along, which is no part of it.
        start, at = at, at + len(value)
        end = start + len(value.rstrip()) if kind in _ENDS else at
        for token in lexer.wrap(iter([(line, kind, value)])):
            placed = _Placed(token.lineno, token.type, token.value)
            placed.number = len(made)
            placed.place = Place(original(start), original(end)) if ends else Place(start, end)
            made.append(placed)
    return made


class _Parser(Parser):
    """Jinja's parser, keeping where each node stands."""

    def __init__(self, environment: Environment, jinja: str) -> None:
        super().__init__(environment, jinja)
        self.tokens = _tokens(environment, jinja)
        self.stream = TokenStream(iter(self.tokens), None, None)
        self.places: dict[int, list[Place]] = {}
        self.bodies: dict[int, Body] = {}
        self.tags: dict[int, Place] = {}
        self._taken: set[Place] = set()
        self._kept: list[Any] = []  # an id is good as long as what has it lives

    # Where the parser stands.

    @property
    def _number(self) -> int:
        current = self.stream.current
        return current.number if isinstance(current, _Placed) else len(self.tokens)

    @property
    def _before(self) -> int:
        """The end of the token before the one that is next."""
        return self.tokens[self._number - 1].place.end

    def _next(self) -> int:
        return self.tokens[self._number].place.start if self._number < len(self.tokens) else -1

    def _note(self, node: Any, start: int) -> Any:
        if isinstance(node, nodes.Node):
            self._kept.append(node)
            places = self.places.setdefault(id(node), [])
            place = Place(start, self._before)
            if not places or place != places[-1]:
                places.append(place)
        return node

    def _begin(self, node: Any) -> int:
        return self.places[id(node)][-1].start if id(node) in self.places else self._next()

    # Expressions.

    def parse_condexpr(self) -> nodes.Expr:
        start = self._next()
        return cast("nodes.Expr", self._note(super().parse_condexpr(), start))

    def parse_or(self) -> nodes.Expr:
        start = self._next()
        return cast("nodes.Expr", self._note(super().parse_or(), start))

    def parse_and(self) -> nodes.Expr:
        start = self._next()
        return cast("nodes.Expr", self._note(super().parse_and(), start))

    def parse_not(self) -> nodes.Expr:
        start = self._next()
        return cast("nodes.Expr", self._note(super().parse_not(), start))

    def parse_compare(self) -> nodes.Expr:
        start = self._next()
        return cast("nodes.Expr", self._note(super().parse_compare(), start))

    def parse_math1(self) -> nodes.Expr:
        start = self._next()
        return cast("nodes.Expr", self._note(super().parse_math1(), start))

    def parse_concat(self) -> nodes.Expr:
        start = self._next()
        return cast("nodes.Expr", self._note(super().parse_concat(), start))

    def parse_math2(self) -> nodes.Expr:
        start = self._next()
        return cast("nodes.Expr", self._note(super().parse_math2(), start))

    def parse_unary(self, with_filter: bool = True) -> nodes.Expr:
        start = self._next()
        return cast("nodes.Expr", self._note(super().parse_unary(with_filter), start))

    def parse_primary(self, with_namespace: bool = False) -> Any:
        start = self._next()
        return self._note(super().parse_primary(with_namespace), start)

    def parse_subscript(self, node: nodes.Expr) -> Any:
        start = self._begin(node)
        return self._note(super().parse_subscript(node), start)

    def parse_call(self, node: nodes.Expr) -> nodes.Call:
        start = self._begin(node)
        return cast("nodes.Call", self._note(super().parse_call(node), start))

    def parse_test(self, node: nodes.Expr) -> nodes.Expr:
        start = self._begin(node)
        made = super().parse_test(node)
        if isinstance(made, nodes.Not):
            # ``is not``: the test within has no place of its own.
            self._kept.append(made.node)
            self.places[id(made.node)] = []
        return cast("nodes.Expr", self._note(made, start))

    def parse_filter(self, node: Any, start_inline: bool = False) -> Any:
        # Jinja reads several filters in a row at once, and where each ends would not be known.
        start = self._next() if node is None else self._begin(node)
        while start_inline or self.stream.current.type == "pipe":
            if not start_inline:
                next(self.stream)
            line = self.stream.current.lineno
            words = [self.stream.expect("name").value]
            while self.stream.skip_if("dot"):
                words.append(self.stream.expect("name").value)
            given: Any = ([], [], None, None)
            if self.stream.current.type == "lparen":
                given = self.parse_call_args()
            node = self._note(nodes.Filter(node, ".".join(words), *given, lineno=line), start)
            start_inline = False
        return node

    # Statements.

    def parse_statement(self) -> Any:
        number, start = self._number, self._next()
        made = super().parse_statement()
        for node in made if isinstance(made, list) else [made]:
            self._note(node, start)
            opening = self.tokens[number - 1].place.start
            closing = next(
                token.place.end for token in self.tokens[number:] if token.type == "block_end"
            )
            self.tags[id(node)] = Place(opening, closing)
        return made

    def parse_statements(self, end_tokens: tuple[str, ...], drop_needle: bool = False) -> Any:
        first = self._number
        # Jinja allows a colon before the end of a tag.
        while self.tokens[first].type != "block_end":
            first += 1
        statements = super().parse_statements(end_tokens, drop_needle)
        last = self._number - (1 if drop_needle else 0)
        closing = next(token.place.end for token in self.tokens[last:] if token.type == "block_end")
        begin = max(token.number for token in self.tokens[:last] if token.type == "block_begin")
        opening = max(token.number for token in self.tokens[:first] if token.type == "block_begin")
        self._kept.append(statements)
        self.bodies[id(statements)] = Body(
            Place(self.tokens[first].place.end, self.tokens[begin].place.start),
            Place(self.tokens[opening].place.start, self.tokens[first].place.end),
            Place(self.tokens[begin].place.start, closing),
        )
        return statements

    def parse_tuple(self, *args: Any, **options: Any) -> Any:
        number, start = self._number, self._next()
        made = super().parse_tuple(*args, **options)
        if self.tokens[number - 1].type == "variable_begin":
            self._note(made, start)
            self.tags[id(made)] = Place(
                self.tokens[number - 1].place.start, self.tokens[self._number].place.end
            )
        return made

    def subparse(self, end_tokens: tuple[str, ...] | None = None) -> list[nodes.Node]:
        first = self._number
        made = super().subparse(end_tokens)
        # Text between tags comes as it stands, in order; what is in a block was read before.
        data = (token for token in self.tokens[first : self._number] if token.type == "data")
        for output in made:
            for node in output.nodes if isinstance(output, nodes.Output) else ():
                if isinstance(node, nodes.TemplateData):
                    place = next(
                        token.place
                        for token in data
                        if token.place not in self._taken and token.value == node.data
                    )
                    self._taken.add(place)
                    self._kept.append(node)
                    self.places[id(node)] = [place]
        return made
