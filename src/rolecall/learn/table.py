"""What a template writes between the contents of neighbouring messages, as a table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from rolecall.conversation import Author
from rolecall.errors import TemplateLimit, TemplateRaised
from rolecall.learn.draft import Inexpressible, literal
from rolecall.learn.probe import Field, Literal, Piece, Prober, pieces

AUTHOR: dict[str, Author] = {"S": "owner", "U": "client", "A": "model"}
ROLE: dict[str, str] = {"S": "system", "U": "user", "A": "assistant"}
END = "end"
"""In place of a following message: the conversation is over."""
GEN = "generate"
"""In place of a following message: the model is to speak next."""

BOS, EOS, LABEL, DATE = "\ue000", "\ue001", "\ue002", "\ue003"
"""In a gap: the token that begins a document, the one that ends a text, the label of the message
that follows, the date."""
_TOKENS = {"bos_token": BOS, "eos_token": EOS}
_SPELLED = {BOS: "{bos_token}", EOS: "{eos_token}", LABEL: "{role}"}
MARKS = (BOS, EOS, LABEL, DATE)
USUAL = {(None, "S"), (None, "U"), ("S", "U"), ("U", "A"), ("U", GEN), ("A", "U")}
"""Neighbours in a conversation of the usual order."""


def messages(letters: str, contents: Sequence[str]) -> list[dict[str, Any]]:
    """Messages of these authors that say these contents."""
    return [
        {"role": ROLE[letter], "content": content}
        for letter, content in zip(letters, contents, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a template wrote around the contents of a conversation, all of them in their order."""

    gaps: tuple[str, ...]
    """What stands before each content, and behind the last."""


@dataclass(frozen=True, slots=True)
class Unlike:
    """Contents that are missing, or stand elsewhere or more than once."""

    order: tuple[int, ...]
    """Numbers of the messages as their contents stand in the output."""
    gaps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """The template refuses, or fails."""

    reason: str


Observed = Seen | Unlike | Refused


def observe(
    prober: Prober,
    letters: str,
    *,
    prompt: bool = False,
    more: Mapping[int, Mapping[str, Any]] | None = None,
) -> Observed:
    """Try a conversation of these authors, each saying a word of its own.

    Args:
        prober: Tries it.
        letters: ``S``, ``U`` and ``A`` for each message.
        prompt: Whether the model is to speak next.
        more: Number of a message to further fields of it.
    """
    given = messages(letters, prober.words(len(letters)))
    for index, fields in (more or {}).items():
        given[index] |= fields
    trace = prober.trace(given, add_generation_prompt=prompt)
    if isinstance(trace, (TemplateRaised, TemplateLimit)):
        return Refused(str(getattr(trace, "reason", trace)))
    order, gaps = _apart(pieces(trace), prober.date)
    if order == list(range(len(letters))):
        return Seen(tuple(gaps))
    return Unlike(tuple(order), tuple(gaps))


def _apart(found: Sequence[Piece], date: str) -> tuple[list[int], list[str]]:
    """Numbers of the contents in order, and the gaps around them."""
    order: list[int] = []
    gaps = [""]
    for number, piece in enumerate(found):
        if isinstance(piece, Literal):
            gaps[-1] += _TOKENS.get(piece.token) or _dated(piece.text, date)
        elif piece.message is not None and piece.field.startswith("content"):
            order.append(piece.message)
            gaps.append("")
        elif piece.field == "role" and piece.text == piece.given:
            gaps[-1] += LABEL if _labels_next(found, number) else piece.text
        else:
            gaps[-1] += piece.text
    return order, gaps


def _dated(text: str, date: str) -> str:
    return text.replace(date, DATE) if date else text


def _labels_next(found: Sequence[Piece], number: int) -> bool:
    """Whether a label is that of the message whose content follows, and the only one before it."""
    own = found[number]
    for piece in found[number + 1 :]:
        if isinstance(piece, Field):
            content = piece.field.startswith("content")
            return content and piece.message == own.message  # type: ignore[union-attr]
    return False


def shown(gap: str) -> str:
    """A gap as people read it."""
    for mark, name in _SPELLED.items():
        gap = gap.replace(mark, name)
    return repr(gap.replace(DATE, "{date}"))


def resolved(gap: str, letter: str) -> str:
    """A gap with the label of the message that follows written out."""
    return gap.replace(LABEL, ROLE.get(letter, ""))


def spelled(gap: str, *, grouped: bool = False, role: str | None = None) -> str:
    """A gap as a pattern.

    Args:
        gap: The gap.
        grouped: Whether it stands inside a group.
        role: The role to write out in place of a label; None leaves the slot.

    Raises:
        Inexpressible: If no pattern can spell it.
    """
    if role is not None:
        gap = gap.replace(LABEL, role)
    made: list[str] = []
    rest = ""
    for character in gap:
        if character in MARKS:
            made += [literal(rest, grouped=grouped), _SPELLED.get(character, "{date_string}")]
            rest = ""
        else:
            rest += character
    return "".join([*made, literal(rest, grouped=grouped)])


class Key(NamedTuple):
    """Two neighbours: the one before (None at the start) and the one behind."""

    before: str | None
    behind: str


@dataclass(slots=True)
class Table:
    """Gaps by their neighbours."""

    gaps: dict[Key, str] = field(default_factory=dict[Key, str])
    seen_in: dict[Key, str] = field(default_factory=dict[Key, str])
    """The conversation that a gap was first seen in."""
    last: dict[Key, str] = field(default_factory=dict[Key, str])
    """Gaps before the last content where they differ from those before any other."""

    def copy(self) -> Table:
        """An independent copy."""
        return Table(dict(self.gaps), dict(self.seen_in), dict(self.last))

    def add(self, letters: str, seen: Seen, *, prompt: bool) -> None:
        """Add the gaps of a conversation.

        Raises:
            Inexpressible: If the same neighbours had another gap between them.
        """
        behind = GEN if prompt else END
        keys = [
            Key(before, after)
            for before, after in zip([None, *letters], [*letters, behind], strict=True)
        ]
        for number, (key, gap) in enumerate(zip(keys, seen.gaps, strict=True)):
            final = number == len(letters) - 1 and key.behind == "A"
            kept = self.last if final else self.gaps
            known = kept.setdefault(key, gap)
            if LABEL in gap:
                kept[key] = gap
            if resolved(known, key.behind) != resolved(gap, key.behind):
                place = f"between {key.before or 'the start'} and {key.behind}"
                raise Inexpressible(
                    f"{place} it writes {shown(known)} in {self.seen_in[key]}, and {shown(gap)} in "
                    f"{letters}",
                    letters=letters,
                )
            self.seen_in.setdefault(key, letters)

    def get(self, before: str | None, behind: str) -> str | None:
        """The gap between two neighbours, or None where it was not seen."""
        found = self.gaps.get(Key(before, behind))
        return self.last.get(Key(before, behind)) if found is None else found


def has_token(text: str, control: re.Pattern[str]) -> bool:
    """Whether a gap holds a control token."""
    return EOS in text or control.search(text) is not None
