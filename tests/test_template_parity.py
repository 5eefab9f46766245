"""Traced templates against transformers' own rendering: the same text, or the same error.

Every published template runs on every conversation of `tests.support.template_chats`, and on
random ones. What a trace says of its output is held against the output: spans without gaps, copies
that are copies, and words found again that stand in one field only.
"""

import functools
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.errors import TemplateRaised
from rolecall.template.template import Template
from rolecall.template.trace import Trace
from tests.support import template_reference as reference
from tests.support.template_chats import CHATS, Chat, Field, chats, marked
from tests.support.template_reference import Failed, Outcome, Rendered
from tests.support.templates import TEMPLATES, TWINS, parameters, published

SHOWN = 4


@functools.lru_cache(maxsize=16)
def template(name: str) -> Template:
    found = published(name)
    return Template.from_text(found.text, tokens=found.tokens, name=name)


def traced(name: str, given: Mapping[str, Any]) -> Trace | Failed:
    try:
        return template(name).trace(**given, now=lambda: reference.NOW)
    except TemplateRaised as raised:
        return Failed(raised.kind, raised.reason, raised.by_template)


def outcome(name: str, given: Mapping[str, Any]) -> Outcome:
    found = traced(name, given)
    return found if isinstance(found, Failed) else Rendered(found.text)


def expected(name: str, given: Mapping[str, Any], *, generated: bool = False) -> Outcome:
    found = published(name)
    return reference.render(found.text, tokens=found.tokens, generated=generated, **given)


def arguments(chat: Chat) -> list[dict[str, Any]]:
    """The arguments of a rendering, without and with a generation prompt."""
    if "add_generation_prompt" in chat.options:
        return [chat.arguments()]
    return [{**chat.arguments(), "add_generation_prompt": asked} for asked in (False, True)]


@pytest.mark.parametrize("name", parameters())
def test_texts_and_errors_are_transformers(name: str) -> None:
    differences: list[str] = []
    for chat in CHATS:
        for given in arguments(chat):
            ours, theirs = outcome(name, given), expected(name, given)
            if ours != theirs:
                asked = given["add_generation_prompt"]
                differences.append(
                    f"{chat.name}, add_generation_prompt={asked}:\n"
                    f"  ours   {ours}\n  theirs {theirs}"
                )
    shown = "\n".join(differences[:SHOWN])
    assert not differences, f"{len(differences)} of {2 * len(CHATS)}:\n{shown}"


NORMAL = tuple(name for name, one in TEMPLATES.items() if not one.full)


@given(name=st.sampled_from(NORMAL), chat=chats())
def test_random_conversations_come_out_the_same(name: str, chat: Chat) -> None:
    for given in arguments(chat):
        assert outcome(name, given) == expected(name, given)


@given(name=st.sampled_from(NORMAL), chat=st.one_of(chats(), chats("accepted")))
def test_spans_of_random_conversations(name: str, chat: Chat) -> None:
    for given in arguments(chat):
        found = traced(name, given)
        if isinstance(found, Trace):
            assert not list(wrong_spans(found))


@pytest.mark.parametrize("name", parameters())
def test_spans_tell_where_the_callers_words_are(name: str) -> None:
    differences: list[str] = []
    for chat in CHATS:
        sown, fields = marked(chat)
        for given in arguments(sown):
            found = traced(name, given)
            if isinstance(found, Trace):
                wrong = [*wrong_spans(found), *lost_words(found, fields)]
                differences += [f"{chat.name}: {one}" for one in wrong]
    assert not differences, f"{len(differences)}:\n" + "\n".join(differences[:SHOWN])


def wrong_spans(trace: Trace) -> list[str]:
    """What is wrong with the spans whatever the template does."""
    wrong: list[str] = []
    at = 0
    for span in trace.spans:
        if span.start != at or span.end <= span.start:
            wrong.append(f"{span} does not begin at {at}, or is empty")
        at = span.end
        origin = span.origin
        if origin.kind == "caller" and (origin.message, origin.field) not in trace.inputs:
            wrong.append(f"{span} is of a field that the caller did not give")
        elif span.at >= 0 and origin.kind == "caller":
            given = trace.inputs[origin.message, origin.field]
            text = trace.text[span.start : span.end]
            if given[span.at : span.at + len(text)] != text:
                wrong.append(f"{span} is {text!r}, not that place of {given!r}")
    if at != len(trace.text):
        wrong.append(f"the spans end at {at}, the text at {len(trace.text)}")
    return wrong


def lost_words(trace: Trace, fields: Mapping[str, set[Field]]) -> list[str]:
    """Words of the caller's in the output that are not traced to where they come from."""
    lost: list[str] = []
    for word, places in fields.items():
        start = trace.text.find(word)
        while start >= 0:
            end = start + len(word)
            for span in trace.spans:
                if span.start >= end or span.end <= start:
                    continue
                origin = span.origin
                if origin.kind != "caller" or (origin.message, origin.field) not in places:
                    around = trace.text[max(0, start - 20) : end + 20]
                    lost.append(f"{word} of {sorted(places, key=str)} in {around!r} is {span}")
            start = trace.text.find(word, end)
    return lost


@pytest.mark.parametrize("name", parameters(tuple(twin for _, twin in TWINS)))
def test_generation_blocks_stand_where_transformers_finds_them(name: str) -> None:
    met = 0
    for chat in CHATS:
        for given in arguments(chat):
            found, theirs = traced(name, given), expected(name, given, generated=True)
            if isinstance(found, Trace) and isinstance(theirs, Rendered):
                ours = {
                    index
                    for span in found.spans
                    if span.origin.generated
                    for index in range(span.start, span.end)
                }
                places = {index for start, end in theirs.generated for index in range(start, end)}
                assert ours == places, chat.name
                met += bool(places)
    assert met
