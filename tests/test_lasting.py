"""What one more turn and one more token cost: the new alone is looked at, and it is the same."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import rolecall as rc
from rolecall.bulk.moulds import manner
from rolecall.encode import Encoding
from rolecall.format import Format
from rolecall.lasting import stays
from rolecall.render import Rendering, render
from tests.conftest import EXAMPLES, PROFILE
from tests.support.conversations import conversations
from tests.support.shapes import shape_of
from tests.support.streams import reply_of
from tests.support.vocabulary import vocabulary
from tests.test_extend import encoded, said, same, told_apart

every_format = pytest.mark.parametrize("name", rc.formats())
CALLING = [name for name in rc.formats() if rc.format(name).calls is not None]

USER: dict[str, Any] = {"role": "user", "content": "Hi"}
REPLY: dict[str, Any] = {"role": "assistant", "content": "Yes, indeed."}
CALL: dict[str, Any] = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {"id": "abcdefgh1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    ],
}
RESULT: dict[str, Any] = {
    "role": "tool",
    "name": "f",
    "tool_call_id": "abcdefgh1",
    "content": "ok",
}

ENDINGS: tuple[dict[str, Any], ...] = (
    {},
    {"speaker": "assistant"},
    {"continue_final_message": True},
)


# Each example renders three times: a fifth of the examples of a law.
@every_format
@settings(max_examples=max(10, EXAMPLES[PROFILE] // 5))
@given(data=st.data())
def test_what_is_walked_from_the_new_turn_on_is_what_is_walked_as_a_whole(
    name: str, data: st.DataObject
) -> None:
    fmt = rc.format(name)
    given_ = told_apart(data.draw(conversations(shape_of(name))))
    messages = list(given_["messages"])
    if data.draw(st.booleans()):
        late = {"role": "system", "content": "Late."}
        messages.insert(data.draw(st.integers(0, len(messages))), late)
    begun = data.draw(st.integers(1, len(messages)))
    upto = data.draw(st.integers(begun, len(messages)))
    first, second = data.draw(st.sampled_from(ENDINGS)), data.draw(st.sampled_from(ENDINGS))
    if "speaker" in first:
        follows = messages[begun] if begun < upto else {}
        assume((follows.get("role"), follows.get("name")) == ("assistant", None))
    # A turn that has ended is not opened again.
    assume(begun < upto or "continue_final_message" not in second)
    whole = rc.Conversation.read({**given_, "messages": messages[:upto]})
    try:
        old = render(fmt, replace(whole, messages=whole.messages[:begun]), strict=False, **first)
        lasting = stays(old, whole)
    except rc.InputError:
        assume(False)
        raise
    if not lasting:
        return
    made: list[Rendering | str] = []
    for behind in (old, None):
        try:
            made.append(render(fmt, whole, strict=False, old=behind, **second))
        except rc.InputError as error:
            made.append(str(error))
    if isinstance(made[1], str):
        assert made[0] == made[1]
        return
    for rendering in made:
        # What fills a slot that is only asked about is of no account.
        if isinstance(rendering, Rendering) and rendering.resume.turn is not None:
            rendering.resume.turn.values.pop("has_tools", None)
    same(made[0], made[1])


def retold(message: Any, number: int) -> Any:
    """A message with other words between the same white space."""
    text = message["content"]
    if not isinstance(text, str) or not text.strip():
        return message
    left, right = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    return {**message, "content": f"{left}zq{number}x <|im_end|> \u00e9{right}"}


@every_format
@settings(max_examples=max(10, EXAMPLES[PROFILE] // 5))
@given(data=st.data())
def test_going_on_behind_a_rendering_that_is_made_later_is_going_on_behind_it(
    name: str, data: st.DataObject
) -> None:
    """Whatever other conversation of the shape it is made of."""
    fmt = rc.format(name)
    whole = told_apart(data.draw(conversations(shape_of(name))))
    begun = data.draw(st.integers(1, len(whole["messages"])))
    follows = whole["messages"][begun:]
    arguments: dict[str, Any] = {}
    if follows and follows[0]["role"] == "assistant" and "name" not in follows[0]:
        arguments["add_generation_prompt"] = data.draw(st.booleans())
    alike = [
        {**whole, "messages": [retold(message, number) for message in whole["messages"][:begun]]}
        for number in range(3)
    ]
    try:
        later = [encoded(fmt, each, **arguments) for each in alike][-1]
    except rc.InputError:
        assume(False)
        raise
    walked = fmt.walk(alike[-1], manner({**arguments, "strict": False})).encode(vocabulary())
    for message in follows:
        found: list[Encoding] = []
        said_: list[str] = []
        for encoding in (later, walked):
            try:
                found.append(fmt.extend(encoding, [message], strict=False))
            except rc.InputError as error:
                said_.append(str(error))
        if said_:
            assert said_[0] == said_[-1]
            assert len(said_) == 2
            return
        later, walked = found
        for array in ("ids", "message", "part", "sampled", "straddles"):
            assert getattr(later, array).tolist() == getattr(walked, array).tolist()
    assert later.lost == walked.lost
    assert isinstance(walked.rendering, Rendering)
    same(later.rendering, walked.rendering)


@every_format
def test_going_on_makes_nothing_that_was_put_off(name: str) -> None:
    fmt = rc.format(name)
    met = [[retold(USER, number), retold(REPLY, number), USER] for number in range(3)]
    prompt = [encoded(fmt, messages, add_generation_prompt=True) for messages in met][-1]
    assert isinstance(prompt.rendering, Rendering)
    assert prompt.rendering.filled is not None
    try:
        extended = fmt.extend(prompt, [REPLY], strict=False)
    except rc.HistoryChanged:
        assert fmt.history_changes
        return
    assert fmt.history_changes or prompt.rendering.filled is not None
    assert extended.rendering == fmt.render([*met[-1], REPLY], strict=False)


def played(fmt: Format, turns: list[dict[str, Any]]) -> tuple[Encoding, list[int]]:
    """A prompt behind turns that end in a reply, and the ids of that reply."""
    prompt = encoded(fmt, turns[:-1], add_generation_prompt=True)
    return prompt, said(encoded(fmt, turns), prompt)


def calls_of(work: Callable[[], object]) -> int:
    """How many Python functions some work calls."""
    done = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal done
        done += event == "call"

    work()  # Whatever is made once is made now.
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return done


SHAPES = {
    "chat": ([], [USER, REPLY], [USER, REPLY], [USER]),
    "trace": ([USER], [CALL, RESULT], [CALL], [RESULT]),
}
"""What begins, what is repeated, what ends in the reply, and what follows it."""


def growth(fmt: Format, shape: str) -> float:
    """The Python calls that one more message of the history adds to extending behind it."""
    begin, repeated, last, more = SHAPES[shape]
    found: list[int] = []
    short, long = 2, 40
    for exchanges in (short, long):
        prompt, sampled = played(fmt, [*begin, *repeated * exchanges, *last])

        def work(prompt: Encoding = prompt, sampled: list[int] = sampled) -> object:
            return fmt.extend(prompt, more, sampled, strict=False, add_generation_prompt=True)

        found.append(calls_of(work))
    return (found[1] - found[0]) / (len(repeated) * (long - short))


LOOKED_AT = 15
"""Calls for one message of the history, whose lost records are copied; writing it takes more."""


@pytest.mark.parametrize("shape", SHAPES)
@every_format
def test_a_turn_costs_the_same_behind_any_history(name: str, shape: str) -> None:
    fmt = rc.format(name)
    if fmt.calls is None and shape == "trace":
        return
    try:
        assert growth(fmt, shape) <= LOOKED_AT
    except rc.HistoryChanged:
        assert fmt.history_changes


def test_most_formats_that_may_reach_back_are_extended_alike() -> None:
    """The test above does not pass by its exceptions."""
    reached: list[str] = []
    for name in rc.formats():
        fmt = rc.format(name)
        if not fmt.history_changes:
            continue
        for shape in SHAPES if fmt.calls is not None else ("chat",):
            try:
                growth(fmt, shape)
            except rc.HistoryChanged:
                continue
            reached.append(name)
            break
    assert len(reached) > len(rc.formats()) // 3


@every_format
def test_what_stands_before_the_first_turn_is_written_once(name: str) -> None:
    """Also where the only message so far has no turn."""
    fmt = rc.format(name)
    system = {"role": "system", "content": "Be brief."}
    try:
        alone = encoded(fmt, [system])
        extended = fmt.extend(alone, [USER], strict=False)
    except rc.HistoryChanged:
        assert fmt.history_changes
    except rc.InputError:
        return  # A system message cannot stand alone there.
    else:
        assert extended.rendering == encoded(fmt, [system, USER]).rendering


PLAIN_CALLS, ARGUMENT_CALLS = 30, 45
"""Calls that a token of plain text and one of a call's arguments may take; a symbol that is
followed by every reading takes some fifteen, and a token is four."""


@every_format
def test_a_token_of_content_is_passed_on_whole(name: str) -> None:
    fmt = rc.format(name)
    reply = reply_of(fmt, {"messages": [USER, {**REPLY, "content": "zq7x" * 100}]})
    assert reply is not None

    def work() -> object:
        stream = fmt.stream(vocabulary(), reply.prompt)
        return [stream.feed([token]) for token in reply.ids]

    assert calls_of(work) <= PLAIN_CALLS * len(reply.ids)


@pytest.mark.parametrize("name", CALLING)
def test_a_token_of_a_string_in_arguments_is_passed_on_whole(name: str) -> None:
    fmt = rc.format(name)
    text = json.dumps({"a": "all work and no play, so it goes on " * 40})
    function = {"name": "f", "arguments": text}
    message = {**CALL, "tool_calls": [{**CALL["tool_calls"][0], "function": function}]}
    reply = reply_of(fmt, {"messages": [USER, message]})
    assert reply is not None

    def work() -> object:
        stream = fmt.stream(vocabulary(), reply.prompt)
        return [stream.feed([token]) for token in reply.ids]

    assert calls_of(work) <= ARGUMENT_CALLS * len(reply.ids)
