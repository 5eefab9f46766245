"""What an exported template is given beside the messages, with defaults, and who speaks next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolecall.export.jinja_code import (
    Line,
    Node,
    choose,
    none_of,
    quoted,
    refuse,
    setting,
    when,
)
from rolecall.export.jinja_patterns import used
from rolecall.pattern import Pattern

if TYPE_CHECKING:
    from rolecall.export.jinja import Export


def variables(export: Export) -> list[Node]:
    """Defaults of what a template is given beside the messages, and who speaks next."""
    fmt = export.fmt
    nodes: list[Node] = [Line(f"{{#- {_plain(fmt.title)}, exported by Rolecall -#}}")]
    table = ", ".join(f"{quoted(role)}: {quoted(who)}" for role, who in export.authors.items())
    nodes.append(setting("authors", f"{{{table}}}"))
    cited = _tokens(export)
    for name, value in (("bos_token", fmt.bos_token), ("eos_token", fmt.eos_token)):
        if name in cited:
            nodes += _default(name, quoted(value))
    for name, option in fmt.options.items():
        value = option.default
        code = str(value).lower() if isinstance(value, bool) else None
        nodes += _default(name, code or (quoted(value) if isinstance(value, str) else str(value)))
        if option.choices:
            words = f"; choose one of {', '.join(option.choices)}"
            nodes += when(
                none_of(name, option.choices),
                [refuse(quoted(f"option {name}: found '"), name, quoted("'" + words))],
            )
    nodes.append(
        setting("continuing", "continue_final_message is defined and continue_final_message")
    )
    nodes += when("messages and messages[-1].prefix", [setting("continuing", "true")])
    nodes += choose(
        [
            (
                "speaker is not defined or not speaker",
                [
                    setting(
                        "speaker",
                        "{'role': 'assistant'} "
                        "if add_generation_prompt and not continuing else none",
                    )
                ],
            ),
            ("speaker is string", [setting("speaker", "{'role': speaker}")]),
            (
                "speaker is not mapping",
                [setting("speaker", "{'role': speaker[0], 'name': speaker[1]}")],
            ),
        ]
    )
    return nodes


def _plain(text: str) -> str:
    return text.replace("#}", "# }")


def _default(name: str, code: str) -> list[Node]:
    return when(f"{name} is not defined or {name} is none", [setting(name, code)])


def _tokens(export: Export) -> set[str]:
    """The document tokens that are written."""
    fmt = export.fmt
    patterns: list[Pattern] = [fmt.begin, fmt.finish]
    for spec in fmt.specs:
        patterns += [spec.open, spec.body, spec.end, spec.gap, spec.prompt]
        patterns += [spec.final_end or (), spec.call_end or (), *spec.after.values()]
    if fmt.tools is not None:
        patterns += [fmt.tools.begin, fmt.tools.each, fmt.tools.finish, fmt.tools.frame]
    if fmt.calls is not None:
        patterns += [fmt.calls.begin, fmt.calls.each, fmt.calls.join, fmt.calls.finish]
    return used(patterns)
