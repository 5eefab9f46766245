"""What `Format.canonical` does in a format, and what reading it back cannot tell apart.

One line a fact, derived from the format's file; `tools.docs` writes them into the format's page.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from rolecall import strategies
from rolecall.account import call_opening, shared_header
from rolecall.conversation import AUTHORS, STANDARD_ROLES, Author
from rolecall.format import Format
from rolecall.header import HeaderReader, bare_system, header_source
from rolecall.pattern import (
    DOCUMENT_TOKENS,
    FILTERS,
    Group,
    Literal,
    Pattern,
    Piece,
    Slot,
    literals,
    slots,
    walk,
)
from rolecall.turn import Turn, TurnSpec

SAID: dict[Author, str] = {
    "owner": "the owner",
    "client": "the client",
    "model": "the model",
    "tool": "the tool",
}
"""Author to the words for it."""

SILENT = ("added", "emptied", "implied", "tool-named", "numbered", "blank")
"""What canonical does without a lost record: messages are added, empty system messages go, and so
do attributes that say what is written anyway; results are named, calls are numbered, and blank
texts become the plainest one."""

PLACES = {"first-client": "first", "last-client": "last"}
"""Places in a client's turn."""

NAMES = {"name", "speaker"}
LABELS = {"role", "speaker"}


class Fact(NamedTuple):
    """One thing that a format does to conversations."""

    text: str
    """One or two sentences of Markdown."""
    codes: tuple[str, ...] = ()
    """Codes of the lost records that say that it was done, or words of `SILENT`."""


def facts(fmt: Format) -> list[Fact]:
    """What `canonical` does in a format, in the order of a conversation's parts."""
    found = [
        *_system(fmt),
        *_tools(fmt),
        *_labels(fmt),
        *_merging(fmt),
        *_trimming(fmt),
        *_reasoning(fmt),
        *_calls(fmt),
        *_results(fmt),
        *_attributes(fmt),
        *_partly(fmt),
        *_gone(fmt),
    ]
    return [Fact(f"{fact.text[0].upper()}{fact.text[1:]}", fact.codes) for fact in found]


# --- System messages and tools --------------------------------------------------------------------


def _system(fmt: Format) -> Iterator[Fact]:
    rule = fmt.system
    if rule.default is not None:
        where = "begins without a" if rule.place == "turn" else "has no"
        added = f"this one: {quoted(rule.default)}" if rule.default else "an empty one"
        yield Fact(f"A conversation that {where} system message gets {added}.", ("added",))
    if rule.place == "start":
        joined = f"System messages become one at the start, joined with {quoted(rule.join)}."
        yield Fact(joined, ("moved",))
    elif rule.place in PLACES:
        yield from _system_in_client(fmt, PLACES[rule.place])
    if fmt.order.first_client:
        added = (
            "Where no client speaks first, system messages aside, an empty client message is added."
        )
        yield Fact(added, ("added",))


def _system_in_client(fmt: Format, place: str) -> Iterator[Fact]:
    rule = fmt.system
    joined = f"System messages, joined with {quoted(rule.join)}, become"
    begin = f"{joined} the beginning of the {place} client message"
    if rule.fold is not None:
        yield Fact(f"{begin}, with {quoted(rule.fold)} between.", ("moved", "ambiguous"))
    elif bare_system(fmt.turns["client"]):
        exception = "they stay one message in front of it where that would be written otherwise"
        yield Fact(f"{begin}; {exception}.", ("moved", "ambiguous"))
    else:
        yield Fact(f"{joined} one in front of the {place} client message.", ("moved",))
    merges = fmt.turns["client"].merge is not None
    but = ", unless two client messages would be merged without it" if merges else ""
    yield Fact(f"An empty system message is gone{but}.", ("emptied",))
    yield Fact("Without a client message an empty one is added for what they say.", ("added",))


def _tools(fmt: Format) -> Iterator[Fact]:
    rule = fmt.tools
    if rule is None:
        return
    if "system" in rule.places and fmt.system.default is None:
        yield Fact(
            "A conversation that has tools and begins without a system message gets an empty one.",
            ("added",),
        )
    if set(rule.places) & set(PLACES):
        yield Fact("Tools without a client message are gone: an error.", ("tools-dropped",))
    schema = strategies.TOOL_SCHEMAS[rule.schema]
    if not schema.readable:
        yield Fact(
            "Tools stay as given; what is written of them is not read back (`tools-unread`)."
        )
    elif "tool" not in slots(rule.each):
        yield Fact("Of a tool only its `function` is kept.")
    elif schema.fields:
        kept = ", ".join(map(code, schema.fields))
        yield Fact(f"A tool's function has {kept} and nothing else.", ("schema-key-dropped",))


# --- Who speaks -----------------------------------------------------------------------------------


def written(spec: TurnSpec) -> set[str]:
    """The slots of every header of a turn, and of its body."""
    return slots(spec.body).union(*map(slots, (spec.open, *spec.after.values())))


def _labels(fmt: Format) -> Iterator[Fact]:
    fixed: dict[Author, str] = {
        author: fmt.turns[author].role
        for author in AUTHORS
        if author in fmt.turns and not slots(fmt.turns[author].open) & LABELS
    }
    if fixed:
        (author, role), *rest = fixed.items()
        told = [f"labels: {SAID[author]}'s becomes {code(role)}"]
        told += [f"{SAID[author]}'s {code(role)}" for author, role in rest]
        others = [code(role) for role, spec in fmt.roles.items() if spec.author in fixed]
        own = f"; {_and(others)} has a header of its own" if others else ""
        yield Fact(f"{', '.join(told)}{own}.", ("label-dropped",))
    if any(STANDARD_ROLES.get(role) != author for author, role in fixed.items()):
        yield Fact("A label stays where nothing that is written tells whose the message is.")
    spoken = [SAID[author] for author in fmt.turns if "speaker" in slots(fmt.turns[author].open)]
    if spoken:
        yield Fact(
            f"Where a name of {_and(spoken, 'or')} stands in place of the label, the label becomes "
            "that of the cast entry with the name, or else the one that the name first spoke "
            "under.",
            ("label-dropped",),
        )


def _nameless(fmt: Format) -> list[str]:
    """Whose names have no place, and where."""
    whole: list[str] = []
    for author, spec in fmt.turns.items():
        if written(spec) & NAMES or (author == "tool" and "call_name" in written(spec)):
            continue
        named = [
            code(r) for r, own in fmt.roles.items() if own.author == author and written(own) & NAMES
        ]
        but = f" (but for {', '.join(named)})" if named else ""
        whole.append(f"{SAID[author]}{but}")
    return whole


# --- What is said ---------------------------------------------------------------------------------


def _merging(fmt: Format) -> Iterator[Fact]:
    by_text: dict[str, list[str]] = {}
    for author, spec in fmt.turns.items():
        if spec.merge is not None:
            by_text.setdefault(spec.merge, []).append(SAID[author])
    for joined, authors in by_text.items():
        yield Fact(
            f"Consecutive messages of {_and(authors, 'or')} become one, joined with "
            f"{quoted(joined)}, unless their weights differ.",
            ("merged",),
        )


def _filters(pattern: Pattern, slot: str, told: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Each filter of a slot with the words for where it holds."""
    for node in pattern:
        if isinstance(node, Slot) and node.name == slot and node.filter is not None:
            yield node.filter, " and ".join(told)
        elif isinstance(node, Group) and node.slot == slot:
            yield from _filters(node.nodes, slot, told)
        elif isinstance(node, Group):
            state = "empty" if node.negated else "filled"
            yield from _filters(node.nodes, slot, (*told, f"{code(node.slot)} is {state}"))


def _conditions(
    pattern: Pattern, slot: str, held: frozenset[tuple[str, bool]] = frozenset()
) -> Iterator[frozenset[tuple[str, bool]]]:
    """For each place of a slot the groups it stands in: their slot, and whether it is empty."""
    for node in pattern:
        if isinstance(node, Slot) and node.name == slot:
            yield held
        elif isinstance(node, Group):
            inner = held if node.slot == slot else held | {(node.slot, node.negated)}
            yield from _conditions(node.nodes, slot, inner)


def _partly(fmt: Format) -> Iterator[Fact]:
    """Content and names for which a turn has a place only beside something else."""
    for slot in ("content", "name"):
        for author, spec in fmt.turns.items():
            if fmt.calls is not None and fmt.calls.alone and slot == "content":
                continue  # It is refused beside calls.
            places = list(_conditions((*spec.open, *spec.body), slot))
            for other, empty in sorted(frozenset.intersection(*places)) if places else ():
                where = f"of {SAID[author]} where {code(other)} is {'filled' if empty else 'empty'}"
                if slot == "name":
                    yield Fact(f"names {where} are gone.", ("name-dropped",))
                else:
                    yield Fact(
                        f"content {where} is gone: an error, unless it is white space.",
                        ("content-dropped", "trimmed"),
                    )


def _trims(name: str) -> bool:
    blanks = ((Piece(blank, "content", field="content"),) for blank in " \n")
    return not all(FILTERS[name][0](blank) for blank in blanks)


def _trimming(fmt: Format) -> Iterator[Fact]:
    for slot in ("content", "reasoning"):
        by_filter: dict[tuple[str, str], list[str]] = {}
        for author, spec in fmt.turns.items():
            for name, where in _filters(spec.body, slot):
                if _trims(name):
                    by_filter.setdefault((name, where), []).append(SAID[author])
        for (name, where), authors in by_filter.items():
            when = f" where {where}" if where else ""
            told = f"{slot} of {_and(authors)}{when}: {FILTERS[name][1]}"
            yield Fact(f"{told}.", ("trimmed", "blank"))
    silent = [
        SAID[author]
        for author, spec in fmt.turns.items()
        if not spec.empty and any(_trims(name) for name, _ in _filters(spec.body, "content"))
    ]
    if silent:
        yield Fact(
            f"A message of {_and(silent)} of which nothing is left says one space.", ("blank",)
        )
    if fmt.part_join:
        yield Fact(f"Text parts are joined with {quoted(fmt.part_join)}.", ("merged",))


def _reasoning(fmt: Format) -> Iterator[Fact]:
    rule = fmt.reasoning
    if not any("reasoning" in written(spec) for spec in fmt.specs):
        return
    kept = [("", rule.keep)]
    kept += [(f"with {code(option)} true, ", name) for option, name in rule.when.items()]
    for when, name in kept:
        if name != "all":
            doc = strategies.KEEP[name].doc
            told = f"{when}{doc[0].lower()}{doc[1:]}"
            yield Fact(f"{told} Other reasoning is gone.", ("reasoning-dropped",))
    if rule.drop_emptied:
        yield Fact("A message that held nothing but reasoning which is gone is gone too.")


# --- Calls and results ----------------------------------------------------------------------------


def _calls(fmt: Format) -> Iterator[Fact]:
    rule = fmt.calls
    if rule is None:
        return
    if rule.id:
        yield Fact(
            f"Calls and their results get the id {code(_source(rule.id))}; `index` counts the "
            "calls of the conversation.",
            ("id-rewritten", "numbered"),
        )
    if rule.keep != "all":
        doc = strategies.KEEP[rule.keep].doc.replace("their reasoning", "their calls and results")
        yield Fact(
            f"{doc} Other calls and results are gone, and messages that held nothing else.",
            ("call-dropped", "result-dropped"),
        )
    if rule.sort_results:
        yield Fact("Results come in the order of the calls that they answer.", ("moved",))


def _results(fmt: Format) -> Iterator[Fact]:
    spec = fmt.turns.get("tool")
    if spec is None:
        return
    if "call_name" in written(spec):
        yield Fact("A result has the name of the function that it answers.", ("tool-named",))
    names = {name for name, _ in _filters(spec.body, "content")}
    if "json" in names:
        yield Fact("A result is written as a JSON string and stays what it spells.", ("rewritten",))
    if "json-value" in names:
        yield Fact(
            "A result that is JSON is spaced anew, and `{}` stands for an empty one; one that is "
            "no JSON, or a JSON string, is written as a string and stays what it spells.",
            ("rewritten",),
        )


def _attributes(fmt: Format) -> Iterator[Fact]:
    if fmt.attributes:
        kept = ", ".join(map(code, fmt.attributes))
        yield Fact(
            f"Attributes {kept} are kept where the turn has a place for them, unless the same is "
            "written without them.",
            ("attribute-dropped", "implied"),
        )


def _gone(fmt: Format) -> Iterator[Fact]:
    """What has no place: first what nobody misses, then what is an error."""
    spec = fmt.turns.get("tool")
    calls = fmt.calls is not None and not fmt.calls.id and "call_id" not in slots(fmt.calls.each)
    nameless = _nameless(fmt)
    small = {
        "attributes": not fmt.attributes,
        "ids of calls": calls,
        "ids of results": spec is not None and "call_id" not in written(spec),
        f"names of {_and(nameless or [''])}": bool(nameless),
    }
    dropped = ("name-dropped", "id-dropped", "attribute-dropped")
    if gone := [words for words, holds in small.items() if holds]:
        yield Fact(f"Gone: {_and(gone)}.", dropped)
    reasoning = any("reasoning" in written(spec) for spec in fmt.specs)
    large = {
        ("tools", "tools-dropped"): fmt.tools is None,
        ("calls", "call-dropped"): fmt.calls is None,
        ("reasoning", "reasoning-dropped"): not reasoning,
        ("system messages", "system-dropped"): fmt.system.place == "refuse",
        **{
            (f"messages of {SAID[author]}", "message-dropped"): author not in fmt.turns
            for author in AUTHORS
        },
    }
    if found := [key for key, holds in large.items() if holds]:
        words = _and([name for name, _ in found])
        each = " each" if len(found) > 1 else ""
        yield Fact(f"Gone, an error{each}: {words}.", tuple(code_ for _, code_ in found))


# --- Reading back ---------------------------------------------------------------------------------


def readings(fmt: Format) -> list[str]:
    """What ids, and text as well, do not tell apart, and how it is read."""
    return [*_open_words(fmt), *_system_words(fmt), *_twins(fmt), *_call_words(fmt)]


def _holds_control(fmt: Format, pattern: Pattern) -> bool:
    tokens = {name: getattr(fmt, name) for name in DOCUMENT_TOKENS}
    eos = any(tokens[slot] for slot in slots(pattern) & set(tokens))
    return bool(literals(pattern, control=True)) or eos


def open_words(fmt: Format) -> Iterator[tuple[TurnSpec, list[str]]]:
    """Turns that no control token closes, with the words in them that open the next one."""
    for spec in fmt.turns.values():
        if _holds_control(fmt, (*spec.end, *spec.gap)) or _only_system(fmt, spec):
            continue
        words: dict[str, None] = {}
        for other in fmt.specs:
            header = (*spec.end, *spec.gap, *other.header(spec.author))
            said = "".join(literals(header, control=False))
            if said.strip() and not _holds_control(fmt, header):
                words[said] = None
        shortest = [word for word in words if not any(word != o and o in word for o in words)]
        if shortest:
            yield spec, shortest


def _open_words(fmt: Format) -> Iterator[str]:
    by_words: dict[tuple[str, ...], list[str]] = {}
    for spec, words in open_words(fmt):
        by_words.setdefault(tuple(words), []).append(SAID[spec.author])
    for found, authors in by_words.items():
        told = _and(map(quoted, found), "or")
        yield (
            f"In a message of {_and(authors, 'or')} {told} opens the next turn, whoever wrote it: "
            "it is read as that, with the note `ambiguous`."
        )


def _only_system(fmt: Format, spec: TurnSpec) -> bool:
    """Whether the turn of the owner is never written, since its text stands in another."""
    return spec.author == "owner" and fmt.system.place in (*PLACES, "refuse")


def _system_words(fmt: Format) -> Iterator[str]:
    for spec in fmt.turns.values():
        for node in walk(spec.body):
            if not isinstance(node, Group) or node.slot != "system" or node.negated:
                continue
            begin = node.nodes[0]
            if isinstance(begin, Literal) and not _holds_control(fmt, node.nodes):
                words = [quoted(text) for text in literals(node.nodes, control=False)]
                yield (
                    f"What stands between {_and(words)} at the beginning of a message of "
                    f"{SAID[spec.author]} is read as a system prompt."
                )


def _twins(fmt: Format) -> Iterator[str]:
    for spec in fmt.turns.values():
        twin = shared_header(fmt, Turn(spec, spec.author, spec.role, None, None))
        if twin is not None:
            yield (
                f"A message of {SAID[spec.author]} is read as one of {SAID[twin.author]}, with "
                "what the format writes around it: they have one header."
            )
    reader = HeaderReader(fmt)
    for spec in fmt.turns.values():
        authors = reader.sharing.get(header_source(fmt, spec.open), set())
        first = next((author for author in AUTHORS if author in authors), None)
        if len(authors) > 1 and first == spec.author and not slots(spec.open) & LABELS:
            own = _and([SAID[author] for author in AUTHORS if author in authors])
            yield (
                f"Messages of {own} have one header: without a name that the cast tells, nobody "
                "knows whose a message is."
            )


def _call_words(fmt: Format) -> Iterator[str]:
    words = dict.fromkeys(filter(None, (call_opening(fmt, spec) for spec in fmt.turns.values())))
    for opening in words:
        yield (
            f"Content that holds {code(opening)} looks like a call; what is no whole call is read "
            "as text, with the warning `reads-as-call`."
        )


# --- The section of a page ------------------------------------------------------------------------


def section(fmt: Format) -> str:
    """The lines of the section of a format's page."""
    lines = [f"- {fact.text}\n" for fact in facts(fmt)]
    told = readings(fmt)
    if told:
        lines += [
            "\nRead back, from ids as well as from text:\n\n",
            *(f"- {one}\n" for one in told),
        ]
    return "".join(lines)


def code(given: str) -> str:
    """A word of a format's file as inline code."""
    return f"`{given}`"


def quoted(given: str) -> str:
    """A text of a format's file as inline code, in quotes so that white space can be seen."""
    return f"`{json.dumps(given, ensure_ascii=False)}`" if given else "nothing between"


def _source(pattern: Pattern) -> str:
    """A pattern without groups as a format file has it."""
    parts = (
        n.text if isinstance(n, Literal) else f"{{{n.name}}}"
        for n in pattern
        if not isinstance(n, Group)
    )
    return "".join(parts)


def _and(words: Iterable[str], last: str = "and") -> str:
    *before, final = words
    return f"{', '.join(before)} {last} {final}" if before else final
