"""From messages to turns: who authors what, merging, placement, which reasoning is kept.

The plan decides what will be written and where; it writes nothing. Everything it does is cited in
the format's file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from rolecall import strategies
from rolecall.conversation import DEFAULT_ROLE, Author, Conversation, Message
from rolecall.errors import ConversationError, OrderError
from rolecall.layout import Layout, TurnLayout, layout
from rolecall.lost import Lost
from rolecall.pattern import Piece, Value, dump_json, filled, new_piece, slots, write
from rolecall.turn import Call, Turn, call_fields, text_of
from rolecall.wire import check_text

if TYPE_CHECKING:
    from rolecall.format import Format
    from rolecall.header import Speakers


class Past(NamedTuple):
    """What a walk must know of turns that were written before it, in a format that leaves them."""

    messages: int
    """How many messages they say."""
    authors: tuple[Author, ...]
    """Author of each of those."""
    segments: int
    """How many segments they are."""
    last: Turn | None
    """The last of them."""
    waiting: bool
    """Whether the next header ends it."""
    speakers: Speakers
    spoken: Mapping[tuple[str, str, str, str], Turn]
    """A turn of each speaker."""
    called: Mapping[str | None, str]
    """Id of a call to the name of its function."""
    numbered: tuple[tuple[str, str], ...]
    """Of calls without a result: the id that the caller gave, and the one that was written."""
    calls: int
    """How many calls there are, where the format numbers them."""
    lost: tuple[Lost, ...]
    """The records about them."""


class Plan:
    """The turns to write, with what had to be decided on the way."""

    def __init__(self, authors: tuple[Author, ...]) -> None:
        self.turns: list[Turn] = []
        self.authors = authors
        """Author of each of the caller's messages."""
        self.tools: Value = ()
        """Tool schemas where they are a turn of their own at the start."""
        self.receiver: Turn | None = None
        """The client's turn that system messages were moved into."""
        self.implied: set[tuple[int | None, str]] = set()
        """``(message, field)`` of attributes that what is written says without them."""
        self.lost: list[Lost] = []
        """Records of what was decided; what the walk fails to write is added by the account."""
        self.called: dict[str | None, str] = {}
        """Id of a call to the name of its function."""
        self.numbered: list[tuple[str, str]] = []
        """Calls without a result; see `Past.numbered`."""
        self.calls = 0
        """How many calls there are, where the format numbers them."""


def make_plan(
    fmt: Format,
    conversation: Conversation,
    options: Mapping[str, str | bool | int],
    past: Past | None = None,
) -> Plan:
    """Plan the turns of a conversation.

    Args:
        fmt: The format; with a past, one in which the messages behind it do not reach back.
        conversation: All of the conversation.
        options: The value of every option.
        past: The turns that are written already.

    Raises:
        UndeclaredRoleError: If nobody says who authors a role.
        OrderError: If the messages stand in an order that the format cannot write.
        ConversationError: If a call's id or the number of calls is not as the format wants it.
    """
    first = 0 if past is None else past.messages
    authors = conversation.authors(fmt.declared, first)
    plan = Plan(authors)
    if past is not None:
        plan.authors = (*past.authors, *authors)
        plan.called, plan.numbered = dict(past.called), list(past.numbered)
        plan.calls = past.calls
    _check_order(fmt, conversation, plan.authors, first)
    written = layout(fmt)
    for index, message in enumerate(conversation.messages[first:], first):
        turn = _turn(written, index, message, plan.authors[index], plan)
        if turn is not None:
            plan.turns.append(turn)
        # Of calls under one id the newest message's first is meant.
        for call in reversed(message.tool_calls):
            if call.id is not None:
                plan.called[call.id] = call.name
    _number_calls(fmt, plan)
    if past is not None:
        # All else that is placed or moved stands in the past; see `rolecall.lasting`.
        if written.merges:
            _merge(plan)
        _check_turns(written, plan)
        _keep_calls(fmt, plan)
        _sort_results(fmt, plan, past.last)
        _refuse_system(fmt, plan)
        if conversation.tools and fmt.tools is not None:
            for turn in plan.turns:
                turn.values["has_tools"] = (Piece("-", "tools"),)
        _keep_reasoning(written, options, plan)
        return plan
    if written.merges:
        _merge(plan)
    _check_turns(written, plan)
    _first_client(fmt, plan)
    _keep_calls(fmt, plan)
    _sort_results(fmt, plan)
    _place_system(fmt, plan)
    _place_tools(fmt, conversation, options, plan)
    _keep_reasoning(written, options, plan)
    return plan


def _a(author: Author) -> str:
    return f"{'an' if author == 'owner' else 'a'} {author}"


def _check_order(
    fmt: Format, conversation: Conversation, authors: tuple[Author, ...], first: int
) -> None:
    order = fmt.order
    previous: Author | None = authors[first - 1] if first else None
    if len(authors) == 1 and order.alone is not None and authors[0] not in order.alone:
        raise OrderError(
            f"{fmt.name} has no way to write {_a(authors[0])} message alone; "
            f"put one of {' or '.join(order.alone)} before it",
            message=0,
            field="role",
        )
    any_order = order.first is None and not order.after
    for index, author in enumerate(() if any_order else authors[first:], first):
        allowed = order.first if previous is None else order.after.get(previous)
        if allowed is not None and author not in allowed:
            if previous is None and author == "owner":
                continue
            place = "first" if previous is None else f"after {_a(previous)} message"
            raise OrderError(
                f"{fmt.name} has no way to write {_a(author)} message (role "
                f"{conversation.messages[index].role!r}) {place}; expected {' or '.join(allowed)}",
                message=index,
                field="role",
            )
        previous = author
    for rule in order.rules:
        strategies.ORDER_RULES[rule].apply(conversation, authors)


def _turn(written: Layout, index: int, message: Message, author: Author, plan: Plan) -> Turn | None:
    """The turn of one message, or None where the format has no place for it.

    Args:
        written: How the format is written.
        index: Number of the message.
        message: The message.
        author: Who wrote it.
        plan: Knows the calls so far, and takes the records.
    """
    fmt, role, name = written.fmt, message.role, message.name
    spec = fmt.spec(author, role)
    if spec is None:
        detail = f"{fmt.name} has no place for {author} messages (role {role!r})"
        plan.lost.append(Lost("error", "message-dropped", index, "role", detail))
        return None
    label = _label(fmt, role, index)
    values: dict[str, Value] = {"role": label, "speaker": label}
    turn = Turn(spec, author, role, name, index, values, [], [], message.weight)
    if name:
        values["name"] = values["speaker"] = (
            new_piece(Piece, (name, "name", index, "name", False)),
        )
    content = message.content
    if isinstance(content, str):
        if content:
            piece = new_piece(Piece, (content, "content", index, "content", False))
            values["content"] = (piece,)
    elif content is not None:
        for text in message.texts:
            if text:
                turn.join("content", fmt.part_join, (Piece(text, "content", index, "content"),))
    if message.reasoning_content:
        piece = Piece(message.reasoning_content, "reasoning", index, "reasoning_content")
        values["reasoning"] = (piece,)
    if author == "tool":
        _answer(written.turn(spec), fmt, turn, message, plan)
    for key, value in message.attributes.items():
        if key in fmt.attributes:
            where = f"attributes.{key}"
            _check_match(fmt, key, value, index, where)
            if value:
                values[key] = (Piece(value, "header", index, where),)
    if message.tool_calls:
        turn.calls = _calls(written, index, message)
    if fmt.attributes:
        _leave_out_implied(fmt, turn, plan)
    return turn


def _label(fmt: Format, role: str, index: int) -> Value:
    """What is written for the role of a message."""
    label = fmt.labels.get(role)
    if label is None:
        return (new_piece(Piece, (role, "role", index, "role", False)),)
    return tuple(piece._replace(message=index, field="role") for piece in label)


def _answer(own: TurnLayout, fmt: Format, turn: Turn, message: Message, plan: Plan) -> None:
    """Fill the slots that say which call a result answers, and of which tool."""
    index = turn.message or 0
    identifier = message.tool_call_id
    if identifier is not None:
        _check_id(fmt, identifier, index, "tool_call_id")
        if identifier:
            piece = new_piece(Piece, (identifier, "header", index, "tool_call_id", False))
            turn.values["call_id"] = (piece,)
    tool = message.name
    if tool is None:
        tool = plan.called.get(identifier)
    if tool is not None:
        _check_match(fmt, "call_name", tool, index, "name")
        if tool:
            piece = new_piece(Piece, (tool, "name", index, "name", False))
            turn.values["call_name"] = (piece,)
    _check_answer(own, fmt, turn, index)


def _leave_out_implied(fmt: Format, turn: Turn, plan: Plan) -> None:
    """Forget attributes that say what the format writes anyway: they are carried without a slot."""
    calls: Value = (Piece("-", "tool_calls"),) if turn.calls else ()
    given = [key for key in fmt.attributes if key in turn.values]
    for key in given:
        values = {**turn.values, "calls": calls}
        if key not in filled((*turn.spec.open, *turn.spec.body), values):
            continue
        texts: list[str] = []
        for some in (values, {slot: value for slot, value in values.items() if slot != key}):
            pieces: list[Piece] = []
            write((*turn.spec.open, *turn.spec.body), some, "header", pieces.append)
            texts.append(text_of(tuple(pieces)))
        if texts[0] == texts[1]:
            del turn.values[key]
            plan.implied.add((turn.message, f"attributes.{key}"))


def _check_match(fmt: Format, slot: str, value: str, index: int, where: str) -> None:
    rule = fmt.match.get(slot)
    if rule is not None and not rule.search(value):
        raise ConversationError(
            f"found {value!r}; {fmt.name} needs a {slot} that matches {rule.pattern}",
            message=index,
            field=where,
        )


def _check_answer(own: TurnLayout, fmt: Format, turn: Turn, index: int) -> None:
    """Refuse a result without the name or id that the format writes into every result."""
    for slot, field_name, way_out in (
        ("call_name", "name", "give it, or the tool_call_id of an earlier call"),
        ("call_id", "tool_call_id", "give the id of the call that it answers"),
    ):
        numbered = slot == "call_id" and fmt.calls is not None and fmt.calls.id
        if slot in own.always and not turn.values.get(slot) and not numbered:
            raise ConversationError(
                f"it is missing and {fmt.name} writes it into every result; {way_out}",
                message=index,
                field=field_name,
            )


def _calls(written: Layout, index: int, message: Message) -> list[Call]:
    fmt, rule = written.fmt, written.fmt.calls
    if rule is None:
        return []
    if rule.max is not None and len(message.tool_calls) > rule.max:
        raise ConversationError(
            f"{fmt.name} writes at most {rule.max} call{'s' if rule.max > 1 else ''} a message, "
            f"found {len(message.tool_calls)}; put each call into a message of its own",
            message=index,
            field="tool_calls",
        )
    for number, call in enumerate(message.tool_calls):
        fields = call_fields(number)
        _check_match(fmt, "call_name", call.name, index, fields.name)
        if call.id is not None or written.writes_call_ids:
            _check_id(fmt, call.id, index, fields.id)
    return [
        Call(index, number, call.name, call.arguments, call.id)
        for number, call in enumerate(message.tool_calls)
    ]


def _number_calls(fmt: Format, plan: Plan) -> None:
    """Give each call, and the result that answers it, the id of the format's own pattern."""
    rule = fmt.calls
    if rule is None or not rule.id:
        return
    waiting = plan.numbered
    for turn in plan.turns:
        for call in turn.calls:
            where = f"tool_calls[{call.number}]"
            values: dict[str, Value] = {
                "call_name": (
                    Piece(call.name, "tool_calls", call.message, f"{where}.function.name"),
                ),
                "index": (Piece(str(plan.calls), "tool_calls", call.message, f"{where}.id"),),
            }
            pieces: list[Piece] = []
            write(rule.id, values, "tool_calls", pieces.append)
            call.written_id = tuple(pieces)
            written = text_of(call.written_id)
            waiting.append((call.id or "", written))
            if call.id is not None and call.id != written:
                detail = f"{fmt.name} numbers calls by itself: {call.id!r} is written {written!r}"
                plan.lost.append(Lost("note", "id-rewritten", call.message, f"{where}.id", detail))
            call.id = written
            plan.calls += 1
        if turn.author == "tool":
            _number_result(fmt, plan, turn, waiting)


def _number_result(fmt: Format, plan: Plan, turn: Turn, waiting: list[tuple[str, str]]) -> None:
    """Give a result the written id of its call: the one it names, or else the next unanswered."""
    given = text_of(turn.values.get("call_id", ()))
    found = [item for item in waiting if item[0] == given] or ([] if given else waiting)
    if found:
        answered = found[0]
        waiting.remove(answered)
        written = answered[1]
        turn.values["call_id"] = (Piece(written, "header", turn.message, "tool_call_id"),)
        if given and given != written:
            detail = f"{fmt.name} numbers calls by itself: {given!r} is written {written!r}"
            plan.lost.append(Lost("note", "id-rewritten", turn.message, "tool_call_id", detail))
    elif given:
        _check_match(fmt, "call_id", given, turn.message or 0, "tool_call_id")
    else:
        raise ConversationError(
            "it answers no call: every call before it has its result; add the call, or the id of "
            "the call that it answers",
            message=turn.message,
            field="tool_call_id",
        )


def _check_id(fmt: Format, found: str | None, index: int, where: str) -> None:
    rule = fmt.calls
    if rule is not None and rule.ids is not None and not rule.ids.search(found or ""):
        raise ConversationError(
            f"found {found!r}; {fmt.name} needs an id that matches {rule.ids.pattern}"
            + (f" ({rule.ids_hint})" if rule.ids_hint else ""),
            message=index,
            field=where,
        )


def _added(fmt: Format, author: Author, content: str = "") -> Turn:
    """A turn that the format adds by itself."""
    role = DEFAULT_ROLE[author]
    spec = fmt.spec(author, role)
    if spec is None:
        raise ConversationError(f"{fmt.name} declares no turn for the {author} that it must add")
    label = fmt.labels.get(role, (Piece(role, "role"),))
    turn = Turn(spec, author, role, None, None, {"role": label, "speaker": label})
    if content:
        turn.values["content"] = (Piece(content, "content"),)
    return turn


def _same_header(first: Turn, second: Turn) -> bool:
    """Whether two turns would be written under the same header."""
    written = slots(first.spec.open)
    return (
        first.spec is second.spec
        and ("role" not in written or first.role == second.role)
        and (not written & {"name", "speaker"} or first.name == second.name)
    )


def joins(first: Turn, second: Turn) -> bool:
    """Whether a turn becomes part of the one before it."""
    return would_join(first, second) and first.weight == second.weight


def would_join(first: Turn, second: Turn) -> bool:
    """Whether nothing but their weights can keep two turns from becoming one."""
    return second.spec.merge is not None and _same_header(first, second)


def _merge(plan: Plan) -> None:
    merged: list[Turn] = []
    for turn in plan.turns:
        previous = merged[-1] if merged else None
        if previous is None or not joins(previous, turn):
            merged.append(turn)
            continue
        for slot in ("content", "reasoning"):
            if turn.values.get(slot):
                previous.join(slot, turn.spec.merge or "", turn.values[slot])
        previous.calls += turn.calls
        assert turn.message is not None
        previous.merged.append(turn.message)
        detail = f"merged into the turn of message {previous.message}"
        plan.lost.append(Lost("note", "merged", turn.message, "content", detail))
    plan.turns = merged


def _check_turns(written: Layout, plan: Plan) -> None:
    """Refuse turns that say nothing, or too much, where the format cannot write them."""
    if not written.refuses:
        return
    fmt = written.fmt
    for turn in plan.turns:
        content = turn.values.get("content", ())
        if not turn.spec.empty and not content and not turn.calls:
            raise ConversationError(
                f"it is empty; {fmt.name} has no way to write {_a(turn.author)} message that says "
                "nothing",
                message=turn.message,
                field="content",
            )
        if fmt.calls is not None and fmt.calls.alone and turn.calls and content:
            where = ""
            if content[0].message != turn.calls[0].message:
                where = f" (that of message {content[0].message} is merged with it)"
            raise ConversationError(
                f"{fmt.name} writes either content or calls, not both in one turn{where}; "
                "leave one of them out",
                message=turn.calls[0].message,
                field="content",
            )


def _keep_calls(fmt: Format, plan: Plan) -> None:
    """Drop the calls and results that the format does not keep, and check what is left."""
    rule = fmt.calls
    if rule is None:
        return
    first_kept = strategies.KEEP[rule.keep].apply(plan.turns)
    if not first_kept and rule.max_results is None:
        return
    turns: list[Turn] = []
    results = 0
    for index, turn in enumerate(plan.turns):
        stays = index >= first_kept
        if turn.author == "tool" and not stays:
            detail = f"{fmt.name} drops this result ({rule.keep})"
            plan.lost.append(Lost("note", "result-dropped", turn.message, "role", detail))
            continue
        if turn.calls and not stays:
            for call in turn.calls:
                detail = f"{fmt.name} drops this call of {call.name!r} ({rule.keep})"
                where = f"tool_calls[{call.number}]"
                plan.lost.append(Lost("note", "call-dropped", call.message, where, detail))
            turn.calls = []
            if not turn.values.get("content") and not turn.values.get("reasoning"):
                continue
        results = results + 1 if turn.author == "tool" else 0
        if rule.max_results is not None and results > rule.max_results:
            raise ConversationError(
                f"{fmt.name} writes at most {rule.max_results} "
                f"result{'s' if rule.max_results > 1 else ''} after a message that makes calls",
                message=turn.message,
                field="role",
            )
        turns.append(turn)
    plan.turns = turns


def _sort_results(fmt: Format, plan: Plan, before: Turn | None = None) -> None:
    """Bring results that follow each other into the order of the calls they answer.

    Args:
        fmt: The format.
        plan: Its turns are sorted.
        before: The turn before the first of them, which no more results follow than these.
    """
    if fmt.calls is None or not fmt.calls.sort_results:
        return
    places = _places(before)
    begin = 0
    for index, turn in enumerate([*plan.turns, None]):
        if turn is not None and turn.author == "tool":
            continue
        given = plan.turns[begin:index]
        ordered = sorted(given, key=lambda t: places.get(text_of(t.values.get("call_id", ())), 0))
        for old, new in zip(given, ordered, strict=True):
            if old is not new:
                detail = "moved to the place of the call that it answers"
                plan.lost.append(Lost("note", "moved", new.message, "content", detail))
        plan.turns[begin:index] = ordered
        begin = index + 1
        places = _places(turn)


def _places(turn: Turn | None) -> dict[str | None, int]:
    """Id of a call of a turn to its place among them."""
    return {} if turn is None else {call.id: number for number, call in enumerate(turn.calls)}


def _first_client(fmt: Format, plan: Plan) -> None:
    """Add an empty client turn where no client speaks first, system messages aside."""
    if not fmt.order.first_client:
        return
    first = [turn.author for turn in plan.turns if turn.author != "owner"][:1]
    if first != ["client"]:
        leading = [turn.author == "owner" for turn in plan.turns]
        plan.turns.insert([*leading, False].index(False), _added(fmt, "client"))


def _place_system(fmt: Format, plan: Plan) -> None:
    rule = fmt.system
    # Where system messages are moved, one anywhere takes the place of the default.
    considered = plan.turns[:1] if rule.place == "turn" else plan.turns
    if rule.default is not None and not any(turn.author == "owner" for turn in considered):
        plan.turns.insert(0, _added(fmt, "owner", rule.default))
    if rule.place == "turn":
        return
    owners = [turn for turn in plan.turns if turn.author == "owner"]
    if not owners:
        return
    if rule.place == "refuse":
        _refuse_system(fmt, plan)
        return
    rest = [turn for turn in plan.turns if turn.author != "owner"]
    plan.turns = rest
    if rule.place == "start":
        _hoist(rule.join, owners, rest, plan)
        return
    target = strategies.SYSTEM_PLACES[rule.place].apply(rest)
    if target is None:
        rest.insert(0, _added(fmt, "client"))
        target = 0
    receiver = plan.receiver = rest[target]
    joined: Value = ()
    for turn in owners:
        content = turn.values.get("content", ())
        separator = (Piece(rule.join, "scaffold", turn.message),) if joined and content else ()
        joined += separator + content
        _note_moved(plan, turn, receiver)
    if rule.fold is None:
        receiver.values["system"] = joined
    else:
        # The separator is written behind every system prompt, also before an empty content.
        separator = (Piece(rule.fold, "scaffold", joined[-1].message),) if joined else ()
        receiver.values["content"] = joined + separator + receiver.values.get("content", ())


def _refuse_system(fmt: Format, plan: Plan) -> None:
    if fmt.system.place != "refuse":
        return
    for turn in plan.turns:
        if turn.author == "owner":
            detail = f"{fmt.name} has no place for a system message"
            plan.lost.append(Lost("error", "system-dropped", turn.message, "content", detail))
    plan.turns = [turn for turn in plan.turns if turn.author != "owner"]


def _hoist(join: str, owners: list[Turn], rest: list[Turn], plan: Plan) -> None:
    first = owners[0]
    if plan.authors and plan.authors[0] != "owner" and first.message is not None:
        detail = "moved to the start of the document"
        plan.lost.append(Lost("note", "moved", first.message, "content", detail))
    for turn in owners[1:]:
        first.join("content", join, turn.values.get("content", ()))
        if turn.message is not None:
            first.merged.append(turn.message)
            detail = "joined to the system prompt at the start of the document"
            plan.lost.append(Lost("note", "moved", turn.message, "content", detail))
    rest.insert(0, first)


def _note_moved(plan: Plan, turn: Turn, receiver: Turn) -> None:
    if turn.message is None or not turn.values.get("content"):
        return
    where = "an added client turn" if receiver.message is None else f"message {receiver.message}"
    detail = f"moved into the turn of {where}"
    plan.lost.append(Lost("note", "moved", turn.message, "content", detail))


def _place_tools(
    fmt: Format, conversation: Conversation, options: Mapping[str, object], plan: Plan
) -> None:
    if not conversation.tools or fmt.tools is None:
        return
    place = fmt.tools.place_for(options)
    value = _tools(fmt, conversation, plan)
    for turn in plan.turns:
        turn.values["has_tools"] = value
    if place == "start":
        plan.tools = value
        return
    target = strategies.TOOL_PLACES[place].apply(plan.turns)
    if target is None and place != "system":
        detail = f"{fmt.name} writes tool schemas into a client turn, and there is none"
        plan.lost.append(Lost("error", "tools-dropped", None, "tools", detail))
        return
    if target is None:
        target = 0
        plan.turns.insert(target, _added(fmt, "owner"))
        plan.turns[target].values["has_tools"] = value
    plan.turns[target].values["tools"] = value


def _tools(fmt: Format, conversation: Conversation, plan: Plan) -> Value:
    rule = fmt.tools
    assert rule is not None
    assert conversation.tools is not None
    schema = strategies.TOOL_SCHEMAS[rule.schema]
    wanted = slots(rule.each)
    pieces: list[Piece] = []
    write(rule.begin, {}, "tools", pieces.append)
    for number, tool in enumerate(conversation.tools):
        if number and rule.join:
            pieces.append(Piece(rule.join, "tools"))
        where, function = f"tools[{number}]", tool["function"]
        text = schema.apply(tool) if rule.indent is None else dump_json(tool, indent=rule.indent)
        check_text(text, None, where)
        for key in function:
            if schema.fields and key not in schema.fields:
                detail = f"{fmt.name} writes of a tool only {', '.join(schema.fields)}"
                field_name = f"{where}.function.{key}"
                plan.lost.append(Lost("note", "schema-key-dropped", None, field_name, detail))
        values: dict[str, Value] = {
            "tool": (Piece(text, "tools", None, where),),
            "tool_name": (Piece(function["name"], "tools", None, where),),
        }
        if "function" in wanted:
            text = dump_json(function, indent=rule.indent)
            values["function"] = (Piece(text, "tools", None, where),)
        write(rule.each, values, "tools", pieces.append)
    write(rule.finish, {}, "tools", pieces.append)
    return tuple(pieces)


def _keep_reasoning(written: Layout, options: Mapping[str, object], plan: Plan) -> None:
    fmt = written.fmt
    rule = fmt.reasoning.keep_for(options)
    first_kept = strategies.KEEP[rule].apply(plan.turns)
    thinks = strategies.THINKS[fmt.reasoning.thinks].apply
    emptied: set[int] = set()
    for index, turn in enumerate(plan.turns):
        if turn.author != "model":
            continue
        if index < first_kept and turn.values.pop("reasoning", ()):
            detail = f"{fmt.name} drops this reasoning ({rule})"
            plan.lost.append(
                Lost("note", "reasoning-dropped", turn.message, "reasoning_content", detail)
            )
            if fmt.reasoning.drop_emptied and not turn.values.get("content") and not turn.calls:
                emptied.add(index)
        if written.turn(turn.spec).thinks and thinks(plan.turns, index):
            turn.values["thinks"] = turn.values.get("reasoning") or (Piece("-", "reasoning"),)
    if emptied:
        plan.turns = [turn for index, turn in enumerate(plan.turns) if index not in emptied]
