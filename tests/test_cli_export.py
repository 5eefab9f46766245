"""`rolecall export`: what it writes where, what it says is lost, and what it refuses."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import rolecall as rc
from rolecall.export import TARGETS
from tests.support.assets import tokenizer_file
from tests.support.commandline import Run, run

FILES = [name for name, target in TARGETS.items() if not target.folder]


@pytest.fixture
def rolecall(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return run


def test_a_pipe_gets_the_one_file_and_nothing_else(rolecall: Run) -> None:
    done = rolecall("export", "chatml", "--to", "kobold")
    assert done.status == 0
    assert done.out.decode() == rc.format("chatml").export("kobold").text
    assert rolecall("export", "chatml", "--to", "kobold", "-o", "-").out == done.out
    assert not list(Path().iterdir())


def test_what_is_lost_and_what_to_do_is_said_one_line_each(rolecall: Run) -> None:
    done = rolecall("export", "chatml", "--to", "kobold")
    made = rc.format("chatml").export("kobold")
    assert done.err.splitlines() == [
        *(str(record) for record in made.lost),
        *(f"kobold: {note}" for note in made.notes),
    ]
    assert done.err.startswith("error result-dropped: conversation, content: KoboldCpp")


@pytest.mark.parametrize("target", FILES)
def test_json_holds_files_losses_and_notes(rolecall: Run, target: str) -> None:
    done = rolecall("export", "qwen3", "--to", target, "--json")
    made = rc.format("qwen3").export(target)
    assert done.status == 0
    assert done.json == {
        "format": "qwen3",
        "target": target,
        "files": dict(made.files),
        "folder": None,
        "lost": [record._asdict() for record in made.lost],
        "notes": list(made.notes),
    }


def test_several_files_need_a_folder_which_is_made(rolecall: Run) -> None:
    refused = rolecall("export", "chatml", "--to", "sillytavern")
    assert (refused.status, refused.out) == (2, b"")
    assert "give a folder with -o, or --json" in refused.err
    done = rolecall("export", "chatml", "--to", "sillytavern", "-o", "presets/chatml")
    assert (done.status, done.out) == (0, b"")
    made = rc.format("chatml").export("sillytavern")
    folder = Path("presets/chatml")
    assert {file.name: file.read_text("utf-8") for file in folder.iterdir()} == dict(made.files)


def test_one_file_goes_to_a_file_or_into_a_folder(rolecall: Run) -> None:
    Path("folder").mkdir()
    rolecall("export", "chatml", "--to", "kobold", "-o", "own.json")
    rolecall("export", "chatml", "--to", "kobold", "-o", "folder")
    text = rc.format("chatml").export("kobold").text
    assert Path("own.json").read_text("utf-8") == text
    assert Path("folder/chatml.json").read_text("utf-8") == text


def test_nothing_is_written_over_without_force(rolecall: Run) -> None:
    Path("presets").mkdir()
    Path("presets/context.json").write_text("mine")
    arguments = ("export", "chatml", "--to", "sillytavern", "-o", "presets")
    refused = rolecall(*arguments)
    assert refused.status == 2
    assert "presets/context.json is there already; --force writes over it" in refused.err
    # Neither the file that is there nor the one that is not was touched.
    assert [file.name for file in Path("presets").iterdir()] == ["context.json"]
    assert Path("presets/context.json").read_text() == "mine"
    assert rolecall(*arguments, "--force").status == 0
    assert json.loads(Path("presets/context.json").read_text("utf-8"))["name"] == "chatml"
    assert sorted(file.name for file in Path("presets").iterdir()) == [
        "context.json",
        "instruct.json",
    ]


def test_a_link_stays_one_and_what_it_points_to_is_written(rolecall: Run) -> None:
    Path("real").mkdir()
    Path("real/template.jinja").write_text("mine")
    Path("link.jinja").symlink_to("real/template.jinja")
    arguments = ("export", "chatml", "--to", "jinja", "-o", "link.jinja")
    assert rolecall(*arguments).status == 2
    assert Path("real/template.jinja").read_text() == "mine"
    assert rolecall(*arguments, "--force").status == 0
    assert Path("link.jinja").is_symlink()
    assert Path("real/template.jinja").read_text("utf-8") == rc.format("chatml").to_jinja()
    assert [file.name for file in Path("real").iterdir()] == ["template.jinja"]


def test_a_device_is_written_to_and_not_replaced(rolecall: Run) -> None:
    """As `-o /dev/null` would, which a test must not try; a pipe is told from a file alike."""
    os.mkfifo("pipe")
    reader = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        for force in ((), ("--force",)):
            done = rolecall("export", "chatml", "--to", "kobold", "-o", "pipe", *force)
            assert done.status == 0, done.err
            assert json.loads(os.read(reader, 1 << 16))["user_end"] == "<|im_end|>\n"
    finally:
        os.close(reader)
    assert Path("pipe").is_fifo()
    assert [file.name for file in Path().iterdir()] == ["pipe"]


def test_options_of_a_format_are_told_from_those_of_a_target(rolecall: Run) -> None:
    names = ("model", "fmt", "target", "options")
    slots = " ".join(f"{{{name}}}" for name in names)
    options = "".join(f'[options.{name}]\ndefault = "d"\n' for name in names)
    source = f'control = ["<e>"]\n{options}[turn]\nopen = "<e>{{role}} {slots}\\n"\nend = "<e>"\n'
    Path("own.toml").write_text(source, encoding="utf-8")
    given = [word for name in names for word in ("--option", f"{name}=my-{name}")]
    done = rolecall("export", "./own.toml", "--to", "ollama", "--model", "m.gguf", *given)
    assert done.status == 0, done.err
    written = done.out.decode()
    assert written.startswith("FROM m.gguf\n")
    assert "<e>user my-model my-fmt my-target my-options\n" in written
    own = rc.format("./own.toml").export("ollama", fmt="a", target="b", options="c")
    assert "<e>user d a b c\n" in own.text


def test_what_cannot_be_written_is_an_error_and_leaves_nothing(rolecall: Run) -> None:
    Path("presets/instruct.json").mkdir(parents=True)
    done = rolecall("export", "chatml", "--to", "sillytavern", "-o", "presets", "--force")
    assert done.status == 2
    assert "cannot write presets/instruct.json: it is a folder" in done.err
    assert [file.name for file in Path("presets").iterdir()] == ["instruct.json"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("chatml", "--to", "olama"), "--to: found 'olama'"),
        (("chatml", "--to", "olama"), "did you mean 'ollama'"),
        (("chatlm", "--to", "ollama"), "did you mean 'chatml'"),
        (("x.jinja", "--to", "ollama"), "holds a chat template"),
        (("-", "--to", "ollama"), "is not read from a pipe"),
        (("chatml", "--to", "kobold", "-o", "no/such.json"), "there is no folder no"),
        (("chatml", "--to", "kobold", "--option", "x=1"), "kobold takes no 'x'"),
        (("chatml", "--to", "kobold", "--option", "speaker=x"), "no such option; give --speaker"),
        (("chatml", "--to", "kobold", "-o", ""), "-o: give a file or a folder"),
        (("chatml", "--to", "kobold", "-o", "x" * 300), "ame too long"),
        (("qwen3", "--to", "kobold", "--option", "enable_thinking=2"), "it must be a bool"),
        (("chatml", "--to", "kobold", "--speaker", "user"), "it is the client's"),
        (("chatml", "--to", "kobold", "--speaker", "judge"), "nobody says who authors it"),
        (("chatml", "--to", "kobold", "--generation-markers"), "--generation-markers: kobold"),
        (("chatml", "--to", "jinja", "--names"), "--names: jinja takes none (it is for"),
        (("chatml", "--to", "kobold", "--rows", "mean"), "--rows: kobold takes none"),
        (("chatml", "--to", "ollama", "--model", "a b"), "is one word"),
        (("qwen3", "--to", "jinja", "--option", "enable_thinking=false"), "as an argument"),
        (("chatml", "--to", "tokenizer-config", "--model", "."), "writes a folder; say which"),
        (("chatml", "--to", "tokenizer-config", "--model", ".", "-o", "-"), "writes a folder"),
        (("chatml", "--to", "tokenizer-config", "-o", "out"), "give model"),
        (("chatml", "--to", "kobold", "--fail-on", "loud"), "--fail-on: found 'loud'"),
        (("chatml",), "missing option '--to'"),
    ],
)
def test_bad_input_is_one_clear_line(rolecall: Run, arguments: tuple[str, ...], said: str) -> None:
    done = rolecall("export", *arguments)
    assert (done.status, done.out) == (2, b"")
    assert done.err.startswith("rolecall: ")
    assert said in done.err.replace("Missing", "missing")
    assert not list(Path().iterdir())


def test_fail_on_writes_nothing_and_says_why(rolecall: Run) -> None:
    done = rolecall("export", "gemma-2", "--to", "ollama", "-o", "Modelfile", "--fail-on", "error")
    assert (done.status, done.out) == (1, b"")
    assert "error system-dropped" in done.err
    assert not Path("Modelfile").exists()
    fine = rolecall("export", "zephyr", "--to", "ollama", "-o", "Modelfile", "--fail-on", "error")
    assert fine.status == 0
    assert Path("Modelfile").exists()


def test_roles_and_options_reach_the_target(rolecall: Run) -> None:
    done = rolecall(
        *("export", "lucid", "--to", "sillytavern", "--speaker", "writer", "--json"),
    )
    instruct = json.loads(done.json["files"]["instruct.json"])
    assert instruct["output_sequence"].startswith("<|start_header_id|>writer character {{name}}")
    done = rolecall(
        *("export", "chatml", "--to", "kobold", "--speaker", "judge", "--user", "witness"),
        *("--cast", "judge=model", "--cast", "witness=client"),
    )
    assert done.json["assistant_start"] == "<|im_start|>judge\n"
    assert done.json["user_start"] == "<|im_start|>witness\n"
    done = rolecall("export", "qwen3", "--to", "kobold", "--option", "enable_thinking=false")
    assert done.json["assistant_gen"].endswith("</think>\n\n")
    done = rolecall("export", "chatml", "--to", "ollama", "--model", "base:7b")
    assert done.out.startswith(b"FROM base:7b\n")
    marked = rolecall("export", "chatml", "--to", "jinja", "--generation-markers")
    plain = rolecall("export", "chatml", "--to", "jinja")
    assert (b"{%- generation" in marked.out, b"{%- generation" in plain.out) == (True, False)


def test_a_model_s_folder_gets_the_tokens_and_the_template(rolecall: Run) -> None:
    model = str(tokenizer_file("qwen3").parent)
    arguments = ("export", "llama-3", "--to", "tokenizer-config", "--model", model, "-o", "out")
    done = rolecall(*arguments, "--json", "--no-reserved", "--rows", "mean")
    assert done.status == 0
    assert done.json["folder"] == "out"
    assert (done.json["files"], done.json["target"]) == ({}, "tokenizer-config")
    added = json.loads(Path("out/tokenizer.json").read_text("utf-8"))["added_tokens"]
    assert {"<|eot_id|>", "<|start_header_id|>"} <= {token["content"] for token in added}
    assert Path("out/chat_template.jinja").read_text("utf-8") == rc.format("llama-3").to_jinja()
    again = rolecall(*arguments)
    assert (again.status, again.out) == (2, b"")
    assert "--force" in again.err
    assert rolecall(*arguments, "--force").status == 0
    both = rolecall(*arguments, "--force", "--map", "a=b", "--reserved")
    assert "--map and --reserved: give only one of them" in both.err


def test_a_format_file_of_one_s_own_is_exported(rolecall: Run) -> None:
    source = rc.format("chatml").path.read_text("utf-8")
    Path("own.toml").write_text(source.replace("<|im_end|>", "<|stop|>"), "utf-8")
    done = rolecall("export", "own.toml", "--to", "kobold")
    assert done.json["user_end"] == "<|stop|>\n"


def test_nothing_heavy_is_loaded_and_it_takes_no_time() -> None:
    heavy = ("numpy", "jinja2", "tokenizers", "transformers", "minijinja", "rich.console")
    code = (
        "import sys, io\n"
        "from rolecall import cli\n"
        f"for target in {FILES!r}:\n"
        "    status = cli.run(['export', 'llama-3.1', '--to', target, '--json'])\n"
        "    assert status == 0, target\n"
        f"found = [name for name in {heavy!r} if name in sys.modules]\n"
        "assert not found, found\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=120)
    began = time.perf_counter()
    for target in FILES:
        rc.format("qwen2.5").export(target)
    # Some ten milliseconds each on one quiet core; the tests share theirs.
    assert time.perf_counter() - began < 3
