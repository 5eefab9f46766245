"""A format as Go's text/template over what Ollama gives to a template.

Ollama joins the contents of consecutive messages of a role with an empty line before a template
sees them, except those of tools, and collects all system messages in `.System` as well. A final
message of the assistant is one that the model continues.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from rolecall import strategies
from rolecall.conversation import DEFAULT_ROLE, Author
from rolecall.export.go_template import (
    If,
    Line,
    Node,
    Out,
    Range,
    Text,
    both,
    common_end,
    either,
    spaced,
    text_of,
    when,
    without,
)
from rolecall.pattern import DOCUMENT_TOKENS, Group, Literal, Pattern, Slot, walk
from rolecall.turn import TurnSpec

if TYPE_CHECKING:
    from rolecall.format import Format

ROLES: tuple[Author, ...] = ("owner", "client", "model", "tool")

LAST = "$last"
FIRST_USER = "eq $i $firstUser"
LAST_USER = "eq $i $lastUser"


class Fill(NamedTuple):
    """What fills a slot."""

    test: str | bool
    """When it is not empty."""
    nodes: tuple[Node, ...] = ()


EMPTY = Fill(False)

KEPT: Mapping[str, str | bool] = {
    "all": True,
    "none": False,
    "after-last-client": "gt $i $lastUser",
    "after-first-reply": "or (not $replied) (gt $i $firstReply)",
}
"""Strategies of `KEEP` to the condition of a turn that keeps what it says."""

THINKS: Mapping[str, str | bool] = {"with-reasoning": False, "also-last": "$last"}
"""Strategies of `THINKS` to the condition of a turn without reasoning that fills the slot."""

REPLY = "and (not .ToolCalls) (or .Content (not .Thinking))"

HEAD = "$i, $_ := .Messages"


@dataclass
class Compiler:
    """Compiles one format."""

    fmt: Format
    options: Mapping[str, Any]
    speaker: str

    def __post_init__(self) -> None:
        # What cannot be read back is no JSON, and JSON is all that Ollama writes of a schema.
        self.writes_tools = self.fmt.tools is not None and (
            strategies.TOOL_SCHEMAS[self.fmt.tools.schema].readable
        )
        self.document = self._document()
        self.keep = self._keep("reasoning")
        self.keep_calls = self._keep("calls")

    def _keep(self, what: str) -> str | bool:
        if what == "calls":
            return True if self.fmt.calls is None else KEPT.get(self.fmt.calls.keep, True)
        options = self.fmt.option_values(self.options)
        return KEPT.get(self.fmt.reasoning.keep_for(options), False)

    def _document(self) -> dict[str, Fill]:
        fills = {
            name: Fill(bool(value), (Text(str(value), control=name in DOCUMENT_TOKENS),))
            for name, value in self.fmt.option_values(self.options).items()
            if not isinstance(value, bool)
        }
        for name, value in self.fmt.option_values(self.options).items():
            if isinstance(value, bool):
                fills[name] = Fill(value)
        fills["has_tools"] = Fill("$.Tools" if self.writes_tools else False)
        return fills

    def spec(self, author: Author) -> TurnSpec | None:
        """How a turn of an author is written; the model speaks under its role."""
        role = self.speaker if author == "model" else DEFAULT_ROLE[author]
        return self.fmt.spec(author, role)

    # Patterns.

    def nodes(
        self, pattern: Pattern, fills: Mapping[str, Fill], within: frozenset[str] = frozenset()
    ) -> list[Node]:
        """A pattern as nodes.

        Args:
            pattern: The pattern.
            fills: What fills its slots.
            within: Slots that are filled where it stands.
        """
        found: list[Node] = []
        rest = list(pattern)
        while rest:
            node = rest.pop(0)
            if isinstance(node, Literal):
                found.append(Text(node.text, node.control))
            elif isinstance(node, Slot):
                fill = fills.get(node.name, EMPTY)
                if fill.test is not False:
                    settled = node.name in within or len(fill.nodes) == 1
                    found += when(settled or fill.test, _filtered(node, fill))
            else:
                test = fills.get(node.slot, EMPTY).test
                twin: Pattern = ()
                following = rest[0] if rest else None
                if isinstance(following, Group) and is_twin(node, following):
                    twin = following.nodes
                    rest.pop(0)
                there, absent = (twin, node.nodes) if node.negated else (node.nodes, twin)
                filled = self.nodes(there, fills, within | {node.slot})
                otherwise = self.nodes(absent, fills, within)
                # Ollama finds the tags of reasoning by the text that a branch begins and ends with.
                shared = len(common_end(filled, otherwise))
                end = filled[len(filled) - shared :]
                filled = filled[: len(filled) - shared]
                found += when(test, filled, otherwise[: len(otherwise) - shared]) + end
        return found

    def label(self, author: Author) -> tuple[Text, ...]:
        """The label of an author's role."""
        role = self.speaker if author == "model" else DEFAULT_ROLE[author]
        label = self.fmt.labels.get(role)
        if label is None:
            return (Text(role),)
        return tuple(Text(piece.text, piece.control) for piece in label)

    def fills(self, author: Author) -> dict[str, Fill]:
        """What fills the slots of an author's turn within the loop over messages."""
        label = self.label(author)
        fills = {
            **self.document,
            "role": Fill(True, label),
            "speaker": Fill(True, label),
            "content": Fill(".Content", (Out(".Content", ".Content"),)),
        }
        if author == "tool":
            fills["call_id"] = Fill(".ToolCallID", (Out(".ToolCallID", ".ToolCallID"),))
            fills["call_name"] = Fill(".ToolName", (Out(".ToolName", ".ToolName"),))
            fills["name"] = fills["call_name"]
            speaks = when(".ToolName", [Out(".ToolName", ".ToolName")], label)
            fills["speaker"] = Fill(True, tuple(speaks))
        if author == "model":
            kept = both(".Thinking", self.keep)
            thinks = either(kept, THINKS.get(self.fmt.reasoning.thinks, False))
            fills["reasoning"] = Fill(kept, (Out(".Thinking", ".Thinking"),))
            fills["thinks"] = Fill(thinks)
            if self.fmt.calls is not None:
                fills["calls"] = Fill(both(".ToolCalls", self.keep_calls), tuple(self.calls()))
        return fills | self.placed(author)

    def placed(self, author: Author) -> dict[str, Fill]:
        """The system prompt and the tools, where they stand in turns of this author."""
        fills: dict[str, Fill] = {}
        # Where an empty turn of the client is added in front, that is the first one.
        first = both('eq $firstSpeaker "user"', FIRST_USER)
        places = {
            "first-client": first if self.fmt.order.first_client else FIRST_USER,
            "last-client": LAST_USER,
        }
        system = self.fmt.system
        if author == "client" and system.place in places:
            there, said = self.system_prompt()
            test = both(there, places[system.place])
            if system.fold is None:
                fills["system"] = Fill(test, tuple(said))
            else:
                folded = when(test, [*said, Text(system.fold)])
                fills["content"] = Fill(
                    either(".Content", test), (*folded, Out(".Content", ".Content"))
                )
        place = self.tools_place
        if author == "client" and place in places:
            fills["tools"] = Fill(both("$.Tools", places[place]), tuple(self.tools()))
        if author == "owner" and place == "system":
            # The caller's own first message; where there is none, a turn is added for the tools.
            fills["tools"] = Fill(both("$.Tools", "eq $i 0"), tuple(self.tools()))
        return fills

    def system_prompt(self) -> tuple[str | bool, list[Node]]:
        """When there is a system prompt, and what it says where there is one."""
        default = self.fmt.system.default
        if default is None:
            return "$.System", [Out("$.System")]
        return True, when("$.System", [Out("$.System")], [Text(default)])

    @property
    def tools_place(self) -> str:
        """Where the tools stand; empty where they are not written."""
        if self.fmt.tools is None or not self.writes_tools:
            return ""
        return self.fmt.tools.place_for(self.fmt.option_values(self.options))

    def tools(self) -> list[Node]:
        """The tool schemas."""
        rule = self.fmt.tools
        assert rule is not None
        fills = {
            **self.document,
            "tool": Fill(True, (Out("."),)),
            "function": Fill(True, (Out("json .Function"),)),
            "tool_name": Fill(True, (Out(".Function.Name"),)),
        }
        each = self.nodes(rule.each, fills)
        if rule.join:
            each = [*when("$t", [Text(rule.join)]), *each]
        loop = Range("$t, $_ := $.Tools" if rule.join else "$.Tools", tuple(each))
        return [*self.nodes(rule.begin, fills), loop, *self.nodes(rule.finish, fills)]

    def calls(self) -> list[Node]:
        """The tool calls of a message."""
        rule = self.fmt.calls
        assert rule is not None
        fills = {
            **self.document,
            "call_name": Fill(True, (Out(".Function.Name"),)),
            "arguments": Fill(True, (Out(".Function.Arguments"),)),
            "call_id": Fill(".ID", (Out(".ID", ".ID"),)),
            "index": Fill(True, (Out("$c"),)),
        }
        counted: list[Node] = []
        if rule.id:
            numbered = {**fills, "index": Fill(True, (Out("len $calls"),))}
            fills["call_id"] = Fill(True, tuple(self.nodes(rule.id, numbered)))
            counted = [Line('$calls = print $calls "x"')]
        join = self.nodes(rule.join, fills)
        each = [*when("$c", join), *self.nodes(rule.each, fills), *counted]
        used = bool(join) or any(isinstance(n, Slot) and n.name == "index" for n in walk(rule.each))
        loop = Range("$c, $_ := .ToolCalls" if used else ".ToolCalls", tuple(each))
        return [*self.nodes(rule.begin, fills), loop, *self.nodes(rule.finish, fills)]

    # Turns.

    def header(self, spec: TurnSpec, fills: Mapping[str, Fill]) -> list[Node]:
        """The header, by who spoke before."""
        if not spec.after:
            return self.nodes(spec.open, fills)
        found: dict[Pattern, list[str]] = {}
        for author, pattern in spec.after.items():
            found.setdefault(pattern, []).append(DEFAULT_ROLE[author])
        others: list[Author] = [author for author in ROLES if author not in spec.after]
        otherwise = self.nodes(spec.open, fills)
        for pattern, roles in found.items():
            test = either(*(f'eq $before "{role}"' for role in roles))
            if len(found) == 1 and all(self.fmt.turns.get(author) is None for author in others):
                test = "$before"
            otherwise = when(test, self.nodes(pattern, fills), otherwise)
        return otherwise

    def opened(self, spec: TurnSpec, fills: Mapping[str, Fill]) -> list[Node]:
        """The header; where a document begins with it, its begin-of-text token is left out."""
        if self.begins_with_token or "bos_token" not in self.document:
            return self.header(spec, fills)
        bos = self.document["bos_token"]
        later = Fill(bos.test, tuple(when("$before", bos.nodes)))
        return self.header(spec, {**fills, "bos_token": later if bos.test else bos})

    @property
    def begins_with_token(self) -> bool:
        """Whether `begin` writes the begin-of-text token."""
        return bool(self.fmt.begin[:1]) and self._is_bos(self.fmt.begin[0])

    def _is_bos(self, node: object) -> bool:
        bos = self.fmt.option_values(self.options)["bos_token"]
        return (isinstance(node, Slot) and node.name == "bos_token") or (
            isinstance(node, Literal) and bool(bos) and node.text == bos
        )

    def turn(self, author: Author, spec: TurnSpec) -> list[Node]:
        """One turn, within the loop."""
        fills = self.fills(author)
        opens = self.opened(spec, fills)
        body = self.nodes(spec.body, fills)
        ends = self.nodes(spec.end, fills)
        if spec.call_end is not None:
            test = fills.get("calls", EMPTY).test
            ends = when(test, self.nodes(spec.call_end, fills), ends)
        closes = [*ends, *self.nodes(spec.gap, fills)]
        if spec.group is not None:
            role = DEFAULT_ROLE[author]
            opens = when(f'eq $before "{role}"', [Text(spec.group)] if spec.group else [], opens)
            closes = when(f'ne $next "{role}"', closes)
        if author != "model":
            return self._space([*opens, *body, *closes])
        said, rest = self._until_content(spec, body, fills)
        nodes = [*self._space(opens), *self._space(said), *when(f"not {LAST}", [*rest, *closes])]
        return self._dropped(fills, nodes)

    def _until_content(
        self, spec: TurnSpec, body: list[Node], fills: Mapping[str, Fill]
    ) -> tuple[list[Node], list[Node]]:
        """The body up to the content, and literal text behind it, which a prefill has not."""
        cut = len(spec.body)
        while cut and isinstance(spec.body[cut - 1], Literal):
            cut -= 1
        if any(isinstance(node, Slot) and node.name == "content" for node in walk(spec.body[:cut])):
            return self.nodes(spec.body[:cut], fills), self.nodes(spec.body[cut:], fills)
        return body, []

    def _dropped(self, fills: Mapping[str, Fill], nodes: list[Node]) -> list[Node]:
        """A turn that is not written where nothing of it is kept."""
        kept: str | bool = True
        if self.fmt.calls is not None and self.fmt.calls.keep != "all":
            kept = both(kept, either(".Content", ".Thinking", self.keep_calls))
        if self.fmt.reasoning.drop_emptied and self.keep is not True:
            kept = both(kept, either(".Content", ".ToolCalls", "not .Thinking", self.keep))
        return when(kept, nodes)

    def _space(self, nodes: list[Node]) -> list[Node]:
        return spaced(nodes) if self.fmt.dummy_prefix else nodes

    def added(
        self, author: Author, content: Sequence[Node], *, system: bool = False, tools: bool = False
    ) -> list[Node]:
        """A turn that the format adds in front of all messages.

        Args:
            author: Whose turn it is.
            content: What it says.
            system: Whether the system prompt stands within it.
            tools: Whether the tools stand within it.
        """
        spec = self.spec(author)
        if spec is None:
            return []
        fills = {**self.fills(author), "content": Fill(_tests(content), tuple(content))}
        written = fills.pop("tools", None)
        fills.pop("system", None)
        if tools and written is not None:
            fills["tools"] = Fill("$.Tools", written.nodes)
        if system:
            there, said = self.system_prompt()
            fills["system"] = Fill(there, tuple(said))
            if self.fmt.system.fold is not None:
                fold = when(there, [*said, Text(self.fmt.system.fold)])
                fills["content"] = Fill(there, tuple(fold))
        nodes = [
            *self.opened(spec, fills),
            *self.nodes(spec.body, fills),
            *self.nodes(spec.end, fills),
            *self.nodes(spec.gap, fills),
        ]
        return [*self._space(nodes), Line(f'$before = "{DEFAULT_ROLE[author]}"')]

    # The document.

    def front(self) -> list[Node]:
        """What stands before the messages."""
        begin = self.fmt.begin[1:] if self.begins_with_token else self.fmt.begin
        nodes = self._space(self.nodes(begin, self.document))
        rule = self.fmt.tools
        if rule is not None and self.tools_place == "start":
            fills = {**self.document, "tools": Fill("$.Tools", tuple(self.tools()))}
            nodes += when("$.Tools", self.nodes(rule.frame, fills))
        place, default = self.fmt.system.place, self.fmt.system.default
        if self.spec("owner") is None:
            place = "refuse"
        tools = self.tools_place == "system"
        if place == "start":
            said = when("$.System", self.added("owner", [Out("$.System", "$.System")], tools=True))
            if default is not None:
                nodes += when(
                    "$.System", _inner(said), self.added("owner", [Text(default)], tools=True)
                )
            elif tools:
                nodes += when("or $.System $.Tools", _inner(said))
            else:
                nodes += said
        elif place == "turn" and (default is not None or tools):
            test = 'ne $first "system"'
            if default is None:
                test = both(test, "$.Tools") if tools else test
            nodes += when(test, self.added("owner", [Text(default)] if default else [], tools=True))
        if self.fmt.order.first_client:
            nodes += self._first_client(place)
        return nodes

    def _first_client(self, place: str) -> list[Node]:
        """An empty turn of the client, where another one speaks first."""
        within: dict[str, bool | str] = {"first-client": True, "last-client": "lt $lastUser 0"}
        system, tools = within.get(place, False), within.get(self.tools_place, False)
        never, once = (
            self.added("client", [], system=system is True or some, tools=tools is True or some)
            for some in (False, True)
        )
        late = isinstance(system, str) or isinstance(tools, str)
        added = when("lt $lastUser 0", once, never) if late else never
        return when('ne $firstSpeaker "user"', added)

    def messages(self) -> list[Node]:
        """The loop over the messages, and the generation prompt."""
        branches: list[tuple[str, tuple[Node, ...]]] = []
        for author in ROLES:
            spec = self.spec(author)
            if spec is None or (author == "owner" and self.fmt.system.place != "turn"):
                continue
            nodes = [*self.turn(author, spec), Line("$before = .Role")]
            if author == "tool" and self.keep_calls is not True:
                nodes = when(self.keep_calls, nodes)
            branches.append((f'eq .Role "{DEFAULT_ROLE[author]}"', tuple(nodes)))
        inner: list[Node] = [If(tuple(branches))]
        return [Range(HEAD, (*self._asides(inner), *inner)), *self.prompt()]

    def _asides(self, inner: Sequence[Node]) -> list[Node]:
        """What the loop finds out about a message before it writes it."""
        text = text_of(inner)
        found: list[Node] = []
        if LAST in text or "$next" in text:
            found.append(Line(f"{LAST} := eq (len (slice $.Messages $i)) 1"))
        if "$next" in text:
            found.append(Line('$next := ""'))
            found += when(f"not {LAST}", [Line("$next = (index (slice $.Messages $i) 1).Role")])
        return found

    def prompt(self) -> list[Node]:
        """What asks the model to speak; a message of its own at the end it goes on with."""
        spec = self.spec("model")
        assert spec is not None
        fills = {**self.document, "role": Fill(True, self.label("model"))}
        fills["speaker"] = fills["role"]
        nodes = [*self.opened(spec, fills), *self.nodes(spec.prompt, fills)]
        return when('ne $final "assistant"', self._space(nodes))

    def prelude(self, rest: Sequence[Node]) -> list[Node]:
        """The variables that the rest reads."""
        text = text_of(rest)
        starts = {"$before": '""', "$calls": '""'}
        found: list[Node] = [
            Line(f"{name} := {value}") for name, value in starts.items() if name in text
        ]
        if "$first " in text:
            found.append(Line("$first := (index .Messages 0).Role"))
        loop: list[Node] = []
        counted: dict[str, tuple[str, list[Node]]] = {
            "$final": ('""', [Line("$final = .Role")]),
            "$firstSpeaker": (
                '""',
                when(
                    both("not $firstSpeaker", 'ne .Role "system"'), [Line("$firstSpeaker = .Role")]
                ),
            ),
            "$firstUser": (
                "-1",
                when(both('eq .Role "user"', "lt $firstUser 0"), [Line("$firstUser = $i")]),
            ),
            "$lastUser": ("-1", when('eq .Role "user"', [Line("$lastUser = $i")])),
            "$firstReply": ("-1", []),
            "$replied": (
                "false",
                when(
                    'eq .Role "assistant"',
                    [
                        Line(f"$replied = {REPLY}"),
                        *when(both("$replied", "lt $firstReply 0"), [Line("$firstReply = $i")]),
                    ],
                ),
            ),
        }
        for name, (value, steps) in counted.items():
            if name in text:
                found.append(Line(f"{name} := {value}"))
                loop += steps
        return [*found, Range(HEAD, tuple(loop))] if loop else found

    def template(self) -> str:
        """The whole template."""
        rest = [*self.front(), *self.messages()]
        if not re.search(r"\$before(?! =)", text_of(rest)):
            rest = without(rest, "$before = ")
        return text_of([*self.prelude(rest), *rest])


def is_twin(first: Group, second: Group) -> bool:
    """Whether one of two groups is written exactly where the other is not."""
    return first.slot == second.slot and first.negated != second.negated


def _inner(nodes: Sequence[Node]) -> list[Node]:
    """The nodes of the one branch of a condition."""
    (node,) = nodes
    assert isinstance(node, If)
    return list(node.branches[0][1])


def _tests(content: Sequence[Node]) -> str | bool:
    """Whether a content is there."""
    for node in content:
        return (node.test or True) if isinstance(node, Out) else True
    return False


def _filtered(node: Slot, fill: Fill) -> list[Node]:
    """What fills a slot behind its filter, as far as Go has one."""
    if node.filter in ("json", "json-value"):
        return [Out(f"json {n.code}") if isinstance(n, Out) else n for n in fill.nodes]
    return list(fill.nodes)
