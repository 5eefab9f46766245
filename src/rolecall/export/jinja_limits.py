"""What an exported chat template cannot do that `render` does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolecall.export.jinja_patterns import known_ids
from rolecall.lost import Lost
from rolecall.pattern import Slot, walk

if TYPE_CHECKING:
    from rolecall.format import Format

SPACE = ("trim", "trim-parts", "ltrim", "rtrim")
"""Filters that take white space away, whatever an engine holds for it."""


def limits(fmt: Format) -> tuple[Lost, ...]:
    """What a chat template of this format cannot do, each with a fixed `code`.

    All are of level ``note``: the template writes or refuses something else than `render` in a
    case that the record describes. ``docs/exporting.md`` shows each.
    """
    found = [
        _limit(
            "control-in-text",
            "content",
            "a template writes text: content that spells a control token becomes one where the "
            "text is tokenized, while render keeps it plain",
        )
    ]
    patterns = [node for spec in fmt.specs for node in walk((*spec.open, *spec.body))]
    headers = {
        node.name for spec in fmt.specs for node in walk(spec.open) if isinstance(node, Slot)
    }
    filters = {node.filter for node in patterns if isinstance(node, Slot)}
    if headers & {"name", "speaker", "call_id", "call_name", *fmt.attributes}:
        detail = (
            "the template refuses a name, or what else stands in a header, that spells a control "
            "token; render writes it as plain text"
        )
        found.append(_limit("control-in-header", "name", detail))
    rules = [f"match.{slot}" for slot in fmt.match]
    if fmt.calls is not None and fmt.calls.ids is not None and known_ids(fmt) is None:
        rules.append("calls.ids")
    if rules:
        asked = " and ".join(rules)
        detail = f"Jinja has no regular expressions: what {asked} asks for is not looked at"
        found.append(_limit("pattern-unchecked", "tool_calls", detail))
    if "json-value" in filters:
        detail = "Jinja cannot read JSON: a result that is JSON is written as a JSON string"
        found.append(_limit("json-result", "content", detail))
    if fmt.calls is not None:
        detail = (
            "arguments that are given as a string are written as they are spelt; render reads them "
            "and writes them again"
        )
        found.append(_limit("arguments-spelled", "tool_calls", detail))
    if fmt.calls is not None or fmt.tools is not None:
        found.append(
            _limit(
                "floats",
                "tools",
                "numbers with a fraction of zero, or very large or small, are spelt by each engine "
                "in its own way: 1.0 is 1 in some",
            )
        )
        found.append(
            _limit(
                "html-characters",
                "tools",
                "engines whose tojson is not transformers' write <, > and & as \\u003c, "
                "\\u003e and \\u0026",
            )
        )
    if filters & set(SPACE):
        detail = "llama.cpp takes ASCII white space away alone, so that U+3000 or U+00A0 stays"
        found.append(_limit("white-space", "content", detail))
    if any(spec.merge is not None for spec in fmt.specs):
        detail = "turns are merged whatever their weights; render keeps different weights apart"
        found.append(_limit("weights", "weight", detail))
    if fmt.tools is not None and fmt.tools.schema == "typescript":
        detail = "a carriage return at the end of a description's line stays"
        found.append(_limit("schema-line-ends", "tools", detail))
    spec = fmt.turns.get("model")
    said = [] if spec is None else [n for n in walk(spec.body) if isinstance(n, Slot)]
    if any(node.name == "content" and node.filter for node in said):
        detail = (
            "transformers' own continue_final_message is not told to the template, and white space "
            "at the end of a prefill that the format trims, or writes behind every content, is cut "
            "or kept as transformers guesses; mark the message with prefix instead"
        )
        found.append(_limit("transformers-prefill", "content", detail))
    found.append(
        _limit(
            "unknown-keys",
            "messages",
            "keys that no message has, and values of a wrong type, are not looked at",
        )
    )
    found.append(
        _limit(
            "one-complaint",
            "messages",
            "of several things that are wrong the template names one, which may be another than "
            "render's, and it shows texts as they are, without Python's escapes",
        )
    )
    detail = (
        "where both are asked for, the message that is continued wins over the generation prompt, "
        "since servers ask for the latter by themselves; render refuses the pair"
    )
    found.append(_limit("continued-prompt", "messages", detail))
    return tuple(found)


def _limit(code: str, field: str, detail: str) -> Lost:
    return Lost("note", code, None, field, detail)
