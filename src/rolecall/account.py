"""The account: what of each message was written, and a lost record for what was not.

Nothing has to remember to report a loss: every field that a message holds is compared with the
characters of it that the walk put on the canvas.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from rolecall.conversation import DEFAULT_ROLE, SPARE_KEYS, Conversation, Message
from rolecall.header import skeleton
from rolecall.lost import Level, Lost
from rolecall.pattern import Group, Literal, Node, Pattern, Slot, literals, slots, walk
from rolecall.plan import Plan
from rolecall.turn import Turn, TurnSpec, text_of

if TYPE_CHECKING:
    from rolecall.format import Format

Written = Mapping[tuple[int | None, str], str]

SHORTEST_HEADER_WORD = 3
"""Plain-word headers shorter than this are punctuation, not words that content could hold."""


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
    reported = {
        (record.message, record.field)
        for record in lost
        if record.level == "error" or record.code == "result-dropped"
    }
    dropped = {
        (record.message, record.field)
        for record in lost
        if record.code in ("reasoning-dropped", "call-dropped")
    }
    turns = {index: turn for turn in plan.turns for index in [turn.message, *turn.merged]}
    for index, message in enumerate(conversation.messages[first:], first):
        if (index, "role") not in reported and (index, "content") not in reported:
            missing = dropped | {(index, "content")} if message.prefix else dropped
            lost += _message(fmt, index, message, turns.get(index), plan, written, missing)
        lost += _spare(index, message)
    lost += _readings(fmt, conversation, plan, first)
    return in_order(lost)


def in_order(lost: list[Lost]) -> list[Lost]:
    """Records in the order of the messages, those of the conversation as a whole at the end."""
    return sorted(lost, key=lambda record: (record.message is None, record.message or 0))


def _message(
    fmt: Format,
    index: int,
    message: Message,
    turn: Turn | None,
    plan: Plan,
    written: Written,
    declared: set[tuple[int | None, str]],
) -> Iterator[Lost]:
    author = plan.authors[index]

    def gone(level: Level, code: str, field: str, detail: str) -> Lost:
        return Lost(level, code, index, field, detail)

    yield from _content(fmt, index, message, written)
    reasoning = message.reasoning_content or ""
    if reasoning and (index, "reasoning_content") not in declared:
        kept = written.get((index, "reasoning_content"))
        if kept is None and reasoning.strip():
            detail = f"{fmt.name} has no place for the reasoning of this message"
            yield gone("error", "reasoning-dropped", "reasoning_content", detail)
        elif kept != reasoning:
            yield gone("note", "trimmed", "reasoning_content", "white space at its ends is removed")
    for number, call in enumerate(message.tool_calls):
        where = f"tool_calls[{number}]"
        if (index, where) in declared:
            continue
        if (index, f"{where}.function.name") not in written:
            detail = f"{fmt.name} has no place for the call of {call.name!r}"
            yield gone("error", "call-dropped", where, detail)
        elif call.arguments and (index, f"{where}.function.arguments") not in written:
            detail = f"{fmt.name} writes no arguments of calls"
            yield gone("error", "arguments-dropped", f"{where}.function.arguments", detail)
        elif call.id is not None and (index, f"{where}.id") not in written:
            yield gone("note", "id-dropped", f"{where}.id", f"{fmt.name} writes no call ids")
    if message.name is not None and (index, "name") not in written:
        level: Level = "note" if author == "tool" else "warning"
        detail = (
            f"{fmt.name} writes no speaker names for {message.role!r}: "
            f"{message.name!r} is not in the prompt"
        )
        yield gone(level, "name-dropped", "name", detail)
    if message.tool_call_id is not None and (index, "tool_call_id") not in written:
        detail = f"{fmt.name} writes no ids of tool results"
        yield gone("note", "id-dropped", "tool_call_id", detail)
    for key in message.attributes:
        where = (index, f"attributes.{key}")
        if where not in written and where not in plan.implied:
            known = ", ".join(fmt.attributes) or "none"
            detail = f"{fmt.name} has no attribute {key!r} here (it has: {known})"
            yield gone("warning", "attribute-dropped", f"attributes.{key}", detail)
    if turn is None:
        if message.role != DEFAULT_ROLE[author]:
            detail = f"{fmt.name} writes this message without the label {message.role!r}"
            yield gone("note", "label-dropped", "role", detail)
        return
    holds = slots(turn.spec.open)
    if turn.message != index and holds & {"role", "speaker"}:
        return  # Merged under a header that says the same.
    if (index, "role") not in written and message.role != turn.spec.role:
        named = "speaker" in holds and message.name is not None
        detail = (
            f"the name stands in place of the label {message.role!r}"
            if named
            else f"{fmt.name} writes this turn without the label {message.role!r}"
        )
        yield gone("note", "label-dropped", "role", detail)


def _content(fmt: Format, index: int, message: Message, written: Written) -> Iterator[Lost]:
    if isinstance(message.content, tuple):
        texts = 0
        for number, part in enumerate(message.content):
            if part["type"] != "text":
                where = f"content[{number}]"
                detail = f"{fmt.name} carries text only; a part of type {part['type']!r} is gone"
                yield Lost("error", "part-dropped", index, where, detail)
            else:
                texts += 1
                for key in part:
                    if key not in ("type", "text") and part[key] is not None:
                        where = f"content[{number}].{key}"
                        detail = f"no format carries the key {key!r} of a text part"
                        yield Lost("note", "part-key-dropped", index, where, detail)
        if texts > 1:
            between = repr(fmt.part_join) if fmt.part_join else "nothing"
            detail = f"{texts} text parts are joined with {between} between them"
            yield Lost("note", "merged", index, "content", detail)
    text = message.text
    kept = written.get((index, "content"))
    if not text:
        if kept:
            detail = f"it is empty and written as {kept!r}"
            yield Lost("note", "rewritten", index, "content", detail)
        return
    if kept is None and text.strip():
        detail = f"{fmt.name} does not write the content of this message"
        yield Lost("error", "content-dropped", index, "content", detail)
    elif kept is None or (kept != text and len(kept) < len(text)):
        detail = "white space at its ends is removed"
        yield Lost("note", "trimmed", index, "content", detail)
    elif kept != text:
        yield Lost("note", "rewritten", index, "content", "it is written as JSON")


def _spare(index: int, message: Message) -> Iterator[Lost]:
    for key in message.spare:
        detail = f"no format carries the key {key!r}"
        yield Lost(SPARE_KEYS[key], f"{key.replace('_', '-')}-dropped", index, key, detail)


def _readings(fmt: Format, conversation: Conversation, plan: Plan, first: int) -> Iterator[Lost]:
    """Warnings about turns whose ids another conversation shares."""
    owners = {n for n, author in enumerate(plan.authors[first:], first) if author == "owner"}
    for turn in plan.turns:
        content = turn.values.get("content", ())
        if "system" in turn.values and not _fenced(turn.spec, "system"):
            content += turn.values["system"]
        folded = sorted(
            {
                piece.message
                for piece in content
                if turn.author != "owner" and piece.message is not None and piece.message in owners
            }
        )
        for index in folded:
            yield Lost(
                "warning",
                "ambiguous",
                index,
                "content",
                f"the same ids as a {turn.spec.role} message that begins with this text",
            )
        twin = shared_header(fmt, turn)
        if twin is not None and turn.message is not None:
            yield Lost(
                "warning",
                "ambiguous",
                turn.message,
                "role",
                f"the same ids as a {twin.role} message that holds this text",
            )
    words = header_words(fmt)
    if words:
        for index, message in enumerate(conversation.messages[first:], first):
            found = [word for word, expression in words if expression.search(message.text)]
            if found:
                yield Lost(
                    "warning",
                    "reads-as-turn",
                    index,
                    "content",
                    f"it holds {found[0]!r}, which opens a turn in {fmt.name}; "
                    "no control token tells them apart",
                )
    for turn in plan.turns:
        opening = call_opening(fmt, turn.spec)
        for index in (turn.message, *turn.merged):
            if opening and index is not None and opening in conversation.messages[index].text:
                yield Lost(
                    "warning",
                    "reads-as-call",
                    index,
                    "content",
                    f"it holds {opening!r}, which opens a tool call in {fmt.name}; "
                    "no control token tells them apart",
                )


def call_opening(fmt: Format, spec: TurnSpec) -> str:
    """The words that open a tool call in a turn where no control token does, or nothing."""
    if fmt.calls is None or "calls" not in slots(spec.body) or _fenced(spec, "calls"):
        return ""
    call = (*fmt.calls.begin, *fmt.calls.each, *fmt.calls.finish)
    if literals(call, control=True):
        return ""
    opening = ""
    for node in call:
        if not isinstance(node, Literal):
            break
        opening += node.text
    opening = opening.strip().split("\n")[0]
    return opening if len(opening) >= SHORTEST_HEADER_WORD else ""


def _fenced(spec: TurnSpec, slot: str) -> bool:
    """Whether a control token stands beside a slot in the group that is written for it."""
    return any(
        isinstance(node, Group) and node.slot == slot and literals(node.nodes, control=True)
        for node in walk((*spec.open, *spec.body))
    )


def shared_header(fmt: Format, turn: Turn) -> TurnSpec | None:
    """The turn of another author that this turn's ids could be read as, or None.

    Two turns share their ids where their headers are alike without a slot that tells them apart
    and no control token in the body of this one says whose it is.
    """
    spec = turn.spec
    if not spec.open or any(node_slots(node) & {"role"} for node in spec.open):
        return None
    if any(literals(spec.body, control=True)):
        return None
    named = text_of(turn.values.get("name", ())) if "name" in slots(spec.open) else ""
    if named:
        return None
    own = skeleton(fmt, spec, turn.role)
    for other in fmt.specs:
        if other.author == spec.author or other.role == spec.role:
            continue  # Of two authors under one role the cast tells who is who.
        # The one that is written plainly is what a reader takes it for; it is not reported.
        reported = spec.author == "tool" or other.author == "model"
        if reported and skeleton(fmt, other, other.role) == own:
            return other
    return None


def node_slots(node: Node) -> set[str]:
    """The slots that one node writes."""
    return slots((node,))


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
