"""The account: what of each message was written, and a lost record for what was not.

Nothing has to remember to report a loss: every field that a message holds is compared with the
characters of it that the walk put on the canvas.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rolecall.conversation import DEFAULT_ROLE, SPARE_KEYS, Conversation, Message
from rolecall.header import skeleton
from rolecall.layout import SHORTEST_HEADER_WORD, Layout, layout
from rolecall.lost import Level, Lost
from rolecall.pattern import Group, Literal, Pattern, Slot, walk
from rolecall.plan import Plan
from rolecall.turn import Turn, TurnSpec, call_fields, text_of

if TYPE_CHECKING:
    from rolecall.format import Format

Written = Mapping[tuple[int | None, str], str]


def account(
    fmt: Format, conversation: Conversation, plan: Plan, written: Written, first: int = 0
) -> list[Lost]:
    """Every lost record of a walk, in the order of the messages.

    Args:
        fmt: The format.
        conversation: What the caller gave.
        plan: What was decided before the walk, with its records.
        written: ``(message, field)`` to the characters of it that were written.
        first: The message that the walk began with.
    """
    lost: list[Lost] = []
    if conversation.tools and fmt.tools is None and not first:
        detail = f"{fmt.name} has no place for tool schemas"
        lost.append(Lost("error", "tools-dropped", None, "tools", detail))
    lost += plan.lost
    reported: set[tuple[int | None, str]] = set()
    dropped: set[tuple[int | None, str]] = set()
    for record in lost:
        if record.level == "error" or record.code == "result-dropped":
            reported.add((record.message, record.field))
        if record.code in ("reasoning-dropped", "call-dropped"):
            dropped.add((record.message, record.field))
    turns: dict[int | None, Turn] = {}
    for turn in plan.turns:
        turns[turn.message] = turn
        for index in turn.merged:
            turns[index] = turn
    written_as = layout(fmt)
    for index, message in enumerate(conversation.messages[first:], first):
        if not reported or not ((index, "role") in reported or (index, "content") in reported):
            # Most messages are written whole; only where something differs is it looked at closer.
            if message.content is None or message.content != written.get((index, "content")):
                lost += _content(fmt, index, message, written)
            if _says_more(message):
                missing = dropped | {(index, "content")} if message.prefix else dropped
                lost += _fields(fmt, index, message, plan, written, missing)
            turn = turns.get(index)
            if turn is None or message.role != turn.spec.role:
                lost += _label(written_as, index, message, turn, plan, written)
        if message.spare:
            lost += _spare(index, message)
    lost += _readings(fmt, conversation, plan, first)
    return in_order(lost) if len(lost) > 1 else lost


def in_order(lost: list[Lost]) -> list[Lost]:
    """Records in the order of the messages, those of the conversation as a whole at the end."""
    return sorted(lost, key=lambda record: (record.message is None, record.message or 0))


def _says_more(message: Message) -> bool:
    """Whether anything stands beside the content."""
    return bool(
        message.tool_calls
        or message.reasoning_content
        or message.name is not None
        or message.tool_call_id is not None
        or message.attributes
    )


def _fields(
    fmt: Format,
    index: int,
    message: Message,
    plan: Plan,
    written: Written,
    declared: set[tuple[int | None, str]],
) -> Iterable[Lost]:
    """What became of what stands beside the content."""
    if message.reasoning_content and (index, "reasoning_content") not in declared:
        yield from _reasoning(fmt, index, message.reasoning_content, written)
    for number, call in enumerate(message.tool_calls):
        fields = call_fields(number)
        if declared and (index, fields.call) in declared:
            continue
        if (index, fields.name) not in written:
            detail = f"{fmt.name} has no place for the call of {call.name!r}"
            yield Lost("error", "call-dropped", index, fields.call, detail)
        elif call.arguments and (index, fields.arguments) not in written:
            detail = f"{fmt.name} writes no arguments of calls"
            yield Lost("error", "arguments-dropped", index, fields.arguments, detail)
        elif call.id is not None and (index, fields.id) not in written:
            detail = f"{fmt.name} writes no call ids"
            yield Lost("note", "id-dropped", index, fields.id, detail)
    if message.name is not None and (index, "name") not in written:
        level: Level = "note" if plan.authors[index] == "tool" else "warning"
        detail = (
            f"{fmt.name} writes no speaker names for {message.role!r}: "
            f"{message.name!r} is not in the prompt"
        )
        yield Lost(level, "name-dropped", index, "name", detail)
    if message.tool_call_id is not None and (index, "tool_call_id") not in written:
        detail = f"{fmt.name} writes no ids of tool results"
        yield Lost("note", "id-dropped", index, "tool_call_id", detail)
    for key in message.attributes:
        field = f"attributes.{key}"
        if (index, field) not in written and (index, field) not in plan.implied:
            known = ", ".join(fmt.attributes) or "none"
            detail = f"{fmt.name} has no attribute {key!r} here (it has: {known})"
            yield Lost("warning", "attribute-dropped", index, field, detail)


def _reasoning(fmt: Format, index: int, given: str, written: Written) -> Iterable[Lost]:
    kept = written.get((index, "reasoning_content"))
    if kept is None and given.strip():
        detail = f"{fmt.name} has no place for the reasoning of this message"
        return [Lost("error", "reasoning-dropped", index, "reasoning_content", detail)]
    if kept != given:
        detail = "white space at its ends is removed"
        return [Lost("note", "trimmed", index, "reasoning_content", detail)]
    return ()


def _label(
    written_as: Layout,
    index: int,
    message: Message,
    turn: Turn | None,
    plan: Plan,
    written: Written,
) -> Iterable[Lost]:
    """What became of the role."""
    fmt, role = written_as.fmt, message.role
    if turn is None:
        if role == DEFAULT_ROLE[plan.authors[index]]:
            return ()
        detail = f"{fmt.name} writes this message without the label {role!r}"
        return [Lost("note", "label-dropped", index, "role", detail)]
    if (index, "role") in written:
        return ()
    holds = written_as.turn(turn.spec).in_header
    if turn.message != index and holds & {"role", "speaker"}:
        return ()  # Merged under a header that says the same.
    named = "speaker" in holds and message.name is not None
    detail = (
        f"the name stands in place of the label {role!r}"
        if named
        else f"{fmt.name} writes this turn without the label {role!r}"
    )
    return [Lost("note", "label-dropped", index, "role", detail)]


def _content(fmt: Format, index: int, message: Message, written: Written) -> list[Lost]:
    """What became of the content."""
    content, kept = message.content, written.get((index, "content"))
    lost = [] if content is None or isinstance(content, str) else _parts(fmt, index, content)
    text = message.text
    if not text:
        if kept:
            detail = f"it is empty and written as {kept!r}"
            lost.append(Lost("note", "rewritten", index, "content", detail))
    elif kept is None and text.strip():
        detail = f"{fmt.name} does not write the content of this message"
        lost.append(Lost("error", "content-dropped", index, "content", detail))
    elif kept is None or (kept != text and len(kept) < len(text)):
        detail = "white space at its ends is removed"
        lost.append(Lost("note", "trimmed", index, "content", detail))
    elif kept != text:
        lost.append(Lost("note", "rewritten", index, "content", "it is written as JSON"))
    return lost


def _parts(fmt: Format, index: int, parts: tuple[Mapping[str, Any], ...]) -> list[Lost]:
    """What becomes of typed parts as such."""
    lost: list[Lost] = []
    texts = 0
    for number, part in enumerate(parts):
        if part["type"] != "text":
            where = f"content[{number}]"
            detail = f"{fmt.name} carries text only; a part of type {part['type']!r} is gone"
            lost.append(Lost("error", "part-dropped", index, where, detail))
            continue
        texts += 1
        for key in part:
            if key not in ("type", "text") and part[key] is not None:
                where = f"content[{number}].{key}"
                detail = f"no format carries the key {key!r} of a text part"
                lost.append(Lost("note", "part-key-dropped", index, where, detail))
    if texts > 1:
        between = repr(fmt.part_join) if fmt.part_join else "nothing"
        detail = f"{texts} text parts are joined with {between} between them"
        lost.append(Lost("note", "merged", index, "content", detail))
    return lost


def _spare(index: int, message: Message) -> list[Lost]:
    return [
        Lost(
            SPARE_KEYS[key],
            f"{key.replace('_', '-')}-dropped",
            index,
            key,
            f"no format carries the key {key!r}",
        )
        for key in message.spare
    ]


def _readings(fmt: Format, conversation: Conversation, plan: Plan, first: int) -> Iterator[Lost]:
    """Warnings about turns whose ids another conversation shares."""
    if plan.receiver is not None:
        for index in _folded(fmt, plan, plan.receiver):
            detail = (
                f"the same ids as a {plan.receiver.spec.role} message that begins with this text"
            )
            yield Lost("warning", "ambiguous", index, "content", detail)
    written_as = layout(fmt)
    for turn in plan.turns if written_as.shares_headers else ():
        twin = shared_header(fmt, turn)
        if twin is not None and turn.message is not None:
            detail = f"the same ids as a {twin.role} message that holds this text"
            yield Lost("warning", "ambiguous", turn.message, "role", detail)
    words = header_words(fmt)
    for index, message in enumerate(conversation.messages[first:] if words else (), first):
        text = message.text
        found = next((word for word, at in words if word in text and at.search(text)), None)
        if found is not None:
            detail = (
                f"it holds {found!r}, which opens a turn in {fmt.name}; "
                "no control token tells them apart"
            )
            yield Lost("warning", "reads-as-turn", index, "content", detail)
    if not written_as.opens_calls_in_words:
        return
    for turn in plan.turns:
        opening = call_opening(fmt, turn.spec)
        for index in (turn.message, *turn.merged):
            if opening and index is not None and opening in conversation.messages[index].text:
                detail = (
                    f"it holds {opening!r}, which opens a tool call in {fmt.name}; "
                    "no control token tells them apart"
                )
                yield Lost("warning", "reads-as-call", index, "content", detail)


def _folded(fmt: Format, plan: Plan, receiver: Turn) -> list[int]:
    """The system messages whose text nothing in the ids tells from that of the turn they are in."""
    content = receiver.values.get("content", ())
    if "system" in receiver.values and not layout(fmt).turn(receiver.spec).fences_system:
        content += receiver.values["system"]
    return sorted(
        {
            piece.message
            for piece in content
            if piece.message is not None and plan.authors[piece.message] == "owner"
        }
    )


def call_opening(fmt: Format, spec: TurnSpec) -> str:
    """The words that open a tool call in a turn where no control token does, or nothing."""
    return layout(fmt).turn(spec).call_opening


def shared_header(fmt: Format, turn: Turn) -> TurnSpec | None:
    """The turn of another author that this turn's ids could be read as, or None.

    Two turns share their ids where their headers are alike without a slot that tells them apart
    and no control token in the body of this one says whose it is.
    """
    own = layout(fmt).turn(turn.spec)
    if not own.twins or ("name" in own.in_header and turn.values.get("name")):
        return None
    return own.twins.get(own.skeleton or skeleton(fmt, turn.spec, turn.role))


@lru_cache(maxsize=256)
def header_words(fmt: Format) -> list[tuple[str, re.Pattern[str]]]:
    """The words that open a turn where no control token does, longest first.

    Each comes with what finds it in a text: `USER:` is a header in "a USER:", not in "SUPERUSER:".
    """
    words: set[str] = set()
    for spec in fmt.specs:
        # Where the model's turn has no header, the end of the turn before it opens it.
        end = () if spec.author == "model" else spec.end
        systems = (
            node.nodes
            for node in walk((*spec.open, *spec.body))
            if isinstance(node, Group) and node.slot == "system" and not node.negated
        )
        for header in (spec.open, *spec.after.values(), end, *systems):
            if not any(isinstance(node, Literal) and node.control for node in walk(header)):
                words.update(_plain_words(fmt, spec, header))
    kept = sorted(
        (word for word in words if len(word) >= SHORTEST_HEADER_WORD),
        key=lambda word: (-len(word), word),
    )
    return [
        (word, re.compile((r"(?<!\w)" if re.match(r"\w", word) else "") + re.escape(word)))
        for word in kept
    ]


def _plain_words(fmt: Format, spec: TurnSpec, header: Pattern) -> list[str]:
    """The literal text of a header between its slots, the role's label filled in."""
    texts = [""]
    for node in header:
        if isinstance(node, Literal):
            texts[-1] += node.text
        elif isinstance(node, Slot) and node.name in ("role", "speaker"):
            texts[-1] += text_of(fmt.labels[spec.role]) if spec.role in fmt.labels else spec.role
        else:
            texts.append("")
    return [text.strip() for text in texts]
