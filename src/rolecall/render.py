"""A rendering: what a walk over a conversation makes of it. Everything else reads it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from rolecall.account import account, in_order
from rolecall.canvas import new_segment
from rolecall.conversation import DEFAULT_ROLE, Author, Conversation
from rolecall.errors import ConversationError, InputError
from rolecall.header import Speakers, lets_model_choose
from rolecall.lost import Lost, enforce
from rolecall.plan import Past
from rolecall.segment import Segment
from rolecall.speaker import ModelChoice, Speaker
from rolecall.stops import stops
from rolecall.walk import Resume, Walk
from rolecall.wire import check_text

if TYPE_CHECKING:
    from rolecall.bulk.filled import Filled
    from rolecall.encode import Encoding
    from rolecall.format import Format


CONTINUE_FIELDS = {"content": "content", "reasoning_content": "reasoning"}
"""What `continue_final_message` may name, and the slot behind it."""


@dataclass(frozen=True)
class Rendering:
    """A conversation as one format writes it."""

    format: Format
    conversation: Conversation
    """What was rendered, as the caller gave it."""
    authors: tuple[Author, ...]
    """Author of each of the caller's messages."""
    segments: tuple[Segment, ...]
    """The text in runs of one origin, in order; joined they are `text`."""
    lost: tuple[Lost, ...]
    """What the rendering could not carry, in the order of the messages."""
    stop: tuple[str, ...]
    """What ends the next turn of the speaker asked for: control tokens, then strings.

    A turn without an end token is ended by the first token of the header that follows. Where
    headers are plain words, those of the other speakers of this conversation end it too.
    """
    opened: int | None
    """Of a final message that is left open: its first segment behind the generation prompt."""
    resume: Resume = field(repr=False, compare=False)
    """Where it ends, for `Format.stream` and `Format.extend`."""
    speakers: Speakers | None = field(repr=False, compare=False)
    """Who spoke under which name."""
    past: Past | None = field(repr=False, compare=False)
    """Its complete turns, for a walk that goes on behind them."""
    fields: tuple[str, ...] = field(repr=False, compare=False)
    """Of each segment: the field of the message that it was written from, or nothing.

    Empty where the rendering goes on behind another one.
    """

    @property
    def varies(self) -> list[bool]:
        """Of each segment: whether it is the caller's own; labels, being few, count as not."""
        return [name not in ("", "role") for name in self.fields]

    @property
    def writer(self) -> Format:
        """The format, as encoding knows it."""
        return self.format

    @property
    def text(self) -> str:
        """The prompt as one string, for people; ids come from `encode`, not from this text."""
        filled = self.filled
        if filled is not None:
            return filled.text
        return "".join(segment.text for segment in self.segments)

    @classmethod
    def later(cls, filled: Filled) -> Rendering:
        """The rendering of a conversation in its mould, made when something of it is asked for."""
        rendering = object.__new__(cls)
        known = {"format": filled.fmt, "authors": filled.mould.authors, "_filled": filled}
        rendering.__dict__.update(known)
        return rendering

    @property
    def filled(self) -> Filled | None:
        """The conversation in its mould, where nothing more was asked for yet."""
        return self.__dict__.get("_filled")

    def __getattr__(self, name: str) -> Any:
        """What was left for later; only then is an attribute missing."""
        known = self.__dict__
        # The other kind is `rolecall.extend.Extension`.
        waiting = known.get("_filled") or known.get("_extension")
        if waiting is not None and name in _FIELDS:
            known.update(waiting.rendered().__dict__)
            known.pop("_filled", None)
            known.pop("_extension", None)
        # Another thread may have made all of it by now.
        if name in known:
            return known[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __getstate__(self) -> dict[str, Any]:
        """All of it, for pickling and copying."""
        _ = self.segments
        return {name: value for name, value in self.__dict__.items() if name in _FIELDS}

    def encode(self, tokenizer: object) -> Encoding:
        """Encode the segments to token ids with the origin of every token.

        Args:
            tokenizer: What `rolecall.tokenizer` returns, or anything it takes.

        Raises:
            TokenizerError: If the tokenizer lacks a control token of the format.
        """
        from rolecall.encode import encode
        from rolecall.tokenizers import tokenizer as load

        return encode(self, load(tokenizer))


_FIELDS = frozenset(item.name for item in fields(Rendering))


def render(
    fmt: Format,
    conversation: Conversation,
    *,
    add_generation_prompt: bool = False,
    continue_final_message: bool | str = False,
    speaker: Speaker | None = None,
    strict: bool | str = True,
    old: Rendering | None = None,
) -> Rendering:
    """Render a checked conversation; the arguments are those of `Format.render`.

    With `old`, a rendering of how the conversation begins, only what follows its complete turns is
    walked; later messages must never reach back in such a format.
    """
    speaker = _read_speaker(speaker, add_generation_prompt=add_generation_prompt)
    past = None if old is None else old.past
    walk_ = Walk(fmt, conversation, past)
    keep_open = _keep_open(walk_, continue_final_message)
    if keep_open is not None and speaker is not None:
        raise InputError(
            "continue_final_message leaves the final message open, a generation prompt opens "
            "another one; give only one of them"
        )
    if not conversation.messages and speaker is None:
        raise ConversationError("there are no messages and nobody is to speak", field="messages")
    walk_.run(generating=speaker is not None, keep_open=keep_open)
    lost: list[Lost] = []
    planned = len(walk_.plan.lost)
    if speaker is not None:
        final = walk_.generation_prompt(speaker)
        if isinstance(speaker, ModelChoice) and not lets_model_choose(fmt):
            detail = f"{fmt.name} writes nothing in a model's header that it could choose"
            lost.append(Lost("note", "speaker-fixed", None, "speaker", detail))
        own = walk_.opening
    else:
        own = walk_.last_turn
        final = own.spec if own is not None else None
        default = fmt.spec("model", DEFAULT_ROLE["model"])
        if keep_open is None and default is not None:
            own, final = None, default
    segments, opened, resume = walk_.canvas.segments, walk_.canvas.opened, walk_.resume
    fields = walk_.canvas.fields
    before: tuple[Segment, ...] = ()
    if old is not None and past is not None:
        before = old.segments[: past.segments]
    if fmt.dummy_prefix:
        starts = walk_.canvas.starts
        segments, fields, added = _dummy_prefixes(segments, fields, starts, opened, before[-1:])
        number, waiting = walk_.settled
        walk_.settled = (number + bisect_left(added, number), waiting)
        resume = resume._replace(first=resume.first + bisect_left(added, resume.first))
        opened = None if opened is None else opened + bisect_left(added, opened)
    first = 0 if past is None else past.messages
    lost = account(fmt, conversation, walk_.plan, walk_.canvas.written, first) + lost
    if old is not None and past is not None:
        opened = None if opened is None else opened + len(before)
        if walk_.plan.turns or speaker is not None:
            resume = resume._replace(first=resume.first + len(before))
        else:
            resume = old.resume
        goes_on = bool(walk_.plan.turns) or speaker is not None
        still = (r for r in past.lost if r.code != "unprompted" or not goes_on)
        lost = in_order([*still, *lost])
    enforce(tuple(lost), strict)
    return Rendering(
        format=fmt,
        conversation=conversation,
        authors=walk_.plan.authors,
        segments=(*before, *segments),
        lost=tuple(lost),
        stop=stops(walk_, final, own, choosing=isinstance(speaker, ModelChoice)),
        opened=opened,
        resume=resume,
        speakers=walk_.speakers,
        past=walk_.past(_of_turns(lost, walk_, planned), left_open=keep_open is not None),
        fields=tuple(fields) if old is None else (),
    )


def _of_turns(lost: list[Lost], walk_: Walk, planned: int) -> Iterator[Lost]:
    """The records that are not about the generation prompt.

    Args:
        lost: All of them.
        walk_: The walk.
        planned: How many records its plan had before the generation prompt.
    """
    prompted = walk_.plan.lost[planned:]
    for record in lost:
        if record in prompted:
            prompted.remove(record)
        elif record.code != "speaker-fixed":
            yield record


def _read_speaker(speaker: object, *, add_generation_prompt: bool) -> Speaker | None:
    if speaker is None:
        return DEFAULT_ROLE["model"] if add_generation_prompt else None
    if isinstance(speaker, ModelChoice) or (isinstance(speaker, str) and speaker):
        return speaker
    pair: tuple[Any, ...] = tuple(speaker) if isinstance(speaker, (tuple, list)) else ()  # pyright: ignore
    if len(pair) == 2 and all(isinstance(item, str) and item for item in pair):
        return (check_text(pair[0], None, "speaker"), check_text(pair[1], None, "speaker"))
    raise ConversationError(
        f"found {speaker!r}; give a role, (role, name) or rolecall.ANY", field="speaker"
    )


def _keep_open(walk_: Walk, given: bool | str) -> str | None:
    messages = walk_.conversation.messages
    last = len(messages) - 1
    first = 0 if walk_.begun is None else walk_.begun.messages
    marked = [index for index, message in enumerate(messages[first:], first) if message.prefix]
    if marked and marked != [last]:
        raise ConversationError(
            "only the final message can be continued", message=marked[0], field="prefix"
        )
    given = given or bool(marked)
    if given is False:
        return None
    if given is not True and str(given) not in CONTINUE_FIELDS:
        raise InputError(
            f"continue_final_message: found {given!r}; give True, 'content' or 'reasoning_content'"
        )
    if not messages:
        raise ConversationError("there is no final message to continue", field="messages")
    if walk_.plan.authors[last] != "model":
        raise ConversationError(
            f"the final message is the {walk_.plan.authors[last]}'s; only a model's message can be "
            "continued",
            message=last,
            field="role",
        )
    if messages[last].tool_calls:
        raise ConversationError(
            "a message that already makes tool calls cannot be continued",
            message=last,
            field="tool_calls",
        )
    if given is True:
        given = (
            "content"
            if messages[last].text or not messages[last].reasoning_content
            else ("reasoning_content")
        )
    elif given == "reasoning_content" and messages[last].text:
        raise ConversationError(
            "it stands after the reasoning that is to be continued; leave it out",
            message=last,
            field="content",
        )
    if not (messages[last].text if given == "content" else messages[last].reasoning_content):
        raise ConversationError(
            "there is nothing to continue: it is empty", message=last, field=given
        )
    return CONTINUE_FIELDS[given]


def _dummy_prefixes(
    segments: list[Segment],
    fields: list[str],
    turns: set[int],
    opened: int | None,
    behind: tuple[Segment, ...],
) -> tuple[list[Segment], list[str], list[int]]:
    """Write the space that SentencePiece puts before each run of plain text.

    A run begins behind a control token, where a turn begins, where sampling starts, and at
    `opened`; `behind` is the segment before the first, if there is one. Returned with the fields of
    the segments and the places where a space was added.
    """
    result: list[Segment] = []
    found: list[str] = []
    added: list[int] = []
    inside = any(not segment.control for segment in behind)
    before = any(segment.sampled for segment in behind)
    for index, segment in enumerate(segments):
        _, control, message, _, sampled = segment
        begins = not inside or (sampled and not before) or index in turns or index == opened
        if begins and not control:
            result.append(new_segment(Segment, (" ", False, message, "scaffold", sampled)))
            found.append("")
            added.append(index)
        inside, before = not control, sampled
        result.append(segment)
        found.append(fields[index])
    return result, found, added
