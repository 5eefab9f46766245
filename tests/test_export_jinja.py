"""Exported chat templates: the text, the refusals and the marks of `render`, for every format.

The templates run in transformers' own environment. Other engines are tried in
``test_export_engines.py``.
"""

from __future__ import annotations

import json
import random
import re
from copy import deepcopy
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rolecall as rc
from rolecall.export.jinja_limits import limits
from rolecall.format import Format
from rolecall.strategies import TOOL_SCHEMAS
from tests.conftest import EXAMPLES, PROFILE
from tests.support.conversations import Shape, conversations
from tests.support.shapes import shape_of
from tests.support.template_reference import Failed, Rendered, apply_chat_template, render
from tests.test_laws import told_apart
from tests.test_typescript import schema
from tools.library import ROOT

few = settings(max_examples=EXAMPLES[PROFILE] if PROFILE == "full" else EXAMPLES[PROFILE] // 5)
"""Each example renders a conversation twice, and there are three tests of 42 formats."""

every_format = pytest.mark.parametrize("name", rc.formats())

UNSEEN = re.compile(r"needs an? \w+ that matches")
"""Refusals that a template cannot repeat."""

WORDS = ("Amy", "Hirose Koichi", "X", "小春", "it's", "user", "assistant", "a\nb", "a) b", "a] b")


@cache
def shape(name: str) -> Shape:
    """The conversations of a format, with every ending that it can have."""
    found = shape_of(name)
    last = ("user", "assistant", "tool", "call") if found.calls else ("user", "assistant")
    return replace(found, last=last, prefill=True, json_results=False, tool_schema="any")


@cache
def cast_of(name: str) -> tuple[tuple[str, str], ...]:
    return tuple(shape(name).roles.items())


@cache
def exported(name: str, *, markers: bool = False) -> str:
    return rc.format(name).to_jinja(markers, cast=dict(cast_of(name)))


def wire(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages as users of transformers have them: arguments are objects."""
    messages = deepcopy(messages)
    for message in messages:
        for call in message.get("tool_calls") or ():
            given = call["function"].get("arguments")
            if isinstance(given, str):
                call["function"]["arguments"] = json.loads(given) if given else {}
    return messages


def ours(fmt: Format, conversation: dict[str, Any], **arguments: Any) -> rc.Rendering | str:
    """What `render` makes of a conversation, or the words in which it refuses it."""
    cast = dict(cast_of(fmt.name))
    try:
        return fmt.render(
            conversation["messages"], tools=conversation["tools"], cast=cast, **arguments
        )
    except rc.InputError as error:
        return said(error)


def said(error: rc.InputError) -> str:
    """The words of an error, without what is about the argument `strict` and other records."""
    return re.sub(r"( \(and \d+ more\))? \[error [^\]]*\]\Z", "", str(error))


def options(fmt: Format) -> st.SearchStrategy[dict[str, Any]]:
    """Values of some of the options."""
    values: dict[str, st.SearchStrategy[Any]] = {}
    for name, option in fmt.options.items():
        if isinstance(option.default, bool):
            values[name] = st.booleans()
        else:
            texts = option.choices or ("", "x y", "2024-02")
            values[name] = st.sampled_from(texts)
    return st.fixed_dictionaries({}, optional=values)


@st.composite
def cases(draw: st.DrawFn, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A conversation and how it is rendered."""
    fmt = rc.format(name)
    conversation = told_apart(draw(conversations(shape(name))))
    last = conversation["messages"][-1]
    arguments: dict[str, Any] = draw(options(fmt))
    if last.get("prefix"):
        if draw(st.booleans()):
            del last["prefix"]
            arguments["continue_final_message"] = True
        return conversation, arguments
    roles = ["assistant", "user", *dict(cast_of(name))]
    kind = draw(st.integers(0, 4))
    if kind in (0, 1):
        arguments["add_generation_prompt"] = True
    elif kind == 2:
        arguments["speaker"] = draw(st.sampled_from(roles))
    elif kind == 3:
        arguments["speaker"] = (draw(st.sampled_from(roles)), draw(st.sampled_from(WORDS[:4])))
    return conversation, arguments


def compare(
    name: str, conversation: dict[str, Any], arguments: dict[str, Any], *, markers: bool = False
) -> rc.Rendering | str:
    """Check that the template writes, or refuses, what `render` does; returned is the latter."""
    fmt = rc.format(name)
    expected = ours(fmt, conversation, **arguments)
    if isinstance(expected, str) and UNSEEN.search(expected):
        return expected  # A declared limit: a template knows no regular expressions.
    found = render(
        exported(name, markers=markers),
        wire(conversation["messages"]),
        conversation["tools"],
        generated=markers,
        **arguments,
    )
    if isinstance(expected, str):
        assert isinstance(found, Failed), (expected, found)
        assert found.by_template, found
        # Python quotes what it shows; a template shows it as it is.
        reason = found.reason.replace("\n", "\\n")
        if reason != expected:
            assert reason in complaints(fmt, conversation, arguments), expected
    else:
        assert isinstance(found, Rendered), found
        assert found.text == expected.text
        if markers:
            assert covered(found.generated) == sampled(expected)
    return expected


def complaints(fmt: Format, conversation: dict[str, Any], arguments: dict[str, Any]) -> set[str]:
    """What else is wrong with a conversation that is refused: the first thing need not be the same.

    Those are the words of every loss, and of how the conversation begins.
    """
    chosen = {key: value for key, value in arguments.items() if key in fmt.options}
    found: set[str] = set()
    messages = conversation["messages"]
    plain = [{k: v for k, v in message.items() if k != "prefix"} for message in messages]
    simple = [simpler(message) for message in plain]
    for number, message in enumerate(messages[:-1]):
        if message.get("prefix"):
            found.add(f"message {number}, prefix: only the final message can be continued")
    final = messages[-1] if messages else {}
    if "continue_final_message" in arguments and final.get("content") == "":
        where = f"message {len(messages) - 1}, content"
        found.add(f"{where}: there is nothing to continue: it is empty")
    for number in range(1, len(messages) + 1):
        for some in (messages, plain, simple):
            found |= refusals(fmt, {**conversation, "messages": some[:number]}, chosen)
    return found | refusals(fmt, {**conversation, "messages": simple}, arguments)


def simpler(message: dict[str, Any]) -> dict[str, Any]:
    """A message with one call at most and nothing beside it, or else with a text."""
    if message.get("tool_calls"):
        return {**message, "content": "", "tool_calls": message["tool_calls"][:1]}
    if isinstance(message.get("content"), list):
        return {**message, "content": [*message["content"], {"type": "text", "text": "x"}]}
    return message if message.get("content") else {**message, "content": "x"}


def refusals(fmt: Format, conversation: dict[str, Any], chosen: dict[str, Any]) -> set[str]:
    """The words in which a conversation is refused, and those of everything that it loses."""
    found: set[str] = set()
    refused = ours(fmt, conversation, **chosen)
    if isinstance(refused, str):
        found.add(refused)
    lenient = ours(fmt, conversation, strict=False, **chosen)
    for record in () if isinstance(lenient, str) else lenient.lost:
        where = "conversation" if record.message is None else f"message {record.message}"
        if record.level == "error":
            found.add(f"{where}, {record.field}: {record.detail}")
    return found


def covered(spans: tuple[tuple[int, int], ...]) -> set[int]:
    """The places in some spans."""
    return {place for start, end in spans for place in range(start, end)}


def sampled(rendering: rc.Rendering) -> set[int]:
    """The places of the text that the model samples."""
    found: set[int] = set()
    at = 0
    for segment in rendering.segments:
        if segment.sampled:
            found.update(range(at, at + len(segment.text)))
        at += len(segment.text)
    return found


@every_format
@few
@given(data=st.data())
def test_the_template_writes_what_render_writes(name: str, data: st.DataObject) -> None:
    compare(name, *data.draw(cases(name)))


@every_format
@few
@given(data=st.data())
def test_what_the_model_samples_is_marked(name: str, data: st.DataObject) -> None:
    compare(name, *data.draw(cases(name)), markers=True)


# What is refused -------------------------------------------------------------------------------

CALL = {"id": "abcdefghi", "type": "function", "function": {"name": "f", "arguments": {}}}

FAULTS: dict[str, Any] = {
    "role": lambda message: message | {"role": "nobody"},
    "no content": lambda message: message | {"content": None},
    "no content at all": lambda message: {k: v for k, v in message.items() if k != "content"},
    "an image": lambda message: message | {"content": [{"type": "image", "url": "x"}]},
    "parts": lambda message: (
        message
        | {
            "content": [
                {"type": "text", "text": " a "},
                {"type": "text", "text": ""},
                {"type": "text", "text": "b"},
            ]
        }
    ),
    "reasoning": lambda message: message | {"reasoning_content": " So. "},
    "blank reasoning": lambda message: message | {"reasoning_content": " \n"},
    "a call": lambda message: message | {"tool_calls": [CALL]},
    "calls": lambda message: message | {"content": "", "tool_calls": [CALL, CALL | {"id": "b2"}]},
    "no ids": lambda message: (
        message | {"content": "x", "tool_calls": [{k: v for k, v in CALL.items() if k != "id"}]}
    ),
    "a result": lambda message: {"role": "tool", "content": "seven"},
    "a named result": lambda message: {
        "role": "tool",
        "name": "f",
        "content": "seven",
        "tool_call_id": "abcdefghi",
    },
    "another result": lambda message: message | {"tool_call_id": "ABCDEFGHI"},
    "a bad id": lambda message: message | {"tool_call_id": "a b"},
    "system": lambda message: {"role": "system", "content": "Be kind."},
    "developer": lambda message: {"role": "developer", "content": ""},
    "user": lambda message: {"role": "user", "content": "Hi."},
    "assistant": lambda message: {"role": "assistant", "content": "Well,"},
    "nothing": lambda message: {"role": "assistant", "content": ""},
    "refusal": lambda message: message | {"refusal": "No."},
    "audio": lambda message: message | {"audio": {"id": "x"}, "refusal": None, "annotations": []},
    "prefix": lambda message: message | {"prefix": True},
    "names": lambda message: message | {"name": "Amy"},
    "a long name": lambda message: message | {"name": "a\nb) c] d"},
    "a role's name": lambda message: message | {"name": "assistant"},
    "channel": lambda message: message | {"attributes": {"channel": "commentary"}},
    "final": lambda message: message | {"attributes": {"channel": "final"}},
    "recipient": lambda message: (
        message | {"attributes": {"recipient": "browser", "content_type": "code", "to": "x"}}
    ),
}
"""What is wrong, or only unusual, to what it makes of a message."""


@st.composite
def faulty(draw: st.DrawFn, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A case in which a message is changed, added, doubled or left out."""
    conversation, arguments = draw(cases(name))
    messages = list(conversation["messages"])
    fault = FAULTS[draw(st.sampled_from(sorted(FAULTS)))]
    at = draw(st.integers(0, len(messages) - 1))
    kind = draw(st.sampled_from(("change", "change", "add", "double", "leave out")))
    if kind == "change":
        messages[at] = fault(messages[at])
    elif kind == "add":
        messages.insert(at, fault(messages[at]))
    elif kind == "double":
        messages.insert(at, messages[at])
    else:
        del messages[at]
    if draw(st.integers(0, 9)) == 9:
        arguments["continue_final_message"] = True
    if messages and (messages[-1].get("prefix") or "continue_final_message" in arguments):
        # A declared difference: in a template, what is continued wins over the generation prompt.
        arguments.pop("add_generation_prompt", None)
    return {**conversation, "messages": messages}, arguments


@every_format
@few
@given(data=st.data())
def test_the_template_refuses_what_render_refuses(name: str, data: st.DataObject) -> None:
    compare(name, *data.draw(faulty(name)))


# One case each ----------------------------------------------------------------------------------

USER = {"role": "user", "content": "Hi."}


@every_format
def test_transformers_continues_a_message_by_itself(name: str) -> None:
    fmt = rc.format(name)
    guesses = "transformers-prefill" in codes(fmt)
    for text in ("Sure", " Sure,\n\n  we", "Sure \n"):
        messages = [USER, {"role": "assistant", "content": text}]
        marked = [USER, {"role": "assistant", "content": text, "prefix": True}]
        expected = Rendered(fmt.render(messages, continue_final_message=True).text)
        assert render(exported(name), messages, continue_final_message=True) == expected
        assert apply_chat_template(exported(name), marked) == expected
        if text == text.rstrip() or not guesses:
            found = apply_chat_template(exported(name), messages, continue_final_message=True)
            assert found == expected


def codes(fmt: Format) -> set[str]:
    return {record.code for record in limits(fmt)}


@every_format
def test_a_cast_with_names_is_baked_in(name: str) -> None:
    fmt = rc.format(name)
    cast = {"chat": "client", ("chat", "Dolphin"): "model", "writer": "model"}
    template = fmt.to_jinja(cast=cast)
    anna, dolphin = {"role": "chat", "name": "Anna"}, {"role": "chat", "name": "Dolphin"}
    told: list[list[dict[str, Any]]] = [
        [anna, dolphin],
        [anna, {"role": "writer", "name": "Dolphin"}],
        [anna, {"role": "writer"}, {"role": "user", "name": "Anna"}],
        [{"role": "user"}, {"role": "nobody"}],
        [{"role": "user"}, {"role": "chat"}, dolphin],
    ]
    spoken: list[dict[str, Any]] = [
        {},
        {"add_generation_prompt": True},
        {"speaker": ("chat", "Dolphin")},
        {"speaker": ("writer", "Anna")},
        {"speaker": ("chat", "Bob")},
        {"speaker": "nobody"},
        {"continue_final_message": True},
    ]
    for turns, arguments in product(told, spoken):
        messages = [{**message, "content": "Eeek"} for message in turns]
        expected = words(fmt, messages, cast, arguments)
        found = render(template, messages, **arguments)
        assert (found.text if isinstance(found, Rendered) else found.reason) == expected


def words(fmt: Format, messages: object, cast: object, arguments: dict[str, Any]) -> str:
    """What `render` writes, or the words in which it refuses."""
    try:
        return fmt.render(messages, cast=cast, **arguments).text
    except rc.InputError as error:
        return said(error)


def test_a_cast_with_a_role_that_no_header_can_say_is_refused() -> None:
    with pytest.raises(
        rc.InputError, match=r"cast: 'a\\nb' in the header of chatml cannot be read"
    ):
        rc.format("chatml").to_jinja(cast={"a\nb": "model"})


def test_a_speaker_is_a_role_a_pair_or_an_object() -> None:
    template = rc.format("chatml-names").to_jinja()
    for speaker in (("assistant", "Amy"), {"role": "assistant", "name": "Amy"}):
        assert render(template, [USER], speaker=speaker) == Rendered(
            "<|im_start|>user\nHi.<|im_end|>\n<|im_start|>Amy\n"
        )
    assert render(template, [USER], speaker="assistant") == render(
        template, [USER], add_generation_prompt=True
    )


def test_tokens_of_the_caller_win_over_those_of_the_file() -> None:
    fmt = rc.format("mistral-v3-tekken")
    given_tokens: list[dict[str, Any]] = [
        {},
        {"bos_token": "<B>", "eos_token": "<E>"},
        {"bos_token": ""},
    ]
    for tokens in given_tokens:
        messages = [USER, {"role": "assistant", "content": "Ho."}]
        found = render(fmt.to_jinja(), messages, tokens=tokens)
        assert found == Rendered(fmt.render(messages, **tokens).text)
    nothing: dict[str, Any] = {"bos_token": None}
    assert render(fmt.to_jinja(), [USER], tokens=nothing) == Rendered(fmt.render([USER]).text)


def test_tools_in_other_notations_are_written_as_render_writes_them() -> None:
    choose = random.Random(4)
    formats = [rc.format(name) for name in rc.formats()]
    noted = [fmt for fmt in formats if fmt.tools is not None and fmt.tools.schema not in JSON]
    assert {fmt.tools.schema for fmt in noted if fmt.tools} == set(TOOL_SCHEMAS) - JSON
    for number in range(EXAMPLES[PROFILE]):
        fmt = noted[number % len(noted)]
        function: dict[str, Any] = {
            "name": "f",
            "description": choose.choice(("", "a", "two\nlines\n")),
        }
        function["parameters"] = {"type": "object", "properties": {}} | schema(choose)
        tool = {"type": "function", "function": function}
        expected = fmt.render([USER], tools=[tool]).text
        if "\r" not in expected:  # A declared limit.
            assert render(exported(fmt.name), [USER], [tool]) == Rendered(expected)


JSON = {"json", "named-fields"}


@every_format
def test_every_limit_is_on_the_page(name: str) -> None:
    page = (ROOT / "docs" / "exporting.md").read_text(encoding="utf-8")
    assert {code for code in codes(rc.format(name)) if f"`{code}`" not in page} == set()


@every_format
def test_nothing_but_what_the_format_needs_is_in_the_template(name: str) -> None:
    template = exported(name)
    for macro in re.findall(r"macro (\w+)\(", template):
        assert len(re.findall(rf"\b{macro}\(", template)) > 1, macro
    for variable in re.findall(r"set ([\w.]+) =", template):
        assert len(re.findall(rf"(?<![\w.]){re.escape(variable)}\b", template)) > 1, variable
    assert "{% " not in template
    assert template == template.strip()


def test_a_format_of_ones_own_is_exported(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(
        'control = ["<a>", "<b>"]\n[turn]\nopen = "<a>{role}{name?, {name}}: "\nend = "<b>"\n'
        '[turn.model]\nbody = "{content|rstrip-nl}"\n[system]\nplace = "start"\njoin = " / "\n'
        '[labels]\nassistant = "me"\n'
    )
    fmt = rc.format(path)
    messages = [
        {"role": "user", "content": "Hi."},
        {"role": "system", "content": "One."},
        {"role": "developer", "content": "Two."},
        {"role": "assistant", "name": "Amy", "content": "\n\nHo.\n\n"},
    ]
    expected = fmt.render(messages, speaker="user").text
    assert expected == "<a>system: One. / Two.<b><a>user: Hi.<b><a>me, Amy: \n\nHo.<b><a>user: "
    assert render(fmt.to_jinja(), messages, speaker="user") == Rendered(expected)


def own(path: Path, text: str) -> Format:
    path.write_text(text)
    return rc.format(path)


@pytest.mark.parametrize("name", ["not", "message", "text", "ns", "loop", "authors"])
def test_an_option_whose_name_a_template_has_is_refused(name: str, tmp_path: Path) -> None:
    fmt = own(
        tmp_path / "own.toml",
        f'control = ["<a>"]\n[options.{name}]\ndefault = "x"\n'
        f'[turn]\nopen = "<a>{{role}} {{{name}}}: "\nend = "<a>"\n'
        '[turn.model]\nbody = "{content|rstrip-space}{content?.}"\n',
    )
    with pytest.raises(rc.InputError, match=rf"cannot be called '{name}'"):
        fmt.to_jinja()


def test_attributes_and_numbers_of_any_name_are_written(tmp_path: Path) -> None:
    fmt = own(
        tmp_path / "own.toml",
        'control = ["<a>", "<b>"]\nattributes = ["items", "content-type"]\n'
        'begin = "{depth?depth {depth}}"\n[options.depth]\ndefault = 3\n'
        '[turn]\nopen = "<a>{role}{items? {items}}: "\nend = "<b>"\n',
    )
    messages = [{**USER, "attributes": {"items": "two"}}, USER]
    for depth in (0, 3):
        expected = fmt.render(messages, depth=depth).text
        assert expected == f"depth {depth}<a>user two: Hi.<b><a>user: Hi.<b>"
        assert render(fmt.to_jinja(), messages, depth=depth) == Rendered(expected)
