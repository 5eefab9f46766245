"""What is measured: one way from conversations to token ids, as its users call it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Conversation = dict[str, Any]
Ids = list[list[int]]


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One way from conversations to ids.

    Only `run` is timed. `prepare` puts conversations into the form that the contender's users
    have, and `ids` reads the result.
    """

    key: str
    call: str
    """The call that is timed, as the page shows it."""
    returns: str
    """What it gives beside ids, and what it does not do."""
    run: Callable[[Any], Any]
    prepare: Callable[[Sequence[Conversation]], Any] = list
    ids: Callable[[Any], Ids] | None = None
    """The ids of each conversation, or None where they are not of conversations."""
    slow: bool = False
    """Whether it is given the first few conversations only, of which there are enough for it."""
    warm: bool = True
    """Whether its engine is warmed up through it: not where another contender has the same one."""
    tools: bool = True
    """Whether each conversation may have tools of its own."""
