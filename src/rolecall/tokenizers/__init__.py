"""Vocabularies behind one small interface: plain text to ids, control tokens to ids.

Each engine encodes plain text with every control token switched off, so that no text can become
structure, and tells for each token where its characters end.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from rolecall.errors import InputError, TokenizerError
from rolecall.gguf import MAGIC, in_folder
from rolecall.tokenizers.base import ControlFree, RunStart, Span, Tokenizer
from rolecall.tokenizers.fast import Flat
from rolecall.tokenizers.gguf import read_tokenizer
from rolecall.tokenizers.huggingface import HuggingFaceTokenizer
from rolecall.tokenizers.sentencepiece import SentencePieceTokenizer
from rolecall.tokenizers.source import give_back, loads
from rolecall.tokenizers.tekken import TekkenTokenizer

__all__ = [
    "Flat",
    "HuggingFaceTokenizer",
    "RunStart",
    "SentencePieceTokenizer",
    "Span",
    "TekkenTokenizer",
    "Tokenizer",
    "tokenizer",
]


def tokenizer(source: object, *, fast: bool = True) -> Tokenizer:
    """Load a tokenizer.

    Args:
        source: A ``tokenizer.json``, ``tekken.json`` or SentencePiece ``.model`` file, a ``.gguf``
            model (its weights are not read), a folder that holds one of these, a
            ``tokenizers.Tokenizer``, a fast transformers tokenizer, or what this function
            returned. Load once and keep the result: reading takes a second or so.
        fast: Load the engine that is fast over much text. It takes longer to load than the
            reference, which is enough for a text or two; the ids are the same.

    Raises:
        TokenizerError: If it is none of these or cannot be read.
    """
    if isinstance(source, (str, Path)):
        path = _find(Path(source))
        stat = path.stat()
        return _from_file(path, stat.st_mtime_ns, stat.st_size, fast)
    # The protocol is asked for last, since it looks at every member.
    if isinstance(source, (ControlFree, Tokenizer)):
        return cast("Tokenizer", source)
    engine = getattr(source, "backend_tokenizer", source)
    to_str = getattr(engine, "to_str", None)
    if callable(to_str):
        return _from_object(engine)
    raise TokenizerError(
        f"cannot use a {type(source).__name__} as a tokenizer; give the path of a tokenizer.json, "
        "a folder, or a tokenizers or fast transformers tokenizer"
    )


_OBJECTS: dict[int, tuple[object, Tokenizer]] = {}


def _from_object(engine: Any) -> Tokenizer:
    """A loaded engine, remembered while it is the same object with the same added tokens."""
    found = _OBJECTS.get(id(engine))
    # A piece that becomes an added token leaves the size as it is.
    state = (engine.get_vocab_size(), repr(engine.get_added_tokens_decoder()))
    if found is not None and found[0] is engine and getattr(found[1], "state", None) == state:
        return found[1]
    loaded = HuggingFaceTokenizer(engine.to_str(), "the tokenizer given")
    loaded.state = state  # type: ignore[attr-defined]
    _OBJECTS.clear()
    _OBJECTS[id(engine)] = (engine, loaded)
    return loaded


FILES = ("tokenizer.json", "tekken.json", "tokenizer.model")
"""What a folder is searched for, in this order, and a GGUF file after them."""


def _find(path: Path) -> Path:
    try:
        if path.is_dir():
            for name in FILES:
                if (path / name).is_file():
                    return path / name
            if (model := in_folder(path)) is not None:
                return model
            raise TokenizerError(
                f"the folder {str(path)!r} holds none of {', '.join(FILES)}, and no .gguf file"
            )
        if path.is_file():
            return path
    except OSError as error:
        raise TokenizerError(f"cannot read {str(path)!r}: {error.strerror}") from None
    except InputError as error:
        raise TokenizerError(str(error)) from None
    raise TokenizerError(f"there is no file {str(path)!r}")


@lru_cache(maxsize=8)
def _from_file(path: Path, changed: int, size: int, fast: bool) -> Tokenizer:
    """Read a file; the time of change and the size are there for the cache to see."""
    found = _read_file(path, fast=fast)
    if fast:
        # Who asks for the quick one has a text or two and is done.
        give_back()
    return found


def _read_file(path: Path, *, fast: bool) -> Tokenizer:
    try:
        with path.open("rb") as stream:
            data = stream.read(len(MAGIC))
            if data == MAGIC:
                return read_tokenizer(path, fast=fast)
            data += stream.read()
    except OSError as error:
        raise TokenizerError(f"cannot read {str(path)!r}: {error.strerror}") from None
    if data.lstrip()[:1] != b"{":
        # A SentencePiece model begins with its first piece: field 1, with a length.
        if data[:1] != b"\n":
            raise TokenizerError(
                f"{path.name} is no tokenizer: neither a tokenizer.json or tekken.json nor a "
                "SentencePiece model"
            )
        return SentencePieceTokenizer(data, path.name)
    try:
        parsed: object = loads(data.decode())
    except ValueError as error:
        raise TokenizerError(f"{path.name} is no JSON: {error}") from None
    keys = cast("dict[str, Any]", parsed)
    if "vocab" in keys and "config" in keys:
        return TekkenTokenizer(keys, path.name, fast=fast)
    if "model" not in keys:
        raise TokenizerError(
            f"{path.name} is no tokenizer: it has neither 'model' (tokenizer.json) nor 'vocab' and "
            "'config' (tekken.json)"
        )
    return HuggingFaceTokenizer(keys, path.name, fast=fast)
