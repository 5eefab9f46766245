"""Parsers of others, behind one small interface: what each reads in a reply that a model sampled.

A `Peer` takes the ids of a reply, behind the generation prompt, and says what it reads in the same
words as we do: a `Reading` of messages with reasoning, calls and attributes. `Peer.view` says how
our messages would look to it where its words are fewer (openai-harmony knows no reasoning, only
messages on channels), so that the two can be compared.

- `HarmonyPeer`: openai-harmony's parser.
- `MistralPeer`: mistral-common's decoding of an assistant's message, as its server does it.
- `ResponseTemplatePeer`: transformers' parser, under a ``response_template``.
- `RenderersPeer`: PrimeIntellect's renderers.
"""

from __future__ import annotations

import abc
import ast
import functools
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

# Set here too, for scripts that use a peer outside pytest.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"

from transformers import PreTrainedTokenizerFast
from transformers.utils.chat_parsing import parse_response

import rolecall as rc
from rolecall.conversation import Message
from rolecall.tokenizers import Tokenizer
from rolecall.tokenizers.base import RunStart
from tests.support.assets import asset
from tests.support.oracles import HarmonyOracle, MistralOracle

NO_ATTRIBUTES: Mapping[str, str] = {}


@dataclass(frozen=True)
class Call:
    """One call: the function, and its arguments as JSON text, or as written where they are none."""

    name: str | None
    arguments: str = "{}"


@dataclass(frozen=True)
class Said:
    """One message that somebody reads in a reply."""

    content: str = ""
    reasoning: str | None = None
    calls: tuple[Call, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=lambda: NO_ATTRIBUTES)
    role: str = "assistant"
    name: str | None = None


@dataclass(frozen=True)
class Reading:
    """What somebody reads in a reply.

    Nothing is said where it is refused as a whole; `malformed` holds the text of what was no
    message and no call.
    """

    said: tuple[Said, ...] = ()
    malformed: tuple[str, ...] = ()
    refused: bool = False


def as_json(value: object) -> str:
    """JSON text that is the same for what JSON says is the same, order included."""
    return json.dumps(value, ensure_ascii=False)


def _json_or_text(text: str) -> str:
    try:
        return as_json(json.loads(text))
    except ValueError:
        return text


def said(message: Message) -> Said:
    """One of our messages."""
    return Said(
        content=message.text,
        reasoning=message.reasoning_content,
        calls=tuple(Call(call.name, as_json(call.arguments)) for call in message.tool_calls),
        attributes=dict(message.attributes),
        role=message.role,
        name=message.name,
    )


PLAIN = "\ue000"
"""In a reply, this character keeps what it stands in from being a control token."""


def spelled(reply: str) -> str:
    """The text of a reply, in which nobody can tell words from control tokens."""
    return reply.replace(PLAIN, "")


def _pieces(reply: str, control: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """The control tokens of a reply, and the text between them."""
    known = sorted(control, key=len, reverse=True)
    for piece in re.split(f"({'|'.join(map(re.escape, known))})", reply):
        if piece:
            yield spelled(piece), piece in known


def sampled_ids(tokenizer: Tokenizer, reply: str) -> list[int]:
    """The ids of a reply whose control tokens are spelled out."""
    ids: list[int] = []
    for piece, is_control in _pieces(reply, tokenizer.control):
        if is_control:
            ids.append(tokenizer.control[piece])
        else:
            ids += tokenizer.encode_runs([(piece, RunStart.SECTION)], frozenset())[0][0]
    return ids


class Peer(abc.ABC):
    """One parser of others."""

    name: str

    @abc.abstractmethod
    def read(self, reply: str, ids: Sequence[int], prompt: str) -> Reading:
        """What the peer reads.

        Args:
            reply: The reply with its control tokens spelled out (see `PLAIN`).
            ids: The ids of it in the tokenizer of the samples.
            prompt: The text that the reply continues, which ends in the generation prompt.
        """

    def view(self, reading: Reading) -> Reading:
        """Our reading in the words that the peer has."""
        return reading


# openai-harmony -------------------------------------------------------------------------------


class HarmonyPeer(Peer):
    """openai-harmony's parser, told that an assistant's reply comes.

    It reads each frame as a message of its own, with the role that its header says. Content types
    of calls to functions are left out: a call has no place for them.
    """

    name = "openai-harmony"

    def __init__(self) -> None:
        self.encoding = HarmonyOracle().encoding

    def read(self, reply: str, ids: Sequence[int], prompt: str) -> Reading:
        import openai_harmony as harmony

        own: list[int] = []
        for piece, is_control in _pieces(reply, self.encoding.special_tokens_set):
            allowed: Any = {piece} if is_control else set()
            own += self.encoding.encode(piece, allowed_special=allowed, disallowed_special=())
        try:
            frames = self.encoding.parse_messages_from_completion_tokens(
                own, harmony.Role.ASSISTANT
            )
        except harmony.HarmonyError:
            return Reading(refused=True)
        return Reading(tuple(map(self._said, frames)))

    def _said(self, frame: Any) -> Said:
        header = {
            "channel": frame.channel,
            "recipient": frame.recipient,
            "content_type": frame.content_type,
        }
        text = "".join(part.text for part in frame.content)
        if (frame.recipient or "").startswith("functions."):
            header["content_type"] = None
            text = _json_or_text(text)
        attributes = {key: value for key, value in header.items() if value is not None}
        author = frame.author
        return Said(text, attributes=attributes, role=author.role.value, name=author.name)

    def view(self, reading: Reading) -> Reading:
        return Reading(tuple(frame for one in reading.said for frame in self._frames(one)))

    def _frames(self, one: Said) -> Iterable[Said]:
        bare = replace(one, reasoning=None, calls=(), attributes={})
        if one.role == "tool":
            # Results are of functions and go to the assistant; the format writes nothing else.
            header = {"channel": "commentary", "recipient": "assistant"}
            yield replace(bare, name=f"functions.{one.name}", attributes=header)
            return
        if one.role != "assistant":
            yield replace(bare, attributes=one.attributes)
            return
        if one.reasoning is not None:
            yield replace(bare, content=one.reasoning, attributes={"channel": "analysis"})
        if one.content or one.attributes or not (one.calls or one.reasoning is not None):
            channel = {"channel": "commentary" if one.calls else "final"}
            yield replace(bare, attributes={**channel, **one.attributes})
        for call in one.calls:
            header = {"channel": "commentary", "recipient": f"functions.{call.name}"}
            yield replace(bare, content=call.arguments, attributes=header)


# mistral-common -------------------------------------------------------------------------------


class MistralPeer(Peer):
    """mistral-common's reading of ids as an assistant's message.

    This is what its server's ``/v1/detokenize/`` does, less the web framework, which would have to
    be installed for it: content up to the first call, then the calls. Calls that it cannot read
    make it refuse the whole message.
    """

    name = "mistral-common"

    def __init__(self, version: str) -> None:
        from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

        file = MistralOracle(version).vocabulary()
        self.tokenizer: Any = MistralTokenizer.from_file(file).instruct_tokenizer.tokenizer

    def read(self, reply: str, ids: Sequence[int], prompt: str) -> Reading:
        from mistral_common.experimental import tools
        from mistral_common.tokens.tokenizers.base import SpecialTokenPolicy

        split: Any = tools._split_content_and_tool_calls  # pyright: ignore[reportPrivateUsage]
        decode_calls: Any = tools._decode_tool_calls  # pyright: ignore[reportPrivateUsage]
        try:
            content, found = split(list(ids), self.tokenizer.get_special_token("[TOOL_CALLS]"))
            calls = decode_calls(found, self.tokenizer)
        except ValueError:
            return Reading(refused=True)
        text = self.tokenizer.decode(content, special_token_policy=SpecialTokenPolicy.IGNORE)
        one = Said(
            text,
            calls=tuple(
                Call(call.function.name, _json_or_text(call.function.arguments)) for call in calls
            ),
        )
        return Reading((one,))


# transformers ---------------------------------------------------------------------------------


def shipped_template(name: str) -> dict[str, Any]:
    """A ``response_template`` that TRL ships for a model that has none of its own."""
    source = asset("pypi:trl==1.16.0/trl/chat_template_utils.py").read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return cast(dict[str, Any], ast.literal_eval(node.value))
    raise ValueError(f"TRL 1.16.0 has no {name}.")


class ResponseTemplatePeer(Peer):
    """transformers' parser of replies, which works on text, under one ``response_template``."""

    name = "transformers"

    def __init__(self, template: Mapping[str, Any]) -> None:
        self.template = dict(template)

    def read(self, reply: str, ids: Sequence[int], prompt: str) -> Reading:
        try:
            read = parse_response(spelled(reply), self.template, prefix=prompt)
        except (ValueError, KeyError):
            return Reading(refused=True)
        calls: list[Call] = []
        for call in read.get("tool_calls", ()):
            function = call["function"]
            arguments = function.get("arguments") if isinstance(function, dict) else function
            name = function.get("name") if isinstance(function, dict) else None
            calls.append(Call(name, as_json(arguments)))
        reasoning = read.get("reasoning_content", read.get("thinking"))
        return Reading((Said(read.get("content") or "", reasoning, tuple(calls)),))


# renderers ------------------------------------------------------------------------------------


@functools.cache
def _fast_tokenizer(file: Path) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_file=str(file))


class RenderersPeer(Peer):
    """PrimeIntellect's renderers: one renderer, under the tokenizer of its model.

    Args:
        renderer: The name of its configuration.
        tokenizer_json: The tokenizer.
        eos_token: The token that ends a reply, which the file does not say.
    """

    name = "renderers"

    def __init__(self, renderer: str, tokenizer_json: Path, eos_token: str) -> None:
        import renderers

        self.tokenizer = _fast_tokenizer(tokenizer_json)
        self.tokenizer.eos_token = eos_token
        config: Any = renderers.config_from_name(renderer)
        self.renderer: Any = renderers.create_renderer(self.tokenizer, config)

    def read(self, reply: str, ids: Sequence[int], prompt: str) -> Reading:
        prompt_ids = self.tokenizer.encode(prompt, add_special_tokens=False)
        read = self.renderer.parse_response(list(ids), prompt_ids=prompt_ids)
        calls: list[Call] = []
        malformed: list[str] = []
        for call in read.tool_calls:
            if call.status == "ok":
                calls.append(Call(call.name, as_json(call.arguments)))
            else:
                malformed.append(call.raw)
        one = Said(read.content, read.reasoning_content, tuple(calls))
        return Reading((one,), tuple(malformed))


# ours -----------------------------------------------------------------------------------------


def ours(fmt: rc.Format, tokenizer: Tokenizer, prompt: Any, ids: Sequence[int]) -> Reading:
    """What we read in a reply: the messages, and the text of what the records call errors."""
    stream = fmt.stream(tokenizer, prompt=prompt, messages=None)
    stream.feed(list(ids))
    stream.finish()
    malformed = tuple(one.text for one in stream.unread if one.level == "error")
    return Reading(tuple(map(said, stream.messages)), malformed)
