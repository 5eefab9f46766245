"""Conversations to try formats and references on: random, hostile, and in pairs of equal shape.

A `Shape` says what a reference accepts (system prompts, tools, names, who may end …). One generator
makes conversations of a shape for two front ends: `conversations`, a Hypothesis strategy whose
failures shrink, and `random_conversations`, seeded and fast, for thousands of cases.

What comes out is wire form: ``{"messages": […], "tools": […] or None, "cast": […] or None}``. A
conversation whose last message is to be continued has ``prefix`` on it; `arguments` gives the
render arguments that go with a conversation.

The texts of these are benign: many scripts, code, emoji, blank lines, and no control token of any
format. `hostile_texts` is the opposite, and `hostile_pair` gives one conversation in both versions.
"""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, cast

from hypothesis import strategies as st

T = TypeVar("T")

AUTHORS = {"system": "owner", "user": "client", "assistant": "model", "tool": "tool"}

# Shapes ---------------------------------------------------------------------------------------

CHOICES: dict[str, tuple[str, ...]] = {
    "system": ("none", "first", "required", "anywhere", "everywhere"),
    "name_style": ("word", "any"),
    "call_ids": ("none", "9 alphanumerics", "any"),
    "call_content": ("null", "empty", "any"),
    "result_order": ("calls", "any"),
    "arguments": ("canonical", "any"),
    "whitespace": ("none", "inner", "any"),
    "tool_schema": (
        "strings-integers-booleans-nested",
        "strings-integers-booleans-null-nested",
        "any",
    ),
}
LISTS: dict[str, tuple[str, ...]] = {
    "first": ("user", "assistant"),
    "last": ("user", "tool", "assistant", "call", "system"),
}


@dataclass(frozen=True)
class Shape:
    """What the conversations may hold. `Shape.read` makes one of a plain dict."""

    system: str = "first"
    """``none``; ``first``: at most one, in front; ``required``: always there; ``anywhere``: several,
    in front or behind a user's message; ``everywhere``: between any two turns."""
    names: tuple[str, ...] = ()
    """Roles whose messages may carry a name; with ``tool``, results carry their function's."""
    name_style: str = "any"
    """``word``: letters, digits and underscores; ``any``: spaces and every script."""
    roles: Mapping[str, str] = field(default_factory=dict[str, str])
    """Further roles and who authors them, ``model`` or ``client``; the cast declares them."""
    tools: bool = False
    """Tools may be offered."""
    always_tools: bool = False
    """Tools are offered every time, for templates that cannot do without."""
    calls: bool = False
    """Tools may be called, and the calls are answered."""
    parallel_calls: bool = False
    """One message may make several calls."""
    content_with_calls: bool = False
    """A message may hold both text and calls."""
    reasoning: bool = False
    """Assistant messages may carry ``reasoning_content``."""
    alternate: bool = True
    """User and assistant take strict turns; if not, either may speak twice in a row."""
    first: tuple[str, ...] = ("user",)
    """Who may speak first, after the system prompt."""
    last: tuple[str, ...] = ("user",)
    """Who may speak last: ``user`` and ``tool`` in prompts, ``assistant`` and ``call`` (a message
    that ends with calls) in finished conversations, ``system`` where that may stand last."""
    prefill: bool = False
    """The last message may be an assistant's that is to be continued."""
    call_ids: str = "9 alphanumerics"
    """What the ids of calls look like; ``none``: calls have none."""
    call_content: str = "null"
    """What stands beside calls without text: null, as the OpenAI client has it; an empty string,
    for templates that do not survive null; or either."""
    result_order: str = "calls"
    """``calls``: results come in the order of the calls; ``any``: in any."""
    arguments: str = "canonical"
    """``canonical``: JSON as `json.dumps` spells it; ``any``: any spelling, or an object."""
    whitespace: str = "none"
    """``none``: no text begins or ends with whitespace, and inside there is what prose and code
    have; ``inner``: any amount inside; ``any``: anywhere, also nothing but whitespace."""
    empty_content: bool | tuple[str, ...] = False
    """Contents may be empty, of every role or of those given."""
    tool_schema: str = "strings-integers-booleans-nested"
    """What tool schemas and arguments hold; ``any``: null, floats and HTML characters too."""
    optional_description: bool = False
    """A tool may come without a description."""
    json_results: bool = False
    """Results may be JSON; if not, none of them reads as JSON."""
    max_turns: int = 4
    """How many turns of user or assistant there are at most."""

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> Shape:
        """The shape that a plain dict, as of TOML, describes.

        Raises:
            ValueError: An unknown key, or a value that the key does not take.
        """
        known = {item.name: item for item in dataclasses.fields(cls)}
        if unknown := sorted(set(plain) - set(known)):
            raise ValueError(f"Unknown shape keys {', '.join(unknown)}; known: {', '.join(known)}.")
        given: dict[str, Any] = {}
        for key, value in plain.items():
            given[key] = tuple(cast(list[Any], value)) if isinstance(value, list) else value
            if key in CHOICES and value not in CHOICES[key]:
                raise ValueError(f"{key} is {value!r}; it takes {', '.join(CHOICES[key])}.")
            if key in LISTS and (not value or set(given[key]) - set(LISTS[key])):
                raise ValueError(f"{key} is {value!r}; it takes a list of {', '.join(LISTS[key])}.")
            if str(known[key].type) == "bool" and not isinstance(value, bool):
                raise ValueError(f"{key} is {value!r}; it takes true or false.")
        if bad := set(given.get("roles", {}).values()) - {"model", "client"}:
            raise ValueError(f"roles may be authored by model or client, not {', '.join(bad)}.")
        return cls(**given)

    def ending(self, *last: str, prefill: bool = False) -> Shape | None:
        """This shape with only those endings, or None where it has none of them."""
        kept = tuple(end for end in last if end in self.last)
        if not kept and not (prefill and self.prefill):
            return None
        return dataclasses.replace(self, last=kept, prefill=prefill and self.prefill)

    def prompts(self) -> Shape | None:
        """The part of the shape that a model is asked to answer."""
        return self.ending("user", "tool", "system")

    def finished(self) -> Shape | None:
        """The part of the shape that a model is trained on."""
        return self.ending("assistant", "call")

    def prefilled(self) -> Shape | None:
        """The part of the shape whose last message is to be continued."""
        return self.ending(prefill=True)

    def may_be_empty(self, role: str) -> bool:
        """Whether the content of a message of `role` may be empty."""
        if isinstance(self.empty_content, bool):
            return self.empty_content
        return role in self.empty_content


def arguments(conversation: Mapping[str, Any]) -> dict[str, Any]:
    """The render arguments that a conversation asks for by its last message."""
    last = conversation["messages"][-1]
    if last.get("prefix"):
        return {"continue_final_message": True}
    authors = {entry["role"]: entry["author"] for entry in conversation.get("cast") or ()}
    author = authors.get(last["role"]) or AUTHORS.get(last["role"])
    return {} if author == "model" else {"add_generation_prompt": True}


# Benign text ----------------------------------------------------------------------------------

FRAGMENTS = (
    "Where is San Jose?",
    "yes",
    "No.",
    "I can't help with that; it's \"quoted\" and 'quoted'.",
    "Answer in more than 10 words, please …",
    "The user said that the system has an assistant.",
    "3.14 + 2 = 5.14, 1,000,000 and 0x1F",
    "def f(x):\n    return {'a': [1, 2], \"b\": x}",
    '```python\nfor i in range(3):\n\tprint(f"{i}")\n```',
    '{"city": "Paris", "days": [1, 2]}',
    "SELECT * FROM t WHERE a < 3 AND b > 4; -- ok",
    "C:\\path\\new & <h1>Title</h1> <br/>",
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "# Heading\n\n- item *one*\n- item **two**\n  1. nested",
    "> quoted\n\nwith a blank line",
    "https://example.org/a?b=c&d=%20#e",
    "你好，世界！今天天气怎么样？",
    "日本語の文章です。カタカナも。",
    "안녕하세요, 만나서 반가워요.",
    "مرحبا بالعالم، كيف حالك؟",
    "שלום עולם",
    "हिन्दी में लिखा हुआ पाठ",
    "Привет, как дела?",
    "Ελληνικά",
    "ภาษาไทยไม่มีช่องว่าง",
    "naïve café, e\u0301te\u0301 and a\u0308 (combining)",
    "🙂👍🏽 👩‍👩‍👧‍👦 🇩🇪",
    "ﬁne ＦＵＬＬ ½ ② ㎏",
    "z̷͎̏a̵l̶g̸o",
    "a\u00a0b\u202fc",
    "{{ braces }} {% percent %} ${x} %s",
    "TODO: [link](x) [x] (y) <z>",
    "...",
    "'",
    "1",
)
"""Pieces that the benign texts are made of. None begins or ends with whitespace."""

SEPARATORS = {
    "none": (" ", "\n", "\n\n", " ", ", "),
    "inner": (" ", "\n", "\n\n", "\n\n\n", "\n\n\n\n", "  ", "     ", "\t", " \n ", "\r\n", "\t\t"),
}
SEPARATORS["any"] = SEPARATORS["inner"]
EDGES = ("", "", " ", "\n", "  ", "\n\n", "\t", " \n", "\n ", "   ")
BLANKS = (" ", "\n", "  \n\t ")

WORD_NAMES = ("Amy", "bob", "Hirose", "agent_7", "X", "narrator2")
FREE_NAMES = (
    *WORD_NAMES,
    "Hirose Koichi",
    "Zoë O'Neil",
    "小春",
    "Анна К.",
    "مريم",
    "Dr. Strange-Love, PhD",
    "🐬 Dolphin",
    "e\u0301milie",
)
FUNCTIONS = ("get_weather", "f", "search-web", "Add2", "send_mail", "list_files_v2", "lookup")
PROPERTIES = ("city", "count", "deep", "filter_by", "x", "Zeta", "a1", "entries", "on")
LABELS = (
    "red",
    "deep blue",
    "größe",
    "東京",
    "it's",
    'say "hi"',
    "back\\slash",
    "a/b",
    "line\nbreak",
)
HTML_LABELS = ("<b>", "a & b", "x > y", "5 < 6")

ALPHANUMERICS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


class Choices(Protocol):
    """Where the generator gets its decisions: a seeded generator, or Hypothesis."""

    def number(self, low: int, high: int, /) -> int: ...


class _Seeded:
    def __init__(self, seed: str) -> None:
        self.number = random.Random(seed).randint


class _Drawn:
    def __init__(self, draw: Callable[[st.SearchStrategy[int]], int]) -> None:
        self._draw = draw

    def number(self, low: int, high: int) -> int:
        return self._draw(st.integers(low, high))


class _Generator:
    """Makes one conversation of a shape. The smallest decision is always the plainest one."""

    def __init__(self, shape: Shape, choices: Choices) -> None:
        self.shape = shape
        self.number = choices.number
        self.ids = 0

    def pick(self, options: Sequence[T]) -> T:
        return options[self.number(0, len(options) - 1)]

    def chance(self, percent: int) -> bool:
        return self.number(0, 99) >= 100 - percent

    # Texts

    def text(self, role: str = "") -> str:
        shape = self.shape
        if shape.may_be_empty(role) and self.chance(8):
            return ""
        if shape.whitespace == "any" and self.chance(4):
            return self.pick(BLANKS)
        pieces = [self.pick(FRAGMENTS)]
        while len(pieces) < 9 and self.chance(45):
            pieces += [self.pick(SEPARATORS[shape.whitespace]), self.pick(FRAGMENTS)]
        if shape.whitespace == "any":
            pieces = [self.pick(EDGES), *pieces, self.pick(EDGES)]
        return "".join(pieces)

    def label(self) -> str:
        wide = self.shape.tool_schema == "any"
        return self.pick((*LABELS, *HTML_LABELS) if wide else LABELS)

    # Tools

    def schema(self, depth: int = 0) -> dict[str, Any]:
        kinds = ["string", "integer", "boolean", "enum"]
        if self.shape.tool_schema == "any":
            kinds.append("number")
        if depth < 2:
            kinds += ["object", "array"]
        kind = self.pick(kinds)
        if kind == "enum":
            values = [self.label() for _ in range(self.number(1, 3))]
            return {"type": "string", "enum": list(dict.fromkeys(values))}
        made: dict[str, Any] = {"type": kind}
        if self.chance(40):
            made["description"] = self.label()
        if kind == "object":
            made |= self.properties(depth + 1)
        elif kind == "array":
            made["items"] = self.schema(depth + 1)
        if kind == "number" and self.chance(50):
            made["minimum"] = 0.5
        if "null" in self.shape.tool_schema and self.chance(15):
            made["default"] = None
        return made

    def properties(self, depth: int) -> dict[str, Any]:
        names = list(dict.fromkeys(self.pick(PROPERTIES) for _ in range(self.number(0, 3))))
        made: dict[str, Any] = {"properties": {name: self.schema(depth) for name in names}}
        if required := [name for name in names if self.chance(50)]:
            made["required"] = required
        return made

    def tool(self, name: str) -> dict[str, Any]:
        function: dict[str, Any] = {"name": name}
        if not (self.shape.optional_description and self.chance(30)):
            function["description"] = self.label()
        function["parameters"] = {"type": "object", **self.properties(0)}
        return {"type": "function", "function": function}

    def value(self, depth: int = 0) -> Any:
        makers: list[Callable[[], Any]] = [
            self.label,
            lambda: self.number(-20, 100_000),
            lambda: self.chance(50),
            lambda: self.pick(FRAGMENTS),
        ]
        if self.shape.tool_schema == "any":
            makers += [lambda: self.number(-20, 100) / 8, lambda: None]
        elif "null" in self.shape.tool_schema:
            makers.append(lambda: None)
        if depth < 2:
            makers += [
                lambda: [self.value(depth + 1) for _ in range(self.number(0, 2))],
                lambda: self.mapping(depth + 1),
            ]
        return self.pick(makers)()

    def mapping(self, depth: int = 0) -> dict[str, Any]:
        return {self.pick(PROPERTIES): self.value(depth) for _ in range(self.number(0, 3))}

    def spelled(self, value: dict[str, Any]) -> str | dict[str, Any]:
        if self.shape.arguments == "any":
            spelling = self.number(0, 3)
            if spelling == 1:
                return value
            if spelling == 2:
                return json.dumps(value, separators=(",", ":"))
            if spelling == 3:
                return json.dumps(value, indent=1)
        return json.dumps(value, ensure_ascii=False)

    def call_id(self) -> str:
        self.ids += 1
        if self.shape.call_ids == "any" and self.chance(50):
            return f"{self.pick(('call_', 'functions.f:', 'ü-'))}{self.ids}"
        letters = "".join(self.pick(ALPHANUMERICS) for _ in range(7))
        return f"{letters}{self.ids:02}"

    def result(self) -> str:
        if self.shape.json_results and self.chance(60):
            value = self.pick(
                (self.mapping, self.value, lambda: [self.value(1)], lambda: self.number(0, 9))
            )()
            compact = (",", ":") if self.chance(30) else None
            return json.dumps(value, ensure_ascii=self.chance(30), separators=compact)
        text = self.text("tool")
        return text if self.shape.json_results or not _reads_as_json(text) else f"it is {text}"

    # Turns

    def label_of(self, author: str) -> str:
        standard = "assistant" if author == "model" else "user"
        others = [role for role, who in self.shape.roles.items() if who == author]
        return self.pick([standard, *others])

    def named(self, message: dict[str, Any]) -> dict[str, Any]:
        if message["role"] in self.shape.names and self.chance(50):
            names = WORD_NAMES if self.shape.name_style == "word" else FREE_NAMES
            return {"role": message["role"], "name": self.pick(names), **message}
        return message

    def system(self) -> dict[str, Any]:
        return self.named({"role": "system", "content": self.text("system")})

    def client(self) -> Iterator[dict[str, Any]]:
        while True:
            yield self.named({"role": self.label_of("client"), "content": self.text("user")})
            behind = self.shape.system in ("anywhere", "everywhere") and self.chance(8)
            if behind:
                yield self.system()
            if self.shape.alternate or not self.chance(20):
                return

    def reply(self) -> dict[str, Any]:
        message: dict[str, Any] = {"role": self.label_of("model")}
        message["content"] = self.text("assistant")
        return self.named(self.reasoned(message))

    def reasoned(self, message: dict[str, Any]) -> dict[str, Any]:
        if self.shape.reasoning and self.chance(40):
            message["reasoning_content"] = self.text()
        return message

    def calling(self, functions: Sequence[str]) -> dict[str, Any]:
        nothing = {"null": (None,), "empty": ("",), "any": (None, "")}[self.shape.call_content]
        content = self.pick(nothing)
        if self.shape.content_with_calls and self.chance(40):
            content = self.text("assistant")
        message = self.reasoned({"role": "assistant", "content": content})
        calls: list[dict[str, Any]] = []
        for _ in range(self.number(1, 3) if self.shape.parallel_calls else 1):
            call: dict[str, Any] = {"type": "function"}
            if self.shape.call_ids != "none":
                call["id"] = self.call_id()
            call["function"] = {
                "name": self.pick(functions),
                "arguments": self.spelled(self.mapping()),
            }
            calls.append(call)
        message["tool_calls"] = calls
        return self.named(message)

    def results(self, calling: Mapping[str, Any]) -> list[dict[str, Any]]:
        made: list[dict[str, Any]] = []
        for call in calling["tool_calls"]:
            message: dict[str, Any] = {"role": "tool"}
            if "tool" in self.shape.names:
                message["name"] = call["function"]["name"]
            message["content"] = self.result()
            if "id" in call:
                message["tool_call_id"] = call["id"]
            made.append(message)
        if self.shape.result_order == "any" and self.chance(40):
            made.reverse()
        return made

    def model(self, functions: Sequence[str], end: str | None) -> Iterator[dict[str, Any]]:
        """One turn of the model; with `end`, the last one, which stops there."""
        rounds = 1 if end in ("tool", "call") else 0
        while self.shape.calls and rounds < 3 and self.chance(25):
            rounds += 1
        for index in range(rounds):
            calling = self.calling(functions)
            yield calling
            if end == "call" and index == rounds - 1:
                return
            yield from self.results(calling)
        if end == "tool":
            return
        if rounds and end is None and not self.shape.alternate and self.chance(15):
            return
        yield self.reply()
        while not self.shape.alternate and self.chance(15):
            yield self.reply()

    def conversation(self) -> dict[str, Any]:
        shape = self.shape
        tools: list[dict[str, Any]] | None = None
        functions: Sequence[str] = FUNCTIONS
        if shape.tools and (shape.always_tools or self.chance(60)):
            functions = list(dict.fromkeys(self.pick(FUNCTIONS) for _ in range(self.number(1, 3))))
            tools = [self.tool(name) for name in functions]

        messages: list[dict[str, Any]] = []
        if shape.system == "required" or (shape.system != "none" and self.chance(50)):
            messages.append(self.system())
            if shape.system in ("anywhere", "everywhere") and self.chance(15):
                messages.append(self.system())

        ends = [end for end in shape.last if shape.calls or end not in ("tool", "call")]
        ends = [*ends, *(["prefill"] if shape.prefill else [])]
        if not ends:
            raise ValueError("The shape allows no ending: calls end only where there are calls.")
        end = self.pick(ends)
        for index, (author, last) in enumerate(self.turns(end)):
            if index and shape.system == "everywhere" and self.chance(8):
                messages.append(self.system())
            if author == "client":
                messages.extend(self.client())
            else:
                messages.extend(self.model(functions, end if last else None))
        if end in ("user", "prefill", "assistant"):
            while messages[-1]["role"] == "system":
                messages.pop()
        if end == "system" and messages[-1]["role"] != "system":
            messages.append(self.system())
        if end == "prefill":
            if not messages[-1]["content"]:
                messages[-1]["content"] = self.pick(FRAGMENTS)
            messages[-1]["prefix"] = True
        return {"messages": messages, "tools": tools, "cast": self.cast()}

    def turns(self, end: str) -> Iterator[tuple[str, bool]]:
        author = "client" if self.pick(self.shape.first) == "user" else "model"
        final = "client" if end in ("user", "system") else "model"
        count = self.number(1, max(1, self.shape.max_turns))
        # Turns alternate, so the first and the last one decide whether their number is odd.
        if (count % 2 == 1) != (author == final):
            count += 1 if count < self.shape.max_turns or count == 1 else -1
        for index in range(count):
            yield author, index == count - 1
            author = "model" if author == "client" else "client"

    def cast(self) -> list[dict[str, str]] | None:
        return [{"role": role, "author": who} for role, who in self.shape.roles.items()] or None


def _reads_as_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return not text
    return True


@st.composite
def conversations(draw: st.DrawFn, shape: Shape) -> dict[str, Any]:
    """Conversations of a shape, as a Hypothesis strategy."""
    return _Generator(shape, _Drawn(draw)).conversation()


def random_conversations(shape: Shape, n: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """`n` conversations of a shape; the same ones for the same seed."""
    for index in range(n):
        yield _Generator(shape, _Seeded(f"{seed}:{index}")).conversation()


@st.composite
def benign_texts(draw: st.DrawFn, whitespace: str = "none") -> str:
    """Texts without any control token."""
    return _Generator(Shape(whitespace=whitespace), _Drawn(draw)).text()


# Hostile text ---------------------------------------------------------------------------------

FOREIGN_TOKENS = (
    # ChatML, Qwen, Phi-4, Kimi, OpenChatML
    *("<|im_start|>", "<|im_end|>", "<|im_sep|>", "<|im_middle|>", "<|im_system|>", "<|im_user|>"),
    *("<|im_assistant|>", "<|im_start_char|>", "<|chat|>", "<|endoftext|>", "[BOS]", "[EOS]"),
    *("<|tool_calls_section_begin|>", "<|tool_call_begin|>", "<|tool_call_argument_begin|>"),
    *("<|tool_call_end|>", "<|tool_calls_section_end|>", "<|literal|>", "<|endliteral|>"),
    # Llama, Lucid
    *("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>"),
    *(
        "<|eot_id|>",
        "<|eom_id|>",
        "<|python_tag|>",
        "<|header_start|>",
        "<|header_end|>",
        "<|eot|>",
    ),
    # Llama-2, Mistral, Zephyr
    *("<s>", "</s>", "<unk>", "<pad>", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"),
    *("[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]"),
    *("[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CONTENT]", "[ARGS]", "[CALL_ID]"),
    # Gemma
    *("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>", "<|turn>", "<turn|>"),
    # Phi-3, Metharme, Zephyr, GLM
    *("<|system|>", "<|user|>", "<|assistant|>", "<|model|>", "<|tool|>", "<|end|>"),
    *("<|observation|>", "[gMASK]", "<sop>", "[MASK]"),
    # DeepSeek
    *("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>"),
    *("<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"),
    # Harmony
    *("<|start|>", "<|message|>", "<|channel|>", "<|constrain|>", "<|call|>", "<|return|>"),
    # Command-R
    *("<BOS_TOKEN>", "<EOS_TOKEN>", "<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>"),
    *("<|SYSTEM_TOKEN|>", "<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>"),
    # Granite
    *("<|start_of_role|>", "<|end_of_role|>"),
)
"""Control tokens of formats in general; those of the format under test come on top."""

TEXT_TAGS = (
    *("<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"),
    *("<tools>", "</tools>", "<h1>", "</h1>", "<unused0>", "<image>", "<|image|>"),
)
HEADER_WORDS = (
    *("system", "user", "assistant", "tool", "developer", "model", "system\n", "user\n"),
    *("assistant\n", "\nassistant\n", "USER: ", "ASSISTANT:", "\n\nUser: ", "\n\nAssistant:"),
    *("### Instruction:\n", "\n\n### Response:\n", "### Input:", "Human:", "name=Bob", " name="),
    *("names= Bob", "writer character Amy", "]", "[", ")", "(", ">", "to=functions.f", "analysis"),
)
JSON_PIECES = (
    *('{"name": "f", "arguments": {}}', '"}', '"', "\\", '\\"', "}]", '", "role": "system"'),
    *("\\u003c|im_end|\\u003e", "null", "{}", "[]"),
)
ODD = (
    *("\u200b", "\u200d", "\u2060", "\ufeff", "\u202e", "\u2066", "\u0301", "\u00ad", "\u180e"),
    *(
        "\x00",
        "\x1b[0m",
        "\x7f",
        "\x85",
        "\u2028",
        "\r\n",
        "\n",
        " ",
        "\t",
        "\u3000",
        "▁",
        "Ġ",
        "Ċ",
    ),
    *("\ufffd", "\ufffe", "\U0010ffff", "\U000e0041", "ﷺ", "ß", "İ", "｜", "|", "<", "<|", "|>"),
)
INSIDE = ("\u200b", "\u200d", " ", "\n", "\u00a0", "\u00ad", "\ufeff", "\u0301")


def _mangled(draw: st.DrawFn, token: str) -> str:
    """A token whole, cut, doubled, nested in itself, or with something invisible inside."""
    way = draw(st.integers(0, 6))
    cut = draw(st.integers(0, len(token)))
    if way == 1:
        return token[:cut]
    if way == 2:
        return token[cut:]
    if way == 3:
        return token * 2
    if way == 4:
        return token[:cut] + token + token[cut:]
    if way == 5:
        return token[:cut] + draw(st.sampled_from(INSIDE)) + token[cut:]
    if way == 6:
        return token.swapcase()
    return token


@st.composite
def hostile_texts(draw: st.DrawFn, control_tokens: Sequence[str] = ()) -> str:
    """Texts stuffed with control tokens, their pieces, header words, tags and odd characters.

    Never empty and never blank, so that a hostile text stands where a harmless one would.
    """
    own = tuple(token for token in control_tokens if token)
    tokens = st.sampled_from((*own, *FOREIGN_TOKENS, *TEXT_TAGS))
    # The format's own tokens are the ones that count: half of the tokens are theirs.
    some_token = st.one_of(st.sampled_from(own), tokens) if own else tokens
    other = st.one_of(
        st.sampled_from(HEADER_WORDS),
        st.sampled_from(JSON_PIECES),
        st.sampled_from(ODD),
        st.sampled_from(FRAGMENTS),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
    )
    pieces: list[str] = []
    for _ in range(draw(st.integers(1, 6))):
        if draw(st.integers(0, 2)):
            pieces.append(_mangled(draw, draw(some_token)))
        else:
            pieces.append(draw(other))
    text = "".join(pieces)
    return text if text.strip() else f"{text}x"


SLOTS = (
    *("content", "reasoning", "results", "arguments", "tool_names", "schema", "names", "roles"),
    "call_ids",
)
"""Where caller bytes stand, and `hostile_pair` puts hostile ones."""


class _Poison:
    """Rewrites a conversation, each text of the chosen slots becoming a hostile one.

    Equal texts that must stay equal (a role and its cast entry, a tool and its call) stay so, and
    different ones stay different.
    """

    def __init__(self, draw: st.DrawFn, tokens: Sequence[str], slots: Sequence[str]) -> None:
        self.texts = hostile_texts(tokens)
        self.draw = draw
        self.slots = slots
        self.known: dict[tuple[str, str], str] = {}

    def fresh(self, slot: str, text: str) -> str:
        return self.draw(self.texts) if slot in self.slots and text.strip() else text

    def same(self, slot: str, text: str) -> str:
        if slot not in self.slots:
            return text
        if (slot, text) not in self.known:
            made = self.draw(self.texts)
            taken = made in self.known.values()
            self.known[slot, text] = f"{made}{len(self.known)}" if taken else made
        return self.known[slot, text]

    def json(self, slot: str, value: Any) -> Any:
        if isinstance(value, str):
            return self.fresh(slot, value)
        if isinstance(value, list):
            return [self.json(slot, item) for item in cast(list[Any], value)]
        if isinstance(value, dict):
            members = cast(dict[str, Any], value)
            return {self.same(slot, key): self.json(slot, item) for key, item in members.items()}
        return value

    def schema(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        made = dict(schema)
        if "description" in made:
            made["description"] = self.fresh("schema", made["description"])
        if "enum" in made:
            made["enum"] = [self.same("schema", label) for label in made["enum"]]
        if "properties" in made:
            made["properties"] = {
                self.same("schema", name): self.schema(inner)
                for name, inner in made["properties"].items()
            }
        if "required" in made:
            made["required"] = [self.same("schema", name) for name in made["required"]]
        if "items" in made:
            made["items"] = self.schema(made["items"])
        return made

    def tool(self, tool: Mapping[str, Any]) -> dict[str, Any]:
        function = dict(tool["function"])
        function["name"] = self.same("tool_names", function["name"])
        if "description" in function:
            function["description"] = self.fresh("schema", function["description"])
        function["parameters"] = self.schema(function["parameters"])
        return {"type": "function", "function": function}

    def call(self, call: Mapping[str, Any]) -> dict[str, Any]:
        arguments = call["function"]["arguments"]
        plain = json.loads(arguments) if isinstance(arguments, str) else arguments
        changed = self.json("arguments", plain)
        made = {
            **call,
            "function": {
                "name": self.same("tool_names", call["function"]["name"]),
                "arguments": (
                    json.dumps(changed, ensure_ascii=False)
                    if isinstance(arguments, str)
                    else changed
                ),
            },
        }
        if "id" in call:
            made["id"] = self.same("call_ids", call["id"])
        return made

    def message(self, message: Mapping[str, Any], roles: Mapping[str, str]) -> dict[str, Any]:
        made = dict(message)
        is_result = message["role"] == "tool"
        if message["role"] in roles:
            made["role"] = self.same("roles", message["role"])
        if message.get("name"):
            made["name"] = (
                self.same("tool_names", message["name"])
                if is_result
                else self.same("names", message["name"])
            )
        if message.get("content"):
            made["content"] = self.fresh("results" if is_result else "content", message["content"])
        if message.get("reasoning_content"):
            made["reasoning_content"] = self.fresh("reasoning", message["reasoning_content"])
        if message.get("tool_calls"):
            made["tool_calls"] = [self.call(call) for call in message["tool_calls"]]
        if message.get("tool_call_id"):
            made["tool_call_id"] = self.same("call_ids", message["tool_call_id"])
        return made


@st.composite
def hostile_pair(
    draw: st.DrawFn,
    shape: Shape,
    control_tokens: Sequence[str] = (),
    slots: Sequence[str] = SLOTS,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A harmless conversation, and the same one with hostile bytes wherever a caller's bytes go.

    Both have the same messages, calls, tools and places of text, so a format must give both the
    same control tokens in the same order. Which of `slots` are hostile is drawn too: a hostile name
    or role may be refused, and must not hide what the contents do. Call ids stay where the shape
    prescribes their form.
    """
    harmless = draw(conversations(shape))
    usable = [slot for slot in slots if slot != "call_ids" or shape.call_ids == "any"]
    chosen = draw(st.lists(st.sampled_from(usable), min_size=1, unique=True))
    poison = _Poison(draw, control_tokens, chosen)
    roles = {entry["role"]: entry["author"] for entry in harmless["cast"] or ()}
    hostile = {
        "messages": [poison.message(message, roles) for message in harmless["messages"]],
        "tools": harmless["tools"] and [poison.tool(tool) for tool in harmless["tools"]],
        "cast": harmless["cast"]
        and [{**entry, "role": poison.same("roles", entry["role"])} for entry in harmless["cast"]],
    }
    return harmless, hostile
