"""What a format makes of a conversation: that which its ids can say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from rolecall import strategies
from rolecall.conversation import (
    DEFAULT_ROLE,
    STANDARD_ROLES,
    Author,
    Cast,
    Conversation,
    Message,
    ToolCall,
)
from rolecall.header import bare_system, writes_label
from rolecall.pattern import Pattern, Piece, Value, blank_for, filled, slots, write
from rolecall.plan import would_join
from rolecall.reply import filter_of, plain_content
from rolecall.turn import Turn, text_of
from rolecall.walk import Walk

if TYPE_CHECKING:
    from rolecall.format import Format


LABEL_SLOTS = {"role", "speaker"}
"""Slots that can write the label of a role."""

CLIENT_PLACES = ("first-client", "last-client")
"""Places that move the system prompt, so that an empty one writes nothing where it stands."""


def canonical(fmt: Format, conversation: Conversation) -> Conversation:
    """The canonical form; see `Format.canonical`."""
    walked = Walk(fmt, conversation)
    walked.run(generating=False, keep_open=None)
    messages: list[Message] = []
    cast: dict[tuple[str, str | None], Author] = {}
    previous: Author | None = None
    turns = walked.plan.turns
    weighed: set[int] = set()
    separated: set[int] = set()
    for number, (first, second) in enumerate(pairwise(turns)):
        if not would_join(first, second):
            continue
        if second.author == "client" and fmt.system.place in CLIENT_PLACES:
            # What stood between them is written elsewhere; an empty one keeps them apart.
            separated.add(number + 1)
        else:
            # Without their weights the two would be merged.
            weighed |= {number, number + 1}
    for number, turn in enumerate(turns):
        system = text_of(turn.values.get("system", ()))
        header = turn.spec.header(previous)
        message = _message(fmt, walked, turn, header)
        folded = _folded(walked, turn) if system and bare_system(turn.spec) else None
        if folded is not None:
            # Nothing in the ids tells a system prompt from the text that it stands before.
            message = replace(message, content=folded)
        elif system:
            messages.append(Message("system", system))
        if number in weighed:
            message = replace(message, weight=turn.weight)
        previous = turn.author
        if not _shows(walked, turns, number, header):
            continue
        if number in separated:
            messages.append(Message(DEFAULT_ROLE["owner"], ""))
        messages.append(message)
        by_name = message.name is not None and not _labelled(walked, turn, header)
        by_name = by_name and bool(slots(header) & LABEL_SLOTS)
        declare(
            fmt,
            conversation.cast,
            turn.author,
            message,
            cast,
            unlabelled=turn.spec.role,
            by_name=by_name,
        )
    has_tools = fmt.tools is not None and conversation.tools
    return Conversation(
        tuple(messages),
        _written_tools(fmt, conversation) if has_tools else None,
        Cast(cast),
        conversation.options,
    )


def _written_tools(fmt: Format, conversation: Conversation) -> tuple[Mapping[str, Any], ...]:
    """The tool schemas as they are written, where that can be read back."""
    rule = fmt.tools
    assert rule is not None
    schema = strategies.TOOL_SCHEMAS[rule.schema]
    given = conversation.tools or ()
    if not schema.readable:
        return given
    if "tool" not in slots(rule.each):
        return tuple({"type": "function", "function": tool["function"]} for tool in given)
    return tuple(json.loads(schema.apply(tool)) for tool in given)


def _folded(walked: Walk, turn: Turn) -> str | None:
    """System prompt and content as one content, or None if that would be written otherwise."""
    pieces: list[Piece] = []
    write(turn.spec.body, walked.values(turn), "scaffold", pieces.append)
    text = text_of(tuple(pieces))
    again: list[Piece] = []
    values = {
        **walked.values(turn),
        "system": (),
        "content": (Piece(text, "content", 0, "content"),),
    }
    write(turn.spec.body, values, "scaffold", again.append)
    return text if text_of(tuple(again)) == text else None


def _message(fmt: Format, walked: Walk, turn: Turn, header: Pattern) -> Message:
    """The message that a turn says, from what its patterns write."""
    values = walked.values(turn)
    written: dict[str, Value] = {**filled(header, values), **filled(turn.spec.body, values)}
    texts = {slot: text_of(value) for slot, value in written.items()}
    holds = slots(header)
    named = bool(texts.get("name")) or ("speaker" in holds and turn.name is not None)
    role = _role(walked, turn, header, named=named)
    told = walked.speakers.author(role, None) or walked.speakers.unnamed.get(role)
    if not named and told != turn.author:
        # Nothing that is written tells whose this is: what the caller said stays.
        role, named = turn.role, turn.name is not None
    calls: tuple[ToolCall, ...] = ()
    if texts.get("calls"):
        assert fmt.calls is not None
        keeps_id = "call_id" in slots(fmt.calls.each)
        calls = tuple(
            ToolCall(call.name, call.arguments, call.id if keeps_id else None)
            for call in turn.calls
        )
    content = plain_content(turn.spec, text_of(written.get("content", ())))
    reasoning = texts.get("reasoning") or None
    if "reasoning" in written and not reasoning and turn.values.get("reasoning"):
        # Blank reasoning that was trimmed away and still has its block.
        reasoning = _blank_reasoning(fmt, walked, turn)
    if not content and _writes_blank(turn, values):
        content = blank_for(filter_of(turn.spec, "content"))
    if not content and not calls and not turn.spec.empty:
        # Blank content that was trimmed: the format writes no message without any.
        content = " "
    return Message(
        role=role,
        content=None if not content and (calls or reasoning) else content,
        name=_name(turn, texts, named=named),
        reasoning_content=reasoning,
        tool_calls=calls,
        tool_call_id=_given(turn, texts, "call_id") if turn.author == "tool" else None,
        attributes={key: texts[key] for key in fmt.attributes if texts.get(key)},
    )


def _shows(walked: Walk, turns: list[Turn], number: int, header: Pattern) -> bool:
    """Whether anything in the text shows that a turn is there."""
    turn = turns[number]
    pieces: list[Piece] = []
    for nodes in (header, turn.spec.body, turn.spec.end, turn.spec.gap):
        write(nodes, walked.values(turn), "scaffold", pieces.append)
    if pieces or number + 1 == len(turns):
        return True
    following = turns[number + 1].spec
    before = turns[number - 1].author if number else None
    return following.header(turn.author) != following.header(before)


def _blank_reasoning(fmt: Format, walked: Walk, turn: Turn) -> str | None:
    """The plainest reasoning of which nothing is written; None if its block stands without it."""
    bare = replace(turn, values={k: v for k, v in turn.values.items() if k != "reasoning"})
    turns = [bare if other is turn else other for other in walked.plan.turns]
    thinks = strategies.THINKS[fmt.reasoning.thinks].apply
    if thinks(turns, walked.plan.turns.index(turn)):
        return None
    return blank_for(filter_of(turn.spec, "reasoning"))


def _writes_blank(turn: Turn, values: Mapping[str, Value]) -> bool:
    """Whether content that is trimmed to nothing shows all the same in what stands around it."""
    if not turn.values.get("content"):
        return False
    written: list[str] = []
    for some in (values, {**values, "content": ()}):
        pieces: list[Piece] = []
        write(turn.spec.body, some, "scaffold", pieces.append)
        written.append(text_of(tuple(pieces)))
    return written[0] != written[1]


def _labelled(walked: Walk, turn: Turn, header: Pattern) -> bool:
    return writes_label(turn, filled(header, walked.values(turn)))


def _role(walked: Walk, turn: Turn, header: Pattern, *, named: bool) -> str:
    """The role that a header says: its label, or that of whoever first spoke under its name."""
    if _labelled(walked, turn, header):
        return turn.role
    author, role = walked.speakers.names.get(turn.name or "", (None, ""))
    if named and author == turn.author and slots(header) & LABEL_SLOTS:
        return role
    return turn.spec.role


def _name(turn: Turn, texts: dict[str, str], *, named: bool) -> str | None:
    called = _given(turn, texts, "call_name") if turn.author == "tool" else None
    return called or (turn.name if named else None)


def _given(turn: Turn, texts: dict[str, str], slot: str) -> str | None:
    """What fills a slot that was written, before any filter."""
    return text_of(turn.values[slot]) if texts.get(slot) and turn.values.get(slot) else None


def declare(
    fmt: Format,
    given: Cast,
    author: Author,
    message: Message,
    cast: dict[tuple[str, str | None], Author],
    *,
    unlabelled: str,
    by_name: bool,
) -> None:
    """Add the cast entry that tells who speaks, where role and format do not tell it.

    Args:
        fmt: The format.
        given: The caller's cast.
        author: Who speaks.
        message: The canonical message.
        cast: The canonical cast so far.
        unlabelled: The role that the header stands for where it has no label.
        by_name: Whether the header writes the name where it could have written the role.
    """
    role, name = message.role, message.name
    for general in {role, unlabelled}:
        if (general, None) in given.entries:
            cast[general, None] = given.entries[general, None]
    plain = given.entries.get((role, None))
    if by_name or given.entries.get((role, name)) == author:
        cast[role, name] = author
    elif STANDARD_ROLES.get(role) != author and (plain or fmt.declared.get(role)) != author:
        cast.setdefault((role, name), author)
