"""`rolecall parse`: a conversation read back from its ids or its text."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rolecall.cli import read
from rolecall.cli.options import CastOption
from rolecall.cli.screen import (
    Output,
    console,
    count,
    json_bytes,
    one_line,
    show_conversation,
    write_bytes,
)
from rolecall.conversation import Author, Cast, Conversation
from rolecall.errors import InputError, ParseError
from rolecall.lost import GRAVITY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rolecall.format import Format
    from rolecall.tokenizers import Tokenizer


@dataclass(frozen=True)
class Parsed:
    """One conversation that was read back."""

    source: read.Written
    format: Format
    conversation: Conversation
    size: str
    """How much was read, such as ``12 tokens``."""
    unit: str
    """What the spans of records count."""
    remarks: Sequence[str]
    """What is to be said beside the records."""


def command(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="What 'rolecall render --json' writes (its ids where they and --tokenizer are "
            "given, else its segments), a JSON list of ids, JSONL with one of either on each line, "
            "or plain text; - is standard input.",
            show_default=False,
        ),
    ],
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            metavar="FORMAT",
            help="A bundled format ('rolecall formats' lists them) or the path of a .toml file. "
            "Needed unless FILE names it; it wins over what FILE names.",
            show_default=False,
        ),
    ] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            "--tokenizer",
            "-t",
            metavar="PATH",
            help="What the ids belong to: a tokenizer.json, tekken.json or tokenizer.model, or a "
            "folder with one.",
        ),
    ] = None,
    text: Annotated[
        bool, typer.Option("--text", help="FILE is plain text, even where it looks like JSON.")
    ] = False,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            metavar="NAME=VALUE",
            help="An option that the format was given; it wins over what FILE says. Repeatable.",
        ),
    ] = None,
    cast: CastOption = None,
    strict: Annotated[
        str,
        typer.Option(
            "--strict",
            metavar="[=LEVEL]",
            help="Refuse what cannot be read: --strict (errors; the default), --strict=warning, "
            "--strict=note. --no-strict refuses nothing.",
            show_default=False,
        ),
    ] = "error",
    fail_on: Annotated[
        str | None,
        typer.Option(
            "--fail-on",
            metavar="LEVEL",
            help="Exit with 1 if something of this level could not be read: note, warning or "
            "error.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="What a pipe gets, in a terminal too.")
    ] = False,
) -> Output:
    """Read a conversation back from what a format wrote.

    A pipe gets one JSON object a conversation: messages, tools, cast and options as 'rolecall
    render' takes them, and in 'unread' a record for whatever the format does not account for, which
    render passes over. A terminal gets a block for each message. The records are said on standard
    error too, each with the ids or characters where it stands.

    In a text, what spells a control token is taken for one; ids and segments tell them apart.

    \b
    rolecall render chat.json -f chatml -t DIR --json | rolecall parse - -t DIR
    rolecall parse chat.txt -f qwen3
    """  # noqa: D301  (a backspace is how click is told to keep the lines as they are)
    level = read.choice("--strict", strict, (*read.LEVELS, "off"))
    if fail_on is not None:
        read.choice("--fail-on", fail_on, read.LEVELS)
    terminal = sys.stdout.isatty() and not as_json
    added = read.read_cast(cast or [])
    engine: Tokenizer | None = None
    sources = read.written(file, plain=text)
    if tokenizer is not None:
        from rolecall.tokenizers import tokenizer as load

        engine = load(tokenizer)
    results = [_parse(source, format, engine, option or [], added) for source in sources]
    for result in results:
        _refuse(result, level)
    levels = {record.level for result in results for record in result.conversation.unread}
    status = 1 if read.is_reached(fail_on, levels) else 0
    notes = _notes(results)
    if terminal:
        return Output(lambda: _show(results), notes, status)
    data = json_bytes([_json(result.conversation) for result in results])
    return Output(lambda: write_bytes(data), notes, status)


def _parse(
    source: read.Written,
    format: str | None,
    engine: Tokenizer | None,
    given: Sequence[str],
    added: Cast,
) -> Parsed:
    fmt = read.written_format(source, format)
    own = format is None or format == source.format
    options, lacks = read.written_options(source, fmt, given, own=own)
    remarks = [
        f"{fmt.name} takes no option {name!r}; what {source.where} says of it is not used"
        for name in lacks
    ]
    with read.at(source):
        cast = Cast({**Cast.read(source.cast).entries, **added.entries})
    ids = None if source.ids is None else [token for token in source.ids if token is not None]
    whole = ids is not None and source.ids is not None and len(ids) == len(source.ids)
    if ids is not None and engine is not None and whole:
        found = fmt.parse(ids, tokenizer=engine, cast=cast, strict=False, **options)
        return Parsed(source, fmt, found, count(len(ids), "token"), "tokens", remarks)
    if ids is not None and engine is not None and (source.segments or source.text is not None):
        remarks.append(
            "ids of control tokens that the tokenizer lacks are null; read was the text instead"
        )
    if source.segments is not None:
        found = _from_segments(fmt, source.segments, cast, options)
        size = sum(len(text) for text, _ in source.segments)
    elif source.text is not None:
        found = fmt.parse(source.text, cast=cast, strict=False, **options)
        size = len(source.text)
    elif engine is None:
        raise InputError(
            f"{source.where} holds ids, which can only be read with their tokenizer; give "
            "--tokenizer"
        )
    else:
        raise InputError(
            f"{source.where}: ids that are null stand for control tokens that the tokenizer "
            "lacked, and cannot be told apart; give what 'rolecall render --json' writes, whose "
            "text is read then, or add the tokens to the tokenizer"
        )
    return Parsed(source, fmt, found, count(size, "character"), "characters", remarks)


def _from_segments(
    fmt: Format, segments: Sequence[tuple[str, bool]], cast: Cast, options: Mapping[str, Any]
) -> Conversation:
    """Parse text of which it is known what in it is control; spans count its characters."""
    from rolecall.parse import Session, conversation_of
    from rolecall.symbols import FOREIGN, Chunk

    session = Session(fmt, None, cast, options)
    at = 0
    for text, control in segments:
        end = at + len(text)
        if control:
            symbol = session.grammar.control.get(text, FOREIGN)
            chunk = Chunk(symbol, at, end, token=text)
        else:
            chunk = Chunk(text, at, end)
        at = end
        for _ in session.read(chunk):
            session.agree()
    session.finish()
    return conversation_of(session)


def _refuse(result: Parsed, level: str) -> None:
    """Raise what ``strict`` does not allow.

    Raises:
        ParseError: If there is a record of that level.
    """
    conversation = result.conversation
    if level == "off":
        return
    refused = [r for r in conversation.unread if GRAVITY[r.level] >= GRAVITY[level]]
    if refused:
        more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
        raise ParseError(
            f"{result.source.where}: {refused[0]}{more}", conversation, conversation.unread
        )


def _notes(results: Sequence[Parsed]) -> list[str]:
    """One line for each record; several conversations say which is meant."""
    notes: list[str] = []
    for result in results:
        lines = [*result.remarks, *map(str, result.conversation.unread)]
        several = len(results) > 1
        notes += [f"{result.source.where}: {line}" if several else line for line in lines]
    return notes


def _json(conversation: Conversation) -> dict[str, Any]:
    wire = conversation.to_wire()
    return {**wire, "unread": [record._asdict() for record in conversation.unread]}


def _show(results: Sequence[Parsed]) -> None:
    screen = console()
    for number, result in enumerate(results):
        if len(results) > 1:
            if number:
                screen.print()
            screen.rule(one_line(f"{number + 1} of {len(results)}: {result.source.where}"))
        conversation = result.conversation
        facts = [result.format.name, count(len(conversation.messages), "message"), result.size]
        if conversation.unread:
            found = Counter(record.level for record in conversation.unread)
            levels = [count(found[level], level) for level in read.LEVELS if found[level]]
            facts.append(f"{', '.join(levels)}, each with its {result.unit}")
        declared = result.format.declared
        authors: list[Author | None] = [
            conversation.cast.author(message.role, message.name) or declared.get(message.role)
            for message in conversation.messages
        ]
        show_conversation(screen, conversation, authors, facts)
