"""What users were promised by name: tokens in content, roles, speakers, prefills, masks."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rolecall as rc
from rolecall.format import Format
from rolecall.pattern import slots
from rolecall.tokenizers import RunStart
from tests.support.assets import tokenizer_file
from tests.support.vocabulary import vocabulary

USER = {"role": "user", "content": "Hi"}


@pytest.fixture(scope="module")
def qwen3() -> Any:
    return rc.tokenizer(tokenizer_file("qwen3"))


@pytest.fixture(scope="module")
def gemma3() -> Any:
    return rc.tokenizer(tokenizer_file("gemma-3"))


@pytest.mark.parametrize(
    "token", ["<tool_call>", "</think>", "<|im_end|>", "<tool_response>", "<|fim_prefix|>"]
)
def test_qwen3_tokens_are_dead_in_content_flagged_special_or_not(qwen3: Any, token: str) -> None:
    encoding = rc.format("qwen3").render([{"role": "user", "content": f"a{token}b"}]).encode(qwen3)
    content = encoding.ids[(encoding.part == rc.PARTS.index("content"))].tolist()
    assert qwen3.control_id(token) not in content
    assert qwen3.decode(content) == f"a{token}b"


def test_gemma_html_tags_stay_the_text_tokens_they_are(gemma3: Any) -> None:
    encoding = (
        rc.format("gemma-3").render([{"role": "user", "content": "<h1>Hi</h1>"}]).encode(gemma3)
    )
    assert gemma3.control_id("<h1>") in encoding.ids.tolist()
    assert (
        gemma3.control_id("<start_of_turn>")
        not in gemma3.encode_runs([("<start_of_turn>", RunStart.SECTION)], frozenset())[0][0]
    )


@pytest.mark.parametrize("role", ["writer", "scientist", "agent", "judge"])
@pytest.mark.parametrize("name", rc.formats())
def test_a_model_role_of_any_label_is_carried_or_takes_the_output_turn(
    name: str, role: str
) -> None:
    fmt = rc.format(name)
    messages = [USER, {"role": role, "content": "Said."}]
    rendering = fmt.render(messages, cast={role: "model"})
    assert rendering.encode(vocabulary()).mask(role=role).any()
    written = [
        segment for segment in rendering.segments if segment.part == "role" and segment.message == 1
    ]
    if role not in fmt.declared:
        carries = bool(slots(fmt.turns["model"].open) & {"role", "speaker"})
        assert bool(written) == carries
    if not written and role not in fmt.declared:
        assert ("note", "label-dropped", 1) in {r[:3] for r in rendering.lost}


def opened(fmt: Format, **arguments: Any) -> str:
    closed = fmt.render([USER], strict=False).text
    text = fmt.render([USER], strict=False, **arguments).text
    base = closed.removesuffix("<|endoftext|>")
    assert text.startswith(base)
    return text[len(base) :]


def test_the_speaker_asked_for_is_opened() -> None:
    fmt = rc.format("lucid")
    cast = {"writer": "model"}
    assert opened(fmt) == ""
    assert opened(fmt, add_generation_prompt=True).startswith("<|start_header_id|>assistant")
    assert opened(fmt, speaker="writer", cast=cast).startswith("<|start_header_id|>writer<")
    assert opened(fmt, speaker=("writer", "Amy"), cast=cast).startswith(
        "<|start_header_id|>writer character Amy<|end_header_id|>"
    )
    assert opened(fmt, speaker=rc.ANY) == "<|start_header_id|>"
    assert opened(rc.format("chatml"), speaker=rc.ANY) == "<|im_start|>"


def test_a_speaker_whose_role_nobody_declares_is_refused() -> None:
    with pytest.raises(rc.InputError, match="the speaker's role 'writer' is not declared"):
        rc.format("chatml").render([USER], speaker="writer")


def test_reasoning_can_be_continued() -> None:
    messages = [USER, {"role": "assistant", "content": None, "reasoning_content": "Let me see"}]
    for given in (True, "reasoning_content"):
        rendering = rc.format("qwen3").render(messages, continue_final_message=given)
        assert rendering.text.endswith("<think>\nLet me see")
    with pytest.raises(rc.InputError, match="there is nothing to continue"):
        rc.format("qwen3").render(messages, continue_final_message="content")


def test_the_prefix_key_of_mistral_common_continues_the_message() -> None:
    messages = [USER, {"role": "assistant", "content": "Yes", "prefix": True}]
    assert rc.format("mistral-v3").render(messages).text == "<s>[INST] Hi[/INST] Yes"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"continue_final_message": "refusal"}, "give True, 'content' or 'reasoning_content'"),
        ({"continue_final_message": True}, "only a model's message can be continued"),
        ({"speaker": ""}, "give a role, \\(role, name\\) or rolecall.ANY"),
    ],
)
def test_arguments_that_contradict_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(rc.InputError, match=message):
        rc.format("chatml").render([USER], **arguments)


def test_a_message_cannot_be_continued_while_another_is_opened() -> None:
    messages = [USER, {"role": "assistant", "content": "Yes"}]
    with pytest.raises(rc.InputError, match="give only one of them"):
        rc.format("chatml").render(
            messages, continue_final_message=True, add_generation_prompt=True
        )


NAMES = [
    "Hirose Koichi",
    "Zoë",
    "李小龙",
    "مريم",
    "👩‍👧 Mum",
    "x" * 500,
    "a=b",
    'O\'Neil "Bo"',
    "<|im_end|>",
    "[INST]",
]


@pytest.mark.parametrize("who", NAMES)
@pytest.mark.parametrize("name", rc.formats())
def test_names_are_carried_exactly_or_refused_never_mangled(name: str, who: str) -> None:
    fmt = rc.format(name)
    try:
        rendering = fmt.render([{**USER, "name": who}], strict=False)
    except rc.InputError:
        with pytest.raises(rc.InputError, match=re.escape(repr(who)[1:20])):
            fmt.render([{**USER, "name": who}], strict=False)
        return
    written = "".join(segment.text for segment in rendering.segments if segment.part == "name")
    assert written in (who, "")
    assert written or any(record.field == "name" for record in rendering.lost)
    encoding = rendering.encode(vocabulary())
    own = encoding.ids[encoding.part == rc.PARTS.index("name")].tolist()
    assert not set(own) & vocabulary().control_ids


CHAT = [
    {"role": "system", "content": "S"},
    {"role": "user", "content": "U"},
    {"role": "assistant", "name": "Ann", "content": "A", "weight": 0.5},
    {"role": "user", "name": "Bob", "content": "V"},
    {"role": "assistant", "content": "B"},
]


def test_masks_are_unions_of_the_conditions_given() -> None:
    encoding = rc.format("chatml-name-attr").render(CHAT).encode(vocabulary())

    def said(**conditions: Any) -> str:
        return vocabulary().decode(encoding.ids[encoding.mask(**conditions)].tolist())

    assert said() == said(author="model") == "A<|im_end|>B<|im_end|>"
    assert said(role="user") == "U<|im_end|>V<|im_end|>"
    assert said(name="Bob") == "V<|im_end|>"
    assert said(message=-1) == said(message=4) == "B<|im_end|>"
    assert said(name="Bob", message=0) == "S<|im_end|>V<|im_end|>"
    assert said(where=lambda message: message.weight is not None) == "A<|im_end|>"
    assert said(name="Ann", header=True) == "<|im_start|>assistant name=Ann\nA<|im_end|>"


def test_weights_are_the_mask_times_the_weight_of_the_message() -> None:
    encoding = rc.format("chatml-name-attr").render(CHAT).encode(vocabulary())
    weights = encoding.weights(author="model")
    assert weights.dtype == np.float32
    assert sorted(set(weights.tolist())) == [0.0, 0.5, 1.0]
    assert (weights[encoding.mask(message=2)] == 0.5).all()


def test_bad_conditions_of_a_mask_are_refused() -> None:
    encoding = rc.format("chatml").render([USER]).encode(vocabulary())
    with pytest.raises(rc.InputError, match="labels are chosen with role="):
        encoding.mask(author="assistant")
    with pytest.raises(rc.InputError, match="there is no message 3; there are 1"):
        encoding.mask(message=3)


def test_arrays_have_the_types_they_promise() -> None:
    encoding = rc.format("chatml").render([USER]).encode(vocabulary())
    assert (encoding.ids.dtype, encoding.message.dtype) == (np.int32, np.int32)
    assert (encoding.part.dtype, encoding.sampled.dtype) == (np.uint8, np.bool_)
    assert len(encoding) == len(encoding.ids) == len(encoding.straddles)


def test_a_tokenizer_without_the_control_tokens_is_refused(gemma3: Any) -> None:
    with pytest.raises(rc.InputError) as raised:
        rc.format("chatml").render([USER]).encode(gemma3)
    assert str(raised.value) == (
        "tokenizer.json has no token '<|im_start|>', '<|im_end|>', which chatml writes as structure; "
        "add them to the tokenizer as special tokens, or choose a format this model was trained with"
    )


def test_what_has_no_place_is_an_error_unless_strict_is_off() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    image = {"type": "image_url", "image_url": {"url": "x"}}
    cases: list[tuple[str, list[dict[str, Any]], dict[str, Any], str]] = [
        ("gemma-2", [{"role": "system", "content": "S"}, USER], {}, "system-dropped"),
        ("chatml", [USER], {"tools": tools}, "tools-dropped"),
        ("chatml", [{"role": "user", "content": [image]}], {}, "part-dropped"),
        (
            "chatml",
            [USER, {"role": "assistant", "content": "A", "reasoning_content": "R"}],
            {},
            "reasoning-dropped",
        ),
    ]
    for name, messages, arguments, code in cases:
        with pytest.raises(rc.InputError, match=code):
            rc.format(name).render(messages, **arguments)
        rendering = rc.format(name).render(messages, strict=False, **arguments)
        assert ("error", code) in {record[:2] for record in rendering.lost}


@pytest.mark.parametrize(
    ("name", "stop"),
    [
        ("chatml", ("<|im_end|>",)),
        ("llama-2", ("</s>",)),
        ("mistral-v3", ("</s>",)),
        ("harmony", ("<|return|>", "<|call|>")),
        ("glm-4", ("<|user|>", "<|observation|>")),
        ("metharme", ("</s>", "<|user|>")),
        ("alpaca", ("</s>", "### Instruction:")),
        ("vicuna", ("</s>", "USER:")),
        ("mistral-v1", ("</s>", "[INST]")),
        ("zephyr", ("</s>", "<|user|>")),
    ],
)
def test_what_ends_generation_is_the_end_or_the_header_that_follows(
    name: str, stop: tuple[str, ...]
) -> None:
    fmt = rc.format(name)
    assert fmt.render([USER], add_generation_prompt=True).stop == stop
    assert fmt.render([USER, {"role": "assistant", "content": "Yes"}]).stop == stop
    prefill = [USER, {"role": "assistant", "content": "Yes"}]
    assert fmt.render(prefill, continue_final_message=True).stop == stop


def test_a_system_prompt_under_a_plain_header_stops_a_model_too() -> None:
    messages = [{"role": "system", "content": "S"}, USER]
    rendering = rc.format("zephyr").render(messages, add_generation_prompt=True)
    assert rendering.stop == ("</s>", "<|system|>", "<|user|>")


SCRIPT = """
title = "Script"
eos_token = "<eos>"

[turn]
open = "{speaker}: "
body = "{content}"
gap = "\\n"

[turn.owner]
open = "* "

[turn.client]

[turn.model]
end = "%s"

[turn.tool]
open = "Result of {call_name}: "
"""
PLAY = {"stage": "client", ("stage", "Ann"): "model", ("stage", "Cy"): "model"}


def script(tmp_path: Path, end: str) -> Format:
    path = tmp_path / "script.toml"
    path.write_text(SCRIPT % end, encoding="utf-8")
    return rc.format(path)


@pytest.mark.parametrize(("end", "tokens"), [("{eos_token}", ("<eos>",)), ("", ())])
def test_headers_of_plain_words_stop_the_speakers_they_are_not_of(
    tmp_path: Path, end: str, tokens: tuple[str, ...]
) -> None:
    fmt = script(tmp_path, end)
    messages = [{"role": "stage", "name": "Bob", "content": "Well?"}]
    messages.append({"role": "stage", "name": "Ann", "content": "Well."})

    def stop(speaker: Any, messages: list[dict[str, Any]] = messages) -> tuple[str, ...]:
        return fmt.render(messages, cast=PLAY, speaker=speaker).stop

    assert stop(("stage", "Ann")) == (*tokens, "Bob:", "Cy:")
    assert stop(("stage", "Cy")) == (*tokens, "Bob:", "Ann:")
    # The model writes one of its own headers first, so these do not end its turn.
    assert stop(rc.ANY) == (*tokens, "Bob:")
    # Who has the longer name is looked for first, or its first words would be left in the reply.
    messages.append({"role": "stage", "name": "Mary Ann", "content": "So?"})
    assert stop(("stage", "Cy")) == (*tokens, "Mary Ann:", "Bob:", "Ann:")
    # Nobody has spoken for the client, so the header that it has without a name is meant.
    alone = [{"role": "assistant", "content": "Hi"}]
    assert stop("assistant", alone) == (*tokens, "user:", "Ann:", "Cy:")
    called = [{"role": "tool", "name": "clock", "content": "12"}]
    assert "Result of clock:" in stop("assistant", called)
    assert "*" not in stop("assistant", called)
    assert "*" in stop("assistant", [{"role": "system", "content": "S"}])
