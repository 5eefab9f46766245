"""KoboldCpp: the adapter that its chat completions are written with.

KoboldCpp writes `chat_start`, then each message between the two strings of its role, then
`assistant_gen`. It knows neither first nor last turns, nor who spoke before.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rolecall.conversation import DEFAULT_ROLE, Author
from rolecall.errors import InputError
from rolecall.export import Exported
from rolecall.export.frames import Around, Chain, Difference, Frames, differences, frames
from rolecall.export.losses import plain_losses
from rolecall.lost import GRAVITY, Lost

if TYPE_CHECKING:
    from rolecall.format import Format

TITLE = "KoboldCpp"


def export(
    fmt: Format,
    options: Mapping[str, Any],
    *,
    speaker: str = "assistant",
    user: str = "user",
    cast: object = None,
) -> Exported:
    """Write the adapter of a format.

    Args:
        fmt: The format.
        options: Values of its options.
        speaker: The role under which the model speaks.
        user: The role under which the client speaks.
        cast: Who authors which role.

    Raises:
        InputError: If the format cannot write such a conversation.
    """
    made = frames(fmt, options, speaker=speaker, user=user, cast=cast)
    talk = made.talk()
    if talk is None:
        raise InputError(f"{fmt.name} writes no conversation of {user!r} and {speaker!r}")
    client, model = talk.turns
    adapter = {"chat_start": made.begin} if made.begin else {}
    adapter |= _of("system", _owner(made, client))
    adapter |= _of("user", client) | _of("assistant", model)
    if talk.prompt != model.opens:
        adapter["assistant_gen"] = talk.prompt
    places, moved = declared(made, adapter)
    lost = [*(place.record for place in places), *moved, *plain_losses(fmt, TITLE, ("merge",))]
    rendering = fmt.render(
        [{"role": user, "content": "x"}], cast=cast, speaker=speaker, strict=False, **options
    )
    stops = {adapter["user_start"].strip(), adapter["assistant_start"].strip()}
    missing = [stop for stop in rendering.stop if stop.strip() not in stops]
    notes = ["load it with --chatcompletionsadapter FILE"]
    if missing:
        notes.append(
            "KoboldCpp stops at its model's own end tokens and at the two starts; if it writes on, "
            f"send these in 'stop': {', '.join(map(repr, missing))}"
        )
    default = fmt.system.default
    if default:
        notes.append(
            f"without a system message {fmt.name} writes one by itself, KoboldCpp none: send "
            f"{default!r} as one"
        )
    if made.bos:
        notes.append(f"{made.bos!r} is left out: KoboldCpp begins every prompt with it")
    text = json.dumps(adapter, ensure_ascii=False, indent=2) + "\n"
    ordered = sorted(lost, key=lambda record: -GRAVITY[record.level])
    return Exported("kobold", {f"{fmt.name}.json": text}, tuple(ordered), tuple(notes))


def _of(role: str, around: Around) -> dict[str, str]:
    return {f"{role}_start": around.opens, f"{role}_end": around.closes}


def _owner(made: Frames, client: Around) -> Around:
    """A system message as a turn of its own, or as one of the client where it can be none."""
    chain = made.chain("owner", "client")
    if chain is None or len(chain.turns) < 2:
        return client
    owner, after = chain.turns
    if not after.opens.endswith(client.opens):
        # It stands within the client's turn, which KoboldCpp cannot write.
        return client
    # What the client's header begins with behind a system message ends that message here.
    more = after.opens.removesuffix(client.opens)
    return Around(owner.opens.removeprefix(made.begin), owner.closes + more, owner.message)


def declared(made: Frames, adapter: Mapping[str, str]) -> tuple[list[Difference], list[Lost]]:
    """What KoboldCpp writes with an adapter otherwise than the format; see `differences`."""
    return differences(made, TITLE, lambda authors: written(adapter, authors))


def written(adapter: Mapping[str, str], authors: tuple[Author, ...]) -> Chain:
    """What KoboldCpp writes around the contents of these authors."""
    turns = [
        Around(adapter[f"{DEFAULT_ROLE[author]}_start"], adapter[f"{DEFAULT_ROLE[author]}_end"], n)
        for n, author in enumerate(authors)
    ]
    turns[0] = turns[0]._replace(opens=adapter.get("chat_start", "") + turns[0].opens)
    return Chain(tuple(turns), adapter.get("assistant_gen", adapter["assistant_start"]))
