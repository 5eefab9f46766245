"""Reading a card from a file, from bytes, or from JSON that is read already."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from rolecall.cards.card import Card, CardError
from rolecall.cards.fields import card_of
from rolecall.cards.markdown import card_of_markdown
from rolecall.cards.png import SIGNATURE, card_text

LARGEST_FILE = 256 * 2**20
"""Bytes of a file; pictures with a card are some megabytes."""

OTHER_KINDS = {
    b"PK\x03\x04": "a zip archive. If it is a CHARX file, unpack it and give its card.json",
    b"\xff\xd8\xff": "a JPEG picture, for which no card is specified. Give a PNG or JSON file",
    b"RIFF": "a WebP picture, for which no card is specified. Give a PNG or JSON file",
    b"GIF8": "a GIF picture, which holds no card. Give a PNG or JSON file",
}
"""How files begin that are taken for cards, and what to say of them."""


def read_card(source: str | Path | bytes | Mapping[str, Any]) -> Card:
    """Read a character card.

    Args:
        source: The path of a JSON, PNG, APNG or Markdown file; or the content of one, as bytes; or
            the object that a JSON file holds. What a file is, its beginning tells.

    Raises:
        CardError: If it cannot be read, or is no card; the error names the field.
    """
    if isinstance(source, Mapping):
        return card_of(source, "card")
    if isinstance(source, bytes):
        return card_of_bytes(source, "card")
    name = str(source)
    try:
        with Path(source).open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        # A path with a zero byte is a ValueError.
        reason = error.strerror if isinstance(error, OSError) else error
        raise CardError(f"it cannot be read: {reason or error}", source=name) from None
    return card_of_bytes(data, name)


def card_of_bytes(data: bytes, source: str) -> Card:
    """Read a card from the content of a file.

    Args:
        data: The content.
        source: What to call it in errors.

    Raises:
        CardError: If it is no card.
    """
    if len(data) > LARGEST_FILE:
        raise CardError(
            f"it has more than {LARGEST_FILE // 2**20} MiB, which no card needs", source=source
        )
    if data.startswith(SIGNATURE):
        return card_of(_json(_decoded(card_text(data, source), source), source), source)
    for beginning, what in OTHER_KINDS.items():
        if data.startswith(beginning):
            raise CardError(f"it is {what}", source=source)
    text = _decoded(data, source)
    if not text.strip():
        raise CardError("it is empty; give a card in JSON, PNG or Markdown", source=source)
    if text.lstrip()[0] in '{["':
        return card_of(_json(text, source), source)
    return card_of_markdown(text, source)


def _decoded(data: bytes, source: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CardError(
            f"it is not UTF-8 text: byte {data[error.start]:#04x} at offset {error.start}; "
            "a card is a PNG file, or JSON or Markdown in UTF-8",
            source=source,
        ) from None


def _json(text: str, source: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=cast(Any, _constant))
    except json.JSONDecodeError as error:
        message = error.msg[:1].lower() + error.msg[1:]
        raise CardError(
            f"it is not JSON: {message} at line {error.lineno}, column {error.colno}",
            source=source,
        ) from None
    except RecursionError:
        raise CardError("it is nested too deeply", source=source) from None
    except ValueError as error:
        # Ours below, and numbers of more digits than Python reads.
        raise CardError(str(error), source=source) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise ValueError(f"the key {twice!r} stands twice in one object; leave one of them out")
    return result


def _constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")
