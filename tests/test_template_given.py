"""What `Template.render` is given in a wrong form: an error that names message and field."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

import rolecall as rc
from rolecall.errors import ConversationError, InputError, LossError
from rolecall.template.template import Template

ECHO = Template.from_text(
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content if m.content is string }}"
    "{% for c in m.tool_calls or [] %}{{ c.function | tojson }}{% endfor %}{% endfor %}"
    "{% if tools %}{{ tools | tojson }}{% endif %}{{ documents or '' }}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
HELLO = {"role": "user", "content": "Hello."}


def calling(calls: Any) -> list[Any]:
    return [HELLO, {"role": "assistant", "content": "", "tool_calls": calls}]


def tool() -> None:
    """Not a schema."""


@dataclasses.dataclass
class Said:
    role: str
    content: str


class Dumped:
    def model_dump(self) -> dict[str, Any]:
        return dict(HELLO)


BAD: dict[str, tuple[Any, Mapping[str, Any], str]] = {
    "no list": (5, {}, "conversation, messages: found int; give a list of messages"),
    "null": (None, {}, "conversation, messages: found NoneType"),
    "a text": ("Hello.", {}, "conversation, messages: found str"),
    "other key": ({"messages": [HELLO], "tool": []}, {}, "conversation: unknown key 'tool'; did"),
    "inner list": ([[HELLO]], {}, "message 0: found list; a message is an object"),
    "bytes": ([{"role": "user", "content": b"x"}], {}, "message 0, content: found bytes"),
    "a set": ([{"role": "user", "content": {"x"}}], {}, "message 0, content: found set"),
    "surrogate": ([{"role": "user", "content": "\ud800"}], {}, "message 0, content: character 0"),
    "part": ([{"role": "user", "content": [5]}], {}, "message 0, content[0]: found int; a part"),
    "text of a part": (
        [{"role": "user", "content": [{"type": "text", "text": 5}]}],
        {},
        "message 0, content[0].text: found a value of type int 5; it must be a string",
    ),
    "calls": (calling({"a": 1}), {}, "message 1, tool_calls: found dict; it must be a list"),
    "call": (calling(["x"]), {}, "message 1, tool_calls[0]: found str; a call is"),
    "function": (calling([{"function": "x"}]), {}, "message 1, tool_calls[0].function: found str"),
    "no name": (calling([{}]), {}, "message 1, tool_calls[0].function.name: it is missing"),
    "bytes in arguments": (
        calling([{"function": {"name": "f", "arguments": {"x": b"x"}}}]),
        {},
        "message 1, tool_calls[0]: it cannot be written as JSON",
    ),
    "a function for a tool": (
        [HELLO],
        {"tools": [tool]},
        "conversation, tools[0]: found function; a tool is an object; transformers.utils",
    ),
    "tools": ([HELLO], {"tools": "x"}, "conversation, tools: found str; it must be a list"),
    "inner tools": ({"messages": [HELLO], "tools": 5}, {}, "conversation, tools: found int"),
    "documents": ([HELLO], {"documents": [5]}, "conversation, documents[0]: found int; a document"),
    "options": ({"messages": [HELLO], "options": ["a"]}, {}, "conversation, options: found list"),
    "shadowed": (
        {"messages": [HELLO], "options": {"messages": []}},
        {},
        "conversation, options.messages: 'messages' is no option of a template; give it to render",
    ),
    "prompt": (
        {"messages": [HELLO], "options": {"add_generation_prompt": True}},
        {},
        "conversation, options.add_generation_prompt: ",
    ),
    "number for a name": (
        {"messages": [HELLO], "options": {5: 1}},
        {},
        "conversation, options: found the key 5",
    ),
    "clock": ([HELLO], {"now": 5}, "conversation, options.now: 'now' is no option of a template"),
    "three for a speaker": ([HELLO], {"speaker": ("a", "b", "c")}, "conversation, speaker: found"),
    "nobody": ([HELLO], {"speaker": ()}, "conversation, speaker: found ()"),
    "a number speaks": ([HELLO], {"speaker": 5}, "conversation, speaker: found 5; give a role"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_form_is_refused_by_name(name: str) -> None:
    messages, arguments, said = BAD[name]
    with pytest.raises(ConversationError) as raised:
        ECHO.render(messages, **arguments)
    assert isinstance(raised.value, InputError)
    assert str(raised.value).startswith(said)


@pytest.mark.parametrize("given", [(HELLO,), iter([HELLO]), [Said("user", "Hello.")], [Dumped()]])
def test_messages_come_in_many_forms(given: Any) -> None:
    assert ECHO.render(given).text == "<|user|>Hello."


@pytest.mark.parametrize("content", [5, True, float("nan"), {"sky": "fog"}])
def test_a_content_that_is_no_text_is_written_or_lost(content: object) -> None:
    messages = [{"role": "user", "content": content}]
    with pytest.raises(LossError, match=r"message 0, content: .* writes nothing of a content that"):
        ECHO.render(messages)
    assert ECHO.render(messages, strict=False).text == "<|user|>"
    written = Template.from_text("{% for m in messages %}{{ m.role }}{{ m.content }}{% endfor %}")
    assert written.render(messages).text == f"user{content}"


def test_a_header_that_does_not_tell_the_speaker_says_so() -> None:
    (record,) = ECHO.render([HELLO], speaker=("assistant", "Amy")).lost
    assert (record.level, record.code, record.field) == ("warning", "name-dropped", "speaker")
    named = Template.from_text(
        "{% for m in messages %}<|{{ m.role }} {{ m.name }}|>{{ m.content }}{% endfor %}"
    )
    rendered = named.render([{**HELLO, "name": "Bo"}], speaker=("assistant", "Amy"))
    assert rendered.lost == ()
    assert rendered.text.endswith("<|assistant Amy|>")


def test_a_conversation_of_a_format_renders() -> None:
    whole = rc.format("chatml").canonical([HELLO])
    assert ECHO.render(whole).text.endswith("<|user|>Hello.")
