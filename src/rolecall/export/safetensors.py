"""safetensors files: the header read, and a copy written with other rows.

The `safetensors` package reads parts of a tensor, but it writes a file from whole tensors in
memory, and to numpy it has no bfloat16. Here bytes are copied from file to file, so that a shard of
any size takes a few megabytes of memory and what is not changed stays as it is, bit by bit.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from io import BufferedReader, BufferedWriter
from math import prod
from pathlib import Path
from typing import Any, cast

from rolecall.errors import InputError

CHUNK = 2**24
"""Bytes that are held at a time."""

LONGEST_HEADER = 100_000_000
"""What the format allows; a larger number is no header but other data."""

SIZES: Mapping[str, int] = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64"), 8),
}
"""Bytes of one element. Of a kind that is not here only the offsets are read."""

Report = Callable[[int], None]
"""Is told how many more bytes are done."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    """Its first byte in the file."""
    end: int

    @property
    def row_bytes(self) -> int:
        """The bytes of one row, that is, of everything under one first index."""
        return SIZES[self.dtype] * prod(self.shape[1:])


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says about itself."""

    path: Path
    tensors: Mapping[str, Tensor]
    """By name, in the order in which their bytes stand."""
    metadata: Mapping[str, str] | None
    size: int
    """Bytes of the whole file."""


@dataclass(frozen=True, slots=True)
class NewRows:
    """What becomes of the rows of one tensor."""

    count: int
    """How many there are then; at least as many as before."""
    rows: Mapping[int, bytes]
    """Those that are replaced, and every one that is new."""


def read_header(path: Path) -> Header:
    """Read what tensors a file holds, and where.

    Raises:
        InputError: If it is no safetensors file, or is not whole.
    """
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            length = int.from_bytes(stream.read(8), "little")
            if size < 10 or not 2 <= length <= LONGEST_HEADER:
                raise InputError(f"{path.name} is no safetensors file: it does not begin as one")
            if 8 + length > size:
                raise _cut_short(path)
            data: object = json.loads(stream.read(length))
    except OSError as error:
        raise InputError(f"cannot read {str(path)!r}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise InputError(f"{path.name} is no safetensors file: its header is no JSON") from None
    if not isinstance(data, dict):
        raise InputError(f"{path.name} is no safetensors file: its header is no object")
    entries = cast("dict[str, Any]", data)
    metadata = entries.pop("__metadata__", None)
    try:
        found = [
            Tensor(
                name,
                str(entry["dtype"]),
                tuple(int(one) for one in entry["shape"]),
                8 + length + int(entry["data_offsets"][0]),
                8 + length + int(entry["data_offsets"][1]),
            )
            for name, entry in entries.items()
        ]
    except (TypeError, KeyError, ValueError, IndexError):
        raise InputError(f"{path.name}: its header does not describe tensors") from None
    found.sort(key=lambda tensor: (tensor.begin, tensor.end))
    at = 8 + length
    for tensor in found:
        unit = SIZES.get(tensor.dtype)
        if tensor.begin != at or (
            unit is not None and tensor.end - tensor.begin != unit * prod(tensor.shape)
        ):
            raise InputError(
                f"{path.name}: the bytes of {tensor.name!r} are not where its header says"
            )
        at = tensor.end
    if at > size:
        raise _cut_short(path)
    if at < size:
        raise InputError(f"{path.name}: {size - at} bytes behind its last tensor")
    return Header(path, {tensor.name: tensor for tensor in found}, metadata, size)


def _cut_short(path: Path) -> InputError:
    return InputError(f"{path.name} is cut short; download or copy it again")


def write_changed(
    header: Header, target: Path, changes: Mapping[str, NewRows], report: Report
) -> None:
    """Write a copy of a file in which some tensors have other rows.

    Args:
        header: The file.
        target: Where the copy goes; it must not be there yet.
        changes: Tensor to its new rows.
        report: Is told how many bytes were written, now and then.
    """
    # The order of the tensors stays: it has the wider elements first, so that each begins at a
    # multiple of its own width whatever the number of rows is.
    entries: dict[str, object] = {}
    if header.metadata is not None:
        entries["__metadata__"] = header.metadata
    at = 0
    for tensor in header.tensors.values():
        new = resized(tensor, changes.get(tensor.name))
        size = new.end - new.begin
        entries[tensor.name] = {
            "dtype": tensor.dtype,
            "shape": list(new.shape),
            "data_offsets": [at, at + size],
        }
        at += size
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with header.path.open("rb") as source, target.open("xb") as copy:
        copy.write(len(text).to_bytes(8, "little") + text)
        for tensor in header.tensors.values():
            source.seek(tensor.begin)
            change = changes.get(tensor.name)
            if change is None:
                copy_bytes(source, copy, tensor.end - tensor.begin, report)
            else:
                _write_rows(source, copy, tensor, change, report)
    report(header.size - sum(one.end - one.begin for one in header.tensors.values()))


def resized(tensor: Tensor, change: NewRows | None) -> Tensor:
    """The tensor as it is after a change."""
    if change is None:
        return tensor
    size = change.count * tensor.row_bytes
    return replace(tensor, shape=(change.count, *tensor.shape[1:]), end=tensor.begin + size)


def _write_rows(
    source: BufferedReader,
    copy: BufferedWriter,
    tensor: Tensor,
    change: NewRows,
    report: Report,
) -> None:
    width = tensor.row_bytes
    done = 0
    for row in sorted(change.rows):
        if row >= tensor.shape[0]:
            break
        copy_bytes(source, copy, (row - done) * width, report)
        copy.write(change.rows[row])
        report(width)
        source.seek(width, os.SEEK_CUR)
        done = row + 1
    copy_bytes(source, copy, (tensor.shape[0] - done) * width, report)
    for row in range(tensor.shape[0], change.count):
        copy.write(change.rows[row])
        report(width)


def copy_bytes(source: BufferedReader, copy: BufferedWriter, count: int, report: Report) -> None:
    """Copy as many bytes from where the source stands to where the copy stands.

    Raises:
        InputError: If the source ends before.
    """
    while count:
        data = source.read(min(count, CHUNK))
        if not data:
            raise InputError(f"{source.name} became shorter while it was read")
        copy.write(data)
        count -= len(data)
        report(len(data))
