"""What of a format is the same for every conversation, worked out once for the walk and account."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from rolecall.header import skeleton
from rolecall.pattern import DOCUMENT_TOKENS, EMPTY, Group, Literal, Pattern, literals, slots, walk
from rolecall.steps import Script

if TYPE_CHECKING:
    from rolecall.conversation import Author
    from rolecall.format import Format
    from rolecall.turn import TurnSpec


LABELS = frozenset(("role", "speaker", *DOCUMENT_TOKENS))
"""Slots of a header that are filled whoever speaks."""

SHORTEST_HEADER_WORD = 3
"""Plain-word headers shorter than this are punctuation, not words that content could hold."""


class TurnLayout:
    """How the turns of one kind are written."""

    def __init__(self, fmt: Format, spec: TurnSpec) -> None:
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
        self.always = self.open.always | self.body.always
        """Slots that are written whatever is filled."""
        self.fenced = all(
            not header or any(isinstance(node, Literal) and node.control for node in header)
            for header in (spec.open, *spec.after.values())
        )
        """Whether a control token stands in every header that is written."""
        self.stops: dict[tuple[object, ...], tuple[str, ...]] = {}
        """What ends such a turn, by what that depends on; see `rolecall.stops`."""
        self.thinks = any(
            isinstance(node, Group) and node.slot == "thinks" for node in walk(spec.body)
        )
        """Whether the body asks if the turn thinks."""
        self.fences_system = fenced(spec, "system")
        """Whether a control token stands beside a system prompt in this turn."""
        self.call_opening = _call_opening(fmt, spec)
        """The words that open a tool call where no control token does, or nothing."""
        self.twins = _twins(fmt, spec)
        """Headers under which this turn could be another author's, to how that one's are written.

        Empty where a slot or a control token always tells whose it is.
        """
        self.skeleton = "" if "speaker" in self.in_header else skeleton(fmt, spec, spec.role)
        """The header without its optional parts, where it is the same whoever speaks."""

    def header(self, previous: Author | None) -> Script:
        """The header behind a turn of the previous author."""
        return self.open if previous is None else self.after.get(previous, self.open)

    def ending(self, *, calls: bool, final: bool) -> Script:
        """What ends a turn, by whether it makes calls and whether it is the last of all."""
        if calls and self.call_end is not None:
            return self.call_end
        return self.final_end if final and self.final_end is not None else self.end


class Layout:
    """How one format is written."""

    def __init__(self, fmt: Format) -> None:
        self.fmt = fmt
        self.begin = Script(fmt.begin, "scaffold")
        self.finish = Script(fmt.finish, "scaffold")
        self.frame = Script(EMPTY if fmt.tools is None else fmt.tools.frame, "scaffold")
        self._turns = {id(spec): TurnLayout(fmt, spec) for spec in fmt.specs}
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
            found = self._recast[key] = TurnLayout(self.fmt, spec)
        return found

    @cached_property
    def merges(self) -> bool:
        """Whether any turns become one."""
        return any(spec.merge is not None for spec in self.fmt.specs)

    @cached_property
    def fenced(self) -> bool:
        """Whether a control token stands in every header."""
        return all(self.turn(spec).fenced for spec in self.fmt.specs)

    @cached_property
    def labels_only(self) -> bool:
        """Whether headers hold labels and names, and else nothing that differs between turns."""
        allowed = {*LABELS, "name", "has_tools", *self.fmt.options}
        return all(
            (node.slot if isinstance(node, Group) else node.name) in allowed
            for spec in self.fmt.specs
            for header in (spec.open, *spec.after.values())
            for node in walk(header)
            if not isinstance(node, Literal)
        )

    @cached_property
    def refuses(self) -> bool:
        """Whether some turns cannot be written for what they say or do not say."""
        alone = self.fmt.calls is not None and self.fmt.calls.alone
        return alone or any(not spec.empty for spec in self.fmt.specs)

    @cached_property
    def _kinds(self) -> list[TurnSpec]:
        """Every turn under every header; roles that are given to other authors are among them."""
        specs = self.fmt.specs
        return [replace(spec, open=other.open) for spec in specs for other in specs]

    @cached_property
    def opens_calls_in_words(self) -> bool:
        """Whether in some turn no control token opens a tool call."""
        return any(_call_opening(self.fmt, spec) for spec in self._kinds)

    @cached_property
    def shares_headers(self) -> bool:
        """Whether some turn could be another author's by its header."""
        return any(_twins(self.fmt, replace(spec, role="")) for spec in self._kinds)

    @cached_property
    def writes_call_ids(self) -> bool:
        """Whether a call is written with its id."""
        return "call_id" in slots(self.call.nodes)


def fenced(spec: TurnSpec, slot: str) -> bool:
    """Whether a control token stands beside a slot in the group that is written for it."""
    return any(
        isinstance(node, Group) and node.slot == slot and literals(node.nodes, control=True)
        for node in walk((*spec.open, *spec.body))
    )


def _call_opening(fmt: Format, spec: TurnSpec) -> str:
    if fmt.calls is None or "calls" not in slots(spec.body) or fenced(spec, "calls"):
        return ""
    call = (*fmt.calls.begin, *fmt.calls.each, *fmt.calls.finish)
    if literals(call, control=True):
        return ""
    opening = ""
    for node in call:
        if not isinstance(node, Literal):
            break
        opening += node.text
    opening = opening.strip().split("\n")[0]
    return opening if len(opening) >= SHORTEST_HEADER_WORD else ""


def _twins(fmt: Format, spec: TurnSpec) -> dict[str, TurnSpec]:
    if not spec.open or "role" in slots(spec.open) or literals(spec.body, control=True):
        return {}
    found: dict[str, TurnSpec] = {}
    for other in fmt.specs:
        if other.author == spec.author or other.role == spec.role:
            continue  # Of two authors under one role the cast tells who is who.
        # The one that is written plainly is what a reader takes it for; it is not reported.
        if spec.author == "tool" or other.author == "model":
            found.setdefault(skeleton(fmt, other, other.role), other)
    return found


def _calls(nodes: Pattern) -> Script:
    return Script(nodes, "tool_calls")


@lru_cache(maxsize=256)
def layout(fmt: Format) -> Layout:
    """The layout of a format, worked out once."""
    return Layout(fmt)
