"""GGUF files: their metadata, and the tokenizers in them beside those they were made from."""

import struct
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import gguf as official
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Engine

from rolecall.errors import InputError, TokenizerError
from rolecall.gguf import read_metadata
from rolecall.tokenizers import RunStart, Tokenizer, tokenizer
from rolecall.tokenizers.gguf import SPLITS, TokenType, from_metadata, tokenizer_json
from rolecall.tokenizers.huggingface import BYTE_ALPHABET
from tests.support.assets import TOKENIZERS, asset, tokenizer_file
from tests.support.conversations import benign_texts, hostile_texts
from tests.support.gguf import Typed, bpe_metadata, gguf_bytes, sentencepiece_metadata

SMOLLM2 = TOKENIZERS["smollm2"].spec


# Metadata -----------------------------------------------------------------------------------------

EVERY_TYPE: dict[str, Any] = {
    "u8": Typed("u8", 200),
    "i8": Typed("i8", -100),
    "u16": Typed("u16", 65000),
    "i16": Typed("i16", -32000),
    "u32": Typed("u32", 2**32 - 1),
    "i32": Typed("i32", -(2**31)),
    "f32": Typed("f32", 0.5),
    "u64": Typed("u64", 2**64 - 1),
    "i64": Typed("i64", -(2**63)),
    "f64": Typed("f64", 0.1),
    "yes": True,
    "no": False,
    "text": "naïve 🙂\0",
    "": "an empty key",
    "no text": "",
    "texts": ["", "a", "漢字"],
    "nothing": [],
    "numbers": Typed("i32", [-1, 0, 2**31 - 1]),
    "bytes": Typed("u8", list(range(256))),
    "reals": Typed("f64", [0.1, -2.5]),
    "booleans": Typed("bool", [True, False, True]),
    "nested": Typed("array", [["a", "b"], Typed("u16", [1, 2, 3])]),
}


def plain(value: Any) -> Any:
    if isinstance(value, Typed):
        return plain(value.value)
    return [plain(one) for one in value] if isinstance(value, list) else value


def metadata_of(folder: Path, content: bytes) -> Any:
    file = folder / "model.gguf"
    file.write_bytes(content)
    return read_metadata(file)


@pytest.mark.parametrize("version", [2, 3])
def test_every_type_of_value_is_read(tmp_path: Path, version: int) -> None:
    content = gguf_bytes(EVERY_TYPE, version=version, weights=b"\xff" * 1000)
    found = metadata_of(tmp_path, content)
    assert list(found) == list(EVERY_TYPE)
    for key, value in EVERY_TYPE.items():
        read = found[key] if isinstance(found[key], (str, int, float)) else list(found[key])
        if key == "nested":
            read = [list(one) for one in read]
        assert read == plain(value), key


def test_the_official_reader_finds_the_same_in_a_real_file() -> None:
    file = asset(SMOLLM2)
    ours = read_metadata(file)
    theirs = {
        key: field.contents()
        for key, field in official.GGUFReader(file).fields.items()
        if not key.startswith("GGUF.")
    }
    assert list(ours) == list(theirs)
    for key, value in theirs.items():
        assert (list(ours[key]) if isinstance(value, list) else ours[key]) == value, key


def test_what_the_official_writer_writes_is_read(tmp_path: Path) -> None:
    file = tmp_path / "made.gguf"
    writer = official.GGUFWriter(file, "llama")
    writer.add_token_list(["a", "ü"])
    writer.add_token_scores([0.0, -1.5])
    writer.add_token_types([1, 3])
    writer.add_chat_template("{{ messages }}")
    writer.add_bos_token_id(1)
    writer.add_add_bos_token(True)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    found = read_metadata(file)
    assert found["tokenizer.ggml.tokens"] == ["a", "ü"]
    assert list(found["tokenizer.ggml.scores"]) == [0.0, -1.5]
    assert list(found["tokenizer.ggml.token_type"]) == [1, 3]
    assert found["tokenizer.chat_template"] == "{{ messages }}"
    assert found["tokenizer.ggml.add_bos_token"] is True
    assert found["tokenizer.ggml.bos_token_id"] == 1


def head(pairs: int, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, 0, pairs)


KEY = struct.pack("<Q", 1) + b"k"

DAMAGED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "model.gguf is no GGUF file: it does not begin with 'GGUF'"),
    "another magic": (b"GGML" + b"\0" * 40, "model.gguf is no GGUF file"),
    "magic alone": (b"GGUF", "model.gguf is cut off or damaged: a number at byte 4 would take 4"),
    "version 1": (head(0, 1), "version 1, which is not read; convert the model again"),
    "version 4": (head(0, 4), "version 4, which is not known; versions 2 and 3 are read"),
    "big endian": (gguf_bytes({"a": 1}, order=">"), "big endian byte order, which is not read"),
    "absurd count": (head(2**63), "model.gguf is cut off or damaged: keys at byte 24 would take"),
    "absurd key": (head(1) + b"\xff" * 60, "a string of 'a key' at byte 32 would take"),
    "absurd string": (
        head(1) + KEY + struct.pack("<IQ", 8, 2**64 - 1) + b"x" * 20,
        "a string of 'k' at byte 45 would take 18446744073709551615 bytes, and 20 are left",
    ),
    "absurd array": (
        head(1) + KEY + struct.pack("<IIQ", 9, 5, 2**62) + b"x" * 20,
        "'k' at byte 49"[4:],
    ),
    "absurd strings": (head(1) + KEY + struct.pack("<IIQ", 9, 8, 2**60) + b"x" * 20, "at byte 49"),
    "absurd arrays": (head(1) + KEY + struct.pack("<IIQ", 9, 9, 2**60) + b"x" * 20, "at byte 49"),
    "too deep": (
        head(1) + KEY + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 1000,
        "'k' holds arrays too deep",
    ),
    "unknown type": (head(1) + KEY + struct.pack("<I", 13) + b"x" * 9, "the unknown type 13"),
    "unknown items": (
        head(1) + KEY + struct.pack("<IIQ", 9, 13, 1) + b"x" * 9,
        "'k' is an array of unknown type 13",
    ),
    "bad UTF-8": (
        head(1) + KEY + struct.pack("<IQ", 8, 3) + b"a\xffb",
        "a string of 'k' is not UTF-8 text: byte 0xff at byte 46 of the file",
    ),
    "bad key": (head(1) + struct.pack("<Q", 5) + b"\xc3(abc" + b"\0" * 9, "is not UTF-8 text"),
    "twice": (
        head(2) + (KEY + struct.pack("<IB", 0, 1)) * 2,
        "model.gguf has the metadata key 'k' twice",
    ),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_file_is_named_with_what_is_wrong(tmp_path: Path, case: str) -> None:
    content, said = DAMAGED[case]
    with pytest.raises(InputError) as raised:
        metadata_of(tmp_path, content)
    assert said in str(raised.value)
    assert "model.gguf" in str(raised.value)


def test_metadata_that_no_model_has_is_refused_before_it_takes_memory(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    with file.open("wb") as stream:
        stream.write(head(1) + KEY + struct.pack("<IIQ", 9, 0, 2**33))
        # A hole: the file is as long as it says and takes no disk.
        stream.truncate(2**33 + 100)
    with pytest.raises(InputError, match="more than 256 MiB of metadata at k"):
        read_metadata(file)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*none\.gguf': No such file"):
        read_metadata(tmp_path / "none.gguf")
    with pytest.raises(InputError, match=r"cannot read .*: Is a directory"):
        read_metadata(tmp_path)


def test_a_large_vocabulary_is_read_quickly_and_the_weights_are_not(tmp_path: Path) -> None:
    words = [f"Ġword{number}" for number in range(150_000)]
    merges = [f"Ġw ord{number}" for number in range(150_000)]
    content = gguf_bytes({"tokens": words, "merges": merges, "scores": [0.5] * 150_000})
    file = tmp_path / "model.gguf"
    with file.open("wb") as stream:
        stream.write(content)
        stream.truncate(2**36)
    found, best = read_metadata(file), 60.0
    for _ in range(3):
        began = time.perf_counter()
        read_metadata(file)
        best = min(best, time.perf_counter() - began)
    assert found["tokens"] == words
    assert found["merges"] == merges
    # Measured: 0.1 s. Reading a single byte of the hole for each MiB of it would take longer.
    assert best < 0.5


# Tokenizers ---------------------------------------------------------------------------------------

PRE = {
    "qwen3": "qwen2",
    "llama-3.1": "llama-bpe",
    "phi-4": "dbrx",
    "glm-4.5": "glm4",
    "deepseek-v3.1": "deepseek-v3",
    "smollm3": "llama-bpe",
}
"""Real byte-level vocabularies, and what llama.cpp calls the way that they split text.

SmolLM3's has another name in llama.cpp and the same pattern; what ``ignore_merges`` does is in its
``tokenizer.json`` too.
"""

FULL_PRE = {
    "qwen2.5": "qwen2",
    "llama-3": "llama-bpe",
    "deepseek-v3": "deepseek-v3",
    "command-r": "command-r",
    "gpt-oss": "gpt-4o",
    "mistral-nemo": "tekken",
}

PIECES = {"mistral-v1", "mistral-v2", "mistral-v3", "mistral-v7"}


@cache
def pair(name: str) -> tuple[Tokenizer, Tokenizer]:
    """A tokenizer, and the one of a GGUF file's metadata made from it."""
    file = tokenizer_file(name)
    if name in PIECES:
        metadata = sentencepiece_metadata(file.read_bytes())
    else:
        metadata = bpe_metadata(file, (PRE | FULL_PRE)[name])
    return tokenizer(file), from_metadata(
        {key: plain(value) for key, value in metadata.items()}, name
    )


def same_ids(name: str, text: str) -> None:
    real, made = pair(name)
    for start in RunStart:
        run = [(text, start)]
        ids, spans = made.encode_runs(run, frozenset())[0]
        if real.losses([text], [], [start]):
            # A model's own normal form: llama.cpp, whose splitting this is, has none.
            continue
        assert (ids, spans) == real.encode_runs(run, frozenset())[0], (text, start)
        assert made.decode(ids) == real.decode(ids)


SHORT = ("qwen3", "llama-3.1", "glm-4.5", "mistral-v1", "mistral-v3")
"""One of each way of splitting that differs much; the long run has them all."""

NAMES = [
    *SHORT,
    *(
        pytest.param(name, marks=pytest.mark.full)
        for name in (*PRE, *sorted(PIECES), *FULL_PRE)
        if name not in SHORT
    ),
]


@pytest.mark.parametrize("name", NAMES)
def test_control_tokens_are_those_of_the_tokenizer_it_was_made_from(name: str) -> None:
    real, made = pair(name)
    assert dict(made.control) == dict(real.control)
    for token in [*range(300), *real.control.values(), 10**6]:
        assert made.token_text(token) == real.token_text(token)
        assert made.token_bytes(token) == real.token_bytes(token)
    for start in RunStart:
        assert made.adds_space(start) == real.adds_space(start)


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_benign_text_gets_the_same_ids(name: str, data: st.DataObject) -> None:
    same_ids(name, data.draw(benign_texts("any")))


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_hostile_text_gets_the_same_ids_and_no_control_token(
    name: str, data: st.DataObject
) -> None:
    real, made = pair(name)
    text = data.draw(hostile_texts(list(real.control)[:50]))
    same_ids(name, text)
    for start in RunStart:
        ids = made.encode_runs([(text, start)], frozenset())[0][0]
        assert not {*ids} & {*real.control.values()}


@pytest.mark.parametrize("name", ["qwen3", "mistral-v3"])
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_text_gets_the_same_ids(name: str, text: str) -> None:
    same_ids(name, text)


def test_every_way_of_splitting_loads_and_keeps_the_text() -> None:
    tokens = list(BYTE_ALPHABET)
    metadata = tiny("gpt2") | {
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [1] * 256,
        "tokenizer.ggml.merges": [],
    }
    text = "Don't, I'LL: 12345 ²½x\r\n\r\n  ÀÉ漢字 かな 가나 e\u0301\t/A//Bc ~~ $<|>\u00a0!\n/"
    ways: dict[str, set[str]] = {}
    for pre, split in SPLITS.items():
        made = from_metadata(metadata | {"tokenizer.ggml.pre": pre}, pre)
        ids = made.encode_runs([(text, RunStart.DOCUMENT)], frozenset())[0][0]
        assert made.decode(ids) == text
        engine = Engine.from_str(
            tokenizer_json(metadata | {"tokenizer.ggml.pre": pre}, "model.gguf")
        )
        words = [word for word, _ in engine.pre_tokenizer.pre_tokenize_str(text)]
        ways.setdefault(str(split.steps), set()).add(str(words))
    # No two of the ways are the same, by this text.
    assert all(len(words) == 1 for words in ways.values())
    assert len(set.union(*ways.values())) == len(ways)


def test_a_real_file_is_a_tokenizer_by_its_path_and_by_its_folder(tmp_path: Path) -> None:
    file = asset(SMOLLM2)
    found = tokenizer(file)
    assert found.name == file.name
    assert found.control["<|im_end|>"] == 2
    text = "Hello 12345 world!\n\n  don't été 3²"
    ids = found.encode_runs([(text, RunStart.DOCUMENT)], frozenset())[0][0]
    # What llama.cpp's server answers to /tokenize with this very file (build 11549).
    assert ids == [
        *(19556, 216, 33, 34, 35, 36, 37, 905, 17, 8866, 1326, 982, 216, 19380, 2756, 216, 35),
        19133,
    ]
    (tmp_path / file.name).symlink_to(file)
    (tmp_path / "mmproj-vision.gguf").write_bytes(b"GGUF")
    assert tokenizer(tmp_path).control == found.control


def test_a_folder_with_several_models_says_so_and_the_first_part_stands_for_all(
    tmp_path: Path,
) -> None:
    content = gguf_bytes(tiny("gpt2"))
    for part in ("00001-of-00002", "00002-of-00002"):
        (tmp_path / f"m-{part}.gguf").write_bytes(content if part[4] == "1" else b"GGUF")
    assert tokenizer(tmp_path).control == {"<s>": 2}
    (tmp_path / "other.gguf").write_bytes(content)
    with pytest.raises(TokenizerError, match=r"several GGUF .*: m-00001-of-00002.gguf, other.gguf"):
        tokenizer(tmp_path)


def tiny(model: str) -> dict[str, Any]:
    return {
        "tokenizer.ggml.model": model,
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": ["a", "b", "<s>", "ab", "<unk>"],
        "tokenizer.ggml.scores": Typed("f32", [0.0, 0.0, 0.0, -1.0, 0.0]),
        "tokenizer.ggml.token_type": Typed("i32", [1, 1, 3, 1, 2]),
        "tokenizer.ggml.merges": ["a b"],
        "tokenizer.ggml.bos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 4,
    }


def without(key: str) -> Callable[[dict[str, Any]], None]:
    return lambda metadata: metadata.__delitem__(f"tokenizer.ggml.{key}")


def with_(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda metadata: metadata.__setitem__(f"tokenizer.ggml.{key}", value)


REFUSED = [
    ("gpt2", without("model"), "holds no tokenizer: it has no tokenizer.ggml.model"),
    ("gpt2", with_("model", "rwkv"), "a tokenizer of the kind 'rwkv'; those of the kinds 'gpt2'"),
    ("gpt2", with_("model", 3), "a tokenizer of the kind 3;"),
    ("gpt2", with_("pre", "klingon"), "splits text as 'klingon' (tokenizer.ggml.pre)"),
    ("gpt2", with_("pre", 7), "splits text as 7 (tokenizer.ggml.pre)"),
    ("gpt2", without("tokens"), "has no list tokenizer.ggml.tokens"),
    ("gpt2", with_("tokens", []), "has no list tokenizer.ggml.tokens"),
    ("gpt2", with_("tokens", [1, 2]), "has no list tokenizer.ggml.tokens"),
    ("gpt2", with_("tokens", ["a", "b", "<s>", "a", "c"]), "the token 'a' is there twice"),
    ("gpt2", without("token_type"), "no list tokenizer.ggml.token_type, without which control"),
    ("gpt2", with_("token_type", [1, 1]), "it has 5 tokens and 2 token types"),
    ("gpt2", with_("token_type", ["a"] * 5), "no list tokenizer.ggml.token_type"),
    ("gpt2", without("merges"), "it has no list tokenizer.ggml.merges"),
    ("gpt2", with_("merges", "a b"), "it has no list tokenizer.ggml.merges"),
    ("gpt2", with_("merges", ["a q"]), "model.gguf"),
    ("llama", without("scores"), "does not have a score for each token"),
    ("llama", with_("scores", Typed("f32", [1.0])), "does not have a score for each token"),
    ("llama", with_("token_type", [1, 1, 3, 1, 9]), "the token '<unk>' has the unknown type 9"),
    ("llama", with_("token_type", [1, 1, 3, 1, 1]), "model.gguf"),
]


@pytest.mark.parametrize(("model", "change", "said"), REFUSED)
def test_a_tokenizer_that_cannot_be_had_is_refused_by_name(
    tmp_path: Path, model: str, change: Callable[[dict[str, Any]], None], said: str
) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(gguf_bytes(tiny(model)))
    tokenizer(file)
    metadata = tiny(model)
    change(metadata)
    file.write_bytes(gguf_bytes(metadata))
    with pytest.raises(TokenizerError) as raised:
        tokenizer(file)
    assert said in str(raised.value)
    assert "model.gguf" in str(raised.value)


def test_an_empty_token_is_kept_out_of_the_way(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(
        gguf_bytes(tiny("llama") | {"tokenizer.ggml.tokens": ["a", "", "<s>", "b", "<unk>"]})
    )
    assert tokenizer(file).encode_runs([("a", RunStart.CONTINUED)], frozenset())[0][0] == [0]


@pytest.mark.parametrize("model", ["gpt2", "llama"])
@given(data=st.data())
def test_a_file_cut_or_changed_anywhere_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, model: str, data: st.DataObject
) -> None:
    content = bytearray(gguf_bytes(tiny(model) | EVERY_TYPE))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    for _ in range(data.draw(st.integers(0, 3))):
        if content:
            at = data.draw(st.integers(0, len(content) - 1))
            content[at] = data.draw(st.sampled_from([0, 1, 255, 8, 9]) | st.integers(0, 255))
    file = tmp_path_factory.getbasetemp() / f"changed-{model}.gguf"
    file.write_bytes(content)
    for read, family in ((read_metadata, InputError), (tokenizer, TokenizerError)):
        said = file.name
        try:
            read(file)
        except family as error:
            said = str(error)
        assert file.name in said


def test_types_are_numbered_as_in_ggml() -> None:
    assert {kind.name: int(kind) for kind in TokenType} == {
        kind.name: int(kind) for kind in official.TokenType
    }


def test_nothing_of_an_engine_is_loaded_for_metadata() -> None:
    import subprocess

    code = "import sys, rolecall.gguf; print(sorted({'tokenizers', 'numpy'} & {*sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == "[]\n"
