"""Moulds: what a format writes for every conversation of one shape, with places for the texts.

A mould is taken from an ordinary rendering, never computed beside it: each of its segments is a
literal or a text of the conversation, and which one the walk itself says. Where a segment is
neither, the shape has no mould, and its conversations go the ordinary way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from rolecall.bulk.shape import MESSAGE_PARTS, SPACED_PARTS, Key, Shape
from rolecall.conversation import Author, Conversation
from rolecall.pattern import FILTERS, TRIMMING, Pattern, Piece, Slot, walk, write
from rolecall.segment import HEADER_PARTS, Segment
from rolecall.turn import text_of

if TYPE_CHECKING:
    from rolecall.bulk.fit import Fitted
    from rolecall.format import Format
    from rolecall.render import Rendering
    from rolecall.tokenizers import Tokenizer

Making = tuple[Callable[[str], str], int]
"""How a text is changed before it is written, and which one it is."""


@dataclass(frozen=True, eq=False)
class Mould:
    """What is written for every conversation of one shape."""

    segments: tuple[Segment, ...]
    """The segments of the rendering that it was taken from."""
    opened: int | None
    """Of a final message that is left open: its first segment behind the generation prompt."""
    dummy_prefix: bool
    """Whether the format writes the space that a vocabulary begins texts with."""
    slots: tuple[int | None, ...]
    """Of each segment: the text that it is, by number, or None of a literal. Numbers behind those
    of the texts count `makings`."""
    makings: tuple[Making, ...]
    """Texts that are written otherwise than they were given."""
    guards: tuple[tuple[int, str], ...]
    """A text by number, made ones too, and what it must not begin with: it would be taken for the
    generation prompt."""
    authors: tuple[Author, ...]
    """Author of each message."""
    roles: tuple[str, ...]
    names: tuple[str | None, ...]
    weights: tuple[float | None, ...]
    of: Rendering
    """The rendering that it was taken from."""
    call_ids: tuple[tuple[tuple[int, int], int], ...]
    """Of each call that has an id: its message and its number there, and which text the id is. Of
    calls of one message the first comes last: it is meant where two share an id."""
    fitted: WeakKeyDictionary[Tokenizer, Fitted | None] = field(
        default_factory=lambda: WeakKeyDictionary()  # noqa: PLW0108 - typed by the field
    )
    """The mould fitted to vocabularies; see `rolecall.bulk.fit.fit`."""

    def text(self, filled: list[str]) -> str:
        """The text of a conversation.

        Args:
            filled: What `fill` made of its texts.
        """
        return "".join(
            [
                segment.text if number is None else filled[number]
                for segment, number in zip(self.segments, self.slots, strict=True)
            ]
        )

    def fill(self, texts: list[str]) -> list[str] | None:
        """The texts with those that are made of them, or None where one of them cannot be told."""
        if self.makings:
            texts = texts + [make(texts[number]) for make, number in self.makings]
        for number, start in self.guards:
            if texts[number].startswith(start):
                return None
        return texts


def mould(rendering: Rendering, shape: Shape) -> Mould | None:
    """The mould of a conversation's shape, or None where its texts decide how they are written.

    Args:
        rendering: The conversation, rendered.
        shape: The same conversation, taken apart.
    """
    fmt, messages = rendering.format, rendering.conversation.messages
    places = {place: number for number, place in enumerate(_places(shape.key))}
    makings: list[Making] = []
    slots: list[int | None] = []
    for segment, origin in zip(rendering.segments, rendering.fields, strict=True):
        message = segment.message
        number = None if message is None else places.get((message, origin))
        if number is None or message is None:
            slots.append(None)
            continue
        if origin not in ("content", "reasoning_content") and segment.part in HEADER_PARTS:
            return None  # An id in a header is read back each time.
        author, role = rendering.authors[message], messages[message].role
        making = _making(fmt, author, role, origin, shape.texts[number], segment.text)
        if making is None:
            return None
        if making is _LITERAL:
            slots.append(None)
        elif making is _VERBATIM:
            slots.append(number)
        else:
            slots.append(len(shape.texts) + len(makings))
            makings.append((making, number))
    made = Mould(
        segments=rendering.segments,
        opened=rendering.opened,
        dummy_prefix=fmt.dummy_prefix,
        slots=tuple(slots),
        makings=tuple(makings),
        guards=tuple(_guards(rendering, slots)),
        authors=rendering.authors,
        roles=tuple(message.role for message in messages),
        names=tuple(message.name for message in messages),
        weights=tuple(message.weight for message in messages),
        of=rendering,
        call_ids=tuple(
            ((index, number), places[index, f"tool_calls[{number}].id"])
            for index, message in enumerate(messages)
            for number, call in reversed(list(enumerate(message.tool_calls)))
            if call.id is not None
        ),
    )
    return None if made.fill(shape.texts) is None else made


def _places(key: Key) -> Iterator[tuple[int, str]]:
    """Message and field of each text of a shape, in their order."""
    for index, shape in enumerate(key[:-2]):
        if isinstance(shape, str):
            yield index, "content"
        else:
            for name in _texts(shape):
                yield index, name


def _texts(shape: Key) -> Iterator[str]:
    """The fields of a message that are texts of its shape, a tuple."""
    if len(shape) == SPACED_PARTS:
        yield "content"
    if len(shape) != MESSAGE_PARTS:
        return
    reasoning, content, calls, answered = shape[3:]
    if reasoning:
        yield "reasoning_content"
    if content:
        yield "content"
    for number, call in enumerate(calls or ()):
        if call[1] is not None:
            yield f"tool_calls[{number}].id"
        yield f"tool_calls[{number}].function.arguments"
    if answered is not None:
        yield "tool_call_id"


def _as_it_is(text: str) -> str:
    return text


def _not_at_all(text: str) -> str:
    return ""


_VERBATIM, _LITERAL = _as_it_is, _not_at_all


def _making(
    fmt: Format, author: Author, role: str, field: str, given: str, written: str
) -> Callable[[str], str] | None:
    """How a format makes what is written of a text; None where that cannot be told from one text.

    Trimming is told by what is left: the ends of a text are in the shape.
    """
    if field.endswith("id") and fmt.calls is not None and fmt.calls.id:
        return _LITERAL  # Made by the format, in all conversations of the shape alike.
    filters = _filters(fmt, author, role, field)
    if filters <= TRIMMING:
        if given == written:
            return _VERBATIM
        at = given.find(written)
        if at >= 0 and written.strip() == given.strip():
            return partial(_between, at, len(given) - at - len(written))
    elif len(filters) == 1:
        (name,) = filters
        make = partial(_filtered, str(name))
        if make(given) == written:
            return make
    return None


def _between(left: int, right: int, text: str) -> str:
    return text[left : len(text) - right]


def _filtered(name: str, text: str) -> str:
    return text_of(FILTERS[name][0]((Piece(text, "content", 0, "content"),)))


@lru_cache(maxsize=1024)
def _filters(fmt: Format, author: Author, role: str, field: str) -> frozenset[str | None]:
    """The filters of the slots that a field may fill."""
    own = fmt.spec(author, role)
    specs = fmt.specs if own is None else (own,)
    if author == "owner" and fmt.system.place not in ("turn", "start"):
        # A system prompt stands in the turn of a client then.
        specs = (*specs, *(spec for spec in fmt.specs if spec.author == "client"))
    patterns: list[Pattern] = []
    for spec in specs:
        patterns += [spec.open, spec.body, *spec.after.values()]
    if fmt.calls is not None and field.startswith("tool_calls["):
        patterns = [fmt.calls.begin, fmt.calls.each, fmt.calls.finish, fmt.calls.join]
    names = _SLOTS[field.rpartition(".")[2]]
    return frozenset(_slot_filters(patterns, names))


_SLOTS = {
    "content": ("content", "system"),
    "reasoning_content": ("reasoning", "thinks"),
    "arguments": ("arguments",),
    "id": ("call_id",),
    "tool_call_id": ("call_id",),
}


def _slot_filters(patterns: Iterable[Pattern], names: tuple[str, ...]) -> Iterator[str | None]:
    for pattern in patterns:
        for node in walk(pattern):
            if isinstance(node, Slot) and node.name in names:
                yield node.filter


def _guards(rendering: Rendering, slots: list[int | None]) -> Iterator[tuple[int, str]]:
    """What texts of a model must not begin with.

    What of a turn the generation prompt writes already is not sampled. Where the literals of a turn
    are only the beginning of that prompt, a text could go on with it.
    """
    fmt, conversation = rendering.format, rendering.conversation
    seen: set[int] = set()
    for index, segment in enumerate(rendering.segments):
        message = segment.message
        if message is None or message in seen or segment.part in HEADER_PARTS:
            continue
        seen.add(message)
        if rendering.authors[message] != "model":
            continue
        prompt = _prompt(fmt, conversation, conversation.messages[message].role)
        literal = ""
        for other, number in zip(rendering.segments[index:], slots[index:], strict=True):
            if other.message != message or len(literal) >= len(prompt):
                break
            if number is not None:
                if prompt.startswith(literal):
                    yield number, prompt[len(literal)]
                break
            literal += other.text


def _prompt(fmt: Format, conversation: Conversation, role: str) -> str:
    """What the generation prompt writes behind the header of a model's turn."""
    from rolecall.walk import Walk

    spec = fmt.spec("model", role)
    if spec is None or not spec.prompt:
        return ""
    empty = Conversation((), None, conversation.cast, conversation.options)
    pieces: list[Piece] = []
    write(spec.prompt, Walk(fmt, empty).document, "scaffold", pieces.append)
    return text_of(tuple(pieces))
