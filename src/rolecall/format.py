"""Format: one chat format as data, and the folder of those that are bundled."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rolecall.conversation import Author, Cast, Conversation
from rolecall.errors import InputError, OptionError, UnknownFormatError, nearest
from rolecall.pattern import EMPTY, Pattern, Value
from rolecall.schema import (
    registry,
)
from rolecall.strategies import Strategy
from rolecall.turn import TurnSpec

if TYPE_CHECKING:
    from rolecall.batch import Batch
    from rolecall.bulk.moulds import Manner
    from rolecall.encode import Encoding
    from rolecall.export import Exported
    from rolecall.render import Rendering, Speaker
    from rolecall.stream import Stream
    from rolecall.tokenizers import Tokenizer

FOLDER = Path(__file__).with_name("formats")
"""The folder of bundled formats; it is the registry."""


@dataclass(frozen=True, slots=True)
class Option:
    """A parameter that callers of a format may set."""

    default: str | bool | int
    doc: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SystemRule:
    """Where the system prompt stands."""

    place: str = "turn"
    join: str = "\n\n"
    fold: str | None = None
    default: str | None = None


@dataclass(frozen=True, slots=True)
class ToolsRule:
    """How tool schemas are written and where they stand."""

    place: str = "system"
    when: Mapping[str, str] = field(default_factory=dict[str, str])
    """Boolean option to the place that holds instead while the option is true."""
    schema: str = "json"
    indent: int | None = None
    begin: Pattern = EMPTY
    each: Pattern = EMPTY
    join: str = ""
    finish: Pattern = EMPTY
    frame: Pattern = EMPTY

    @property
    def places(self) -> tuple[str, ...]:
        """Every place that the schemas can stand in, each once."""
        return tuple(dict.fromkeys((self.place, *self.when.values())))

    def place_for(self, options: Mapping[str, object]) -> str:
        """Where the schemas stand under these options; the last one that is true decides."""
        place = self.place
        for name, other in self.when.items():
            place = other if options[name] else place
        return place


@dataclass(frozen=True, slots=True)
class CallsRule:
    """How tool calls are written."""

    begin: Pattern = EMPTY
    each: Pattern = EMPTY
    reads: tuple[Pattern, ...] = ()
    join: Pattern = EMPTY
    finish: Pattern = EMPTY
    arguments: str = "json"
    id: Pattern = EMPTY
    ids: re.Pattern[str] | None = None
    ids_hint: str = ""
    max: int | None = None
    max_results: int | None = None
    alone: bool = False
    sort_results: bool = False
    keep: str = "all"


@dataclass(frozen=True, slots=True)
class ReasoningRule:
    """Which reasoning is kept."""

    keep: str = "all"
    when: Mapping[str, str] = field(default_factory=dict[str, str])
    """Boolean option to the strategy that holds instead of `keep` while the option is true."""
    thinks: str = "with-reasoning"
    drop_emptied: bool = False

    @property
    def keeps(self) -> tuple[str, ...]:
        """Every strategy that can hold, each once."""
        return tuple(dict.fromkeys((self.keep, *self.when.values())))

    def keep_for(self, options: Mapping[str, object]) -> str:
        """The strategy that holds under these options; the last one that is true decides."""
        keep = self.keep
        for name, other in self.when.items():
            keep = other if options[name] else keep
        return keep


@dataclass(frozen=True, slots=True)
class OrderRule:
    """Which author may follow which."""

    first: tuple[Author, ...] | None = None
    alone: tuple[Author, ...] | None = None
    after: Mapping[Author, tuple[Author, ...]] = field(
        default_factory=dict[Author, tuple[Author, ...]]
    )
    rules: tuple[str, ...] = ()
    first_client: bool = False


@dataclass(frozen=True, eq=False)
class Format:
    """A chat format: everything that decides how a conversation becomes text and ids.

    Made by `rolecall.format`. Formats are immutable and safe to share between threads.
    """

    name: str
    """Name of the file without its suffix."""
    path: Path
    """The file it was read from."""
    title: str
    """What people call it."""
    control: tuple[str, ...]
    """The strings that become control tokens, bos and eos included."""
    bos_token: str
    eos_token: str
    stop: tuple[str, ...]
    """Strings that end a model's turn beside what the patterns say."""
    begin: Pattern
    """What stands before the first turn."""
    finish: Pattern
    """What ends a finished conversation."""
    dummy_prefix: bool
    """Whether each run of text begins with SentencePiece's space."""
    part_join: str
    """What joins the typed text parts of one message."""
    attributes: tuple[str, ...]
    """Names of the message attributes that its headers carry."""
    match: Mapping[str, re.Pattern[str]]
    """Attribute, or ``call_name``, to what its value must match."""
    labels: Mapping[str, Value]
    """Role to what is written for it."""
    options: Mapping[str, Option]
    turns: Mapping[Author, TurnSpec]
    """Author to its turn; an author that is missing cannot be carried."""
    roles: Mapping[str, TurnSpec]
    """Role to the turn that overlays its author's."""
    declared: Mapping[str, Author]
    """Roles that need no cast entry here."""
    system: SystemRule
    tools: ToolsRule | None
    calls: CallsRule | None
    reasoning: ReasoningRule
    order: OrderRule

    def __repr__(self) -> str:
        return f"<rolecall format {self.name!r}>"

    def spec(self, author: Author, role: str) -> TurnSpec | None:
        """How a turn of this author and role is written, or None where there is no place for it."""
        own = self.roles.get(role)
        if own is None:
            return self.turns.get(author)
        return own if own.author == author else self._recast(author, role)

    def _recast(self, author: Author, role: str) -> TurnSpec | None:
        """A declared role given to another author by the cast: its header, the author's turn."""
        base = self.turns.get(author)
        if base is None:
            return None
        own = self.roles[role]
        return replace(base, open=own.open, role=role, after={})

    @cached_property
    def specs(self) -> tuple[TurnSpec, ...]:
        """Every turn of the format, roles before authors."""
        return (*self.roles.values(), *self.turns.values())

    @cached_property
    def control_symbols(self) -> Mapping[str, str]:
        """Control token to the lone surrogate that stands for it where headers are read."""
        return {token: chr(0xD800 + number) for number, token in enumerate(self.control)}

    @cached_property
    def history_changes(self) -> tuple[str, ...]:
        """Why adding a message can change earlier ids, one reason each; empty if it never does.

        Derived from the file. ``tests/test_history.py`` holds a witness conversation for each.
        """
        from rolecall.history import reasons

        return reasons(self)

    def render(
        self,
        messages: object,
        tools: object = None,
        cast: object = None,
        add_generation_prompt: bool = False,
        continue_final_message: bool | str = False,
        speaker: Speaker | None = None,
        strict: bool | str = True,
        **options: Any,
    ) -> Rendering:
        """Render a conversation to segments, and from them to text and token ids.

        Args:
            messages: A list of messages, ``{messages, tools, cast, options}``, or a
                `Conversation`.
            tools: Tool schemas in the OpenAI form.
            cast: Who authors which role; standard roles need no entry.
            add_generation_prompt: Open a turn of ``assistant`` at the end.
            continue_final_message: Leave the final message open: True, or the field to leave
                open, ``"content"`` or ``"reasoning_content"``.
            speaker: Open a turn of this role, ``(role, name)``, or `rolecall.ANY` to let the
                model choose; implies the generation prompt.
            strict: True raises on lost records of level error; ``"warning"`` and ``"note"``
                tighten it; False never raises.
            **options: Values of the options that the format declares.

        Raises:
            ConversationError: If the conversation cannot be read or written.
            OptionError: If an option is unknown or its value is of the wrong type.
            LossError: If something is lost that `strict` does not allow.
        """
        from rolecall.bulk.filled import Filled, fill
        from rolecall.bulk.moulds import manner

        arguments = {
            "tools": tools,
            "cast": cast,
            "add_generation_prompt": add_generation_prompt,
            "continue_final_message": continue_final_message,
            "speaker": speaker,
            "strict": strict,
            **options,
        }
        found = fill(self, manner(arguments), messages)
        return found.rendering() if isinstance(found, Filled) else found

    def walk(self, conversation: object, manner: Manner) -> Rendering:
        """Render a conversation segment by segment; see `render`, which does so where it must."""
        from rolecall.bulk.moulds import DEFAULTS
        from rolecall.render import render

        given = dict(manner.arguments)
        asked = {name: given.pop(name) for name in DEFAULTS}
        read = Conversation.read(
            conversation, tools=manner.tools, cast=asked.pop("cast"), options=given
        )
        return render(self, read, **asked)

    def encode_batch(
        self, conversations: Iterable[object], tokenizer: object, **arguments: Any
    ) -> Batch:
        """Render and encode many conversations into flat arrays.

        Args:
            conversations: Each a list of messages, ``{messages, tools, cast, options}`` or a
                `Conversation`.
            tokenizer: What `rolecall.tokenizer` returns, or anything it takes.
            **arguments: The other arguments of `render`, the same for all.

        Raises:
            ConversationError: As `render` does, with the number of the conversation in front.
            TokenizerError: If the tokenizer lacks a control token of the format.
        """
        from rolecall.batch import encode_batch

        return encode_batch(self, conversations, tokenizer, arguments)

    def encode_iter(
        self,
        conversations: Iterable[object],
        tokenizer: object,
        batch_tokens: int = 1_000_000,
        **arguments: Any,
    ) -> Iterator[Batch]:
        """Render and encode a stream of conversations, a batch at a time.

        Args:
            conversations: Each as for `encode_batch`; read as the batches are asked for.
            tokenizer: What `rolecall.tokenizer` returns, or anything it takes.
            batch_tokens: A batch ends with the conversation that brings it to this many tokens.
            **arguments: The other arguments of `render`, the same for all.

        Raises:
            InputError: If `batch_tokens` is not a positive whole number.
            ConversationError: As `render` does, with the number of the conversation in front.
            TokenizerError: If the tokenizer lacks a control token of the format.
        """
        from rolecall.batch import encode_iter

        return encode_iter(self, conversations, tokenizer, batch_tokens, arguments)

    def canonical(
        self, messages: object, tools: object = None, cast: object = None, **options: Any
    ) -> Conversation:
        """What the format makes of a conversation: that which its ids can say.

        Defaults are added; merging, folding, trimming and moving are done; what has no place is
        left out. Idempotent: ``canonical(canonical(c)) == canonical(c)``, and both render alike.

        Raises:
            ConversationError: If the conversation cannot be read or written.
        """
        from rolecall.canonical import canonical

        return canonical(self, Conversation.read(messages, tools=tools, cast=cast, options=options))

    def parse(
        self,
        source: object,
        tokenizer: object = None,
        cast: object = None,
        strict: bool | str = True,
        **options: Any,
    ) -> Conversation:
        """Read a conversation back from its ids or its text.

        What comes back is the canonical form of what was rendered: ``parse(encode(c).ids) ==
        canonical(c)``. Ids are the truth; in a text, whatever spells a control token of this
        format is taken for one. What could not be read is listed in ``unread``, never dropped.

        Args:
            source: Token ids (a list, an array or an `Encoding`), or a text.
            tokenizer: The vocabulary of the ids: what `rolecall.tokenizer` returns, or anything it
                takes. Not needed for a text.
            cast: Who authors which role; authors of roles that are not declared stay unknown.
                Where a name stands in place of a role it must say whose name it is, as that of
                `canonical` does.
            strict: True raises on what is in no message (records of level error); ``"warning"``
                and ``"note"`` tighten it; False never raises on what is written.
            **options: Values of the options that the conversation was rendered with; strings that
                it writes are read back.

        Raises:
            ParseError: If something could not be read that `strict` does not allow; the error has
                what could, as ``conversation``.
            InputError: If ids come without a tokenizer, or are none.
        """
        from rolecall.parse import parse

        engine = None if tokenizer is None else _loaded(tokenizer)
        given = getattr(source, "ids", source)
        return parse(self, given, engine, Cast.read(cast), options, strict)

    def stream(
        self,
        tokenizer: object = None,
        prompt: Encoding | Rendering | None = None,
        cast: object = None,
        *,
        messages: int | None = 1,
        speakers: Collection[str | tuple[str, str]] | None = None,
        prefill: bool = True,
    ) -> Stream:
        """Read a reply while it comes in.

        Args:
            tokenizer: The vocabulary of the ids: what `rolecall.tokenizer` returns, or anything it
                takes. Not needed for text.
            prompt: What the reply continues: a header, a prefill, open reasoning, or, rendered
                with ``speaker=rc.ANY``, nothing but the beginning of a header. Without it the
                reply is read as behind the generation prompt of ``assistant``.
            cast: Who authors which role, beside what the prompt's conversation says.
            messages: How many messages to read; what comes behind them is in ``rest``. None reads
                on as long as ids come.
            speakers: Roles, or pairs of role and name, that may speak; others are reported. None
                allows whatever is the model's.
            prefill: Whether the message of the reply holds the text of a prefill.

        Raises:
            InputError: If the prompt was rendered by another format.
        """
        from rolecall.render import Rendering
        from rolecall.stream import Stream

        if (
            prompt is not None
            and not isinstance(prompt, Rendering)
            and not hasattr(prompt, "rendering")
        ):
            raise InputError(
                f"prompt: found {prompt!r}; give what render or encode returned for the messages"
            )
        rendering = None if prompt is None else getattr(prompt, "rendering", prompt)
        if rendering is not None and not isinstance(rendering, Rendering):
            raise InputError(
                "prompt: it was rendered by a template, whose replies cannot be read; give what a "
                "format rendered"
            )
        if isinstance(speakers, str):
            raise InputError(
                f"speakers: found {speakers!r}; give a list of roles or of (role, name) pairs"
            )
        if messages is not None and (type(messages) is not int or messages < 1):
            raise InputError(f"messages: found {messages!r}; give a positive number, or None")
        return Stream(
            self,
            None if tokenizer is None else _loaded(tokenizer),
            rendering,
            Cast.read(cast),
            messages=messages,
            speakers=speakers,
            prefill=prefill,
        )

    def extend(
        self,
        encoding: Encoding,
        messages: Iterable[object],
        sampled: object = None,
        rerender: bool = False,
        *,
        add_generation_prompt: bool = False,
        continue_final_message: bool | str = False,
        speaker: Speaker | None = None,
        strict: bool | str = True,
    ) -> Encoding:
        """Add a reply and new messages behind an encoding, whose ids stay as they are.

        Neither the ids that are there nor those that were sampled are tokenized again; only what
        is new is. The turn that is open is closed where the model did not close it, and what
        closes it then does not count as sampled.

        Where the sampled ids are what this format's text encodes to, the result has the ids of a
        fresh `encode` of the whole conversation. They are not if the model split its words
        otherwise, spaced a tool call otherwise, or was cut off in text that is one run with what
        closes the turn; its `rendering` is that of a fresh one all the same. A fresh encoding also
        joins text behind an encoding that ends in plain text to that text.

        Args:
            encoding: What to extend; it may end in a generation prompt, in a message that was left
                open (content or reasoning), or in a turn that is closed.
            messages: What follows, tool results for instance, as a list of messages; tools, cast
                and options stay those of the encoding. If nothing was sampled and a turn is open,
                the first of them is its message.
            sampled: Ids that a model sampled behind the encoding, with or without the token that
                ends its turn. They are read as by `stream`; what they say becomes a message.
            rerender: Render and encode everything again. This is the way out where history
                changes; the ids that were there are not kept then.
            add_generation_prompt: As for `render`, behind the new messages.
            continue_final_message: As for `render`.
            speaker: As for `render`.
            strict: As for `render`, for what the new messages lose.

        Raises:
            HistoryChanged: If this format would write what is there otherwise now that more
                follows; `history_changes` says why it may. The error names the first message that
                differs.
            ConversationError: If the new messages cannot be read or written, or a turn is open for
                which nothing is given.
            LossError: If something is lost that `strict` does not allow.
            InputError: If the encoding is of another format, or `sampled` is no reply.
            TokenizerError: If the tokenizer lacks a control token of the new text.
        """
        from rolecall.extend import extend

        return extend(
            self,
            encoding,
            messages,
            sampled,
            rerender=rerender,
            strict=strict,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=continue_final_message,
            speaker=speaker,
        )

    def export(self, target: str, /, **options: Any) -> Exported:
        """Write the format as the files that another program loads.

        Args:
            target: ``"jinja"``, ``"sillytavern"``, ``"ollama"`` …: a name of
                `rolecall.export.TARGETS`.
            **options: What the target may be told, and values of the options that the format
                declares, which are written into the files.

        Raises:
            InputError: If there is no such target, or it cannot write this format.
            OptionError: If an option is unknown or its value is of the wrong type.
        """
        from rolecall.export import export

        return export(self, target, **options)

    def to_jinja(self, generation_markers: bool = False, cast: object = None) -> str:
        """This format as a Jinja `chat_template`.

        The template writes what `render` writes and refuses what it refuses, in the same words.
        Beside the variables of transformers it reads `speaker`, a role or ``{role, name}``, and
        `continue_final_message`; `rolecall.export.jinja.limits` lists what it cannot do.

        Args:
            generation_markers: Put what the model samples between ``{% generation %}`` and
                ``{% endgeneration %}``, which transformers reads and other engines may not.
            cast: Who authors which role, beside the standard ones; the template refuses others.

        Raises:
            ConversationError: If the cast cannot be read, or has a role that no header can say.
            InputError: If the format does what no template can follow.
        """
        from rolecall.export.jinja import to_jinja

        return to_jinja(self, cast, generation_markers=generation_markers)

    def option_values(self, given: Mapping[str, Any]) -> dict[str, str | bool | int]:
        """The value of every option, the caller's or the default.

        Raises:
            OptionError: If an option is unknown or its value is of the wrong type.
        """
        values: dict[str, str | bool | int] = {
            name: option.default for name, option in self.options.items()
        }
        tokens = {"bos_token": self.bos_token, "eos_token": self.eos_token}
        values.update(tokens)
        for name, value in given.items():
            if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise OptionError(f"found the option {name!r}; names of options are strings")
            if name in tokens:
                if not isinstance(value, str):
                    raise OptionError(f"option {name}: found {value!r}; it must be a string")
                _check_encodable(name, value)
            elif name not in self.options:
                known = ", ".join([*self.options, *tokens])
                raise OptionError(
                    f"{self.name} takes no option {name!r}{nearest(name, values)} "
                    f"(it takes: {known})"
                )
            else:
                _check_option(name, self.options[name], value)
            values[name] = value
        return values


def _loaded(tokenizer: object) -> Tokenizer:
    # What stands behind a vocabulary is loaded only where there is one.
    from rolecall.tokenizers import tokenizer as load

    return load(tokenizer)


def _check_option(name: str, option: Option, value: object) -> None:
    if type(value) is not type(option.default):
        raise OptionError(
            f"option {name}: found {value!r}; it must be a {type(option.default).__name__}, "
            f"such as {option.default!r}"
        )
    if isinstance(value, str):
        _check_encodable(name, value)
    if option.choices and value not in option.choices:
        raise OptionError(
            f"option {name}: found {value!r}; choose one of {', '.join(option.choices)}"
        )


def _check_encodable(name: str, value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise OptionError(f"option {name}: {value!r} holds a lone surrogate") from None


def formats() -> list[str]:
    """The names of the bundled formats, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_format(source: str | Path) -> Format:
    """Load a format by bundled name, or from the path of a ``.toml`` file.

    A bundled name wins; a path has a separator or a suffix.

    Raises:
        UnknownFormatError: If there is no such format or file.
        FormatFileError: If the file has an unknown key, a wrong type or an impossible rule.
    """
    path = _path(source)
    text = str(source)
    if isinstance(source, str) and text in formats():
        return _bundled(text)
    if path.suffix in TEMPLATE_FILES:
        raise UnknownFormatError(
            f"{text!r} holds a chat template, which says how to write a conversation and not how "
            "to read one; it is no format. rolecall.template and 'rolecall render' take it"
        )
    if path.suffix != ".toml" and path.name == text:
        known = formats()
        raise UnknownFormatError(
            f"no bundled format is called {text!r}{nearest(text, known)}; "
            "'rolecall formats' lists them, and a path to a .toml file works too"
        )
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UnknownFormatError(f"cannot read the format file {text!r}: {reason}") from None
    from rolecall.loader import read_format

    return read_format(content, path)


def _path(source: object) -> Path:
    if isinstance(source, (str, os.PathLike)):
        return Path(cast("str | os.PathLike[str]", source))
    raise UnknownFormatError(
        f"found {source!r}; give the name of a bundled format or the path of a .toml file"
    )


TEMPLATE_FILES = (".jinja", ".jinja2", ".j2", ".json", ".gguf")
"""Suffixes of what holds a chat template rather than a format."""


def holds_template(source: object) -> bool:
    """Whether a source holds a chat template rather than a format: a folder, or by its suffix."""
    if not isinstance(source, (str, os.PathLike)):
        return True
    text = os.fspath(cast("str | os.PathLike[str]", source))
    if text in formats():
        return False
    path = Path(text)
    with suppress(OSError):  # a name too long for a file; load_format says so
        return path.suffix in TEMPLATE_FILES or path.is_dir()
    return False


@cache
def _bundled(name: str) -> Format:
    from rolecall.loader import read_format

    path = FOLDER / f"{name}.toml"
    return read_format(path.read_text(encoding="utf-8"), path)


def strategies_of(fmt: Format) -> Iterator[tuple[str, str, Strategy]]:
    """The strategies a format uses: ``(registry, name, strategy)``."""
    cited = [
        ("SYSTEM_PLACES", fmt.system.place),
        *(("KEEP", keep) for keep in fmt.reasoning.keeps),
        ("THINKS", fmt.reasoning.thinks),
        *(("ORDER_RULES", rule) for rule in fmt.order.rules),
    ]
    if fmt.tools is not None:
        cited += [("TOOL_PLACES", place) for place in fmt.tools.places]
        cited.append(("TOOL_SCHEMAS", fmt.tools.schema))
    if fmt.calls is not None:
        cited += [("ARGUMENTS", fmt.calls.arguments), ("KEEP", fmt.calls.keep)]
    for kind, name in cited:
        strategies = registry(kind)
        assert strategies is not None
        yield kind, name, strategies[name]
