"""A conversation as a template writes it: what `Template.render` makes and returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple
from typing import cast as typing_cast

from rolecall.conversation import STANDARD_ROLES, Author, Cast, Conversation
from rolecall.errors import ConversationError, InputError
from rolecall.lost import Lost, enforce
from rolecall.segment import Segment, Written
from rolecall.speaker import ANY, ModelChoice
from rolecall.template.given import Given, Wire, read
from rolecall.template.habits import Habits
from rolecall.template.layout import REASONING_FIELDS, Layout, lay_out
from rolecall.template.losses import losses
from rolecall.template.trace import Prepared, Span, Trace
from rolecall.wire import check_text

if TYPE_CHECKING:
    from rolecall.encode import Encoding
    from rolecall.speaker import Speaker
    from rolecall.template.template import Template


class How(NamedTuple):
    """What a rendering is laid out by."""

    given: Given
    tools: Prepared | None
    """The tools, as they were when they were given."""
    control: frozenset[str] | None
    """The control tokens, or None where they are not known."""
    prompted: bool
    """Whether a turn of the model's was asked for at the end."""
    until: int | None
    """Where the output is cut, or None for all of it."""
    open_message: int | None
    """The final message, if it is left open."""

    def habits(self, template: Template) -> Habits:
        """What the template writes around a model's turn, under these tools and options."""
        return template.habits(self.control, tools=self.tools, options=self.given.options)


@dataclass(frozen=True, eq=False)
class TemplateRendering:
    """A conversation as a template writes it.

    What was lost is known at once. Segments are laid out when they are asked for, as a tokenizer
    with control tokens of its own lays them out anew.
    """

    template: Template
    authors: tuple[Author, ...]
    """Author of each message."""
    trace: Trace
    """The template's whole output, with the origin of every character."""
    lost: tuple[Lost, ...]
    """What of the messages is not in the output."""
    how: How = field(repr=False)
    """How `lay_out` is asked."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TemplateRendering):
            return NotImplemented
        return (
            self.template == other.template
            and self.trace == other.trace
            and self.authors == other.authors
            and self.lost == other.lost
            and self.conversation == other.conversation
            and self.segments == other.segments
            and self.stop == other.stop
            and self.opened == other.opened
        )

    __hash__ = None  # type: ignore[assignment]  (what was given can be changed)

    @property
    def conversation(self) -> Conversation:
        """What was rendered: the messages with what masks ask of them."""
        return self._said

    @cached_property
    def _said(self) -> Conversation:
        return _conversation(self.how.given)

    @cached_property
    def _layout(self) -> tuple[Layout, Habits]:
        habits = self.how.habits(self.template)
        layout = lay_out(
            self.trace,
            self.how.control,
            models=frozenset(n for n, author in enumerate(self.authors) if author == "model"),
            habits=habits,
            prompted=self.how.prompted,
            until=self.how.until,
            open_message=self.how.open_message,
            marked=self.template.marks_generation,
        )
        return layout, habits

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The text in runs of one origin, in order; joined they are `text`."""
        return self._layout[0].segments

    @property
    def opened(self) -> int | None:
        """Of a final message that is left open: its first segment behind the header."""
        return self._layout[0].opened

    @property
    def stop(self) -> tuple[str, ...]:
        """What ends the next turn of the model: its end tokens."""
        return self._stop

    @cached_property
    def _stop(self) -> tuple[str, ...]:
        template = self.template
        if self.how.control != template.control:
            # Under the control tokens that are known without a tokenizer.
            return replace(self, how=self.how._replace(control=template.control)).stop
        layout, habits = self._layout
        ends = dict.fromkeys((*layout.ends, *sorted(habits.end), *template.source.eos))
        return tuple(ends)

    @property
    def text(self) -> str:
        """The prompt as one string, for people; ids come from `encode`, not from this text."""
        return self.trace.text[: self.how.until]

    @property
    def writer(self) -> Written:
        """The template, as encoding knows it."""
        control = frozenset(segment.text for segment in self.segments if segment.control)
        return Written(self.template.name, control)

    def with_control(self, control: frozenset[str]) -> TemplateRendering:
        """The same rendering under a vocabulary whose control tokens are these."""
        return replace(self, how=self.how._replace(control=control))

    def encode(self, tokenizer: object) -> Encoding:
        """Encode the segments to token ids with the origin of every token.

        A literal of the template is a control token where the tokenizer has one of that text.

        Args:
            tokenizer: What `rolecall.tokenizer` returns, or anything it takes.

        Raises:
            TokenizerError: If the tokenizer cannot be used.
        """
        from rolecall.encode import encode
        from rolecall.tokenizers import tokenizer as load

        vocabulary = load(tokenizer)
        return encode(self.with_control(frozenset(vocabulary.control)), vocabulary)


def render(
    template: Template,
    messages: object,
    *,
    tools: Sequence[Mapping[str, Any]] | None,
    documents: Sequence[Mapping[str, Any]] | None,
    cast: object,
    add_generation_prompt: bool,
    continue_final_message: bool | str,
    speaker: Speaker | None,
    strict: bool | str,
    options: Mapping[str, Any],
) -> TemplateRendering:
    """Render a conversation; see `Template.render`."""
    given = read(messages, tools=tools, documents=documents, cast=cast, options=options)
    wire, options = given.messages, given.options
    authors = _authors(given)
    opening = _opening(speaker, given.cast)
    if continue_final_message and (add_generation_prompt or opening is not None):
        raise InputError(
            "continue_final_message leaves the final message open, and add_generation_prompt or "
            "speaker opens another; give one of them"
        )
    shown = [_as_transformers(message) for message in wire]
    asked_tools = None if given.tools is None else Prepared.of(given.tools, "tools")
    asked: dict[str, Any] = {"tools": asked_tools, "documents": given.documents}
    prompted = add_generation_prompt or opening is not None
    last = len(wire) - 1 if continue_final_message else None
    how = How(given, asked_tools, template.control, prompted, None, last)
    until: int | None = None
    if opening is not None and (
        opening != {"role": "assistant"} or not how.habits(template).prompt
    ):
        trace = template.trace([*shown, {**opening, "content": MARK}], **asked, **options)
        until = _start(trace, len(shown), opening)
        trace = _without(trace, len(shown))
    elif continue_final_message:
        key = "content" if continue_final_message is True else continue_final_message
        trace, until = _left_open(template, shown, str(key), asked, options)
    else:
        trace = template.trace(shown, **asked, **options, add_generation_prompt=prompted)
    found = losses(template.name, trace, wire, authors, given.tools, until=until)
    if opening is not None and "name" in opening and not _named(trace, until):
        detail = (
            f"{template.name} writes no speaker names: {opening['name']!r} is not in the header"
        )
        found.append(Lost("warning", "name-dropped", None, "speaker", detail))
    if prompted and until is None and not how.habits(template).prompt:
        detail = f"{template.name} writes no generation prompt; the model's turn is not opened"
        found.append(Lost("note", "unprompted", None, "add_generation_prompt", detail))
    lost = tuple(found)
    enforce(lost, strict)
    return TemplateRendering(template, authors, trace, lost, how._replace(until=until))


# What is given.


def _authors(given: Given) -> tuple[Author, ...]:
    """The author of each message.

    Raises:
        ConversationError: If a message has no role, or something else that masks ask of it.
    """
    found: list[Author] = []
    for message in given.messages:
        role, name = message.get("role"), message.get("name")
        author = STANDARD_ROLES.get(role) if type(role) is str else None
        if author is None or message.get("weight") is not None:
            break
        if name is not None and not (type(name) is str and name.isascii()):
            break
        # No cast gives a standard role to another author than its own.
        found.append(author)
    else:
        return tuple(found)
    return _conversation(given).authors({})


def _conversation(given: Given) -> Conversation:
    """The messages as masks see them: who speaks, what is said, with what weight."""
    checked = Conversation.read(
        [
            {
                **{key: message.get(key) for key in ("role", "name", "weight") if key in message},
                "content": "",
            }
            for message in given.messages
        ],
        cast=given.cast,
    )
    messages = tuple(
        replace(
            message,
            content=_content(whole.get("content")),
            tool_call_id=_text(whole.get("tool_call_id")),
        )
        for message, whole in zip(checked.messages, given.messages, strict=True)
    )
    tools = None if given.tools is None else tuple(given.tools)
    return Conversation(messages, tools, checked.cast, dict(given.options))


def _content(value: object) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(typing_cast("Sequence[object]", value))
    return _text(value)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _as_transformers(message: Wire) -> Wire:
    """What transformers hands to the template: no empty keys, reasoning under its other names."""
    kept = {key: value for key, value in message.items() if value is not None}
    if _REASONING.isdisjoint(kept):
        return kept
    reasoning = next((kept[key] for key in REASONING_FIELDS if key in kept), None)
    return {"thinking": reasoning, **kept, "reasoning_content": reasoning}


_REASONING = frozenset(REASONING_FIELDS)

# Where the output is cut.

MARK = "x"
"""Content of a message that only its header is wanted of."""


def _opening(speaker: Speaker | None, given: Cast) -> Wire | None:
    """The message whose header is to be opened."""
    if speaker is None:
        return None
    if isinstance(speaker, ModelChoice):
        raise InputError(
            f"speaker={ANY!r}: a template's headers cannot be read back, so the model cannot "
            "choose who speaks; name the speaker, or use a format"
        )
    role, name = _pair(speaker)
    author = given.author(role, name)
    if author != "model":
        found = "nobody" if author is None else author
        raise InputError(
            f"speaker: {role!r} is authored by {found}; declare it with cast={{{role!r}: 'model'}}"
        )
    return {"role": role} if name is None else {"role": role, "name": name}


def _pair(speaker: object) -> tuple[str, str | None]:
    """A role, and a name or None."""
    pair: tuple[object, ...] = (speaker, None)
    if isinstance(speaker, (tuple, list)):
        pair = tuple(typing_cast("Sequence[object]", speaker))
    match pair:
        case (str(role), None) if role:
            return role, None
        case (str(role), str(name)) if role and name:
            return check_text(role, None, "speaker"), check_text(name, None, "speaker")
        case _:
            raise ConversationError(
                f"found {speaker!r}; give a role or (role, name)", field="speaker"
            )


def _named(trace: Trace, until: int | None) -> bool:
    """Whether the header that was opened tells the name of its speaker."""
    return any(
        span.origin.message is None
        and span.origin.field == "name"
        and (until is None or span.start < until)
        for span in trace.spans
    )


def _start(trace: Trace, message: int, opening: Wire) -> int:
    """Where the words of a message begin."""
    for span in trace.spans:
        if span.origin.message == message and span.origin.field.startswith("content"):
            return span.start
    raise InputError(
        f"speaker: the template writes no message of {opening['role']!r}, so that there is no "
        "header to open"
    )


def _without(trace: Trace, message: int) -> Trace:
    """The trace without a message that was only there for its header."""
    spans = tuple(
        span._replace(origin=span.origin._replace(message=None))
        if span.origin.message == message
        else span
        for span in trace.spans
    )
    inputs = {**trace.inputs, (None, "role"): trace.inputs[message, "role"]}
    return replace(trace, spans=spans, inputs=inputs)


def _left_open(
    template: Template,
    shown: list[Wire],
    key: str,
    asked: Mapping[str, Any],
    options: Mapping[str, Any],
) -> tuple[Trace, int]:
    """The trace, and where the last character of the final message stands in it."""
    if key not in ("content", *REASONING_FIELDS):
        raise InputError(
            f"continue_final_message: found {key!r}; give True, 'content' or 'reasoning_content'"
        )
    last = len(shown) - 1
    said = shown[-1].get(key)
    if said is None:
        raise ConversationError(
            f"there is no {key} to continue", message=last, field="continue_final_message"
        )
    keys = (key,) if key == "content" else REASONING_FIELDS
    if said != "":
        trace = template.trace(shown, **asked, **options, add_generation_prompt=False)
        spans = _copies(trace, last, keys)
        if spans:
            return trace, max(spans, key=_furthest).end
    if isinstance(said, str) and not said.strip():
        # A template may leave out what is blank; the place is where one character would stand.
        one = {**shown[-1], **{k: MARK for k in keys if k in shown[-1]}}
        trace = template.trace([*shown[:-1], one], **asked, **options, add_generation_prompt=False)
        spans = _copies(trace, last, keys)
        if spans:
            return trace, spans[-1].start
    raise ConversationError(
        f"the template writes nothing of its {key}, so that it cannot be continued",
        message=last,
        field=key,
    )


def _furthest(span: Span) -> tuple[str, int]:
    """How far into the message a span goes: its field, and the end in it."""
    return span.origin.field, span.at + span.end - span.start


def _copies(trace: Trace, message: int, keys: Sequence[str]) -> list[Span]:
    return [
        span
        for span in trace.spans
        if span.origin.kind == "caller"
        and span.origin.message == message
        and span.origin.field.partition("[")[0] in keys
    ]
