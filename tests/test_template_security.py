"""A template is foreign code: it reaches nothing outside of it, and uses up no machine.

The escapes are those that were published: CVE-2024-34359 (llama-cpp-python), CVE-2025-61620 (vLLM),
CVE-2024-56201, CVE-2024-56326, CVE-2025-27516 (Jinja), and what is known of sandboxes in Python.
"""

from __future__ import annotations

import dataclasses
import enum
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rolecall.errors import TemplateError, TemplateLimit, TemplateRaised
from rolecall.template.limits import Limits
from rolecall.template.template import Template

MESSAGES: list[dict[str, Any]] = [
    {"role": "user", "content": "hello <b>world</b>"},
    {"role": "assistant", "content": "ok", "tags": ["a", {"b": 1.5}], "n": 3},
]

SECONDS = 15.0
"""Far more than the limit on time, for a machine that is busy."""


def run(jinja: str, messages: list[dict[str, Any]] | None = None, **options: Any) -> str:
    template = Template.from_text(jinja, tokens={"bos_token": "<s>", "eos_token": "</s>"})
    return template.trace(MESSAGES if messages is None else messages, **options).text


# Escapes.

OBJECTS = (
    "messages",
    "messages[0]",
    "messages[0].content",
    "messages[0].content[0]",
    "messages[1].n",
    "messages[1].tags",
    "messages[1].tags[1].b",
    "'a'",
    "('a'|safe)",
    "1",
    "1.5",
    "none",
    "[]",
    "{}",
    "()",
    "bos_token",
    "missing",
    "self",
    "cycler",
    "cycler(1)",
    "joiner",
    "joiner()",
    "lipsum",
    "range",
    "range(3)",
    "dict",
    "namespace",
    "namespace(a=1)",
    "raise_exception",
    "strftime_now",
    "messages.append",
    "'a'.upper",
    "'a'.format",
    "messages[0].items()",
    "messages|map('string')",
    "'a'.encode()",
    "macro",
    "loop",
)
INSIDE = (
    "__class__",
    "__init__",
    "__globals__",
    "__builtins__",
    "__subclasses__",
    "__mro__",
    "__base__",
    "__dict__",
    "__code__",
    "__closure__",
    "__self__",
    "__func__",
    "__module__",
    "__getattribute__",
    "__reduce__",
    "__reduce_ex__",
    "__call__",
    "__doc__",
    "__slots__",
    "_runs",
    "_origin",
    "_part",
    "_between",
    "_changed",
    "_Namespace__attrs",
    "_iterator",
    "_TemplateReference__context",
    "_undefined_exception",
    "_environment",
    "_func",
    "gi_frame",
    "gi_code",
    "f_globals",
    "f_back",
    "cr_frame",
    "ag_frame",
    "tb_frame",
    "mro",
)

REACH = (
    "{{{{ ({0}).{1} is defined }}}}",
    "{{{{ ({0})['{1}'] is defined }}}}",
    "{{{{ ({0})|attr('{1}') is defined }}}}",
    "{{{{ [{0}]|map(attribute='{1}')|first is defined }}}}",
    "{{{{ ['{{0.{1}}}'.format({0})] != [''] and false }}}}",
)


def outcome(jinja: str) -> str:
    try:
        return run(jinja)
    except TemplateRaised as error:
        return error.kind


@pytest.mark.parametrize("place", OBJECTS)
@pytest.mark.parametrize("reach", REACH)
def test_nothing_of_python_can_be_reached(place: str, reach: str) -> None:
    """Whatever way an attribute is asked for, it is undefined or an error."""
    for name in INSIDE:
        ask = reach.format(place, name)
        around = f"{{% macro macro() %}}{{% endmacro %}}{{% for x in [1] %}}{ask}{{% endfor %}}"
        assert outcome(around) in ("False", "SecurityError", "UndefinedError"), ask


ESCAPES = (
    # CVE-2024-34359: what a GGUF file's template did where there was no sandbox.
    "{% for x in ().__class__.__base__.__subclasses__() %}{% if 'warning' in x.__name__ %}"
    "{{ x()._module.__builtins__['__import__']('os').popen('id').read() }}{% endif %}{% endfor %}",
    "{{ ''.__class__.__mro__[1].__subclasses__()[0].__name__ }}",
    "{{ self.__init__.__globals__.__builtins__.__import__('os').popen('id').read() }}",
    "{{ self._TemplateReference__context.cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ joiner.__init__.__globals__.os.popen('id').read() }}",
    "{{ namespace.__init__.__globals__.os.popen('id').read() }}",
    "{{ lipsum.__globals__['os'].popen('id').read() }}",
    "{{ lipsum.__globals__.os.popen('id').read() }}",
    "{{ (lipsum|attr('__globals__'))['os'].popen('id').read() }}",
    "{{ lipsum|attr('\\x5f\\x5fglobals\\x5f\\x5f') + 1 }}",
    "{{ raise_exception.__globals__['__builtins__'].open('/etc/passwd').read() }}",
    "{{ strftime_now.__globals__['datetime'] + 1 }}",
    "{{ undefined.__class__.__init__.__globals__ + 1 }}",
    "{{ dict.__base__.__subclasses__() + 1 }}",
    "{{ (dict|attr('__class__')) + 1 }}",
    "{{ [dict]|map(attribute='__class__')|list|first + 1 }}",
    "{{ ''|attr('format')|attr('__globals__') + 1 }}",
    "{{ messages|map(attribute='__class__.__mro__')|first + 1 }}",
    "{{ messages|groupby('__class__')|list|first|first + 1 }}",
    "{{ messages|sort(attribute='__class__.__name__')|first|first + 1 }}",
    "{{ messages|selectattr('__class__')|first + 1 }}",
    "{{ messages|sum(attribute='__class__') }}",
    # CVE-2024-56326: a reference to str.format that is called by something else.
    "{{ ['{0.__class__.__mro__[1].__subclasses__}']|map('format', '')|first|length > 9999 or 1/0 }}",
    "{% macro m(f) %}{{ f('') + 1 }}{% endmacro %}{{ m('{0.__class__.__mro__}'.format) }}",
    "{% set f='{0.__class__}'.format %}{{ f('') ~ [1][f('')] ~ (f('')|length > 99 or 1/0) }}",
    "{% set f='{a.__class__}'.format_map %}{{ f({'a': ''})|length > 99 or 1/0 }}",
    "{{ ['']|map('{0.__class__}'.format)|first }}",
    # CVE-2025-27516: the same by way of `attr`.
    "{{ ('{0.__class__}'|attr('format'))('')|length > 99 or 1/0 }}",
    "{{ ('{0.__class__}'|attr('format_map'))({'0': ''})|length > 99 or 1/0 }}",
    "{{ ['{0.__class__}']|map(attribute='format')|first|attr('__call__')('') }}",
    "{{ ('{0.__class__}'|safe).format('')|length > 99 or 1/0 }}",
    "{{ (('{0.__class__}'|safe)|attr('format'))('')|length > 99 or 1/0 }}",
    # Frames.
    "{% for x in messages|map('string') %}{{ loop._iterator.gi_frame.f_globals + 1 }}{% endfor %}",
    "{{ (messages|map('string')).gi_frame.f_back + 1 }}",
    "{{ (messages|select).gi_code + 1 }}",
    # The caller of a macro and what its names hold.
    "{% macro m() %}{{ caller._func.__globals__ + 1 }}{% endmacro %}{% call m() %}{% endcall %}",
    "{% macro m() %}{{ caller._environment + 1 }}{% endmacro %}{% call m() %}{% endcall %}",
    "{% macro m() %}{% endmacro %}{{ m._environment.filters + 1 }}",
    "{% macro m() %}{% endmacro %}{{ m._func.__code__ + 1 }}",
    "{{ environment.filters + 1 }}",
    "{{ context.environment + 1 }}",
    "{{ resolve('environment') }}",
    "{{ self.environment + 1 }}",
    # Namespaces, whose names are attributes.
    "{% set ns = namespace() %}{% set ns.__class__ = 1 %}",
    "{% set ns = namespace() %}{% set ns.__init__ = 1 %}",
    "{{ namespace(__class__=1) }}",
    "{{ namespace({'__class__': 1}) }}",
    "{{ namespace()._Namespace__attrs + 1 }}",
    # Loading, for which there is nothing.
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}{{ os.system('id') }}",
    "{% from 'os' import system %}{{ system('id') }}",
    "{% extends 'x' %}",
    "{% debug %}",
    "{% do messages.append(1) %}",
    # Changing what the caller gave.
    "{{ messages.append(1) }}",
    "{{ messages[0].update({'a': 1}) }}",
    "{{ messages[0].pop('content') }}",
    "{{ messages.clear() }}",
    "{{ (messages|attr('append'))(1) }}",
    "{{ messages[0]['update']({'a': 1}) }}",
    "{{ messages|map('append')|list }}",
    # A name of a template is a place in the generated Python (CVE-2024-56201).
    "{% block a.b %}{% endblock %}",
    "{% from '\\n' import a %}",
)


@pytest.mark.parametrize("jinja", ESCAPES)
def test_published_escapes_fail(jinja: str) -> None:
    with pytest.raises(TemplateError) as caught:
        run(jinja)
    assert not isinstance(caught.value, TemplateLimit)
    assert MESSAGES[0]["content"] == "hello <b>world</b>"


def test_a_template_has_a_name_that_does_no_harm() -> None:
    """CVE-2024-56201 put Python into the name of a template, which generated code repeats."""
    name = "{x}'''\n__import__('os').system('id')#"
    template = Template.from_text("{{ 1 }}", name=name)
    assert template.trace([]).text == "1"


# What the caller hands over.


class Harmful:
    """An object with a method that no template may call."""

    touched = False

    def save(self, path: str = "") -> str:
        type(self).touched = True
        return path

    def __str__(self) -> str:
        type(self).touched = True
        return "secret"

    __repr__ = __str__
    __call__ = save

    def __getitem__(self, key: object) -> object:
        type(self).touched = True
        return key


class Colour(enum.StrEnum):
    RED = "red"

    def leak(self) -> str:
        raise AssertionError


@dataclasses.dataclass
class Block:
    type: str
    image: object


class Dumped:
    def model_dump(self) -> dict[str, Any]:
        return {"text": "hi"}


@pytest.mark.parametrize(
    "value",
    [Harmful(), Harmful, print, b"bytes", bytearray(3), {1, 2}, object(), np.zeros(3), iter([])],
    ids=lambda value: type(value).__name__,
)
def test_objects_of_the_caller_are_no_more_than_their_name(value: object) -> None:
    Harmful.touched = False
    messages = [{"role": "user", "content": [{"type": "image", "image": value}]}]
    jinja = "{{ messages[0].content[0].image }}{{ x }}{{ messages[0].content[0].image is string }}"
    shown = f"<{type(value).__name__}>"
    assert run(jinja, messages, x=value) == f"{shown}{shown}True"
    trace = Template.from_text(jinja).trace(messages, x=value)
    assert trace.spans[0].origin.kind == "unknown"
    for call in ("save('/tmp/x')", "save", "read()", "__call__()", "decode()"):
        with pytest.raises(TemplateRaised):
            run(f"{{{{ messages[0].content[0].image.{call} + 1 }}}}", messages)
    assert not Harmful.touched


def test_plain_data_of_the_caller_is_as_transformers_hands_it_over() -> None:
    messages = [{"role": Colour.RED, "content": Block("image", Dumped()), "t": (1, "a")}]
    jinja = (
        "{{ messages[0].role }} {{ messages[0].content.image.text }} {{ messages[0].t }} {{ n }}"
    )
    assert run(jinja, messages, n=np.float64(1.5)) == "red hi (1, 'a') 1.5"
    assert run("{{ messages[0].role.leak is defined }}", messages) == "False"
    assert run("{{ 1 if flag else 2 }}", messages, flag=np.bool_(False)) == "2"


def test_the_messages_are_not_changed() -> None:
    given: list[dict[str, Any]] = [{"role": "user", "content": ["a", {"b": []}]}]
    run("{% set x = messages[0] %}{% for p in x.content %}{{ p }}{% endfor %}", given)
    assert given == [{"role": "user", "content": ["a", {"b": []}]}]


def test_messages_that_nest_without_end_are_an_error() -> None:
    value: list[Any] = []
    for _ in range(5_000):
        value = [value]
    with pytest.raises(TemplateLimit, match="too deep"):
        run("{{ messages }}", [{"role": "user", "content": value}])


# Bombs.


def doubled(value: str, start: str = "['a']", times: int = 60) -> str:
    """Jinja that sets `ns.x` to something that holds itself twice, again and again."""
    return (
        f"{{% set ns = namespace(x={start}) %}}"
        f"{{% for i in range({times}) %}}{{% set ns.x = {value} %}}{{% endfor %}}"
    )


LISTS = doubled("[ns.x, ns.x]")
TWO_LISTS = f"{LISTS}{{% set y = ns.x %}}{{% set ns.x = ['a'] %}}" + LISTS.split("%}", 1)[1]
TUPLES = doubled("(ns.x, ns.x)", "('a',)")
DEEP = doubled("(ns.x,)", "()", 50_000)

LARGE = (
    "'a'*10**10",
    "10**10*'a'",
    "messages[0].content*10**10",
    "('a'|safe)*10**10",
    "'a'.encode()*10**10",
    "[1]*10**10",
    "(1,)*10**10",
    "'a'|center(10**10)",
    "'a'.center(10**10)",
    "'a'.ljust(10**10)",
    "('a'|safe).rjust(10**10)",
    "'a'.zfill(10**10)",
    "'a'.encode().zfill(10**10)",
    "('\\t'*1000).expandtabs(10**9)",
    "['a']|map('center', 10**10)|list",
    "'%1000000000d' % 1",
    "'%1000000000d'|format(1)",
    "'%*d' % (10**9, 1)",
    "'%.*f'|format(10**9, 1.0)",
    "('%1000000000d'|safe) % 1",
    "'%1000000000d'.encode() % 1",
    "('%(a)s'*2000000) % {'a': 'x'*10000}",
    "'{:>1000000000}'.format(1)",
    "'{:{}}'.format(1, 10**10)",
    "'{0:{1}}'.format(1, '1000000000')",
    "'{0:{1}{2}}'.format(1, 10**5, 10**4)",
    "'{a:{b}}'.format_map({'a': 1, 'b': 10**9})",
    "('{0}'*2000000).format('x'*10000)",
    "('{:{}}'|safe).format(1, 10**10)",
    "'a\\nb'|indent(10**9)",
    "('a\\n'*100000)|indent('x'*100000)",
    "('a\\n'*100000)|safe|indent(100000)",
    "[1]|batch(10**9, 0)|list",
    "[1]|slice(10**9)|list",
    "('a'*100000)|replace('a', 'b'*100000)",
    "('a'*100000).replace('', 'b'*100000)",
    "(('a'*100000)|safe).replace('a', 'b'*100000)",
    "('b'*100000).encode().replace('b'.encode(), ('a'*100000).encode())",
    "(['a']*100000)|join('b'*100000)",
    "('b'*100000).join(['a']*100000)",
    "(['a'*10000]*100000)|join",
    "(['a'*10000]*100000)|string",
    "(['a'*10000]*100000)|tojson",
    "(['a'*10000]*100000)|pprint",
    "['a'*10000]*100000",
    "[1, 2]|tojson(indent=10**9)",
    "(1).to_bytes(10**10, 'big')",
    "10**(10**10)",
    "2**100000",
    "15|round(0-10**9)",
    "lipsum(n=10**9)",
    "lipsum(n=1, min=0, max=10**9)",
    "('a'*20000000)|list",
    "('a '*10000000).split()",
    "('\\n'*20000000).splitlines()",
    "('a'*10000000)|wordwrap(1)",
    "('a'*100000)|wordwrap(1, wrapstring='b'*100000)",
    "('('*10000000)|urlize",
    "('<!--'*4000000)|striptags",
    "('a b '*5000000)|title",
    "range(10**9)|list + [1]*1000000 + [1]",
    "raise_exception(['a'*100000]*100000)",
    "('a'~messages[0].content[:1])*10000000",
    "('f'*100000)|int(base=16)",
)

NESTED = (
    "{{ ns.x }}",
    "{{ ns.x ~ 'a' }}",
    "{{ ns.x|string }}",
    "{{ ns.x|tojson }}",
    "{{ ns.x|pprint }}",
    "{{ ns.x|upper }}",
    "{{ ns.x|escape }}",
    "{{ ns.x|urlencode }}",
    "{{ ns.x|int }}",
    "{{ [ns.x]|join }}",
    "{{ {'a': ns.x}|xmlattr }}",
    "{{ '%s' % [ns.x] }}",
    "{{ '%r'|format(ns.x) }}",
    "{{ '{}'.format(ns.x) }}",
    "{{ '{!r:>5}'.format(ns.x) }}",
    "{{ ('{}'|safe).format(ns.x) }}",
    "{{ ('%s'|safe) % [ns.x] }}",
    "{{ raise_exception(ns.x) }}",
    "{% autoescape true %}{{ ns.x }}{% endautoescape %}",
    "{% autoescape true %}{{ ns.x ~ '' }}{% endautoescape %}",
    "{% set ns.y = dict(a=ns.x).values() %}{{ ns.y }}",
    "{{ namespace(a=ns.x) }}",
)

COMPARED = (
    "{{ ns.x == y }}",
    "{{ ns.x is eq(y) }}",
    "{{ ns.x in [y] }}",
    "{{ ns.x is in([y]) }}",
    "{{ [ns.x]|select('eq', y)|list|length }}",
    "{{ [ns.x].count(y) }}",
    "{{ [ns.x].index(y) }}",
    "{{ [ns.x, y]|sort|length }}",
    "{{ [ns.x, y]|max|length }}",
    "{{ {'a': ns.x, 'b': y}|dictsort(by='value') }}",
)

HASHED = (
    "{{ {ns.x: 1}|length }}",
    "{{ {}.get(ns.x) }}",
    "{{ {}[ns.x] }}",
    "{{ [][ns.x].foo }}",
    "{{ ns.x in {} }}",
    "{{ dict.fromkeys([ns.x]) }}",
    "{{ dict([(ns.x, 1)]) }}",
    "{{ [ns.x, ns.x]|unique|list }}",
)

BOMBS = {
    **{f"{{{{ {value} }}}}": "" for value in LARGE},
    **dict.fromkeys(NESTED, LISTS),
    **dict.fromkeys(COMPARED, TWO_LISTS),
    **dict.fromkeys(HASHED, TUPLES),
    # Without the limit on depth these would end the process.
    "{{ {ns.x: 1} }}": DEEP,
    "{{ ns.x|string }}": DEEP,
    "{{ ns.x ~ ns.x }}": doubled("ns.x ~ ns.x", "'a'"),
    "{{ ns.x + ns.x }}": doubled("ns.x + ns.x", "'a'|safe"),
    "{{ ns.x|length }}": doubled("ns.x + ns.x", "[1]"),
    "{{ ns.x|max }}": doubled("[ns.x, ns.x]|sum(start=[])", "[1]"),
    "{{ ns.x }}": doubled("ns.x * ns.x", "3"),
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}": "",
    "{% macro m() %}{% call m() %}{% endcall %}{% endmacro %}{{ m() }}": "",
    "{% block a %}{{ self.a() }}{% endblock %}": "",
    "{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}": "",
    "{{ x }}": "{% set x = 'a' %}" + "{% set x %}{{ x }}{{ x }}{% endset %}" * 60,
    "a" + "{% endfilter %}" * 10: "{% filter replace('a', 'aaaaaaaaaa') %}" * 10,
    "a" + "{% endcall %}" * 60: "{% macro m() %}{{ caller() }}{{ caller() }}{% endmacro %}"
    + "{% call m() %}" * 60,
    "{{ " + "(" * 50_000 + "1" + ")" * 50_000 + " }}": "",
    "{{ " + "[" * 50_000 + "1" + "]" * 50_000 + " }}": "",
    "{% if 1 %}" * 5_000 + "{% endif %}" * 5_000: "",
    "a" * 300_000: "",
    "{{ " + "9" * 5_000 + " }}": "",
    "{{ 0x" + "f" * 100_000 + " }}": "",
}


def taken(action: Callable[[], object]) -> float:
    begin = time.monotonic()
    action()
    return time.monotonic() - begin


@pytest.mark.parametrize(
    "jinja", [before + after for after, before in BOMBS.items()], ids=[key[:50] for key in BOMBS]
)
def test_what_would_use_up_the_machine_is_an_error(jinja: str) -> None:
    def bomb() -> None:
        with pytest.raises(TemplateError) as caught:
            run(jinja)
        # The message is for a person to read.
        assert len(str(caught.value)) < 2_000

    assert taken(bomb) < SECONDS


ENDLESS = (
    # CVE-2025-61620: nothing large is made, and it never ends.
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "{% macro m(n) %}{% if n %}{{ m(n-1) }}{{ m(n-1) }}{% endif %}{% endmacro %}{{ m(100) }}",
    "{{ ([range(99999)]*1000000)|map('sum')|sum }}",
    "{{ ([[1]]*100000)|sum(start=[])|length }}",
    "{% for i in range(9999) %}{% set x = range(99999)|sort %}{% endfor %}",
    "{{ ([-1]*900000)|select('in', range(99999)|list)|list|length }}",
    "{% for i in [1, 2] recursive %}{{ loop([1, 2]) if loop.depth < 60 }}{% endfor %}",
)


@pytest.mark.parametrize("jinja", ENDLESS)
def test_what_never_ends_is_ended(jinja: str) -> None:
    def endless() -> None:
        with pytest.raises(TemplateLimit, match="ran for more than 2 seconds"):
            template.trace(MESSAGES)

    template = dataclasses.replace(Template.from_text(jinja), limits=Limits(seconds=2))
    assert taken(endless) < SECONDS


HOARDS = (
    "{% set ns = namespace(l=[]) %}{% for i in range(999) %}"
    "{% set ns.l = ns.l + ['a'*10000000] %}{% endfor %}",
    "{% set ns = namespace(l=[]) %}{% for i in range(9999) %}"
    "{% set ns.l = ns.l + [[i]*900000] %}{% endfor %}",
    "{% set ns = namespace(l=[]) %}{% for i in range(9999) %}"
    "{% set ns.l = ns.l + [range(90000)|list] %}{% endfor %}",
    "{{ (['a'*100000]*100000)|map('upper')|list|length }}",
)


@pytest.mark.parametrize("jinja", HOARDS)
def test_what_keeps_all_that_it_makes_is_ended(jinja: str) -> None:
    def hoard() -> None:
        with pytest.raises(TemplateLimit):
            run(jinja)

    assert taken(hoard) < SECONDS


# Threads.


def test_threads_share_a_template() -> None:
    jinja = (
        "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}"
        "<|{{ m.role }}|>{% generation %}{{ m.content|upper }}{% endgeneration %}{{ ns.n }}"
        "{% endfor %}{{ x }}"
    )
    template = Template.from_text(jinja)
    chats = [
        [{"role": "user", "content": f"{n} text {i}"} for i in range(30 + n)] for n in range(4)
    ]
    alone = [template.trace(chat, x=n) for n, chat in enumerate(chats)]
    wrong: list[int] = []

    def work(number: int) -> None:
        again = [template.trace(chats[number], x=number) for _ in range(30)]
        wrong.extend(number for trace in again if trace != alone[number])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_limit_in_one_thread_leaves_the_others_alone() -> None:
    template = Template.from_text("{% if bad %}{{ 'a'*10**10 }}{% endif %}ok")
    outcomes: list[str] = []

    def work(bad: bool) -> None:
        for _ in range(50):
            try:
                outcomes.append(template.trace([], bad=bad).text)
            except TemplateLimit:
                outcomes.append("limit")

    threads = [threading.Thread(target=work, args=(bad,)) for bad in (True, False)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["limit"] * 50 + ["ok"] * 50
