"""Templates with a real tokenizer, in Rolecall and in transformers, side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, cast

from transformers import PreTrainedTokenizerFast

from rolecall.encode import Encoding, encode
from rolecall.template.rendering import TemplateRendering
from rolecall.template.source import read_source
from rolecall.template.template import Template
from rolecall.tokenizers import HuggingFaceTokenizer
from tests.support import template_reference as reference
from tests.support.template_chats import Chat
from tests.support.templates import Pair, published

CAST: Mapping[str, Any] = dict.fromkeys(
    ("judge", "writer", "ipython", "function", "model", "context", "<|im_end|>", "user<|im_sep|>"),
    "client",
)
"""Authors for the roles that `template_chats` makes up."""


@dataclass(frozen=True)
class Both:
    """A template and a tokenizer, as Rolecall and as transformers have them."""

    template: Template
    tokenizer: HuggingFaceTokenizer
    theirs: Any
    """The `PreTrainedTokenizerFast`."""

    @property
    def control(self) -> frozenset[str]:
        return frozenset(self.tokenizer.control)

    def render(self, call: Mapping[str, Any], **more: Any) -> TemplateRendering:
        return self.template.render(**deepcopy({**call}), cast=CAST, strict=False, **more)

    def encode(self, call: Mapping[str, Any], **more: Any) -> Encoding:
        return self.render(call, **more).encode(self.tokenizer)

    def their_ids(self, call: Mapping[str, Any], **more: Any) -> list[int] | None:
        """What ``apply_chat_template`` gives, or None where it raises."""
        found = self.their_output(call, return_dict=False, **more)
        return None if found is None else cast("list[int]", found)

    def their_output(self, call: Mapping[str, Any], **more: Any) -> Any:
        rest = {key: value for key, value in deepcopy({**call}).items() if key != "messages"}
        messages = deepcopy(call["messages"])
        with reference.clock():
            try:
                return self.theirs.apply_chat_template(messages, tokenize=True, **rest, **more)
            except Exception:  # a template may fail in any way
                return None


@lru_cache(maxsize=2)
def both(pair: Pair) -> Both:
    """A pair, loaded."""
    found = published(pair.template)
    file = pair.tokenizer_file()
    theirs = PreTrainedTokenizerFast(
        tokenizer_file=str(file), chat_template=found.text, **dict(found.tokens)
    )
    template = dataclasses.replace(Template(read_source(theirs)), now=lambda: reference.NOW)
    tokenizer = HuggingFaceTokenizer(file.read_text(encoding="utf-8"), pair.tokenizer)
    return Both(template, tokenizer, theirs)


def uncut(rendering: TemplateRendering, tokenizer: HuggingFaceTokenizer) -> list[int]:
    """The ids without the one cut that law 4 makes: where sampling starts."""
    laid = rendering.with_control(frozenset(tokenizer.control))
    segments = tuple(segment._replace(sampled=False) for segment in laid.segments)
    names = ("conversation", "authors", "lost", "stop", "writer", "text")
    told = {name: getattr(laid, name) for name in names}
    whole: Any = SimpleNamespace(segments=segments, opened=None, **told)
    return encode(whole, tokenizer).ids.tolist()


def acceptable(chat: Chat) -> bool:
    """Whether Rolecall takes the messages at all: objects, each with a role, at least one."""
    messages = cast("Sequence[object]", chat.messages)
    return bool(messages) and all(
        isinstance(one, dict) and cast("dict[str, Any]", one).get("role") for one in messages
    )


def strings(value: object) -> Iterator[str]:
    """Every string inside a value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in cast("Mapping[object, object]", value).items():
            yield from strings(key)
            yield from strings(item)
    elif isinstance(value, (list, tuple)):
        for item in cast("Sequence[object]", value):
            yield from strings(item)
