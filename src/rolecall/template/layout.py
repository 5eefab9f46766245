"""The output of a template, laid out as segments: whose turn, which part, what is sampled.

A template says nothing of turns. They are found by origin: what a message says is copied from it,
literals carry the message that the loop was at when they were written, and a model's header is
what the template writes as its generation prompt.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from copy import copy
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from rolecall.conversation import STANDARD_ROLES
from rolecall.segment import BODY_PARTS, Part, Segment
from rolecall.template.habits import Habits
from rolecall.template.runs import Origin, named
from rolecall.template.tokens import common_prefix, control_cutter
from rolecall.template.trace import Span, Trace

REASONING_FIELDS = ("reasoning_content", "thinking", "reasoning")
"""Keys under which messages carry reasoning, in the order in which transformers looks for it."""


class Piece:
    """Characters of the output that go the same way."""

    # Most pieces differ from these in little, and there are many pieces.
    control: bool = False
    """Exactly one control token."""
    echo: bool = False
    """Part of a call that was written before, such as the tool's name beside its result."""
    says: bool = False
    """Whether this is what a message says."""
    turn: int | None = None
    part: Part = "scaffold"
    sampled: bool = False
    own: Part | None
    """The part that its field is, or None for what no caller gave."""

    def __init__(
        self, start: int, end: int, origin: Origin, own: Part | None, structural: bool
    ) -> None:
        self.start = start
        self.end = end
        self.origin = origin
        self.own = own
        self.structural = structural
        """Written by the template itself: a literal, bos or eos, the label of a standard role."""

    def split(self, at: int) -> Piece:
        """Cut it in two; returns the one behind."""
        behind = copy(self)
        self.end = behind.start = at
        return behind


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
    pieces = _pieces(trace, control)
    if until is not None:
        pieces = [piece for piece in pieces if piece.start < until]
        if pieces and pieces[-1].end > until:
            pieces[-1].end, pieces[-1].control = until, False
    if prompted and habits.prompt and trace.text.endswith(habits.prompt):
        begin = len(trace.text) - len(habits.prompt)
        pieces = _split(pieces, begin)
        body = [p for p in pieces if p.end <= begin]
        tail = pieces[len(body) :]
        for piece in tail:
            piece.part, piece.turn = "header", None
    else:
        body, tail = pieces, list[Piece]()
    _turns(body)
    opened: int | None = None
    ends: dict[str, None] = {}
    if not tail and prompted:
        last = max((n for n, piece in enumerate(body) if piece.turn is not None), default=-1)
        body, tail = body[: last + 1], body[last + 1 :]
        for piece in tail:
            piece.part = "header"
    laid: list[Piece] = []
    seen: set[int] = set()
    for turn, group in _grouped(body):
        if turn is None:
            _plain(group)
            laid += group
            continue
        of_model = turn in models
        speaks = _turn(trace.text, group, turn, habits, of_model=of_model, first=turn not in seen)
        seen.add(turn)
        laid += group
        if turn == open_message:
            for piece in group:
                piece.sampled = False
            opened = speaks
        if of_model:
            for p in group:
                if p.control and p.part == "end":
                    ends[trace.text[p.start : p.end]] = None
    laid += tail
    if marked:
        _mark(laid, open_message)
    segments, starts = _segments(trace.text, laid, opened)
    return Layout(
        segments, None if opened is None else starts, tuple(t for t in ends if t in habits.end)
    )


def _mark(pieces: Iterable[Piece], open_message: int | None) -> None:
    """Make those sampled that the template marks so."""
    speaking: int | None = None
    for piece in pieces:
        sampled = piece.origin.generated
        # An end token behind the loop over messages belongs to the last of them.
        turn = speaking if sampled and piece.turn is None else piece.turn
        speaking = turn if turn is not None else speaking
        piece.turn = turn
        piece.sampled = sampled and (open_message is None or turn != open_message)


def part_of(origin: Origin) -> Part | None:
    """The part that a caller's field is, or None for what no caller gave."""
    if origin.kind not in ("caller", "printed"):
        return None
    if len(origin.field) > _LONG:
        return _part_of(origin.field, origin.message is not None)
    return _known_part(origin.field, origin.message is not None)


_LONG = 64
"""Characters of a field that is too long to be kept for the next rendering."""


def _part_of(field: str, of_message: bool) -> Part:
    root = _ROOT.match(field)
    name = root[0] if root else ""
    if name in ("role", "name"):
        return name
    if not of_message:
        return "tools" if name == "tools" else "scaffold"
    if name in REASONING_FIELDS:
        return "reasoning"
    if name == "tool_call_id":
        return "header"
    return "tool_calls" if name == "tool_calls" else "content"


_known_part = lru_cache(maxsize=4_096)(_part_of)

_ROOT = re.compile(r"\w*")


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
    text = trace.text
    cut = control_cutter(control)
    pieces: list[Piece] = []
    stretch: list[Span] = []
    written: set[tuple[Origin, int, int]] = set()

    def flush() -> None:
        begin = stretch[0].start
        ends = tuple([span[1] - begin for span in stretch])
        for start, end, first, last, is_token in cut(text[begin : stretch[-1].end], ends):
            origin = stretch[first].origin
            if is_token:
                origin = _of_token([span.origin for span in stretch[first:last]])
            own = "role" if origin.kind == "caller" else None
            piece = Piece(begin + start, begin + end, origin, own, True)
            piece.control = is_token
            pieces.append(piece)
        stretch.clear()

    for span in trace.spans:
        start, end, origin, at = span
        if origin.kind in ("template", "token"):
            # A label that a client chose stands between what the template wrote; it is never
            # part of a control token, and neither side goes on behind it.
            stretch.append(span)
            continue
        own = part_of(origin)
        if own == "role" and is_structural(trace, span):
            stretch.append(span)
            continue
        if stretch:
            flush()
        elif own == "tools" and pieces and pieces[-1].own == "tools":
            last = pieces[-1].origin
            if last.message == origin.message and last.generated == origin.generated:
                # Schemas are of one piece, however many strings they are made of.
                pieces[-1].end = end
                continue
        piece = Piece(start, end, origin, own, False)
        if own == "tool_calls":
            # Whether it repeats what was written of a call.
            key = (origin, at, end - start)
            piece.echo = at >= 0 and key in written
            written.add(key)
        piece.says = own in BODY_PARTS and not piece.echo
        pieces.append(piece)
    if stretch:
        flush()
    return pieces


def _split(pieces: list[Piece], at: int) -> list[Piece]:
    """The pieces, the one around this place cut in two."""
    for number, piece in enumerate(pieces):
        if piece.start < at < piece.end:
            return [*pieces[: number + 1], piece.split(at), *pieces[number + 1 :]]
    return pieces


def _of_token(origins: Sequence[Origin]) -> Origin:
    """The origin of a control token that is written in these."""
    origin = origins[0]
    if origin.message is None:
        message = next((one.message for one in origins if one.message is not None), None)
        origin = origin if message is None else origin._replace(message=message)
    if origin.kind == "caller":
        origin = Origin("template", origin.message, "", origin.generated)
    return origin


def _turns(pieces: list[Piece]) -> None:
    """Give every piece its turn.

    A piece without a message stands between two turns: up to the token that ends the first it is
    of that one, behind it of the next.
    """
    for piece in pieces:
        piece.turn = None if piece.own == "tools" or piece.echo else piece.origin.message
    number = 0
    before: int | None = None
    while number < len(pieces):
        piece = pieces[number]
        if piece.turn is not None:
            before = piece.turn
            number += 1
            continue
        if not _is_free(piece):
            number += 1
            continue
        begin = number
        while number < len(pieces) and _is_free(pieces[number]):
            number += 1
        after = next((p.turn for p in islice(pieces, number, None) if p.turn is not None), None)
        speaking = begin > 0 and pieces[begin - 1].says
        free = pieces[begin:number]
        _share(free, before, after, speaking=speaking)
        before = next((p.turn for p in reversed(free) if p.turn is not None), before)


def _is_free(piece: Piece) -> bool:
    return piece.turn is None and (piece.echo or piece.own is None)


def _share(
    pieces: list[Piece],
    before: int | None,
    after: int | None,
    *,
    speaking: bool,
) -> None:
    """Divide pieces between the turn before them and the one behind them."""
    if before is not None and before == after:
        for piece in pieces:
            piece.turn = before
        return
    end = 0
    if before is not None and speaking:
        control = next((n for n, piece in enumerate(pieces) if piece.control), None)
        end = control + 1 if control is not None else (len(pieces) if after is None else 0)
    begin = end
    if before is None:
        # What stands before the first message is no header of it if a turn ends there.
        marks = [n for n, p in enumerate(pieces) if p.origin.kind == "token"]
        begin = marks[-1] + 1 if marks else 0
    for n, piece in enumerate(pieces):
        piece.turn = before if n < end else after if n >= begin else None


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


def _plain(pieces: Iterable[Piece]) -> None:
    for piece in pieces:
        piece.part = piece.own or "scaffold"


def _turn(
    text: str, pieces: list[Piece], turn: int, habits: Habits, *, of_model: bool, first: bool
) -> int:
    """Give the pieces of a turn their parts; returns where it begins to speak.

    Args:
        text: The whole output.
        pieces: Pieces of one turn that follow each other; one of them may be cut in two.
        turn: Index of its message.
        habits: What the template writes around a model's turn.
        of_model: Whether a model authored it.
        first: Whether these are the first of its pieces.
    """
    says = _saying(pieces, turn)
    start = pieces[0].start
    if not says and not first:
        _plain(pieces)
        return start
    speaks = pieces[says[0]].start if says else pieces[-1].end
    if of_model:
        labels = [p for p in pieces if p.own in ("role", "name") and p.end <= speaks]
        named = (labels[0].start - start, labels[-1].end - start) if labels else (0, 0)
        speaks = start + _header(text[start:speaks], named, habits)
        if not says or pieces[says[0]].start != speaks:
            pieces[:] = _split(pieces, speaks)
            says = _saying(pieces, turn)
    last = says[-1] if says else -1
    end = _end(text, pieces, says, habits, speaks) if of_model else _close(pieces, last)
    for number, piece in enumerate(pieces):
        if piece.own in _OWN and not piece.echo:
            piece.part = piece.own or "content"
        elif piece.start < speaks:
            piece.part = "header"
        elif number < last:
            following = says[bisect_right(says, number)]
            piece.part = pieces[following].own or "content"
        else:
            piece.part = "end" if number <= end else "scaffold"
        if of_model and piece.start >= speaks and (number <= last or number <= end):
            piece.sampled = True
    return speaks


_OWN = BODY_PARTS | {"role", "name", "tools"}
"""Parts that stay what they are wherever they stand in a turn."""


def _saying(pieces: Iterable[Piece], turn: int) -> list[int]:
    """Which of the pieces say what the message says."""
    return [n for n, p in enumerate(pieces) if p.says and p.origin.message == turn]


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
    made: list[tuple[str, bool, int | None, Part, bool]] = []
    first: int | None = None
    before: Piece | None = None
    for piece in pieces:
        at_opening = opened is not None and first is None and piece.start >= opened
        if at_opening:
            first = len(made)
        if (
            before is not None
            and not piece.control
            and not before.control
            and piece.turn == before.turn
            and piece.part == before.part
            and piece.sampled == before.sampled
            and not at_opening
        ):
            joined = made[-1][0] + text[piece.start : piece.end]
            made[-1] = (joined, False, piece.turn, piece.part, piece.sampled)
        else:
            said = text[piece.start : piece.end]
            made.append((said, piece.control, piece.turn, piece.part, piece.sampled))
        before = piece
    return named(Segment, made), len(made) if first is None else first
