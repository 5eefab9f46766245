"""What a format writes around contents, as plain text.

Most other programs know a chat as literal text between contents: what opens a turn and what closes
it, by who speaks and who spoke before. That text is read off renderings of the format itself, of
conversations whose contents are placeholders, so it is what `render` writes and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

from rolecall.conversation import DEFAULT_ROLE, Author, Cast
from rolecall.errors import InputError
from rolecall.lost import Lost
from rolecall.pattern import Piece, slots, write
from rolecall.render import Rendering

if TYPE_CHECKING:
    from rolecall.format import Format
    from rolecall.segment import Segment

CONTENT = "x"
"""Stands for a content; it is told by its segment, not by its text."""

NAMES: Mapping[Author, str] = {"client": "\ue000", "model": "\ue001"}
"""Stand for the names of speakers in what is written around contents."""


class Around(NamedTuple):
    """What stands around one content."""

    opens: str
    closes: str
    message: int
    """Number of the message whose content it is."""


class Chain(NamedTuple):
    """What stands around the contents of a conversation, in the order of its text."""

    turns: tuple[Around, ...]
    prompt: str
    """What is written behind the last turn, for the model to speak next."""


@dataclass(frozen=True)
class Frames:
    """The text that a format writes around the contents of plain conversations."""

    fmt: Format
    options: Mapping[str, Any]
    """Values of options of the format, its tokens included."""
    roles: Mapping[Author, str]
    """The role under which each author speaks."""
    cast: Cast
    names: bool
    """Whether speakers have names, which are then those of `NAMES`."""
    _made: dict[tuple[Author, ...], Chain | None] = field(
        default_factory=dict[tuple[Author, ...], "Chain | None"], repr=False
    )

    @property
    def begin(self) -> str:
        """What stands before the first turn, without the token that begins a document."""
        values = {
            name: (Piece(str(value), "scaffold"),) if value else ()
            for name, value in self.fmt.option_values(self.options).items()
        }
        pieces: list[Piece] = []
        write(self.fmt.begin, values, "scaffold", pieces.append)
        return "".join(piece.text for piece in pieces).removeprefix(self.bos)

    @property
    def bos(self) -> str:
        """The token that begins a document."""
        return str(self.fmt.option_values(self.options)["bos_token"])

    def chain(self, *authors: Author) -> Chain | None:
        """What stands around the contents of these authors, or None where the format refuses.

        The begin-of-text token at the very beginning is left out: whoever encodes the text puts
        it there.
        """
        if authors not in self._made:
            try:
                self._made[authors] = self._chain(authors)
            except InputError:
                self._made[authors] = None
        return self._made[authors]

    def turn(self, message: int, *authors: Author) -> Around | None:
        """What stands around one message of these authors, or None where it is not written."""
        chain = self.chain(*authors)
        found = () if chain is None else chain.turns
        return next((turn for turn in found if turn.message == message), None)

    def talk(self) -> Chain | None:
        """What stands around messages of client and model by turns, and what asks for a reply.

        What a header begins with only behind another turn stands at the end of that turn here, so
        that a header is the same wherever it stands. None where the format refuses such a talk.
        """
        chain = self.chain("client", "model", "client")
        if chain is None:
            return None
        first, model, client = chain.turns
        more = {"client": _more(self.turn(0, "client"), client, self.begin)}
        more["model"] = _more(self.turn(0, "model", "client"), model, self.begin)
        if not chain.prompt.startswith(more["model"]):
            more["model"] = ""
        return Chain(
            (
                Around(client.opens.removeprefix(more["client"]), first.closes + more["model"], 0),
                Around(model.opens.removeprefix(more["model"]), model.closes + more["client"], 1),
            ),
            chain.prompt.removeprefix(more["model"]),
        )

    def _chain(self, authors: Sequence[Author]) -> Chain:
        messages = [self._message(author) for author in authors]
        role, name = self.roles["model"], NAMES["model"]
        rendering = self.fmt.render(
            messages,
            cast=self.cast,
            speaker=(role, name) if self._named("model") else role,
            strict=False,
            **self.options,
        )
        return split(self.fmt, rendering, self.bos)

    def _message(self, author: Author) -> dict[str, str]:
        message = {"role": self.roles[author], "content": CONTENT}
        if self._named(author):
            message["name"] = NAMES[author]
        return message

    def _named(self, author: Author) -> bool:
        return self.names and author in NAMES and writes_name(self.fmt, author, self.roles[author])


def _more(first: Around | None, later: Around, begin: str) -> str:
    """What the header of a later turn begins with that the header of a first one does not."""
    opens = None if first is None else first.opens.removeprefix(begin)
    if opens is None or not later.opens.endswith(opens):
        return ""
    return later.opens.removesuffix(opens) if opens else ""


def split(fmt: Format, rendering: Rendering, bos: str) -> Chain:
    """A rendering as what stands around its contents."""
    turns: list[Around] = []
    waiting: list[Segment] = []
    opens, content, spoken = "", "", None
    for segment in rendering.segments:
        if segment.part == "content" and segment.message is not None:
            if segment.message == spoken:
                # What came before was the format's own system prompt, folded into this turn.
                opens += content + "".join(one.text for one in waiting)
                content, waiting = segment.text, []
                continue
            closes, opened = _parted(fmt, rendering, waiting, spoken)
            if spoken is not None:
                turns.append(Around(opens, closes, spoken))
            opens, spoken, waiting, content = opened, segment.message, [], segment.text
            continue
        waiting.append(segment)
    closes, prompt = _parted(fmt, rendering, waiting, spoken)
    if spoken is not None:
        turns.append(Around(opens, closes, spoken))
    if turns:
        turns[0] = turns[0]._replace(opens=turns[0].opens.removeprefix(bos))
    else:
        prompt = prompt.removeprefix(bos)
    return Chain(tuple(turns), prompt)


def _parted(
    fmt: Format, rendering: Rendering, between: Sequence[Segment], spoken: int | None
) -> tuple[str, str]:
    """What stands between two contents: what closes the turn of the first, what opens the next."""
    text = [segment.text for segment in between]
    if spoken is None:
        return "", "".join(text)
    role = rendering.conversation.messages[spoken].role
    spec = fmt.spec(rendering.authors[spoken], role)
    # Where a turn has no end of its own, what ends it is the first token of the next header.
    borrowed = spec is not None and not spec.end
    cut = len(between)
    for number, segment in enumerate(between):
        if segment.message != spoken or (borrowed and segment.part == "end"):
            cut = number
            break
    return "".join(text[:cut]), "".join(text[cut:])


def writes_name(fmt: Format, author: Author, role: str) -> bool:
    """Whether the header of a role says the name of its speaker."""
    spec = fmt.spec(author, role)
    headers = () if spec is None else (spec.open, *spec.after.values())
    return any(slots(header) & {"name", "speaker"} for header in headers)


def frames(
    fmt: Format,
    options: Mapping[str, Any],
    *,
    speaker: str = "assistant",
    user: str = "user",
    cast: object = None,
    names: bool = False,
) -> Frames:
    """What a format writes around contents.

    Args:
        fmt: The format.
        options: Values of its options.
        speaker: The role under which the model speaks.
        user: The role under which the client speaks.
        cast: Who authors which role, where role and format do not say it.
        names: Whether headers say the names of speakers.

    Raises:
        InputError: If one of the roles is another author's, or the format cannot write it.
    """
    given = Cast.read(cast)
    roles: dict[Author, str] = {"owner": "system", "client": user, "model": speaker, "tool": "tool"}
    for author, role, option in (("client", user, "user"), ("model", speaker, "speaker")):
        found = given.author(role, None) or fmt.declared.get(role)
        if found != author:
            said = "nobody says who authors it" if found is None else f"it is the {found}'s"
            raise InputError(
                f"{option}: found the role {role!r}, and {said}; give a role of the {author}, or "
                f"declare it with cast={{{role!r}: {author!r}}}"
            )
    return Frames(fmt, dict(options), roles, given, names)


SPOKEN: tuple[Author, ...] = ("owner", "client", "model")

WITNESSES: tuple[tuple[Author, ...], ...] = (
    *(authors for length in (1, 2, 3) for authors in product(SPOKEN, repeat=length)),
    ("owner", "client", "model", "client"),
    ("owner", "client", "client", "model", "model", "client"),
    ("owner", "client", "model", "client", "model", "client"),
    ("client", "model", "client", "model", "owner", "client"),
)
"""Every neighbourhood of plain conversations."""

Place = tuple[str, str]
"""Role of the message before and role of the one behind; empty at the beginning, and at the end,
where the model is to speak."""

CONDITIONS: Mapping[str, Callable[[Sequence[Author], int], bool]] = {
    "": lambda authors, behind: True,
    "in a chat with one user message": lambda authors, behind: authors.count("client") < 2,
    "behind a second system message": lambda authors, behind: authors[:behind].count("owner") > 1,
    "where that is the last message": lambda authors, behind: behind == len(authors) - 1,
}
"""When a place is written otherwise: prose to a test of the authors and the number of the message
behind the place."""


class Difference(NamedTuple):
    """A place that a target writes otherwise than the format."""

    place: Place
    when: str
    """One of `CONDITIONS`."""
    record: Lost

    def covers(self, place: Place, authors: Sequence[Author], behind: int) -> bool:
        """Whether it says so of this place in a conversation of these authors."""
        return self.place == place and CONDITIONS[self.when](authors, behind)


def places(chain: Chain, authors: Sequence[Author]) -> Iterator[tuple[Place, int, str]]:
    """What stands between contents that follow each other: where, before which message, what."""
    before, closes = "", ""
    for turn in chain.turns:
        role = DEFAULT_ROLE[authors[turn.message]]
        yield (before, role), turn.message, closes + turn.opens
        before, closes = role, turn.closes
    yield (before, ""), len(authors), closes + chain.prompt


def differences(
    made: Frames, title: str, writes: Callable[[tuple[Author, ...]], Chain]
) -> tuple[list[Difference], list[Lost]]:
    """What a target writes between contents otherwise than the format.

    Args:
        made: What the format writes.
        title: What the target is called in prose.
        writes: What the target writes around the contents of these authors.

    Returns:
        The places that differ, and the records of messages that the format moves or leaves out and
        the target does not.
    """
    seen: dict[Place, list[tuple[tuple[Author, ...], int, bool]]] = {}
    shown: dict[Place, tuple[str, str]] = {}
    moved: dict[str, Lost] = {}
    for authors in WITNESSES:
        chain = made.chain(*authors)
        if chain is None:
            continue
        theirs = writes(authors)
        stand = [turn.message for turn in chain.turns]
        if stand != [turn.message for turn in theirs.turns]:
            gone = len(stand) < len(authors)
            what = "leaves out" if gone else "moves"
            detail = f"{made.fmt.name} {what} system messages that {title} writes where they are"
            code = "system-kept" if gone else "system-unmoved"
            moved[code] = Lost("warning", code, None, "content", detail)
            continue
        for (place, behind, text), (_, _, other) in zip(
            places(chain, authors), places(theirs, authors), strict=True
        ):
            seen.setdefault(place, []).append((authors, behind, text != other))
            if text != other:
                shown.setdefault(place, (text, other))
    found: list[Difference] = []
    for place, (text, other) in shown.items():
        when = _when(seen[place])
        where = _where(place) + (f" {when}," if when else "")
        detail = f"{where} {made.fmt.name} writes {_shown(text)}, {title} {_shown(other)}"
        record = Lost("warning", "written-otherwise", None, "content", detail)
        found.append(Difference(place, when, record))
    return found, list(moved.values())


def _when(seen: Sequence[tuple[tuple[Author, ...], int, bool]]) -> str:
    """The condition that says exactly where a place differs, or the one that holds everywhere."""
    for name, test in CONDITIONS.items():
        if all(test(authors, behind) == differs for authors, behind, differs in seen):
            return name
    return ""


def _shown(text: str) -> str:
    for mark in NAMES.values():
        text = text.replace(mark, "NAME")
    return repr(text)


def _where(place: Place) -> str:
    before, behind = place
    if not before:
        return f"at the beginning, before {_a(behind)} message,"
    if not behind:
        return f"behind {_a(before)} message, for the model to speak,"
    return f"between {_a(before)} and {_a(behind)} message"


def _a(role: str) -> str:
    return f"{'an' if role[0] in 'aeio' else 'a'} {role}"
