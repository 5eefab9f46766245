"""Replies as models write them, and what each of them means.

The replies are ours, put together from what model cards, templates and bug reports say that the
models write; the vocabulary's control tokens are spelled out. The meaning is what the model meant,
decided here by hand, not what any parser made of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tests.support.peers import PLAIN, Call, Reading, Said, as_json, spelled


@dataclass(frozen=True)
class Reply:
    """One reply of one format."""

    format: str
    name: str
    text: str
    means: Reading


def call(name: str, **arguments: object) -> Call:
    return Call(name, as_json(arguments))


def one(
    content: str = "",
    *calls: Call,
    reasoning: str | None = None,
    malformed: tuple[str, ...] = (),
    **attributes: str,
) -> Reading:
    """A reading of one message."""
    return Reading((Said(content, reasoning, calls, attributes),), malformed)


def plain(text: str) -> str:
    """Text whose characters stay what they are, even where they spell control tokens."""
    return PLAIN.join(text)


def _named(fmt: str, replies: Mapping[str, tuple[str, Reading]]) -> list[Reply]:
    return [Reply(fmt, name, text, means) for name, (text, means) in replies.items()]


WEATHER = call("get_weather", city="Zürich", unit="°C")
WEATHER_JSON = '{"city": "Zürich", "unit": "°C"}'
NESTED = call(
    "plan",
    stops=[{"at": "Bern", "km": 12.5}, {"at": None, "km": 9007199254740993}],
    note='a "quoted" line\nand \\ more',
    fast=True,
    options={},
)
NESTED_JSON = (
    '{"stops": [{"at": "Bern", "km": 12.5}, {"at": null, "km": 9007199254740993}], '
    '"note": "a \\"quoted\\" line\\nand \\\\ more", "fast": true, "options": {}}'
)

# Harmony --------------------------------------------------------------------------------------

_ANALYSIS = "<|channel|>analysis<|message|>"
_FINAL = "<|channel|>final<|message|>"
_COMMENTARY = "<|channel|>commentary<|message|>"
_NEXT = "<|end|><|start|>assistant"

_SEARCH = {"channel": "analysis", "recipient": "browser.search", "content_type": "code"}

HARMONY = _named(
    "harmony",
    {
        "answer": (f"{_FINAL}Hello.<|return|>", one("Hello.")),
        "answer of blanks": (f"{_FINAL}  x \n<|return|>", one("  x \n")),
        "thought, answer": (
            f"{_ANALYSIS}Easy.{_NEXT}{_FINAL}Hello.<|return|>",
            one("Hello.", reasoning="Easy."),
        ),
        "recipient behind the role": (
            f"{_ANALYSIS}Look.{_NEXT} to=functions.get_weather<|channel|>commentary "
            f"<|constrain|>json<|message|>{WEATHER_JSON}<|call|>",
            one("", WEATHER, reasoning="Look."),
        ),
        "recipient behind the channel": (
            f"{_ANALYSIS}Look.{_NEXT}<|channel|>commentary to=functions.get_weather "
            f"<|constrain|>json<|message|>{WEATHER_JSON}<|call|>",
            one("", WEATHER, reasoning="Look."),
        ),
        "call at once, recipient behind the role": (
            " to=functions.f<|channel|>commentary <|constrain|>json<|message|>{}<|call|>",
            one("", call("f")),
        ),
        "call at once, recipient behind the channel": (
            "<|channel|>commentary to=functions.f <|constrain|>json<|message|>{}<|call|>",
            one("", call("f")),
        ),
        "type without constrain, behind the role": (
            " to=functions.f<|channel|>commentary json<|message|>{}<|call|>",
            one("", call("f")),
        ),
        "type without constrain, behind the channel": (
            "<|channel|>commentary to=functions.f json<|message|>{}<|call|>",
            one("", call("f")),
        ),
        "no type": (
            "<|channel|>commentary to=functions.f<|message|>{}<|call|>",
            one("", call("f")),
        ),
        "no blank before constrain": (
            " to=functions.f<|channel|>commentary<|constrain|>json<|message|>{}<|call|>",
            one("", call("f")),
        ),
        "no blank before constrain, behind the channel": (
            "<|channel|>commentary to=functions.f<|constrain|>json<|message|>{}<|call|>",
            one("", call("f")),
        ),
        "call of code on the analysis channel": (
            f"{_ANALYSIS}Search.{_NEXT}<|channel|>analysis to=functions.grep code<|message|>\n"
            '{"path":"","pattern":"Text"}<|call|>',
            one("", call("grep", path="", pattern="Text"), reasoning="Search."),
        ),
        "compact nested arguments": (
            "<|channel|>commentary to=functions.plan <|constrain|>json<|message|>"
            f"{NESTED_JSON.replace(': ', ':').replace(', ', ',')}<|call|>",
            one("", NESTED),
        ),
        "preamble, call": (
            f"{_ANALYSIS}Plan.{_NEXT}{_COMMENTARY}I will look.{_NEXT}<|channel|>commentary "
            "to=functions.f <|constrain|>json<|message|>{}<|call|>",
            one("I will look.", call("f"), reasoning="Plan."),
        ),
        "preamble alone": (
            f"{_COMMENTARY}I will look.<|end|>",
            one("I will look.", channel="commentary"),
        ),
        "two calls": (
            '<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"a": 1}<|call|>'
            "<|start|>assistant<|channel|>commentary to=functions.g <|constrain|>json<|message|>"
            '{"a": 2.0}<|call|>',
            one("", call("f", a=1), call("g", a=2.0)),
        ),
        "search": (
            f"{_ANALYSIS}Search.{_NEXT}<|channel|>analysis to=browser.search code<|message|>"
            '{"query":"x"}<|call|>',
            Reading((Said(reasoning="Search."), Said('{"query":"x"}', attributes=_SEARCH))),
        ),
        "python, behind the role": (
            " to=python<|channel|>analysis code<|message|>print(1)<|call|>",
            one("print(1)", channel="analysis", recipient="python", content_type="code"),
        ),
        "recipient without namespace": (
            "<|channel|>commentary to=get_weather code<|message|>{}<|call|>",
            one("{}", channel="commentary", recipient="get_weather", content_type="code"),
        ),
        "answer in JSON by type": (
            '<|channel|>final <|constrain|>json<|message|>{"a": 1}<|return|>',
            one('{"a": 1}', channel="final", content_type="json"),
        ),
        "thought twice, answer": (
            f"{_ANALYSIS}A.{_NEXT}{_ANALYSIS}B.{_NEXT}{_FINAL}C<|return|>",
            # A message may end behind its reasoning, so this is one of those, and another.
            Reading((Said(reasoning="A."), Said("C", "B."))),
        ),
        "thought, preamble, thought, answer": (
            f"{_ANALYSIS}A.{_NEXT}{_COMMENTARY}P{_NEXT}{_ANALYSIS}B.{_NEXT}{_FINAL}C<|return|>",
            Reading(
                (
                    Said("P", "A.", attributes={"channel": "commentary"}),
                    Said("C", "B."),
                )
            ),
        ),
        "answer ended as in a history": (f"{_FINAL}Hi<|end|>", one("Hi")),
        "call ended as a message": (
            "<|channel|>commentary to=functions.f <|constrain|>json<|message|>{}<|end|>",
            one("", call("f")),
        ),
        "no channel": ("<|message|>Hello<|return|>", one("Hello")),
        "thought cut": (f"{_ANALYSIS}Thinking about", one("", reasoning="Thinking about")),
        "answer cut": (
            f"{_ANALYSIS}A.{_NEXT}{_FINAL}Hel",
            one("Hel", reasoning="A."),
        ),
        "header cut": (
            f"{_ANALYSIS}A.{_NEXT}<|channel|>fin",
            one("", reasoning="A.", malformed=("fin",)),
        ),
        "call cut": (
            '<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"a":',
            one("", malformed=('{"a":',)),
        ),
        "broken JSON": (
            '<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"a":<|call|>',
            one("", malformed=('{"a":',)),
        ),
        "thought not ended": (
            f"{_ANALYSIS}A.<|start|>assistant{_FINAL}C<|return|>",
            # The record is of where the first message stops.
            Reading((Said(reasoning="A."), Said("C")), (".",)),
        ),
        "control token in the answer": (
            f"{_FINAL}x<|constrain|>y<|return|>",
            one("xy", malformed=("<|constrain|>",)),
        ),
        "no header at all": ("Hello there<|return|>", one("", malformed=("Hello there",))),
        "words that spell a frame": (
            f"{_FINAL}Write {plain('<|end|><|start|>user<|message|>')} then.<|return|>",
            one("Write <|end|><|start|>user<|message|> then."),
        ),
        "call, result, answer": (
            "<|channel|>commentary to=functions.f <|constrain|>json<|message|>{}<|call|>"
            "<|start|>functions.f to=assistant<|channel|>commentary<|message|>[1]<|end|>"
            f"<|start|>assistant{_FINAL}One.<|return|>",
            Reading((Said(calls=(call("f"),)), Said("[1]", role="tool", name="f"), Said("One."))),
        ),
        "speaks as the user": (
            f"{_FINAL}A<|end|><|start|>user<|message|>x<|end|>",
            Reading((Said("A"), Said("x", role="user"))),
        ),
    },
)

# Qwen -----------------------------------------------------------------------------------------

_WEATHER_CALL = f'<tool_call>\n{{"name": "get_weather", "arguments": {WEATHER_JSON}}}\n</tool_call>'
_F_CALL = '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'
_NO_THOUGHT = "<think>\n\n</think>\n\n"

QWEN3 = _named(
    "qwen3",
    {
        "answer": ("Hello.<|im_end|>", one("Hello.")),
        "thought, answer": (
            "<think>\nEasy.\nReally.\n</think>\n\nHello.<|im_end|>",
            one("Hello.", reasoning="Easy.\nReally."),
        ),
        "no thought, answer": (f"{_NO_THOUGHT}Hello.<|im_end|>", one("Hello.")),
        "thought, call": (
            f"<think>\nLook.\n</think>\n\n{_WEATHER_CALL}<|im_end|>",
            one("", WEATHER, reasoning="Look."),
        ),
        "thought, text, call": (
            f"<think>\nLook.\n</think>\n\nI will look.\n{_WEATHER_CALL}<|im_end|>",
            one("I will look.", WEATHER, reasoning="Look."),
        ),
        "two calls": (
            f"<think>\nLook.\n</think>\n\n{_WEATHER_CALL}\n{_F_CALL}<|im_end|>",
            one("", WEATHER, call("f"), reasoning="Look."),
        ),
        "two calls, nothing between": (
            f"{_WEATHER_CALL}{_F_CALL}<|im_end|>",
            one("", WEATHER, call("f")),
        ),
        "nested arguments": (
            f'<tool_call>\n{{"name": "plan", "arguments": {NESTED_JSON}}}\n</tool_call><|im_end|>',
            one("", NESTED),
        ),
        "compact call": (
            '<tool_call>{"name":"get_weather","arguments":{"city":"Zürich","unit":"°C"}}'
            "</tool_call><|im_end|>",
            one("", WEATHER),
        ),
        "arguments first": (
            f'<tool_call>\n{{"arguments": {WEATHER_JSON}, "name": "get_weather"}}\n</tool_call>'
            "<|im_end|>",
            one("", WEATHER),
        ),
        "call over several lines": (
            '<tool_call>\n{\n  "name": "f",\n  "arguments": {\n    "a": [1, 2]\n  }\n}\n'
            "</tool_call><|im_end|>",
            one("", call("f", a=[1, 2])),
        ),
        "no arguments": (
            '<tool_call>\n{"name": "f"}\n</tool_call><|im_end|>',
            one("", call("f")),
        ),
        "arguments as a string": (
            '<tool_call>\n{"name": "f", "arguments": "{\\"a\\": 1}"}\n</tool_call><|im_end|>',
            one("", call("f", a=1)),
        ),
        "one newline behind the thought": (
            "<think>\nEasy.\n</think>\nHello.<|im_end|>",
            one("Hello.", reasoning="Easy."),
        ),
        "thought without newlines": (
            "<think>Easy.</think>Hello.<|im_end|>",
            one("Hello.", reasoning="Easy."),
        ),
        "answer of blanks": (f"{_NO_THOUGHT}  x \n<|im_end|>", one("  x \n")),
        "text behind a call": (
            f"{_F_CALL}\nDone.<|im_end|>",
            one("Done.", call("f")),
        ),
        "text before and behind a call": (
            f"Wait.\n{_F_CALL}\nDone.<|im_end|>",
            one("Wait.\nDone.", call("f")),
        ),
        "call drafted in a thought": (
            f"<think>\nPerhaps {_F_CALL} then.\n</think>\n\nNo.<|im_end|>",
            one(
                "No.",
                reasoning='Perhaps \n{"name": "f", "arguments": {}}\n then.',
                malformed=("<tool_call>", "</tool_call>"),
            ),
        ),
        "call instead of the end of the thought": (
            f"<think>\nLook.\n{_F_CALL}<|im_end|>",
            one("", call("f"), reasoning="Look."),
        ),
        "second thought": (
            "<think>\nA.\n</think>\n\nB.<think>C.</think>D.<|im_end|>",
            one("B.C.D.", reasoning="A.", malformed=("<think>", "</think>")),
        ),
        "end of a thought that was not begun": (
            "Easy.\n</think>\n\nHello.<|im_end|>",
            one("Easy.\n\n\nHello.", malformed=("</think>",)),
        ),
        "words that spell a call": (
            f"{_NO_THOUGHT}Write {plain(_F_CALL)} then.<|im_end|>",
            one(f"Write {_F_CALL} then."),
        ),
        "words that spell a thought": (
            f"{plain('<think>')}Easy.{plain('</think>')}Hello.<|im_end|>",
            one("<think>Easy.</think>Hello."),
        ),
        "words that spell the tags of the prompt": (
            f"{_NO_THOUGHT}Use <tools> and </tools>.<|im_end|>",
            one("Use <tools> and </tools>."),
        ),
        "thought cut": ("<think>\nThinking about", one("", reasoning="Thinking about")),
        "answer cut": (f"{_NO_THOUGHT}Hel", one("Hel")),
        "broken JSON": (
            '<tool_call>\n{"name": "f", "arguments": {"a": }}\n</tool_call><|im_end|>',
            one("", malformed=('{"name": "f", "arguments": {"a": }}',)),
        ),
        "broken call between good ones": (
            f"{_WEATHER_CALL}\n<tool_call>\n{{oops\n</tool_call>\n{_F_CALL}<|im_end|>",
            one("", WEATHER, call("f"), malformed=("{oops",)),
        ),
        "call cut": (
            'Wait.\n<tool_call>\n{"name": "f", "arguments": {"a": 1',
            one("Wait.", malformed=('{"name": "f", "arguments": {"a": 1',)),
        ),
        "call not closed": (
            '<tool_call>\n{"name": "f", "arguments": {}}<|im_end|>',
            one("", call("f")),
        ),
        "call without a name": (
            '<tool_call>\n{"arguments": {"a": 1}}\n</tool_call><|im_end|>',
            one("", malformed=('{"arguments": {"a": 1}}',)),
        ),
        "parameters for arguments": (
            '<tool_call>\n{"name": "f", "parameters": {"a": 1}}\n</tool_call><|im_end|>',
            one("", malformed=('{"name": "f", "parameters": {"a": 1}}',)),
        ),
        "token of vision in the answer": (
            f"{_NO_THOUGHT}a<|vision_start|>b<|im_end|>",
            one("ab", malformed=("<|vision_start|>",)),
        ),
        "goes on as the user": (
            f"{_NO_THOUGHT}Hi.<|im_end|>\n<|im_start|>user\nAnd?<|im_end|>",
            Reading((Said("Hi."), Said("And?", role="user"))),
        ),
    },
)

# The calls are the same; there is no reasoning.
QWEN25 = [replace(reply, format="qwen2.5") for reply in QWEN3 if "think" not in spelled(reply.text)]

# DeepSeek -------------------------------------------------------------------------------------

_BEGIN, _FINISH = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
_EOS = "<｜end▁of▁sentence｜>"


def _fenced(name: str, arguments: str, fence: str = "```json") -> str:
    return (
        f"<｜tool▁call▁begin｜>function<｜tool▁sep｜>{name}\n{fence}\n{arguments}\n```"
        "<｜tool▁call▁end｜>"
    )


DEEPSEEK = _named(
    "deepseek-v3",
    {
        "answer": (f"Hello.{_EOS}", one("Hello.")),
        "call": (
            f"{_BEGIN}{_fenced('get_weather', WEATHER_JSON)}{_FINISH}{_EOS}",
            one("", WEATHER),
        ),
        "text, call": (
            f"I will look.{_BEGIN}{_fenced('get_weather', WEATHER_JSON)}{_FINISH}{_EOS}",
            one("I will look.", WEATHER),
        ),
        "two calls": (
            f"{_BEGIN}{_fenced('get_weather', WEATHER_JSON)}\n{_fenced('f', '{}')}{_FINISH}{_EOS}",
            one("", WEATHER, call("f")),
        ),
        "two calls, nothing between": (
            f"{_BEGIN}{_fenced('get_weather', WEATHER_JSON)}{_fenced('f', '{}')}{_FINISH}{_EOS}",
            one("", WEATHER, call("f")),
        ),
        "nested arguments": (
            f"{_BEGIN}{_fenced('plan', NESTED_JSON)}{_FINISH}{_EOS}",
            one("", NESTED),
        ),
        "arguments over several lines": (
            _BEGIN + _fenced("f", '{\n  "a": [1, 2]\n}') + _FINISH + _EOS,
            one("", call("f", a=[1, 2])),
        ),
        "fence without json": (
            f"{_BEGIN}{_fenced('f', '{}', '```')}{_FINISH}{_EOS}",
            one("", call("f")),
        ),
        "no fence": (
            f"{_BEGIN}<｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n{{}}<｜tool▁call▁end｜>{_FINISH}{_EOS}",
            one("", call("f")),
        ),
        "calls not closed": (
            f"{_BEGIN}{_fenced('f', '{}')}{_EOS}",
            one("", call("f")),
        ),
        "answer of blanks": (f"  x \n{_EOS}", one("  x \n")),
        "words that spell a call": (
            f"Write {plain(_BEGIN + _fenced('f', '{}') + _FINISH)} then.{_EOS}",
            one(f"Write {_BEGIN}{_fenced('f', '{}')}{_FINISH} then."),
        ),
        "tags of a thought": (
            f"{plain('<think>')}\nEasy.\n{plain('</think>')}\n\nHello.{_EOS}",
            one("<think>\nEasy.\n</think>\n\nHello."),
        ),
        "broken JSON": (
            _BEGIN + _fenced("f", '{"a": }') + _FINISH + _EOS,
            one("", malformed=('{"a": }',)),
        ),
        "call cut": (
            f'Wait.{_BEGIN}<｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{{"a": 1',
            one("Wait.", malformed=('{"a": 1',)),
        ),
        "no separator": (
            f"{_BEGIN}<｜tool▁call▁begin｜>f {{}}<｜tool▁call▁end｜>{_FINISH}{_EOS}",
            one("", malformed=("f {}",)),
        ),
    },
)

# Llama 3 --------------------------------------------------------------------------------------

_LLAMA: dict[str, tuple[str, Reading]] = {
    "answer": ("Hello.<|eot_id|>", one("Hello.")),
    "call": (
        f'{{"name": "get_weather", "parameters": {WEATHER_JSON}}}<|eot_id|>',
        one("", WEATHER),
    ),
    "nested arguments": (
        f'{{"name": "plan", "parameters": {NESTED_JSON}}}<|eot_id|>',
        one("", NESTED),
    ),
    "compact call": (
        '{"name":"get_weather","parameters":{"city":"Zürich","unit":"°C"}}<|eot_id|>',
        one("", WEATHER),
    ),
    "parameters first": (
        f'{{"parameters": {WEATHER_JSON}, "name": "get_weather"}}<|eot_id|>',
        one("", WEATHER),
    ),
    "call with a type": (
        '{"type": "function", "name": "f", "parameters": {"a": 1}}<|eot_id|>',
        one("", call("f", a=1)),
    ),
    "arguments for parameters": (
        '{"name": "f", "arguments": {"a": 1}}<|eot_id|>',
        one('{"name": "f", "arguments": {"a": 1}}'),
    ),
    "blanks around a call": (
        '\n{"name": "f", "parameters": {}}\n<|eot_id|>',
        one("", call("f")),
    ),
    "answer in JSON": ('{"city": "Bern"}<|eot_id|>', one('{"city": "Bern"}')),
    "answer in JSON with a name": (
        '{"name": "Ada", "born": 1815}<|eot_id|>',
        one('{"name": "Ada", "born": 1815}'),
    ),
    "text before a call": (
        'I will look. {"name": "f", "parameters": {}}<|eot_id|>',
        one('I will look. {"name": "f", "parameters": {}}'),
    ),
    "two calls": (
        '{"name": "f", "parameters": {}}; {"name": "g", "parameters": {}}<|eot_id|>',
        one('{"name": "f", "parameters": {}}; {"name": "g", "parameters": {}}'),
    ),
    "answer of blanks": ("  x \n<|eot_id|>", one("  x \n")),
    "call of a built-in tool": (
        '<|python_tag|>brave_search.call(query="x")<|eom_id|>',
        one('brave_search.call(query="x")', malformed=("<|python_tag|>", "<|eom_id|>")),
    ),
    "tag before a call": (
        '<|python_tag|>{"name": "f", "parameters": {}}<|eom_id|>',
        one('{"name": "f", "parameters": {}}', malformed=("<|python_tag|>", "<|eom_id|>")),
    ),
    "broken JSON": (
        '{"name": "f", "parameters": {"a": }}<|eot_id|>',
        one('{"name": "f", "parameters": {"a": }}'),
    ),
    "call cut": (
        '{"name": "f", "parameters": {"a": 1',
        one('{"name": "f", "parameters": {"a": 1'),
    ),
}
LLAMA = [*_named("llama-3.1", _LLAMA), *_named("llama-3.2", _LLAMA)]

# Mistral --------------------------------------------------------------------------------------


def _listed(*calls: str) -> str:
    return f"[TOOL_CALLS][{', '.join(calls)}]"


def _mistral_list(fmt: str, ids: bool) -> list[Reply]:
    """Versions whose calls are one JSON list."""
    first, second = (', "id": "abcdefgh1"', ', "id": "abcdefgh2"') if ids else ("", "")
    weather = f'{{"name": "get_weather", "arguments": {WEATHER_JSON}{first}}}'
    g = f'{{"name": "g", "arguments": {{}}{second}}}'
    plan = f'{{"name": "plan", "arguments": {NESTED_JSON}{first}}}'
    compact = weather.replace(": ", ":").replace(", ", ",")
    turned = f'{{"arguments": {WEATHER_JSON}, "name": "get_weather"{first}}}'
    replies = {
        "answer": ("Hello.</s>", one("Hello.")),
        "call": (f"{_listed(weather)}</s>", one("", WEATHER)),
        "two calls": (f"{_listed(weather, g)}</s>", one("", WEATHER, call("g"))),
        "nested arguments": (f"{_listed(plan)}</s>", one("", NESTED)),
        "compact call": (f"{_listed(compact)}</s>", one("", WEATHER)),
        "arguments first": (f"{_listed(turned)}</s>", one("", WEATHER)),
        "blank before the list": (f"[TOOL_CALLS] [{weather}]</s>", one("", WEATHER)),
        "text, call": (f"I will look.{_listed(weather)}</s>", one("I will look.", WEATHER)),
        "answer cut": ("Hel", one("Hel")),
        "answer in brackets": ('[{"name": "f"}]</s>', one('[{"name": "f"}]')),
        "broken JSON": (
            'Wait.[TOOL_CALLS][{"name": "f", "arguments": {]</s>',
            one("Wait.", malformed=('{"name": "f", "arguments": {',)),
        ),
        "call cut": (
            'Wait.[TOOL_CALLS][{"name": "f", "argum',
            one("Wait.", malformed=('{"name": "f", "argum',)),
        ),
        "words that spell a call": (
            f"Write {plain('[TOOL_CALLS]')}[] then.</s>",
            one("Write [TOOL_CALLS][] then."),
        ),
        "no list": (
            '[TOOL_CALLS]{"name": "f", "arguments": {}}</s>',
            one("", call("f")),
        ),
        "words behind the token": (
            "[TOOL_CALLS]get_weather Zürich</s>",
            one("", malformed=("get_weather Zürich",)),
        ),
    }
    if ids:
        replies["no id"] = (
            '[TOOL_CALLS][{"name": "f", "arguments": {"a": 1}}]</s>',
            one("", call("f", a=1)),
        )
    return _named(fmt, replies)


def _mistral_args(fmt: str, id: str) -> list[Reply]:
    """Versions whose calls are a name and its arguments behind tokens of their own."""
    first, second = (f"[CALL_ID]{id}1", f"[CALL_ID]{id}2") if id else ("", "")
    weather = f"[TOOL_CALLS]get_weather{first}[ARGS]{WEATHER_JSON}"
    replies = {
        "answer": ("Hello.</s>", one("Hello.")),
        "call": (f"{weather}</s>", one("", WEATHER)),
        "two calls": (
            f"{weather}[TOOL_CALLS]g{second}[ARGS]{{}}</s>",
            one("", WEATHER, call("g")),
        ),
        "nested arguments": (
            f"[TOOL_CALLS]plan{first}[ARGS]{NESTED_JSON}</s>",
            one("", NESTED),
        ),
        "compact call": (
            f'[TOOL_CALLS]get_weather{first}[ARGS]{{"city":"Zürich","unit":"°C"}}</s>',
            one("", WEATHER),
        ),
        "text, call": (f"I will look.{weather}</s>", one("I will look.", WEATHER)),
        "broken JSON": (
            f'Wait.[TOOL_CALLS]f{first}[ARGS]{{"a": }}</s>',
            one("Wait.", malformed=('{"a": }',)),
        ),
        "call cut": (
            f'Wait.[TOOL_CALLS]f{first}[ARGS]{{"a": 1',
            one("Wait.", malformed=('{"a": 1',)),
        ),
        "words that spell a call": (
            f"Write {plain('[TOOL_CALLS]f[ARGS]{}')} then.</s>",
            one("Write [TOOL_CALLS]f[ARGS]{} then."),
        ),
        "no arguments": (f"Wait.[TOOL_CALLS]f{first}</s>", one("Wait.", malformed=("f",))),
        "arguments twice": (
            f"[TOOL_CALLS]f{first}[ARGS]{{}}[ARGS]{{}}</s>",
            one("", malformed=("{}[ARGS]{}",)),
        ),
    }
    if id:
        replies["no id"] = ('[TOOL_CALLS]f[ARGS]{"a": 1}</s>', one("", call("f", a=1)))
    return _named(fmt, replies)


MISTRAL = [
    *_mistral_list("mistral-v2", ids=False),
    *_mistral_list("mistral-v3", ids=True),
    *_mistral_list("mistral-v3-tekken", ids=True),
    *_mistral_list("mistral-v7", ids=True),
    *_mistral_list("mistral-v7-tekken", ids=True),
    *_mistral_args("mistral-v11", id="abcdefgh"),
    *_mistral_args("mistral-v13", id=""),
]

REPLIES = [*HARMONY, *QWEN3, *QWEN25, *DEEPSEEK, *LLAMA, *MISTRAL]
