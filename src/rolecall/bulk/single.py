"""The encoding of one conversation, by the means of a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rolecall.bulk.assemble import assemble, loose
from rolecall.bulk.fit import Literals
from rolecall.bulk.moulds import moulds_of
from rolecall.encode import Encoding

if TYPE_CHECKING:
    from rolecall.segment import Rendered
    from rolecall.tokenizers import Tokenizer


def encode_alone(rendering: Rendered, tokenizer: Tokenizer) -> Encoding | None:
    """Encode a rendering, or None where it cannot be encoded in bulk."""
    given: Any = rendering
    filled = getattr(rendering, "filled", None)
    if filled is not None:
        poured = filled.pour(tokenizer)
    elif getattr(rendering, "fields", ()):
        poured = loose(rendering, given.varies, moulds_of(given.format).literals(tokenizer))
    else:
        control = frozenset(rendering.writer.control)
        varies = [not segment.control for segment in rendering.segments]
        poured = loose(rendering, varies, Literals(tokenizer, control))
    if poured is None:
        return None
    arrays, odd = assemble([poured], tokenizer, frozenset(rendering.writer.control))
    if odd:
        return None
    return Encoding.later(
        ids=arrays.ids,
        message=arrays.message,
        part=arrays.part,
        sampled=arrays.sampled,
        straddles=arrays.straddles,
        rendering=rendering,
        tokenizer=tokenizer,
    )
