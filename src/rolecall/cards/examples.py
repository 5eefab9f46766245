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

_START = re.compile(r"<START>", re.IGNORECASE)
_LINE = re.compile(r"([^:\n]+):(?:[ \t]+|$)")
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
        lost += [_not_taken(name) for name in refused]
    names = {name: name for name in (*known, *found)}
    return Dialogue([_block(block, names, lost) for block in blocks], found, lost)


def _speakers(
    blocks: Sequence[str], known: Sequence[str], told: str
) -> tuple[list[str], list[str]]:
    """Names at the beginning of lines: those of speakers, and those that may be anything."""
    taken: list[str] = []
    refused: list[str] = []
    for block in blocks:
        for number, line in enumerate(block.split("\n")):
            start = _LINE.match(line)
            name = start[1] if start is not None else ""
            if not _is_name(name) or name in known or name in taken:
                continue
            # Not before a colon or an equals sign, as in lists of traits.
            mention = rf"(?<!\w){re.escape(name)}(?!\w)(?!\s*[:=(\]])"
            if number == 0 or re.search(mention, told) is not None:
                taken.append(name)
                if name in refused:
                    refused.remove(name)
            elif name not in refused:
                refused.append(name)
    return taken, refused


def _is_name(text: str) -> bool:
    if len(text) > LONGEST_NAME or _NAME.fullmatch(text) is None or text != text.strip():
        return False
    words = text.split()
    return len(words) <= MOST_WORDS and all(not word[0].islower() for word in words)


def _block(text: str, names: dict[str, str], lost: list[Lost]) -> Block:
    turns: list[tuple[str, list[str]]] = []
    before: list[str] = []
    for line in text.split("\n"):
        start = _LINE.match(line)
        speaker = names.get(start[1].strip()) if start is not None else None
        if start is not None and speaker is not None:
            turns.append((speaker, [line[start.end() :]]))
        else:
            (turns[-1][1] if turns else before).append(line)
    if turns and any(line.strip() for line in before):
        turns[0] = (turns[0][0], [*before, *turns[0][1]])
        lost.append(
            _note("example-opening", f"what stands before its first line of {turns[0][0]!r} joins "
                  "that line: it has no speaker")
        )  # fmt: skip
    said = [Turn(speaker, "\n".join(lines).strip()) for speaker, lines in turns]
    return Block(tuple(turn for turn in said if turn.text), text)


def _taken(name: str) -> Lost:
    return _note("speaker-found", f"{name!r} at the beginning of a line is taken for a speaker; "
                 "name the speakers if it is none")  # fmt: skip


def _not_taken(name: str) -> Lost:
    return _note("speaker-doubtful", f"{name!r} at the beginning of a line is taken for text, as "
                 "the card speaks of nobody so called; name the speakers if it is one")  # fmt: skip


def _note(code: str, text: str) -> Lost:
    return Lost("note", code, None, FIELD, text)
