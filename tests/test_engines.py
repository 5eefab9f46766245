"""The engines of other languages: what they answer, and what happens where they do not."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from rolecall import engines
from rolecall.audit import audit, constructs, portability
from rolecall.audit.messages import again, assistant, system, user, weather
from rolecall.audit.probe import Probe
from rolecall.engines import ENGINES, EngineError, huggingface_js, llama_cpp, minijinja
from rolecall.engines.process import Process
from rolecall.gguf import read_metadata
from rolecall.template.template import Template
from tests.support import engines as brought
from tests.support.audit import TOKENS, rule_names, template

NOW = datetime(2031, 5, 4, 12, 0)
BRINGS = {"huggingface_js": brought.huggingface_js, "llama_cpp": brought.llama_cpp}
PLAIN = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"

CHATS: list[dict[str, Any]] = [
    {"messages": [user()], "options": {"add_generation_prompt": True}},
    {"messages": [system(), user("Grüße, 世界 🙂 <b>'\"&\\</b>\n\n x ")]},
    {"messages": [user(), assistant(), again()], "tools": [weather('Tells the "weather" (°C).')]},
]

JINJA = """{{ bos_token }}{% if tools %}{{ tools | tojson }}
{% endif %}
{%- for message in messages %}
    {{- '<|im_start|>' + message['role'] + '\\n' }}
    {{- message.content.strip() | trim }}{{ eos_token + '\\n' }}
{%- endfor %}
{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def jinja2_of(jinja: str, chat: Mapping[str, Any], **options: Any) -> str:
    options = {**chat.get("options", {}), **options}
    made = Template.from_text(jinja, tokens=TOKENS)
    return made.trace(chat["messages"], chat.get("tools"), **options).text


def every(*, name: str) -> Any:
    marks = [] if name == "minijinja" else [pytest.mark.full]
    return pytest.param(name, marks=marks)


@pytest.mark.parametrize("name", [every(name=name) for name in ENGINES])
def test_an_engine_writes_what_jinja2_writes(name: str) -> None:
    if name in BRINGS:
        with BRINGS[name]():
            check(name)
    else:
        check(name)


def check(name: str) -> None:
    asked = engines.engine(name)
    assert asked.absent == ""
    assert asked.version
    answers = asked.render(JINJA, CHATS, TOKENS, NOW)
    assert [answer.text for answer in answers] == [
        jinja2_of(JINJA, chat, **asked.options) for chat in CHATS
    ]
    # No tokens: nothing stands in their place.
    bare = asked.render("{{ bos_token }}" + PLAIN, CHATS[:1], {}, NOW)
    assert bare[0].text == "user: Hello.\n"
    # An error ends nothing.
    raised = asked.render(PLAIN + "{{ raise_exception('Never.') }}", CHATS[:1], TOKENS, NOW)[0]
    assert raised.text is None
    assert "Never." in str(raised.error)
    unread = asked.render(PLAIN + "{% if %}", CHATS, TOKENS, NOW)
    assert [(answer.text, answer.parsed) for answer in unread] == [(None, False)] * len(CHATS)
    assert asked.render(PLAIN, CHATS[:1], TOKENS, NOW)[0].text == "user: Hello.\n"
    # The clean template is clean everywhere.
    assert rule_names(audit(template())) == set()


@pytest.mark.parametrize("name", ["minijinja", every(name="huggingface_js")])
def test_an_engine_is_told_the_time(name: str) -> None:
    def day() -> str | None:
        jinja = PLAIN + "{{ strftime_now('%Y-%m-%d') }}"
        return engines.engine(name).render(jinja, CHATS[:1], {}, NOW)[0].text

    if name in BRINGS:
        with BRINGS[name]():
            assert day() == "user: Hello.\n2031-05-04"
    else:
        assert day() == "user: Hello.\n2031-05-04"


def test_minijinja_names_the_line_of_an_error() -> None:
    answer = minijinja.engine().render("a\n\n{{ 'a'.zfill(3) }}", CHATS[:1], {}, NOW)[0]
    assert answer == (None, "unknown method: string has no method named zfill", 3, True)


def test_minijinja_is_stopped() -> None:
    endless = "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}"
    before = time.monotonic()
    answer = minijinja.engine().render(endless, CHATS[:1], {}, NOW)[0]
    assert answer.text is None
    assert "fuel" in str(answer.error)
    assert time.monotonic() - before < 5


# Doubles a string for ever in engines that have no `self`.
BOMB = (
    "{% set ns = namespace(x='aaaaaaaa') %}{% if self is not defined %}{% for i in range(60) %}"
    "{% set ns.x = ns.x ~ ns.x %}{% endfor %}{% endif %}" + PLAIN
)


@pytest.mark.parametrize("name", [every(name=name) for name in ENGINES])
def test_a_template_that_takes_all_memory_there_ends_nothing_here(name: str) -> None:
    rule = f"not-portable-{name.replace('_', '-')}"

    def exploding() -> None:
        report = audit(template(BOMB), rules=[rule])
        assert report.unasked or report.findings
        assert audit(template(), rules=[rule]).unasked == {}

    if name in BRINGS:
        with BRINGS[name]():
            exploding()
    else:
        exploding()


# --- Engines that are not there ---


def test_an_absent_engine_is_told_in_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "engine", lambda _: Absent())
    monkeypatch.setattr(portability, "engine", lambda _: Absent())
    report = audit(template(), rules=["not-portable-minijinja"])
    assert report.findings == ()
    assert report.to_json()["unasked"] == {"absent": "it is not installed"}


class Absent:
    name = "absent"
    absent = "it is not installed"


def test_an_engine_that_does_not_answer_is_told_in_the_report(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def render(*_: object) -> None:
        raise EngineError("minijinja did not answer within 1 seconds")

    monkeypatch.setattr(minijinja.MiniJinja, "render", render)
    report = audit(template(PLAIN), rules=["not-portable-minijinja"])
    assert report.findings == ()
    assert report.unasked == {"minijinja": "minijinja did not answer within 1 seconds"}


def test_an_engine_that_answered_is_not_in_the_report() -> None:
    assert audit(template(PLAIN), rules=["not-portable-minijinja"]).unasked == {}


def test_packages_that_are_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert minijinja.engine().absent == "the package minijinja is not installed"
    assert llama_cpp.engine().absent == "the package xllamacpp is not installed"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert huggingface_js.engine().absent == "node is not installed"


def test_a_folder_that_is_not_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(huggingface_js.FOLDER, str(tmp_path))
    says = f"{huggingface_js.FOLDER} is {str(tmp_path)!r}, which is not the folder of"
    assert huggingface_js.engine().absent.startswith(says)
    for text in ('{"name": "other", "version": "1"}', "[]", "{"):
        (tmp_path / "package.json").write_text(text)
        assert huggingface_js.engine().absent.startswith(says)


def test_a_package_that_node_cannot_load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(huggingface_js.FOLDER, str(tmp_path))
    (tmp_path / "package.json").write_text('{"name": "@huggingface/jinja", "version": "9.9"}')
    asked = huggingface_js.engine()
    assert (asked.absent, asked.version) == ("", "9.9")
    with pytest.raises(EngineError, match="@huggingface/jinja ended without an answer"):
        asked.render(PLAIN, CHATS, TOKENS, NOW)


def test_what_lies_in_the_current_folder_is_not_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = tmp_path / "node_modules" / "@huggingface" / "jinja"
    package.mkdir(parents=True)
    (package / "package.json").write_text(
        '{"name": "@huggingface/jinja", "version": "6.6.6", "main": "index.js"}'
    )
    (package / "index.js").write_text("require('fs').writeFileSync('ran', '')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(huggingface_js.FOLDER, raising=False)
    monkeypatch.setenv("NODE_PATH", "node_modules")
    assert huggingface_js.engine().version != "6.6.6"
    assert not (tmp_path / "ran").exists()


def test_importing_rolecall_loads_no_engine() -> None:
    code = "import rolecall, sys; print([m for m in sys.modules if 'engines' in m or 'jinja' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- Processes ---


def python(code: str) -> Process:
    return Process("it", lambda: [sys.executable, "-c", code])


def test_a_process_answers_and_is_kept() -> None:
    process = python(
        "import sys, json, os\n"
        "for line in sys.stdin: print(json.dumps([os.getpid(), json.loads(line)]), flush=True)"
    )
    first: Any = process.ask({"a": "é\n\ud800"}, 30)
    second: Any = process.ask({}, 30)
    assert first[1] == {"a": "é\n\ud800"}
    assert first[0] == second[0]
    process.end()
    third: Any = process.ask({}, 30)
    assert third[0] != first[0]
    process.end()


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import time; time.sleep(600)", "it did not answer within 0.5 seconds"),
        ("raise SystemExit(1)", "it ended without an answer"),
        ("print('what?', flush=True); input()", "it ended without an answer"),
    ],
)
def test_a_process_that_does_not_answer(code: str, says: str) -> None:
    process = python(code)
    with pytest.raises(EngineError, match=says):
        process.ask({}, 0.5 if "sleep" in code else 30)
    assert process._running is None


def test_a_process_that_is_not_there() -> None:
    process = Process("it", lambda: ["/nowhere/node"])
    with pytest.raises(EngineError, match="it cannot be started"):
        process.ask({}, 30)


# --- What the rules say ---


def named(jinja: str) -> str:
    (finding,) = audit(template(jinja), rules=["not-portable-minijinja"]).findings
    return finding.message


def test_a_construct_is_named_where_it_is_the_cause() -> None:
    assert "what it cannot run is .zfill()" in named("{{ 'a'.zfill(3) }}" + PLAIN)


def test_a_construct_that_is_not_the_cause_is_not_named() -> None:
    # It holds one that minijinja cannot run, in a branch that is not reached.
    jinja = "{% if never %}{{ 'a'.zfill(3) }}{% endif %}{{ 'a'.expandtabs(3) }}" + PLAIN
    assert "has no method named expandtabs" in named(jinja)
    assert "zfill" not in named(jinja)


def test_an_indent_that_differs_is_found_by_leaving_it_out() -> None:
    jinja = PLAIN + r"{{ 'a\n' | indent(2, first=true) }}{{ '<b>' | safe }}."
    report = audit(template(jinja), rules=["not-portable-minijinja"])
    (finding,) = report.findings
    assert finding.message.endswith("the construct that differs is the filter indent.")
    assert finding.place == "\n"
    assert "writes '' in place of '\\n'" in str(finding.expected)


def test_what_differs_only_with_tools_is_a_note() -> None:
    jinja = PLAIN + "{% if tools %}{{ 'a'.zfill(3) }}{{ tools | tojson }}{% endif %}"
    (finding,) = audit(template(jinja), rules=["not-portable-minijinja"]).findings
    assert (finding.severity, finding.conversation["tools"]) == ("note", [weather()])
    assert "fails on the template with tools" in finding.message


@pytest.mark.parametrize(
    ("jinja", "phrase"),
    [
        ("{% generation %}a{% endgeneration %}", "{% generation %}"),
        ("{%- generation -%}a{%- endgeneration -%}", "{% generation %}"),
        ("{% raw %}{{ a }}{% endraw %}", "{% raw %}"),
        (r"{{ 'caf\u00e9' }}", r"the escape \u00e9"),
        ("{% for a in [1] %}{% if a %}{% break %}{% endif %}{% endfor %}", "{% break %} inside {% if %}"),
        ("{{ 1 < a < 3 }}", "a chained comparison"),
        ("{{ a[-1] }}", "a negative index"),
        ("{{ a[::-1] }}", "a slice with a step"),
        ("{{ a | tojson(ensure_ascii=False) }}", "tojson(ensure_ascii=false)"),
        ("{{ a.lstrip('x') }}", ".lstrip() with an argument"),
        ("{{ dict(a=1) }}", "dict()"),
        ("{{ '%s' % a }}", "formatting with %"),
        ("{{ 0.5 }}", "a number with a fraction"),
        ("{{ (a,) }}", "a tuple of one"),
        ("a\r\n", "lines that end in \\r\\n"),
        (" a", "white space before everything else"),
    ],
)  # fmt: skip
def test_constructs_are_found(jinja: str, phrase: str) -> None:
    found = {one.phrase: one for one in constructs.found_in(jinja)}
    assert phrase in found
    # And jinja2 runs what is tried for it.
    assert Template.from_text(found[phrase].snippet).trace([user()]).text is not None


def test_every_snippet_runs_in_jinja2() -> None:
    for tried in (*constructs._FILTERS.values(), *constructs._METHODS.values()):
        for snippet in tried:
            assert Template.from_text(snippet).trace([]).text


def test_a_template_without_constructs() -> None:
    assert constructs.found_in(PLAIN) == []
    assert constructs.found_in("{% if %}") == []


def test_the_tiny_model_has_the_tokens_it_is_given(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    for tokens in (TOKENS, {}, {"bos_token": "<|x|>", "eos_token": "<|x|>"}):
        file.write_bytes(llama_cpp.tiny_model(tokens))
        metadata = read_metadata(file)
        vocabulary: Any = metadata["tokenizer.ggml.tokens"]
        assert len(set(vocabulary)) == len(vocabulary)
        for key in ("bos_token", "eos_token"):
            place: Any = metadata.get(f"tokenizer.ggml.{key}_id")
            assert (None if place is None else vocabulary[place]) == tokens.get(key)


def test_a_probe_keeps_what_was_not_asked() -> None:
    assert Probe(template(PLAIN)).unasked == {}
