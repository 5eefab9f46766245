"""Learning how tool schemas are written, and where they stand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any, NamedTuple

from rolecall import strategies
from rolecall.canonical import CLIENT_PLACES
from rolecall.conversation import Author
from rolecall.errors import ConversationError, FormatFileError, LossError
from rolecall.format import Format
from rolecall.learn.cells import (
    Cell,
    Key,
    Ref,
    Repeated,
    find,
    fit,
    flat,
    inner,
    repeated,
    shared_start,
    spelled,
    unnumbered,
)
from rolecall.learn.draft import Draft, Inexpressible, Tables, group
from rolecall.learn.model import wire_message
from rolecall.learn.probe import Prober
from rolecall.learn.settle import settle
from rolecall.learn.spots import (
    PADS,
    Known,
    Needle,
    Wire,
    Written,
    frame,
    located,
    read,
    tokens,
)
from rolecall.pattern import dump_json
from rolecall.template.tokens import common_prefix
from rolecall.template.trace import Trace

MARK = "\ue0f4"


class Spelling(NamedTuple):
    """How one tool schema is written."""

    slot: str
    """``tool``, or ``function`` for its function alone."""
    schema: str
    indent: int | None
    further: bool
    """Whether the lines of its JSON stand further in than they would by themselves."""
    odd: bool = True
    """Whether fields beside name, description and parameters are written as the others are."""

    def given(self, tool: Wire) -> str:
        """The text that fills the slot."""
        if self.slot == "function":
            return dump_json(tool["function"], indent=self.indent)
        if self.indent is not None:
            return dump_json(tool, indent=self.indent)
        return strategies.TOOL_SCHEMAS[self.schema].apply(tool)

    def written(self, tool: Wire) -> str:
        """The text as it is written."""
        given = self.given(tool)
        return given.replace("\n", "\n    ") if self.further else given

    def table(self) -> dict[str, Any]:
        """The keys of [tools] that say so."""
        made: dict[str, Any] = {}
        if self.schema != "json":
            made["schema"] = self.schema
        if self.indent is not None:
            made["indent"] = self.indent
        return made


def _spellings() -> Iterator[Spelling]:
    for schema in strategies.TOOL_SCHEMAS:
        yield Spelling("tool", schema, None, False)
    for indent in (4, 2, 3, 1):
        for further in (False, True):
            yield Spelling("tool", "json", indent, further)
            yield Spelling("function", "json", indent, further)
    yield Spelling("function", "json", None, False)


def tools(prober: Prober, draft: Draft) -> None:
    """Learn how tool schemas are written, and where.

    Args:
        prober: Tries conversations.
        draft: What was learnt of plain conversations; it is extended.

    Raises:
        Inexpressible: If schemas are not written, or in a way that the format language has no
            words for.
    """
    prober.step = "tools"
    spelling = _spelling(prober)
    problems: list[str] = []
    for place in _PLACES:
        tried = draft.copy()
        try:
            place(prober, tried, spelling)
            _check(prober, draft, tried, spelling)
            settle(prober, tried, "tools")
        except Inexpressible as error:
            problems.append(f"{error}")
            continue
        except FormatFileError as error:
            problems.append(f"the format file would not load: {error}")
            continue
        draft.tables, draft.known = tried.tables, tried.known
        return
    raise Inexpressible("; ".join(dict.fromkeys(problems)))


# What one tool looks like.


def schema(prober: Prober, *, odd: bool = True) -> Wire:
    """A tool schema of words that stand nowhere else."""
    function: Wire = {
        "name": prober.word().lower(),
        "description": prober.word(),
        "parameters": {
            "type": "object",
            "properties": {prober.word(): {"type": "string", "description": prober.word()}},
            "required": [],
        },
    }
    if odd:
        function["strict"] = True
        function["parameters"]["additionalProperties"] = False
    return {"type": "function", "function": function}


def _spelling(prober: Prober) -> Spelling:
    reason = "it writes no tool schemas"
    for odd in (True, False):
        tool = schema(prober, odd=odd)
        trace = _asked(prober, [tool])
        if not isinstance(trace, Trace):
            reason = f"it refuses tools: {trace}"
            continue
        for spelling in _spellings():
            if spelling.written(tool) in trace.text:
                return spelling._replace(odd=odd)
        if tool["function"]["name"] in trace.text:
            reason = "it writes tool schemas in a notation of its own"
    raise Inexpressible(reason)


def _asked(prober: Prober, given: Sequence[Wire]) -> Trace | object:
    user = wire_message("client", prober.word())
    found = prober.trace([user], given)
    if isinstance(found, Trace):
        return found
    return prober.trace([wire_message("owner", prober.word()), user], given)


def _needles(spelling: Spelling, given: Sequence[Wire]) -> dict[str, Needle]:
    return {
        spelling.written(tool): Needle(f"{spelling.slot}#{number}", spelling.given(tool))
        for number, tool in enumerate(given)
    }


def _known(index: int | None) -> Known:
    """The slots of a turn that receives tools."""

    def slot(message: int | None, field: str) -> str | None:
        if message is not None and message == index and field == "content":
            return "content"
        if message == 0 and field == "content":
            return "system"
        if message is None and field.startswith("tools[") and field.endswith("].function.name"):
            return f"tool_name#{field[6 : field.index(']')]}"
        return None

    return slot


# Where they stand.


def _cell(
    prober: Prober,
    draft: Draft,
    spelling: Spelling,
    author: str,
    conversation: Callable[[str, str], tuple[list[Wire], list[Wire]]],
    count: int,
) -> Cell:
    """What the turn that receives the tools says in a conversation.

    Args:
        prober: Tries conversations.
        draft: Says what stands around the turn.
        spelling: How one tool is written.
        author: Whose turn it is.
        conversation: Makes the messages of a content: those to give to the template, and those in
            which the draft writes the turn.
        count: How many tools are offered; 0 for none.
    """
    word = prober.word()
    given = [schema(prober, odd=spelling.odd) for _ in range(count)]
    probes: list[Written] = []
    index: int | None = None
    for before, after in PADS:
        messages, plain = conversation(before + word + after, word)
        around = frame(draft, author, plain, word, given or None, **_options(draft))
        if around is None:
            raise Inexpressible("what stands around the turn that receives the tools is not known")
        trace = prober.trace(messages, given or None)
        if not isinstance(trace, Trace):
            raise Inexpressible(f"it refuses tools: {trace}")
        start, end = located(trace, around)
        index = max((n for n, m in enumerate(messages) if word in m["content"]), default=None)
        probes.append(Written(trace, start, end, _needles(spelling, given)))
    return read(probes, _known(index))


def _rule(
    spelling: Spelling, read_cell: Callable[[int], Cell], others: Sequence[Cell] = ()
) -> tuple[Repeated, dict[str, Any]]:
    """How several tools are written, without what stands around all of them; and [tools]."""
    around = [_ends(cell) for cell in others]
    rule = repeated(
        read_cell(1),
        read_cell(2),
        read_cell(3),
        [before for before, _ in around],
        [after for _, after in around],
    )
    table: dict[str, Any] = spelling.table()
    if (each := spelled(rule.each)) != "{tool}":
        table["each"] = each
    if rule.join:
        if any(isinstance(atom, Ref) for atom in rule.join):
            raise Inexpressible("tools are joined with more than text")
        table["join"] = "".join(str(atom) for atom in rule.join)
    return rule, table


def _ends(cell: Cell) -> tuple[Cell, Cell]:
    found = inner(cell, 1)
    return found.before, found.after


def _pulled(cell: Cell, rule: Repeated) -> Cell:
    """The cell of one tool with the slot ``tools`` in its place."""
    plain = unnumbered(cell)
    at = find(plain, rule.each)
    if at is None:
        raise Inexpressible("tools are written in one way here and in another there")
    return (*plain[:at], Ref("tools"), *plain[at + len(rule.each) :])


def _in_system(prober: Prober, draft: Draft, spelling: Spelling) -> None:
    """The schemas stand in the system turn."""
    place = draft.tables.get("system", {}).get("place", "turn")
    if not draft.has("turn", "owner") or place not in ("turn", "start"):
        raise Inexpressible("there is no system turn that could hold tools")
    user = wire_message("client", prober.word())

    def with_system(content: str, word: str) -> tuple[list[Wire], list[Wire]]:
        return [wire_message("owner", content), user], [wire_message("owner", word), user]

    def without(content: str, word: str) -> tuple[list[Wire], list[Wire]]:
        return [user], [wire_message("owner", word), user]

    def cell(make: Any, count: int) -> Cell:
        return _cell(prober, draft, spelling, "owner", make, count)

    bare = cell(without, 1)
    rule, table = _rule(spelling, lambda count: cell(with_system, count), [bare])
    both, alone = _pulled(cell(with_system, 1), rule), _pulled(bare, rule)
    cells: dict[Key, Cell] = {
        frozenset(("content",)): cell(with_system, 0),
        frozenset(("content", "tools")): both,
    }
    system = draft.tables.get("system", {})
    default = flat((system["default"],)) if system.get("default") else ()
    at = find(alone, default) if default else None
    content = next(
        (atom for atom in both if isinstance(atom, Ref) and atom.slot == "content"), None
    )
    if at is not None and content is not None:
        alone = (*alone[:at], content, *alone[at + len(default) :])
        cells[frozenset(("content", "tools"))] = both
        if alone != both:
            raise Inexpressible("tools change what stands around the default system prompt")
    else:
        cells[frozenset(("tools",))] = alone
        if default:
            cells[frozenset()] = default
            system["default"] = ""
        elif "default" in system:
            cells[frozenset()] = cell(without, 0)
    _set_body(prober, draft, "owner", cells)
    draft.tables["tools"] = table


def _in_added_system(prober: Prober, draft: Draft, spelling: Spelling) -> None:
    """The schemas stand in a system turn that is written also where nobody gives a system prompt.

    The draft has that turn in the headers of others; it becomes a turn with an empty default.
    """
    turns: Tables = draft.tables["turn"]
    owner, client, model = (turns.get(name, {}) for name in ("owner", "client", "model"))
    short = client.get("after", {}).get("owner", {}).get("open")
    opened: str = client.get("open", "")
    closing = owner.get("end", "") + owner.get("gap", "")
    system: Tables = draft.tables.setdefault("system", {})
    fits = system.get("place", "turn") in ("turn", "start") and "default" not in system
    if not fits or short is None or not opened.endswith(closing + short):
        raise Inexpressible("no system turn stands in the header of another")
    whole = opened[: len(opened) - len(short)]
    head = whole[: len(whole) - len(closing)]
    if not head or not owner.get("open", "").startswith(head):
        raise Inexpressible("no system turn stands in the header of another")
    user = wire_message("client", prober.word())
    silent, none = prober.trace([wire_message("owner", ""), user]), prober.trace([user])
    if not isinstance(silent, Trace) or not isinstance(none, Trace) or silent.text != none.text:
        raise Inexpressible("an empty system prompt is not written as none is")
    behind = owner["open"][len(head) :]
    owner["open"] = head
    owner["body"] = group("content", behind + owner["body"]) if behind else owner["body"]
    system["default"] = ""
    for turn in (client, model):
        if turn.get("open", "").startswith(whole):
            turn["open"] = turn["open"][len(whole) :]
    _in_system(prober, draft, spelling)


def _at_start(prober: Prober, draft: Draft, spelling: Spelling) -> None:
    """The schemas are a turn of their own in front of all others."""
    given = [schema(prober, odd=spelling.odd) for _ in range(3)]
    user = wire_message("client", prober.word())
    owner = wire_message("owner", prober.word())
    cells: dict[int, Cell] = {}
    for messages, author in (([user], "client"), ([owner, user], "owner")):
        if author not in draft.tables["turn"]:
            continue
        around = frame(draft, author, messages, messages[0]["content"], **_options(draft))
        plain = prober.trace(messages)
        if around is None or not isinstance(plain, Trace):
            continue
        begin = len(_begin(draft))
        for count in (1, 2, 3):
            trace = prober.trace(messages, given[:count])
            if not isinstance(trace, Trace):
                raise Inexpressible(f"it refuses tools: {trace}")
            end = len(trace.text) - len(plain.text) + begin
            same = trace.text[:begin] == plain.text[:begin]
            if not same or end <= begin or trace.text[end:] != plain.text[begin:]:
                raise Inexpressible("tools change what stands elsewhere")
            needles = _needles(spelling, given[:count])
            cell = read([Written(trace, begin, end, needles)], _known(None))
            if cells.setdefault(count, cell) != cell:
                raise Inexpressible("tools are written otherwise beside a system prompt")
    if not cells:
        raise Inexpressible("what stands around tools is not known")
    rule, table = _rule(spelling, lambda count: cells[count])
    framed = spelled(_pulled(cells[1], rule))
    draft.tables["tools"] = {**table, "place": "start", "frame": framed}
    tokens(prober, draft, cells[1])


def _begin(draft: Draft) -> str:
    """What the draft writes before everything."""
    marked = draft.copy()
    marked.tables["begin"] = marked.tables.get("begin", "") + MARK
    user = wire_message("client", "x")
    text = marked.format().render([user], strict=False, **_options(draft)).text
    return text.partition(MARK)[0]


def _in_client(prober: Prober, draft: Draft, spelling: Spelling, place: str) -> None:
    """The schemas stand in a client's turn."""

    def alone(content: str, word: str) -> tuple[list[Wire], list[Wire]]:
        return [wire_message("client", content)], [wire_message("client", word)]

    def below(content: str, word: str) -> tuple[list[Wire], list[Wire]]:
        messages = [wire_message("owner", f"S{content}"), wire_message("client", content)]
        return messages, [wire_message("client", word)]

    def cell(count: int) -> Cell:
        return _cell(prober, draft, spelling, "client", alone, count)

    def headed(count: int) -> tuple[Cell, str]:
        return _header(prober, draft, spelling, count)

    _elsewhere(prober, draft, spelling)
    turn = draft.turn("client")
    try:
        rule, table = _rule(spelling, cell)
    except Inexpressible:
        rule, table = _rule(spelling, lambda count: headed(count)[0])
        added, behind = headed(1)
        opened = group("tools", spelled(_pulled(added, rule), grouped=True))
        for header in (turn, *turn.get("after", {}).values()):
            source = header.get("open", "")
            if not source.endswith(behind):
                raise Inexpressible(
                    "tools stand in one header of a user's and not in others"
                ) from None
            header["open"] = source[: len(source) - len(behind)] + opened + behind
    else:
        cells: dict[Key, Cell] = {
            frozenset(("content",)): cell(0),
            frozenset(("content", "tools")): _pulled(cell(1), rule),
        }
        system = draft.tables.get("system", {})
        if system.get("place") in CLIENT_PLACES and "fold" not in system:
            prompted = partial(_cell, prober, draft, spelling, "client", below)
            cells[frozenset(("system", "content"))] = prompted(0)
            cells[frozenset(("system", "content", "tools"))] = _pulled(prompted(1), rule)
        _set_body(prober, draft, "client", cells)
    draft.tables["tools"] = {**table, "place": place}


def _elsewhere(prober: Prober, draft: Draft, spelling: Spelling) -> None:
    """Write what stands in front of the turn that receives the tools only where there are any."""
    tool = schema(prober, odd=spelling.odd)
    message = wire_message("client", prober.word())
    around = frame(draft, "client", [message], message["content"], **_options(draft))
    trace = prober.trace([message], [tool])
    if around is None or not isinstance(trace, Trace):
        return
    until = trace.text.find(spelling.written(tool))
    until = trace.text.rfind(around.header, 0, until)
    before, found = around.before, trace.text[: max(until, 0)]
    more = len(found) - len(before)
    if until < 0 or more <= 0:
        return
    at = len(common_prefix(before, found))
    if found[at + more :] != before[at:]:
        return
    added = group("has_tools", spelled((found[at : at + more],), grouped=True))
    for path in (("turn", "owner"), ()):
        table = draft.table(*path) if path else draft.tables
        for key in ("open", "begin"):
            for left, right in ((12, 12), (6, 12), (2, 12), (0, 12)):
                near = before[max(at - left, 0) : at] + before[at : at + right]
                place = table.get(key, "").find(near) if near else -1
                if place >= 0:
                    place += min(left, at)
                    table[key] = table[key][:place] + added + table[key][place:]
                    return


def _header(prober: Prober, draft: Draft, spelling: Spelling, count: int) -> tuple[Cell, str]:
    """What tools add to the header of a client's turn, and what of the header stands behind it."""
    given = [schema(prober, odd=spelling.odd) for _ in range(count)]
    message = wire_message("client", prober.word())
    around = frame(draft, "client", [message], message["content"], given, **_options(draft))
    plain, trace = prober.trace([message]), prober.trace([message], given)
    if around is None or not isinstance(plain, Trace) or not isinstance(trace, Trace):
        raise Inexpressible("what stands around a user's turn is not known")
    until = len(around.before) + len(around.header)
    more = len(trace.text) - len(plain.text)
    same = shared_start(flat((trace.text[: until + more],)), flat((plain.text[:until],)))
    start = len("".join(map(str, flat((plain.text[:until],))[:same])))
    end = start + more
    if start < len(around.before) or trace.text[end:] != plain.text[start:]:
        raise Inexpressible("tools change what stands elsewhere")
    cell = read([Written(trace, start, end, _needles(spelling, given))], _known(None))
    return cell, plain.text[start:until]


def _set_body(prober: Prober, draft: Draft, author: str, cells: Mapping[Key, Cell]) -> None:
    draft.turn(author)["body"] = fit(cells, ("tools", "system", "content"))
    for cell in cells.values():
        tokens(prober, draft, cell)


def _options(draft: Draft) -> dict[str, Any]:
    return draft.known.get("options", {})


# Whether it is so.

_ORDERS = ("U", "SU", "UAU", "SUAU", "UAUAU", "UA", "SUA")
_AUTHORS: dict[str, Author] = {"S": "owner", "U": "client", "A": "model"}


def _check(prober: Prober, plain: Draft, draft: Draft, spelling: Spelling) -> None:
    """Compare what template and draft write with tools, where they agree without any.

    Raises:
        Inexpressible: If they differ.
    """
    before, fmt = plain.format(), draft.format()
    compared = 0
    for letters, prompt in product(_ORDERS, (False, True)):
        messages = [wire_message(_AUTHORS[letter], prober.word()) for letter in letters]
        bare = prober.trace(messages, add_generation_prompt=prompt)
        asked: dict[str, Any] = {"add_generation_prompt": prompt, **_options(draft)}
        if not isinstance(bare, Trace) or bare.text != _rendered(before, messages, None, asked):
            continue
        for count in (1, 2):
            given = [schema(prober, odd=spelling.odd) for _ in range(count)]
            trace = prober.trace(messages, given, add_generation_prompt=prompt)
            text = _rendered(fmt, messages, given, asked)
            if not isinstance(trace, Trace) or text is None:
                continue
            compared += 1
            if text != trace.text:
                raise Inexpressible(f"with tools it writes {_first(trace.text, text)} ({letters})")
    if not compared:
        raise Inexpressible("there is no conversation with tools that both write")


def _rendered(
    fmt: Format, messages: list[Wire], given: list[Wire] | None, asked: Mapping[str, Any]
) -> str | None:
    try:
        return fmt.render(messages, tools=given, strict=False, **asked).text
    except (ConversationError, LossError):
        return None


def _first(expected: str, found: str) -> str:
    """Where two texts part."""
    at = next((n for n, (a, b) in enumerate(zip(expected, found, strict=False)) if a != b), None)
    at = min(len(expected), len(found)) if at is None else at
    start = max(at - 20, 0)
    return f"{expected[start : at + 30]!r} and not {found[start : at + 30]!r}"


_PLACES: tuple[Callable[[Prober, Draft, Spelling], None], ...] = (
    _at_start,
    _in_system,
    _in_added_system,
    partial(_in_client, place="first-client"),
    partial(_in_client, place="last-client"),
)
