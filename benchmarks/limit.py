"""The limit: the fastest engines encoding the bare contents in one batch call."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from typing import Any

from benchmarks.contender import Contender, Conversation
from benchmarks.models import Model

RETURNS = "ids of the contents in one flat buffer; no headers, no control tokens, no origin"


def contents(conversations: Sequence[Conversation]) -> list[str]:
    """Every text of the caller's: contents, calls and their arguments, schemas of tools."""
    texts: list[str] = []
    for conversation in conversations:
        texts += [json.dumps(tool, ensure_ascii=False) for tool in conversation.get("tools", ())]
        for message in conversation["messages"]:
            if message.get("content"):
                texts.append(message["content"])
            for call in message.get("tool_calls", ()):
                texts += call["function"]["name"], call["function"]["arguments"]
    return texts


def limit(model: Model, cores: int) -> tuple[list[Contender], list[str]]:
    """The engines that can be had, and why the others cannot."""
    file = str(model.huggingface_file)
    found: list[Contender] = []
    missing: list[str] = []
    try:
        fast = importlib.import_module("fastokens").Tokenizer.from_file(file)
        found.append(
            Contender(
                key="limit_fastokens",
                call="fastokens: t.encode_batch_flat(contents)",
                returns=RETURNS,
                run=fast.encode_batch_flat,
                prepare=contents,
            )
        )
    except Exception as error:  # an engine may fail on a vocabulary in any way
        missing.append(f"fastokens for {model.name}: {type(error).__name__}: {error}")
    try:
        backend: Any = importlib.import_module("gigatoken").Tokenizer(file).backend
        found.append(
            Contender(
                key="limit_gigatoken",
                call="gigatoken: t.encode_batch(contents)",
                returns=RETURNS,
                run=lambda texts: backend.encode_batch(texts, parallel=cores > 1),
                prepare=contents,
            )
        )
    except Exception as error:
        missing.append(f"gigatoken for {model.name}: {type(error).__name__}: {error}")
    return found, missing
