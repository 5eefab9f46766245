"""What was sampled: read, and as tokens that know where they come from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from operator import index
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from rolecall.conversation import Message
from rolecall.encode import PART_CODE, Tokens
from rolecall.errors import InputError
from rolecall.events import MessageEnded
from rolecall.lost import Lost
from rolecall.segment import Segment
from rolecall.symbols import Chunk, Symbols
from rolecall.tokenizers import RunStart, Tokenizer

if TYPE_CHECKING:
    from rolecall.format import Format
    from rolecall.render import Rendering
    from rolecall.unread import Unread


class Written(NamedTuple):
    """Plain text, or one control token."""

    text: str
    control: bool


@dataclass(frozen=True)
class Reply:
    """What was sampled, read."""

    message: Message
    closed: bool
    """Whether the end of the turn was sampled."""
    ids: list[int]
    behind: int
    """Number of ids before the first that is no part of the message."""
    chunks: list[Chunk]
    """The characters and control tokens that the ids spell."""
    unread: tuple[Unread, ...]

    def written(self, first: int = 0) -> list[Written]:
        """What the ids from `first` on spell."""
        return [
            Written(chunk.token or chunk.text, bool(chunk.token))
            for chunk in self.chunks
            if chunk.text and chunk.first >= first
        ]


def read_reply(fmt: Format, old: Rendering, tokenizer: Tokenizer, sampled: object) -> Reply:
    """Read the ids that were sampled behind a rendering."""
    ids = _ids(sampled)
    stream = fmt.stream(tokenizer, prompt=old)
    events = [*stream.feed(ids), *stream.finish()]
    ended = [event for event in events if isinstance(event, MessageEnded)]
    if not ended:
        raise InputError(
            "sampled: no turn is open behind the encoding and these ids open none; render it with "
            "add_generation_prompt=True before sampling, or give ids that hold a whole header"
        )
    message = ended[0].message
    turn = old.resume.turn
    if turn is not None and turn.message is not None:
        # Of a message that was left open the caller's fields stay.
        message = replace(
            old.conversation.messages[-1],
            content=message.content,
            reasoning_content=message.reasoning_content,
            tool_calls=message.tool_calls,
            prefix=False,
        )
    author = old.conversation.cast.author(message.role, message.name)
    spec = fmt.spec(author or "model", message.role)
    if spec is not None and not spec.empty and not message.text and not message.tool_calls:
        # A message that says nothing cannot be written here; one of a space is the nearest to it.
        message = replace(message, content=" ")
    return Reply(
        message,
        ended[0].reason in ("end", "calls"),
        ids,
        len(ids) - len(stream.rest),
        _spelled(fmt, old, tokenizer, ids),
        stream.unread,
    )


def _ids(sampled: object) -> list[int]:
    """Ids as whole numbers.

    Raises:
        InputError: If they are none, or too large to be any.
    """
    try:
        ids = [index(cast("Any", number)) for number in cast("Iterable[object]", sampled)]
    except TypeError:
        ids = None
    if ids is None or isinstance(sampled, (bytes, bytearray)):
        raise InputError("sampled: give the ids of the reply, a list or array of whole numbers")
    limits = np.iinfo(np.int32)
    wrong = next((number for number in ids if not limits.min <= number <= limits.max), None)
    if wrong is not None:
        raise InputError(f"sampled: {wrong} is no id; ids are 32-bit numbers")
    return ids


def _spelled(fmt: Format, old: Rendering, tokenizer: Tokenizer, ids: list[int]) -> list[Chunk]:
    """What ids spell that were sampled behind a rendering."""
    options = fmt.option_values(old.conversation.options)
    tokens = (*fmt.control, str(options["bos_token"]), str(options["eos_token"]))
    control = {
        token: chr(0xD800 + number) for number, token in enumerate(dict.fromkeys(tokens)) if token
    }
    section = RunStart.CONTINUED if fmt.dummy_prefix else RunStart.SECTION
    start = section if old.segments and old.segments[-1].control else RunStart.CONTINUED
    symbols = Symbols(control, tokenizer, start, section=section)
    chunks = [*symbols.feed_ids(ids), *symbols.finish()]
    # An id outside the vocabulary spells nothing.
    return [chunk if chunk.text else chunk._replace(token="") for chunk in chunks]


def as_written(segments: Iterable[Segment]) -> list[Written]:
    """What segments spell."""
    return [Written(segment.text, segment.control) for segment in segments]


def sampled_tokens(reply: Reply, segments: list[Segment], message: int) -> Tokens:
    """The ids that were sampled, with what the segments say of the text that they spell."""
    items = reply.written()
    segments = segments or [
        Segment(" ", control=False, message=message, part="content", sampled=True)
    ]
    places = _aligned(items, segments)
    count = len(reply.ids)
    first = np.full(count, -1, np.int64)
    last = np.zeros(count, np.int64)
    at = 0
    for chunk in reply.chunks:
        length = len(chunk.token or chunk.text)
        for number in range(chunk.first, chunk.end):
            # Of a character in pieces every piece stands where the character does.
            final = number == chunk.end - 1
            if first[number] < 0:
                first[number] = at
            last[number] = max(at + (length if final else 1) - 1, first[number])
        at += length
    silent = first < 0
    first[silent], last[silent] = 0, 0
    owner = np.append(places, len(segments) - 1)
    first, last = owner[np.minimum(first, at)], owner[np.minimum(last, at)]
    unread = tuple(
        Lost("warning", "unread", message, "content", record.detail) for record in reply.unread
    )
    return Tokens(
        np.array(reply.ids, np.int32),
        np.array([-1 if s.message is None else s.message for s in segments], np.int32)[last],
        np.array([PART_CODE[s.part] for s in segments], np.uint8)[last],
        np.ones(count, np.bool_),
        first != last,
        unread,
    )


def _aligned(items: list[Written], segments: list[Segment]) -> npt.NDArray[np.int64]:
    """For each character of what was sampled, the segment that it stands for.

    Where the model wrote the same text, that is plain. Where it did not, stretches between the same
    control tokens are laid over each other from both ends.
    """
    theirs = np.repeat(np.arange(len(segments)), [len(s.text) for s in segments])
    if "".join(i.text for i in items) == "".join(s.text for s in segments):
        return theirs
    written, wanted = _stretches(items), _stretches(as_written(segments))
    if [s[1] for s in written] != [s[1] for s in wanted]:
        written = [("".join(item.text for item in items), "")]
        wanted = [("".join(segment.text for segment in segments), "")]
    found: list[npt.NDArray[np.int64]] = []
    at = 0
    for (own, token), (other, _) in zip(written, wanted, strict=True):
        place = theirs[at : at + len(other)]
        found.append(_laid_over(own, other, place, at and theirs[at - 1]))
        at += len(other) + len(token)
        found.append(theirs[at - len(token) : at])
    return np.concatenate(found)


def _stretches(items: Iterable[Written]) -> list[tuple[str, str]]:
    """Plain text with the control token behind it, or nothing behind the last."""
    found: list[tuple[str, str]] = []
    text = ""
    for item in items:
        if item.control:
            found.append((text, item.text))
            text = ""
        else:
            text += item.text
    return [*found, (text, "")]


def _laid_over(
    own: str, other: str, places: npt.NDArray[np.int64], before: int
) -> npt.NDArray[np.int64]:
    """The places of one text for the characters of another that begins and ends alike."""
    most = min(len(own), len(other))
    head = next((n for n in range(most) if own[n] != other[n]), most)
    tail = next((n for n in range(most - head) if own[-1 - n] != other[-1 - n]), most - head)
    between = before if not len(places) else places[min(head, len(places) - 1)]
    middle = np.full(len(own) - head - tail, between, np.int64)
    return np.concatenate([places[:head], middle, places[len(other) - tail :]])
