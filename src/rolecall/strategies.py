"""The named behaviours a format file may cite, beyond what patterns can say.

Each is one function with a docstring; ``docs/strategies.md`` is generated from them together with
the formats that use each. No function knows a format or a model by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from rolecall.conversation import Author, Conversation
from rolecall.errors import OrderError
from rolecall.pattern import dump_json
from rolecall.toolcalls import signature, typescript
from rolecall.turn import Turn, text_of


class Strategy(NamedTuple):
    """A named behaviour."""

    apply: Callable[..., Any]
    """The function; its signature is that of its registry."""
    standard: bool
    """Whether it is placement, merging, grouping, trimming or which reasoning is kept, and nothing
    else: how JSON is written and which blocks stand empty are not."""
    fields: tuple[str, ...] = ()
    """Of a tool schema: the fields of `function` that it writes; empty if it writes all."""
    readable: bool = True
    """Of a tool schema: whether what it writes can be read back."""
    learnt: bool = False
    """Whether it is for files that are learnt, so that no bundled format need name it."""

    @property
    def doc(self) -> str:
        """The docstring of the function."""
        return " ".join((self.apply.__doc__ or "").split())


# Where system messages stand: (turns) -> index of the receiving turn, or None.


def place_turn(turns: list[Turn]) -> int | None:
    """Each system message is a turn of its own, where the caller put it."""
    return None


def place_start(turns: list[Turn]) -> int | None:
    """System messages are joined into one turn at the start."""
    return 0


def place_first_client(turns: list[Turn]) -> int | None:
    """System messages are joined and go to the first client turn."""
    return next((index for index, turn in enumerate(turns) if turn.author == "client"), None)


def place_last_client(turns: list[Turn]) -> int | None:
    """System messages are joined and go to the last client turn."""
    found = [index for index, turn in enumerate(turns) if turn.author == "client"]
    return found[-1] if found else None


def place_refuse(turns: list[Turn]) -> int | None:
    """There is no place for a system message: it is lost."""
    return None


SYSTEM_PLACES: dict[str, Strategy] = {
    "turn": Strategy(place_turn, standard=True),
    "start": Strategy(place_start, standard=True),
    "first-client": Strategy(place_first_client, standard=True),
    "last-client": Strategy(place_last_client, standard=True),
    "refuse": Strategy(place_refuse, standard=True),
}


# Where tool schemas stand: (turns) -> index of the receiving turn, or None.


def tools_system(turns: list[Turn]) -> int | None:
    """The schemas stand in the system turn at the start, which is added where there is none."""
    return 0 if turns and turns[0].author == "owner" else None


def tools_start(turns: list[Turn]) -> int | None:
    """The schemas are a turn of their own at the start, written by `frame`."""
    return None


TOOL_PLACES: dict[str, Strategy] = {
    "system": Strategy(tools_system, standard=True),
    "start": Strategy(tools_start, standard=True),
    "first-client": Strategy(place_first_client, standard=True),
    "last-client": Strategy(place_last_client, standard=True),
}


# How one tool schema is written: (tool in the OpenAI form) -> text.


def schema_json(tool: dict[str, Any]) -> str:
    """JSON as given, in one line unless `tools.indent` says otherwise."""
    return dump_json(tool)


NAMED_FIELDS = ("name", "description", "parameters")


def schema_named_fields(tool: dict[str, Any]) -> str:
    """JSON in one line of type, name, description and parameters, in this order.

    A missing description is empty, missing parameters are an empty object; other fields of the
    function are not written.
    """
    function = tool["function"]
    named: dict[str, Any] = {
        "name": function["name"],
        "description": function.get("description") or "",
        "parameters": function.get("parameters") or {},
    }
    return dump_json({"type": "function", "function": named})


def schema_typescript(tool: dict[str, Any]) -> str:
    """A TypeScript function type, its descriptions as comments."""
    return typescript.write(tool)


def schema_signature(tool: dict[str, Any]) -> str:
    """A Python signature and docstring, then parameters; see `rolecall.toolcalls.signature`."""
    return signature.write(tool)


TOOL_SCHEMAS: dict[str, Strategy] = {
    "json": Strategy(schema_json, standard=False),
    "named-fields": Strategy(schema_named_fields, standard=False, fields=NAMED_FIELDS),
    "typescript": Strategy(schema_typescript, standard=False, readable=False),
    "signature": Strategy(schema_signature, standard=False, readable=False),
}


# How the arguments of a call are written: (object) -> text.


def arguments_json(arguments: dict[str, Any]) -> str:
    """JSON in one line, in the order given."""
    return dump_json(arguments)


ARGUMENTS: dict[str, Strategy] = {
    "json": Strategy(arguments_json, standard=False),
}


# Which turns keep their reasoning: (turns) -> index of the first turn that does.


def keep_all(turns: list[Turn]) -> int:
    """Every turn keeps its reasoning."""
    return 0


def keep_none(turns: list[Turn]) -> int:
    """No turn keeps its reasoning; it is read from replies alone."""
    return len(turns)


def keep_after_last_client(turns: list[Turn]) -> int:
    """Turns after the last client turn keep their reasoning."""
    return max((i for i, turn in enumerate(turns) if turn.author == "client"), default=-1) + 1


def keep_after_first_reply(turns: list[Turn]) -> int:
    """While the last turn of the model is no reply, every turn keeps its reasoning.

    Once it is one, only the turns behind the first reply do. A reply makes no call, and what it
    says is not on another channel than the final one.
    """
    spoken = [number for number, turn in enumerate(turns) if turn.author == "model"]
    replies = [number for number in spoken if _is_reply(turns[number])]
    return replies[0] + 1 if replies and replies[-1] == spoken[-1] else 0


def _is_reply(turn: Turn) -> bool:
    channel = text_of(turn.values.get("channel", ()))
    says = bool(turn.values.get("content")) or not turn.values.get("reasoning")
    return says and not turn.calls and channel in ("", "final")


KEEP: dict[str, Strategy] = {
    "all": Strategy(keep_all, standard=True),
    "none": Strategy(keep_none, standard=True, learnt=True),
    "after-last-client": Strategy(keep_after_last_client, standard=True),
    "after-first-reply": Strategy(keep_after_first_reply, standard=True),
}


# Which turns fill the slot `thinks`: (turns, index) -> bool.


def thinks_with_reasoning(turns: list[Turn], index: int) -> bool:
    """Turns that have reasoning to write."""
    return bool(turns[index].values.get("reasoning"))


def thinks_also_last(turns: list[Turn], index: int) -> bool:
    """Turns that have reasoning to write, and the last turn if it is a model's."""
    return thinks_with_reasoning(turns, index) or index == len(turns) - 1


THINKS: dict[str, Strategy] = {
    "with-reasoning": Strategy(thinks_with_reasoning, standard=False),
    "also-last": Strategy(thinks_also_last, standard=False),
}


# Rules of order: (conversation, authors) -> None, or raises OrderError.


def rule_answer_calls(conversation: Conversation, authors: tuple[Author, ...]) -> None:
    """Every tool call has exactly one result before the model speaks again."""
    open_calls = 0
    caller = 0
    for index, (message, author) in enumerate(zip(conversation.messages, authors, strict=True)):
        if author == "tool":
            open_calls -= 1
            if open_calls < 0:
                raise OrderError(
                    "it answers no call: there are more results than calls before it; "
                    "add the call or remove the result",
                    message=index,
                    field="tool_call_id",
                )
        elif author == "model":
            if open_calls:
                raise OrderError(
                    f"the model speaks while {open_calls} of the calls of message {caller} "
                    "have no result; add a tool message for each call",
                    message=index,
                    field="role",
                )
            open_calls, caller = len(message.tool_calls), index
    if open_calls and caller != len(authors) - 1:
        raise _unanswered(caller, open_calls)


def _unanswered(caller: int, count: int) -> OrderError:
    return OrderError(
        f"{count} of its calls {'have' if count > 1 else 'has'} no result; "
        "add a tool message for each call",
        message=caller,
        field="tool_calls",
    )


def rule_answer_by_id(conversation: Conversation, authors: tuple[Author, ...]) -> None:
    """Every result names a call of the model's message before it, and no call twice.

    No two calls of a message share an id. Where neither calls nor results have ids, they are not
    compared.
    """
    waiting: dict[str | None, None] = {}
    answered: set[str] = set()
    for index, (message, author) in enumerate(zip(conversation.messages, authors, strict=True)):
        if author == "model":
            waiting, answered = {}, set()
            for number, call in enumerate(message.tool_calls):
                if call.id is not None and call.id in waiting:
                    raise OrderError(
                        f"found {call.id!r} a second time; "
                        "the calls of one message need different ids",
                        message=index,
                        field=f"tool_calls[{number}].id",
                    )
                waiting[call.id] = None
        elif author == "tool":
            found = message.tool_call_id
            if found is not None and found in answered:
                raise OrderError(
                    f"the call {found!r} has a result already; one call has one result",
                    message=index,
                    field="tool_call_id",
                )
            if found not in waiting:
                known = ", ".join(repr(id_) for id_ in waiting) or "none"
                raise OrderError(
                    f"found {found!r}, which is no call of the message before (calls: {known})",
                    message=index,
                    field="tool_call_id",
                )
            if found is not None:
                answered.add(found)


ORDER_RULES: dict[str, Strategy] = {
    "answer-calls": Strategy(rule_answer_calls, standard=False),
    "answer-by-id": Strategy(rule_answer_by_id, standard=False),
}


REGISTRIES: dict[str, dict[str, Strategy]] = {
    "SYSTEM_PLACES": SYSTEM_PLACES,
    "TOOL_PLACES": TOOL_PLACES,
    "TOOL_SCHEMAS": TOOL_SCHEMAS,
    "ARGUMENTS": ARGUMENTS,
    "KEEP": KEEP,
    "THINKS": THINKS,
    "ORDER_RULES": ORDER_RULES,
}
"""Kind of key to the strategies it may name."""
