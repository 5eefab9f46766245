"""Headers that would read back as something else, refused by an exported template."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rolecall.conversation import STANDARD_ROLES
from rolecall.errors import ForgedHeaderError
from rolecall.export.jinja_code import (
    Block,
    Line,
    Node,
    Out,
    choose,
    listed,
    loop,
    member,
    none_of,
    quoted,
    refuse,
    setting,
    when,
    written,
)
from rolecall.export.jinja_patterns import used
from rolecall.header import HeaderReader, Speakers, check_header, header_source
from rolecall.pattern import Group, Literal, Pattern, Piece, Slot, Value, walk, write
from rolecall.turn import Turn, text_of

if TYPE_CHECKING:
    from rolecall.export.jinja import Branch, Export
    from rolecall.format import Format
    from rolecall.turn import TurnSpec


def check_cast(export: Export) -> None:
    """Refuse a cast with a role that no header of the format can say.

    Raises:
        ForgedHeaderError: If a header with a role of the cast reads back as another one.
    """
    from rolecall.pattern import Piece

    fmt = export.fmt
    reader = HeaderReader(fmt)
    for (role, name), author in export.cast.entries.items():
        spec = fmt.spec(author, role)
        if spec is None:
            continue
        label: Value = fmt.labels.get(role, (Piece(role, "role", None, "role"),))
        turn = Turn(spec, author, role, name, None, {"role": label, "speaker": label})
        if name is not None:
            turn.values["name"] = turn.values["speaker"] = (Piece(name, "name", None, "name"),)
        for header in (spec.open, *spec.after.values()):
            pieces: list[Piece] = []
            write(header, turn.values, "header", pieces.append)
            try:
                check_header(reader, turn, header, turn.values, pieces, Speakers(fmt, export.cast))
            except ForgedHeaderError as error:
                raise ForgedHeaderError(str(error).partition(": ")[2], field="cast") from None


def behind_slot(header: Pattern, name: str) -> list[str]:
    """The texts that end a slot of a header, where no control token does."""
    found: list[str] = []

    def follow(nodes: Pattern, said: str, known: set[str]) -> None:
        for number, node in enumerate(nodes):
            if isinstance(node, Literal) and not node.control:
                said += node.text
            elif isinstance(node, Literal):
                return
            elif isinstance(node, Slot):
                break
            elif not (node.negated and node.slot in known):
                follow((*node.nodes, *nodes[number + 1 :]), said, known)
                if node.slot in known:
                    return
        if said:
            found.append(said)

    def search(nodes: Pattern, rest: Pattern, known: set[str]) -> None:
        for number, node in enumerate(nodes):
            behind = (*nodes[number + 1 :], *rest)
            if isinstance(node, Slot) and node.name == name:
                follow(behind, "", known)
            elif isinstance(node, Group):
                search(node.nodes, behind, known if node.negated else {*known, node.slot})

    search(header, (), {name})
    return list(dict.fromkeys(found))


FIELDS = {"name": "name", "speaker": "name", "call_name": "name", "call_id": "tool_call_id"}


def caller_headers(export: Export) -> bool:
    """Whether a header has a slot that a caller fills freely."""
    fmt = export.fmt
    headers = [h for spec in fmt.specs for h in (spec.open, *spec.after.values())]
    return bool(used(headers) & {*FIELDS, *fmt.attributes})


def forged_headers(export: Export, branch: Branch) -> list[Node]:
    """Refuse what would end a header early, and names that read back as somebody else's."""
    return forged(export, branch.spec, "message", "'message '", "index")


def forged(export: Export, spec: TurnSpec, of: str, *where: str) -> list[Node]:
    """Refuse values of a header that would read back as others.

    Args:
        export: The export.
        spec: The turn.
        of: The code of the message, or of the speaker.
        where: Code of what its errors begin with.
    """
    fmt = export.fmt
    headers = (spec.open, *spec.after.values())
    nodes: list[Node] = []
    marks: dict[str, list[str]] = {}
    for header in headers:
        for node in walk(header):
            if isinstance(node, Slot) and (node.name in FIELDS or node.name in fmt.attributes):
                marks.setdefault(node.name, []).extend(behind_slot(header, node.name))
    named = bool(marks.keys() & {"name", "speaker"})
    for slot, found in marks.items():
        if of == "speaker" and slot not in ("name", "speaker"):
            continue
        field = FIELDS.get(slot, slot)
        value = f"{of}.{field}" if slot in FIELDS else member("attributes", field)
        if slot == "call_name":
            value = "call_name(message, messages[:index])"
        # Whatever it is in a header that ends it, the error names the speaker.
        shown = ["'name'", f"{of}.name"]
        if slot not in ("name", "speaker"):
            shown = ["'role'", f"{of}.role"]
            if named:
                shown = ["'name' if message.name else 'role'", "message.name or message.role"]
        marked = [mark for mark in dict.fromkeys(found) if mark not in fmt.control]
        given = "tokens" if not marked else f"{listed(marked)} + tokens"
        arguments = [value, given, " ~ ".join(where), *shown]
        nodes.append(Out(f"check_header({', '.join(arguments)})"))
    if "speaker" in marks:
        nodes.append(Out(f"check_label({of}.name, {' ~ '.join(where)})"))
    if any("role" not in written_with(header, {"name"}) for header in headers) and named:
        nodes += _shared(export, spec, of, where)
    return nodes


def written_with(header: Pattern, filled: set[str]) -> set[str]:
    """The slots that a header writes where some are filled."""
    found: set[str] = set()
    for node in header:
        if isinstance(node, Slot):
            found.add(node.name)
        elif isinstance(node, Group) and not (node.negated and node.slot in filled):
            found |= written_with(node.nodes, filled)
    return found


def label_macro(export: Export) -> str:
    """The macro that refuses names that are the label of a role."""
    fmt = export.fmt

    def raised(author: str, role: str) -> list[Node]:
        words = f"' in the header of {fmt.name} reads back as "
        parts = [quoted(words), author, '" \'"', role, quoted("'; choose another name")]
        return [refuse("where", '", name: \'"', "name", *parts)]

    branches = [("name and name in authors", raised("authors[name]", "name"))]
    for role, label in fmt.labels.items():
        known = raised(quoted(export.authors[role]), quoted(role))
        branches.append((f"name == {quoted(text_of(label))}", known))
    title = Line("{#- Refuse a name that is the label of a role. -#}")
    return written(
        [title, Block("macro check_label(name, where)", tuple(choose(branches)), "endmacro")]
    )


def name_macro(export: Export) -> str:
    """The macro that refuses names that somebody else has, where headers do not say whose."""
    nodes: list[Node] = [setting("first", "namespace(role='', author='')")]
    for role, name, who in export.named:
        known = [setting("first.role", quoted(role)), setting("first.author", quoted(who))]
        nodes += when(f"not first.role and name == {quoted(name)}", known)
    who_is = "author(other)" if export.named else "authors[other.role]"
    speaks: list[Node] = [setting("first.role", "other.role"), setting("first.author", who_is)]
    nodes += loop("other in messages", when("not first.role and other.name == name", speaks))
    declare = [
        quoted(", or declare the speaker with cast={('"),
        "said",
        quoted("', '"),
        "name",
        quoted("'): '"),
        "whose",
        quoted("'}"),
    ]
    raised = refuse(
        "where",
        '", name: \'"',
        "name",
        quoted(f"' in the header of {export.fmt.name} reads back as "),
        "first.author",
        '" \'"',
        "said",
        "\"' named '\"",
        "name",
        '"\', not as "',
        "whose",
        quoted("; choose another name"),
        f"({' ~ '.join(declare)} if {none_of('said', list(STANDARD_ROLES))} else '')",
    )
    wrong = [setting("said", "role or first.role"), raised]
    nodes += when("first.author and first.author != whose", wrong)
    title = Line("{#- Refuse a name that is somebody else's. -#}")
    begin = "macro check_name(name, whose, role, where)"
    return written([title, Block(begin, tuple(when("name", nodes)), "endmacro")])


def _shared(export: Export, spec: TurnSpec, of: str, where: Sequence[str]) -> list[Node]:
    """Refuse a name that somebody else has, where authors share a header."""
    fmt = export.fmt
    mine = _sources(fmt, spec)
    sharing = [other for other in fmt.specs if mine & _sources(fmt, other)]
    authors = {other.author for other in sharing}
    if len(authors) < 2:
        return []
    if spec.role not in STANDARD_ROLES and spec.role in export.authors:
        return _cast_alone(export, spec, of, where)
    role = "''" if spec.role in STANDARD_ROLES else quoted(spec.role)
    return [Out(f"check_name({of}.name, {quoted(spec.author)}, {role}, {' ~ '.join(where)})")]


def _sources(fmt: Format, spec: TurnSpec) -> set[str]:
    """The expressions that read a turn's headers."""
    return {header_source(fmt, header) for header in (spec.open, *spec.after.values())} - {""}


def _cast_alone(export: Export, spec: TurnSpec, of: str, where: Sequence[str]) -> list[Node]:
    """Refuse a name that the cast gives to somebody else under the header's own role."""
    who = quoted(export.authors[spec.role])
    for role, name, author in reversed(export.named):
        if role == spec.role:
            who = f"{quoted(author)} if {of}.name == {quoted(name)} else {who}"
    raised = refuse(
        *where,
        '", name: \'"',
        f"{of}.name",
        quoted(f"' in the header of {export.fmt.name} reads back as "),
        "cast_as",
        quoted(f" '{spec.role}' named '"),
        f"{of}.name",
        quoted(
            f"', not as {spec.author}; choose another name, or declare the speaker with "
            f"cast={{('{spec.role}', '"
        ),
        f"{of}.name",
        quoted(f"'): '{spec.author}'}}"),
    )
    condition = f"{of}.name and cast_as != {quoted(spec.author)}"
    return [setting("cast_as", who), *when(condition, [raised])]
