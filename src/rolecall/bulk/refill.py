"""The rendering of a conversation in its mould, made of the one that the mould was taken from.

All that the shape decides is taken over, and only what texts decide is looked at again. Where that
cannot be told without a walk there is no such rendering.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from rolecall.account import call_opening, header_words
from rolecall.bulk.moulds import DEFAULTS
from rolecall.bulk.shape import MESSAGE_PARTS, SPACED_PARTS, Key, Shape, wire
from rolecall.conversation import Conversation, Message, ToolCall, new_message
from rolecall.segment import Segment

if TYPE_CHECKING:
    from rolecall.bulk.filled import Filled
    from rolecall.format import Format
    from rolecall.lost import Lost
    from rolecall.plan import Past
    from rolecall.render import Rendering
    from rolecall.turn import Turn

OF_WORDS = frozenset(("reads-as-turn", "reads-as-call"))
"""Codes of records that depend on the words of a text."""

_JSON = json.JSONDecoder()


def refill(filled: Filled) -> Rendering | None:
    """The rendering of a conversation in its mould, or None where it takes a walk."""
    from rolecall.render import Rendering

    fmt, like = filled.fmt, filled.mould.of
    past = like.past
    if past is None or like.opened is not None or past.calls:
        return None
    if _has_words(fmt, filled.shape.texts) or not _changes_alike(filled, like):
        return None
    conversation = _conversation(filled, like.conversation)
    return Rendering(
        format=fmt,
        conversation=conversation,
        authors=like.authors,
        segments=_segments(filled, like.segments),
        lost=_of_shape(like.lost),
        stop=like.stop,
        opened=None,
        resume=like.resume,
        speakers=like.speakers,
        past=_past(past, conversation),
        fields=like.fields,
    )


def shadow(filled: Filled) -> Rendering | None:
    """A rendering like that of a conversation in its mould but for texts, to go on behind.

    What follows is written alike behind both, since ids of calls are those of the conversation.
    None where texts matter.
    """
    fmt, mould = filled.fmt, filled.mould
    like, past = mould.of, mould.of.past
    if past is None or like.opened is not None or past.calls:
        return None
    if not past.called:
        return like
    if fmt.order.rules:
        return None  # They look at the ids of messages.
    messages, texts = like.conversation.messages, filled.shape.texts
    ids = {place: texts[number] for place, number in mould.call_ids}
    called = {given: messages[index].tool_calls[call].name for (index, call), given in ids.items()}
    last = past.last
    if last is not None and last.calls:
        calls = [replace(call, id=ids.get((call.message or 0, call.number))) for call in last.calls]
        last = replace(last, calls=calls)
    past = past._replace(called=cast("dict[str | None, str]", called), last=last)
    return replace(like, past=past)


def _conversation(filled: Filled, like: Conversation) -> Conversation:
    """The conversation as the ordinary way reads it."""
    options = dict(filled.manner.kept().arguments)
    asked = {name: options.pop(name) for name in DEFAULTS}
    *shapes, rest, tail = filled.shape.key
    # Tools and options could be the caller's own objects in the other conversation.
    about = wire(Shape((rest, tail), [], []))
    empty = Conversation.read(about, cast=asked["cast"], options=options)
    texts = iter(filled.shape.texts)
    messages = tuple(
        [_message(shape, other, texts) for shape, other in zip(shapes, like.messages, strict=True)]
    )
    return Conversation(messages, empty.tools, empty.cast, empty.options)


def _message(shape: Key | str, like: Message, texts: Iterator[str]) -> Message:
    """A message with the texts that come next, in all else one of the same shape."""
    if isinstance(shape, str) or len(shape) == SPACED_PARTS:
        text = next(texts)
        return new_message(like.role, text, None, None, (), None, None, {}, {}, prefix=False)
    if len(shape) != MESSAGE_PARTS:
        return like
    _, _, _, reasoning, content, _, _ = shape
    thought = next(texts) if reasoning else like.reasoning_content
    said = next(texts) if content else like.content
    calls = tuple([_call(call, texts) for call in like.tool_calls]) if like.tool_calls else ()
    answered = None if like.tool_call_id is None else next(texts)
    return new_message(
        like.role, said, like.name, thought, calls, answered, like.weight, {}, {}, prefix=False
    )


def _call(like: ToolCall, texts: Iterator[str]) -> ToolCall:
    given = None if like.id is None else next(texts)
    # The shape holds them as they were written after they had been read.
    arguments, _ = _JSON.raw_decode(next(texts))
    return ToolCall(like.name, arguments, given)


def _segments(filled: Filled, segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
    """The segments with the texts of this conversation."""
    texts = filled.texts
    found = list(segments)
    for index, number in enumerate(filled.mould.slots):
        if number is not None:
            _, control, message, part, sampled = segments[index]
            found[index] = Segment(texts[number], control, message, part, sampled)
    return tuple(found)


def _past(past: Past, conversation: Conversation) -> Past:
    """What a later walk must know of the turns."""
    messages = conversation.messages
    called = {
        call.id: call.name
        for message in (messages if past.called else ())
        for call in reversed(message.tool_calls)
        if call.id is not None
    }
    last = past.last
    if last is not None and last.calls:
        last = _with_calls(last, messages)
    return past._replace(
        last=last,
        called=cast("dict[str | None, str]", called),
        lost=_of_shape(past.lost),
    )


def _with_calls(turn: Turn, messages: tuple[Message, ...]) -> Turn:
    """A turn with the calls of this conversation."""
    calls = [
        call
        if call.message is None
        else replace(
            call,
            id=messages[call.message].tool_calls[call.number].id,
            arguments=messages[call.message].tool_calls[call.number].arguments,
        )
        for call in turn.calls
    ]
    return replace(turn, calls=calls)


def _of_shape(lost: Iterable[Lost]) -> tuple[Lost, ...]:
    return tuple([record for record in lost if record.code not in OF_WORDS])


def _changes_alike(filled: Filled, like: Rendering) -> bool:
    """Whether the texts that the format changes are recorded as those of the other were."""
    mould = filled.mould
    if not mould.makings:
        return True
    recorded = {
        record.message: record.code
        for record in like.lost
        if record.field == "content" and record.code in ("trimmed", "rewritten")
    }
    first = len(filled.shape.texts)
    for segment, number, field in zip(like.segments, mould.slots, like.fields, strict=True):
        if number is None or number < first or field != "content":
            continue
        given = filled.texts[mould.makings[number - first][1]]
        written = filled.texts[number]
        code = "trimmed" if len(written) < len(given) else "rewritten"
        if recorded.get(segment.message) != (None if written == given else code):
            return False
    return True


def _has_words(fmt: Format, texts: list[str]) -> bool:
    """Whether a text may hold what opens a turn or a call."""
    words = _words(fmt)
    if not words:
        return False
    joined = "\n".join(texts)
    return any(word in joined for word in words)


@lru_cache(maxsize=256)
def _words(fmt: Format) -> tuple[str, ...]:
    """What opens a turn or a call where no control token does."""
    openings = {call_opening(fmt, spec) for spec in fmt.specs}
    return (*(word for word, _ in header_words(fmt)), *sorted(openings - {""}))
