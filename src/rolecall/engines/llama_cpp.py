"""llama.cpp's own engine, which llama-server runs the template of a GGUF file with.

It can be asked through one door only: ``/apply-template`` of a server with a model in it. The
package ``xllamacpp`` carries that server, and a model of 60 kB, with the template and the bos and
eos tokens in question and with no weights to speak of, loads in some hundredths of a second. So
what is compared is what a user of llama-server gets: the engine, and the mending that llama.cpp
does to messages before it (it writes ``""`` where a tool has no description, hands a developer's
message over as a system's, glues a system message to the next one where a template takes none).

The server listens on an address of this machine only, under a key of its own, for that long.
(``llama-cpp-python`` carries llama.cpp too, and runs templates with jinja2.)
"""

from __future__ import annotations

import re
import struct
import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rolecall.engines import Answer, Engine, one_line
from rolecall.engines.process import Process, python

PACKAGE = "xllamacpp"
SECONDS = 10.0
"""For one template: the first time the package is loaded too."""


class LlamaCpp:
    """llama.cpp as the package xllamacpp carries it, in one process of Python."""

    name = "llama.cpp"
    options: Mapping[str, Any] = {"enable_thinking": True}
    """The server hands this to every template; a request can only turn it off."""

    @property
    def absent(self) -> str:
        """Why it cannot be asked; empty where it can."""
        return "" if self.version else f"the package {PACKAGE} is not installed"

    @property
    def version(self) -> str:
        """Version of the package; empty where it is absent."""
        try:
            return f"{PACKAGE} {version(PACKAGE)}"
        except PackageNotFoundError:
            return ""

    @cached_property
    def _process(self) -> Process:
        return Process("llama.cpp", lambda: python("llama_cpp_server.py"))

    def render(
        self,
        jinja: str,
        conversations: Sequence[Mapping[str, Any]],
        tokens: Mapping[str, str],
        now: datetime,
    ) -> list[Answer]:
        """Run a template: see `rolecall.engines.Engine`. It has a clock of its own."""
        with tempfile.TemporaryDirectory(prefix="rolecall-") as folder:
            model = Path(folder, "model.gguf")
            model.write_bytes(tiny_model(tokens))
            question = {
                "model": str(model),
                "jinja": jinja,
                "requests": [_request(one, self.options) for one in conversations],
            }
            answer = self._process.ask(question, SECONDS)
        if "refused" in answer:
            return [_failed(answer["refused"], parsed=False)] * len(conversations)
        return [
            Answer(one["text"]) if "text" in one else _failed(one["error"])
            for one in answer["answers"]
        ]


def engine() -> Engine:
    """The engine."""
    return LlamaCpp()


_BLAME = re.compile(r"(?: at line (?P<line>\d+)\b.*)?\bError: (?P<what>.*)$", re.DOTALL)


def _failed(error: str, *, parsed: bool = True) -> Answer:
    """What an error says; the engine's own come with a piece of the template before them."""
    found = _BLAME.search(error)
    if found is None:
        return Answer(None, one_line(error), parsed=parsed)
    line = int(found["line"]) if found["line"] else None
    return Answer(None, one_line(found["what"]), line, parsed)


def _request(conversation: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """A conversation as the server takes it."""
    given = {"add_generation_prompt": False, **options, **conversation.get("options", {})}
    made: dict[str, Any] = {
        "messages": conversation["messages"],
        "add_generation_prompt": given.pop("add_generation_prompt"),
    }
    if conversation.get("tools") is not None:
        made["tools"] = conversation["tools"]
    if conversation.get("documents") is not None:
        given["documents"] = conversation["documents"]
    return {**made, "chat_template_kwargs": given}


# --- A model of almost nothing ------------------------------------------------------------------

WIDTH = 32
_INT, _FLOAT, _BOOL, _STRING, _ARRAY = 5, 6, 7, 8, 9
_UNSIGNED = 4
_NORMAL, _CONTROL = 1, 3


def tiny_model(tokens: Mapping[str, str]) -> bytes:
    """The smallest GGUF file that llama.cpp loads, with these bos and eos tokens.

    Args:
        tokens: ``bos_token`` and ``eos_token``; other ones do not reach its templates.
    """
    # Every byte: a word that the vocabulary does not know has to come out as several tokens, as it
    # would with a real one. RWKV's kind of tokenizer is the one that has no bos and eos of its own.
    plain = [f"\\x{byte:02x}" for byte in range(256)]
    known = {key: tokens[key] for key in ("bos_token", "eos_token") if tokens.get(key)}
    vocabulary = list(dict.fromkeys([*plain, *known.values()]))
    metadata: dict[str, Any] = {
        "general.architecture": "llama",
        "llama.block_count": 1,
        "llama.context_length": 512,
        "llama.embedding_length": WIDTH,
        "llama.feed_forward_length": WIDTH,
        "llama.attention.head_count": 1,
        "llama.attention.head_count_kv": 1,
        "llama.rope.dimension_count": WIDTH,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "tokenizer.ggml.model": "rwkv",
        "tokenizer.ggml.tokens": vocabulary,
        "tokenizer.ggml.token_type": [
            _CONTROL if token in known.values() else _NORMAL for token in vocabulary
        ],
        # The server takes them off again at the ends of what a template writes if they are added.
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.ggml.add_eos_token": False,
    }
    for key, token in known.items():
        metadata[f"tokenizer.ggml.{key}_id"] = vocabulary.index(token)
    shapes = {"token_embd": (WIDTH, len(vocabulary)), "output_norm": (WIDTH,)}
    shapes |= {f"blk.0.{name}_norm": (WIDTH,) for name in ("attn", "ffn")}
    for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        shapes[f"blk.0.{name}"] = (WIDTH, WIDTH)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(metadata))
    head += b"".join(_string(key) + _value(value) for key, value in metadata.items())
    place = 0
    for name, shape in shapes.items():
        head += _string(f"{name}.weight") + struct.pack("<I", len(shape))
        head += b"".join(struct.pack("<Q", size) for size in shape) + struct.pack("<IQ", 0, place)
        place += 4 * shape[0] * (shape[1] if len(shape) > 1 else 1)
    return head + bytes(-len(head) % 32) + bytes(place)


def _string(text: str) -> bytes:
    raw = text.encode("utf-8", "replace")
    return struct.pack("<Q", len(raw)) + raw


def _value(value: Any) -> bytes:
    """A value of the file's head, with its type before it."""
    if isinstance(value, bool):
        return struct.pack("<I?", _BOOL, value)
    if isinstance(value, int):
        return struct.pack("<II", _UNSIGNED, value)
    if isinstance(value, float):
        return struct.pack("<If", _FLOAT, value)
    if isinstance(value, str):
        return struct.pack("<I", _STRING) + _string(value)
    if isinstance(value[0], str):
        return struct.pack("<IIQ", _ARRAY, _STRING, len(value)) + b"".join(map(_string, value))
    return struct.pack(f"<IIQ{len(value)}i", _ARRAY, _INT, len(value), *value)
