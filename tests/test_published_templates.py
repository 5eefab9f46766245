"""The list of published templates, and the reference that renders them."""

import subprocess
import sys

import pytest
from hypothesis import given

from tests.support import template_reference as reference
from tests.support import templates
from tests.support.assets import TOKENIZERS, AssetUnavailable, Spec
from tests.support.template_chats import BY_NAME, CHATS, Chat, chats, marked
from tests.support.template_reference import Failed, Rendered
from tests.support.templates import MODELS, PAIRS, TEMPLATES, TWINS, published


def test_names_are_known_without_a_download(tmp_path: object) -> None:
    script = "from tests.support.templates import TEMPLATES; print(len(TEMPLATES))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"ROLECALL_TEST_CACHE": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) == len(TEMPLATES) > 300


def test_no_text_is_listed_twice() -> None:
    assert len({one.sha256 for one in TEMPLATES.values()}) == len(TEMPLATES)
    names = [*TEMPLATES, *(other for one in TEMPLATES.values() for other in one.also)]
    assert len(set(names)) == len(names)


def test_the_long_run_alone_needs_npm_and_large_packages() -> None:
    normal = [one for one in TEMPLATES.values() if not one.full]
    assert len(normal) > 300
    assert {Spec.parse(one.spec).registry for one in normal} == {"pypi", "sdist"}


@pytest.mark.parametrize("name", templates.parameters())
def test_every_template_is_where_the_list_says(name: str) -> None:
    text = published(name).text
    assert "{%" in text
    # Those of the list parse; what a template may then do is its own affair.
    found = reference.render(text, BY_NAME["one"].messages, tokens=published(name).tokens)
    assert not isinstance(found, Failed) or found.type != "TemplateSyntaxError"


def test_a_template_is_found_by_its_models_name_and_by_other_names() -> None:
    assert published("Qwen2.5-7B-Instruct") is published("guidance/qwen2dot5_it")
    assert published("Qwen2.5-7B-Instruct").name == "trl/qwen2_5"
    assert set(MODELS.values()) <= set(TEMPLATES)


def test_an_unknown_name_is_told_near_ones() -> None:
    with pytest.raises(AssetUnavailable, match=r"no template 'Llama-3\.1-8B'.*Llama-3\.1-8B-Instr"):
        published("Llama-3.1-8B")


def test_a_text_that_is_not_there_is_told() -> None:
    there = published("trl/qwen3")
    changed = templates.Published("trl/qwen3", there.spec, "0" * 16, {}, ())
    with pytest.raises(AssetUnavailable, match="holds no text with SHA-256 0000000000000000"):
        _ = changed.text


def test_twins_have_the_marks_and_their_originals_do_not() -> None:
    assert len(TWINS) > 25
    for name, twin in TWINS:
        assert "generation %}" in published(twin).text
        assert "{% generation" not in published(name).text


def test_pairs_name_templates_and_tokenizers() -> None:
    for pair in PAIRS:
        assert pair.template in TEMPLATES
        assert pair.tokenizer in TOKENIZERS or Spec.parse(pair.tokenizer).path.endswith(".json")


# The reference.

HELLO = [{"role": "user", "content": "Hello."}]


def test_the_clock_of_the_reference_stands_still() -> None:
    found = reference.render("{{ strftime_now('%d %b %Y %H:%M:%S') }}", HELLO)
    assert found == Rendered("09 Mar 2025 14:05:07")


def test_errors_of_templates_are_told_apart() -> None:
    assert reference.render("{{ raise_exception('no') }}", HELLO) == Failed(
        "TemplateError", "no", by_template=True
    )
    found = reference.render("{{ a.b }}", HELLO)
    assert found == Failed("UndefinedError", "'a' is undefined", by_template=False)


def test_render_hands_over_what_it_is_given_and_apply_chat_template_does_not() -> None:
    messages = [{"role": "assistant", "content": None, "thinking": "Fog."}]
    jinja = "{{ 'content' in messages[0] }} {{ messages[0].reasoning_content }}"
    assert reference.render(jinja, messages) == Rendered("True ")
    assert reference.apply_chat_template(jinja, messages) == Rendered("False Fog.")


def test_the_callers_messages_stay_as_they_are() -> None:
    messages = [{"role": "user", "content": ["a"]}]
    jinja = "{{ messages[0].content }}{% set ns = namespace(m=messages[0]) %}{{ ns.m.content }}"
    assert reference.render(jinja, messages) == Rendered("['a']['a']")
    assert messages == [{"role": "user", "content": ["a"]}]


def test_generation_blocks_are_found_where_they_are_asked_for() -> None:
    jinja = "a{% generation %}bc{% endgeneration %}d"
    assert reference.render(jinja, HELLO, generated=True) == Rendered("abcd", ((1, 3),))
    assert reference.render(jinja, HELLO) == Rendered("abcd")


# Conversations.


def test_conversations_have_names_of_their_own() -> None:
    assert len(BY_NAME) == len(CHATS)


@pytest.mark.parametrize("chat", CHATS, ids=lambda chat: chat.name)
def test_words_stand_where_they_are_said_to(chat: Chat) -> None:
    assert_words_stand_there(chat)


@given(chat=chats())
def test_words_stand_where_they_are_said_to_in_random_ones(chat: Chat) -> None:
    assert_words_stand_there(chat)


def assert_words_stand_there(chat: Chat) -> None:
    sown, fields = marked(chat)
    everything = repr((sown.messages, sown.tools, sown.documents))
    for word, places in fields.items():
        assert len(word) == 9
        # One in each place: no word is said to be where it is not, or is where it is not said.
        assert everything.count(word) == len(places)
