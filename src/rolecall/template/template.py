"""Template: a chat template in Jinja, as a source of segments beside `Format`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rolecall.template.limits import Limits
from rolecall.template.source import Source
from rolecall.template.trace import Program, Trace


@dataclass(frozen=True, eq=False)
class Template:
    """A chat template that was published as Jinja.

    Made by `rolecall.template`.
    """

    source: Source
    """The template with what its model's files say about it."""
    chosen: str | None = None
    """Which of several named templates to use; None chooses as transformers does."""
    limits: Limits = field(default_factory=Limits)
    """What one rendering may use."""
    _programs: dict[str, Program] = field(default_factory=dict[str, Program], repr=False)

    @classmethod
    def from_text(
        cls, jinja: str, *, tokens: Mapping[str, str] | None = None, name: str = "the template"
    ) -> Template:
        """A template from its text.

        Args:
            jinja: The template.
            tokens: ``bos_token``, ``eos_token`` and what else it may use.
            name: What to call it in errors.

        Raises:
            TemplateError: If it is no Jinja.
        """
        given = dict(tokens or {})
        eos = tuple(given[key] for key in ("eos_token",) if key in given)
        made = cls(Source(name, {"default": jinja}, given, eos))
        made.program()
        return made

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return self.source.name

    @property
    def jinja(self) -> str:
        """The text of the template that is used where no tools are given."""
        return self.source.choose(self.chosen)

    @property
    def control(self) -> frozenset[str]:
        """The control tokens known without a tokenizer: added tokens, bos and eos."""
        return frozenset((*self.source.added, *self.source.tokens.values(), *self.source.eos))

    def program(self, *, tools: bool = False) -> Program:
        """The compiled template.

        Args:
            tools: Whether tools are given; some models have a template of their own for them.

        Raises:
            TemplateError: If it is no Jinja.
        """
        jinja = self.source.choose(self.chosen, tools=tools)
        if jinja not in self._programs:
            self._programs[jinja] = Program.compile(jinja, self.name, self.limits)
        return self._programs[jinja]

    def trace(
        self,
        messages: Sequence[Any],
        tools: Sequence[Any] | None = None,
        documents: Sequence[Any] | None = None,
        *,
        now: Callable[[], datetime] = datetime.now,
        **options: Any,
    ) -> Trace:
        """Run the template on these very messages; nothing is checked, dropped or added.

        Args:
            messages: Messages in wire form, as the template sees them.
            tools: Tool schemas.
            documents: Documents.
            now: The clock of ``strftime_now``.
            options: What else the template reads, such as ``add_generation_prompt``, which is
                False where it is not given.

        Raises:
            TemplateRaised: If the template raises an error or fails.
            TemplateLimit: If it takes more than `limits` allow.
        """
        return self.program(tools=tools is not None).run(
            messages,
            self.source.tokens,
            {"add_generation_prompt": False, **options},
            tools=tools,
            documents=documents,
            limits=self.limits,
            now=now,
        )
