"""What an exported template refuses, in the words of the format."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from rolecall.conversation import AUTHORS, SPARE_KEYS, Author
from rolecall.export.jinja_code import (
    Node,
    both,
    choose,
    listed,
    loop,
    negated,
    none_of,
    quoted,
    refuse,
    setting,
    when,
)
from rolecall.export.jinja_headers import caller_headers, forged, forged_headers
from rolecall.export.jinja_order import (
    article,
    order_of,
    refuse_at,
    rules_begin,
    rules_end,
    rules_of,
)
from rolecall.export.jinja_parts import decided
from rolecall.export.jinja_patterns import CLIENT_PLACES, EMPTY, Fill, NoTemplate, known_ids
from rolecall.pattern import Group, Pattern, Slot, slots, walk

if TYPE_CHECKING:
    from rolecall.export.jinja import Branch, Export
    from rolecall.format import Format

SPARE = [key for key, level in SPARE_KEYS.items() if level == "error"]

WAY_OUT = "(or 'client', 'owner', 'tool')"


def checks(export: Export) -> list[Node]:
    """Everything that is refused, before anything is written."""
    fmt = export.fmt
    found: list[Node] = []
    if fmt.tools is None:
        words = f"conversation, tools: {fmt.name} has no place for tool schemas"
        found += when("tools", [refuse(quoted(words))])
    found += rules_begin(export)
    if caller_headers(export):
        found.append(setting("tokens", listed(fmt.control)))
    inner: list[Node] = [setting("index", "loop.index0")]
    if fmt.attributes:
        inner.append(setting("attributes", "message.attributes or {}"))
    inner += when(
        "message.prefix and not loop.last",
        [refuse_at("prefix", "only the final message can be continued")],
    )
    inner += _roles(export)
    inner += order_of(export)
    inner += rules_of(export)
    inner += _content(export)
    inner += _placeless(export)
    inner += _by_branch(export)
    found += loop("message in messages", inner)
    found += rules_end(export)
    found += _next(export)
    return found


def _roles(export: Export) -> list[Node]:
    condition = "not author(message)" if export.named else "message.role not in authors"
    return when(
        condition,
        [
            refuse_at(
                "role",
                "the role '",
                "=message.role",
                "' is not declared; say who authors it with cast={'",
                "=message.role",
                f"': 'model'}} {WAY_OUT}",
            )
        ],
    )


def _placeless(export: Export) -> list[Node]:
    """Refuse the messages of authors that the format has no turn for."""
    fmt = export.fmt
    nodes: list[Node] = []
    missing: list[Author] = [a for a in AUTHORS if a not in fmt.turns and export.roles(a)]
    for author in missing:
        roles = [role for role in export.roles(author) if role not in fmt.roles]
        condition = export.is_author(author)
        if roles != export.roles(author):
            condition = both(condition, none_of("message.role", list(fmt.roles)))
        words = f"{fmt.name} has no place for {author} messages (role '"
        nodes += when(condition, [refuse_at("role", words, "=message.role", "')")])
    if fmt.system.place == "refuse" and "owner" in fmt.turns:
        words = f"{fmt.name} has no place for a system message"
        nodes += when(export.is_author("owner"), [refuse_at("content", words)])
    return nodes


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
            (nothing, when(f"not ({beside})", [refuse_at("content", words)])),
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
    for kind in (
        _answers,
        _calls,
        _says,
        _content_lost,
        _reasoning_lost,
        _calls_lost,
        forged_headers,
    ):
        nodes += export.alike([(one, kind(export, one)) for one in export.branches], "message")
    return nodes


def _says(export: Export, branch: Branch) -> list[Node]:
    moved = branch.author == "owner" and "place" in export.rewrites
    if "merge" in export.rewrites and not moved:
        return []  # Checked behind merging.
    return turn_checks(export, "message", "text(message.content)", "index", branch)


def _content_lost(export: Export, branch: Branch) -> list[Node]:
    if branch.author == "owner" and export.fmt.system.place in (*CLIENT_PLACES, "refuse"):
        return []
    condition = unwritten(export, branch, "content")
    if condition is None:
        return []
    words = f"{export.fmt.name} does not write the content of this message"
    return when(both(condition, "text(message.content) | trim"), [refuse_at("content", words)])


def _reasoning_lost(export: Export, branch: Branch) -> list[Node]:
    condition = unwritten(export, branch, "reasoning")
    if condition is None or (branch.author == "model" and never_kept(export)):
        return []
    if branch.author == "model" and export.keeps_reasoning():
        raise NoTemplate(f"{export.fmt.name}: reasoning that is kept is not written")
    said = "message.reasoning_content and message.reasoning_content | trim"
    words = f"{export.fmt.name} has no place for the reasoning of this message"
    return when(both(condition, said), [refuse_at("reasoning_content", words)])


def _calls_lost(export: Export, branch: Branch) -> list[Node]:
    rule = export.fmt.calls
    if _writes_calls(export, branch):
        return []
    condition = "message.tool_calls"
    if rule is not None and rule.keep == "after-last-client":
        # Those before a client's message are not kept, whoever makes them.
        condition = both("index > order.asked", condition)
    words = f"{export.fmt.name} has no place for the call of '"
    name = "=message.tool_calls[0].function.name"
    return when(condition, [refuse_at("tool_calls[0]", words, name, "'")])


def _writes_calls(export: Export, branch: Branch) -> bool:
    return export.fmt.calls is not None and unwritten(export, branch, "calls") != ""


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
            f", content: it is empty; {fmt.name} has no way to write {article(one.author)} "
            "message that says nothing"
        )
        condition = f"not {content} and not {of}.tool_calls"
        if branch is None:
            condition = both(export.is_spec(one.spec, of), condition)
        nodes += when(condition, [refuse("'message '", index, quoted(words))])
    if fmt.calls is not None and fmt.calls.alone:
        before = f", content: {fmt.name} writes either content or calls, not both in one turn"
        behind = "; leave one of them out"
        if of == "message":
            raised = [refuse("'message '", index, quoted(before + behind))]
        else:
            merged = f"' (that of message ' ~ {of}.content_at ~ ' is merged with it)'"
            raised = [
                refuse(
                    "'message '",
                    f"{of}.calls_at",
                    quoted(before),
                    f"({merged} if {of}.content_at != {of}.calls_at else '')",
                    quoted(behind),
                )
            ]
        nodes += when(f"{of}.tool_calls and {content}", raised)
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
        nodes += when(wrong, [refuse("'message '", "index", "', tool_call_id: found '", *words)])
    missing = f"it is missing and {fmt.name} writes it into every result; "
    if "call_name" in needed:
        words = missing + "give it, or the tool_call_id of an earlier call"
        nodes += when("not call_name(message, messages[:index])", [refuse_at("name", words)])
    if "call_id" in needed and not numbered:
        words = missing + "give the id of the call that it answers"
        nodes += when("not message.tool_call_id", [refuse_at("tool_call_id", words)])
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
                refuse_at(
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
    """The condition under which a turn does not write a slot that is filled, or None.

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
        made = "message.tool_calls"
        if export.fmt.calls.keep == "after-last-client":
            made = f"({made} and index > order.asked)"  # Others are not kept.
        told["calls"] = Fill(made, made)
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


def never_kept(export: Export) -> bool:
    """Whether no turn of the model keeps its reasoning."""
    return export.keeps_reasoning() == "false"


def _next(export: Export) -> list[Node]:
    """Who is to speak next, or which message is left open."""
    fmt = export.fmt
    found: list[Node] = []
    last = "messages[-1]"
    whose = export.is_author("model", last)
    number = "((messages | length) - 1)"
    who = "author(messages[-1])" if export.named else "authors[messages[-1].role]"
    unsaid: list[tuple[str, list[Node]]] = []
    spec = fmt.turns.get("model")
    rule = fmt.reasoning
    never = decided([(rule.keep == "none", "")], [(o, k == "none") for o, k in rule.when.items()])
    if spec is None or "reasoning" not in slots(spec.body):
        never = ""
    if never != "false":
        words = ", reasoning_content: there is nothing to continue: the format does not write it"
        condition = both(never, f"not text({last}.content)")
        unsaid = [(condition, [refuse("'message '", number, quoted(words))])]
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
                *unsaid,
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
