"""Rolecall, the compiler for chat formats.

Everything public is here. Importing this module loads no numpy, no template engine and no
tokenizer; they are loaded where they are first needed.
"""

from rolecall.conversation import Cast, Conversation, Message, ToolCall
from rolecall.errors import HistoryChanged, InputError, ModelOutputError, ParseError, RolecallError
from rolecall.format import Format, formats, load
from rolecall.format import load_format as format
from rolecall.lost import Lost
from rolecall.render import ANY, Rendering
from rolecall.segment import PARTS, Segment

__version__ = "0.1.0"

__all__ = [
    "ANY",
    "PARTS",
    "Cast",
    "Conversation",
    "Format",
    "HistoryChanged",
    "InputError",
    "Lost",
    "Message",
    "ModelOutputError",
    "ParseError",
    "Rendering",
    "RolecallError",
    "Segment",
    "ToolCall",
    "format",
    "formats",
    "load",
    "tokenizer",
]


def tokenizer(source: object) -> object:
    """Load a tokenizer from a file, a folder or an object of another package.

    Load once and keep the result: reading a file takes a second or so. It is what
    `Rendering.encode` takes; its own methods are no part of the public surface.

    Args:
        source: A `tokenizer.json`, `tekken.json` or SentencePiece `.model` file, a folder that
            holds one, a `tokenizers.Tokenizer`, a fast transformers tokenizer, or what this
            function returned.

    Raises:
        TokenizerError: If the source cannot be read as a tokenizer.
    """
    from rolecall.tokenizers import tokenizer as load  # loads the engines, so not above

    return load(source)
