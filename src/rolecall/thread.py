"""One reading of what came in: where it stands and what it has passed on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, cast

from rolecall.grammar import State
from rolecall.scan import Scan
from rolecall.turn import TurnSpec

if TYPE_CHECKING:
    from rolecall.conversation import Author


class Speaker(NamedTuple):
    """Who speaks, as a header says it."""

    author: Author | None
    role: str
    name: str | None
    attributes: tuple[tuple[str, str], ...]
    spec: TurnSpec
    labelled: bool
    """Whether the header says the role."""


class Action(NamedTuple):
    """Something that a reading has passed."""

    at: int
    """Number of the symbol before which it happens."""
    kind: str
    """That of a `Mark`, or ``speaker``."""
    data: int | str | Speaker | None

    def told(self) -> tuple[int, str, object]:
        """What of it a stream reports; readings that agree in it are told alike."""
        if isinstance(self.data, Speaker):
            return self.at, self.kind, (self.data.author, self.data.role, self.data.name)
        return self


class Trail:
    """What a reading has passed, newest first."""

    __slots__ = ("actions", "count", "memo", "parent")

    def __init__(self, parent: Trail | None, actions: tuple[Action, ...]) -> None:
        self.parent = parent
        self.actions = actions
        self.count: int = (0 if parent is None else parent.count) + len(actions)
        self.memo: dict[bool, Memo] = {}

    def find(self, number: int, since: int, base: int, wanted: Callable[[Action], bool]) -> Found:
        """The action of a number, looked for where it was not before.

        Args:
            number: Counted from 0.
            since: How many actions were passed before those that are looked at.
            base: The number of the first of them that is wanted.
            wanted: Which of them are counted.
        """
        key = wanted is every
        fresh: list[Trail] = []
        node: Trail | None = self
        heard, found = base, None
        while node is not None and node.count > since:
            memo = node.memo.get(key)
            if memo is not None and memo.number == number:
                heard, found = memo.heard, memo.found
                break
            fresh.append(node)
            node = node.parent
        for new in reversed(fresh):
            if found is None:
                for action in new.actions[max(0, since - new.count + len(new.actions)) :]:
                    if not wanted(action):
                        continue
                    if heard == number:
                        found = action
                        break
                    heard += 1
            new.memo[key] = Memo(number, heard, found)
        return found


class Memo(NamedTuple):
    """What a search along a trail came to."""

    number: int
    heard: int
    """How many of the wanted actions were passed, if the one looked for is not among them."""
    found: Action | None


Found = Action | None


def every(_action: Action) -> bool:
    """Any action is wanted."""
    return True


@dataclass(frozen=True, slots=True)
class Place:
    """Where a reading stands, for what to do when it cannot go on."""

    speaker: Speaker | None = None
    in_turn: bool = False
    header: int | None = None
    """Where a header began that is not complete."""
    form: int | None = None
    """The number of the form that it is read as."""
    begun: int | None = None
    """Where the header of the turn began."""
    opened: int | None = None
    """Where the slot began that is open."""
    call: tuple[int, int] | None = None
    """Where a tool call, or a list of them, began that is not complete, and the number of the
    state behind it."""

    @property
    def said(self) -> tuple[object, ...]:
        """What the header of the turn says."""
        speaker = self.speaker
        return () if speaker is None else (speaker.role, speaker.name, speaker.attributes)


@dataclass(frozen=True, slots=True)
class Thread:
    """One reading of the symbols so far."""

    state: State
    cost: int
    trail: Trail
    place: Place = field(default_factory=Place)
    scan: Scan | None = None


def slot_of(thread: Thread) -> str:
    """The name of the slot whose text is being read, or nothing."""
    return "" if thread.state.slot is None else thread.state.slot.slot


def with_scan(thread: Thread, scan: Scan) -> Thread:
    """The reading, further in its JSON value."""
    if scan == thread.scan:
        return thread
    return Thread(thread.state, thread.cost, thread.trail, thread.place, scan)


def placed(place: Place, actions: Sequence[Action]) -> Place:
    """Where a reading stands once it has passed actions."""
    speaker, in_turn, header = place.speaker, place.in_turn, place.header
    form, begun, opened, call = place.form, place.begun, place.opened, place.call
    for action in actions:
        match action.kind:
            case "header":
                header, form = action.at, cast("int", action.data)
            case "speaker":
                assert isinstance(action.data, Speaker)
                speaker, in_turn, begun, header = action.data, True, header, None
            case "open":
                opened = action.at
                if action.data == "unknown":
                    header = None
            case "close":
                opened = None
            case "calls" | "list-calls":
                assert isinstance(action.data, int)
                call = (action.at, action.data)
            case "end-calls":
                call = None
            case "ended":
                in_turn, call = False, None
            case "again":
                in_turn = True
            case _:
                pass
    return Place(speaker, in_turn, header, form, begun, opened, call)
