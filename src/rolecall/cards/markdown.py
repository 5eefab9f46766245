"""Cards in Markdown: the main heading is the character's name, subheadings divide the rest.

So the author of OpenChatML issue #7 describes his: headings for sections, bullet points, indented
ones for what belongs together, all in the third person. All of it goes into the system prompt as
it stands, except for sections that say by their heading that they are something else.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from rolecall.cards.card import Card, CardError

SECTIONS = {
    "greeting": "greetings",
    "greetings": "greetings",
    "first message": "greetings",
    "alternate greeting": "alternates",
    "alternate greetings": "alternates",
    "example": "mes_example",
    "examples": "mes_example",
    "example dialogue": "mes_example",
    "example dialogues": "mes_example",
    "example messages": "mes_example",
    "system prompt": "system_prompt",
    "post history instructions": "post_history_instructions",
    "nickname": "nickname",
    "creator notes": "creator_notes",
    "creator's notes": "creator_notes",
}
"""Headings, in small letters, of what is no part of the description."""

_HEADING = re.compile(r" {0,3}(#{1,6})(?=[ \t]|$)")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")


class _Heading(NamedTuple):
    line: int
    level: int
    text: str


def card_of_markdown(text: str, source: str) -> Card:
    """Read a card in Markdown.

    Args:
        text: The Markdown.
        source: What to call it in errors.

    Raises:
        CardError: If there is no main heading, more than one, or text before it.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    headings = _headings(lines)
    name = _name(lines, headings, source)
    parts: dict[str, list[str]] = {}
    description: list[str] = []
    bounds = [heading for heading in headings if heading.level <= 2]
    ends = [heading.line for heading in bounds[1:]] + [len(lines)]
    for heading, end in zip(bounds, ends, strict=True):
        field = SECTIONS.get(_plain(heading.text)) if heading.level == 2 else None
        if field is None:
            description += lines[heading.line : end]
        else:
            parts.setdefault(field, []).append("\n".join(lines[heading.line + 1 : end]).strip())
    for field, found in parts.items():
        if field not in ("greetings", "alternates", "mes_example") and len(found) > 1:
            raise CardError(
                "there are two sections of that heading; make them one",
                source=source,
                field=field.replace("_", " "),
            )
    first, *others = parts.pop("greetings", [""])
    others += parts.pop("alternates", [])
    examples = "\n<START>\n".join(parts.pop("mes_example", []))
    texts: dict[str, Any] = {field: found[0] for field, found in parts.items()}
    return Card(
        name=name,
        description="\n".join(description).strip(),
        first_mes=first,
        alternate_greetings=tuple(others),
        mes_example=examples,
        **texts,
        spec="markdown",
    )


def _headings(lines: list[str]) -> list[_Heading]:
    """The headings, leaving out what stands in blocks of code."""
    found: list[_Heading] = []
    fence = ""
    for number, line in enumerate(lines):
        mark = _FENCE.match(line)
        if fence:
            if mark is not None and mark[1].startswith(fence) and not line[mark.end() :].strip():
                fence = ""
        elif mark is not None:
            fence = mark[1]
        elif (heading := _HEADING.match(line)) is not None:
            text = line[heading.end() :].strip()
            closed = text.rstrip("#")
            if not closed or closed[-1].isspace():
                text = closed.rstrip()
            found.append(_Heading(number, len(heading[1]), text))
    return found


def _name(lines: list[str], headings: list[_Heading], source: str) -> str:
    main = [heading for heading in headings if heading.level == 1]
    if not main:
        raise CardError(
            "it is neither JSON nor PNG, and as Markdown it has no main heading; begin with a line "
            "'# ' and the character's name",
            source=source,
        )
    before = next((n for n, line in enumerate(lines[: main[0].line], 1) if line.strip()), None)
    if before is not None:
        raise CardError(
            f"line {before} stands before the main heading in line {main[0].line + 1}; put it "
            "behind it",
            source=source,
        )
    if len(main) > 1:
        raise CardError(
            f"line {main[1].line + 1} is a second main heading, {main[1].text!r}; a card has one "
            "character, and its sections begin with '## '",
            source=source,
        )
    if not main[0].text:
        raise CardError(
            f"the main heading in line {main[0].line + 1} is empty; it is the character's name",
            source=source,
        )
    return main[0].text


def _plain(heading: str) -> str:
    """A heading as it stands in `SECTIONS`."""
    return " ".join(re.sub(r"[-*_:]+", " ", heading).lower().replace("’", "'").split())
