"""What a person sees: a rendering in a terminal, tables, and text made safe to print.

A terminal with colours gets the text itself, coloured by speaker. One without gets the same text
with marks: every control token in brackets, and who speaks wherever that changes.
"""

from __future__ import annotations

import json
import re
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rolecall.conversation import STANDARD_ROLES, Author

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from rich.console import Console
    from rich.text import Text

    from rolecall.conversation import Conversation, Message
    from rolecall.segment import Rendered


@dataclass(frozen=True)
class Output:
    """What a command came to; it is written once the command is through."""

    write: Callable[[], None]
    """Writes to standard output."""
    notes: Sequence[str] = ()
    """Lines for standard error."""
    status: int = 0
    """Exit status."""


_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029\ud800-\udfff]"
)
"""Characters that would move the cursor, change colours or turn text around."""


def visible(text: str, marks: str = "") -> str:
    """The text with what a terminal would act on, and with `marks`, spelled as escapes."""
    text = _INVISIBLE.sub(lambda found: _escape(found.group()), text)
    return re.sub(f"[{marks}]", lambda found: _escape(found.group()), text) if marks else text


def one_line(text: str) -> str:
    """The text on one line, safe to print."""
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")


def _escape(character: str) -> str:
    code = ord(character)
    return "\\r" if code == 13 else f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


# Colours.

FAMILIES: dict[Author, tuple[str, ...]] = {
    "owner": ("magenta", "color(170)", "color(133)", "color(176)"),
    "client": ("green", "color(71)", "color(107)", "color(36)"),
    "model": ("cyan", "color(68)", "color(75)", "color(31)", "color(104)", "color(44)"),
    "tool": ("yellow", "color(172)", "color(136)", "color(179)"),
}
"""Colours of each author: the first for its standard roles, the others for roles and names of the
caller's own. All are legible on black and on white."""


def colours(speakers: Sequence[tuple[Author, str, str | None]]) -> dict[Any, str]:
    """A colour for each ``(author, role, name)``.

    It is always the same one, unless another speaker of the conversation has it already.
    """
    chosen: dict[Any, str] = {}
    for speaker in dict.fromkeys(speakers):
        author, role, name = speaker
        first, *family = FAMILIES[author]
        if role in STANDARD_ROLES and name is None:
            chosen[speaker] = first
            continue
        start = zlib.crc32(f"{role}\0{name or ''}".encode()) % len(family)
        ordered = family[start:] + family[:start]
        taken = set(chosen.values())
        chosen[speaker] = next((colour for colour in ordered if colour not in taken), ordered[0])
    return chosen


# Consoles.


def console() -> Console:
    """A console on standard output, which prints what the terminal's encoding can hold."""
    from rich.console import Console

    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
    return Console(file=sys.stdout, highlight=False, markup=False, emoji=False)


def has_colour(screen: Console) -> bool:
    """Whether colours can be told apart on it."""
    return screen.color_system is not None and not screen.no_color


@dataclass(frozen=True)
class Marks:
    """What stands for colours where there are none, and tells lines apart."""

    control: tuple[str, str]
    speaker: tuple[str, str]
    masked: tuple[str, str]
    reasoning: str
    """Stands before each line of reasoning."""
    call: str
    """Stands before a tool call."""

    @property
    def characters(self) -> str:
        """Those that stand within text, for a regular expression's set."""
        return re.escape("".join((*self.control, *self.speaker, *self.masked)))


UNICODE_MARKS = Marks(("⟦", "⟧"), ("‹", "›"), ("⟪", "⟫"), "┊ ", "→ ")
ASCII_MARKS = Marks(("[[", "]]"), ("{", "}"), ("<<", ">>"), ": ", "> ")


def marks_for(encoding: str) -> Marks:
    """The marks that an encoding can write."""
    try:
        marks = UNICODE_MARKS
        f"{marks.characters}{marks.reasoning}{marks.call}".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return ASCII_MARKS
    return UNICODE_MARKS


# A rendering.


def show(
    screen: Console,
    rendering: Rendered,
    mask: npt.NDArray[np.bool_] | None,
    facts: Sequence[str] = (),
    *,
    explain: bool = True,
) -> None:
    """Print a rendering for a person.

    Args:
        screen: Where to.
        rendering: What.
        mask: For each segment whether it is trained on, or None.
        facts: What else to say in the last line.
        explain: Say what marks and styles mean; once is enough where several follow.
    """
    from rich.text import Text

    if has_colour(screen):
        body, items = _coloured(rendering, mask, explain)
    else:
        plain, items = _marked(rendering, mask, marks_for(screen.encoding), explain)
        body = Text(plain)
    if rendering.text.endswith("\n"):
        body = body[: len(body) - 1]
    screen.print(body, soft_wrap=True)
    screen.print()
    screen.print(_legend(items, screen.width))
    style = "dim" if has_colour(screen) else ""
    screen.print(Text(" · ".join([*_facts(rendering), *facts]), style=style))


def _legend(items: Sequence[Text], width: int) -> Text:
    """The items side by side, on as many lines as they need; a line ends between items only."""
    from rich.text import Text

    legend = Text()
    used = 0
    for item in items:
        if used and used + 2 + item.cell_len > width:
            legend.append("\n")
            used = 0
        elif used:
            legend.append("  ")
            used += 2
        legend.append_text(item)
        used += item.cell_len
    return legend


def _speaker(rendering: Rendered, index: int) -> tuple[Author, str, str | None]:
    message = rendering.conversation.messages[index]
    return rendering.authors[index], message.role, message.name


def _label(role: str, name: str | None) -> str:
    return one_line(role if name is None else f"{role} {name}")


def _coloured(
    rendering: Rendered, mask: npt.NDArray[np.bool_] | None, explain: bool
) -> tuple[Text, list[Text]]:
    from rich.style import Style
    from rich.text import Text

    speakers = [_speaker(rendering, index) for index in range(len(rendering.authors))]
    chosen = colours(speakers)
    body = Text()
    for number, segment in enumerate(rendering.segments):
        colour = None if segment.message is None else chosen[speakers[segment.message]]
        style = Style(
            color=colour,
            bold=segment.control or None,
            underline=segment.control or None,
            reverse=bool(mask[number]) if mask is not None else None,
        )
        body.append(visible(segment.text), style)
    legend = [
        Text.assemble((_label(role, name), Style(color=colour, bold=True)), f" ({author})")
        for (author, role, name), colour in chosen.items()
    ]
    if explain:
        legend.append(Text.assemble(("control token", Style(bold=True, underline=True))))
    if explain and mask is not None:
        legend.append(Text.assemble(("in the mask", Style(reverse=True))))
    return body, legend


def _marked(
    rendering: Rendered, mask: npt.NDArray[np.bool_] | None, marks: Marks, explain: bool
) -> tuple[str, list[Text]]:
    from rich.text import Text

    pieces: list[str] = []
    said: int | None = None
    inside = False
    for number, segment in enumerate(rendering.segments):
        masked = mask is not None and bool(mask[number])
        if inside and not masked:
            pieces.append(marks.masked[1])
        if segment.message is not None and segment.message != said:
            said = segment.message
            _, role, name = _speaker(rendering, said)
            pieces.append(f"{marks.speaker[0]}{said} {_label(role, name)}{marks.speaker[1]}")
        if masked and not inside:
            pieces.append(marks.masked[0])
        inside = masked
        text = visible(segment.text, marks.characters if marks is UNICODE_MARKS else "")
        pieces.append(f"{marks.control[0]}{text}{marks.control[1]}" if segment.control else text)
    if inside:
        pieces.append(marks.masked[1])
    speakers = [_speaker(rendering, index) for index in range(len(rendering.authors))]
    legend = [*dict.fromkeys(f"{_label(role, name)} ({author})" for author, role, name in speakers)]
    if explain:
        legend.append(f"{marks.speaker[0]}message speaker{marks.speaker[1]}")
        legend.append(f"{marks.control[0]}control token{marks.control[1]}")
    if explain and mask is not None:
        legend.append(f"{marks.masked[0]}in the mask{marks.masked[1]}")
    return "".join(pieces), [Text(item) for item in legend]


def _facts(rendering: Rendered) -> list[str]:
    text = rendering.text
    facts = [rendering.writer.name, count(len(text), "character")]
    ending = {"\n": "a newline", " ": "a space", "\t": "a tab"}.get(text[-1:])
    if ending:
        facts.append(f"ends in {ending}")
    if rendering.stop:
        facts.append("stops at " + " ".join(one_line(stop) for stop in rendering.stop))
    return facts


# A conversation that was parsed.


def show_conversation(
    screen: Console,
    conversation: Conversation,
    authors: Sequence[Author | None],
    facts: Sequence[str],
) -> None:
    """Print a conversation for a person: a block for each message.

    Only headers begin in the first column, so that no content can pass for one.

    Args:
        screen: Where to.
        conversation: What.
        authors: The author of each message, or None where nothing tells.
        facts: What to say in the last line.
    """
    from rich.style import Style
    from rich.text import Text

    coloured = has_colour(screen)
    marks = marks_for(screen.encoding)
    messages = conversation.messages
    known: list[tuple[Author, str, str | None]] = [
        (author, message.role, message.name)
        for author, message in zip(authors, messages, strict=True)
        if author is not None
    ]
    chosen = colours(known)

    def lines(gutter: str, text: str, style: Style) -> None:
        body = Text(visible(text))
        body.expand_tabs(8)
        for line in body.wrap(screen, max(1, screen.width - 2), overflow="fold"):
            screen.print(Text(gutter + line.plain, style), soft_wrap=True)

    def heading(text: str, style: Style) -> None:
        first, *rest = Text(text).wrap(screen, max(1, screen.width - 2), overflow="fold")
        screen.print(Text(first.plain, style), soft_wrap=True)
        for line in rest:
            screen.print(Text(f"  {line.plain}", style), soft_wrap=True)

    plain = Style()
    dim = Style(dim=True) if coloured else plain
    for name, value in _besides(conversation):
        heading(f"{name}: {value}", dim)
    if any(True for _ in _besides(conversation)):
        screen.print()
    for number, (message, author) in enumerate(zip(messages, authors, strict=True)):
        colour = chosen.get((author, message.role, message.name)) if coloured else None
        style = Style(color=colour)
        heading(f"{number} {_about(message, author)}", style + Style(bold=coloured or None))
        if message.reasoning_content is not None:
            lines(marks.reasoning, message.reasoning_content, style + dim)
        if message.text:
            lines("  ", message.text, style)
        for call in message.tool_calls:
            named = "" if call.id is None else f" (id {one_line(call.id)})"
            arguments = json.dumps(call.arguments, ensure_ascii=False)
            lines(marks.call, f"{one_line(call.name)}{named} {arguments}", style)
        screen.print()
    legend: list[Text] = []
    if any(message.reasoning_content is not None for message in messages):
        legend.append(Text(f"{marks.reasoning}reasoning"))
    if any(message.tool_calls for message in messages):
        legend.append(Text(f"{marks.call}tool call"))
    if legend:
        screen.print(_legend(legend, screen.width))
    screen.print(Text(" · ".join(facts), style=dim))


def _besides(conversation: Conversation) -> Iterator[tuple[str, str]]:
    """What a conversation holds beside its messages."""
    if conversation.tools:
        names = [str(tool.get("function", {}).get("name")) for tool in conversation.tools]
        yield "tools", ", ".join(map(one_line, names))
    for name, value in conversation.options.items():
        yield f"option {name}", one_line(str(value))


def _about(message: Message, author: Author | None) -> str:
    """Who speaks, and what else stands beside the content."""
    about = f"{_label(message.role, message.name)} ({author or 'author not known'})"
    if message.tool_call_id is not None:
        about += f", answers {one_line(message.tool_call_id)}"
    for key, value in message.attributes.items():
        about += f", {one_line(key)}={one_line(value)}"
    if not (message.text or message.tool_calls or message.reasoning_content):
        about += ", empty"
    return about


def count(number: int, noun: str) -> str:
    """``1 message``, ``2 messages``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


# Tables.


def table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()
) -> list[str]:
    """Lines of a table without frames, wide characters counted as wide.

    Args:
        columns: Headings.
        rows: Cells.
        right: Headings of the columns that stand to the right.
    """
    from rich.cells import cell_len

    every = [list(columns), *[[one_line(cell) for cell in row] for row in rows]]
    widths = [max(cell_len(row[index]) for row in every) for index in range(len(columns))]
    lines: list[str] = []
    for row in every:
        cells: list[str] = []
        for heading, cell, width in zip(columns, row, widths, strict=True):
            space = " " * (width - cell_len(cell))
            cells.append(space + cell if heading in right else cell + space)
        lines.append("  ".join(cells).rstrip())
    return lines


def records(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The same as a list, for terminals too narrow for the table."""
    lines: list[str] = []
    for row in rows:
        first, *others = [one_line(cell) for cell in row]
        lines.append(first)
        pairs = zip(columns[1:], others, strict=True)
        lines.append("  " + ", ".join(f"{heading} {cell}" for heading, cell in pairs if cell))
    return lines


def fitting(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Sequence[str] = (),
    spare: Sequence[str] = (),
) -> list[str]:
    """A table where it fits the terminal, else one without the spare columns, else a list.

    Whoever reads a pipe gets the whole table.
    """
    from rich.cells import cell_len

    lines = table(columns, rows, right=right)
    if not sys.stdout.isatty():
        return lines
    width = console().width
    if max(map(cell_len, lines)) <= width:
        return lines
    kept = [index for index, heading in enumerate(columns) if heading not in spare]
    lines = table(
        [columns[index] for index in kept], [[row[i] for i in kept] for row in rows], right=right
    )
    return lines if max(map(cell_len, lines)) <= width else records(columns, rows)


def write_lines(lines: Sequence[str]) -> None:
    """Write lines to standard output as UTF-8; to a terminal as its encoding and width can."""
    if sys.stdout.isatty():
        width = console().width
        sys.stdout.write("".join(f"{part}\n" for line in lines for part in _wrapped(line, width)))
    else:
        text = "".join(f"{line}\n" for line in lines)
        write_bytes(text.encode(errors="backslashreplace"))


def _wrapped(line: str, width: int) -> list[str]:
    """A line broken between words, what follows indented a little more."""
    from textwrap import wrap

    from rich.cells import cell_len

    if cell_len(line) <= width:
        return [line]
    indent = " " * (len(line) - len(line.lstrip()))
    return wrap(
        line.lstrip(),
        width,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def write_bytes(data: bytes) -> None:
    """Write bytes to standard output as they are."""
    sys.stdout.flush()
    rest = memoryview(data)
    while rest:
        # Where Python's output is unbuffered, a pipe may take less than it is given.
        rest = rest[sys.stdout.buffer.write(rest) :]
    sys.stdout.buffer.flush()


def json_bytes(lines: Sequence[object], *, indent: int | None = None) -> bytes:
    """JSON values, each ended by a newline, in UTF-8; a path that is not UTF-8 is escaped."""
    text = "".join(f"{json.dumps(line, ensure_ascii=False, indent=indent)}\n" for line in lines)
    return text.encode(errors="backslashreplace")
