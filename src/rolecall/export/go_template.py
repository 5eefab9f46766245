"""Go's text/template as a small tree, and its text in the layout of Ollama's own templates.

A tag strips the white space before it only where that is layout, so literal text stands as it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import NamedTuple


class Text(NamedTuple):
    """Literal text."""

    text: str
    control: bool = False
    """Whether it is one control token."""


class Out(NamedTuple):
    """A value that is written."""

    code: str
    test: str = ""
    """A condition that holds where it is not empty; empty if it never is."""


class Line(NamedTuple):
    """A tag of its own, such as an assignment."""

    code: str


@dataclass(frozen=True)
class If:
    """Branches with their conditions; the condition of an `else` is empty."""

    branches: tuple[tuple[str, tuple[Node, ...]], ...]


@dataclass(frozen=True)
class Range:
    """A loop."""

    head: str
    nodes: tuple[Node, ...]


Node = Text | Out | Line | If | Range


def when(
    condition: str | bool, nodes: Sequence[Node], otherwise: Sequence[Node] = ()
) -> list[Node]:
    """A condition, or what it comes to where it is settled already."""
    if isinstance(condition, bool):
        return list(nodes if condition else otherwise)
    if not nodes and not otherwise:
        return []
    if not nodes:
        return when(negated(condition), otherwise)
    branches = [(condition, tuple(nodes))]
    if len(otherwise) == 1 and isinstance(otherwise[0], If):
        branches += otherwise[0].branches
    elif otherwise:
        branches.append(("", tuple(otherwise)))
    return [If(tuple(branches))]


def negated(condition: str | bool) -> str | bool:
    """What holds where a condition does not."""
    if isinstance(condition, bool):
        return not condition
    if condition.startswith("not ") and "(" not in condition:
        return condition.removeprefix("not ")
    return f"not {grouped(condition)}"


def both(*conditions: str | bool) -> str | bool:
    """What holds where all of them do."""
    return _joined("and", True, conditions)


def either(*conditions: str | bool) -> str | bool:
    """What holds where one of them does."""
    return _joined("or", False, conditions)


def _joined(word: str, neutral: bool, conditions: Sequence[str | bool]) -> str | bool:
    if (not neutral) in [c for c in conditions if isinstance(c, bool)]:
        return not neutral
    open_ = list(dict.fromkeys(c for c in conditions if isinstance(c, str)))
    if not open_:
        return neutral
    return open_[0] if len(open_) == 1 else " ".join([word, *map(grouped, open_)])


def grouped(code: str) -> str:
    """Code as one argument."""
    return f"({code})" if " " in code else code


def quoted(text: str) -> str:
    """A string constant of Go."""
    # JSON's escapes are Go's too, surrogate pairs aside.
    return "".join(
        character if character.isprintable() else _escape(ord(character))
        for character in json.dumps(text, ensure_ascii=False)
    )


def _escape(code: int) -> str:
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def common_end(first: Sequence[Node], second: Sequence[Node]) -> list[Node]:
    """The nodes that both end with."""
    pairs = zip(reversed(first), reversed(second), strict=False)
    shared = [one for one, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)]
    return shared[::-1]


def without(nodes: Sequence[Node], beginning: str) -> list[Node]:
    """The nodes without the tags that begin so."""
    found: list[Node] = []
    for node in nodes:
        if isinstance(node, Line) and node.code.startswith(beginning):
            continue
        if isinstance(node, If):
            found += when_all((test, without(inner, beginning)) for test, inner in node.branches)
        elif isinstance(node, Range):
            found.append(Range(node.head, tuple(without(node.nodes, beginning))))
        else:
            found.append(node)
    return found


def when_all(branches: Iterable[tuple[str, Sequence[Node]]]) -> list[Node]:
    """Branches with their conditions, or nothing where none of them writes anything."""
    made = tuple((test, tuple(nodes)) for test, nodes in branches)
    return [If(made)] if any(nodes for _, nodes in made) else []


def spaced(nodes: Sequence[Node]) -> list[Node]:
    """The nodes of a turn with SentencePiece's dummy prefix made visible.

    A space stands before each run of plain text: where the turn begins and behind a control token.
    """
    return _spaced(nodes, True)[0]


def _spaced(nodes: Sequence[Node], begins: str | bool) -> tuple[list[Node], str | bool]:
    """The nodes with spaces, and when a run would begin behind them.

    Args:
        nodes: The nodes.
        begins: When a run of plain text begins in front of them.
    """
    result: list[Node] = []
    for node in nodes:
        if isinstance(node, Text) and node.text:
            if not node.control:
                result += when(begins, [Text(" ")])
            result.append(node)
            begins = node.control
        elif isinstance(node, Out):
            test = node.test or True
            result += [*when(both(test, begins), [Text(" ")]), node]
            begins = both(negated(test), begins)
        elif isinstance(node, If):
            made = [(test, *_spaced(inner, begins)) for test, inner in node.branches]
            result.append(If(tuple((test, tuple(inner)) for test, inner, _ in made)))
            begins = _behind(made, begins)
        elif isinstance(node, Range):
            inner, begins = _spaced(node.nodes, begins)
            result.append(replace(node, nodes=tuple(inner)))
        else:
            result.append(node)
    return result, begins


def _behind(
    made: Sequence[tuple[str, Sequence[Node], str | bool]], otherwise: str | bool
) -> str | bool:
    """When a run begins behind branches, each with its condition, its nodes and when there."""
    for test, _, after in reversed(made):
        if not test:
            otherwise = after
        elif after != otherwise:
            otherwise = either(both(test, after), both(negated(test), otherwise))
    return otherwise


def text_of(nodes: Sequence[Node]) -> str:
    """The template."""
    writer = _Writer()
    writer.nodes(nodes)
    return "".join(writer.parts)


class _Writer:
    """Collects the text of a template."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.brace = False
        """Whether a brace was written last that, before another one, would begin a tag."""
        self.tight = False
        """Whether white space that counts was written last."""

    def nodes(self, nodes: Sequence[Node]) -> None:
        for node in nodes:
            if isinstance(node, Text):
                self.text(node.text)
            elif isinstance(node, Out):
                self.value(node.code)
            elif isinstance(node, Line):
                self.tag(node.code)
            elif isinstance(node, If):
                for number, (test, inner) in enumerate(node.branches):
                    word = "else if" if number else "if"
                    self.tag(f"{word} {test}" if test else "else")
                    self.nodes(inner)
                self.tag("end")
            else:
                self.tag(f"range {node.head}")
                self.nodes(node.nodes)
                self.tag("end")

    def text(self, text: str) -> None:
        if not text:
            return
        odd = "".join(c for c in text if not c.isprintable() and c not in "\n\t")
        if odd:
            # What Ollama's reader of Modelfiles would leave out.
            self.value(quoted(text))
            return
        if self.brace and text[0] == "{":
            self.hide_brace()
        text = text.replace("{{", '{{ "{{" }}')
        self.parts.append(text)
        self.tight = text[-1].isspace()
        self.brace = text[-1] == "{"

    def value(self, code: str) -> None:
        """Write a value."""
        if self.brace:
            self.hide_brace()
        self.parts.append(f"{{{{ {code} }}}}")
        self.tight = self.brace = False

    def hide_brace(self) -> None:
        """Write the last brace as a value: three in a row are no tag."""
        self.parts[-1] = self.parts[-1][:-1] + '{{ "{" }}'
        self.brace = False

    def tag(self, code: str) -> None:
        if self.tight:
            self.parts.append(f"{{{{ {code} }}}}")
        else:
            newline = "\n" if self.parts else ""
            self.parts.append(f"{newline}{{{{- {code} }}}}")
        self.tight = self.brace = False
