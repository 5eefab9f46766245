"""Exported templates under transformers: ids, and the assistant mask of ``{% generation %}``.

Ids are compared under the tokenizers of the models where the pages name one, and for every format
under a small vocabulary with its control tokens added, as a fine-tuner adds them.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from transformers import PreTrainedTokenizerFast

import rolecall as rc
from rolecall.encode import encode
from rolecall.format import FOLDER
from rolecall.render import Rendering
from rolecall.tokenizers import HuggingFaceTokenizer
from tests.conftest import PROFILE
from tests.support import template_reference as reference
from tests.support.assets import TOKENIZERS, tokenizer_file
from tests.support.export_limits import JINJA2, comparable, text_of
from tests.support.exports import CAST, Case, case, cases, rendered, tokens_of
from tests.support.pages import page
from tests.support.places import joined, sampled
from tests.support.template_ids import strings

CONVERSATIONS = {"quick": 8, "default": 12, "full": 150}[PROFILE]
SEED = 11

OWN = "the control tokens of the format"

QUICK = ("qwen3", "phi-4", "yi-1.5")
"""Tokenizers of the short run: those that load fast."""


@cache
def marked(name: str) -> str:
    """The template of a format with ``{% generation %}``, and with the cast of the tests."""
    return rc.format(name).to_jinja(generation_markers=True, cast=dict(CAST))


def carried(name: str, *, bare: bool = False) -> list[Case]:
    """Conversations that the format writes, without a prefill.

    Args:
        name: The format.
        bare: Without white space around contents.
    """
    fmt = rc.format(name)
    given = cases(name, CONVERSATIONS, SEED)
    if bare:
        given = [case(fmt, *without_margins(one.conversation)) for one in given]
    return [
        one
        for one in comparable(JINJA2, fmt, given)
        if one.text is not None and "continue_final_message" not in one.conversation["options"]
    ]


def without_margins(conversation: Mapping[str, Any]) -> tuple[list[dict[str, Any]], Any, Any]:
    messages = [
        {**message, "content": (text_of(message["content"]) or "").strip()}
        for message in conversation["messages"]
    ]
    return messages, conversation["tools"], conversation["options"]


def rendering(name: str, one: Case) -> Rendering:
    return rendered(rc.format(name), one.conversation)


# --- Marks, in characters -------------------------------------------------------------------------


@pytest.mark.parametrize("name", rc.formats())
def test_what_the_template_marks_is_what_is_sampled(name: str) -> None:
    marks = 0
    for one in carried(name):
        found = reference.render(
            marked(name),
            one.conversation["messages"],
            one.conversation["tools"],
            tokens=tokens_of(name),
            generated=True,
            **one.conversation["options"],
        )
        assert isinstance(found, reference.Rendered), found
        assert found.text == one.text
        assert joined(found.generated) == sampled(rendering(name, one).segments), one.conversation
        marks += len(found.generated)
    assert marks


# --- Ids and masks --------------------------------------------------------------------------------


def tokenizers() -> list[Any]:
    """Every format with every tokenizer that its page names, and with one that has its tokens."""
    found: list[Any] = []
    for name in rc.formats():
        own = page(name).references if (FOLDER / f"{name}.md").is_file() else ()
        named = dict.fromkeys(str(one["tokenizer"]) for one in own if "tokenizer" in one)
        for tokenizer in (OWN, *named):
            source = TOKENIZERS.get(tokenizer)
            if source is not None and source.kind not in ("tokenizer.json", "gguf"):
                continue
            long = source is not None and (source.full or tokenizer not in QUICK)
            marks = [pytest.mark.full] if long else []
            label = name if tokenizer == OWN else f"{name}-{tokenizer}"
            found.append(pytest.param(name, tokenizer, id=label, marks=marks))
    return found


@cache
def own_tokens(name: str) -> str:
    """A small byte-level vocabulary with the control tokens of one format added.

    Only of one: a format may spell the token of another as plain text.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    bytes_ = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("Ċ", "Ċ"), ("Ġ", "Ġ"), ("i", "n"), (">", "Ċ")]
    pieces = [*bytes_, *("".join(pair) for pair in merges)]
    made = Tokenizer(models.BPE({piece: at for at, piece in enumerate(pieces)}, merges))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in rc.format(name).control]
    )
    return made.to_str()


def both(name: str, tokenizer: str) -> tuple[HuggingFaceTokenizer, Any]:
    """A tokenizer as Rolecall and as transformers have it."""
    if tokenizer != OWN:
        return _both(tokenizer_file(tokenizer).read_text(encoding="utf-8"))
    return _both(own_tokens(name))


@lru_cache(maxsize=4)
def _both(text: str) -> tuple[HuggingFaceTokenizer, Any]:
    from tokenizers import Tokenizer

    theirs = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(text))
    return HuggingFaceTokenizer(text, "the test's"), theirs


@pytest.mark.parametrize(("name", "tokenizer"), tokenizers())
def test_ids_and_masks_are_ours(name: str, tokenizer: str) -> None:
    ours, theirs = both(name, tokenizer)
    compared = cut = 0
    for one in carried(name, bare=takes_margins(ours)):
        if not benign(ours, one):
            continue
        made = rendering(name, one)
        encoding = made.encode(ours)
        given = one.conversation
        found = theirs.apply_chat_template(
            given["messages"],
            tools=given["tools"],
            tokenize=True,
            return_dict=True,
            return_assistant_tokens_mask=True,
            chat_template=marked(name),
            **tokens_of(name),
            **given["options"],
        )
        compared += 1
        if encoding.ids.tolist() != found["input_ids"]:
            # Law 4 cuts a run where sampling starts; without the cut they are the same.
            assert uncut(made, ours) == found["input_ids"], given
            cut += 1
            continue
        different = encoding.mask(author="model") != np.array(found["assistant_masks"], np.bool_)
        unlike = different & ~encoding.straddles & ~rest_of_a_character(theirs, made.text)
        assert not unlike.any(), given
    assert compared > 1
    assert cut < compared


def rest_of_a_character(theirs: Any, text: str) -> npt.NDArray[np.bool_]:
    """The tokens that spell the rest of a character which the token before them begins.

    transformers asks for the token of the last character that is marked, and gets the first one.
    """
    places = theirs(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    return np.array(
        [at > 0 and place == places[at - 1] for at, place in enumerate(places)], np.bool_
    )


def benign(tokenizer: HuggingFaceTokenizer, one: Case) -> bool:
    """Whether the caller wrote no token of the vocabulary's structure."""
    pattern = re.compile("|".join(map(re.escape, tokenizer.control)))
    contents = [text_of(message["content"]) or "" for message in one.conversation["messages"]]
    return not any(pattern.search(text) for text in (*contents, *strings(one.conversation)))


def takes_margins(tokenizer: HuggingFaceTokenizer) -> bool:
    """Whether tokens take in white space beside them, which transformers then counts as theirs."""
    return any(
        tokenizer.swallows_left(token) or tokenizer.swallows_right(token)
        for token in tokenizer.control
    )


def uncut(made: Rendering, tokenizer: HuggingFaceTokenizer) -> list[int]:
    """The ids without the cut that law 4 makes where sampling starts."""
    segments = tuple(segment._replace(sampled=False) for segment in made.segments)
    whole = dataclasses.replace(made, segments=segments, opened=None)
    return encode(whole, tokenizer).ids.tolist()
