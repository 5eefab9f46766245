"""The tokenizers of GGUF files give the ids that llama.cpp itself gives."""

import random
from pathlib import Path

import pytest

from rolecall.tokenizers import RunStart, tokenizer
from rolecall.tokenizers.gguf import SPLITS
from tests.support.assets import TOKENIZERS, asset, tokenizer_file
from tests.support.conversations import FOREIGN_TOKENS, FRAGMENTS, ODD
from tests.support.gguf import bpe_metadata, sentencepiece_metadata
from tests.support.llama_cpp import llama_cpp_ids, write_model

pytestmark = pytest.mark.full

TEXTS = 500

MORE = (" ", "  ", "\n\n", "\t", "12345", "don't", "'LL", "³²", "é", "a/b//", "McDonald", "ÀÉx")

WAYS = list({str(split): pre for pre, split in reversed(list(SPLITS.items()))}.values())
"""One name for each way of splitting."""


def some_texts(own: list[str]) -> list[str]:
    pick = random.Random(4)
    pieces = [*FRAGMENTS, *ODD, *FOREIGN_TOKENS, *MORE, *own]
    texts = ["".join(pick.choices(pieces, k=pick.randint(1, 8))) for _ in range(TEXTS)]
    # The server ends a text at a zero.
    return [text for text in texts if "\0" not in text]


def same_ids(file: Path) -> None:
    ours = tokenizer(file)
    texts = some_texts(list(ours.control)[:40])
    runs = [(text, RunStart.DOCUMENT) for text in texts]
    found = [ids for ids, _ in ours.encode_runs(runs, frozenset())]
    compared = 0
    for text, ids, theirs in zip(texts, found, llama_cpp_ids(file, texts), strict=True):
        # llama.cpp finds user-defined tokens in any text. Here text becomes no structure.
        if {*theirs} & {*ours.control.values()}:
            assert not {*ids} & {*ours.control.values()}
            continue
        assert ids == theirs, text
        compared += 1
    assert compared > TEXTS / 2


@pytest.mark.parametrize("pre", WAYS)
def test_every_way_of_splitting_is_llama_cpps(tmp_path: Path, pre: str) -> None:
    file = tmp_path / "model.gguf"
    # A vocabulary with numbers of up to three digits, in which ways of splitting differ most.
    write_model(file, bpe_metadata(tokenizer_file("phi-4"), pre))
    same_ids(file)


@pytest.mark.parametrize(("name", "pre"), [("qwen3", "qwen2"), ("deepseek-v3.1", "deepseek-v3")])
def test_a_vocabulary_with_user_defined_tokens(tmp_path: Path, name: str, pre: str) -> None:
    file = tmp_path / "model.gguf"
    write_model(file, bpe_metadata(tokenizer_file(name), pre))
    same_ids(file)


@pytest.mark.parametrize("name", ["mistral-v1", "mistral-v3", "mistral-v7"])
def test_pieces_with_scores(tmp_path: Path, name: str) -> None:
    file = tmp_path / "model.gguf"
    write_model(file, sentencepiece_metadata(tokenizer_file(name).read_bytes()))
    same_ids(file)


def test_a_published_model(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.symlink_to(asset(TOKENIZERS["smollm2"].spec))
    same_ids(file)
