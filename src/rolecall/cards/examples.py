"""Example dialogue: blocks that begin with ``<START>``, of lines that begin with who speaks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rolecall.lost import Lost

FIELD = "mes_example"
LONGEST_NAME = 40
MOST_WORDS = 4
MOST_SPEAKERS = 64
"""Names that are looked for in the card."""
COLONS = (":", "：")

_START = re.compile(r"<START>", re.IGNORECASE)
_LINE = re.compile(r"([^:：\n]+)(?::(?=[ \t]|$)|：)")
_NAME = re.compile(r"[^\W\d_][\w.'’ -]*")


class Turn(NamedTuple):
    """What one of them says."""

    speaker: str
    text: str


class Block(NamedTuple):
    """One example: its turns, or its text where nobody is named in it."""

    turns: tuple[Turn, ...]
    text: str


@dataclass
class Dialogue:
    """The blocks of the example dialogue, and what is to be said about the reading of it."""

    blocks: list[Block]
    others: list[str]
    """Who speaks besides the character and the person, in order."""
    lost: list[Lost]


def read(text: str, known: Sequence[str], others: Sequence[str] | None, told: str) -> Dialogue:
    """Divide example dialogue into blocks and turns.

    Args:
        text: The dialogue, without placeholders.
        known: The names of the character and the person.
        others: Who else speaks; None finds them.
        told: The card's other texts. A name at the beginning of a line is a speaker's where the
            card speaks of somebody so called, or where a block begins with it; lines such as
            ``Mood: calm`` begin in the same way.
    """
    blocks = [block.strip() for block in _START.split(text)]
    blocks = [block for block in blocks if block]
    lost: list[Lost] = []
    found = list(others or ())
    if others is None:
        found, refused = _speakers(blocks, known, told)
        lost += [_taken(name) for name in found]
        lost += [_not_taken(refused)] if refused else []
    # The longer name first, where one begins with the other.
    names = sorted({*known, *found}, key=len, reverse=True)
    return Dialogue([_block(block, names, lost) for block in blocks], found, lost)


def _speakers(
    blocks: Sequence[str], known: Sequence[str], told: str
) -> tuple[list[str], list[str]]:
    """Names at the beginning of lines: those of speakers, and those that may be anything."""
    taken: dict[str, bool] = {}
    for block in blocks:
        for number, line in enumerate(block.split("\n")):
            start = None if _speaker(line, known) else _LINE.match(line)
            name = "" if start is None else start[1]
            if taken.get(name) or not _is_name(name) or (name in taken and number):
                continue
            # Each one costs a search.
            taken[name] = len(taken) < MOST_SPEAKERS and (number == 0 or _is_mentioned(name, told))
    return [name for name in taken if taken[name]], [name for name in taken if not taken[name]]


def _is_mentioned(name: str, told: str) -> bool:
    # Not before a colon or an equals sign, as in lists of traits.
    mention = rf"(?<!\w){re.escape(name)}(?!\w)(?!\s*[:=(\]])"
    return re.search(mention, told) is not None


def _speaker(line: str, names: Sequence[str]) -> tuple[str, str] | None:
    """Who of those named a line says it is by, and what it says; None where it says nobody."""
    line = line.lstrip()
    for name in names:
        if line.startswith(name) and line[len(name) : len(name) + 1] in COLONS:
            return name, line[len(name) + 1 :].lstrip()
    return None


def _is_name(text: str) -> bool:
    if len(text) > LONGEST_NAME or _NAME.fullmatch(text) is None or text != text.strip():
        return False
    words = text.split()
    return len(words) <= MOST_WORDS and all(not word[0].islower() for word in words)


def _block(text: str, names: Sequence[str], lost: list[Lost]) -> Block:
    turns: list[tuple[str, list[str]]] = []
    before: list[str] = []
    for line in text.split("\n"):
        said = _speaker(line, names)
        if said is not None:
            turns.append((said[0], [said[1]]))
        else:
            (turns[-1][1] if turns else before).append(line)
    if turns and any(line.strip() for line in before):
        turns[0] = (turns[0][0], [*before, *turns[0][1]])
        lost.append(
            _note(
                "example-opening",
                f"what stands before its first line of {turns[0][0]!r} joins that line: it has no "
                "speaker",
            )
        )
    read = [Turn(speaker, "\n".join(lines).strip()) for speaker, lines in turns]
    return Block(tuple(turn for turn in read if turn.text), text)


def _taken(name: str) -> Lost:
    return _note(
        "speaker-found",
        f"{name!r} at the beginning of a line is taken for a speaker; name the speakers if it is "
        "none",
    )


def _not_taken(names: Sequence[str]) -> Lost:
    shown = ", ".join(map(repr, names[:8])) + (", …" if len(names) > 8 else "")
    return _note(
        "speaker-doubtful",
        f"{shown} at the beginning of a line is taken for text, as the card speaks of nobody so "
        "called; name the speakers if it is one",
    )


def _note(code: str, text: str) -> Lost:
    return Lost("note", code, None, FIELD, text)
