"""What an exported template refuses, in the words of the format: variables, messages and headers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING

from rolecall.conversation import AUTHORS, SPARE_KEYS, STANDARD_ROLES
from rolecall.errors import ForgedHeaderError
from rolecall.export.jinja_code import (
    Line,
    Node,
    Out,
    both,
    choose,
    listed,
    loop,
    negated,
    none_of,
    one_of,
    quoted,
    refuse,
    setting,
    when,
)
from rolecall.export.jinja_patterns import EMPTY, Fill, NoTemplate, used
from rolecall.header import header_source
from rolecall.pattern import Group, Literal, Pattern, Slot, filled, slots, walk, write
from rolecall.turn import text_of

if TYPE_CHECKING:
    from rolecall.export.jinja import Branch, Export
    from rolecall.format import Format
    from rolecall.turn import TurnSpec

SPARE = [key for key, level in SPARE_KEYS.items() if level == "error"]

WAY_OUT = "(or 'client', 'owner', 'tool')"


def check_cast(export: Export) -> None:
    """Refuse a cast with a role that no header of the format can say.

    Raises:
        ForgedHeaderError: If a header with a role of the cast reads back as another one.
    """
    from rolecall.header import HeaderReader, Speakers, check_header
    from rolecall.pattern import Piece, Value
    from rolecall.turn import Turn

    fmt = export.fmt
    reader = HeaderReader(fmt)
    for (role, _), author in export.cast.entries.items():
        spec = fmt.spec(author, role)
        if spec is None:
            continue
        label: Value = fmt.labels.get(role, (Piece(role, "role", None, "role"),))
        turn = Turn(spec, author, role, None, None, {"role": label, "speaker": label})
        for header in (spec.open, *spec.after.values()):
            pieces: list[Piece] = []
            write(header, turn.values, "header", pieces.append)
            try:
                check_header(reader, turn, header, turn.values, pieces, Speakers(fmt, export.cast))
            except ForgedHeaderError as error:
                raise ForgedHeaderError(str(error).partition(": ")[2], field="cast") from None


# Variables


def variables(export: Export) -> list[Node]:
    """Defaults of what a template is given beside the messages, and who speaks next."""
    fmt = export.fmt
    nodes: list[Node] = [Line(f"{{#- {_plain(fmt.title)}, exported by Rolecall -#}}")]
    if not export.named:
        table = ", ".join(f"{quoted(role)}: {quoted(who)}" for role, who in export.authors.items())
        nodes.append(setting("authors", f"{{{table}}}"))
    cited = _tokens(export)
    for name, value in (("bos_token", fmt.bos_token), ("eos_token", fmt.eos_token)):
        if name in cited:
            nodes += _default(name, quoted(value))
    for name, option in fmt.options.items():
        value = option.default
        code = str(value).lower() if isinstance(value, bool) else None
        nodes += _default(name, code or (quoted(value) if isinstance(value, str) else str(value)))
        if option.choices:
            words = f"; choose one of {', '.join(option.choices)}"
            nodes += when(
                none_of(name, option.choices),
                [refuse(quoted(f"option {name}: found '"), name, quoted("'" + words))],
            )
    nodes.append(
        setting("continuing", "continue_final_message is defined and continue_final_message")
    )
    nodes += when("messages and messages[-1].prefix", [setting("continuing", "true")])
    nodes += choose(
        [
            (
                "speaker is not defined or not speaker",
                [
                    setting(
                        "speaker",
                        "{'role': 'assistant'} if add_generation_prompt and not continuing else none",
                    )
                ],
            ),
            ("speaker is string", [setting("speaker", "{'role': speaker}")]),
            (
                "speaker is not mapping",
                [setting("speaker", "{'role': speaker[0], 'name': speaker[1]}")],
            ),
        ]
    )
    return nodes


def _plain(text: str) -> str:
    return text.replace("#}", "# }")


def _default(name: str, code: str) -> list[Node]:
    return when(f"{name} is not defined or {name} is none", [setting(name, code)])


def _tokens(export: Export) -> set[str]:
    """The document tokens that are written."""
    fmt = export.fmt
    patterns: list[Pattern] = [fmt.begin, fmt.finish]
    for spec in fmt.specs:
        patterns += [spec.open, spec.body, spec.end, spec.gap, spec.prompt]
        patterns += [spec.final_end or (), spec.call_end or (), *spec.after.values()]
    if fmt.tools is not None:
        patterns += [fmt.tools.begin, fmt.tools.each, fmt.tools.finish, fmt.tools.frame]
    if fmt.calls is not None:
        patterns += [fmt.calls.begin, fmt.calls.each, fmt.calls.join, fmt.calls.finish]
    return used(patterns)


# Checks


def checks(export: Export) -> list[Node]:
    """Everything that is refused, before anything is written."""
    fmt = export.fmt
    found: list[Node] = []
    if fmt.tools is None:
        words = f"conversation, tools: {fmt.name} has no place for tool schemas"
        found += when("tools", [refuse(quoted(words))])
    found += _rules_begin(export)
    if _caller_headers(export):
        found.append(setting("tokens", listed(fmt.control)))
    inner: list[Node] = [setting("index", "loop.index0")]
    if fmt.attributes:
        inner.append(setting("attributes", "message.attributes or {}"))
    inner += when(
        "message.prefix and not loop.last",
        [_at("prefix", "only the final message can be continued")],
    )
    inner += _roles(export)
    inner += _order(export)
    inner += _content(export)
    inner += _placeless(export)
    inner += _by_branch(export)
    inner += _rules(export)
    found += loop("message in messages", inner)
    found += _rules_end(export)
    found += _next(export)
    return found


def _at(field: str, *words: str) -> Node:
    """Refuse the message at `index`; the words are text, and code where they begin with ``=``."""
    codes = [quoted(f", {field}: {words[0]}") if words[0][:1] != "=" else quoted(f", {field}: ")]
    rest = words[1:] if words[0][:1] != "=" else words
    codes += [word[1:] if word[:1] == "=" else quoted(word) for word in rest]
    return refuse("'message '", "index", *codes)


def _roles(export: Export) -> list[Node]:
    if export.named:
        condition = "not author(message)"
    else:
        condition = "message.role not in authors"
    nodes = when(
        condition,
        [
            _at(
                "role",
                "the role '",
                "=message.role",
                "' is not declared; say who authors it with cast={'",
                "=message.role",
                f"': 'model'}} {WAY_OUT}",
            )
        ],
    )
    return nodes


def _placeless(export: Export) -> list[Node]:
    """Refuse the messages of authors that the format has no turn for."""
    fmt = export.fmt
    nodes: list[Node] = []
    missing = [a for a in AUTHORS if a not in fmt.turns and export.roles(a)]
    for author in missing:
        roles = [role for role in export.roles(author) if role not in fmt.roles]
        condition = export.is_author(author)
        if roles != export.roles(author):
            condition = both(condition, none_of("message.role", list(fmt.roles)))
        words = f"{fmt.name} has no place for {author} messages (role '"
        nodes += when(condition, [_at("role", words, "=message.role", "')")])
    if fmt.system.place == "refuse" and "owner" in fmt.turns:
        words = f"{fmt.name} has no place for a system message"
        nodes += when(export.is_author("owner"), [_at("content", words)])
    return nodes


def _a(author: str) -> str:
    return f"{'an' if author == 'owner' else 'a'} {author}"


def _ruled(export: Export) -> bool:
    order = export.fmt.order
    return order.first is not None or bool(order.after) or order.alone is not None


def _rules_begin(export: Export) -> list[Node]:
    """What the checks remember from message to message."""
    order = export.fmt.order
    nodes: list[Node] = []
    fields: dict[str, str] = {}
    if order.first is not None or order.after:
        fields["previous"] = "''"
    if order.after:
        table = ", ".join(f"{quoted(who)}: {listed(order.after[who])}" for who in order.after)
        nodes.append(setting("follow", f"{{{table}}}"))
    if "answer-calls" in order.rules:
        fields |= {"open": "0", "caller": "0"}
    if "answer-by-id" in order.rules:
        fields |= {"waiting": "[]", "answered": "[]"}
    if fields:
        given = ", ".join(f"{name}={value}" for name, value in fields.items())
        nodes.append(setting("order", f"namespace({given})"))
    return nodes


def _order(export: Export) -> list[Node]:
    """Who may follow whom."""
    fmt, order = export.fmt, export.fmt.order
    if not _ruled(export):
        return []
    article = "('an ' if who == 'owner' else 'a ') ~ who"
    nodes: list[Node] = [
        setting("who", "author(message)" if export.named else "authors[message.role]")
    ]
    if order.alone is not None:
        words = f" message alone; put one of {' or '.join(order.alone)} before it"
        nodes += when(
            f"messages | length == 1 and {none_of('who', order.alone)}",
            [_at("role", f"{fmt.name} has no way to write ", f"={article}", words)],
        )
    middle = " message (role '"

    def misplaced(place: Sequence[str]) -> Node:
        return _at(
            "role",
            f"{fmt.name} has no way to write ",
            f"={article}",
            middle,
            "=message.role",
            *place,
        )

    branches: list[tuple[str, list[Node]]] = []
    first = order.first
    if first is not None:
        allowed = list(dict.fromkeys([*first, "owner"]))
        words = f"') first; expected {' or '.join(first)}"
        branches.append((f"not order.previous and {none_of('who', allowed)}", [misplaced([words])]))
    if order.after:
        condition = "order.previous in follow and who not in follow[order.previous]"
        behind = "('an ' if order.previous == 'owner' else 'a ') ~ order.previous"
        place = [
            "') after ",
            f"={behind}",
            " message; expected ",
            "=(follow[order.previous] | join(' or '))",
        ]
        branches.append((condition, [misplaced(place)]))
    nodes += choose(branches)
    remember: list[Node] = []
    if branches:
        remember = [setting("order.previous", "who")]
        if first is not None and "owner" not in first:
            remember = when("order.previous or who != 'owner'", remember)
    return [*nodes, *remember]


def _content(export: Export) -> list[Node]:
    fmt = export.fmt
    spare = " or ".join(f"message.{key}" for key in SPARE)
    nothing = "message.content is not defined or message.content is none"
    words = (
        "it is missing; content may be null only beside tool_calls or reasoning_content "
        '(an empty message is "")'
    )
    beside = f"message.tool_calls or message.reasoning_content or {spare}"
    parts = loop(
        "part in message.content",
        when(
            "part.type != 'text'",
            [
                refuse(
                    "'message '",
                    "index",
                    "', content['",
                    "loop.index0",
                    quoted(f"]: {fmt.name} carries text only; a part of type '"),
                    "part.type",
                    quoted("' is gone"),
                )
            ],
        ),
    )
    nodes = choose(
        [
            (nothing, when(f"not ({beside})", [_at("content", words)])),
            ("message.content is not string", parts),
        ]
    )
    return [
        *nodes,
        *loop(
            f"key in {listed(SPARE)}",
            when(
                "message[key]",
                [
                    refuse(
                        "'message '",
                        "index",
                        "', '",
                        "key",
                        '": no format carries the key \'"',
                        "key",
                        '"\'"',
                    )
                ],
            ),
        ),
    ]


def _by_branch(export: Export) -> list[Node]:
    """What is refused of some messages, for each kind of it those that it concerns."""
    nodes: list[Node] = []
    for kind in (_answers, _calls, _says, _content_lost, _reasoning_lost, _calls_lost, _forged):
        nodes += export.alike([(one, kind(export, one)) for one in export.branches], "message")
    return nodes


def _says(export: Export, branch: Branch) -> list[Node]:
    if "merge" in export.rewrites:
        return []
    return turn_checks(export, "message", "text(message.content)", "index", branch)


def _content_lost(export: Export, branch: Branch) -> list[Node]:
    if branch.author == "owner" and export.fmt.system.place in (*_client_places(), "refuse"):
        return []
    condition = unwritten(export, branch, "content")
    if condition is None:
        return []
    words = f"{export.fmt.name} does not write the content of this message"
    return when(both(condition, "text(message.content) | trim"), [_at("content", words)])


def _reasoning_lost(export: Export, branch: Branch) -> list[Node]:
    condition = unwritten(export, branch, "reasoning")
    if condition is None:
        return []
    said = "message.reasoning_content and message.reasoning_content | trim"
    words = f"{export.fmt.name} has no place for the reasoning of this message"
    return when(both(condition, said), [_at("reasoning_content", words)])


def _calls_lost(export: Export, branch: Branch) -> list[Node]:
    if _writes_calls(export, branch):
        return []
    words = f"{export.fmt.name} has no place for the call of '"
    name = "=message.tool_calls[0].function.name"
    return when("message.tool_calls", [_at("tool_calls[0]", words, name, "'")])


def _writes_calls(export: Export, branch: Branch) -> bool:
    return export.fmt.calls is not None and unwritten(export, branch, "calls") != ""


def _client_places() -> tuple[str, ...]:
    from rolecall.export.jinja_rewrite import CLIENT_PLACES

    return CLIENT_PLACES


def turn_checks(
    export: Export, of: str, content: str, index: str, branch: Branch | None = None
) -> list[Node]:
    """Refuse turns that say nothing, or too much."""
    fmt = export.fmt
    nodes: list[Node] = []
    branches = export.branches if branch is None else [branch]
    for one in branches:
        if one.spec.empty:
            continue
        words = (
            f", content: it is empty; {fmt.name} has no way to write {_a(one.author)} message that "
            "says nothing"
        )
        condition = f"not {content} and not {of}.tool_calls"
        if branch is None:
            condition = both(export.is_spec(one.spec, of), condition)
        nodes += when(condition, [refuse("'message '", index, quoted(words))])
    if fmt.calls is not None and fmt.calls.alone:
        before = f", content: {fmt.name} writes either content or calls, not both in one turn"
        behind = "; leave one of them out"
        if of == "message":
            words = [refuse("'message '", index, quoted(before + behind))]
        else:
            merged = f"' (that of message ' ~ {of}.content_at ~ ' is merged with it)'"
            words: list[Node] = [
                refuse(
                    "'message '",
                    f"{of}.calls_at",
                    quoted(before),
                    f"({merged} if {of}.content_at != {of}.calls_at else '')",
                    quoted(behind),
                )
            ]
        nodes += when(f"{of}.tool_calls and {content}", words)
    return nodes


def _answers(export: Export, branch: Branch) -> list[Node]:
    """Refuse a result without the name or the id that is written into every result."""
    fmt, spec = export.fmt, branch.spec
    if branch.author != "tool":
        return []
    needed = {node.name for node in (*spec.open, *spec.body) if isinstance(node, Slot)}
    numbered = fmt.calls is not None and bool(fmt.calls.id)
    nodes: list[Node] = []
    wrong = _wrong_id(fmt, "message.tool_call_id", needed=False)
    if wrong:
        words = _wanted_id(fmt, "message.tool_call_id")
        nodes += when(
            wrong, [refuse("'message '", "index", "', tool_call_id: found '", *words)]
        )
    missing = f"it is missing and {fmt.name} writes it into every result; "
    if "call_name" in needed:
        words = missing + "give it, or the tool_call_id of an earlier call"
        nodes += when("not call_name(message, messages[:index])", [_at("name", words)])
    if "call_id" in needed and not numbered:
        words = missing + "give the id of the call that it answers"
        nodes += when("not message.tool_call_id", [_at("tool_call_id", words)])
    return nodes


def _calls(export: Export, branch: Branch) -> list[Node]:
    fmt, rule = export.fmt, export.fmt.calls
    if rule is None:
        return []
    nodes: list[Node] = []
    if rule.max is not None:
        words = (
            f"{fmt.name} writes at most {rule.max} call{'s' if rule.max > 1 else ''} a message, "
            "found "
        )
        nodes += when(
            f"message.tool_calls and message.tool_calls | length > {rule.max}",
            [
                _at(
                    "tool_calls",
                    words,
                    "=(message.tool_calls | length)",
                    "; put each call into a message of its own",
                )
            ],
        )
    needed = "call_id" in slots(rule.each)
    if rule.ids is not None and (needed or known_ids(fmt)):
        nodes += loop(
            "call in message.tool_calls or []",
            when(
                _wrong_id(fmt, "call.id", needed=needed),
                [
                    refuse(
                        "'message '",
                        "index",
                        "', tool_calls['",
                        "loop.index0",
                        "'].id: found '",
                        *_wanted_id(fmt, "call.id"),
                    )
                ],
            ),
        )
    return nodes


def known_ids(fmt: Format) -> tuple[str, int] | None:
    """The characters of an id and how many it has, where that is all that the format asks."""
    rule = fmt.calls.ids if fmt.calls is not None else None
    found = None if rule is None else _IDS.fullmatch(rule.pattern)
    if found is None:
        return None
    letters = re.compile(found[1])
    return "".join(c for c in map(chr, range(33, 127)) if letters.fullmatch(c)), int(found[2])


_IDS = re.compile(r"\^(\[(?:\w-\w|\w)+\])\{(\d+)\}(?:\$|\\Z)")


def _wrong_id(fmt: Format, code: str, *, needed: bool) -> str:
    """The condition that an id is not as the format wants it, as far as a template can tell."""
    rule = fmt.calls.ids if fmt.calls is not None else None
    if rule is None:
        return ""
    if known_ids(fmt) is not None:
        return f"not is_id({code} or '')" if needed else f"{code} and not is_id({code})"
    return f"not {code}" if needed and not rule.search("") else ""


def _wanted_id(fmt: Format, code: str) -> list[str]:
    rule = fmt.calls
    assert rule is not None
    assert rule.ids is not None
    hint = f" ({rule.ids_hint})" if rule.ids_hint else ""
    words = f"; {fmt.name} needs an id that matches {rule.ids.pattern}{hint}"
    return [f"(\"'\" ~ {code} ~ \"'\" if {code} else 'None')", quoted(words)]


def unwritten(export: Export, branch: Branch, slot: str) -> str | None:
    """The condition under which a turn does not write a slot that is filled; None if it always does.

    The empty condition always holds.
    """
    body = branch.spec.body
    fills = {**export.fills(branch), **_told(export)}
    asked = sorted(
        name
        for name in {node.slot for node in walk(body) if isinstance(node, Group)} - {slot, "thinks"}
        if not isinstance(fills.get(name, EMPTY).filled, bool)
    )
    lost: set[tuple[bool, ...]] = set()
    every = list(product((False, True), repeat=len(asked)))
    for chosen in every:
        known = dict(zip(asked, chosen, strict=True))
        known[slot] = True
        known["thinks"] = branch.author == "model" and known.get("reasoning", False)
        if not _writes(body, slot, known, fills):
            lost.add(chosen)
    if not lost:
        return None
    if len(lost) == len(every):
        return ""
    for number, name in enumerate(asked):
        for value in (True, False):
            if lost == {chosen for chosen in every if chosen[number] == value}:
                condition = str(fills[name].filled)
                return condition if value else negated(condition)
    raise NoTemplate(f"{export.fmt.name}: what a turn writes depends on too much")


def _told(export: Export) -> dict[str, Fill]:
    """Fills as the checks can ask for them."""
    told = {
        "content": Fill("text(message.content)", "text(message.content)"),
        "reasoning": Fill("message.reasoning_content", "message.reasoning_content"),
    }
    if export.fmt.calls is not None:
        told["calls"] = Fill("message.tool_calls", "message.tool_calls")
    return told


def _writes(nodes: Pattern, slot: str, known: dict[str, bool], fills: dict[str, Fill]) -> bool:
    for node in nodes:
        if isinstance(node, Slot) and node.name == slot:
            return True
        if isinstance(node, Group):
            there = known.get(node.slot, fills.get(node.slot, EMPTY).filled is True)
            if there != node.negated and _writes(node.nodes, slot, known, fills):
                return True
    return False


# Headers


def behind_slot(header: Pattern, name: str) -> list[str]:
    """The texts that end a slot of a header, where no control token does."""
    found: list[str] = []

    def follow(nodes: Pattern, said: str) -> None:
        for number, node in enumerate(nodes):
            if isinstance(node, Literal) and not node.control:
                said += node.text
            elif isinstance(node, Literal):
                return
            elif isinstance(node, Slot):
                break
            else:
                follow((*node.nodes, *nodes[number + 1 :]), said)
        if said:
            found.append(said)

    def search(nodes: Pattern, rest: Pattern) -> None:
        for number, node in enumerate(nodes):
            behind = (*nodes[number + 1 :], *rest)
            if isinstance(node, Slot) and node.name == name:
                follow(behind, "")
            elif isinstance(node, Group):
                search(node.nodes, behind)

    search(header, ())
    return list(dict.fromkeys(found))


FIELDS = {"name": "name", "speaker": "name", "call_name": "name", "call_id": "tool_call_id"}


def _caller_headers(export: Export) -> bool:
    """Whether a header has a slot that a caller fills freely."""
    fmt = export.fmt
    headers = [h for spec in fmt.specs for h in (spec.open, *spec.after.values())]
    return bool(used(headers) & {*FIELDS, *fmt.attributes})


def _forged(export: Export, branch: Branch) -> list[Node]:
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
        value = f"{of}.{field}" if slot in FIELDS else f"attributes.{field}"
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
        nodes += _labels(export, of, where)
    if marks.keys() & {"name", "speaker"}:
        nodes += _shared(export, spec, of, where)
    return nodes


def _labels(export: Export, of: str, where: Sequence[str]) -> list[Node]:
    """Refuse names that are the label of a role."""
    fmt = export.fmt
    known = {role: who for role, who in export.authors.items()}
    known |= {text_of(label): export.authors[role] for role, label in fmt.labels.items()}
    nodes: list[Node] = []
    for author in dict.fromkeys(known.values()):
        roles = [role for role, who in known.items() if who == author]
        words = f"' in the header of {fmt.name} reads back as {author} '"
        raised = refuse(
            *where,
            '", name: \'"',
            f"{of}.name",
            quoted(words),
            f"{of}.name",
            quoted("'; choose another name"),
        )
        nodes += when(both(f"{of}.name", one_of(f"{of}.name", roles)), [raised])
    return nodes


def _shared(export: Export, spec: TurnSpec, of: str, where: Sequence[str]) -> list[Node]:
    """Refuse a name that somebody else has, where authors share a header."""
    fmt = export.fmt
    mine = _sources(fmt, spec)
    sharing = [other for other in fmt.specs if mine & _sources(fmt, other)]
    authors = {other.author for other in sharing}
    if len(authors) < 2:
        return []
    return _first_of_name(export, spec, of, where)


def _sources(fmt: Format, spec: TurnSpec) -> set[str]:
    """The expressions that read a turn's headers."""
    return {header_source(fmt, header) for header in (spec.open, *spec.after.values())} - {""}


def _first_of_name(export: Export, spec: TurnSpec, of: str, where: Sequence[str]) -> list[Node]:
    fmt = export.fmt
    standard = spec.role in STANDARD_ROLES
    cast = [(role, name, who) for role, name, who in export.named]
    nodes: list[Node] = [setting("first", "namespace(role='', author='')")]
    for role, name, who in cast:
        condition = f"not first.role and {of}.name == {quoted(name)}"
        nodes += when(
            condition, [setting("first.role", quoted(role)), setting("first.author", quoted(who))]
        )
    who_is = "author(other)" if export.named else "authors[other.role]"
    nodes += loop(
        "other in messages",
        when(
            f"not first.role and other.name == {of}.name",
            [setting("first.role", "other.role"), setting("first.author", who_is)],
        ),
    )
    shown = "first.role" if standard else quoted(spec.role)
    hint: list[str] = []
    if not standard:
        hint = [
            quoted(f", or declare the speaker with cast={{('{spec.role}', '"),
            f"{of}.name",
            quoted(f"'): '{spec.author}'}}"),
        ]
    raised = refuse(
        *where,
        '", name: \'"',
        f"{of}.name",
        quoted(f"' in the header of {fmt.name} reads back as "),
        "first.author",
        '" \'"',
        shown,
        "\"' named '\"",
        f"{of}.name",
        quoted(f"', not as {spec.author}; choose another name"),
        *hint,
    )
    nodes += when(f"first.author and first.author != {quoted(spec.author)}", [raised])
    return when(f"{of}.name", nodes)


# Rules


def _rules(export: Export) -> list[Node]:
    """Every call has one result, and every result a call."""
    rules = export.fmt.order.rules
    tool: list[Node] = []
    model: list[Node] = []
    if "answer-calls" in rules:
        tool += [
            setting("order.open", "order.open - 1"),
            *when(
                "order.open < 0",
                [
                    _at(
                        "tool_call_id",
                        "it answers no call: there are more results than calls before it; "
                        "add the call or remove the result",
                    )
                ],
            ),
        ]
        model += [
            *when(
                "order.open",
                [
                    _at(
                        "role",
                        "the model speaks while ",
                        "=order.open",
                        " of the calls of message ",
                        "=order.caller",
                        " have no result; add a tool message for each call",
                    )
                ],
            ),
            setting("order.open", "(message.tool_calls or []) | length"),
            setting("order.caller", "index"),
        ]
    if "answer-by-id" in rules:
        model += [
            setting("order.waiting", "[]"),
            setting("order.answered", "[]"),
            *loop(
                "call in message.tool_calls or []",
                [
                    *when(
                        "call.id and call.id in order.waiting",
                        [
                            refuse(
                                "'message '",
                                "index",
                                "', tool_calls['",
                                "loop.index0",
                                '"].id: found \'"',
                                "call.id",
                                quoted(
                                    "' a second time; the calls of one message need different ids"
                                ),
                            )
                        ],
                    ),
                    setting("order.waiting", "order.waiting + [call.id or '']"),
                ],
            ),
        ]
        known = "((\"'\" ~ (order.waiting | join(\"', '\")) ~ \"'\") if order.waiting else 'none')"
        tool += [
            setting("id", "message.tool_call_id or ''"),
            *choose(
                [
                    (
                        "id and id in order.answered",
                        [
                            _at(
                                "tool_call_id",
                                "the call '",
                                "=id",
                                "' has a result already; one call has one result",
                            )
                        ],
                    ),
                    (
                        "id not in order.waiting",
                        [
                            _at(
                                "tool_call_id",
                                "found ",
                                "=(\"'\" ~ id ~ \"'\" if id else 'None')",
                                ", which is no call of the message before (calls: ",
                                f"={known}",
                                ")",
                            )
                        ],
                    ),
                ]
            ),
            setting("order.answered", "order.answered + [id]"),
        ]
    return choose([(export.is_author("tool"), tool), (export.is_author("model"), model)])


def _rules_end(export: Export) -> list[Node]:
    if "answer-calls" not in export.fmt.order.rules:
        return []
    return when(
        "order.open and order.caller != (messages | length) - 1",
        [
            refuse(
                "'message '",
                "order.caller",
                "', tool_calls: '",
                "order.open",
                "(' of its calls have' if order.open > 1 else ' of its calls has')",
                quoted(" no result; add a tool message for each call"),
            )
        ],
    )


def _next(export: Export) -> list[Node]:
    """Who is to speak next, or which message is left open."""
    fmt = export.fmt
    found: list[Node] = []
    last = "messages[-1]"
    whose = export.is_author("model", last)
    number = "((messages | length) - 1)"
    who = "author(messages[-1])" if export.named else "authors[messages[-1].role]"
    open_: list[Node] = [
        *choose(
            [
                (
                    "not messages",
                    [
                        refuse(
                            quoted("conversation, messages: there is no final message to continue")
                        )
                    ],
                ),
                (
                    negated(whose),
                    [
                        refuse(
                            "'message '",
                            number,
                            quoted(", role: the final message is the "),
                            who,
                            quoted("'s; only a model's message can be continued"),
                        )
                    ],
                ),
                (
                    f"{last}.tool_calls",
                    [
                        refuse(
                            "'message '",
                            number,
                            quoted(
                                ", tool_calls: a message that already makes tool calls cannot be "
                                "continued"
                            ),
                        )
                    ],
                ),
                (
                    f"not text({last}.content) and not {last}.reasoning_content",
                    [
                        refuse(
                            "'message '",
                            number,
                            quoted(", content: there is nothing to continue: it is empty"),
                        )
                    ],
                ),
            ]
        ),
        *when(
            "speaker",
            [
                refuse(
                    quoted(
                        "continue_final_message leaves the final message open, a generation prompt "
                        "opens another one; give only one of them"
                    )
                )
            ],
        ),
    ]
    speaking: list[Node] = []
    unknown = "not author(speaker)" if export.named else "speaker.role not in authors"
    speaking += when(
        unknown,
        [
            refuse(
                quoted("conversation, speaker: the speaker's role '"),
                "speaker.role",
                quoted("' is not declared; say who authors it with cast={'"),
                "speaker.role",
                quoted("': 'model'}"),
            )
        ],
    )
    for author in AUTHORS:
        if author not in fmt.turns:
            words = f"conversation, speaker: {fmt.name} has no turn for {author} messages, so '"
            speaking += when(
                export.is_author(author, "speaker"),
                [refuse(quoted(words), "speaker.role", quoted("' cannot speak"))],
            )
    speaking += export.alike(
        [(b, forged(export, b.spec, "speaker", "'conversation'")) for b in export.branches],
        "speaker",
    )
    nobody = "conversation, messages: there are no messages and nobody is to speak"
    found += choose(
        [
            ("continuing", open_),
            ("speaker", speaking),
            ("not messages", [refuse(quoted(nobody))]),
        ]
    )
    return found


_ = (filled,)
