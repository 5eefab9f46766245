"""What system, user and assistant messages look like: a table of gaps made into turns."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rolecall.conversation import Author
from rolecall.errors import TemplateLimit, TemplateRaised
from rolecall.learn.draft import Draft, Inexpressible, group, slot
from rolecall.learn.fitting import Fitted
from rolecall.learn.probe import Prober
from rolecall.learn.reading import Reading, own
from rolecall.learn.table import (
    AUTHOR,
    BOS,
    DATE,
    EOS,
    LABEL,
    ROLE,
    Key,
    messages,
    spelled,
)
from rolecall.pattern import FILTERS, Piece
from rolecall.template.tokens import control_pattern
from rolecall.turn import text_of

PADS = (
    ("", ""), (" ", " "), ("\n", "\n"), (" \n", "\n "), ("\n ", " \n"), ("\t", "\t"), ("  ", ""),
    ("", "  "), ("\n\n", ""), ("", "\n\n"), ("\u00a0", "\u00a0"), ("\r\n", "\r\n"),
)  # fmt: skip
SHAPING = ("trim", "ltrim", "rtrim", "rstrip-space", "strip-nl", "lstrip-nl", "rstrip-nl")


def filtered(name: str | None, text: str) -> str:
    """A text as a filter leaves it."""
    if name is None:
        return text
    return text_of(FILTERS[name][0]((Piece(text, "content", field="content"),)))


def shaping(
    prober: Prober,
    letters: str,
    number: int,
    names: Iterable[str | None] = (None, *SHAPING),
    wrap: Callable[[str], str] = lambda text: text,
) -> list[str | None]:
    """The filters that a content may have passed, found by padding it.

    Args:
        prober: Tries it.
        letters: The authors of the conversation.
        number: Which message is padded.
        names: The filters to choose from.
        wrap: What becomes of the padded word before it is given.
    """
    words = prober.words(len(letters))
    base = prober.trace(messages(letters, words))
    if isinstance(base, (TemplateRaised, TemplateLimit)):
        return [None]
    head, _, tail = base.text.partition(words[number])
    left = list(names)
    for before, after in PADS:
        given = list(words)
        given[number] = wrap(f"{before}{words[number]}{after}")
        trace = prober.trace(messages(letters, given))
        if isinstance(trace, (TemplateRaised, TemplateLimit)):
            continue
        left = [name for name in left if trace.text == head + filtered(name, given[number]) + tail]
    return left


def _filter(prober: Prober, cases: Iterable[tuple[str, int]]) -> str | None:
    """The one filter that a content passes in all these conversations.

    Raises:
        Inexpressible: If there is none.
    """
    left: list[str | None] = [None, *SHAPING]
    shown: list[str] = []
    for letters, number in cases:
        left = [name for name in left if name in shaping(prober, letters, number)]
        shown.append(letters)
    if not left:
        raise Inexpressible(f"no filter trims contents as it does in {', '.join(shown)}")
    return left[0]


def write(prober: Prober, found: Reading, made: Fitted, draft: Draft) -> None:
    """Write turns into a draft.

    Raises:
        Inexpressible: If something has no spelling.
    """
    prober.step = "white space"
    place = found.place
    authors = own(found)
    clients = [("U", 0), ("UA", 0), ("UAU", 2), ("UAUA", 2)]
    if found.default is not None:
        clients = clients[2:]
    if place in ("turn", "start"):
        clients += [("SU", 1), ("SUAU", 3)]
    known: dict[str, Any] = {
        "client": {"filter": _filter(prober, clients)},
        "model": {"filter": _filter(prober, [("UAU", 1), ("UAUAU", 3)])},
        "owner": {"filter": None},
    }
    if place in ("turn", "start"):
        known["owner"]["filter"] = _filter(prober, [("SU", 0), ("SUA", 0)])
    draft.known |= known
    model = known["model"] | {"lead": made.lead, "last": made.last, "prompt": made.prompt}
    model["tail"] = made.tail
    draft.known["model"] = model
    model["last_filter"] = _filter(prober, [("UA", 1), ("UAUA", 3)])
    _document(prober, made, draft)
    control = control_pattern(prober.template.control)
    for letter in authors:
        _turn(found, made, draft, letter, control)
    draft.turn("client")["body"] = slot("content", known["client"]["filter"])
    if "owner" in draft.tables["turn"]:
        draft.turn("owner")["body"] = slot("content", known["owner"]["filter"])
    _model_body(draft, model)
    _system(prober, found, draft)
    if made.default is not None and draft.has("turn", "owner"):
        if filtered(known["owner"]["filter"], made.default) != made.default:
            raise Inexpressible("a default system prompt that is not trimmed as given ones are")
        draft.table("system")["default"] = made.default
    _order(found, draft)


def _document(prober: Prober, made: Fitted, draft: Draft) -> None:
    top = draft.tables
    if made.begin:
        top["begin"] = spelled(made.begin)
    if made.finish:
        top["finish"] = spelled(made.finish)
    written = "".join((made.begin, made.finish, made.lead, made.last, *made.ends.values(),
                       *made.finals.values(), *made.opens.values()))  # fmt: skip
    if DATE in written:
        top["options"] = {"date_string": {"default": prober.date, "doc": DATE_DOC}}
    for mark, name in ((BOS, "bos_token"), (EOS, "eos_token")):
        if mark in written:
            top[name] = prober.template.source.tokens[name]


DATE_DOC = "The date that is written; the template writes that of the day on which it runs."


def _turn(
    found: Reading, made: Fitted, draft: Draft, letter: str, control: re.Pattern[str]
) -> None:
    author = AUTHOR[letter]
    turn = draft.turn(author)
    opens = {key.before: o for key, o in made.opens.items() if key.behind == letter}
    if None not in opens:
        counted = sorted(opens.values(), key=lambda one: -list(opens.values()).count(one))
        opens[None] = counted[0] if counted else ""
    base = opens.pop(None)
    turn["open"] = _header(made, letter, base)
    after = {
        AUTHOR[before]: {"open": _header(made, letter, o)}
        for before, o in opens.items()
        if before is not None and o != base
    }
    end = made.ends[letter]
    final = made.finals.get(letter)
    first, rest = _split(end, control)
    if final is not None:
        # What replaces the end stands before the gap, so that there is none.
        tail, ending = "", end
        if rest and final.endswith(rest):
            tail, ending, final = rest, first, final[: len(final) - len(rest)]
        first, rest = ending, tail
        turn["final_end"] = spelled(final)
    if first:
        turn["end"] = spelled(first)
    if rest:
        turn["gap"] = spelled(rest)
    if after:
        turn["after"] = after
    if letter in found.merged:
        turn["merge"] = found.merged[letter]


def _header(made: Fitted, letter: str, header: str) -> str:
    """A header as a pattern, with the slot of the role where the template writes it as given."""
    before, _, behind = header.partition(ROLE[letter])
    if letter in made.labels and behind and ROLE[letter] not in behind:
        return spelled(before) + slot("role") + spelled(behind)
    return spelled(header)


def _split(end: str, control: re.Pattern[str]) -> tuple[str, str]:
    """What ends a turn, up to its first token, and what stands behind that."""
    places = [token.end() for token in control.finditer(end)]
    places += [at + 1 for at, character in enumerate(end) if character == EOS]
    at = min(places, default=len(end))
    if not places and not end.strip():
        at = 0
    return end[:at], end[at:]


OPENING = re.compile(r"<(\w+)>(\n*)\Z")


def _model_body(draft: Draft, model: Mapping[str, Any]) -> None:
    turn = draft.turn("model")
    tail = spelled(model["tail"], grouped=bool(model["last"]))
    lead = spelled(model["lead"].removesuffix(model["tail"]))
    content = tail + slot("content", model["filter"])
    last = tail + slot("content", model["last_filter"])
    body = lead + content
    if model["last"]:
        inner = spelled(model["last"], grouped=True) + last
        body = lead + group("thinks", inner, content)
        draft.table("reasoning")["thinks"] = "also-last"
    elif model["filter"] != model["last_filter"]:
        body = lead + group("thinks", last, content)
        draft.table("reasoning")["thinks"] = "also-last"
    prompt = spelled(model["prompt"])
    if prompt:
        turn["prompt"] = prompt
        begins = model["lead"].removesuffix(model["tail"]) + model["last"] + model["tail"]
        if not begins.startswith(model["prompt"]):
            body = prompted(draft, model["prompt"], body)
    turn["body"] = body


def prompted(draft: Draft, prompt: str, body: str) -> str:
    """A body that may begin as the generation prompt does, though no finished turn does."""
    opening = OPENING.search(prompt)
    draft.table("reasoning")["keep"] = "none"
    if opening is None:
        free = "thinks" not in draft.table("reasoning")
        return group("thinks" if free else "reasoning", spelled(prompt, grouped=True)) + body
    name, line = opening.groups()
    block = f"{spelled(prompt, grouped=True)}{{reasoning}}{line}</{name}>{line * 2}"
    return group("reasoning", block) + body


def _system(prober: Prober, found: Reading, draft: Draft) -> None:
    place = found.place
    rule = draft.table("system")
    if place == "turn" and not any(found.pairs.get(Key(letter, "S")) for letter in "SUA"):
        # The same, and whoever reads knows that there is none later.
        place = "start"
    if place == "none":
        draft.remove("system")
        found.notes.append("the template leaves out system messages; the format refuses them")
        return
    if place in ("refuse", "start"):
        rule["place"] = place
        if place == "start" and found.join != "\n\n":
            rule["join"] = found.join
    if place == "start" and LABEL in found.join:
        raise Inexpressible("system messages that are joined with a header between them")
    if place in ("first-client", "last-client"):
        rule["place"] = place
        draft.turn("owner")["body"] = ""
        _client_body(prober, found, draft)
    if not rule:
        draft.remove("system")


def _client_body(prober: Prober, found: Reading, draft: Draft) -> None:
    """The body of a client's turn that receives the system prompt."""
    before, behind = found.around
    if any(LABEL in part for part in found.around):
        raise Inexpressible("a system prompt with a header of its own in a user's turn")
    first = found.place == "first-client"
    letters, number = ("SU", 1) if first else ("SUAU", 3)
    of_system = shaping(prober, letters, 0)
    of_content = shaping(prober, letters, number)
    alone = draft.known["client"]["filter"]
    if not of_system or not of_content:
        raise Inexpressible("no filter trims a system prompt in a user's turn as it does")
    content = alone if alone in of_content else of_content[0]
    system = None if None in of_system else of_system[0]
    inner = spelled(before, grouped=True) + slot("system", system) + spelled(behind, grouped=True)
    if content == alone:
        draft.turn("client")["body"] = group("system", inner) + slot("content", alone)
    else:
        both = inner + slot("content", content)
        draft.turn("client")["body"] = group("system", both, slot("content", alone))


def _order(found: Reading, draft: Draft) -> None:
    """Who may follow whom, as far as the template says."""
    authors = own(found)
    order: dict[str, Any] = {}
    first = [letter for letter in "SUA" if found.pairs.get(Key(None, letter))]
    after: dict[Author, list[Author]] = {}
    for before in authors:
        allowed = [letter for letter in authors if found.pairs.get(Key(before, letter))]
        if len(allowed) < len(authors):
            after[AUTHOR[before]] = [AUTHOR[letter] for letter in allowed]
    begins = [AUTHOR[letter] for letter in first]
    if found.place in ("first-client", "last-client"):
        after = {author: [*others] for author, others in after.items()}
        after.setdefault("client", ["client", "model"])
        after.setdefault("model", ["client", "model"])
        after["owner"] = ["client"]
        order["alone"] = begins
        # Where `first` leaves them out, any number of system messages may begin.
        begins = ["owner", *begins]
    elif "S" in authors and not found.alone:
        order["alone"] = [author for author in begins if author != "owner"]
    if set(begins) != {AUTHOR[letter] for letter in authors}:
        order["first"] = begins
    if after:
        order["after"] = after
    if order:
        draft.tables["order"] = order


def name_control(prober: Prober, draft: Draft) -> None:
    """List the control tokens among the literals of a draft."""
    pattern = control_pattern(prober.template.control)
    found: dict[str, None] = {}
    for text in _texts({k: v for k, v in draft.tables.items() if k not in _NO_PATTERNS}):
        found |= {token[0]: None for token in pattern.finditer(text)}
    tokens = {draft.tables.get(name) for name in ("bos_token", "eos_token")}
    listed = [token for token in found if token not in tokens]
    if listed:
        draft.tables["control"] = listed
    else:
        draft.tables.pop("control", None)


_NO_PATTERNS = ("control", "title", "bos_token", "eos_token", "order", "options", "stop")


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():  # type: ignore[reportUnknownVariableType]
            yield from _texts(item)  # type: ignore[reportUnknownArgumentType]
