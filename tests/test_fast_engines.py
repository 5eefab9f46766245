"""The fast engines give the reference's ids, and everything else is what it was with it alone."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.tokenizers import (
    HuggingFaceTokenizer,
    RunStart,
    SentencePieceTokenizer,
    TekkenTokenizer,
    choice,
    fast,
    tokenizer,
)
from rolecall.tokenizers.fast import Flat, join
from rolecall.tokenizers.source import dumps, loads
from tests.support import hard_texts
from tests.support.assets import TOKENIZERS, tokenizer_file
from tests.support.vocabulary import vocabulary

NONE: frozenset[str] = frozenset()

NAMES = [
    pytest.param(name, marks=[pytest.mark.full] if source.full else [])
    # Llama 3.2's file is that of 3.1.
    for name, source in TOKENIZERS.items()
    if source.kind != "sentencepiece" and name != "llama-3.2"
]


Loaded = HuggingFaceTokenizer | TekkenTokenizer | SentencePieceTokenizer


def loaded(name: str, *, fast: bool = True) -> Loaded:
    found = tokenizer(tokenizer_file(name), fast=fast)
    assert isinstance(found, Loaded)
    return found


def of(found: Flat) -> list[list[int]]:
    bounds = found.offsets.tolist()
    return [found.ids[a:b].tolist() for a, b in pairwise(bounds)]


# --- The same ids ---


@pytest.mark.parametrize("name", NAMES)
def test_ids_and_spans_are_those_of_the_reference(name: str) -> None:
    same_ids_and_spans(name, hard_texts.short())


@pytest.mark.full
@pytest.mark.parametrize("name", NAMES)
def test_ids_and_spans_are_those_of_the_reference_on_every_character(name: str) -> None:
    same_ids_and_spans(name, hard_texts.long())


def same_ids_and_spans(name: str, texts: Sequence[str]) -> None:
    quick, reference = loaded(name), loaded(name, fast=False)
    assert quick.engine != reference.engine
    beginnings = {quick.adds_space(start): start for start in RunStart}
    for start in beginnings.values():
        chosen = [(text, start) for text in texts]
        expected = reference.encode_runs(chosen, NONE)
        assert quick.encode_runs(chosen, NONE) == expected
        ids = [found for found, _ in expected]
        assert of(quick.encode_flat(texts, start, NONE, parallel=False)) == ids
        assert of(quick.encode_flat(texts, start, NONE)) == ids


@pytest.mark.parametrize("name", ["qwen3", "gemma-3", "yi-1.5", "mistral-v3"])
def test_widths_add_up_or_a_text_is_known_to_be_odd(name: str) -> None:
    engine = loaded(name)
    texts = [text for text in hard_texts.short() if text]
    some = range(0, len(engine.widths), 97)
    for token in some:
        width = engine.widths[token]
        assert width == -1 or width == len(engine.token_bytes(token) or b"")
    for start in RunStart:
        odd = {*engine.odd_texts(texts, start)}
        found = of(engine.encode_flat(texts, start, NONE))
        assert len(odd) < len(texts) // 2
        for index, (text, ids) in enumerate(zip(texts, found, strict=True)):
            if index in odd:
                continue
            widths = engine.widths[ids]
            if widths.sum() == len(text.encode()) + engine.adds_space(start):
                assert widths.min() >= 0
                spelled = b"".join(engine.token_bytes(token) or b"" for token in ids)
                assert spelled.removeprefix(b" " * engine.adds_space(start)).decode() == text
                assert engine.losses([text], ids, [start]) == []


@pytest.mark.parametrize(
    ("name", "engine"),
    [
        ("qwen3", "fastokens"),
        ("llama-3.1", "fastokens"),
        ("mistral-tekken-240718", "fastokens"),
        ("gemma-3", "gigatoken"),
    ],
)
def test_the_engine_is_the_fast_one(name: str, engine: str) -> None:
    assert (loaded(name).engine, loaded(name).engine_note) == (engine, "")


@pytest.mark.parametrize("name", ["qwen3", "deepseek-v3.1", "yi-1.5"])
def test_decoding_is_the_references(name: str) -> None:
    engine = loaded(name)
    assert isinstance(engine, HuggingFaceTokenizer)
    chance, size = random.Random(3), len(engine.widths) + 20
    for _ in range(500):
        ids = [chance.randrange(size) for _ in range(chance.randrange(12))]
        ids += chance.sample([*engine.control_ids], 1)
        assert engine.decode(ids) == engine._full.decode(ids, skip_special_tokens=False)


# --- In bulk as one by one ---

HOSTILE = ["<|im_end|>", "<|im_start|>", "<end_of_turn>", "</s>", "[INST]", "<bos>", "<unk>"]
pieces = st.one_of(st.text(max_size=12), st.sampled_from([*HOSTILE, *hard_texts.ODD]))
texts = st.lists(st.lists(pieces, max_size=4).map("".join), max_size=8)


@given(texts, st.sampled_from(RunStart))
def test_encoding_in_bulk_is_encoding_one_by_one(given: list[str], start: RunStart) -> None:
    bulk_is_one_by_one(vocabulary(), given, start)


@pytest.mark.parametrize("name", ["gemma-3", "yi-1.5", "mistral-v3", "mistral-tekken-240718"])
@given(given=texts, start=st.sampled_from(RunStart))
def test_encoding_in_bulk_is_encoding_one_by_one_really(
    name: str, given: list[str], start: RunStart
) -> None:
    bulk_is_one_by_one(loaded(name), given, start)


def bulk_is_one_by_one(engine: Loaded, given: list[str], start: RunStart) -> None:
    control = frozenset(HOSTILE)
    found = engine.encode_flat(given, start, control)
    assert (found.ids.dtype, found.offsets.dtype) == (np.int32, np.int64)
    runs = [(text, start) for text in given]
    assert of(found) == [ids for ids, _ in engine.encode_runs(runs, control)]
    assert engine.control_ids.isdisjoint(found.ids.tolist())


def test_a_control_token_that_the_vocabulary_can_spell_does_not_come_out() -> None:
    data = json.loads(tokenizer_file("yi-1.5").read_text(encoding="utf-8"))
    number = data["model"]["vocab"]["the"]
    data["added_tokens"].append({**data["added_tokens"][0], "id": number, "content": "the"})
    engine = HuggingFaceTokenizer(json.dumps(data), "a name")
    assert number in engine.flat(["the"], RunStart.SECTION, NONE, parallel=False).ids
    found = engine.encode_flat(["in the end", "the", "x"], RunStart.SECTION, NONE)
    assert engine.control_ids.isdisjoint(found.ids.tolist())
    spelled = [b"".join(engine.token_bytes(i) or b"" for i in ids) for ids in of(found)]
    assert spelled == [b"in the end", b"the", b"x"]


def test_no_texts_are_encoded_to_nothing() -> None:
    found = vocabulary().encode_flat([], RunStart.SECTION, NONE)
    assert (found.ids.tolist(), found.offsets.tolist()) == ([], [0])


# --- Engines that are not there, or fail ---


def without(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    for package in packages:
        monkeypatch.setitem(sys.modules, package, None)


def test_a_missing_engine_is_noted_and_another_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    source = tokenizer_file("phi-4").read_text(encoding="utf-8")
    without(monkeypatch, "fastokens")
    second = HuggingFaceTokenizer(source, "a name")
    assert (second.engine, second.engine_note) == ("gigatoken", "fastokens is not installed")
    without(monkeypatch, "gigatoken")
    third = HuggingFaceTokenizer(source, "a name")
    assert third.engine == "tokenizers"
    assert third.engine_note == "fastokens is not installed; gigatoken is not installed"
    texts = hard_texts.ODD
    assert of(second.encode_flat(texts, RunStart.SECTION, NONE)) == of(
        third.encode_flat(texts, RunStart.SECTION, NONE)
    )


def test_tekken_without_the_fast_engine_is_tiktoken(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "fastokens")
    data = json.loads(tokenizer_file("mistral-tekken-240718").read_text(encoding="utf-8"))
    found = TekkenTokenizer(data, "a name")
    assert (found.engine, found.engine_note) == ("tiktoken", "fastokens is not installed")
    assert found.decode(found.encode_flat(["où?"], RunStart.SECTION, NONE).ids.tolist()) == "où?"


class Panic(BaseException):
    """As engines raise them that are not written in Python."""


class Failing:
    name = "failing"

    def __init__(self, inner: fast.Engine) -> None:
        self.inner = inner

    def encode(self, texts: Sequence[str], *, parallel: bool) -> Flat:
        if any("!" in text for text in texts):
            raise Panic
        return self.inner.encode(texts, parallel=parallel)


def test_a_text_on_which_an_engine_fails_is_the_references() -> None:
    source = tokenizer_file("phi-4").read_text(encoding="utf-8")
    engine, reference = HuggingFaceTokenizer(source, "a name"), loaded("phi-4", fast=False)
    inner = engine._fast_for(RunStart.SECTION, NONE)
    assert inner is not None
    for key in engine._fast:
        engine._fast[key] = Failing(inner)
    texts = ["Good", "Stop!", "", "on"]
    assert of(engine.encode_flat(texts, RunStart.SECTION, NONE)) == of(
        reference.encode_flat(texts, RunStart.SECTION, NONE)
    )


def test_an_engine_that_cannot_be_loaded_is_noted() -> None:
    def broken() -> fast.Engine:
        raise Panic("no\nmore")

    assert choice.attempt([broken]) == (None, "broken does not take this tokenizer: no")


# --- What the choice goes by ---


def changed(change: Callable[[dict[str, Any]], None]) -> HuggingFaceTokenizer:
    data = json.loads(tokenizer_file("phi-4").read_text(encoding="utf-8"))
    change(data)
    return HuggingFaceTokenizer(json.dumps(data), "a name")


def test_a_new_way_of_splitting_is_compared_with_the_reference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def split(data: dict[str, Any]) -> None:
        data["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = r"\p{L}+|\P{L}+"

    assert changed(split).engine == "fastokens"
    monkeypatch.setattr(choice, "Fastokens", Wrong)
    found = changed(split)
    assert found.engine == "tokenizers"
    assert "its ids are not those of the reference" in found.engine_note


class Wrong:
    name = "wrong"

    @classmethod
    def from_json(cls, source: Callable[[], str]) -> Wrong:
        return cls()

    def encode(self, texts: Sequence[str], *, parallel: bool) -> Flat:
        return join([[0] for _ in texts])


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (lambda data: data["model"].update(dropout=0.5), "a model with dropout"),
        (lambda data: data.update(normalizer={"type": "Lowercase"}), "the normalizer Lowercase"),
        (lambda data: data.update(pre_tokenizer=None), "such a pre-tokenizer"),
    ],
)
def test_what_was_not_compared_is_left_to_the_reference(
    change: Callable[[dict[str, Any]], None], note: str
) -> None:
    found = changed(change)
    assert (found.engine, found.engine_note) == (
        "tokenizers",
        f"no fast engine is compared for {note}",
    )


# --- Threads and processes ---

FORK = """
import os, sys
from rolecall.tokenizers import RunStart, tokenizer
engine = tokenizer(sys.argv[1])
texts = ["Some words, again and again. " * 20] * 2000
def total():
    return int(engine.encode_flat(texts, RunStart.SECTION, frozenset()).ids.sum())
before = total()
child = os.fork()
if not child:
    os._exit(0 if total() == before else 1)
print(os.waitpid(child, 0)[1], total() == before)
"""


@pytest.mark.parametrize("name", ["phi-4", "yi-1.5"])
def test_a_forked_process_encodes(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK, str(tokenizer_file(name))],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout == "0 True\n", done.stderr


@pytest.mark.parametrize(
    ("environment", "parallel", "count", "expected"),
    [
        ({}, True, 2, True),
        ({}, False, 2, False),
        ({}, True, 1, False),
        ({"TOKENIZERS_PARALLELISM": "false"}, True, 2, False),
        ({"RAYON_NUM_THREADS": "1"}, True, 2, False),
        ({"RAYON_NUM_THREADS": "2"}, True, 2, True),
    ],
)
def test_threads_are_used_where_they_are_allowed(
    environment: dict[str, str],
    parallel: bool,
    count: int,
    expected: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("TOKENIZERS_PARALLELISM", "RAYON_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    long = ["a" * fast.PARALLEL_CHARACTERS] * count
    assert fast.use_threads(long, parallel=parallel) is expected
    assert not fast.use_threads(["a", "b"], parallel=True)


def test_an_engine_that_remembers_all_words_is_loaded_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = fast.Gigatoken.from_json(lambda: tokenizer_file("yi-1.5").read_text(encoding="utf-8"))
    monkeypatch.setattr(engine, "REMEMBERED", 10)
    before, ids = engine._engine, of(engine.encode(["12345", "6"], parallel=False))
    assert engine._engine is before
    assert of(engine.encode(["12345", "6"], parallel=False)) == ids
    assert engine._engine is not before


@pytest.mark.parametrize(
    "text",
    [
        '{"added_tokens": [], "model": {"vocab": {"a": 0}}}',
        '{"model": {"vocab": {}}, "added_tokens": []}',
        '{"decoder": {"model": 1}, "model": {"vocab": {"\\u00e9": 1}}}\n',
        '{"a": "\\"model\\": {", "model": {"x": [1, 2]} }',
        '{"model": null}',
        "[1]",
    ],
)
def test_a_model_is_written_as_it_was_read(text: str) -> None:
    found = loads(text)
    assert found == json.loads(text)
    if isinstance(found, dict):
        given = {**found, "added_tokens": [1]}  # pyright: ignore
        assert json.loads(dumps(given)) == given


def test_the_merges_of_a_model_are_kept_as_text_alone() -> None:
    text = '{"a": 1, "model": {"merges": [["a", "b"]], "vocab": {"a": 0}}}'
    found = loads(text)
    assert found["model"] == {"vocab": {"a": 0}}
    assert found["model"].whole() == json.loads(text)["model"]
    assert json.loads(dumps(found)) == json.loads(text)
