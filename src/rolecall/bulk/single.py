"""The encoding of one conversation in its mould."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolecall.bulk.assemble import assemble
from rolecall.encode import Encoding

if TYPE_CHECKING:
    from rolecall.bulk.filled import Filled
    from rolecall.segment import Rendered
    from rolecall.tokenizers import Tokenizer


def encode_filled(filled: Filled, rendering: Rendered, tokenizer: Tokenizer) -> Encoding | None:
    """Encode a conversation in its mould, or None where that does not fit the vocabulary."""
    poured = filled.pour(tokenizer)
    if poured is None:
        return None
    arrays, odd = assemble([poured], tokenizer, frozenset(filled.fmt.control))
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
