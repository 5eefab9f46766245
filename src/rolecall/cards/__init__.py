"""Character cards become conversations.

A card describes one character for a chat: V1, V2 and V3 cards in JSON, the same embedded in a PNG
picture, and cards in Markdown under headings. `read_card` reads any of them, and
`Card.to_conversation` makes a conversation of it, with a record of everything a conversation does
not carry.
"""

from __future__ import annotations

from rolecall.cards.card import Card, CardConversation, CardError, Lorebook, LoreEntry
from rolecall.cards.source import read_card

__all__ = ["Card", "CardConversation", "CardError", "LoreEntry", "Lorebook", "read_card"]
