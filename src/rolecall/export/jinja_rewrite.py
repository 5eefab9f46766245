"""From messages to turns in Jinja: what `rolecall.plan` does, as far as a format cites it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolecall.conversation import DEFAULT_ROLE, Author
from rolecall.export.jinja_code import (
    Node,
    both,
    choose,
    either,
    loop,
    negated,
    quoted,
    refuse,
    setting,
    when,
)
from rolecall.export.jinja_patterns import CLIENT_PLACES, NoTemplate, used
from rolecall.pattern import Group, Literal, Pattern, Slot

if TYPE_CHECKING:
    from rolecall.export.jinja import Branch, Export
    from rolecall.format import Format

MOVED = ("start", *CLIENT_PLACES)
"""Places to which system messages are moved."""


def place_index(place: str) -> str:
    """The variable that holds where the client's turn stands."""
    return "ns." + place.replace("-", "_")


def rewrites(fmt: Format) -> tuple[str, ...]:
    """What makes the turns another list than the messages."""
    found: list[str] = []
    if any(spec.merge is not None for spec in fmt.specs):
        found.append("merge")
    if fmt.system.place in MOVED:
        found.append("place")
    if fmt.order.first_client:
        found.append("first-client")
    rule = fmt.calls
    if rule is not None:
        found += ["keep"] if rule.keep != "all" or rule.max_results is not None else []
        found += ["sort"] if rule.sort_results else []
        found += ["number"] if rule.id else []
    return tuple(found)


def _cited(export: Export) -> set[str]:
    """The slots that the format's turns write or ask for."""
    patterns: list[Pattern] = []
    for spec in export.fmt.specs:
        patterns += [
            spec.open,
            spec.body,
            spec.end,
            spec.gap,
            spec.final_end or (),
            *spec.after.values(),
        ]
    return used(patterns)


def fields(export: Export) -> dict[str, str]:
    """What the namespace of the template holds, with its first values."""
    fmt = export.fmt
    steps = export.rewrites
    found: dict[str, str] = {}
    if steps:
        found["turns"] = "[]"
    if "place" in steps:
        found["system"] = "''"
        asked = fmt.system.place == "start" or fmt.system.default is not None
        if asked or not fmt.order.first_client:
            found["has_system"] = "false"
        if fmt.system.place == "start" and _says_role(export):
            found["owner"] = "''"
        if fmt.system.place in CLIENT_PLACES and not fmt.order.first_client:
            found["has_client"] = "false"
    if "number" in steps:
        found |= {"calls": "0", "waiting": "[]"}
    places = {fmt.system.place, *(fmt.tools.places if fmt.tools is not None else ())}
    if "first-client" in places:
        found["first_client"] = "-1"
    if "last-client" in places or "after-last-client" in fmt.reasoning.keeps:
        found["last_client"] = "-1"
    if "after-first-reply" in fmt.reasoning.keeps:
        found |= {"first_reply": "-1", "replied": "false", "kept": "0"}
    return found


def _says_role(export: Export) -> bool:
    owner = [b.spec for b in export.branches if b.author == "owner"]
    return bool(used([spec.open for spec in owner]) & {"role", "speaker"})


def nodes(export: Export) -> list[Node]:
    """The list of turns, and where in it is what the loop asks for."""
    found: list[Node] = []
    if export.fields:
        given = ", ".join(f"{name}={value}" for name, value in export.fields.items())
        found.append(setting("ns", f"namespace({given})"))
    if export.rewrites:
        found += _gathered(export)
    found += _added(export)
    return found + _scan(export)


# Turns


def _entry(export: Export, calls: str = "message.tool_calls or []") -> dict[str, str]:
    """Keys of a turn that is made anew, with the code of each."""
    cited = _cited(export)
    entry = {"role": "message.role"}
    if export.named or "name" in cited or "speaker" in cited or "call_name" in cited:
        entry["name"] = "message.name"
    entry["content"] = "content"
    if "reasoning" in cited:
        entry["reasoning_content"] = "message.reasoning_content or ''"
    if export.fmt.calls is not None:
        entry["tool_calls"] = calls
        if "call_id" in cited or "sort" in export.rewrites:
            entry["tool_call_id"] = "message.tool_call_id"
    if export.fmt.attributes:
        entry["attributes"] = "message.attributes or {}"
    if _checks_turns(export) or "keep" in export.rewrites or _merges(export):
        entry["at"] = "loop.index0"
    if export.fmt.calls is not None and export.fmt.calls.alone:
        entry["content_at"] = entry["calls_at"] = "loop.index0"
    return entry


def _merges(export: Export) -> bool:
    return any(spec.merge is not None for spec in export.fmt.specs)


def _checks_turns(export: Export) -> bool:
    fmt = export.fmt
    return any(not spec.empty for spec in fmt.specs) or bool(fmt.calls and fmt.calls.alone)


def _dict(entry: dict[str, str]) -> str:
    return "{" + ", ".join(f"{quoted(key)}: {code}" for key, code in entry.items()) + "}"


def _append(code: str, to: str = "ns.turns") -> Node:
    return setting(to, f"{to} + [{code}]")


def _gathered(export: Export) -> list[Node]:
    fmt = export.fmt
    steps = export.rewrites
    inner: list[Node] = []
    if "merge" in steps:
        inner += _merged(export)
    elif "number" in steps:
        inner += _numbered(export)
    else:
        inner.append(_append("message"))
    if "has_client" in export.fields:
        inner = [*when(export.is_author("client"), [setting("ns.has_client", "true")]), *inner]
    if "place" in steps:
        content = "content" if "merge" in steps else "text(message.content)"
        system: list[Node] = []
        if "has_system" in export.fields:
            system.append(setting("ns.has_system", "true"))
        if "owner" in export.fields:
            system.append(setting("ns.owner", "ns.owner or message.role"))
        if "merge" not in steps:
            system.append(setting("content", content))
        join = f"(ns.system + {quoted(fmt.system.join)} if ns.system else '')"
        system += when("content", [setting("ns.system", f"{join} + content")])
        inner = when(export.is_author("owner"), system, inner)
    if "merge" in steps:
        inner.insert(0, setting("content", "text(message.content)"))
    found = loop("message in messages", inner)
    found += _turn_checks(export)
    if "first-client" in steps and "place" not in steps:
        found += _spoken_to(export)
    elif "first-client" in steps:
        absent = f"not ns.turns or {negated(export.is_author('client', 'ns.turns[0]'))}"
        found += when(absent, [_prepend(_silent("client", export), "ns.turns")])
    if "keep" in steps:
        found += _kept(export)
    if "sort" in steps:
        found += _sorted(export)
    if "place" in steps:
        found += _placed(export)
    found.append(setting("turns", "ns.turns"))
    return found


def _spoken_to(export: Export) -> list[Node]:
    """Add an empty client turn behind the system messages in front, where no client follows."""
    client = _append(_silent("client", export), "spoken.turns")
    begins = f"not spoken.begun and {negated(export.is_author('owner', 'turn'))}"
    return [
        setting("spoken", "namespace(turns=[], begun=false)"),
        *loop(
            "turn in ns.turns",
            [
                *when(
                    begins,
                    [
                        setting("spoken.begun", "true"),
                        *when(negated(export.is_author("client", "turn")), [client]),
                    ],
                ),
                _append("turn", "spoken.turns"),
            ],
        ),
        *when("not spoken.begun", [client]),
        setting("ns.turns", "spoken.turns"),
    ]


def _silent(author: str, export: Export, content: str = "''", role: str = "") -> str:
    """A turn that the format adds by itself."""
    return _dict({"role": role or quoted(DEFAULT_ROLE[author]), "content": content})  # type: ignore[index]


def _prepend(code: str, to: str) -> Node:
    return setting(to, f"[{code}] + {to}")


def _merged(export: Export) -> list[Node]:
    """Append a message, or join it to the turn before it."""
    conditions: list[str] = []
    joins: set[str] = set()
    for branch in export.branches:
        spec = branch.spec
        if spec.merge is None:
            continue
        same = both(export.is_spec(spec, "message"), export.is_spec(spec, "previous"))
        cited = used([spec.open])
        if "role" in cited:
            same = both(same, "message.role == previous.role")
        if cited & {"name", "speaker"}:
            same = both(same, "(message.name or '') == (previous.name or '')")
        conditions.append(same)
        joins.add(spec.merge)
    if len(joins) > 1:
        raise NoTemplate(f"{export.fmt.name}: turns are merged with different texts between them")
    join = quoted(next(iter(joins)))
    entry = _entry(export)
    merged = {key: f"last.{key}" for key in entry}
    between = f"({join} if last.content and content else '')"
    merged["content"] = f"last.content + {between} + content"
    if "reasoning_content" in entry:
        thought = "(message.reasoning_content or '')"
        between = f"({join} if last.reasoning_content and {thought} else '')"
        merged["reasoning_content"] = f"last.reasoning_content + {between} + {thought}"
    if "tool_calls" in entry:
        merged["tool_calls"] = "last.tool_calls + (message.tool_calls or [])"
    if "content_at" in entry:
        merged["content_at"] = "last.content_at if last.content else loop.index0"
        merged["calls_at"] = "last.calls_at if last.tool_calls else loop.index0"
    if "at" in entry and _merges(export):
        entry["until"] = merged["until"] = "loop.index0"
    same = (
        " or ".join(conditions)
        if len(conditions) == 1
        else " or ".join(f"({c})" for c in conditions)
    )
    return [
        setting("previous", "messages[loop.index0 - 1]"),
        *when(
            f"not loop.first and ({same})",
            [
                setting("last", "ns.turns[-1]"),
                setting("ns.turns", f"ns.turns[:-1] + [{_dict(merged)}]"),
            ],
            [_append(_dict(entry))],
        ),
    ]


def would_merge(export: Export, branch: Branch) -> list[Node]:
    """Refuse a speaker whose turn would become part of the last one."""
    spec = branch.spec
    if spec.merge is None:
        return []
    last = "turns[-1]"
    same = both("turns", export.is_spec(spec, last))
    cited = used([spec.open])
    if "role" in cited:
        same = both(same, f"speaker.role == {last}.role")
    if cited & {"name", "speaker"}:
        same = both(same, f"(speaker.name or '') == ({last}.name or '')")
    words = (
        f", role: {export.fmt.name} would merge the next {branch.author} turn into this one, so "
        "nothing can be opened behind it; leave it open with continue_final_message, or add "
        "another message first"
    )
    where = ["'message '", f"{last}.until"]
    if "first-client" in export.rewrites or "has_client" in export.fields:
        # The turn may be one that was added.
        where = [f"('message ' ~ {last}.until if {last}.until is defined else 'conversation')"]
    return when(same, [refuse(*where, quoted(words))])


def _pattern_code(pattern: Pattern, values: dict[str, str]) -> str:
    """A pattern without groups as one expression."""
    terms: list[str] = []
    for node in pattern:
        if isinstance(node, Literal):
            terms.append(quoted(node.text))
        elif isinstance(node, Slot) and node.filter is None:
            terms.append(values[node.name])
        else:
            assert isinstance(node, (Slot, Group))
            raise NoTemplate("the pattern of ids has more than slots")
    return " ~ ".join(terms)


def _numbered(export: Export) -> list[Node]:
    """Append a message whose calls, or whose answer, have the id of the format's own pattern."""
    rule = export.fmt.calls
    assert rule is not None
    code = _pattern_code(rule.id, {"call_name": "call.function.name", "index": "ns.calls"})
    numbered = loop(
        "call in message.tool_calls or []",
        [
            setting("id", code),
            setting("ns.calls", "ns.calls + 1"),
            setting("made.calls", "made.calls + [{'id': id, 'function': call.function}]"),
            setting("ns.waiting", "ns.waiting + [{'given': call.id or '', 'id': id}]"),
        ],
    )
    answers: list[Node] = [
        *loop(
            "call in ns.waiting",
            [
                *when(
                    "not made.found and call.given == given",
                    [setting("made.found", "true"), setting("made.id", "call.id")],
                )
            ],
        ),
        *when(
            "not made.found and not given and ns.waiting",
            [setting("made.found", "true"), setting("made.id", "ns.waiting[0].id")],
        ),
        *when(
            "not made.found and not given",
            [
                refuse(
                    "'message '",
                    "loop.index0",
                    quoted(
                        ", tool_call_id: it answers no call: every call before it has its result; "
                        "add the call, or the id of the call that it answers"
                    ),
                )
            ],
        ),
        setting("left", "namespace(calls=[])"),
        *loop(
            "call in ns.waiting",
            when("call.id != made.id", [setting("left.calls", "left.calls + [call]")]),
        ),
        setting("ns.waiting", "left.calls"),
    ]
    entry = _entry(export, "made.calls")
    entry["content"] = "message.content"
    if "tool_call_id" in entry:
        entry["tool_call_id"] = "made.id"
    return [
        setting("given", "message.tool_call_id or ''"),
        setting("made", "namespace(calls=[], id=given, found=false)"),
        *numbered,
        *when(export.is_author("tool"), answers),
        _append(_dict(entry)),
    ]


def _turn_checks(export: Export) -> list[Node]:
    """Refuse turns that say nothing, or too much, behind merging."""
    if "merge" not in export.rewrites:
        return []
    from rolecall.export.jinja_checks import turn_checks

    checks = turn_checks(export, "turn", "turn.content", "turn.at")
    return loop("turn in ns.turns", checks) if checks else []


def _kept(export: Export) -> list[Node]:
    """Drop calls and results that are not kept, and count the results that are."""
    fmt = export.fmt
    rule = fmt.calls
    assert rule is not None
    if rule.keep not in ("all", "after-last-client"):
        raise NoTemplate(f"{fmt.name}: no template can keep calls {rule.keep}")
    tool = export.is_author("tool", "turn")
    counted: list[Node] = []
    if rule.max_results is not None:
        words = (
            f", role: {fmt.name} writes at most {rule.max_results} "
            f"result{'s' if rule.max_results > 1 else ''} after a message that makes calls"
        )
        counted = [
            setting("kept.results", f"kept.results + 1 if {tool} else 0"),
            *when(
                f"kept.results > {rule.max_results}",
                [refuse("'message '", "turn.at", quoted(words))],
            ),
        ]
    stays: list[Node] = [*counted, _append("turn", "kept.turns")]
    found: list[Node] = [setting("kept", "namespace(turns=[], since=0, results=0)")]
    if rule.keep == "all":
        found += loop("turn in ns.turns", stays)
        return [*found, setting("ns.turns", "kept.turns")]
    client = when(export.is_author("client", "turn"), [setting("kept.since", "loop.index0 + 1")])
    says = "turn.content"
    entry = {key: f"turn.{key}" for key in _entry(export)}
    if "reasoning_content" in entry:
        says = "(turn.content or turn.reasoning_content)"
    if "tool_calls" in entry:
        entry["tool_calls"] = "[]"
    if _merges(export):
        entry["until"] = "turn.until"
    dropped = choose(
        [
            (f"loop.index0 >= kept.since or ({negated(tool)} and not turn.tool_calls)", stays),
            (
                f"{negated(tool)} and {says}",
                [setting("kept.results", "0"), _append(_dict(entry), "kept.turns")],
            ),
        ]
    )
    found += [*loop("turn in ns.turns", client), *loop("turn in ns.turns", dropped)]
    return [*found, setting("ns.turns", "kept.turns")]


def _sorted(export: Export) -> list[Node]:
    """Bring results into the order of the calls that they answer."""
    if "answer-calls" not in export.fmt.order.rules:
        raise NoTemplate(f"{export.fmt.name}: results are sorted that need not answer a call")
    between: tuple[Author, ...] = ("owner", "client")
    if any("tool" in export.fmt.order.after.get(author, ("tool",)) for author in between):
        # Those are sorted here that stand behind their calls at once.
        raise NoTemplate(f"{export.fmt.name}: results are sorted that others may stand before")
    tool = export.is_author("tool", "turn")
    following = export.is_author("tool", "ns.turns[loop.index0 + 1]")
    matches = (
        "result.tool_call_id and result.tool_call_id == call.id "
        "or first and not result.tool_call_id"
    )
    in_order = loop(
        "call in sorted.calls",
        [
            setting("first", "loop.first"),
            *loop("result in sorted.results", when(matches, [_append("result", "sorted.turns")])),
        ],
    )
    results: list[Node] = [
        _append("turn", "sorted.results"),
        *when(
            either("loop.last", negated(following)), [*in_order, setting("sorted.results", "[]")]
        ),
    ]
    other: list[Node] = [
        _append("turn", "sorted.turns"),
        setting("sorted.calls", "turn.tool_calls or []"),
    ]
    return [
        setting("sorted", "namespace(turns=[], calls=[], results=[])"),
        *loop("turn in ns.turns", when(tool, results, other)),
        setting("ns.turns", "sorted.turns"),
    ]


def _placed(export: Export) -> list[Node]:
    """Put the joined system prompt where it stands."""
    rule = export.fmt.system
    if rule.place == "start":
        role = "ns.owner" if "owner" in export.fields else ""
        then = [_prepend(_silent("owner", export, "ns.system", role), "ns.turns")]
        other: list[Node] = []
        if rule.default is not None:
            other = [_prepend(_silent("owner", export, quoted(rule.default)), "ns.turns")]
        return when("ns.has_system", then, other)
    found: list[Node] = []
    if rule.default is not None:
        found += when(
            "not ns.has_system",
            [setting("ns.system", quoted(rule.default)), setting("ns.has_system", "true")],
        )
    if "has_client" in export.fields:
        found += when(
            "ns.has_system and not ns.has_client", [_prepend(_silent("client", export), "ns.turns")]
        )
    return found


def _added(export: Export) -> list[Node]:
    """The system turn that the format adds where there is none."""
    fmt = export.fmt
    turns = export.turns
    first = export.is_author("owner", f"{turns}[0]")
    absent = f"not {turns} or {negated(first)}"
    found: list[Node] = []
    if fmt.system.place == "turn" and fmt.system.default is not None:
        code = _silent("owner", export, quoted(fmt.system.default))
        return when(absent, [_prepend(code, turns)])
    if fmt.system.default is not None and fmt.system.place == "refuse":
        raise NoTemplate(f"{fmt.name}: a default system prompt that is refused")
    if fmt.tools is not None and "system" in fmt.tools.places:
        wanted = both("tools", export.placed("system"))
        code = _silent("owner", export)
        found += when(f"{wanted} and ({absent})", [_prepend(code, turns)])
    return found


def _scan(export: Export) -> list[Node]:
    """Where in the list of turns is what the loop asks for."""
    fmt = export.fmt
    inner: list[Node] = []
    client: list[Node] = []
    if "first_client" in export.fields:
        client += when("ns.first_client < 0", [setting("ns.first_client", "loop.index0")])
    if "last_client" in export.fields:
        client.append(setting("ns.last_client", "loop.index0"))
    if client:
        inner += when(export.is_author("client"), client)
    behind: list[Node] = []
    if "kept" in export.fields:
        reply = [
            "not message.tool_calls",
            "(text(message.content) or not message.reasoning_content)",
        ]
        replies: list[Node] = []
        if "channel" in fmt.attributes:
            replies.append(setting("channel", "(message.attributes or {}).channel or 'final'"))
            reply.append("channel == 'final'")
        replies += [
            setting("ns.replied", " and ".join(reply)),
            *when("ns.replied and ns.first_reply < 0", [setting("ns.first_reply", "loop.index0")]),
        ]
        inner += when(export.is_author("model"), replies)
        behind = when("ns.replied", [setting("ns.kept", "ns.first_reply + 1")])
    found = loop(f"message in {export.turns}", inner) if inner else []
    found += behind
    if fmt.tools is not None:
        for place in CLIENT_PLACES:
            if place in fmt.tools.places:
                absent = both(both("tools", export.placed(place)), f"{place_index(place)} < 0")
                words = (
                    f"conversation, tools: {fmt.name} writes tool schemas into a client turn, "
                    "and there is none"
                )
                found += when(absent, [refuse(quoted(words))])
    return found


def emptied(export: Export) -> str:
    """The condition that a message held nothing but reasoning, which is not kept."""
    kept = export.keeps_reasoning()
    if not kept:
        return "false"
    return " and ".join(
        [
            export.is_author("model"),
            "message.reasoning_content",
            "not text(message.content)",
            "not message.tool_calls",
            *([negated(kept)] if kept != "false" else []),
        ]
    )
