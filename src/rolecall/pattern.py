"""The pattern language of format files: literals, slots and presence groups.

A pattern is literal text with ``{slot}``, ``{slot|filter}``, ``{slot?…}`` (written when the slot is
not empty) and ``{!slot?…}`` (written when it is empty). Nothing else: no comparisons, no code. A
``{`` that does not open one of these is literal, and braces inside a group are counted, so JSON
needs no escapes. What would be read otherwise stands in ``{=…=}`` and is literal as it is. The same
nodes are written by `write` and turned into the expression that reads them back by `expression`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from rolecall.segment import Part


class Piece(NamedTuple):
    """Characters on their way into a segment, with where they come from."""

    text: str
    part: Part
    message: int | None = None
    """Index of the caller's message, or None."""
    field: str = ""
    """The field of that message, for the account of what was written; empty for format text."""
    control: bool = False


new_piece: Callable[[type[Piece], tuple[str, Part, int | None, str, bool]], Piece]
new_piece = tuple.__new__  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
"""Makes a `Piece` of all its fields in half the time that its name takes."""

Value = tuple[Piece, ...]
"""What fills a slot; empty when there is nothing."""


def with_text(piece: Piece, text: str) -> Piece:
    """The piece with another text."""
    _, part, message, name, control = piece
    return new_piece(Piece, (text, part, message, name, control))


def with_part(piece: Piece, part: Part) -> Piece:
    """The piece as a part of something else."""
    text, _, message, name, control = piece
    return new_piece(Piece, (text, part, message, name, control))


@dataclass(frozen=True, slots=True)
class Literal:
    """Text of the format file: one control token, or plain characters."""

    text: str
    control: bool


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for a value."""

    name: str
    filter: str | None


@dataclass(frozen=True, slots=True)
class Group:
    """Nodes that are written only when a slot is filled (or, negated, only when it is empty)."""

    slot: str
    negated: bool
    nodes: tuple[Node, ...]


Node = Literal | Slot | Group
Pattern = tuple[Node, ...]

EMPTY: Pattern = ()


class PatternError(ValueError):
    """A pattern that cannot be read; the format loader adds file and line."""


_OPENING = re.compile(r"\{(!?)([a-z][a-z0-9_]*)(?:\|([a-z-]+))?([}?])")


_QUOTED = re.compile(r"\{=(.*?)=\}", re.DOTALL)


def parse(source: str, *, slots: Collection[str], control: Sequence[str]) -> Pattern:
    """Read a pattern.

    Args:
        source: The pattern as the format file has it.
        slots: Names that may stand in it.
        control: Literals that are control tokens.

    Raises:
        PatternError: If a slot or filter is unknown or a group is not closed.
    """
    split = re.compile("|".join(map(re.escape, sorted(control, key=len, reverse=True))) or r"(?!)")
    nodes, end = _parse_nodes(source, 0, slots, split, inside=False)
    assert end == len(source)
    return nodes


def _parse_nodes(
    source: str, at: int, slots: Collection[str], split: re.Pattern[str], *, inside: bool
) -> tuple[Pattern, int]:
    nodes: list[Node] = []
    literal: list[str] = []
    depth = 0

    def flush() -> None:
        nodes.extend(_literals("".join(literal), split))
        literal.clear()

    while at < len(source):
        opening = _OPENING.match(source, at) if source[at] == "{" else None
        if opening is not None:
            negated, name, filter_name, last = opening.groups()
            _check_names(source, opening, slots)
            flush()
            at = opening.end()
            if last == "}":
                nodes.append(Slot(name, filter_name))
            else:
                inner, at = _parse_nodes(source, at, slots, split, inside=True)
                nodes.append(Group(name, bool(negated), inner))
            continue
        quoted = _QUOTED.match(source, at) if source[at] == "{" else None
        if quoted is not None:
            literal.append(quoted[1])
            at = quoted.end()
            continue
        character = source[at]
        if inside and character == "}" and depth == 0:
            flush()
            return tuple(nodes), at + 1
        depth += (character == "{") - (character == "}" and depth > 0)
        literal.append(character)
        at += 1
    if inside:
        raise PatternError(f"a group is not closed in {source!r}; every '{{slot?' needs its '}}'")
    flush()
    return tuple(nodes), at


def _check_names(source: str, opening: re.Match[str], slots: Collection[str]) -> None:
    negated, name, filter_name, last = opening.groups()
    found = opening.group()
    if name not in slots:
        raise PatternError(f"unknown slot in {found!r}; slots here: {', '.join(sorted(slots))}")
    if filter_name is not None and filter_name not in FILTERS:
        raise PatternError(f"unknown filter in {found!r}; filters: {', '.join(sorted(FILTERS))}")
    if (negated and last == "}") or (filter_name is not None and last == "?"):
        raise PatternError(f"{found!r} is neither a slot nor a group in {source!r}")


def _literals(text: str, control: re.Pattern[str]) -> list[Node]:
    nodes: list[Node] = []
    at = 0
    for match in control.finditer(text):
        if match.start() > at:
            nodes.append(Literal(text[at : match.start()], control=False))
        nodes.append(Literal(match.group(), control=True))
        at = match.end()
    if at < len(text):
        nodes.append(Literal(text[at:], control=False))
    return nodes


def _left(characters: str | None) -> Callable[[Value], Value]:
    def strip(value: Value) -> Value:
        for number, piece in enumerate(value):
            text = piece.text.lstrip(characters)
            if text:
                whole = len(text) == len(piece.text)
                first = piece if whole else with_text(piece, text)
                return (first, *value[number + 1 :])
        return ()

    return strip


def _right(characters: str | None) -> Callable[[Value], Value]:
    def strip(value: Value) -> Value:
        for number in range(len(value) - 1, -1, -1):
            piece = value[number]
            text = piece.text.rstrip(characters)
            if text:
                whole = len(text) == len(piece.text)
                return (*value[:number], piece if whole else with_text(piece, text))
        return ()

    return strip


def _both(characters: str | None) -> Callable[[Value], Value]:
    left, right = _left(characters), _right(characters)
    return lambda value: right(left(value))


def _parts(value: Value) -> Value:
    stripped = (
        with_text(piece, piece.text.strip()) if piece.field == "content" else piece
        for piece in value
    )
    return tuple(piece for piece in stripped if piece.text)


_JSON = json.JSONEncoder(ensure_ascii=False)


def dump_json(value: object, *, indent: int | None = None) -> str:
    """JSON as transformers' ``tojson`` writes it: unsorted, not escaped to ASCII."""
    text = _JSON.encode(value)
    return text if indent is None else _indented(text, indent)


_STRING = r'"(?:[^"\\]+|\\.)*"'
_PLAIN = r'[^"{}\[\],]+'
_JSON_TOKENS = re.compile(
    rf"{_STRING}(?:: (?:{_STRING}|{_PLAIN})?)?|[{{\[][}}\]]|[{{}}\[\]]|, |{_PLAIN}", re.DOTALL
)
"""A key with a plain value, a key alone or a string; brackets with nothing in between; a bracket; a
comma; any other plain value."""


@lru_cache(maxsize=64)
def _indented(text: str, indent: int) -> str:
    """JSON that stands in one line, spread over lines as `json.dumps` does it, slowly, itself.

    The tools of many conversations are the same, so the last ones are remembered.
    """
    found: list[str] = []
    line = "\n"
    for token in _JSON_TOKENS.findall(text):
        if token in ("{", "["):
            line += " " * indent
            found += (token, line)
        elif token in ("}", "]"):
            line = line[: len(line) - indent]
            found += (line, token)
        elif token == ", ":
            found += (",", line)
        else:
            found.append(token)
    return "".join(found)


def _text(value: Value) -> str:
    return value[0].text if len(value) == 1 else "".join([piece.text for piece in value])


def _json(value: Value) -> Value:
    if not value:
        return (Piece('""', "content"),)
    return (with_text(value[-1], dump_json(_text(value))),)


def _json_value(value: Value) -> Value:
    text = _text(value)
    if not text:
        return (Piece("{}", "content"),)
    try:
        dumped = dump_json(json.loads(text))
        dumped.encode()
    except (ValueError, RecursionError):
        # No JSON, or JSON that cannot be written again: nested without end, half a character.
        return _json(value)
    return (with_text(value[-1], dumped),)


def _indent(value: Value) -> Value:
    return tuple(with_text(piece, piece.text.replace("\n", "\n    ")) for piece in value)


FILTERS: dict[str, tuple[Callable[[Value], Value], str]] = {
    "trim": (_both(None), "without white space at both ends"),
    "trim-parts": (_parts, "each typed text part of its own without white space at both ends"),
    "ltrim": (_left(None), "without white space at its beginning"),
    "rtrim": (_right(None), "without white space at its end"),
    "rstrip-space": (_right(" "), "without spaces at its end"),
    "strip-nl": (_both("\n"), "without newlines at both ends"),
    "lstrip-nl": (_left("\n"), "without newlines at its beginning"),
    "rstrip-nl": (_right("\n"), "without newlines at its end"),
    "indent": (_indent, "with its lines, the first one aside, four spaces further in"),
    "json": (_json, "as a JSON string, quotes included"),
    "json-value": (
        _json_value,
        "as the JSON value it spells, `{}` where it is empty, or else as a JSON string",
    ),
}
"""Filter name to its function and its description for the reference page."""

TRIMMING: frozenset[str | None] = frozenset(
    (
        None,
        "trim",
        "trim-parts",
        "ltrim",
        "rtrim",
        "rstrip-space",
        "strip-nl",
        "lstrip-nl",
        "rstrip-nl",
    )
)
"""Filters that take off white space at the ends of a text and do nothing else, and no filter."""


def blank_for(name: str | None) -> str:
    """The plainest text of which a filter leaves nothing; a space where there is no filter."""
    if name is not None:
        for text in (" ", "\n"):
            if not FILTERS[name][0]((Piece(text, "content", field="content"),)):
                return text
    return " "


DOCUMENT_TOKENS = ("bos_token", "eos_token")
"""Slots whose text is the format's own, so that its part is that of its place."""

GROUP_PARTS: dict[str, Part] = {
    "reasoning": "reasoning",
    "thinks": "reasoning",
    "calls": "tool_calls",
    "tools": "tools",
}
"""The part of format text that stands in a group of that slot; elsewhere it is its place's part."""


def write(
    nodes: Pattern, values: Mapping[str, Value], part: Part, emit: Callable[[Piece], None]
) -> None:
    """Write a pattern.

    Args:
        nodes: The pattern.
        values: Slot name to value; a slot that is absent is empty.
        part: The part of format text outside groups that have their own.
        emit: Receives each piece in order; format text has no field and no message.
    """
    for node in nodes:
        if isinstance(node, Literal):
            emit(Piece(node.text, part, control=node.control))
        elif isinstance(node, Slot):
            value = values.get(node.name, ())
            for piece in value if node.filter is None else FILTERS[node.filter][0](value):
                # A token that begins or ends a text is a part of what it begins or ends.
                emit(with_part(piece, part) if node.name in DOCUMENT_TOKENS else piece)
        elif bool(values.get(node.slot)) != node.negated:
            own = part if node.negated else GROUP_PARTS.get(node.slot, part)
            write(node.nodes, values, own, emit)


def filled(nodes: Pattern, values: Mapping[str, Value]) -> dict[str, Value]:
    """The slots that `write` writes for these values, each with its value after its filter."""
    found: dict[str, Value] = {}
    for node in nodes:
        if isinstance(node, Slot):
            value = values.get(node.name, ())
            found[node.name] = value if node.filter is None else FILTERS[node.filter][0](value)
        elif isinstance(node, Group) and bool(values.get(node.slot)) != node.negated:
            found.update(filled(node.nodes, values))
    return found


def walk(nodes: Pattern) -> list[Node]:
    """Every node of a pattern, those inside groups included, in reading order."""
    found: list[Node] = []
    for node in nodes:
        found.append(node)
        if isinstance(node, Group):
            found.extend(walk(node.nodes))
    return found


def slots(nodes: Pattern) -> set[str]:
    """The names of the slots that a pattern writes."""
    return {node.name for node in walk(nodes) if isinstance(node, Slot)}


def literals(nodes: Pattern, *, control: bool) -> list[str]:
    """The control tokens, or else the plain literals, of a pattern in reading order."""
    return [
        node.text for node in walk(nodes) if isinstance(node, Literal) and node.control == control
    ]


def symbols(text: str, control: Mapping[str, str]) -> str:
    """A control token as its one symbol, any other text as it is."""
    return control.get(text, text)


def _nodes(node: Node) -> Pattern:
    return node.nodes if isinstance(node, Group) else EMPTY


def expression(nodes: Pattern, control: Mapping[str, str]) -> str:
    """The regular expression that reads back what `write` writes.

    Args:
        nodes: The pattern.
        control: Control token to the one symbol that stands for it (a lone surrogate, which no
            checked caller text can hold); a slot never matches a symbol.
    """
    parts: list[str] = []
    seen: set[str] = set()

    def read(inner: Pattern, *, followed: bool) -> None:
        rest = list(inner)
        while rest:
            node = rest.pop(0)
            if isinstance(node, Literal):
                text = symbols(node.text, control) if node.control else node.text
                parts.append(re.escape(text))
            elif isinstance(node, Slot) and node.name in DOCUMENT_TOKENS:
                parts.append(r"[\ud800-\udfff]?")
            elif isinstance(node, Slot):
                body = r"[^\ud800-\udfff]+?"
                parts.append(body if node.name in seen else f"(?P<{node.name}>{body})")
                seen.add(node.name)
            else:
                parts.append("(?:")
                read(node.nodes, followed=followed or bool(rest))
                # What is written without a slot stands where the slot's group would.
                if rest and rest[0] == Group(node.slot, not node.negated, _nodes(rest[0])):
                    parts.append("|")
                    read(_nodes(rest.pop(0)), followed=followed or bool(rest))
                    parts.append(")")
                else:
                    # A header is read as short as it can be: with what follows a group of a name
                    # no name can begin, or the text behind a header without one would be a name.
                    parts.append(")??" if followed or rest else ")?")

    read(nodes, followed=False)
    return "".join(parts)
