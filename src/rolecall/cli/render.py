"""`rolecall render`: a conversation as one format writes it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rolecall.cli import read
from rolecall.cli.options import CastOption, FailOnLoss, File, ToolsOption
from rolecall.cli.screen import Output, console, count, json_bytes, one_line, show, write_bytes
from rolecall.compare import MISSING
from rolecall.conversation import Cast
from rolecall.errors import InputError
from rolecall.format import holds_template, load_format
from rolecall.lost import Lost

if TYPE_CHECKING:
    from rolecall.encode import Encoding
    from rolecall.format import Format
    from rolecall.segment import Rendered as AnyRendering
    from rolecall.template.template import Template
    from rolecall.tokenizers import Tokenizer


@dataclass(frozen=True)
class Rendered:
    """One conversation, rendered and perhaps encoded."""

    source: read.Source
    rendering: AnyRendering
    encoding: Encoding | None
    missing: Sequence[str]
    """Control tokens that the tokenizer lacks; in the encoding their ids are `MISSING`."""
    mask: Sequence[dict[str, Any]] | None
    """Conditions of the mask, or None where none is asked for."""
    header: bool

    @property
    def lost(self) -> tuple[Lost, ...]:
        """What the rendering and the tokenizer could not carry."""
        return self.rendering.lost + (() if self.encoding is None else self.encoding.lost)


def command(
    file: File,
    format: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            metavar="FORMAT",
            help="A bundled format ('rolecall formats' lists them), the path of a .toml file, or "
            "a model's own chat template: its folder, tokenizer_config.json, .jinja or .gguf.",
            show_default=False,
        ),
    ],
    tokenizer: Annotated[
        str | None,
        typer.Option(
            "--tokenizer",
            "-t",
            metavar="PATH",
            help="A tokenizer.json, tekken.json, tokenizer.model or .gguf, or a folder with one.",
        ),
    ] = None,
    add_generation_prompt: Annotated[
        bool, typer.Option("--add-generation-prompt", help="Open a turn of 'assistant' at the end.")
    ] = False,
    continue_final_message: Annotated[
        str | None,
        typer.Option(
            "--continue-final-message",
            metavar="[=FIELD]",
            help="Leave the final message open; FIELD is content or reasoning_content.",
        ),
    ] = None,
    speaker: Annotated[
        str | None,
        typer.Option(
            "--speaker", metavar="ROLE[:NAME]", help="Open a turn of this speaker at the end."
        ),
    ] = None,
    speaker_any: Annotated[
        bool,
        typer.Option("--speaker-any", help="Open a header and let the model choose who speaks."),
    ] = False,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            metavar="NAME=VALUE",
            help="An option of the format, or what else a template reads. Repeatable.",
        ),
    ] = None,
    cast: CastOption = None,
    tools: ToolsOption = None,
    strict: Annotated[
        str,
        typer.Option(
            "--strict",
            metavar="[=LEVEL]",
            help="Refuse what loses something: --strict (errors; the default), --strict=warning, "
            "--strict=note. --no-strict refuses nothing.",
            show_default=False,
        ),
    ] = "error",
    mask: Annotated[
        list[str] | None,
        typer.Option(
            "--mask",
            metavar="CONDITION",
            help="Show what is trained on: author=model, role=…, name=… or message=N. Repeatable; "
            "the union is shown.",
        ),
    ] = None,
    header: Annotated[
        bool, typer.Option("--header", help="The mask takes headers too: who speaks.")
    ] = False,
    fail_on: FailOnLoss = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="One JSON object a conversation, with everything; 'rolecall parse' reads it back.",
        ),
    ] = False,
) -> Output:
    """Write a conversation as a format writes it.

    A pipe gets the exact text and nothing else; a terminal gets it coloured by speaker. What the
    format cannot carry is said on standard error.
    """
    level = read.choice("--strict", strict, (*read.LEVELS, "off"))
    if fail_on is not None:
        read.choice("--fail-on", fail_on, read.LEVELS)
    conditions = None if mask is None else read.read_mask(mask)
    terminal = sys.stdout.isatty() and not as_json
    _check_mask(conditions, tokenizer, header=header, as_json=as_json, terminal=terminal)
    if continue_final_message not in (None, "true"):
        read.choice(
            "--continue-final-message", continue_final_message, ("content", "reasoning_content")
        )
    writer = _writer(format)
    arguments: dict[str, Any] = {
        "add_generation_prompt": add_generation_prompt,
        "continue_final_message": {None: False, "true": True}.get(
            continue_final_message, continue_final_message
        ),
        "speaker": read.read_speaker(speaker, speaker_any),
        "strict": False if level == "off" else level,
    }
    added: dict[str, Any] = {
        "options": read.read_options(option or [], writer),
        "cast": read.read_cast(cast or []),
        "tools": None if tools is None else read.json_file(tools),
    }
    sources = read.conversations(file)
    if len(sources) > 1 and not as_json and not terminal:
        raise InputError(
            f"{sources[0].where.rpartition(',')[0]} holds {len(sources)} conversations, and their "
            "texts would run together in a pipe; use --json, which writes one object a line"
        )
    engine = _engine(tokenizer, fast=len(sources) > MANY)
    results: list[Rendered] = []
    for source in sources:
        rendering = _render(writer, source, added, arguments)
        encoding, missing = _encode(rendering, engine)
        rendering = rendering if encoding is None else encoding.rendering
        results.append(Rendered(source, rendering, encoding, missing, conditions, header))
    levels = {record.level for result in results for record in result.lost}
    levels |= {"warning" for result in results if result.missing}
    status = 1 if read.is_reached(fail_on, levels) else 0
    notes = _notes(results, engine, as_json=as_json)
    if as_json:
        data = json_bytes([_json(format, result, engine) for result in results])
        return Output(lambda: write_bytes(data), notes, status)
    if terminal:
        masks = [_segment_mask(result) for result in results]
        return Output(lambda: _show(results, masks), notes, status)
    text = results[0].rendering.text.encode()
    return Output(lambda: write_bytes(text), notes, status)


def _writer(format: str) -> Format | Template:
    if not holds_template(format):
        return load_format(format)
    from rolecall.template import load_template

    return load_template(format)


def _render(
    writer: Format | Template,
    source: read.Source,
    added: dict[str, Any],
    arguments: dict[str, Any],
) -> AnyRendering:
    from rolecall.format import Format

    if isinstance(writer, Format):
        conversation = read.read_conversation(source, **added)
        with read.at(source):
            return writer.render(conversation, **arguments)
    # A template sees the messages with all their keys, so they are not read as a conversation.
    with read.at(source):
        return writer.render(
            source.data,
            tools=added["tools"],
            cast=added["cast"],
            **arguments,
            **added["options"],
        )


def _check_mask(
    conditions: object, tokenizer: str | None, *, header: bool, as_json: bool, terminal: bool
) -> None:
    if header and conditions is None:
        raise InputError("--header widens a mask; give --mask too")
    if conditions is None:
        return
    if as_json and tokenizer is None:
        raise InputError("--mask with --json is a mask of tokens; give --tokenizer too")
    if not as_json and not terminal:
        raise InputError(
            "--mask is shown in a terminal or written with --json; a pipe gets the text alone"
        )


MANY = 100
"""Conversations from which on a faster engine repays that it takes a second longer to load."""


def _engine(tokenizer: str | None, *, fast: bool) -> Tokenizer | None:
    if tokenizer is None:
        return None
    from rolecall.tokenizers import tokenizer as load

    return load(tokenizer, fast=fast)


def _encode(
    rendering: AnyRendering, engine: Tokenizer | None
) -> tuple[Encoding | None, Sequence[str]]:
    """The encoding and the control tokens that the tokenizer lacks, for which it has no ids."""
    if engine is None:
        return None, ()
    from rolecall.encode import encode, missing_control
    from rolecall.render import Rendering

    if not isinstance(rendering, Rendering):
        # Only where there is a template has its engine been loaded.
        from rolecall.template.rendering import TemplateRendering

        if isinstance(rendering, TemplateRendering):
            rendering = rendering.with_control(frozenset(engine.control))
    missing = missing_control(rendering.segments, engine)
    return encode(rendering, engine, missing=MISSING), missing


def _notes(results: Sequence[Rendered], engine: Tokenizer | None, *, as_json: bool) -> list[str]:
    """One line for each lost record, and one for the control tokens that the tokenizer lacks.

    Several conversations say which is meant.
    """
    notes: list[str] = []
    for result in results:
        lines = [str(record) for record in result.lost]
        if result.missing and engine is not None:
            one = len(result.missing) == 1
            until = f"{'its id is' if one else 'their ids are'} null"
            lines.append(
                f"warning missing-control: {engine.name} has no token "
                f"{', '.join(map(repr, result.missing))}; add {'it' if one else 'them'} to the "
                "tokenizer as special tokens, or choose a format this model was trained with; "
                f"until then {until if as_json else 'each counts as one token'}"
            )
        several = len(results) > 1
        notes += [f"{result.source.where}: {line}" if several else line for line in lines]
    return notes


# A terminal.


def _show(results: Sequence[Rendered], masks: Sequence[Any]) -> None:
    screen = console()
    for number, (result, mask) in enumerate(zip(results, masks, strict=True)):
        if len(results) > 1:
            if number:
                screen.print()
            screen.rule(one_line(f"{number + 1} of {len(results)}: {result.source.where}"))
        last = number == len(results) - 1
        show(screen, result.rendering, mask, _facts(result), explain=last)


def _facts(result: Rendered) -> list[str]:
    if result.encoding is None:
        return []
    facts = [count(len(result.encoding), "token")]
    if result.mask is not None:
        facts.append(f"{int(_mask(result, result.encoding)[0].sum())} in the mask")
    return facts


def _segment_mask(result: Rendered) -> Any:
    """The mask of segments: that of an encoding with one token a segment."""
    if result.mask is None:
        return None
    import numpy as np

    from rolecall.encode import PART_CODE, Encoding

    segments = result.rendering.segments
    none = np.zeros(len(segments), dtype=np.bool_)
    encoding = Encoding(
        ids=none.astype(np.int32),
        message=np.array([-1 if s.message is None else s.message for s in segments], np.int32),
        part=np.array([PART_CODE[s.part] for s in segments], np.uint8),
        sampled=np.array([s.sampled for s in segments], np.bool_),
        straddles=none,
        lost=(),
        rendering=result.rendering,
    )
    return _mask(result, encoding)[0]


def _mask(result: Rendered, encoding: Encoding) -> tuple[Any, Any]:
    """The union of the masks asked for, and of their weights."""
    import numpy as np

    mask = np.zeros(len(encoding), dtype=np.bool_)
    weights = np.zeros(len(encoding), dtype=np.float32)
    with read.at(result.source):
        for condition in result.mask or ():
            mask |= encoding.mask(**condition, header=result.header)
            found = encoding.weights(**condition, header=result.header)
            weights = np.maximum(weights, found)
    return mask, weights


# JSON.


def _json(format: str, result: Rendered, engine: Tokenizer | None) -> dict[str, Any]:
    rendering = result.rendering
    data: dict[str, Any] = {
        "format": format,
        "text": rendering.text,
        "segments": [segment._asdict() for segment in rendering.segments],
        "lost": [record._asdict() for record in result.lost],
        "stop": list(rendering.stop),
        "cast": _cast(rendering).to_wire(),
        "options": _options(rendering),
        "authors": list(rendering.authors),
    }
    if result.encoding is not None and engine is not None:
        data |= _tokens(result, result.encoding, engine)
    return data


def _options(rendering: AnyRendering) -> dict[str, Any]:
    """The value of every option; of a template, those that were given."""
    from rolecall.render import Rendering

    given = rendering.conversation.options
    return rendering.format.option_values(given) if isinstance(rendering, Rendering) else {**given}


def _cast(rendering: AnyRendering) -> Cast:
    """The cast as given, and what parsing needs beside it.

    Where a header holds a name and no role, only the cast says whose turn it is.
    """
    from rolecall.render import Rendering

    if not isinstance(rendering, Rendering):
        return rendering.conversation.cast
    given = rendering.conversation.cast.entries
    needed = rendering.format.canonical(rendering.conversation).cast.entries
    return Cast({**given, **needed})


def _tokens(result: Rendered, encoding: Encoding, engine: Tokenizer) -> dict[str, Any]:
    from rolecall.segment import PARTS

    ids: list[int] = encoding.ids.tolist()
    absent = [
        segment.text
        for segment in result.rendering.segments
        if segment.control and segment.text in result.missing
    ]
    data: dict[str, Any] = {
        "ids": [None if token == MISSING else token for token in ids],
        "missing_control": list(result.missing),
        "tokens": token_texts(engine, ids, absent),
        "message": [None if index < 0 else index for index in encoding.message.tolist()],
        "part": [PARTS[code] for code in encoding.part.tolist()],
        "sampled": encoding.sampled.tolist(),
        "straddles": encoding.straddles.tolist(),
    }
    if result.mask is not None:
        mask, weights = _mask(result, encoding)
        data["mask"] = mask.tolist()
        data["weights"] = weights.tolist()
    return data


def token_texts(engine: Tokenizer, ids: Sequence[int], absent: Sequence[str]) -> list[str]:
    """The text of each token; one that holds part of a character is U+FFFD.

    Decoders drop the space a text begins with, so each token is decoded after its predecessor.

    Args:
        engine: The vocabulary.
        ids: The tokens.
        absent: The texts of those that are `MISSING`, in their order.
    """
    texts: list[str] = []
    waiting = iter(absent)
    previous: int | None = None
    for token in ids:
        if token == MISSING:
            texts.append(next(waiting))
            continue
        alone = engine.decode([token])
        if previous is not None:
            before = engine.decode([previous])
            both = engine.decode([previous, token])
            alone = both[len(before) :] if both.startswith(before) else alone
        texts.append(alone)
        previous = token
    return texts
