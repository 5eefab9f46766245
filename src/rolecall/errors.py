"""Every error Rolecall raises, in two families: the caller's mistakes and the model's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rolecall.conversation import Conversation
    from rolecall.lost import Lost
    from rolecall.unread import Unread


class RolecallError(Exception):
    """Base of every error raised on purpose by this package."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors cross from worker processes as they are; __init__ has written the text already.
        return type(self).__new__, (type(self), *self.args), self.__dict__


class InputError(RolecallError):
    """The caller's mistake: a conversation, format, option or tokenizer that cannot be used."""


class ModelOutputError(RolecallError):
    """The model's mistake: ids or text that do not follow the format."""


class ParseError(ModelOutputError):
    """Ids or text that hold what the format does not account for, and ``strict`` forbids it.

    Attributes:
        conversation: What could be read.
        unread: Every record of what could not.
    """

    def __init__(self, text: str, conversation: Conversation, unread: tuple[Unread, ...]) -> None:
        self.conversation = conversation
        self.unread = unread
        super().__init__(text)


class ConversationError(InputError):
    """A conversation that cannot be read or rendered.

    Attributes:
        message: Index of the message concerned, or None for the conversation as a whole.
        field: Name of the field concerned, such as ``content`` or ``tool_calls[0].id``.
    """

    def __init__(self, text: str, *, message: int | None = None, field: str = "") -> None:
        self.message = message
        self.field = field
        where = "conversation" if message is None else f"message {message}"
        super().__init__(f"{where}{', ' + field if field else ''}: {text}")


class UndeclaredRoleError(ConversationError):
    """A role that is not standard and that neither cast nor format declares."""


class ForgedHeaderError(ConversationError):
    """A header that would read back as another author, role or name than the one written."""


class OrderError(ConversationError):
    """Messages in an order that the format has no way to write."""


class HistoryChanged(ConversationError):  # noqa: N818  (the name is public)
    """With new messages behind it, what was written already would be written otherwise.

    `message` is the first that differs, or None where that is something before all of them.
    """


class LossError(ConversationError):
    """The rendering would lose something and ``strict`` forbids it.

    Attributes:
        lost: Every lost record of the rendering, those below the strict level included.
    """

    def __init__(
        self, text: str, lost: tuple[Lost, ...], *, message: int | None, field: str
    ) -> None:
        self.lost = lost
        super().__init__(text, message=message, field=field)


class OptionError(InputError):
    """An option the format does not take, or a value of the wrong type."""


class UnknownFormatError(InputError):
    """No bundled format has that name, or no file is at that path."""


class FormatFileError(InputError):
    """A format file with an unknown key, a wrong type or an impossible rule.

    Attributes:
        path: The file as the caller named it.
        line: 1-based line of the offending key, or None if the file as a whole is at fault.
    """

    def __init__(self, path: str, line: int | None, text: str) -> None:
        self.path = path
        self.line = line
        super().__init__(f"{path}{'' if line is None else f', line {line}'}: {text}")


class TokenizerError(InputError):
    """A tokenizer that cannot be loaded, or that lacks what a format needs."""


class TemplateError(InputError):
    """A chat template that cannot be read or run."""


class TemplateSyntaxError(TemplateError):
    """A template that is no Jinja.

    Attributes:
        line: 1-based line of the template, or None if it cannot be told.
    """

    def __init__(self, text: str, line: int | None) -> None:
        self.line = line
        super().__init__(text)


class TemplateRaised(TemplateError):  # noqa: N818  (it says what happened)
    """A template that raised an error instead of writing the conversation.

    Attributes:
        reason: What it raised, in its own words or in Jinja's.
        kind: Name of the error's type, such as ``UndefinedError``.
        by_template: Whether the template called ``raise_exception``; else it failed.
    """

    def __init__(self, text: str, reason: str, kind: str, *, by_template: bool) -> None:
        self.reason = reason
        self.kind = kind
        self.by_template = by_template
        super().__init__(text)


class TemplateLimit(TemplateError):  # noqa: N818
    """A template that takes more time, room or depth than it is allowed."""


class LearnError(InputError):
    """A template that no format file was found for.

    Attributes:
        conversation: The conversation that shows why, as `messages` and what is given beside them.
        expected: What the template writes, or why it refuses.
        found: What the best format file found would write, or why it refuses.
    """

    def __init__(
        self,
        text: str,
        *,
        conversation: Mapping[str, Any] | None = None,
        expected: str = "",
        found: str = "",
    ) -> None:
        self.conversation = conversation
        self.expected = expected
        self.found = found
        super().__init__(text)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the nearest known word, or an empty string."""
    import difflib  # takes longer to load than everything else of this module

    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""
