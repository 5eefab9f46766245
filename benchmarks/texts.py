"""Conversations of real words, fresh ones for every round; no text comes twice.

A message is English prose, code, Chinese, Arabic, or prose with emoji. Prose is drawn word by word
by real frequencies, so that common words are as common as they are and rare ones keep coming;
numbers, names and made-up identifiers stand among them. Code is real lines with some of their
names replaced.
"""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Callable
from typing import Any

from benchmarks.corpus import Corpus, corpus

SHAPES = ("short", "long", "agent")

KINDS = {"prose": 50, "code": 16, "chinese": 14, "arabic": 10, "emoji": 10}
"""How many of a hundred pieces of text are of each kind."""

SPREAD = 0.6
"""Of the lengths of messages, whose logarithm is normal."""

PIECE = 60
"""Words of a paragraph, about."""

NAME = re.compile(r"\b[a-z][a-z_]{4,}\b")


class Texts:
    """A stream of texts and conversations.

    Args:
        seed: Another seed gives another stream.
        source: What texts are made of.
    """

    def __init__(self, seed: int, source: Corpus | None = None) -> None:
        self.random = random.Random(seed)
        self.corpus = source or corpus()
        self.corpus.seed(seed)
        self.kinds: dict[str, Callable[[int], str]] = {
            "prose": self.prose,
            "code": self.code,
            "chinese": self.chinese,
            "arabic": self.arabic,
            "emoji": self.with_emoji,
        }

    # --- Texts ------------------------------------------------------------------------------------

    def text(self, words: int) -> str:
        """A text of about so many words, in paragraphs where it is long."""
        kind = self.kind()
        if words <= PIECE * 3 // 2:
            return self.kinds[kind](words)
        pieces: list[str] = []
        while words > 0:
            length = min(words, self.random.randint(PIECE // 2, PIECE * 3 // 2))
            pieces.append(self.kinds[kind if self.random.random() < 0.7 else self.kind()](length))
            words -= length
        return "\n\n".join(pieces)

    def kind(self) -> str:
        return self.random.choices([*KINDS], [*KINDS.values()])[0]

    def length(self, average: int) -> int:
        """A length whose mean over many is `average`."""
        middle = math.log(average) - SPREAD**2 / 2
        return max(1, round(self.random.lognormvariate(middle, SPREAD)))

    def prose(self, words: int) -> str:
        return self._sentences(self.corpus.english.draw(words), " ", ",", ".....?!:", fresh=True)

    def chinese(self, words: int) -> str:
        return self._sentences(self.corpus.chinese.draw(words), "", ",", "。。。。?!", fresh=False)

    def arabic(self, words: int) -> str:
        return self._sentences(self.corpus.arabic.draw(words), " ", "،", "....؟!", fresh=False)

    def with_emoji(self, words: int) -> str:
        made = self.prose(words).split(" ")
        for one in self.corpus.emoji.draw(1 + words // 12):
            made.insert(self.random.randint(1, len(made)), one)
        return " ".join(made)

    def code(self, words: int) -> str:
        lines = self.random.choice(self.corpus.code)
        start = self.random.randrange(max(1, len(lines) - words // 4))
        taken: list[str] = []
        while words > 0 and start < len(lines):
            line = lines[start]
            taken.append(line)
            words -= max(1, len(line.split()))
            start += 1
        text = "\n".join(taken).strip("\n")
        names = list(dict.fromkeys(NAME.findall(text)))
        for name in self.random.sample(names, min(3, len(names))):
            text = re.sub(rf"\b{name}\b", self.identifier(), text)
        return f"```python\n{text}\n```" if len(taken) > 2 else f"{self.identifier()}: {text}"

    def identifier(self) -> str:
        words = [word for word in self.corpus.english.draw(3) if word.isascii() and word.isalpha()]
        if not words:
            return f"value_{self.random.randrange(1000)}"
        if self.random.random() < 0.5:
            return "_".join(words)
        return words[0] + "".join(word.capitalize() for word in words[1:])

    def number(self) -> str:
        chance = self.random.random()
        if chance < 0.5:
            return str(self.random.randrange(1, 100))
        if chance < 0.8:
            return str(self.random.randrange(100, 100_000))
        if chance < 0.9:
            return f"{self.random.random() * 100:.2f}"
        return f"{self.random.getrandbits(32):x}"

    def _sentences(self, words: list[str], gap: str, comma: str, ends: str, *, fresh: bool) -> str:
        """Words with punctuation, among them a number here and a name or an identifier there."""
        made: list[str] = []
        pick = self.random.random
        begin, left = True, self.random.randint(6, 22)
        for drawn in words:
            chance = pick()
            word = drawn
            if chance < (0.02 if fresh else 0.01):
                word = self.number()
            elif fresh and chance < 0.025:
                word = self.identifier()
            elif fresh and chance < 0.05:
                word = word.capitalize()
            if begin:
                word = word[:1].upper() + word[1:]
            left -= 1
            begin = left <= 0
            if begin:
                word += self.random.choice(ends)
                left = self.random.randint(6, 22)
            elif chance > 0.92:
                word += comma
            made.append(word)
        text = gap.join(made)
        return text if text[-1:] in ends else text + ends[0]

    # --- Conversations ----------------------------------------------------------------------------

    def conversation(self, shape: str, words: int) -> dict[str, Any]:
        """A conversation in wire form: ``messages`` and, of an agent, ``tools``.

        Args:
            shape: ``"short"``, two to eight messages; ``"long"``, about eighty; ``"agent"``, a
                trace with tools.
            words: The average words of a message.
        """
        if shape == "short":
            return {"messages": self._chat(self.random.randint(1, 4), words)}
        if shape == "long":
            return {"messages": self._chat(self.random.randint(34, 46), words)}
        if shape == "agent":
            return self._trace(words)
        raise ValueError(f"no shape {shape!r}; there are {', '.join(SHAPES)}")

    def said(self, words: int) -> str:
        return self.text(self.length(words))

    def _chat(self, turns: int, words: int) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = []
        # Eight messages are the most of a short chat.
        if turns != 4 and self.random.random() < 0.6:
            messages.append({"role": "system", "content": self.said(words)})
        for _ in range(turns):
            messages.append({"role": "user", "content": self.said(words)})
            messages.append({"role": "assistant", "content": self.said(words)})
        return messages

    def _trace(self, words: int) -> dict[str, Any]:
        tools = [self.tool() for _ in range(self.random.randint(2, 6))]
        messages: list[dict[str, Any]] = [{"role": "system", "content": self.said(words)}]
        for _ in range(self.random.randint(1, 3)):
            messages.append({"role": "user", "content": self.said(words)})
            for _ in range(self.random.randint(1, 5)):
                calls = [self.call(tools) for _ in range(self.random.choice((1, 1, 1, 2, 3)))]
                content = self.said(words) if self.random.random() < 0.5 else None
                messages.append({"role": "assistant", "content": content, "tool_calls": calls})
                messages += [
                    {"role": "tool", "tool_call_id": call["id"], "content": self.result(words)}
                    for call in calls
                ]
            messages.append({"role": "assistant", "content": self.said(words)})
        return {"messages": messages, "tools": tools}

    def tool(self) -> dict[str, Any]:
        """A tool with a schema of one to five parameters."""
        kinds = ("string", "string", "integer", "boolean", "array")
        properties: dict[str, Any] = {}
        for _ in range(self.random.randint(1, 5)):
            schema: dict[str, Any] = {"type": self.random.choice(kinds)}
            if schema["type"] == "array":
                schema["items"] = {"type": "string"}
            schema["description"] = self.prose(self.random.randint(3, 12))
            properties[self.identifier()] = schema
        required = [name for name in properties if self.random.random() < 0.6]
        return {
            "type": "function",
            "function": {
                "name": self.identifier(),
                "description": self.prose(self.random.randint(6, 25)),
                "parameters": {"type": "object", "properties": properties, "required": required},
            },
        }

    def call(self, tools: list[dict[str, Any]]) -> dict[str, Any]:
        """A call of one of the tools, its arguments a JSON string as OpenAI has them."""
        function = self.random.choice(tools)["function"]
        properties: dict[str, Any] = function["parameters"]["properties"]
        required = function["parameters"]["required"]
        arguments = {
            name: self.value(schema["type"])
            for name, schema in properties.items()
            if name in required or self.random.random() < 0.5
        }
        written = json.dumps(arguments, ensure_ascii=False)
        letters = "".join(self.random.choices("abcdefghijkmnpqrstuvwxyzABCDEFGH23456789", k=9))
        return {
            "id": letters,
            "type": "function",
            "function": {"name": function["name"], "arguments": written},
        }

    def value(self, kind: str) -> Any:
        if kind == "integer":
            return self.random.randrange(10_000)
        if kind == "boolean":
            return self.random.random() < 0.5
        if kind == "array":
            return self.corpus.english.draw(self.random.randint(1, 5))
        return self.prose(self.random.randint(1, 12))

    def result(self, words: int) -> str:
        """What a tool answers: JSON or text."""
        if self.random.random() < 0.5:
            return self.said(words)
        left = self.length(words)
        made: dict[str, Any] = {"status": "ok"}
        while left > 0:
            length = min(left, 12)
            made[self.identifier()] = self.random.choice((self.prose, self.chinese))(length)
            left -= length
        return json.dumps(made, ensure_ascii=False)
