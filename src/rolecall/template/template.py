"""Template: a chat template in Jinja, as a source of segments beside `Format`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rolecall.template.habits import Habits, habits
from rolecall.template.limits import Limits
from rolecall.template.source import Source
from rolecall.template.trace import Prepared, Program, Trace

if TYPE_CHECKING:
    from rolecall.speaker import Speaker
    from rolecall.template.rendering import TemplateRendering


_KEPT = 64
"""Habits that a template remembers; with other tools it has others."""


@dataclass(frozen=True, eq=False)
class Template:
    """A chat template that was published as Jinja.

    Made by `rolecall.template`.
    """

    source: Source
    """The template with what its model's files say about it."""
    limits: Limits = field(default_factory=Limits)
    """What one rendering may use."""
    now: Callable[[], datetime] = datetime.now
    """The clock that ``strftime_now`` reads."""
    _programs: dict[str, Program] = field(default_factory=dict[str, Program], repr=False)
    _habits: dict[object, Habits] = field(default_factory=dict[object, Habits], repr=False)

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
        return self.source.choose()

    @property
    def control(self) -> frozenset[str] | None:
        """The control tokens known without a tokenizer: its added tokens, bos and eos.

        None where the added tokens are not known.
        """
        if not self.source.added:
            return None
        return frozenset((*self.source.added, *self.source.tokens.values(), *self.source.eos))

    @property
    def marks_generation(self) -> bool:
        """Whether the template marks what a model says, with ``{% generation %}``."""
        return re.search(r"\{%[-+]?\s*generation\s*[-+]?%\}", self.jinja) is not None

    def program(self, *, tools: bool = False) -> Program:
        """The compiled template.

        Args:
            tools: Whether tools are given; some models have a template of their own for them.

        Raises:
            TemplateError: If it is no Jinja.
        """
        jinja = self.source.choose(tools=tools)
        if jinja not in self._programs:
            self._programs[jinja] = Program.compile(jinja, self.name, self.limits)
        return self._programs[jinja]

    def trace(
        self,
        messages: Sequence[Any],
        tools: Sequence[Any] | Prepared | None = None,
        documents: Sequence[Any] | None = None,
        *,
        now: Callable[[], datetime] | None = None,
        **options: Any,
    ) -> Trace:
        """Run the template on these very messages; nothing is checked, dropped or added.

        Args:
            messages: Messages in wire form, as the template sees them.
            tools: Tool schemas.
            documents: Documents.
            now: The clock of ``strftime_now``; None is the template's own.
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
            now=now or self.now,
        )

    def habits(
        self,
        control: frozenset[str] | None,
        *,
        tools: Sequence[Any] | Prepared | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Habits:
        """What the template writes around a model's turn, found by trying it out.

        Args:
            control: The control tokens, or None where they are not known.
            tools: Tool schemas, which may change what it writes.
            options: Options, likewise.
        """
        given = tools.value if isinstance(tools, Prepared) else tools
        key = (control, repr(given), repr(options))
        found = self._habits.get(key)
        if found is None:
            found = habits(self, control, tools, options or {})
            if len(self._habits) >= _KEPT:
                self._habits.clear()
            self._habits[key] = found
        return found

    def render(
        self,
        messages: object,
        tools: Sequence[Mapping[str, Any]] | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None,
        cast: object = None,
        add_generation_prompt: bool = False,
        continue_final_message: bool | str = False,
        speaker: Speaker | None = None,
        strict: bool | str = True,
        **options: Any,
    ) -> TemplateRendering:
        """Render a conversation as the template writes it, with the origin of every character.

        The text is that of transformers' ``apply_chat_template``: keys whose value is None are
        left out, and reasoning is handed over under all its names.

        Args:
            messages: A list of messages (dicts with any keys, `Message`s), a `Conversation`, or
                ``{messages, tools, cast, options}``.
            tools: Tool schemas.
            documents: Documents, for templates that take them.
            cast: Who authors which role; standard roles need no entry.
            add_generation_prompt: Open a turn of the model's at the end.
            continue_final_message: Cut the output behind the last character of the final message:
                True or ``"content"``, or ``"reasoning_content"``.
            speaker: Open a turn of this speaker: a role of the model's, or ``(role, name)``. It
                implies the generation prompt.
            strict: Raise on what is lost: True or ``"error"``, ``"warning"``, ``"note"``, or False.
            options: What else the template reads, such as ``enable_thinking``.

        Raises:
            TemplateRaised: If the template refuses the conversation, or fails on it.
            TemplateLimit: If it takes more time or room than `limits` allow.
            ConversationError: If the messages cannot be read, or nothing can be continued.
            LossError: If something is lost that `strict` does not allow.
        """
        from rolecall.template.rendering import render

        return render(
            self,
            messages,
            tools=tools,
            documents=documents,
            cast=cast,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=continue_final_message,
            speaker=speaker,
            strict=strict,
            options=options,
        )
