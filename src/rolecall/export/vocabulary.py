"""The vocabulary of a ``tokenizer.json``: which tokens it lacks, and where they go.

The file is edited as JSON, so that all that is not about the new tokens stays as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

from rolecall.errors import InputError, nearest
from rolecall.export.reserved import is_reserved

FLAGS: Mapping[str, bool] = {
    "single_word": False,
    "lstrip": False,
    "rstrip": False,
    "normalized": False,
    "special": True,
}
"""How a control token is matched: wherever it stands, and as it is written."""


@dataclass(frozen=True)
class Placed:
    """Where the control tokens of a format are in a vocabulary, once they are all there."""

    ids: Mapping[str, int]
    """Every control token with its id."""
    added: tuple[str, ...] = ()
    """Those that were put behind the vocabulary."""
    mapped: Mapping[str, str] = field(default_factory=dict[str, str])
    """Those that took the place of a reserved token, with its name."""
    promoted: tuple[str, ...] = ()
    """Those that were pieces of text and are control tokens now."""

    @property
    def new(self) -> dict[str, int]:
        """The tokens that the model knows nothing of, with their ids."""
        return {token: self.ids[token] for token in (*self.mapped, *self.added)}

    @property
    def changes(self) -> bool:
        """Whether the vocabulary is another one then."""
        return bool(self.added or self.mapped or self.promoted)


class Vocabulary:
    """The tokens of a ``tokenizer.json``, which may be given new ones."""

    def __init__(self, data: dict[str, Any], name: str) -> None:
        """Read the tokens.

        Args:
            data: The content of the file; `place` changes it.
            name: What to call it in messages.

        Raises:
            InputError: If it is no ``tokenizer.json``.
        """
        self.data = data
        try:
            self._model: dict[str, Any] = data["model"]
            listed: Any = self._model["vocab"]
            if isinstance(listed, dict):
                self.pieces = {
                    str(piece): int(number) for piece, number in _items(cast("object", listed))
                }
            else:
                self.pieces = {str(pair[0]): number for number, pair in enumerate(listed)}
            self._added: list[dict[str, Any]] = data["added_tokens"]
            self.added = {str(entry["content"]): int(entry["id"]) for entry in self._added}
        except (KeyError, TypeError, ValueError, IndexError):
            raise InputError(
                f"{name} is no tokenizer.json: it has no 'added_tokens' and no 'model' with a "
                "'vocab'"
            ) from None
        self.ids: Mapping[str, int] = {**self.pieces, **self.added}

    @property
    def control(self) -> list[str]:
        """The added tokens that are no text."""
        from rolecall.tokenizers.base import is_text_token

        every = frozenset(self.added)
        return [
            str(entry["content"])
            for entry in self._added
            if not is_text_token(
                str(entry["content"]), special=bool(entry.get("special")), added=every
            )
        ]

    @cached_property
    def reserved(self) -> tuple[str, ...]:
        """The tokens that are held in reserve, used or not."""
        return tuple(filter(is_reserved, self.ids))

    def unused(self, used: Collection[str], used_ids: Collection[int]) -> list[str]:
        """The reserved tokens that nothing uses, by their ids.

        Args:
            used: Tokens that something names.
            used_ids: Ids that something names.
        """
        found = {
            token: self.ids[token]
            for token in self.reserved
            if token not in used and self.ids[token] not in used_ids
        }
        # A piece that is made of others is text.
        for merge in self._model.get("merges") or ():
            whole = merge.replace(" ", "") if isinstance(merge, str) else "".join(merge)
            found.pop(whole, None)
        return sorted(found, key=lambda token: found[token])

    def place(
        self,
        tokens: Collection[str],
        unused: list[str],
        reserved: bool | Mapping[str, str],
    ) -> Placed:
        """Give each token that is not there a place, here and in `data`.

        Args:
            tokens: The control tokens that are needed.
            unused: The reserved tokens that may be taken.
            reserved: Whether to take them, or which of them for which token.

        Raises:
            InputError: If a token is to take the place of one that is not to be had.
        """
        missing = [token for token in tokens if token not in self.ids]
        promoted = [token for token in tokens if token in self.pieces and token not in self.added]
        mapped = self._mapping(tokens, missing, unused, reserved)
        added = [token for token in missing if token not in mapped]
        ids = {**self.ids, **{token: self.ids[old] for token, old in mapped.items()}}
        # As the engine counts: it numbers added tokens by itself when it reads the file.
        behind = max(self.added.values(), default=-1) + 1
        ids |= {token: at for at, token in enumerate(added, max(behind, len(self.pieces)))}
        placed = Placed(
            {token: ids[token] for token in tokens}, tuple(added), mapped, tuple(promoted)
        )
        self._write(placed)
        return placed

    def _mapping(
        self,
        tokens: Collection[str],
        missing: list[str],
        unused: list[str],
        reserved: bool | Mapping[str, str],
    ) -> dict[str, str]:
        if reserved is False:
            return {}
        if reserved is True:
            return dict(zip(missing, unused, strict=False))
        taken: dict[str, str] = {}
        for token, old in reserved.items():
            if token not in tokens:
                raise InputError(
                    f"{token!r} is to take the place of {old!r}, and is no control token of the "
                    f"format{nearest(token, tokens)} (it has: {', '.join(tokens)})"
                )
            if token not in missing:
                raise InputError(
                    f"{token!r} is to take the place of {old!r}, and the vocabulary has it already "
                    f"as id {self.ids[token]}; leave it out"
                )
            if old not in self.ids:
                raise InputError(
                    f"{token!r} is to take the place of {old!r}, which the vocabulary does not "
                    f"have{nearest(old, self.added)}"
                )
            if old not in unused:
                some = f"; {unused[0]!r} is free" if unused else ""
                raise InputError(
                    f"{token!r} is to take the place of {old!r}, which is no reserved token or is "
                    f"in use: the model's files name it{some}"
                )
            if old in taken.values():
                raise InputError(f"two tokens are to take the place of {old!r}; give each its own")
            taken[token] = old
        return taken

    def _write(self, placed: Placed) -> None:
        names = {old: token for token, old in placed.mapped.items()}
        if names:
            self._rename(names)
        entries = {str(entry["content"]): entry for entry in self._added}
        for token, old in placed.mapped.items():
            entry = entries.get(old)
            if entry is None:
                self._added.append({"id": placed.ids[token], "content": token, **FLAGS})
            else:
                entry.update({"content": token, **FLAGS})
        for token in (*placed.promoted, *placed.added):
            self._added.append({"id": placed.ids[token], "content": token, **FLAGS})
        self._added.sort(key=lambda entry: int(entry["id"]))

    def _rename(self, names: Mapping[str, str]) -> None:
        """Rename pieces; their ids, and the order of the file, stay."""
        listed: Any = self._model["vocab"]
        if names.keys().isdisjoint(self.pieces):
            return
        if isinstance(listed, dict):
            self._model["vocab"] = {
                names.get(piece, piece): number for piece, number in _items(cast("object", listed))
            }
        else:
            self._model["vocab"] = [[names.get(one[0], one[0]), *one[1:]] for one in listed]


def _items(listed: object) -> Iterator[tuple[str, int]]:
    return iter(cast("dict[str, int]", listed).items())


# --- What the model's other files say -------------------------------------------------------------

_LISTS: tuple[tuple[str, type], ...] = (
    ("added_tokens_decoder", dict),
    ("additional_special_tokens", list),
    ("extra_special_tokens", list),
)
"""Keys and kinds of values that list tokens without a use."""


def named_strings(value: object) -> Iterator[str]:
    """Every string of a settings file that may be a token with a use."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in cast("Mapping[str, object]", value).items():
            if not any(key == name and isinstance(inner, kind) for name, kind in _LISTS):
                yield from named_strings(inner)
    elif isinstance(value, list):
        for inner in cast("list[object]", value):
            yield from named_strings(inner)


def named_ids(value: object, *, inside: bool = False) -> Iterator[int]:
    """Every number of a settings file that stands under a key about tokens."""
    if isinstance(value, Mapping):
        for key, inner in cast("Mapping[str, object]", value).items():
            about = "token" in key or "bad_words" in key
            yield from named_ids(inner, inside=inside or about)
    elif isinstance(value, list):
        for inner in cast("list[object]", value):
            yield from named_ids(inner, inside=inside)
    elif inside and type(value) is int:
        yield value


def renamed(value: Any, names: Mapping[str, str]) -> Any:
    """A copy of a settings file in which tokens that were listed have their new names."""
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, dict):
        found = cast("dict[str, Any]", value)
        if found.get("content") in names and "lstrip" in found:
            return {**found, "content": names[found["content"]], **FLAGS}
        return {key: renamed(inner, names) for key, inner in found.items()}
    if isinstance(value, list):
        return [renamed(inner, names) for inner in cast("list[Any]", value)]
    return value
