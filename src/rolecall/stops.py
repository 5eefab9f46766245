"""The stop set: what ends the turn that is to be sampled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rolecall.conversation import DEFAULT_ROLE, Author
from rolecall.layout import LABELS
from rolecall.pattern import DOCUMENT_TOKENS, Piece
from rolecall.steps import Script
from rolecall.turn import Turn, TurnSpec, text_of

if TYPE_CHECKING:
    from rolecall.walk import Walk


def stops(
    walk: Walk, spec: TurnSpec | None, own: Turn | None, *, choosing: bool
) -> tuple[str, ...]:
    """What ends a turn: control tokens, then strings, the longer ones first.

    Where headers are plain words nothing keeps a model from writing on behind its end, so there the
    headers of the other speakers end its turn too. The control token of a header ends a turn only
    where that has no end of its own.

    Args:
        walk: The walk over what stands before the turn.
        spec: How the turn is written.
        own: The turn, or None where it is that of ``assistant``.
        choosing: Whether the model chooses who speaks.
    """
    if spec is None:
        return ()
    key = _depends_on(walk, own, choosing=choosing)
    if key is None:
        return _stops(walk, spec, own, choosing=choosing)
    known = walk.layout.turn(spec).stops
    if key not in known:
        known[key] = _stops(walk, spec, own, choosing=choosing)
    return known[key]


def _depends_on(walk: Walk, own: Turn | None, *, choosing: bool) -> tuple[object, ...] | None:
    """What the stop set depends on, or None where it depends on words of the caller."""
    written, with_tools = walk.layout, "has_tools" in walk.document
    if walk.conversation.options:
        return None
    if written.fenced:
        # A control token stands in every header, so it does not matter who has spoken.
        return (with_tools,)
    if walk.conversation.cast.entries or not written.labels_only:
        return None
    speakers = (*walk.spoken(walk.plan.turns), *(() if own is None else (who(own),)))
    if any(name for _, _, _, name in speakers):
        return None
    return (with_tools, choosing, own is None, *speakers)


def _stops(walk: Walk, spec: TurnSpec, own: Turn | None, *, choosing: bool) -> tuple[str, ...]:
    fmt, written = walk.fmt, walk.layout.turn(spec)
    tokens: list[str] = []
    strings: list[str] = []
    # Where the last turn ends in another way, that is how a model stops; `end` is for history.
    last = written.end if written.final_end is None else written.final_end
    for end in (last, written.call_end):
        if end is not None:
            _first_stop(_pieces(walk, end), tokens, strings)
    others = [other for other in fmt.specs if other.author not in ("owner", spec.author)]
    unspoken = [walk.silent(other, other.author, other.role, None) for other in others]
    if not spec.end or not (tokens or strings):
        for turn in unspoken:
            pieces = _header(walk, turn, spec.author)
            tokens += [piece.text for piece in pieces if piece.control][:1]
    if own is None:
        own = walk.silent(spec, spec.author, DEFAULT_ROLE["model"], None)
    mine = None if choosing else text_of(tuple(_header(walk, own, spec.author)))
    for turn in _others(walk, unspoken, spec.author, choosing=choosing):
        pieces = _header(walk, turn, spec.author)
        text = text_of(tuple(pieces))
        # A string that the format gives finds its header with any white space before it.
        plain = not any(piece.control for piece in pieces)
        if text != mine and plain and text.strip() not in fmt.stop:
            _first_stop(pieces, tokens, strings)
    strings = sorted((*strings, *fmt.stop), key=len, reverse=True)
    return (*dict.fromkeys(tokens), *dict.fromkeys(strings))


def _others(
    walk: Walk, unspoken: list[Turn], previous: Author, *, choosing: bool
) -> Iterator[Turn]:
    """A turn of each speaker of the conversation, and of those that could speak in any.

    Args:
        walk: The walk over the conversation.
        unspoken: Turns of the authors that may always follow, under no name.
        previous: Author of the turn that they would follow.
        choosing: Whether the model chooses who speaks. It begins with a header of its own then, so
            only others than the model count.
    """
    if walk.layout.fenced:
        return
    named = [
        walk.silent(spec, author, role, name)
        for (role, name), author in walk.conversation.cast.entries.items()
        if name is not None and (spec := walk.fmt.spec(author, role)) is not None
    ]
    found = walk.spoken((*walk.plan.turns, *named))
    spoken = {turn.author for turn in found.values()}
    for turn in unspoken:
        needed = walk.layout.turn(turn.spec).header(previous).always
        # Of a header that writes a label, whoever has spoken says what it is.
        if needed <= set(DOCUMENT_TOKENS) or (needed <= LABELS and turn.author not in spoken):
            found.setdefault(who(turn), turn)
    for turn in found.values():
        if not (choosing and turn.author == "model"):
            yield turn


def who(turn: Turn) -> tuple[str, str, str, str]:
    """What tells the header of a turn from those of other speakers."""
    name = turn.name
    if not name:
        called = turn.values.get("call_name")
        name = text_of(called) if called else ""
    return turn.author, turn.spec.role, turn.role, name


def _header(walk: Walk, turn: Turn, previous: Author) -> list[Piece]:
    """The header of a turn as it is written behind a turn of the previous author."""
    return _pieces(walk, walk.layout.turn(turn.spec).header(previous), turn)


def _pieces(walk: Walk, script: Script, turn: Turn | None = None) -> list[Piece]:
    values = walk.document if turn is None else {**walk.document, **turn.values}
    return script.steps(values).pieces(values)


def _first_stop(pieces: list[Piece], tokens: list[str], strings: list[str]) -> None:
    control = next((piece for piece in pieces if piece.control), None)
    if control is not None:
        tokens.append(control.text)
        return
    text = text_of(tuple(pieces)).rstrip()
    if text:
        strings.append(text)
