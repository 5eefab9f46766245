"""Extending: ids that are there stay, and what is added is what a fresh rendering would add."""

from __future__ import annotations

import pickle
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import rolecall as rc
from rolecall.conversation import STANDARD_ROLES, Conversation
from rolecall.encode import Encoding
from rolecall.format import Format
from rolecall.tokenizers import RunStart
from tests.conftest import EXAMPLES, PROFILE
from tests.support.assets import tokenizer_file
from tests.support.conversations import conversations
from tests.support.shapes import shape_of
from tests.support.vocabulary import vocabulary

every_format = pytest.mark.parametrize("name", rc.formats())
APPEND_ONLY = [name for name in rc.formats() if not rc.format(name).history_changes]

USER: dict[str, Any] = {"role": "user", "content": "Hi"}
MORE: dict[str, Any] = {"role": "user", "content": "And?"}
REPLY: dict[str, Any] = {"role": "assistant", "content": "Yes, indeed."}
ARRAYS = ("ids", "message", "part", "straddles")


def encoded(fmt: Format, messages: object, **arguments: Any) -> Encoding:
    return fmt.render(messages, strict=False, **arguments).encode(vocabulary())


def ids(text: str) -> list[int]:
    """The ids of a text behind a control token."""
    return vocabulary().encode_runs([(text, RunStart.SECTION)], frozenset())[0][0]


def token(text: str) -> int:
    found = vocabulary().control_id(text)
    assert found is not None
    return found


def said(finished: Encoding, prompt: Encoding) -> list[int]:
    """What a model samples behind a prompt to make it this finished conversation."""
    last = np.flatnonzero(finished.sampled)[-1]
    return finished.ids[len(prompt) : last + 1].tolist()


def told_apart(conversation: dict[str, Any]) -> dict[str, Any]:
    """The conversation with names that no two roles share, and results that name their function."""
    called: dict[str, str] = {}
    messages: list[dict[str, Any]] = []
    for message in conversation["messages"]:
        for call in message.get("tool_calls") or ():
            called[call.get("id", "")] = call["function"]["name"]
        name = message.get("name")
        if message["role"] == "tool":
            name = name or called[message.get("tool_call_id", "")]
        elif name is not None:
            name = f"{name} {message['role'][:4]}"
        messages.append(message if name is None else {**message, "name": name})
    return {**conversation, "messages": messages}


class Exchange:
    """A prompt, what a model samples behind it, and what follows."""

    def __init__(self, name: str, data: st.DataObject) -> None:
        self.fmt = fmt = rc.format(name)
        whole = told_apart(data.draw(conversations(replace(shape_of(name), last=("user",)))))
        messages = whole["messages"]
        cast = {entry["role"]: entry["author"] for entry in whole["cast"] or ()}
        authors = {**STANDARD_ROLES, **cast}
        spoken = [n for n, message in enumerate(messages) if authors[message["role"]] == "model"]
        assume(spoken)
        at = data.draw(st.sampled_from(spoken))
        reply = messages[at]
        options: dict[str, Any] = {
            option: data.draw(st.booleans())
            for option, declared in fmt.options.items()
            if isinstance(declared.default, bool)
        }
        if options and data.draw(st.booleans()):
            whole = {**whole, "options": options}
        speaker = (reply["role"], reply["name"]) if reply.get("name") else reply["role"]
        try:
            self.prompt = encoded(fmt, {**whole, "messages": messages[:at]}, speaker=speaker)
            finished = encoded(fmt, {**whole, "messages": messages[: at + 1]})
        except rc.InputError:
            assume(False)
            raise
        # Where a reply cannot be sampled behind its prompt, a record says so.
        assume(finished.ids[: len(self.prompt)].tolist() == self.prompt.ids.tolist())
        self.sampled = said(finished, self.prompt)
        self.at = at
        message = fmt.stream(vocabulary(), prompt=self.prompt)
        message.feed(self.sampled)
        message.finish()
        assert message.message is not None
        self.reply = message.message
        end = data.draw(st.integers(at + 1, len(messages)))
        self.added = [self.answered(reply, message) for message in messages[at + 1 : end]]
        self.whole = {**whole, "messages": [*messages[:at], self.reply, *self.added]}

    def answered(self, reply: dict[str, Any], message: dict[str, Any]) -> dict[str, Any]:
        """A message that names the calls of the reply by the ids that were read."""
        if message["role"] != "tool" or "tool_call_id" not in message:
            return message
        given = [call.get("id") for call in reply.get("tool_calls") or ()]
        if message["tool_call_id"] not in given:
            return message
        read = self.reply.tool_calls[given.index(message["tool_call_id"])].id
        made = {key: value for key, value in message.items() if key != "tool_call_id"}
        return made if read is None else {**made, "tool_call_id": read}

    def fresh(self) -> Encoding:
        try:
            return encoded(self.fmt, self.whole)
        except rc.InputError:
            # What follows does not fit what was read, such as calls whose ids are not carried.
            assume(False)
            raise

    def extended(self, sampled: object = None, **arguments: Any) -> Encoding:
        given = self.sampled if sampled is None else sampled
        return self.fmt.extend(self.prompt, self.added, given, strict=False, **arguments)


@every_format
@given(data=st.data())
def test_extending_gives_the_ids_of_a_fresh_encoding(name: str, data: st.DataObject) -> None:
    exchange = Exchange(name, data)
    fresh = exchange.fresh()
    kept = [*exchange.prompt.ids.tolist(), *exchange.sampled]
    try:
        extended = exchange.extended()
    except rc.HistoryChanged:
        assert exchange.fmt.history_changes
        assert fresh.ids[: len(kept)].tolist() != kept
        extended = exchange.extended(rerender=True)
        # A reply that was trimmed to nothing is '' in a stream and ' ' in canonical, where the format
        # writes no message without content; merged with another one, the two differ.
        reply, spec = exchange.reply, exchange.fmt.spec("model", "assistant")
        assume(reply.text or reply.tool_calls or (spec is not None and spec.empty))
        assert extended.sampled.tolist() == fresh.sampled.tolist()
    fresh = encoded(exchange.fmt, extended.rendering.conversation)
    for array in ARRAYS:
        # What a prompt writes ahead of the reply, such as an empty block, is the prompt's.
        first = len(exchange.prompt) if array in ("part", "straddles") else 0
        ours, theirs = getattr(extended, array)[first:], getattr(fresh, array)[first:]
        assert ours.tolist() == theirs.tolist(), array
    assert extended.rendering == fresh.rendering
    # Whatever the model did not write is not sampled, such as the header that ends its turn.
    own = np.arange(len(fresh)) < len(kept)
    other = fresh.message != exchange.at
    assert ((extended.sampled == fresh.sampled) | ~(own | other)).all()


@pytest.mark.parametrize("name", APPEND_ONLY)
@given(data=st.data())
def test_what_was_sampled_stays_however_it_is_split_or_cut_off(
    name: str, data: st.DataObject
) -> None:
    exchange = Exchange(name, data)
    cut = data.draw(st.integers(0, len(exchange.sampled)))
    sampled = [piece for number in exchange.sampled[:cut] for piece in spelled(number)]
    try:
        extended = exchange.extended(sampled)
    except rc.InputError:
        # What follows answers calls that are cut off.
        assert any(message["role"] == "tool" for message in exchange.added)
        return
    kept = [*exchange.prompt.ids.tolist(), *sampled]
    assert extended.ids[: len(kept)].tolist() == kept
    assert extended.sampled[len(exchange.prompt) : len(kept)].all()
    assert not extended.mask(message=exchange.at)[len(kept) :].any()
    own = extended.message[len(exchange.prompt) : len(kept)]
    assert set(own.tolist()) <= {exchange.at}
    # What follows is what a fresh rendering of the same messages writes.
    text = vocabulary().decode(extended.ids[len(kept) :].tolist())
    assert extended.rendering.text.endswith(text)
    following = "".join(
        segment.text
        for segment in extended.rendering.segments
        if segment.message is not None and segment.message > exchange.at
    )
    assert text.endswith(following) or following.endswith(text)


def spelled(number: int) -> list[int]:
    """The ids of the characters of a token, each by itself."""
    data = vocabulary().token_bytes(number)
    if number in vocabulary().control_ids or data is None or not data.isascii():
        return [number]
    return [piece for character in data.decode() for piece in ids(character)]


@every_format
@given(data=st.data())
def test_a_closed_encoding_takes_more_messages(name: str, data: st.DataObject) -> None:
    fmt = rc.format(name)
    whole = told_apart(data.draw(conversations(shape_of(name))))
    messages = whole["messages"]
    cut = data.draw(st.integers(1, len(messages)))
    try:
        before = encoded(fmt, {**whole, "messages": messages[:cut]})
        fresh = encoded(fmt, whole)
    except rc.InputError:
        assume(False)
        raise
    try:
        extended = fmt.extend(before, messages[cut:], strict=False)
    except rc.HistoryChanged:
        assert fmt.history_changes
        assert not fresh.rendering.text.startswith(before.rendering.text)
        return
    assert extended.ids[: len(before)].tolist() == before.ids.tolist()
    assert vocabulary().decode(extended.ids.tolist()) == fresh.rendering.text
    assert extended.rendering == fresh.rendering
    seam = extended.rendering.segments[len(before.rendering.segments) - 1 :][:2]
    if any(segment.control for segment in seam):
        assert extended.ids.tolist() == fresh.ids.tolist()
        assert extended.sampled.tolist() == fresh.sampled.tolist()


def test_a_prompt_can_be_opened_behind_what_is_added() -> None:
    fmt = rc.format("chatml")
    prompt = encoded(fmt, [USER], add_generation_prompt=True)
    sampled = [*ids("Yes, indeed."), token("<|im_end|>")]
    second = fmt.extend(prompt, [MORE], sampled, add_generation_prompt=True)
    fresh = encoded(fmt, [USER, REPLY, MORE], add_generation_prompt=True)
    assert second.ids.tolist() == fresh.ids.tolist()
    third = fmt.extend(second, [], [*ids("No."), token("<|im_end|>")])
    assert third.rendering.text.endswith("<|im_start|>assistant\nNo.<|im_end|>\n")
    assert vocabulary().decode(third.ids[third.mask()].tolist()) == (
        "Yes, indeed.<|im_end|>No.<|im_end|>"
    )


def test_a_turn_that_the_model_did_not_close_is_closed_and_that_is_not_sampled() -> None:
    fmt = rc.format("chatml")
    prompt = encoded(fmt, [USER], add_generation_prompt=True)
    extended = fmt.extend(prompt, [MORE], ids("Yes, indeed."))
    fresh = encoded(fmt, [USER, REPLY, MORE])
    assert extended.ids.tolist() == fresh.ids.tolist()
    assert vocabulary().decode(extended.ids[extended.mask()].tolist()) == "Yes, indeed."
    assert vocabulary().decode(fresh.ids[fresh.mask()].tolist()) == "Yes, indeed.<|im_end|>"


def test_a_prefill_stays_and_the_message_is_all_of_it() -> None:
    fmt = rc.format("chatml")
    start = {**REPLY, "content": "Yes, ", "weight": 0.5}
    prompt = encoded(fmt, [USER, start], continue_final_message=True)
    sampled = [*ids("indeed."), token("<|im_end|>")]
    extended = fmt.extend(prompt, [MORE], sampled)
    assert extended.ids[: len(prompt) + len(sampled)].tolist() == [*prompt.ids.tolist(), *sampled]
    message = extended.rendering.conversation.messages[1]
    assert (message.content, message.weight, message.prefix) == ("Yes, indeed.", 0.5, False)
    assert vocabulary().decode(extended.ids[extended.mask()].tolist()) == "indeed.<|im_end|>"


def test_reasoning_that_is_open_goes_on() -> None:
    fmt = rc.format("qwen3")
    start = {"role": "assistant", "content": None, "reasoning_content": "Let me"}
    prompt = encoded(fmt, [USER, start], continue_final_message=True)
    sampled = [*ids(" see"), *ids("\n"), token("</think>"), *ids("\n\nYes"), token("<|im_end|>")]
    extended = fmt.extend(prompt, [], sampled)
    message = extended.rendering.conversation.messages[1]
    assert (message.reasoning_content, message.content) == ("Let me see", "Yes")
    assert extended.ids[: len(prompt)].tolist() == prompt.ids.tolist()
    parts = [rc.PARTS[part] for part in extended.part[len(prompt) :]]
    assert parts[0] == "reasoning"
    assert "content" in parts
    with pytest.raises(rc.HistoryChanged) as raised:
        fmt.extend(prompt, [MORE], sampled)
    assert raised.value.message == 1
    assert "reasoning is dropped" in str(raised.value)
    fresh = encoded(fmt, [USER, message, MORE])
    again = fmt.extend(prompt, [MORE], sampled, rerender=True)
    assert again.ids.tolist() == fresh.ids.tolist()


def test_the_model_may_have_chosen_who_speaks() -> None:
    fmt = rc.format("lucid")
    prompt = encoded(fmt, [USER], speaker=rc.ANY, cast={"writer": "model"})
    header = [*ids("writer character Amy"), token("<|end_header_id|>"), *ids("\n\n")]
    sampled = [*header, *ids("Yes"), token("<|eot_id|>")]
    extended = fmt.extend(prompt, [MORE], sampled)
    message = extended.rendering.conversation.messages[1]
    assert (message.role, message.name, message.content) == ("writer", "Amy", "Yes")
    fresh = encoded(fmt, extended.rendering.conversation)
    assert vocabulary().decode(extended.ids.tolist()) == fresh.rendering.text
    assert extended.sampled[len(prompt) : len(prompt) + len(sampled)].all()
    assert extended.part.tolist() == fresh.part.tolist()


@every_format
def test_a_reply_may_be_given_as_a_message(name: str) -> None:
    fmt = rc.format(name)
    prompt = encoded(fmt, [USER], add_generation_prompt=True)
    fresh = encoded(fmt, [USER, REPLY])
    assert fmt.extend(prompt, [REPLY]).ids.tolist() == fresh.ids.tolist()
    start = encoded(fmt, [USER, {**REPLY, "content": "Yes"}], continue_final_message=True)
    grown = fmt.extend(start, [{**REPLY, "content": "Yes, indeed."}])
    assert vocabulary().decode(grown.ids.tolist()) == fresh.rendering.text
    closed = fmt.extend(start, [])
    assert closed.rendering == fmt.render([USER, {**REPLY, "content": "Yes"}])


def test_a_turn_that_nothing_was_said_in_is_the_callers_mistake() -> None:
    fmt = rc.format("chatml")
    prompt = encoded(fmt, [USER], add_generation_prompt=True)
    for messages in ([], [MORE]):
        with pytest.raises(rc.InputError, match="nothing was sampled for it") as raised:
            fmt.extend(prompt, messages)
        assert not isinstance(raised.value, rc.HistoryChanged)
    closed = encoded(fmt, [USER])
    with pytest.raises(rc.InputError, match="these ids open none"):
        fmt.extend(closed, [], ids("Yes"))
    with pytest.raises(rc.InputError, match="not by chatml"):
        fmt.extend(encoded(rc.format("llama-3"), [USER]), [REPLY])
    for sampled in (["Yes"], "Yes", b"Yes", 7):
        with pytest.raises(rc.InputError, match="whole numbers"):
            fmt.extend(prompt, [], sampled)
    with pytest.raises(rc.InputError, match="4294967296 is no id"):
        fmt.extend(prompt, [], [1 << 32])
    with pytest.raises(rc.InputError, match="tools, cast and options stay"):
        fmt.extend(prompt, {"messages": [MORE], "tools": []}, ids("Yes"))
    with pytest.raises(rc.InputError, match="give a list of messages"):
        fmt.extend(prompt, None, ids("Yes"))  # type: ignore[arg-type]
    with pytest.raises(rc.InputError, match="come out of a pickle"):
        fmt.extend(pickle.loads(pickle.dumps(closed)), [REPLY])
    given_back = replace(pickle.loads(pickle.dumps(closed)), tokenizer=vocabulary())
    assert fmt.extend(given_back, [REPLY]).ids.tolist() == encoded(fmt, [USER, REPLY]).ids.tolist()


def test_a_header_that_ends_a_turn_is_written_once() -> None:
    fmt = rc.format("glm-4")
    prompt = encoded(fmt, [USER], add_generation_prompt=True)
    fresh = encoded(fmt, [USER, REPLY, MORE])
    plain = ids("\nYes, indeed.")
    for sampled in (plain, [*plain, token("<|user|>")]):
        extended = fmt.extend(prompt, [MORE], sampled)
        assert extended.ids.tolist() == fresh.ids.tolist()
        ended = extended.ids[extended.mask()].tolist()
        assert (ended[-1] == token("<|user|>")) == (sampled is not plain)
    # It stays also where nothing follows yet, and is not written again then.
    waiting = fmt.extend(prompt, [], sampled)
    assert waiting.ids.tolist() == [*prompt.ids.tolist(), *sampled]
    assert fmt.extend(waiting, [MORE]).ids.tolist() == fresh.ids.tolist()
    with pytest.raises(rc.InputError, match="stand behind the reply"):
        fmt.extend(prompt, [{"role": "system", "content": "S"}], sampled)


def test_an_end_that_history_does_not_keep_is_a_change() -> None:
    fmt = rc.format("harmony")
    prompt = encoded(fmt, [USER], add_generation_prompt=True)
    finished = encoded(fmt, [USER, REPLY])
    sampled = said(finished, prompt)
    assert sampled[-1] == token("<|return|>")
    assert fmt.extend(prompt, [], sampled).ids.tolist() == finished.ids.tolist()
    with pytest.raises(rc.HistoryChanged, match="message 1: ") as raised:
        fmt.extend(prompt, [MORE], sampled)
    assert raised.value.message == 1
    # Cut off before its end it goes on as history has it.
    fresh = encoded(fmt, [USER, REPLY, MORE])
    assert fmt.extend(prompt, [MORE], sampled[:-1]).ids.tolist() == fresh.ids.tolist()


TOOL = {
    "type": "function",
    "function": {"name": "f", "description": "d", "parameters": {"type": "object"}},
}


def test_the_first_message_that_differs_is_named() -> None:
    fmt = rc.format("mistral-v3")
    system = {"role": "system", "content": "S"}
    cases: list[tuple[list[dict[str, Any]], dict[str, Any], int]] = [
        ([USER, REPLY], {"tools": [TOOL]}, 0),
        ([system, USER, REPLY], {}, 0),
        ([USER, REPLY, MORE], {}, 2),
    ]
    for messages, arguments, first in cases:
        before = encoded(fmt, messages, **arguments)
        with pytest.raises(rc.HistoryChanged) as raised:
            fmt.extend(before, [MORE])
        assert raised.value.message == first
        fresh = encoded(fmt, [*messages, MORE], **arguments)
        again = fmt.extend(before, [MORE], rerender=True)
        assert again.ids.tolist() == fresh.ids.tolist()


def test_a_tool_call_that_is_spaced_otherwise_stays_as_sampled() -> None:
    fmt = rc.format("qwen2.5")
    prompt = encoded(fmt, [USER], tools=[TOOL], add_generation_prompt=True)
    call = ids('\n{"name":"f","arguments":{"a":1}}\n')
    sampled = [token("<tool_call>"), *call, token("</tool_call>"), token("<|im_end|>")]
    result = {"role": "tool", "name": "f", "content": "ok"}
    extended = fmt.extend(prompt, [result], sampled)
    assert extended.ids[len(prompt) :][: len(sampled)].tolist() == sampled
    message = extended.rendering.conversation.messages[1]
    assert message.tool_calls[0].arguments == {"a": 1}
    parts = extended.part[len(prompt) :][: len(sampled)].tolist()
    assert [rc.PARTS[part] for part in parts] == ["tool_calls"] * (len(sampled) - 1) + ["end"]
    fresh = encoded(fmt, [USER, message, result], tools=[TOOL])
    tail = extended.ids[len(prompt) + len(sampled) :].tolist()
    assert fresh.ids[-len(tail) :].tolist() == tail


def test_what_the_new_messages_lose_is_refused_and_old_losses_are_not() -> None:
    fmt = rc.format("chatml")
    thought = {**REPLY, "reasoning_content": "R"}
    before = encoded(fmt, [USER, thought])
    assert fmt.extend(before, [MORE]).rendering.lost == before.rendering.lost
    with pytest.raises(rc.InputError, match="reasoning-dropped"):
        fmt.extend(before, [MORE, thought])


def test_what_could_not_be_read_of_a_reply_is_recorded() -> None:
    fmt = rc.format("chatml")
    prompt = encoded(fmt, [USER], add_generation_prompt=True)
    foreign = token("<|eot_id|>")
    extended = fmt.extend(prompt, [MORE], [*ids("Yes"), foreign])
    assert extended.ids[: len(prompt) + 2].tolist() == [*prompt.ids.tolist(), *ids("Yes"), foreign]
    assert [record.code for record in extended.lost] == ["unread"]
    text = vocabulary().decode(extended.ids[len(prompt) + 2 :].tolist())
    assert text == "<|im_end|>\n<|im_start|>user\nAnd?<|im_end|>\n"
    assert Conversation.read([USER, {**REPLY, "content": "Yes"}, MORE]).messages == (
        extended.rendering.conversation.messages
    )


# Each example renders every beginning of a conversation twice: a tenth of the examples of a law.
@every_format
@settings(max_examples=max(10, EXAMPLES[PROFILE] // 10))
@given(data=st.data())
def test_a_conversation_played_turn_by_turn_is_the_one_rendered_at_once(
    name: str, data: st.DataObject
) -> None:
    fmt = rc.format(name)
    whole = told_apart(data.draw(conversations(shape_of(name))))
    messages = whole["messages"]
    try:
        played = encoded(fmt, {**whole, "messages": messages[:1]})
        for index, message in enumerate(messages[1:], 1):
            played = fmt.extend(played, [message], strict=False)
            fresh = fmt.render({**whole, "messages": messages[: index + 1]}, strict=False)
            same(played.rendering, fresh)
        opened = fmt.extend(played, [], add_generation_prompt=True, strict=False)
        fresh = fmt.render(whole, strict=False, add_generation_prompt=True)
        same(opened.rendering, fresh)
    except rc.HistoryChanged:
        assert fmt.history_changes
    except rc.InputError:
        # A conversation that is not whole, such as calls without their results.
        assume(False)
        raise


def same(first: object, second: rc.Rendering) -> None:
    """Two renderings are one, in what is for others to go on behind them too."""
    assert isinstance(first, rc.Rendering)
    assert first == second
    assert first.resume == second.resume
    assert first.past is not None
    assert second.past is not None
    for key in (
        "messages",
        "authors",
        "segments",
        "waiting",
        "called",
        "numbered",
        "calls",
        "lost",
    ):
        assert getattr(first.past, key) == getattr(second.past, key), key
    assert set(first.past.spoken) == set(second.past.spoken)
    assert first.past.speakers.names == second.past.speakers.names
    assert first.past.speakers.unnamed == second.past.speakers.unnamed


class Counting:
    """A tokenizer that counts the characters it is given."""

    def __init__(self) -> None:
        self.characters = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(vocabulary(), name)

    def encode_runs(self, runs: Any, control: frozenset[str]) -> Any:
        self.characters += sum(len(text) for text, _ in runs)
        return vocabulary().encode_runs(runs, control)


def cost(fmt: Format, exchanges: int) -> tuple[int, int, int]:
    """Python calls, characters tokenized and lost records when a long conversation is extended."""
    history = [USER, REPLY] * exchanges
    prompt = encoded(fmt, [*history, USER], add_generation_prompt=True)
    finished = encoded(fmt, [*history, USER, REPLY])
    sampled = said(finished, prompt)
    counting = Counting()
    prompt = replace(prompt, tokenizer=counting)  # type: ignore[arg-type]
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    fmt.extend(prompt, [MORE], sampled, strict=False)
    counting.characters = 0
    sys.setprofile(count)
    try:
        extended = fmt.extend(prompt, [MORE], sampled, strict=False)
    finally:
        sys.setprofile(None)
    return calls, counting.characters, len(extended.rendering.lost)


@pytest.mark.parametrize("name", APPEND_ONLY)
def test_extending_costs_the_new_turn_and_not_the_history(name: str) -> None:
    fmt = rc.format(name)
    short, long = cost(fmt, 2), cost(fmt, 100)
    assert long[1] == short[1]
    # Records are copied; nothing else is done more often behind a long history.
    assert long[0] - short[0] <= 4 * (long[2] - short[2])


@pytest.mark.parametrize("name", [name for name in rc.formats() if name not in APPEND_ONLY])
def test_nothing_of_the_history_is_tokenized_again(name: str) -> None:
    fmt = rc.format(name)
    try:
        assert cost(fmt, 2)[1] == cost(fmt, 50)[1]
    except rc.HistoryChanged:
        assert fmt.history_changes


@pytest.mark.parametrize(
    ("name", "source"),
    [("mistral-v1", "mistral-v1"), ("mistral-v3", "mistral-v3"), ("zephyr", "mistral-v1")],
)
def test_vocabularies_that_begin_texts_with_a_space_are_extended_too(
    name: str, source: str
) -> None:
    fmt = rc.format(name)
    tokenizer = rc.tokenizer(tokenizer_file(source))
    prompt = fmt.render([USER], add_generation_prompt=True).encode(tokenizer)
    sampled = said(fmt.render([USER, REPLY]).encode(tokenizer), prompt)
    extended = fmt.extend(prompt, [MORE], sampled, add_generation_prompt=True)
    fresh = fmt.render([USER, REPLY, MORE], add_generation_prompt=True).encode(tokenizer)
    for array in (*ARRAYS, "sampled"):
        assert getattr(extended, array).tolist() == getattr(fresh, array).tolist()


@every_format
@given(data=st.data())
def test_whatever_was_sampled_is_kept_or_refused(name: str, data: st.DataObject) -> None:
    fmt = rc.format(name)
    control = [token(text) for text in fmt.control]
    written = st.sampled_from([*control, *ids("user assistant {}\n"), 0, 5, 10**6, -1])
    sampled = data.draw(st.lists(written, max_size=12))
    arguments: dict[str, Any] = {"add_generation_prompt": True}
    if data.draw(st.booleans()):
        arguments = {"speaker": rc.ANY}
    prompt = encoded(fmt, [USER], **arguments)
    added = data.draw(st.sampled_from([[], [MORE]]))
    try:
        extended = fmt.extend(prompt, added, sampled, strict=False)
    except rc.InputError:
        return
    kept = [*prompt.ids.tolist(), *sampled]
    assert extended.ids[: len(kept)].tolist() == kept
    assert extended.sampled[len(prompt) : len(kept)].all()
    assert len(extended.mask()) == len(extended.part) == len(extended.straddles) == len(extended)
    assert extended.rendering.text.startswith(prompt.rendering.text)
