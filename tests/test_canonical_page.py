"""The section on the canonical form that each format's page has says all that `canonical` does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import rolecall as rc
from rolecall.conversation import Author, Conversation, Message
from rolecall.format import FOLDER
from tests.support.conversations import conversations
from tests.support.pages import Example, page
from tests.support.shapes import shape_of
from tests.support.vocabulary import vocabulary
from tests.test_laws import every_format, told_apart
from tools import canonical, docs

ELSEWHERE = {
    "ambiguous",
    "reads-as-turn",
    "reads-as-call",
    "unprompted",
    "part-dropped",
    "part-key-dropped",
}
"""Codes of records that are not about what the format makes of a conversation, or are the same in
every format."""

NOTHING = Message("system", "")

EXAMPLES = [
    pytest.param(example, id=str(example))
    for name in rc.formats()
    for example in page(name).examples
    if example.text is not None
]


def everywhere(message: Message) -> Message:
    """A message as every format has it: one text, no weight, nothing that no format carries."""
    silent = not message.text and (message.tool_calls or message.reasoning_content)
    content = None if silent else message.text
    return replace(message, content=content, weight=None, prefix=False, spare={})


def changed(own: Message, other: Message) -> set[str] | None:
    """What canonical did to a message without a record; None if it is another message."""
    alike = replace(
        other, name=own.name, tool_call_id=own.tool_call_id, tool_calls=(), attributes={}
    )
    calls = [[(call.name, call.arguments) for call in one.tool_calls] for one in (own, other)]
    if alike != replace(own, tool_calls=(), attributes={}) or calls[0] != calls[1]:
        return None
    ids = [(m.tool_call_id, [call.id for call in m.tool_calls]) for m in (own, other)]
    return {
        *(["tool-named"] if own.name != other.name else []),
        *(["numbered"] if ids[0] != ids[1] else []),
        *(["implied"] if own.attributes != other.attributes else []),
    }


def check(fmt: rc.Format, conversation: Conversation) -> None:
    """Hold what canonical does to a conversation against the facts of the format."""
    told = {code for fact in canonical.facts(fmt) for code in fact.codes}
    lost = {record.code for record in fmt.render(conversation, strict=False).lost} - ELSEWHERE
    if any(len(message.texts) > 1 for message in conversation.messages):
        lost.discard("merged")
    assert lost <= told
    if lost:
        return
    waiting = [everywhere(message) for message in conversation.messages]
    for message in fmt.canonical(conversation).messages:
        while "emptied" in told and waiting and message != waiting[0] == NOTHING:
            del waiting[0]
        done = changed(waiting[0], message) if waiting else None
        if done is None:
            assert "added" in told
            assert message.content in ("", fmt.system.default)
        else:
            assert done <= told
            del waiting[0]
    assert not [message for message in waiting if "emptied" not in told or message != NOTHING]


@every_format
@given(data=st.data())
def test_what_canonical_does_is_among_the_facts(name: str, data: st.DataObject) -> None:
    fmt = rc.format(name)
    given_: dict[str, Any] = data.draw(conversations(shape_of(name)).map(told_apart))
    conversation = Conversation.read(given_)
    try:
        fmt.render(conversation, strict=False)
    except rc.InputError:
        assume(False)
    check(fmt, conversation)


@pytest.mark.parametrize("example", EXAMPLES)
def test_what_canonical_does_to_an_example_is_among_the_facts(example: Example) -> None:
    check(rc.format(example.format), example.given)


PLAIN = [
    (rc.format(name), spec.author, word)
    for name in rc.formats()
    for spec, words in canonical.open_words(rc.format(name))
    for word in words
]
SPOKEN_BY = {"owner": "system", "client": "user", "model": "assistant"}


def test_formats_of_plain_words_are_among_those_whose_words_are_tried() -> None:
    assert {"alpaca", "llama-2", "mistral-v1", "vicuna"} <= {fmt.name for fmt, _, _ in PLAIN}


@pytest.mark.parametrize(("fmt", "author", "word"), PLAIN, ids=str)
def test_words_that_open_a_turn_are_read_so_and_noted(
    fmt: rc.Format, author: Author, word: str
) -> None:
    said = [Message(SPOKEN_BY[author], f"one{word}two")]
    said += [] if author == "client" else [Message("user", "three")]
    rendering = fmt.render(said)
    for source in (rendering.text, rendering.encode(vocabulary()).ids):
        found = fmt.parse(source, tokenizer=vocabulary())
        role = SPOKEN_BY[author]
        assert next(m.content for m in found.messages if m.role == role) == "one"
        assert "ambiguous" in {record.code for record in found.unread}


@pytest.mark.parametrize(("fmt", "author", "word"), PLAIN, ids=str)
def test_the_same_words_are_content_in_a_reply(fmt: rc.Format, author: Author, word: str) -> None:
    said = [Message("user", "one"), Message("assistant", f"two{word}three")]
    rendering = fmt.render(said)
    for source in (rendering.text, rendering.encode(vocabulary()).ids):
        found = fmt.parse(source, tokenizer=vocabulary())
        assert found.messages[-1] == said[-1]


@every_format
def test_the_words_of_the_facts_are_known(name: str) -> None:
    codes = {code for fact in canonical.facts(rc.format(name)) for code in fact.codes}
    assert {code for code in codes if code not in KNOWN} <= set(canonical.SILENT)


KNOWN = {
    "moved",
    "merged",
    "ambiguous",
    "trimmed",
    "rewritten",
    "label-dropped",
    "name-dropped",
    "attribute-dropped",
    "id-dropped",
    "id-rewritten",
    "schema-key-dropped",
    "reasoning-dropped",
    "call-dropped",
    "result-dropped",
    "tools-dropped",
    "system-dropped",
    "content-dropped",
    "message-dropped",
}


@every_format
def test_the_section_of_a_page_is_what_is_generated(name: str) -> None:
    text = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    assert text.count(docs.CANONICAL) == 1
    assert docs.format_page(name, text) == text


def test_a_stale_section_is_found(tmp_path: Path) -> None:
    file = tmp_path / "qwen3.md"
    text = (FOLDER / "qwen3.md").read_text(encoding="utf-8")
    file.write_text(text.replace("- Gone: attributes", "- Gone: nothing", 1), encoding="utf-8")
    expected = docs.format_page("qwen3", file.read_text(encoding="utf-8"))
    assert expected == text
    fault = docs.stale(file, expected)
    assert fault is not None
    assert "found:    - Gone: nothing" in fault


def test_a_page_without_the_section_gets_one_in_front_of_its_examples() -> None:
    text = "# X\n\nText.\n\n## Example: one\n\n## Sources\n"
    made = docs.format_page("chatml", text)
    assert docs.format_page("chatml", made) == made
    head, _, rest = made.partition(docs.CANONICAL)
    assert head == "# X\n\nText.\n\n"
    assert rest.endswith("\n\n## Example: one\n\n## Sources\n")
