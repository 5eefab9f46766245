"""What a vocabulary must have for a format: its control tokens, and those that end a turn."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, cast

from rolecall.errors import InputError, RolecallError
from rolecall.pattern import Literal, Piece, Slot

if TYPE_CHECKING:
    from rolecall.format import Format


def _nodes(value: object) -> Iterator[Literal | Slot | Piece]:
    """Every literal, slot and label anywhere in a format."""
    if isinstance(value, (Literal, Slot, Piece)):
        yield value
    elif is_dataclass(value):
        for one in fields(value):
            yield from _nodes(getattr(value, one.name))
    elif isinstance(value, Mapping):
        for inner in cast("Mapping[object, object]", value).values():
            yield from _nodes(inner)
    elif isinstance(value, (tuple, list)):
        for inner in cast("Sequence[object]", value):
            yield from _nodes(inner)


def needed_tokens(fmt: Format, more: Sequence[str]) -> list[str]:
    """The control tokens that a vocabulary must have.

    The tokens that begin and end a text are among those of a format; where its patterns write them
    by slots alone, the model may have others.
    """
    replaceable = {fmt.bos_token, fmt.eos_token}
    spelled = {
        node.text for node in _nodes(fmt) if isinstance(node, (Literal, Piece)) and node.control
    }
    kept = [token for token in fmt.control if token in spelled or token not in replaceable]
    return list(dict.fromkeys([*kept, *filter(None, more)]))


def written_slots(fmt: Format) -> set[str]:
    """The names of all slots that a format writes anywhere."""
    return {node.name for node in _nodes(fmt) if isinstance(node, Slot)}


def taken_for_control(fmt: Format, tokens: Collection[str]) -> list[str]:
    """The control tokens of a vocabulary that a format spells as plain text.

    Args:
        fmt: The format.
        tokens: The control tokens.
    """
    texts = {
        node.text for node in _nodes(fmt) if isinstance(node, (Literal, Piece)) and not node.control
    }
    together = "\0".join(texts)
    return sorted(token for token in tokens if token in together and token not in fmt.control)


def document_token(
    fmt: Format, kind: str, given: str | None, own: Mapping[str, str], *, used: bool
) -> str:
    """The token that begins or ends a text; empty where there is none.

    Args:
        fmt: The format.
        kind: ``bos_token`` or ``eos_token``.
        given: The one the caller asks for.
        own: The model's named tokens.
        used: Whether the format writes it.

    Raises:
        InputError: If the one that is asked for is empty.
    """
    if given is not None:
        if not given:
            raise InputError(f"{kind} is empty; leave it out for the model's own")
        return given
    default = str(getattr(fmt, kind)) if used else ""
    return own.get(kind) or default


def stops_of(fmt: Format, options: Mapping[str, str]) -> list[str]:
    """What ends a turn of the model, under whatever role it speaks."""
    roles = ["assistant", *(role for role, spec in fmt.roles.items() if spec.author == "model")]
    found: dict[str, None] = {}
    chosen: dict[str, Any] = {**options}
    for role in roles:
        try:
            rendering = fmt.render(
                [{"role": "user", "content": "x"}],
                cast={role: "model"},
                speaker=role,
                strict=False,
                **chosen,
            )
        except RolecallError:
            # The format has no turn of that role behind a client's.
            continue
        found.update(dict.fromkeys(rendering.stop))
    return list(found)
