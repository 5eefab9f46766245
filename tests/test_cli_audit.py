"""`rolecall audit`: its report, scoreboard and page, exit statuses, and every error whole."""

from __future__ import annotations

import json
import os
import re
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from rolecall.audit import audit
from rolecall.audit.collect import collect
from rolecall.audit.excerpt import excerpt, in_short
from rolecall.audit.finding import Finding
from rolecall.audit.messages import calling, result, system, text_part, user, weather
from rolecall.audit.rules import rules
from rolecall.audit.workers import spread
from rolecall.errors import InputError, TemplateError
from rolecall.template.template import Template
from tests.support.commandline import Done, Run, run
from tests.support.terminal import in_terminal

DROPS = (
    "{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
    "{% elif m.role == 'assistant' %} {{ m.content }}</s>{% endif %}{% endfor %}"
)
"""Drops every message that is neither a user's nor an assistant's."""
RAISES = (
    "{% for m in messages %}{% if m.role not in ['user', 'assistant'] %}"
    "{{ raise_exception('No ' + m.role) }}{% endif %}<|{{ m.role }}|>{{ m.content }}\n{% endfor %}"
)
CLEAN = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
ENDLESS = (
    "{% for m in messages %}{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}"
    "{% endfor %}{% endfor %}"
)
ASKED = "system-dropped,system-raises,name-dropped"
"""An error, a warning and a note; few rules make quick tests."""


@pytest.fixture
def rolecall(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run ``rolecall audit`` in a folder of its own, where ``a.jinja`` drops system messages."""
    monkeypatch.chdir(tmp_path)
    Path("a.jinja").write_text(DROPS)

    def run_here(*arguments: str, stdin: bytes = b"") -> Done:
        return run("audit", *arguments, stdin=stdin)

    return run_here


def many(**templates: str) -> str:
    """A folder of templates; returns its path."""
    folder = Path("many")
    folder.mkdir()
    for name, text in templates.items():
        (folder / f"{name}.jinja").write_text(text)
    return str(folder)


def marked(finding: Finding) -> str:
    """The whole output of a finding with its place between marks."""
    assert finding.output is not None
    assert finding.span is not None
    start, end = finding.span
    output = finding.output
    return f"{output[:start]}⟪{output[start:end]}⟫{output[end:]}"


# One template.


def test_a_pipe_gets_a_report_worst_first_with_the_place_marked(rolecall: Run) -> None:
    done = rolecall("a.jinja", "--rules", "system-dropped,name-dropped")
    dropped, name = audit("a.jinja", rules=["system-dropped", "name-dropped"]).findings
    assert (dropped.severity, name.kind) == ("error", "no-place")
    assert done.err == ""
    assert done.out.decode().splitlines() == [
        "a.jinja",
        "",
        "error    system-dropped · loses",
        f"         {dropped.message}",
        '         given    system "Be brief."; user "Hello."; add_generation_prompt',
        f"         output   {marked(dropped)}",
        f"         expected {dropped.expected}",
        "",
        "Has no place for: nothing is broken, an application has to know.",
        "note     name-dropped · no-place",
        f"         {name.message}",
        '         given    user (name="Amy") "Hello."; add_generation_prompt',
        f"         output   {marked(name)}",
        f"         expected {name.expected}",
        "",
        "1 error, 1 note (1 of them: no place for it)",
        "'rolecall audit --explain system-dropped' says why it matters and what to write instead.",
    ]


def test_notes_are_short_unless_rules_are_chosen(rolecall: Run) -> None:
    shown = rolecall("a.jinja").out.decode()
    assert "\nnote     name-dropped · no-place\n" in shown
    assert "Amy" not in shown
    assert shown.splitlines()[-1].endswith("shows a note in full.")


def test_what_was_raised_is_quoted(rolecall: Run) -> None:
    Path("b.jinja").write_text(RAISES)
    shown = rolecall("b.jinja", "--rules", "system-raises").out.decode()
    assert "\nwarning  system-raises · refuses\n" in shown
    assert "\n         raises   No system\n" in shown


def test_a_clean_template_has_no_findings_and_status_0(rolecall: Run) -> None:
    Path("c.jinja").write_text(CLEAN)
    assert rolecall("c.jinja", "--rules", "system-dropped") == (
        0, b"c.jinja\n\nno findings\n", "",
    )  # fmt: skip


def test_named_templates_are_told_apart(rolecall: Run) -> None:
    named = [{"name": "default", "template": CLEAN}, {"name": "rag", "template": DROPS}]
    Path("tokenizer_config.json").write_text(json.dumps({"chat_template": named}))
    done = rolecall("tokenizer_config.json", "--rules", "system-dropped")
    assert "error    system-dropped · loses · template rag\n" in done.out.decode()
    alone = rolecall("tokenizer_config.json", "--rules", "system-dropped", "--template", "default")
    assert (alone.status, b"no findings" in alone.out) == (0, True)
    assert rolecall("tokenizer_config.json", "--template", "rga") == (
        2,
        b"",
        "rolecall: tokenizer_config.json: there is no template 'rga'; did you mean 'rag'?; it "
        "holds default, rag\n",
    )


def test_nothing_of_a_template_reaches_a_terminal_as_it_is(rolecall: Run) -> None:
    Path("b.jinja").write_text("{{ raise_exception('\x1b[2J\u202e') }}")
    shown = rolecall("b.jinja").out.decode()
    assert "\\x1b[2J\\u202e" in shown
    assert "\x1b" not in shown
    Path("c.jinja").write_text("\x1b]0;x\x07⟪\u202e" + DROPS)
    shown = rolecall("c.jinja", "--rules", "system-dropped").out.decode()
    assert "\\x1b]0;x\\x07\\u27ea\\u202e" in shown.replace("⟪", "")


def test_a_pipe_that_takes_ascii_gets_ascii(tmp_path: Path) -> None:
    from tests.test_cli import process

    file = tmp_path / "a.jinja"
    file.write_text("é" + DROPS)
    done = process(
        "audit", str(file), "--rules", "system-dropped",
        env=os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, b"")
    assert b"error    system-dropped - loses\n" in done.stdout
    assert b"output   \\xe9" in done.stdout.replace(b"<<", b"")
    assert done.stdout.count(b"<<") == done.stdout.count(b">>") == 1


# JSON.


def test_json_is_the_report_with_the_name_given(rolecall: Run) -> None:
    done = rolecall("./a.jinja", "--json")
    assert (done.status, done.err) == (1, "")
    expected = audit("a.jinja").to_json()
    assert done.lines == [{**expected, "template": "./a.jinja", "error": None}]
    finding = done.json["findings"][0]
    assert {"rule", "severity", "message", "conversation", "output", "span"} < set(finding)


def test_json_of_several_is_a_line_each_in_their_order(rolecall: Run) -> None:
    Path("b.jinja").write_text("{% for")
    Path("c.jinja").write_text(CLEAN)
    done = rolecall("c.jinja", "b.jinja", "a.jinja", "--json", "--rules", ASKED)
    first, second, third = done.lines
    assert [one["template"] for one in done.lines] == ["c.jinja", "b.jinja", "a.jinja"]
    assert set(first) == set(second) == set(third)
    assert (first["error"], third["error"]) == (None, None)
    assert second["error"].startswith("b.jinja, line 1: the template is no Jinja")
    assert second["findings"] == []
    assert third["counts"]["error"] == 1
    assert done.err == f"b.jinja: {second['error']}\n"
    assert done.status == 2


# Exit statuses.


@pytest.mark.parametrize(
    ("template", "statuses"),
    [(DROPS, (1, 1, 1, 0)), (RAISES, (0, 1, 1, 0))],
    ids=["an error", "a warning"],
)
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_fail_on(
    rolecall: Run, template: str, statuses: tuple[int, ...], form: tuple[str, ...]
) -> None:
    Path("a.jinja").write_text(template)
    arguments = ("a.jinja", "--rules", ASKED, *form)
    done = rolecall(*arguments)
    for level, status in zip(("error", "warning", "note", "never"), statuses, strict=True):
        assert rolecall(*arguments, "--fail-on", level) == (status, done.out, done.err)
    assert done.status == statuses[0]


def test_min_severity_hides_findings_and_says_so_and_they_count_all_the_same(
    rolecall: Run,
) -> None:
    arguments = ("a.jinja", "--rules", ASKED, "--min-severity", "error", "--fail-on", "note")
    done = rolecall(*arguments)
    assert done.status == 1
    assert b"name-dropped" not in done.out
    assert "1 error · 1 finding below --min-severity not shown" in done.out.decode()
    only = rolecall("a.jinja", "--rules", "name-dropped", *arguments[3:])
    assert only.status == 1
    shown = rolecall(*arguments, "--json").json
    assert [finding["rule"] for finding in shown["findings"]] == ["system-dropped"]


def test_a_rule_is_silenced_with_a_reason_that_is_shown(rolecall: Run) -> None:
    silence = (
        "--silence",
        "system-dropped=No system turn = by design",
        "--silence",
        "system-raises=x",
    )
    done = rolecall("a.jinja", "--rules", ASKED, *silence)
    assert done.status == 0
    assert (
        "silenced system-dropped (1 finding): No system turn = by design\n"
        "silenced system-raises (no finding: it need not be silenced any more): x\n"
    ) in done.out.decode()
    shown = rolecall("a.jinja", "--rules", ASKED, "--json", *silence).json
    assert shown["silenced"][0] == {
        "rule": "system-dropped", "reason": "No system turn = by design", "findings": 1,
    }  # fmt: skip


def test_a_rule_that_fails_is_told_and_is_no_success(
    rolecall: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(probe: object) -> Iterator[Any]:
        raise KeyError("x")

    monkeypatch.setitem(rules(), "name-dropped", replace(rules()["name-dropped"], check=broken))
    done = rolecall("a.jinja", "--rules", ASKED, "--fail-on", "never")
    assert done.status == 2
    assert b"system-dropped" in done.out
    assert done.err == (
        "a.jinja: rule name-dropped failed on template 'default': KeyError: 'x'. This is a bug of "
        "the rule; the other rules are not affected\n"
    )


# Standard input.


def test_standard_input_is_a_template_or_a_config(rolecall: Run) -> None:
    text = rolecall("-", "--rules", ASKED, "--json", stdin=DROPS.encode())
    assert text.status == 1
    assert text.json["template"] == "standard input"
    config = {"chat_template": "{{ bos_token }}" + DROPS, "bos_token": "<s>"}
    given = b"\xef\xbb\xbf" + json.dumps(config).encode()
    found = rolecall("-", "--rules", ASKED, "--json", stdin=given).json
    assert found["template"] == "standard input"
    assert found["findings"][0]["output"].startswith("<s>[INST]")


@pytest.mark.parametrize(
    ("stdin", "message"),
    [
        (b" \n", "standard input is empty; give a template or a tokenizer_config.json"),
        (b"GGUF\x03", "standard input is a GGUF file; give its path"),
        (b"a\xff", "standard input is not UTF-8 text: byte 0xff at offset 1; give a template or a tokenizer_config.json"),
        (b"{}", "standard input, read as a tokenizer_config.json: tokenizer_config.json has no 'chat_template'"),
        (b"[1]", "standard input, read as a tokenizer_config.json: tokenizer_config.json holds a list and not an object with 'chat_template'"),
        (b"{% if %}", "standard input, line 1: the template is no Jinja: Expected an expression, got 'end of statement block'"),
    ],
)  # fmt: skip
def test_standard_input_that_is_neither_is_refused(
    rolecall: Run, stdin: bytes, message: str
) -> None:
    assert rolecall("-", stdin=stdin) == (2, b"", f"rolecall: {message}\n")


# Bad input. Every message is whole.

ERRORS: list[tuple[list[str], str]] = [
    ([], "missing argument 'SOURCE'; give a model's folder, a tokenizer_config.json, a .jinja or a .gguf file\nsee 'rolecall audit --help'"),
    (["nope"], "there is no file or folder 'nope'"),
    (["nope\0"], "there is no file or folder 'nope\\x00'"),
    (["broken.jinja"], "broken.jinja, line 2: the template is no Jinja: Expected an expression, got 'end of statement block'"),
    (["binary.jinja"], "binary.jinja is not UTF-8 text: byte 0xff at offset 0"),
    (["photo.png"], "photo.png is no file that chat templates are read from; give a model's folder, a tokenizer_config.json, a .gguf, or a template in a file with one of the endings .jinja, .jinja2, .j2, .txt"),
    (["fake.gguf"], "fake.gguf is no GGUF file: it does not begin with 'GGUF'"),
    (["empty"], "the folder 'empty' holds no chat template: no tokenizer_config.json, chat_template.jinja, chat_template.json, no file with one of the endings .jinja, .jinja2, .j2, .gguf, and no folder that holds one"),
    (["base"], "the folder 'base' holds no chat template: its tokenizer_config.json has no 'chat_template', and there is no chat_template.jinja. A base model has none; take the folder of the chat model, or a .jinja file"),
    (["tokenizer.json"], "tokenizer.json has no 'chat_template'; it lies in tokenizer_config.json or chat_template.jinja"),
    ([DROPS], "a chat template is given as the path of its file, and this is the template itself; write it to a .jinja file"),
    (["-", "a.jinja"], "- is standard input and stands alone; give the others as paths"),
    (["a.jinja", "--rules", "sytem-dropped"], "--rules: there is no rule 'sytem-dropped'; did you mean 'system-dropped'?; 'rolecall audit --list-rules' lists them"),
    (["a.jinja", "--rules", "system-dropped,"], "--rules 'system-dropped,': give names of rules, separated by commas"),
    (["a.jinja", "--silence", "system-dropped"], "--silence 'system-dropped': give RULE=REASON; reports show the reason"),
    (["a.jinja", "--silence", "system-dropped= "], "--silence 'system-dropped= ': give RULE=REASON; reports show the reason"),
    (["a.jinja", "--silence", "no=x"], "--silence: there is no rule 'no'; 'rolecall audit --list-rules' lists them"),
    (["a.jinja", "--silence", "system-dropped=x", "--silence", "system-dropped=y"], "--silence system-dropped: it is given twice"),
    (["a.jinja", "--fail-on", "eror"], "--fail-on: found 'eror'; give error, warning, note or never; did you mean 'error'?"),
    (["a.jinja", "--min-severity", "never"], "--min-severity: found 'never'; give error, warning or note"),
    (["a.jinja", "--tokenizer", "nope"], "there is no file 'nope'"),
    (["a.jinja", "--template", "rag"], "a.jinja: there is no template 'rag'; it holds default"),
    (["a.jinja", "--html", "empty"], "--html 'empty': it is a folder; give the path of a file in it"),
    (["a.jinja", "--html", "no/x.html"], "--html 'no/x.html': there is no folder 'no'"),
    (["a.jinja", "--html", "tokenizer.json"], "--html 'tokenizer.json': there is a file already, and it is no page; give another path, or remove it"),
    (["a.jinja", "--timeout", "0"], "--timeout: found 0; give a number of seconds above 0"),
    (["a.jinja", "--timeout", "nan"], "--timeout: found nan; give a number of seconds above 0"),
    (["a.jinja", "--list-rules"], "--list-rules and --explain stand alone, without a SOURCE"),
    (["--explain", "sytem-dropped"], "--explain: there is no rule 'sytem-dropped'; did you mean 'system-dropped'?; 'rolecall audit --list-rules' lists them"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), ERRORS)
def test_bad_input_is_refused_with_the_way_out(
    rolecall: Run, arguments: list[str], message: str
) -> None:
    for folder in ("empty", "base"):
        Path(folder).mkdir()
    Path("base/tokenizer_config.json").write_text("{}")
    Path("broken.jinja").write_text("{{ messages }}\n{% for m in %}")
    Path("binary.jinja").write_bytes(b"\xff\x00")
    Path("photo.png").write_bytes(b"\x89PNG")
    Path("fake.gguf").write_bytes(b"FUGG")
    Path("tokenizer.json").write_text('{"model": {}}')
    assert rolecall(*arguments) == (2, b"", f"rolecall: {message}\n")


@pytest.mark.parametrize("arguments", [["nope"], ["empty"], ["broken.jinja"]])
def test_bad_input_is_no_less_refused_as_json(rolecall: Run, arguments: list[str]) -> None:
    Path("empty").mkdir()
    Path("broken.jinja").write_text("{% for")
    done = rolecall(*arguments, "--json")
    assert (done.status, done.out) == (2, b"")
    assert done.err.startswith("rolecall: ")


def test_an_endless_template_is_a_finding(rolecall: Run) -> None:
    Path("a.jinja").write_text(ENDLESS)
    done = rolecall("a.jinja", "--rules", "limit-reached", "--json")
    assert done.status == 1
    assert [finding["rule"] for finding in done.json["findings"]] == ["limit-reached"]


# Folders of many.


def test_a_folder_of_many_gets_a_scoreboard(rolecall: Run) -> None:
    folder = many(drops=DROPS, raises=RAISES, clean=CLEAN)
    done = rolecall(folder, "--rules", ASKED)
    assert (done.status, done.err) == (1, "")
    lines = done.out.decode().splitlines()
    assert [line.split() for line in lines[:9]] == [
        ["#", "template", "errors", "warnings", "notes", "gravest"],
        ["1", "drops.jinja", "1", "0", "1", "system-dropped,", "name-dropped"],
        ["2", "raises.jinja", "0", "1", "1", "system-raises,", "name-dropped"],
        ["3", "clean.jinja", "0", "0", "1", "name-dropped"],
        [],
        ["rule", "severity", "templates", "1", "2", "3"],
        ["system-dropped", "error", "1", "E", "·", "·"],
        ["system-raises", "warning", "1", "·", "W", "·"],
        ["name-dropped", "note", "3", "o", "o", "o"],
    ]
    assert lines[10] == "3 templates · 1 error, 1 warning, 3 notes · 1 with errors"


def test_what_cannot_be_audited_is_told_and_the_others_are_audited(rolecall: Run) -> None:
    folder = Path(many(good=CLEAN, broken="{% if %}"))
    (folder / "binary.jinja").write_bytes(b"\xff")
    (folder / "short.gguf").write_bytes(b"GGUF\x03")
    (folder / "empty").mkdir()
    (folder / "base").mkdir()
    (folder / "base" / "config.json").write_text("{}")
    (folder / "model").mkdir()
    (folder / "model" / "tokenizer_config.json").write_text(json.dumps({"chat_template": DROPS}))
    (folder / "notes.txt").write_text("A file that is something else, and is left alone.")
    done = rolecall(str(folder), "--rules", ASKED, "--json")
    assert done.status == 2
    errors = {one["template"]: one["error"] for one in done.lines}
    assert {name for name, error in errors.items() if error is None} == {"good.jinja", "model"}
    assert list(errors) == ["base", "binary.jinja", "broken.jinja", "empty/", "good.jinja", "model", "short.gguf"]  # fmt: skip
    assert "is not UTF-8 text" in errors["binary.jinja"]
    assert "the template is no Jinja" in errors["broken.jinja"]
    assert "is cut off or damaged" in errors["short.gguf"]
    assert "holds no chat template" in errors["base"]
    assert "holds no chat template" in errors["empty/"]
    shown = rolecall(str(folder), "--rules", ASKED).out.decode()
    assert "\nCould not be audited\n  base: " in shown
    assert "2 templates · 1 error, 2 notes · 1 with errors · 5 could not be audited\n" in shown


def test_a_template_that_hangs_is_ended_and_the_others_are_audited(rolecall: Run) -> None:
    folder = many(good=CLEAN)
    # Two renderings of each take a second before the audit's own limit ends them.
    named = [{"name": f"t{number}", "template": ENDLESS} for number in range(10)]
    Path(folder, "hangs.json").write_text(json.dumps({"chat_template": named}))
    arguments = ("--rules", "limit-reached", "--timeout", "5", "--json")
    good, hangs = rolecall(folder, *arguments).lines
    assert (good["template"], good["error"]) == ("good.jinja", None)
    assert hangs["error"] == "it took more than 5 seconds and was ended"


def test_sources_that_are_several_keep_their_paths(rolecall: Run) -> None:
    for name in ("x", "y"):
        Path(name).mkdir()
        Path(name, "tokenizer_config.json").write_text(json.dumps({"chat_template": CLEAN}))
    done = rolecall("x", "y", "nope", "x", "--rules", "system-dropped", "--json")
    assert [one["template"] for one in done.lines] == ["x", "y", "nope"]
    assert done.lines[2]["error"] == "there is no file or folder 'nope'"
    assert done.status == 2


def test_fail_on_and_silence_hold_for_every_template(rolecall: Run) -> None:
    folder = many(drops=DROPS, again=DROPS)
    arguments = (folder, "--rules", ASKED)
    assert rolecall(*arguments, "--fail-on", "never").status == 0
    done = rolecall(*arguments, "--silence", "system-dropped=as designed")
    assert done.status == 0
    assert b"\nsilenced system-dropped: as designed\n" in done.out


def test_a_folder_is_read_as_a_model_or_as_many(tmp_path: Path) -> None:
    def names(**files: str) -> list[str]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        for name, text in files.items():
            file = folder / name.replace("__", "/").replace("_jinja", ".jinja").replace(
                "_JSON", ".json"
            )
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        found = collect(str(folder))
        return [str(Path(job.path).relative_to(folder)) for job in found]

    assert names(chat_template_jinja="x", other_jinja="x") == ["."]
    assert names(tokenizer_config_JSON="{}", sub__x_jinja="x") == ["."]
    assert names(b_jinja="x", a_jinja="x", readme="x") == ["a.jinja", "b.jinja"]
    assert names(sub__a_jinja="x", sub__deep__b_jinja="x") == ["sub/a.jinja", "sub/deep/b.jinja"]
    assert names(x_JSON='{"chat_template": "x"}', y_JSON="{}", a_jinja="") == ["a.jinja", "x.json"]
    assert names(**{".git__a_jinja": "x", "b_jinja": "x"}) == ["b.jinja"]
    with pytest.raises(TemplateError, match="holds no chat template"):
        names(readme="x")


def test_links_lead_to_models_and_never_back(tmp_path: Path) -> None:
    model, many = tmp_path / "model", tmp_path / "many"
    for folder in (model, many):
        folder.mkdir()
    (model / "chat_template.jinja").write_text("x")
    (many / "linked").symlink_to(model)
    (many / "back").symlink_to(many)
    assert [job.name for job in collect(str(many))] == ["linked"]


def test_a_path_that_is_empty_is_not_this_folder(rolecall: Run) -> None:
    done = rolecall("")
    assert done.status == 2
    assert done.err == "rolecall: the path of the chat template is empty\n"


# Workers.


def hang(text: str) -> str:
    if text == "hang":
        while True:
            with suppress(BaseException):
                time.sleep(60)
    if text == "exit":
        os._exit(7)
    if text == "refuse":
        raise InputError("no such thing")
    if text == "fail":
        raise KeyError("x")
    return text.upper()


def test_work_that_hangs_dies_or_raises_keeps_nothing_waiting() -> None:
    given = ["a", "hang", "b", "exit", "refuse", "fail", "hang", "c"]
    done = {one.index: one for one in spread(hang, given, seconds=0.5, processes=2)}
    assert [done[index].result for index in range(len(given))] == [
        "A", None, "B", None, None, None, None, "C",
    ]  # fmt: skip
    assert [done[index].error for index in (1, 3, 4, 5, 6)] == [
        "it took more than 0.5 seconds and was ended",
        "the process that worked on it ended with the status 7",
        "no such thing",
        "KeyError: 'x'; this is a bug of Rolecall",
        "it took more than 0.5 seconds and was ended",
    ]


# A terminal.


def plain(shown: str) -> str:
    """What a terminal shows, without colours."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)


def test_a_terminal_gets_colours_and_the_same_marks(tmp_path: Path) -> None:
    (tmp_path / "a.jinja").write_text("x" + DROPS)
    arguments = ("audit", "a.jinja", "--rules", "system-dropped,name-dropped", "--fail-on", "never")
    shown = in_terminal(*arguments, folder=tmp_path, columns=100)
    assert "\x1b[1;31merror    \x1b[0m\x1b[1msystem-dropped\x1b[0m" in shown
    # The place is reversed, and stands between marks.
    found = audit(str(tmp_path / "a.jinja"), rules=["name-dropped"]).findings[0]
    assert f"\x1b[1;34m⟪\x1b[0m\x1b[1;7;34m{found.place}\x1b[0m\x1b[1;34m⟫\x1b[0m" in shown
    without = in_terminal(*arguments, folder=tmp_path, columns=100, NO_COLOR="1")
    assert "\x1b" not in without
    assert [line.rstrip() for line in plain(shown).splitlines()] == [
        line.rstrip() for line in without.splitlines()
    ]


def test_a_narrow_terminal_breaks_lines_and_loses_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.jinja").write_text(DROPS)
    arguments = ("audit", "a.jinja", "--rules", "system-dropped", "--fail-on", "never")
    shown = in_terminal(*arguments, folder=tmp_path, columns=40, NO_COLOR="1")
    assert all(len(line) <= 40 for line in shown.splitlines())
    wide = in_terminal(*arguments, folder=tmp_path, columns=200, NO_COLOR="1")
    assert "".join(shown.split()) == "".join(wide.split())


def test_a_narrow_scoreboard_shows_its_numbers(tmp_path: Path) -> None:
    names = [f"a-folder-with-a-long-name/another/{name}.jinja" for name in "ab"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(DROPS)
    arguments = ("audit", *names, "--rules", ASKED, "--fail-on", "never")
    shown = in_terminal(*arguments, folder=tmp_path, columns=48, NO_COLOR="1")
    board = plain(shown)[plain(shown).index("#  template") :]
    assert all(len(line) <= 48 for line in board.splitlines())
    assert re.search(r"^1  \S*…\S*a\.jinja +1 +0 +1", board, re.MULTILINE)
    assert re.search(r"^system-dropped +error +2", board, re.MULTILINE)


def test_a_terminal_that_writes_ascii_gets_ascii(tmp_path: Path) -> None:
    (tmp_path / "a.jinja").write_text(DROPS)
    shown = in_terminal(
        "audit", "a.jinja", "--rules", "system-dropped", "--fail-on", "never", folder=tmp_path,
        NO_COLOR="1", PYTHONIOENCODING="ascii", PYTHONUTF8="0",
    )  # fmt: skip
    assert "error    system-dropped - loses\n" in shown
    assert shown.count("<<") == shown.count(">>") == 1
    assert shown.isascii()


def test_a_bar_shows_how_far_a_folder_is_and_goes_away(tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / f"{name}.jinja").write_text(CLEAN)
    shown = in_terminal("audit", "many", "--rules", "system-dropped", folder=tmp_path)
    assert "auditing" in plain(shown)
    assert re.search(r"[012]/2", plain(shown))
    last = plain(shown).rpartition("auditing")[2]
    assert "2 templates · no findings\n" in last


# Rules.


def test_rules_are_listed_and_explained(rolecall: Run) -> None:
    lines = rolecall("--list-rules").out.decode().splitlines()
    assert [line.split()[0] for line in lines[1:]] == sorted(rules())
    listed = rolecall("--list-rules", "--json").lines
    assert {one["rule"]: one["summary"] for one in listed} == {
        name: rule.summary for name, rule in rules().items()
    }
    rule = rules()["system-dropped"]
    explained = rolecall("--explain", "system-dropped").out.decode()
    assert explained == f"# system-dropped\n\nerror, loses\n\n{rule.page}\n"
    assert rolecall("--explain", "system-dropped", "--json").json["page"] == rule.page


# Excerpts.


def test_a_conversation_in_short() -> None:
    assert in_short(
        {
            "messages": [system(), user([text_part("Hi")], name="Amy"), calling(), result(), user(None)],
            "tools": [weather()],
            "documents": [{"title": "Lima", "text": "x"}],
            "options": {"add_generation_prompt": True, "date": "today"},
        }
    ) == (
        'system "Be brief."; user (name="Amy") ["Hi"]; assistant calls get_weather({"city": '
        '"Lima"}); tool (tool_call_id="a1b2c3d4e", name="get_weather") "31 degrees, clear."; user '
        'null; tools get_weather; documents {"title": "Lima", "text": "x"}; '
        'add_generation_prompt; date="today"'
    )  # fmt: skip
    odd: dict[str, Any] = {"messages": [7, {"role": ["x"]}, {"content": "y" * 200}], "tools": 3}
    assert in_short(odd).startswith('7; ["x"]; null "yyyy')
    assert len(in_short(odd)) < 150


def found_at(output: str, span: tuple[int, int] | None) -> Finding:
    return Finding("x", "error", "loses", "M.", "default", {}, output, span, None, None)


def test_an_excerpt_holds_the_place_and_what_is_around_it() -> None:
    text = "abcdefghij"
    assert excerpt(found_at(text, (4, 6)), 2, 9, 3) == (2, "cd", "ef", "ghi", 1, True, 0)
    assert excerpt(found_at(text, (4, 4)), 2, 9, 3) == (2, "cd", "", "efg", 3, True, 0)
    assert excerpt(found_at(text, None), 2, 3, 1) == (0, "abcdef", "", "", 4, False, 0)
    long = excerpt(found_at("x" + "0123456789" * 10 + "y", (1, 101)), 5, 9, 5)
    assert long is not None
    assert (long.before, *long.halves, long.inside, long.after) == ("x", "01234", "6789", 91, "y")
    whole = excerpt(found_at("x" + "0123456789" + "y", (1, 11)), 5, 9, 5)
    assert whole is not None
    assert (whole.place, whole.inside) == ("0123456789", 0)


# The page.

VOID = {"meta", "input", "br", "hr", "img", "link"}


class Page(HTMLParser):
    """A page whose every tag is closed in its order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, str] = {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, names)
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, (tag, self.getpos())

    def handle_data(self, data: str) -> None:
        for tag in set(self.open):
            self.inside[tag] = self.inside.get(tag, "") + data

    def values(self, name: str) -> list[str]:
        return [given for _, attrs in self.tags if (given := attrs.get(name)) is not None]


def check(text: str) -> Page:
    """The page, if it is well-formed, needs nothing, and runs nothing but its own script."""
    page = Page(text)
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert all(link.startswith("#") and link[1:] in ids for link in page.values("href"))
    assert not page.values("src")
    assert not page.values("style")
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    assert [tag for tag, _ in page.tags if tag in ("script", "style")] == ["style", "script"]
    assert not {tag for tag, _ in page.tags} & {"link", "img", "iframe", "object", "form", "base"}
    assert "://" not in text
    policy = next(given for given in page.values("content") if given.startswith("default-src"))
    for tag in ("script", "style"):
        digest = b64encode(sha256(page.inside[tag].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    return page


def test_the_page_of_many_has_every_cell_lead_to_its_finding(rolecall: Run) -> None:
    folder = many(drops=DROPS, raises=RAISES, clean=CLEAN, broken="{% if %}")
    done = rolecall(folder, "--html", "board.html", "--fail-on", "never")
    assert done.err == "written: board.html\n"
    text = Path("board.html").read_text(encoding="utf-8")
    page = check(text)
    findings = sum(
        len(audit(str(Path(folder, f"{name}.jinja"))).findings)
        for name in ("drops", "raises", "clean")
    )
    assert sum(tag == "article" for tag, _ in page.tags) == findings
    cells = re.findall(r'<a href="#(f\d+-\d+)" aria-label="([^"]+)"', text)
    rows = {name for _, label in cells for name in [label.rpartition(", ")[2]]}
    assert rows == {"drops.jinja", "raises.jinja", "clean.jinja"}
    assert "broken.jinja" in page.inside["dt"]
    assert "the template is no Jinja" in page.inside["dd"]
    assert "Why it matters" in page.inside["h3"]
    assert "Has no place for" in page.inside["h3"]
    assert "Hello." in page.inside["mark"]
    assert rolecall(folder, "--html", "board.html", "--rules", ASKED).status == 2


def test_the_page_of_one_template_has_no_board(rolecall: Run) -> None:
    assert rolecall("a.jinja", "--html", "a.html").status == 1
    page = check(Path("a.html").read_text(encoding="utf-8"))
    assert page.inside["h1"] == "Audit of a.jinja"
    assert not any(tag == "table" for tag, _ in page.tags)


def test_the_page_of_a_clean_template_says_so(rolecall: Run) -> None:
    Path("c.jinja").write_text(CLEAN)
    assert rolecall("c.jinja", "--html", "c.html", "--rules", "system-dropped").status == 0
    page = check(Path("c.html").read_text(encoding="utf-8"))
    assert "no findings" in page.inside["ul"]


EVIL = "</pre></script><script>alert(1)</script><img src=x onerror=alert(2)>\"'><b onclick=x>&lt;"


def test_whatever_a_template_holds_is_inert(rolecall: Run) -> None:
    writes = EVIL + "\x00\x1b\u202e" + DROPS
    raises = "{{ raise_exception(" + json.dumps(EVIL) + ") }}"
    folder = Path(many(writes=writes, raises=raises, jinja="{% if " + EVIL))
    name = "<script>alert(3)<img src=x onerror=alert(4)>\"'&.jinja"
    (folder / name).write_text(DROPS)
    named = [{"name": EVIL, "template": DROPS}, {"name": "default", "template": DROPS}]
    (folder / "m").mkdir()
    (folder / "m" / "tokenizer_config.json").write_text(json.dumps({"chat_template": named}))
    done = rolecall(str(folder), "--html", "x.html", "--silence", f"name-dropped={EVIL}")
    assert done.status == 2
    text = Path("x.html").read_text(encoding="utf-8")
    page = check(text)
    assert "alert" not in page.inside["script"]
    assert not any(tag == "b" for tag, _ in page.tags)
    # All of it is there, as text.
    assert EVIL in page.inside["pre"]
    assert EVIL in page.inside["dd"]
    assert EVIL in page.inside["p"]
    assert EVIL in page.inside["code"]
    assert name in page.inside["summary"]
    assert "U+202E" in page.inside["span"]
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", text)


def test_the_page_is_written_over_a_page_and_over_nothing_else(rolecall: Run) -> None:
    for _ in range(2):
        assert rolecall("a.jinja", "--rules", ASKED, "--html", "a.html").status == 1
    assert rolecall("a.jinja", "--html", "a.jinja").status == 2
    assert Path("a.jinja").read_text() == DROPS


def test_a_template_object_has_a_page_too() -> None:
    from rolecall.audit.html import page
    from rolecall.audit.scoreboard import Asked, Scoreboard, audit_one

    entry = audit_one("mine", Template.from_text(DROPS), Asked())
    check(page(Scoreboard([entry]), rules()))
