"""Reading symbols back, one at a time: the automaton of a format, run over what comes in.

Every reading that is still possible is a `Thread`. Two that have come to the same state have the
same future, so the cheaper one is kept, or of equal ones that which the format prefers; there are
never more than there are states, and a symbol costs the same wherever it stands. What no reading
accounts for is recorded and never lost.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from rolecall.conversation import AUTHORS, DEFAULT_ROLE
from rolecall.grammar import TRIMMING, Dynamic, Grammar, Move, State
from rolecall.header import Speakers, header_source, says_role
from rolecall.nodes import Actions, Boundary, Mark, Nodes, Text, is_control, plain
from rolecall.pattern import FILTERS, Piece
from rolecall.reply import fits_id
from rolecall.scan import QUOTED, QUOTED_END, STARTS, Scan, advance
from rolecall.thread import (
    Action,
    Place,
    Speaker,
    Thread,
    Trail,
    placed,
    slot_of,
    with_scan,
)
from rolecall.turn import TurnSpec, text_of

if TYPE_CHECKING:
    from rolecall.conversation import Author

MOST_THREADS = 64
"""Readings that are followed at once; the dearest are given up beyond that."""


class _HeaderRead(NamedTuple):
    """A header that is complete."""

    place: int
    """Where the readings behind it stand among all."""
    begun: int | None
    form: int | None
    entered: int
    """How many readings go on behind it."""
    twin: bool
    """Whether it is read as one that spells out a label; see `HeaderForm`."""


class Unexpected(NamedTuple):
    """Symbols that no reading accounts for."""

    first: int
    end: int
    code: str


class Buffer:
    """The symbols that may still be asked for."""

    def __init__(self) -> None:
        self._chunks: list[str] = []
        self._starts: list[int] = []
        self.end = 0

    def append(self, chunk: str) -> None:
        """Take more symbols."""
        if chunk:
            self._chunks.append(chunk)
            self._starts.append(self.end)
            self.end += len(chunk)

    def get(self, first: int, end: int) -> str:
        """The symbols from one place to another."""
        if first >= end:
            return ""
        number = bisect_right(self._starts, first) - 1
        parts: list[str] = []
        while number < len(self._chunks) and self._starts[number] < end:
            start = self._starts[number]
            parts.append(self._chunks[number][max(0, first - start) : end - start])
            number += 1
        return "".join(parts)


class Reader:
    """Follows every reading of a stream of symbols.

    Attributes:
        threads: The readings that are possible, the best one first.
        at: Number of symbols read.
        unexpected: What no reading accounts for, in order.
    """

    def __init__(self, grammar: Grammar, speakers: Speakers, start: Nodes) -> None:
        self.grammar = grammar
        self.speakers = speakers
        self.buffer = Buffer()
        self.at = 0
        self.unexpected: list[Unexpected] = []
        self.threads: list[Thread] = self._settle(
            [Thread(grammar.state(start), 0, Trail(None, ()))]
        )

    def begin_turn(self, speaker: Speaker) -> None:
        """Start behind the header of a speaker, whatever was possible before."""
        state = self.grammar.state(self.grammar.turn(speaker.spec, behind=True))
        trail = Trail(None, (Action(self.at, "speaker", speaker),))
        place = Place(speaker=speaker, in_turn=True)
        self.threads = [Thread(state, 0, trail, place)]

    def feed(self, chunk: str) -> Iterator[int]:
        """Read symbols; yields where something happened that may be reported."""
        self.buffer.append(chunk)
        done = 0
        while done < len(chunk):
            ahead = self._ahead(chunk, done)
            if ahead > done:
                self.at += ahead - done
                done = ahead
                continue
            self._step(chunk[done])
            done += 1
            yield self.at

    def passes(self, chunk: str) -> bool:
        """Read symbols if every reading stays in its slot; else, nothing is read."""
        if not chunk or self._ahead(chunk, 0) < len(chunk):
            return False
        self.buffer.append(chunk)
        self.at += len(chunk)
        return True

    def _ahead(self, chunk: str, start: int) -> int:
        """How far every reading stays in its slot."""
        end = len(chunk)
        if len(self.threads) > 1:
            # What one of them finds far ahead is looked for again wherever another one moves.
            end = min(end, start + FAR)
        for thread in self.threads:
            skip = thread.state.skip
            if skip is None:
                if thread.scan is None or thread.scan.mode not in QUOTED:
                    return start
                skip = QUOTED_END
            found = skip.search(chunk, start, end)
            end = end if found is None else found.start()
        return end

    def _step(self, symbol: str) -> None:
        before = self.threads
        moved = self._advance(before, symbol)
        self.at += 1
        moved = self._settle(moved)
        if not moved:
            self.at -= 1
            moved = self._recover(before, symbol)
            self.at += 1
            moved = self._settle(moved) or list(before)
        self.threads = moved

    def _advance(self, threads: Sequence[Thread], symbol: str) -> list[Thread]:
        kept: dict[tuple[State, Scan | None], Thread] = {}
        if is_control(symbol):
            threads = self._leave_headers(threads)
        for thread in threads:
            for move in thread.state.moves(symbol):
                new = self._moved(thread, move, symbol)
                if new is None:
                    continue
                key = (new.state, new.scan)
                other = kept.get(key)
                if other is None or new.cost < other.cost:
                    kept[key] = new
                elif new.cost == other.cost and _last_said(new) != _last_said(other):
                    self.unexpected.append(Unexpected(self.at, self.at + 1, "ambiguous"))
        found = _named(list(kept.values()), self.at)
        if len(found) > MOST_THREADS:
            found = sorted(found, key=lambda thread: thread.cost)[:MOST_THREADS]
        return found

    def _leave_headers(self, threads: Sequence[Thread]) -> Sequence[Thread]:
        """The readings, with those of headers that end in a slot: a control token ends it."""
        found: list[Thread] = []
        for thread in threads:
            if thread.state.slot is not None and thread.state.dynamic:
                for dynamic in thread.state.dynamic:
                    if self._fits(thread):
                        found += [new for _, new in self._behind_header(thread, dynamic, self.at)]
            found.append(thread)
        return found

    def _moved(
        self, thread: Thread, move: Move, symbol: str, *, missing: bool = False
    ) -> Thread | None:
        """A reading behind one more symbol, which may be missing, or None if it ends there."""
        scan = thread.scan
        if move.target is thread.state and not move.actions:
            if scan is None:
                return thread
            further = advance(scan, symbol)
            return None if further is None else with_scan(thread, further)
        if move.leaves and scan is not None and not scan.complete:
            return None
        start: Scan | None = None
        slot = move.target.slot
        if slot is not None and not self._begins(slot, symbol):
            return None
        if slot is not None and slot.kind in STARTS:
            start = advance(STARTS[slot.kind], symbol)
            if start is None:
                return None
        cost = thread.cost + move.penalty
        if move.leaves:
            if not self._fits(thread):
                return None
            cost += self._unfit(thread)
        elif slot is not None and slot.filter in TRIMMING:
            cost += _trimmed(slot.filter, f"{symbol}x")
        entry, target = move.target.entry
        if not move.actions and not entry:
            return Thread(target, cost, thread.trail, thread.place, start)
        trail, place = self._passed(thread, move.actions, self.at)
        if entry:
            actions = tuple(
                Action(self.at, mark.kind, "header" if mark.kind == "ended" else mark.data)
                if missing
                else Action(self.at + 1, mark.kind, mark.data)
                for mark in entry
            )
            trail, place = Trail(trail, actions), placed(place, actions)
        return Thread(target, cost, trail, place, start)

    def _passed(self, thread: Thread, marks: Actions, at: int) -> tuple[Trail, Place]:
        actions = tuple(Action(at, mark.kind, mark.data) for mark in marks)
        return Trail(thread.trail, actions), placed(thread.place, actions)

    def _begins(self, slot: Text, symbol: str) -> bool:
        """Whether a word may begin so, as far as one character tells."""
        rule = self.grammar.fmt.match.get(slot.slot)
        if rule is None or slot.free or rule.search("a") is None:
            return True
        return rule.search(symbol) is not None or rule.search(f"{symbol}a") is not None

    def _fits(self, thread: Thread) -> bool:
        """Whether the slot of a reading holds what the format lets it hold."""
        slot, opened = thread.state.slot, thread.place.opened
        rule = None if slot is None else self.grammar.fmt.match.get(slot.slot)
        if rule is None or opened is None or (slot is not None and slot.free):
            return True
        if self.at - opened > LONGEST_WORD:
            return False
        return rule.search(self.buffer.get(opened, self.at)) is not None

    def _unfit(self, thread: Thread) -> int:
        """What it costs that a slot ends in what its filter takes away, or is no id of a call."""
        slot, opened = thread.state.slot, thread.place.opened
        if slot is None or opened is None:
            return 0
        if slot.slot == "call_id":
            if self.at - opened > LONGEST_WORD:
                return 2
            return 0 if fits_id(self.grammar.fmt, self.buffer.get(opened, self.at)) else 2
        if slot.filter not in TRIMMING:
            return 0
        return _trimmed(slot.filter, f"x{self.buffer.get(self.at - 1, self.at)}")

    # Headers

    def _settle(self, threads: list[Thread]) -> list[Thread]:
        """Go on behind headers that are complete, without the readings that they rule out."""
        if not any(thread.state.dynamic and thread.state.slot is None for thread in threads):
            return threads
        found: list[Thread] = []
        ends: list[_HeaderRead] = []
        for thread in threads:
            state = thread.state
            if state.goes_on or not state.dynamic:
                found.append(thread)
            for dynamic in () if state.slot is not None else state.dynamic:
                _, place = self._passed(thread, dynamic.actions, self.at)
                entered = self._behind_header(thread, dynamic, self.at)
                twin = self.grammar.forms[dynamic.node.header].twin
                ends.append(_HeaderRead(len(found), place.header, place.form, len(entered), twin))
                found.extend(new for _, new in entered)
        behind: set[int] = set()
        read: dict[int | None, tuple[object, ...]] = {}
        for end in ends:
            # Of several readings of one header the first holds; only what a body may tell apart
            # goes on beside it.
            if not end.twin and end.entered and end.begun != self.at:
                said = found[end.place].place.said
                if read.setdefault(end.begun, said) != said:
                    continue
            behind.update(range(end.place, end.place + end.entered))
        gone = {end.place + n for end in ends for n in range(end.entered)} - behind
        kept: list[Thread] = []
        for number, thread in enumerate(found):
            if number in behind or not (
                number in gone or self._ruled_out(thread, number, ends, found)
            ):
                kept.append(thread)
        return kept

    def _ruled_out(
        self, thread: Thread, number: int, ends: Sequence[_HeaderRead], found: Sequence[Thread]
    ) -> bool:
        """Whether headers that are complete rule a reading out; that is told if it was text."""
        place = thread.place
        if slot_of(thread) and any(
            end.place <= number and (end.begun, end.form) == (place.header, place.form)
            for end in ends
        ):
            return True  # A header is as short as it can be.
        for end in ends:
            if end.entered and _overtaken(thread, end.begun, preferred=end.place < number):
                if place.header is None and place.begun != end.begun:
                    self._note_words(found[end.place])
                return True
        return False

    def _note_words(self, thread: Thread) -> None:
        """Say that words opened a turn, once for all readings that took them for text."""
        first, node = self.at, thread.trail
        while node.parent is not None and first == self.at:
            closed = [action.at for action in node.actions if action.kind == "close"]
            first, node = (closed or [first])[-1], node.parent
        last = self.unexpected[-1] if self.unexpected else None
        if first < self.at and (last is None or last[1:] != (self.at, "ambiguous")):
            self.unexpected.append(Unexpected(first, self.at, "ambiguous"))

    def _behind_header(self, thread: Thread, dynamic: Dynamic, at: int) -> list[tuple[int, Thread]]:
        """The turns that may begin behind a header, with where the header began."""
        trail, place = self._passed(thread, dynamic.actions, at)
        begun, found = self._header_slots(trail)
        form = self.grammar.forms[dynamic.node.header]
        previous = dynamic.node.previous
        sharing = self.grammar.reader.sharing.get(form.source, {form.spec.author})
        reading = self.grammar.reader.reading(form.spec, sharing, found, at, self.speakers)
        labelled = says_role(found, reading.name)
        role = reading.role
        if reading.name is not None and not labelled and "speaker" in found:
            author, spoken_as = self.speakers.names.get(reading.name, (None, ""))
            role = spoken_as if author is not None and author == reading.author else role
        others: tuple[Author, ...] = ()
        if not labelled and reading.name is None:
            # Nothing tells whose turn it is; another author's body may.
            others = tuple(a for a in AUTHORS if a in sharing and a != reading.author)
        authors: tuple[Author | None, ...] = (reading.author, *others)
        attributes = tuple(sorted(reading.attributes.items()))
        entered: list[tuple[int, Thread]] = []
        for rank, author in enumerate(authors):
            known = DEFAULT_ROLE[author] if rank and author is not None else role
            spec = self._spec(author, known, form.source, previous, form.spec)
            if spec is None:
                continue
            speaker = Speaker(author, known, reading.name, attributes, spec, labelled)
            actions = (Action(at, "speaker", speaker),)
            body = self.grammar.turn(spec, dynamic.node.facts, behind=not form.pattern)
            state = self.grammar.state(body)
            cost = thread.cost + dynamic.penalty + (1 if rank else 0)
            new = Thread(state, cost, Trail(trail, actions), placed(place, actions))
            entered.append((begun, new))
        return entered

    def _spec(
        self,
        author: Author | None,
        role: str,
        source: str,
        previous: Author | None,
        written: TurnSpec,
    ) -> TurnSpec | None:
        """How the turn of a speaker goes on, or None if that speaker has another header."""
        fmt = self.grammar.fmt
        if author is None:
            model = fmt.turns.get("model")
            same = model is not None and header_source(fmt, model.header(previous)) == source
            return model if same else written
        spec = fmt.spec(author, role)
        if spec is None:
            return None
        return spec if header_source(fmt, spec.header(previous)) == source else None

    def _header_slots(self, trail: Trail) -> tuple[int, dict[str, str]]:
        """Where the newest header began, and what fills its slots."""
        found: dict[str, str] = {}
        closed: dict[str, int] = {}
        node: Trail | None = trail
        while node is not None:
            for action in reversed(node.actions):
                if action.kind == "header":
                    return action.at, found
                if action.kind == "close":
                    closed[str(action.data)] = action.at
                elif action.kind == "open" and str(action.data) in closed:
                    slot = str(action.data)
                    text = self.buffer.get(action.at, closed.pop(slot))
                    found[slot] = self.grammar.labels.get(text) or plain(text)
            node = node.parent
        return self.at, found

    def header_says(self, thread: Thread) -> bool:
        """Whether anything but the format's own symbols stands in the header that is open."""
        node: Trail | None = thread.trail
        while node is not None:
            for action in reversed(node.actions):
                if action.kind in ("header", "open"):
                    return action.kind == "open"
            node = node.parent
        return False

    # What no reading accounts for

    def _recover(self, threads: Sequence[Thread], symbol: str) -> list[Thread]:
        """Readings that go on all the same; the symbol is passed over where there are none."""
        for attempt in (
            self._other_space,
            self._missing,
            self._other_end,
            self._raw_call,
            self._cut_short,
            self._unknown_header,
        ):
            found = attempt(threads, symbol)
            if found:
                return found
        if symbol.isspace():
            self._note("spacing")
        else:
            self._note("unexpected")
        return []

    def _note(self, code: str) -> None:
        last = self.unexpected[-1] if self.unexpected else None
        if last is not None and last.end == self.at and last.code == code:
            self.unexpected[-1] = last._replace(end=self.at + 1)
        else:
            self.unexpected.append(Unexpected(self.at, self.at + 1, code))

    def _other_space(self, threads: Sequence[Thread], symbol: str) -> list[Thread]:
        """Go on where white space of the format's own is missing."""
        return self._without(threads, symbol, tokens=0)

    def _missing(self, threads: Sequence[Thread], symbol: str) -> list[Thread]:
        """Go on where a control token of the format's own is missing."""
        # What is drafted in a thought is no call: a thought is closed by its own token only.
        open_ = [thread for thread in threads if slot_of(thread) != "reasoning"]
        found = self._without(open_, symbol, tokens=1) if is_control(symbol) else []
        if found:
            self.unexpected.append(Unexpected(self.at, self.at + 1, "missing"))
        return found

    def _without(self, threads: Sequence[Thread], symbol: str, *, tokens: int) -> list[Thread]:
        """Readings in which white space and at most so many control tokens are left out."""
        found: dict[State, Thread] = {}
        waiting = [(thread, 0, tokens) for thread in threads]
        seen: set[tuple[State, int]] = set()
        while waiting:
            here, depth, left = waiting.pop(0)
            if here.scan is not None and not here.scan.complete:
                continue
            if here.place.opened is not None and self.at - here.place.opened > LONGEST_WORD:
                # A word is read whenever a header may end; one as long as that is none.
                continue
            for other in sorted(here.state.literals):
                control = is_control(other)
                if not (other.isspace() or (control and left and other != symbol)):
                    continue
                for move in here.state.moves(other):
                    there = self._moved(here, move, other, missing=True)
                    if there is None:
                        continue
                    further = left - 1 if control else left
                    if there.state is here.state or (there.state, further) in seen:
                        continue
                    if there.state.slot is not None:
                        continue
                    seen.add((there.state, further))
                    costly = Thread(there.state, there.cost + 1, there.trail, there.place)
                    settled = self._settle([costly])
                    for new in self._advance(settled, symbol):
                        if further == 0 or not tokens:
                            found.setdefault(new.state, new)
                    if depth < MOST_SPACES:
                        waiting.extend((t, depth + 1, further) for t in settled)
        return list(found.values())

    def _other_end(self, threads: Sequence[Thread], symbol: str) -> list[Thread]:
        """End a turn behind a complete call at another end token than that of calls."""
        for thread in threads:
            rest, speaker = thread.state.rest, thread.place.speaker
            complete = slot_of(thread) == "arguments" and thread.scan is not None
            if not (complete and thread.scan and thread.scan.complete and speaker):
                continue
            if not is_control(symbol) or rest[:1] != (Mark("end-calls"),):
                continue
            marks = (Mark("close", "arguments"), Mark("end-calls"), Mark("cut"))
            trail, place = self._passed(thread, marks, self.at)
            state = self.grammar.state(self.grammar.ends(speaker.spec))
            found = self._advance([Thread(state, thread.cost, trail, place)], symbol)
            if found:
                return found
        return []

    def _raw_call(self, threads: Sequence[Thread], symbol: str) -> list[Thread]:
        """Take a tool call that is not written as the format has it as it is."""
        for thread in threads:
            place = thread.place
            if place.call is None or (
                thread.state.slot is not None and thread.state.slot.kind == "raw"
            ):
                continue
            first, number = place.call
            after = self.grammar.after[number]
            state = self.grammar.raw_call(after, place.speaker.spec if place.speaker else None)
            actions = (Action(first, "open", "malformed"),)
            raw = Thread(
                state,
                thread.cost,
                Trail(thread.trail, actions),
                placed(place, actions),
            )
            return self._advance([raw], symbol)
        return []

    def _cut_short(self, threads: Sequence[Thread], symbol: str) -> list[Thread]:
        """End a turn that is not complete, at its end token or at the header of another."""
        if not is_control(symbol):
            return []
        for thread in threads:
            place = thread.place
            if not place.in_turn or place.speaker is None:
                continue
            closing = (Mark("close", thread.state.slot.slot),) if thread.state.slot else ()
            spec = place.speaker.spec
            for rest, marks in (
                (self.grammar.ends(spec), (Mark("cut"),)),
                ((Boundary(spec.author),), (Mark("cut"), Mark("ended", "header"))),
            ):
                trail, there = self._passed(thread, (*closing, *marks), self.at)
                state = self.grammar.state(rest)
                found = self._advance([Thread(state, thread.cost, trail, there)], symbol)
                if found:
                    return found
        return []

    def _unknown_header(self, threads: Sequence[Thread], symbol: str) -> list[Thread]:
        """Take a turn that nobody can have written as it is, up to the next header."""
        for thread in threads:
            begun = thread.place.header
            if begun is None or thread.state.slot is not None:
                continue
            actions = (Action(begun, "open", "unknown"),)
            previous = None if thread.place.speaker is None else thread.place.speaker.spec.author
            state = self.grammar.unknown_turn(previous)
            trail = Trail(thread.trail, actions)
            place = placed(thread.place, actions)
            return self._advance([Thread(state, thread.cost, trail, place)], symbol)
        return []

    # What all readings agree on

    def passed(self, thread: Thread, since: int) -> list[Action]:
        """What a reading has passed, from the action of a number on."""
        found: list[Action] = []
        node: Trail | None = thread.trail
        while node is not None and node.count > since:
            skipped = max(0, since - (node.count - len(node.actions)))
            found.extend(reversed(node.actions[skipped:]))
            node = node.parent
        found.reverse()
        return found

    def finished(self) -> tuple[Thread, list[Action], bool]:
        """The best reading if nothing more comes, what it passes at the end, if it may end."""
        best: tuple[tuple[int, int], Thread, list[Action], bool] | None = None
        for thread in self._leave_headers(self.threads):
            ways: list[tuple[int, int, Actions, bool]] = []
            if thread.scan is None or thread.scan.complete:
                ways = [(0, cost, actions, True) for actions, cost in thread.state.accepts]
            unfinished = _unfinished(thread)
            ways.append((unfinished, 0, (), False))
            for grade, cost, marks, ends in ways:
                key = (grade, thread.cost + cost + self._unfit(thread))
                if best is None or key < best[0]:
                    actions = [Action(self.at, mark.kind, mark.data) for mark in marks]
                    best = (key, thread, actions, ends)
        assert best is not None
        return best[1], best[2], best[3]


FAR = 256
"""Symbols that are looked through at once while there are several readings."""

LONGEST_WORD = 1000
"""Characters of a word that a format has a rule for; a longer one breaks the rule."""

MOST_SPACES = 8
"""White space of the format's own that may be missing at one place."""


def _overtaken(thread: Thread, header: int | None, *, preferred: bool) -> bool:
    """Whether a header that is complete rules a reading out.

    Words that open a turn are never content. Of two readings of one header the preferred one
    holds, whichever is longer.

    Args:
        thread: The other reading.
        header: Where the header that is complete began.
        preferred: Whether the reading whose header is complete comes before the other.
    """
    place = thread.place
    if place.header is not None:
        return preferred and place.header == header and thread.state.slot is not None
    if preferred and place.begun == header:
        return True
    if thread.state.slot is None or place.opened is None or header is None:
        return False
    return place.opened < header


def _trimmed(name: str, text: str) -> int:
    """What it costs that a filter would change a text that was written."""
    left = FILTERS[name][0]((Piece(text, "content", field="content"),))
    return 0 if text_of(left) == text else 2


def _named(threads: list[Thread], at: int) -> list[Thread]:
    """The readings without those of a longer name of a call whose arguments have begun."""
    begun = {
        thread.place.call
        for thread in threads
        if thread.place.opened == at and slot_of(thread) == "arguments"
    }
    if not begun:
        return threads
    return [t for t in threads if t.place.call not in begun or slot_of(t) not in CALL_WORDS]


def _last_said(thread: Thread) -> Action | None:
    """Where what is said last was complete."""
    node: Trail | None = thread.trail
    while node is not None:
        for action in reversed(node.actions):
            if action.kind == "close" and action.data in SAID:
                return action
            if action.kind in ("header", "speaker"):
                return None
        node = node.parent
    return None


def _unfinished(thread: Thread) -> int:
    """How far a reading is from an end; 0 where its last turn has ended."""
    if thread.place.header is not None:
        return 4
    if slot_of(thread):
        return 1 if slot_of(thread) in SAID else 2
    return 3 if thread.place.in_turn else 0


SAID = ("content", "reasoning")

CALL_WORDS = ("call_name", "call_id")
