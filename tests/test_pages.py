"""Every format has a page, and every example on it holds."""

from collections.abc import Iterable
from typing import Any

import pytest

import rolecall as rc
from rolecall.format import FOLDER
from rolecall.lost import Lost
from rolecall.pattern import DOCUMENT_TOKENS
from rolecall.unread import Unread
from tests.support.assets import TOKENIZERS, tokenizer_file
from tests.support.pages import Example, page

EXAMPLES = [
    example
    for name in rc.formats()
    if (FOLDER / f"{name}.md").is_file()
    for example in page(name).examples
]

IDS = [
    pytest.param(
        example,
        tokenizer,
        id=f"{example}-{tokenizer}",
        marks=[pytest.mark.full] if TOKENIZERS[tokenizer].full else [],
    )
    for example in EXAMPLES
    for tokenizer in example.ids
]

TEXTS = [
    pytest.param(example, None, id=f"{example}-text")
    for example in EXAMPLES
    if example.text is not None
]


def line(record: Lost) -> str:
    where = "-" if record.message is None else record.message
    return f"{record.level} {record.code} {where} {record.field}"


def unread_lines(records: Iterable[Unread]) -> list[str]:
    """Level, code and message of each record, each once, without the note on reading a text."""
    shown = [record for record in records if record.code != "text"]
    found = [
        f"{record.level} {record.code} {'-' if record.message is None else record.message}"
        for record in shown
    ]
    return list(dict.fromkeys(found))


def read_back(example: Example, unread: Iterable[str]) -> dict[str, Any]:
    """The canonical conversation in wire form, without tools that cannot be read back."""
    canonical = example.canonical.to_wire()
    if any(" tools-unread " in record for record in unread):
        del canonical["tools"]
    return canonical


@pytest.mark.parametrize("name", rc.formats())
def test_every_format_has_a_page_with_examples_and_sources(name: str) -> None:
    found = page(name)
    assert found.examples, f"the page of {name} shows no example"
    assert "\n## Sources\n" in found.text, f"the page of {name} names no sources"
    assert any(example.text is not None for example in found.examples)


def test_every_page_belongs_to_a_format() -> None:
    assert {path.stem for path in FOLDER.glob("*.md")} == set(rc.formats())


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_the_examples_of_the_pages_hold(example: Example) -> None:
    if example.error is not None:
        with pytest.raises(rc.InputError) as raised:
            example.render()
        assert example.error in " ".join(str(raised.value).split())
        return
    rendering = example.render()
    assert rendering.text == example.text
    assert [line(record) for record in rendering.lost] == list(example.lost)


@pytest.mark.parametrize(("example", "tokenizer"), IDS)
def test_the_ids_of_the_pages_hold(example: Example, tokenizer: str) -> None:
    encoding = example.render().encode(tokenizer_file(tokenizer))
    assert encoding.ids.tolist() == example.ids[tokenizer]


@pytest.mark.parametrize("name", rc.formats())
def test_every_page_shows_what_is_read_back(name: str) -> None:
    assert any(example.parsed for example in page(name).examples)


@pytest.mark.parametrize(("example", "tokenizer"), [*TEXTS, *IDS])
def test_the_examples_of_the_pages_are_read_back(example: Example, tokenizer: str | None) -> None:
    """Every example, those that do not show it too: of them the canonical conversation is read."""
    kind = "text" if tokenizer is None else "ids"
    found = example.parse(tokenizer)
    unread = unread_lines(found.unread)
    expected = example.parsed.get(kind, example.parsed.get("text"))
    assert found.to_wire() == (read_back(example, unread) if expected is None else expected)
    own = kind in example.parsed or kind in example.unread
    shown = example.unread.get(kind if own else "text")
    if shown is None and expected is None:
        assert [record for record in unread if not record.startswith("note ")] == []
    else:
        assert unread == list(shown or ())


@pytest.mark.parametrize("example", [e for e in EXAMPLES if e.text is not None], ids=str)
def test_reading_a_text_says_that_its_control_tokens_are_only_spelled(example: Example) -> None:
    fmt = rc.format(example.format)
    tokens = [*fmt.control, *map(fmt.option_values(example.canonical.options).get, DOCUMENT_TOKENS)]
    spelled = any(token and str(token) in str(example.text) for token in tokens)
    said = [record for record in example.parse().unread if record.code == "text"]
    assert len(said) == spelled


@pytest.mark.parametrize("example", [e for e in EXAMPLES if e.parsed], ids=str)
def test_what_the_pages_show_as_read_back_is_canonical_or_says_why_not(example: Example) -> None:
    shown = [record for records in example.unread.values() for record in records]
    canonical = read_back(example, shown)
    same = all(parsed == canonical for parsed in example.parsed.values())
    assert same == (example.parsed_departs is None)
