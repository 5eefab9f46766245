"""Why adding a message can change earlier ids: derived from a format's file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolecall.pattern import Group, walk

if TYPE_CHECKING:
    from rolecall.conversation import Author
    from rolecall.format import Format


def reasons(fmt: Format) -> tuple[str, ...]:
    """One reason for each way in which a later message reaches back; empty if none does."""
    found: list[str] = []
    if fmt.system.place == "last-client":
        found.append("system.place: the system prompt moves to the newest client turn")
    if fmt.system.place in ("start", "first-client") and _takes_late_system(fmt):
        found.append("system.place: a later system message is moved to an earlier place")
    if fmt.system.place == "first-client":
        found.append("system.place: a system prompt alone stands in an empty client turn")
    if fmt.tools is not None and "last-client" in fmt.tools.places:
        found.append("tools.place: the tool schemas move to the newest client turn")
    if set(fmt.reasoning.keeps) - {"all", "none"}:
        found.append("reasoning.keep: reasoning is dropped once the conversation goes on")
    if fmt.calls is not None and fmt.calls.keep != "all":
        found.append("calls.keep: calls and results are dropped once the conversation goes on")
    if fmt.reasoning.thinks != "with-reasoning" and any(
        isinstance(node, Group) and node.slot == "thinks"
        for spec in fmt.specs
        for node in walk(spec.body)
    ):
        found.append("reasoning.thinks: the block of the last turn goes once it is not the last")
    if any(spec.merge is not None for spec in fmt.specs):
        found.append("turn.merge: the next message of the same author joins a closed turn")
    if any(spec.group is not None for spec in fmt.specs):
        found.append("turn.group: the next body of the same author joins a closed frame")
    if any(spec.final_end is not None for spec in fmt.specs):
        found.append("turn.final_end: the last turn ends in another token than the ones before")
    if fmt.finish:
        found.append("finish: what ends the document goes once the conversation goes on")
    return tuple(found)


def _takes_late_system(fmt: Format) -> bool:
    """Whether a system message may follow anything but another one."""
    every = tuple(fmt.turns)
    waiting = list(every if fmt.order.first is None else fmt.order.first)
    reached: set[Author] = set()
    while waiting:
        author = waiting.pop()
        if author == "owner" or author in reached:
            continue
        reached.add(author)
        follow = fmt.order.after.get(author, every)
        if "owner" in follow:
            return True
        waiting.extend(follow)
    return False
