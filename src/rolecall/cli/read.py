"""What the commands read, from files and arguments: conversations, casts, tools, masks."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rolecall.conversation import AUTHORS, Cast, Conversation
from rolecall.errors import ConversationError, InputError, RolecallError, nearest
from rolecall.lost import GRAVITY

if TYPE_CHECKING:
    from collections.abc import Generator

    from rolecall.format import Format
    from rolecall.template.template import Template

LEVELS = ("error", "warning", "note")
MASK_KEYS = ("author", "role", "name", "message")
WRITTEN_KEYS = ("format", "text", "segments", "ids", "cast", "options")
"""What `rolecall parse` reads of what `rolecall render --json` writes."""
OTHER_KEYS = (
    *("lost", "stop", "authors", "missing_control", "tokens", "message", "part", "sampled"),
    *("straddles", "mask", "weights"),
)
"""What else is in it."""

_JSON_BEGINNING = re.compile(r'\s*(\{\s*["}]|\[\s*(-?[0-9]|[\]{\[]|null))')
"""How an object or a list of ids begins; formats begin with ``[INST]`` and the like."""


@dataclass(frozen=True)
class Source:
    """One conversation of a file, before it is checked."""

    where: str
    """What to call it in messages: the file, with the line where the file holds several."""
    data: object


@dataclass(frozen=True)
class Written:
    """What a format made of one conversation, before it is parsed."""

    where: str
    """What to call it in messages: the file, with the line where the file holds several."""
    text: str | None = None
    segments: Sequence[tuple[str, bool]] | None = None
    """Text of each segment, and whether it is a control token."""
    ids: Sequence[int | None] | None = None
    """None for a control token that the tokenizer lacked."""
    format: str | None = None
    """What ``render`` was given as ``--format``."""
    cast: object = None
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])


def conversations(file: str) -> list[Source]:
    """Read the conversations of a file; ``-`` is standard input.

    Raises:
        InputError: If the file cannot be read, or holds neither JSON nor JSON lines.
    """
    name = _shown(file)
    text = _text(file)
    if not text.strip():
        raise InputError(f"{name} is empty; give a list of messages, or {{messages, tools, cast}}")
    return _sources(file, name, text)


def _sources(file: str, name: str, text: str) -> list[Source]:
    """The JSON values of a text: one, or one a line."""
    if file.endswith(".jsonl") or _is_lines(text):
        return [
            Source(f"{name}, line {number}", _parse(line, name, number))
            for number, line in enumerate(text.split("\n"), 1)
            if line.strip()
        ]
    return [Source(name, _parse(text, name))]


def written(file: str, *, plain: bool) -> list[Written]:
    """Read what ``render`` wrote, or ids, or plain text; ``-`` is standard input.

    Args:
        file: The file.
        plain: Take it for plain text, whatever it looks like.

    Raises:
        InputError: If the file cannot be read, or is JSON of another kind.
    """
    name = _shown(file)
    text = _text(file)
    if not text.strip():
        raise InputError(
            f"{name} is empty; give what 'rolecall render --json' writes, a list of ids, or a text"
        )
    looks = file.endswith((".json", ".jsonl")) or _JSON_BEGINNING.match(text) is not None
    if plain or not looks:
        return [Written(name, text=text)]
    try:
        sources = _sources(file, name, text)
    except InputError as error:
        raise InputError(
            f"{error}\nif it is plain text that is to be parsed, give --text"
        ) from None
    return [_written(source) for source in sources]


def _written(source: Source) -> Written:
    where, found = source.where, source.data
    if isinstance(found, list):
        return Written(where, ids=_ids(where, cast("list[object]", found)))
    if not isinstance(found, dict):
        raise InputError(
            f"{where} is neither what 'rolecall render --json' writes nor a list of ids"
        )
    data = cast("dict[str, Any]", found)
    if "messages" in data:
        raise InputError(f"{where} {_A_CONVERSATION}")
    for key in data:
        if key not in WRITTEN_KEYS and key not in OTHER_KEYS:
            raise InputError(
                f"{where}: unknown key {key!r}{nearest(key, WRITTEN_KEYS)} "
                f"(read are: {', '.join(WRITTEN_KEYS)})"
            )

    def value(key: str, kind: type, what: str) -> Any:
        found = data.get(key)
        if found is not None and not isinstance(found, kind):
            raise InputError(f"{where}, {key}: it must be {what}")
        return found

    ids = value("ids", list, "a list of ids")
    text = value("text", str, "a string")
    segments = value("segments", list, "a list of segments")
    if ids is None and text is None and segments is None:
        raise InputError(f"{where}: there is neither 'ids' nor 'text'")
    return Written(
        where,
        text=text,
        segments=None if segments is None else _segments(where, segments, text),
        ids=None if ids is None else _ids(where, ids),
        format=value("format", str, "a string, the name of a format or the path of its file"),
        cast=data.get("cast"),
        options=value("options", dict, "an object") or {},
    )


_A_CONVERSATION = (
    "holds a conversation already; 'rolecall parse' reads what 'rolecall render' makes of one"
)


def _ids(where: str, given: Sequence[object]) -> list[int | None]:
    if given and isinstance(given[0], dict):
        raise InputError(f"{where} {_A_CONVERSATION}")
    for number, token in enumerate(given):
        if token is not None and (isinstance(token, bool) or not isinstance(token, int)):
            raise InputError(f"{where}, ids[{number}]: an id is a whole number")
    return cast("list[int | None]", list(given))


def _segments(where: str, given: Sequence[object], text: str | None) -> Sequence[tuple[str, bool]]:
    found: list[tuple[str, bool]] = []
    for number, item in enumerate(given):
        segment = cast("dict[str, object]", item) if isinstance(item, dict) else {}
        piece, control = segment.get("text"), segment.get("control")
        if not isinstance(piece, str) or not isinstance(control, bool):
            raise InputError(
                f"{where}, segments[{number}]: a segment is an object with a string 'text' and a "
                "boolean 'control'"
            )
        if any("\ud800" <= character <= "\udfff" for character in piece):
            raise InputError(f"{where}, segments[{number}]: its text holds a lone surrogate")
        found.append((piece, control))
    if text is not None and "".join(piece for piece, _ in found) != text:
        raise InputError(
            f"{where}: 'segments' and 'text' differ; leave one of them out to have the other read"
        )
    return found


def json_file(file: str) -> object:
    """Read one JSON value.

    Raises:
        InputError: If the file cannot be read or is not JSON.
    """
    return _parse(_text(file), _shown(file))


@contextmanager
def at(source: Source | Written) -> Generator[None]:
    """Name the source in what is raised about its conversation."""
    try:
        yield
    except ConversationError as error:
        error.args = (f"{source.where}: {error}",)
        raise


def read_cast(given: Sequence[str]) -> Cast:
    """Read ``--cast`` values: files, ``role=author``, ``role:name=author``; later ones win.

    Raises:
        InputError: If one of them is none of these.
    """
    entries: dict[Any, Any] = {}
    for value in given:
        if "=" not in value:
            loaded = json_file(value)
            if not isinstance(loaded, (list, dict)):
                raise InputError(
                    f"--cast {value!r}: the file must hold a list of {{role, name, author}} or an "
                    'object such as {"writer": "model"}'
                )
            entries.update(Cast.read(cast("object", loaded)).entries)
            continue
        speaker, _, author = value.rpartition("=")
        role, colon, name = speaker.partition(":")
        if not role or author not in AUTHORS or (colon and not name):
            raise InputError(
                f"--cast {value!r}: give role=author or role:name=author, where the author is one "
                f"of {', '.join(AUTHORS)}{'' if author in AUTHORS else nearest(author, AUTHORS)}"
            )
        entries.update(Cast.read({(role, name) if colon else role: author}).entries)
    return Cast(entries)


def read_options(given: Sequence[str], writer: Format | Template) -> dict[str, Any]:
    """Read ``--option name=value`` values.

    A format declares of which types they are; for a template they are read as JSON where they are
    JSON, as in ``enable_thinking=false``, else as strings.

    Raises:
        InputError: If there is no ``=``, or an option is given twice.
    """
    from rolecall.format import Format

    values: dict[str, Any] = {}
    for item in given:
        name, equals, text = item.partition("=")
        if not equals or not name:
            raise InputError(f"--option {item!r}: give name=value")
        if name in values:
            raise InputError(f"--option {name}: it is given twice")
        if not isinstance(writer, Format):
            values[name] = _json_value(text)
            continue
        declared = writer.options.get(name)
        kind = str if declared is None else type(declared.default)
        values[name] = _value(text, kind)
    return values


def _json_value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _value(text: str, kind: type) -> str | bool | int:
    """A value of the type declared; what is none stays text, which the format then refuses."""
    if kind is bool:
        return {"true": True, "false": False}.get(text, text)
    if kind is int:
        try:
            return int(text)
        except ValueError:
            return text
    return text


def written_format(source: Written, given: str | None) -> Format:
    """The format that something was written in.

    Args:
        source: What was written.
        given: ``--format``, which wins over what the source says.

    Raises:
        InputError: If nothing says it.
        RolecallError: If the format cannot be loaded.
    """
    from rolecall.format import load_format

    if given is not None:
        return load_format(given)
    if source.format is None:
        raise InputError(f"{source.where} does not say in which format it is; give --format")
    try:
        return load_format(source.format)
    except RolecallError as error:
        raise InputError(f"{source.where}, format: {error}; or give --format") from None


def written_options(
    source: Written, fmt: Format, given: Sequence[str], *, own: bool
) -> tuple[dict[str, Any], list[str]]:
    """The options that something was written with, and those of them that the format lacks.

    Args:
        source: What was written; render writes the value of every option, so defaults count for
            nothing.
        fmt: The format.
        given: ``--option`` values, which win.
        own: Whether the format is the one that the source names; then it must take its options.

    Raises:
        InputError: If ``--option`` cannot be read.
    """
    defaults = fmt.option_values({})
    lacks = [] if own else [name for name in source.options if name not in defaults]
    kept = {
        name: value
        for name, value in source.options.items()
        if name not in lacks and (name not in defaults or defaults[name] != value)
    }
    return kept | read_options(given, fmt), lacks


def read_speaker(speaker: str | None, any_speaker: bool) -> Any:
    """Read ``--speaker`` and ``--speaker-any``.

    Raises:
        InputError: If both are given, or one side of the colon is empty.
    """
    if any_speaker:
        if speaker is not None:
            raise InputError("--speaker and --speaker-any: give only one of them")
        from rolecall.speaker import ANY

        return ANY
    if speaker is None:
        return None
    role, colon, name = speaker.partition(":")
    if not role or (colon and not name):
        raise InputError(f"--speaker {speaker!r}: give ROLE or ROLE:NAME")
    return (role, name) if colon else role


def read_mask(given: Sequence[str]) -> list[dict[str, Any]]:
    """Read ``--mask`` values; the mask is the union of them.

    Raises:
        InputError: If one is not ``author=…``, ``role=…``, ``name=…`` or ``message=N``.
    """
    conditions: list[dict[str, Any]] = []
    for item in given:
        key, equals, value = item.partition("=")
        if key not in MASK_KEYS or not equals or not value:
            raise InputError(
                f"--mask {item!r}: give author=…, role=…, name=… or message=N"
                + nearest(key, MASK_KEYS)
            )
        if key != "message":
            conditions.append({key: value})
            continue
        try:
            conditions.append({key: int(value)})
        except ValueError:
            raise InputError(
                f"--mask {item!r}: the number of a message is needed, from 0; negative counts from "
                "the end"
            ) from None
    return conditions


def choice(option: str, value: str, known: Sequence[str]) -> str:
    """Return a value that is one of those known.

    Raises:
        InputError: If it is not.
    """
    if value not in known:
        raise InputError(
            f"{option}: found {value!r}; give {', '.join(known[:-1])} or {known[-1]}"
            + nearest(value, known)
        )
    return value


def is_reached(fail_on: str | None, levels: Iterable[str]) -> bool:
    """Whether one of the levels is as grave as ``--fail-on`` says, which was checked."""
    return fail_on is not None and any(GRAVITY[found] >= GRAVITY[fail_on] for found in levels)


def read_conversation(
    source: Source, *, cast: Cast, tools: object, options: Mapping[str, Any]
) -> Conversation:
    """Check one conversation of a file, with what the arguments add.

    Raises:
        ConversationError: If it cannot be read; the error names the file.
    """
    with at(source):
        return Conversation.read(source.data, tools=tools, cast=cast, options=options)


def _shown(file: str) -> str:
    return "standard input" if file == "-" else file


def _text(file: str) -> str:
    name = _shown(file)
    if file == "-" and sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison]
        raise InputError("cannot read standard input: it is closed")
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {name}: {error.strerror or error}") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{name} is not UTF-8 text: byte {data[error.start]:#04x} in line {line} "
            f"(offset {error.start})"
        ) from None


def _is_lines(text: str) -> bool:
    """Whether a text is JSON lines: its first line is a whole JSON value, and more follows."""
    first, _, rest = text.lstrip().partition("\n")
    if not rest.strip():
        return False
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return False
    return True


def _parse(text: str, name: str, line: int | None = None) -> object:
    """Parse JSON strictly: no NaN, no key twice in one object."""
    where = name if line is None else f"{name}, line {line}"
    try:
        return json.loads(
            text, object_pairs_hook=_object, parse_constant=cast("Callable[[str], Any]", _constant)
        )
    except json.JSONDecodeError as error:
        place = f"line {line or error.lineno}, column {error.colno}"
        if not text.strip():
            raise InputError(f"{name} is empty; JSON is expected") from None
        raise InputError(f"{name} is not JSON: {_lower(error.msg)} at {place}") from None
    except _RefusedError as error:
        raise InputError(f"{where}: {error}") from None
    except ValueError:
        # Python reads no number of more than some thousand digits.
        raise InputError(f"{where}: a number has too many digits") from None
    except RecursionError:
        raise InputError(f"{where}: it is nested too deeply") from None


class _RefusedError(Exception):
    """Something that Python's JSON reader would take."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _RefusedError(f"the key {twice!r} stands twice in one object")
    return result


def _constant(name: str) -> None:
    raise _RefusedError(f"{name} is no JSON number")


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
