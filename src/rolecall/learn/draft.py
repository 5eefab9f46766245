"""Draft: the document of a format file while it is being learnt, and how it is written down."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rolecall import schema
from rolecall.conversation import AUTHORS
from rolecall.pattern import Group, Literal, PatternError, parse

if TYPE_CHECKING:
    from rolecall.format import Format


class Inexpressible(Exception):  # noqa: N818  (it says what is the matter)
    """What a template does has no spelling in a format file.

    Attributes:
        letters: The authors of the conversation that shows it, or empty.
    """

    def __init__(self, text: str, *, letters: str = "") -> None:
        self.letters = letters
        super().__init__(text)


Tables = dict[str, Any]


@dataclass(slots=True)
class Draft:
    """A format file in the making: its tables as TOML has them, and notes on what was seen."""

    tables: Tables = field(default_factory=dict[str, Any])
    """The document; authors' turns stand in full under ``turn.AUTHOR``."""
    header: list[str] = field(default_factory=list[str])
    """Lines of comment at the head of the file."""
    comments: dict[tuple[str, ...], str] = field(default_factory=dict[tuple[str, ...], str])
    """Path of a table or key to the comment that stands above it."""
    known: dict[str, Any] = field(default_factory=dict[str, Any])
    """What one step of learning leaves for the next; not part of the file."""

    def copy(self) -> Draft:
        """An independent copy, to try something out on."""
        return copy.deepcopy(self)

    def turn(self, author: str) -> Tables:
        """The table of an author's turns, made if it is not there."""
        return self.table("turn", author)

    def table(self, *path: str) -> Tables:
        """The table at a path, made if it is not there."""
        found = self.tables
        for key in path:
            found = found.setdefault(key, {})
        return found

    def has(self, *path: str) -> bool:
        """Whether there is anything at a path."""
        found: Any = self.tables
        for key in path:
            if not isinstance(found, dict) or key not in found:
                return False
            found = cast("Tables", found)[key]
        return True

    def remove(self, *path: str) -> None:
        """Take out a table or key, if it is there."""
        *above, last = path
        if self.has(*path):
            del self.table(*above)[last]

    def toml(self) -> str:
        """The text of the file."""
        lines = [f"# {line}".rstrip() for line in self.header]
        body = _Writer(hoisted(self.tables), self.comments)
        return "\n".join([*lines, *body.lines()]) + "\n"

    def format(self, name: str = "learnt") -> Format:
        """The format that the file says, read by the ordinary loader.

        Raises:
            FormatFileError: If the file would not load.
        """
        from rolecall.loader import read_format

        return read_format(self.toml(), Path(f"{name}.toml"))


SLOTS = {*schema.TURN_SLOTS, *schema.CALL_SLOTS, *schema.TOOL_SLOTS, "any"}


def literal(text: str, *, grouped: bool = False) -> str:
    """A literal as a pattern spells it.

    Args:
        text: The characters.
        grouped: Whether it stands inside a group, where braces must come in pairs.

    Raises:
        Inexpressible: If no pattern spells it.
    """
    quoted = re.sub(r"\{(?=!?[a-z]|=)", "{={=}", text)
    for source in (text, quoted, re.sub(r"[{}]", r"{=\g<0>=}", text)):
        if _spells(source, text, grouped=grouped):
            return source
    raise Inexpressible(f"no pattern can spell the literal {text!r}")


def _spells(source: str, text: str, *, grouped: bool) -> bool:
    """Whether a pattern is this text and nothing else."""
    try:
        nodes = parse(f"{{content?{source}}}" if grouped else source, slots=SLOTS, control=())
    except PatternError:
        return False
    if grouped:
        inner = nodes[0]
        nodes = inner.nodes if isinstance(inner, Group) and len(nodes) == 1 else None
    return nodes == ((Literal(text, control=False),) if text else ())


def group(slot: str, inner: str, otherwise: str | None = None) -> str:
    """A pattern that writes `inner` where a slot is filled, else `otherwise`."""
    text = f"{{{slot}?{inner}}}" if inner else ""
    return text + (f"{{!{slot}?{otherwise}}}" if otherwise else "")


def slot(name: str, filter_name: str | None = None) -> str:
    """A slot with its filter."""
    return f"{{{name}|{filter_name}}}" if filter_name else f"{{{name}}}"


def hoisted(tables: Mapping[str, Any]) -> Tables:
    """The tables with what all authors' turns share moved up into [turn]."""
    made = copy.deepcopy(dict(tables))
    turns: dict[str, Tables] = {
        author: made.get("turn", {})[author] for author in AUTHORS if author in made.get("turn", {})
    }
    if len(turns) < len(AUTHORS):
        return made
    for key in schema.TURN:
        values = [turn.get(key) for turn in turns.values()]
        if key != "after" and values[0] is not None and all(v == values[0] for v in values):
            made["turn"][key] = values[0]
            for turn in turns.values():
                del turn[key]
    for author, turn in turns.items():
        if not turn and set(made["turn"]) - set(AUTHORS):
            del made["turn"][author]
    return made


_BARE = re.compile(r"[A-Za-z0-9_-]+")
_LONG = 60
"""A string with line breaks that is longer stands on several lines."""
_WIDE = 100


class _Writer:
    """Writes tables in the order of the schema."""

    def __init__(self, tables: Tables, comments: Mapping[tuple[str, ...], str]) -> None:
        self._tables = tables
        self._comments = comments
        self._lines: list[str] = []

    def lines(self) -> list[str]:
        self._table((), self._tables)
        return self._lines

    def _table(self, path: tuple[str, ...], table: Tables) -> None:
        keys = _ordered(path, table)
        nested = [key for key in keys if self._is_table(path, key, table[key])]
        plain = [key for key in keys if key not in nested]
        if path and (plain or not nested):
            self._lines.append("")
            self._comment(path)
            self._lines.append(f"[{'.'.join(map(_key, path))}]")
        for key in plain:
            self._comment((*path, key))
            self._value(_key(key), table[key])
        for key in nested:
            self._table((*path, key), table[key])

    def _comment(self, path: tuple[str, ...]) -> None:
        if path in self._comments:
            self._lines += [f"# {line}" for line in self._comments[path].splitlines()]

    def _is_table(self, path: tuple[str, ...], key: str, value: object) -> bool:
        """Whether it is written under a heading of its own rather than as dotted keys."""
        if not isinstance(value, dict):
            return False
        return path[-1:] not in (("after",), ("when",)) and key not in ("after", "when")

    def _value(self, key: str, value: Any) -> None:
        if isinstance(value, dict):
            for inner, item in cast("Tables", value).items():
                self._value(f"{key}.{_key(inner)}", item)
            return
        self._lines.append(f"{key} = {spelled(value)}")


def _ordered(path: tuple[str, ...], table: Tables) -> list[str]:
    known: Iterable[str] = ()
    if not path:
        known = schema.TOP
    elif path == ("turn",):
        known = (*schema.TURN, *AUTHORS)
    elif path[0] in ("turn", "role"):
        known = schema.ROLE
    elif path[0] == "options" and len(path) == 2:
        known = schema.OPTION
    elif len(path) == 1:
        known = schema.TABLES.get(path[0], {})
    order = {key: number for number, key in enumerate(known)}
    return sorted(table, key=lambda key: order.get(key, len(order)))


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else spelled(name)


def spelled(value: object) -> str:
    """A value as TOML spells it.

    Raises:
        Inexpressible: If a string holds half a character.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        items = [spelled(item) for item in cast("list[object]", value)]
        line = f"[{', '.join(items)}]"
        if len(line) <= _WIDE:
            return line
        return "[\n" + "".join(f"    {item},\n" for item in items) + "]"
    return _string(str(value))


def _string(text: str) -> str:
    if re.search(r"[\ud800-\udfff]", text):
        raise Inexpressible(f"half a character in {text!r}")
    if "\n" in text and len(text) > _LONG:
        body = re.sub(r"[^\n\t]", _escaped, text).replace('"""', '""\\"')
        if body.startswith("\n"):
            body = "\\n" + body[1:]
        if body.endswith('"'):
            body = body[:-1] + '\\"'
        # White space at the end of a line would not survive every editor.
        body = re.sub(r"([ \t])(?=\n)", lambda found: f"\\u{ord(found[1]):04x}", body)
        return f'"""{body}"""'
    if '"' in text and "'" not in text and not re.search(r"[\x00-\x1f\x7f]", text):
        return f"'{text}'"
    return (
        '"' + re.sub(r'[^ ]|"', lambda found: _ESCAPES.get(found[0], _escaped(found)), text) + '"'
    )


_ESCAPES = {'"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def _escaped(found: re.Match[str]) -> str:
    character = found[0]
    if character == "\\":
        return "\\\\"
    if character in "\x7f\ufeff\u2028\u2029\x85" or ord(character) < 0x20:
        return f"\\u{ord(character):04x}"
    return character
