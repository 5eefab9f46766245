"""Law 5: what was rendered comes back, from ids always and from text where text can tell."""

from __future__ import annotations

from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

import rolecall as rc
from rolecall.conversation import Conversation
from tests.support.conversations import conversations, hostile_pair
from tests.support.shapes import shape_of
from tests.support.vocabulary import vocabulary
from tests.test_laws import every_format, told_apart

AMBIGUOUS = {"ambiguous", "reads-as-turn", "reads-as-call"}
"""Codes of records that say that another conversation has the same ids."""


def hostile(name: str) -> st.SearchStrategy[dict[str, Any]]:
    """Conversations whose every text may spell control tokens, headers and calls."""
    pairs = hostile_pair(shape_of(name), rc.format(name).control)
    return pairs.map(lambda pair: told_apart(pair[1]))


def given_to(name: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.one_of(conversations(shape_of(name)).map(told_apart), hostile(name)).map(unweighted)


def unweighted(conversation: dict[str, Any]) -> dict[str, Any]:
    """The conversation without loss weights, which no ids carry."""
    messages = [
        {key: value for key, value in message.items() if key != "weight"}
        for message in conversation["messages"]
    ]
    return {**conversation, "messages": messages}


def same(first: Conversation, second: Conversation) -> None:
    assert first.messages == second.messages
    assert first.cast == second.cast
    assert first.options == second.options


def rendered(fmt: rc.Format, conversation: object) -> tuple[rc.Rendering, Conversation]:
    try:
        rendering = fmt.render(conversation, strict=False)
        canonical = fmt.canonical(conversation)
    except rc.InputError:
        assume(False)
        raise
    assume(canonical.messages)
    return rendering, canonical


@every_format
@given(data=st.data())
def test_ids_come_back_as_the_canonical_conversation(name: str, data: st.DataObject) -> None:
    fmt = rc.format(name)
    rendering, canonical = rendered(fmt, data.draw(given_to(name)))
    ids = rendering.encode(vocabulary()).ids
    found = fmt.parse(
        ids, tokenizer=vocabulary(), cast=canonical.cast, strict=False, **canonical.options
    )
    if AMBIGUOUS & {record.code for record in rendering.lost}:
        # Another conversation that is written alike; where a turn is left open it says so.
        again = fmt.render(found, strict=False).text
        assert again == rendering.text or {r.code for r in found.unread} & {"opened", "unfinished"}
        return
    assert [record for record in found.unread if record.level != "note"] == []
    same(found, canonical)
