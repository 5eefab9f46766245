"""What targets that know a chat as text around contents cannot carry of a format."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from rolecall.conversation import Author
from rolecall.lost import GRAVITY, Lost
from rolecall.pattern import GROUP_PARTS, Group, Pattern, Slot, slots, walk

if TYPE_CHECKING:
    from rolecall.format import Format
    from rolecall.turn import TurnSpec

FOLDED = ("first-client", "last-client")
"""Places of `strategies.SYSTEM_PLACES` within a turn of the client."""


def plain_losses(fmt: Format, title: str, carries: Collection[str]) -> list[Lost]:
    """What a target loses, in the order of gravity.

    Args:
        fmt: The format.
        title: What the target is called in prose.
        carries: What the target does carry beside contents: ``names``, ``reasoning``, ``tools``,
            ``trim``, ``merge``.
    """
    found = [*_dropped(fmt, title, carries), *_changed(fmt, title, carries)]
    return sorted(found, key=lambda record: -GRAVITY[record.level])


def writes_reasoning(fmt: Format) -> bool:
    """Whether the model's turns hold reasoning."""
    if set(fmt.reasoning.keeps) == {"none"}:
        return False
    return any("reasoning" in slots(spec.body) for spec in fmt.specs if spec.author == "model")


def filters(fmt: Format) -> list[str]:
    """The filters that contents of plain messages go through, each once."""
    found = [
        node.filter
        for spec in _plain(fmt)
        for node in walk(spec.body)
        if isinstance(node, Slot) and node.name in ("content", "system") and node.filter
    ]
    return list(dict.fromkeys(found))


def _plain(fmt: Format) -> list[TurnSpec]:
    return [spec for spec in fmt.specs if spec.author != "tool"]


def _dropped(fmt: Format, title: str, carries: Collection[str]) -> Iterator[Lost]:
    if "tools" not in carries:
        if fmt.tools is not None:
            detail = f"{title} has no place for tool schemas as {fmt.name} writes them"
            yield Lost("error", "tools-dropped", None, "tools", detail)
        if fmt.calls is not None:
            detail = f"{title} does not write tool calls as {fmt.name} does"
            yield Lost("error", "call-dropped", None, "tool_calls", detail)
        if "tool" in fmt.turns:
            detail = f"{title} does not write tool results as {fmt.name} does"
            yield Lost("error", "result-dropped", None, "content", detail)
    if "reasoning" not in carries and writes_reasoning(fmt):
        detail = f"{title} does not write reasoning as {fmt.name} does"
        yield Lost("error", "reasoning-dropped", None, "reasoning_content", detail)
    if "names" not in carries:
        named = [author for author in ("client", "model") if _names(fmt, author)]
        if named:
            detail = (
                f"{title} does not write the speaker's name into the header of "
                f"{' or '.join(named)} turns"
            )
            yield Lost("error", "name-dropped", None, "name", detail)
    if fmt.attributes:
        detail = f"{title} knows no attributes such as {', '.join(fmt.attributes)}"
        yield Lost("error", "attribute-dropped", None, "attributes", detail)


def _names(fmt: Format, author: Author) -> bool:
    headers = [spec.open for spec in fmt.specs if spec.author == author]
    return any(slots(header) & {"name", "speaker"} for header in headers)


def _changed(fmt: Format, title: str, carries: Collection[str]) -> Iterator[Lost]:
    if fmt.roles or any("role" in slots(spec.open) for spec in _plain(fmt)):
        detail = f"{title} has one label for each author: other roles read as those"
        yield Lost("warning", "role-dropped", None, "role", detail)
    if "merge" not in carries and any(spec.merge is not None for spec in _plain(fmt)):
        detail = f"{fmt.name} writes consecutive messages of a speaker as one turn, {title} as two"
        yield Lost("warning", "merged", None, "content", detail)
    if "trim" not in carries and filters(fmt):
        detail = (
            f"{fmt.name} takes white space off the ends of contents, {title} leaves it "
            f"({', '.join(filters(fmt))})"
        )
        yield Lost("note", "untrimmed", None, "content", detail)
    if "empty" not in carries and _reads_emptiness(fmt):
        detail = f"{fmt.name} writes a message that says nothing in another way, {title} does not"
        yield Lost("note", "empty-content", None, "content", detail)
    order = fmt.order
    if order.first is not None or order.after or order.rules:
        detail = f"{fmt.name} refuses messages in an order it has no way to write, {title} does not"
        yield Lost("note", "order-unchecked", None, "role", detail)


def _reads_emptiness(fmt: Format) -> bool:
    return any(_asks(pattern) for spec in _plain(fmt) for pattern in (spec.body, spec.gap))


def _asks(pattern: Pattern) -> bool:
    """Whether a pattern without calls, tools or reasoning asks if there is a content."""
    return any(
        node.slot == "content"
        or ((node.slot not in GROUP_PARTS or node.negated) and _asks(node.nodes))
        for node in pattern
        if isinstance(node, Group)
    )
