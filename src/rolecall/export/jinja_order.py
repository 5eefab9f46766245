"""The order of messages, calls and results that an exported template refuses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rolecall.export.jinja_code import (
    Node,
    choose,
    listed,
    loop,
    none_of,
    quoted,
    refuse,
    setting,
    when,
)

if TYPE_CHECKING:
    from rolecall.export.jinja import Export


def refuse_at(field: str, *words: str) -> Node:
    """Refuse the message at `index`; the words are text, and code where they begin with ``=``."""
    codes = [quoted(f", {field}: {words[0]}") if words[0][:1] != "=" else quoted(f", {field}: ")]
    rest = words[1:] if words[0][:1] != "=" else words
    codes += [word[1:] if word[:1] == "=" else quoted(word) for word in rest]
    return refuse("'message '", "index", *codes)


def article(author: str) -> str:
    """An author with its article."""
    return f"{'an' if author == 'owner' else 'a'} {author}"


def ruled(export: Export) -> bool:
    """Whether the format says who may follow whom."""
    order = export.fmt.order
    return order.first is not None or bool(order.after) or order.alone is not None


def rules_begin(export: Export) -> list[Node]:
    """What the checks remember from message to message."""
    order = export.fmt.order
    nodes: list[Node] = []
    fields: dict[str, str] = {}
    if order.first is not None or order.after:
        fields["previous"] = "''"
    if order.after:
        table = ", ".join(f"{quoted(who)}: {listed(order.after[who])}" for who in order.after)
        nodes.append(setting("follow", f"{{{table}}}"))
    if "answer-calls" in order.rules:
        fields |= {"open": "0", "caller": "0"}
    if "answer-by-id" in order.rules:
        fields |= {"waiting": "[]", "answered": "[]"}
    unkept = export.fmt.calls is not None and export.fmt.calls.keep == "after-last-client"
    if unkept:
        fields["asked"] = "-1"
    if fields:
        given = ", ".join(f"{name}={value}" for name, value in fields.items())
        nodes.append(setting("order", f"namespace({given})"))
    if unkept:
        client = when(export.is_author("client"), [setting("order.asked", "loop.index0")])
        nodes += loop("message in messages", client)
    return nodes


def order_of(export: Export) -> list[Node]:
    """Who may follow whom."""
    fmt, order = export.fmt, export.fmt.order
    if not ruled(export):
        return []
    article = "('an ' if who == 'owner' else 'a ') ~ who"
    nodes: list[Node] = [
        setting("who", "author(message)" if export.named else "authors[message.role]")
    ]
    if order.alone is not None:
        words = f" message alone; put one of {' or '.join(order.alone)} before it"
        nodes += when(
            f"messages | length == 1 and {none_of('who', order.alone)}",
            [refuse_at("role", f"{fmt.name} has no way to write ", f"={article}", words)],
        )
    middle = " message (role '"

    def misplaced(place: Sequence[str]) -> Node:
        return refuse_at(
            "role",
            f"{fmt.name} has no way to write ",
            f"={article}",
            middle,
            "=message.role",
            *place,
        )

    branches: list[tuple[str, list[Node]]] = []
    first = order.first
    if first is not None:
        allowed = list(dict.fromkeys([*first, "owner"]))
        words = f"') first; expected {' or '.join(first)}"
        branches.append((f"not order.previous and {none_of('who', allowed)}", [misplaced([words])]))
    if order.after:
        condition = "order.previous in follow and who not in follow[order.previous]"
        behind = "('an ' if order.previous == 'owner' else 'a ') ~ order.previous"
        place = [
            "') after ",
            f"={behind}",
            " message; expected ",
            "=(follow[order.previous] | join(' or '))",
        ]
        branches.append((condition, [misplaced(place)]))
    nodes += choose(branches)
    remember: list[Node] = []
    if branches:
        remember = [setting("order.previous", "who")]
        if first is not None and "owner" not in first:
            remember = when("order.previous or who != 'owner'", remember)
    return [*nodes, *remember]


def rules_of(export: Export) -> list[Node]:
    """Every call has one result, and every result a call."""
    rules = export.fmt.order.rules
    tool: list[Node] = []
    model: list[Node] = []
    if "answer-calls" in rules:
        tool += [
            setting("order.open", "order.open - 1"),
            *when(
                "order.open < 0",
                [
                    refuse_at(
                        "tool_call_id",
                        "it answers no call: there are more results than calls before it; "
                        "add the call or remove the result",
                    )
                ],
            ),
        ]
        model += [
            *when(
                "order.open",
                [
                    refuse_at(
                        "role",
                        "the model speaks while ",
                        "=order.open",
                        " of the calls of message ",
                        "=order.caller",
                        " have no result; add a tool message for each call",
                    )
                ],
            ),
            setting("order.open", "(message.tool_calls or []) | length"),
            setting("order.caller", "index"),
        ]
    if "answer-by-id" in rules:
        model += [
            setting("order.waiting", "[]"),
            setting("order.answered", "[]"),
            *loop(
                "call in message.tool_calls or []",
                [
                    *when(
                        "call.id and call.id in order.waiting",
                        [
                            refuse(
                                "'message '",
                                "index",
                                "', tool_calls['",
                                "loop.index0",
                                '"].id: found \'"',
                                "call.id",
                                quoted(
                                    "' a second time; the calls of one message need different ids"
                                ),
                            )
                        ],
                    ),
                    setting("order.waiting", "order.waiting + [call.id or '']"),
                ],
            ),
        ]
        known = "((\"'\" ~ (order.waiting | join(\"', '\")) ~ \"'\") if order.waiting else 'none')"
        tool += [
            setting("id", "message.tool_call_id or ''"),
            *choose(
                [
                    (
                        "id and id in order.answered",
                        [
                            refuse_at(
                                "tool_call_id",
                                "the call '",
                                "=id",
                                "' has a result already; one call has one result",
                            )
                        ],
                    ),
                    (
                        "id not in order.waiting",
                        [
                            refuse_at(
                                "tool_call_id",
                                "found ",
                                "=(\"'\" ~ id ~ \"'\" if id else 'None')",
                                ", which is no call of the message before (calls: ",
                                f"={known}",
                                ")",
                            )
                        ],
                    ),
                ]
            ),
            setting("order.answered", "order.answered + [id]"),
        ]
    return choose([(export.is_author("tool"), tool), (export.is_author("model"), model)])


def rules_end(export: Export) -> list[Node]:
    """What is refused behind the last message."""
    if "answer-calls" not in export.fmt.order.rules:
        return []
    return when(
        "order.open and order.caller != (messages | length) - 1",
        [
            refuse(
                "'message '",
                "order.caller",
                "', tool_calls: '",
                "order.open",
                "(' of its calls have' if order.open > 1 else ' of its calls has')",
                quoted(" no result; add a tool message for each call"),
            )
        ],
    )
