"""Streaming: events as soon as every reading of what came in agrees on them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from rolecall.conversation import DEFAULT_ROLE, Author, Cast, Message, ToolCall
from rolecall.errors import ConversationError, InputError
from rolecall.events import (
    ContentDelta,
    Event,
    MessageEnded,
    Reason,
    ReasoningDelta,
    SpeakerStarted,
    ToolCallDelta,
    ToolCallEnded,
    ToolCallStarted,
)
from rolecall.header import Speakers, writes_label
from rolecall.nodes import Boundary, Nodes
from rolecall.parse import Session, reported
from rolecall.pattern import filled
from rolecall.render import Rendering
from rolecall.reply import Draft, call_of, filter_of, message_of, plain_content
from rolecall.runs import RunStart
from rolecall.symbols import is_text, whole_numbers
from rolecall.thread import Action, Speaker, Thread, Trail
from rolecall.turn import Turn, text_of
from rolecall.unread import Unread

if TYPE_CHECKING:
    from rolecall.format import Format
    from rolecall.symbols import Chunk
    from rolecall.tokenizers import Tokenizer

SETTLED = ("ended", "end-calls", "again", "cut")
"""Kinds of actions that say what became of what stands before them."""

DELTAS = {"content": ContentDelta, "reasoning": ReasoningDelta}

SpeakerNames = Collection[str | tuple[str, str]]


class Stream:
    """Reads a reply as it comes in; made by `Format.stream`.

    Nothing that a model writes raises an error: what the format does not account for is listed in
    `unread`. No event ever shows part of a control token, of a header or of a character, and the
    events are the same however the ids or the text are cut.

    Attributes:
        done: Whether as many messages were read as were asked for.
        messages: The messages that have ended.
    """

    def __init__(
        self,
        fmt: Format,
        tokenizer: Tokenizer | None,
        prompt: Rendering | None,
        cast_: Cast,
        *,
        messages: int | None,
        speakers: SpeakerNames | None,
        prefill: bool,
    ) -> None:
        self._fmt = fmt
        self._limit = messages
        self._allowed = speakers
        self.done = False
        self.messages: list[Message] = []
        self._ids: list[int] = []
        self._behind: list[str] = []
        self._from_text = False
        self._left_at: int | None = None
        self._heard = 0
        self._draft = -1
        self._item = 0
        self._calls = 0
        self._running = False
        self._name = ""
        self._arguments: list[str] = []
        self._waiting: Action | None = None
        self._speaker: Speaker | None = None
        self._begun = 0
        self._open: tuple[str, int] | None = None
        self._told = 0
        self._plain = False
        """Whether all that is read is text of the open slot, as long as nothing happens."""
        self._texts: dict[str, list[str]] = {}
        self._call: dict[str, str] = {}
        self._trails: list[Trail] = []
        self._end = 0
        self._session = _session(fmt, tokenizer, prompt, cast_)
        self._chosen = prompt is None or prompt.resume.turn is not None
        """Whether the caller chose who speaks first."""
        self._first: list[Event] = []
        if prompt is None:
            self._begin(_default_speaker(fmt))
        else:
            self._replay(prompt)
        session = self._session
        self._hidden = session.reader.at
        """Symbols before this one stand in the prompt."""
        session.known = self._hidden
        session.cut = 0 if prefill else self._hidden
        self._prefill = prefill
        told: list[Event] = []
        self._look(told)
        self._deltas(told)
        # Of what the prompt says only who speaks is news.
        self._first = [event for event in told if isinstance(event, SpeakerStarted)]

    def _begin(self, speaker: Speaker) -> None:
        self._session.reader.begin_turn(speaker)

    def _replay(self, prompt: Rendering) -> None:
        """Read what stands behind the last complete header of the prompt."""
        resume, session = prompt.resume, self._session
        if resume.turn is not None:
            self._begin(_speaker_of(resume.turn, resume.header))
        for segment in prompt.segments[resume.first :]:
            for _ in session.feed_known(segment.text, control=segment.control):
                pass
        # What the prompt ends in is known, whatever its text could be read as.
        part = prompt.segments[-1].part if prompt.segments else ""
        threads = session.reader.threads
        open_ = [t for t in threads if t.state.slot is not None and t.state.slot.slot == part]
        if part in DELTAS and open_:
            session.reader.threads = open_

    # What comes in

    def feed(self, given: object) -> list[Event]:
        """Take more of the reply.

        Args:
            given: Token ids (one, or any number of them), or text as `str` or UTF-8 `bytes`. A
                stream takes either ids or text.

        Returns:
            What happened, in order.

        Raises:
            InputError: If it is neither, or ids come without a tokenizer. The stream is as it was
                then.
        """
        from_text = is_text(given)
        if from_text:
            text = cast("str | bytes", given)
            chunks = self._session.symbols.feed_text(text)
            # What is empty says nothing of what is to come.
            self._from_text = self._from_text or bool(text)
        else:
            ids = whole_numbers(given)
            chunks = self._session.symbols.feed_ids(ids)
            self._from_text = self._from_text and not ids
            self._ids.extend(ids)
        events = self._first
        self._first = []
        for chunk in chunks:
            self._read(chunk, events)
        return events

    def _read(self, chunk: Chunk, events: list[Event]) -> None:
        if self.done:
            self._behind.append(chunk.token or chunk.text)
            return
        session = self._session
        if session.passes(chunk):
            if self._plain:
                self._add(chunk.text, events)
                self._told += len(chunk.text)
            else:
                self._deltas(events)
            return
        self._plain = False
        for _ in session.read(chunk):
            self._look(events)
            if self.done:
                self._behind.append(session.spelled(self._end, session.reader.buffer.end))
                self._left_at = session.place(self._end)
                return
        self._deltas(events)

    def finish(self) -> list[Event]:
        """Say that nothing more comes; a message that has not ended ends here."""
        events = self._first
        self._first = []
        if self.done:
            for chunk in self._session.symbols.finish():
                self._behind.append(chunk.text)
            return events
        session = self._session
        session.finish()
        self._look(events)
        self._deltas(events)
        if not self.done and self._draft >= 0 and len(self.messages) <= self._draft:
            draft = session.drafts[self._draft]
            self._speak(events)
            if draft.ended is None:
                draft.ended = "unfinished"
            self._end_message(draft, events)
        self.done = True
        if self._left_at is None:
            self._left_at = len(self._ids)
        return events

    # What came of it

    @property
    def unread(self) -> tuple[Unread, ...]:
        """What could not be read as the format writes it, so far."""
        self._session.settle()
        return tuple(self._session.unread)

    @property
    def message(self) -> Message | None:
        """The message that is being read, as far as it has come, or the last one that ended.

        It holds what is certain to be part of it. None as long as nobody speaks.
        """
        if len(self.messages) > self._draft:
            return self.messages[-1] if self.messages else None
        drafts = self._session.drafts
        known = drafts[self._draft] if self._draft < len(drafts) else None
        if self._speaker is None or (self._waiting and not (self._chosen and not self._draft)):
            # Who speaks is not told before all of the header is read.
            return self.messages[-1] if self.messages else None
        draft = Draft(self._speaker, 0)
        if known is not None:
            draft = replace(known, slots=dict(known.slots), calls=list(known.calls))
        draft.slots |= {slot: "".join(texts) for slot, texts in self._texts.items()}
        return message_of(self._fmt, draft, rendered=False)

    @property
    def rest(self) -> list[int] | str:
        """The ids, or the text, behind the last message that was asked for."""
        if self._from_text:
            return "".join(self._behind)
        return [] if self._left_at is None else self._ids[self._left_at :]

    # Events

    def _look(self, events: list[Event]) -> None:
        """Report what every reading has passed."""
        session = self._session
        session.reader.threads = _told_apart(session.reader.threads)
        session.agree()
        trails = [thread.trail for thread in session.reader.threads]
        if trails == self._trails and not session.log:
            return
        self._trails = trails
        while not self.done:
            early = self._heard >= session.told
            action = self._ahead() if early else session.log[self._heard - session.told]
            # What was said is known once all readings agree in everything.
            if action is None or (early and action.kind in SETTLED):
                break
            self._heard += 1
            self._report(action, events)
        if self._heard >= session.told:
            session.log.clear()

    def _ahead(self) -> Action | None:
        """What comes next for every reading, though not all they passed is common to all."""
        first, *others = (self._next_of(thread) for thread in self._session.reader.threads)
        if first is None or any(o is None or o.told() != first.told() for o in others):
            return None
        return first

    def _next_of(self, thread: Thread) -> Action | None:
        session = self._session
        return thread.trail.find(self._heard, session.committed, session.told, reported)

    def _report(self, action: Action, events: list[Event]) -> None:
        match action.kind:
            case "speaker":
                begun = self._session.reader.threads[0].place.begun
                self._next(action, action.at if begun is None else begun)
                if not self._fmt.attributes:
                    self._speak(events)  # Nothing that follows can say more of the speaker.
            case "again":
                self._speak(events)
                self._finish_draft(events)
                speaker = self._session.drafts[self._draft + 1].speaker
                self._next(Action(action.at, "speaker", speaker), action.at)
            case "open":
                self._speak(events)
                if self._open is not None and self._running:
                    # The arguments went on up to what no JSON can hold.
                    self._tell(self._session.reader.at - 1, events)
                    self._open = None
                self._open = (str(action.data), action.at)
                self._told = action.at
                if action.data == "arguments":
                    self._start_call(events)
            case "close":
                self._close(action.at, events)
            case "calls":
                self._speak(events)
                self._call, self._running = {}, False
            case "end-calls":
                self._end_call(events)
            case "cut":
                if self._item < len(self._session.drafts[self._draft].items):
                    self._end_call(events)
            case _:
                self._speak(events)
                self._finish_draft(events)

    def _next(self, action: Action, begun: int) -> None:
        """Go on to the next message, whose header began at a symbol."""
        assert isinstance(action.data, Speaker)
        self._draft += 1
        self._waiting, self._begun, self._speaker = action, begun, action.data
        self._item, self._calls, self._texts = 0, 0, {}

    def _speak(self, events: list[Event]) -> None:
        """Report who speaks."""
        action, self._waiting = self._waiting, None
        if action is None:
            return
        assert isinstance(action.data, Speaker)
        speaker = action.data
        attributes = dict(speaker.attributes) | self._attributes()
        problem = None if self._chosen and self._draft == 0 else self._problem(speaker, action.at)
        if problem is not None:
            self._session.unread.append(problem)
        events.append(
            SpeakerStarted(speaker.role, speaker.name, speaker.author, attributes, problem)
        )

    def _attributes(self) -> dict[str, str]:
        """The attributes that the body has given so far."""
        session = self._session
        found: dict[str, str] = {}
        if self._draft < len(session.drafts):
            found |= session.drafts[self._draft].slots
        opened: dict[str, int] = {}
        for action in session.reader.passed(session.reader.threads[0], session.committed):
            if action.kind == "open":
                opened[str(action.data)] = action.at
            elif action.kind == "close" and str(action.data) in opened:
                slot = str(action.data)
                found[slot] = session.text(opened.pop(slot), action.at)
        return {key: found[key] for key in self._fmt.attributes if key in found}

    def _problem(self, speaker: Speaker, end: int) -> Unread | None:
        session, first = self._session, max(self._begun, self._hidden)
        text, span = session.spelled(first, end), session.span(first, end)
        who = f"{speaker.role!r}" + (f" named {speaker.name!r}" if speaker.name else "")
        if speaker.author is None:
            detail = f"the model speaks as {who}, which nobody declared; add it to the cast"
            return Unread("warning", "undeclared-speaker", self._draft, detail, text, span)
        if speaker.author != "model":
            detail = f"the model speaks as {who}, which is for the {speaker.author} to say"
            return Unread("warning", "foreign-speaker", self._draft, detail, text, span)
        if self._allowed is None:
            return None
        if speaker.role in self._allowed or (speaker.role, speaker.name) in self._allowed:
            return None
        detail = f"the model speaks as {who}, which is not among the speakers allowed"
        return Unread("warning", "speaker-not-allowed", self._draft, detail, text, span)

    def _deltas(self, events: list[Event]) -> None:
        """Report the text of the open slot as far as every reading takes it for that."""
        if self._open is None:
            return
        slot = self._open[0]
        if self._running if slot == "arguments" else slot in DELTAS and not self._whole(slot):
            self._tell(self._safe(), events)
            at, threads = self._session.reader.at, self._session.reader.threads
            self._plain = self._told == at and all(self._next_of(t) is None for t in threads)

    def _safe(self) -> int:
        """The symbol up to which every reading is in the slot that is open."""
        at = self._session.reader.at
        following = (self._next_of(thread) for thread in self._session.reader.threads)
        return min(at if action is None else action.at for action in following)

    def _whole(self, slot: str) -> bool:
        """Whether a slot is written encoded, so that only all of it can be told."""
        draft = self._session.drafts
        if slot == "arguments" or not 0 <= self._draft < len(draft):
            return False
        return filter_of(draft[self._draft].speaker.spec, slot) in ("json", "json-value")

    def _tell(self, end: int, events: list[Event]) -> None:
        assert self._open is not None
        slot, first = self._open
        begin = max(self._told, self._hidden)
        if slot in DELTAS and self._prefill and self._told < self._hidden:
            before = self._session.text(max(first, self._told), min(end, self._hidden))
            self._texts.setdefault(slot, []).append(before)
        if end <= begin:
            self._told = max(self._told, end)
            return
        text = self._session.text(begin, end)
        self._told = end
        if text:
            self._add(text, events)

    def _add(self, text: str, events: list[Event]) -> None:
        """Report more of the open slot."""
        assert self._open is not None
        slot = self._open[0]
        if slot in DELTAS:
            self._texts.setdefault(slot, []).append(text)
            events.append(DELTAS[slot](text))
        else:
            self._arguments.append(text)
            events.append(ToolCallDelta(self._calls - 1, text))

    def _close(self, at: int, events: list[Event]) -> None:
        if self._open is None:
            return
        slot, first = self._open
        if slot in DELTAS and self._whole(slot):
            draft = self._session.drafts[self._draft]
            written = self._session.text(first, at)
            self._texts[slot] = [written]
            text = plain_content(draft.speaker.spec, written)
            if text:
                events.append(DELTAS[slot](text))
        elif slot in DELTAS or (slot == "arguments" and self._running):
            self._tell(at, events)
        if slot not in DELTAS:
            self._call[slot] = self._session.text(first, at)
        self._open = None

    def _start_call(self, events: list[Event]) -> None:
        call = call_of(self._fmt, {**self._call, "arguments": "{}"})
        if call is not None:
            events.append(ToolCallStarted(self._calls, call.name, call.id))
            self._calls, self._running, self._arguments = self._calls + 1, True, []
            self._name = call.name

    def _end_call(self, events: list[Event]) -> None:
        calls = self._session.drafts[self._draft].items[self._item]
        running, self._running = self._running, False
        if running and not (calls and self._is_told(calls[0])):
            events.append(ToolCallEnded(self._calls - 1, None))
            running = False
        for call in calls:
            if not running:
                events.append(ToolCallStarted(self._calls, call.name, call.id))
                arguments = json.dumps(call.arguments, ensure_ascii=False)
                events.append(ToolCallDelta(self._calls, arguments))
                self._calls += 1
            running = False
            events.append(ToolCallEnded(self._calls - 1, call))
        self._item += 1
        self._call = {}

    def _is_told(self, call: ToolCall) -> bool:
        """Whether a call is the one that was begun; one that is malformed may say another."""
        if call.name != self._name:
            return False
        try:
            return json.loads("".join(self._arguments), strict=False) == call.arguments
        except (ValueError, RecursionError):
            return False

    def _finish_draft(self, events: list[Event]) -> None:
        self._end_message(self._session.drafts[self._draft], events)

    def _end_message(self, draft: Draft, events: list[Event]) -> None:
        message = message_of(self._fmt, draft, rendered=False)
        reason = cast("Reason", draft.ended)
        if reason == "end" and message.tool_calls:
            reason = "calls"
        self.messages.append(message)
        self._texts = {}
        events.append(MessageEnded(reason, message))
        self._end = draft.end
        if self._limit is not None and len(self.messages) >= self._limit:
            self.done = True


def _told_apart(threads: list[Thread]) -> list[Thread]:
    """The readings without those that differ from a better one in nothing but who speaks.

    What is said under a header that several share tells no more of who that is; whoever listens is
    not kept waiting for it.
    """
    if len(threads) == 1:
        return threads
    best: dict[tuple[str, int | None], Thread] = {}
    for thread in threads:
        slot = thread.state.slot
        if slot is not None and slot.slot in DELTAS:
            key = (slot.slot, thread.place.opened)
            other = best.get(key)
            if other is None or thread.cost < other.cost:
                best[key] = thread
    return [thread for thread in threads if _speaks_as(thread, best)]


def _speaks_as(thread: Thread, best: Mapping[tuple[str, int | None], Thread]) -> bool:
    slot = thread.state.slot
    if slot is None or slot.slot not in DELTAS:
        return True
    other = best[slot.slot, thread.place.opened].place.speaker
    speaker = thread.place.speaker
    return speaker is None or other is None or speaker[:3] == other[:3]


def _session(
    fmt: Format, tokenizer: Tokenizer | None, prompt: Rendering | None, cast_: Cast
) -> Session:
    if prompt is None:
        return Session(fmt, tokenizer, cast_, {}, start=RunStart.SECTION)
    if prompt.format is not fmt:
        raise InputError(
            f"the prompt was rendered by {prompt.format.name}, not by {fmt.name}; use its own "
            "format"
        )
    given = prompt.conversation
    entries: dict[tuple[str, str | None], Author] = {**given.cast.entries, **cast_.entries}
    resume = prompt.resume
    nodes: Nodes | None = None if resume.author is None else (Boundary(resume.author),)
    speakers = Speakers(fmt, Cast(entries))
    if prompt.speakers is not None:
        speakers.names = {**prompt.speakers.names, **speakers.names}
        speakers.unnamed = {**prompt.speakers.unnamed}
    last = prompt.segments[-1] if prompt.segments else None
    start = RunStart.DOCUMENT if last is None else RunStart.CONTINUED
    if last is not None and last.control:
        start = RunStart.SECTION
    return Session(
        fmt,
        tokenizer,
        Cast(entries),
        given.options,
        start=start,
        nodes=nodes,
        speakers=speakers,
    )


def _default_speaker(fmt: Format) -> Speaker:
    role = DEFAULT_ROLE["model"]
    spec = fmt.spec("model", role)
    if spec is None:
        raise ConversationError(f"{fmt.name} has no turn for model messages")
    return Speaker("model", role, None, (), spec, labelled=True)


def _speaker_of(turn: Turn, header: Sequence[object]) -> Speaker:
    written = filled(cast("tuple[object, ...]", header), turn.values)  # type: ignore[arg-type]
    attributes = tuple(
        (key, text_of(value))
        for key, value in written.items()
        if key not in ("role", "name", "speaker") and value
    )
    named = "name" in written or ("speaker" in written and turn.name is not None)
    return Speaker(
        turn.author,
        turn.role,
        turn.name if named else None,
        attributes,
        turn.spec,
        writes_label(turn, written),
    )
