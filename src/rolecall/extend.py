"""Extending an encoding: ids that are there stay, a reply is added as sampled, then the new turns.

Whether what was written would still be written so is seen by comparing the new rendering with the
old one, and never assumed. Nothing that was tokenized or sampled is tokenized again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rolecall.bulk.refill import shadow
from rolecall.conversation import Conversation, Message
from rolecall.encode import (
    PART_CODE,
    Encoding,
    Tokens,
    encode_segments,
    lacking,
    missing_control,
)
from rolecall.errors import ConversationError, HistoryChanged, InputError
from rolecall.lasting import stays
from rolecall.lost import GRAVITY, enforce, strict_level
from rolecall.render import Rendering, render
from rolecall.sampled import Reply, Written, as_written, read_reply, sampled_tokens
from rolecall.segment import HEADER_PARTS, Segment
from rolecall.tokenizers import Tokenizer

if TYPE_CHECKING:
    from rolecall.format import Format

HEADER_CODES = frozenset(PART_CODE[part] for part in HEADER_PARTS)


class Place(NamedTuple):
    """A place in the text of segments."""

    segment: int
    at: int = 0
    """Characters of that segment before the place; never all of them."""


def extend(
    fmt: Format,
    encoding: Encoding,
    messages: Iterable[object],
    sampled: object = None,
    *,
    rerender: bool = False,
    strict: bool | str = True,
    **ending: Any,
) -> Encoding:
    """Extend an encoding; the arguments are those of `Format.extend`."""
    real, tokenizer = _checked(fmt, encoding)
    fmt = real.format  # Of an encoding that was pickled it is a copy.
    # The texts that were written before are not looked at, so they need not be there.
    old = real if rerender else _shadow(real)
    given = old.conversation
    if isinstance(messages, (Mapping, Conversation)):
        raise InputError(
            "messages: give a list of messages; tools, cast and options stay those of the encoding"
        )
    added = Conversation.read(messages, cast=given.cast).messages
    reply = None if sampled is None else read_reply(fmt, old, tokenizer, sampled)
    if reply is not None:
        reply = replace(reply, message=_answered(fmt, reply.message, added))
    history = _history(fmt, old, added, reply)
    last = len(history) - 1
    whole = replace(given, messages=(*history, *added))
    if old is not real and not stays(old, whole):
        old, behind = real, whole.messages[len(given.messages) :]
        given = real.conversation
        whole = replace(given, messages=(*given.messages, *behind))
    new = _rendered(old, whole, **ending)
    _refuse(old, new, strict)
    if rerender:
        return new.encode(tokenizer)
    start = _follow(fmt, old, new)
    first = _own_tokens(encoding, old, len(given.messages))
    before = old.segments[-1] if old.segments else None
    if reply is None:
        made = _joined(new, [first], start, tokenizer, before=before)
        return _extended(encoding, made, new if old is real else Extension(real, new, (), ending))
    place, more = _behind(fmt, old, reply, new, start, last)
    # Where nothing ends a turn but the next header, its first token may have been sampled.
    if more and len(reply.ids) > reply.behind + (not reply.closed):
        raise _stray(reply)
    extra = tuple(Segment(item.text, item.control, last, "end", sampled=True) for item in more)
    if extra:
        new = replace(new, segments=(*new.segments, *extra))
        place = Place(len(new.segments))
    own = sampled_tokens(reply, _slice(new.segments, start, place), last)
    if reply.chunks:
        chunk = reply.chunks[-1]
        text, control = chunk.token or chunk.text, bool(chunk.token)
        before = Segment(text, control, last, "content", sampled=True)
    made = _joined(new, [first, own], place, tokenizer, before=before, closes=last)
    return _extended(encoding, made, new if old is real else Extension(real, new, extra, ending))


@dataclass(frozen=True)
class Extension:
    """A rendering behind another one of which only the texts are not there yet."""

    old: Rendering
    """What it goes on behind."""
    shadow: Rendering
    """The rendering, but for the texts of the messages before."""
    extra: tuple[Segment, ...]
    """What was sampled behind it and is written at its end."""
    ending: Mapping[str, Any]
    """How it ends: arguments of `render`."""

    def rendering(self) -> Rendering:
        """The rendering, of which nothing is made before it is asked for."""
        rendering = object.__new__(Rendering)
        like = self.shadow
        known = {"format": like.format, "authors": like.authors, "_extension": self}
        rendering.__dict__.update(known)
        return rendering

    def rendered(self) -> Rendering:
        """All of it."""
        conversation = self.old.conversation
        behind = self.shadow.conversation.messages[len(conversation.messages) :]
        whole = replace(conversation, messages=(*conversation.messages, *behind))
        found = _rendered(self.old, whole, **self.ending)
        if not self.extra:
            return found
        return replace(found, segments=(*found.segments, *self.extra))


def _shadow(rendering: Rendering) -> Rendering:
    """A rendering that the same would be written behind; its texts may be others."""
    filled, extension = rendering.filled, rendering.__dict__.get("_extension")
    if filled is not None:
        return shadow(filled) or rendering
    return rendering if extension is None else extension.shadow


def _extended(encoding: Encoding, made: Tokens, new: Rendering | Extension) -> Encoding:
    """An encoding with more tokens behind it."""
    return encoding.extended(
        made.lost,
        ids=made.ids,
        message=made.message,
        part=made.part,
        sampled=made.sampled,
        straddles=made.straddles,
        rendering=new if isinstance(new, Rendering) else new.rendering(),
        tokenizer=encoding.tokenizer,
    )


def _rendering(encoding: Encoding) -> Rendering:
    """What was encoded, if a format wrote it."""
    from rolecall.render import Rendering

    found = encoding.rendering
    if not isinstance(found, Rendering):
        raise InputError(
            f"the encoding was rendered by the template {found.writer.name}, which cannot be "
            "extended; render the whole conversation again"
        )
    return found


def _checked(fmt: Format, encoding: Encoding) -> tuple[Rendering, Tokenizer]:
    old = _rendering(encoding)
    if (old.format.name, old.format.path) != (fmt.name, fmt.path):
        raise InputError(
            f"the encoding was rendered by {old.format.name}, not by {fmt.name}; use its own format"
        )
    if encoding.tokenizer is None:
        raise InputError(
            "this encoding has come out of a pickle, which holds no tokenizer; give it back with "
            "dataclasses.replace(encoding, tokenizer=…)"
        )
    return old, encoding.tokenizer


def _refuse(old: Rendering, new: Rendering, strict: bool | str) -> None:
    """Raise on what the new messages lose, as far as `strict` does not allow it."""
    threshold = strict_level(strict)
    if threshold is None or all(GRAVITY[record.level] < threshold for record in new.lost):
        return
    known = set(old.lost)
    enforce(tuple(record for record in new.lost if record not in known), strict)


# The messages


def _history(
    fmt: Format, old: Rendering, added: tuple[Message, ...], reply: Reply | None
) -> tuple[Message, ...]:
    """The messages before those that are added, the reply included."""
    messages, turn = old.conversation.messages, old.resume.turn
    left_open = turn is not None and turn.message is not None
    if reply is not None:
        return (*(messages[:-1] if left_open else messages), reply.message)
    first = added[0] if added else None
    if left_open:
        last = messages[-1]
        grown = first is not None and _grows(last, first)
        return messages[:-1] if grown else (*messages[:-1], replace(last, prefix=False))
    if turn is not None and (first is None or (first.role, first.name) != (turn.role, turn.name)):
        who = f"{turn.role!r}" + (f" named {turn.name!r}" if turn.name else "")
        raise ConversationError(
            f"the encoding opens a turn of {who} and nothing was sampled for it; give the ids as "
            "`sampled`, or that message as the first of `messages`",
            message=len(messages),
            field="role",
        )
    return messages


def _grows(last: Message, first: Message) -> bool:
    """Whether a message is one that was left open, with what it has become."""
    return (
        (first.role, first.name) == (last.role, last.name)
        and first.text.startswith(last.text)
        and (first.reasoning_content or "").startswith(last.reasoning_content or "")
    )


def _rendered(old: Rendering, whole: Conversation, **ending: Any) -> Rendering:
    """The rendering of a conversation that goes on behind another one."""
    behind = old if stays(old, whole) else None
    return render(old.format, whole, strict=False, old=behind, **ending)


# Comparing


def _match(
    segments: Sequence[Segment], place: Place, items: Iterable[Written]
) -> tuple[Place, list[Written]] | Place:
    """Follow items through segments.

    Returns:
        The place behind them and the items for which there were no segments left; where they
        differ, the place at which they do.
    """
    number, at = place
    more: list[Written] = []
    for item in items:
        text, done = item.text, 0
        while done < len(text):
            if number == len(segments):
                more.append(Written(text[done:], item.control))
                break
            segment = segments[number]
            if segment.control != item.control:
                return Place(number, at)
            length = min(len(segment.text) - at, len(text) - done)
            if segment.text[at : at + length] != text[done : done + length] or (
                item.control and segment.text != text
            ):
                return Place(number, at)
            done, at = done + length, at + length
            if at == len(segment.text):
                number, at = number + 1, 0
    return Place(number, at), more


def _slice(segments: Sequence[Segment], start: Place, end: Place | None = None) -> list[Segment]:
    """The segments from one place to another."""
    end = Place(len(segments)) if end is None else end
    found = list(segments[start.segment : end.segment])
    if end.at:
        final = segments[end.segment]
        found.append(final._replace(text=final.text[: end.at]))
    if start.at and found:
        found[0] = found[0]._replace(text=found[0].text[start.at :])
    return found


def _follow(fmt: Format, old: Rendering, new: Rendering) -> Place:
    """The place in the new rendering behind all of the old one.

    Raises:
        HistoryChanged: If the new one is not the old one with more behind it.
    """
    first = old.past.segments if old.past is not None and stays(old, new.conversation) else 0
    place = Place(first)
    for segment in old.segments[first:]:
        found = _match(new.segments, place, [Written(segment.text, segment.control)])
        if isinstance(found, Place) or found[1]:
            differs = found if isinstance(found, Place) else found[0]
            raise _changed(fmt, new, differs, segment.message)
        place = found[0]
    return place


def _changed(fmt: Format, new: Rendering, place: Place, message: int | None) -> HistoryChanged:
    """The error for what would be written otherwise at a place."""
    if message is None:
        near = new.segments[: place.segment + 1]
        found = [segment.message for segment in near if segment.message is not None]
        message = found[-1] if found else None
    which = "what stands before them" if message is None else "it"
    reasons = "; ".join(fmt.history_changes)
    return HistoryChanged(
        f"with the new messages {fmt.name} writes {which} otherwise"
        f"{f' ({reasons})' if reasons else ''}; rerender=True renders and encodes everything again",
        message=message,
        field="",
    )


def _behind(
    fmt: Format, old: Rendering, reply: Reply, new: Rendering, start: Place, last: int
) -> tuple[Place, list[Written]]:
    """The place in the new rendering behind what was sampled, and what of it stands nowhere there.

    Raises:
        HistoryChanged: If the reply would be written otherwise now that it is not the last.
    """
    found = _match(new.segments, start, reply.written())
    if not isinstance(found, Place):
        return found
    # The model wrote it otherwise than the format would, or the format writes it otherwise now.
    said = replace(new.conversation, messages=new.conversation.messages[: last + 1])
    alone = _rendered(old, said)
    place = _follow(fmt, old, alone)
    body, end = _closing(alone.segments)
    found = _match(new.segments, start, as_written(_slice(alone.segments, place, Place(body))))
    if not isinstance(found, Place) and not found[1] and reply.closed:
        found = _match(new.segments, found[0], as_written(alone.segments[body:end]))
    if isinstance(found, Place) or found[1]:
        raise _changed(fmt, new, found if isinstance(found, Place) else found[0], last)
    behind = _match(new.segments, found[0], reply.written(reply.behind))
    if isinstance(behind, Place):
        raise _stray(reply)
    return behind


def _stray(reply: Reply) -> InputError:
    return InputError(
        f"sampled: the ids from {reply.behind} on stand behind the reply and are not how "
        "`messages` go on; leave them out, or read them with stream(messages=None)"
    )


def _answered(fmt: Format, message: Message, added: Sequence[Message]) -> Message:
    """The reply with the ids that the results behind it give its calls.

    Where a format writes no ids of calls, or its own, results are told by their order.
    """
    ids = [
        result.tool_call_id
        for result, _ in zip(added, message.tool_calls, strict=False)
        if result.tool_call_id is not None
    ]
    known = {call.id for call in message.tool_calls}
    numbered = fmt.calls is not None and bool(fmt.calls.id)
    if not ids or set(ids) & known or (known - {None} and not numbered):
        return message
    named = [replace(call, id=given) for call, given in zip(message.tool_calls, ids, strict=False)]
    return replace(message, tool_calls=(*named, *message.tool_calls[len(named) :]))


def _closing(segments: Sequence[Segment]) -> tuple[int, int]:
    """Where the end of the last turn, a model's that is closed, begins and ends."""
    end = len(segments)
    while end and not segments[end - 1].sampled:
        end -= 1
    begin = end
    while begin and segments[begin - 1].part == "end":
        begin -= 1
    return begin, end


# Arrays


def _own_tokens(encoding: Encoding, old: Rendering, messages: int) -> Tokens:
    """The tokens of the old encoding; those of an open header belong to the message to come."""
    message = encoding.message
    resume, last = old.resume, old.segments[-1:]
    if last and last[0].message is None and (resume.turn is None or resume.turn.message is None):
        first = _open_header(encoding)
        if first is not None:
            message = message.copy()
            message[first:] = messages
    return Tokens(
        encoding.ids,
        message,
        encoding.part,
        encoding.sampled,
        encoding.straddles,
        (),
    )


def _open_header(encoding: Encoding) -> int | None:
    """The first token of the header that is open, or None if none is."""
    first = len(encoding)
    inside = False
    while first and encoding.message[first - 1] < 0:
        header = int(encoding.part[first - 1]) in HEADER_CODES
        if inside and not header:
            break
        inside = inside or header
        first -= 1
    return first if inside else None


def _joined(
    new: Rendering,
    parts: list[Tokens],
    place: Place,
    tokenizer: Tokenizer,
    closes: int | None = None,
    before: Segment | None = None,
) -> Tokens:
    """The tokens that are there with those of the text behind a place.

    Args:
        new: The new rendering.
        parts: The tokens that are there.
        place: Where the text begins that is to be encoded.
        tokenizer: The vocabulary.
        before: What stands before that place.
        closes: The message that was sampled, so that what closes it was not.
    """
    tail = tuple(_slice(new.segments, place))
    absent = missing_control(tail, tokenizer)
    if absent:
        raise lacking(new.format, tokenizer, absent)
    opened = None if new.opened is None else new.opened - place.segment
    made = encode_segments(new.format, tail, tokenizer, opened=opened, before=before)
    if closes is not None:
        made = made._replace(sampled=made.sampled & (made.message != closes))
    every = [*parts, made]
    return Tokens(
        ids=np.concatenate([tokens.ids for tokens in every]),
        message=np.concatenate([tokens.message for tokens in every]),
        part=np.concatenate([tokens.part for tokens in every]),
        sampled=np.concatenate([tokens.sampled for tokens in every]),
        straddles=np.concatenate([tokens.straddles for tokens in every]),
        lost=tuple(record for tokens in every for record in tokens.lost),
    )
