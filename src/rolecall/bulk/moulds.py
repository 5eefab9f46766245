"""The moulds of each format, made as shapes are met, and what is kept of them."""

from __future__ import annotations

import marshal
from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from weakref import WeakKeyDictionary

from rolecall.bulk.mould import Mould, mould
from rolecall.bulk.shape import Key, Shape, read

if TYPE_CHECKING:
    from rolecall.bulk.fit import Literals
    from rolecall.format import Format
    from rolecall.render import Rendering
    from rolecall.tokenizers import Tokenizer

MOST_SEGMENTS = 100_000
"""Segments of the moulds that are kept of one format, some 40 MB; then all are made anew."""

CHARACTERS_OF_A_SEGMENT = 200
"""So many characters of text count as a segment more."""


class Met(Enum):
    """How often a shape without a mould was met."""

    NEVER = 0
    ONCE = 1


class Moulds:
    """The moulds of one format."""

    def __init__(self, control: frozenset[str]) -> None:
        """Begin without any.

        Args:
            control: The control tokens of the format.
        """
        self._known: dict[Key, Mould | None] = {}
        self._segments = 0
        self._met: set[int] = set()
        self._control = control
        self._literals: WeakKeyDictionary[Tokenizer, Literals] = WeakKeyDictionary()

    def get(self, key: Key) -> Mould | Met | None:
        """The mould of a shape; None where it has none, or how often it was met till now.

        A mould is made at the second meeting: of conversations with tools many are the only ones of
        their shape.
        """
        found = self._known.get(key, Met.NEVER)
        if found is not Met.NEVER:
            return found
        return Met.ONCE if self.met(key) else Met.NEVER

    def met(self, key: Key | bytes) -> bool:
        """Whether a shape, or a part of one, was asked about before."""
        number = hash(key)
        if number in self._met:
            return True
        if len(self._met) >= MOST_SEGMENTS:
            self._met.clear()
        self._met.add(number)
        return False

    def add(self, rendering: Rendering, shape: Shape) -> Mould | None:
        """Make and keep the mould of a conversation that was rendered."""
        found = mould(rendering, shape)
        # A mould keeps the rendering that it was taken from.
        characters = sum(len(segment.text) for segment in rendering.segments)
        size = len(rendering.segments) + characters // CHARACTERS_OF_A_SEGMENT
        if self._segments + size > MOST_SEGMENTS:
            self._known.clear()
            self._segments = 0
        self._segments += size
        self._known[shape.key] = found
        return found

    def literals(self, tokenizer: Tokenizer) -> Literals:
        """The literals of the format under a vocabulary."""
        found = self._literals.get(tokenizer)
        if found is None:
            from rolecall.bulk.fit import Literals

            found = self._literals[tokenizer] = Literals(tokenizer, self._control)
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        """Of a copy of the format, for pickling too: none are kept yet."""
        return (Moulds, (self._control,))


def moulds_of(fmt: Format) -> Moulds:
    """The moulds of a format, kept in it: they hold it, and are given up with it."""
    found = fmt.__dict__.get("_moulds")
    if found is None:
        found = fmt.__dict__.setdefault("_moulds", Moulds(frozenset(fmt.control)))
    return found


class Manner(NamedTuple):
    """How conversations are rendered: the arguments of `Format.render` beside them."""

    arguments: dict[str, Any]
    """All of them but `tools`."""
    tools: object
    key: Key | None
    """What of a shape they are, or None where renderings under them have no moulds."""

    def read(self, fmt: Format, given: object) -> Shape | None:
        """Take a conversation apart that is to be rendered so, or None; see `shape.read`."""
        if self.key is None:
            return None
        return read(fmt, given, self.tools, self.key, moulds_of(fmt).met)

    def kept(self) -> Manner:
        """The same arguments as they were when this was made; tools are then in the shape."""
        assert self.key is not None
        speaker, rest = self.key
        return Manner({**marshal.loads(rest), "speaker": speaker}, None, self.key)


DEFAULTS: dict[str, Any] = {
    "cast": None,
    "add_generation_prompt": False,
    "continue_final_message": False,
    "speaker": None,
    "strict": True,
}
"""Arguments of `Format.render` beside the conversation and its tools; others are options."""


def manner(arguments: Mapping[str, Any]) -> Manner:
    """Read the arguments of `Format.render`; those not given have their defaults."""
    given = {**DEFAULTS, **arguments}
    tools = given.pop("tools", None)
    return Manner(given, tools, _key(given))


def _key(given: dict[str, Any]) -> Key | None:
    from rolecall.speaker import ANY

    speaker: Any = given["speaker"]
    # Records of a lower level than errors depend on what texts say.
    if type(given["strict"]) is not bool or type(given["add_generation_prompt"]) is not bool:
        return None
    if type(given["continue_final_message"]) not in (bool, str):
        return None
    if type(speaker) is tuple:
        pair = cast("tuple[object, ...]", speaker)
        if not all(type(item) is str for item in pair):
            return None
    elif not (speaker is None or type(speaker) is str or speaker is ANY):
        return None
    try:
        rest = marshal.dumps({k: v for k, v in given.items() if k != "speaker"}, 2)
    except ValueError:
        return None
    return (given["speaker"], rest)
