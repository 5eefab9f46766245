"""`rolecall card`: a character card as a conversation."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from rolecall.cards.card import EXAMPLES, Card, CardConversation, CardError
from rolecall.cards.source import LARGEST_FILE, card_of_bytes, read_card
from rolecall.cli import read
from rolecall.cli.options import FailOnLoss
from rolecall.cli.screen import Output, json_bytes, write_bytes


def command(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="A card: JSON (V1, V2, V3), a PNG picture that holds one, or Markdown whose main "
            "heading is the character's name; - is standard input.",
            show_default=False,
        ),
    ],
    user: Annotated[
        str, typer.Option("--user", metavar="NAME", help="Who talks to the character: {{user}}.")
    ] = "User",
    greeting: Annotated[
        int,
        typer.Option(
            "--greeting",
            metavar="N",
            help="Which greeting: 0 is the first message, 1 the first alternate greeting.",
        ),
    ] = 0,
    no_greeting: Annotated[
        bool, typer.Option("--no-greeting", help="Leave the greeting out.")
    ] = False,
    role: Annotated[
        str,
        typer.Option(
            "--role",
            metavar="ROLE",
            help="The role under which the character speaks, such as writer.",
        ),
    ] = "assistant",
    user_role: Annotated[
        str, typer.Option("--user-role", metavar="ROLE", help="The role of who talks to it.")
    ] = "user",
    examples: Annotated[
        str,
        typer.Option(
            "--examples",
            metavar="WHERE",
            help="Where example dialogue goes: into the system prompt (system), before the "
            "greeting as messages (turns), or nowhere (none).",
        ),
    ] = "system",
    speaker: Annotated[
        list[str] | None,
        typer.Option(
            "--speaker",
            metavar="NAME",
            help="Who else speaks in the example dialogue; without it they are found. Repeatable.",
        ),
    ] = None,
    opening: Annotated[
        str | None,
        typer.Option(
            "--opening",
            metavar="TEXT",
            help="What the person says before the greeting, for formats in which the character "
            "cannot speak first.",
        ),
    ] = None,
    system: Annotated[
        str | None,
        typer.Option(
            "--system",
            metavar="TEXT",
            help="The system prompt where the card has none, and what {{original}} stands for.",
        ),
    ] = None,
    no_post_history: Annotated[
        bool,
        typer.Option("--no-post-history", help="Leave the post-history instructions out."),
    ] = False,
    seed: Annotated[
        int | None,
        typer.Option("--seed", metavar="N", help="Draw for {{random}}, {{pick}} and {{roll}}."),
    ] = None,
    fail_on: FailOnLoss = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="One JSON object: the conversation, about the card, what is lost."
        ),
    ] = False,
) -> Output:
    """Make a conversation of a character card.

    It goes to standard output, for 'rolecall render -' or a file. What of the card it does not
    carry is said on standard error.
    """
    if fail_on is not None:
        read.choice("--fail-on", fail_on, read.LEVELS)
    where: Any = read.choice("--examples", examples, EXAMPLES)
    card = _card(file)
    try:
        made = card.to_conversation(
            user=user,
            greeting=None if no_greeting else greeting,
            role=role,
            user_role=user_role,
            examples=where,
            speakers=speaker,
            opening=opening,
            system=system,
            post_history=not no_post_history,
            seed=seed,
        )
    except CardError as error:
        raise CardError(str(error).removeprefix("card, ").removeprefix("card: "),
                        source=_shown(file)) from None  # fmt: skip
    status = 1 if read.is_reached(fail_on, (record.level for record in made.lost)) else 0
    if as_json:
        data = json_bytes([_json(card, made)])
        return Output(lambda: write_bytes(data), (), status)
    data = json_bytes([made.conversation.to_wire()], indent=1)
    # A record is about the card here, not about the conversation made of it.
    notes = [f"{one.level} {one.code}: {one.field}: {one.detail}" for one in made.lost]
    return Output(lambda: write_bytes(data), notes, status)


def _shown(file: str) -> str:
    return "standard input" if file == "-" else file


def _card(file: str) -> Card:
    if file != "-":
        return read_card(file)
    name = _shown(file)
    if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison]
        raise CardError("it cannot be read: it is closed", source=name)
    try:
        data = sys.stdin.buffer.read(LARGEST_FILE + 1)
    except OSError as error:
        raise CardError(f"it cannot be read: {error.strerror or error}", source=name) from None
    return card_of_bytes(data, name)


def _json(card: Card, made: CardConversation) -> dict[str, Any]:
    return {
        "conversation": made.conversation.to_wire(),
        "card": {
            "name": card.name,
            "nickname": card.nickname,
            "spec": card.spec,
            "spec_version": card.spec_version,
            "greetings": len([text for text in card.greetings if text.strip()]),
            "creator": card.creator,
            "tags": list(card.tags),
        },
        "lost": [record._asdict() for record in made.lost],
    }
