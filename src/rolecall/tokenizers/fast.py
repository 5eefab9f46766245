"""Engines that encode many times faster than the reference, with the same ids."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int32]
Offsets = npt.NDArray[np.int64]


class Flat(NamedTuple):
    """The ids of several texts, end to end."""

    ids: Ids
    """int32[n]."""
    offsets: Offsets
    """int64[texts + 1]: where the ids of each text begin, and the end of the last."""


class Engine(Protocol):
    """Text to ids, without added tokens that are not text."""

    name: str

    def encode(self, texts: Sequence[str], *, parallel: bool) -> Flat:
        """Encode texts; with `parallel` the engine may use its threads."""
        ...


PARALLEL_CHARACTERS = 100_000
"""Below this much text, starting threads costs more than they bring."""

_forked = False


def _after_fork() -> None:
    # The threads of an engine are not in the child, and asking for them there waits for ever.
    global _forked  # noqa: PLW0603
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def may_use_threads(texts: Sequence[str]) -> bool:
    """Whether threads are allowed, safe, and worth their start for these texts."""
    if len(texts) < 2 or _forked or sum(map(len, texts)) < PARALLEL_CHARACTERS:
        return False
    return os.environ.get("TOKENIZERS_PARALLELISM", "").lower() not in ("0", "false", "off", "no")


def join(parts: Sequence[npt.NDArray[Any] | Sequence[int]]) -> Flat:
    """Put the ids of several texts end to end."""
    offsets = np.zeros(len(parts) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, parts), np.int64, len(parts)), out=offsets[1:])
    if not parts:
        return Flat(np.zeros(0, np.int32), offsets)
    return Flat(np.concatenate(parts, dtype=np.int32, casting="unsafe"), offsets)


class Gigatoken:
    """The package ``gigatoken``."""

    name = "gigatoken"

    def __init__(self, source: str) -> None:
        """Load a ``tokenizer.json``."""
        from gigatoken import Tokenizer  # pyright: ignore

        self._backend: Any = Tokenizer.from_json(source).backend

    def encode(self, texts: Sequence[str], *, parallel: bool) -> Flat:
        """Encode texts."""
        if parallel and may_use_threads(texts):
            # Made of `awkward`, which takes a third of a second to load.
            layout = self._backend.encode_batch(list(texts), parallel=True).layout
            ids = np.asarray(layout.content.data).astype(np.int32)
            return Flat(ids, np.asarray(layout.offsets.data).astype(np.int64))
        return join([*map(self._backend.encode, texts)])


class Fastokens:
    """The package ``fastokens``."""

    name = "fastokens"

    def __init__(self, source: str) -> None:
        """Load a ``tokenizer.json``."""
        from fastokens import Tokenizer  # pyright: ignore

        self._engine: Any = Tokenizer.from_json_str(source)

    def encode(self, texts: Sequence[str], *, parallel: bool) -> Flat:
        """Encode texts."""
        if parallel and may_use_threads(texts):
            ids, offsets = self._engine.encode_batch_flat(list(texts), False, True)
            return Flat(np.frombuffer(ids, np.int32), np.frombuffer(offsets, np.int64))
        return join([*map(self._engine.encode_ordinary, texts)])


ENGINES: Sequence[Callable[[str], Engine]] = (Gigatoken, Fastokens)
"""In the order in which they are tried."""


def load(data: dict[str, Any]) -> tuple[Engine | None, str]:
    """The first engine that takes a ``tokenizer.json``, and why not those before it.

    Args:
        data: What the file says, without what is not for runs of plain text.
    """
    source = json.dumps(data, ensure_ascii=False)
    refused: list[str] = []
    for engine in ENGINES:
        try:
            return engine(source), "; ".join(refused)
        except ImportError as error:
            refused.append(f"{error.name or error} is not installed")
        except BaseException as error:
            # Panics of the engines' own language are no `Exception`.
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            line = str(error).partition("\n")[0]
            refused.append(f"{engine.__name__.lower()} refuses this tokenizer: {line}")
    return None, "; ".join(refused)
