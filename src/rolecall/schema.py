"""What a format file may say: every table and key, with type, default and meaning.

The loader checks files against these tables and the reference page is generated from them, so the
two cannot disagree.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from rolecall import strategies


class Key(NamedTuple):
    """One key of a format file."""

    kind: str
    """``text``, ``pattern``, ``patterns`` (a list), ``bool``, ``int``, ``texts`` (a list),
    ``table``, ``regex``, or the name of a registry of `strategies` whose names are the values
    allowed."""
    doc: str
    """What it means, one sentence."""
    default: str = ""
    """The default as shown on the reference page."""


TOP: dict[str, Key] = {
    "title": Key("text", "What the format is called in prose."),
    "control": Key("texts", "The only strings of this file that become control tokens.", "[]"),
    "bos_token": Key(
        "text", "Text of the token that begins a document; callers may override it.", '""'
    ),
    "eos_token": Key("text", "Text of the token that ends a text; callers may override it.", '""'),
    "stop": Key(
        "texts", "Strings that end a model's turn too, where models write on past its end.", "[]"
    ),
    "begin": Key("pattern", "Written once, before everything else.", '""'),
    "finish": Key("pattern", "Written last, unless the model is to speak next.", '""'),
    "dummy_prefix": Key(
        "bool",
        "Each run of plain text starts with one space, SentencePiece's dummy prefix made visible.",
        "false",
    ),
    "part_join": Key("text", "Joins the typed text parts of one message.", '""'),
    "attributes": Key("texts", "Message attributes that patterns may write as slots.", "[]"),
    "match": Key(
        "table",
        "Attribute, `call_name` or `call_id`, to the regular expression that its value must match.",
        "{}",
    ),
    "labels": Key("table", "Role to the word or control token that is written for it.", "{}"),
    "options": Key(
        "table", "Parameters that callers may set: name to {default, doc, choices}.", "{}"
    ),
    "turn": Key(
        "table", "How turns are written; its tables owner, client, model and tool overlay it."
    ),
    "role": Key("table", "Role to a table that overlays its author's turn.", "{}"),
    "system": Key("table", "Where the system prompt stands.", "{}"),
    "tools": Key("table", "How tool schemas are written and where they stand.", "{}"),
    "calls": Key("table", "How tool calls are written.", "{}"),
    "reasoning": Key("table", "Which reasoning is kept.", "{}"),
    "order": Key("table", "Which author may follow which.", "{}"),
}

TURN: dict[str, Key] = {
    "open": Key("pattern", "The header: everything up to where the author's text begins.", '""'),
    "body": Key(
        "pattern", "What the author wrote; in a model's turn, what it samples.", '"{content}"'
    ),
    "reads": Key(
        "patterns",
        "What models write in place of `body` too: read and never written. The slot `any` stands "
        "for one word that is passed over.",
        "[]",
    ),
    "end": Key("pattern", "What closes the turn; in a model's turn, what it samples last.", '""'),
    "gap": Key("pattern", "What follows a closed turn and belongs to nobody.", '""'),
    "final_end": Key("pattern", "Replaces `end` on the last turn unless the model speaks next."),
    "call_end": Key("pattern", "Replaces `end` and `final_end` on a turn that makes tool calls."),
    "prompt": Key(
        "pattern",
        "What the generation prompt writes after the header; `body` begins with it.",
        '""',
    ),
    "merge": Key("text", "Consecutive turns become one, their contents joined with this text."),
    "group": Key("text", "Consecutive bodies share one header and end, joined with this text."),
    "role": Key("text", "The role that a header without a role slot stands for."),
    "empty": Key(
        "bool", "A turn may say nothing, that is, have neither content nor calls.", "true"
    ),
    "after": Key("table", "Author of the previous turn to keys (`open`) that replace these.", "{}"),
}

ROLE: dict[str, Key] = {
    **TURN,
    "author": Key("text", "Who authors the role unless the cast says otherwise."),
}

AFTER: dict[str, Key] = {"open": TURN["open"]}

SYSTEM: dict[str, Key] = {
    "place": Key("SYSTEM_PLACES", "Where system messages stand.", '"turn"'),
    "join": Key("text", "Joins several system messages where they become one.", '"\\n\\n"'),
    "fold": Key("text", "Joins the system prompt to the content of the turn that receives it."),
    "default": Key("text", "The system prompt that is written when the conversation has none."),
}

TOOLS: dict[str, Key] = {
    "place": Key("TOOL_PLACES", "Where the tool schemas stand.", '"system"'),
    "when": Key(
        "table", "Boolean option to the place that holds instead while the option is true.", "{}"
    ),
    "schema": Key("TOOL_SCHEMAS", "How one tool is written.", '"json"'),
    "indent": Key("int", "JSON stands on several lines, each level this many spaces further in."),
    "begin": Key("pattern", "Before the first tool.", '""'),
    "each": Key(
        "pattern",
        "One tool; its slots are `tool`, `tool_name` and `function`, its function object as JSON.",
        '"{tool}"',
    ),
    "join": Key("text", "Between tools.", '""'),
    "finish": Key("pattern", "After the last tool.", '""'),
    "frame": Key("pattern", "With place `start`: the whole turn, with the slot `tools`."),
}

CALLS: dict[str, Key] = {
    "begin": Key("pattern", "Before the first call.", '""'),
    "each": Key("pattern", "One call; slots `call_name`, `arguments`, `call_id`, `index`."),
    "reads": Key(
        "patterns",
        "What models write in place of `each` too: read and never written. The slot `any` stands "
        "for one word that is passed over.",
        "[]",
    ),
    "join": Key("pattern", "Between calls.", '""'),
    "finish": Key("pattern", "After the last call.", '""'),
    "arguments": Key("ARGUMENTS", "How the arguments are written.", '"json"'),
    "id": Key(
        "pattern",
        "The id that is written in place of the caller's, for a call and its result; its slots are "
        "`call_name` and `index`, which here counts the calls of the whole conversation.",
    ),
    "ids": Key(
        "regex",
        "What the id of a call or a result must match; where it is written, it must be there.",
    ),
    "ids_hint": Key("text", "What to tell a caller whose id does not match."),
    "max": Key("int", "How many calls one message may make."),
    "max_results": Key("int", "How many results may follow one turn that makes calls."),
    "alone": Key("bool", "A turn that makes calls holds no content.", "false"),
    "sort_results": Key(
        "bool", "Results stand in the order of the calls that they answer.", "false"
    ),
    "keep": Key("KEEP", "Which turns keep their calls and results.", '"all"'),
}

REASONING: dict[str, Key] = {
    "keep": Key("KEEP", "Which turns keep their reasoning.", '"all"'),
    "when": Key(
        "table", "Boolean option to the `keep` that holds instead while the option is true.", "{}"
    ),
    "drop_emptied": Key(
        "bool", "A turn that held nothing but reasoning, now dropped, is not written.", "false"
    ),
    "thinks": Key("THINKS", "Which turns fill the slot `thinks`.", '"with-reasoning"'),
}

ORDER: dict[str, Key] = {
    "first": Key("texts", "Authors that may begin, system messages aside."),
    "alone": Key("texts", "Authors whose message may be the only one."),
    "after": Key("table", "Author to the authors that may follow.", "{}"),
    "rules": Key("ORDER_RULES", "Named rules that messages must obey.", "[]"),
    "first_client": Key(
        "bool", "An empty client turn is inserted where no client speaks first.", "false"
    ),
}

OPTION: dict[str, Key] = {
    "default": Key("value", "The value when the caller gives none; its type is the option's type."),
    "doc": Key("text", "What the option does, one sentence."),
    "choices": Key("texts", "The only values allowed."),
}

TAKEN = frozenset(
    [
        "self",
        "messages",
        "tools",
        "cast",
        "source",
        "tokenizer",
        "strict",
        "conversations",
        "add_generation_prompt",
        "continue_final_message",
        "speaker",
        "batch_tokens",
    ]
)
"""What the methods of a format that take options take beside them: an option of such a name could
never be given."""

LISTED = ("ORDER_RULES",)
"""Registries of which a key names several, in a list; of the others it names one."""

LARGEST_INT = 1000
"""No count or indentation in a format file is larger."""

TABLES: dict[str, dict[str, Key]] = {
    "": TOP,
    "turn": TURN,
    "turn.AUTHOR": TURN,
    "turn.AUTHOR.after.AUTHOR": AFTER,
    "role.NAME": ROLE,
    "system": SYSTEM,
    "tools": TOOLS,
    "calls": CALLS,
    "reasoning": REASONING,
    "order": ORDER,
    "options.NAME": OPTION,
}
"""Every table of a format file by its path."""

TURN_SLOTS: dict[str, str] = {
    "role": "label of the role",
    "name": "name of the speaker",
    "speaker": "name of the speaker, or the label of the role where there is none",
    "content": "text of the message",
    "reasoning": "reasoning, where it is kept",
    "thinks": "filled where the strategy `thinks` says so; stands in groups only",
    "calls": "tool calls as `[calls]` writes them",
    "call_id": "in a tool's turn: id of the call it answers",
    "call_name": "in a tool's turn: name of the tool that answers",
    "system": "system prompt, in the turn its place names",
    "tools": "tool schemas as `[tools]` writes them, in the turn its place names",
    "has_tools": "filled throughout a conversation with tools; stands in groups only",
    "bos_token": "the token that begins a document, a control token",
    "eos_token": "the token that ends a text, a control token",
}
"""Slots of turn patterns, beside options and attributes."""

CALL_SLOTS = ("call_name", "arguments", "call_id", "index", "bos_token", "eos_token")
TOOL_SLOTS = ("tool", "tool_name", "function", "bos_token", "eos_token")


def line_of(source: str, path: tuple[str, ...]) -> int | None:
    """The 1-based line of a key in a TOML text.

    Where the key is not there itself, it is the line of the key in [turn] that it was taken from,
    or else of the table, or else of the first thing that stands under it.
    """
    table: tuple[str, ...] = ()
    best: int | None = None
    inherited: int | None = None
    under: int | None = None
    for number, line in enumerate(source.splitlines(), 1):
        header = re.match(
            r"""\s*\[\[?\s*((?:"[^"]*"|'[^']*'|[^\]"'])+?)\s*\]\]?\s*(?:#.*)?$""", line
        )
        if header is not None:
            table = tuple(part.strip(" \"'") for part in _split_dotted(header.group(1)))
            if path[: len(table)] == table:
                best = number
            elif table[: len(path)] == path:
                under = under or number
            continue
        key = re.match(
            r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*[A-Za-z0-9_-]+)*)\s*=""", line
        )
        if key is not None:
            here = table + tuple(part.strip(" \"'") for part in _split_dotted(key.group(1)))
            if here == path[: len(here)]:
                best = number
                if here == path:
                    return number
            elif here[: len(path)] == path:
                under = under or number
            if path[:1] in (("turn",), ("role",)) and here == ("turn", path[-1]):
                inherited = number
    found = inherited or best or under
    return line_of(source, path[:-1]) if found is None and len(path) > 1 else found


def _split_dotted(text: str) -> list[str]:
    return re.findall(r"""\s*("[^"]*"|'[^']*'|[^.]+)\s*\.?""", text)


def registry(kind: str) -> dict[str, strategies.Strategy] | None:
    """The registry of named strategies behind a kind, or None for a plain kind."""
    return strategies.REGISTRIES.get(kind)
