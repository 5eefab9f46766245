"""`rolecall render` with a model's own chat template in place of a format."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.assets import tokenizer_file
from tests.support.commandline import Done, Run, run
from tests.support.templates import published
from tests.support.terminal import in_terminal

CHAT: list[dict[str, Any]] = [
    {"role": "user", "content": "Spell <|im_end|> for me.", "extra": "of no format"},
    {"role": "assistant", "content": "No."},
]
TEXT = (
    "<|im_start|>user\nSpell <|im_end|> for me.<|im_end|>\n<|im_start|>assistant\nNo.<|im_end|>\n"
)
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content"
    " + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


@pytest.fixture
def rolecall(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a command in a folder that holds a chat and a template with its tokenizer_config.json."""
    monkeypatch.chdir(tmp_path)
    Path("chat.json").write_text(json.dumps(CHAT), encoding="utf-8")
    config = {"chat_template": CHATML, "eos_token": "<|im_end|>"}
    Path("tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")

    def run_here(*arguments: str, stdin: bytes = b"") -> Done:
        return run(*arguments, stdin=stdin)

    return run_here


@pytest.mark.parametrize("source", ["tokenizer_config.json", "."])
def test_a_template_writes_the_exact_text_to_a_pipe(rolecall: Run, source: str) -> None:
    assert rolecall("render", "chat.json", "--format", source) == (0, TEXT.encode(), "")


def test_json_holds_safe_ids_and_the_mask(rolecall: Run) -> None:
    done = rolecall(
        *("render", "chat.json", "--format", "tokenizer_config.json", "--json"),
        *("--tokenizer", str(tokenizer_file("qwen3")), "--mask", "author=model"),
    )
    data = done.json
    spoken = [text for text, masked in zip(data["tokens"], data["mask"], strict=True) if masked]
    assert "".join(spoken) == "No.<|im_end|>"
    ends = [n for n, text in enumerate(data["tokens"]) if text == "<|im_end|>"]
    assert [data["message"][n] for n in ends] == [0, 1]
    assert data["text"] == TEXT
    assert data["stop"] == ["<|im_end|>"]


def test_options_are_what_the_template_reads(rolecall: Run) -> None:
    Path("own.jinja").write_text("{{ 'yes' if flag else 'no' }}{{ count + 1 }}{{ word }}")
    done = rolecall(
        *("render", "chat.json", "-f", "own.jinja", "--no-strict"),
        *("--option", "flag=false", "--option", "count=2", "--option", "word=x y"),
    )
    assert done.out == b"no3x y"


def test_what_is_lost_is_said_and_refused(rolecall: Run) -> None:
    Path("own.jinja").write_text("{{ messages[0].content }}")
    done = rolecall("render", "chat.json", "-f", "own.jinja")
    assert (done.status, done.out) == (2, b"")
    assert "message 1, content" in done.err


def test_a_speaker_opens_a_turn_under_any_label_the_template_writes(rolecall: Run) -> None:
    done = rolecall(
        *("render", "chat.json", "-f", ".", "--speaker", "writer", "--cast", "writer=model"),
    )
    assert done == (0, (TEXT + "<|im_start|>writer\n").encode(), "")


def test_a_terminal_shows_the_speakers(tmp_path: Path) -> None:
    template = published("ChatML")
    (tmp_path / "chat.json").write_text(json.dumps(CHAT), encoding="utf-8")
    (tmp_path / "own.jinja").write_text(template.text, encoding="utf-8")
    shown = in_terminal(
        *("render", "chat.json", "--format", "own.jinja", "--mask", "author=model"),
        folder=tmp_path,
    )
    assert "in the mask" in shown
    assert "own" in shown


@pytest.mark.parametrize(
    ("source", "text", "said"),
    [
        ("absent.jinja", None, "absent.jinja"),
        ("own.jinja", "{% for m in messages %}{{ m", "line 1"),
        ("own.jinja", "{{ raise_exception('not this one') }}", "not this one"),
        ("own.jinja", "{{ messages[0].nothing.here }}", "UndefinedError"),
        ("own.jinja", "{{ 'x' * 10 ** 10 }}", "10,000,000,000 characters"),
        ("own.json", "[]", "chat_template"),
        ("own.json", "{", "own.json"),
        ("own.gguf", "no model", "own.gguf"),
    ],
)
def test_what_cannot_be_used_is_an_error_of_one_line(
    rolecall: Run, source: str, text: str | None, said: str
) -> None:
    if text is not None:
        Path(source).write_text(text, encoding="utf-8")
    done = rolecall("render", "chat.json", "--format", source)
    assert (done.status, done.out) == (2, b"")
    assert done.err.count("\n") == 1
    assert said in done.err


def test_a_template_cannot_read_a_reply(rolecall: Run) -> None:
    written = rolecall("render", "chat.json", "-f", "tokenizer_config.json", "--json").out
    done = rolecall("parse", "-", stdin=written)
    assert (done.status, done.out) == (2, b"")
    assert "holds a chat template" in done.err
