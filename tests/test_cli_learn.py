"""`rolecall learn`: the file, what is said of it, exit statuses, and every error whole."""

from __future__ import annotations

from pathlib import Path

import pytest

import rolecall as rc
from tests.support.commandline import Done, Run, run

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
ROUNDS = CHATML.replace("{{ m.role }}", "{{ m.role }} {{ loop.index }}")


@pytest.fixture
def rolecall(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run ``rolecall learn`` in a folder of its own, where ``a.jinja`` is ChatML."""
    monkeypatch.chdir(tmp_path)
    Path("a.jinja").write_text(CHATML)

    def run_here(*arguments: str, stdin: bytes = b"") -> Done:
        return run("learn", *arguments, stdin=stdin)

    return run_here


def test_a_file_is_written(rolecall: Run) -> None:
    done = rolecall("a.jinja", "-o", "a.toml", "--seed", "4")
    assert (done.status, done.err) == (0, "written: a.toml\n")
    assert b"proved: plain (2,000 conversations, seed 4)" in done.out
    text = rc.format("a.toml").render([{"role": "user", "content": "Hi"}]).text
    assert text == "<|im_start|>user\nHi<|im_end|>\n"
    assert sorted(path.name for path in Path().iterdir()) == ["a.jinja", "a.toml"]


def test_standard_input_and_output(rolecall: Run) -> None:
    done = rolecall("-", "--seed", "4", stdin=CHATML.encode())
    assert done.status == 0
    assert done.out.startswith(b"# Learnt from the template standard input.")
    assert "proved: plain" in done.err
    Path("b.toml").write_bytes(done.out)
    rc.format("b.toml")


def test_json(rolecall: Run) -> None:
    found = rolecall("a.jinja", "--json", "--seed", "4").json
    assert found["claims"]["plain"] == 2000
    assert found["seed"] == 4
    assert found["toml"].startswith("# Learnt from")
    assert set(found) == {"format", "toml", "claims", "unclaimed", "domain", "seed", "probes"}


def test_what_is_there_is_not_written_over(rolecall: Run) -> None:
    Path("a.toml").write_text("mine")
    done = rolecall("a.jinja", "-o", "a.toml")
    assert done.status == 2
    assert "a.toml is there already; --force writes over it" in done.err
    assert Path("a.toml").read_text() == "mine"
    assert rolecall("a.jinja", "-o", "a.toml", "--force").status == 0
    assert Path("a.toml").read_text() != "mine"


def test_a_template_that_is_refused_leaves_nothing(rolecall: Run) -> None:
    Path("b.jinja").write_text(ROUNDS)
    done = rolecall("b.jinja", "-o", "b.toml")
    assert done.status == 2
    assert "b.jinja: it cannot be learnt" in done.err
    assert "Traceback" not in done.err
    assert done.out == b""
    assert not Path("b.toml").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.jinja"], "none.jinja"),
        (["a.jinja", "-o", "missing/a.toml"], "there is no folder missing"),
        (["a.jinja", "-o", "."], "it is a folder"),
        (["a.jinja", "-o", "a.txt"], "ends in .toml"),
        ([], "TEMPLATE"),
    ],
)
def test_wrong_arguments(rolecall: Run, arguments: list[str], said: str) -> None:
    done = rolecall(*arguments)
    assert done.status == 2
    assert said in done.err
    assert "Traceback" not in done.err
