"""Engines that encode many times faster than the reference, with the same ids."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt


class Flat(NamedTuple):
    """The ids of several texts, end to end."""

    ids: npt.NDArray[np.int32]
    """int32[n]."""
    offsets: npt.NDArray[np.int64]
    """int64[texts + 1]: where the ids of each text begin, and the end of the last."""


class Engine(Protocol):
    """Text to ids, without added tokens that are not text."""

    name: str

    def encode(self, texts: Sequence[str], *, parallel: bool) -> Flat:
        """Encode texts; with `parallel` the engine may use its threads."""
        ...


# --- Threads --------------------------------------------------------------------------------------

PARALLEL_CHARACTERS = 100_000
"""Below this much text, waking threads costs more than they bring."""

_forked = False


def _after_fork() -> None:
    # The threads of an engine are not in the child, and asking for them there waits for ever.
    global _forked  # noqa: PLW0603
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def use_threads(texts: Sequence[str], *, parallel: bool) -> bool:
    """Whether threads are allowed, safe, and worth their start for these texts.

    They are not allowed where ``TOKENIZERS_PARALLELISM`` or ``RAYON_NUM_THREADS`` says so, which
    the reference engine reads too.
    """
    if not parallel or len(texts) < 2 or _forked or sum(map(len, texts)) < PARALLEL_CHARACTERS:
        return False
    asked = os.environ.get("TOKENIZERS_PARALLELISM", "").lower()
    return asked not in ("0", "false", "off", "no", "f", "n") and (
        os.environ.get("RAYON_NUM_THREADS") != "1"
    )


# --- Engines --------------------------------------------------------------------------------------


def join(parts: Sequence[npt.NDArray[Any] | Sequence[int]]) -> Flat:
    """Put the ids of several texts end to end."""
    if len(parts) == 1:
        ids = np.asarray(parts[0], np.int32)
        return Flat(ids, np.array((0, len(ids)), np.int64))
    offsets = np.zeros(len(parts) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, parts), np.int64, len(parts)), out=offsets[1:])
    if not parts:
        return Flat(np.zeros(0, np.int32), offsets)
    return Flat(np.concatenate(parts, dtype=np.int32, casting="unsafe"), offsets)


class Fastokens:
    """The package ``fastokens``.

    It keeps words that it has seen too, up to some 200 MB of them.
    """

    name = "fastokens"

    def __init__(self, engine: Any) -> None:
        """Take an engine that is loaded."""
        self._encode: Any = engine.encode_batch_flat

    @classmethod
    def from_json(cls, source: Callable[[], str]) -> Fastokens:
        """Load the ``tokenizer.json`` that `source` writes."""
        from fastokens import Tokenizer  # pyright: ignore

        return cls(Tokenizer.from_json_str(source()))  # pyright: ignore

    @classmethod
    def from_tiktoken(cls, write: Callable[[Path], object], pattern: str) -> Fastokens:
        """Load ranks.

        Args:
            write: Writes them into a file, one to a line.
            pattern: What text is split with.
        """
        from fastokens import Tokenizer  # pyright: ignore

        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "vocabulary.tiktoken")
            write(file)
            engine: Any = Tokenizer.from_tiktoken(str(file), pattern=pattern, special_tokens={})  # pyright: ignore
        return cls(engine)

    def encode(self, texts: Sequence[str], *, parallel: bool) -> Flat:
        """Encode texts."""
        encode = self._encode
        if len(texts) == 1 or use_threads(texts, parallel=parallel):
            ids, offsets = encode(list(texts), False, True)
            return Flat(np.frombuffer(ids, np.int32), np.frombuffer(offsets, np.int64))
        # A single text is encoded by the thread that asks.
        parts: list[bytes] = [encode([text], False, True)[0] for text in texts]
        ends = np.cumsum([0, *map(len, parts)], dtype=np.int64) // 4
        return Flat(np.frombuffer(b"".join(parts), np.int32), ends)


class Gigatoken:
    """The package ``gigatoken``."""

    name = "gigatoken"
    REMEMBERED = 100_000_000
    """Characters after which the engine is made anew: it keeps every word that it has seen."""

    def __init__(self, make: Callable[[], Any]) -> None:
        """Make the engine.

        Args:
            make: Makes it.
        """
        self._make = make
        self._engine: Any = make()
        self._seen = 0

    @classmethod
    def from_json(cls, source: Callable[[], str]) -> Gigatoken:
        """Load the ``tokenizer.json`` that `source` writes."""
        from gigatoken import Tokenizer  # pyright: ignore

        return cls(lambda: Tokenizer.from_json(source()).backend)

    def _renewed(self, texts: Sequence[str]) -> Any:
        """The engine to encode these texts with."""
        self._seen += sum(map(len, texts))
        if self._seen > self.REMEMBERED:
            self._engine, self._seen = self._make(), 0
        return self._engine

    def encode(self, texts: Sequence[str], *, parallel: bool) -> Flat:
        """Encode texts."""
        backend = self._renewed(texts)
        if use_threads(texts, parallel=parallel):
            # An array of the package `awkward`, which takes a third of a second to load.
            layout = backend.encode_batch(list(texts), parallel=True).layout
            ids = np.asarray(layout.content.data).view(np.int32)
            return Flat(ids, np.asarray(layout.offsets.data).astype(np.int64))
        if len(texts) == 1:
            ids = backend.encode(texts[0]).view(np.int32)
            return Flat(ids, np.array((0, len(ids)), np.int64))
        return join([*map(backend.encode, texts)])


def encode_with(
    fast: Engine | None,
    reference: Callable[[Sequence[str]], Flat],
    texts: Sequence[str],
    *,
    parallel: bool,
) -> Flat:
    """Encode with a fast engine if there is one; what it stumbles over, with the reference."""
    if fast is None:
        return reference(texts)
    try:
        return fast.encode(texts, parallel=parallel)
    except BaseException as error:
        # Panics of the engines' own language are no `Exception`.
        if isinstance(error, (KeyboardInterrupt, SystemExit, MemoryError)):
            raise
    if len(texts) == 1:
        return reference(texts)
    return join([encode_with(fast, reference, [text], parallel=False).ids for text in texts])
