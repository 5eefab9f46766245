"""The metadata of GGUF model files, read without the weights behind it."""

from __future__ import annotations

import mmap
import re
import struct
import sys
from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rolecall.errors import InputError

MAGIC = b"GGUF"

LARGEST = 256 * 2**20
"""Bytes of metadata that are read at most. The largest vocabularies take some 20 MiB."""

DEEPEST = 4
"""Levels of arrays inside arrays. llama.cpp takes none."""

# Types of values and where they stand in the file: docs/gguf.md of the ggml project.
_BOOL, _STRING, _ARRAY = 7, 8, 9
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 10: "Q", 11: "q", 12: "d"}

_SHARD = re.compile(r"-(\d{5})-of-\d{5}\.gguf", re.IGNORECASE)


def read_metadata(file: Path) -> Mapping[str, Any]:
    """The key-value pairs at the start of a GGUF file.

    Args:
        file: A file of version 2 or 3, little endian. Of its bytes only those that the pairs
            take are read.

    Returns:
        Numbers, strings and booleans as Python's own; arrays as lists, those of numbers as
        ``array.array``.

    Raises:
        InputError: If it cannot be read, is no GGUF file, is cut off or holds what cannot be.
    """
    try:
        with file.open("rb") as stream:
            if stream.read(4) != MAGIC:
                raise InputError(f"{file.name} is no GGUF file: it does not begin with 'GGUF'")
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _Reader(data, file.name).pairs()
    except OSError as error:
        raise InputError(f"cannot read {str(file)!r}: {error.strerror}") from None


def in_folder(folder: Path) -> Path | None:
    """The model file of a folder, or None where there is none.

    Of a model in several files it is the first, which holds the metadata. Files of a vision part,
    which llama.cpp calls ``mmproj…``, hold neither template nor tokenizer.

    Raises:
        InputError: If there are several models, such as one in several quantizations.
    """
    try:
        names = sorted(path.name for path in folder.iterdir() if path.suffix.lower() == ".gguf")
    except OSError as error:
        raise InputError(f"cannot read {str(folder)!r}: {error.strerror}") from None
    later = {name for name in names if (part := _SHARD.search(name)) and part[1] != "00001"}
    found = [name for name in names if name not in later and not name.startswith("mmproj")]
    if len(found) > 1:
        raise InputError(
            f"the folder {str(folder)!r} holds several GGUF files; give the path of one of them: "
            f"{', '.join(found)}"
        )
    return folder / found[0] if found else None


class _Reader:
    """What has been read of one file, from its beginning."""

    def __init__(self, data: mmap.mmap, name: str) -> None:
        self.data = data
        self.name = name
        self.at = len(MAGIC)
        self.end = min(len(data), LARGEST)

    def pairs(self) -> dict[str, Any]:
        version = self.number("I")
        if version not in (2, 3):
            raise InputError(f"{self.name} is a GGUF file of {self.of_version(version)}")
        self.number("Q")  # tensors
        count = self.number("Q")
        # A pair takes at least the length of its key, the type and a byte.
        self.need(count * 13, "keys")
        found: dict[str, Any] = {}
        for _ in range(count):
            key = self.strings(1, "a key")[0]
            if key in found:
                raise InputError(f"{self.name} has the metadata key {key!r} twice")
            found[key] = self.value(self.number("I"), key, 0)
        return found

    def of_version(self, version: int) -> str:
        if version % 2**16 == 0 and version:
            return "big endian byte order, which is not read; convert it with gguf_convert_endian"
        if version == 1:
            return "version 1, which is not read; convert the model again"
        return f"version {version}, which is not known; versions 2 and 3 are read"

    def need(self, size: int, what: str) -> None:
        """Refuse what would go past the end.

        Raises:
            InputError: If there are not that many bytes left.
        """
        if self.at + size <= self.end:
            return
        if self.at + size <= len(self.data):
            raise InputError(
                f"{self.name} has more than {LARGEST // 2**20} MiB of metadata at {what}, which "
                "no model needs"
            )
        raise InputError(
            f"{self.name} is cut off or damaged: {what} at byte {self.at} would take {size} "
            f"bytes, and {len(self.data) - self.at} are left"
        )

    def number(self, code: str) -> Any:
        size = struct.calcsize(f"<{code}")
        self.need(size, "a number")
        (value,) = struct.unpack_from(f"<{code}", self.data, self.at)
        self.at += size
        return value

    def value(self, kind: int, key: str, depth: int) -> Any:
        if kind == _STRING:
            return self.strings(1, key)[0]
        if kind == _BOOL:
            return bool(self.number("B"))
        if kind in _SCALARS:
            return self.number(_SCALARS[kind])
        if kind != _ARRAY:
            raise InputError(f"{self.name} is damaged: {key!r} has the unknown type {kind}")
        if depth == DEEPEST:
            raise InputError(f"{self.name} is damaged: {key!r} holds arrays too deep")
        of, length = self.number("I"), self.number("Q")
        if of == _STRING:
            return self.strings(length, key)
        if of == _ARRAY:
            # An array takes at least its type and its length.
            self.need(length * 12, key)
            return [self.value(_ARRAY, key, depth + 1) for _ in range(length)]
        code = "B" if of == _BOOL else _SCALARS.get(of)
        if code is None:
            raise InputError(f"{self.name} is damaged: {key!r} is an array of unknown type {of}")
        return self.numbers(code, length, key, boolean=of == _BOOL)

    def numbers(self, code: str, length: int, key: str, *, boolean: bool) -> Any:
        size = length * struct.calcsize(f"<{code}")
        self.need(size, key)
        # Of array's codes I is as wide as a C int, which is four bytes wherever Python runs.
        found: array[Any] = array(code)
        found.frombytes(self.data[self.at : self.at + size])
        self.at += size
        if sys.byteorder == "big":
            found.byteswap()
        return [bool(value) for value in found] if boolean else found

    def strings(self, count: int, key: str) -> list[str]:
        """So many strings, each with its length before it.

        A vocabulary has hundreds of thousands: nothing is called for each of them that can be
        spared.
        """
        self.need(count * 8, key)
        data, at, end = self.data, self.at, self.end
        start = at
        length_at = struct.Struct("<Q").unpack_from
        found: list[str] = []
        append = found.append
        try:
            for _ in range(count):
                start = at + 8
                at = start + length_at(data, at)[0]
                if at > end:
                    self.at = start
                    self.need(at - start, f"a string of {key!r}")
                append(data[start:at].decode())
        except struct.error:
            self.at = at
            self.need(8, key)
        except UnicodeDecodeError as error:
            raise InputError(
                f"{self.name}: a string of {key!r} is not UTF-8 text: byte "
                f"{error.object[error.start]:#04x} at byte {start + error.start} of the file"
            ) from None
        self.at = at
        return found
