"""Law 5: what was rendered comes back, from ids always and from text where text can tell."""

from __future__ import annotations

from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

import rolecall as rc
from rolecall import strategies
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


def same(fmt: rc.Format, first: Conversation, second: Conversation) -> None:
    assert first.messages == second.messages
    assert first.cast == second.cast
    assert first.options == second.options
    if fmt.tools is None or strategies.TOOL_SCHEMAS[fmt.tools.schema].readable:
        assert first.tools == second.tools
    else:
        assert first.tools is None
        said = {record.code for record in first.unread}
        assert ("tools-unread" in said) == bool(second.tools)


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
def test_what_was_rendered_comes_back(name: str, data: st.DataObject) -> None:
    fmt = rc.format(name)
    rendering, canonical = rendered(fmt, data.draw(given_to(name)))
    ambiguous = bool(AMBIGUOUS & {record.code for record in rendering.lost})
    comes_back_from_ids(fmt, rendering, canonical, ambiguous=ambiguous)
    spelled = any(
        token in segment.text
        for segment in rendering.segments
        if not segment.control
        for token in fmt.control
    )
    comes_back_from_text(fmt, rendering, canonical, ambiguous=ambiguous or spelled)


def comes_back_from_ids(
    fmt: rc.Format, rendering: rc.Rendering, canonical: Conversation, *, ambiguous: bool
) -> None:
    ids = rendering.encode(vocabulary()).ids
    found = fmt.parse(
        ids, tokenizer=vocabulary(), cast=canonical.cast, strict=False, **canonical.options
    )
    if ambiguous:
        # Another conversation that is written alike; where a turn is left open it says so.
        again = fmt.render(found, strict=False).text
        assert again == rendering.text or {r.code for r in found.unread} & {"opened", "unfinished"}
        return
    assert [record for record in found.unread if record.level != "note"] == []
    same(fmt, found, canonical)


def comes_back_from_text(
    fmt: rc.Format, rendering: rc.Rendering, canonical: Conversation, *, ambiguous: bool
) -> None:
    found = fmt.parse(rendering.text, cast=canonical.cast, strict=False, **canonical.options)
    if ambiguous:
        # Nothing is read otherwise in silence.
        assert {record.code for record in found.unread} - {"unfinished"} or found == canonical
        return
    assert [record for record in found.unread if record.level != "note"] == []
    same(fmt, found, canonical)


@every_format
@given(data=st.data())
def test_conversations_that_share_their_ids_say_so(name: str, data: st.DataObject) -> None:
    """Law 5's search: a text that takes in what stands beside it, written into one message."""
    fmt = rc.format(name)
    first = data.draw(conversations(shape_of(name)).map(told_apart).map(unweighted))
    rendering, canonical = rendered(fmt, first)
    second = data.draw(swallowed(first, rendering))
    other, twin = rendered(fmt, second)
    assume(twin.messages != canonical.messages or twin.cast != canonical.cast)
    ids = rendering.encode(vocabulary()).ids.tolist()
    if ids != other.encode(vocabulary()).ids.tolist():
        return
    said = {record.code for record in (*rendering.lost, *other.lost)}
    assert said & AMBIGUOUS


@st.composite
def swallowed(
    draw: st.DrawFn, conversation: dict[str, Any], rendering: rc.Rendering
) -> dict[str, Any]:
    """The conversation with one message whose content has grown over its neighbours' text."""
    segments = rendering.segments
    places = [n for n, s in enumerate(segments) if s.part == "content" and s.message is not None]
    assume(places)
    place = draw(st.sampled_from(places))
    begin = draw(st.integers(max(0, place - 8), place))
    end = draw(st.integers(place + 1, min(len(segments), place + 9)))
    own = segments[place].message
    covered = {s.message for s in segments[begin:end]} - {own, None}
    grown = "".join(segment.text for segment in segments[begin:end])
    messages = [
        {**message, "content": grown} if index == own else message
        for index, message in enumerate(conversation["messages"])
        if index not in covered
    ]
    return {**conversation, "messages": messages}
