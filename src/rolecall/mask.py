"""Which tokens to train on, and with what weight: read from provenance, never searched for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from rolecall.conversation import AUTHORS
from rolecall.errors import InputError, nearest
from rolecall.segment import BODY_PARTS, HEADER_PARTS, PARTS

if TYPE_CHECKING:
    from rolecall.conversation import Author, Message

BODY = np.array([part in BODY_PARTS for part in PARTS])
HEADER = np.array([part in HEADER_PARTS for part in PARTS])

Bools = npt.NDArray[np.bool_]


class Tokens(Protocol):
    """The arrays that a mask reads, each of n tokens."""

    @property
    def message(self) -> npt.NDArray[np.int32]:
        """Index of the message."""
        ...

    @property
    def part(self) -> npt.NDArray[np.uint8]:
        """Index into `rolecall.segment.PARTS`."""
        ...

    @property
    def sampled(self) -> Bools:
        """Whether the model would emit the token."""
        ...


class Said(Protocol):
    """Who said the messages of one conversation."""

    @property
    def authors(self) -> Sequence[Author]:
        """The author of each."""
        ...

    @property
    def roles(self) -> Sequence[str]:
        """The label of each."""
        ...

    @property
    def names(self) -> Sequence[str | None]:
        """The speaker of each."""
        ...

    @property
    def weights(self) -> Sequence[float | None]:
        """The loss weight of each."""
        ...


@dataclass(frozen=True, slots=True)
class Choice:
    """Which messages to train on: those of which any of the conditions given holds."""

    author: str | None = None
    role: str | None = None
    name: str | None = None
    message: int | None = None
    where: Callable[[Message], bool] | None = None
    header: bool = False

    def checked(self) -> Choice:
        """The same, or with the condition that holds where none was given.

        Raises:
            InputError: If a condition is of the wrong form.
        """
        author, message, where = self.author, self.message, self.where
        if author is not None and author not in AUTHORS:
            raise InputError(
                f"mask: unknown author {author!r}{nearest(str(author), AUTHORS)}; authors are "
                f"{', '.join(AUTHORS)}, and labels are chosen with role="
            )
        for key, text in (("role", self.role), ("name", self.name)):
            if not isinstance(text, str | None):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise InputError(f"mask: {key}: found {text!r}; it must be a string")
        if message is not None and (isinstance(message, bool) or not hasattr(message, "__index__")):
            raise InputError(f"mask: message: found {message!r}; it must be the index of a message")
        if where is not None and not callable(where):
            raise InputError(f"mask: where: found {where!r}; it must be a function of a message")
        given = (author, self.role, self.name, message, where)
        if all(condition is None for condition in given):
            return Choice("model", header=self.header)
        return self

    def of(self, said: Said, messages: Callable[[], Sequence[Message]]) -> Bools:
        """The messages chosen of one conversation.

        Args:
            said: Who said them.
            messages: Gives them; called only where they are asked about.

        Returns:
            bool[messages].

        Raises:
            InputError: If there is no message of the index given.
        """
        count = len(said.authors)
        chosen = np.zeros(count, np.bool_)
        if self.message is not None:
            if not -count <= self.message < count:
                raise InputError(f"mask: there is no message {self.message}; there are {count}")
            chosen[self.message] = True
        conditions: tuple[tuple[object, Sequence[object]], ...] = (
            (self.author, said.authors),
            (self.role, said.roles),
            (self.name, said.names),
        )
        for wanted, found in conditions:
            if wanted is not None:
                chosen |= np.array([one == wanted for one in found], np.bool_)
        if self.where is not None:
            chosen |= np.array([bool(self.where(one)) for one in messages()], np.bool_)
        return chosen

    def tokens(self, tokens: Tokens, chosen: Bools, of_model: Bools, at: Any) -> Bools:
        """The tokens to train on.

        Args:
            tokens: The arrays of n tokens.
            chosen: bool[m]: messages chosen.
            of_model: bool[m]: messages of a model.
            at: int[n]: the entry of both for each token.
        """
        taken = chosen[at]
        if not (chosen & ~of_model).any() and not self.header:
            return taken & tokens.sampled
        said = np.where(of_model[at], tokens.sampled, BODY[tokens.part])
        if self.header:
            said |= HEADER[tokens.part]
        return taken & said


def of_model(said: Said) -> Bools:
    """bool[messages]: which messages are a model's."""
    return np.array([author == "model" for author in said.authors], np.bool_)


def factors(said: Said) -> npt.NDArray[np.float32]:
    """float32[messages]: the loss weight of each message; None is 1."""
    return np.array([1.0 if weight is None else weight for weight in said.weights], np.float32)
