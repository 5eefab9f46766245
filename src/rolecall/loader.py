"""The loader: a TOML file to a `Format`, every key checked and every complaint with its line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from rolecall import pattern, schema
from rolecall.conversation import AUTHORS, DEFAULT_ROLE, STANDARD_ROLES, Author
from rolecall.errors import FormatFileError, nearest
from rolecall.format import (
    CallsRule,
    Format,
    Option,
    OrderRule,
    ReasoningRule,
    SystemRule,
    ToolsRule,
)
from rolecall.invariants import check
from rolecall.pattern import EMPTY, Pattern, PatternError, Piece, Value
from rolecall.schema import (
    CALL_SLOTS,
    LARGEST_INT,
    LISTED,
    TABLES,
    TOOL_SLOTS,
    TURN_SLOTS,
    Key,
    line_of,
    registry,
)
from rolecall.turn import TurnSpec


def read_format(source: str, path: Path) -> Format:
    """Read a format from the text of its file.

    Args:
        source: The TOML text.
        path: Where it came from, for its name and for error messages.

    Raises:
        FormatFileError: If the file has an unknown key, a wrong type or an impossible rule.
    """
    try:
        data = tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\(at line (\d+)", str(error))
        line = int(found.group(1)) if found else len(source.splitlines())
        raise FormatFileError(path.name, line, f"it is not TOML: {error}") from None
    loaded = _Loader(source, path, data).load()
    check(loaded, lambda where, text: _Loader(source, path, data).fail(where, text))
    return loaded


_KINDS: dict[str, tuple[type, str]] = {
    "text": (str, "a string"),
    "pattern": (str, "a string"),
    "patterns": (list, "a list of strings"),
    "regex": (str, "a string"),
    "bool": (bool, "true or false"),
    "int": (int, "a whole number"),
    "texts": (list, "a list of strings"),
    "table": (dict, "a table"),
}


class _Loader:
    """Turns the data of one file into a `Format`; every complaint names the line."""

    def __init__(self, source: str, path: Path, data: dict[str, Any]) -> None:
        self.source = source
        self.path = path
        self.data = data
        self.control: tuple[str, ...] = ()
        self.attributes: tuple[str, ...] = ()
        self.options: dict[str, Option] = {}
        self.turn_slots: set[str] = set()

    def fail(self, where: tuple[str, ...], text: str) -> FormatFileError:
        """The error for a key, to be raised by the caller."""
        return FormatFileError(self.path.name, line_of(self.source, where), text)

    def load(self) -> Format:
        top = self.table((), "")
        bos, eos = top.get("bos_token", ""), top.get("eos_token", "")
        tokens: tuple[str, ...] = (*top.get("control", ()), bos, eos)
        self.control = tuple(dict.fromkeys(token for token in tokens if token))
        self.attributes = tuple(top.get("attributes", ()))
        self.options = self.read_options()
        self.turn_slots = {*TURN_SLOTS, *self.attributes, *self.options}
        document = {"bos_token", "eos_token", "has_tools", *self.options}
        turns, roles, declared = self.read_turns()
        return Format(
            name=self.path.stem,
            path=self.path,
            title=top.get("title", self.path.stem),
            control=self.control,
            bos_token=bos,
            eos_token=eos,
            stop=tuple(top.get("stop", ())),
            begin=self.pattern(("begin",), top, document),
            finish=self.pattern(("finish",), top, document),
            dummy_prefix=top.get("dummy_prefix", False),
            part_join=top.get("part_join", ""),
            attributes=self.attributes,
            match=self.read_match(),
            labels=self.read_labels(),
            options=self.options,
            turns=turns,
            roles=roles,
            declared=declared,
            system=SystemRule(**self.table(("system",), "system")),
            tools=self.read_tools(),
            calls=self.read_calls(),
            reasoning=self.read_reasoning(),
            order=self.read_order(),
        )

    def raw(self, where: tuple[str, ...]) -> Any:
        value: Any = self.data
        for key in where:
            value = cast("dict[str, Any]", value).get(key, {}) if isinstance(value, dict) else {}
        return value

    def table(self, where: tuple[str, ...], schema: str) -> dict[str, Any]:
        """The keys of one table, checked against its schema."""
        value = self.raw(where)
        if not isinstance(value, dict):
            raise self.fail(where, f"[{'.'.join(where)}] must be a table, found {value!r}")
        keys = TABLES[schema]
        nested = {"turn": AUTHORS}.get(schema, ())
        found = cast("dict[str, Any]", value)
        for key, item in found.items():
            if key in nested:
                continue
            if key not in keys:
                table = f"[{'.'.join(where)}]" if where else "the file"
                raise self.fail(
                    (*where, key),
                    f"unknown key {key!r} in {table}{nearest(key, [*keys, *nested])} "
                    f"(known: {', '.join([*keys, *nested])})",
                )
            self.check(keys[key], item, (*where, key))
        return {key: item for key, item in found.items() if key in keys}

    def check(self, key: Key, value: object, where: tuple[str, ...]) -> None:
        strategies = registry(key.kind)
        name = ".".join(where)
        if strategies is not None:
            if key.kind in LISTED and not isinstance(value, list):
                raise self.fail(where, f"{name} must be a list, found {value!r}")
            names: list[object] = [value]
            if key.kind in LISTED:
                names = cast("list[object]", value)
            for one in names:
                if not isinstance(one, str) or one not in strategies:
                    raise self.fail(
                        where,
                        f"{name}: unknown strategy {one!r}{nearest(str(one), strategies)} "
                        f"(known: {', '.join(strategies)})",
                    )
            return
        if key.kind == "value":
            if not isinstance(value, (str, bool, int)):
                raise self.fail(where, f"{name} must be a string, boolean or integer")
            return
        kind, described = _KINDS[key.kind]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.fail(where, f"{name} must be {described}, found {value!r}")
        if kind is int and not 0 <= cast("int", value) <= LARGEST_INT:
            raise self.fail(where, f"{name} must be from 0 to {LARGEST_INT}, found {value!r}")
        if key.kind in ("texts", "patterns") and not all(
            isinstance(item, str) and item for item in cast("list[object]", value)
        ):
            raise self.fail(where, f"{name} must be a list of strings that are not empty")

    def pattern(
        self, where: tuple[str, ...], table: Mapping[str, Any], slots: set[str] | Sequence[str]
    ) -> Pattern:
        source = table.get(where[-1])
        if source is None:
            return EMPTY
        try:
            return pattern.parse(source, slots=set(slots), control=self.control)
        except PatternError as error:
            raise self.fail(where, f"{'.'.join(where)}: {error}") from None

    def patterns(
        self, where: tuple[str, ...], table: Mapping[str, Any], slots: set[str] | Sequence[str]
    ) -> tuple[Pattern, ...]:
        """The patterns of a list that are only read; they may pass over words."""
        given: list[str] = table.get(where[-1], [])
        return tuple(self.pattern(where, {where[-1]: source}, {*slots, "any"}) for source in given)

    def read_labels(self) -> dict[str, Value]:
        labels: dict[str, Value] = {}
        for role, label in self.raw(("labels",)).items():
            where = ("labels", role)
            if not isinstance(label, str) or not label:
                raise self.fail(where, f"labels.{role} must be a string that is not empty")
            labels[role] = (Piece(label, "role", control=label in self.control),)
        return labels

    def read_options(self) -> dict[str, Option]:
        options: dict[str, Option] = {}
        for name in self.raw(("options",)):
            where = ("options", name)
            table = self.table(where, "options.NAME")
            if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name in TURN_SLOTS:
                raise self.fail(where, f"{name!r} cannot be the name of an option")
            if name in schema.TAKEN:
                raise self.fail(
                    where,
                    f"{name!r} cannot be the name of an option: render and parse take an argument "
                    "of that name",
                )
            if "default" not in table:
                raise self.fail(where, f"option {name!r} has no default")
            options[name] = Option(
                table["default"], table.get("doc", ""), tuple(table.get("choices", ()))
            )
        return options

    def read_turns(
        self,
    ) -> tuple[dict[Author, TurnSpec], dict[str, TurnSpec], dict[str, Author]]:
        base = self.table(("turn",), "turn")
        turns: dict[Author, TurnSpec] = {}
        tables: dict[Author, dict[str, Any]] = {}
        for author in AUTHORS:
            if not base and author not in self.raw(("turn",)):
                continue
            own = self.table(("turn", author), "turn.AUTHOR")
            if "turn" not in self.data:
                raise self.fail((), "there is no [turn] table: the format writes no turns")
            tables[author] = own
            turns[author] = self.turn(author, [("turn",), ("turn", author)], [base, own])
        if not turns:
            raise self.fail((), "there is no [turn] table: the format writes no turns")
        roles: dict[str, TurnSpec] = {}
        declared: dict[str, Author] = {}
        for role in self.raw(("role",)):
            where = ("role", role)
            own = dict(self.table(where, "role.NAME"))
            author = own.pop("author", STANDARD_ROLES.get(role))
            if author not in AUTHORS:
                raise self.fail(
                    where,
                    f"role {role!r} needs author = one of {', '.join(AUTHORS)}, found {author!r}",
                )
            if role in STANDARD_ROLES and STANDARD_ROLES[role] != author:
                raise self.fail(where, f"the role {role!r} belongs to {STANDARD_ROLES[role]}")
            found: Author = author
            declared[role] = found
            roles[role] = self.turn(
                found,
                [("turn",), ("turn", found), where],
                [base, tables.get(found, {}), {"role": role, **own}],
            )
        return turns, roles, declared

    def turn(
        self, author: Author, places: list[tuple[str, ...]], layers: list[Mapping[str, Any]]
    ) -> TurnSpec:
        found: dict[str, Any] = {"author": author, "role": DEFAULT_ROLE[author]}
        for where, layer in zip(places, layers, strict=True):
            for key in ("open", "body", "end", "gap", "final_end", "call_end", "prompt"):
                if key in layer:
                    found[key] = self.pattern((*where, key), layer, self.turn_slots)
            if "reads" in layer:
                found["reads"] = self.patterns((*where, "reads"), layer, self.turn_slots)
            for key in ("merge", "group", "role", "empty"):
                if key in layer:
                    found[key] = layer[key]
            for previous in layer.get("after", {}):
                place = (*where, "after", previous)
                if previous not in AUTHORS:
                    raise self.fail(
                        place, f"{previous!r} is no author; authors are {', '.join(AUTHORS)}"
                    )
                table = self.table(place, "turn.AUTHOR.after.AUTHOR")
                header = self.pattern((*place, "open"), table, self.turn_slots)
                found["after"] = {**found.get("after", {}), previous: header}
        if "body" not in found:
            found["body"] = pattern.parse("{content}", slots=("content",), control=())
        return TurnSpec(**found)

    def read_tools(self) -> ToolsRule | None:
        if "tools" not in self.data:
            return None
        table = self.table(("tools",), "tools")
        for key in ("begin", "each", "finish"):
            if key in table:
                table[key] = self.pattern(("tools", key), table, TOOL_SLOTS)
        table.setdefault("each", pattern.parse("{tool}", slots=TOOL_SLOTS, control=()))
        if "frame" in table:
            table["frame"] = self.pattern(("tools", "frame"), table, self.turn_slots)
        self.check_when(table, "tools", "place")
        if "indent" in table and table.get("schema", "json") != "json":
            raise self.fail(("tools", "indent"), 'tools.indent is for the schema "json"')
        return ToolsRule(**table)

    def check_when(self, table: Mapping[str, Any], name: str, key: str) -> None:
        """Check a table `when`, whose boolean options choose another value for `key`."""
        for option, value in table.get("when", {}).items():
            where = (name, "when", option)
            if option not in self.options or not isinstance(self.options[option].default, bool):
                raise self.fail(where, f"{name}.when: {option!r} is no boolean option of this file")
            self.check(TABLES[name][key], value, where)

    def read_reasoning(self) -> ReasoningRule:
        table = self.table(("reasoning",), "reasoning")
        self.check_when(table, "reasoning", "keep")
        return ReasoningRule(**table)

    def read_match(self) -> dict[str, re.Pattern[str]]:
        rules: dict[str, re.Pattern[str]] = {}
        for slot, source in self.raw(("match",)).items():
            where = ("match", slot)
            if slot not in (*self.attributes, "call_name", "call_id"):
                known = ", ".join((*self.attributes, "call_name", "call_id"))
                raise self.fail(where, f"match.{slot}: nothing is called so (known: {known})")
            try:
                rules[slot] = re.compile(source)
            except (re.error, TypeError) as error:
                raise self.fail(where, f"match.{slot} is no regular expression: {error}") from None
        return rules

    def read_calls(self) -> CallsRule | None:
        if "calls" not in self.data:
            return None
        table = self.table(("calls",), "calls")
        if "each" not in table:
            raise self.fail(("calls",), "[calls] needs `each`, the pattern of one call")
        for key in ("begin", "each", "join", "finish"):
            if key in table:
                table[key] = self.pattern(("calls", key), table, CALL_SLOTS)
        if "reads" in table:
            slots = (*CALL_SLOTS, *self.attributes)
            table["reads"] = self.patterns(("calls", "reads"), table, slots)
        if "id" in table:
            table["id"] = self.pattern(("calls", "id"), table, ("call_name", "index"))
        if "ids" in table:
            try:
                table["ids"] = re.compile(table["ids"])
            except re.error as error:
                raise self.fail(
                    ("calls", "ids"), f"calls.ids is no regular expression: {error}"
                ) from None
        return CallsRule(**table)

    def read_order(self) -> OrderRule:
        table = self.table(("order",), "order")
        after: dict[Author, tuple[Author, ...]] = {}
        for author, allowed in table.get("after", {}).items():
            names = cast("list[object]", allowed) if isinstance(allowed, list) else []
            if author not in AUTHORS or not names or any(name not in AUTHORS for name in names):
                raise self.fail(
                    ("order", "after", author),
                    f"order.after maps an author to a list of authors ({', '.join(AUTHORS)})",
                )
            after[author] = tuple(cast("list[Author]", names))
        listed: dict[str, tuple[Author, ...]] = {}
        for key in ("first", "alone"):
            if any(name not in AUTHORS for name in table.get(key, ())):
                raise self.fail(("order", key), f"order.{key} lists authors ({', '.join(AUTHORS)})")
            if key in table:
                listed[key] = tuple(table[key])
        return OrderRule(
            first=listed.get("first"),
            alone=listed.get("alone"),
            after=after,
            rules=tuple(table.get("rules", ())),
            first_client=table.get("first_client", False),
        )
