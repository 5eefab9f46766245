"""Whether the turns that a rendering holds stay as they are, so that only new ones are walked.

`rolecall.history` says in what ways a format may reach back at all; here it is asked whether these
messages do. Where that is not sure the answer is no, and the conversation is walked again as a
whole, which gives the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolecall.layout import layout

if TYPE_CHECKING:
    from rolecall.conversation import Author, Conversation
    from rolecall.plan import Past
    from rolecall.render import Rendering

REACHES_NOBODY = frozenset(("all", "none"))
"""Rules of what is kept that do not look at what follows."""

MOVES_NOTHING = frozenset(("turn", "refuse"))
"""Places of system messages that are the same whatever follows."""


def stays(old: Rendering, whole: Conversation) -> bool:
    """Whether the complete turns of a rendering are written alike in a longer conversation.

    Args:
        old: The rendering.
        whole: The conversation, which begins with the messages of those turns.

    Raises:
        UndeclaredRoleError: If nobody says who authors one of the new messages.
    """
    fmt, past = old.format, old.past
    if past is None or not past.messages:
        return False
    added = whole.authors(fmt.declared, past.messages)
    if fmt.order.first_client and not set(past.authors) - {"owner"}:
        return False
    return (
        _last_turn_stays(old, past, added)
        and _system_stays(old, past, added)
        and _tools_stay(old, past, added)
        and _reasoning_stays(old, past, added, whole)
        and _calls_stay(old, past, added, whole)
    )


def _last_turn_stays(old: Rendering, past: Past, added: tuple[Author, ...]) -> bool:
    """Whether the last turn ends as it does, and nothing new is part of it."""
    fmt, last = old.format, past.last
    # Where no turn is written yet, what begins the document is not counted to the past.
    if last is None or last.spec.final_end is not None:
        return False
    first = added[0] if added else None
    if any(spec.merge is not None or spec.group is not None for spec in fmt.specs):
        opened = old.resume.turn
        left_open = opened is not None and opened.message is not None
        if left_open or first == last.author:
            return False
    rule = fmt.calls
    if rule is not None and first == last.author == "tool":
        # Results are counted and sorted together with those before them.
        return not rule.sort_results and rule.max_results is None
    if not added or last.author != "model" or fmt.reasoning.thinks == "with-reasoning":
        return True
    # The block of a turn that holds reasoning is not written for its being the last.
    return bool(last.values.get("reasoning")) or not layout(fmt).turn(last.spec).thinks


def _system_stays(old: Rendering, past: Past, added: tuple[Author, ...]) -> bool:
    """Whether system messages stand where they did."""
    rule = old.format.system
    if rule.place in MOVES_NOTHING:
        return True
    if "owner" in added:
        return False
    if rule.default is None and "owner" not in past.authors:
        return True
    return _client_stays(rule.place, past, added)


def _tools_stay(old: Rendering, past: Past, added: tuple[Author, ...]) -> bool:
    """Whether the tool schemas stand where they did."""
    conversation, rule = old.conversation, old.format.tools
    if rule is None or not conversation.tools:
        return True
    return _client_stays(
        rule.place_for(old.format.option_values(conversation.options)), past, added
    )


def _client_stays(place: str, past: Past, added: tuple[Author, ...]) -> bool:
    """Whether a place in a client's turn, if it is one, is in the turn that it was."""
    if place == "last-client" and "client" in added:
        return False
    return place not in ("first-client", "last-client") or "client" in past.authors


def _reasoning_stays(
    old: Rendering, past: Past, added: tuple[Author, ...], whole: Conversation
) -> bool:
    """Whether the reasoning that was kept still is, and what was dropped is still dropped."""
    fmt = old.format
    before, behind = whole.messages[: past.messages], whole.messages[past.messages :]
    rule = fmt.reasoning.keep_for(fmt.option_values(whole.options))
    if rule in REACHES_NOBODY or not any(message.reasoning_content for message in whole.messages):
        return True
    if rule == "after-last-client":
        return "client" not in added or not any(message.reasoning_content for message in before)
    # While the model goes on making calls, all of it is kept.
    calling = (
        bool(message.tool_calls)
        for message, author in zip(behind, added, strict=True)
        if author == "model"
    )
    dropped = any(record.code == "reasoning-dropped" for record in past.lost)
    return rule == "after-first-reply" and all(calling) and not dropped


def _calls_stay(old: Rendering, past: Past, added: tuple[Author, ...], whole: Conversation) -> bool:
    """Whether the calls and results that were kept still are."""
    rule = "all" if old.format.calls is None else old.format.calls.keep
    if rule in REACHES_NOBODY:
        return True
    if rule != "after-last-client":
        return False
    before = whole.messages[: past.messages]
    called = "tool" in past.authors or any(message.tool_calls for message in before)
    return "client" not in added or not called
