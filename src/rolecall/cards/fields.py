"""A card as JSON: every field checked, every complaint with the field's name.

What the specifications demand of writers is more than readers can ask: fields are often missing or
null in published cards, and then are what the specification says they default to. A value of the
wrong type is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from rolecall.cards.card import Card, CardError, Lorebook, LoreEntry, Spec
from rolecall.errors import nearest

SPECS: dict[str, Spec] = {"chara_card_v2": "v2", "chara_card_v3": "v3"}
TEXTS = ("description", "personality", "scenario", "first_mes", "mes_example")
"""The texts of V1, besides the name."""
NEWER_TEXTS = (
    *("system_prompt", "post_history_instructions", "nickname"),
    *("creator_notes", "creator", "character_version"),
)
LISTS = ("alternate_greetings", "group_only_greetings", "tags")
READ = ("name", *TEXTS, *NEWER_TEXTS, *LISTS, "character_book", "extensions")

T = TypeVar("T")


def card_of(given: object, source: str) -> Card:
    """Check the JSON value of a card.

    Args:
        given: The value.
        source: What to call it in errors.

    Raises:
        CardError: If it is no card; the error names the field.
    """
    if not isinstance(given, Mapping):
        raise CardError(f"found {kind(given)}; a card is a JSON object", source=source)
    try:
        return _card_of(cast("Mapping[str, Any]", given), source)
    except RecursionError:
        raise CardError("it is nested too deeply", source=source) from None


def _card_of(root: Mapping[str, Any], source: str) -> Card:
    spec = _spec(root, source)
    if spec == "v1":
        return _card(root, "", root, spec, source)
    data = root.get("data")
    if not isinstance(data, Mapping):
        raise CardError(
            f"found {kind(data)}; a {spec.upper()} card has its fields in an object 'data'",
            source=source,
            field="data",
        )
    return _card(cast("Mapping[str, Any]", data), "data.", root, spec, source)


def _spec(root: Mapping[str, Any], source: str) -> Spec:
    given = root.get("spec")
    if isinstance(given, str) and given in SPECS:
        return SPECS[given]
    known = " or ".join(map(repr, SPECS))
    if given is not None and given != "chara_card_v1":
        near = nearest(given, SPECS) if isinstance(given, str) else ""
        raise CardError(
            f"found {kind(given)}; it must be {known}{near}", source=source, field="spec"
        )
    if "name" in root:
        return "v1"
    if isinstance(root.get("data"), Mapping):
        raise CardError(
            f"it is missing; beside 'data' it must be {known}", source=source, field="spec"
        )
    if "messages" in root:
        raise CardError("it holds a conversation and no character card", source=source)
    raise CardError(
        f"there is no 'name' and no 'spec', so it is no character card; found are the keys "
        f"{', '.join(sorted(map(repr, root))[:8]) or 'of an empty object'}",
        source=source,
    )


def _card(
    data: Mapping[str, Any], at: str, root: Mapping[str, Any], spec: Spec, source: str
) -> Card:
    fields = _Fields(data, at, source)
    name = fields.text("name")
    if not name.strip():
        raise CardError(
            "it is missing or empty; a card names its character", source=source, field=f"{at}name"
        )
    book = fields.one("character_book", Mapping, "an object", None)
    version = _Fields(root, "", source).text("spec_version")
    # Old readers find the fields of V1 at the root, as a copy: only what differs is of interest.
    spare = {} if root is data else {key: root[key] for key in root if root[key] != data.get(key)}
    for key in ("spec", "spec_version", "data"):
        spare.pop(key, None)
    # Before V3 a nickname is a key like any other that the specification does not have.
    known = [key for key in READ if key != "nickname" or spec == "v3"]
    unread = [key for key in data if key not in known and key not in ("spec", "spec_version")]
    other = {f"{at}{key}": data[key] for key in unread}
    texts: dict[str, Any] = {
        key: fields.text(key) for key in (*TEXTS, *NEWER_TEXTS) if key in known
    }
    lists: dict[str, Any] = {key: fields.texts(key) for key in LISTS}
    return Card(
        name=name,
        **texts,
        **lists,
        character_book=None
        if book is None
        else _lorebook(cast("Mapping[str, Any]", book), f"{at}character_book.", source),
        extensions=fields.object("extensions"),
        other={key: value for key, value in {**other, **spare}.items() if not _is_empty(value)},
        spec=spec,
        spec_version=version,
    )


def _lorebook(book: Mapping[str, Any], at: str, source: str) -> Lorebook:
    fields = _Fields(book, at, source)
    given = book.get("entries")
    if not isinstance(given, list):
        raise CardError(
            f"found {kind(given)}; it must be a list of entries (an object of entries is a "
            "program's own world file and no card's lorebook)",
            source=source,
            field=f"{at}entries",
        )
    entries: list[LoreEntry] = []
    for number, entry in enumerate(cast("list[object]", given)):
        where = f"{at}entries[{number}]"
        if not isinstance(entry, Mapping):
            raise CardError(
                f"found {kind(entry)}; an entry is an object", source=source, field=where
            )
        entries.append(_entry(cast("Mapping[str, Any]", entry), f"{where}.", source))
    return Lorebook(
        entries=tuple(entries),
        name=fields.text("name"),
        token_budget=fields.number("token_budget", None),
        extensions=fields.object("extensions"),
    )


def _entry(entry: Mapping[str, Any], at: str, source: str) -> LoreEntry:
    fields = _Fields(entry, at, source)
    position = fields.text("position")
    if position not in ("", "before_char", "after_char"):
        raise CardError(
            f"found {position!r}; it is 'before_char' or 'after_char'"
            + nearest(position, ("before_char", "after_char")),
            source=source,
            field=f"{at}position",
        )
    return LoreEntry(
        content=fields.text("content"),
        keys=fields.texts("keys"),
        enabled=fields.flag("enabled", True),
        constant=fields.flag("constant", False),
        order=fields.number("insertion_order", None) or 0,
        before=position == "before_char",
        name=fields.text("name") or fields.text("comment"),
        use_regex=fields.flag("use_regex", False),
        extensions=fields.object("extensions"),
    )


class _Fields:
    """Reading the values of one object, each with its type."""

    def __init__(self, data: Mapping[str, Any], at: str, source: str) -> None:
        self._data = data
        self._at = at
        self._source = source

    def one(self, key: str, wanted: type[Any], what: str, absent: T) -> Any | T:
        """The value, which is of the type wanted; null counts as absent."""
        value = self._data.get(key)
        if value is None:
            return absent
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
            self._refuse(key, f"found {kind(value)}; it must be {what}")
        return value

    def text(self, key: str) -> str:
        return self._written(key, self.one(key, str, "a string", ""))

    def texts(self, key: str) -> tuple[str, ...]:
        values: list[object] = self.one(key, list, "a list of strings", [])
        found: list[str] = []
        for number, value in enumerate(values):
            where = f"{key}[{number}]"
            if not isinstance(value, str):
                self._refuse(where, f"found {kind(value)}; it must be a string")
            found.append(self._written(where, cast("str", value)))
        return tuple(found)

    def flag(self, key: str, absent: bool) -> bool:
        return self.one(key, bool, "true or false", absent)

    def number(self, key: str, absent: float | None) -> float | None:
        return self.one(key, cast("Any", (int, float)), "a number", absent)

    def object(self, key: str) -> Mapping[str, Any]:
        return self.one(key, Mapping, "an object", {})

    def _written(self, key: str, text: str) -> str:
        """The text, if UTF-8 can write it."""
        try:
            text.encode()
        except UnicodeEncodeError as error:
            self._refuse(
                key,
                f"character {error.start} is the lone surrogate {text[error.start]!r}, which no "
                "tokenizer can encode; replace it in the card",
            )
        return text

    def _refuse(self, key: str, text: str) -> None:
        raise CardError(text, source=self._source, field=f"{self._at}{key}")


def _is_empty(value: object) -> bool:
    return value is None or (isinstance(value, (str, list, dict)) and not value)


NAMES: dict[type, str] = {bool: "a boolean", str: "a string", list: "a list", dict: "an object"}


def kind(value: object) -> str:
    """A short description of a wrong value."""
    if value is None:
        return "nothing"
    name = NAMES.get(type(value), "a number" if isinstance(value, (int, float)) else "")
    name = name or f"a value of type {type(value).__name__}"
    describe: Callable[[object], str] = repr
    try:
        shown = describe(value)
    except (ValueError, RecursionError):
        # A number of thousands of digits, or nesting without end.
        return name
    return f"{name} {shown if len(shown) <= 40 else shown[:37] + '...'}"
