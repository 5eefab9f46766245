"""What a character card holds, whichever file it came from.

Facts: the specifications of V1 and V2 (github.com/malfoyslastname/character-card-spec-v2) and of V3
(github.com/kwaroran/character-card-spec-v3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from rolecall.conversation import Conversation
from rolecall.errors import InputError
from rolecall.lost import Lost

Spec = Literal["v1", "v2", "v3", "markdown"]
Examples = Literal["system", "turns", "none"]
EXAMPLES: tuple[Examples, ...] = ("system", "turns", "none")


class CardError(InputError):
    """A character card that cannot be read, or of which no such conversation can be made.

    Attributes:
        field: Name of the field concerned, such as ``data.first_mes``, or an empty string.
    """

    def __init__(self, text: str, *, source: str = "card", field: str = "") -> None:
        self.field = field
        super().__init__(f"{source}{', ' + field if field else ''}: {text}")


@dataclass(frozen=True, slots=True)
class LoreEntry:
    """One entry of a lorebook."""

    content: str
    keys: tuple[str, ...] = ()
    """Words of the chat that bring the entry into the prompt."""
    enabled: bool = True
    constant: bool = False
    """Whether it is in every prompt, whatever its keys."""
    order: float = 0
    """The lower, the earlier it stands among its like."""
    before: bool = False
    """Whether it stands before the description and not behind it."""
    name: str = ""
    use_regex: bool = False
    extensions: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Lorebook:
    """What is known of the character's world."""

    entries: tuple[LoreEntry, ...] = ()
    name: str = ""
    token_budget: float | None = None
    extensions: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Card:
    """A character card; a text that the card does not have is empty."""

    name: str
    """The character's name; never empty."""
    description: str = ""
    personality: str = ""
    scenario: str = ""
    first_mes: str = ""
    """The greeting, with which the character opens the chat."""
    mes_example: str = ""
    """Examples of how the character talks, as blocks that begin with ``<START>``."""
    system_prompt: str = ""
    """What replaces the usual system prompt; ``{{original}}`` in it stands for that one."""
    post_history_instructions: str = ""
    """What is to stand behind the newest message."""
    alternate_greetings: tuple[str, ...] = ()
    group_only_greetings: tuple[str, ...] = ()
    nickname: str = ""
    """What ``{{char}}`` stands for, if it is not the name (V3)."""
    creator_notes: str = ""
    """For people; the specification keeps it out of prompts."""
    creator: str = ""
    character_version: str = ""
    tags: tuple[str, ...] = ()
    character_book: Lorebook | None = None
    extensions: Mapping[str, Any] = field(default_factory=dict[str, Any])
    other: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Further keys that held a value, by their place in the file."""
    spec: Spec = "v1"
    spec_version: str = ""
    """As the file has it, such as ``"3.0"``."""

    @property
    def speaker(self) -> str:
        """The name under which the character speaks: the nickname if there is one."""
        return self.nickname.strip() or self.name.strip()

    @property
    def greetings(self) -> tuple[str, ...]:
        """`first_mes` and the `alternate_greetings`, in the order that V3 numbers them."""
        return (self.first_mes, *self.alternate_greetings)

    def to_conversation(
        self,
        *,
        user: str = "User",
        greeting: int | None = 0,
        role: str = "assistant",
        user_role: str = "user",
        examples: Examples = "system",
        speakers: Sequence[str] | None = None,
        opening: str | None = None,
        system: str | None = None,
        post_history: bool = True,
        seed: int | None = None,
    ) -> CardConversation:
        """The conversation that a chat with this character begins with.

        It has a system message, the greeting, and what the card wants behind the newest message.
        The greeting and example turns have the weight 0: the card's author wrote them, no model is
        to be trained on them again with every chat.

        Args:
            user: The name of the person who talks to the character, for ``{{user}}``.
            greeting: Which greeting: 0 is `first_mes`, 1 the first of `alternate_greetings`; None
                for no greeting.
            role: The role under which the character speaks; one of your own is cast as written by
                the model.
            user_role: The role under which the person speaks. It may be that of the character;
                then the cast tells them apart by name.
            examples: Where example dialogue goes: into the ``system`` message as text, before the
                greeting as ``turns``, or nowhere (``none``).
            speakers: Who else speaks in the example dialogue, besides the character and the person;
                None finds them and says whom it found.
            opening: What the person says before the greeting, for formats in which the character
                cannot speak first.
            system: The system prompt of a card that has none, and what ``{{original}}`` stands for;
                None is a sentence that names both, an empty string is nothing.
            post_history: Write `post_history_instructions` as a last system message.
            seed: Draws for ``{{random}}``, ``{{pick}}`` and ``{{roll}}`` are made from it; None
                leaves them as they stand, with a warning.

        Raises:
            CardError: If there is no such greeting, or a name or role cannot be used.
        """
        from rolecall.cards.conversation import make

        return make(
            self,
            user=user,
            greeting=greeting,
            role=role,
            user_role=user_role,
            examples=examples,
            speakers=speakers,
            opening=opening,
            system=system,
            post_history=post_history,
            seed=seed,
        )


class CardConversation(NamedTuple):
    """What `Card.to_conversation` returns."""

    conversation: Conversation
    lost: tuple[Lost, ...]
    """What of the card is not in the conversation, or not as it stands there."""
