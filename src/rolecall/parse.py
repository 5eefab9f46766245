"""Parsing: ids or text back to a conversation, by the patterns that render writes.

`Session` glues the three steps together: `Symbols` makes symbols of ids or text, `Reader` follows
every reading of them, and what all readings agree on becomes drafts of messages here. A whole
document and a stream are read by the same session.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from rolecall import strategies
from rolecall.account import call_opening
from rolecall.canonical import CLIENT_PLACES, LABEL_SLOTS, declare
from rolecall.conversation import DEFAULT_ROLE, Author, Cast, Conversation, Message, ToolCall
from rolecall.errors import InputError, ParseError
from rolecall.grammar import Grammar
from rolecall.header import Speakers, bare_system, header_source
from rolecall.lost import GRAVITY, Level, strict_level
from rolecall.nodes import Nodes, is_control, plain
from rolecall.pattern import slots
from rolecall.plan import would_join
from rolecall.reader import Reader, Unexpected
from rolecall.render import Rendering
from rolecall.reply import Draft, call_as_written, call_of, calls_in, message_of, tool_of
from rolecall.runs import RunStart
from rolecall.symbols import FOREIGN, Chunk, Symbols, is_text, whole_numbers
from rolecall.thread import Action, Speaker, Trail, every
from rolecall.turn import Turn
from rolecall.unread import Unread

if TYPE_CHECKING:
    from rolecall.format import Format
    from rolecall.tokenizers import Tokenizer

DETAILS: dict[str, tuple[Level, str]] = {
    "unexpected": ("error", "nothing may stand here; it is in no message"),
    "ambiguous": (
        "note",
        "another conversation is written alike; this is the plainest reading, and no control token "
        "tells them apart",
    ),
    "unfinished": ("note", "the last turn is not closed"),
    "text": (
        "note",
        "what spells a control token was taken for one; where a message may have spelled one, its "
        "ids tell",
    ),
    "opened": ("note", "a turn is opened and nothing is said in it; it is left out"),
    "said-otherwise": ("warning", "something else was said for it before, which counts"),
    "spacing": ("note", "white space that the format does not write"),
    "unknown-header": ("error", "nobody's turn is opened like this; what follows is in no message"),
    "missing": ("warning", "a token of the format is missing in front of it; read as if it stood"),
    "other-end": ("note", "the format ends this turn otherwise"),
    "other-spelling": ("note", "the format writes this otherwise"),
    "malformed-call": ("error", "this tool call cannot be read; it is in no message"),
    "unclosed": ("error", "the turn goes no further, though something in it is not closed"),
    "outside-vocabulary": ("error", "the vocabulary has no token of this id"),
    "malformed-utf8": ("warning", "these bytes are no UTF-8; U+FFFD stands for them"),
    "lone-surrogate": ("warning", "half a character; U+FFFD stands for it"),
    "tools-unread": ("note", "tool schemas in this form cannot be read back"),
}
"""Code of a record to its level and what it says."""


class _Source(NamedTuple):
    """Where a stretch of symbols came from."""

    at: int
    first: int
    end: int
    exact: bool
    """Whether each symbol is one place of the source."""


class Session:
    """Reads one stream of symbols to drafts of messages."""

    def __init__(
        self,
        fmt: Format,
        tokenizer: Tokenizer | None,
        cast_: Cast,
        options: Mapping[str, Any],
        *,
        start: RunStart = RunStart.DOCUMENT,
        nodes: Nodes | None = None,
        speakers: Speakers | None = None,
    ) -> None:
        self.fmt = fmt
        self.cast = cast_
        self.options = dict(options)
        values = fmt.option_values(options)
        self.grammar = grammar(fmt, str(values["bos_token"]), str(values["eos_token"]))
        run = RunStart.CONTINUED if fmt.dummy_prefix else start
        section = RunStart.CONTINUED if fmt.dummy_prefix else RunStart.SECTION
        self.symbols = Symbols(self.grammar.control, tokenizer, run, section=section)
        self.speakers = speakers or Speakers(fmt, cast_)
        beginning = self.grammar.document() if nodes is None else nodes
        self.reader = Reader(self.grammar, self.speakers, beginning)
        self.drafts: list[Draft] = []
        self.tools: list[dict[str, Any]] = []
        self.found: dict[str, str] = {}
        """Options as the document gives them."""
        self.unread: list[Unread] = []
        self.committed = 0
        """Number of actions that every reading agrees on."""
        self.cut = 0
        """What is said before this symbol is left out of the message."""
        self.known = 0
        """Symbols before this one stood in the prompt; records leave them out."""
        self.log: list[Action] = []
        """Actions taken over that a stream may report and has not yet."""
        self.told = 0
        """How many of those there were."""
        self._offset = 0
        self._sources: list[_Source] = []
        self._starts: list[int] = []
        self._foreign: dict[int, str] = {}
        self._opened: tuple[str, int] | None = None
        self._closed = ""
        """The slot that was closed last."""
        self._item: dict[str, str] | None = None
        self._item_at = 0
        self._unusual: list[ToolCall] = []
        self.first_control: Chunk | None = None
        self._other = False
        """Whether something is written as models write it and the format does not."""
        self._loose: dict[str, str] = {}
        self._schemas: tuple[int, int] | None = None
        """Where tool schemas begin that cannot be read back, and the number of their record."""
        self._seen: list[Trail] = []
        self._unexpected: tuple[int, Unexpected] | None = None
        self._grown = False

    # What comes in

    def feed(self, given: object) -> list[Chunk]:
        """The symbols of ids or text."""
        if is_text(given):
            return self.symbols.feed_text(cast("str | bytes", given))
        return self.symbols.feed_ids(cast("Iterable[int]", given))

    def passes(self, chunk: Chunk) -> bool:
        """Read a chunk if it is plain and every reading stays in its slot; else, nothing is read.

        Where it is read nothing has happened that may be reported.
        """
        reader = self.reader
        at = reader.at
        text, first, end, token, problem = chunk
        if token or problem or not reader.passes(text):
            return False
        self._sources.append(_Source(at, first, end, end - first == len(text)))
        self._starts.append(at)
        return True

    def read(self, chunk: Chunk) -> Iterator[None]:
        """Read one chunk; yields wherever something happened that may be reported."""
        reader = self.reader
        exact = chunk.end - chunk.first == len(chunk.text)
        self._sources.append(_Source(reader.at, chunk.first, chunk.end, exact))
        self._starts.append(reader.at)
        if chunk.problem:
            index, text = self._message_at(reader.at), chunk.text or chunk.token
            self.unread.append(_unread(chunk.problem, index, text, (chunk.first, chunk.end)))
        elif chunk.token and self.first_control is None:
            self.first_control = chunk
        if chunk.text and chunk.token and chunk.token not in self.grammar.control:
            self._foreign[reader.at] = chunk.token
        for _ in reader.feed(chunk.text):
            yield

    def feed_known(self, text: str, *, control: bool) -> Iterator[None]:
        """Read what stood in the prompt: one control token, or plain text."""
        if control:
            text = self.grammar.control.get(text, FOREIGN)
        self._sources.append(_Source(self.reader.at, 0, 0, exact=False))
        self._starts.append(self.reader.at)
        for _ in self.reader.feed(text):
            yield

    # What all readings agree on

    def agree(self) -> None:
        """Take over what every reading has passed."""
        reader = self.reader
        threads = reader.threads
        self._report_unexpected()
        trails = [thread.trail for thread in threads]
        if trails == self._seen:
            return
        self._seen = trails
        if len(threads) == 1 and threads[0].trail.count == self.committed:
            return
        # Where the first action differs already there is nothing to compare, however many follow.
        first = trails[0].find(self.committed, self.committed, self.committed, every)
        if first is None or any(
            trail.find(self.committed, self.committed, self.committed, every) != first
            for trail in trails[1:]
        ):
            return
        lists = [reader.passed(thread, self.committed) for thread in threads]
        common = lists[0]
        for other in lists[1:]:
            length = next(
                (n for n, (a, b) in enumerate(zip(common, other, strict=False)) if a != b),
                min(len(common), len(other)),
            )
            common = common[:length]
        self.take(_without_open_header(common))
        if len(threads) == 1 and threads[0].trail.count == self.committed:
            threads[0].trail.parent = None

    def take(self, actions: Sequence[Action]) -> None:
        """Take over actions."""
        for action in actions:
            self.committed += 1
            self._take(action)
            if reported(action):
                self.log.append(action)
                self.told += 1

    def _take(self, action: Action) -> None:
        match action.kind:
            case "open":
                self._opened = (str(action.data), action.at)
            case "close":
                self._close(action)
            case "blank":
                if self.drafts:
                    self.drafts[-1].blank.add(str(action.data))
            case "calls" | "tools":
                self._item, self._item_at = {}, action.at
            case "end-calls":
                self._end_call(action.at)
            case "end-tools":
                self._end_tool(action.at)
            case "speaker":
                assert isinstance(action.data, Speaker)
                self._begin(action.data, action.at)
            case "again":
                self.drafts[-1].ended = "header"
                self.drafts[-1].end = action.at
                self._begin(self.drafts[-1].speaker, action.at)
            case "other":
                self._other = True
            case "cut":
                self._cut(action.at)
            case "ended":
                draft = self.drafts[-1]
                draft.ended = str(action.data)
                draft.end = action.at
                self._other_spelling(draft.first, action.at)
                self._check(draft)
            case _:
                pass

    def _begin(self, speaker: Speaker, at: int) -> None:
        draft = Draft(speaker, at)
        for slot in ("call_id", "call_name"):
            if slot in self._loose:
                draft.slots[slot] = self._loose[slot]
        self._loose = {}
        self.drafts.append(draft)
        if speaker.author is not None:
            self.speakers.remember(speaker.author, speaker.role, speaker.name, speaker.spec.role)

    def _close(self, action: Action) -> None:
        assert self._opened is not None
        slot, first = self._opened
        self._opened, self._closed = None, slot
        if slot in ("unknown", "malformed"):
            if slot == "unknown" and action.at <= self.known:
                pass  # Of a header that the prompt began the model wrote nothing.
            elif slot == "unknown":
                self.record("unknown-header", first, action.at)
            else:
                self._malformed(first, action.at)
            return
        if slot in ("content", "reasoning"):
            first = max(first, self.cut)
        text = self.text(first, action.at)
        if slot == "system" and self.drafts and bare_system(self.drafts[-1].speaker.spec):
            self.record("ambiguous", first, action.at)
        if self._item is not None:
            self._item[slot] = text
        elif slot in self.fmt.options:
            if self.found.setdefault(slot, text) != text:
                self.record("said-otherwise", first, action.at)
        elif self.drafts and self.drafts[-1].ended is None:
            draft = self.drafts[-1]
            said = draft.speaker.name if slot == "name" else draft.slots.get(slot)
            if slot == "name" and draft.speaker.author == "tool":
                said = text
            if (said or text) != text or (slot == "name" and said is None):
                self.record("said-otherwise", first, action.at)
            else:
                draft.slots[slot] = text
        else:
            self._loose[slot] = text

    def _end_call(self, at: int) -> None:
        item, self._item = self._item, None
        calls, self._unusual = self._unusual, []
        if item is not None:
            call = call_of(self.fmt, item)
            calls = [] if call is None else [call]
            if call is None:
                self.record("malformed-call", self._item_at, at)
        self.drafts[-1].calls.extend(calls)
        self.drafts[-1].items.append(calls)
        self._other_spelling(self._item_at, at)

    def _other_spelling(self, first: int, end: int) -> None:
        if self._other:
            self.record("other-spelling", first, end)
        self._other = False

    def _malformed(self, first: int, end: int) -> None:
        """Read a call that is not written as the format has it, as far as that can be."""
        self._item = None
        text = self.reader.buffer.get(first, end)
        written = call_as_written(self.fmt, text, self.grammar.control)
        inner = text[1:] if is_control(text[:1]) else text
        calls, rest = ([], text) if plain(inner) != inner else calls_in(self.fmt, inner)
        if written is not None:
            calls, rest = [written], ""
        self._unusual, self._item_at = calls, first
        self._other = written is None and bool(calls)
        if rest or not calls:
            self.record("malformed-call", first, end)

    def _end_tool(self, at: int) -> None:
        item, self._item = self._item or {}, None
        tool = tool_of(self.fmt, item)
        if tool is not None:
            self.tools.append(tool)
            return
        first, number = self._schemas or (self._item_at, len(self.unread))
        self.record("tools-unread", first, at)
        if self._schemas is not None:  # One record says it of all of them.
            self.unread[number] = self.unread.pop()
        self._schemas = (first, number)

    def _cut(self, at: int) -> None:
        draft = self.drafts[-1]
        if self._item is not None or self._unusual:
            if self._item is not None:
                self.record("malformed-call", self._item_at, at)
                self._item = None
            self._end_call(at)
            return
        if self.unread and self.unread[-1].code == "malformed-call":
            return
        if self.unread and self.unread[-1].code in ("unexpected", "spacing"):
            return  # That is why it could not go on.
        if self._closed in ("content", "arguments"):
            self.record("other-end", at, at + 1)
            return
        self.record("unclosed", max(0, at - 1), at)
        if not draft.slots and not draft.calls:
            draft.slots.setdefault("content", "")

    def _check(self, draft: Draft) -> None:
        """Say where a message could be read as another's, or holds what looks like a call."""
        speaker = draft.speaker
        shared = speaker.name is None and (
            self._named_otherwise(speaker) if speaker.labelled else len(self._sharing(speaker)) > 1
        )
        content = draft.slots.get("content", "")
        if shared or any(body.fullmatch(content) for body in self._twins(speaker)):
            self.record("ambiguous", draft.first, draft.end)
        self._check_calls(draft)

    def _named_otherwise(self, speaker: Speaker) -> bool:
        """Whether the cast has another author for some name that this header cannot hold."""
        return not slots(speaker.spec.open) & {"name", "speaker"} and any(
            role == speaker.role and name is not None and author != speaker.author
            for (role, name), author in self.cast.entries.items()
        )

    def _sharing(self, speaker: Speaker) -> Collection[Author]:
        """The authors who write the same header."""
        source = header_source(self.fmt, speaker.spec.open)
        return self.grammar.reader.sharing.get(source, ())

    def _twins(self, speaker: Speaker) -> Sequence[re.Pattern[str]]:
        """The bodies of other authors under a header that says this speaker's role."""
        return self.grammar.twin_bodies(speaker.spec) if speaker.labelled else ()

    def _check_calls(self, draft: Draft) -> None:
        """Warn of a call that was read as text."""
        opening = call_opening(self.fmt, draft.speaker.spec)
        content = draft.slots.get("content", "")
        if not opening:
            return
        words, said = opening, f"it holds {opening!r}, which opens a tool call"
        if opening not in content:
            calls, rest = calls_in(self.fmt, content)
            if rest or not calls or not opening.startswith("{"):
                return
            words, said = content.strip(), "it is a tool call in another spelling"
        detail = f"{said} for {self.fmt.name}; it was read as text"
        found = self.reader.buffer.get(draft.first, draft.end).find(words)
        first = max(self.known, draft.first + found)
        end = max(first, draft.first + found + len(words))
        text, span = self.spelled(first, end), self.span(first, end)
        self.unread.append(
            Unread("warning", "reads-as-call", len(self.drafts) - 1, detail, text, span)
        )

    def finish(self) -> bool:
        """End the stream; returns whether the document may end here."""
        for chunk in self.symbols.finish():
            for _ in self.read(chunk):
                self.agree()
        self._report_unexpected()
        at = self.reader.at
        thread, more, ends = self.reader.finished()
        self.reader.threads = [thread]
        self.take([*self.reader.passed(thread, self.committed), *more])
        if self._opened is not None and not ends and thread.place.header is None:
            if self._item is not None or self._opened[0] in ENDLESS:
                self.take([Action(at, "close", self._opened[0])])
            else:
                self.record("unclosed", self._opened[1], at)
        if self._item is not None or self._unusual:
            if self._item is not None:
                self.record("malformed-call", self._item_at, at)
                self._item = None
            if self.drafts:
                self.take([Action(at, "end-calls", None)])
        elif thread.place.header is not None and at > self.known:
            begun = thread.place.header
            only_begun = thread.state.slot is None and not self.reader.header_says(thread)
            self.record("opened" if only_begun else "unknown-header", begun, at)
        self.settle()
        return ends

    # Text and records

    def text(self, first: int, end: int) -> str:
        """The plain characters between two symbols."""
        return plain(self.reader.buffer.get(first, end))

    def spelled(self, first: int, end: int) -> str:
        """The characters between two symbols, control tokens spelled out."""
        text = self.reader.buffer.get(first, end)
        return "".join(
            self._foreign.get(first + number) or self.grammar.names.get(symbol, symbol)
            if is_control(symbol)
            else symbol
            for number, symbol in enumerate(text)
        )

    def span(self, first: int, end: int) -> tuple[int, int]:
        """The ids, or characters of a text, that symbols came from."""
        if not self._sources:
            return (0, 0)
        begin = self._source(first)
        last = self._source(max(first, end - 1))
        left = begin.first + (first - begin.at if begin.exact else 0)
        right = last.first + (end - last.at) if last.exact else last.end
        return (left, max(left, right))

    def place(self, at: int) -> int:
        """The id, or character of a text, that a symbol begins in or will begin with."""
        source = self._source(at)
        if at >= self.reader.buffer.end:
            return source.end
        return source.first + (at - source.at if source.exact else 0)

    def _source(self, at: int) -> _Source:
        return self._sources[max(0, bisect_right(self._starts, at) - 1)]

    def record(self, code: str, first: int, end: int) -> None:
        """Record what could not be read."""
        index = self._message_at(first)
        first = max(first, self.known)
        text, span = self.spelled(first, end), self.span(first, end)
        self.unread.append(_unread(code, index, text, span))

    def _message_at(self, at: int) -> int | None:
        """The message that a symbol stands in or behind, or None in front of all of them."""
        ahead = self.reader.passed(self.reader.threads[0], self.committed)
        begun = sum(action.kind in ("speaker", "again") and action.at <= at for action in ahead)
        index = len(self.drafts) - 1
        while index >= 0 and self.drafts[index].first > at:
            index -= 1
        index += begun
        return None if index < 0 else index

    def record_text(self, token: Chunk) -> None:
        """Say that a text was read, in which control tokens are only spelled."""
        level, said = DETAILS["text"]
        detail = f"the first is {token.token!r}: {said}"
        span = (token.first, token.end)
        self.unread.append(Unread(level, "text", None, detail, token.token, span))

    def _report_unexpected(self) -> None:
        for item in self.reader.unexpected:
            number, last = self._unexpected or (-1, item)
            if number == len(self.unread) - 1 >= 0 and (last.end, last.code) == (item[0], item[2]):
                # What goes on where the record before it ended is one with it.
                self._unexpected, self._grown = (number, item._replace(first=last.first)), True
                continue
            self.settle()
            self.record(item.code, item.first, item.end)
            self._unexpected = (len(self.unread) - 1, item)
        self.reader.unexpected.clear()

    def settle(self) -> None:
        """Write down how far the last record of what nobody can read has come."""
        if self._unexpected is None or not self._grown:
            return
        number, item = self._unexpected
        first = max(item.first, self.known)
        text, span = self.spelled(first, item.end), self.span(first, item.end)
        self.unread[number] = _unread(item.code, self.unread[number].message, text, span)
        self._grown = False


ENDLESS = ("content", "reasoning", "malformed", "unknown", "system")
"""Slots that hold something though nothing closes them."""

LONGEST_SHOWN = 80
"""Characters of a malformed text that a message about it shows."""


def _unread(code: str, index: int | None, text: str, span: tuple[int, int]) -> Unread:
    level, said = DETAILS[code]
    shown = text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"
    return Unread(level, code, index, f"found {shown!r}: {said}", text, span)


def reported(action: Action) -> bool:
    """Whether a stream may have something to tell of an action."""
    if action.kind in ("open", "close"):
        return action.data in TOLD_SLOTS
    return action.kind in ("speaker", "again", "calls", "end-calls", "ended", "cut")


TOLD_SLOTS = frozenset(("content", "reasoning", "call_name", "call_id", "arguments", "malformed"))


def _without_open_header(actions: list[Action]) -> list[Action]:
    """The actions up to a header that is not complete: its slots are read once it is."""
    for number in range(len(actions) - 1, -1, -1):
        kind = actions[number].kind
        if kind == "speaker" or (kind == "open" and actions[number].data == "unknown"):
            return actions
        if kind == "header":
            return actions[:number]
    return actions


@lru_cache(maxsize=256)
def grammar(fmt: Format, bos_token: str, eos_token: str) -> Grammar:
    """The automaton of a format, made once."""
    return Grammar(fmt, bos_token, eos_token)


def parse(
    fmt: Format,
    source: object,
    tokenizer: Tokenizer | None,
    cast_: Cast,
    options: Mapping[str, Any],
    strict: object,
) -> Conversation:
    """Parse a whole document; the arguments are those of `Format.parse`."""
    threshold = strict_level(strict)
    if isinstance(source, Rendering):
        raise InputError("found a rendering; parse its text, or the ids of its encoding")
    from_text = is_text(source)
    if not from_text and tokenizer is None:
        raise InputError("ids can only be read with their tokenizer; pass tokenizer=")
    session = Session(fmt, None if from_text else tokenizer, cast_, options)
    for chunk in session.feed(source if from_text else whole_numbers(source)):
        if not session.passes(chunk):
            for _ in session.read(chunk):
                session.agree()
    session.finish()
    if from_text and session.first_control is not None:
        session.record_text(session.first_control)
    found = conversation_of(session)
    refused = [r for r in found.unread if threshold is not None and GRAVITY[r.level] >= threshold]
    if refused:
        more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
        raise ParseError(
            f"{refused[0]}{more} [strict=False returns what could be read]", found, found.unread
        )
    return found


def conversation_of(session: Session) -> Conversation:
    """The conversation that was read."""
    fmt = session.fmt
    if session.drafts and _only_opened(session, session.drafts[-1]):
        session.record("opened", session.drafts[-1].first, session.reader.at)
    elif session.drafts and session.drafts[-1].ended is None:
        session.record("unfinished", session.reader.at, session.reader.at)
    drafts = [draft for draft in session.drafts if not _only_opened(session, draft)]
    messages: list[Message] = []
    places: list[int] = []
    declared: dict[tuple[str, str | None], Author] = {}
    previous: Turn | None = None
    for number, draft in enumerate(drafts):
        message = _with_reasoning(fmt, drafts, number, message_of(fmt, draft))
        turn = _turn_of(draft)
        if previous is not None and _kept_apart(fmt, previous, turn):
            messages.append(Message(DEFAULT_ROLE["owner"], ""))
        previous = turn
        if draft.slots.get("system"):
            messages.append(Message(DEFAULT_ROLE["owner"], draft.slots["system"]))
        places.append(len(messages))
        messages.append(message)
        speaker = draft.speaker
        if speaker.author is not None:
            by_name = message.name is not None and not speaker.labelled
            declare(
                fmt,
                session.cast,
                speaker.author,
                message,
                declared,
                unlabelled=speaker.spec.role,
                by_name=by_name and bool(slots(speaker.spec.open) & LABEL_SLOTS),
            )
    unread = tuple(
        record._replace(message=places[record.message])
        if record.message is not None and record.message < len(places)
        else record._replace(message=None)
        for record in session.unread
    )
    defaults = fmt.option_values({})
    found = {key: value for key, value in session.found.items() if value != defaults.get(key)}
    return Conversation(
        tuple(messages),
        tuple(session.tools) or None,
        Cast(declared),
        {**session.options, **found},
        unread=unread,
    )


def _only_opened(session: Session, draft: Draft) -> bool:
    """Whether a draft is the turn that a generation prompt opened, with nothing in it yet."""
    return draft is session.drafts[-1] and draft.empty


def _turn_of(draft: Draft) -> Turn:
    speaker = draft.speaker
    return Turn(speaker.spec, speaker.spec.author, speaker.role, speaker.name, None)


def _kept_apart(fmt: Format, first: Turn, second: Turn) -> bool:
    """Whether two turns would have become one, had nothing stood between them."""
    return (
        would_join(first, second)
        and second.author == "client"
        and fmt.system.place in CLIENT_PLACES
    )


def _with_reasoning(fmt: Format, drafts: Sequence[Draft], number: int, message: Message) -> Message:
    """The message without the blank reasoning of a block that the format writes by itself."""
    draft = drafts[number]
    if "reasoning" not in draft.blank or draft.slots.get("reasoning"):
        return message
    turns = [_turn_of(draft) for draft in drafts]
    first_kept = min(strategies.KEEP[keep].apply(turns) for keep in fmt.reasoning.keeps)
    # Where reasoning is dropped, the block is not of reasoning either.
    if number >= first_kept and not strategies.THINKS[fmt.reasoning.thinks].apply(turns, number):
        return message
    return replace(
        message,
        reasoning_content=None,
        content=message.content if message.content is not None or message.tool_calls else "",
    )
