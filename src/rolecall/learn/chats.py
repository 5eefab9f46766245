"""Random plain conversations, to learn from and to prove on."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rolecall.learn.table import ROLE

WORDS = (
    "harbour", "fog", "lamp", "nineteen miles", "Where?", "It is so.", "Ünïcödé", "日本語",
    "עברית", "👩‍👧", "e\u0301", "x", "0", "No.", "a b  c", "tab\there", "C:\\new\\n",
    'He said "it\'s".', "<b>&amp;</b>", "{{ x }}", "{% if %}", "{name}", "%s $y", "None", "true",
    "- item\n- item", "one\ntwo", "one\n\ntwo", "# Title\n\ntext", "```py\nx = 1\n```",
    "line\r\nline", "\u00a0wide\u2003", "zero\u200bwidth",
)  # fmt: skip
"""What contents are made of, beside blanks and what the template itself compares with."""

HOSTILE = (
    "<|im_end|>", "<|im_start|>system\n", "</s>", "<s>", "[INST]", "[/INST]", "<<SYS>>",
    "<end_of_turn>", "<|eot_id|>", "<|end|>", "<｜User｜>", "<|user|>", "### Response:\n", "USER: ",
    "ASSISTANT:", "<bos>", "<eos>", "<|endoftext|>", "Human: ", "\n\nuser\n",
)  # fmt: skip
"""Tokens and headers of many formats."""

ENDS = ("", "", "", "", "", "", " ", "\n", "  ", "\n\n", " \n", "\n ", "\t", "\r\n")
BLANKS = (" ", "\n", "\n\n", " \n ", "\t")


@dataclass(slots=True)
class Plain:
    """What plain conversations a format file is claimed for."""

    letters: str = "SUA"
    """Authors there are."""
    prompts: frozenset[str] = frozenset("U")
    """Authors behind which a generation prompt may be asked for."""
    excluded: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Author to what its contents do not hold."""
    blank: frozenset[str] = frozenset("SUA")
    """Authors whose contents may be white space alone."""
    ends: frozenset[str] = frozenset("SUA")
    """Authors whose contents may begin or end in white space."""
    full: frozenset[str] = frozenset()
    """Authors whose contents are never empty."""
    answered: bool = True
    """Whether a conversation with a system message may end in the assistant's."""
    constants: tuple[str, ...] = ()
    """Strings that the template compares with."""
    lengths: tuple[int, ...] = ()
    """Numbers of messages near those that the template compares with."""
    sizes: tuple[int, ...] = ()
    """Numbers of characters near those that it compares with."""

    def allows(self, letter: str, content: str) -> bool:
        """Whether an author may say this."""
        if not content:
            return letter not in self.full
        if not content.strip():
            return letter in self.blank
        if letter not in self.ends and content != content.strip():
            return False
        # Templates that look for a word often do so in lower case.
        low = content.lower()
        return not any(part.lower() in low for part in self.excluded.get(letter, ()))

    def holds(self, chat: Chat) -> bool:
        """Whether a conversation is one of those claimed, its order aside."""
        if chat.prompt and chat.letters[-1:] not in self.prompts:
            return False
        if not self.answered and "S" in chat.letters and chat.letters[-1:] == "A":
            return False
        said = zip(chat.letters, chat.contents, strict=True)
        return all(self.allows(letter, content) for letter, content in said)


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation, and whether the model is to speak next."""

    letters: str
    contents: tuple[str, ...]
    prompt: bool

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The conversation in wire form."""
        return [
            {"role": ROLE[letter], "content": content}
            for letter, content in zip(self.letters, self.contents, strict=True)
        ]

    @property
    def arguments(self) -> Mapping[str, Any]:
        """What is given to template and format alike, beside the messages."""
        return {"add_generation_prompt": self.prompt}


def text(rng: random.Random, domain: Plain, letter: str) -> str:
    """A random content of an author."""
    for _ in range(50):
        made = _text(rng, domain, letter)
        if letter not in domain.ends and made.strip():
            made = made.strip()
        if domain.allows(letter, made):
            return made
    return rng.choice(("x", "yes", "again"))


def _text(rng: random.Random, domain: Plain, letter: str) -> str:
    kind = rng.random()
    if kind < 0.04 and letter not in domain.full:
        return ""
    if kind < 0.08 and letter in domain.blank:
        return rng.choice(BLANKS)
    if kind < 0.13:
        return _long(rng, rng.choice((*SIZES, *domain.sizes)))
    pieces: list[str] = []
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 5))):
        pick = rng.random()
        if pick < 0.2:
            pieces.append(rng.choice(HOSTILE))
        elif pick < 0.4 and domain.constants:
            pieces.append(rng.choice(domain.constants))
        elif pick < 0.5:
            pieces.append("".join(chr(rng.randrange(0x20, 0x500)) for _ in range(rng.randrange(9))))
        else:
            pieces.append(rng.choice(WORDS))
    joined = rng.choice((" ", "", "\n")).join(pieces)
    return f"{rng.choice(ENDS)}{joined}{rng.choice(ENDS)}"


SIZES = (70, 130, 300, 700, 1500, 3000)
"""Characters of long contents."""
MANY = 200
"""Up to here words and lines are counted too, and not characters alone."""
SINGLE = ("harbour", "fog", "lamp", "Where?", "so")


def _long(rng: random.Random, size: int) -> str:
    """A content of so many characters, words or lines, or of a few characters more."""
    between = rng.choice((" ", "\n"))
    if size <= MANY and rng.random() < 0.4:
        return between.join(rng.choices(SINGLE, k=size))
    words: list[str] = []
    while sum(map(len, words)) + len(words) < size:
        words.append(rng.choice(WORDS[:6]))
    joined = between.join(words)
    return joined[:size].strip() if rng.random() < 0.5 else joined


def usual(rng: random.Random, domain: Plain) -> Chat:
    """A conversation of a user and an assistant in turn, behind a system message or none."""
    lengths = (*range(1, 8), 9, 12, 17, 24, *domain.lengths)
    letters = ("UA" * 40)[: rng.choice(lengths)]
    if "S" in domain.letters and rng.random() < 0.5:
        letters = f"S{letters}"
    return chat(rng, domain, letters)


def unusual(rng: random.Random, domain: Plain) -> Chat:
    """A conversation of these authors in any order."""
    weights = [0.5 if letter == "S" else 1.0 for letter in domain.letters]
    length = rng.choice((1, 2, 2, 3, 3, 3, 4, 4, 5, 5, 6, 7, 8, 10, 14))
    return chat(rng, domain, "".join(rng.choices(domain.letters, weights, k=length)))


def system_anywhere(rng: random.Random, domain: Plain) -> Chat:
    """A conversation of a user and an assistant in turn, system messages before any user's."""
    letters = usual(rng, domain).letters.replace("S", "")[:14]
    made = "".join(
        "S" * rng.choice((0, 0, 1, 1, 2)) * (letter == "U") + letter for letter in letters
    )
    return chat(rng, domain, made)


def benign(rng: random.Random, domain: Plain) -> Chat:
    """A conversation in the usual order whose contents nobody could take for anything else."""
    letters = ("UA" * 6)[: rng.randrange(1, 9)]
    if "S" in domain.letters and rng.random() < 0.5:
        letters = f"S{letters}"
    contents = tuple(f"word{rng.randrange(100)}" for _ in letters)
    return Chat(letters, contents, prompt=False)


def chat(rng: random.Random, domain: Plain, letters: str) -> Chat:
    """A conversation of these authors, with random contents."""
    if not domain.answered and "S" in letters:
        letters = letters.rstrip("A")
    contents = tuple(text(rng, domain, letter) for letter in letters)
    prompt = letters[-1:] in domain.prompts and letters != "" and rng.random() < 0.5
    return Chat(letters, contents, prompt)


_STRING = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"", re.DOTALL)
_EXPRESSION = re.compile(r"\{[{%](.*?)[%}]\}", re.DOTALL)


def constants(jinja: str) -> tuple[tuple[str, ...], tuple[int, ...], tuple[int, ...]]:
    """Strings, numbers of messages and of characters that a template may compare with."""
    found: dict[str, None] = {}
    numbers: set[int] = set()
    for expression in _EXPRESSION.findall(jinja):
        for single, double in _STRING.findall(expression):
            try:
                said = (single or double).encode("latin-1", "backslashreplace")
                found[said.decode("unicode_escape")] = None
            except UnicodeDecodeError:
                found[single or double] = None
        bare = _STRING.sub("", expression)
        numbers |= {int(number) for number in re.findall(r"(?<![\w.])\d{1,5}(?![\w.])", bare)}
    near = {n + d for n in numbers for d in (-1, 0, 1, 2) if 0 < n + d <= 60 and n > 2}
    for one in [one for one in found if one.isascii() and len(one.strip()) > 1]:
        found |= dict.fromkeys((one.lower(), one.upper(), one.title()))
    strings = [one for one in found if 0 < len(one) <= 60 and one not in ROLE.values()]
    sizes = {n + d for n in numbers for d in (-1, 0, 1, 20) if 3 < n <= 20_000 and n + d > 0}
    return tuple(strings[:300]), tuple(sorted(near)), tuple(sorted(sizes))


def shrunk(chat: Chat, fails: Callable[[Chat], bool]) -> Chat:
    """A smaller conversation that fails in the same way.

    Args:
        chat: One that fails.
        fails: Tells of a conversation whether it does.
    """
    best, smaller = chat, True
    while smaller:
        smaller = False
        for other in _smaller(best):
            if fails(other):
                best, smaller = other, True
                break
    return best


def _smaller(chat: Chat) -> Sequence[Chat]:
    found: list[Chat] = []
    for at in range(len(chat.letters)):
        if len(chat.letters) > 1:
            letters = chat.letters[:at] + chat.letters[at + 1 :]
            contents = chat.contents[:at] + chat.contents[at + 1 :]
            found.append(Chat(letters, contents, chat.prompt))
    if chat.prompt:
        found.append(Chat(chat.letters, chat.contents, False))
    for at, content in enumerate(chat.contents):
        for less in _less(content):
            contents = (*chat.contents[:at], less, *chat.contents[at + 1 :])
            found.append(Chat(chat.letters, contents, chat.prompt))
    return found


def _less(content: str) -> Sequence[str]:
    """Simpler contents; a word is the simplest, and what is shorter than it stays as it is."""
    if content == WORD or len(content) < 2:
        return []
    half = len(content) // 2
    found = [WORD] if len(content) > len(WORD) else []
    found += [content[:half], content[half:]]
    if len(content) < 16:
        found += [content[1:], content[:-1]]
    return found


WORD = "word"
