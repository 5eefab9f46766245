"""A card becomes a conversation: system prompt, example dialogue, greeting, last word."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from rolecall.cards import lore
from rolecall.cards.card import EXAMPLES, Card, CardConversation, CardError, Examples
from rolecall.cards.examples import Block, Dialogue, read
from rolecall.cards.fields import kind
from rolecall.cards.macros import Macros
from rolecall.conversation import STANDARD_ROLES, Author, Conversation
from rolecall.errors import ConversationError, nearest
from rolecall.lost import Lost

DEFAULT_SYSTEM = "This is a chat between {char} and {user}. Write what {char} says and does."
"""The system prompt of a card that brings none of its own."""


def make(
    card: Card,
    *,
    user: str,
    greeting: int | None,
    role: str,
    user_role: str,
    examples: Examples,
    speakers: Sequence[str] | None,
    opening: str | None,
    system: str | None,
    post_history: bool,
    seed: int | None,
) -> CardConversation:
    """The conversation of a card; see `Card.to_conversation`."""
    char = card.speaker
    types: tuple[tuple[str, object, Any, str], ...] = (
        ("user", user, str, "a string"),
        ("role", role, str, "a string"),
        ("user_role", user_role, str, "a string"),
        ("opening", opening, (str, type(None)), "a string or None"),
        ("system", system, (str, type(None)), "a string or None"),
        ("greeting", greeting, (int, type(None)), "a number or None"),
        ("seed", seed, (int, type(None)), "a whole number or None"),
    )
    for field, value, kinds, what in types:
        if not isinstance(value, kinds):
            raise CardError(f"found {kind(value)}; give {what}", field=field)
    _check(card, char, user, greeting, role, user_role, examples, speakers)
    lot = None if seed is None else random.Random(seed)
    macros = Macros({"char": char, "user": user}, lot)
    lost = _of_fields(card)
    if system is None:
        system = DEFAULT_SYSTEM.format(char=char, user=user)
    dialogue = _dialogue(card, macros, char, user, examples, speakers)
    turned = examples == "turns"
    as_turns = [block for block in dialogue.blocks if turned and block.turns]
    as_text = [block for block in dialogue.blocks if not (turned and block.turns)]
    prompt, of_lore = _prompt(card, macros, greeting, system, as_text)
    messages: list[dict[str, Any]] = [{"role": "system", "content": prompt}] if prompt else []
    for block in as_turns:
        for speaker, text in block.turns:
            said_by = user_role if speaker == user else role
            messages.append({"role": said_by, "name": speaker, "content": text, "weight": 0})
    lost += of_lore + dialogue.lost + _of_examples(dialogue, as_turns, as_text, examples)
    if examples == "none" and card.mes_example.strip():
        lost.append(_left_out("mes_example"))
    greeted, of_greeting = _greeting(card, macros, greeting)
    lost += of_greeting
    if opening:
        messages.append({"role": user_role, "name": user, "content": opening})
    if greeted:
        messages.append({"role": role, "name": char, "content": greeted, "weight": 0})
    last = macros.expand(card.post_history_instructions, "post_history_instructions",
                         {"original": ""}).strip()  # fmt: skip
    if last and post_history:
        messages.append({"role": "system", "content": last})
    if last:
        lost.append(_of_last(post_history))
    cast = _cast(role, user_role, char, user, dialogue.others if as_turns else [])
    try:
        conversation = Conversation.read(messages, cast=cast)
    except ConversationError as error:
        raise CardError(str(error)) from None
    # A placeholder may stand in a field many times.
    return CardConversation(conversation, tuple(dict.fromkeys([*lost, *macros.lost])))


def _check(
    card: Card,
    char: str,
    user: str,
    greeting: int | None,
    role: str,
    user_role: str,
    examples: str,
    speakers: Sequence[str] | None,
) -> None:
    if not char:
        raise CardError("it is blank; a card names its character", field="name")
    if not user.strip():
        raise CardError("it is empty; give the name of who talks to the character", field="user")
    if user in (char, card.name.strip()):
        raise CardError(
            f"{user!r} is the character's own name, and nobody could tell the two apart; "
            "give another",
            field="user",
        )
    for given, field, author in ((role, "role", "model"), (user_role, "user_role", "client")):
        owner = STANDARD_ROLES.get(given, author)
        if not given or owner != author:
            raise CardError(
                f"{given!r} belongs to {owner}; give a label of the {author}'s, such as "
                f"{'writer' if author == 'model' else 'chat'!r}"
                if given
                else "it is empty; give the label of the messages",
                field=field,
            )
    if examples not in EXAMPLES:
        raise CardError(
            f"found {examples!r}; give 'system', 'turns' or 'none'{nearest(examples, EXAMPLES)}",
            field="examples",
        )
    for name in [None] if isinstance(speakers, str) else speakers or ():
        if not isinstance(name, str) or not name.strip():
            raise CardError(f"found {speakers!r}; give a list of names", field="speakers")
    if greeting is not None and not 0 <= greeting < len(card.greetings):
        others = len(card.greetings) - 1
        raise CardError(
            f"there is no greeting {greeting}; 0 is the first message"
            + (f", 1 to {others} are the alternate greetings" if others > 1 else "")
            + (", 1 is the alternate greeting" if others == 1 else "")
            + ("" if others else ", and there are no others"),
            field="greeting",
        )


# The system message.


def _prompt(
    card: Card, macros: Macros, greeting: int | None, system: str, examples: Sequence[Block]
) -> tuple[str, list[Lost]]:
    own = card.system_prompt.strip()
    parts = [macros.expand(own, "system_prompt", {"original": system}) if own else system]
    found, lost = lore.pieces(card, greeting)

    def entries(place: lore.Place) -> list[str]:
        return [macros.expand(one.text, one.where) for one in found if one.place == place]

    parts += entries("before")
    parts.append(macros.expand(card.description, "description"))
    for field in ("personality", "scenario"):
        text = macros.expand(getattr(card, field), field).strip()
        text = "\n".join([*([text] if text else []), *entries(field)])
        parts.append(f"{field.capitalize()}: {text}" if text.strip() else "")
    parts += entries("after")
    parts += [f"Example dialogue:\n{block.text}" for block in examples]
    return "\n\n".join(part.strip() for part in parts if part.strip()), lost


# Example dialogue.


def _dialogue(
    card: Card,
    macros: Macros,
    char: str,
    user: str,
    examples: Examples,
    speakers: Sequence[str] | None,
) -> Dialogue:
    if examples == "none":
        return Dialogue([], [], [])
    text = macros.expand(card.mes_example, "mes_example")
    # As text it is written as it stands, so who speaks need not be known.
    told = "\n".join((card.name, card.description, card.personality, card.scenario, card.first_mes))
    dialogue = read(text, (char, card.name.strip(), user), speakers, told)
    return Dialogue(
        [_under(block, card.name.strip(), char) for block in dialogue.blocks],
        dialogue.others,
        dialogue.lost if examples == "turns" else [],
    )


def _under(block: Block, name: str, char: str) -> Block:
    """The block with the character under one name, where it has two."""
    turns = [turn._replace(speaker=char) if turn.speaker == name else turn for turn in block.turns]
    return Block(tuple(turns), block.text)


def _of_examples(
    dialogue: Dialogue, turns: Sequence[Block], text: Sequence[Block], examples: Examples
) -> list[Lost]:
    lost: list[Lost] = []
    if turns:
        lost.append(
            _note("example-turns", "mes_example", "examples that are turns read as if they had "
                  "been said before the greeting")
        )  # fmt: skip
    if examples == "turns" and text:
        lost.append(
            _note("example-unnamed", "mes_example", f"{len(text)} of {len(dialogue.blocks)} "
                  "examples name nobody who speaks and stand in the system prompt")
        )  # fmt: skip
    return lost


# The greeting and the last word.


def _greeting(card: Card, macros: Macros, greeting: int | None) -> tuple[str, list[Lost]]:
    lost: list[Lost] = []
    there = [number for number, text in enumerate(card.greetings) if text.strip()]
    others = [number for number in there if number != greeting]
    fields = ["first_mes"] * (0 in others) + ["alternate_greetings"] * any(others)
    if greeting is None:
        return "", [_left_out(", ".join(fields))] if there else []
    if others:
        numbers = ", ".join(map(str, others[:8])) + (", …" if len(others) > 8 else "")
        lost.append(
            _note(
                "greeting-other",
                ", ".join(fields),
                f"a conversation has one greeting; the card has others: {numbers}",
            )
        )
    where = f"alternate_greetings[{greeting - 1}]" if greeting else "first_mes"
    text = macros.expand(card.greetings[greeting], where)
    return (text if text.strip() else ""), lost


def _of_last(written: bool) -> Lost:
    field = "post_history_instructions"
    if written:
        return _note("stands-last", field, "it is to stand behind the newest message; keep it last "
                     "when messages are added")  # fmt: skip
    return _left_out(field)


# Who is who.


def _cast(
    role: str, user_role: str, char: str, user: str, others: Sequence[str]
) -> dict[Any, Author]:
    """What must be declared: roles of one's own, and names where both speak under one role."""
    cast: dict[Any, Author] = {}
    if role not in STANDARD_ROLES:
        cast[role] = "model"
    if user_role == role:
        cast |= {(role, name): "model" for name in (char, *others)}
        cast[user_role, user] = "client"
    elif user_role not in STANDARD_ROLES:
        cast[user_role] = "client"
    return cast


# What no conversation carries.

IDLE_FIELDS = ("creator_notes", "creator", "character_version", "tags", "group_only_greetings")
NEWEST = {"v2": 2.0, "v3": 3.0}


def _of_fields(card: Card) -> list[Lost]:
    lost: list[Lost] = []
    newest = NEWEST.get(card.spec)
    if newest is not None and _is_newer(card.spec_version, newest):
        lost.append(
            Lost("warning", "newer-spec", None, "spec_version", f"the card follows version "
                 f"{card.spec_version}, and known is {newest}; what is new in it is not read")
        )  # fmt: skip
    dropped = [field for field in IDLE_FIELDS if getattr(card, field)]
    if dropped:
        lost.append(
            _note("field-dropped", ", ".join(dropped), "no part of a prompt, so not carried")
        )
    prompt = _mapping(card.extensions.get("depth_prompt")).get("prompt")
    if isinstance(prompt, str) and prompt.strip():
        lost.append(
            Lost("warning", "field-dropped", None, "extensions.depth_prompt", "a program's own "
                 "note that it puts among the messages of the running chat; it is not carried")
        )  # fmt: skip
    keys = [f"extensions.{key}" for key in card.extensions if key != "depth_prompt" or not prompt]
    keys += list(card.other)
    book = card.character_book
    if book is not None:
        keys += [f"character_book.extensions.{key}" for key in book.extensions]
        keys += ["character_book.entries.extensions"][: any(e.extensions for e in book.entries)]
    if keys:
        shown = ", ".join(keys[:12]) + (f" and {len(keys) - 12} more" if len(keys) > 12 else "")
        lost.append(
            _note("field-dropped", shown, "for programs that know these keys, so not carried")
        )
    return lost


def _is_newer(version: str, known: float) -> bool:
    try:
        return float(version) > known
    except ValueError:
        return False


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}  # pyright: ignore[reportUnknownVariableType]


def _left_out(field: str) -> Lost:
    return Lost("warning", "field-dropped", None, field, "it is left out, as you asked")


def _note(code: str, field: str, text: str) -> Lost:
    return Lost("note", code, None, field, text)
