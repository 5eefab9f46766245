"""What a format may write, as an automaton that reads it back symbol by symbol.

The states are made from the very patterns that `render` writes, when they are first needed. A
symbol is one character: a control token of the format is the lone surrogate that
`Format.control_symbols` gives it, any other control token is `symbols.FOREIGN`, everything else
is itself. Slots take plain characters only, so no text can close a turn that a control token
closes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

from rolecall import strategies
from rolecall.conversation import Author
from rolecall.header import HeaderReader, header_source, label_twin, skeleton
from rolecall.nodes import (
    PREFIX,
    Accept,
    Actions,
    AfterItem,
    Again,
    Alt,
    Boundary,
    HeaderEnd,
    Item,
    Items,
    Kind,
    Lit,
    Mark,
    Node,
    Nodes,
    Test,
    Text,
    assume,
    either,
    ends_control,
    flexible,
    free,
    is_control,
    lazy,
)
from rolecall.pattern import (
    DOCUMENT_TOKENS,
    FILTERS,
    Group,
    Pattern,
    Piece,
    Slot,
    expression,
    slots,
)
from rolecall.pattern import Literal as LiteralNode
from rolecall.reply import json_keys
from rolecall.turn import TurnSpec

if TYPE_CHECKING:
    from rolecall.format import Format


class Move(NamedTuple):
    """One way on from a state for one symbol."""

    target: State
    actions: Actions
    penalty: int
    leaves: bool
    """Whether it leaves the slot of the state."""


class Dynamic(NamedTuple):
    """A header that is complete in a state."""

    node: HeaderEnd
    actions: Actions
    penalty: int


class _Arc(NamedTuple):
    symbol: str
    """The symbol that is taken; empty where a slot takes any that it accepts."""
    target: State
    actions: Actions
    penalty: int


class State:
    """What may come next. States are made once for each rest of a pattern."""

    def __init__(self, grammar: Grammar, rest: Nodes, slot: Text | None = None) -> None:
        self.grammar = grammar
        self.rest = rest
        """What is still to be read; of a slot, what follows it."""
        self.slot = slot
        """The slot whose text is being read, or None."""
        self._moves: dict[str, tuple[Move, ...]] = {}

    @cached_property
    def _expanded(self) -> tuple[list[_Arc], list[Dynamic], list[tuple[Actions, int]]]:
        arcs: list[_Arc] = []
        dynamic: list[Dynamic] = []
        accepts: list[tuple[Actions, int]] = []
        first: Actions = () if self.slot is None else (Mark("close", self.slot.slot),)
        self.grammar.expand(self.rest, first, 0, (arcs, dynamic, accepts), set())
        return arcs, dynamic, accepts

    @property
    def dynamic(self) -> list[Dynamic]:
        """Headers that are complete here; a slot is never left for one of those."""
        return self._expanded[1]

    @property
    def goes_on(self) -> bool:
        """Whether anything may come next, a header that is complete here aside."""
        arcs, _, accepts = self._expanded
        return bool(arcs or accepts) or self.slot is not None

    @property
    def accepts(self) -> list[tuple[Actions, int]]:
        """What is passed, at what penalty, where the document ends here; empty if it cannot."""
        return self._expanded[2]

    @cached_property
    def entry(self) -> tuple[Actions, State]:
        """What is passed as soon as this state is reached, and the state behind that."""
        marks: list[Mark] = []
        rest = self.rest
        while self.slot is None and rest:
            node = rest[0]
            if isinstance(node, Items) and node.filled:
                mark, rest = self.grammar.begin_list(node.kind, rest[1:])
                marks.append(mark)
            elif isinstance(node, Mark):
                marks.append(node)
                rest = rest[1:]
            else:
                break
        return tuple(marks), self.grammar.state(rest) if marks else self

    @cached_property
    def literals(self) -> frozenset[str]:
        """The symbols of the format's own that may come next."""
        return frozenset(arc.symbol for arc in self._expanded[0] if arc.symbol)

    @cached_property
    def skip(self) -> re.Pattern[str] | None:
        """Finds the next symbol that may leave this slot; None where every symbol may."""
        slot = self.slot
        entered = any(not arc.symbol for arc in self._expanded[0])
        if slot is None or slot.kind != "text" or slot.free or entered:
            return None
        plain = "".join(re.escape(symbol) for symbol in self.literals if not is_control(symbol))
        return re.compile(f"[{plain}\ud800-\udfff]")

    def moves(self, symbol: str) -> tuple[Move, ...]:
        """The ways on for a symbol, the preferred one first."""
        known = symbol in self.literals or is_control(symbol) or symbol.isspace()
        key = symbol if known else ""
        found = self._moves.get(key)
        if found is None:
            found = self._moves[key] = tuple(self._find(symbol))
        return found

    def _find(self, symbol: str) -> Iterable[Move]:
        leaves = self.slot is not None
        for arc in self._expanded[0]:
            if arc.symbol == symbol or (not arc.symbol and arc.target.takes(symbol)):
                yield Move(arc.target, arc.actions, arc.penalty, leaves)
        if self.slot is not None and self.takes(symbol):
            yield Move(self, (), 0, False)

    def takes(self, symbol: str) -> bool:
        """Whether the slot of this state may hold a symbol."""
        assert self.slot is not None
        if self.slot.kind == "raw":
            return symbol not in self.slot.stops
        if symbol in self.grammar.labels:
            return self.slot.slot in ("role", "speaker")
        # A word that is only read ends where the next one begins.
        return not is_control(symbol) and not (self.slot.free and symbol.isspace())


class HeaderForm(NamedTuple):
    """One way to write a header, with all who write it so."""

    pattern: Pattern
    source: str
    """The expression that it has in `HeaderReader`."""
    spec: TurnSpec
    twin: bool
    """Whether it spells out what a header with a label would say of another author."""


class Grammar:
    """The automaton of one format under one pair of document tokens."""

    def __init__(self, fmt: Format, bos_token: str, eos_token: str) -> None:
        self.fmt = fmt
        self.tokens = {"bos_token": bos_token, "eos_token": eos_token}
        self.control: Mapping[str, str] = {
            **fmt.control_symbols,
            **{
                token: chr(0xD800 + len(fmt.control) + number)
                for number, token in enumerate(self.tokens.values())
                if token and token not in fmt.control_symbols
            },
        }
        """Control token to its symbol."""
        self.names = {symbol: token for token, symbol in self.control.items()}
        """Symbol to its control token."""
        self.labels = {
            symbol: token
            for token, symbol in self.control.items()
            if any(
                piece.control and piece.text == token for v in fmt.labels.values() for piece in v
            )
        }
        """Symbol to its control token, of those that are labels of roles."""
        self.words = frozenset((*fmt.attributes, "any"))
        """Slots that, where they are only read, hold one word of any kind."""
        self.reader = HeaderReader(fmt)
        self.specs: list[TurnSpec] = []
        self.forms: list[HeaderForm] = []
        self.after: list[State] = []
        """The states behind items, by the number that their marks carry."""
        self._spec_numbers: dict[int, int] = {}
        self._after_numbers: dict[State, int] = {}
        self._form_numbers: dict[tuple[str, str], int] = {}
        self._twins: dict[int, tuple[re.Pattern[str], ...]] = {}
        self._states: dict[tuple[Nodes, Text | None], State] = {}
        self._boundaries: dict[Boundary, Nodes] = {}

    # States

    def state(self, rest: Nodes, slot: Text | None = None) -> State:
        """The state in which `rest` is still to be read."""
        key = (rest, slot)
        found = self._states.get(key)
        if found is None:
            found = self._states[key] = State(self, rest, slot)
        return found

    def expand(
        self,
        rest: Nodes,
        actions: Actions,
        penalty: int,
        out: tuple[list[_Arc], list[Dynamic], list[tuple[Actions, int]]],
        seen: set[tuple[Nodes, Actions]],
    ) -> None:
        """Follow everything that takes no symbol."""
        if not rest or (rest, actions) in seen:
            return
        seen.add((rest, actions))
        node, tail = rest[0], rest[1:]
        if isinstance(node, Lit):
            more: Nodes = (Lit(node.text[1:]),) if len(node.text) > 1 else ()
            out[0].append(_Arc(node.text[0], self.state((*more, *tail)), actions, penalty))
        elif isinstance(node, Text):
            self._expand_text(node, tail, actions, penalty, out, seen)
        elif isinstance(node, Accept):
            out[2].append((actions, penalty))
        elif isinstance(node, HeaderEnd):
            out[1].append(Dynamic(node, actions, penalty))
        elif isinstance(node, Mark):
            self.expand(tail, (*actions, node), penalty, out, seen)
        elif isinstance(node, Test):
            # An attribute that says what the format writes in its place is not said.
            last = node.lazy or (node.slot in self.fmt.attributes and either(node, tail))
            order = (False, True) if last else (True, False)
            for value in order:
                cost = penalty + (1 if value and self._bare(node) else 0)
                # A block without reasoning may be of reasoning that was trimmed to nothing.
                block = value and node.slot == "thinks"
                more = (Mark("blank", "reasoning"),) if block else ()
                self.expand(assume(rest, node.slot, value), (*actions, *more), cost, out, seen)
        elif isinstance(node, Items):
            mark, inside = self.begin_list(node.kind, assume(tail, node.kind, True))
            self.expand(
                inside,
                (*actions, mark),
                penalty,
                out,
                seen,
            )
            if not node.filled:
                self.expand(assume(tail, node.kind, False), actions, penalty, out, seen)
        else:
            for cost, nodes in self._ways(node, tail):
                self.expand((*nodes, *tail), actions, penalty + cost, out, seen)

    def _expand_text(
        self,
        node: Text,
        tail: Nodes,
        actions: Actions,
        penalty: int,
        out: tuple[list[_Arc], list[Dynamic], list[tuple[Actions, int]]],
        seen: set[tuple[Nodes, Actions]],
    ) -> None:
        # What the format writes by itself is nobody's text: the empty slot comes first.
        if not node.filled and node.slot not in NEVER_EMPTY:
            self.expand(assume(tail, node.slot, False), actions, penalty, out, seen)
        inside = self.state(assume(tail, node.slot, True), replace(node, filled=True))
        out[0].append(_Arc("", inside, (*actions, Mark("open", node.slot)), penalty))
        if node.filter in TRIMMING:
            # What was there may have been trimmed away; what is written around it shows that.
            blank = (*actions, Mark("blank", node.slot))
            self.expand(assume(tail, node.slot, True), blank, penalty + 1, out, seen)

    @staticmethod
    def _bare(node: Test) -> bool:
        """Whether nothing shows that a system prompt is one; see `header.bare_system`."""
        return node.slot == "system" and not node.negated and not isinstance(node.nodes[0], Lit)

    def _ways(self, node: Node, tail: Nodes) -> tuple[tuple[int, Nodes], ...]:
        if isinstance(node, Alt):
            return node.options
        if isinstance(node, Boundary):
            return ((0, self._boundary(node)),)
        if isinstance(node, Item):
            after = self.state((AfterItem(node.kind), *tail))
            number = self._number_of(after)
            return (
                (
                    0,
                    (
                        Mark(node.kind, number),
                        *self._each(node.kind),
                        Mark(f"end-{node.kind}"),
                        AfterItem(node.kind),
                    ),
                ),
            )
        if isinstance(node, AfterItem):
            return self._after_item(node.kind)
        assert isinstance(node, Again)
        return ((0, (Mark("again"), *self._said(self.specs[node.spec]))),)

    # Turns

    def turn(
        self, spec: TurnSpec, facts: Iterable[tuple[str, bool]] = (), *, behind: bool = False
    ) -> Nodes:
        """Everything behind the header of a turn, up to and with the next boundary.

        Args:
            spec: How the turn is written.
            facts: What the header has shown of its slots.
            behind: Whether the boundary before the turn was not read.
        """
        nodes: Nodes = self._said(spec)
        if self.fmt.dummy_prefix and (behind or ends_control(list(self.nodes(spec.open)))):
            nodes = (PREFIX, *nodes)
        for slot, value in facts:
            nodes = assume(nodes, slot, value)
        return nodes

    def _said(self, spec: TurnSpec) -> Nodes:
        ends = self.ends(spec)
        if spec.group is not None:
            again: Nodes = (*self._plain(spec.group), Again(self.number(spec)))
            ends = (Alt(((0, again), (0, ends))),)
        body = (*self.nodes(spec.body), *ends)
        others = tuple(
            (1, (Mark("other"), *free(self.nodes(pattern), self.words), *ends))
            for pattern in spec.reads
        )
        return (Alt(((0, body), *others)),) if others else body

    def ends(self, spec: TurnSpec) -> Nodes:
        """What closes a turn, with what follows it."""
        gap = self.nodes(spec.gap)
        closing = self.nodes(spec.end)
        end: Nodes = (*closing, *self._ended(closing))
        last = closing[-1] if closing else None
        if gap and isinstance(last, Lit) and is_control(last.text[-1]):
            gap = (Alt(((0, gap), (1, ()))),)
        after: Nodes = (*gap, Boundary(spec.author, may_end=spec.final_end is None))
        ways: list[tuple[int, Nodes]] = [(0, (*end, *after))]
        if spec.final_end is not None:
            final = self.nodes(spec.final_end)
            finish: Nodes = (*self.nodes(self.fmt.finish), Accept())
            behind: Nodes = (Alt(((0, (*gap, *finish)), (1, (*finish,)), (2, after))),)
            ways.append((0, (*final, *self._ended(final), *behind)))
        plain: Nodes = ways[0][1] if len(ways) == 1 else (Alt(tuple(ways)),)
        if spec.call_end is None:
            return plain
        call_end = self.nodes(spec.call_end)
        return (
            Test("calls", True, plain),
            Test(
                "calls",
                False,
                (*call_end, *self._ended(call_end), *gap, Boundary(spec.author)),
            ),
        )

    @staticmethod
    def _ended(closing: Nodes) -> Nodes:
        return (Mark("ended", "end" if closing else "header"),)

    def number(self, spec: TurnSpec) -> int:
        """The number by which nodes and marks name a spec."""
        found = self._spec_numbers.get(id(spec))
        if found is None:
            found = self._spec_numbers[id(spec)] = len(self.specs)
            self.specs.append(spec)
        return found

    # The document

    def document(self) -> Nodes:
        """A whole document."""
        begin = self.nodes(self.fmt.begin)
        rule = self.fmt.tools
        start: Nodes = (Boundary(None),)
        if rule is not None and "start" in rule.places:
            frame = self.nodes(rule.frame)
            start = (Alt(((0, (*frame, *start)), (0, start))),)
        if not begin:
            return start
        return (Alt(((0, (*begin, *start)), (2, start))),)

    def _boundary(self, node: Boundary) -> Nodes:
        found = self._boundaries.get(node)
        if found is None:
            found = self._boundaries[node] = self._make_boundary(node)
        return found

    def _make_boundary(self, node: Boundary) -> Nodes:
        ways: list[tuple[int, Nodes]] = []
        bare: list[tuple[int, Nodes]] = []
        for number in self._forms_after(node.previous):
            form = self.forms[number]
            header = lazy(self.nodes(form.pattern))
            way = (Mark("header", number), *header, HeaderEnd(number, node.previous))
            (ways if header else bare).append((1 if form.twin else 0, way))
        finish = self.nodes(self.fmt.finish)
        if node.may_end:
            ways.append((0, (*finish, Accept())))
            if finish:
                ways.append((1, (Accept(),)))
        # A turn without a header begins with its body, which has its own prefix.
        prefix: Nodes = (PREFIX,) if self.fmt.dummy_prefix else ()
        return (Alt(((0, (*prefix, Alt(tuple(ways)))), *bare)),)

    def _forms_after(self, previous: Author | None) -> list[int]:
        """The headers that may stand behind a turn, those that fix most first."""
        found: dict[int, tuple[int, bool]] = {}
        for spec in self.fmt.specs:
            if spec.author == "owner" and not self._writes_owner(previous):
                continue
            pattern = spec.header(previous)
            source = header_source(self.fmt, pattern)
            key = (source, "" if slots(pattern) else f"{spec.author} {spec.role}")
            if key not in self._form_numbers:
                self._form_numbers[key] = len(self.forms)
                self.forms.append(HeaderForm(pattern, source, spec, label_twin(self.fmt, spec)))
            found.setdefault(self._form_numbers[key], self.reader.weight(pattern))
        return sorted(found, key=lambda number: found[number], reverse=True)

    def _writes_owner(self, previous: Author | None) -> bool:
        place = self.fmt.system.place
        return place == "turn" or (place == "start" and previous is None)

    # Items of lists: calls and tool schemas

    def begin_list(self, kind: Literal["calls", "tools"], behind: Nodes) -> tuple[Mark, Nodes]:
        """The mark of a list of calls or schemas, and the list with what is behind it."""
        begin = self._begin(kind)
        # Without a token or a word that opens it a list begins with its first item.
        name = f"list-{kind}" if begin else "list"
        mark = Mark(name, self._number_of(self.state(behind)))
        return mark, (*begin, Item(kind), *behind)

    def _begin(self, kind: str) -> Nodes:
        rule = self.fmt.calls if kind == "calls" else self.fmt.tools
        assert rule is not None
        return self.nodes(rule.begin)

    def _each(self, kind: str) -> Nodes:
        if kind == "tools":
            assert self.fmt.tools is not None
            return self.nodes(self.fmt.tools.each)
        rule = self.fmt.calls
        assert rule is not None
        each = self.nodes(rule.each)
        if json_keys(rule.each):
            each = flexible(each)
        others = tuple((1, (Mark("other"), *free(self.nodes(p), self.words))) for p in rule.reads)
        return (Alt(((0, each), *others)),) if others else each

    def _after_item(self, kind: str) -> tuple[tuple[int, Nodes], ...]:
        rule = self.fmt.calls if kind == "calls" else self.fmt.tools
        assert rule is not None
        last: tuple[int, Nodes] = (0, self.nodes(rule.finish))
        if kind == "calls" and self.fmt.calls is not None and self.fmt.calls.max == 1:
            return (last,)
        join = rule.join
        between = self._plain(join) if isinstance(join, str) else self.nodes(join)
        return ((0, (*between, Item("calls" if kind == "calls" else "tools"))), last)

    def _number_of(self, state: State) -> int:
        number = self._after_numbers.get(state)
        if number is None:
            number = self._after_numbers[state] = len(self.after)
            self.after.append(state)
        return number

    def twin_bodies(self, spec: TurnSpec) -> tuple[re.Pattern[str], ...]:
        """The bodies of turns of other authors whose header spells out the label of this one."""
        number = self.number(spec)
        found = self._twins.get(number)
        if found is None:
            own = skeleton(self.fmt, spec, spec.role)
            found = self._twins[number] = tuple(
                re.compile(expression(other.body, self.fmt.control_symbols), re.DOTALL)
                for other in self.fmt.specs
                if other.author != spec.author
                and label_twin(self.fmt, other)
                and skeleton(self.fmt, other, other.role) == own
            )
        return found

    # What models write that the format does not

    def raw_call(self, after: State, spec: TurnSpec | None) -> State:
        """A tool call taken as it is, up to what closes it."""
        stops = {symbol for symbol in after.literals if is_control(symbol)}
        if spec is not None:
            behind = (self.state(self.ends(spec)), self.state((Boundary(spec.author),)))
            stops |= {s for state in behind for s in state.literals if is_control(s)}
        rule = self.fmt.calls
        assert rule is not None
        item = bool(after.rest) and isinstance(after.rest[0], AfterItem)
        closing = self._closing(self.nodes(rule.each)) if item else ()
        if closing:
            stops.add(closing[0].text[0])
            rest: Nodes = (*closing, Mark("end-calls"), *after.rest)
        elif item:
            rest = (Mark("end-calls"), Alt(((0, after.rest), (1, after.rest[1:]))))
        else:
            rest = (Mark("end-calls"), *after.rest)
        return self.state(rest, Text("malformed", "raw", stops=frozenset(stops)))

    @staticmethod
    def _closing(each: Nodes) -> tuple[Lit, ...]:
        """The literals that end a pattern, from the first control token among them on."""
        found: list[Lit] = []
        for node in reversed(each):
            if not isinstance(node, Lit):
                break
            found.insert(0, node)
        while found and not is_control(found[0].text[0]):
            found.pop(0)
        return tuple(found)

    def unknown_turn(self, previous: Author | None) -> State:
        """A turn under a header that nobody has, up to the next header."""
        boundary: Nodes = (Boundary(previous),)
        stops = frozenset(s for s in self.state(boundary).literals if is_control(s))
        return self.state(boundary, Text("unknown", "raw", stops=stops))

    # Patterns

    def _plain(self, text: str) -> Nodes:
        return (Lit(text),) if text else ()

    def nodes(self, pattern: Pattern) -> Nodes:
        """A pattern of the format as nodes."""
        found: list[Node] = []
        for node in pattern:
            if isinstance(node, Slot):
                found.extend(self._slot(node))
            elif isinstance(node, Group):
                found.append(Test(node.slot, node.negated, self.nodes(node.nodes)))
            else:
                assert isinstance(node, LiteralNode)
                found.append(Lit(self.control[node.text] if node.control else node.text))
            if self.fmt.dummy_prefix and node is not pattern[-1] and ends_control(found[-1:]):
                found.append(PREFIX)
        return tuple(found)

    def _slot(self, node: Slot) -> Nodes:
        if node.name in DOCUMENT_TOKENS:
            token = self.tokens[node.name]
            return (Lit(self.control[token]),) if token else ()
        if node.name == "calls":
            return (Items("calls"),)
        if node.name == "tools":
            return (Items("tools"),)
        kind: Kind = "text"
        if node.name == "arguments" or (node.name in ("tool", "function") and self._json_tools()):
            kind = "object"
        elif node.filter == "json":
            kind = "string"
        elif node.filter == "json-value":
            kind = "value"
        return (Text(node.name, kind, node.filter),)

    def _json_tools(self) -> bool:
        rule = self.fmt.tools
        return rule is not None and strategies.TOOL_SCHEMAS[rule.schema].readable


NEVER_EMPTY = frozenset(
    ("any", "role", "speaker", "call_name", "arguments", "call_id", "tool", "function", "tool_name")
)
"""Slots that hold something wherever they are written outside a group of theirs."""

TRIMMING = frozenset(
    name
    for name, (apply, _) in FILTERS.items()
    if not all(apply((Piece(blank, "content", field="content"),)) for blank in (" ", "\n"))
)
"""Filters that can leave nothing of what a slot holds."""
