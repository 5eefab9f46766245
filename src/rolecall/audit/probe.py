"""Probing a template: small conversations rendered once, and the facts that rules share."""

from __future__ import annotations

import copy
import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rolecall.audit.messages import (
    Wire,
    again,
    assistant,
    calling,
    document,
    result,
    system,
    text_part,
    user,
    weather,
)
from rolecall.audit.messages import call as tool_call
from rolecall.audit.outcome import Outcome, conversation_key
from rolecall.errors import TemplateError, TokenizerError
from rolecall.template.limits import Limits

if TYPE_CHECKING:
    from rolecall.template.source import Source
    from rolecall.template.template import Template

LIMITS = Limits(seconds=3.0, characters=2_000_000)
"""What one probe may use: the conversations are small."""

MOST_LIMITS = 2
"""After so many conversations that had to be stopped, no further one is tried."""

CONTROL_SHAPE = re.compile(r"<[^<>\s]{1,40}>|\[/?g?[A-Z][A-Z_]*\]|\[\|[^|\]]{1,40}\|\]")
"""What control tokens look like, for templates whose vocabulary is not at hand."""


class Probe:
    """A template and every conversation that was tried on it.

    Args:
        template: The template.
        name: Which of its source's named templates it is.
        tokenizer: What `rolecall.tokenizer` takes, for the rules that read ids, or None.
        beside: The probe of another template of the same source, which has the same tokenizer.
    """

    def __init__(
        self,
        template: Template,
        *,
        name: str = "default",
        tokenizer: object = None,
        beside: Probe | None = None,
    ) -> None:
        self.template = dataclasses.replace(template, limits=LIMITS)
        self.name = name
        self.limits: list[Outcome] = []
        """Conversations that had to be stopped."""
        self.unread = ""
        """Why there are no ids to read, once a rule asked for the tokenizer."""
        self.unasked: dict[str, str] = {}
        """Other engines that a rule wanted to ask and could not, and why."""
        self._tokenizer = tokenizer
        self._beside = beside
        self._cache: dict[str, Outcome] = {}

    @property
    def source(self) -> Source:
        """The files the template comes from: tokens, end tokens, added tokens."""
        return self.template.source

    @cached_property
    def tokenizer(self) -> Any:
        """The model's tokenizer, loaded, or None where there is none that can be loaded."""
        if self._beside is not None:
            found, self.unread = self._beside.tokenizer, self._beside.unread
            return found
        found = self.source.tokenizer if self._tokenizer is None else self._tokenizer
        if found is None:
            self.unread = "there is no tokenizer beside the template; give one with tokenizer=…"
            return None
        from rolecall.tokenizers import tokenizer  # loads the engines, so not above

        try:
            return tokenizer(found)
        except TokenizerError as error:
            self.unread = f"the tokenizer beside the template cannot be loaded: {error}"
            return None

    # --- Running --------------------------------------------------------------------------------

    def run(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None,
        as_given: bool = False,
        **options: Any,
    ) -> Outcome:
        """Render a conversation, or look it up where it was rendered before.

        ``continue_final_message=True`` is kept in the conversation and changes nothing: the
        template is not told of it, and what it writes after the last message is what is asked.

        Args:
            messages: Wire messages.
            tools: Tool schemas.
            documents: Documents.
            as_given: Leave the content as it is: for rules that are about its form. Otherwise
                strings are turned into typed content where the template takes nothing else.
            options: ``add_generation_prompt``, ``continue_final_message`` and template options.
        """
        if not as_given:
            messages = [self.typed_message(message) for message in messages]
        return self._run(messages, {**self._extras, **_given(tools, documents)}, options)

    def _run(
        self,
        messages: Sequence[Mapping[str, Any]],
        extras: Mapping[str, Any],
        options: Mapping[str, Any],
    ) -> Outcome:
        conversation: dict[str, Any] = {"messages": list(messages), **extras}
        if options:
            conversation["options"] = dict(options)
        key = conversation_key(conversation)
        found = self._cache.get(key)
        if found is None:
            found = self._cache[key] = self._render(conversation)
            if found.limited:
                self.limits.append(found)
        return found

    def _render(self, conversation: Mapping[str, Any]) -> Outcome:
        # A template can change what it is given, and the finding shows what it was given.
        kept = copy.deepcopy(dict(conversation))
        if len(self.limits) >= MOST_LIMITS:
            return Outcome(kept, None, self.limits[-1].error)
        given = copy.deepcopy(dict(conversation))
        options = given.pop("options", {})
        options.pop("continue_final_message", None)
        try:
            return Outcome(kept, self.template.trace(**given, **options), None)
        except TemplateError as error:
            return Outcome(kept, None, error)

    def refuses(self, outcome: Outcome, *controls: Outcome) -> bool:
        """Whether the template raised on a conversation because of its subject.

        A template is judged by what it raised on: `controls` are the same conversation without
        the subject, and unless every one of them renders, the subject is not to blame.
        """
        return outcome.refused and all(control.ok for control in controls)

    # --- Facts, each decided once ---------------------------------------------------------------

    @cached_property
    def renders(self) -> bool:
        """Whether any plain chat renders. Where none does, only rules that ask for it run."""
        return self._ground is not None

    @property
    def typed(self) -> frozenset[str]:
        """Roles whose content must be typed parts; empty for templates that take strings.

        A role that was not tried follows another one: see `FOLLOWS`.
        """
        return self._ground[1] if self._ground else frozenset()

    @property
    def _extras(self) -> Mapping[str, Any]:
        """What every conversation needs to render at all, such as documents."""
        return self._ground[0] if self._ground else {}

    @cached_property
    def _ground(self) -> tuple[Mapping[str, Any], frozenset[str]] | None:
        """What to give with every conversation, and which roles take typed content only."""
        for extras in (
            {},
            {"tools": [weather()]},
            {"documents": [document()]},
            {"tools": [weather()], "documents": [document()]},
        ):
            plain = [self._run(chat, extras, options) for chat, options in _plain(False)]
            if any(outcome.ok and _arrived(outcome) for outcome in plain):
                return extras, frozenset()
            typed = [self._run(chat, extras, options) for chat, options in _plain(True)]
            if any(outcome.ok and _arrived(outcome) for outcome in typed):
                return extras, self._typed_roles(extras)
            if any(outcome.ok for outcome in plain):
                return extras, frozenset()
        return None

    def _typed_roles(self, extras: Mapping[str, Any]) -> frozenset[str]:
        """For a template that takes typed content of users only: of whom else it does."""
        hello = typed_content(user())
        typed = {"user"}
        for chat, index in (
            ([system(), hello], 0),
            ([hello, assistant()], 1),
            ([hello, calling(), result()], 2),
        ):
            if index == 2 and "assistant" in typed:
                chat[1] = typed_content(chat[1])
            subject = chat[index]
            as_text = self._run(chat, extras, {})
            if not as_text.ok or not as_text.reached(index):
                parts = [typed_content(one) if one is subject else one for one in chat]
                if self._run(parts, extras, {}).reached(index):
                    typed.add(subject["role"])
        return frozenset(typed)

    def typed_message(self, message: Mapping[str, Any]) -> Wire:
        """A message with its content in the form that the template takes."""
        role = message.get("role")
        like = FOLLOWS.get(role, "user") if isinstance(role, str) else "user"
        return typed_content(message) if like in self.typed else dict(message)

    def used(self, outcome: Outcome) -> str:
        """Which named template wrote an outcome: with tools it may be another than this one."""
        tools = outcome.conversation.get("tools") is not None
        chosen = self.source.chosen is not None
        return (
            "tool_use"
            if tools and not chosen and "tool_use" in self.source.templates
            else self.name
        )

    @cached_property
    def hello(self) -> Outcome:
        """One user message, and the generation prompt."""
        return self.run([user()], add_generation_prompt=True)

    @cached_property
    def chat(self) -> Outcome:
        """User, assistant, user, and the generation prompt."""
        return self.run([user(), assistant(), again()], add_generation_prompt=True)

    @cached_property
    def takes_system(self) -> bool:
        """Whether a system message at the start is accepted; whether it arrives is not asked."""
        return self.run([system(), user()], add_generation_prompt=True).ok

    @cached_property
    def keeps_system(self) -> bool:
        """Whether a system message at the start arrives."""
        return self.run([system(), user()], add_generation_prompt=True).reached(0)

    @cached_property
    def alternates(self) -> bool:
        """Whether the template insists that user and assistant take turns."""
        return self.refuses(self.run([user(), again()], add_generation_prompt=True), self.hello)

    @cached_property
    def generation_prompt(self) -> str | None:
        """What ``add_generation_prompt`` adds; "" for nothing, None where it changes the rest."""
        without = self.run([user()])
        if not self.hello.ok or not without.ok:
            return None
        if not self.hello.text.startswith(without.text):
            return None
        return self.hello.text[len(without.text) :]

    @cached_property
    def takes_tools(self) -> bool:
        """Whether schemas of tools given with a conversation reach the prompt."""
        return self.run([user()], tools=[weather()], add_generation_prompt=True).reached(
            None, "tools"
        )

    @cached_property
    def takes_calls(self) -> bool:
        """Whether an assistant's tool call can be written: its function's name arrives."""
        return any(
            self.run([user(), calling(tool_call(arguments=form)), result()]).reached(
                1, "tool_calls"
            )
            for form in _forms({"city": "Lima"})
        )

    @cached_property
    def _text_arguments(self) -> bool:
        """Whether arguments of calls must be JSON text: as a mapping they raise or print."""
        mapping, text = (
            self.run([user(), calling(tool_call(arguments=form)), result()])
            for form in _forms({"city": "Lima"})
        )
        printed = mapping.spans(1, "tool_calls", ("printed",))
        return text.ok and (not mapping.ok or bool(printed) or not mapping.reached(1, ARGUMENTS))

    def arguments(self, values: Mapping[str, Any]) -> Any:
        """Arguments of a tool call in the form that the template takes: a mapping or JSON text."""
        mapping, text = _forms(values)
        return text if self._text_arguments else mapping

    def header(self, role: str) -> str | None:
        """What stands before the content of a message of a standard role.

        What ends the turn before it is no part of it. None where such a message does not arrive.
        """
        if role == "system":
            outcome, index = self.run([system(), user()]), 0
        elif role == "assistant":
            outcome, index = self.run([user(), assistant()]), 1
        else:
            outcome, index = self.run([user(), assistant(), again()]), 2
        place = outcome.place(index)
        if place is None:
            return None
        turn = outcome.turn(index)
        start = turn[0] if turn is not None and turn[0] <= place[0] else outcome.gap(index)[0]
        return outcome.text[start : place[0]]

    @cached_property
    def control(self) -> frozenset[str]:
        """Every control token that is known of the model; see `has_control` for the others."""
        tokens = (*self.source.added, *self.source.tokens.values(), *self.source.eos)
        return frozenset(token for token in tokens if token)

    def has_control(self, text: str) -> bool:
        """Whether a text that the template wrote holds a control token, or what looks like one."""
        return any(token in text for token in self.control) or bool(CONTROL_SHAPE.search(text))

    def words(self, text: str) -> str:
        """A text that the template wrote without its control tokens and outer white space."""
        for token in sorted(self.control, key=len, reverse=True):
            text = text.replace(token, " ")
        return CONTROL_SHAPE.sub(" ", text).strip()

    @cached_property
    def plain_words(self) -> bool:
        """Whether turns are told apart by plain words: no control token opens a user's turn."""
        header = self.header("user")
        return header is not None and not self.has_control(header)


ARGUMENTS = "tool_calls[0].function.arguments"

FOLLOWS = {
    "system": "system",
    "developer": "system",
    "assistant": "assistant",
    "tool": "tool",
}
"""Whose form of content a role takes; every other role takes that of ``user``."""


def typed_content(message: Mapping[str, Any]) -> Wire:
    """A message whose content, where it is a string, is a typed part."""
    made = dict(message)
    if isinstance(made.get("content"), str):
        made["content"] = [text_part(made["content"])]
    return made


def _plain(typed: bool) -> list[tuple[list[Wire], dict[str, Any]]]:
    """The plainest chats, smallest first."""
    chats: list[tuple[list[Wire], dict[str, Any]]] = [
        ([user()], {"add_generation_prompt": True}),
        ([user(), assistant()], {}),
        ([system(), user()], {"add_generation_prompt": True}),
    ]
    if typed:
        return [([typed_content(one) for one in chat], options) for chat, options in chats]
    return chats


def _arrived(outcome: Outcome) -> bool:
    return all(
        outcome.reached(index)
        for index, message in enumerate(outcome.messages)
        if message["role"] == "user"
    )


def _forms(values: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    return dict(values), json.dumps(values, ensure_ascii=False)


def _given(
    tools: Sequence[Mapping[str, Any]] | None, documents: Sequence[Mapping[str, Any]] | None
) -> dict[str, Any]:
    given: dict[str, Any] = {}
    if tools is not None:
        given["tools"] = list(tools)
    if documents is not None:
        given["documents"] = list(documents)
    return given
