"""Format pages as tests: the examples and references that each page holds.

A page is Markdown. Under a heading that begins with ``Example:`` stand fenced blocks whose first
line says what they hold: ``json conversation``, ``json arguments``, ``text expected``,
``ids TOKENIZER``, ``lost`` and ``error``, and ``text departs`` where the reference gives another
text on purpose: one sentence says why. ``json parsed`` is the conversation that `Format.parse`
reads back, from the text and from the ids unless ``json parsed ids`` holds what those give;
``unread`` and ``unread ids`` are its records, each once, without the note that a text was read. Where that is not the canonical conversation,
``parsed departs`` says why. Anywhere in the page, ``toml reference`` blocks say what the format is
compared with.
"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import rolecall as rc
from rolecall.format import FOLDER
from tests.support.assets import tokenizer_file

FENCE = re.compile(r"^(```+)([^\n`]*)\n(.*?)^\1[ ]*$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#{2,4} Example: (.+)$", re.MULTILINE)
ANY_HEADING = re.compile(r"^#{1,4} ", re.MULTILINE)


OF_RENDER = ("add_generation_prompt", "continue_final_message", "speaker", "strict")
"""Arguments of `render` that are no part of the conversation."""


@dataclass(frozen=True)
class Example:
    """One example of a page."""

    format: str
    title: str
    conversation: Any
    arguments: dict[str, Any] = field(default_factory=dict[str, Any])
    text: str | None = None
    ids: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    lost: tuple[str, ...] = ()
    error: str | None = None
    departs: str | None = None
    parsed: dict[str, Any] = field(default_factory=dict[str, Any])
    """``text`` and ``ids`` to the conversation that is read back from them, where it is shown."""
    unread: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """``text`` and ``ids`` to the records of reading them, where some are shown."""
    parsed_departs: str | None = None

    def __str__(self) -> str:
        return f"{self.format}: {self.title}"

    def render(self) -> rc.Rendering:
        """Render the conversation as the example says."""
        return rc.format(self.format).render(self.conversation, **self.arguments)

    @property
    def given(self) -> rc.Conversation:
        """The conversation with the tools, cast and options that the arguments name."""
        asked = {key: value for key, value in self.arguments.items() if key not in OF_RENDER}
        tools, cast = asked.pop("tools", None), asked.pop("cast", None)
        return rc.Conversation.read(self.conversation, tools=tools, cast=cast, options=asked)

    @property
    def canonical(self) -> rc.Conversation:
        """What the format makes of the conversation."""
        return rc.format(self.format).canonical(self.given)

    def parse(self, tokenizer: str | None = None) -> rc.Conversation:
        """Read the expected text back, or the ids of a test tokenizer, as far as it goes."""
        known = self.canonical
        source: Any = self.text if tokenizer is None else self.ids[tokenizer]
        engine = None if tokenizer is None else _engine(tokenizer)
        return rc.format(self.format).parse(
            source, tokenizer=engine, cast=known.cast, strict=False, **known.options
        )


@cache
def _engine(tokenizer: str) -> object:
    return rc.tokenizer(tokenizer_file(tokenizer))


@dataclass(frozen=True)
class Page:
    """The page of one format."""

    format: str
    text: str
    examples: tuple[Example, ...]
    references: tuple[dict[str, Any], ...]


def blocks(text: str) -> list[tuple[str, str]]:
    """The fenced blocks of a Markdown text: what each holds, and its body without the last newline."""
    return [(match[2].strip(), match[3].removesuffix("\n")) for match in FENCE.finditer(text)]


def _sections(text: str) -> list[tuple[str, str]]:
    fences = [match.span() for match in FENCE.finditer(text)]

    def outside(match: re.Match[str]) -> bool:
        return not any(begin <= match.start() < end for begin, end in fences)

    headings = [match.start() for match in ANY_HEADING.finditer(text) if outside(match)]
    found: list[tuple[str, str]] = []
    for match in HEADING.finditer(text):
        if outside(match):
            end = next((at for at in headings if at > match.start()), len(text))
            found.append((match[1].strip(), text[match.end() : end]))
    return found


def _arguments(plain: dict[str, Any]) -> dict[str, Any]:
    speaker = plain.get("speaker")
    if speaker == {"any": True}:
        plain["speaker"] = rc.ANY
    elif isinstance(speaker, list):
        plain["speaker"] = tuple(speaker)  # pyright: ignore[reportUnknownArgumentType]
    return plain


def _example(name: str, title: str, section: str) -> Example:
    found: dict[str, Any] = {"ids": {}, "parsed": {}, "unread": {}}
    conversation: Any = None
    for kind, body in blocks(section):
        if kind == "json conversation":
            conversation = json.loads(body)
        elif kind == "json arguments":
            found["arguments"] = _arguments(json.loads(body))
        elif kind == "text expected":
            found["text"] = body
        elif kind.startswith("ids "):
            found["ids"][kind.removeprefix("ids ")] = [int(token) for token in body.split()]
        elif kind == "lost":
            found["lost"] = tuple(line for line in body.splitlines() if line.strip())
        elif kind in ("error", "text departs", "parsed departs"):
            key = kind.removeprefix("text ").replace(" ", "_")
            found[key] = " ".join(body.split())
        elif kind in ("json parsed", "json parsed ids"):
            plain = json.loads(body)
            where = "ids" if kind.endswith(" ids") else "text"
            found["parsed"][where] = {"messages": plain} if isinstance(plain, list) else plain
        elif kind in ("unread", "unread ids"):
            where = "ids" if kind.endswith(" ids") else "text"
            found["unread"][where] = tuple(line for line in body.splitlines() if line.strip())
        elif kind in ("json", "text", "toml", "python", "console", "jinja", ""):
            continue
        else:
            raise ValueError(f"{name}: example {title!r} has a block of unknown kind {kind!r}")
    if conversation is None:
        raise ValueError(f"{name}: example {title!r} has no conversation")
    if (found.get("text") is None) == (found.get("error") is None):
        raise ValueError(f"{name}: example {title!r} needs either `text expected` or `error`")
    if found.get("departs") == "" or ("departs" in found and found.get("text") is None):
        raise ValueError(f"{name}: example {title!r} departs without a text, or without a reason")
    if found.get("parsed_departs") == "" or ("parsed_departs" in found and not found["parsed"]):
        raise ValueError(f"{name}: example {title!r} departs without what is read, or a reason")
    if found.get("error") is not None and (found["parsed"] or found["unread"]):
        raise ValueError(f"{name}: example {title!r} is refused, and nothing can be read")
    return Example(name, title, conversation, **found)


@cache
def page(name: str) -> Page:
    """The page of a bundled format.

    Raises:
        ValueError: If an example is not whole.
    """
    text = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    examples = tuple(_example(name, title, section) for title, section in _sections(text))
    references = tuple(
        tomllib.loads(body) for kind, body in blocks(text) if kind == "toml reference"
    )
    return Page(name, text, examples, references)
