"""The macros that exported templates call; a template holds those that it calls and no others."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rolecall.export import jinja_schemas
from rolecall.export.jinja_code import Block, Node, Out, Text, choose, quoted, written
from rolecall.export.jinja_headers import label_macro, name_macro
from rolecall.export.jinja_patterns import known_ids

if TYPE_CHECKING:
    from rolecall.export.jinja import Export

SCHEMAS = {
    "json": "tool | tojson{indent}",
    "named-fields": "named_fields(tool.function)",
    "typescript": "typescript(tool.function)",
    "signature": "signature(tool.function)",
}
"""How a tool is written to the expression for it."""

PLAIN_TEXT = """\
{%- macro text(content) %}
    {%- if content is string %}
        {{- content }}
    {%- else %}
        {%- for part in content or [] %}
            {{- part.text }}
        {%- endfor %}
    {%- endif %}
{%- endmacro %}"""

JOINED_TEXT = """\
{%- macro text(content) %}
    {%- if content is string %}
        {{- content }}
    {%- else %}
        {%- set ns = namespace(glue='') %}
        {%- for part in content or [] %}
            {%- if part.text %}
                {{- ns.glue + part.text }}
                {%- set ns.glue = JOIN %}
            {%- endif %}
        {%- endfor %}
    {%- endif %}
{%- endmacro %}"""

TRIMMED = """\
{%- macro trimmed(content) %}
    {%- if content is string %}
        {{- content | trim }}
    {%- else %}
        {%- for part in content or [] %}
            {{- part.text | trim }}
        {%- endfor %}
    {%- endif %}
{%- endmacro %}"""

ARGUMENTS = """\
{%- macro json_arguments(arguments) %}
    {%- if arguments is string %}
        {{- arguments or '{}' }}
    {%- else %}
        {{- (arguments or {}) | tojson }}
    {%- endif %}
{%- endmacro %}"""

STRIPPING = """\
{%- macro NAME(text) %}
    {%- set ns = namespace(gap='') %}
    {%- for item in text.split(MARK) %}
        {%- if item %}
            {{- ns.gap + item }}
            {%- set ns.gap = MARK %}
        {%- elif KEEP %}
            {%- set ns.gap = ns.gap + MARK %}
        {%- endif %}
    {%- endfor %}
{%- endmacro %}"""

LEFT = """\
{%- macro lstrip_newlines(text) %}
    {%- set ns = namespace(begun=false) %}
    {%- for line in text.split('\\n') %}
        {%- if ns.begun %}
            {{- '\\n' + line }}
        {%- elif line %}
            {{- line }}
            {%- set ns.begun = true %}
        {%- endif %}
    {%- endfor %}
{%- endmacro %}"""

CALL_NAME = """\
{#- The name of the tool that answers: its own, or that of the newest call with its id. -#}
{%- macro call_name(message, earlier) %}
    {%- set ns = namespace(name=message.name or '') %}
    {%- if not ns.name and message.tool_call_id %}
        {%- for other in earlier %}
            {%- set called = namespace(name='') %}
            {%- for call in other.tool_calls or [] %}
                {%- if call.id == message.tool_call_id and not called.name %}
                    {%- set called.name = call.function.name %}
                {%- endif %}
            {%- endfor %}
            {%- if called.name %}
                {%- set ns.name = called.name %}
            {%- endif %}
        {%- endfor %}
    {%- endif %}
    {{- ns.name }}
{%- endmacro %}"""


HEADER = """\
{#- Refuse what would end a header, or be a control token in it. -#}
{%- macro check_header(value, marks, where, field, shown) %}
    {%- for mark in marks %}
        {%- if value and mark in value %}
            {{- raise_exception(where ~ ', ' ~ field ~ ": '" ~ shown ~ WORDS ~ field) }}
        {%- endif %}
    {%- endfor %}
{%- endmacro %}"""


IS_ID = """\
{%- macro is_id(text) %}
    {%- set ns = namespace(fits=(text | length) == LENGTH) %}
    {%- for at in range(LENGTH if ns.fits else 0) %}
        {%- if text[at:at + 1] not in LETTERS %}
            {%- set ns.fits = false %}
        {%- endif %}
    {%- endfor %}
    {{- 'yes' if ns.fits else '' }}
{%- endmacro %}"""


def needed(template: str, export: Export) -> list[str]:
    """The macros that a template calls, in an order in which each is there when it is called."""
    known = _macros(export)
    wanted: list[str] = []
    texts = [template]
    while texts:
        text = texts.pop()
        for name, (macro, _) in known.items():
            if re.search(rf"\b{name}\(", text) and name not in wanted:
                wanted.append(name)
                texts.append(macro)
    return [macro for name, (macro, _) in known.items() if name in wanted]


def _macros(export: Export) -> dict[str, tuple[str, str]]:
    join = export.fmt.part_join
    text = JOINED_TEXT.replace("JOIN", quoted(join)) if join else PLAIN_TEXT
    macros = {"text": text, "trimmed": TRIMMED, "author": author(export)}
    stripping = {
        "rstrip_space": ("' '", "true"),
        "rstrip_newlines": ("'\\n'", "true"),
        "strip_newlines": ("'\\n'", "ns.gap"),
    }
    for name, (mark, keep) in stripping.items():
        macro = STRIPPING.replace("NAME", name).replace("MARK", mark).replace("KEEP", keep)
        macros[name] = macro.replace("{%- elif true %}", "{%- else %}")
    macros["lstrip_newlines"] = LEFT
    words = (
        f"' in the header of {export.fmt.name} cannot be read back: it holds what ends the header; "
        "choose another "
    )
    letters, length = known_ids(export.fmt) or ("", 0)
    macros["is_id"] = IS_ID.replace("LENGTH", str(length)).replace("LETTERS", quoted(letters))
    macros["check_header"] = HEADER.replace("WORDS", quoted(words))
    macros["check_label"] = label_macro(export)
    macros["check_name"] = name_macro(export)
    macros["json_arguments"] = ARGUMENTS
    macros["call_name"] = CALL_NAME
    macros |= jinja_schemas.MACROS
    return {name: (macro, name) for name, macro in macros.items()}


def author(export: Export) -> str:
    """The macro that says who wrote a message, where names decide."""
    branches: list[tuple[str, list[Node]]] = []
    for role, name, who in export.named:
        condition = f"message.role == {quoted(role)} and message.name == {quoted(name)}"
        branches.append((condition, [Text(who)]))
    branches.append(("", [Out("authors[message.role] or ''")]))
    return written([Block("macro author(message)", tuple(choose(branches)), "endmacro")])
