"""Parts of the Jinja language that engines are known to run in ways of their own.

A construct is named in a finding only where it is established as the cause, with the engine that is
installed here. A snippet with nothing else in it has to come out otherwise than in jinja2; where
the template fails, the snippet has to fail with the same error; where it writes something else, the
difference has to go away with the construct. The table says what to look for and what to try.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

import jinja2
from jinja2 import nodes

from rolecall.audit.messages import user
from rolecall.engines import Answer, Engine
from rolecall.errors import TemplateError
from rolecall.template.environment import Environment
from rolecall.template.template import Template

CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role + '\n' + message.content }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""What a snippet is put before: llama.cpp takes nothing but templates of chats."""


class Found(NamedTuple):
    """A construct in a template."""

    phrase: str
    """What it is called in a sentence."""
    snippet: str
    """The smallest template with it."""
    line: int
    """Where it stands in the template."""
    pattern: str = ""
    """What to replace in the template's text to be rid of it; empty where that cannot be said."""
    instead: str = ""
    """What to put in its place."""


def found_in(jinja: str) -> list[Found]:
    """The constructs of the table that a template holds, each phrase and line once.

    Args:
        jinja: The template.
    """
    try:
        tree = Environment().parse(jinja)
    except jinja2.TemplateError:
        return []
    made = dict.fromkeys(one for finder in _FINDERS for one in finder(tree))
    made |= dict.fromkeys(_written(jinja))
    return sorted(made, key=lambda one: one.line)


class Known:
    """What one engine makes of snippets, each asked once."""

    def __init__(self, asked: Engine) -> None:
        self._engine = asked
        self._answers: dict[str, tuple[str | None, Answer]] = {}

    def fails(self, found: Found, error: str | None) -> bool:
        """Whether a construct alone, which jinja2 runs, fails in the engine with this error.

        Raises:
            EngineError: If the engine does not answer.
        """
        expected, answer = self._ask(found.snippet)
        return self._sound and expected is not None and answer.error == error

    def differs(self, found: Found) -> bool:
        """Whether a construct alone comes out as another text than in jinja2.

        Raises:
            EngineError: If the engine does not answer.
        """
        expected, answer = self._ask(found.snippet)
        return self._sound and expected is not None and answer.text not in (None, expected)

    @property
    def _sound(self) -> bool:
        """Whether the chat that snippets stand before comes out the same."""
        expected, answer = self._ask("")
        return expected == answer.text

    def _ask(self, snippet: str) -> tuple[str | None, Answer]:
        if snippet not in self._answers:
            jinja = snippet + CHAT
            options: dict[str, Any] = {"add_generation_prompt": True, **self._engine.options}
            conversation = {"messages": [user()], "options": options}
            try:
                expected = Template.from_text(jinja).trace([user()], **options).text
            except TemplateError:
                expected = None
            answer = self._engine.render(jinja, [conversation], {}, datetime.now())[0]
            self._answers[snippet] = (expected, answer)
        return self._answers[snippet]


# --- What stands in the tree ----------------------------------------------------------------------

_Finder = Callable[[nodes.Template], Iterator[Found]]
_FINDERS: list[_Finder] = []


def _finder(function: _Finder) -> _Finder:
    _FINDERS.append(function)
    return function


@_finder
def _loops(tree: nodes.Template) -> Iterator[Found]:
    for loop in tree.find_all(nodes.For):
        for branch in loop.find_all(nodes.If):
            for node in branch.find_all((nodes.Continue, nodes.Break)):
                word = "continue" if isinstance(node, nodes.Continue) else "break"
                yield Found(
                    f"{{% {word} %}} inside {{% if %}}",
                    f"{{% for i in [1, 2, 3] %}}{{% if i == 2 %}}x{{% {word} %}}{{% endif %}}"
                    "{{ i }}{% endfor %}",
                    node.lineno,
                    rf"\{{%[-+]?\s*{word}\s*[-+]?%\}}",
                )
            for node in branch.find_all(nodes.Assign):
                if isinstance(node.target, nodes.Name):
                    yield Found(
                        "{% set %} in a loop, which lasts into the next round",
                        "{% for i in [1, 2] %}{% if i == 1 %}{% set a = 'A' %}{% endif %}"
                        "[{{ a }}]{% endfor %}",
                        loop.body[0].lineno,
                        # Forgotten at the start of a round, as jinja2 forgets it.
                        rf"(\{{%[-+]?\s*for\s+{re.escape(_spelled_target(loop))}\s+in\b.*?%\}})",
                        rf"\1{{% set {node.target.name} = nothing %}}",
                    )
        if _last_name(loop.iter) == "content":
            yield Found(
                "a loop over content, which may be a string",
                "{% for i in 'ab' %}{{ i }}{% endfor %}",
                loop.iter.lineno,
            )
        if isinstance(loop.target, nodes.Tuple):
            yield Found(
                "a loop over pairs",
                "{% for a, b in {'x': 1} | dictsort %}{{ a }}{{ b }}{% endfor %}"
                "{% for a, b in {'x': 1}.items() %}{{ a }}{{ b }}{% endfor %}",
                loop.lineno,
            )


@_finder
def _filters(tree: nodes.Template) -> Iterator[Found]:
    for node in tree.find_all(nodes.Filter):
        if node.name == "tojson":
            for argument in node.kwargs:
                value = _spelled(argument.value)
                if value is not None:
                    yield Found(
                        f"tojson({argument.key}={value})",
                        f"{{{{ {{'b': 'é', 'a': [1]}} | tojson({argument.key}={value}) }}}}",
                        node.lineno,
                        rf"(tojson\([^()]*?){argument.key}\s*=\s*[^,()]*,?\s*",
                        r"\1",
                    )
        for tried in _FILTERS.get(node.name, ()):
            yield Found(
                f"the filter {node.name}",
                tried,
                node.lineno,
                rf"\|\s*{node.name}\b\s*(\([^()]*\))?",
            )


@_finder
def _tests(tree: nodes.Template) -> Iterator[Found]:
    for node in tree.find_all(nodes.Test):
        if node.name in ("iterable", "sequence", "mapping", "string", "number", "boolean"):
            yield Found(
                f"the test 'is {node.name}'",
                "".join(
                    f"{{{{ {value} is {node.name} }}}}"
                    for value in ("'a'", "none", "[1]", "{'a': 1}", "1", "true")
                ),
                node.lineno,
            )


@_finder
def _calls(tree: nodes.Template) -> Iterator[Found]:
    for node in tree.find_all(nodes.Call):
        if isinstance(node.node, nodes.Name) and node.node.name == "dict":
            yield Found("dict()", "{{ dict(a=1)['a'] }}", node.lineno)
        if isinstance(node.node, nodes.Getattr):
            name = node.node.attr
            if name in ("strip", "lstrip", "rstrip") and node.args:
                yield Found(
                    f".{name}() with an argument",
                    f"{{{{ 'xax'.{name}('x') }}}}",
                    node.lineno,
                    rf"\.{name}\([^()]+\)",
                    f".{name}()",
                )
            for tried in _METHODS.get(name, ()):
                yield Found(f".{name}()", tried, node.lineno)


@_finder
def _values(tree: nodes.Template) -> Iterator[Found]:
    for node in tree.find_all((nodes.Const, nodes.Tuple, nodes.Dict)):
        if isinstance(node, nodes.Const) and isinstance(node.value, float):
            yield Found("a number with a fraction", "{{ 1.0 }}", node.lineno, r"(?<=\d)\.\d+")
        if isinstance(node, nodes.Tuple) and len(node.items) == 1:
            yield Found("a tuple of one", "{{ (1,)[0] }}", node.lineno)
        if isinstance(node, nodes.Dict) and any(
            isinstance(item.key, nodes.Const) and not isinstance(item.key.value, str)
            for item in node.items
        ):
            yield Found("a dict with numbers as keys", "{{ {1: 'a'}[1] }}", node.lineno)
    for node in tree.find_all(nodes.Compare):
        if len(node.ops) > 1:
            yield Found("a chained comparison", "{{ 1 < 2 < 3 }}", node.lineno)
    for node in tree.find_all(nodes.Mod):
        if isinstance(node.left, nodes.Const) and isinstance(node.left.value, str):
            yield Found("formatting with %", "{{ '%s' % 'a' }}", node.lineno)
    for node in tree.find_all(nodes.Getitem):
        if isinstance(node.arg, nodes.Neg):
            yield Found("a negative index", "{{ 'abc'[-1] }}{{ [1, 2][-1] }}", node.lineno)
        if isinstance(node.arg, nodes.Slice) and node.arg.step is not None:
            yield Found(
                "a slice with a step",
                "{{ [1, 2, 3][::-1] | join(',') }}{{ 'ab'[::-1] }}",
                node.lineno,
            )
    for node in tree.find_all(nodes.Name):
        if node.ctx == "load" and node.name in ("date_string", "datetime", "self"):
            yield Found(
                f"the variable {node.name}, which nobody gave it",
                f"{{{{ {node.name} is defined }}}}",
                node.lineno,
                rf"\b{node.name}\b",
                f"{node.name}_of_nobody",
            )
    for node in tree.find_all(nodes.AssignBlock):
        yield Found("a {% set %} block", "{% set x %}a{% endset %}{{ x + 'b' }}", node.lineno)
    for node in tree.find_all(nodes.Getattr):
        if isinstance(node.node, nodes.Name) and node.node.name == "loop":
            yield Found(
                f"loop.{node.attr}",
                f"{{% for i in [1, 2] %}}{{{{ loop.{node.attr} is defined }}}}{{% endfor %}}",
                node.lineno,
            )


_FILTERS: dict[str, tuple[str, ...]] = {
    "trim": ("{{ ' a ' | trim }}", "{{ [1] | trim }}"),
    "string": ("{{ 1 | string }}", "{{ {'a': 1} | string }}"),
    "indent": (r"{{ 'a\nb\n' | indent(2, first=true) }}",),
    "safe": ("{{ '<' | safe + '\"' }}",),
    "min": ("{{ [2, 1] | min }}",),
    "max": ("{{ [2, 1] | max }}",),
    "dictsort": ("{{ {'b': 1, 'a': 2} | dictsort | length }}",),
    "title": ("{{ 'ab cd' | title }}",),
    "capitalize": ("{{ 'aB' | capitalize }}",),
    "join": ("{{ [1, 'a', none] | join(',') }}",),
    "list": ("{{ 'ab' | list | length }}",),
    "first": ("{{ [1] | first }}{{ 'ab' | first }}",),
    "last": ("{{ [1] | last }}{{ 'ab' | last }}",),
    "round": ("{{ 1.5 | round }}",),
    "int": ("{{ '1' | int }}",),
    "float": ("{{ '1' | float }}",),
    "replace": ("{{ 'aa' | replace('a', 'b', 1) }}",),
    "selectattr": ("{{ [{'a': 1}] | selectattr('a') | list | length }}",),
    "rejectattr": ("{{ [{'a': 1}] | rejectattr('a') | list | length }}",),
    "unique": ("{{ [1, 1] | unique | list | length }}",),
    "groupby": ("{{ [{'a': 1}] | groupby('a') | list | length }}",),
    "map": ("{{ [{'a': 1}] | map(attribute='a') | list | length }}",),
}

_METHODS: dict[str, tuple[str, ...]] = {
    "copy": ("{{ {'a': 1}.copy() | length }}",),
    "items": ("{% for k, v in {'a': 1}.items() %}{{ k }}{{ v }}{% endfor %}",),
    "get": ("{{ {'a': 1}.get('b', 2) }}",),
    "format": ("{{ '{}-{}'.format('a', 'b') }}",),
    "split": ("{{ 'a b'.split() | length }}{{ 'a,b,c'.split(',', 1) | length }}",),
    "title": ("{{ 'ab cd'.title() }}",),
    "replace": ("{{ 'aa'.replace('a', 'b', 1) }}",),
    "find": ("{{ 'ab'.find('b') }}",),
    "zfill": ("{{ 'a'.zfill(3) }}",),
    "join": ("{{ ','.join(['a', 'b']) }}",),
}


def _spelled_target(loop: nodes.For) -> str:
    """The variable of a loop, as the template spells it where it is a plain one."""
    return loop.target.name if isinstance(loop.target, nodes.Name) else ""


def _last_name(node: nodes.Node) -> str:
    """The last name of ``a.b`` or ``a['b']``."""
    if isinstance(node, nodes.Getattr):
        return node.attr
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        return str(node.arg.value)
    return node.name if isinstance(node, nodes.Name) else ""


def _spelled(node: nodes.Node) -> str | None:
    """A constant as Jinja spells it; None for what is no plain one."""
    value: object = node.value if isinstance(node, nodes.Const) else None
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, (int, str)) else None


# --- What stands in the text ----------------------------------------------------------------------

_GENERATION = re.compile(
    r"(\{%[-+]?\s*generation\s*[-+]?%\})(?:.*?)(\{%[-+]?\s*endgeneration\s*[-+]?%\})", re.DOTALL
)
_RAW = re.compile(r"\{%[-+]?\s*raw\s*[-+]?%\}")
_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2})")


def _written(jinja: str) -> Iterator[Found]:
    """What the tree does not show any more."""

    def line(place: int) -> int:
        return jinja.count("\n", 0, place) + 1

    for one in _GENERATION.finditer(jinja):
        opened, closed = one.groups()
        yield Found("{% generation %}", f"{opened}a{closed}", line(one.start()))
    for one in _RAW.finditer(jinja):
        yield Found("{% raw %}", "{% raw %}{{ x }}{% endraw %}", line(one.start()))
    for one in _ESCAPE.finditer(jinja):
        yield Found(
            f"the escape {one[0]}",
            f"{{{{ 'A{one[0]}' }}}}",
            line(one.start()),
            re.escape(one[0]),
            chr(int(one[0][2:], 16)),
        )
    if "\r\n" in jinja:
        yield Found(
            "lines that end in \\r\\n",
            "a\r\n{%- if true %}\r\nb{% endif %}\r\n",
            line(jinja.index("\r\n")),
            "\r\n",
            "\n",
        )
    if jinja[:1].isspace():
        yield Found("white space before everything else", "\n{% if true %}{% endif %}", 1, r"\A\s+")
