"""``tekken.json`` files of mistral-common, run by tiktoken."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from rolecall.errors import TokenizerError
from rolecall.tokenizers.base import ControlFree, RunStart, Span, need, spans_of


class TekkenTokenizer(ControlFree):
    """A ``tekken.json`` of mistral-common, run by tiktoken."""

    def __init__(self, data: Mapping[str, Any], name: str) -> None:
        """Read a vocabulary.

        Args:
            data: The parsed ``tekken.json``.
            name: What to call it in messages.

        Raises:
            TokenizerError: If it is no tekken.json, or the package is missing.
        """
        package = need("tiktoken", "tiktoken", "tekken")
        self.name = name
        try:
            config = data["config"]
            self._specials = int(config["default_num_special_tokens"])
            size = int(config["default_vocab_size"]) - self._specials
            vocabulary = data["vocab"][:size]
            self._bytes = [base64.b64decode(entry["token_bytes"]) for entry in vocabulary]
            named: list[dict[str, Any]] = data.get("special_tokens") or [
                {"rank": rank, "token_str": token} for rank, token in enumerate(TEKKEN_SPECIALS)
            ]
            control = {str(entry["token_str"]): int(entry["rank"]) for entry in named}
            self._engine = package.Encoding(
                name=name,
                pat_str=config["pattern"],
                mergeable_ranks={token: rank for rank, token in enumerate(self._bytes)},
                special_tokens={},
            )
        except (KeyError, TypeError, ValueError) as error:
            raise TokenizerError(f"{name} is no tekken.json: {error!r}") from None
        # Every rank below the first text token is reserved for control.
        self.control_ids = frozenset(range(self._specials))
        self._names = {rank: token for token, rank in control.items()}
        for rank in range(self._specials):
            if rank not in self._names:
                # mistral-common calls those that the file does not name so.
                self._names[rank] = f"<SPECIAL_{rank}>"
                control.setdefault(self._names[rank], rank)
        self.control = control

    engine = "tiktoken"

    @cached_property
    def _widths(self) -> npt.NDArray[np.int32]:
        return np.array([*[-1] * self._specials, *map(len, self._bytes)], np.int32)

    def odd_texts(self, texts: Sequence[str], start: RunStart) -> Sequence[int]:
        """None: every byte has a token."""
        return ()

    def encode_plain(
        self, runs: Sequence[tuple[str, RunStart]], control: frozenset[str]
    ) -> list[tuple[list[int], list[Span]]]:
        """Encode runs; the engine is given no special tokens, so none can come out."""
        result: list[tuple[list[int], list[Span]]] = []
        for text, _ in runs:
            ranks = self._ranks(text)
            ids = [rank + self._specials for rank in ranks]
            result.append((ids, spans_of(text, self.widths[ids], self.name)))
        return result

    def _ranks(self, text: str) -> list[int]:
        try:
            return self._engine.encode_ordinary(text)
        except BaseException as error:
            # The engine panics, outside Exception, on hundreds of thousands of spaces in a row.
            if type(error).__name__ != "PanicException":
                raise
            raise TokenizerError(
                f"{self.name} cannot split a text of {len(text)} characters; its runs of one kind "
                "of character, such as spaces, are too long for the engine"
            ) from None

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids, control tokens by name."""
        data = bytearray()
        for index in ids:
            if index < self._specials:
                data += self._names.get(index, f"<SPECIAL_{index}>").encode()
            else:
                data += self._bytes[index - self._specials]
        return data.decode(errors="replace")

    def token_text(self, token: int) -> str | None:
        """The name of a reserved rank, or None."""
        return self._names.get(token)

    def token_bytes(self, token: int) -> bytes | None:
        """The bytes of a rank, a reserved one by name; see `Tokenizer.token_bytes`."""
        if token >= self._specials:
            index = token - self._specials
            return self._bytes[index] if index < len(self._bytes) else None
        name = self._names.get(token)
        return None if name is None else name.encode()

    def losses(
        self, texts: Sequence[str], ids: Sequence[int], starts: Sequence[RunStart] = ()
    ) -> list[str]:
        """Nothing: every byte has a token."""
        return []


TEKKEN_SPECIALS = [
    "<unk>",
    "<s>",
    "</s>",
    "[INST]",
    "[/INST]",
    "[AVAILABLE_TOOLS]",
    "[/AVAILABLE_TOOLS]",
    "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]",
    "[TOOL_CALLS]",
    "[IMG]",
    "<pad>",
    "[IMG_BREAK]",
    "[IMG_END]",
    "[PREFIX]",
    "[MIDDLE]",
    "[SUFFIX]",
    "[SYSTEM_PROMPT]",
    "[/SYSTEM_PROMPT]",
    "[TOOL_CONTENT]",
]
"""The control tokens of a tekken.json that lists none, in the order of their ids.
Source: mistral-common 1.13.1, ``tokens/tokenizers/tekken.py``."""
