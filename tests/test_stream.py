"""What a stream promises, over every bundled format.

A reply is what follows a prompt in the rendering of both. However it is cut, in ids, characters or
bytes, the events are the same; they say what the message says, and nothing that a model writes is
lost or raises.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import rolecall as rc
from rolecall.conversation import Message
from rolecall.events import (
    ContentDelta,
    Event,
    MessageEnded,
    ReasoningDelta,
    SpeakerStarted,
    ToolCallEnded,
)
from rolecall.header import lets_model_choose
from rolecall.pattern import Literal, slots, walk
from rolecall.reader import Buffer
from tests.conftest import EXAMPLES, PROFILE
from tests.support.conversations import FREE_NAMES, Shape, conversations, hostile_texts
from tests.support.shapes import shape_of
from tests.support.streams import (
    Monotone,
    Read,
    Reply,
    check_account,
    check_events,
    check_rest,
    ids_behind,
    marker_ids,
    pieces_of,
    plain_ids,
    read,
    reply_of,
    spelled,
)
from tests.support.vocabulary import vocabulary
from tests.test_laws import every_format, told_apart
from tests.test_round_trip import AMBIGUOUS, hostile, unweighted

# Each example is read a dozen times.
few = settings(max_examples=max(10, EXAMPLES[PROFILE] // 5))

CHOOSING = [name for name in rc.formats() if lets_model_choose(rc.format(name))]
CALLING = [name for name in rc.formats() if rc.format(name).calls is not None]
CONTROLLED = [name for name in rc.formats() if rc.format(name).control]


def finished(name: str) -> Shape:
    shape = shape_of(name)
    return replace(shape, last=("assistant", "call") if shape.calls else ("assistant",))


def exchanges(name: str) -> st.SearchStrategy[dict[str, Any]]:
    """Conversations whose last message is a model's, of benign and of hostile texts."""
    benign = conversations(finished(name)).map(told_apart)
    return st.one_of(benign, hostile(name).map(_ending(name))).map(unweighted)


def _ending(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Ends a conversation behind its last message of a model, or with one."""

    def ended(conversation: dict[str, Any]) -> dict[str, Any]:
        messages = list(conversation["messages"])
        while messages and messages[-1]["role"] != "assistant":
            messages.pop()
        if not messages:
            messages = [conversation["messages"][-1], {"role": "assistant", "content": "ok"}]
        return {**conversation, "messages": messages}

    return ended


cuts = st.lists(st.integers(0, 10_000), max_size=5)


# Streaming equals whole ---------------------------------------------------------------------------


@every_format
@few
@given(data=st.data(), where=cuts)
def test_a_reply_is_the_same_message_however_it_is_cut(
    name: str, data: st.DataObject, where: list[int]
) -> None:
    fmt = rc.format(name)
    reply = reply_of(fmt, data.draw(exchanges(name)))
    assume(reply is not None)
    assert reply is not None
    ids = list(reply.ids)
    whole = read(fmt, [ids], reply.prompt)
    check_events(whole)
    check_account(fmt, ids, whole)
    assert read(fmt, [[i] for i in ids], reply.prompt, watch=Monotone()) == whole
    assert read(fmt, pieces_of(ids, where), reply.prompt) == whole
    if not AMBIGUOUS & reply.lost:
        says(whole, reply)


@every_format
@few
@given(data=st.data(), where=cuts)
def test_a_text_is_the_same_message_however_it_is_cut(
    name: str, data: st.DataObject, where: list[int]
) -> None:
    fmt = rc.format(name)
    reply = reply_of(fmt, data.draw(exchanges(name)))
    assume(reply is not None)
    assert reply is not None
    text = spelled(reply.ids)
    whole = read(fmt, [text], reply.prompt)
    check_events(whole)
    check_rest(text, whole)
    data_ = text.encode()
    one_by_one = [text[at : at + 1] for at in range(len(text) or 1)]
    assert read(fmt, one_by_one, reply.prompt, watch=Monotone()) == whole
    assert read(fmt, [data_[at : at + 1] for at in range(len(data_) or 1)], reply.prompt) == whole
    assert read(fmt, pieces_of(text, where), reply.prompt) == whole
    assert read(fmt, pieces_of(data_, where), reply.prompt) == whole


def says(found: Read, reply: Reply, *, without: tuple[str, str] = ("", "")) -> None:
    """The first message of a stream is the reply, but for what of it stood in the prompt."""
    first, expected = found.messages[0], reply.message
    content, reasoning = expected.text, expected.reasoning_content or ""
    assert first.role == expected.role or not _labelled(reply)
    if expected.name is not None:
        assert first.name == expected.name
    assert list(first.tool_calls) == list(expected.tool_calls)
    assert first.attributes == expected.attributes
    # Of a content that trimming left nothing of, a reply says nothing.
    assert f"{without[0]}{first.text}" == content or not content.strip()
    assert f"{without[1]}{first.reasoning_content or ''}" == reasoning or not reasoning.strip()
    problems = [record for record in found.unread if record.level == "error"]
    assert [record for record in problems if record.message == 0] == []


def _labelled(reply: Reply) -> bool:
    assert isinstance(reply.prompt.rendering, rc.Rendering)
    fmt = reply.prompt.rendering.format
    return any(
        slots(spec.open) & {"role", "speaker"} for spec in fmt.specs if spec.author == "model"
    )


# Prefills -----------------------------------------------------------------------------------------


@every_format
@settings(few, suppress_health_check=[HealthCheck.filter_too_much])
@given(data=st.data(), count=st.integers(1, 40))
def test_a_prefill_is_in_the_message_or_not_as_asked(
    name: str, data: st.DataObject, count: int
) -> None:
    fmt = rc.format(name)
    conversation = data.draw(exchanges(name))
    last = conversation["messages"][-1]
    assume((last.get("content") or "").strip() and not last.get("tool_calls"))
    reply = reply_of(fmt, conversation, held=("content", min(count, len(last["content"]))))
    assume(reply is not None and not AMBIGUOUS & reply.lost)
    assert reply is not None
    ids = list(reply.ids)
    kept = read(fmt, [[i] for i in ids], reply.prompt, watch=Monotone(), prefill=True)
    left = read(fmt, [[i] for i in ids], reply.prompt, watch=Monotone(), prefill=False)
    says(kept, reply)
    assert kept.messages[0].text.endswith(left.messages[0].text)
    new = "".join(event.text for event in left.events if isinstance(event, ContentDelta))
    assert kept.messages[0].text.endswith(new)
    assert _events(kept) == _events(left)


def _events(found: Read) -> list[Event]:
    return [event for event in found.events if not isinstance(event, MessageEnded)]


THINKING = [name for name in rc.formats() if shape_of(name).reasoning]


def ends_thoughts(name: str) -> bool:
    """Whether a history holds the thought of its last reply, with what ends it."""
    said = {"role": "assistant", "reasoning_content": "a b", "content": "Done."}
    messages = [{"role": "user", "content": "Hi"}, said]
    reply = reply_of(rc.format(name), {"messages": messages}, held=("reasoning_content", 1))
    return reply is not None and not AMBIGUOUS & reply.lost


@pytest.mark.parametrize("name", list(filter(ends_thoughts, THINKING)))
@few
@given(
    thought=st.one_of(st.sampled_from(["Let me see.", "a\n\nb", "é 🙂"]), hostile_texts()),
    count=st.integers(1, 20),
)
def test_a_reply_goes_on_inside_open_reasoning(name: str, thought: str, count: int) -> None:
    fmt = rc.format(name)
    assume(thought == thought.strip())
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "reasoning_content": thought, "content": "Done."},
    ]
    held = ("reasoning_content", min(count, len(thought)))
    reply = reply_of(fmt, {"messages": messages}, held=held)
    assume(reply is not None and not AMBIGUOUS & reply.lost)
    assert reply is not None
    for prefill in (True, False):
        found = read(fmt, [[i] for i in reply.ids], reply.prompt, watch=Monotone(), prefill=prefill)
        assert found.messages[0].content == "Done."
        assert thought.endswith(_thought(found))
        whole = found.messages[0].reasoning_content or ""
        assert thought.endswith(whole)
        # Blanks at the end of what is held may be trimmed; the reply begins with them then.
        assert whole == thought if prefill else spelled(reply.ids).startswith(whole)
        assert prefill or len(whole) < len(thought)


@pytest.mark.parametrize("name", THINKING)
def test_a_thought_that_is_not_ended_goes_on_inside_open_reasoning(name: str) -> None:
    fmt = rc.format(name)
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "reasoning_content": "Let me", "content": ""},
    ]
    prompt = fmt.render(messages, strict=False, continue_final_message="reasoning_content")
    for prefill, expected in ((True, "Let me see."), (False, " see.")):
        found = read(fmt, [[i] for i in plain_ids(" see.")], prompt, prefill=prefill)
        assert found.messages[0].reasoning_content == expected
        assert not found.messages[0].content
        assert _thought(found) == " see."


def _thought(found: Read) -> str:
    return "".join(event.text for event in found.events if isinstance(event, ReasoningDelta))


def test_the_message_between_holds_what_is_certain() -> None:
    fmt = rc.format("chatml")
    prompt = fmt.render(
        [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Well, "}],
        continue_final_message=True,
    )
    stream = fmt.stream(prompt=prompt)
    assert stream.message == Message("assistant", "Well, ")
    stream.feed("yes <|im_")
    assert stream.message == Message("assistant", "Well, yes ")
    stream.feed("x")
    assert stream.message == Message("assistant", "Well, yes <|im_x")
    assert [type(event) for event in stream.finish()] == [MessageEnded]


# No event shows a part ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONTROLLED)
def test_control_strings_in_a_text_are_held_back_until_they_are_known(name: str) -> None:
    """Each control token, cut everywhere: what was shown is never taken back."""
    fmt = rc.format(name)
    before = spelled(opening(fmt))
    for token in fmt.control:
        said = f"so {token[:-1]}\x00 and "
        whole = read(fmt, [before + said + token])
        for at in range(1, len(said)):
            stream = fmt.stream()
            shown = _said(stream.feed(before + said[:at]))
            assert said.startswith(shown)
            # What is held back is the beginning of a token, or blanks that may be the format's.
            held = said[len(shown) : at].lstrip()
            assert held == "" or any(literal.startswith(held) for literal in _literals(fmt)), held
            assert read(fmt, [before + said[:at], said[at:] + token]) == whole
        for at in range(len(token)):
            shown = _said(fmt.stream().feed(before + said + token[:at]))
            assert said.startswith(shown)


@cache
def _literals(fmt: rc.Format) -> tuple[str, ...]:
    """The control tokens, and the plain words of turns."""
    words = [
        node.text.lstrip()
        for spec in fmt.specs
        for pattern in (spec.body, spec.end, spec.open, *spec.after.values())
        for node in walk(pattern)
        if isinstance(node, Literal)
    ]
    return (*fmt.control, *words)


@cache
def opening(fmt: rc.Format) -> tuple[int, ...]:
    """What stands between the generation prompt and the content of a reply."""
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "zq7x"}]
    reply = reply_of(fmt, {"messages": messages})
    assert reply is not None
    before = spelled(reply.ids).index("zq7x")
    count = next(n for n in range(len(reply.ids)) if len(spelled(reply.ids[: n + 1])) > before)
    whole = reply.ids[:count]
    return (*whole, *plain_ids(spelled(reply.ids)[len(spelled(whole)) : before]))


def _said(events: Sequence[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, ContentDelta))


@every_format
def test_no_part_of_a_character_is_shown(name: str) -> None:
    fmt = rc.format(name)
    before, text = spelled(opening(fmt)), "🙂é漢 end"
    data = text.encode()
    stream = fmt.stream()
    shown = _said(stream.feed(before.encode()))
    for at in range(len(data)):
        shown += _said(stream.feed(data[at : at + 1]))
        assert "\ufffd" not in shown
    shown += _said(stream.finish())
    assert shown == text
    tokens = [*opening(fmt), *(token for byte in data for token in plain_bytes(byte))]
    found = read(fmt, [[token] for token in tokens])
    assert _said(found.events) == text
    assert found.unread == ()


def plain_bytes(byte: int) -> list[int]:
    """The ids that spell one byte."""
    return [i for i in range(256) if vocabulary().token_bytes(i) == bytes([byte])]


@every_format
def test_bytes_that_are_no_character_are_shown_as_such_and_recorded(name: str) -> None:
    fmt = rc.format(name)
    ids = [
        *opening(fmt),
        *plain_ids("so "),
        *plain_bytes(0xF0),
        *plain_bytes(0x9F),
        *plain_ids("on"),
    ]
    found = read(fmt, [[i] for i in ids])
    assert "so \ufffdon" in _said(found.events)
    (record,) = [record for record in found.unread if record.code == "malformed-utf8"]
    assert record.text == "\ufffd"
    assert spelled(ids[slice(*record.span)]) == "\ufffd"


# The model chooses who speaks ---------------------------------------------------------------------


def a_chat(fmt: rc.Format, *speakers: tuple[str, str | None]) -> dict[str, Any]:
    """A question and one reply of each speaker."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Who is there?"}]
    for number, (role, name) in enumerate(speakers):
        message = {"role": role, "content": f"It is {number}, I."}
        messages.append(message if name is None else {**message, "name": name})
    cast = [{"role": "writer", "author": "model"}, {"role": "crowd", "author": "client"}]
    named = [
        {"role": role, "name": name, "author": "model"}
        for role, name in speakers
        if name is not None and role != "user"
    ]
    return {"messages": messages, "cast": [*cast, *named]}


@pytest.mark.parametrize("name", CHOOSING)
@few
@given(
    role=st.sampled_from(["assistant", "writer"]),
    who=st.one_of(st.none(), st.sampled_from(FREE_NAMES)),
)
def test_a_speaker_that_the_model_chooses_comes_back(name: str, role: str, who: str | None) -> None:
    fmt = rc.format(name)
    conversation = a_chat(fmt, (role, who))
    reply = reply_of(fmt, conversation, speaker=rc.ANY)
    assume(reply is not None and not AMBIGUOUS & reply.lost)
    assert reply is not None
    events: list[Event] = []
    stream = fmt.stream(vocabulary(), reply.prompt)
    for token in reply.ids:
        events += stream.feed([token])
    started = events[0]
    assert isinstance(started, SpeakerStarted)
    expected = reply.message
    assert (started.role, started.name) == (expected.role, expected.name)
    assert started.author == "model"
    assert started.problem is None
    assert _said(events) == expected.text
    events += stream.finish()
    assert isinstance(events[-1], MessageEnded)
    assert [record for record in stream.unread if record.level != "note"] == []


@pytest.mark.parametrize("name", CHOOSING)
def test_every_choosing_format_carries_a_chosen_speaker(name: str) -> None:
    """The test above does not pass by assuming everything away."""
    fmt = rc.format(name)
    found = [
        reply_of(fmt, a_chat(fmt, (role, who)), speaker=rc.ANY)
        for role in ("assistant", "writer")
        for who in (None, "Amy")
    ]
    assert any(found)


def second_turn(fmt: rc.Format, second: tuple[str, str | None]) -> tuple[Any, list[int]] | None:
    """A prompt, and two turns behind it of which the model was asked for one."""
    first = ("writer", None) if fmt.name else ("assistant", None)
    for start in (first, ("assistant", None)):
        conversation = a_chat(fmt, start, second)
        reply = reply_of(fmt, {**conversation, "messages": conversation["messages"][:2]})
        if reply is None:
            continue
        try:
            whole = fmt.render(conversation, strict=False)
        except rc.InputError:
            continue
        text = reply.prompt.rendering.text
        if whole.text.startswith(text):
            return reply.prompt, ids_behind(whole, len(text))
    return None


@every_format
def test_a_second_turn_is_left_or_received_as_asked(name: str) -> None:
    fmt = rc.format(name)
    made = second_turn(fmt, ("user", None))
    assert made is not None
    prompt, ids = made
    one = read(fmt, [[i] for i in ids], prompt)
    both = read(fmt, [[i] for i in ids], prompt, messages=None)
    assert len(one.messages) == 1
    assert one.messages[0].text == "It is 0, I."
    assert [message.text for message in both.messages] == ["It is 0, I.", "It is 1, I."]
    assert both.messages[0] == one.messages[0]
    assert "It is 1, I." in spelled(one.rest if isinstance(one.rest, tuple) else ())
    assert both.rest == ()
    started = [event for event in both.events if isinstance(event, SpeakerStarted)]
    assert [event.problem and event.problem.code for event in started] == [None, "foreign-speaker"]
    assert read(fmt, [[i] for i in ids], prompt, messages=2).messages == both.messages


class Reported:
    """Sees that a stream lists a foreign speaker as soon as its events do."""

    def __init__(self) -> None:
        self.seen: list[Event] = []

    def __call__(self, stream: Any, events: list[Event], /) -> None:
        self.seen += events
        told = any(isinstance(event, SpeakerStarted) and event.problem for event in self.seen)
        assert ("foreign-speaker" in [record.code for record in stream.unread]) == told


@every_format
def test_a_speaker_of_the_clients_is_reported_before_it_says_anything(name: str) -> None:
    fmt = rc.format(name)
    made = second_turn(fmt, ("user", None))
    assert made is not None
    prompt, ids = made
    for pieces in ([[i] for i in ids], [ids]):
        watch = Reported()
        read(fmt, pieces, prompt, messages=None, watch=watch)
        seen = watch.seen
        number = next(n for n, e in enumerate(seen) if isinstance(e, SpeakerStarted) and e.problem)
        event = seen[number]
        assert isinstance(event, SpeakerStarted)
        assert event.problem is not None
        assert event.author == "client"
        assert "It is 1" not in _said(seen[:number])
        assert "It is 1, I." in _said(seen[number:])
        first, end = event.problem.span
        assert event.problem.text in spelled(ids[first:end])
        assert "It is" not in event.problem.text


@pytest.mark.parametrize("name", CHOOSING)
def test_a_speaker_who_is_not_on_the_list_is_reported(name: str) -> None:
    fmt = rc.format(name)
    replies = {
        who: reply
        for who in (("writer", "Amy"), ("assistant", "Amy"), ("writer", None), ("assistant", None))
        if (reply := reply_of(fmt, a_chat(fmt, who), speaker=rc.ANY)) is not None
        and not AMBIGUOUS & reply.lost
    }
    assert replies
    for reply in replies.values():
        role, who = reply.message.role, reply.message.name
        pairs = [[role]] if who is None else [[role], [(role, who)]]
        for allowed in pairs:
            found = read(fmt, [list(reply.ids)], reply.prompt, speakers=allowed)
            assert [record for record in found.unread if record.level != "note"] == []
        for allowed in (["judge"], [(role, "Nobody")], []):
            found = read(fmt, [list(reply.ids)], reply.prompt, speakers=allowed)
            started = found.events[0]
            assert isinstance(started, SpeakerStarted)
            assert started.problem is not None
            assert started.problem.code == "speaker-not-allowed", (role, who)
            assert started.problem in found.unread
            first, end = started.problem.span
            assert started.problem.text in spelled(reply.ids[first:end])
            assert found.messages[0].text == reply.message.text


def test_an_undeclared_speaker_is_reported() -> None:
    fmt = rc.format("chatml")
    prompt = fmt.render([{"role": "user", "content": "Hi"}], speaker=rc.ANY)
    found = read(fmt, ["poet\nRoses.<|im_end|>"], prompt)
    started = found.events[0]
    assert isinstance(started, SpeakerStarted)
    assert started.problem is not None
    assert (started.role, started.author) == ("poet", None)
    assert started.problem.code == "undeclared-speaker"
    assert found.messages[0].content == "Roses."
    again = read(fmt, ["poet\nRoses.<|im_end|>"], prompt, cast={"poet": "model"})
    assert again.unread == ()


# Model output is not trusted ----------------------------------------------------------------------


def calling(fmt: rc.Format) -> Reply:
    """A reply of a call whose arguments hold a word that is found again."""
    call = {
        "id": "abcdefgh1",
        "type": "function",
        "function": {"name": "look_up", "arguments": '{"zq1x": 1}'},
    }
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
    ]
    reply = reply_of(fmt, {"messages": messages})
    assert reply is not None
    return reply


def respelled(ids: Sequence[int], old: str, new: str) -> list[int]:
    """The ids with plain text replaced, control tokens kept."""
    found: list[int] = []
    run: list[int] = []
    changed = 0
    for token in [*ids, None]:
        if token is not None and vocabulary().token_text(token) is None:
            run.append(token)
            continue
        text = spelled(run)
        changed += text.count(old)
        found += plain_ids(text.replace(old, new))
        run = []
        found += [] if token is None else [token]
    assert changed == 1
    return found


@pytest.mark.parametrize("broken", ['{"zq1x": ', '{"zq1x": }', "{zq1x}", '["zq1x"]', '"zq1x', ""])
@pytest.mark.parametrize("name", CALLING)
def test_a_call_that_is_no_json_is_kept_as_it_is(name: str, broken: str) -> None:
    fmt = rc.format(name)
    reply = calling(fmt)
    ids = respelled(reply.ids, '{"zq1x": 1}', broken)
    found = read(fmt, [[i] for i in ids], reply.prompt, watch=Monotone())
    assert read(fmt, [ids], reply.prompt) == found
    check_events(found)
    check_account(fmt, ids, found)
    assert found.message is not None
    if not found.message.tool_calls:
        # Where calls are plain words, what is none is content.
        records = [record for record in found.unread if record.code == "malformed-call"]
        assert any("look_up" in record.text for record in records) or (
            "look_up" in found.message.text
        )
    for event in found.events:
        if isinstance(event, ToolCallEnded) and event.call is None:
            assert any(record.level == "error" for record in found.unread)


@pytest.mark.parametrize("name", CALLING)
def test_a_call_that_is_cut_anywhere_is_kept(name: str) -> None:
    fmt = rc.format(name)
    reply = calling(fmt)
    end = [vocabulary().control[t] for t in reply.prompt.rendering.stop if t in fmt.control][:1]
    for count in range(len(reply.ids) + 1):
        for ids in ([*reply.ids[:count]], [*reply.ids[:count], *end]):
            found = read(fmt, [[i] for i in ids], reply.prompt, watch=Monotone())
            check_events(found)
            check_account(fmt, ids, found)
            assert found.message is not None


@every_format
def test_a_control_token_in_an_impossible_place_loses_nothing(name: str) -> None:
    """Every control token, the format's and foreign ones, amid a reply and amid a thought."""
    fmt = rc.format(name)
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Hi"}]
    said = {"role": "assistant", "content": "zq1x zq2x"}
    thought = {**said, "reasoning_content": "zq3x zq4x"}
    foreign = [token for token in vocabulary().control if token not in fmt.control][:3]
    for message in (said, thought):
        reply = reply_of(fmt, {"messages": [*messages, message]})
        if reply is None:
            continue
        for token in (*fmt.control, *foreign):
            for at in range(len(reply.ids) + 1):
                ids = [*reply.ids[:at], vocabulary().control[token], *reply.ids[at:]]
                found = read(fmt, [ids], reply.prompt, messages=None)
                check_events(found)
                check_account(fmt, ids, found)


@pytest.mark.parametrize("name", CHOOSING)
def test_a_header_that_is_none_loses_nothing(name: str) -> None:
    fmt = rc.format(name)
    prompt = fmt.render([{"role": "user", "content": "Hi"}], speaker=rc.ANY).encode(vocabulary())
    codes: set[str] = set()
    for token in fmt.control:
        for again in (token, *prompt.rendering.stop):
            control = vocabulary().control
            if again not in control:
                continue
            words = [marker_ids(n) for n in range(1, 4)]
            ids = [*words[0], control[token], *words[1], control[again], *words[2]]
            found = read(fmt, [[i] for i in ids], prompt, messages=None)
            check_events(found)
            check_account(fmt, ids, found)
            codes |= {record.code for record in found.unread}
    assert codes


@pytest.mark.parametrize("name", CHOOSING)
def test_a_header_that_does_not_end_is_recorded(name: str) -> None:
    fmt = rc.format(name)
    prompt = fmt.render([{"role": "user", "content": "Hi"}], speaker=rc.ANY).encode(vocabulary())
    ids = [*marker_ids(5), *marker_ids(6)]
    found = read(fmt, [[i] for i in ids], prompt)
    check_account(fmt, ids, found)
    assert found.messages or [record.level for record in found.unread] == ["error"]


@every_format
def test_ids_outside_the_vocabulary_are_recorded(name: str) -> None:
    fmt = rc.format(name)
    strange = [-1, 2**31, 10**7, -(2**63), 2**64, 10**30]
    ids = [*opening(fmt), *plain_ids("zq1x"), *strange, *plain_ids(" zq2x")]
    found = read(fmt, [[i] for i in ids])
    assert read(fmt, [ids]) == found
    check_account(fmt, ids, found)
    records = [record for record in found.unread if record.code == "outside-vocabulary"]
    assert [record.span for record in records] == [
        (at, at + 1) for at, token in enumerate(ids) if token in strange
    ]
    assert found.message is not None
    assert "zq1x zq2x" in found.message.text


@every_format
def test_nothing_but_the_end_is_an_empty_message(name: str) -> None:
    fmt = rc.format(name)
    prompt = fmt.render([{"role": "user", "content": "Hi"}], add_generation_prompt=True)
    for stop in prompt.stop:
        if stop not in fmt.control:
            continue
        found = read(fmt, [[vocabulary().control[stop]]], prompt)
        assert found.message is not None
        assert found.message.role == "assistant"
        assert not found.message.text
        assert not found.message.tool_calls
        assert [type(event) for event in found.events] == [SpeakerStarted, MessageEnded]


@every_format
def test_nothing_at_all_is_an_empty_message(name: str) -> None:
    fmt = rc.format(name)
    prompt = fmt.render([{"role": "user", "content": "Hi"}], add_generation_prompt=True)
    for pieces in ([], [[]], [""], [b""]):
        found = read(fmt, pieces, prompt)
        assert [type(event) for event in found.events] == [SpeakerStarted, MessageEnded]
        assert found.message is not None
        assert not found.message.text
        assert found.unread == ()


def test_what_is_fed_wrongly_is_the_callers_mistake() -> None:
    fmt = rc.format("chatml")
    stream = fmt.stream(vocabulary())
    wrong: Any
    for wrong in (None, 1.5, [1.5], ["x"], {"a": 1}, object()):
        with pytest.raises(rc.InputError):
            stream.feed(wrong)
    with pytest.raises(rc.InputError):
        fmt.stream().feed([1])
    stream.feed(plain_ids("so"))
    with pytest.raises(rc.InputError):
        stream.feed("text")
    stream.feed(plain_ids(" on"))
    stream.finish()
    assert stream.message == Message("assistant", "so on")
    assert stream.finish() == []
    stream.feed(plain_ids("more"))
    assert stream.rest == plain_ids("more")


# The cost of an id --------------------------------------------------------------------------------


class Work:
    """Counts what is done, so that a test does not depend on a clock."""

    def __init__(self) -> None:
        self.done = 0

    def __enter__(self) -> Work:
        sys.setprofile(self._count)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _count(self, _frame: Any, event: str, _argument: Any) -> None:
        if event == "call":
            self.done += 1


def costs(
    fmt: rc.Format, ids: Sequence[int], monkeypatch: pytest.MonkeyPatch, prompt: Any = None
) -> list[int]:
    """The work on each quarter of a stream: functions called, and symbols looked at again."""
    work = Work()
    get = Buffer.get

    def counting(self: Buffer, first: int, end: int) -> str:
        found = get(self, first, end)
        work.done += len(found) + len(found) // 100
        return found

    monkeypatch.setattr(Buffer, "get", counting)
    stream = fmt.stream(vocabulary(), prompt, messages=None)
    found: list[int] = []
    quarter = len(ids) // 4
    for start in range(0, 4 * quarter, quarter):
        before = work.done
        with work:
            for token in ids[start : start + quarter]:
                stream.feed([token])
        found.append(work.done - before)
    return found


def grows(found: list[int]) -> bool:
    """Whether each quarter costs more than the one before.

    The first makes the states, and in any one of them a long text may come to its end and be put
    together; what grows with what came before grows from each to the next.
    """
    return found[3] > 1.15 * found[2] > 1.15 * 1.15 * found[1]


LONG = 1200
"""Ids of a long stream; work that grows doubles within it."""


@every_format
def test_twenty_thousand_ids_take_no_longer_at_the_end(name: str) -> None:
    stream = rc.format(name).stream(vocabulary())
    ids = plain_ids("\n" + "All work and no play.\n\nSo it <is>: " * 1700)
    half = len(ids) // 2
    assert half > 9000
    times: list[float] = []
    # What other tests of this process hold is not to be looked through while time is taken.
    gc.collect()
    gc.freeze()
    try:
        for part in (ids[:half], ids[half:]):
            began = time.process_time()
            for token in part:
                stream.feed([token])
            times.append(time.process_time() - began)
    finally:
        gc.unfreeze()
    assert times[1] < 3 * times[0] + 0.5


def texts() -> Iterator[tuple[str, str]]:
    yield "words", "All work and no play. "
    yield "lines", "one\n\ntwo\n"
    yield "brackets", '{"a": [1, "<|im <think> </"}]\n'
    yield "headers", "USER: x\n\n### Input:\nASSISTANT "
    yield "names", '{"name": "f", "parameters": {}} '


@pytest.mark.parametrize(("kind", "text"), list(texts()))
@every_format
def test_a_long_content_costs_the_same_everywhere(
    name: str, kind: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = plain_ids("\n" + text * (LONG // len(plain_ids(text))))
    assert not grows(costs(rc.format(name), ids, monkeypatch)), kind


@pytest.mark.parametrize("name", THINKING)
def test_a_long_thought_costs_the_same_everywhere(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fmt = rc.format(name)
    thought = "Is it so? I think\nit is. " * (LONG // 10)
    message = {"role": "assistant", "reasoning_content": thought, "content": "x"}
    reply = reply_of(fmt, {"messages": [{"role": "user", "content": "Hi"}, message]})
    assert reply is not None
    assert not grows(costs(fmt, reply.ids, monkeypatch, reply.prompt))


@pytest.mark.parametrize("name", CALLING)
def test_long_arguments_cost_the_same_everywhere(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fmt = rc.format(name)
    reply = calling(fmt)
    value = json.dumps({"a": ["so on", {"b": [1, 2.5, None]}] * (LONG // 20)})
    ids = respelled(reply.ids, '{"zq1x": 1}', value)
    assert not grows(costs(fmt, ids, monkeypatch, reply.prompt))


@pytest.mark.parametrize("name", CALLING)
def test_many_calls_cost_the_same_everywhere(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fmt = rc.format(name)
    if not shape_of(name).parallel_calls:
        return
    calls = [
        {"id": f"abcde{i:04}", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        for i in range(LONG // 20)
    ]
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    reply = reply_of(fmt, {"messages": [{"role": "user", "content": "Hi"}, message]})
    assert reply is not None
    assert not grows(costs(fmt, reply.ids, monkeypatch, reply.prompt))


@pytest.mark.parametrize("name", CHOOSING)
def test_a_long_header_costs_the_same_everywhere(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fmt = rc.format(name)
    prompt = fmt.render([{"role": "user", "content": "Hi"}], speaker=rc.ANY)
    ids = plain_ids("who name=[so] character: (x) \t" * (LONG // 12))
    assert not grows(costs(fmt, ids, monkeypatch, prompt))


@every_format
def test_many_turns_cost_the_same_everywhere(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fmt = rc.format(name)
    turn = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "so\nbe it"}]
    whole = fmt.render(turn * 150, strict=False)
    prompt = fmt.render(turn[:1], strict=False, add_generation_prompt=True)
    assert whole.text.startswith(prompt.text)
    ids = ids_behind(whole, len(prompt.text))
    assert not grows(costs(fmt, ids, monkeypatch, prompt))


@every_format
def test_garbage_costs_the_same_everywhere(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control tokens again and again, which no reading accounts for."""
    fmt = rc.format(name)
    # How far words are looked at again is bounded; with a low bound that shows early.
    monkeypatch.setattr("rolecall.reader.LONGEST_WORD", 50)
    tokens = [vocabulary().control[token] for token in fmt.control]
    for token in tokens or plain_ids("x"):
        ids = [*[token, *plain_ids(" x")] * 150]
        assert not grows(costs(fmt, ids, monkeypatch)), spelled([token])


@pytest.mark.parametrize("depth", ["[", '{"a":', "{"])
@pytest.mark.parametrize("name", CALLING)
def test_deep_arguments_cost_the_same_everywhere(
    name: str, depth: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fmt = rc.format(name)
    reply = calling(fmt)
    ids = respelled(reply.ids, '{"zq1x": 1}', '{"a": ' + depth * LONG)
    found = read(fmt, [ids], reply.prompt)
    check_account(fmt, ids, found)
    assert not grows(costs(fmt, ids, monkeypatch, reply.prompt))
