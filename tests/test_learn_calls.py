"""Learning tools, calls, results and reasoning: from probes to tables, and what is refused."""

from __future__ import annotations

import random
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall import pattern
from rolecall.errors import FormatFileError
from rolecall.learn import calls, learning, reasoning, results, tools
from rolecall.learn.cells import Ref, fit, flat, repeated, spelled
from rolecall.learn.conversations import KINDS, Domain, conversation, settled
from rolecall.learn.draft import Draft, Inexpressible
from rolecall.learn.probe import Prober
from rolecall.learn.prove import compare
from rolecall.learn.restrictions import RESTRICTIONS, Case
from rolecall.pattern import Piece
from rolecall.template.template import Template
from rolecall.turn import text_of

STEPS = {
    "tools": tools.tools,
    "calls": calls.calls,
    "results": results.results,
    "reasoning": reasoning.reasoning,
    "options": reasoning.options,
}

# Templates of our own, each with one habit that published ones have.

HEAD = """
{%- if tools %}{{- '<|im_start|>system\\n' }}
{%- if messages[0].role == 'system' %}{{- messages[0].content + '\\n\\n' }}{%- endif %}
{{- 'Tools:' }}{%- for tool in tools %}{{- '\\n' + TOOL }}{%- endfor %}
{{- '\\nCall them.<|im_end|>\\n' }}
{%- elif messages[0].role == 'system' %}
{{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}{%- endif %}
"""
ALWAYS = """
{{- '<|im_start|>system\\nBe kind.' }}
{%- if messages[0].role == 'system' and messages[0].content %}
{{- '\\n\\n' + messages[0].content }}{%- endif %}
{%- if tools %}{{- '\\nTools:' }}
{%- for tool in tools %}{{- '\\n' + (tool | tojson) }}{%- endfor %}{%- endif %}
{{- '<|im_end|>\\n' }}
"""
TURNS = """
{%- set ns = namespace(last=-1) %}
{%- for message in messages %}{%- if message.role == 'user' %}{%- set ns.last = loop.index0 %}
{%- endif %}{%- endfor %}
{%- for message in messages %}
{%- if message.role == 'user' %}
{{- '<|im_start|>user\\n' + message.content + '<|im_end|>\\n' }}
{%- elif message.role == 'assistant' %}
{{- '<|im_start|>assistant\\n' }}
{%- if message.reasoning_content and loop.index0 > ns.last %}
{{- '<think>\\n' + message.reasoning_content.strip() + '\\n</think>\\n' }}{%- endif %}
{{- message.content or '' }}
{%- for call in message.tool_calls or [] %}
{%- if message.content or not loop.first %}{{- '\\n' }}{%- endif %}
{{- CALL }}
{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- elif message.role == 'tool' %}
{{- RESULT }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}
{%- if thinking is defined and not thinking %}{{- '<think>\\n\\n</think>\\n' }}{%- endif %}
{%- endif %}
"""
CALL = (
    '\'<tool_call>{"name": "\' + call.function.name + \'", "arguments": \' + '
    "(call.function.arguments | tojson) + '}</tool_call>'"
)
RESULT = "'<|im_start|>tool\\n' + message.content + '<|im_end|>\\n'"
GROUPED = (
    "('<|im_start|>user' if loop.previtem.role != 'tool' else '') + '\\n<tool_response>\\n' + "
    "message.content + '\\n</tool_response>' + "
    "('<|im_end|>\\n' if loop.last or loop.nextitem.role != 'tool' else '')"
)
EACH = (
    "'<tool_call>' + call.function.name + "
    "(call.function.arguments.items() | map('join', '=') | join(',')) + '</tool_call>'"
)


def jinja(tool: str = "(tool | tojson)", call: str = CALL, result: str = RESULT) -> str:
    return HEAD.replace("TOOL", tool) + TURNS.replace("CALL", call).replace("RESULT", result)


class Learnt:
    """A draft, and why some steps claim nothing."""

    def __init__(self, source: str) -> None:
        self.prober = Prober(Template.from_text(source), seconds=120)
        own = learning.Learning(self.prober)
        self.draft = own.plain(own.read())
        self.reasons: dict[str, str] = {}
        for name, step in STEPS.items():
            tried = self.draft.copy()
            try:
                step(self.prober, tried)
            except (Inexpressible, FormatFileError) as error:
                self.reasons[name] = str(error)
            else:
                self.draft = tried

    @property
    def claims(self) -> set[str]:
        return self.draft.known["claims"]

    def differences(self, kind: str, count: int = 60) -> list[Any]:
        """What the template writes otherwise, of random conversations that were not learnt on."""
        fmt = self.draft.format()
        rng = random.Random(f"unseen {kind}")
        domain: Domain = self.draft.known["domain"]
        cases = (conversation(rng, domain, kind) for _ in range(count))
        found = (compare(self.prober, fmt, case, whole=True) for case in cases)
        return [one for one in found if one is not None]


# Patterns that write several texts.

VARIABLES = ("calls", "thinks", "content")
LITERALS = ("<a>", "\n", "x", " ", "</a>")


@st.composite
def patterns(draw: st.DrawFn, depth: int = 2) -> str:
    made: list[str] = []
    for _ in range(draw(st.integers(0, 3))):
        kind = draw(st.sampled_from(("literal", "slot", "group") if depth else ("literal", "slot")))
        if kind == "literal":
            made.append(draw(st.sampled_from(LITERALS)))
        elif kind == "slot":
            made.append("{" + draw(st.sampled_from(("content", "calls"))) + "}")
        else:
            sign = draw(st.sampled_from(("", "!")))
            inner = draw(patterns(depth - 1))
            made.append("{" + sign + draw(st.sampled_from(VARIABLES)) + "?" + inner + "}")
    return "".join(made)


def written(source: str, filled: frozenset[str]) -> str:
    pieces: list[Piece] = []
    values = {name: (Piece(name.upper(), "content"),) for name in filled}
    nodes = pattern.parse(source, slots=VARIABLES, control=())
    pattern.write(nodes, values, "content", pieces.append)
    return text_of(tuple(pieces))


def cell(text: str) -> tuple[Any, ...]:
    found: list[Any] = [text]
    for name in VARIABLES:
        for number in range(len(found) - 1, -1, -1):
            if isinstance(found[number], str):
                pieces: list[Any] = []
                for part in found[number].split(name.upper()):
                    pieces += [Ref(name), part] if pieces else [part]
                found[number : number + 1] = pieces
    return flat(found)


@given(patterns())
def test_a_fitted_pattern_writes_every_cell(source: str) -> None:
    keys = [frozenset(n for n, on in zip(VARIABLES, bits, strict=True) if on) for bits in BITS]
    cells = {key: cell(written(source, key)) for key in keys}
    made = fit(cells, VARIABLES)
    assert {key: written(made, key) for key in keys} == {key: written(source, key) for key in keys}


BITS = [(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)]


def test_the_pattern_is_one_that_a_person_would_write() -> None:
    content, both = (Ref("content"),), (Ref("content"), "\n", Ref("calls"))
    cells = {
        frozenset(("content",)): content,
        frozenset(("calls",)): (Ref("calls"),),
        frozenset(("content", "calls")): both,
        frozenset[str](): (),
    }
    assert fit(cells, VARIABLES) == "{content}{calls?{content?\n}{calls}}"


def test_cells_that_no_slot_tells_apart() -> None:
    with pytest.raises(Inexpressible, match="no slot tells when"):
        fit({frozenset(("content",)): ("a",), frozenset(("content", "name")): ("b",)}, ("content",))


def test_what_stands_around_several_of_a_kind() -> None:
    def items(count: int) -> tuple[Any, ...]:
        made: list[Any] = ["["]
        for number in range(count):
            made += [", " if number else "", "<f>", Ref(f"tool#{number}"), "</f>"]
        return flat([*made, "]"])

    rule = repeated(items(1), items(2), items(3))
    assert [spelled(part) for part in rule] == ["[", "<f>{tool}</f>", ", ", "]"]
    with pytest.raises(Inexpressible, match="one of several is not written"):
        repeated(items(1), items(1), items(3))


# Random conversations.


@pytest.mark.parametrize("name", RESTRICTIONS)
def test_a_domain_leaves_out_what_it_says(name: str) -> None:
    rule = RESTRICTIONS[name]
    shown = False
    for kind in KINDS:
        wide = Domain(calls=True, results=True, tools=True)
        narrow = Domain(calls=True, results=True, tools=True, without=frozenset((name,)))
        for domain in (wide, narrow):
            rng = random.Random(f"{name} {kind}")
            found = any(rule.holds(conversation(rng, domain, kind)) for _ in range(80))
            shown = shown or found
            # Conversations of the kind tools make no calls, so that all of them hold this.
            assert not (found and domain is narrow) or (kind, name) == (
                "tools",
                "tools without calls",
            )
    assert shown


@pytest.mark.parametrize("name", ["empty arguments", "result ends", "several calls"])
def test_as_little_is_left_out_as_it_takes(name: str) -> None:
    domain = Domain(calls=True, results=True)

    def fails(case: Case) -> bool:
        return RESTRICTIONS[name].holds(case)

    found = settled(domain, "calls", fails, seed="x", count=120)
    assert found is not None
    assert found.without == {name}
    assert found.limits == (RESTRICTIONS[name].sentence,)
    assert settled(domain, "calls", lambda _: True, seed="x", count=120) is None


# Templates.


def test_everything_is_learnt() -> None:
    made = Learnt(jinja())
    assert made.reasons == {}
    assert made.claims >= {"tools", "calls", "results", "reasoning"}
    for kind in KINDS:
        assert made.differences(kind) == []
    tables = tomllib.loads(made.draft.toml())
    assert tables["tools"] == {"each": "\n{tool}"}
    assert tables["calls"] == {
        "each": '<tool_call>{"name": "{call_name}", "arguments": {arguments}}</tool_call>',
        "join": "\n",
    }
    assert tables["reasoning"] == {"keep": "after-last-client"}
    assert tables["options"]["thinking"]["default"] is True
    assert tables["turn"]["model"]["prompt"] == "{!thinking?<think>\n\n</think>\n}"


def test_grouped_results() -> None:
    made = Learnt(jinja(result=GROUPED))
    assert "results" in made.claims
    assert "group" in made.draft.turn("tool")
    assert made.differences("results") == []


def test_a_system_turn_that_is_always_there() -> None:
    source = ALWAYS + TURNS.replace("CALL", CALL).replace("RESULT", RESULT)
    made = Learnt(source)
    assert made.draft.tables["system"]["default"] == ""
    body = made.draft.turn("owner")["body"]
    assert body == "{content?\n\n}{content}{tools?\nTools:{tools}}"
    assert made.differences("tools") == made.differences("results") == []


def test_the_function_alone() -> None:
    made = Learnt(jinja(tool="(tool.function | tojson(indent=2))"))
    assert made.draft.tables["tools"] == {"indent": 2, "each": "\n{function}"}
    assert made.differences("tools") == []


@pytest.mark.parametrize(
    ("habit", "step", "reason"),
    [
        ({"call": EACH}, "calls", "each argument by itself"),
        ({"tool": "tool.function.name"}, "tools", "a notation of its own"),
        ({"result": "''"}, "results", "does not write the results"),
    ],
)
def test_what_the_language_has_no_words_for(habit: dict[str, str], step: str, reason: str) -> None:
    made = Learnt(jinja(**habit))
    assert reason in made.reasons[step]
    assert step not in made.claims


def test_arguments_that_are_wanted_as_text() -> None:
    made = Learnt(jinja(call=CALL.replace("tojson", "string")))
    assert made.draft.known["form"].arguments == "string"
    assert made.differences("results") == []


def test_a_habit_that_a_few_probes_do_not_show() -> None:
    # Names of seven characters and more are written otherwise; random ones find that out.
    name = "(call.function.name if call.function.name | length < 7 else 'long')"
    made = Learnt(jinja(call=CALL.replace("call.function.name", name)))
    assert "calls" not in made.claims
    assert "the template makes" in made.reasons["calls"]


def test_a_draft_is_left_as_it_was_where_a_step_claims_nothing() -> None:
    prober = Prober(Template.from_text("{% for m in messages %}{{ m.content }}\n{% endfor %}"))
    draft = Draft({"turn": {a: {"end": "\n"} for a in ("client", "model")}})
    before = draft.copy()
    for step in (tools.tools, calls.calls, reasoning.reasoning):
        with pytest.raises(Inexpressible):
            step(prober, draft.copy())
    assert draft.tables == before.tables
