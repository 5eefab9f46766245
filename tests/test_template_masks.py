"""Masks of templates: against transformers' assistant masks, against TRL's twins, for any role."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import pytest

from rolecall.errors import TemplateRaised
from rolecall.template.rendering import TemplateRendering
from rolecall.template.template import Template
from tests.support import template_reference as reference
from tests.support.places import joined, sampled
from tests.support.template_chats import CHATS, called, said
from tests.support.template_ids import CAST, acceptable, both
from tests.support.template_reference import Rendered
from tests.support.templates import PAIRS, TEMPLATES, TWINS, Pair, published


@functools.lru_cache(maxsize=16)
def template(name: str) -> Template:
    found = published(name)
    made = Template.from_text(found.text, tokens=found.tokens, name=name)
    return dataclasses.replace(made, now=lambda: reference.NOW)


def render(name: str, call: Mapping[str, Any], **more: Any) -> TemplateRendering | None:
    """A rendering, or None where the template refuses the conversation."""
    try:
        return template(name).render(**deepcopy({**call}), cast=CAST, strict=False, **more)
    except TemplateRaised:
        return None


# Templates that mark what the model says. -------------------------------------------------------

MARKED = tuple(
    name for name, one in TEMPLATES.items() if not one.full and template(name).marks_generation
)


@pytest.mark.parametrize("name", MARKED)
def test_what_a_template_marks_is_what_is_sampled(name: str) -> None:
    found = published(name)
    compared = 0
    for chat in CHATS:
        if not acceptable(chat):
            continue
        call = chat.arguments()
        ours = render(name, call)
        if ours is None:
            continue
        shown = [as_transformers(one) for one in call["messages"]]
        theirs = reference.render(
            found.text, tokens=found.tokens, generated=True, **{**call, "messages": shown}
        )
        assert isinstance(theirs, Rendered)
        assert ours.text == theirs.text
        assert sampled(ours.segments) == joined(theirs.generated), chat.name
        compared += bool(theirs.generated)
    assert compared > 2


def as_transformers(message: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in message.items() if value is not None}
    names = ("reasoning_content", "thinking", "reasoning")
    given = [kept[key] for key in names if key in kept]
    # transformers fills in `thinking` and `reasoning_content`, and keeps what is given.
    return {"thinking": given[0], "reasoning_content": given[0], **kept} if given else kept


def marked_pairs() -> list[Any]:
    """Tokenizers of templates that mark, or that have a twin which does."""
    found: list[Any] = []
    for pair in PAIRS:
        twin = f"{pair.template}_training"
        if twin in TEMPLATES:
            marks = [pytest.mark.full] if pair.full else []
            found.append(pytest.param(Pair(twin, pair.tokenizer), id=twin, marks=marks))
    return found


@pytest.mark.parametrize("pair", marked_pairs())
def test_masks_are_transformers_assistant_masks(pair: Pair) -> None:
    """Token by token. A token that is sampled in part is not trained, and transformers trains it."""
    parts = both(pair)
    compared = straddling = 0
    for chat in CHATS:
        if not acceptable(chat):
            continue
        call = chat.arguments()
        theirs = parts.their_output(call, return_dict=True, return_assistant_tokens_mask=True)
        if theirs is None:
            continue
        ours = parts.encode(call)
        if ours.ids.tolist() != theirs["input_ids"]:
            continue
        mask = np.array(theirs["assistant_masks"], np.bool_)
        different = ours.mask(author="model") != mask
        assert not (different & ~ours.straddles).any(), chat.name
        straddling += int(different.sum())
        compared += 1
    assert compared > 40
    assert straddling == STRADDLING.get(pair.template, 0)


STRADDLING: dict[str, int] = {}
"""Tokens that are sampled in part."""


# Templates without marks, against their twin with marks. ---------------------------------------

CALL = said("assistant", "", tool_calls=[called("get_weather", {"city": "Oslo"})])
RESULT = said("tool", "cold", tool_call_id="abcdef123", name="get_weather")
TWIN_CHATS: Mapping[str, list[dict[str, Any]]] = {
    "one": [said("user", "Hi"), said("assistant", "Hello")],
    "several": [
        *(said("system", "Be good"), said("user", "Hi"), said("assistant", "Hello")),
        *(said("user", "more"), said("assistant", "Bye")),
    ],
    "reasoning": [
        said("user", "Hi"),
        said("assistant", "There", reasoning_content="think"),
    ],
    "calls": [said("user", "Hi"), CALL, RESULT, said("assistant", "It is cold")],
    "typed": [
        said("user", [{"type": "text", "text": "Hi"}]),
        said("assistant", [{"type": "text", "text": "Hello"}]),
    ],
}

HEADER = "the twin trains the header, which the prompt writes in part: <｜Assistant｜>"
CLOSED = "the history has <think></think> where the prompt has <think> and a line break"
OPENED = "the prompt writes a closed block of thoughts, the history an open one"

CAUSES: Mapping[tuple[str, str], str] = {
    **{
        (f"trl/{name}", chat): HEADER
        for name in ("deepseek_r1_distill", "deepseekv3")
        for chat in ("one", "several", "reasoning")
    },
    ("trl/deepseek_r1_distill", "calls"): HEADER,
    **{
        (f"trl/{name}", chat): CLOSED
        for name in (
            "nemotron_3_5_lightning",
            "nemotron_3_nano",
            "nemotron_3_super",
            "nemotron_3_ultra",
        )
        for chat in ("one", "several", "calls")
    },
    ("trl/qwen3_5_nothink", "reasoning"): OPENED,
}
"""Where a template without marks says something else of what is trained than its twin does."""

EXTRA = {
    HEADER: ("<｜Assistant｜>", "<｜tool▁outputs▁end｜>"),
    CLOSED: ("<think>",),
    OPENED: ("<think>\n",),
}
"""What the twin trains more, before what the model says."""


@pytest.mark.parametrize(("plain", "twin"), TWINS)
def test_masks_without_marks_are_those_of_the_twin(plain: str, twin: str) -> None:
    """The same characters are trained, but for what the prompt wrote and what follows the end."""
    found = published(twin)
    prompt = template(plain).habits(template(plain).control).prompt
    compared = 0
    for chat, messages in TWIN_CHATS.items():
        ours = render(plain, {"messages": messages})
        shown = [as_transformers(one) for one in messages]
        theirs = reference.render(found.text, shown, tokens=found.tokens, generated=True)
        if ours is None or not isinstance(theirs, Rendered) or ours.text != theirs.text:
            continue
        compared += 1
        wanted = [
            without_prompt_and_tail(theirs.text[start:end], prompt, ours.stop)
            for start, end in joined(theirs.generated)
        ]
        got = [ours.text[start:end] for start, end in sampled(ours.segments)]
        cause = CAUSES.get((plain, chat))
        if cause is None:
            assert got == [one for one in wanted if one], chat
            continue
        assert got != wanted, f"{plain}, {chat}: there is no difference now"
        assert len(got) == len(wanted)
        for one, other in zip(got, wanted, strict=True):
            more = other.removesuffix(one)
            assert other.endswith(one)
            assert more in EXTRA[cause]
    assert compared >= COMPARED.get(plain, 1)


COMPARED: Mapping[str, int] = {"trl/glm4moe": 0}
"""Twins that write other texts than their templates, and so cannot be compared: GLM's twin writes
the token that ends the model's turn, which is the next user's header in the template itself."""


def without_prompt_and_tail(text: str, prompt: str, stop: Sequence[str]) -> str:
    """What a twin trains, without the end of the prompt before it and what follows its end."""
    for length in range(len(prompt), 0, -1):
        if text.startswith(prompt[-length:]):
            text = text[length:]
            break
    ends = [text.rindex(token) + len(token) for token in stop[:1] if token in text]
    return text[: ends[0]] if ends else text


# Any role, any condition. ----------------------------------------------------------------------

LABELS: Mapping[str, tuple[str, str]] = {
    # What stands before and behind the label of any role.
    "guidance/chatml": ("<|im_start|>", "\n"),
    "xinference/Yi-chat": ("<|im_start|>", "\n"),
    "trl/llama3": ("<|start_header_id|>", "<|end_header_id|>\n\n"),
    "trl/llama3_1": ("<|start_header_id|>", "<|end_header_id|>\n\n"),
    "trl/gemma3": ("<start_of_turn>", "\n"),
    "llama.cpp/Kimi-K2-Instruct": ("<|im_system|>", "<|im_middle|>"),
}


@pytest.mark.parametrize("name", LABELS)
@pytest.mark.parametrize("role", ["judge", "agent", "assistants", "writer of tales"])
def test_a_role_of_the_models_is_trained_under_its_label(name: str, role: str) -> None:
    """The header is not sampled whatever the label, also one that begins as the prompt's does."""
    before, behind = LABELS[name]
    messages = [said("user", "Hi"), said(role, "Good.")]
    made = template(name).render(messages, cast={role: "model"})
    turn = [segment for segment in made.segments if segment.message == 1]
    header = "".join(s.text for s in turn if s.part in ("header", "role"))
    assert header == f"{before}{role}{behind}"
    assert [s.text for s in turn if s.part == "role"] == [role]
    assert "".join(s.text for s in turn if s.sampled) == f"Good.{made.stop[0]}"
    client = template(name).render(messages, cast={role: "client"})
    assert not any(segment.sampled for segment in client.segments)
    assert client.text == made.text


def test_a_name_within_the_header_is_part_of_it() -> None:
    messages = [said("user", "Hi", name="Bo"), said("assistant", "Yes.", name="Amy")]
    made = template("llama.cpp/Kimi-K3").render(messages, strict=False)
    turn = [segment for segment in made.segments if segment.message == 1]
    assert ("Amy", "name", False) in [(s.text, s.part, s.sampled) for s in turn]
    said_first = next(n for n, segment in enumerate(turn) if segment.sampled)
    assert '"' not in "".join(segment.text for segment in turn[said_first:])


def test_masks_choose_messages_by_every_condition() -> None:
    (pair,) = (one for one in PAIRS if one.template == "xinference/Yi-chat")
    parts = both(pair)
    messages = [
        said("system", "Rules."),
        said("user", "Hi", name="Bo"),
        said("writer", "Once.", weight=0.25),
        said("judge", "Good.", weight=0),
        said("assistant", "Done."),
    ]
    cast = {"writer": "model", "judge": "model"}
    encoding = parts.template.render(messages, cast=cast, strict=False).encode(parts.tokenizer)

    def chosen(**conditions: Any) -> str:
        return parts.theirs.decode(encoding.ids[encoding.mask(**conditions)])

    end = "<|im_end|>"
    assert chosen(role="writer") == f"Once.{end}"
    assert chosen(message=3) == chosen(role="judge") == f"Good.{end}"
    assert chosen(message=-1) == f"Done.{end}"
    assert chosen(name="Bo") == f"Hi{end}"
    assert chosen(author="client") == f"Hi{end}"
    assert chosen(author="owner") == f"Rules.{end}"
    assert chosen() == f"Once.{end}Good.{end}Done.{end}"
    assert chosen(where=lambda message: message.weight == 0) == f"Good.{end}"
    assert chosen(role="writer", header=True) == f"<|im_start|>writer\nOnce.{end}"
    weights = encoding.weights()
    assert set(weights[encoding.mask(role="writer")].tolist()) == {0.25}
    assert set(weights[encoding.mask(role="judge")].tolist()) == {0.0}
    assert set(weights[encoding.mask(message=4)].tolist()) == {1.0}
    assert not weights[~encoding.mask()].any()
