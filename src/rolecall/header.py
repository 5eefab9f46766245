"""Reading headers back: what a turn's header says about author, role and name.

The expressions are compiled from the same patterns that are written. Before a header that holds
caller text is rendered, it is read back here; if the reading differs from what was meant, the
message is refused.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from rolecall.conversation import STANDARD_ROLES, Author, Cast
from rolecall.errors import ForgedHeaderError
from rolecall.lost import Lost
from rolecall.pattern import (
    Group,
    Literal,
    Pattern,
    Piece,
    Slot,
    Value,
    expression,
    filled,
    literals,
    slots,
    symbols,
    walk,
)
from rolecall.turn import Turn, TurnSpec, text_of

if TYPE_CHECKING:
    from rolecall.format import Format

OTHER_CONTROL = "\udfff"
"""The symbol of a control token that the format's file does not list, such as a caller's bos."""

BEFORE_CONTROL = r"(?=[\ud800-\udfff]|\Z)"
"""Where a header ends that ends in a slot; its body begins with a control token."""


class Reading(NamedTuple):
    """What a header says."""

    author: Author | None
    role: str
    name: str | None
    attributes: Mapping[str, str]
    end: int
    """Where the header ends in the symbols read."""


@dataclass(frozen=True)
class _Reader:
    spec: TurnSpec
    header: Pattern
    regex: re.Pattern[str]
    weight: tuple[int, bool]
    """The more a header fixes, the earlier it is tried: characters of literal text, and whether
    the words of the format are told from names."""


class Speakers:
    """Who speaks under which name, for headers that write a name, or nothing, in place of a role.

    The cast says so; where it does not, the first turn under a name does.
    """

    def __init__(self, fmt: Format, cast: Cast) -> None:
        self.declared = fmt.declared
        self.cast = cast
        self.names: dict[str, tuple[Author, str]] = {}
        """Name to its author and role."""
        self.unnamed: dict[str, Author] = {}
        """Role that a header stands for to the author of the first turn without a name."""
        for (role, name), author in cast.entries.items():
            if name is not None:
                self.names.setdefault(name, (author, role))

    def add(self, turn: Turn) -> None:
        """Remember the speaker of a turn; the first turn of a name decides."""
        if turn.name is not None:
            self.names.setdefault(turn.name, (turn.author, turn.role))
        else:
            self.unnamed.setdefault(turn.spec.role, turn.author)

    def remember(self, author: Author, role: str, name: str | None, unlabelled: str) -> None:
        """Remember who spoke; `unlabelled` is the role that the header alone stands for."""
        if name is not None:
            self.names.setdefault(name, (author, role))
        else:
            self.unnamed.setdefault(unlabelled, author)

    def author(self, role: str, name: str | None) -> Author | None:
        """Who authors a role spoken under a name, or None where nobody says."""
        return self.cast.author(role, name) or self.declared.get(role)


class HeaderReader:
    """Reads the headers of one format."""

    def __init__(self, fmt: Format) -> None:
        self.fmt = fmt
        self.roles = {text_of(label): role for role, label in reversed(list(fmt.labels.items()))}
        self.attributes = (*fmt.attributes, "call_id", "call_name")
        self.sharing: dict[str, set[Author]] = {}
        """Expression of a header to the authors who write it."""
        readers: dict[tuple[str, str], _Reader] = {}
        for spec in fmt.specs:
            for header in (spec.open, *spec.after.values()):
                source = header_source(fmt, header)
                if not source:
                    continue
                self.sharing.setdefault(source, set()).add(spec.author)
                reader = _Reader(spec, header, re.compile(source), self.weight(header))
                readers.setdefault((source, "" if slots(header) else spec.role), reader)
        self.readers = sorted(readers.values(), key=lambda reader: reader.weight, reverse=True)

    @staticmethod
    def weight(header: Pattern) -> tuple[int, bool]:
        """How much a header fixes; see `_Reader.weight`."""
        plain = sum(len(text) for text in literals(header, control=False))
        return plain, "speaker" in slots(header)

    def symbols(self, pieces: Iterable[Piece]) -> str:
        """Pieces as the text that `read` takes: control tokens as their symbols."""
        known = self.fmt.control_symbols
        return "".join(
            (symbols(piece.text, known) if piece.text in known else OTHER_CONTROL)
            if piece.control
            else piece.text
            for piece in pieces
        )

    def read(self, text: str, speakers: Speakers) -> Reading | None:
        """Read the header at the start of `text`, or return None if there is none."""
        for reader in self.readers:
            match = reader.regex.match(text)
            if match is not None:
                found = {key: value for key, value in match.groupdict().items() if value}
                sharing = self.sharing[reader.regex.pattern]
                return self.reading(reader.spec, sharing, found, match.end(), speakers)
        return None

    def reading(
        self,
        spec: TurnSpec,
        sharing: Collection[Author],
        found: Mapping[str, str],
        end: int,
        speakers: Speakers,
    ) -> Reading:
        """What a header says by what fills its slots.

        Args:
            spec: A turn that is written under this header.
            sharing: The authors who write it.
            found: Slot to what fills it.
            end: Where the header ends.
            speakers: Who speaks under which name.
        """
        attributes = {key: found[key] for key in self.attributes if key in found}
        name = found.get("name")
        label = found.get("role", found.get("speaker"))
        if label is not None:
            role = self.roles.get(label, label)
            author = speakers.author(role, name)
            if "role" in found or author is not None:
                return Reading(author, role, name, attributes, end)
            name = label
        author, role = self._unlabelled(spec, sharing, name, speakers)
        return Reading(author, role, name, attributes, end)

    def _unlabelled(
        self, spec: TurnSpec, sharing: Collection[Author], name: str | None, speakers: Speakers
    ) -> tuple[Author | None, str]:
        """Author and role of a header that writes a name, or nothing, in place of a role."""
        role = spec.role
        told = speakers.author(role, name)
        if len(sharing) == 1:
            return told or spec.author, role
        if name is None:
            return told or speakers.unnamed.get(role), role
        author, spoken_as = speakers.names.get(name, (None, role))
        # A standard role is nobody's word here: the header could have said it and did not.
        return (author, spoken_as) if role in STANDARD_ROLES else (told or author, role)


def header_source(fmt: Format, header: Pattern) -> str:
    """The expression that reads a header; headers that are written alike have the same."""
    source = expression(header, fmt.control_symbols)
    return source + BEFORE_CONTROL if source and ends_in_slot(header) else source


def skeleton(fmt: Format, spec: TurnSpec, role: str) -> str:
    """A header without its optional parts, the role's label filled in."""
    parts: list[str] = []
    for node in spec.open:
        if isinstance(node, Literal):
            parts.append(node.text)
        elif slots((node,)) & {"role", "speaker"}:
            parts.append(text_of(fmt.labels[role]) if role in fmt.labels else role)
    return "".join(parts)


def label_twin(fmt: Format, spec: TurnSpec) -> bool:
    """Whether a header spells out what one with a label says of another author."""
    if not spec.open or slots(spec.open) & {"role", "speaker"}:
        return False
    own = skeleton(fmt, spec, spec.role)
    return any(
        slots(other.open) & {"role", "speaker"} and skeleton(fmt, other, other.role) == own
        for other in fmt.specs
        if other.author != spec.author
    )


def bare_system(spec: TurnSpec) -> bool:
    """Whether a system prompt stands in this turn with nothing before it that shows what it is."""
    return any(
        isinstance(node, Group)
        and node.slot == "system"
        and not node.negated
        and not isinstance(node.nodes[0], Literal)
        for node in walk(spec.body)
    )


def ends_in_slot(header: Pattern) -> bool:
    """Whether the last thing that a header can write is a slot."""
    nodes = [node for node in walk(header) if not isinstance(node, Group)]
    return bool(nodes) and isinstance(nodes[-1], Slot)


def writes_label(turn: Turn, written: Mapping[str, Value]) -> bool:
    """Whether a header with these slots written says the role of its turn."""
    return "role" in written or ("speaker" in written and turn.name is None)


def says_role(found: Collection[str], name: str | None) -> bool:
    """Whether a header with these slots that was read says the role of its turn."""
    return "role" in found or ("speaker" in found and name is None)


def is_known_role(fmt: Format, role: str) -> bool:
    """Whether a role is a standard one or the format's own, and not the caller's word."""
    return role in STANDARD_ROLES or role in fmt.labels or role in fmt.declared


def check_header(
    reader: HeaderReader,
    turn: Turn,
    header: Pattern,
    values: Mapping[str, Value],
    pieces: list[Piece],
    speakers: Speakers,
) -> Lost | None:
    """Refuse a header that reads back as another author, role, name or attribute.

    Where all of it reads back but the author, because the name that tells them apart is not
    written, nothing is forged: a record says that the two share their ids.

    Raises:
        ForgedHeaderError: If the reading differs from what was meant.
    """
    fmt = reader.fmt
    given = {piece.field for piece in pieces if piece.field}
    if is_known_role(fmt, turn.role):
        given.discard("role")
    if not given and turn.spec.role in STANDARD_ROLES:
        return None
    read = reader.symbols(pieces)
    reading = reader.read(read, speakers)
    written = filled(header, values)
    labelled = writes_label(turn, written)
    named = "name" in written or ("speaker" in written and not labelled)
    role, name = turn.role if labelled else turn.spec.role, turn.name if named else None
    attributes = {key: text_of(written[key]) for key in reader.attributes if written.get(key)}
    if (
        reading is not None
        and reading[2:] == (name, attributes, len(read))
        and (reading.role == role or (named and not labelled))
    ):
        if reading.author == turn.author or (not given and reading.author is None):
            return None
        if not named and (not given or turn.name is not None):
            return _ambiguous(turn, role, reading.author)
    if not given:
        return None
    options = sorted(field for field in given if field.startswith("options."))
    if options == sorted(given):
        raise ForgedHeaderError(
            f"it cannot stand in the header of {fmt.name}: it holds what ends the header; "
            "choose another value",
            field=options[0],
        )
    field = "role" if name is None or (labelled and reading and reading.name == name) else "name"
    raise ForgedHeaderError(
        _complaint(fmt, turn, name, field, reading, len(read)), message=turn.message, field=field
    )


def _ambiguous(turn: Turn, role: str, other: Author | None) -> Lost:
    lacks = "without a name" if turn.name is None else f"without the name {turn.name!r}"
    detail = (
        f"{lacks} it has the same ids as a {role!r} message of {other or 'nobody declared'}, "
        f"not of {turn.author}"
    )
    return Lost("warning", "ambiguous", turn.message, "role", detail)


def _complaint(
    fmt: Format, turn: Turn, name: str | None, field: str, reading: Reading | None, end: int
) -> str:
    shown = name if field == "name" else turn.role
    way_out = f"choose another {field}"
    if reading is None or reading.end != end:
        said = "cannot be read back: it holds what ends the header"
    else:
        who = f"{reading.author or 'nobody declared'} {reading.role!r}"
        said = f"reads back as {who}" + (f" named {reading.name!r}" if reading.name else "")
        if reading.name == name and reading.author != turn.author:
            said += f", not as {turn.author}"
            if reading.role not in STANDARD_ROLES and name is not None:
                entry = {(reading.role, name): turn.author}
                way_out += f", or declare the speaker with cast={entry}"
    return f"{shown!r} in the header of {fmt.name} {said}; {way_out}"


def common_prefix(fmt: Format, previous: Author | None) -> Pattern:
    """How every header of the model begins behind a turn of the previous author.

    Its literals up to the first slot or difference.
    """
    headers = [spec.header(previous) for spec in fmt.specs if spec.author == "model"]
    prefix: list[Literal] = []
    for position, node in enumerate(headers[0] if headers else ()):
        same = all(len(header) > position and header[position] == node for header in headers)
        if not isinstance(node, Literal) or not same:
            break
        prefix.append(node)
    whole = headers and all(len(header) == len(prefix) for header in headers)
    while prefix and not whole and not prefix[-1].control:
        prefix.pop()
    return tuple(prefix)


def lets_model_choose(fmt: Format) -> bool:
    """Whether a model's header holds anything that the model could choose."""
    return any(
        not isinstance(node, Literal)
        for spec in fmt.specs
        if spec.author == "model"
        for node in walk(spec.open)
    )
