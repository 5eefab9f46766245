"""Bugs that were found once and stay fixed."""

from __future__ import annotations

import io
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from tokenizers import Tokenizer as Engine

import rolecall as rc
from rolecall.bulk.moulds import manner
from rolecall.conversation import Conversation
from rolecall.errors import FormatFileError
from rolecall.loader import read_format
from rolecall.tokenizers import RunStart, SentencePieceTokenizer
from tests.support.assets import tokenizer_file
from tests.support.vocabulary import vocabulary

USER = {"role": "user", "content": "hi"}

EVERY_FORMAT = pytest.mark.parametrize("name", rc.formats())


def calling(arguments: object) -> list[dict[str, Any]]:
    function = {"name": "f", "arguments": arguments}
    call = {"id": "abcdefghi", "type": "function", "function": function}
    return [USER, {"role": "assistant", "content": None, "tool_calls": [call]}]


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


@EVERY_FORMAT
@pytest.mark.parametrize("start", ["\nok", "\n\nok", " ok", "ok", "\u0301ok"])
def test_a_prefill_begins_with_the_ids_of_the_generation_prompt(name: str, start: str) -> None:
    fmt = rc.format(name)
    prompt = fmt.render([USER], add_generation_prompt=True).encode(vocabulary()).ids.tolist()
    messages = [USER, {"role": "assistant", "content": start}]
    open_turn = fmt.render(messages, continue_final_message=True).encode(vocabulary())
    assert open_turn.ids[: len(prompt)].tolist() == prompt
    assert not open_turn.sampled.any()


@pytest.mark.parametrize(
    "message",
    [
        rc.Message("user", "a\ud800"),
        rc.Message("user", "hi", name="Bob\ud801"),
        rc.Message("user", 5),  # pyright: ignore[reportArgumentType]
        rc.Message("user", "hi", weight="1"),  # pyright: ignore[reportArgumentType]
        rc.Message("user"),
        rc.Message("assistant", tool_calls=(rc.ToolCall("f", 5),)),  # pyright: ignore[reportArgumentType]
        rc.Message("assistant", tool_calls=(rc.ToolCall("f", nested(200)),)),
    ],
)
def test_a_message_made_by_hand_is_checked_like_a_dict(message: rc.Message) -> None:
    with pytest.raises(rc.InputError, match="message 0, "):
        rc.format("chatml").render([message], strict=False)
    with pytest.raises(rc.InputError, match="message 0, "):
        rc.format("chatml").render(Conversation((message,)), strict=False)


@pytest.mark.parametrize(
    "arguments",
    [nested(100_000), nested(500), '{"a":' * 100_000, '{"a":' + "[" * 900 + "]" * 900 + "}"],
    ids=["without end", "deep", "open", "list"],
)
def test_json_that_nests_without_end_is_refused(arguments: object) -> None:
    with pytest.raises(rc.InputError, match=r"message 1, tool_calls\[0\]\.function\.arguments"):
        Conversation.read(calling(arguments))
    if isinstance(arguments, dict):
        tool = {"type": "function", "function": {"name": "f", "parameters": arguments}}
        with pytest.raises(rc.InputError, match=r"tools\[0\]"):
            Conversation.read([USER], tools=[tool])


def test_a_key_that_stands_twice_in_arguments_is_refused() -> None:
    with pytest.raises(rc.InputError, match="the key 'a' stands in it twice"):
        Conversation.read(calling('{"a": 1, "a": 2}'))


def test_keys_of_a_text_part_are_lost_with_a_note() -> None:
    part = {"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}
    (lost,) = rc.format("chatml").render([{"role": "user", "content": [part]}]).lost
    assert lost[:4] == ("note", "part-key-dropped", 0, "content[0].cache_control")


def test_blank_reasoning_is_lost_with_a_note() -> None:
    message = {"role": "assistant", "content": "ok", "reasoning_content": "\n"}
    (lost,) = rc.format("chatml").render([USER, message]).lost
    assert lost[:4] == ("note", "trimmed", 1, "reasoning_content")


@pytest.mark.parametrize("weight", [1e300, 10**400, -(10**400)])
def test_a_weight_that_float32_cannot_hold_is_refused(weight: float) -> None:
    with pytest.raises(
        rc.InputError, match=r"message 0, weight: found .*; a loss weight is finite"
    ):
        Conversation.read([{**USER, "weight": weight}])


def test_a_message_with_a_value_that_no_format_carries_can_be_read_again() -> None:
    given = Conversation.read([{"role": "assistant", "content": None, "refusal": "No."}])
    assert Conversation.read(given.to_wire()) == given


def test_a_name_that_begins_as_a_header_without_one_ends_is_refused() -> None:
    fmt = rc.format("openchatml-char")
    unnamed = fmt.render([{"role": "user", "content": "Amy\nhi"}], strict=False)
    assert unnamed.text == "<|im_start_char|>\nAmy\nhi<|im_end|>\n"
    with pytest.raises(rc.InputError, match=r"'\\nAmy' in the header of openchatml-char"):
        fmt.render([{"role": "user", "name": "\nAmy", "content": "hi"}], strict=False)


def test_canonical_keeps_the_weights_that_hold_two_turns_apart() -> None:
    fmt = rc.format("mistral-v3")
    messages = [USER, *({"role": "assistant", "content": "ok", "weight": n} for n in (0, 0.5))]
    once = fmt.canonical(messages)
    assert fmt.canonical(once) == once
    assert fmt.render(once).text == fmt.render(messages).text
    assert [message.weight for message in once.messages] == [None, 0, 0.5]


def test_canonical_keeps_blank_reasoning_that_has_its_block() -> None:
    fmt = rc.format("qwen3")
    thought = {"role": "assistant", "content": "", "reasoning_content": "\n\n"}
    messages = [USER, thought, {"role": "tool", "content": "r"}]
    once = fmt.canonical(messages)
    assert fmt.canonical(once) == once
    assert fmt.render(once).text == fmt.render(messages).text


@pytest.mark.parametrize("content", [None, "ok", " "])
@pytest.mark.parametrize("reasoning", ["\n", " ", None])
def test_blank_reasoning_that_has_its_block_comes_back(
    content: str | None, reasoning: str | None
) -> None:
    """Qwen3 writes a block into the last turn always, into others only where there is reasoning."""
    fmt = rc.format("qwen3")
    call = calling({})[1] | {"content": content, "reasoning_content": reasoning}
    result = {"role": "tool", "content": "r", "tool_call_id": "abcdefghi"}
    for messages in ([USER, call, result], [USER, call]):
        canonical = fmt.canonical(messages)
        rendering = fmt.render(messages)
        found = fmt.parse(rendering.encode(vocabulary()).ids, tokenizer=vocabulary())
        assert found.messages == canonical.messages
        assert fmt.parse(rendering.text).messages == canonical.messages
        assert fmt.render(found).text == rendering.text


@EVERY_FORMAT
def test_rendering_takes_time_in_proportion_to_the_messages(name: str) -> None:
    """A long conversation, twice as long: twice the time, with room for a busy machine."""
    fmt = rc.format(name)
    few = [USER, {"role": "assistant", "content": "ok", "reasoning_content": "hm"}] * 250

    def seconds(write: Callable[[Any], Any], messages: list[dict[str, Any]]) -> float:
        begin = time.process_time()
        write(messages)
        return time.process_time() - begin

    # Segment by segment, and by the mould that the third conversation of a shape is written with.
    for write in (
        lambda messages: fmt.walk(messages, manner({"strict": False})),
        lambda messages: fmt.render(messages, strict=False).text,
    ):
        for messages in (few, few * 4) * 2:
            seconds(write, messages)
        often, seldom = (min(seconds(write, few * n) for _ in range(3)) for n in (4, 1))
        assert often < 9 * seldom


def test_results_find_their_call_in_a_long_conversation() -> None:
    fmt = rc.format("qwen3")
    results = [{"role": "tool", "tool_call_id": f"x{n}", "content": "r"} for n in range(4000)]
    call = calling({})[1]
    begin = time.process_time()
    fmt.render([USER, *[call] * 4000, *results], strict=False)
    assert time.process_time() - begin < 4


@pytest.mark.parametrize("source", [None, 5, b"chatml", [], "a" * 5000, "x/" * 3000 + "y.toml"])
def test_what_names_no_format_is_refused(source: Any) -> None:
    with pytest.raises(rc.InputError):
        rc.format(source)
    with pytest.raises(rc.InputError):
        rc.load(source)
    with pytest.raises(rc.InputError):
        rc.tokenizer(source)


def test_arguments_of_a_wrong_type_are_input_errors() -> None:
    fmt = rc.format("chatml")
    with pytest.raises(rc.InputError, match=r"continue_final_message: found \['x'\]"):
        fmt.render([USER], continue_final_message=["x"])  # pyright: ignore[reportArgumentType]
    with pytest.raises(rc.InputError, match="found the option 1"):
        fmt.render({"messages": [USER], "options": {1: 2}})
    encoding = fmt.render([USER]).encode(vocabulary())
    wrong: list[dict[str, Any]] = [
        {"author": 5},
        {"role": 5},
        {"name": b"Amy"},
        {"message": "0"},
        {"message": True},
        {"message": 0.5},
        {"where": 5},
    ]
    for conditions in wrong:
        with pytest.raises(rc.InputError, match=r"^mask: "):
            encoding.mask(**conditions)


def test_errors_and_any_survive_pickling() -> None:
    """They cross from the worker processes that prepare datasets."""
    assert pickle.loads(pickle.dumps(rc.ANY)) is rc.ANY
    for message in ({"role": "x", "content": ""}, {**USER, "refusal": "No."}, {"role": "user"}):
        with pytest.raises(rc.InputError) as caught:
            rc.format("chatml").render([message])
        again = pickle.loads(pickle.dumps(caught.value))
        assert (type(again), str(again)) == (caught.type, str(caught.value))
        assert vars(again) == vars(caught.value)


@pytest.mark.parametrize(
    ("planted", "line", "said"),
    [
        ("after.tool.open = ''", 2, "unknown key 'after'"),
        ("[turx.model]\nopen = ''", 2, "unknown key 'turx'"),
        ("[system]\nplace = []", 3, "unknown strategy"),
        ("[order]\nrules = 'answer-calls'", 3, "order.rules must be a list"),
        ("[tools.when]", 2, "the slot {tools}"),
        ('[role."a]b"]\nend = ""', 2, "needs author"),
        ("[tools]\nindent = 10000000000000000000", 3, "must be from 0 to 1000"),
        ("[calls]\neach = ''\nmax = -1", 4, "must be from 0 to 1000"),
    ],
)
def test_a_wrong_format_file_is_refused_with_the_line(planted: str, line: int, said: str) -> None:
    source = f'title = "x"\n{planted}\n[turn]\nopen = "{{role}}: "\nend = "\\n"\n'
    with pytest.raises(FormatFileError) as caught:
        read_format(source, Path("x.toml"))
    assert said in str(caught.value)
    assert caught.value.line == line


def trained_sentencepiece(structure: list[str]) -> bytes:
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["hello world, how are you", "a start of turn and its end"] * 9),
        model_writer=written,
        vocab_size=300,
        hard_vocab_limit=False,
        byte_fallback=True,
        user_defined_symbols=structure,
        minloglevel=2,
    )
    return written.getvalue()


def test_text_never_becomes_a_piece_that_was_added_to_a_sentencepiece_model() -> None:
    structure = ["<start_of_turn>", "<end_of_turn>"]
    model = SentencePieceTokenizer(trained_sentencepiece([*structure, "\n\n"]), "trained.model")
    assert set(structure) < set(model.control)
    # Runs of newlines are text, as in any other vocabulary.
    assert "\n\n" not in model.control
    text = "".join(structure) * 2000
    ((ids, spans),) = model.encode_runs([(text, RunStart.CONTINUED)], frozenset())
    assert model.control_ids.isdisjoint(ids)
    assert model.decode(ids) == text
    assert "".join(text[first:end] for first, end in spans) == text


def test_a_piece_that_becomes_an_added_token_is_control_at_once() -> None:
    engine = Engine.from_file(str(tokenizer_file("qwen3")))
    size = engine.get_vocab_size()
    rendering = rc.format("chatml").render([{"role": "user", "content": "the hello"}])
    piece = engine.token_to_id("hello")
    assert "hello" not in rc.tokenizer(engine).control  # type: ignore[attr-defined]
    engine.add_special_tokens(["hello"])
    assert engine.get_vocab_size() == size
    assert piece not in rendering.encode(engine).ids


@pytest.mark.parametrize("name", ["gemma-3", "yi-1.5"])
def test_the_character_that_stands_for_spaces_is_a_loss_of_the_tokenizer(name: str) -> None:
    fmt = rc.format("zephyr")
    messages = [{"role": "user", "content": "a\u2581b"}]
    options: dict[str, Any] = {"eos_token": ""}
    lost = fmt.render(messages, **options).encode(str(tokenizer_file(name))).lost
    assert [record.detail for record in lost if "U+2581" in record.detail]
    harmless = fmt.render([USER], **options).encode(str(tokenizer_file(name))).lost
    assert not [record.detail for record in harmless if "U+2581" in record.detail]


def test_a_text_that_the_engine_cannot_split_is_an_error() -> None:
    rendering = rc.format("mistral-v3-tekken").render([{"role": "user", "content": " " * 10**6}])
    with pytest.raises(rc.InputError, match="too long for the engine"):
        rendering.encode(rc.tokenizer(tokenizer_file("mistral-tekken-240911"), fast=False))


def test_the_label_of_a_system_message_that_is_moved_is_a_note() -> None:
    messages = [{"role": "developer", "content": "Be short."}, USER]
    lost = rc.format("mistral-v3").render(messages).lost
    assert ("note", "label-dropped", 0, "role") in {record[:4] for record in lost}
    messages[0]["role"] = "system"
    lost = rc.format("mistral-v3").render(messages).lost
    assert "label-dropped" not in {record.code for record in lost}


def test_nothing_is_opened_behind_a_turn_that_the_reply_may_join() -> None:
    messages = [USER, {"role": "assistant", "content": "ok", "weight": 0.5}]
    with pytest.raises(rc.InputError, match="would merge the next model turn into this one"):
        rc.format("mistral-v3").render(messages, add_generation_prompt=True)


@pytest.mark.parametrize(
    ("name", "messages"),
    [
        (
            "mistral-v3",
            [
                {**USER, "weight": 0},
                {"role": "system", "content": "Be short."},
                {**USER, "weight": 0},
                {**USER, "weight": 2},
                {"role": "assistant", "content": "a", "weight": 1},
                {"role": "assistant", "content": "b", "weight": 0},
            ],
        ),
        ("qwen3", [USER, {**calling({})[1], "content": "\n\n"}]),
    ],
)
def test_canonical_renders_the_same(name: str, messages: list[dict[str, Any]]) -> None:
    fmt = rc.format(name)
    once = fmt.canonical(messages)
    assert fmt.canonical(once) == once
    assert fmt.render(once).text == fmt.render(messages).text


@pytest.mark.parametrize("name", ["\u212aim", "e\u0301", "\u0338Bob"])
def test_a_name_that_shares_its_ids_with_another_spelling_is_a_warning(name: str) -> None:
    """U+212A is a K to a vocabulary that normalizes, and = with U+0338 behind it another sign."""
    rendering = rc.format("chatml-name-attr").render([{**USER, "name": name}])
    lost = rendering.encode(str(tokenizer_file("qwen3"))).lost
    assert ("warning", "ambiguous", 0, "name") in {record[:4] for record in lost}
    plain = rc.format("chatml-name-attr").render([{**USER, "name": "\u00e9"}])
    assert plain.encode(str(tokenizer_file("qwen3"))).lost == ()


# Reading back ------------------------------------------------------------------------------------

QUESTION = {"role": "user", "content": "q"}


def calls_of(*names: str) -> list[dict[str, Any]]:
    return [
        {"id": f"aaaaaaaa{n}", "type": "function", "function": {"name": name, "arguments": "{}"}}
        for n, name in enumerate(names)
    ]


def test_content_and_calls_of_harmony_are_one_message() -> None:
    fmt = rc.format("harmony")
    reply = {"role": "assistant", "content": "c", "tool_calls": calls_of("f", "g")}
    found = fmt.parse(fmt.render([QUESTION, reply]).text)
    assert [call.name for call in found.messages[-1].tool_calls] == ["f", "g"]
    assert found.messages[-1].content == "c"


def test_a_second_turn_among_sampled_ids_is_refused() -> None:
    fmt = rc.format("chatml")
    prompt = fmt.render([QUESTION], add_generation_prompt=True).encode(vocabulary())
    more = [QUESTION, {"role": "assistant", "content": "Hi"}, QUESTION]
    ids = fmt.render(more).encode(vocabulary()).ids[len(prompt.ids) :]
    with pytest.raises(rc.InputError, match="stand behind the reply"):
        fmt.extend(prompt, [], sampled=ids)


@pytest.mark.parametrize("name", ["openchatml-0.1", "mistral-v13", "kimi-k2"])
def test_results_find_their_calls_where_ids_are_not_written(name: str) -> None:
    fmt = rc.format(name)
    calling = {"role": "assistant", "content": None, "tool_calls": calls_of("f")}
    result = {"role": "tool", "content": "res", "tool_call_id": "aaaaaaaa0"}
    prompt = fmt.render([QUESTION], add_generation_prompt=True).encode(vocabulary())
    called = fmt.render([QUESTION, calling]).encode(vocabulary())
    end = int(called.sampled.nonzero()[0][-1]) + 1
    extended = fmt.extend(prompt, [result], sampled=called.ids[len(prompt.ids) : end])
    whole = fmt.render([QUESTION, calling, result]).encode(vocabulary())
    assert extended.ids.tolist() == whole.ids.tolist()


def test_an_empty_system_prompt_that_writes_nothing_is_not_canonical() -> None:
    fmt = rc.format("deepseek-v3")
    found = fmt.canonical([{"role": "system", "content": ""}, QUESTION])
    assert [message.role for message in found.messages] == ["user"]


def test_an_id_of_a_result_ends_with_its_line_in_kimi() -> None:
    result = {"role": "tool", "content": "x", "name": "f", "tool_call_id": "i\n"}
    with pytest.raises(rc.InputError, match="call_id that matches"):
        rc.format("kimi-k2").render([result])


def odd(folder: Path, text: str) -> rc.Format:
    file = folder / "odd.toml"
    file.write_text(f'control = ["<|a|>", "<|b|>", "<|c|>"]\n{text}\nend = "<|b|>"\n')
    return rc.format(str(file))


def test_an_attribute_in_a_body_comes_back(tmp_path: Path) -> None:
    body = 'open = "<|a|>{role}\\n"\nbody = "{mood?[{mood}]}{content}"'
    fmt = odd(tmp_path, f'attributes = ["mood"]\n[turn]\n{body}')
    said = [QUESTION, {"role": "assistant", "content": "hi", "attributes": {"mood": "sad"}}]
    assert fmt.parse(fmt.render(said).text).messages == fmt.canonical(said).messages


def test_a_label_that_is_a_control_token_comes_back(tmp_path: Path) -> None:
    fmt = odd(tmp_path, '[labels]\njudge = "<|c|>"\n[turn]\nopen = "<|a|>{role}\\n"')
    said = [QUESTION, {"role": "judge", "content": "hi"}]
    cast = {"judge": "model"}
    assert fmt.parse(fmt.render(said, cast=cast).text, cast=cast) == fmt.canonical(said, cast=cast)


def test_an_option_that_is_said_twice_is_recorded(tmp_path: Path) -> None:
    header = 'open = "<|a|>{role}{date? on {date}}\\n"'
    fmt = odd(tmp_path, f'[options.date]\ndefault = "today"\n[turn]\n{header}')
    found = fmt.parse("<|a|>user on monday\nhi<|b|><|a|>assistant on friday\nyo<|b|>")
    assert "said-otherwise" in {record.code for record in found.unread}


def test_a_name_in_a_group_behind_a_complete_header_is_read(tmp_path: Path) -> None:
    fmt = odd(tmp_path, '[turn]\nopen = "<|a|><|c|>{role}<|c|>{name?{name}<|c|>}"')
    said = [{**QUESTION, "name": "Bob"}, {"role": "assistant", "content": "yo"}]
    assert fmt.parse(fmt.render(said).text).messages == fmt.canonical(said).messages


def test_text_that_two_readings_divide_otherwise_says_so(tmp_path: Path) -> None:
    header = 'open = "<|a|>{role}\\n"'
    body = 'body = "{reasoning?<think>{reasoning}</think>}{content}"'
    fmt = odd(tmp_path, f"[turn]\n{header}\n{body}")
    reply = {"role": "assistant", "content": "A", "reasoning_content": "x</think>y"}
    found = fmt.parse(fmt.render([QUESTION, reply]).text)
    assert "ambiguous" in {record.code for record in found.unread}


@pytest.mark.parametrize("given", [None, object(), 1.5])
def test_what_is_neither_ids_nor_text_is_the_callers_mistake(given: object) -> None:
    with pytest.raises(rc.InputError, match="give token ids"):
        rc.format("chatml").parse(given, tokenizer=vocabulary())


def test_a_prompt_that_is_none_is_the_callers_mistake() -> None:
    prompt: Any = "x"
    with pytest.raises(rc.InputError, match="prompt"):
        rc.format("chatml").stream(prompt=prompt)
