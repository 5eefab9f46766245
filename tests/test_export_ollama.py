"""Modelfiles for Ollama, on every bundled format.

The long run has Go's own text/template write chats with them, tools, calls and reasoning included;
the text must be the format's wherever no lost record says otherwise.
"""

import itertools
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

import rolecall as rc
from rolecall.errors import RolecallError
from rolecall.export.go_template import If, Line, Out, Range, Text, spaced, text_of
from rolecall.format import Format
from tests.support import golang, presets
from tests.support.presets import modelfile_template

FORMATS = rc.formats()

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "look",
            "description": "Looks.",
            "parameters": {
                "type": "object",
                "required": ["at"],
                "properties": {"at": {"type": "string"}},
            },
        },
    }
]


@pytest.mark.parametrize("name", FORMATS)
def test_a_modelfile_is_whole(name: str) -> None:
    fmt = rc.format(name)
    text = fmt.export("ollama", model="llama3:8b").text
    template = modelfile_template(fmt.export("ollama"))
    opened = len(re.findall(r"\{\{-? (?:if|range) ", template))
    assert opened == len(re.findall(r"\{\{-? end ", template))
    stop = fmt.render(
        [{"role": "user", "content": "x"}], add_generation_prompt=True, strict=False
    ).stop
    assert text.startswith("FROM llama3:8b\nTEMPLATE ")
    said = re.findall(r'^PARAMETER stop "(?:"")?(.*?)"(?:"")?$', text, re.DOTALL | re.MULTILINE)
    assert said == list(stop)


def _tool_chat(rng: random.Random) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    if rng.random() < 0.4:
        messages.append({"role": "system", "content": "Be brief."})
    for number in range(rng.randint(1, 3)):
        messages.append({"role": "user", "content": f"{rng.choice(presets.WORDS)} {number}"})
        if rng.random() < 0.7:
            said = rng.choice([None, None, "Let me see."])
            calls = [
                {
                    "id": f"abcdefg{number}{n}",
                    "type": "function",
                    "function": {"name": "look", "arguments": json.dumps({"at": f"it {n}"})},
                }
                for n in range(rng.choice([1, 1, 2]))
            ]
            reasoning = {"reasoning_content": "I look."} if rng.random() < 0.4 else {}
            messages.append(
                {"role": "assistant", "content": said, "tool_calls": calls, **reasoning}
            )
            messages += [
                {"role": "tool", "tool_call_id": c["id"], "name": "look", "content": "blue sky"}
                for c in calls
            ]
            if rng.random() < 0.3:
                return messages
        messages.append({"role": "assistant", "content": f"So {number}."})
    return messages if rng.random() < 0.3 else messages[:-1]


def _message(message: dict[str, Any]) -> dict[str, Any]:
    wire: dict[str, Any] = {"role": message["role"], "content": message["content"] or ""}
    if "reasoning_content" in message:
        wire["thinking"] = message["reasoning_content"]
    if "tool_calls" in message:
        wire["tool_calls"] = [
            {
                "id": call["id"],
                "function": {
                    "index": index,
                    "name": call["function"]["name"],
                    "arguments": json.loads(call["function"]["arguments"]),
                },
            }
            for index, call in enumerate(message["tool_calls"])
        ]
    if message["role"] == "tool":
        wire |= {"tool_name": message["name"], "tool_call_id": message["tool_call_id"]}
    return wire


class Case:
    """A chat, what the format writes of it, and how alike Ollama must."""

    def __init__(self, fmt: Format, messages: list[dict[str, Any]], tools: Any) -> None:
        reply = messages[-1]["role"] == "assistant"
        given: dict[str, Any] = (
            {"continue_final_message": "content"} if reply else {"add_generation_prompt": True}
        )
        bos = fmt.option_values({})["bos_token"]
        rendering = fmt.render(messages, tools=tools, strict=False, **given)
        self.text = rendering.text.removeprefix(str(bos))
        self.request = {"messages": [_message(m) for m in messages], "tools": tools}
        self.loose = any("tool_calls" in m for m in messages) or tools is not None

    def holds(self, written: str) -> bool:
        """Whether the texts are alike; JSON may be spaced otherwise."""
        if self.loose:
            return re.sub(r"\s", "", written) == re.sub(r"\s", "", self.text)
        return written == self.text


def _cases(fmt: Format, count: int) -> list[Case]:
    codes = {record.code for record in fmt.export("ollama").lost}
    rng = random.Random(f"ollama {fmt.name}")
    cases: list[Case] = []
    plain = list(presets.chats(rng, count))
    for messages in [*plain, *(_tool_chat(rng) for _ in range(count))]:
        roles = [message["role"] for message in messages]
        twice = any(a == b != "tool" for a, b in itertools.pairwise(roles))
        if twice and "merged" in codes:
            continue
        if "system" in roles and "system-dropped" in codes:
            continue
        if roles.count("system") > 1 and "written-otherwise" in codes:
            continue
        if "tool" in roles and codes & {"id-kept", "result-dropped"}:
            continue
        talks = "tool" in roles
        offers = talks and fmt.tools is not None and rng.random() < 0.8
        if offers and "tools-dropped" in codes:
            continue
        try:
            cases.append(Case(fmt, messages, TOOLS if offers else None))
        except RolecallError:
            continue
    return cases


@pytest.mark.full
@pytest.mark.parametrize("name", FORMATS)
def test_go_writes_the_format_with_ollama_smodelfile_template(name: str) -> None:
    fmt = rc.format(name)
    template = modelfile_template(fmt.export("ollama"))
    cases = _cases(fmt, 500)
    answers = golang.execute([{**case.request, "template": template} for case in cases])
    for case, answer in zip(cases, answers, strict=True):
        assert case.holds(answer.get("text", "")), (case.request, case.text, answer)
    assert len(cases) > 100


def test_ollama_finds_the_tags_of_reasoning_where_they_are_text_around_it() -> None:
    template = modelfile_template(rc.format("qwen3").export("ollama"))
    found = re.search(
        r"\{\{ if [^}]*\}\}([^{}]*)\{\{ \.Thinking \}\}([^{}]*)\{\{ end \}\}", template
    )
    assert found is not None
    assert [tag.strip() for tag in found.groups()] == ["<think>", "</think>"]
    (note,) = [n for n in rc.format("harmony").export("ollama").notes if "reasoning" in n]
    assert "finds none here" in note
    assert not any("reasoning" in n for n in rc.format("qwen3").export("ollama").notes)


def test_white_space_of_texts_is_kept_and_that_of_the_layout_is_not() -> None:
    nodes = [
        Text("<a>\n"),
        If(((".X", (Out(".Y"), Text("\n"))), ("", (Text("{{"),)))),
        Line("$z = 1"),
        Range("$i, $_ := .Q", (Text("q"),)),
        Text("\u200b.\U000e0001\U0001f600"),
    ]
    assert text_of(nodes) == (
        '<a>\n{{ if .X }}{{ .Y }}\n{{ else }}{{ "{{" }}\n{{- end }}\n{{- $z = 1 }}'
        '\n{{- range $i, $_ := .Q }}q\n{{- end }}{{ "\\u200b.\\U000e0001\U0001f600" }}'
    )


def test_a_brace_before_a_tag_is_no_part_of_it() -> None:
    nodes = [Text("{"), Out(".X"), Text("a{"), Text("{b{{{"), Out(".Y"), Text("{"), Line("$z = 1")]
    assert text_of(nodes) == (
        '{{ "{" }}{{ .X }}a{{ "{" }}{b{{ "{{" }}{{ "{" }}{{ .Y }}{\n{{- $z = 1 }}'
    )


def test_a_space_stands_where_a_run_of_text_begins() -> None:
    nodes = [Text("[A]", control=True), If(((".S", (Out(".S"),)),)), Out(".C", ".C"), Text("e")]
    written = text_of(spaced(nodes))
    assert written.startswith("[A]\n{{- if .S }} {{ .S }}\n{{- end }}\n{{- if and .C (not .S) }} ")


@pytest.mark.full
def test_a_default_system_prompt_is_folded_into_the_first_turn(tmp_path: Path) -> None:
    folded = presets.small_format("folded", tmp_path)
    template = modelfile_template(folded.export("ollama"))
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    ]
    chats = [messages, [{"role": "system", "content": "Be brief."}, *messages], messages[:1]]
    cases = [Case(folded, chat, None) for chat in chats]
    assert cases[0].text.startswith("<|u|>You are nice. | a<|e|>")
    answers = golang.execute([{**case.request, "template": template} for case in cases])
    assert [answer["text"] for answer in answers] == [case.text for case in cases]


@pytest.fixture(params=presets.SMALL)
def small(request: pytest.FixtureRequest, tmp_path: Path) -> Format:
    return presets.small_format(request.param, tmp_path)


@pytest.mark.full
def test_small_formats_under_ollama_smodelfile_template(small: Format) -> None:
    template = modelfile_template(small.export("ollama"))
    cases = _cases(small, 100)
    answers = golang.execute([{**case.request, "template": template} for case in cases])
    assert len(cases) > 20
    for case, answer in zip(cases, answers, strict=True):
        assert case.holds(answer.get("text", "")), (case.request, case.text, answer)
