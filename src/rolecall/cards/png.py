"""The card in a PNG picture: its text chunks, and nothing of the image.

V3 puts a card in a chunk ``ccv3``, V2 in ``chara``, both as base64 of JSON in UTF-8. Where both are
there, ``ccv3`` is the card and ``chara`` its copy for older readers. The specification asks for
``tEXt``; some writers choose ``zTXt`` or ``iTXt``, which PNG has for the same, so they are read
too. As in the readers in use, a picture with any damaged chunk is refused.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Iterator

from rolecall.cards.card import CardError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
KEYWORDS = ("ccv3", "chara")
"""In the order in which they are preferred."""
LARGEST_INFLATED = 64 * 2**20
"""Bytes that a compressed text may come to; a card without pictures is far below."""


def card_text(data: bytes, source: str) -> bytes:
    """The JSON of the card that a PNG file holds, in bytes.

    Raises:
        CardError: If the file is damaged, or holds no card.
    """
    found: dict[str, bytes] = {}
    for kind, content in _chunks(data, source):
        if kind not in (b"tEXt", b"zTXt", b"iTXt"):
            continue
        word, _, rest = content.partition(b"\0")
        keyword = word.decode("latin-1").lower()
        if keyword not in KEYWORDS:
            continue
        if keyword in found:
            raise CardError(
                f"there are two chunks {keyword!r}, and nothing says which is the card; "
                "save the picture anew with one card",
                source=source,
            )
        found[keyword] = _text(kind, rest, keyword, source)
    for keyword in KEYWORDS:
        if keyword in found:
            return _decoded(found[keyword], keyword, source)
    raise CardError(
        "the picture holds no card: it has no text chunk 'ccv3' or 'chara'. Sites and programs "
        "that convert pictures leave it out; take the file as the card's author published it",
        source=source,
    )


def _chunks(data: bytes, source: str) -> Iterator[tuple[bytes, bytes]]:
    """Type and content of each chunk, up to and with the last, ``IEND``."""
    position = len(SIGNATURE)
    while position + 12 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        kind = data[position + 4 : position + 8]
        end = position + 8 + length
        if end + 4 > len(data):
            break
        content = data[position + 8 : end]
        if zlib.crc32(content, zlib.crc32(kind)) != int.from_bytes(data[end : end + 4], "big"):
            raise CardError(
                f"the PNG file is damaged: the checksum of the chunk {_shown(kind)} at byte "
                f"{position} is wrong; get the file again",
                source=source,
            )
        yield kind, content
        if kind == b"IEND":
            return
        position = end + 4
    raise CardError(
        f"the PNG file is cut short: it ends at byte {len(data)} within a chunk or before its "
        "last one, IEND; get the file again",
        source=source,
    )


def _text(kind: bytes, rest: bytes, keyword: str, source: str) -> bytes:
    """The text of a text chunk, of what stands behind its keyword."""
    if kind == b"tEXt":
        return rest
    if kind == b"zTXt":
        compressed, method, text = True, rest[:1], rest[1:]
    else:
        compressed, method, after = rest[:1] == b"\1", rest[1:2], rest[2:]
        # A language and the keyword in it; neither matters here.
        text = after.partition(b"\0")[2].partition(b"\0")[2]
    if not compressed:
        return text
    if method != b"\0":
        raise CardError(
            f"the chunk {keyword!r} is compressed in a way that PNG does not know", source=source
        )
    inflate = zlib.decompressobj()
    try:
        inflated = inflate.decompress(text, LARGEST_INFLATED)
    except zlib.error as error:
        raise CardError(
            f"the chunk {keyword!r} cannot be decompressed ({error}); get the file again",
            source=source,
        ) from None
    if inflate.unconsumed_tail:
        raise CardError(
            f"the chunk {keyword!r} unpacks to more than {LARGEST_INFLATED // 2**20} MiB, which "
            "no card needs; give the card as JSON",
            source=source,
        )
    if not inflate.eof:
        raise CardError(
            f"the compressed text of the chunk {keyword!r} is cut short; get the file again",
            source=source,
        )
    return inflated


def _decoded(text: bytes, keyword: str, source: str) -> bytes:
    try:
        # Some writers break lines or leave out the padding; neither changes what is said.
        packed = b"".join(text.split()).rstrip(b"=")
        return base64.b64decode(packed + b"=" * (-len(packed) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise CardError(
            f"the chunk {keyword!r} is not base64, so there is no card to be read in it; "
            "save the picture anew with the program that made it",
            source=source,
        ) from None


def _shown(kind: bytes) -> str:
    return repr(kind.decode("latin-1"))
