"""A format as a Jinja `chat_template`.

The template is compiled, not interpreted: what the format's file decides is decided while it is
written, and only what the file cites is in it. It has up to six parts: variables and their
defaults, macros, checks that refuse what the format refuses, a list of turns where messages are
merged or moved, one loop that writes, and the generation prompt.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rolecall.conversation import Author, Cast
from rolecall.export import (
    jinja_checks,
    jinja_headers,
    jinja_macros,
    jinja_rewrite,
    jinja_variables,
)
from rolecall.export.jinja_able import RUNS, check, check_names, ends_in_token
from rolecall.export.jinja_code import (
    Block,
    Line,
    Node,
    Out,
    Text,
    both,
    choose,
    codes,
    either,
    loop,
    member,
    negated,
    quoted,
    recoded,
    setting,
    when,
    written,
)
from rolecall.export.jinja_limits import limits
from rolecall.export.jinja_parts import (
    CONTENT,
    OPEN,
    REASONING,
    decided,
    generation,
    implied,
    only_closed,
    unless,
)
from rolecall.export.jinja_patterns import CLIENT_PLACES, EMPTY, Fill, NoTemplate, Writer
from rolecall.export.jinja_roles import Branch, Roles
from rolecall.lost import Lost
from rolecall.pattern import Literal, Pattern
from rolecall.turn import TurnSpec

if TYPE_CHECKING:
    from rolecall.format import Format


class Export(Roles):
    """One export: the format, who speaks under which role, and the parts of the template."""

    def __init__(self, fmt: Format, cast: Cast, *, markers: bool) -> None:
        super().__init__(fmt, cast)
        self.markers = markers
        check(fmt)
        self.rewrites = jinja_rewrite.rewrites(fmt)
        self.turns = "turns" if self.rewrites else "messages"
        """The list that is written."""
        self.fields = jinja_rewrite.fields(self)
        """What the namespace of the template holds, with the code of the first value."""
        jinja_headers.check_cast(self)

    # What fills the slots

    def document(self) -> dict[str, Fill]:
        """What fills the slots that stand for the whole conversation."""
        fmt = self.fmt
        fills = {
            "bos_token": Fill(True, "bos_token"),
            "eos_token": Fill(True, "eos_token"),
        }
        for name, option in fmt.options.items():
            if isinstance(option.default, bool):
                fills[name] = Fill(name, "'true'")
            elif isinstance(option.default, str):
                fills[name] = Fill(name, name)
            else:
                fills[name] = Fill(True, f"({name} ~ '')")
        if fmt.tools is not None:
            fills["has_tools"] = Fill("tools")
        return fills

    def speaking(self, of: str) -> dict[str, Fill]:
        """What fills the slots of a header, whoever speaks."""
        label = self.role(of)
        return {
            **self.document(),
            "role": Fill(True, label),
            "name": Fill(f"{of}.name", f"{of}.name"),
            "speaker": Fill(True, f"({of}.name or {label})"),
        }

    def fills(self, branch: Branch) -> dict[str, Fill]:
        """What fills the slots of a message's turn."""
        fmt = self.fmt
        fills = self.speaking("message")
        fills["content"] = Fill(CONTENT, CONTENT)
        if self.keeps_reasoning() != "false" or branch.author != "model":
            fills["reasoning"] = Fill(REASONING, REASONING)
        if fmt.reasoning.thinks == "also-last" and branch.author == "model":
            known = fills.get("reasoning", EMPTY).filled
            fills["thinks"] = Fill(f"{known} or loop.last" if known else "loop.last")
        elif branch.author == "model":
            fills["thinks"] = Fill(fills.get("reasoning", EMPTY).filled)
        if fmt.calls is not None:
            fills["calls"] = Fill("message.tool_calls", nodes=self.calls)
        if branch.author == "tool":
            fills["call_id"] = Fill("message.tool_call_id", "message.tool_call_id")
            fills["call_name"] = Fill("tool_name", "tool_name")
        for key in fmt.attributes:
            fills[key] = Fill(member("attributes", key), member("attributes", key))
        if branch.author == "client" and fmt.system.place in CLIENT_PLACES:
            at = jinja_rewrite.place_index(fmt.system.place)
            if fmt.system.fold is None:
                fills["system"] = Fill(f"ns.system and loop.index0 == {at}", "ns.system")
        standing = self.tools_stand(branch)
        if standing:
            fills["tools"] = Fill(standing, nodes=self.tools)
        return fills

    def tools_stand(self, branch: Branch) -> str:
        """The condition that the tool schemas stand in a message's turn, or nothing."""
        rule = self.fmt.tools
        if rule is None:
            return ""
        if branch.author == "owner" and "system" in rule.places:
            return both(both("tools", "loop.first"), self.placed("system"))
        if branch.author == "client":
            for place in CLIENT_PLACES:
                if place in rule.places:
                    at = f"loop.index0 == {jinja_rewrite.place_index(place)}"
                    return both(both("tools", self.placed(place)), at)
        return ""

    def placed(self, place: str) -> str:
        """The condition on the options that the tools stand in a place; nothing if always."""
        rule = self.fmt.tools
        assert rule is not None
        return decided([(rule.place == place, "")], [(o, p == place) for o, p in rule.when.items()])

    def tools(self, writer: Writer) -> list[Node]:
        """The tool schemas."""
        rule = self.fmt.tools
        assert rule is not None
        indent = "" if rule.indent is None else f"(indent={rule.indent})"
        known = writer.fills
        found = writer.write(rule.begin)
        writer.fills = {
            **known,
            "tool": Fill(True, jinja_macros.SCHEMAS[rule.schema].format(indent=indent)),
            "function": Fill(True, f"tool.function | tojson{indent}"),
            "tool_name": Fill(True, "tool.function.name"),
        }
        begins = writer.fresh
        each = writer.write(rule.each)
        behind = writer.fresh
        join: list[Node] = []
        if rule.join:
            join = when("not loop.first", writer.write((Literal(rule.join, control=False),)))
        self._same(begins, writer)
        writer.fresh = behind
        found += loop("tool in tools", [*join, *each])
        writer.fills = known
        return found + writer.write(rule.finish)

    def calls(self, writer: Writer) -> list[Node]:
        """The calls of a message."""
        rule = self.fmt.calls
        assert rule is not None
        known = writer.fills
        found = writer.write(rule.begin)
        # `loop` counts the calls in here.
        writer.fills = {
            **self.document(),
            "call_name": Fill(True, "call.function.name"),
            "arguments": Fill(True, "json_arguments(call.function.arguments)"),
            "call_id": Fill("call.id", "call.id" if rule.ids or rule.id else "(call.id or '')"),
            "index": Fill(True, "(loop.index0 ~ '')"),
        }
        begins = writer.fresh
        each = writer.write(rule.each)
        behind = writer.fresh
        join = when("not loop.first", writer.write(rule.join))
        self._same(begins, writer)
        writer.fresh = behind
        found += loop("call in message.tool_calls", [*join, *each])
        writer.fills = known
        return found + writer.write(rule.finish)

    # Turns

    def writer(
        self, fills: dict[str, Fill], *, fresh: bool = True, leave_open: bool = False
    ) -> Writer:
        """A writer at the beginning of a turn."""
        return Writer(
            fills,
            self.fmt.dummy_prefix,
            fresh and self.fmt.dummy_prefix,
            OPEN if leave_open else "",
        )

    def header(self, spec: TurnSpec, writer: Writer, first: str, previous: str) -> list[Node]:
        """The header of a turn.

        Args:
            spec: The turn.
            writer: Writes it.
            first: The condition that no turn stands before it.
            previous: The code of the turn before it.
        """
        followers: dict[Pattern, list[Author]] = {}
        for author in self.possible():
            followers.setdefault(spec.header(author), []).append(author)
        if list(followers) == [spec.open]:
            return self._ending(spec.open, writer, first, previous)
        fresh = writer.fresh
        if len(followers) == 1:
            then = self._ending(spec.open, writer, "true", previous)
            behind, writer.fresh = writer.fresh, fresh
            other = self._ending(next(iter(followers)), writer, "", previous)
            self._same(behind, writer)
            return when(first, then, other)
        branches: list[tuple[str, list[Node]]] = []
        for header, authors in followers.items():
            if header != spec.open:
                writer.fresh = fresh
                condition = both(negated(first), self.is_author(authors, previous))
                branches.append((condition, self._ending(header, writer, "", previous)))
        behind, writer.fresh = writer.fresh, fresh
        default = self._ending(spec.open, writer, first, previous)
        self._same(behind, writer)
        if not branches[0][1] and len(branches) == 1:
            return when(negated(branches[0][0]), default)
        return choose([*branches, ("", default)])

    def _same(self, fresh: bool | str, writer: Writer) -> None:
        if writer.dummy_prefix and fresh != writer.fresh:
            raise NoTemplate(
                f"{self.fmt.name}: a run of text begins in some turns and not in others"
            )

    def _ending(self, header: Pattern, writer: Writer, first: str, previous: str) -> list[Node]:
        """A header, whose first token the model samples where its turn has no end of its own."""
        spec = self.fmt.turns.get("model")
        if not self.markers or spec is None or spec.end or first == "true":
            return writer.write(header)
        for number, node in enumerate(header):
            if isinstance(node, Literal) and node.control:
                before = writer.write(header[:number])
                token = writer.write((node,))
                ended = both(negated(first) if first else "", self.is_author("model", previous))
                return [
                    *before,
                    *when(ended, [generation(token)], token),
                    *writer.write(header[number + 1 :]),
                ]
        return writer.write(header)

    def turn(self, branch: Branch) -> list[Node]:
        """The turn of one message."""
        spec = branch.spec
        fills = self.fills(branch)
        before = self._implied(branch, fills)
        writer = self.writer(fills)
        around = f"{self.turns}[loop.index0 - 1]"
        nodes = self.header(spec, writer, "loop.first", around)
        if spec.group is not None:
            mate = both("not loop.first", self.is_spec(spec, around))
            shared: list[Node] = [Text(spec.group)] if spec.group else []
            nodes = when(mate, shared, nodes)
        model = self.fmt.turns.get("model")
        alike = (
            model is not None
            and not (self.markers or self.fmt.dummy_prefix)
            and spec == replace(model, author=spec.author, role=spec.role)
        )
        if branch.author == "model" or alike:
            nodes += self._sampled(branch, writer)
        else:
            nodes += writer.write(spec.body)
            nodes += self._closing(spec, writer)
        return self._settled([*before, *nodes], branch)

    def _end(self, spec: TurnSpec, writer: Writer) -> list[Node]:
        """What closes a turn."""
        fresh = writer.fresh
        nodes = writer.write(spec.end)
        if spec.final_end is not None:
            writer.fresh = fresh
            nodes = when("loop.last and not speaker", writer.write(spec.final_end), nodes)
        if spec.call_end is not None:
            writer.fresh = fresh
            calls = writer.fills.get("calls", EMPTY).filled
            if calls:
                nodes = when(str(calls), writer.write(spec.call_end), nodes)
        return nodes

    def _last_of_group(self, spec: TurnSpec) -> str:
        """The condition that no turn of the same group follows; nothing if there are no groups."""
        if spec.group is None:
            return ""
        following = f"{self.turns}[loop.index0 + 1]"
        return either("loop.last", negated(self.is_spec(spec, following)))

    def _closing(self, spec: TurnSpec, writer: Writer) -> list[Node]:
        """End and gap of a turn."""
        nodes = [*self._end(spec, writer), *writer.write(spec.gap)]
        return when(self._last_of_group(spec), nodes)

    def _sampled(self, branch: Branch, writer: Writer) -> list[Node]:
        """Body and end of a model's turn, which may be left open."""
        spec = branch.spec
        if not self.markers:
            writer.fresh = writer.dummy_prefix
            writer.open = OPEN
            body = writer.write(spec.body)
            writer.open = ""
            return [*body, *when(negated(OPEN), self._closing(spec, writer))]
        writer.fresh = writer.dummy_prefix
        opened = self._left_open(spec, writer)
        writer.fresh = writer.dummy_prefix
        body = writer.write(spec.body)
        closes = self._last_of_group(spec)
        end = when(closes, self._end(spec, writer))
        gap = when(closes, writer.write(spec.gap))
        if not spec.prompt:
            sampled: list[Node] = [generation([*body, *end])]
        else:
            prompt = self.writer(self.document(), fresh=False).write(spec.prompt)
            sampled = [
                Block("set prompt", tuple(prompt), "endset"),
                Block("set body", tuple(body), "endset"),
                *when(
                    "prompt and body.startswith(prompt)",
                    [Out("prompt"), generation([Out("body[prompt | length:]"), *end])],
                    [generation([Out("body"), *end])],
                ),
            ]
        return when(OPEN, opened, [*sampled, *gap])

    def _left_open(self, spec: TurnSpec, writer: Writer) -> list[Node]:
        """The body of a message that is left open, alone."""
        probe = self.writer(dict(writer.fills), leave_open=True)
        probe.fills = {**probe.fills, "calls": EMPTY}
        probe.fresh = writer.fresh
        nodes = probe.write(spec.body)
        return [unless(node, OPEN) for node in nodes if not only_closed(node)]

    def _implied(self, branch: Branch, fills: dict[str, Fill]) -> list[Node]:
        """Forget attributes that say what is written without them."""
        nodes: list[Node] = []
        for key in self.fmt.attributes:
            said = implied((*branch.spec.open, *branch.spec.body), key, fills, "")
            if said:
                name = f"given_{key}" if key.isidentifier() else "given"
                nodes.append(setting(name, f"'' if {said} else {member('attributes', key)}"))
                fills[key] = Fill(name, name)
        return nodes

    def _settled(self, nodes: list[Node], branch: Branch) -> list[Node]:
        """Values in place of what stands for them, in variables where they are used again."""
        fmt = self.fmt
        # What is trimmed part by part is trimmed before the parts are joined.
        nodes = recoded(nodes, {f"trimmed({CONTENT})": "trimmed(message.content)"})
        told = "\n".join(codes(nodes))
        first: list[Node] = []
        meanings: dict[str, str] = {}
        content = "message.content" if "merge" in self.rewrites else "text(message.content)"
        folds = fmt.system.fold is not None and branch.author == "client"
        folds = folds and fmt.system.place in CLIENT_PLACES
        if folds:
            at = jinja_rewrite.place_index(fmt.system.place)
            first.append(setting("content", content))
            joined = f"ns.system + {quoted(fmt.system.fold or '')} + content"
            condition = f"ns.system and loop.index0 == {at}"
            first += when(condition, [setting("content", joined)])
            meanings[CONTENT] = "content"
        elif told.count(CONTENT) > 1 and self._one_macro(told):
            macro = self._one_macro(told)
            first.append(setting("content", f"{macro}({content})"))
            meanings[f"{macro}({CONTENT})"] = "content"
        elif told.count(CONTENT) > 1 and "merge" not in self.rewrites:
            first.append(setting("content", content))
            meanings[CONTENT] = "content"
        else:
            meanings[CONTENT] = content
        kept = self.keeps_reasoning()
        thought = "message.reasoning_content"
        if not kept or branch.author != "model":
            meanings[REASONING] = thought
            if f"({REASONING}" in told:
                meanings[REASONING] = f"({thought} or '')"
        else:
            if REASONING in told:
                first.append(setting("reasoning", f"({thought} or '') if {kept} else ''"))
            meanings[REASONING] = "reasoning"
        if OPEN in told:
            if told.count(OPEN) > 1:
                first.append(setting("open", "loop.last and continuing"))
                meanings[OPEN] = "open"
            else:
                meanings[OPEN] = "loop.last and continuing"
        if re.search(r"\battributes[.\[]", told):
            first.insert(0, setting("attributes", "message.attributes or {}"))
        if branch.author == "tool" and re.search(r"\btool_name\b", told):
            given = f"call_name(message, {self.turns}[:loop.index0])"
            first.insert(0, setting("tool_name", given))
        return [*recoded(first, meanings), *recoded(nodes, meanings)]

    @staticmethod
    def _one_macro(told: str) -> str:
        """The macro that every use of the content calls, or nothing."""
        called = set(re.findall(rf"(\w*)\(?{CONTENT}", told))
        macro = called.pop() if len(called) == 1 else ""
        return macro if told.count(f"{macro}({CONTENT})") == told.count(CONTENT) else ""

    def keeps_reasoning(self) -> str:
        """The condition that a message keeps its reasoning, or nothing if all do."""
        rule = self.fmt.reasoning
        conditions = {
            "after-last-client": "loop.index0 > ns.last_client",
            "after-first-reply": "loop.index0 >= ns.kept",
            "all": "",
            "none": "false",
        }
        if any(keep not in conditions for keep in rule.keeps):
            raise NoTemplate(f"{self.fmt.name}: no template can keep reasoning so: {rule.keeps}")
        if rule.keeps == ("all",):
            return ""
        keep = conditions[rule.keep]
        for option, other in rule.when.items():
            then = conditions[other]
            if not then:
                keep = f"{option} or {keep}"
            elif not keep:
                keep = f"not {option} or {then}"
            else:
                keep = f"({then} if {option} else {keep})"
        return f"({keep})" if " or " in keep else keep

    # The template

    def generation_prompt(self) -> list[Node]:
        """The header of who is to speak, and what a model's prompt writes behind it."""
        parts: list[tuple[Branch, list[Node]]] = []
        for branch in self.branches:
            writer = self.writer(self.speaking("speaker"))
            writer.fresh = writer.dummy_prefix and self._run_begins(branch.spec)
            nodes = jinja_rewrite.would_merge(self, branch)
            nodes += self.header(branch.spec, writer, f"not {self.turns}", f"{self.turns}[-1]")
            writer.fresh = False
            nodes += writer.write(branch.spec.prompt)
            parts.append((branch, nodes))
        return self.alike(parts, "speaker")

    def _run_begins(self, spec: TurnSpec) -> bool | str:
        """With a dummy prefix: whether plain text begins a run behind the last turn."""
        written: list[list[Node]] = []
        for fresh in (True, False):
            writer = self.writer(self.speaking("speaker"), fresh=fresh)
            headers = (spec.open, *spec.after.values())
            written.append([])
            for header in headers:
                writer.fresh = fresh
                written[-1] += writer.write((*header, *spec.prompt))
        if written[0] == written[1]:
            return True
        moved = self.fmt.system.place in CLIENT_PLACES
        # A turn that would be merged is refused.
        last = [other for other in self.fmt.specs if spec.merge is None or other is not spec]
        last = [other for other in last if not (moved and other.author == "owner")]
        ends = [(*other.end, *other.gap) for other in last]
        states = {ends_in_token(end) for end in ends}
        if len(states) > 1 or not all(ends):
            raise NoTemplate(f"{self.fmt.name}: {RUNS}")
        begins, first = states.pop(), ends_in_token(self.fmt.begin)
        return begins if begins == first else self.turns if begins else f"not {self.turns}"

    def body(self) -> list[Node]:
        """Everything that is written."""
        fmt = self.fmt
        document = self.document()
        nodes = self.writer(document).write(fmt.begin)
        if fmt.tools is not None and fmt.tools.frame and "start" in fmt.tools.places:
            fills = {**document, "tools": Fill(True, nodes=self.tools), "has_tools": Fill(True)}
            nodes += when(
                both("tools", self.placed("start")), self.writer(fills).write(fmt.tools.frame)
            )
        turns = self.alike([(branch, self.turn(branch)) for branch in self.branches], "message")
        if fmt.reasoning.drop_emptied:
            if any(spec.after or spec.group is not None for spec in fmt.specs):
                raise NoTemplate(f"{fmt.name}: what is dropped stands beside what asks for it")
            emptied = jinja_rewrite.emptied(self)
            turns = when(negated(emptied), turns)
        nodes += loop(f"message in {self.turns}", turns)
        prompt = self.generation_prompt()
        finish = self.writer(document).write(fmt.finish)
        if finish:
            nodes += choose([("speaker", prompt), ("not continuing", finish)])
        else:
            nodes += when("speaker", prompt)
        return nodes

    def template(self) -> str:
        """The whole template."""
        body = self.body()
        parts = [
            jinja_variables.variables(self),
            _titled("What cannot be written is refused.", jinja_checks.checks(self)),
            _titled("The messages as turns.", jinja_rewrite.nodes(self)),
            _titled("The turns.", body),
        ]
        text = [written(part) for part in parts]
        macros = jinja_macros.needed("\n".join(text), self)
        whole = [text[0], *macros, *text[1:]]
        check_names(self.fmt, "\n".join(whole[1:]))
        return "\n".join(part for part in whole if part)


def _titled(title: str, nodes: Sequence[Node]) -> list[Node]:
    return [Line(f"{{#- {title} -#}}"), *nodes] if nodes else []


def lost(fmt: Format) -> tuple[Lost, ...]:
    """What the chat template of a format cannot carry; see `rolecall.export.jinja_limits`."""
    return limits(fmt)


def to_jinja(fmt: Format, cast: object = None, *, generation_markers: bool = False) -> str:
    """The chat template of a format; see `Format.to_jinja`."""
    return Export(fmt, Cast.read(cast), markers=generation_markers).template()
