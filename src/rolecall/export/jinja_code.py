"""Jinja as a person would write it: a small tree of output, conditions and loops, and its text.

Everything that is written stands in `{{- … }}`, and every tag strips the white space before it, so
that the layout of the template never shows in its output.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

WIDTH = 100
"""Lines are broken, where they can be, that would be longer."""

INDENT = "    "


class Text(NamedTuple):
    """Literal text."""

    text: str


class Out(NamedTuple):
    """A string expression that is written."""

    code: str


class Line(NamedTuple):
    """A tag of its own, such as `set`."""

    code: str


@dataclass(frozen=True)
class If:
    """Branches with their conditions; the condition of an `else` is empty."""

    branches: tuple[tuple[str, tuple[Node, ...]], ...]


@dataclass(frozen=True)
class Block:
    """Nodes between two tags."""

    begin: str
    nodes: tuple[Node, ...]
    end: str


Node = Text | Out | Line | If | Block


def quoted(text: str) -> str:
    """A string literal that every engine reads alike."""
    escaped = text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")
    escaped = escaped.replace("\r", "\\r")
    if "'" in escaped and '"' not in escaped:
        return f'"{escaped}"'
    return "'" + escaped.replace("'", "\\'") + "'"


METHODS = (
    *("clear", "copy", "fromkeys", "get", "items", "keys", "pop", "popitem", "setdefault"),
    *("update", "values"),
)
"""What Python's dict has by these names; some engines find it before the key."""


def member(of: str, key: str) -> str:
    """The value of a key that the format's file names."""
    if key in METHODS:
        return f"({of}[{quoted(key)}] if {quoted(key)} in {of} else '')"
    plain = key.isidentifier() and key.isascii()
    return f"{of}.{key}" if plain else f"{of}[{quoted(key)}]"


def listed(items: Iterable[str]) -> str:
    """A list of string literals."""
    return f"[{', '.join(map(quoted, items))}]"


def one_of(code: str, items: Sequence[str]) -> str:
    """The condition that a value is one of some strings."""
    return f"{code} == {quoted(items[0])}" if len(items) == 1 else f"{code} in {listed(items)}"


def none_of(code: str, items: Sequence[str]) -> str:
    """The condition that a value is none of some strings."""
    if len(items) == 1:
        return f"{code} != {quoted(items[0])}"
    return f"{code} not in {listed(items)}"


def both(first: str, second: str) -> str:
    """The condition that both hold; an empty one always does."""
    return f"{_grouped(first)} and {_grouped(second)}" if first and second else first or second


def either(first: str, second: str) -> str:
    """The condition that one of two holds."""
    return f"{first} or {second}"


_COMPARED = re.compile(r"(\S+) (==|!=|in|not in) ('[^']*'|\[('[^']*'(, )?)+\])")
_OPPOSITE = {"==": "!=", "!=": "==", "in": "not in", "not in": "in"}


def negated(condition: str) -> str:
    """The condition that another one does not hold."""
    if condition.startswith("not ") and _atomic(condition[4:]):
        return condition[4:]
    compared = _COMPARED.fullmatch(condition)
    if compared is not None:
        value, operator, other = compared.group(1, 2, 3)
        return f"{value} {_OPPOSITE[operator]} {other}"
    return f"not {condition}" if _atomic(condition) else f"not ({condition})"


def _atomic(code: str) -> bool:
    """Whether code can stand behind `not` without parentheses."""
    depth = 0
    quote = ""
    for at, character in enumerate(code):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character == " " and not depth and code[at : at + 3] != " | ":
            return False
    return True


def _grouped(code: str) -> str:
    return f"({code})" if " or " in code or " if " in code else code


def when(condition: str, nodes: Sequence[Node], otherwise: Sequence[Node] = ()) -> list[Node]:
    """Nodes under a condition, and others where it does not hold."""
    if not condition:
        return list(nodes)
    if list(nodes) == list(otherwise):
        return list(nodes)
    if not nodes:
        return when(negated(condition), otherwise) if otherwise else []
    if not otherwise and len(nodes) == 1 and isinstance(nodes[0], If):
        inner = nodes[0].branches
        if len(inner) == 1:
            return [If(((both(condition, inner[0][0]), inner[0][1]),))]
    branches = [(condition, tuple(nodes))]
    if otherwise:
        if len(otherwise) == 1 and isinstance(otherwise[0], If):
            branches += otherwise[0].branches
        else:
            branches.append(("", tuple(otherwise)))
    return [If(tuple(branches))]


def choose(branches: Iterable[tuple[str, Sequence[Node]]]) -> list[Node]:
    """Branches of which the first whose condition holds is written."""
    kept = [(condition, tuple(nodes)) for condition, nodes in branches]
    while kept and not kept[-1][1]:
        kept.pop()
    if len(kept) == 1:
        return when(kept[0][0], kept[0][1])
    return [If(tuple(kept))] if kept else []


def loop(head: str, nodes: Sequence[Node]) -> list[Node]:
    """A loop, `head` being what stands behind `for`."""
    return [Block(f"for {head}", tuple(nodes), "endfor")]


def setting(name: str, code: str) -> Line:
    """An assignment."""
    return Line(f"set {name} = {code}")


def refuse(*parts: str) -> Out:
    """Raise an error whose text is the parts, each the code of a value, joined."""
    return Out(f"raise_exception({' ~ '.join(parts)})")


def written(nodes: Sequence[Node]) -> str:
    """The template's text."""
    lines: list[str] = []
    _write(nodes, 0, lines)
    return "\n".join(lines)


def _write(nodes: Sequence[Node], depth: int, lines: list[str]) -> None:
    pad = INDENT * depth
    run: list[Text | Out] = []

    def flush() -> None:
        lines.extend(f"{pad}{{{{- {code} }}}}" for code in _chunks(run, WIDTH - len(pad) - 6))
        run.clear()

    for node in nodes:
        if isinstance(node, (Text, Out)):
            run.append(node)
            continue
        flush()
        if isinstance(node, Line):
            lines.append(
                f"{pad}{node.code}" if node.code[0] == "{" else f"{pad}{{%- {node.code} %}}"
            )
        elif isinstance(node, Block):
            lines.append(f"{pad}{{%- {node.begin} %}}")
            _write(node.nodes, depth + 1, lines)
            lines.append(f"{pad}{{%- {node.end} %}}")
        else:
            for number, (condition, inner) in enumerate(node.branches):
                word = f"elif {condition}" if number else f"if {condition}"
                lines.append(f"{pad}{{%- {word if condition else 'else'} %}}")
                _write(inner, depth + 1, lines)
            lines.append(f"{pad}{{%- endif %}}")
    flush()


def _chunks(run: Sequence[Text | Out], width: int) -> list[str]:
    """The expressions that write a run, a line's worth in each."""
    items: list[str] = []
    literal = ""
    for node in run:
        if isinstance(node, Text):
            literal += node.text
            continue
        if literal:
            items.append(quoted(literal))
        literal = ""
        items.append(node.code)
    if literal:
        items.append(quoted(literal))
    if len(" + ".join(items)) <= width:
        return [_sum(items)] if items else []
    if len(items) == 1 and isinstance(run[0], Out):
        return items
    chunks: list[str] = []
    current: list[str] = []
    for node in _lines(run):
        code = quoted(node.text) if isinstance(node, Text) else node.code
        if current and len(_sum([*current, code])) > width:
            chunks.append(_sum(current))
            current = []
        current.append(code)
        if isinstance(node, Text) and node.text.endswith("\n"):
            chunks.append(_sum(current))
            current = []
    if current:
        chunks.append(_sum(current))
    return chunks


def _sum(items: list[str]) -> str:
    """String expressions, joined."""
    return items[0] if len(items) == 1 else " + ".join(map(_term, items))


def _lines(run: Sequence[Text | Out]) -> list[Text | Out]:
    """A run with its literal text cut behind each newline."""
    found: list[Text | Out] = []
    for node in run:
        if isinstance(node, Out):
            found.append(node)
        else:
            text = node.text
            last = found[-1] if found else None
            if isinstance(last, Text) and not last.text.endswith("\n"):
                text = last.text + text
                found.pop()
            found += [Text(line) for line in _kept_lines(text)]
    return found


def _kept_lines(text: str) -> list[str]:
    """Lines with their newlines; blank lines stay with the line before."""
    found = [line + "\n" for line in text.split("\n")]
    found[-1] = found[-1][:-1]
    merged: list[str] = []
    for line in found:
        if merged and line == "\n" and merged[-1].endswith("\n"):
            merged[-1] += line
        elif line:
            merged.append(line)
    return merged


def _term(code: str) -> str:
    """An expression as a term of a sum."""
    if code[0] == "(" and _atomic(code):
        return code
    return f"({code})" if " if " in code or " or " in code or " ~ " in code else code


def codes(nodes: Iterable[Node]) -> list[str]:
    """Every piece of code in some nodes."""
    found: list[str] = []
    for node in nodes:
        if isinstance(node, (Out, Line)):
            found.append(node.code)
        elif isinstance(node, Block):
            found += [node.begin, *codes(node.nodes)]
        elif isinstance(node, If):
            for condition, inner in node.branches:
                found += [condition, *codes(inner)]
    return found


def recoded(nodes: Iterable[Node], meanings: Mapping[str, str]) -> list[Node]:
    """Nodes with some words of their code replaced."""

    def told(code: str) -> str:
        for word, meaning in meanings.items():
            if word in code:
                # A condition of several words keeps together.
                loose = " and " in meaning and code.strip() != word
                code = code.replace(f"({word})", f"({meaning})")
                code = code.replace(
                    f"not {word}", f"not ({meaning})" if loose else f"not {meaning}"
                )
                code = code.replace(word, meaning)
        return code

    found: list[Node] = []
    for node in nodes:
        if isinstance(node, (Out, Line)):
            found.append(node._replace(code=told(node.code)))
        elif isinstance(node, Block):
            found.append(Block(told(node.begin), tuple(recoded(node.nodes, meanings)), node.end))
        elif isinstance(node, If):
            branches = (
                (told(test), tuple(recoded(inner, meanings))) for test, inner in node.branches
            )
            found.append(If(tuple(branches)))
        else:
            found.append(node)
    return found
