"""Cards for the tests: PNG pictures made of chunks, and readers that others published."""

import base64
import importlib
import json
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rolecall.engines import huggingface_js
from tests.support.assets import asset, package

SIGNATURE = b"\x89PNG\r\n\x1a\n"
Chunk = tuple[bytes, bytes]

# Of one grey point.
HEAD: Chunk = (b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
BODY: Chunk = (b"IDAT", zlib.compress(b"\0\x80"))
END: Chunk = (b"IEND", b"")


def picture(*chunks: Chunk) -> bytes:
    """A PNG file with further chunks before its last."""
    written = [
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in (HEAD, BODY, *chunks, END)
    ]
    return SIGNATURE + b"".join(written)


def packed(card: object) -> bytes:
    text = card if isinstance(card, bytes) else json.dumps(card).encode()
    return base64.b64encode(text)


def text_chunk(keyword: str, card: object) -> Chunk:
    return b"tEXt", keyword.encode() + b"\0" + packed(card)


def v1(**fields: Any) -> dict[str, Any]:
    return {"name": "Amy", **fields}


def v2(**fields: Any) -> dict[str, Any]:
    return {"spec": "chara_card_v2", "spec_version": "2.0", "data": v1(**fields)}


def v3(**fields: Any) -> dict[str, Any]:
    return {"spec": "chara_card_v3", "spec_version": "3.0", "data": v1(**fields)}


# What others published.

TAVERN_CARD = "pypi:tavern-card==0.1.1/tavern_card/__init__.py"
AICHAR = "pypi:aichar==1.0.5/aichar/__init__.py"
READER = "npm:@lenml/char-card-reader==1.1.1/dist/main.mjs"
SILLYTAVERN = "npm:sillytavern==1.19.0"
SERAPHINA = f"{SILLYTAVERN}/default/content/default_Seraphina.png"
VALIDATOR = f"{SILLYTAVERN}/src/validator/TavernCardValidator.js"


@contextmanager
def tavern_card() -> Iterator[Any]:
    """The package tavern-card, which reads and writes cards in PNG files."""
    yield from _imported(TAVERN_CARD, "tavern_card.png")


@contextmanager
def aichar() -> Iterator[Any]:
    """The package aichar, which reads and writes cards too."""
    yield from _imported(AICHAR, "aichar")


def _imported(spec: str, name: str) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path, str(package(spec))])
        yield importlib.import_module(name)


def node(script: str, *arguments: str | Path) -> Any:
    """What a program writes as JSON that node runs as a module; ``argv`` are its arguments."""
    program = huggingface_js._node()
    assert program is not None, "node is needed; pyright's package brings it"
    command: Sequence[str] = [program, "--input-type=module", "-", *map(str, arguments)]
    given = f"const argv = process.argv.slice(2);\n{script}"
    done = subprocess.run(
        command, input=given, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def read_by_reader(file: Path) -> dict[str, Any]:
    """A card as @lenml/char-card-reader reads it, in the form of V3."""
    return node(
        """
        import fs from "node:fs";
        const { CharacterCard } = await import(argv[0]);
        const card = await CharacterCard.from_file(fs.readFileSync(argv[1]));
        console.log(JSON.stringify(card.toSpecV3().data));
        """,
        asset(READER).as_uri(),
        file,
    )


def versions_by_sillytavern(cards: Sequence[object]) -> list[int | bool]:
    """Which version of the specification SillyTavern says that each card follows."""
    return node(
        """
        import fs from "node:fs";
        const source = fs.readFileSync(argv[0], "utf-8");
        const url = "data:text/javascript," + encodeURIComponent(source);
        const { TavernCardValidator } = await import(url);
        const versions = JSON.parse(argv[1]).map((card) => new TavernCardValidator(card).validate());
        console.log(JSON.stringify(versions));
        """,
        asset(VALIDATOR),
        json.dumps(list(cards)),
    )
