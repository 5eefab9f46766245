"""A conversation as a template writes it: what `Template.render` makes and returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from typing import cast as typing_cast

from rolecall.conversation import Author, Cast, Conversation
from rolecall.errors import ConversationError, InputError
from rolecall.lost import Lost, enforce
from rolecall.render import ANY, ModelChoice
from rolecall.segment import Segment, Written
from rolecall.template.given import Wire, read
from rolecall.template.layout import REASONING_FIELDS, Layout, lay_out
from rolecall.template.losses import losses
from rolecall.template.trace import Span, Trace
from rolecall.wire import check_text

if TYPE_CHECKING:
    from rolecall.encode import Encoding
    from rolecall.render import Speaker
    from rolecall.template.template import Template


@dataclass(frozen=True)
class TemplateRendering:
    """A conversation as a template writes it."""

    template: Template
    conversation: Conversation
    """What was rendered: the messages with what masks ask of them."""
    authors: tuple[Author, ...]
    """Author of each message."""
    trace: Trace
    """The template's whole output, with the origin of every character."""
    segments: tuple[Segment, ...]
    """The text in runs of one origin, in order; joined they are `text`."""
    lost: tuple[Lost, ...]
    """What of the messages is not in the output."""
    stop: tuple[str, ...]
    """What ends the next turn of the model: its end tokens."""
    opened: int | None = None
    """Of a final message that is left open: its first segment behind the header."""
    how: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False, compare=False)
    """How `lay_out` was asked, to be asked again with a tokenizer's own control tokens."""

    @property
    def text(self) -> str:
        """The prompt as one string, for people; ids come from `encode`, not from this text."""
        return "".join(segment.text for segment in self.segments)

    @property
    def writer(self) -> Written:
        """The template, as encoding knows it."""
        control = frozenset(segment.text for segment in self.segments if segment.control)
        return Written(self.template.name, control)

    def with_control(self, control: frozenset[str]) -> TemplateRendering:
        """The same rendering under a vocabulary whose control tokens are these."""
        habits = self.template.habits(control, **self.how["habits"])
        layout = lay_out(self.trace, control, habits=habits, **self.how["layout"])
        return replace(self, segments=layout.segments, opened=layout.opened)

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
    conversation = _conversation(wire, given.tools, given.cast, options)
    authors = conversation.authors({})
    opening = _opening(speaker, given.cast)
    if continue_final_message and (add_generation_prompt or opening is not None):
        raise InputError(
            "continue_final_message leaves the final message open, and add_generation_prompt or "
            "speaker opens another; give one of them"
        )
    shown = [_as_transformers(message) for message in wire]
    asked: dict[str, Any] = {"tools": given.tools, "documents": given.documents}
    until: int | None = None
    prompted = add_generation_prompt or opening is not None
    settings: dict[str, Any] = {"tools": given.tools, "options": options}
    habits = template.habits(template.control, **settings)
    if opening is not None and (opening != {"role": "assistant"} or not habits.prompt):
        trace = template.trace([*shown, {**opening, "content": MARK}], **asked, **options)
        until = _start(trace, len(shown), opening)
        trace = _without(trace, len(shown))
    elif continue_final_message:
        key = "content" if continue_final_message is True else continue_final_message
        trace, until = _left_open(template, shown, str(key), asked, options)
    else:
        trace = template.trace(shown, **asked, **options, add_generation_prompt=prompted)
    last = len(wire) - 1 if continue_final_message else None
    how: dict[str, Any] = {
        "habits": settings,
        "layout": {
            "models": frozenset(n for n, author in enumerate(authors) if author == "model"),
            "prompted": prompted,
            "until": until,
            "open_message": last,
            "marked": template.marks_generation,
        },
    }
    layout: Layout = lay_out(trace, template.control, habits=habits, **how["layout"])
    found = losses(template.name, trace, wire, authors, given.tools, until=until)
    if opening is not None and "name" in opening and not _named(trace, until):
        detail = (
            f"{template.name} writes no speaker names: {opening['name']!r} is not in the header"
        )
        found.append(Lost("warning", "name-dropped", None, "speaker", detail))
    if prompted and until is None and not habits.prompt:
        detail = f"{template.name} writes no generation prompt; the model's turn is not opened"
        found.append(Lost("note", "unprompted", None, "add_generation_prompt", detail))
    enforce(tuple(found), strict)
    stop = dict.fromkeys((*layout.ends, *sorted(habits.end), *template.source.eos))
    return TemplateRendering(
        template,
        conversation,
        authors,
        trace,
        layout.segments,
        tuple(found),
        tuple(stop),
        layout.opened,
        how,
    )


# What is given.


def _conversation(
    wire: list[Wire],
    tools: Sequence[Mapping[str, Any]] | None,
    given: Cast,
    options: Mapping[str, Any],
) -> Conversation:
    """The messages as masks see them: who speaks, what is said, with what weight."""
    checked = Conversation.read(
        [
            {
                **{key: message.get(key) for key in ("role", "name", "weight") if key in message},
                "content": "",
            }
            for message in wire
        ],
        cast=given,
    )
    messages = tuple(
        replace(
            message,
            content=_content(whole.get("content")),
            tool_call_id=_text(whole.get("tool_call_id")),
        )
        for message, whole in zip(checked.messages, wire, strict=True)
    )
    given_tools = None if tools is None else tuple(tools)
    return Conversation(messages, given_tools, checked.cast, dict(options))


def _content(value: object) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(typing_cast("Sequence[object]", value))
    return _text(value)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _as_transformers(message: Wire) -> Wire:
    """What transformers hands to the template: no empty keys, reasoning under its other names."""
    kept = {key: value for key, value in message.items() if value is not None}
    reasoning = next((kept[key] for key in REASONING_FIELDS if key in kept), None)
    if reasoning is None:
        return kept
    return {"thinking": reasoning, **kept, "reasoning_content": reasoning}


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
