"""The walk: a conversation is planned as turns, and each of them written on one `Canvas`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

from rolecall import strategies
from rolecall.canvas import Canvas
from rolecall.conversation import DEFAULT_ROLE, STANDARD_ROLES, Author, Conversation
from rolecall.errors import ConversationError, OrderError, UndeclaredRoleError
from rolecall.header import (
    HeaderReader,
    Speakers,
    check_header,
    common_prefix,
    is_known_role,
    writes_label,
)
from rolecall.layout import TurnLayout, layout
from rolecall.lost import Lost
from rolecall.pattern import (
    Pattern,
    Piece,
    Value,
    filled,
    new_piece,
    with_part,
    with_text,
    write,
)
from rolecall.plan import Past, Plan, joins, make_plan
from rolecall.speaker import ModelChoice, Speaker
from rolecall.steps import Script, Steps
from rolecall.stops import who
from rolecall.turn import Turn, TurnSpec, call_fields, text_of
from rolecall.wire import check_text

if TYPE_CHECKING:
    from rolecall.format import Format


_LABEL = frozenset(("role", "speaker"))
"""Slots of a header that hold the role's label where nobody is named."""


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


class Walk:
    """One walk over the turns of a conversation."""

    def __init__(self, fmt: Format, conversation: Conversation, past: Past | None = None) -> None:
        self.fmt = fmt
        self.conversation = conversation
        self.options = fmt.option_values(conversation.options)
        self.plan: Plan = make_plan(fmt, conversation, self.options, past)
        self.canvas = Canvas()
        self.layout = layout(fmt)
        self.reader = header_reader(fmt)
        self.speakers = Speakers(fmt, conversation.cast)
        if past is not None:
            self.speakers.names = dict(past.speakers.names)
            self.speakers.unnamed = dict(past.speakers.unnamed)
        self.begun = past
        """What was written before this walk, or None."""
        self.document = self._document_values()
        self.understood: set[tuple[object, ...]] = set()
        """What headers said that were read back as they were meant."""
        self.prompts: dict[TurnLayout, str] = {}
        """What generation prompts write of the bodies of turns."""
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
        values = {**self.document, **turn.values}
        values["calls"] = self.call_pieces(turn) if turn.calls else ()
        return values

    def call_pieces(self, turn: Turn) -> Value:
        """The calls of a turn, written."""
        rule, layout_ = self.fmt.calls, self.layout
        assert rule is not None
        arguments = strategies.ARGUMENTS[rule.arguments].apply
        pieces = layout_.calls_begin.steps(self.document).pieces(self.document)
        for number, call in enumerate(turn.calls):
            message, fields = call.message, call_fields(call.number)
            if number:
                join = layout_.calls_join.steps(self.document)
                pieces += join.pieces(self.document, message)
            text = check_text(arguments(call.arguments), message, fields.arguments)
            name = new_piece(Piece, (call.name, "tool_calls", message, fields.name, False))
            given = new_piece(Piece, (text, "tool_calls", message, fields.arguments, False))
            values: dict[str, Value] = {
                **self.document,
                "call_name": (name,),
                "arguments": (given,),
                "index": (Piece(str(number), "tool_calls", message),),
            }
            if call.written_id:
                values["call_id"] = call.written_id
            elif call.id is not None:
                values["call_id"] = (Piece(call.id, "tool_calls", message, fields.id),)
            pieces += layout_.call.steps(values).pieces(values, message)
        pieces += layout_.calls_finish.steps(self.document).pieces(self.document)
        return tuple(pieces)

    def run(self, *, generating: bool, keep_open: str | None) -> None:
        """Write everything up to the generation prompt.

        Args:
            generating: Whether a model is to speak next.
            keep_open: The slot of the final turn to end in, or None to close it.
        """
        if self.begun is None:
            self._write(self.layout.begin, self.document, None)
        if self.plan.tools:
            values = {**self.document, "tools": self.plan.tools, "has_tools": self.plan.tools}
            self._write(self.layout.frame, values, None)
        turns = self.plan.turns
        for turn in turns:
            self.speakers.add(turn)
        previous = self.past_turn
        for turn, following in zip_longest(turns, turns[1:]):
            self._turn(turn, previous, following, generating=generating, keep_open=keep_open)
            previous = turn
        if not generating and keep_open is None:
            self._write(self.layout.finish, self.document, None)

    @property
    def past_turn(self) -> Turn | None:
        """The last turn that was written before this walk."""
        return None if self.begun is None else self.begun.last

    @property
    def last_turn(self) -> Turn | None:
        """The last turn there is."""
        return self.plan.turns[-1] if self.plan.turns else self.past_turn

    def spoken(self, turns: Iterable[Turn]) -> dict[tuple[str, str, str, str], Turn]:
        """A turn of each speaker so far."""
        found = {} if self.begun is None else dict(self.begun.spoken)
        for turn in turns:
            found.setdefault(who(turn), turn)
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
        script: Script,
        values: Mapping[str, Value],
        message: int | None,
        *,
        sampled: bool = False,
    ) -> None:
        if script.nodes:
            self.canvas.write(((script.steps(values), sampled),), values, message)

    def _turn(
        self,
        turn: Turn,
        previous: Turn | None,
        following: Turn | None,
        *,
        generating: bool,
        keep_open: str | None,
    ) -> None:
        spec, own, canvas = turn.spec, self.layout.turn(turn.spec), self.canvas
        values, message = self.values(turn), turn.message
        author = None if previous is None else previous.author
        canvas.starts.add(len(canvas.segments))
        patterns: list[tuple[Steps, bool]] = []
        if spec.group is not None and previous is not None and previous.spec is spec:
            canvas.put((Piece(spec.group, "scaffold"),), message, sampled=False)
        else:
            script = own.header(author)
            steps = script.steps(values)
            if self.waiting is None and self._own_words(turn, steps):
                patterns.append((steps, False))
            else:
                self.header(turn, script, values)
        sampled = turn.author == "model"
        left_open = keep_open if following is None else None
        if left_open is not None or (sampled and self._prompt(own)):
            canvas.write(patterns, values, message)
            patterns = []
        if left_open is not None:
            self._resume(author, turn)
        if sampled and left_open is not None:
            self._body(turn, own, values, left_open)
            return
        if sampled and self._prompt(own):
            prompted = self._body(turn, own, values, None)
            if following is None and not generating and not prompted:
                detail = "it does not begin as the generation prompt does under these options"
                self.plan.lost.append(Lost("warning", "unprompted", message, "options", detail))
        else:
            patterns.append((own.body.steps(values), sampled))
        if spec.group is not None and following is not None and following.spec is spec:
            canvas.write(patterns, values, message)
            return
        end = own.ending(calls=bool(turn.calls), final=following is None and not generating)
        if turn.merged:
            canvas.write(patterns, values, message)
            patterns, message = [], turn.last_message
        patterns.append((end.steps(values), sampled))
        patterns.append((own.gap.steps(values), False))
        canvas.write(patterns, values, message)
        self.waiting = turn if sampled and not end.nodes else None
        if left_open is None:
            self.settled = (len(canvas.segments), self.waiting)
            if following is None:
                self._resume(turn.author, None)

    def _resume(self, author: Author | None, turn: Turn | None) -> None:
        """Remember where whoever reads on begins."""
        header = () if turn is None else turn.spec.header(author)
        self.resume = Resume(len(self.canvas.segments), author, turn, header)

    def header(self, turn: Turn, script: Script, values: Mapping[str, Value]) -> None:
        """Write and check the header of a turn."""
        steps = script.steps(values)
        pieces = steps.pieces(values)
        self._read_back(turn, script, steps, values, pieces)
        waiting, self.waiting = self.waiting, None
        ends = waiting is not None and next((p for p in pieces if p.control), None)
        if waiting is None or not ends:
            self.canvas.put(pieces, turn.message, sampled=False)
            return
        for piece in pieces:
            if piece is ends:
                ending = with_part(piece, "end")
                self.canvas.put((ending,), waiting.last_message, sampled=True)
            else:
                self.canvas.put((piece,), turn.message, sampled=False)

    def _read_back(
        self,
        turn: Turn,
        script: Script,
        steps: Steps,
        values: Mapping[str, Value],
        pieces: list[Piece],
    ) -> None:
        """Check a header; one that says the same as another one before it is not read again."""
        said = [(piece.field, piece.text) for piece in pieces if piece.field]
        key = (id(steps), turn.author, turn.role, turn.name, *said)
        if key in self.understood:
            return
        record = check_header(self.reader, turn, script.nodes, values, pieces, self.speakers)
        if record is None:
            self.understood.add(key)
        else:
            self.plan.lost.append(record)

    def _own_words(self, turn: Turn, steps: Steps) -> bool:
        """Whether all that a header says is the format's own, so that it need not be read back."""
        return (
            steps.slots <= _LABEL
            and (turn.name is None or "speaker" not in steps.slots)
            and turn.spec.role in STANDARD_ROLES
            and (turn.role in STANDARD_ROLES or is_known_role(self.fmt, turn.role))
        )

    def _body(
        self, turn: Turn, own: TurnLayout, values: Mapping[str, Value], keep_open: str | None
    ) -> bool:
        """Write the body of a model's turn; False if it does not begin as its prompt does."""
        sampled = keep_open is None
        pieces = own.body.steps(values).pieces(values)
        if keep_open is not None:
            pieces = _cut(pieces, turn, values, keep_open)
        found = _begins(pieces, self._prompt(own))
        prompted = found or 0
        for piece in pieces:
            head = piece.text[:prompted]
            prompted -= len(head)
            self.canvas.put((with_text(piece, head),), turn.message, sampled=False)
            tail = with_text(piece, piece.text[len(head) :])
            if keep_open is not None and tail.text and self.canvas.opened is None:
                self.canvas.opened = len(self.canvas.segments)
            self.canvas.put((tail,), turn.message, sampled=sampled)
        return found is not None or not sampled

    def _prompt(self, own: TurnLayout) -> str:
        """What a generation prompt writes of a body."""
        found = self.prompts.get(own)
        if found is None:
            found = self.prompts[own] = own.prompt.steps(self.document).text(self.document)
        return found

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
        self.header(turn, self.layout.turn(spec).header(previous), values)
        self._resume(previous, turn)
        self._account_for(turn, filled(spec.header(previous), values))
        self._write(self.layout.turn(spec).prompt, values, None)
        return spec

    def silent(self, spec: TurnSpec, author: Author, role: str, name: str | None) -> Turn:
        """A turn of a speaker that says nothing."""
        label = self.fmt.labels.get(role, (Piece(role, "role", None, "role"),))
        values: dict[str, Value] = {"role": label, "speaker": label}
        if name:
            values["name"] = values["speaker"] = (Piece(name, "name", None, "name"),)
        return Turn(spec, author, role, name, None, values, [], [])

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
            ending = with_part(piece, "end")
            self.canvas.put((ending,), waiting.last_message, sampled=True)
            return
        self.canvas.put((piece,), None, sampled=False)

    def _spec(self, author: Author, role: str) -> TurnSpec:
        spec = self.fmt.spec(author, role)
        if spec is None:
            raise ConversationError(
                f"{self.fmt.name} has no turn for {author} messages, so {role!r} cannot speak",
                field="speaker",
            )
        return spec


def _begins(pieces: list[Piece], prompt: str) -> int | None:
    """How much of a body the generation prompt would write; None if it would write others."""
    return len(prompt) if text_of(tuple(pieces)).startswith(prompt) else None


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
