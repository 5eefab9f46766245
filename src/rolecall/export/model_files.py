"""The files of a model's folder: which say what, and which no longer hold after a change."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from rolecall.errors import InputError
from rolecall.export.vocabulary import named_strings

TOKENIZER = "tokenizer.json"
SETTINGS = "tokenizer_config.json"
OLDER = "special_tokens_map.json"
MODEL = "config.json"
GENERATION = "generation_config.json"
TEMPLATE = "chat_template.jinja"

JSON_FILES = (SETTINGS, OLDER, MODEL, GENERATION)
PROCESSORS = ("processor_config.json", "preprocessor_config.json")

TEMPLATES: Mapping[str, str] = dict.fromkeys(
    (TEMPLATE, "chat_template.json", "additional_chat_templates/*"),
    "a chat template of the model, whose place the format's takes",
)

OTHER_READERS: Mapping[str, str] = {
    **dict.fromkeys(
        ("tekken.json", "tokenizer.model.v*"),
        "who loads it writes Mistral's own formats, whatever the chat template says",
    ),
    "*.gguf": "it has the chat template and the vocabulary of the model inside",
}

OLD_VOCABULARY: Mapping[str, str] = dict.fromkeys(
    (
        *("*tokenizer.model", "spiece.model", "sentencepiece*.model", "*.tiktoken"),
        *("vocab.json", "vocab.txt", "merges.txt", "added_tokens.json"),
    ),
    "it has the vocabulary without the new tokens; tokenizer.json has them",
)

OLD_WEIGHTS: Mapping[str, str] = dict.fromkeys(
    (
        *("pytorch_model*", "consolidated*", "tf_model*", "flax_model*", "rust_model*"),
        *("*.pth", "*.onnx", "*.onnx_data", "*.h5", "*.msgpack"),
        *("original/*", "onnx/*", "openvino/*", "coreml/*"),
    ),
    "it has the weights without the rows of the new tokens",
)
"""Files that say in another form what has changed, by patterns of their paths."""

PYTORCH = ("pytorch_model.bin", "pytorch_model.bin.index.json")


def no_tokenizer(folder: Path) -> InputError:
    """The error for a folder without a ``tokenizer.json``, with what to do instead."""
    others = ("tekken.json", "tokenizer.model", "spiece.model", "vocab.json", "qwen.tiktoken")
    found = next((name for name in others if (folder / name).is_file()), None)
    if found is None and any(folder.glob("*.gguf")):
        return InputError(
            f"the folder {str(folder)!r} holds a GGUF model and no {TOKENIZER}; give the folder of "
            "the model that it was made from"
        )
    if found is None:
        return InputError(f"the folder {str(folder)!r} holds no {TOKENIZER}; give a model's folder")
    return InputError(
        f"the folder {str(folder)!r} holds {found} and no {TOKENIZER}; tokens are added to a "
        f"{TOKENIZER} only. transformers writes one: load the folder with AutoTokenizer and "
        "save_pretrained it"
    )


def read_settings(path: Path) -> dict[str, Any]:
    """Read a JSON file.

    Raises:
        InputError: If it cannot be read or is no object.
    """
    try:
        data: object = json.loads(path.read_bytes().decode())
    except OSError as error:
        raise InputError(f"cannot read {str(path)!r}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path.name} is not UTF-8 text") from None
    except ValueError as error:
        raise InputError(f"{path.name} is no JSON: {error}") from None
    except RecursionError:
        raise InputError(f"{path.name} is no JSON that can be read: it goes too deep") from None
    if not isinstance(data, dict):
        raise InputError(f"{path.name} holds a {type(data).__name__} and not an object")
    return cast("dict[str, Any]", data)


def json_bytes(data: Mapping[str, Any]) -> bytes:
    """A JSON file, spaced as transformers and `tokenizers` write theirs."""
    return (json.dumps(data, ensure_ascii=False, indent=2) + "\n").encode()


def templates_in(data: Mapping[str, Any]) -> Iterator[str]:
    """Whatever text stands under ``chat_template``."""
    return named_strings(data.get("chat_template"))


def text_part(model: Mapping[str, Any]) -> dict[str, Any]:
    """What a model of several modalities says of its text."""
    inner: object = model.get("text_config")
    return cast("dict[str, Any]", inner) if isinstance(inner, dict) else {}


def with_size(config: Any, before: int, after: int) -> Any:
    """A configuration with another ``vocab_size`` wherever it had that of the weights."""
    if not isinstance(config, dict):
        return config
    return {
        key: after if key == "vocab_size" and value == before else with_size(value, before, after)
        for key, value in cast("dict[str, Any]", config).items()
    }
