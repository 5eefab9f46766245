"""Streams to try, and what must hold of every one of them, whatever a model wrote.

`read` feeds a stream in pieces and keeps what came of it; `check_events` and `check_account` hold
one reading to the promises of `rolecall.events` and to "no text is ever lost".
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Protocol

import rolecall as rc
from rolecall.conversation import Message
from rolecall.encode import Encoding
from rolecall.events import (
    ContentDelta,
    Event,
    ReasoningDelta,
    SpeakerStarted,
    ToolCallDelta,
    ToolCallEnded,
    ToolCallStarted,
)
from rolecall.tokenizers import RunStart
from rolecall.unread import Unread
from tests.support.vocabulary import vocabulary

Piece = Sequence[int] | str | bytes


@dataclass(frozen=True)
class Read:
    """What came of a stream."""

    events: tuple[Event, ...]
    """Adjacent deltas of one kind are joined."""
    message: Message | None
    messages: tuple[Message, ...]
    unread: tuple[Unread, ...]
    rest: tuple[int, ...] | str


class Watcher(Protocol):
    """Is shown a stream after each piece."""

    def __call__(self, stream: Any, events: list[Event], /) -> None: ...


def read(
    fmt: rc.Format,
    pieces: Iterable[Piece],
    prompt: Encoding | rc.Rendering | None = None,
    *,
    watch: Watcher | None = None,
    **arguments: Any,
) -> Read:
    """Feed a stream piece by piece, and finish it."""
    stream = fmt.stream(vocabulary(), prompt, **arguments)
    events: list[Event] = []
    for piece in pieces:
        found = stream.feed(piece)
        events += found
        if watch is not None:
            watch(stream, found)
    found = stream.finish()
    events += found
    if watch is not None:
        watch(stream, found)
    rest = stream.rest
    return Read(
        joined(events),
        stream.message,
        tuple(stream.messages),
        stream.unread,
        rest if isinstance(rest, str) else tuple(rest),
    )


def joined(events: Iterable[Event]) -> tuple[Event, ...]:
    """The events with adjacent deltas of one kind made one."""
    found: list[Event] = []
    for event in events:
        last = found[-1] if found else None
        if isinstance(event, ContentDelta) and isinstance(last, ContentDelta):
            found[-1] = ContentDelta(last.text + event.text)
        elif isinstance(event, ReasoningDelta) and isinstance(last, ReasoningDelta):
            found[-1] = ReasoningDelta(last.text + event.text)
        elif (
            isinstance(event, ToolCallDelta)
            and isinstance(last, ToolCallDelta)
            and last.index == event.index
        ):
            found[-1] = replace(last, arguments=last.arguments + event.arguments)
        else:
            found.append(event)
    return tuple(found)


# Prompts and what follows them ---------------------------------------------------------------------


@dataclass(frozen=True)
class Reply:
    """A prompt, and the reply as the format writes it."""

    prompt: Encoding
    ids: tuple[int, ...]
    message: Message
    """What the reply says, by the canonical form of the whole."""
    lost: frozenset[str]
    """Codes of what the rendering of the whole lost."""


def reply_of(
    fmt: rc.Format,
    conversation: Mapping[str, Any],
    *,
    speaker: Any = None,
    held: tuple[str, int] | None = None,
) -> Reply | None:
    """The last message of a conversation as a reply to what stands before it.

    Args:
        fmt: The format.
        conversation: In wire form; the last message is a model's.
        speaker: Who is asked to speak; without it, whoever does.
        held: The field of the last message that is given in the prompt, and how much of it.

    Returns:
        None where the format writes no prompt that the whole begins with.
    """
    messages = conversation["messages"]
    last = messages[-1]
    given = {**conversation, "messages": messages[:-1]}
    if speaker is None:
        speaker = (last["role"], last["name"]) if "name" in last else last["role"]
    try:
        whole = fmt.render(conversation, strict=False)
        if held is None:
            prompt = fmt.render(given, strict=False, speaker=speaker)
        else:
            field, count = held
            kept = {key: last[key] for key in ("role", "name", "reasoning_content") if key in last}
            kept |= {"content": last["content"]} if field == "content" else {"content": ""}
            kept[field] = last[field][:count]
            left = {**conversation, "messages": [*messages[:-1], kept]}
            prompt = fmt.render(left, strict=False, continue_final_message=field)
        message = fmt.canonical(conversation).messages[-1]
    except rc.InputError:
        return None
    if not whole.text.startswith(prompt.text):
        return None
    ids = ids_behind(whole, len(prompt.text))
    lost = frozenset(record.code for record in whole.lost)
    return Reply(prompt.encode(vocabulary()), tuple(ids), message, lost)


def ids_behind(rendering: rc.Rendering, skipped: int) -> list[int]:
    """The ids of a rendering behind so many characters of its text."""
    ids: list[int] = []
    run = ""
    for segment in rendering.segments:
        text = segment.text[skipped:]
        skipped = max(0, skipped - len(segment.text))
        if not text:
            continue
        if segment.control:
            ids += [*plain_ids(run), vocabulary().control[text]]
            run = ""
        else:
            run += text
    return ids + plain_ids(run)


# Of one reading -----------------------------------------------------------------------------------


class Monotone:
    """Holds `Stream.message` to growing only, while one message is read."""

    def __init__(self) -> None:
        self.before: Message | None = None
        self.count = 0

    def __call__(self, stream: Any, events: list[Event], /) -> None:
        message = stream.message
        json.dumps(None if message is None else message.to_wire())
        began = any(isinstance(event, SpeakerStarted) for event in events)
        if message is not None and self.before is not None and not began:
            assert message.role == self.before.role
            # The name of the function that a result is of may stand in its body.
            assert self.before.name in (None, message.name)
            assert message.text.startswith(self.before.text), (self.before.text, message.text)
            thought, earlier = message.reasoning_content or "", self.before.reasoning_content or ""
            assert thought.startswith(earlier)
            assert message.tool_calls[: len(self.before.tool_calls)] == self.before.tool_calls
        self.before = message


def check_events(found: Read, *, held: tuple[str, str] = ("", "")) -> None:
    """The order of events, and that they say what the messages say.

    Args:
        found: What came of a stream.
        held: Content and reasoning of the prefill that the first message holds and no event says;
            what stands at its end may turn out to be the format's.
    """
    ended: list[Message] = []
    content = reasoning = ""
    arguments: dict[int, str] = {}
    calls: list[Any] = []
    speaking = False
    for event in found.events:
        if isinstance(event, SpeakerStarted):
            assert not speaking
            speaking = True
            reasoning = content = ""
            arguments, calls = {}, []
            continue
        assert speaking, event
        if isinstance(event, ContentDelta):
            assert event.text
            content += event.text
        elif isinstance(event, ReasoningDelta):
            assert event.text
            reasoning += event.text
        elif isinstance(event, ToolCallStarted):
            assert event.index not in arguments
            assert event.name
            arguments[event.index] = ""
        elif isinstance(event, ToolCallDelta):
            assert event.arguments
            arguments[event.index] += event.arguments
        elif isinstance(event, ToolCallEnded):
            text = arguments[event.index]
            if event.call is not None:
                assert _parsed(text) == event.call.arguments
                calls.append(event.call)
        else:
            message = event.message
            first = held if not ended else ("", "")
            assert _is_told(message.text, content, first[0])
            assert _is_told(message.reasoning_content or "", reasoning, first[1])
            assert list(message.tool_calls) == calls
            ended.append(message)
            speaking = False
    assert tuple(ended) == found.messages
    assert not speaking
    if found.messages:
        assert found.message == found.messages[-1]


def _is_told(text: str, told: str, held: str) -> bool:
    return text.endswith(told) and held.startswith(text.removesuffix(told))


def _parsed(text: str) -> Any:
    return json.loads(text, strict=False)


# Nothing is lost ----------------------------------------------------------------------------------

MARKER = re.compile(r"zq\d+x")
"""Words that no format and no generated text has."""


@cache
def marker_ids(number: int) -> tuple[int, ...]:
    """A word that no format writes, as ids."""
    return tuple(plain_ids(f"zq{number}x"))


def plain_ids(text: str) -> list[int]:
    """Plain text as ids, whatever it spells."""
    return vocabulary().encode_runs([(text, RunStart.CONTINUED)], frozenset())[0][0]


def spelled(ids: Iterable[int]) -> str:
    """The text of ids, control tokens included; ids outside the vocabulary spell nothing."""
    found: list[bytes] = []
    broken = True
    for token in ids:
        data = vocabulary().token_bytes(token)
        breaks = data is None or vocabulary().token_text(token) is not None
        if breaks or broken:
            found.append(b"")
        found[-1] += data or b""
        broken = breaks
    return "".join(data.decode(errors="replace") for data in found)


def check_account(fmt: rc.Format, ids: Sequence[int], found: Read) -> None:
    """Whatever was fed is in a message, in a record or in the rest, or is the format's own."""
    assert not isinstance(found.rest, str)
    read_ids = len(ids) - len(found.rest)
    assert list(ids[read_ids:]) == list(found.rest)
    covered: set[int] = set()
    for record in found.unread:
        first, end = record.span
        assert 0 <= first <= end <= len(ids)
        covered.update(range(first, end))
        if record.code != "outside-vocabulary":
            plain = [i for i in ids[first:end] if vocabulary().token_text(i) is None]
            text = spelled(ids[first:end])
            assert record.text in text or record.text in spelled(plain), (record, text)
    for at, token in enumerate(ids[:read_ids]):
        added = vocabulary().token_text(token)
        if added not in fmt.control and (added or vocabulary().token_bytes(token) is None):
            assert at in covered, f"{token} ({added}) at {at} is nowhere"
    said = [text for message in found.messages for text in texts_of(message)]
    kept = "\n".join([*said, *(record.text for record in found.unread), spelled(found.rest)])
    for run in runs_of(ids):
        for word in MARKER.finditer(spelled(ids[at] for at in run)):
            # Where part of it is in a record, the rest must be somewhere too.
            own = [at for at in run if _within(ids, run, at, word.span())]
            left = [spelled([ids[at]]) for at in own if at not in covered]
            parts = [word[0]] if len(left) == len(own) else left
            assert all(part.strip() in kept for part in parts), f"{word[0]} is nowhere"


def runs_of(ids: Sequence[int]) -> Iterator[list[int]]:
    """The places of ids that spell plain text, a stretch at a time."""
    run: list[int] = []
    for at, token in enumerate(ids):
        if vocabulary().token_bytes(token) is None or vocabulary().token_text(token) is not None:
            yield run
            run = []
        else:
            run.append(at)
    yield run


def _within(ids: Sequence[int], run: Sequence[int], at: int, span: tuple[int, int]) -> bool:
    """Whether the id at a place of a run spells part of a span of its text."""
    before = len(spelled(ids[n] for n in run if n < at))
    return before < span[1] and before + len(spelled([ids[at]])) > span[0]


def check_rest(text: str, found: Read) -> None:
    """The same of a text: no word of it is nowhere, and the rest is its end."""
    if not text:
        assert not found.rest
        return
    assert isinstance(found.rest, str)
    assert text.endswith(found.rest)
    for record in found.unread:
        first, end = record.span
        assert 0 <= first <= end <= len(text)
        if record.code != "outside-vocabulary":
            assert record.text in text[first:end], record
    said = [said for message in found.messages for said in texts_of(message)]
    kept = "\n".join([*said, *(record.text for record in found.unread), found.rest])
    for word in MARKER.finditer(text):
        assert word[0] in kept, f"{word[0]} is nowhere"


def texts_of(message: Message) -> Iterator[str]:
    """All that a message says."""
    yield from (message.role, message.name or "", message.text, message.reasoning_content or "")
    yield message.tool_call_id or ""
    yield from (text for pair in message.attributes.items() for text in pair)
    for call in message.tool_calls:
        yield from (call.name, call.id or "", json.dumps(call.arguments, ensure_ascii=False))


# Pieces -------------------------------------------------------------------------------------------


def pieces_of(whole: Any, cuts: Iterable[int]) -> list[Any]:
    """A sequence cut at places, in order."""
    places = [0, *sorted(cut % (len(whole) + 1) for cut in cuts), len(whole)]
    return [whole[a:b] for a, b in itertools.pairwise(places)]
