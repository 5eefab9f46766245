"""The command line: what it writes where, its exit status, and every error whole."""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rolecall as rc
from rolecall.cli import COMMANDS
from rolecall.cli.screen import FAMILIES, colours, show, visible
from tests.support.assets import tokenizer_file
from tests.support.commandline import Done, Run, run
from tests.support.terminal import in_terminal

EXAMPLES = Path(__file__).parents[1] / "examples"
CHAT: list[dict[str, Any]] = [
    {"role": "user", "content": "Name a bird."},
    {"role": "assistant", "content": "The kākāpō 🦜"},
]
TEXT = "<|im_start|>user\nName a bird.<|im_end|>\n<|im_start|>assistant\nThe kākāpō 🦜<|im_end|>\n"
NAMED: list[dict[str, Any]] = [{"role": "user", "name": "Ann", "content": "Hi"}]


@pytest.fixture
def rolecall(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a command in a folder of its own; ``given`` is written to ``chat.json`` first."""
    monkeypatch.chdir(tmp_path)

    def run_here(*arguments: str, given: object = None, stdin: bytes = b"") -> Done:
        if given is not None:
            Path("chat.json").write_text(json.dumps(given), encoding="utf-8")
        return run(*arguments, stdin=stdin)

    return run_here


def process(*arguments: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "rolecall", *arguments]
    return subprocess.run(command, capture_output=True, check=False, **options)


# A pipe.


def test_a_pipe_gets_the_exact_text_and_nothing_else(rolecall: Run) -> None:
    assert rolecall("render", "chat.json", "--format", "chatml", given=CHAT) == (
        0, TEXT.encode(), "",
    )  # fmt: skip


def test_no_newline_is_added_to_a_text_that_ends_in_none(rolecall: Run) -> None:
    done = rolecall("render", "chat.json", "-f", "chatml", "--continue-final-message", given=CHAT)
    assert done.out.decode() == TEXT.removesuffix("<|im_end|>\n")


def test_standard_input_is_read_for_a_dash(rolecall: Run) -> None:
    done = rolecall("render", "-", "--format", "chatml", stdin=json.dumps(CHAT).encode())
    assert done == (0, TEXT.encode(), "")


def test_a_byte_order_mark_is_no_error(rolecall: Run) -> None:
    stdin = b"\xef\xbb\xbf" + json.dumps(CHAT).encode()
    assert rolecall("render", "-", "--format", "chatml", stdin=stdin).out == TEXT.encode()


def test_what_is_lost_is_one_line_each_on_standard_error(rolecall: Run) -> None:
    given = [{"role": "user", "name": "Ann\n\x1b[31m", "content": "Hi"}]
    done = rolecall("render", "chat.json", "-f", "llama-3", "--no-strict", given=given)
    assert done.status == 0
    assert done.err.splitlines() == [
        f"{record}" for record in rc.format("llama-3").render(given, strict=False).lost
    ]
    assert len(done.err.splitlines()) == 1
    assert "\x1b" not in done.err


@pytest.mark.parametrize("colour", [{}, {"FORCE_COLOR": "1"}])
def test_colours_are_never_forced_into_a_pipe(tmp_path: Path, colour: dict[str, str]) -> None:
    file = tmp_path / "chat.json"
    file.write_text(json.dumps(CHAT))
    done = process("render", str(file), "--format", "chatml", env=os.environ | colour)
    assert (done.stdout, done.stderr) == (TEXT.encode(), b"")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_pipe_gets_utf_8_whatever_the_locale_says(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "chat.json"
    file.write_text(json.dumps(CHAT))
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    done = process("render", str(file), "--format", "chatml", env=environment)
    assert done.stdout == TEXT.encode()


@pytest.mark.parametrize("buffering", [{}, {"PYTHONUNBUFFERED": "1"}])
def test_a_closed_pipe_is_no_traceback(buffering: dict[str, str]) -> None:
    given = json.dumps([{"role": "user", "content": "x" * 1_000_000}]).encode()
    running = subprocess.Popen(
        [sys.executable, "-m", "rolecall", "render", "-", "--format", "chatml"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | buffering,
    )
    assert running.stdin is not None
    assert running.stdout is not None
    assert running.stderr is not None
    with running:
        running.stdin.write(given)
        running.stdin.close()
        assert running.stdout.read(10) == b"<|im_start"
        running.stdout.close()
        assert running.stderr.read() == b""
    assert running.returncode == 141


@pytest.mark.parametrize("buffering", [{}, {"PYTHONUNBUFFERED": "1"}])
def test_a_large_text_goes_through_a_pipe_whole(buffering: dict[str, str]) -> None:
    given = json.dumps([{"role": "user", "content": "x" * 1_000_000}]).encode()
    done = process("render", "-", "-f", "chatml", input=given, env=os.environ | buffering)
    assert len(done.stdout) == 1_000_000 + len("<|im_start|>user\n<|im_end|>\n")


def test_several_conversations_need_json_in_a_pipe(rolecall: Run) -> None:
    path = str(EXAMPLES / "chat.jsonl")
    assert rolecall("render", path, "--format", "chatml") == (
        2,
        b"",
        f"rolecall: {path} holds 5 conversations, and their texts would run together in a pipe; use "
        "--json, which writes one object a line\n",
    )
    done = rolecall("render", path, "--format", "chatml", "--no-strict", "--json")
    assert [json.loads(line)["format"] for line in done.out.splitlines()] == ["chatml"] * 5
    assert all(line.startswith(f"{path}, line ") for line in done.err.splitlines())


def test_json_lines_are_recognised_without_their_suffix(rolecall: Run) -> None:
    line = json.dumps(CHAT).encode()
    done = rolecall("render", "-", "-f", "chatml", "--json", stdin=line + b"\n\n" + line + b"\n")
    assert [json.loads(each)["text"] for each in done.out.splitlines()] == [TEXT, TEXT]


def test_nothing_is_written_where_a_later_conversation_fails(rolecall: Run) -> None:
    lines = json.dumps(CHAT).encode() + b"\n" + b'[{"role": "bard", "content": "Oh"}]\n'
    done = rolecall("render", "-", "--format", "chatml", "--json", stdin=lines)
    assert done.status == 2
    assert done.out == b""
    assert done.err == (
        "rolecall: standard input, line 2: message 0, role: the role 'bard' is not declared; say "
        "who authors it with cast={'bard': 'model'} (or 'client', 'owner', 'tool')\n"
        "on the command line: --cast ROLE=AUTHOR, or a key 'cast' in the file\n"
    )


# Arguments.


def test_the_arguments_are_those_of_render(rolecall: Run) -> None:
    def out(*arguments: str, given: object = CHAT) -> str:
        done = rolecall("render", "chat.json", *arguments, given=given)
        assert done.status == 0, done.err
        return done.out.decode()

    fmt = rc.format("chatml")
    ask = CHAT[:1]
    assert out("-f", "chatml", "--add-generation-prompt", given=ask) == fmt.render(
        ask, add_generation_prompt=True
    ).text  # fmt: skip
    assert out("-f", "chatml", "--speaker", "judge", "--cast", "judge=model", given=ask).endswith(
        "<|im_start|>judge\n"
    )
    amy = out(
        "-f", "openchatml-char", "--speaker", "chat:Amy", "--cast", "chat:Amy=model", given=ask
    )
    assert amy.endswith("<|im_start_char|>Amy\n")
    assert out("-f", "chatml", "--speaker-any", given=ask).endswith("<|im_end|>\n<|im_start|>")
    thinking = [*ask, {"role": "assistant", "reasoning_content": "A bird", "content": ""}]
    text = out("-f", "openchatml-0.1", "--continue-final-message=reasoning_content", given=thinking)
    assert text.endswith("A bird")


def test_options_are_read_by_their_declared_type(rolecall: Run) -> None:
    tmp = Path("own.toml")
    tmp.write_text(
        '[turn]\nopen = "<{role}>"\nend = "\\n"\n[turn.model]\nprompt = "{think?(thinks)}"\n'
        'body = "{think?(thinks)}{content}"\n'
        '[options.think]\ndefault = true\ndoc = "Whether to think."\n'
    )
    arguments = ("render", "chat.json", "--format", "./own.toml", "--add-generation-prompt")
    ask = CHAT[:1]
    assert rolecall(*arguments, given=ask).out.endswith(b"<assistant>(thinks)")
    off = rolecall(*arguments, "--option", "think=false", given=ask)
    assert off.out.endswith(b"<assistant>")
    assert rolecall(*arguments, "--option", "think=maybe", given=ask) == (
        2, b"", "rolecall: option think: found 'maybe'; it must be a bool, such as True\n",
    )  # fmt: skip


def test_a_cast_comes_from_files_and_arguments_and_the_later_wins(rolecall: Run) -> None:
    given = [{"role": "bard", "name": "Al=an", "content": "Oh"}]
    Path("list.json").write_text('[{"role": "bard", "author": "client"}]')
    Path("map.json").write_text('{"bard": "tool"}')

    def authors(*cast: str) -> Any:
        options = [word for each in cast for word in ("--cast", each)]
        return rolecall(
            "render", "chat.json", "-f", "chatml", "--no-strict", "--json", *options, given=given
        ).json["authors"]

    assert authors("list.json") == ["client"]
    assert authors("list.json", "map.json") == ["tool"]
    assert authors("map.json", "bard=model") == ["model"]
    assert authors("map.json", "bard:Al=an=client") == ["client"]


def test_tools_replace_those_of_the_file(rolecall: Run) -> None:
    def tool(name: str) -> dict[str, Any]:
        return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}

    Path("tools.json").write_text(json.dumps([tool("second")]))
    given = {"messages": CHAT[:1], "tools": [tool("first")]}
    done = rolecall("render", "chat.json", "-f", "mistral-v3", "--tools", "tools.json", given=given)
    assert b"second" in done.out
    assert b"first" not in done.out


def test_strict_refuses_from_its_level_on(rolecall: Run) -> None:
    arguments = ("render", str(EXAMPLES / "seed3-opening.json"), "--format", "mistral-v3")
    levels = [record.level for record in rc.format("mistral-v3").render(
        json.loads((EXAMPLES / "seed3-opening.json").read_text())
    ).lost]  # fmt: skip
    assert set(levels) == {"warning", "note"}
    for option, status in [
        ("--strict", 0), ("--strict=error", 0), ("--strict=warning", 2), ("--strict=note", 2),
        ("--no-strict", 0),
    ]:  # fmt: skip
        assert rolecall(*arguments, option).status == status, option


def test_fail_on_gives_status_1_and_writes_all_the_same(rolecall: Run) -> None:
    arguments = ("render", str(EXAMPLES / "seed3-opening.json"), "--format", "mistral-v3")
    plain = rolecall(*arguments)
    for level, status in [("note", 1), ("warning", 1), ("error", 0)]:
        done = rolecall(*arguments, "--fail-on", level)
        assert (done.status, done.out) == (status, plain.out)
    assert plain.status == 0


# JSON.


def test_json_holds_everything_of_the_rendering(rolecall: Run) -> None:
    given = {"messages": NAMED, "cast": [{"role": "judge", "author": "model"}]}
    done = rolecall("render", "chat.json", "-f", "llama-3", "--no-strict", "--json", given=given)
    r = rc.format("llama-3").render(given, strict=False)
    assert done.json == {
        "format": "llama-3",
        "text": r.text,
        "segments": [segment._asdict() for segment in r.segments],
        "lost": [record._asdict() for record in r.lost],
        "stop": list(r.stop),
        "cast": [{"role": "judge", "author": "model"}],
        "options": r.format.option_values({}),
        "authors": ["client"],
    }
    assert done.out.endswith(b"}\n")


def test_json_with_a_tokenizer_holds_everything_of_the_encoding(rolecall: Run) -> None:
    path = str(tokenizer_file("qwen3"))
    done = rolecall(
        "render", "chat.json", "-f", "chatml", "--json", "--tokenizer", path,
        "--mask", "message=-1", "--mask", "role=user", "--header",
        given=[{**CHAT[0], "weight": 0.5}, CHAT[1]],
    )  # fmt: skip
    e = rc.format("chatml").render(CHAT).encode(path)
    found = done.json
    assert found["ids"] == e.ids.tolist()
    assert found["message"] == e.message.tolist()
    assert [rc.PARTS.index(part) for part in found["part"]] == e.part.tolist()
    assert found["sampled"] == e.sampled.tolist()
    assert found["straddles"] == e.straddles.tolist()
    assert found["tokens"][:4] == ["<|im_start|>", "user", "\n", "Name"]
    mask = e.mask(message=1, header=True) | e.mask(role="user", header=True)
    assert found["mask"] == mask.tolist()
    weights = [0.5 if index == 0 else 1.0 for index in found["message"]]
    assert found["weights"] == [w * m for w, m in zip(weights, found["mask"], strict=True)]


@pytest.mark.parametrize("name", ["qwen3", "mistral-v3", "mistral-tekken-240718", "gemma-3"])
def test_the_texts_of_the_tokens_join_to_the_text(rolecall: Run, name: str) -> None:
    given = [{"role": "user", "content": "A  cat's life"}, {"role": "assistant", "content": "Yes."}]
    done = rolecall(
        "render", "chat.json", "-f", "mistral-v3", "--json", "--no-strict",
        "--tokenizer", str(tokenizer_file(name)), given=given,
    )  # fmt: skip
    assert done.status == 0
    assert bool(done.json["missing_control"]) == (name in ("qwen3", "gemma-3"))
    assert "".join(done.json["tokens"]) == done.json["text"]


AGENTS = str(EXAMPLES / "agents.json")
LACKING = (
    "warning missing-control: tokenizer.json has no token '<|system|>', '<|chat|>'; add them to "
    "the tokenizer as special tokens, or choose a format this model was trained with; until then "
)


def test_json_has_null_for_control_tokens_that_the_tokenizer_lacks(rolecall: Run) -> None:
    path = str(tokenizer_file("qwen3"))
    arguments = ("render", AGENTS, "-f", "openchatml-role-name", "-t", path, "--json")
    done = rolecall(*arguments, "--mask", "author=model")
    found = done.json
    assert (done.status, done.err) == (0, f"{LACKING}their ids are null\n")
    assert found["missing_control"] == ["<|system|>", "<|chat|>"]
    absent = [
        text for text, token in zip(found["tokens"], found["ids"], strict=True) if token is None
    ]
    assert absent == ["<|system|>", *["<|chat|>"] * 7]
    assert "".join(found["tokens"]) == found["text"]
    assert "missing-control" not in {record["code"] for record in found["lost"]}
    columns = ("message", "part", "sampled", "straddles", "mask", "weights")
    assert {len(found[column]) for column in columns} == {len(found["ids"])}
    for level, status in [("note", 1), ("warning", 1), ("error", 0)]:
        failing = rolecall(*arguments, "--mask", "author=model", "--fail-on", level)
        assert failing == (status, done.out, done.err)


def test_a_tokenizer_that_has_every_control_token_lacks_none(rolecall: Run) -> None:
    path = str(tokenizer_file("qwen3"))
    done = rolecall("render", "chat.json", "-f", "chatml", "-t", path, "--json", given=CHAT)
    assert (done.status, done.err, done.json["missing_control"]) == (0, "", [])
    assert None not in done.json["ids"]


def test_one_missing_token_is_named_once_and_with_its_conversation(rolecall: Run) -> None:
    lines = f"{json.dumps(NAMED)}\n{json.dumps(CHAT)}\n".encode()
    path = str(tokenizer_file("qwen3"))
    arguments = ("render", "-", "-f", "openchatml-char", "-t", path, "--json")
    done = rolecall(*arguments, stdin=lines)
    assert [json.loads(each)["missing_control"] for each in done.out.splitlines()] == [
        ["<|im_start_char|>"], ["<|im_start_char|>"],
    ]  # fmt: skip
    assert done.err.splitlines()[1] == (
        "standard input, line 1: warning missing-control: tokenizer.json has no token "
        "'<|im_start_char|>'; add it to the tokenizer as special tokens, or choose a format this "
        "model was trained with; until then its id is null"
    )


# A terminal.


def test_a_terminal_shows_a_mask_where_the_tokenizer_lacks_control_tokens() -> None:
    path = str(tokenizer_file("qwen3"))
    shown = in_terminal(
        "render", AGENTS, "-f", "openchatml-role-name", "-t", path, "--mask", "author=model",
        NO_COLOR="1",
    )  # fmt: skip
    assert " tokens · " in shown
    assert shown.endswith(f" in the mask\n{LACKING}each counts as one token\n")


@pytest.mark.parametrize("colour", [None, "standard"])
def test_a_legend_breaks_between_its_items_only(colour: Any) -> None:
    from rich.console import Console

    rendering = rc.format("chatml").render(CHAT)
    mask = np.array([segment.sampled for segment in rendering.segments])
    items = ["user (client)", "assistant (model)", "control token", "in the mask"]
    if colour is None:
        items[2:] = ["‹message speaker›", "⟦control token⟧", "⟪in the mask⟫"]
    for width in range(20, 100):
        file = io.StringIO()
        screen = Console(file=file, force_terminal=True, color_system=colour, width=width)
        show(screen, rendering, mask)
        shown = re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue()).partition("\n\n")[2].splitlines()
        legend = shown[: next(at for at, line in enumerate(shown) if line.startswith("chatml ·"))]
        assert [item for line in legend for item in line.split("  ")] == items, width
        assert all(len(line) <= width for line in legend), width


def test_without_colour_a_terminal_gets_marks_and_says_what_they_mean(tmp_path: Path) -> None:
    file = tmp_path / "chat.json"
    file.write_text(json.dumps([{**CHAT[0], "content": "A ⟦bird⟧\x1b[2J?"}, CHAT[1]]))
    command = ("render", str(file), "--format", "chatml", "--mask", "author=model")
    shown = in_terminal(*command, NO_COLOR="1")
    assert shown == (
        "‹0 user›⟦<|im_start|>⟧user\n"
        "A \\u27e6bird\\u27e7\\x1b[2J?⟦<|im_end|>⟧\n"
        "‹1 assistant›⟦<|im_start|>⟧assistant\n"
        "⟪The kākāpō 🦜⟦<|im_end|>⟧⟫\n"
        "\n"
        "user (client)  assistant (model)  ‹message speaker›  ⟦control token⟧\n"
        "⟪in the mask⟫\n"
        "chatml · 86 characters · ends in a newline · stops at <|im_end|>\n"
    )
    assert in_terminal(*command, TERM="dumb") == shown


def test_a_terminal_that_writes_ascii_gets_ascii_marks(tmp_path: Path) -> None:
    file = tmp_path / "chat.json"
    file.write_text(json.dumps(CHAT))
    shown = in_terminal(
        "render", str(file), "-f", "chatml", NO_COLOR="1", PYTHONIOENCODING="ascii", PYTHONUTF8="0"
    )
    assert shown.startswith("{0 user}[[<|im_start|>]]user\nName a bird.[[<|im_end|>]]\n")
    assert "k\\u0101k\\u0101p\\u014d \\U0001f99c" in shown


def test_a_terminal_with_colours_gets_the_text_itself_with_its_control_tokens_marked(
    tmp_path: Path,
) -> None:
    file = tmp_path / "chat.json"
    file.write_text(json.dumps(CHAT))
    shown = in_terminal("render", str(file), "--format", "chatml")
    assert shown.startswith(
        "\x1b[1;4;32m<|im_start|>\x1b[0m\x1b[32muser\x1b[0m\n"
        "\x1b[32mName a bird.\x1b[0m\x1b[1;4;32m<|im_end|>\x1b[0m\n"
        "\x1b[1;4;36m<|im_start|>\x1b[0m\x1b[36massistant\x1b[0m\n"
    )


def test_a_narrow_terminal_wraps_softly_and_loses_no_character(tmp_path: Path) -> None:
    words = "漢字と仮名 and 🦜🦜 " * 20
    file = tmp_path / "chat.json"
    file.write_text(json.dumps([{"role": "user", "content": words}]))
    shown = in_terminal("render", str(file), "--format", "chatml", columns=40, NO_COLOR="1")
    # One line: the terminal breaks it, wherever it is as wide as it is.
    assert shown.splitlines()[1] == f"{words}⟦<|im_end|>⟧"


def test_several_conversations_are_told_apart_by_titles(tmp_path: Path) -> None:
    file = tmp_path / "two.jsonl"
    file.write_text(f"{json.dumps(CHAT)}\n{json.dumps(CHAT)}\n")
    shown = in_terminal("render", file.name, "-f", "chatml", NO_COLOR="1", folder=tmp_path)
    titles = [line for line in shown.splitlines() if line.startswith("─")]
    assert [title.strip("─ ") for title in titles] == [
        "1 of 2: two.jsonl, line 1", "2 of 2: two.jsonl, line 2",
    ]  # fmt: skip
    assert shown.count("⟦control token⟧") == 1


def test_tables_become_lists_where_the_terminal_is_too_narrow() -> None:
    wide, narrow = in_terminal("formats"), in_terminal("formats", columns=40)
    assert wide.splitlines()[0].split() == ["name", "labels", "names", "tools", "reasoning", "append-only"]  # fmt: skip
    assert "\nchatml\n  title ChatML, labels any, names -," in narrow


def test_each_speaker_has_a_colour_of_its_own_which_is_always_the_same() -> None:
    names = ["Ann", "Bob", "Cid", "Dan"]
    given = [("model", "chat", name) for name in names]
    chosen = colours(given)  # type: ignore[arg-type]
    assert len(set(chosen.values())) == len(names)
    assert set(chosen.values()) <= set(FAMILIES["model"])
    assert colours(given[:1])[given[0]] == chosen[given[0]]  # type: ignore[arg-type]
    standard = colours([("owner", "system", None), ("client", "user", None)])
    assert list(standard.values()) == ["magenta", "green"]


def test_the_colours_of_different_authors_are_distinct() -> None:
    every = [colour for family in FAMILIES.values() for colour in family]
    assert len(every) == len(set(every))


def test_what_a_terminal_would_act_on_is_spelled_out() -> None:
    assert visible("a\x1b[2J\x07\r\n\tb\u202e\x9b\ud800") == (
        "a\\x1b[2J\\x07\\r\n\tb\\u202e\\x9b\\ud800"
    )
    # What joins emoji and Arabic letters stays.
    assert visible("👩\u200d🚀 م\u200cب") == "👩\u200d🚀 م\u200cب"


def test_trained_text_is_reversed_where_there_are_colours() -> None:
    from rich.console import Console

    rendering = rc.format("chatml").render(CHAT)
    screen = Console(file=io.StringIO(), force_terminal=True, color_system="standard", width=80)
    masked = [segment.sampled for segment in rendering.segments]
    show(screen, rendering, np.array(masked))
    assert isinstance(screen.file, io.StringIO)
    assert "\x1b[7;36mThe kākāpō 🦜\x1b[0m\x1b[1;4;7;36m<|im_end|>\x1b[0m" in screen.file.getvalue()


# The other commands.


def test_formats_lists_what_is_bundled(rolecall: Run) -> None:
    done = rolecall("formats")
    assert done.status == 0
    lines = done.out.decode().splitlines()
    assert [line.split()[0] for line in lines[1:]] == rc.formats()
    listed = rolecall("formats", "--json").json
    assert [entry["name"] for entry in listed] == rc.formats()
    chatml = next(entry for entry in listed if entry["name"] == "chatml")
    assert chatml["labels"] == ["owner", "client", "model", "tool"]
    assert (chatml["names"], chatml["append_only"], chatml["history_changes"]) == ([], True, [])


def test_compare_as_json_has_an_entry_a_format(rolecall: Run) -> None:
    path = str(tokenizer_file("qwen3"))
    done = rolecall(
        "compare", "chat.json", "--formats", "chatml,openchatml-char", "-t", path, "--json",
        given={"messages": CHAT, "options": {"warmth": 1}},
    )  # fmt: skip
    first, second = [json.loads(line) for line in done.out.splitlines()]
    assert (first["format"], first["missing"], first["error"]) == ("chatml", [], None)
    assert first["ignored_options"] == ["warmth"]
    assert first["turns"][1] == {
        "message": 1, "text": "<|im_start|>assistant\n", "header": 3, "name": 0, "end": 1,
        "other": 1, "structure": 5,
    }  # fmt: skip
    assert second["format"] == "openchatml-char"


def test_without_arguments_the_help_is_shown(rolecall: Run) -> None:
    done = rolecall()
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(b"Usage: rolecall ")
    assert rolecall("--version") == (0, f"rolecall {rc.__version__}\n".encode(), "")


# Bad input. Every message is whole.

JSON_ERRORS: list[tuple[bytes, str]] = [
    (b"", " is empty; give a list of messages, or {messages, tools, cast}"),
    (b" \n ", " is empty; give a list of messages, or {messages, tools, cast}"),
    (b'[{"role": "user"\n "content": 1}]', " is not JSON: expecting ',' delimiter at line 2, column 2"),
    (b"hello", " is not JSON: expecting value at line 1, column 1"),
    (b"[" * 100_000, ": it is nested too deeply"),
    (b'[{"role": "user", "content": "a", "content": "b"}]', ": the key 'content' stands twice in one object"),
    (b'[{"role": "user", "content": "a", "weight": NaN}]', ": NaN is no JSON number"),
    (b'[{"role": "user", "content": "a", "weight": ' + b"1" * 5000 + b"}]", ": a number has too many digits"),
    (b'[{"role": "user", "content": "\xff"}]', " is not UTF-8 text: byte 0xff in line 1 (offset 30)"),
    (b"GGUF\x03\x00\x00\x00\n\x9f\x00", " is not UTF-8 text: byte 0x9f in line 2 (offset 9)"),
    (b'[{"role": "user", "content": "a"}]\n[1\n', " is not JSON: expecting ',' delimiter at line 2, column 3"),
    (b'"hello"', ": conversation, messages: found a string 'hello'; give a list of messages"),
    (b"7", ": conversation, messages: found a value of type int 7; give a list of messages"),
    (b"[7]", ": message 0: found a value of type int 7; a message is an object"),
    (b"[]", ": conversation, messages: there are no messages and nobody is to speak"),
    (b"{}", ": conversation: there is no key 'messages'"),
    (b'{"role": "user", "content": "a"}', ": conversation: unknown key 'role' (known: messages, tools, cast, options)"),
    (b'{"mesages": []}', ": conversation: unknown key 'mesages'; did you mean 'messages'? (known: messages, tools, cast, options)"),
    (b'[{"role": "user", "contnet": "a"}]', ": message 0, 'contnet': unknown key; did you mean 'content'?"),
    (b'[{"role": "user", "content": 7}]', ": message 0, content: found a value of type int 7; it must be a string or a list of typed parts"),
    (b'[{"role": 7, "content": "a"}]', ": message 0, role: found a value of type int 7; it must be a string"),
    (b'[{"role": "user", "content": "\\ud800"}]', ": message 0, content: character 0 is the lone surrogate '\\ud800', which no tokenizer can encode; replace it before rendering"),
    (b'{"messages": [], "cast": [{"role": "\\ud800", "author": "model"}]}', ": conversation, cast: character 0 is the lone surrogate '\\ud800', which no tokenizer can encode; replace it before rendering"),
]  # fmt: skip


@pytest.mark.parametrize(("stdin", "message"), JSON_ERRORS)
def test_input_that_is_no_conversation_is_refused(
    rolecall: Run, stdin: bytes, message: str
) -> None:
    done = rolecall("render", "-", "--format", "chatml", "--json", stdin=stdin)
    assert done == (2, b"", f"rolecall: standard input{message}\n")


def test_deep_values_are_refused_wherever_they_stand(rolecall: Run) -> None:
    deep: list[Any] = []
    for _ in range(800):
        deep = [deep]
    part = {"role": "user", "content": [{"type": "text", "text": deep}]}
    for given in ([deep], [part], {"messages": [], "cast": deep}, {"messages": [], "tools": deep}):
        done = rolecall("render", "chat.json", "--format", "chatml", given=given)
        assert (done.status, done.out) == (2, b"")
        assert done.err.count("\n") <= 3


def test_a_key_of_any_length_makes_no_endless_message(rolecall: Run) -> None:
    done = rolecall("render", "chat.json", "-f", "chatml", given=[{"x" * 100_000: 1}])
    assert done.status == 2
    assert len(done.err) < 1100


FILE_ERRORS: list[tuple[list[str], str]] = [
    (["nope.json"], "cannot read nope.json: No such file or directory"),
    (["folder"], "cannot read folder: Is a directory"),
    (["chat.json", "--format", "chatlm"], "no bundled format is called 'chatlm'; did you mean 'chatml'?; 'rolecall formats' lists them, and a path to a .toml file works too"),
    (["chat.json", "--format", "no.toml"], "cannot read the format file 'no.toml': No such file or directory"),
    (["chat.json", "--format", "./folder"], "the folder 'folder' holds no chat template: neither chat_template.jinja nor tokenizer_config.json nor a .gguf file"),
    (["chat.json", "--format", "binary.toml"], "cannot read the format file 'binary.toml': it is not UTF-8 text"),
    (["chat.json", "--format", "rule.toml"], "rule.toml, line 4: order.first lists authors (owner, client, model, tool)"),
    (["chat.json", "--tokenizer", "nope"], "there is no file 'nope'"),
    (["chat.json", "--tokenizer", "folder"], "the folder 'folder' holds none of tokenizer.json, tekken.json, tokenizer.model, and no .gguf file"),
    (["chat.json", "--tokenizer", "binary.toml"], "binary.toml is no tokenizer: neither a tokenizer.json or tekken.json nor a SentencePiece model"),
    (["chat.json", "--tokenizer", "chat.json"], "chat.json is no tokenizer: neither a tokenizer.json or tekken.json nor a SentencePiece model"),
    (["chat.json", "--tokenizer", "map.json"], "map.json is no tokenizer: it has neither 'model' (tokenizer.json) nor 'vocab' and 'config' (tekken.json)"),
    (["chat.json", "--tools", "nope"], "cannot read nope: No such file or directory"),
    (["chat.json", "--tools", "map.json"], "chat.json: conversation, tools: found an object {'bard': 'model'}; it must be a list of tools"),
    (["chat.json", "--cast", "text.json"], "--cast 'text.json': the file must hold a list of {role, name, author} or an object such as {\"writer\": \"model\"}"),
    (["chat.json", "--cast", "bard"], "cannot read bard: No such file or directory"),
    (["chat.json", "--cast", "bard=modle"], "--cast 'bard=modle': give role=author or role:name=author, where the author is one of owner, client, model, tool; did you mean 'model'?"),
    (["chat.json", "--cast", "bard:=model"], "--cast 'bard:=model': give role=author or role:name=author, where the author is one of owner, client, model, tool"),
    (["chat.json", "--cast", "system=model"], "conversation, cast: the role 'system' belongs to owner and cannot be given to model; choose another label, such as 'system-model'"),
    (["chat.json", "--option", "x"], "--option 'x': give name=value"),
    (["chat.json", "--option", "x=1", "--option", "x=2"], "--option x: it is given twice"),
    (["chat.json", "--option", "bos_tokn=x"], "chatml takes no option 'bos_tokn'; did you mean 'bos_token'? (it takes: bos_token, eos_token)"),
    (["chat.json", "--option", "bos_token=\udcff"], "option bos_token: '\\udcff' holds a lone surrogate"),
    (["chat.json", "--speaker", ":x"], "--speaker ':x': give ROLE or ROLE:NAME"),
    (["chat.json", "--speaker", "x", "--speaker-any"], "--speaker and --speaker-any: give only one of them"),
    (["chat.json", "--mask", "auther=model"], "--mask 'auther=model': give author=…, role=…, name=… or message=N; did you mean 'author'?"),
    (["chat.json", "--mask", "message=x"], "--mask 'message=x': the number of a message is needed, from 0; negative counts from the end"),
    (["chat.json", "--mask", "author=model"], "--mask is shown in a terminal or written with --json; a pipe gets the text alone"),
    (["chat.json", "--mask", "author=model", "--json"], "--mask with --json is a mask of tokens; give --tokenizer too"),
    (["chat.json", "--header"], "--header widens a mask; give --mask too"),
    (["chat.json", "--strict=loud"], "--strict: found 'loud'; give error, warning, note or off"),
    (["chat.json", "--fail-on", "eror"], "--fail-on: found 'eror'; give error, warning or note; did you mean 'error'?"),
    (["chat.json", "--continue-final-message=text"], "--continue-final-message: found 'text'; give content or reasoning_content"),
    (["chat.json", "--continue-final-message", "--add-generation-prompt"], "continue_final_message leaves the final message open, a generation prompt opens another one; give only one of them"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), FILE_ERRORS)
def test_bad_arguments_and_files_are_refused(
    rolecall: Run, arguments: list[str], message: str
) -> None:
    Path("folder").mkdir()
    Path("binary.toml").write_bytes(b"\x00\xff\x00")
    Path("rule.toml").write_text('[turn]\nend = "."\n[order]\nfirst = ["modle"]\n')
    Path("map.json").write_text('{"bard": "model"}')
    Path("text.json").write_text('"x"')
    given = ["--format", "chatml"] if "--format" not in arguments else []
    done = rolecall("render", *arguments, *given, given=CHAT)
    assert done == (2, b"", f"rolecall: {message}\n")


def test_a_format_file_with_an_unknown_key_is_refused_with_the_line(rolecall: Run) -> None:
    Path("own.toml").write_text('title = "x"\n\n[turn]\nopen = "{role}"\nbdy = "a"\n')
    done = rolecall("render", "chat.json", "--format", "own.toml", given=CHAT)
    assert (done.status, done.out) == (2, b"")
    assert done.err.startswith(
        "rolecall: own.toml, line 5: unknown key 'bdy' in [turn]; did you mean 'body'? (known: "
    )


def test_a_refusal_says_how_to_get_the_text_all_the_same(rolecall: Run) -> None:
    given = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "reasoning_content": "c"}]  # fmt: skip
    assert rolecall("render", "chat.json", "--format", "chatml", given=given) == (
        2,
        b"",
        "rolecall: chat.json: message 1, reasoning_content: chatml has no place for the reasoning "
        "of this message [error reasoning-dropped; strict=False renders it all the same]\n"
        "on the command line: --no-strict\n",
    )


USAGE_ERRORS: list[tuple[list[str], str]] = [
    (["rendr"], "no such command 'rendr'; did you mean 'render'?\nsee 'rolecall --help'"),
    (["render", "x.json"], "missing option '--format' / '-f'\nsee 'rolecall render --help'"),
    (["render", "--format", "chatml"], "missing argument 'FILE'\nsee 'rolecall render --help'"),
    (["render", "x.json", "--fromat", "chatml"], "no such option '--fromat'; did you mean '--format'?\nsee 'rolecall render --help'"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), USAGE_ERRORS)
def test_a_wrong_command_line_is_refused(rolecall: Run, arguments: list[str], message: str) -> None:
    assert rolecall(*arguments) == (2, b"", f"rolecall: {message}\n")


def test_compare_refuses_what_it_cannot_compare(rolecall: Run) -> None:
    def error(*arguments: str) -> str:
        done = rolecall("compare", *arguments, given=CHAT)
        assert (done.status, done.out) == (2, b"")
        return done.err

    assert error("chat.json", "--formats", "chatml,chatml", "-t", "x") == (
        "rolecall: --formats: 'chatml' stands twice\n"
    )
    assert error("chat.json", "--formats", "chatml,", "-t", "x") == (
        "rolecall: --formats 'chatml,': give names or paths, separated by commas\n"
    )
    several = str(EXAMPLES / "chat.jsonl")
    assert error(several, "--formats", "chatml", "-t", "x") == (
        f"rolecall: {several} holds 5 conversations; compare takes one\n"
    )
    Path("own.toml").write_text('[turn]\nopen = "{role}: "\nend = "\\n"\n[order]\nfirst = ["model"]\n')  # fmt: skip
    path = str(tokenizer_file("qwen3"))
    assert error("chat.json", "--formats", "./own.toml", "-t", path) == (
        "rolecall: none of the formats can write it; the first says: message 0, role: own has no "
        "way to write a client message (role 'user') first; expected model\n"
    )


@pytest.mark.parametrize(
    ("closed", "message"),
    [
        ("<&-", "cannot read standard input: it is closed"),
        (">&-", "cannot write to standard output: it is closed"),
        (">/dev/full", "cannot write to standard output: No space left on device"),
    ],
)
def test_streams_that_cannot_be_used_are_errors(closed: str, message: str) -> None:
    shell = f'"{sys.executable}" -m rolecall render - --format chatml {closed}'
    done = subprocess.run(
        ["sh", "-c", shell],
        input=None if closed == "<&-" else json.dumps(CHAT).encode(),
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr.decode()) == (2, b"", f"rolecall: {message}\n")  # fmt: skip


def test_a_file_that_may_not_be_read_is_refused(
    rolecall: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert rolecall("render", "secret.json", "--format", "chatml") == (
        2, b"", "rolecall: cannot read secret.json: Permission denied\n",
    )  # fmt: skip


def test_a_plain_rendering_loads_neither_numpy_nor_rich_nor_an_engine(tmp_path: Path) -> None:
    file = tmp_path / "chat.json"
    file.write_text(json.dumps(CHAT))
    script = (
        "import sys; from rolecall.cli import run; "
        f"run(['render', {str(file)!r}, '--format', 'chatml']); "
        "print(sorted({'numpy', 'rich', 'tokenizers', 'jinja2', 'sentencepiece', 'tiktoken'} "
        "& set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.stderr == b"[]\n"


def loaded_by(script: str) -> set[str]:
    """The modules that a script loads in a process of its own."""
    watched = f"import sys; before = {{*sys.modules}}; {script}; print(*{{*sys.modules}} - before)"
    done = subprocess.run(
        [sys.executable, "-c", watched], capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


def test_importing_rolecall_loads_nothing_but_itself() -> None:
    assert loaded_by("import rolecall") - {"__future__"} == {"rolecall"}


def test_public_names_are_no_modules_whichever_is_loaded_first() -> None:
    modules = ("audit", "format", "learn", "repair", "template")
    script = (
        "from importlib import import_module; import rolecall; "
        f"[import_module('rolecall.' + name) for name in {modules!r}]; "
        "found = [getattr(rolecall, name) for name in rolecall.__all__]; "
        "assert not [one for one in found if isinstance(one, type(sys))]; "
        "assert set(rolecall.__all__) <= set(dir(rolecall))"
    )
    assert "rolecall.audit" in loaded_by(script)


def test_there_are_no_other_names() -> None:
    with pytest.raises(AttributeError, match="module 'rolecall' has no attribute 'tokenise'"):
        rc.tokenise  # type: ignore[attr-defined]  # noqa: B018


def test_a_command_loads_no_other_command(tmp_path: Path) -> None:
    file = tmp_path / "chat.json"
    file.write_text(json.dumps(CHAT))
    script = f"from rolecall.cli import run; run(['render', {str(file)!r}, '--format', 'chatml'])"
    found = {name for name in loaded_by(f"{script}; print()") if name.startswith("rolecall.")}
    commands = {f"rolecall.cli.{name}" for name in COMMANDS}
    assert found & commands == {"rolecall.cli.render"}
    others = ("audit", "cards", "export", "learn", "repair", "template", "tokenizers")
    assert not {name.split(".")[1] for name in found} & {*others}


def test_encoding_loads_no_template_engine(tmp_path: Path) -> None:
    file = tmp_path / "chat.json"
    file.write_text(json.dumps(CHAT))
    tokenizer = str(tokenizer_file("qwen3"))
    arguments = ["render", str(file), "--format", "chatml", "--tokenizer", tokenizer]
    found = loaded_by(f"from rolecall.cli import run; run({arguments!r}); print()")
    assert "numpy" in found
    assert not found & {"jinja2", "transformers", "rich", "sentencepiece", "rolecall.template"}
