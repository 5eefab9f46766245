"""`rolecall repair`: the diff and the proof, --write with the original kept, and every error whole."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from rolecall.errors import InputError
from rolecall.repair import search, write
from rolecall.template import load_template
from tests.support.commandline import Done, Run, run
from tests.support.gguf import gguf_bytes
from tests.support.terminal import in_terminal

BROKEN = """{#- Kept: a comment, its "quotes" and its  spaces. #}
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
    {%- for call in message.tool_calls or [] %}
        {{- '{"name": "' + call.function.name + '", "arguments": ' }}
        {{- (call.function.arguments | tojson) + '}' }}
    {%- endfor %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant: \\n' }}
{%- endif %}
"""
"""Its generation prompt is not what stands before a reply."""
ASKED = ("--rules", "generation-prompt-not-trained-prefix")
MENDED = BROKEN.replace("assistant: ", "assistant")
CONFIG = {
    "bos_token": "<s>",
    "added": ["é", 1.50, {"deep": None}],
    "chat_template": BROKEN,
    "eos_token": "<|im_end|>",
}


@pytest.fixture
def rolecall(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run ``rolecall repair`` in a folder of its own, where ``a.jinja`` has a fault."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(search, "MOST", 60)
    monkeypatch.setattr(search, "LAST", 60)
    Path("a.jinja").write_text(BROKEN)

    def run_here(*arguments: str, stdin: bytes = b"") -> Done:
        return run("repair", *arguments, stdin=stdin)

    return run_here


def listed() -> list[str]:
    return sorted(file.name for file in Path().iterdir())


def test_the_diff_and_the_proof_are_written_and_no_file_is(rolecall: Run) -> None:
    done = rolecall("a.jinja", *ASKED)
    assert (done.status, done.err) == (0, "")
    lines = done.out.decode().splitlines()
    assert lines[0] == "a.jinja"
    assert "-    {{- '<|im_start|>assistant: \\n' }}" in lines
    assert "+    {{- '<|im_start|>assistant\\n' }}" in lines
    assert "repaired generation-prompt-not-trained-prefix" in lines
    assert any(line.endswith("change on purpose.") for line in lines)
    assert Path("a.jinja").read_text() == BROKEN
    assert listed() == ["a.jinja"]


def test_diff_alone_can_be_applied(rolecall: Run) -> None:
    done = rolecall("a.jinja", *ASKED, "--diff")
    assert done.status == 0
    subprocess.run(["git", "init", "-q"], check=True)
    applied = done.out.replace(b"+++ a.jinja (repaired)", b"+++ a.jinja")
    subprocess.run(["git", "apply", "-p0", "-"], input=applied, check=True)
    assert Path("a.jinja").read_text() == MENDED


def test_json_holds_the_template_the_diff_and_the_proof(rolecall: Run) -> None:
    done = rolecall("a.jinja", *ASKED, "--json")
    assert done.status == 0
    found = done.json
    assert found["jinja"] == MENDED
    assert found["diff"].encode() == rolecall("a.jinja", *ASKED, "--diff").out
    assert found["proof"]["compared"] > 100
    assert [step["rule"] for step in found["steps"]] == [ASKED[1]]
    rules = {finding["rule"] for finding in found["proof"]["after"]}
    assert ASKED[1] not in rules


def test_what_is_left_says_why(rolecall: Run) -> None:
    Path("b.jinja").write_text(
        "{% for m in messages %}{% if m.role == 'user' %}<|user|>{{ m.content }}"
        "{% elif m.role == 'assistant' %}<|assistant|>{{ m.content }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    done = rolecall("b.jinja", "--rules", "unknown-role-dropped", "--write")
    assert done.status == 0
    text = done.out.decode()
    assert "left     unknown-role-dropped" in text
    assert "Not repaired: the format has no open slot" in text
    assert text.endswith("nothing repaired\n")
    assert "nothing written" in done.err
    assert listed() == ["a.jinja", "b.jinja"]


def test_standard_input_is_read(rolecall: Run) -> None:
    assert rolecall("-", *ASKED, "--json", stdin=BROKEN.encode()).json["jinja"] == MENDED
    config = json.dumps(CONFIG).encode()
    assert rolecall("-", *ASKED, "--json", stdin=config).json["jinja"] == MENDED


def test_fail_on_tells_what_is_left(rolecall: Run) -> None:
    assert rolecall("a.jinja", *ASKED).status == 0
    done = rolecall("a.jinja", *ASKED, "--fail-on", "note")
    assert done.status == 1
    assert done.out


# --- Writing --------------------------------------------------------------------------------------


def test_a_jinja_file_is_replaced_and_kept(rolecall: Run) -> None:
    Path("a.jinja").chmod(0o640)
    done = rolecall("a.jinja", *ASKED, "--write")
    assert done.status == 0
    assert done.err == "written: a.jinja (before: a.jinja.orig)\n"
    assert Path("a.jinja").read_text() == MENDED
    assert Path("a.jinja.orig").read_text() == BROKEN
    assert Path("a.jinja").stat().st_mode & 0o777 == 0o640
    # A second time nothing is to be repaired, and what is kept stays.
    assert rolecall("a.jinja", *ASKED, "--write").status == 0
    assert Path("a.jinja.orig").read_text() == BROKEN
    Path("a.jinja").write_text(BROKEN)
    assert rolecall("a.jinja", *ASKED, "--write").status == 0
    assert listed() == ["a.jinja", "a.jinja.orig", "a.jinja.orig.1"]


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("indent", [None, 4])
def test_only_the_template_of_a_config_changes(
    rolecall: Run, ascii_only: bool, indent: int | None
) -> None:
    broken = BROKEN.replace("a comment", "é")
    mended = MENDED.replace("a comment", "é")
    Path("model").mkdir()
    file = Path("model", "tokenizer_config.json")
    text = json.dumps({**CONFIG, "chat_template": broken}, indent=indent, ensure_ascii=ascii_only)
    text = text.replace("1.5", "1.50")  # no number is spelled anew
    file.write_text(text, encoding="utf-8")
    assert rolecall("model", *ASKED, "--write").status == 0
    spelled = json.dumps(mended, ensure_ascii=ascii_only)
    original = json.dumps(broken, ensure_ascii=ascii_only)
    assert file.read_text(encoding="utf-8") == text.replace(original, spelled)
    assert Path("model", "tokenizer_config.json.orig").read_text(encoding="utf-8") == text
    assert load_template("model").jinja == mended


def test_of_several_templates_in_a_config_the_one_is_replaced(rolecall: Run) -> None:
    named = [{"name": "default", "template": BROKEN}, {"name": "other", "template": BROKEN}]
    Path("tokenizer_config.json").write_text(json.dumps({**CONFIG, "chat_template": named}))
    done = rolecall("tokenizer_config.json", *ASKED, "--template", "other", "--write")
    assert done.status == 0
    found = json.loads(Path("tokenizer_config.json").read_text())["chat_template"]
    assert [one["template"] for one in found] == [BROKEN, MENDED]


def test_a_folders_own_template_file_comes_before_its_config(rolecall: Run) -> None:
    Path("model").mkdir()
    Path("model", "tokenizer_config.json").write_text(json.dumps(CONFIG))
    Path("model", "chat_template.jinja").write_text(BROKEN)
    assert rolecall("model", *ASKED, "--write").status == 0
    assert Path("model", "chat_template.jinja").read_text() == MENDED
    assert json.loads(Path("model", "tokenizer_config.json").read_text()) == CONFIG


def test_a_link_is_replaced_and_what_it_leads_to_is_not(rolecall: Run) -> None:
    """As in the cache of a model hub, whose files are links into a store."""
    Path("store").write_text(BROKEN)
    Path("linked.jinja").symlink_to("store")
    assert rolecall("linked.jinja", *ASKED, "--write").status == 0
    assert Path("store").read_text() == BROKEN
    assert Path("linked.jinja").read_text() == MENDED
    assert Path("linked.jinja.orig").read_text() == BROKEN


def test_ends_of_lines_stay(rolecall: Run) -> None:
    broken = BROKEN.replace("\n", "\r\n")
    Path("a.jinja").write_bytes(broken.encode())
    assert rolecall("a.jinja", *ASKED, "--write").status == 0
    assert Path("a.jinja").read_bytes() == MENDED.replace("\n", "\r\n").encode()


def test_a_gguf_is_not_written_to(rolecall: Run) -> None:
    Path("m.gguf").write_bytes(gguf_bytes({"tokenizer.chat_template": BROKEN}))
    before = Path("m.gguf").read_bytes()
    done = rolecall("m.gguf", *ASKED, "--write")
    assert done.status == 2
    assert not done.out
    assert "chat_template.jinja" in done.err
    assert Path("m.gguf").read_bytes() == before
    assert rolecall("m.gguf", *ASKED, "--diff").out


def test_nothing_is_half_written_where_the_disk_is_full(
    rolecall: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, target: object) -> None:
        if str(target).endswith("a.jinja"):
            raise OSError(28, "No space left on device")
        self.rename(str(target))

    monkeypatch.setattr(Path, "replace", full)
    done = rolecall("a.jinja", *ASKED, "--write")
    assert done.status == 2
    assert not done.out
    assert done.err == "rolecall: cannot write 'a.jinja': No space left on device\n"
    assert listed() == ["a.jinja"]
    assert Path("a.jinja").read_text() == BROKEN


def test_a_file_that_changed_meanwhile_is_not_written_over(tmp_path: Path) -> None:
    file = tmp_path / "a.jinja"
    file.write_text("another one")
    with pytest.raises(InputError, match="does not hold the template that was read any more"):
        write.write(str(file), "default", BROKEN, MENDED)
    assert file.read_text() == "another one"


# --- What is asked wrongly ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nowhere.jinja",), "there is no file or folder 'nowhere.jinja'"),
        (("a.jinja", "--rules", "prefil-closed"), "did you mean 'prefill-closed'"),
        (("a.jinja", "--rules", "a,,b"), "--rules 'a,,b': give names, separated by commas"),
        (("a.jinja", "--rules", "role-word-collision"), "is not repaired by a change"),
        (("a.jinja", "--rules", "name-dropped"), "--allow names"),
        (("a.jinja", "--allow", "name"), "did you mean 'names'"),
        (("a.jinja", "--diff", "--json"), "exclude each other"),
        (("-", "--write"), "standard input is no file to write to"),
        (("a.jinja", "--fail-on", "errors"), "did you mean 'error'"),
        (("a.jinja", "--template", "other"), "there is no template 'other'"),
        (("broken.jinja",), "the template is no Jinja"),
        (("empty",), "holds no chat template"),
    ],
)
def test_what_is_asked_wrongly_is_an_error(
    rolecall: Run, arguments: tuple[str, ...], says: str
) -> None:
    Path("broken.jinja").write_text("{% for %}")
    Path("empty").mkdir()
    done = rolecall(*arguments)
    assert done.status == 2
    assert not done.out
    assert done.err.startswith("rolecall: ")
    assert says in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (b"", "is empty"),
        (b"GGUF\x03", "is a GGUF file"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"{% for %}", "the template is no Jinja"),
        (b'{"bos_token": "<s>"}', "has no 'chat_template'"),
    ],
)
def test_what_standard_input_holds_wrongly_is_an_error(
    rolecall: Run, given: bytes, says: str
) -> None:
    done = rolecall("-", stdin=given)
    assert done.status == 2
    assert says in done.err


def test_progress_is_shown_in_a_terminal(rolecall: Run, tmp_path: Path) -> None:
    shown = in_terminal("repair", "a.jinja", *ASKED, folder=tmp_path)
    assert "repaired generation-prompt-not-trained-prefix" in shown
    assert "comparing" in shown
