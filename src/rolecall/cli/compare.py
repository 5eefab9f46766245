"""`rolecall compare`: what one conversation costs and loses under several formats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from rolecall.cli import read
from rolecall.cli.options import CastOption, ToolsOption
from rolecall.cli.screen import (
    Output,
    count,
    fitting,
    json_bytes,
    one_line,
    write_bytes,
    write_lines,
)
from rolecall.compare import Cost, Refused, TurnCost, compare
from rolecall.errors import InputError
from rolecall.format import Format, load_format

COLUMNS = ("format", "tokens", "content", "names", "structure", "a turn", "document", "lost")
HEADINGS = ("as written", "turns", "header", "name", "end", "other")


def command(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="One conversation: a list of messages, or {messages, tools, cast, options}; "
            "- is standard input.",
            show_default=False,
        ),
    ],
    formats: Annotated[
        str,
        typer.Option(
            "--formats", "-f", metavar="A,B,C", help="Names or paths.", show_default=False
        ),
    ],
    tokenizer: Annotated[
        str,
        typer.Option(
            "--tokenizer",
            "-t",
            metavar="PATH",
            help="A tokenizer.json, tekken.json or tokenizer.model, or a folder with one.",
            show_default=False,
        ),
    ],
    cast: CastOption = None,
    tools: ToolsOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object for each format.")
    ] = False,
) -> Output:
    """Count what a conversation costs and loses under formats.

    A control token that the tokenizer lacks counts as the one token it would become.
    """
    chosen = _formats(formats)
    sources = read.conversations(file)
    if len(sources) > 1:
        raise InputError(
            f"{sources[0].where.rpartition(',')[0]} holds {len(sources)} conversations; compare "
            "takes one"
        )
    conversation = read.read_conversation(
        sources[0],
        cast=read.read_cast(cast or []),
        tools=None if tools is None else read.json_file(tools),
        options={},
    )
    from rolecall.tokenizers import tokenizer as load

    engine = load(tokenizer)
    results = compare(conversation, chosen, engine)
    if all(isinstance(result, Refused) for result in results):
        raise InputError(
            "none of the formats can write it; the first says: "
            + next(result.reason for result in results if isinstance(result, Refused))
        )
    if as_json:
        data = json_bytes([_json(result) for result in results])
        return Output(lambda: write_bytes(data))
    rows = [_row(result) for result in results]
    lines = fitting(COLUMNS, rows, right=COLUMNS[1:7])
    for result in results:
        lines += ["", *_detail(result, engine.name)]
    return Output(lambda: write_lines(lines))


def _formats(text: str) -> list[Format]:
    """The formats of a comma-separated list.

    Raises:
        InputError: If the list is empty or names a format twice.
    """
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise InputError(f"--formats {text!r}: give names or paths, separated by commas")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"--formats: {twice!r} stands twice")
    return [load_format(name) for name in names]


def _row(result: Cost | Refused) -> list[str]:
    if isinstance(result, Refused):
        return [result.format.name, "", "", "", "", "", "", "cannot be written"]
    numbers = [result.tokens, result.content, result.names, result.structure]
    mean = f"{result.structure_per_turn:.1f}"
    lost = _lost(result)
    return [result.format.name, *map(str, numbers), mean, str(result.document), lost]


def _lost(cost: Cost) -> str:
    found = Counter(record.level for record in cost.lost)
    return ", ".join(count(found[level], level) for level in read.LEVELS if found[level]) or "-"


def _detail(result: Cost | Refused, tokenizer: str) -> list[str]:
    """What stands below the table for one format."""
    name = result.format.name
    if isinstance(result, Refused):
        return [f"{name} cannot write it", f"  {one_line(result.reason)}"]
    stop = " ".join(map(one_line, result.stop)) or "nothing"
    lines = [f"{name} stops at {stop}"]
    shapes = Counter(
        (turn.text, turn.header, turn.name, turn.end, turn.other) for turn in result.turns
    )
    rows = [
        [text or "(none)", str(turns), *map(str, numbers)]
        for (text, *numbers), turns in shapes.items()
    ]
    lines += [f"  {line}" for line in fitting(HEADINGS, rows, right=HEADINGS[1:])]
    if result.missing:
        tokens = " ".join(map(one_line, result.missing))
        lines.append(f"  {tokenizer} lacks {tokens}")
        lines.append("  each is counted as one token; add them to the tokenizer as special tokens")
    if result.ignored:
        lines.append(f"  takes no option {', '.join(map(one_line, result.ignored))}")
    lines += [f"  lost: {one_line(str(record))}" for record in result.lost]
    return lines


def _json(result: Cost | Refused) -> dict[str, Any]:
    if isinstance(result, Refused):
        return {"format": result.format.name, "error": result.reason}
    return {
        "format": result.format.name,
        "error": None,
        "tokens": result.tokens,
        "content": result.content,
        "names": result.names,
        "structure": result.structure,
        "structure_per_turn": result.structure_per_turn,
        "document": result.document,
        "straddles": result.straddles,
        "turns": [_turn(turn) for turn in result.turns],
        "stop": list(result.stop),
        "missing": list(result.missing),
        "lost": [record._asdict() for record in result.lost],
        "ignored_options": list(result.ignored),
    }


def _turn(turn: TurnCost) -> dict[str, Any]:
    numbers: Sequence[str] = ("message", "text", "header", "name", "end", "other", "structure")
    return {key: getattr(turn, key) for key in numbers}
