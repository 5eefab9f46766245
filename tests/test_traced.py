"""A traced string is a `str` in all that it says; its runs never claim what they do not know."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.errors import TemplateRaised
from rolecall.template.template import Template
from rolecall.template.traced import Origin, Run, Traced, runs_of, traced
from tests.support import template_reference as reference

# Letters that change their number with their case, marks of every kind, ends of lines, formats.
CALLERS = "abzAZß İǆﬁéΣσ\t\n\r\x0b\x85\u2028😀0½٣'\"\\{}%&<>_-:"
TEMPLATES = "αβγΓΔ"
"""Letters that no caller writes here, and of which no change makes a letter of the caller."""

FIELD = "content"


@st.composite
def strings(draw: st.DrawFn) -> Traced:
    """A traced string of a few runs: the template's, the caller's and unknown ones."""
    pieces = draw(
        st.lists(st.tuples(st.sampled_from("tcu"), st.text(CALLERS, max_size=6)), max_size=4)
    )
    text = ""
    runs: list[Run] = []
    for kind, piece in pieces:
        if not piece:
            continue
        origin = {"t": Origin("template"), "c": Origin("caller", 1, FIELD), "u": Origin("unknown")}[
            kind
        ]
        at = draw(st.integers(0, 5)) if kind == "c" else -1
        runs.append(Run(len(piece), origin, at))
        text += piece
    return Traced(text, tuple(runs))


def plain(value: Any) -> Any:
    """The same value without runs."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, (list, tuple)):
        return type(value)(plain(item) for item in value)  # type: ignore[call-arg]
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    return value


def outcome(action: Callable[[], Any]) -> Any:
    try:
        found = action()
    except Exception as error:
        return type(error), str(error)
    return list(found) if hasattr(found, "__next__") else found


def well_formed(value: Any) -> None:
    """Lengths of runs add up to the text; none is empty, and none could be joined to the next."""
    if isinstance(value, (list, tuple)):
        for item in value:
            well_formed(item)
    if isinstance(value, Traced):
        runs = runs_of(value)
        assert sum(run.length for run in runs) == len(value)
        assert all(run.length > 0 for run in runs)


SMALL = st.integers(-3, 12)
WORD = st.text(CALLERS, max_size=2)
OTHER = st.one_of(strings(), WORD, WORD.filter(bool))
ODD = st.sampled_from([None, 1, 1.5, b"a", [], {}, True])
COUNT = st.one_of(SMALL, ODD)
VALUE = st.one_of(OTHER, ODD)

METHODS: dict[str, tuple[st.SearchStrategy[Any], ...]] = {
    **dict.fromkeys(
        [
            "capitalize",
            "casefold",
            "lower",
            "upper",
            "swapcase",
            "title",
            "isalnum",
            "isalpha",
            "isascii",
            "isdecimal",
            "isdigit",
            "isidentifier",
            "islower",
            "isnumeric",
            "isprintable",
            "isspace",
            "istitle",
            "isupper",
            "encode",
            "split",
            "rsplit",
            "splitlines",
            "strip",
            "lstrip",
            "rstrip",
            "expandtabs",
            "__len__",
            "__hash__",
            "__repr__",
            "__iter__",
            "__bool__",
            "__index__",
        ],
        (),
    ),
    **dict.fromkeys(
        [
            "strip",
            "lstrip",
            "rstrip",
            "split",
            "rsplit",
            "partition",
            "rpartition",
            "removeprefix",
            "removesuffix",
            "count",
            "find",
            "rfind",
            "index",
            "rindex",
            "startswith",
            "endswith",
            "__contains__",
            "",
            "__eq__",
            "__ne__",
            "__lt__",
            "__le__",
            "__gt__",
            "__ge__",
            "join",
            "__mod__",
            "",
        ],
        (VALUE,),
    ),
    **dict.fromkeys(["", "", "expandtabs", "zfill", "__getitem__", "splitlines"], (COUNT,)),
    **dict.fromkeys(
        ["center", "ljust", "rjust"], (SMALL, st.one_of(st.sampled_from("xß "), VALUE))
    ),
    "replace": (VALUE, VALUE),
    "translate": (
        st.dictionaries(
            st.sampled_from(CALLERS).map(ord),
            st.one_of(st.none(), WORD, st.integers(65, 90)),
            max_size=3,
        ),
    ),
}
CALLS: list[tuple[str, tuple[st.SearchStrategy[Any], ...]]] = [
    *METHODS.items(),
    *((name, ()) for name in ("join", "center", "replace", "translate", "zfill", "index")),
    *((name, (OTHER,)) for name in ("strip", "split", "rsplit", "partition", "removeprefix")),
    *((name, (OTHER, COUNT)) for name in ("split", "rsplit", "find", "count", "startswith")),
    *((name, (OTHER, OTHER, COUNT)) for name in ("replace", "find")),
    *((name, (SMALL,)) for name in ("center", "ljust", "rjust")),
    ("join", (st.lists(VALUE, max_size=4),)),
    ("join", (st.lists(OTHER, max_size=4),)),
    ("startswith", (st.tuples(OTHER, OTHER),)),
    ("__mod__", (st.tuples(VALUE, VALUE),)),
    ("__mod__", (st.dictionaries(WORD, VALUE, max_size=2),)),
]


@pytest.mark.parametrize(
    ("name", "arguments"), CALLS, ids=[f"{name}/{len(given)}" for name, given in CALLS]
)
@given(data=st.data())
def test_methods_give_what_str_gives(
    name: str, arguments: tuple[st.SearchStrategy[Any], ...], data: st.DataObject
) -> None:
    text = data.draw(strings())
    given_to = [data.draw(one) for one in arguments]
    ours = outcome(lambda: getattr(text, name)(*given_to))
    theirs = outcome(lambda: getattr(plain(text), name)(*plain(given_to)))
    assert plain(ours) == theirs
    assert type(plain(ours)) is type(theirs)
    well_formed(ours)


def test_digits_that_are_no_width_are_no_limit() -> None:
    assert traced("30000000", 0, "content", {}) % () == "30000000"


OPERATORS = [operator.add, operator.mul, operator.mod, operator.eq, operator.lt, operator.contains]


@pytest.mark.parametrize("apply", OPERATORS, ids=lambda apply: apply.__name__)
@given(left=strings(), right=st.one_of(VALUE, SMALL))
def test_operators_give_what_str_gives(
    apply: Callable[[Any, Any], Any], left: Traced, right: Any
) -> None:
    for first, second in ((left, right), (right, left)):
        ours = outcome(lambda one=first, two=second: apply(one, two))
        theirs = outcome(lambda one=first, two=second: apply(plain(one), plain(two)))
        assert plain(ours) == theirs
        well_formed(ours)


PARTS = st.one_of(st.none(), SMALL)
FORMS = st.lists(
    st.sampled_from(
        ["%s", "%r", "%5s", "%-5s", "%.1s", "%%", "%d", "%(a)s", "%c", "%*s", "%", "x", "{"]
    ),
    max_size=4,
).map("".join)


@given(strings(), PARTS, PARTS, PARTS)
def test_slices_are_those_of_str(text: Traced, start: Any, end: Any, step: Any) -> None:
    part = slice(start, end, step)
    ours = outcome(lambda: text[part])
    assert plain(ours) == outcome(lambda: plain(text)[part])
    well_formed(ours)


@given(FORMS, st.one_of(st.tuples(VALUE, VALUE), st.tuples(VALUE), VALUE))
def test_percent_gives_what_str_gives(form: str, values: Any) -> None:
    text = Traced(form, (Run(len(form), Origin("template"), -1),) if form else ())
    for given_to in (values, {"a": values}):
        ours = outcome(lambda one=given_to: text % one)
        assert plain(ours) == outcome(lambda one=given_to: form % plain(one))
        well_formed(ours)


# Whole templates: caller bytes are never the template's, and copies are copies.

PIECES = (
    "{{ C }}",
    "{{ 'αβ' ~ C ~ 'γ' }}",
    "{{ 'α' + C + 'β' }}",
    "{{ C * 2 }}{{ 2 * C }}",
    "{{ 'α%sβ%sγ' % (C, C) }}",
    "{{ 'α%(x)sβ' % {'x': C} }}",
    "{{ 'α%9s|%-9s' | format(C, C) }}",
    "{{ '%r%.2s' | format(C, C) }}",
    "{{ 'α{}β{x:>9}{0!r}γ'.format(C, x=C) if false }}{{ 'α{0}β{x:>9}{0!r}'.format(C, x=C) }}",
    "{{ '{x}α{x:*^9}'.format_map({'x': C}) }}",
    "{{ ('α%sβ' | safe) % C }}{{ ('α{}' | safe).format(C) }}",
    "{{ 'αβ'.join([C, 'γ', C]) }}{{ C.join(['α', 'β', 'γ']) }}",
    "{{ [C, 'α', 1, C] | join('β') }}{{ [{'k': C}, {'k': 'α'}] | join(C, attribute='k') }}",
    "{{ 'αβα'.replace('α', C) }}{{ C.replace('a', 'α') }}{{ ('α' ~ C).replace('a', 'β', 1) }}",
    "{{ ('αβα' ~ C) | replace('α', C, 1) }}{{ C | replace('', 'α') }}",
    "{% for x in ('α' ~ C ~ 'β').split() %}[{{ x }}]{% endfor %}",
    "{% for x in ('α' ~ C ~ 'β').split('a') %}[{{ x }}]{% endfor %}",
    "{% for x in (C ~ 'α' ~ C).rsplit('a', 1) %}[{{ x }}]{% endfor %}",
    "{% for x in (C ~ 'α' ~ C).splitlines(true) %}[{{ x }}]{% endfor %}",
    "{{ (C ~ 'α' ~ C).partition('α')[2] }}{{ (C ~ 'α' ~ C).rpartition('α')[0] }}",
    "{{ C.strip() }}{{ (' α' ~ C).lstrip() }}{{ (C ~ 'α ').rstrip('α ') }}{{ C | trim('a') }}",
    "{{ C[1:] }}{{ C[:-1] }}{{ ('α' ~ C)[::2] }}{{ (C ~ 'α')[::-1] }}{{ C[0] }}{{ C[-1] }}",
    "{{ C.upper() }}{{ ('α' ~ C) | upper }}{{ C | lower }}{{ C | title }}{{ C | capitalize }}",
    "{{ (C ~ 'α').swapcase() }}{{ C.casefold() }}{{ (C ~ 'αβ').title() }}",
    "{{ C.center(12, 'α') }}{{ 'α'.ljust(9, C[:1] or 'β') }}{{ C | center(12) }}{{ C.zfill(9) }}",
    "{{ C.translate({97: 'α', 98: C}) }}{{ 'ααβ'.translate({945: C}) }}{{ ('α' ~ C).expandtabs(3) }}",
    "{{ ('α\\n' ~ C ~ '\\n' ~ C) | indent(2) }}{{ C | indent('γ', true, true) }}",
    "{{ C | tojson }}{{ {'α': C, C: 'β'} | tojson(sort_keys=true) }}",
    "{{ [C, 'α', 1, none, true] | tojson(indent=2, ensure_ascii=true) }}",
    "{{ {'α': [C], 'x': {}} | tojson(separators=(',', ':'), indent='β') }}",
    "{{ [C, 'α', {'k': (C,)}] }}{{ {'α': C} | string }}{{ messages[0] }}{{ (C, 1) }}",
    "{{ C | wordwrap(4) }}{{ C | truncate(5, true, 'α', 0) }}{{ ('αβ ' ~ C) | truncate(6) }}",
    "{{ x | default(C) }}{{ C or 'α' }}{{ C | default('α', true) }}",
    "{% macro m(a) %}α{{ a }}{{ caller() if caller }}{% endmacro %}{{ m(C) }}{{ m(C) | upper }}",
    "{% macro k() %}α{{ caller(C) }}{% endmacro %}{% call(x) k() %}β{{ x }}{% endcall %}",
    "{% set s %}α{{ C }}{% endset %}{{ s }}{{ s[1:] }}{% filter upper %}α{{ C }}{% endfilter %}",
    "{% autoescape true %}{{ C }}{{ 'α<' ~ C }}{{ C | safe }}{{ C | e }}{% endautoescape %}",
    "{% autoescape true %}{{ ('<α>' | safe) + C }}{{ [C, 'α'] | join('<') }}{% endautoescape %}",
    "{% autoescape true %}{% set s %}α{{ C }}{% endset %}{{ s }}{{ s | upper }}{% endautoescape %}",
    "{{ C | safe }}{{ (C | safe) ~ 'α' }}{{ (C | e) + 'α' }}{{ 'α' + (C | e) }}{{ C | forceescape }}",
    "{{ (C | safe).upper() }}{{ (C | e)[1:] }}{{ (C | safe) * 2 }}{{ C | striptags }}{{ C | urlize }}",
    "{% set ns = namespace(t='α') %}{% set ns.t = ns.t ~ C %}{{ ns.t }}",
    "{% for m in messages %}{{ loop.previtem.content }}{{ m.content }}{{ loop.nextitem.role }}"
    "{% endfor %}",
    "{% for g in messages | groupby('role') %}{{ g.grouper }}α{{ g.list[0].content }}{% endfor %}",
    "{{ messages | map(attribute='content') | join('α') }}{{ [C] | map('upper') | first }}",
    "{{ messages | selectattr('role', 'eq', 'user') | map(attribute='content') | list }}",
    "{{ messages[0] | dictsort }}{{ messages[0] | items | list }}{{ C | reverse }}{{ C | list }}",
    "{{ C | first }}{{ C | last }}{{ [C, 'α'] | reverse | join }}{{ [C, 'β'] | sort | join }}",
    "{% for b in [C, 'α', C] | batch(2, 'β') %}{{ b | join }}{% endfor %}",
    "{% for b in [C, 'α', C] | slice(2, 'β') %}{{ b | join }}{% endfor %}",
    "{{ [C, 'α', C] | unique | join }}{{ [C, 'α'] | max }}{{ [C] | sum(start='α') if false }}",
    "{% for c in C %}{{ c }}α{% endfor %}{{ C | pprint }}{{ {'x': C} | xmlattr }}{{ C | urlencode }}",
    "{% generation %}α{{ C }}{% endgeneration %}{{ C | string }}{{ C ~ none ~ 1 }}{{ C.encode() }}",
    "{{ '%s' | format([C, 'α']) }}{{ '{}'.format([C, 'α']) }}{{ C.removeprefix('a') }}",
    "{{ cycler(C, 'α').next() }}{{ dict(a=C, b='α') }}{{ C if C is string }}{{ C | wordcount }}",
)
compiled = cache(Template.from_text)
ORIGINALS = frozenset("αβγ")


@pytest.mark.parametrize("jinja", PIECES)
@given(content=st.text(CALLERS, max_size=12), role=st.sampled_from(["user", "system"]))
def test_the_callers_characters_are_never_the_templates(
    jinja: str, content: str, role: str
) -> None:
    """The alphabets have nothing in common, so each character of the output tells whose it is."""
    whole = "{% set C = messages[0].content %}" + jinja
    messages = [{"role": role, "content": content}, {"role": "assistant", "content": "ok"}]
    theirs = reference.render(whole, messages)
    if isinstance(theirs, reference.Failed):
        with pytest.raises(TemplateRaised) as caught:
            compiled(whole).trace(messages)
        assert caught.value.kind == theirs.type
        return
    trace = compiled(whole).trace(messages)
    assert trace.text == theirs.text
    at = 0
    escapes = "\\\\u0123456789abcdef" if "ensure_ascii" in jinja else ""
    written = frozenset(jinja + escapes)
    for span in trace.spans:
        shown = trace.text[span.start : span.end]
        assert span.start == at < span.end
        at = span.end
        if span.origin.kind in ("template", "token"):
            assert set(shown.lower()) <= {c.lower() for c in written} | set(" \n"), shown
        if span.origin.kind == "caller":
            assert not ORIGINALS & set(shown.lower()), shown
            # Keys are the caller's as well, and are no inputs.
            if span.at >= 0 and not span.origin.field.endswith("}"):
                source = trace.inputs[span.message, span.origin.field]
                assert source[span.at : span.at + len(shown)] == shown
    assert at == len(trace.text)


@given(st.text("ÖÄÜ\n ", max_size=9), st.sampled_from(PIECES))
def test_letters_of_the_caller_alone_are_never_claimed(content: str, jinja: str) -> None:
    whole = "{% set C = messages[0].content %}" + jinja
    try:
        trace = compiled(whole).trace([{"role": "user", "content": content}])
    except TemplateRaised:
        return
    for span in trace.spans:
        if span.origin.kind in ("template", "token", "printed"):
            assert not set("öäü") & set(trace.text[span.start : span.end].lower()), span


@given(st.recursive(st.one_of(st.text(CALLERS), st.integers(), st.none(), st.floats()), st.lists))
def test_a_copy_of_the_callers_values_is_equal(value: Any) -> None:
    inputs: dict[Any, str] = {}
    copied = traced(value, 0, "content", inputs)
    assert repr(copied) == repr(value)
    for text in inputs.values():
        assert type(text) is str


SHORTCUTS = (
    "{{ 'a' + none + raise_exception('later') }}",
    "{{ 'a' + messages[0].content + messages[0].absent + raise_exception('later') }}",
    "{{ absent + 'a' + 'b' }}",
    "{{ 1 + 'a' + 'b' }}",
    "{{ 1 + 2 + 3 }}{{ [1] + [2] }}{{ 'a' + 'b' + messages[0].content + 'c' + 'd' }}",
    "{{ 'a' ~ 1 ~ none ~ messages[0].content }}{{ ('a' ~ 1) + 'b' }}",
    "{% for m in messages %}{{ m.items }}{% endfor %}",
    "{% for m in messages %}{{ m.get('role') }}{{ m['get'] }}{{ m.absent }}{{ m['pop'] }}{% endfor %}",
    "{% set n = namespace(x=1) %}{{ n.x }}{{ n.absent }}{{ n._x }}{{ n.__class__ }}",
    "{% for m in messages %}{{ loop.index }}{{ loop.last }}{{ loop.absent }}{{ loop.cycle(1, 2) }}{% endfor %}",
    "{{ messages[0].content.strip('x', 'y') }}",
    "{{ messages[0].content.startswith(none) }}",
    "{{ messages[0].content.split(messages[0].role)[0].upper() }}{{ messages[0].get([]) }}",
    "{{ tools[0] | tojson }}{{ tools[0] | tojson(indent=1) }}{{ tools[0] | tojson(indent=true) }}",
    "{{ tools | tojson }}{{ tools | tojson(sort_keys=1) }}{{ tools | tojson(ensure_ascii=true) }}",
    "{% block b %}{% for m in messages %}{{ m.role + ':' + m.content }}{% endfor %}{% endblock %}{{ self.b() }}",
    "{% macro f(m) %}{{ m.role + '|' }}{% endmacro %}{% for m in messages %}{{ f(m) + 'x' }}{% endfor %}",
    "{{ 'role' in messages[0] }}{{ [1] in [[1]] }}{{ messages[0] in messages }}{{ {} in messages[0] }}",
)
"""Where what is written takes a short way, and ways that only look like one."""


@pytest.mark.parametrize("jinja", SHORTCUTS)
def test_short_ways_end_where_jinjas_do(jinja: str) -> None:
    chat: list[dict[str, Any]] = [
        {"role": "user", "content": " x<b>é ", "items": "own"},
        {"role": "assistant", "content": "y"},
    ]
    tools = [{"b": "é", "a": [1, 1.5, True, None, [], {}, ["x\n"]]}]
    theirs = reference.render(jinja, chat, tools=tools)
    template = Template.from_text(jinja)
    try:
        ours: Any = reference.Rendered(template.trace(chat, tools).text)
    except TemplateRaised as raised:
        ours = reference.Failed(raised.kind, raised.reason, raised.by_template)
    # Methods are printed with where they are in memory.
    assert re.sub("0x[0-9a-f]+", "", str(ours)) == re.sub("0x[0-9a-f]+", "", str(theirs))
