"""Ollama: a Modelfile with a template and the stop parameters."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rolecall import strategies
from rolecall.errors import InputError
from rolecall.export import Exported
from rolecall.export.frames import frames
from rolecall.export.losses import FOLDED, filters, plain_losses
from rolecall.export.ollama_template import KEPT, THINKS, Compiler
from rolecall.lost import GRAVITY, Lost
from rolecall.pattern import Slot, walk

if TYPE_CHECKING:
    from rolecall.format import Format

TITLE = "Ollama"

JOINED = "\n\n"
"""What Ollama puts between the contents of consecutive messages of a role."""

TAGGED = re.compile(
    r"\{\{-? if [^}]*\}\}[^{}]*\S[^{}]*\{\{ \.Thinking \}\}[^{}]*\S[^{}]*\{\{-? end"
)
"""Reasoning between two texts that a branch begins and ends with."""


def export(
    fmt: Format,
    options: Mapping[str, Any],
    *,
    model: str = "./model.gguf",
    speaker: str = "assistant",
    cast: object = None,
) -> Exported:
    """Write the Modelfile of a format.

    Args:
        fmt: The format.
        options: Values of its options.
        model: What `FROM` names: a file, or a model of Ollama.
        speaker: The role under which the model speaks.
        cast: Who authors which role.

    Raises:
        InputError: If the format cannot write such a conversation, or the template cannot stand in
            a Modelfile.
    """
    if not model or any(character.isspace() for character in model):
        raise InputError(f"model: found {model!r}; a Modelfile's FROM is one word")
    made = frames(fmt, options, speaker=speaker, cast=cast)
    if made.chain("client") is None:
        raise InputError(f"{fmt.name} writes no conversation of 'user' and {speaker!r}")
    template = Compiler(fmt, options, speaker).template()
    if '"""' in template:
        raise InputError(f'{fmt.name} writes """, which ends a template in a Modelfile')
    stop = fmt.render(
        [{"role": "user", "content": "x"}], cast=cast, speaker=speaker, strict=False, **options
    ).stop
    lines = [f"FROM {model}", f'TEMPLATE """{template}"""']
    lines += [f"PARAMETER stop {_quoted(end)}" for end in stop]
    notes = [f"ollama create NAME -f Modelfile; FROM names {model}"]
    if made.bos:
        notes.append(
            f"{made.bos!r} is left out at the beginning: Ollama begins every prompt with it"
        )
    if ".Thinking" in template and not TAGGED.search(template):
        notes.append(
            "Ollama finds reasoning in a reply by the text that a branch of the template begins "
            "and ends with, and finds none here: reasoning comes as content"
        )
    if fmt.dummy_prefix:
        notes.append(
            "the spaces behind control tokens are SentencePiece's dummy prefix made visible; where "
            "Ollama's tokenizer adds it too, it is there twice"
        )
    notes.append("a message that spells a control token becomes one: text is all that is sent")
    lost = sorted(_lost(fmt, options), key=lambda record: -GRAVITY[record.level])
    return Exported("ollama", {"Modelfile": "\n".join(lines) + "\n"}, tuple(lost), tuple(notes))


def _quoted(text: str) -> str:
    return f'"""{text}"""' if "\n" in text or text[:1] == text[-1:] == '"' else f'"{text}"'


def _lost(fmt: Format, options: Mapping[str, Any]) -> Iterator[Lost]:
    carries = {"tools", "reasoning", "merge", "empty"}
    yield from (
        record
        for record in plain_losses(fmt, TITLE, carries)
        if not (record.code == "untrimmed" and set(filters(fmt)) <= {"json", "json-value"})
    )
    yield from _lost_tools(fmt)
    values = fmt.option_values(options)
    kept = fmt.reasoning.keep_for(values)
    if kept not in KEPT:
        detail = f"a template of {TITLE} cannot say which turns keep it ({kept})"
        yield Lost("error", "reasoning-dropped", None, "reasoning_content", detail)
    if fmt.reasoning.thinks not in THINKS:
        detail = f"a template of {TITLE} cannot say which turns do ({fmt.reasoning.thinks})"
        yield Lost("warning", "thinks-dropped", None, "reasoning_content", detail)
    own = [
        author
        for author, spec in fmt.turns.items()
        if author != "tool"
        and spec.merge != JOINED
        and (author != "owner" or fmt.system.place == "turn")
    ]
    if own:
        detail = (
            f"{TITLE} joins consecutive {' or '.join(own)} messages with an empty line before a "
            f"template sees them, {fmt.name} writes them as turns of their own"
        )
        yield Lost("warning", "merged", None, "content", detail)
    yield from _lost_system(fmt)


def _lost_system(fmt: Format) -> Iterator[Lost]:
    rule = fmt.system
    if rule.place == "refuse" or "owner" not in fmt.turns:
        detail = f"{fmt.name} has no place for a system message: it is not written"
        yield Lost("error", "system-dropped", None, "content", detail)
    elif rule.place != "turn" and rule.join != JOINED:
        detail = f"{TITLE} joins system messages with an empty line, {fmt.name} with {rule.join!r}"
        yield Lost("warning", "written-otherwise", None, "content", detail)
    if rule.place in FOLDED and not fmt.order.first_client:
        detail = f"without a user message {TITLE} does not write the system prompt"
        yield Lost("warning", "system-dropped", None, "content", detail)


def _lost_tools(fmt: Format) -> Iterator[Lost]:
    if fmt.tools is not None:
        if not strategies.TOOL_SCHEMAS[fmt.tools.schema].readable:
            detail = f"a template of {TITLE} cannot write tool schemas as {fmt.tools.schema}"
            yield Lost("error", "tools-dropped", None, "tools", detail)
        else:
            detail = (
                f"{TITLE} writes schemas as JSON of its own: no spaces, <, > and & escaped, and of "
                "the parameters only type, $defs, items, required and properties"
            )
            yield Lost("warning", "tools-rewritten", None, "tools", detail)
    if fmt.calls is None:
        return
    detail = (
        f"{TITLE} writes arguments as JSON of its own: no spaces, keys sorted, <, > and & escaped"
    )
    yield Lost("warning", "arguments-rewritten", None, "tool_calls", detail)
    if fmt.calls.keep not in KEPT:
        detail = f"a template of {TITLE} cannot say which turns keep them ({fmt.calls.keep})"
        yield Lost("warning", "call-kept", None, "tool_calls", detail)
    if fmt.calls.sort_results:
        detail = f"{TITLE} leaves results where they are, {fmt.name} sorts them as the calls"
        yield Lost("warning", "unsorted", None, "tool_call_id", detail)
    if fmt.calls.id:
        detail = f"{TITLE} numbers calls as {fmt.name} does, and writes the ids of results as given"
        yield Lost("warning", "id-kept", None, "tool_call_id", detail)
    if fmt.calls.ids is not None or fmt.calls.max is not None:
        detail = f"{fmt.name} refuses ids and numbers of calls that {TITLE} does not look at"
        yield Lost("note", "calls-unchecked", None, "tool_calls", detail)
    used = {
        node.filter
        for spec in fmt.specs
        if spec.author == "tool"
        for node in walk(spec.body)
        if isinstance(node, Slot)
    }
    if "json-value" in used:
        detail = f"{fmt.name} writes a result that is JSON as JSON, {TITLE} as a string"
        yield Lost("warning", "result-rewritten", None, "content", detail)
    if used & {"json", "json-value"}:
        detail = f"{TITLE} escapes <, > and & in the JSON of results"
        yield Lost("warning", "result-escaped", None, "content", detail)
