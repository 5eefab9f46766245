"""Random conversations with tools, calls, results and reasoning, to learn from and to prove on."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rolecall.learn import chats
from rolecall.learn.draft import Draft
from rolecall.learn.model import CallForm
from rolecall.learn.restrictions import PLAIN, PROMPT, RESTRICTIONS, SHOWS, Case, Restriction

Wire = dict[str, Any]

KINDS = ("tools", "calls", "results", "reasoning")
"""What conversations may hold beside the messages of plain ones; calls come with results."""

NAMES = ("get_weather", "next_tide", "ring-bell", "x", "Search.v2", "lookup_2", "naMe")
KEYS = ("city", "unit", "days", "größe", "a b", "$ref", "x", "query", "zeta", "alpha")
STRINGS = (
    "Brest", "", 'say "it"', "back\\slash", "two\nlines", "<b>&amp;</b>", "日本語", "ünï", "true",
    "5", "null", "it's", "{x}", " padded ", "</parameter>", "</tool_call>",
)  # fmt: skip
RESULTS = ('{"sky": "fog", "wind": 3}', "[1, 2]", "null", "5", "true", '"quoted"', "{'a': 1}")


@dataclass(frozen=True, slots=True)
class Domain:
    """What conversations a format file is claimed for."""

    plain: chats.Plain = field(default_factory=chats.Plain)
    form: CallForm = field(default_factory=CallForm)
    """How the template wants its calls."""
    most: int = 9
    """The most calls that one message makes."""
    calls: bool = False
    """Whether there are calls, where the kind does not say so by itself."""
    results: bool = False
    """Whether calls are answered; if not they end the conversation."""
    beside: bool = True
    """Whether a message that makes calls may say something too."""
    thoughts_with_calls: bool = True
    """Whether a message that makes calls may hold reasoning."""
    tools: bool = False
    """Whether tools are given, where the kind does not say so by itself."""
    without: frozenset[str] = frozenset()
    """Names of `RESTRICTIONS`: what is left out."""
    plain_words: bool = False
    """Whether texts are words that no template knows."""

    @classmethod
    def of(cls, draft: Draft, plain: chats.Plain) -> Domain:
        """The widest domain of a draft.

        Args:
            draft: What was learnt.
            plain: What plain conversations are claimed.
        """
        claims: set[str] = draft.known.get("claims", set())
        calls = draft.tables.get("calls", {})
        holds: Mapping[str, bool] = draft.known.get("holds", {})
        return cls(
            plain,
            draft.known.get("form", CallForm()),
            calls.get("max", 9),
            "calls" in claims,
            "results" in claims,
            holds.get("content with calls", True),
            holds.get("reasoning with calls", True),
            "tools" in claims,
        )

    @property
    def limits(self) -> tuple[str, ...]:
        """What is left out, one sentence each."""
        return tuple(one.sentence for name, one in RESTRICTIONS.items() if name in self.without)


def conversation(rng: random.Random, domain: Domain, kind: str) -> Case:
    """A random conversation.

    Args:
        rng: Where chance comes from.
        domain: What it may hold.
        kind: What it shows, one of `KINDS`.
    """
    case = _Maker(rng, domain, kind).case()
    for _ in range(400):
        if not any(RESTRICTIONS[name].holds(case) for name in domain.without):
            break
        case = _Maker(rng, domain, kind).case()
    return case


def maker(domain: Domain, kind: str) -> Callable[[random.Random], Case]:
    """`conversation` with everything but chance given."""
    return lambda rng: conversation(rng, domain, kind)


def settled(
    domain: Domain, kind: str, fails: Callable[[Case], bool], *, seed: str, count: int
) -> Domain | None:
    """The domain with as little left out as it takes for no conversation to fail, or None.

    Args:
        domain: What to begin with.
        kind: The kind of conversation.
        fails: Whether template and format differ on a conversation.
        seed: Tells the random conversations.
        count: How many conversations a domain is tried on.
    """
    rng = random.Random(seed)
    for _ in range(5):
        bad: list[Case] = []
        good: list[Case] = []
        for _ in range(count):
            case = conversation(rng, domain, kind)
            (bad if fails(case) else good).append(case)
            if len(bad) == 24:
                break
        if not bad:
            # What hardly ever shows the kind is no claim of it.
            return domain if sum(map(SHOWS[kind], good)) > count // 10 else None
        left_out = set(domain.without)
        while bad:
            ranked = [
                (_share(rule, bad) - _share(rule, good), name)
                for name, rule in RESTRICTIONS.items()
                if name not in left_out and _share(rule, bad)
            ]
            if not ranked:
                return None
            chosen = max(ranked)[1]
            left_out.add(chosen)
            bad = [case for case in bad if not RESTRICTIONS[chosen].holds(case)]
            good = [case for case in good if not RESTRICTIONS[chosen].holds(case)]
            if not good and bad:
                return None
        if len(left_out) > MOST:
            return None
        domain = replace(domain, without=frozenset(left_out))
    return None


def _share(rule: Restriction, cases: Sequence[Case]) -> float:
    """How many of some conversations hold something."""
    return sum(map(rule.holds, cases)) / max(len(cases), 1)


MOST = 5
"""So many things may be left out of a domain, or it is none."""


class _Maker:
    """Makes one conversation."""

    def __init__(self, rng: random.Random, domain: Domain, kind: str) -> None:
        self.rng = rng
        self.domain = domain
        self.kind = kind
        self.without = domain.without
        self.calls = kind in ("calls", "results") or (kind == "reasoning" and domain.calls)
        self.reasoning = kind == "reasoning"
        self.plain = domain.plain
        self.used = 0
        self.asked: list[str] = []

    def maybe(self, chance: float) -> bool:
        return self.rng.random() < chance

    def case(self) -> Case:
        tools: list[Wire] | None = None
        wanted = self.kind == "tools" or "calls without tools" in self.without
        if wanted or (self.domain.tools and self.maybe(0.5)):
            tools = [self.tool() for _ in range(self.rng.choice((1, 1, 2, 3)))]
        messages: list[Wire] = []
        for number in range(rounds := self.length((1, 1, 1, 2, 2, 3))):
            messages += self.round(last=number + 1 == rounds)
        system = "S" in self.plain.letters and self.maybe(0.5)
        if not self.plain.answered and messages[-1]["role"] == "assistant":
            system = False
        if tools and "tools without system" in self.without:
            system = True
        if tools and "tools with system" in self.without:
            system = False
        if system:
            messages.insert(0, {"role": "system", "content": self.text("S")})
        arguments: Wire = {}
        if tools is not None:
            arguments["tools"] = tools
        if (
            messages[-1]["role"] in ("user", "tool")
            and self.maybe(0.5)
            and "U" in self.plain.prompts
        ):
            arguments[PROMPT] = True
        return Case(messages, arguments, self.domain.form)

    def length(self, usual: Sequence[int]) -> int:
        """How many of something follow each other: few, seldom many."""
        if self.maybe(0.06):
            return self.rng.choice((4, 5, 7, *(n for n in self.plain.lengths if 0 < n < 12)))
        return self.rng.choice(usual)

    def text(self, letter: str) -> str:
        if self.domain.plain_words:
            return " ".join(self.rng.choices(PLAIN, k=self.rng.randint(1, 3)))
        if self.maybe(0.08):
            # What says nothing, or next to nothing, is where templates differ most.
            blank = self.rng.choice(("", " ", "\n", "\n\n", " \n "))
            if self.plain.allows(letter, blank):
                return blank
        made = chats.text(self.rng, self.plain, letter)
        return f"{made} {' word' * self.rng.choice((90, 300))} end" if self.maybe(0.03) else made

    def round(self, *, last: bool) -> list[Wire]:
        """What a user asks, with all that follows until the model has answered."""
        question = self.text("U")
        if self.asked and self.maybe(0.1):
            question = self.rng.choice(self.asked)
        self.asked.append(question)
        made: list[Wire] = [{"role": "user", "content": question}]
        stops = self.rng.choice(("asked", "called", "answered", "said")) if last else "said"
        if stops == "asked":
            return made
        loops = self.length((0, 1, 1, 1, 2)) if self.calls else 0
        if not self.domain.results:
            loops = 0
            if self.calls and stops == "called":
                return [*made, self.caller(self.count())]
        for number in range(loops):
            count = self.count()
            made.append(self.caller(count))
            answered = not (last and number + 1 == loops and stops == "called")
            if answered or "unanswered calls" in self.without:
                made += [self.result(call) for call in made[-1]["tool_calls"]]
        if stops == "said" or not loops:
            again = self.reasoning and not self.domain.plain_words and self.maybe(0.05)
            for _ in range(1 + (self.length((1, 4)) if again else 0)):
                made.append(self.thinking({"role": "assistant", "content": self.text("A")}))
        return made

    def count(self) -> int:
        return min(self.domain.most, self.length((1, 1, 2, 3)))

    def thinking(self, message: Wire) -> Wire:
        """A message, perhaps with reasoning."""
        allowed = self.domain.thoughts_with_calls or "tool_calls" not in message
        if not self.reasoning or not allowed or not self.maybe(0.6):
            return message
        thought = ""
        while not thought:
            thought = self.text("A")
            if "thought ends" in self.without:
                thought = thought.strip()
        if "odd thoughts" in self.without:
            thought = " ".join(self.rng.choices(PLAIN, k=3))
        return message | {"reasoning_content": thought}

    def caller(self, count: int) -> Wire:
        content = ""
        if self.domain.beside and self.maybe(0.5):
            content = self.text("A")
        made = [
            {
                "id": self.call_id(),
                "type": "function",
                "function": {"name": self.rng.choice(NAMES), "arguments": self.arguments()},
            }
            for _ in range(count)
        ]
        return self.thinking({"role": "assistant", "content": content, "tool_calls": made})

    def call_id(self) -> str:
        self.used += 1
        return f"{self.rng.choice('abcXYZ')}{self.rng.randrange(10**6):06d}{self.used % 100:02d}"

    def result(self, call: Wire) -> Wire:
        content = self.rng.choice(RESULTS) if self.maybe(0.2) else self.text("U")
        if self.domain.plain_words:
            return self.answer(call, self.text("U"))
        if self.maybe(0.1):
            content = self.rng.choice(("", " ", "\n"))
        if self.maybe(0.3):
            content = f"{self.rng.choice(chats.ENDS)}{content}{self.rng.choice(chats.ENDS)}"
        if "result ends" in self.without:
            content = content.strip()
        return self.answer(call, content)

    def answer(self, call: Wire, content: str) -> Wire:
        return {
            "role": "tool",
            "content": content,
            "tool_call_id": call["id"],
            "name": call["function"]["name"],
        }

    # JSON.

    def arguments(self) -> Wire:
        least = 1 if "empty arguments" in self.without else 0
        if "odd arguments" in self.without:
            keys = self.rng.sample(("city", "unit", "days"), self.rng.randint(least, 3))
            return {key: self.rng.choice(("Brest", 5)) for key in keys}
        keys = self.rng.sample(KEYS, self.rng.randint(least, 3))
        return {key: self.value(2) for key in keys}

    def value(self, depth: int) -> Any:
        kinds = ("string", "string", "number", "word", "list", "object")
        match self.rng.choice(kinds[: 6 if depth else 4]):
            case "number":
                return self.rng.choice((0, 5, -3, 10**12, 1.5))
            case "word":
                return self.rng.choice((True, False, None))
            case "list":
                return [self.value(depth - 1) for _ in range(self.rng.randint(0, 2))]
            case "object":
                return {key: self.value(depth - 1) for key in self.rng.sample(KEYS, 2)}
            case _:
                return self.rng.choice(PLAIN if self.domain.plain_words else STRINGS)

    def words(self) -> str:
        if "odd schemas" in self.without or self.domain.plain_words:
            return self.rng.choice(("The weather.", "Name of the city", "größer"))
        return self.rng.choice((*STRINGS[1:], "The weather at a place, now."))

    def tool(self) -> Wire:
        function: Wire = {"name": self.rng.choice(NAMES)}
        bare = "bare schemas" not in self.without
        if not (bare and self.maybe(0.1)):
            function["description"] = self.words()
        if not (bare and self.maybe(0.1)):
            function["parameters"] = self.schema()
        if "further fields" not in self.without and self.maybe(0.2):
            function["strict"] = True
        return {"type": "function", "function": function}

    def schema(self) -> Wire:
        keys = self.rng.sample(KEYS if "odd schemas" not in self.without else KEYS[:3], 2)
        made: Wire = {"type": "object", "properties": {key: self.property() for key in keys}}
        if self.maybe(0.7):
            made["required"] = keys[: self.rng.randint(0, 2)]
        return made

    def property(self) -> Wire:
        made: Wire = {"type": self.rng.choice(("string", "integer", "boolean", "array"))}
        if self.maybe(0.7):
            made["description"] = self.words()
        if made["type"] == "array":
            made["items"] = {"type": "string"}
        if self.maybe(0.2):
            made["enum"] = ["a", "b"]
        if self.maybe(0.1) and "odd schemas" not in self.without:
            made["default"] = self.rng.choice((None, True, 2, 1.5, "x"))
        return made
