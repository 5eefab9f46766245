"""Which engine encodes a vocabulary: the fastest that is sure to give the reference's ids.

The rules go by what a ``tokenizer.json`` says. What they let through was compared with the
reference on every test tokenizer; a way of splitting text that no test has is compared when the
tokenizer is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rolecall.tokenizers.fast import Engine, Fastokens, Gigatoken
from rolecall.tokenizers.source import dumps

MARK = "\u2581"
"""What SentencePiece and what follows it write for a space."""


def steps(part: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """The steps of a normalizer, pre-tokenizer or decoder, out of their sequences."""
    if part is None:
        return
    if part["type"] != "Sequence":
        yield part
        return
    for key in ("normalizers", "pretokenizers", "decoders"):
        for inner in part.get(key, ()):
            yield from steps(inner)


def _byte_alphabet() -> dict[str, int]:
    """The characters that byte-level vocabularies write bytes with.

    Printable Latin-1 stands for itself, and the bytes left over take the characters from U+0100
    on, in their order.
    """
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = sorted({*range(0x100)} - {*shown})
    return {chr(byte): byte for byte in shown} | {
        chr(0x100 + index): byte for index, byte in enumerate(hidden)
    }


BYTE_ALPHABET = _byte_alphabet()

_SHORTENED = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_SPACE = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_LOWER = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
_UPPER = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
_DEEPSEEK = (
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"""
    "|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*"
    "|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"
)

PATTERNS = frozenset(
    (
        *(
            rf"{_SHORTENED}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{numbers}"
            rf"| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{_SPACE}"
            for numbers in (r"\p{N}", r"\p{N}{1,3}")
        ),
        rf"{_LOWER}{_SHORTENED}?|{_UPPER}{_SHORTENED}?|\p{{N}}{{1,3}}"
        rf"| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_SPACE}",
        rf"{_LOWER}|{_UPPER}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_SPACE}",
        r"\p{N}{1,3}",
        "[一-龥\u3040-ゟ゠-ヿ]+",
        _DEEPSEEK,
    )
)
"""Patterns of the test tokenizers, on which the engines were compared with the reference."""


def load(
    data: Callable[[], Mapping[str, Any]], reference: Callable[[], Any]
) -> tuple[Engine | None, str]:
    """The first engine that is sure to give the reference's ids, and why not those before it.

    Args:
        data: Gives the ``tokenizer.json`` without what is not for runs of plain text.
        reference: Gives the reference engine for the same data.
    """
    given = data()
    engines, reason = _suited(given)
    known = _is_known_split(given) if engines else True

    def maker(engine: type[Fastokens | Gigatoken]) -> Callable[[], Engine]:
        def make() -> Engine:
            made = engine.from_json(lambda: dumps(data()))
            if not known and not agrees(made, reference()):
                raise ValueError("its ids are not those of the reference")
            return made

        make.__name__ = engine.name
        return make

    made, note = attempt([*map(maker, engines)])
    return made, reason or note


def attempt(makers: Sequence[Callable[[], Engine]]) -> tuple[Engine | None, str]:
    """The first engine that can be made, and why those before it cannot."""
    refused: list[str] = []
    for make in makers:
        try:
            return make(), "; ".join(refused)
        except ImportError as error:
            refused.append(f"{error.name or error} is not installed")
        except BaseException as error:
            # Panics of the engines' own language are no `Exception`.
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            line = str(error).partition("\n")[0]
            refused.append(f"{make.__name__.strip('_')} does not take this tokenizer: {line}")
    return None, "; ".join(refused)


def _suited(
    data: Mapping[str, Any],
) -> tuple[Sequence[type[Fastokens | Gigatoken]], str]:
    """The engines to try, in this order, or why none is."""
    model = data["model"]
    if model.get("type", "BPE") != "BPE" or not isinstance(model["vocab"], dict):
        return (), f"no fast engine is compared for the model {model.get('type')}"
    for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(key):
            return (), f"no fast engine is compared for a model with {key}"
    if any(
        token["lstrip"] or token["rstrip"] or token["single_word"] for token in data["added_tokens"]
    ):
        return (), "no fast engine is compared for added tokens that are text and swallow spaces"
    kinds = [str(step["type"]) for step in steps(data.get("normalizer"))]
    before = [*steps(data.get("pre_tokenizer"))]
    if model.get("byte_fallback"):
        return _suited_fallback(data, before)
    if not (before and before[-1]["type"] == "ByteLevel") or before[-1].get("add_prefix_space"):
        return (), "no fast engine is compared for such a pre-tokenizer"
    if {*kinds} - {"NFC"}:
        return (), f"no fast engine is compared for the normalizer {' and '.join(kinds)}"
    # fastokens is the faster one; gigatoken takes steps that it does not know for others.
    simple = _is_known_split(data) and all(step["type"] != "Digits" for step in before)
    whole = BYTE_ALPHABET.keys() <= model["vocab"].keys()
    return (Fastokens, Gigatoken) if simple and whole else (Fastokens,), ""


def _suited_fallback(
    data: Mapping[str, Any], before: Sequence[Mapping[str, Any]]
) -> tuple[Sequence[type[Fastokens | Gigatoken]], str]:
    """The same for a vocabulary of characters that has bytes for those it does not know."""
    pieces = data["model"]["vocab"]
    for step in steps(data.get("normalizer")):
        marks = step["type"] == "Replace" and step["pattern"] == {"String": " "}
        if not (marks and step["content"] == MARK) and not (
            step["type"] == "Prepend" and step["prepend"] == MARK
        ):
            return (), f"no fast engine is compared for the normalizer {step['type']}"
    for step in before:
        if step["type"] != "Metaspace" and not _finds_nothing(step):
            return (), f"no fast engine is compared for the pre-tokenizer {step['type']}"
    if not any(
        step["type"] in ("Replace", "Metaspace")
        for step in (*steps(data.get("normalizer")), *before)
    ):
        return (), "no fast engine is compared for a vocabulary that has spaces as they are"
    if any(
        f"<0x{byte:02X}>" not in pieces and (byte > 0x7F or chr(byte) not in pieces)
        for byte in range(256)
    ):
        return (), "no fast engine is compared for a vocabulary that lacks bytes"
    # gigatoken is the faster one here, and loads in a quarter of the time.
    return (Gigatoken, Fastokens), ""


def _finds_nothing(step: Mapping[str, Any]) -> bool:
    """Whether text is cut at spaces, which are marks by then."""
    spaces = step["type"] == "Split" and step["pattern"] == {"String": " "}
    return spaces and step["behavior"] == "MergedWithPrevious"


def _is_known_split(data: Mapping[str, Any]) -> bool:
    """Whether text is split in one of the ways that the tests compare."""
    before = [*steps(data.get("pre_tokenizer"))]
    if data["model"].get("byte_fallback"):
        return all(map(_finds_nothing, before))
    *cuts, last = before
    if last.get("use_regex", True):
        # As GPT-2 splits, behind single digits or nothing.
        return all(step["type"] == "Digits" and step["individual_digits"] for step in cuts)
    return bool(cuts) and all(
        step["type"] == "Split"
        and step["pattern"].get("Regex") in PATTERNS
        and (step["behavior"], step["invert"]) in (("Isolated", False), ("Removed", True))
        for step in cuts
    )


# --- Comparing ------------------------------------------------------------------------------------


def agrees(engine: Engine, reference: Any) -> bool:
    """Whether an engine gives the reference's ids for texts that are hard to split."""
    texts = hard_texts()
    found = engine.encode(texts, parallel=False)
    bounds = found.offsets.tolist()
    return all(
        found.ids[begin:end].tolist() == encoded.ids
        for begin, end, encoded in zip(
            bounds[:-1],
            bounds[1:],
            reference.encode_batch(texts, add_special_tokens=False),
            strict=True,
        )
    )


def hard_texts() -> list[str]:
    """Texts in which the ways of splitting differ: letters, digits, marks, signs, spaces."""
    kinds = (
        *(
            "a",
            "Ab",
            "é",
            "e\u0301",
            "ß",
            "ǅ",
            "ʰ",
            "中",
            "か",
            "한",
            "א",
            "ا\u064b",
            "ก",
            "क\u094d",
        ),
        *("1", "12345", "½", "Ⅷ", "٣", "²", ".", "!?", "_", "$", "'", "’", "#/", "\\", "{}", "→"),
        *(
            "'s",
            "'LL",
            "'d",
            "'ſ",
            "\u0301",
            "\u200d",
            "\ufe0f",
            "😀",
            "👩\u200d🚀",
            "\ue000",
            "\u0378",
        ),
        *(
            " ",
            "  ",
            "   ",
            "\t",
            "\n",
            "\r\n",
            "\n\n ",
            "\xa0",
            "\u3000",
            "\u2028",
            "\x85",
            "\x00",
        ),
    )
    texts = [first + second + first for first in kinds for second in kinds]
    joined = [" ".join(kinds), "".join(kinds), "\n".join(kinds), "".join(kinds[::-1])]
    return ["", *kinds, *joined, *(kind * 50 for kind in kinds), *texts]
