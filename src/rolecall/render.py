"""The walk: turns to segments. Everything else reads what it makes.

`render` plans the turns, writes them through one `Canvas`, and returns a `Rendering`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from rolecall import strategies
from rolecall.account import account, in_order
from rolecall.conversation import DEFAULT_ROLE, Author, Conversation
from rolecall.errors import ConversationError, InputError, OrderError, UndeclaredRoleError
from rolecall.header import (
    HeaderReader,
    Speakers,
    check_header,
    common_prefix,
    lets_model_choose,
    writes_label,
)
from rolecall.lost import Lost, enforce
from rolecall.pattern import DOCUMENT_TOKENS, Pattern, Piece, Slot, Value, filled, write
from rolecall.plan import Past, Plan, joins, make_plan
from rolecall.segment import Segment
from rolecall.turn import Turn, TurnSpec, text_of
from rolecall.wire import check_text

if TYPE_CHECKING:
    from rolecall.encode import Encoding
    from rolecall.format import Format


class ModelChoice:
    """The type of `rolecall.ANY`: the model chooses who speaks."""

    def __repr__(self) -> str:
        return "rolecall.ANY"

    def __reduce__(self) -> str:
        return "ANY"


ANY = ModelChoice()
"""As `speaker`: open a header and let the model choose who speaks."""

Speaker = str | tuple[str, str] | ModelChoice

CONTINUE_FIELDS = {"content": "content", "reasoning_content": "reasoning"}
"""What `continue_final_message` may name, and the slot behind it."""

LABELS = frozenset(("role", "speaker", *DOCUMENT_TOKENS))
"""Slots of a header that are filled whoever speaks."""


class Resume(NamedTuple):
    """Where a rendering ends, for whoever reads on behind it."""

    first: int
    """The first segment behind what the fields below say; what follows is to be read again."""
    author: Author | None
    """Who authored the last complete turn, or None where there is none."""
    turn: Turn | None
    """The turn that is open, its header being complete, or None between turns."""
    header: Pattern
    """The header of that turn."""


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
    opened: int | None = None
    """Of a final message that is left open: its first segment behind the generation prompt."""
    resume: Resume = field(default=Resume(0, None, None, ()), repr=False, compare=False)
    """Where it ends, for `Format.stream` and `Format.extend`."""
    speakers: Speakers | None = field(default=None, repr=False, compare=False)
    """Who spoke under which name."""
    past: Past | None = field(default=None, repr=False, compare=False)
    """Its complete turns, for a walk that goes on behind them."""

    @property
    def writer(self) -> Format:
        """The format, as encoding knows it."""
        return self.format

    @property
    def text(self) -> str:
        """The prompt as one string, for people; ids come from `encode`, not from this text."""
        return "".join(segment.text for segment in self.segments)

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


@dataclass(slots=True)
class Canvas:
    """Collects pieces as segments and keeps the account of what was written."""

    segments: list[Segment] = field(default_factory=list[Segment])
    fields: list[str] = field(default_factory=list[str])
    """Of each segment: the field that its text is from, or nothing where it is the format's."""
    written: dict[tuple[int | None, str], str] = field(
        default_factory=dict[tuple[int | None, str], str]
    )
    """``(message, field)`` to the characters of it that were written."""
    starts: set[int] = field(default_factory=set[int])
    """Number of segments before each turn."""
    opened: int | None = None
    """Number of segments before what a final message that is left open says."""
    closed: bool = False
    """Set where a final message is left open: nothing more is written."""

    def put(self, piece: Piece, message: int | None, *, sampled: bool) -> None:
        """Add one piece; format text takes the message of the turn it stands in."""
        if self.closed or not piece.text:
            return
        own = piece.message if piece.field or piece.message is not None else message
        if piece.part == "tools":
            own = None
        if piece.field or (piece.part == "content" and own is not None):
            key = (own, piece.field or "content")
            self.written[key] = self.written.get(key, "") + piece.text
        self.segments.append(Segment(piece.text, piece.control, own, piece.part, sampled))
        self.fields.append(piece.field)


class Walk:
    """One walk over the turns of a conversation."""

    def __init__(self, fmt: Format, conversation: Conversation, past: Past | None = None) -> None:
        self.fmt = fmt
        self.conversation = conversation
        self.options = fmt.option_values(conversation.options)
        self.plan: Plan = make_plan(fmt, conversation, past)
        self.canvas = Canvas()
        self.reader = header_reader(fmt)
        self.speakers = Speakers(fmt, conversation.cast)
        if past is not None:
            self.speakers.names = dict(past.speakers.names)
            self.speakers.unnamed = dict(past.speakers.unnamed)
        self.begun = past
        """What was written before this walk, or None."""
        self.document = self._document_values()
        self.resume = Resume(0, None, None, ())
        self.waiting: Turn | None = None
        """A model's turn that has no end of its own: the next header's first token ends it."""
        if past is not None and past.waiting:
            self.waiting = past.last
        self.opening: Turn | None = None
        """The turn that the generation prompt opens; it says nothing yet."""
        self.settled: tuple[int, Turn | None] = (0, self.waiting)
        """Behind the last complete turn: how many segments there are, and what was `waiting`."""

    def _document_values(self) -> dict[str, Value]:
        values: dict[str, Value] = {}
        for name, value in self.options.items():
            if name in ("bos_token", "eos_token"):
                values[name] = (Piece(str(value), "scaffold", control=True),) if value else ()
            elif isinstance(value, bool):
                values[name] = (Piece("true", "scaffold"),) if value else ()
            else:
                piece = Piece(str(value), "scaffold", None, f"options.{name}")
                values[name] = (piece,) if piece.text else ()
        if self.conversation.tools and self.fmt.tools is not None:
            values["has_tools"] = (Piece("-", "tools"),)
        return values

    def values(self, turn: Turn) -> Mapping[str, Value]:
        """What fills the slots of a turn, document-wide values included."""
        return {**self.document, **turn.values, "calls": self.call_pieces(turn)}

    def call_pieces(self, turn: Turn) -> Value:
        """The calls of a turn, written."""
        rule = self.fmt.calls
        if rule is None or not turn.calls:
            return ()
        pieces: list[Piece] = []
        arguments = strategies.ARGUMENTS[rule.arguments].apply
        write(rule.begin, self.document, "tool_calls", pieces.append)
        for number, call in enumerate(turn.calls):
            where = f"tool_calls[{call.number}]"
            start = len(pieces)
            if number:
                write(rule.join, self.document, "tool_calls", pieces.append)
            text = check_text(
                arguments(call.arguments), call.message, f"{where}.function.arguments"
            )
            values: dict[str, Value] = {
                **self.document,
                "call_name": (
                    Piece(call.name, "tool_calls", call.message, f"{where}.function.name"),
                ),
                "arguments": (
                    Piece(text, "tool_calls", call.message, f"{where}.function.arguments"),
                ),
                "index": (Piece(str(number), "tool_calls", call.message),),
            }
            if call.written_id:
                values["call_id"] = call.written_id
            elif call.id is not None:
                values["call_id"] = (Piece(call.id, "tool_calls", call.message, f"{where}.id"),)
            write(rule.each, values, "tool_calls", pieces.append)
            pieces[start:] = [
                piece if piece.field else piece._replace(message=call.message)
                for piece in pieces[start:]
            ]
        write(rule.finish, self.document, "tool_calls", pieces.append)
        return tuple(pieces)

    def run(self, *, generating: bool, keep_open: str | None) -> None:
        """Write everything up to the generation prompt.

        Args:
            generating: Whether a model is to speak next.
            keep_open: The slot of the final turn to end in, or None to close it.
        """
        if self.begun is None:
            self._write(self.fmt.begin, self.document, "scaffold", None)
        if self.plan.tools:
            rule = self.fmt.tools
            assert rule is not None
            values = {**self.document, "tools": self.plan.tools, "has_tools": self.plan.tools}
            self._write(rule.frame, values, "scaffold", None)
        turns = self.plan.turns
        for turn in turns:
            self.speakers.add(turn)
        for index, turn in enumerate(turns):
            previous = turns[index - 1] if index else self.past_turn
            following = turns[index + 1] if index + 1 < len(turns) else None
            self._turn(
                turn,
                previous,
                following,
                generating=generating,
                keep_open=keep_open if following is None else None,
            )
        if not generating and keep_open is None:
            self._write(self.fmt.finish, self.document, "scaffold", None)

    @property
    def past_turn(self) -> Turn | None:
        """The last turn that was written before this walk."""
        return None if self.begun is None else self.begun.last

    @property
    def last_turn(self) -> Turn | None:
        """The last turn there is."""
        return self.plan.turns[-1] if self.plan.turns else self.past_turn

    def spoken(self, turns: Iterable[Turn]) -> dict[tuple[str, ...], Turn]:
        """A turn of each speaker so far."""
        found = {} if self.begun is None else dict(self.begun.spoken)
        for turn in turns:
            found.setdefault(_who(turn), turn)
        return found

    def past(self, lost: Iterable[Lost], *, left_open: bool) -> Past:
        """What a walk must know that goes on behind the complete turns of this one.

        Args:
            lost: The records about all turns.
            left_open: Whether the last turn is not complete.
        """
        turns = self.plan.turns[:-1] if left_open else self.plan.turns
        messages = len(self.plan.authors) - (1 if left_open else 0)
        number, waiting = self.settled
        return Past(
            messages,
            self.plan.authors[:messages],
            number + (0 if self.begun is None else self.begun.segments),
            turns[-1] if turns else self.past_turn,
            waiting is not None,
            self.speakers,
            self.spoken(turns),
            self.plan.called,
            tuple(self.plan.numbered),
            self.plan.calls,
            tuple(r for r in lost if r.message is None or r.message < messages),
        )

    def _write(
        self,
        nodes: Pattern,
        values: Mapping[str, Value],
        part: Any,
        message: int | None,
        *,
        sampled: bool = False,
    ) -> None:
        write(nodes, values, part, lambda piece: self.canvas.put(piece, message, sampled=sampled))

    def _turn(
        self,
        turn: Turn,
        previous: Turn | None,
        following: Turn | None,
        *,
        generating: bool,
        keep_open: str | None,
    ) -> None:
        spec = turn.spec
        values = self.values(turn)
        self.canvas.starts.add(len(self.canvas.segments))
        if previous is not None and _grouped(previous, turn):
            self.canvas.put(Piece(spec.group or "", "scaffold"), turn.message, sampled=False)
        else:
            self.header(turn, None if previous is None else previous.author, values)
        author = None if previous is None else previous.author
        self._resume(author, turn)
        prompted = self._body(turn, values, keep_open)
        if following is None and not generating and not prompted:
            detail = "it does not begin as the generation prompt does under these options"
            self.plan.lost.append(Lost("warning", "unprompted", turn.message, "options", detail))
        if following is not None and _grouped(turn, following):
            return
        sampled = turn.author == "model"
        end = spec.end
        if following is None and not generating and spec.final_end is not None:
            end = spec.final_end
        if turn.calls and spec.call_end is not None:
            end = spec.call_end
        self._write(end, values, "end", turn.last_message, sampled=sampled)
        self.waiting = turn if sampled and not end else None
        self._write(spec.gap, values, "scaffold", turn.last_message)
        if keep_open is None:
            self._resume(turn.author, None)
            self.settled = (len(self.canvas.segments), self.waiting)

    def _resume(self, author: Author | None, turn: Turn | None) -> None:
        """Remember where whoever reads on begins."""
        header = () if turn is None else turn.spec.header(author)
        self.resume = Resume(len(self.canvas.segments), author, turn, header)

    def header(self, turn: Turn, previous: Author | None, values: Mapping[str, Value]) -> None:
        """Write and check the header of a turn."""
        header = turn.spec.header(previous)
        pieces: list[Piece] = []
        write(header, values, "header", pieces.append)
        record = check_header(self.reader, turn, header, values, pieces, self.speakers)
        if record is not None:
            self.plan.lost.append(record)
        waiting, self.waiting = self.waiting, None
        for piece in pieces:
            if waiting is not None and piece.control:
                ending = piece._replace(part="end")
                self.canvas.put(ending, waiting.last_message, sampled=True)
                waiting = None
                continue
            self.canvas.put(piece, turn.message, sampled=False)

    def _body(self, turn: Turn, values: Mapping[str, Value], keep_open: str | None) -> bool:
        """Write the body; False if it is a model's that does not begin as its prompt does."""
        sampled = turn.author == "model" and keep_open is None
        if turn.author != "model":
            self._write(turn.spec.body, values, "scaffold", turn.message)
            return True
        pieces: list[Piece] = []
        write(turn.spec.body, values, "scaffold", pieces.append)
        if keep_open is not None:
            pieces = _cut(pieces, turn, values, keep_open)
        found = self._prompted(turn, pieces)
        prompted = found or 0
        for piece in pieces:
            head = piece.text[:prompted]
            prompted -= len(head)
            self.canvas.put(piece._replace(text=head), turn.message, sampled=False)
            tail = piece._replace(text=piece.text[len(head) :])
            if keep_open is not None and tail.text and self.canvas.opened is None:
                self.canvas.opened = len(self.canvas.segments)
            self.canvas.put(tail, turn.message, sampled=sampled)
        self.canvas.closed = keep_open is not None
        return found is not None or not sampled

    def _prompted(self, turn: Turn, pieces: list[Piece]) -> int | None:
        """How much of a body the generation prompt would write; None if it would write others."""
        prompt: list[Piece] = []
        write(turn.spec.prompt, self.document, "scaffold", prompt.append)
        text = text_of(tuple(prompt))
        return len(text) if text_of(tuple(pieces)).startswith(text) else None

    def generation_prompt(self, speaker: Speaker) -> TurnSpec:
        """Open the turn of a speaker; returns how that speaker's turns are written."""
        last = self.last_turn
        previous = None if last is None else last.author
        if isinstance(speaker, ModelChoice):
            write(common_prefix(self.fmt, previous), self.document, "header", self._put_open)
            return self._spec("model", DEFAULT_ROLE["model"])
        role, name = (speaker, None) if isinstance(speaker, str) else speaker
        author = self.speakers.author(role, name)
        if author is None:
            raise UndeclaredRoleError(
                f"the speaker's role {role!r} is not declared; say who authors it with "
                f"cast={{{role!r}: 'model'}}",
                field="speaker",
            )
        spec = self._spec(author, role)
        turn = self.silent(spec, author, role, name)
        # What the reply will weigh is not known; it may be as much as what stands before it.
        turn.weight = None if last is None else last.weight
        self.opening = turn
        self.speakers.add(turn)
        if last is not None and joins(last, turn):
            raise OrderError(
                f"{self.fmt.name} would merge the next {author} turn into this one, so nothing can "
                "be opened behind it; leave it open with continue_final_message, or add another "
                "message first",
                message=last.last_message,
                field="role",
            )
        values = self.values(turn)
        self.header(turn, previous, values)
        self._resume(previous, turn)
        self._account_for(turn, filled(spec.header(previous), values))
        self._write(spec.prompt, values, "scaffold", None)
        return spec

    def silent(self, spec: TurnSpec, author: Author, role: str, name: str | None) -> Turn:
        """A turn of a speaker that says nothing."""
        turn = Turn(spec, author, role, name, None)
        label = self.fmt.labels.get(role, (Piece(role, "role", None, "role"),))
        turn.values["role"] = label
        if name:
            turn.values["name"] = (Piece(name, "name", None, "name"),)
        turn.values["speaker"] = turn.values.get("name") or label
        return turn

    def _account_for(self, turn: Turn, written: Mapping[str, Value]) -> None:
        """Record what the header of a generation prompt does not say of the speaker asked for."""
        labelled = writes_label(turn, written)
        if turn.name is not None and not ("name" in written or "speaker" in written):
            detail = f"{self.fmt.name} writes no name into this header: {turn.name!r} is not in it"
            self.plan.lost.append(Lost("warning", "name-dropped", None, "speaker", detail))
        if not labelled and turn.role not in (turn.spec.role, DEFAULT_ROLE["model"]):
            detail = f"{self.fmt.name} opens this turn without the label {turn.role!r}"
            self.plan.lost.append(Lost("note", "label-dropped", None, "speaker", detail))

    def _put_open(self, piece: Piece) -> None:
        waiting, self.waiting = self.waiting, None
        if waiting is not None and piece.control:
            ending = piece._replace(part="end")
            self.canvas.put(ending, waiting.last_message, sampled=True)
            return
        self.canvas.put(piece, None, sampled=False)

    def _spec(self, author: Author, role: str) -> TurnSpec:
        spec = self.fmt.spec(author, role)
        if spec is None:
            raise ConversationError(
                f"{self.fmt.name} has no turn for {author} messages, so {role!r} cannot speak",
                field="speaker",
            )
        return spec


def _grouped(first: Turn, second: Turn) -> bool:
    return first.spec.group is not None and first.spec is second.spec


def _cut(pieces: list[Piece], turn: Turn, values: Mapping[str, Value], slot: str) -> list[Piece]:
    """The pieces of a final body up to the end of the field that is left open.

    The end is found by writing the body once more with a longer field, since trimming may leave
    nothing of it.
    """
    name = {"content": "content", "reasoning": "reasoning_content"}[slot]
    last = turn.last_message
    given = values.get(slot, ())
    longer: list[Piece] = []
    if given:
        value = (*given[:-1], given[-1]._replace(text=given[-1].text + "x"))
        write(turn.spec.body, {**values, slot: value}, "scaffold", longer.append)
    for position in range(len(longer) - 1, -1, -1):
        if longer[position].field == name and longer[position].message == last:
            return pieces[: len(pieces) - (len(longer) - 1 - position)]
    raise ConversationError(
        "there is nothing to continue: the format does not write it", message=last, field=name
    )


@lru_cache(maxsize=256)
def header_reader(fmt: Format) -> HeaderReader:
    """The header reader of a format, compiled once."""
    return HeaderReader(fmt)


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
            final = default
            own = walk_.silent(default, "model", DEFAULT_ROLE["model"], None)
    segments, opened, resume = walk_.canvas.segments, walk_.canvas.opened, walk_.resume
    if fmt.dummy_prefix:
        ahead = _dummy_prefixes(segments[: resume.first], walk_.canvas.starts, None)[0]
        resume = resume._replace(first=len(ahead))
        segments, opened = _dummy_prefixes(segments, walk_.canvas.starts, opened)
    first = 0 if past is None else past.messages
    lost = account(fmt, conversation, walk_.plan, walk_.canvas.written, first) + lost
    before: tuple[Segment, ...] = ()
    if old is not None and past is not None:
        before = old.segments[: past.segments]
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
        stop=stops(walk_, final, own),
        opened=opened,
        resume=resume,
        speakers=walk_.speakers,
        past=walk_.past(_of_turns(lost, walk_, planned), left_open=keep_open is not None),
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
    segments: list[Segment], turns: set[int], opened: int | None
) -> tuple[list[Segment], int | None]:
    """Write the space that SentencePiece puts before each run of plain text.

    A run begins behind a control token, where a turn begins and where sampling starts. Returned
    with the new place of `opened`.
    """
    moved: int | None = None
    result: list[Segment] = []
    inside = False
    sampled = False
    for index, segment in enumerate(segments):
        begins = not inside or index in turns or (segment.sampled and not sampled)
        if index == opened:
            begins, moved = True, len(result)
        starts = begins and not segment.control
        if starts:
            result.append(segment._replace(text=" ", part="scaffold"))
        inside, sampled = not segment.control, segment.sampled
        result.append(segment)
    return result, moved


def stops(walk_: Walk, spec: TurnSpec | None, own: Turn | None) -> tuple[str, ...]:
    """What ends a turn: control tokens, then strings, the longer ones first.

    Where headers are plain words nothing keeps a model from writing on behind its end, so there the
    headers of the other speakers end its turn too. The control token of a header ends a turn only
    where that has no end of its own.

    Args:
        walk_: The walk over what stands before the turn.
        spec: How the turn is written.
        own: The turn, or None where the model chooses who speaks.
    """
    if spec is None:
        return ()
    fmt = walk_.fmt
    tokens: list[str] = []
    strings: list[str] = []
    # Where the last turn ends in another way, that is how a model stops; `end` is for history.
    last = spec.end if spec.final_end is None else spec.final_end
    for end in (last, spec.call_end or ()):
        pieces: list[Piece] = []
        write(end, walk_.document, "end", pieces.append)
        _first_stop(pieces, tokens, strings)
    others = [other for other in fmt.specs if other.author not in ("owner", spec.author)]
    unspoken = [walk_.silent(other, other.author, other.role, None) for other in others]
    if not spec.end or not (tokens or strings):
        headers = (_header(walk_, turn, spec.author) for turn in unspoken)
        tokens += (
            next(p.text for p in pieces if p.control) for pieces in headers if _control(pieces)
        )
    mine = None if own is None else text_of(tuple(_header(walk_, own, spec.author)))
    for turn in _others(walk_, unspoken, spec.author, choosing=own is None):
        pieces = _header(walk_, turn, spec.author)
        text = text_of(tuple(pieces))
        # A string that the format gives finds its header with any white space before it.
        if text != mine and not _control(pieces) and text.strip() not in fmt.stop:
            _first_stop(pieces, tokens, strings)
    strings = sorted((*strings, *fmt.stop), key=len, reverse=True)
    return (*dict.fromkeys(tokens), *dict.fromkeys(strings))


def _others(
    walk_: Walk, unspoken: list[Turn], previous: Author, *, choosing: bool
) -> Iterator[Turn]:
    """A turn of each speaker of the conversation, and of those that could speak in any.

    Args:
        walk_: The walk over the conversation.
        unspoken: Turns of the authors that may always follow, under no name.
        previous: Author of the turn that they would follow.
        choosing: Whether the model chooses who speaks. It begins with a header of its own then, so
            only others than the model count.
    """
    named = [
        walk_.silent(spec, author, role, name)
        for (role, name), author in walk_.conversation.cast.entries.items()
        if name is not None and (spec := walk_.fmt.spec(author, role)) is not None
    ]
    found = walk_.spoken((*walk_.plan.turns, *named))
    spoken = {turn.author for turn in found.values()}
    for turn in unspoken:
        needed = {node.name for node in turn.spec.header(previous) if isinstance(node, Slot)}
        # Of a header that writes a label, whoever has spoken says what it is.
        if needed <= set(DOCUMENT_TOKENS) or (needed <= LABELS and turn.author not in spoken):
            found.setdefault(_who(turn), turn)
    return (turn for turn in found.values() if not (choosing and turn.author == "model"))


def _who(turn: Turn) -> tuple[str, ...]:
    """What tells the header of a turn from those of other speakers."""
    called = turn.name or text_of(turn.values.get("call_name", ()))
    return turn.author, turn.spec.role, turn.role, called


def _header(walk_: Walk, turn: Turn, previous: Author) -> list[Piece]:
    """The header of a turn as it is written behind a turn of the previous author."""
    pieces: list[Piece] = []
    header = turn.spec.header(previous)
    write(header, {**walk_.document, **turn.values}, "header", pieces.append)
    return pieces


def _control(pieces: list[Piece]) -> bool:
    return any(piece.control for piece in pieces)


def _first_stop(pieces: list[Piece], tokens: list[str], strings: list[str]) -> None:
    control = next((piece for piece in pieces if piece.control), None)
    if control is not None:
        tokens.append(control.text)
        return
    text = text_of(tuple(pieces)).rstrip()
    if text:
        strings.append(text)
