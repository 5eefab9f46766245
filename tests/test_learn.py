"""Learning: every file that is written is proved, and what cannot be learnt is refused.

A learnt format is held here against its template on conversations of seeds that learning never
saw; planted templates that behave otherwise somewhere must be refused, or say so in their domain.
"""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from hypothesis import settings

import rolecall as rc
from rolecall.errors import LearnError
from rolecall.learn.chats import Chat, Plain, text, usual
from rolecall.learn.draft import Draft, Inexpressible, literal, spelled
from rolecall.learn.probe import Field, Literal, Prober, filters
from rolecall.pattern import Piece, parse, write
from rolecall.template.template import Template
from tests.support.templates import TEMPLATES, published
from tests.test_docs import run_examples

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TOKENS = {"bos_token": "<s>", "eos_token": "<|im_end|>"}

SAMPLE = (
    "trl/gemma3",
    "trl/qwen2_5",
    "guidance/llama2",
    "axolotl/alpaca",
    "trl/llama3_2",
)
"""One of each way in which templates treat system prompts, ends, dates and thoughts."""

MORE = (
    "lenml/deepseek_v3",
    "trl/phi3_5",
    "trl/cohere",
    "autotrain/zephyr",
    "litellm/Mistral-7B-Instruct-v0.1",
    "xinference/Yi-1.5-chat-16k",
    "trl/qwen3",
)
"""Others, for the long run."""


def template(jinja: str) -> Template:
    return Template.from_text(jinja, tokens=TOKENS, name="planted")


def of(name: str) -> Template:
    one = published(name)
    return Template.from_text(one.text, tokens=one.tokens, name=name)


def chats(seed: int, letters: str, *, hold: str = "") -> Iterator[Chat]:
    """Random conversations in the usual order, of contents that no domain leaves out."""
    rng = random.Random(f"tests {seed}")
    domain = Plain(letters=letters, prompts=frozenset("U"), full=frozenset("SUA"))
    while True:
        made = usual(rng, domain)
        contents = tuple(re.sub(r"[<>|\[\]/{}]", "", one).strip() or "x" for one in made.contents)
        yield Chat(made.letters, contents, made.prompt and hold != "prompt")


@pytest.mark.parametrize(
    "name", [*SAMPLE, *(pytest.param(name, marks=pytest.mark.full) for name in MORE)]
)
def test_learnt_format_writes_what_the_template_writes(name: str) -> None:
    source = of(name)
    made = rc.learn(source, seed=11, size=100)
    assert made.claims["plain"] == 200
    given = tomllib.loads(made.toml)
    options = {}
    if "date_string" in given.get("options", {}):
        day = source.now()
        options["date_string"] = next(
            day.strftime(form) for form in ("%d %b %Y", "%Y-%m-%d") if form in source.jinja
        )
    letters = "UA" if "System messages are refused." in made.domain else "SUA"
    answered = not any("the assistant speaks last" in one for one in made.domain)
    compared = 0
    for _, chat in zip(range(90), chats(99, letters), strict=False):
        if not answered and "S" in chat.letters and chat.letters[-1] == "A":
            continue
        meant = source.trace(chat.messages, **chat.arguments).text
        found = made.format.render(chat.messages, **chat.arguments, **options).text
        assert found == meant
        compared += 1
    assert compared > 40


@pytest.mark.full
@pytest.mark.parametrize("name", [n for n, one in TEMPLATES.items()])
def test_no_template_breaks_learning(name: str) -> None:
    source = of(name)
    try:
        made = rc.learn(source)
    except LearnError:
        return
    assert made.claims["plain"]
    assert "{%" not in re.sub(r"'[^'\n]*'", "", made.toml)


def test_exported_formats_are_learnt_back() -> None:
    names = rc.formats()
    short = settings.get_current_profile_name() != "full"
    learnt = 0
    for name in random.Random(str(names)).sample(names, 3) if short else names:
        fmt = rc.format(name)
        tokens = {"bos_token": fmt.bos_token, "eos_token": fmt.eos_token}
        source = Template.from_text(fmt.to_jinja(), tokens=tokens, name=name)
        try:
            made = rc.learn(source, seed=2, size=30)
        except LearnError:
            continue
        learnt += 1
        for _, chat in zip(range(20), chats(5, "UA"), strict=False):
            meant = fmt.render(chat.messages, **chat.arguments, strict=False).text
            assert made.format.render(chat.messages, **chat.arguments).text == meant, name
    assert learnt >= (2 if short else 35)


def test_the_file_is_an_ordinary_one() -> None:
    made = rc.learn(template(CHATML), seed=3, size=40)
    assert made.toml.startswith("# Learnt from the template planted.")
    data = tomllib.loads(made.toml)
    assert data["control"] == ["<|im_start|>", "<|im_end|>"]
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
    text = made.format.render(messages).text
    assert text == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHo<|im_end|>\n"
    assert [one.content for one in made.format.parse(text).messages] == ["Hi", "Ho"]
    assert made.format.render(messages[:1], add_generation_prompt=True).stop == ("<|im_end|>",)


def test_a_template_that_refuses_everything_is_refused() -> None:
    with pytest.raises(LearnError, match="the template refuses: no"):
        rc.learn(template("{{ raise_exception('no') }}"))


PLANTED = {
    "the seventh message": CHATML.replace(
        "{{ m.content }}", "{% if loop.index == 7 %}!{% endif %}{{ m.content }}"
    ),
    "long conversations": CHATML.replace(
        "{{ m.content }}", "{% if messages|length > 11 %}!{% endif %}{{ m.content }}"
    ),
    "long contents": CHATML.replace(
        "{{ m.content }}", "{% if m.content|length > 40 %}!{% endif %}{{ m.content }}"
    ),
    "contents of many words": CHATML.replace(
        "{{ m.content }}", "{% if m.content.split(' ')|length == 33 %}!{% endif %}{{ m.content }}"
    ),
    "contents of many lines": CHATML.replace(
        "{{ m.content }}", "{% if m.content.split('\n')|length > 20 %}!{% endif %}{{ m.content }}"
    ),
    "contents that are cut": CHATML.replace("{{ m.content }}", "{{ m.content[:200] }}"),
    "the hour": "{% if strftime_now('%H')|int < 12 %}Morning{% else %}Evening{% endif %} "
    "{{ strftime_now('%d %b %Y') }}" + CHATML,
    "contents that repeat": CHATML.replace(
        "{{ m.content }}",
        "{% if loop.index > 1 and m.content|length == messages[loop.index0 - 1].content|length %}"
        "!{% endif %}{{ m.content }}",
    ),
    "upper case": CHATML.replace("{{ m.content }}", "{{ m.content|upper }}"),
    "rounds": CHATML.replace("{{ m.role }}", "{{ m.role }} {{ loop.index }}"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_difference_is_never_learnt(name: str) -> None:
    with pytest.raises(LearnError) as caught:
        rc.learn(template(PLANTED[name]), seed=5)
    assert "planted" in str(caught.value)


def test_refusal_shows_a_conversation() -> None:
    with pytest.raises(LearnError) as caught:
        rc.learn(template(PLANTED["the seventh message"]), seed=5)
    error = caught.value
    assert error.conversation is not None
    messages = error.conversation["messages"]
    assert len(messages) >= 7
    prompt = bool(error.conversation.get("add_generation_prompt"))
    meant = template(PLANTED["the seventh message"]).trace(messages, add_generation_prompt=prompt)
    assert error.expected == repr(meant.text)
    assert error.found != error.expected


def test_a_word_the_template_looks_for_is_left_out_of_the_domain() -> None:
    jinja = CHATML.replace(
        "{{ m.content }}", "{{ 'hidden' if 'open sesame' in m.content else m.content }}"
    )
    made = rc.learn(template(jinja), seed=5, size=40)
    assert any("'open sesame'" in sentence for sentence in made.domain)
    assert "'open sesame'" in made.toml


def test_names_that_are_written_are_left_out_of_the_domain() -> None:
    jinja = CHATML.replace("{{ m.role }}", "{{ m.role }}{{ ' name=' + m.name if m.name }}")
    made = rc.learn(template(jinja), seed=5, size=40)
    assert any("have names" in sentence for sentence in made.domain)


def test_orders_that_the_template_refuses_are_refused() -> None:
    jinja = (
        "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('alternate') }}{% endif %}<|{{ m.role }}|>{{ m.content }}</s>"
        "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    made = rc.learn(template(jinja), seed=5, size=40)
    said = [{"role": "user", "content": "a"}]
    assert made.format.render(said).text == "<|user|>a</s>"
    for wrong in (said * 2, [{"role": "system", "content": "a"}, *said]):
        with pytest.raises(rc.InputError):
            made.format.render(wrong)


def test_time_is_limited() -> None:
    with pytest.raises(LearnError, match="not learnt within 0 seconds"):
        rc.learn(template(CHATML), seconds=0.001)


def test_progress_is_told() -> None:
    steps: list[tuple[str, int]] = []
    rc.learn(
        template(CHATML), seed=1, size=40, progress=lambda step, count: steps.append((step, count))
    )
    assert {"plain conversations", "white space"} & {step for step, _ in steps}
    assert steps[-1][1] > 200


def test_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    run_examples("learning.md")


# The parts.


def test_a_draft_is_written_as_toml_reads_it() -> None:
    draft = Draft()
    texts = [
        'a "b"',
        "a 'b' \"c\"",
        "\n\ntail \n" * 9,
        "a\\b\t\x00\u2028",
        '"""' * 30 + "\n",
        "\r\n",
    ]
    draft.tables = {f"k{number}": text for number, text in enumerate(texts)}
    draft.tables |= {"list": texts, "yes": True, "number": 3, "a b": {"c": {"d.e": "f"}}}
    assert tomllib.loads(draft.toml()) == draft.tables
    with pytest.raises(Inexpressible):
        spelled("\ud800")


def test_every_literal_has_a_spelling() -> None:
    assert literal('{"a": 1}') == '{"a": 1}'
    assert literal("{content}") == "{={=}content}"
    texts = [
        "{content}",
        "{!tools?x}",
        "{nothing}",
        "a } b",
        "}{",
        "{=x=}",
        "{a?{b}",
        "{=",
        "=}",
        "{",
    ]
    for given in (*texts, *("".join(pair) for pair in product("{}=a?!", repeat=4))):
        for grouped in (False, True):
            source = literal(given, grouped=grouped)
            whole = f"{{content?{source}}}" if grouped else source
            written: list[Piece] = []
            nodes = parse(whole, slots=["content", "a"], control=())
            write(nodes, {"content": (Piece("x", "content"),)}, "content", written.append)
            assert "".join(piece.text for piece in written) == given


def test_pieces_name_their_fields() -> None:
    prober = Prober(template(CHATML))
    (word,) = prober.words(1)
    found = prober.pieces([{"role": "user", "content": word}])
    assert found == [
        Literal("<|im_start|>"),
        Field(0, "role", "user", "user"),
        Literal("\n"),
        Field(0, "content", word, word),
        Literal("<|im_end|>\n"),
    ]
    assert filters(" a ", "a") == ["trim", "trim-parts"]


def test_random_contents_keep_to_their_domain() -> None:
    domain = Plain(excluded={"A": ("</s>", "a")}, blank=frozenset(), full=frozenset("A"))
    rng = random.Random(1)
    made = [text(rng, domain, "A") for _ in range(500)]
    assert all(domain.allows("A", one) for one in made)
    assert not any("a" in one or "</s>" in one or not one.strip() for one in made)
