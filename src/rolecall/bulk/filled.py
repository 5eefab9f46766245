"""A conversation in its mould: its rendering and its encoding, made as they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rolecall.bulk.mould import Mould
from rolecall.bulk.moulds import DEFAULTS, Manner, Met, moulds_of
from rolecall.bulk.shape import Shape, sizes, wire
from rolecall.conversation import Conversation
from rolecall.errors import ConversationError

if TYPE_CHECKING:
    from rolecall.bulk.assemble import Poured
    from rolecall.format import Format
    from rolecall.render import Rendering
    from rolecall.tokenizers import Tokenizer


class Filled(NamedTuple):
    """A conversation in its mould."""

    fmt: Format
    manner: Manner
    shape: Shape
    mould: Mould
    texts: list[str]
    """The texts of the shape and what is made of them."""
    sizes: list[int]
    """How many bytes of UTF-8 each of them is."""

    @property
    def text(self) -> str:
        """All that is written."""
        return self.mould.text(self.texts)

    def rendered(self) -> Rendering:
        """The same conversation, rendered segment by segment."""
        from rolecall.bulk.refill import refill

        return refill(self) or self.fmt.walk(wire(self.shape), self.manner.kept())

    def rendering(self) -> Rendering:
        """The rendering, of which nothing is made before it is asked for."""
        from rolecall.render import Rendering

        return Rendering.later(self)

    def pour(self, tokenizer: Tokenizer) -> Poured | None:
        """What to encode under a vocabulary, or None where the mould does not fit it."""
        from rolecall.bulk.assemble import pour

        mould = self.mould
        fitted = mould.fitted.get(tokenizer, False)
        if isinstance(fitted, bool):
            from rolecall.bulk.fit import fit

            fitted = fit(mould, moulds_of(self.fmt).literals(tokenizer))
            mould.fitted[tokenizer] = fitted
        return None if fitted is None else pour(fitted, self.texts, self.sizes)


def fill(fmt: Format, manner: Manner, given: object) -> Filled | Rendering:
    """Render a conversation by the mould of its shape, or where there is none the ordinary way.

    Raises:
        ConversationError: As `Format.render` does.
    """
    shape = manner.read(fmt, given)
    if shape is None:
        return fmt.walk(given, manner)
    moulds = moulds_of(fmt)
    mould = moulds.get(shape.key)
    if isinstance(mould, Met):
        rendering = fmt.walk(given, manner)
        if mould is Met.ONCE and _holds_all(shape, manner, rendering):
            moulds.add(rendering, shape)
        return rendering
    texts = None if mould is None else mould.fill(shape.texts)
    if mould is None or texts is None:
        return fmt.walk(given, manner)
    own = shape.sizes
    if texts is not shape.texts:
        own = own + sizes(texts[len(own) :])
    return Filled(fmt, manner, shape, mould, texts, own)


def _holds_all(shape: Shape, manner: Manner, rendering: Rendering) -> bool:
    """Whether a shape gives back the conversation that it was taken from.

    Objects that only look like those of JSON, such as NumPy's, may be kept as something else.
    """
    options = dict(manner.kept().arguments)
    asked = {name: options.pop(name) for name in DEFAULTS}
    try:
        again = Conversation.read(wire(shape), cast=asked["cast"], options=options)
        return again == rendering.conversation
    except (ConversationError, ValueError):
        return False
