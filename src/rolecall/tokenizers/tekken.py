"""``tekken.json`` files of mistral-common, run by a fast engine and by tiktoken."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from rolecall.errors import TokenizerError
from rolecall.tokenizers.base import ControlFree, RunStart, Span, need, spans_of
from rolecall.tokenizers.choice import PATTERNS, attempt
from rolecall.tokenizers.fast import Fastokens, Flat, encode_with, join


class TekkenTokenizer(ControlFree):
    """A ``tekken.json`` of mistral-common, run by fastokens or tiktoken."""

    def __init__(self, data: Mapping[str, Any], name: str, *, fast: bool = True) -> None:
        """Read a vocabulary.

        Args:
            data: The parsed ``tekken.json``.
            name: What to call it in messages.
            fast: Whether the engine is to be the one that is fast over much text.

        Raises:
            TokenizerError: If it is no tekken.json, or the package is missing.
        """
        self._package = need("tiktoken", "tiktoken", "tekken")
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
            self._pattern = str(config["pattern"])
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
        self._fast, self.engine_note = None, "asked for the engine that loads fastest"
        if fast:
            self._fast, self.engine_note = attempt([self._fastokens])
        if self._fast is None:
            # So that a bad file is told of here.
            _ = self._reference

    def _fastokens(self) -> Fastokens:
        """The fast engine, which reads a file of tiktoken's own.

        Raises:
            ValueError: If the pattern is not among those that were compared.
        """
        if self._pattern not in PATTERNS:
            raise ValueError("its pattern was not compared yet")
        lines = [
            f"{base64.b64encode(token).decode()} {rank}\n" for rank, token in enumerate(self._bytes)
        ]
        text = "".join(lines)
        return Fastokens.from_tiktoken(
            lambda file: file.write_text(text, encoding="ascii"), self._pattern
        )

    @cached_property
    def _reference(self) -> Any:
        """The reference engine.

        Raises:
            TokenizerError: If it cannot be made of the file.
        """
        try:
            return self._package.Encoding(
                name=self.name,
                pat_str=self._pattern,
                mergeable_ranks={token: rank for rank, token in enumerate(self._bytes)},
                special_tokens={},
            )
        except (KeyError, TypeError, ValueError) as error:
            raise TokenizerError(f"{self.name} is no tekken.json: {error!r}") from None

    @property
    def engine(self) -> str:
        """The package whose ids are given out; see `Tokenizer.engine`."""
        return REFERENCE if self._fast is None else self._fast.name

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
        found = self.flat([text for text, _ in runs], RunStart.SECTION, control, parallel=True)
        bounds = found.offsets.tolist()
        for index, (text, _) in enumerate(runs):
            ids = found.ids[bounds[index] : bounds[index + 1]]
            result.append((ids.tolist(), spans_of(text, self.widths[ids], self.name)))
        return result

    def possible_ids(self) -> Iterable[int]:
        """Ranks behind the reserved ones."""
        return ()

    def flat(
        self, texts: Sequence[str], start: RunStart, control: frozenset[str], *, parallel: bool
    ) -> Flat:
        """The ids of `encode_plain`, in bulk."""
        found = encode_with(self._fast, self._ranks, texts, parallel=parallel)
        return Flat(found.ids + np.int32(self._specials), found.offsets)

    def _ranks(self, texts: Sequence[str]) -> Flat:
        """Ranks by the reference engine."""
        return join([*map(self._ranks_of, texts)])

    def _ranks_of(self, text: str) -> list[int]:
        try:
            return self._reference.encode_ordinary(text)
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


REFERENCE = "tiktoken"
"""The package whose ranks are right by definition."""

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
