"""Where a chat template comes from, and what stands beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Source:
    """A chat template with what its model's files say about it."""

    name: str
    """What it is called in messages."""
    templates: Mapping[str, str]
    """Name to Jinja; one that is alone is called ``default``."""
    tokens: Mapping[str, str] = field(default_factory=dict[str, str])
    """``bos_token`` and its like, as the template sees them."""
    eos: tuple[str, ...] = ()
    """Every end token of the model."""
    added: tuple[str, ...] = ()
    """The added tokens of its vocabulary; empty where they are not known."""
    tokenizer: object | None = None
    """What `rolecall.tokenizer` takes, or None where there is none."""
    add_bos: bool | None = None
    """Whether the tokenizer adds bos by itself; None where that is not known."""

    def choose(self, name: str | None = None, *, tools: bool = False) -> str:
        """The template of that name, or the one that transformers would take."""
        if name is None:
            name = "tool_use" if tools and "tool_use" in self.templates else "default"
        return self.templates[name]
