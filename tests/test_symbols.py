"""Ids, text and bytes become symbols: the inverse of encoding, in whatever pieces they come."""

from __future__ import annotations

import copy
import json
import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mistral_common.tokens.tokenizers.base import SpecialTokenPolicy
from mistral_common.tokens.tokenizers.tekken import Tekkenizer

import rolecall as rc
from rolecall.symbols import FOREIGN, Chunk, Symbols
from rolecall.tokenizers import (
    HuggingFaceTokenizer,
    RunStart,
    SentencePieceTokenizer,
    Tokenizer,
    tokenizer,
)
from rolecall.tokenizers.base import REPLACEMENT
from tests.support.assets import tokenizer_file
from tests.support.conversations import hostile_texts

MARK = "\u2581"

# --- Vocabularies ---------------------------------------------------------------------------------

REAL = [
    "qwen3",
    "llama-3.1",
    "gemma-3",
    "deepseek-v3.1",
    "phi-4",
    "yi-1.5",
    "mistral-v1",
    "mistral-v3",
    "mistral-tekken-240718",
    *(
        pytest.param(name, marks=pytest.mark.full)
        for name in ("llama-2", "command-r", "gpt-oss", "smollm2", "mistral-nemo")
    ),
]
"""Every kind of engine and of prefix that is in use."""


def added_token(number: int, content: str, *, normalized: bool) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "special"), False)
    return {"id": number, "content": content, "normalized": normalized, **flags}


def metaspace(scheme: str) -> dict[str, Any]:
    return {"type": "Metaspace", "replacement": MARK, "prepend_scheme": scheme, "split": False}


def prepending(data: dict[str, Any]) -> None:
    """As Llama 2 and the Mistral models of transformers have it."""
    steps = [{"type": "Prepend", "prepend": MARK}, *data["normalizer"]["normalizers"]]
    data["normalizer"] = {"type": "Sequence", "normalizers": steps}


def with_metaspace(scheme: str) -> Any:
    def change(data: dict[str, Any]) -> None:
        data["normalizer"] = None
        data["pre_tokenizer"] = metaspace(scheme)

    return change


def with_added_text(data: dict[str, Any]) -> None:
    """A prefix, and added tokens that are text and cut what is prefixed."""
    prepending(data)
    add_text(data)


def first_with_added_text(data: dict[str, Any]) -> None:
    with_metaspace("first")(data)
    add_text(data)


def add_text(data: dict[str, Any]) -> None:
    size = max(data["model"]["vocab"].values()) + 1
    data["added_tokens"] += [
        # A control token before them, so that they move up where it is left out.
        {**added_token(size, "<|extra|>", normalized=False), "special": True},
        added_token(size + 1, "\n\n", normalized=False),
        added_token(size + 2, "\t\t", normalized=True),
        added_token(size + 3, "  ", normalized=False),
    ]


def byte_level_prefix(data: dict[str, Any]) -> None:
    """As RoBERTa and the first GPT-NeoX models have it."""
    data["pre_tokenizer"] = {
        "type": "ByteLevel",
        "add_prefix_space": True,
        "trim_offsets": True,
        "use_regex": True,
    }


def prefix_everywhere(data: dict[str, Any]) -> None:
    data["pre_tokenizer"]["pretokenizers"][-1]["add_prefix_space"] = True


CHANGED = {
    "prepend": ("yi-1.5", prepending),
    "metaspace-always": ("yi-1.5", with_metaspace("always")),
    "metaspace-first": ("yi-1.5", with_metaspace("first")),
    "metaspace-never": ("yi-1.5", with_metaspace("never")),
    "prepend-added-text": ("yi-1.5", with_added_text),
    "first-added-text": ("yi-1.5", first_with_added_text),
    "byte-level-prefix": ("smollm3", byte_level_prefix),
    "prefix-everywhere": ("smollm3", prefix_everywhere),
}
"""Real vocabularies with another preparation of text, for kinds that PyPI holds none of."""

PIECES = ["<unk>", MARK, "a", "b", "c", f"{MARK}a", "ab", "1", "."]

UNIGRAM: dict[str, Any] = {
    "version": "1.0",
    "added_tokens": [],
    "normalizer": {
        "type": "Sequence",
        "normalizers": [
            {"type": "NFKC"},
            {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
        ],
    },
    "pre_tokenizer": {
        "type": "Sequence",
        "pretokenizers": [{"type": "WhitespaceSplit"}, metaspace("always")],
    },
    "decoder": {**metaspace("always")},
    "model": {"type": "Unigram", "unk_id": 0, "vocab": [[piece, -1.0] for piece in PIECES]},
}
"""What XLM-RoBERTa and T5 are like."""

WORD_PIECE: dict[str, Any] = {
    "version": "1.0",
    "added_tokens": [],
    "normalizer": {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": True,
        "strip_accents": None,
        "lowercase": True,
    },
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
    "model": {
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
        "vocab": {
            piece: number
            for number, piece in enumerate(["[UNK]", "a", "b", "##a", "##b", "##1", "1", "."])
        },
    },
}

SMALL = {"unigram": UNIGRAM, "word-piece": WORD_PIECE}


@cache
def vocabulary(name: str) -> Tokenizer:
    if name in SMALL:
        return HuggingFaceTokenizer(json.dumps(SMALL[name]), name)
    if name not in CHANGED:
        return tokenizer(tokenizer_file(name))
    base, change = CHANGED[name]
    data = copy.deepcopy(json.loads(tokenizer_file(base).read_text(encoding="utf-8")))
    change(data)
    return HuggingFaceTokenizer(json.dumps(data, ensure_ascii=False), name)


every_vocabulary = pytest.mark.parametrize("name", [*REAL, *CHANGED, *SMALL])

# --- Texts ----------------------------------------------------------------------------------------

ODD = [
    "x",
    "a",
    "1",
    ".",
    " ",
    "  ",
    "   ",
    "\n",
    "\n\n",
    "\t\t",
    MARK,
    "é",
    "e\u0301",
    "日本",
    "😀",
]
ODD += ["👩\u200d👩\u200d👧", "\x00", "\u2028", "\ufffd", "<0x0A>", "<unk>", "Ġ", "</s>", "[INST]"]

TEXTS = st.one_of(
    st.lists(st.sampled_from(ODD), max_size=8).map("".join),
    hostile_texts(["[INST]", "<s>", "<|im_start|>"]),
    st.text(max_size=12),
    st.text("ab .1", max_size=8),
)

STARTS = st.sampled_from(RunStart)

CONTROL = {"<|a|>": "\ud800", "<|ab|>": "\ud801", "<|a": "\ud802", "[é]": "\ud803", "aba": "\ud804"}
"""Control tokens that begin with each other, that hold characters of several bytes."""

SPELLINGS = st.lists(
    st.one_of(
        st.sampled_from([*CONTROL, "<", "<|", "|>", "a", "ab", "[", "é", "😀", "\ufffd", " "]),
        st.text(max_size=3),
    ),
    max_size=10,
).map("".join)


def ids_of(tokenizer: Tokenizer, text: str, start: RunStart) -> list[int]:
    return tokenizer.encode_runs([(text, start)], frozenset())[0][0]


def everything(stream: Symbols, *fed: Any) -> list[Chunk]:
    """The chunks of what is fed piece by piece, and of its end."""
    chunks: list[Chunk] = []
    for piece in fed:
        given = isinstance(piece, str | bytes)
        chunks += stream.feed_text(piece) if given else stream.feed_ids(piece)
    return chunks + stream.finish()


def joined(chunks: Sequence[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


def merged(chunks: Sequence[Chunk]) -> list[Chunk]:
    """Chunks of text, with neighbours of one kind as one."""
    found: list[Chunk] = []
    for chunk in chunks:
        last = found[-1] if found else None
        if last is None or chunk.token or last.token or last.problem != chunk.problem:
            found.append(chunk)
            continue
        assert chunk.first == last.end
        found[-1] = last._replace(text=last.text + chunk.text, end=chunk.end)
    return found


@st.composite
def cut(draw: st.DrawFn, whole: Any) -> list[Any]:
    """Something in pieces, empty ones included."""
    places = draw(st.lists(st.integers(0, len(whole)), max_size=12).map(sorted))
    return [whole[a:b] for a, b in zip([0, *places], [*places, len(whole)], strict=True)]


# --- The inverse of encoding ----------------------------------------------------------------------


UNLIKE = "splits text into words|drops them|does not know|a part of it"
"""Losses after which a text may be quite another one."""


def loosely(text: str) -> str:
    """A text up to what a vocabulary may lose of it and say so."""
    return unicodedata.normalize("NFC", text.replace(MARK, " ")).lstrip(" ")


@every_vocabulary
@given(text=TEXTS, start=STARTS)
def test_ids_of_a_run_are_read_back_as_its_text(name: str, text: str, start: RunStart) -> None:
    tokenizer = vocabulary(name)
    ids = ids_of(tokenizer, text, start)
    read = joined(everything(Symbols({}, tokenizer, start), ids))
    lost = tokenizer.losses([text], ids, [start])
    if not lost:
        assert read == text
    elif not any(re.search(UNLIKE, reason) for reason in lost):
        assert loosely(read) == loosely(text), lost


@every_vocabulary
@given(data=st.data())
def test_runs_between_control_tokens_are_read_back(name: str, data: st.DataObject) -> None:
    tokenizer = vocabulary(name)
    tokens = st.sampled_from(sorted(tokenizer.control) or [""])
    start = data.draw(STARTS)
    ids: list[int] = []
    expected: list[str] = []
    for position in range(data.draw(st.integers(1, 3))):
        token = data.draw(tokens)
        if position and token:
            ids.append(tokenizer.control[token])
            expected.append(token)
        text, kind = data.draw(TEXTS), RunStart.SECTION if ids and position else start
        run = ids_of(tokenizer, text, kind)
        if position and not token:
            break
        expected.append(text if not tokenizer.losses([text], run, [kind]) else "")
        ids += run
    ours = dict.fromkeys(sorted(tokenizer.control)[::2], "\ud800")
    found = [""]
    for chunk in everything(Symbols(ours, tokenizer, start), ids):
        if chunk.token:
            assert chunk.text == ours.get(chunk.token, FOREIGN)
            assert tokenizer.control[chunk.token] == ids[chunk.first]
            found += [chunk.token, ""]
        else:
            found[-1] += chunk.text
    assert len(found) == len(expected)
    for read, written in zip(found, expected, strict=True):
        # Of a text that the vocabulary loses something of, the other test says how much.
        assert read == written or not written


@pytest.mark.parametrize("name", [*REAL, *CHANGED, *SMALL])
@pytest.mark.parametrize("start", RunStart)
def test_a_space_is_dropped_where_the_engine_adds_one(name: str, start: RunStart) -> None:
    tokenizer = vocabulary(name)
    spelled = b"".join(tokenizer.token_bytes(i) or b"" for i in ids_of(tokenizer, "a", start))
    assert spelled in (b"a", b" a")
    # Every piece that begins a word of a WordPiece vocabulary has its space, wherever it stands.
    if name != "word-piece":
        assert tokenizer.adds_space(start) is (spelled == b" a")
    if start is RunStart.CONTINUED:
        assert not tokenizer.adds_space(start)


def test_the_kinds_of_prefix_are_all_among_the_vocabularies() -> None:
    found = {
        name: tuple(vocabulary(name).adds_space(start) for start in RunStart)
        for name in ("qwen3", "mistral-v3", "prepend", "metaspace-first", "metaspace-always")
    }
    assert found == {
        "qwen3": (False, False, False),
        "mistral-v3": (True, True, False),
        "prepend": (True, True, False),
        "metaspace-first": (True, False, False),
        "metaspace-always": (True, True, False),
    }


@pytest.mark.parametrize("name", ["metaspace-always", "metaspace-first", "byte-level-prefix"])
def test_a_space_that_a_vocabulary_cannot_tell_from_its_own_is_a_loss(name: str) -> None:
    tokenizer = vocabulary(name)
    assert ids_of(tokenizer, " a", RunStart.DOCUMENT) == ids_of(tokenizer, "a", RunStart.DOCUMENT)
    (lost,) = tokenizer.losses([" a"], [], [RunStart.DOCUMENT])
    assert "a space at the beginning of a text" in lost
    assert tokenizer.losses([" a"], [], [RunStart.CONTINUED]) == []
    assert tokenizer.losses(["a"], [], [RunStart.DOCUMENT]) == []
    # Without the beginnings the texts are only parts of runs.
    assert tokenizer.losses([" a"], []) == []


def test_an_encoding_reports_that_loss() -> None:
    fmt = rc.format("mistral-v3-tekken")
    data = json.loads(tokenizer_file("yi-1.5").read_text(encoding="utf-8"))
    with_metaspace("always")(data)
    size = max(data["model"]["vocab"].values()) + 1
    data["added_tokens"] = [
        {**added_token(size + number, token, normalized=False), "special": True}
        for number, token in enumerate(fmt.control)
    ]
    tokenizer = HuggingFaceTokenizer(json.dumps(data), "the vocabulary")
    for content, lost in (("a", []), (" a", ["the vocabulary cannot tell a space at"])):
        encoding = fmt.render([{"role": "user", "content": content}]).encode(tokenizer)
        assert [record.detail[:37] for record in encoding.lost] == lost


@pytest.mark.parametrize("name", ["unigram", "word-piece", "prefix-everywhere"])
def test_a_vocabulary_that_splits_words_says_what_it_loses(name: str) -> None:
    tokenizer = vocabulary(name)
    for text in ("a\n\nb", "a  b", "ab.1"):
        ids = ids_of(tokenizer, text, RunStart.DOCUMENT)
        read = joined(everything(Symbols({}, tokenizer, RunStart.DOCUMENT), ids))
        assert read == text or tokenizer.losses([text], ids, [RunStart.DOCUMENT])
    assert tokenizer.losses(["a\n\nb"], [], [RunStart.DOCUMENT])


def test_text_behind_an_added_token_that_is_text_begins_anew() -> None:
    tokenizer = vocabulary("prepend-added-text")
    added = tokenizer.control_id("\n\n")
    assert added is not None
    assert added in ids_of(tokenizer, "a\n\nb", RunStart.SECTION)
    assert tokenizer.adds_space(RunStart.SECTION, behind=added)
    assert not tokenizer.adds_space(RunStart.CONTINUED, behind=added)
    for text in ("a\n\nb", "\n\nb", "a\n\n b", "a\t\tb", "  b", "a  b", "a\n\n\n\nb"):
        for start in RunStart:
            ids = ids_of(tokenizer, text, start)
            assert joined(everything(Symbols({}, tokenizer, start), ids)) == text


@every_vocabulary
def test_every_id_spells_something_or_is_outside(name: str) -> None:
    tokenizer = vocabulary(name)
    spelled = [tokenizer.token_bytes(number) for number in range(300_000)]
    assert {tokenizer.token_bytes(n) for n in (-1, -(10**30), 2**31, 2**32, 2**64, 10**30)} == {
        None
    }
    assert {tokenizer.token_text(n) for n in (-1, 300_000, 2**32, 10**30)} == {None}
    for token, number in tokenizer.control.items():
        assert tokenizer.token_text(number) == token
        assert spelled[number] == token.encode()
    if name not in SMALL:
        # A byte-level alphabet, or byte tokens, beside whatever else there is.
        assert {bytes([byte]) for byte in b"\n\r\t !0Az~\x80\xbf\xc3\xe2\xf0"} <= {*spelled}


ENGINES = {
    "qwen3",
    "llama-3.1",
    "gemma-3",
    "deepseek-v3.1",
    "phi-4",
    "mistral-v1",
    "mistral-v3",
    "mistral-tekken-240718",
}
"""Those whose own decoder is the inverse of their encoder: Yi's drops a space it did not add."""


def reference(name: str) -> Any:
    tokenizer = vocabulary(name)
    if isinstance(tokenizer, HuggingFaceTokenizer):
        from tokenizers import Tokenizer as Engine

        engine = Engine.from_file(str(tokenizer_file(name)))
        return lambda ids: engine.decode(ids, skip_special_tokens=False)
    if isinstance(tokenizer, SentencePieceTokenizer):
        from sentencepiece import SentencePieceProcessor

        return SentencePieceProcessor(model_file=str(tokenizer_file(name))).decode
    engine = Tekkenizer.from_file(tokenizer_file(name))
    return lambda ids: engine.decode(ids, special_token_policy=SpecialTokenPolicy.KEEP)


@pytest.mark.parametrize("name", sorted(ENGINES))
def test_decodes_as_the_engine_itself_does(name: str) -> None:
    tokenizer, decode = vocabulary(name), reference(name)

    @given(TEXTS)
    def check(text: str) -> None:
        ids = ids_of(tokenizer, text, RunStart.DOCUMENT)
        read = joined(everything(Symbols({}, tokenizer, RunStart.DOCUMENT), ids))
        # SentencePiece drops further spaces in front when it decodes.
        assert read.lstrip(" ") == decode(ids).lstrip(" ")

    check()


# --- Ids in any pieces, and ids that nobody would write -------------------------------------------


@st.composite
def any_ids(draw: st.DrawFn, name: str) -> list[int]:
    """Ids of texts, of control tokens, of anything, and numbers that are no ids."""
    tokenizer = vocabulary(name)
    control = st.sampled_from(sorted(tokenizer.control.values()) or [0])
    ids: list[int] = []
    for _ in range(draw(st.integers(0, 4))):
        ids += ids_of(tokenizer, draw(TEXTS), draw(STARTS))[: draw(st.integers(0, 20))]
        ids += draw(st.lists(st.one_of(control, st.integers(-2, 270_000)), max_size=3))
    return ids


@every_vocabulary
@given(data=st.data())
def test_ids_in_any_pieces_give_the_same(name: str, data: st.DataObject) -> None:
    tokenizer = vocabulary(name)
    ours = dict.fromkeys(sorted(tokenizer.control)[::2], "\ud800")
    ids, start = data.draw(any_ids(name)), data.draw(STARTS)
    whole = everything(Symbols(ours, tokenizer, start), ids)
    assert everything(Symbols(ours, tokenizer, start), *([token] for token in ids)) == whole
    assert everything(Symbols(ours, tokenizer, start), *data.draw(cut(ids))) == whole
    assert_sound(whole, len(ids))
    told = {at for chunk in whole for at in range(chunk.first, chunk.end)}
    untold = [at for at in range(len(ids)) if at not in told]
    # An id goes untold only where it spells nothing but the space that is dropped.
    assert {tokenizer.token_bytes(ids[at]) for at in untold} <= {b" ", b""}
    outside = {chunk.first for chunk in whole if chunk.problem == "outside-vocabulary"}
    assert outside == {at for at, token in enumerate(ids) if tokenizer.token_bytes(token) is None}


def assert_sound(chunks: Sequence[Chunk], count: int) -> None:
    """What holds of chunks whatever they came from."""
    at = 0
    for chunk in chunks:
        assert at - 1 <= chunk.first < chunk.end <= count
        assert chunk.end >= at
        at = chunk.end
        surrogates = re.findall("[\ud800-\udfff]", chunk.text)
        control = chunk.token and not chunk.problem
        assert surrogates == ([chunk.text] if control else [])
        assert bool(chunk.text) is (chunk.problem != "outside-vocabulary")
        if chunk.problem in ("malformed-utf8", "lone-surrogate"):
            assert {*chunk.text} == {"\ufffd"}


def byte_ids(name: str, data: bytes) -> list[int]:
    """One id for each byte."""
    tokenizer = vocabulary(name)
    found = {tokenizer.token_bytes(number): number for number in range(130_000)}
    return [found[bytes([byte])] for byte in data]


@pytest.mark.parametrize("name", ["qwen3", "yi-1.5", "mistral-v3", "mistral-tekken-240718"])
def test_a_character_is_shown_when_it_is_complete(name: str) -> None:
    stream = Symbols({}, vocabulary(name), RunStart.CONTINUED)
    shown = [stream.feed_ids([token]) for token in byte_ids(name, "a€b".encode())]
    assert shown == [[Chunk("a", 0, 1)], [], [], [Chunk("€", 1, 4)], [Chunk("b", 4, 5)]]


@pytest.mark.parametrize("name", ["qwen3", "yi-1.5", "mistral-v3", "mistral-tekken-240718"])
def test_a_character_that_stays_incomplete_is_malformed(name: str) -> None:
    tokenizer = vocabulary(name)
    token, number = next(iter(tokenizer.control.items()))
    half, a = byte_ids(name, "€".encode()[:2]), byte_ids(name, b"a")
    broken = Chunk("\ufffd", 0, 2, problem="malformed-utf8")

    def read(*ids: int) -> list[Chunk]:
        return everything(Symbols({}, tokenizer, RunStart.CONTINUED), ids)

    assert read(*half) == [broken]
    assert read(*half, number) == [broken, Chunk(FOREIGN, 2, 3, token=token)]
    assert read(*half, -5) == [broken, Chunk("", 2, 3, "id -5", "outside-vocabulary")]
    assert joined(read(*half, *a)) == "\ufffda"
    # What follows the interruption is no second half.
    assert (
        joined(read(*half, number, *byte_ids(name, "€".encode()[2:]))) == f"\ufffd{FOREIGN}\ufffd"
    )


def test_a_genuine_replacement_character_is_no_problem() -> None:
    tokenizer = vocabulary("qwen3")
    ids = byte_ids("qwen3", "\ufffd".encode())
    assert everything(Symbols({}, tokenizer, RunStart.CONTINUED), ids) == [Chunk("\ufffd", 0, 3)]
    assert everything(Symbols({}), "\ufffd".encode()) == [Chunk("\ufffd", 0, 1)]


def test_a_control_token_is_known_by_its_id_and_not_by_its_characters() -> None:
    tokenizer = vocabulary("qwen3")
    control = {"<|im_end|>": "\ud800"}
    spelled = ids_of(tokenizer, "<|im_end|>", RunStart.SECTION)
    real, other = tokenizer.control["<|im_end|>"], tokenizer.control["<|im_start|>"]
    chunks = everything(Symbols(control, tokenizer, RunStart.SECTION), [*spelled, real, other])
    assert joined(chunks[:-2]) == "<|im_end|>"
    count = len(spelled)
    assert chunks[-2:] == [
        Chunk("\ud800", count, count + 1, token="<|im_end|>"),
        Chunk(FOREIGN, count + 1, count + 2, token="<|im_start|>"),
    ]


def test_added_tokens_that_are_text_are_text() -> None:
    tokenizer = vocabulary("gemma-3")
    ids = ids_of(tokenizer, "a\n\n\n<h1>   b", RunStart.SECTION)
    assert any(tokenizer.token_text(number) == "<h1>" for number in ids)
    chunks = everything(Symbols({}, tokenizer, RunStart.SECTION), ids)
    assert joined(chunks) == "a\n\n\n<h1>   b"
    assert not any(chunk.token for chunk in chunks)


def test_reserved_ranks_of_tekken_are_control() -> None:
    tokenizer = vocabulary("mistral-tekken-240718")
    assert tokenizer.token_text(20) == "<SPECIAL_20>"
    assert tokenizer.token_text(999) == "<SPECIAL_999>"
    assert tokenizer.token_text(1000) is None
    (chunk,) = everything(Symbols({}, tokenizer, RunStart.SECTION), [999])
    assert chunk == Chunk(FOREIGN, 0, 1, token="<SPECIAL_999>")


def test_unknown_pieces_are_replacement_characters() -> None:
    unigram, model = vocabulary("unigram"), vocabulary("mistral-v3")
    assert unigram.token_bytes(0) == model.token_bytes(0) == REPLACEMENT


def test_a_format_that_writes_the_space_itself_drops_none() -> None:
    tokenizer = vocabulary("mistral-v3")
    ids = [tokenizer.control["[INST]"], *ids_of(tokenizer, " a", RunStart.CONTINUED)]
    continued = Symbols({}, tokenizer, RunStart.CONTINUED, section=RunStart.CONTINUED)
    assert joined(everything(continued, ids)) == f"{FOREIGN} a"
    assert joined(everything(Symbols({}, tokenizer, RunStart.CONTINUED), ids)) == f"{FOREIGN}a"


# --- Text in any pieces ---------------------------------------------------------------------------


def found_in(text: str) -> list[str]:
    """Control tokens and what is between them, found in the whole text at once."""
    tokens = sorted(CONTROL, key=len, reverse=True)
    pieces = re.split(f"({'|'.join(map(re.escape, tokens))})", text)
    return [piece for piece in pieces if piece]


@given(text=SPELLINGS, data=st.data())
def test_text_in_any_pieces_gives_the_same(text: str, data: st.DataObject) -> None:
    whole = merged(everything(Symbols(CONTROL), text))
    assert [chunk.token or chunk.text for chunk in whole] == found_in(text)
    assert all(chunk.text == CONTROL[chunk.token] for chunk in whole if chunk.token)
    assert [text[chunk.first : chunk.end] for chunk in whole] == found_in(text)
    assert_sound(whole, len(text))
    assert merged(everything(Symbols(CONTROL), *text)) == whole
    assert merged(everything(Symbols(CONTROL), *data.draw(cut(text)))) == whole
    spelled = text.encode()
    assert merged(everything(Symbols(CONTROL), spelled)) == whole
    bytewise = [spelled[at : at + 1] for at in range(len(spelled))]
    assert merged(everything(Symbols(CONTROL), *bytewise)) == whole
    assert merged(everything(Symbols(CONTROL), *data.draw(cut(spelled)))) == whole


MALFORMED = st.lists(
    st.one_of(
        st.binary(max_size=4),
        SPELLINGS.map(str.encode),
        # Cut characters, surrogates, overlong forms, what lies behind U+10FFFF.
        st.sampled_from([b"\xe2\x82", b"\xf0\x9f\x98", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90"]),
    ),
    max_size=6,
).map(b"".join)


@given(written=MALFORMED, data=st.data())
def test_bytes_in_any_pieces_give_the_same(written: bytes, data: st.DataObject) -> None:
    whole = merged(everything(Symbols({}), written))
    assert joined(whole) == written.decode(errors="replace")
    try:
        written.decode()
    except UnicodeDecodeError:
        assert any(chunk.problem == "malformed-utf8" for chunk in whole)
    else:
        assert not any(chunk.problem for chunk in whole)
    assert_sound(whole, len(joined(whole)))
    whole = merged(everything(Symbols(CONTROL), written))
    assert merged(everything(Symbols(CONTROL), *data.draw(cut(written)))) == whole
    bytewise = [written[at : at + 1] for at in range(len(written))]
    assert merged(everything(Symbols(CONTROL), *bytewise)) == whole


@pytest.mark.parametrize("name", ["qwen3", "yi-1.5", "mistral-v3", "mistral-tekken-240718"])
@given(written=MALFORMED)
def test_ids_that_spell_no_characters_are_replaced_as_bytes_are(name: str, written: bytes) -> None:
    tokenizer = vocabulary(name)
    number_of = numbers(name)
    ids = [number_of[bytes([byte])] for byte in written]
    chunks = everything(Symbols({}, tokenizer, RunStart.CONTINUED), ids)
    assert joined(chunks) == written.decode(errors="replace")
    assert_sound(chunks, len(ids))


@cache
def numbers(name: str) -> dict[bytes | None, int]:
    tokenizer = vocabulary(name)
    return {tokenizer.token_bytes(number): number for number in range(130_000)}


@pytest.mark.parametrize("written", ["\ud800", FOREIGN, "\ud83d\ude00"])
def test_surrogates_in_text_cannot_pose_as_control(written: str) -> None:
    chunks = everything(Symbols(CONTROL), f"a{written}<|a|>")
    count = len(written)
    assert chunks == [
        Chunk("a", 0, 1),
        Chunk("\ufffd" * count, 1, 1 + count, problem="lone-surrogate"),
        Chunk("\ud800", 1 + count, 6 + count, token="<|a|>"),
    ]
    assert merged(everything(Symbols(CONTROL), *f"a{written}<|a|>")) == chunks
    # In bytes the same code points are no UTF-8.
    spelled = written.encode(errors="surrogatepass")
    assert {c.problem for c in everything(Symbols(CONTROL), spelled)} == {"malformed-utf8"}


def test_a_surrogate_cuts_what_could_have_been_a_control_token() -> None:
    chunks = merged(everything(Symbols(CONTROL), "<|a", "b\ud800|>"))
    assert [chunk.token or chunk.text for chunk in chunks] == ["<|a", "b", "\ufffd", "|>"]


def test_beginnings_are_held_and_shown_at_the_end() -> None:
    control = {"<|end|>": "\ud800"}
    stream = Symbols(control)
    assert stream.feed_text("x<|e") == [Chunk("x", 0, 1)]
    assert stream.position == 1
    assert stream.feed_text("nd|") == []
    assert stream.finish() == [Chunk("<|end|", 1, 7)]
    stream = Symbols(control)
    assert stream.feed_text("<|en") + stream.feed_text("d|>y") == [
        Chunk("\ud800", 0, 7, token="<|end|>"),
        Chunk("y", 7, 8),
    ]


def test_what_began_inside_a_control_token_is_not_held() -> None:
    stream = Symbols({"ab": "\ud800", "bcd": "\ud801"})
    assert stream.feed_text("abc") == [Chunk("\ud800", 0, 2, token="ab"), Chunk("c", 2, 3)]
    assert stream.feed_text("bcd") == [Chunk("\ud801", 3, 6, token="bcd")]


@given(st.text("<|ab>", max_size=200), st.integers(1, 9))
def test_nothing_is_held_but_the_beginning_of_a_control_token(text: str, size: int) -> None:
    stream = Symbols(CONTROL)
    for begin in range(0, len(text), size):
        stream.feed_text(text[begin : begin + size])
        held = text[stream.position : begin + size]
        assert not held or any(t.startswith(held) and t != held for t in CONTROL)


def test_text_behind_half_a_character_in_bytes() -> None:
    chunks = everything(Symbols(CONTROL), "€".encode()[:2], "a")
    assert chunks == [Chunk("\ufffd", 0, 1, problem="malformed-utf8"), Chunk("a", 1, 2)]


def test_ids_and_text_do_not_mix() -> None:
    stream = Symbols({}, vocabulary("qwen3"))
    stream.feed_text("a")
    with pytest.raises(rc.InputError, match="given text before"):
        stream.feed_ids([1])
    with pytest.raises(rc.InputError, match="tokenizer="):
        Symbols({}).feed_ids([1])
    wrong: Any = [1.5]
    with pytest.raises(rc.InputError, match="whole number, not a float"):
        Symbols({}, vocabulary("qwen3")).feed_ids(wrong)
