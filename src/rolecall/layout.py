"""What of a format is the same for every conversation, worked out once for the walk and account."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from rolecall.pattern import EMPTY, Group, Pattern, Slot, slots, walk
from rolecall.steps import Script

if TYPE_CHECKING:
    from rolecall.conversation import Author
    from rolecall.format import Format
    from rolecall.turn import TurnSpec


class TurnLayout:
    """How the turns of one kind are written."""

    def __init__(self, spec: TurnSpec) -> None:
        self.spec = spec
        self.open = Script(spec.open, "header")
        self.after = {author: Script(header, "header") for author, header in spec.after.items()}
        self.body = Script(spec.body, "scaffold")
        self.end = Script(spec.end, "end")
        self.final_end = None if spec.final_end is None else Script(spec.final_end, "end")
        self.call_end = None if spec.call_end is None else Script(spec.call_end, "end")
        self.gap = Script(spec.gap, "scaffold")
        self.prompt = Script(spec.prompt, "scaffold")
        self.in_header = slots(spec.open)
        """Slots of the header."""
        self.always = frozenset(
            node.name for node in (*spec.open, *spec.body) if isinstance(node, Slot)
        )
        """Slots that are written whatever is filled."""
        self.thinks = any(
            isinstance(node, Group) and node.slot == "thinks" for node in walk(spec.body)
        )
        """Whether the body asks if the turn thinks."""

    def header(self, previous: Author | None) -> Script:
        """The header behind a turn of the previous author."""
        return self.open if previous is None else self.after.get(previous, self.open)


class Layout:
    """How one format is written."""

    def __init__(self, fmt: Format) -> None:
        self.fmt = fmt
        self.begin = Script(fmt.begin, "scaffold")
        self.finish = Script(fmt.finish, "scaffold")
        self.frame = Script(EMPTY if fmt.tools is None else fmt.tools.frame, "scaffold")
        self._turns = {id(spec): TurnLayout(spec) for spec in fmt.specs}
        self._recast: dict[tuple[Author, str], TurnLayout] = {}
        rule = fmt.calls
        self.calls_begin = _calls(EMPTY if rule is None else rule.begin)
        self.call = _calls(EMPTY if rule is None else rule.each)
        self.calls_join = _calls(EMPTY if rule is None else rule.join)
        self.calls_finish = _calls(EMPTY if rule is None else rule.finish)
        self.call_id = _calls(EMPTY if rule is None else rule.id)

    def turn(self, spec: TurnSpec) -> TurnLayout:
        """How the turns of a kind are written."""
        return self._turns.get(id(spec)) or self._of_recast(spec)

    def _of_recast(self, spec: TurnSpec) -> TurnLayout:
        """Of a role that was given to another author there is a new `TurnSpec` for each turn."""
        key = spec.author, spec.role
        found = self._recast.get(key)
        if found is None:
            found = self._recast[key] = TurnLayout(spec)
        return found

    @cached_property
    def merges(self) -> bool:
        """Whether any turns become one."""
        return any(spec.merge is not None for spec in self.fmt.specs)

    @cached_property
    def refuses(self) -> bool:
        """Whether some turns cannot be written for what they say or do not say."""
        alone = self.fmt.calls is not None and self.fmt.calls.alone
        return alone or any(not spec.empty for spec in self.fmt.specs)

    @cached_property
    def writes_call_ids(self) -> bool:
        """Whether a call is written with its id."""
        return "call_id" in slots(self.call.nodes)


def _calls(nodes: Pattern) -> Script:
    return Script(nodes, "tool_calls")


@lru_cache(maxsize=256)
def layout(fmt: Format) -> Layout:
    """The layout of a format, worked out once."""
    return Layout(fmt)
