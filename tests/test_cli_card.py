"""`rolecall card`: what it writes where, its exit status, every error whole, and its page."""

import ast
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rolecall.cards import read_card
from tests.support.cards import picture, text_chunk, v1, v2, v3
from tests.support.commandline import run
from tests.test_docs import run_examples
from tools.library import DOCS, ROOT

CARDS = ROOT / "examples" / "cards"
PAGE = (DOCS / "cards.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def given(card: object, name: str = "card.json") -> str:
    data = card if isinstance(card, bytes) else json.dumps(card).encode()
    Path(name).write_bytes(data)
    return name


def test_the_conversation_goes_to_standard_output_and_what_is_lost_beside_it() -> None:
    name = given(v2(first_mes="Hi {{user}}", creator="C", scenario="{{time}}"))
    done = run("card", name, "--user", "Bo", "--system", "")
    assert done.json == {
        "messages": [
            {"role": "system", "content": "Scenario: {{time}}"},
            {"role": "assistant", "name": "Amy", "content": "Hi Bo", "weight": 0.0},
        ]
    }
    assert done.status == 0
    assert done.err.splitlines() == [
        "note field-dropped: creator: no part of a prompt, so not carried",
        "warning macro-unknown: scenario: '{{time}}' stays as it stands: no card specification has "
        "it, so nobody says what it stands for",
    ]


def test_json_has_everything_on_one_line() -> None:
    card = v3(first_mes="Hi", nickname="A", tags=["t"], alternate_greetings=["x"], creator="C")
    done = run("card", given(card), "--json")
    assert done.err == ""
    (line,) = done.lines
    assert list(line) == ["conversation", "card", "lost"]
    assert line["card"] == {
        "name": "Amy", "nickname": "A", "spec": "v3", "spec_version": "3.0", "greetings": 2,
        "creator": "C", "tags": ["t"],
    }  # fmt: skip
    made = read_card(card).to_conversation()
    assert line["conversation"] == made.conversation.to_wire()
    assert line["lost"] == [record._asdict() for record in made.lost]


def test_options_reach_the_conversation() -> None:
    card = v2(
        first_mes="0", alternate_greetings=["{{roll:6}}"], mes_example="Bo: {{original}}\nCy: c",
        post_history_instructions="P", system_prompt="{{original}}",
    )  # fmt: skip
    options = [
        "--opening",
        "O",
        "--greeting",
        "1",
        "--role",
        "writer",
        "--user-role",
        "player",
        "--seed",
        "4",
    ]
    options += ["--examples", "turns", "--speaker", "Cy", "--system", "S", "--no-post-history"]
    assert run("card", given(card), "--user", "Bo", *options).json == (
        read_card(card)
        .to_conversation(
            user="Bo", greeting=1, role="writer", user_role="player", seed=4, examples="turns",
            speakers=["Cy"], opening="O", system="S", post_history=False,
        )
        .conversation.to_wire()
    )  # fmt: skip
    assert run("card", given(card), "--no-greeting", "--examples", "none").json["messages"] == [
        {"role": "system", "content": run("card", given(v2())).json["messages"][0]["content"]},
        {"role": "system", "content": "P"},
    ]


@pytest.mark.parametrize("data", [b"# Amy\n## Greeting\nHi", picture(text_chunk("ccv3", v3(first_mes="Hi")))])  # fmt: skip
def test_standard_input_is_read_for_a_dash_whatever_kind_it_is(data: bytes) -> None:
    assert run("card", "-", stdin=data).json["messages"][-1]["content"] == "Hi"
    # The name of a file says nothing of its kind.
    assert run("card", given(data, "card.txt")).json["messages"][-1]["content"] == "Hi"


@pytest.mark.parametrize(("level", "status"), [("note", 1), ("warning", 1), ("error", 0)])
def test_fail_on_is_the_exit_status_and_output_is_written_all_the_same(
    level: str, status: int
) -> None:
    done = run("card", given(v1(first_mes="{{roll:6}}")), "--fail-on", level)
    assert (done.status, done.json["messages"][-1]["content"]) == (status, "{{roll:6}}")
    assert run("card", given(v1()), "--fail-on", level).status == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.png"], "none.png: it cannot be read: No such file or directory"),
        (["card.json", "--greeting", "4"], "card.json: greeting: there is no greeting 4; 0 is the first message, and there are no others"),
        (["card.json", "--user", "Amy"], "card.json: user: 'Amy' is the character's own name, and nobody could tell the two apart; give another"),
        (["card.json", "--role", "user"], "card.json: role: 'user' belongs to client; give a label of the model's, such as 'writer'"),
        (["card.json", "--examples", "turn"], "--examples: found 'turn'; give system, turns or none; did you mean 'turns'?"),
        (["card.json", "--fail-on", "all"], "--fail-on: found 'all'; give error, warning or note"),
        (["bad.json"], "bad.json, data.first_mes: found a number 3; it must be a string"),
        (["bad.png"], "bad.png: the picture holds no card: it has no text chunk 'ccv3' or 'chara'. Sites and programs that convert pictures leave it out; take the file as the card's author published it"),
        (["bad.md"], "bad.md: it is neither JSON nor PNG, and as Markdown it has no main heading; begin with a line '# ' and the character's name"),
        (["-"], "standard input: it is empty; give a card in JSON, PNG or Markdown"),
    ],
)  # fmt: skip
def test_an_error_is_one_line_with_status_2_and_nothing_is_written(
    arguments: list[str], said: str
) -> None:
    given(v1())
    given(v2(first_mes=3), "bad.json")
    given(picture(), "bad.png")
    given(b"Amy", "bad.md")
    assert run("card", *arguments) == (2, b"", f"rolecall: {said}\n")


def test_what_a_card_says_cannot_move_the_cursor() -> None:
    done = run("card", given(v1(scenario="{{\x1b[2J}}", **{"\x1b[2J": 1})))
    assert "\x1b" not in done.err
    assert len(done.err.splitlines()) == 2


# --- The page -------------------------------------------------------------------------------------


def pipelines() -> Iterator[tuple[str, str]]:
    """Commands of the page that are pipes, each with what it is said to write."""
    for block in re.findall(r"^```console pipeline\n\$ (.*?)^```$", PAGE, re.M | re.S):
        command, _, output = block.partition("\n")
        yield command, output


def test_the_page_shows_two_pipelines() -> None:
    assert len(list(pipelines())) == 2


@pytest.mark.parametrize(("command", "output"), list(pipelines()))
def test_a_pipeline_of_the_page_writes_what_is_shown(command: str, output: str) -> None:
    data = b""
    for part in command.split(" | "):
        name, *arguments = shlex.split(part)
        assert name == "rolecall"
        done = subprocess.run(
            [sys.executable, "-m", "rolecall", *arguments],
            input=data,
            cwd=ROOT,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        data = done.stdout
    assert data.decode().rstrip("\n") == output.rstrip("\n")


def test_the_python_of_the_page_does_what_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    run_examples("cards.md")


def codes() -> set[tuple[str, str]]:
    """Code and level of every record that is made of a card, from the source."""
    levels = {"_note": "note", "_kept": "warning"}
    found: set[tuple[str, str]] = set()
    for file in (ROOT / "src" / "rolecall" / "cards").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func).rpartition(".")[2]
            constants: list[Any] = [getattr(one, "value", None) for one in node.args[:2]]
            if name in levels and isinstance(constants[0], str):
                found.add((constants[0], levels[name]))
            if name == "Lost" and all(isinstance(one, str) for one in constants):
                found.add((constants[1], constants[0]))
    return found


def test_the_page_lists_every_code() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| (error|warning|note) \|", PAGE, re.M)
    assert len(rows) == len(set(rows))
    assert set(rows) == codes()
