"""The output of a template, laid out as segments: whose turn, which part, what is sampled.

A template says nothing of turns. They are found by origin: what a message says is copied from it,
literals carry the message that the loop was at when they were written, and a model's header is
what the template writes as its generation prompt.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple

from rolecall.conversation import STANDARD_ROLES
from rolecall.segment import BODY_PARTS, Part, Segment
from rolecall.template.habits import Habits
from rolecall.template.tokens import common_prefix, control_pattern
from rolecall.template.trace import Span, Trace
from rolecall.template.traced import Origin

REASONING_FIELDS = ("reasoning_content", "thinking", "reasoning")
"""Keys under which messages carry reasoning, in the order in which transformers looks for it."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Characters of the output that go the same way."""

    start: int
    end: int
    origin: Origin
    structural: bool
    """Written by the template itself: a literal, bos or eos, the label of a standard role."""
    control: bool = False
    """Exactly one control token."""
    echo: bool = False
    """Part of a call that was written before, such as the tool's name beside its result."""
    turn: int | None = None
    part: Part = "scaffold"
    sampled: bool = False


class Layout(NamedTuple):
    """Segments, and where a final message that is left open begins to speak."""

    segments: tuple[Segment, ...]
    opened: int | None
    ends: tuple[str, ...]
    """The control tokens that end turns of the model's, as found."""


def lay_out(
    trace: Trace,
    control: Collection[str] | None,
    models: Collection[int],
    habits: Habits,
    *,
    prompted: bool = False,
    until: int | None = None,
    open_message: int | None = None,
    marked: bool = False,
) -> Layout:
    """Make segments of a trace.

    Args:
        trace: The output with its origins.
        control: The control tokens, or None where the vocabulary is not known; then what looks
            like one is one.
        models: Which messages a model authored.
        habits: What the template writes around a model's turn.
        prompted: Whether the output ends in a generation prompt.
        until: Where to cut the output, or None for all of it.
        open_message: The final message, if it is left open.
        marked: Whether the template marks itself what is sampled, with ``{% generation %}``.
    """
    pieces = [piece for piece in _pieces(trace, control) if until is None or piece.start < until]
    if until is not None and pieces and pieces[-1].end > until:
        pieces[-1] = replace(pieces[-1], end=until, control=False)
    if prompted and habits.prompt and trace.text.endswith(habits.prompt):
        pieces = _split(pieces, len(trace.text) - len(habits.prompt))
        body = [p for p in pieces if p.end <= len(trace.text) - len(habits.prompt)]
        tail = [replace(p, part="header", turn=None) for p in pieces[len(body) :]]
    else:
        body, tail = pieces, list[Piece]()
    body = _turns(body)
    opened: int | None = None
    ends: dict[str, None] = {}
    if not tail and prompted:
        last = max((n for n, piece in enumerate(body) if piece.turn is not None), default=-1)
        body, tail = body[: last + 1], [replace(p, part="header") for p in body[last + 1 :]]
    laid: list[Piece] = []
    seen: set[int] = set()
    for turn, group in _grouped(body):
        if turn is None:
            laid += [_plain(piece) for piece in group]
            continue
        done, speaks = _turn(
            trace.text, group, turn, habits, of_model=turn in models, first=turn not in seen
        )
        seen.add(turn)
        if turn == open_message:
            done = [replace(piece, sampled=False) for piece in done]
            opened = speaks
        laid += done
        ends |= {
            trace.text[p.start : p.end]: None
            for p in done
            if p.control and p.part == "end" and turn in models
        }
    laid += tail
    if marked:
        laid = _marked(laid, open_message)
    segments, starts = _segments(trace.text, laid, opened)
    return Layout(
        segments, None if opened is None else starts, tuple(t for t in ends if t in habits.end)
    )


def _marked(pieces: Iterable[Piece], open_message: int | None) -> list[Piece]:
    """The pieces, those sampled that the template marks so."""
    marked: list[Piece] = []
    speaking: int | None = None
    for piece in pieces:
        sampled = piece.origin.generated
        # An end token behind the loop over messages belongs to the last of them.
        turn = speaking if sampled and piece.turn is None else piece.turn
        speaking = turn if turn is not None else speaking
        sampled = sampled and (open_message is None or turn != open_message)
        marked.append(replace(piece, turn=turn, sampled=sampled))
    return marked


def part_of(origin: Origin) -> Part | None:
    """The part that a caller's field is, or None for what no caller gave."""
    if origin.kind not in ("caller", "printed"):
        return None
    root = re.match(r"\w*", origin.field)
    name = root[0] if root else ""
    if name in ("role", "name"):
        return name
    if origin.message is None:
        return "tools" if name == "tools" else "scaffold"
    if name in REASONING_FIELDS:
        return "reasoning"
    if name == "tool_call_id":
        return "header"
    return "tool_calls" if name == "tool_calls" else "content"


def is_structural(trace: Trace, span: Span) -> bool:
    """Whether the template itself wrote this: a literal, bos or eos, a standard role's label."""
    origin = span.origin
    if origin.kind in ("template", "token"):
        return True
    if origin.kind != "caller" or origin.field != "role" or span.at != 0:
        return False
    role = trace.inputs.get((origin.message, "role"), "")
    return role in STANDARD_ROLES and span.end - span.start == len(role)


def _pieces(trace: Trace, control: Collection[str] | None) -> list[Piece]:
    """Spans cut at control tokens, which stand in runs of what the template wrote."""
    pattern = control_pattern(control)
    pieces: list[Piece] = []
    stretch: list[Piece] = []

    def flush() -> None:
        if not stretch:
            return
        found = pattern.finditer(trace.text, stretch[0].start, stretch[-1].end)
        pieces.extend(_cut(stretch, [token.span() for token in found]))
        stretch.clear()

    for span, echo in zip(trace.spans, _echoes(trace), strict=True):
        piece = Piece(span.start, span.end, span.origin, is_structural(trace, span), echo=echo)
        if piece.structural:
            # A label that a client chose stands between what the template wrote; it is never
            # part of a control token, and neither side goes on behind it.
            stretch.append(piece)
        else:
            flush()
            pieces.append(piece)
    flush()
    return pieces


def _split(pieces: list[Piece], at: int) -> list[Piece]:
    """The pieces, the one around this place cut in two."""
    for number, piece in enumerate(pieces):
        if piece.start < at < piece.end:
            first, second = replace(piece, end=at), replace(piece, start=at)
            return [*pieces[:number], first, second, *pieces[number + 1 :]]
    return pieces


def _cut(pieces: Sequence[Piece], tokens: Sequence[tuple[int, int]]) -> Iterator[Piece]:
    """The pieces, those of each control token made one; in one walk, as there may be thousands."""
    bounds = [place for token in tokens for place in token]
    small: list[Piece] = []
    for piece in pieces:
        at = piece.start
        for bound in bounds[bisect_right(bounds, at) : bisect_left(bounds, piece.end)]:
            if bound > at:
                small.append(replace(piece, start=at, end=bound))
                at = bound
        small.append(replace(piece, start=at) if at > piece.start else piece)
    number = 0
    for start, end in tokens:
        while small[number].start < start:
            yield small[number]
            number += 1
        first = number
        while number < len(small) and small[number].end <= end:
            number += 1
        yield _token(small[first:number])
    yield from small[number:]


def _token(inside: Sequence[Piece]) -> Piece:
    """One control token of the pieces that it is written in."""
    spoken = [piece.origin for piece in inside if piece.origin.message is not None]
    origin = inside[0].origin
    if spoken:
        origin = origin._replace(message=spoken[0].message)
    if origin.kind == "caller":
        origin = Origin("template", origin.message, "", origin.generated)
    return Piece(inside[0].start, inside[-1].end, origin, structural=True, control=True)


def _says(piece: Piece) -> bool:
    """Whether this is what a message says."""
    return part_of(piece.origin) in BODY_PARTS and not piece.echo


def _echoes(trace: Trace) -> Iterator[bool]:
    """Of each span, whether it repeats what was written of a call."""
    seen: set[tuple[Origin, int, int]] = set()
    for span in trace.spans:
        key = (span.origin, span.at, span.end - span.start)
        yield key in seen and span.at >= 0 and part_of(span.origin) == "tool_calls"
        seen.add(key)


def _turns(pieces: list[Piece]) -> list[Piece]:
    """Give every piece its turn.

    A piece without a message stands between two turns: up to the token that ends the first it is
    of that one, behind it of the next.
    """
    found = [_with_turn(piece) for piece in pieces]
    number = 0
    before: int | None = None
    while number < len(found):
        if not _is_free(found[number]):
            before = before if found[number].turn is None else found[number].turn
            number += 1
            continue
        begin = number
        while number < len(found) and _is_free(found[number]):
            number += 1
        after = next((p.turn for p in islice(found, number, None) if p.turn is not None), None)
        speaking = begin > 0 and _says(found[begin - 1])
        found[begin:number] = _shared(found[begin:number], before, after, speaking=speaking)
        before = next((p.turn for p in reversed(found[begin:number]) if p.turn is not None), before)
    return found


def _with_turn(piece: Piece) -> Piece:
    tools = part_of(piece.origin) == "tools"
    return replace(piece, turn=None if tools or piece.echo else piece.origin.message)


def _is_free(piece: Piece) -> bool:
    return piece.turn is None and (piece.echo or part_of(piece.origin) is None)


def _shared(
    pieces: list[Piece],
    before: int | None,
    after: int | None,
    *,
    speaking: bool,
) -> list[Piece]:
    """Divide pieces between the turn before them and the one behind them."""
    controls = [n for n, piece in enumerate(pieces) if piece.control]
    if before is not None and before == after:
        return [replace(piece, turn=before) for piece in pieces]
    end = 0
    if before is not None and speaking:
        end = controls[0] + 1 if controls else (len(pieces) if after is None else 0)
    begin = end
    if before is None:
        # What stands before the first message is no header of it if a turn ends there.
        marks = [n for n, p in enumerate(pieces) if p.origin.kind == "token"]
        begin = marks[-1] + 1 if marks else 0
    return [
        replace(piece, turn=before if n < end else after if n >= begin else None)
        for n, piece in enumerate(pieces)
    ]


def _grouped(pieces: Sequence[Piece]) -> Iterable[tuple[int | None, list[Piece]]]:
    """Pieces by turn, in the order of the output."""
    group: list[Piece] = []
    for piece in pieces:
        if group and group[-1].turn != piece.turn:
            yield group[-1].turn, group
            group = []
        group.append(piece)
    if group:
        yield group[-1].turn, group


def _plain(piece: Piece) -> Piece:
    return replace(piece, part=part_of(piece.origin) or "scaffold")


def _turn(
    text: str, pieces: list[Piece], turn: int, habits: Habits, *, of_model: bool, first: bool
) -> tuple[list[Piece], int]:
    """Give the pieces of a turn their parts; also where it begins to speak.

    Args:
        text: The whole output.
        pieces: Pieces of one turn that follow each other.
        turn: Index of its message.
        habits: What the template writes around a model's turn.
        of_model: Whether a model authored it.
        first: Whether these are the first of its pieces.
    """

    def saying() -> list[int]:
        return [n for n, p in enumerate(pieces) if _says(p) and p.origin.message == turn]

    says = saying()
    if not says and not first:
        return [_plain(piece) for piece in pieces], pieces[0].start
    start = pieces[0].start
    speaks = pieces[says[0]].start if says else pieces[-1].end
    if of_model:
        labels = [p for p in pieces if part_of(p.origin) in ("role", "name") and p.end <= speaks]
        named = (labels[0].start - start, labels[-1].end - start) if labels else (0, 0)
        speaks = start + _header(text[start:speaks], named, habits)
        pieces = _split(pieces, speaks)
        says = saying()
    last = says[-1] if says else -1
    end = _end(text, pieces, says, habits, speaks) if of_model else _close(pieces, last)
    laid: list[Piece] = []
    for number, piece in enumerate(pieces):
        own = None if piece.echo else part_of(piece.origin)
        part: Part
        if own in BODY_PARTS or own in ("role", "name", "tools"):
            part = own or "content"
        elif piece.start < speaks:
            part = "header"
        elif number < last:
            following = next(n for n in says if n > number)
            part = part_of(pieces[following].origin) or "content"
        else:
            part = "end" if number <= end else "scaffold"
        sampled = of_model and piece.start >= speaks and number <= max(last, end)
        laid.append(replace(piece, part=part, sampled=sampled))
    return laid, speaks


def _close(pieces: list[Piece], last: int) -> int:
    """Index of the piece that ends a turn that is no model's: its first control token, or all."""
    controls = (n for n in range(last + 1, len(pieces)) if pieces[n].control)
    return next(controls, len(pieces) - 1)


def _header(text: str, named: tuple[int, int], habits: Habits) -> int:
    """How many characters of what stands before a model's words are its header.

    As many as agree with the generation prompt, whole tokens and lines, and the label with the
    name in any case; where nothing agrees, everything but white space, which a model would write
    itself.

    Args:
        text: What stands before the words.
        named: Where in it role and name begin and end.
        habits: What the template writes around a model's turn.
    """
    first, last = named
    prompt = habits.prompt
    same = _agreeing(text, prompt)
    if same < last and prompt.startswith(text[:first]):
        # Another label stands where the prompt has its own.
        own = re.match(r"\w*", prompt[first:])
        same = last + _agreeing(text[last:], prompt[first + (own.end() if own else 0) :])
    elif same < last:
        # A name stands within the header; what the prompt has behind that place may follow it.
        rest = prompt[len(common_prefix(text, prompt)) :]
        at = text.find(rest, last) if rest else -1
        same = at + len(rest) if at >= 0 else same
    return max(last, same or (len(text) if text.strip() else 0))


def _agreeing(text: str, prompt: str) -> int:
    """How many characters both begin with: all of one of them, or whole tokens and lines."""
    same = len(common_prefix(text, prompt))
    if same in (len(text), len(prompt)):
        return same
    marks = [found.end() for found in _MARKS.finditer(text, 0, same)]
    return marks[-1] if marks else 0


_MARKS = re.compile(r"\n|[^\s>]>|\]")
"""Where a line or what looks like a token ends."""


def _end(text: str, pieces: list[Piece], says: list[int], habits: Habits, speaks: int) -> int:
    """Index of the piece that ends a turn of the model's, or -1 where nothing does."""
    first = says[-1] + 1 if says else 0
    controls = [n for n in range(first, len(pieces)) if pieces[n].control]
    controls = [n for n in controls if pieces[n].start >= speaks]
    known = [n for n in controls if _text(text, pieces[n]) in habits.end]
    # A token that also stands within what is said, such as a quotation mark, ends nothing.
    within = {_text(text, pieces[n]) for n in range(says[0], says[-1])} if says else set[str]()
    ending = known or [n for n in controls if _text(text, pieces[n]) not in within]
    return ending[0] if ending else -1


def _text(text: str, piece: Piece) -> str:
    return text[piece.start : piece.end]


def _segments(
    text: str, pieces: Iterable[Piece], opened: int | None
) -> tuple[tuple[Segment, ...], int]:
    """Segments, runs of the same kind joined, and the first one at or behind a place."""
    made: list[Segment] = []
    first: int | None = None
    for piece in pieces:
        segment = Segment(
            text[piece.start : piece.end], piece.control, piece.turn, piece.part, piece.sampled
        )
        at_opening = opened is not None and first is None and piece.start >= opened
        if at_opening:
            first = len(made)
        last = made[-1] if made else None
        if last is not None and not at_opening and not segment.control and last[1:] == segment[1:]:
            made[-1] = last._replace(text=last.text + segment.text)
        else:
            made.append(segment)
    return tuple(made), len(made) if first is None else first
