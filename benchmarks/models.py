"""The models that are measured: tokenizer, format, template, and what it has room for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.assets import chat_template, tokenizer_file

TRL = "pypi:trl==1.16.0/trl/chat_templates/{}.jinja"


def with_objects(conversations: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Conversations with the arguments of calls as objects, as transformers has them."""
    return [_with_objects(conversation) for conversation in conversations]


def _with_objects(conversation: dict[str, Any]) -> dict[str, Any]:
    messages: list[dict[str, Any]] = []
    for message in conversation["messages"]:
        given = message
        if "tool_calls" in message:
            calls: list[dict[str, Any]] = []
            for call in message["tool_calls"]:
                function = call["function"]
                arguments = json.loads(function["arguments"])
                calls.append({**call, "function": {**function, "arguments": arguments}})
            given = {**message, "tool_calls": calls}
        messages.append(given)
    return {**conversation, "messages": messages}


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model's tokenizer and format."""

    name: str
    format: str
    tokenizer: str
    """The name of our tokenizer file among the tests' own."""
    huggingface: str
    """The same vocabulary as a ``tokenizer.json``, for the engines and for transformers."""
    template: str | None = None
    """Its chat template; ``mistral-common: VERSION`` is the one that mistral-common generates."""
    training: str | None = None
    """TRL's rewriting of it with markers for the mask; without one, our export has them."""
    renderer: str | None = None
    """The configuration of its hand-written renderer in `renderers`."""
    library: str | None = None
    """Its maker's own library: ``"mistral-common"`` or ``"openai-harmony"``."""
    tools: bool = True
    calls: int = 3
    """Calls that one message may have."""
    spoken_calls: bool = True
    """Whether a message with calls may have text too."""

    options: Mapping[str, Any] = field(default_factory=dict[str, Any], hash=False)
    """What the template is given beside messages and tools."""

    @property
    def file(self) -> Path:
        return tokenizer_file(self.tokenizer)

    @property
    def huggingface_file(self) -> Path:
        return tokenizer_file(self.huggingface)

    def jinja(self) -> str:
        if self.template is None:
            raise ValueError(f"no template of {self.name} is measured")
        if self.template.startswith("mistral-common: "):
            from tests.support.oracles import mistral_template

            return mistral_template(self.template.removeprefix("mistral-common: "))
        return chat_template(self.template)

    def marked_jinja(self) -> str:
        """The template that gives transformers a mask."""
        if self.training is not None:
            return chat_template(self.training)
        import rolecall as rc

        return rc.format(self.format).to_jinja(generation_markers=True)

    def special_tokens(self) -> dict[str, str]:
        """The ``bos_token`` and ``eos_token`` that the template is given."""
        file = self.huggingface_file.with_name("tokenizer_config.json")
        config = json.loads(file.read_text(encoding="utf-8"))
        return {
            key: token["content"] if isinstance(token, dict) else token
            for key in ("bos_token", "eos_token")
            if (token := config.get(key))
        }

    def suited(self, conversation: dict[str, Any]) -> dict[str, Any]:
        """The conversation as the model has room for it."""
        messages: list[dict[str, Any]] = conversation["messages"]
        if "tools" not in conversation:
            return conversation
        if not self.tools:
            return {"messages": _without_tools(messages)}
        kept: list[dict[str, Any]] = []
        answered: set[str] = set()
        for message in messages:
            given = message
            if "tool_calls" in message:
                calls = message["tool_calls"][: self.calls]
                answered |= {call["id"] for call in calls}
                content = message["content"] if self.spoken_calls else None
                given = {**message, "content": content, "tool_calls": calls}
                if content is None:
                    del given["content"]
            elif message["role"] == "tool" and message["tool_call_id"] not in answered:
                continue
            kept.append(given)
        return {"messages": kept, "tools": conversation["tools"]}


def _without_tools(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Calls as JSON in the text and results in the user's turn, where a model has no tools."""
    kept: list[dict[str, Any]] = []
    for message in messages:
        role, content = message["role"], message["content"]
        if "tool_calls" in message:
            calls = [call["function"] for call in message["tool_calls"]]
            written = f"```json\n{json.dumps(calls, ensure_ascii=False)}\n```"
            content = f"{content}\n\n{written}" if content else written
        if role == "tool":
            role = "user"
            if kept[-1]["role"] == role:
                kept[-1]["content"] += f"\n\n{content}"
                continue
        kept.append({"role": role, "content": content})
    return kept


MODELS: Mapping[str, Model] = {
    one.name: one
    for one in (
        Model(
            name="qwen3",
            format="qwen3",
            tokenizer="qwen3",
            huggingface="qwen3",
            template=TRL.format("qwen3"),
            training=TRL.format("qwen3_training"),
            renderer="Qwen3RendererConfig",
        ),
        Model(
            name="llama-3.2",
            format="llama-3.2",
            tokenizer="llama-3.2",
            huggingface="llama-3.2",
            template=TRL.format("llama3_2"),
            renderer="Llama3RendererConfig",
            options={"date_string": "26 Jul 2024"},
            calls=1,
            spoken_calls=False,
        ),
        Model(
            name="mistral-nemo",
            format="mistral-v3-tekken",
            tokenizer="mistral-tekken-240718",
            huggingface="mistral-nemo",
            template="mistral-common: v3-tekken",
            library="mistral-common",
            spoken_calls=False,
        ),
        Model(
            name="gemma-3",
            format="gemma-3",
            tokenizer="gemma-3",
            huggingface="gemma-3",
            template=TRL.format("gemma3"),
            training=TRL.format("gemma3_training"),
            tools=False,
        ),
        Model(
            name="gpt-oss",
            format="harmony",
            tokenizer="gpt-oss",
            huggingface="gpt-oss",
            library="openai-harmony",
        ),
    )
}
