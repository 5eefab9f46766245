"""Where an engine makes something else of an exported template than `Format.render`: declared.

A limit says which engines, which conversations it covers, and has one to show it on. What it covers
is compared with what jinja2 makes of it, or left out; that it still differs in those engines, and
in no other, is tested (``tests/test_export_engines.py``). docs/exporting.md has every sentence of
this table.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, cast

import rolecall as rc
from rolecall.export.jinja import limits
from rolecall.format import Format
from tests.support.exports import Case, answers, case, exported, rendered, tokens_of

JINJA2, MINIJINJA, JAVASCRIPT, LLAMA = "jinja2", "minijinja", "huggingface_js", "llama_cpp"
EVERY = (JINJA2, MINIJINJA, JAVASCRIPT, LLAMA)

Covers = Callable[[Format, Case], bool]


def nothing(_: Format, __: Case) -> bool:
    """For limits that the conversations of the tests do not come near to."""
    return False


@dataclass(frozen=True)
class Limit:
    """What comes out otherwise in some engines."""

    what: str
    """One sentence, as the documentation has it."""
    engines: tuple[str, ...]
    """Those in which the text of at least one format is another; in the rest of none."""
    messages: Sequence[Mapping[str, Any]]
    """A conversation that shows it."""
    tools: Sequence[Mapping[str, Any]] | None = None
    covers: Covers = nothing
    """The conversations of which it holds."""
    left_out: bool = True
    """Whether these are not compared in these engines."""
    defaults: bool = True
    """Whether options are given although they have their defaults."""

    refused: bool = False
    """Whether the formats that refuse it count too: by the words that they do it with."""

    def case(self, fmt: Format) -> Case:
        """The conversation that shows it, as one format writes it."""
        options = {name: option.default for name, option in fmt.options.items()}
        return case(fmt, self.messages, self.tools, options if self.defaults else {})


# --- What a template cannot know ------------------------------------------------------------------


@cache
def codes(name: str) -> frozenset[str]:
    """The codes of what `Format.to_jinja` says that its template cannot do."""
    return frozenset(lost.code for lost in limits(rc.format(name)))


def has_json_result(fmt: Format, case: Case) -> bool:
    return "json-result" in codes(fmt.name) and any(
        message["role"] == "tool" and reads_as_json(text_of(message["content"]))
        for message in case.conversation["messages"]
    )


def text_of(content: Any) -> Any:
    """A content's text, whether it comes in parts or whole."""
    parts = cast("list[dict[str, str]]", content) if isinstance(content, list) else None
    return content if parts is None else "".join(part["text"] for part in parts)


def reads_as_json(content: Any) -> bool:
    try:
        json.loads(content)
    except (TypeError, ValueError):
        return False
    return True


# --- What llama-server does before and behind its engine ------------------------------------------


def cannot_be_asked(fmt: Format, case: Case) -> bool:
    """The format refuses a generation prompt, and the server asks for one beside every request."""
    options = {"add_generation_prompt": True, **case.conversation["options"]}
    if case.text is None or "continue_final_message" in options:
        return False
    try:
        rendered(fmt, {**case.conversation, "options": {**options, "add_generation_prompt": True}})
    except rc.InputError:
        return True
    return False


def gets_arguments_as_text(fmt: Format, case: Case) -> bool:
    """The server's own chat with a call and tools is refused, or its arguments are not written."""
    if not any(message.get("tool_calls") for message in case.conversation["messages"]):
        return False
    try:
        text = fmt.render(PROBE, [PROBE_TOOL]).text
    except rc.InputError:
        return True
    return PROBE_VALUE not in text


PROBE_VALUE = "value"
PROBE: list[dict[str, Any]] = [
    {"role": "user", "content": "User message"},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {
                "id": "call00001",
                "type": "function",
                "function": {"name": "tool1", "arguments": {"arg": PROBE_VALUE}},
            }
        ],
    },
    {"role": "tool", "content": "Tool response", "tool_call_id": "call00001"},
    {"role": "assistant", "content": "The tool response was 'tool response'"},
    {"role": "user", "content": "User message"},
]
"""The chat that llama.cpp runs a template on when it is loaded, to see what it makes of calls."""
PROBE_TOOL = {
    "type": "function",
    "function": {
        "name": "tool1",
        "description": "Tool description",
        "parameters": {"type": "object", "properties": {"arg": {"type": "string"}}},
    },
}


def ends_with_return(fmt: Format, case: Case) -> bool:
    """The server rewrites the last token of a finished conversation of gpt-oss's kind."""
    if case.text is None or case.conversation["options"].get("add_generation_prompt"):
        return False
    return is_of_gpt_oss(fmt) and RETURN in case.text


RETURN, END = "<|return|>", "<|end|>"


def is_of_gpt_oss(fmt: Format) -> bool:
    """The server takes every template that has this token for gpt-oss's."""
    return "<|channel|>" in exported(fmt.name)


def speaks_beside_thoughts_and_calls(fmt: Format, case: Case) -> bool:
    return is_of_gpt_oss(fmt) and any(
        message.get("reasoning_content") and message.get("tool_calls") and message["content"]
        for message in case.conversation["messages"]
    )


def is_of_ministral(fmt: Format) -> bool:
    """The server takes every template that has these tokens for Ministral's."""
    jinja = exported(fmt.name)
    return "[CALL_ID]" not in jinja and all(
        token in jinja for token in ("[SYSTEM_PROMPT]", "[TOOL_CALLS]", "[ARGS]")
    )


def thinks_in_ministral(fmt: Format, case: Case) -> bool:
    return is_of_ministral(fmt) and any(
        message.get("reasoning_content") for message in case.conversation["messages"]
    )


# --- The table ------------------------------------------------------------------------------------

USER = {"role": "user", "content": "Hello."}
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {
            "id": "abc123def",
            "type": "function",
            "function": {"name": "f", "arguments": {"a": 1, "b": 2}},
        }
    ],
}
RESULT = {"role": "tool", "name": "f", "content": "12", "tool_call_id": "abc123def"}


def parameter(**schema: Any) -> list[dict[str, Any]]:
    """One tool with one parameter of this schema."""
    properties = {"x": {"type": "string", **schema}}
    function = {
        "name": "f",
        "description": "d",
        "parameters": {"type": "object", "properties": properties},
    }
    return [{"type": "function", "function": function}]


LIMITS = (
    Limit(
        "A result that reads as JSON is written as a string where the format writes it as JSON.",
        EVERY,
        [USER, CALL, RESULT],
        covers=has_json_result,
        left_out=False,
    ),
    Limit(
        "A whole number with a fraction, 1.0, loses it.",
        (MINIJINJA, JAVASCRIPT, LLAMA),
        [USER],
        parameter(default=1.0),
    ),
    Limit("A small number, 1e-07, is 1e-7.", (JAVASCRIPT,), [USER], parameter(default=1e-7)),
    Limit(
        "An integer beyond 53 bits is rounded.",
        (JAVASCRIPT,),
        [USER],
        parameter(default=2**53 + 1),
    ),
    Limit(
        "An integer beyond 63 bits is another number.",
        (JAVASCRIPT, LLAMA),
        [USER],
        parameter(default=2**63),
    ),
    Limit(
        "Keys that are whole numbers come first, in their order.",
        (JAVASCRIPT,),
        [USER],
        parameter(**{"2": "b", "1": "a"}),
    ),
    Limit(
        "White space beyond ASCII is not trimmed.",
        (LLAMA,),
        [{"role": "user", "content": "\u3000Hello.\u00a0"}],
    ),
    Limit(
        "The control characters that Python takes for white space are not trimmed.",
        (MINIJINJA, JAVASCRIPT, LLAMA),
        [{"role": "user", "content": "\x1cHello.\x1f"}],
    ),
    Limit(
        "A byte order mark is trimmed.",
        (JAVASCRIPT,),
        [{"role": "user", "content": "\ufeffHello.\ufeff"}],
    ),
    Limit(
        "A tool without a description gets an empty one.",
        (LLAMA,),
        [USER],
        [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    ),
    Limit(
        "What a function has beside name, description and parameters is gone.",
        (LLAMA,),
        [USER],
        [{"type": "function", "function": {**parameter()[0]["function"], "strict": True}}],
    ),
    Limit(
        "A developer's message arrives as a system's.",
        (LLAMA,),
        [{"role": "developer", "content": "Be brief."}, USER],
    ),
    Limit(
        "Attributes of a message do not reach the template.",
        (LLAMA,),
        [USER, {"role": "assistant", "content": "Hi.", "attributes": {"channel": "commentary"}}],
    ),
    Limit(
        "A conversation is refused behind which the format cannot open a turn of the model: the "
        "server renders each request with a generation prompt too.",
        (LLAMA,),
        [USER, {"role": "assistant", "content": "Hi."}],
        covers=cannot_be_asked,
    ),
    Limit(
        "Arguments are JSON without spaces where the template refuses tools, drops old calls, or "
        "refuses an id such as call00001: the server hands them over as text.",
        (LLAMA,),
        [USER, CALL],
        covers=gets_arguments_as_text,
        left_out=False,
    ),
    Limit(
        "The last <|return|> of a finished conversation becomes <|end|> in a template with <|channel|>.",
        (LLAMA,),
        [USER, {"role": "assistant", "content": "Hi."}],
        covers=ends_with_return,
        left_out=False,
    ),
    Limit(
        "What a template with <|channel|> says beside reasoning and calls is gone.",
        (LLAMA,),
        [USER, {**CALL, "content": "Well.", "reasoning_content": "Hm."}],
        covers=speaks_beside_thoughts_and_calls,
    ),
    Limit(
        "Reasoning is refused in other words, as a part of the content, by a template with "
        "[SYSTEM_PROMPT], [TOOL_CALLS] and [ARGS].",
        (LLAMA,),
        [USER, {"role": "assistant", "content": "Hi.", "reasoning_content": "Hm."}, USER],
        covers=thinks_in_ministral,
        refused=True,
    ),
    Limit(
        "The option date_string is today's date unless a request gives it.",
        (LLAMA,),
        [USER],
        defaults=False,
    ),
)
"""Every limit that is known."""


def comparable(engine: str, fmt: Format, given: Sequence[Case]) -> list[Case]:
    """Cases as an engine is to be asked them, with the text that it has to give.

    Where a limit holds of every engine, it is what jinja2 makes of the template. llama.cpp's engine
    is compared on what its server hands over to it. What is left out are the cases of limits of
    which neither can be said.
    """
    if engine == LLAMA:
        given = [served(fmt, one) for one in given]
    kept = [
        one
        for one in given
        if not any(engine in it.engines and it.covers(fmt, one) for it in LIMITS if it.left_out)
        if not (engine == JINJA2 and has_json_result(fmt, one))
    ]
    tokens = tokens_of(fmt.name)
    changed = [
        one
        for one in kept
        if engine != JINJA2 and one.text is not None
        if has_json_result(fmt, one) or (engine == LLAMA and gets_arguments_as_text(fmt, one))
    ]
    texts = [one.text for one in answers(JINJA2, exported(fmt.name), changed, tokens)]
    expected = {id(one): text for one, text in zip(changed, texts, strict=True)}
    made = [replace(one, text=expected.get(id(one), one.text)) for one in kept]
    return [
        replace(one, text=END.join((one.text or "").rsplit(RETURN, 1)))
        if engine == LLAMA and ends_with_return(fmt, one)
        else one
        for one in made
    ]


def served(fmt: Format, one: Case) -> Case:
    """A case as llama-server is asked it, and as it hands it over.

    Every option is given, since the server has values of its own for some; a tool has a
    description; arguments are text where the server hands them over so.
    """
    options = {name: option.default for name, option in fmt.options.items()}
    options |= one.conversation["options"]
    tools = [
        {
            **tool,
            "function": {"name": tool["function"]["name"], "description": "", **tool["function"]},
        }
        for tool in one.conversation["tools"] or ()
    ]
    made = case(fmt, one.conversation["messages"], tools or None, options)
    if not gets_arguments_as_text(fmt, made):
        return made
    messages = [_with_text(message) for message in made.conversation["messages"]]
    return replace(made, conversation={**made.conversation, "messages": messages})


def _with_text(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message with its arguments as text, as the server spells it."""
    made = {**message}
    if message.get("tool_calls"):
        made["tool_calls"] = [
            {**call, "function": {**call["function"], "arguments": _compact(call)}}
            for call in message["tool_calls"]
        ]
    return made


def _compact(call: Mapping[str, Any]) -> str:
    given = call["function"]["arguments"]
    value = json.loads(given) if isinstance(given, str) else given
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
