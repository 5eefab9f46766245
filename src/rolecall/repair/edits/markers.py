"""Marks of what the model says: ``{% generation %}``, from which transformers makes its mask.

They change no text, and only transformers runs them: a template with marks is for training.
"""

from __future__ import annotations

from collections.abc import Iterator

from jinja2 import nodes

from rolecall.audit.ending import end_in_history
from rolecall.audit.finding import Finding
from rolecall.audit.messages import again, assistant, calling, result, user
from rolecall.audit.outcome import Outcome
from rolecall.audit.places import city_call
from rolecall.repair.chain import Piece, pieces
from rolecall.repair.edit import Candidate, Edit
from rolecall.repair.literals import quoted
from rolecall.repair.loops import branches, chains, loops, quote_of, roles_in
from rolecall.repair.syntax import Place, Syntax
from rolecall.repair.trial import Trial

RULES = ("generation-markers",)
OPT_IN = "markers"
TRADES = ("not-portable-minijinja", "not-portable-huggingface-js", "not-portable-llama-cpp")
WHY = (
    "no one place of the template begins with what the assistant says, behind its header, and ends "
    "with the end of its turn"
)

SAYS = "What the assistant says is marked, with the end of its turn."


def find(trial: Trial) -> list[Finding]:
    """Whether replies are marked, whole and nothing beside them, and whether calls are."""
    found: list[Finding] = []
    probe = trial.probe
    end = (end_in_history(probe) or "").rstrip()
    shown = probe.run([user(), assistant(), again(), assistant()])
    wanted: list[tuple[int, int]] = []
    for index in (1, 3):
        place = shown.place(index)
        if place is None:
            return []
        closed = shown.text.startswith(end, place[1])
        wanted.append((place[0], place[1] + (len(end) if closed else 0)))
    if _marked(shown) != wanted:
        found.append(_finding(trial, shown, "The assistant's replies are", wanted[0]))
    if probe.takes_calls:
        shown = probe.run([user(), calling(city_call(probe)), result()])
        place = shown.place(1, "tool_calls")
        if place is not None and not _holds(shown, place, probe.generation_prompt or ""):
            found.append(_finding(trial, shown, "The assistant's calls are", place))
    return found


def _holds(shown: Outcome, place: tuple[int, int], header: str) -> bool:
    """Whether a place is marked from behind the header on, and no message of others is."""
    others = [other for index in (0, 2) if (other := shown.place(index)) is not None]
    return any(
        start <= place[0] and place[1] <= end and shown.text[:start].endswith(header)
        for start, end in _marked(shown)
    ) and not any(
        start < other[1] and other[0] < end for start, end in _marked(shown) for other in others
    )


def _finding(trial: Trial, shown: Outcome, what: str, place: tuple[int, int]) -> Finding:
    return Finding(
        rule=RULES[0],
        severity="note",
        kind="breaks",
        message=f"{what} not marked with {{% generation %}}, of which transformers makes its mask.",
        template=trial.name,
        conversation=shown.conversation,
        output=shown.text,
        span=place,
        expected="What the model says stands in {% generation %}, with the end of its turn.",
        error=None,
    )


def _marked(shown: Outcome) -> list[tuple[int, int]]:
    """The places of the output that are marked, joined where they touch."""
    found: list[tuple[int, int]] = []
    for span in shown.trace.spans if shown.trace is not None else ():
        if not span.origin.generated:
            continue
        if found and found[-1][1] == span.start:
            found[-1] = (found[-1][0], span.end)
        else:
            found.append((span.start, span.end))
    return found


def propose(trial: Trial, finding: Finding) -> Iterator[Candidate]:
    """A block from behind the header to the end of the turn."""
    syntax = trial.syntax
    end = (end_in_history(trial.probe) or "").rstrip()
    for loop in loops(syntax):
        for chain in chains(syntax, loop):
            for branch in branches(chain):
                if branch.condition is not None and "assistant" in roles_in(branch.condition):
                    yield from _within(syntax, branch.statements, end)
    yield from _shared(syntax, end)


def _within(syntax: Syntax, statements: list[nodes.Node], end: str) -> Iterator[Candidate]:
    """From a place of the assistant's own way to another one."""
    body = syntax.body(statements)
    if body is None:
        return
    written = [
        node
        for statement in statements
        if isinstance(statement, nodes.Output)
        for node in statement.nodes
        if syntax.tag(node) is not None
    ]
    for first, node in enumerate(written):
        for last in reversed(written[first:]):
            if last is node:
                for edit in _cut(syntax, node, end, ""):
                    yield Candidate((edit,), SAYS)
                continue
            opened = [_open(syntax, node, at) for at in range(len(pieces(syntax, node)) + 1)]
            for before in opened:
                for after in _close(syntax, last, end):
                    yield Candidate((before, after), SAYS)


def _shared(syntax: Syntax, end: str) -> Iterator[Candidate]:
    """One output that writes every role: it is marked for one of them."""
    mark = quote_of(syntax.jinja)
    for loop in loops(syntax):
        for statement in loop.node.find_all(nodes.Output):
            for node in statement.nodes:
                if syntax.tag(node) is None or loop.role not in syntax.text(node):
                    continue
                condition = f"{loop.role} == {quoted('assistant', mark)}"
                for edit in _cut(syntax, node, end, condition):
                    yield Candidate((edit,), SAYS)


def _cut(syntax: Syntax, node: nodes.Node, end: str, condition: str) -> Iterator[Edit]:
    """One output with a block around its last pieces, up to the end of the turn."""
    tag = syntax.tag(node)
    row = pieces(syntax, node)
    if tag is None:
        return
    opened, closed = _braces(syntax, tag)
    for at in range(len(row)):
        head, said, tail = _parts(syntax, row, at, end)
        if not said:
            continue
        mark = f"{{% generation %}}{{{{ {said} }}}}{{% endgeneration %}}"
        text = f"{{{{ {head} }}}}{mark}" if head else mark
        if tail:
            text += f"{{{{ {tail} }}}}"
        if condition:
            whole = syntax.jinja[tag.start + len(opened) : tag.end - len(closed)].strip()
            text = f"{{% if {condition} %}}{text}{{% else %}}{{{{ {whole} }}}}{{% endif %}}"
        # White space is stripped as it was, and no line break goes with the new tags.
        yield Edit(tag, _like(text, opened, closed))


def _parts(syntax: Syntax, row: list[Piece], at: int, end: str) -> tuple[str, str, str]:
    """The pieces before a place, those up to the end of the turn, and those behind."""
    spelled = [syntax.jinja[one.place.start : one.place.end] for one in row]
    said, tail = spelled[at:], list[str]()
    for number in range(at, len(row)):
        text = row[number].literal
        if text is not None and end and end in text and text.rstrip() != text:
            cut = text.index(end) + len(end)
            mark = syntax.jinja[row[number].place.start]
            said = [*spelled[at:number], quoted(text[:cut], mark)]
            tail = [quoted(text[cut:], mark), *spelled[number + 1 :]]
            break
        if text is not None and not text.strip() and number > at:
            said, tail = spelled[at:number], spelled[number:]
            break
    return " + ".join(spelled[:at]), " + ".join(said), " + ".join(tail)


def _open(syntax: Syntax, node: nodes.Node, at: int) -> Edit:
    tag = syntax.tag(node)
    assert tag is not None
    row = [syntax.jinja[one.place.start : one.place.end] for one in pieces(syntax, node)]
    opened, closed = _braces(syntax, tag)
    head, rest = " + ".join(row[:at]), " + ".join(row[at:])
    text = f"{{{{ {head} }}}}{{% generation %}}" if head else "{% generation %}"
    return Edit(tag, _like(f"{text}{{{{ {rest} }}}}" if rest else text, opened, closed))


def _close(syntax: Syntax, node: nodes.Node, end: str) -> Iterator[Edit]:
    tag = syntax.tag(node)
    assert tag is not None
    opened, closed = _braces(syntax, tag)
    _, said, tail = _parts(syntax, pieces(syntax, node), 0, end)
    text = f"{{{{ {said} }}}}{{% endgeneration %}}"
    yield Edit(tag, _like(f"{text}{{{{ {tail} }}}}" if tail else text, opened, closed))


def _braces(syntax: Syntax, tag: Place) -> tuple[str, str]:
    text = syntax.jinja[tag.start : tag.end]
    return "{{-" if text.startswith("{{-") else "{{", "-}}" if text.endswith("-}}") else "}}"


def _like(text: str, opened: str, closed: str) -> str:
    """Tags that strip white space at their ends as one output did."""
    if opened.endswith("-"):
        text = f"{text[:2]}-{text[2:]}"
    if closed.startswith("-"):
        return f"{text[:-2]}-{text[-2:]}"
    return f"{text[:-2]}+{text[-2:]}" if text.endswith("%}") else text


def concerns(old: Outcome, new: Outcome) -> bool:
    """No text may change."""
    return False
