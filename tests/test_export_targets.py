"""Exports to SillyTavern, KoboldCpp, axolotl and llama.cpp, on every bundled format.

What a target makes of the exported files is the format's text, wherever no lost record says
otherwise: SillyTavern and KoboldCpp as `tests.support.presets` reads their files (the long run has
SillyTavern's own published code read them too).
"""

import ast
import json
import random
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

import rolecall as rc
from rolecall.conversation import Author
from rolecall.errors import InputError, RolecallError
from rolecall.export import TARGETS, Exported, axolotl, export, kobold, losses, ollama, tavern
from rolecall.export import frames as frames_module
from rolecall.export.axolotl import yaml as write_yaml
from rolecall.export.frames import Difference, Frames, frames, split
from rolecall.export.losses import writes_reasoning
from rolecall.format import Format
from rolecall.lost import Lost
from tests.conftest import EXAMPLES, PROFILE
from tests.support import presets
from tests.support.assets import asset, package
from tests.test_docs import run_examples
from tools.library import DOCS

FORMATS = rc.formats()
CHATS = EXAMPLES[PROFILE]
FILES = [name for name, target in TARGETS.items() if not target.folder]


@pytest.mark.parametrize("target", FILES)
def test_every_format_exports(target: str) -> None:
    for name in FORMATS:
        fmt = rc.format(name)
        made = fmt.export(target)
        assert made.files
        assert all(made.files.values())
        assert made.text == next(iter(made.files.values()))
        assert all(record.message is None for record in made.lost)
        assert made == export(fmt, target)


# --- Text around contents -------------------------------------------------------------------------


class Comparison:
    """Chats of one format: those that were compared, and why others were not."""

    def __init__(self, fmt: Format, made: Frames, places: list[Difference], moved: list[Lost]):
        self.fmt = fmt
        self.made = made
        self.places = places
        self.moved = moved
        self.count: Counter[str] = Counter()

    def cases(self, count: int, seed: int) -> Any:
        """Chats with the text of the format, those left out that the records are about."""
        rng = random.Random(f"{self.fmt.name} {seed}")
        for messages in presets.chats(rng, count):
            self.name(messages, rng)
            role, name = self.made.roles["model"], ""
            if self.named("model"):
                name = rng.choice(["Amy Lee", "Zoë"])
            try:
                rendering = self.fmt.render(
                    messages, speaker=(role, name) if name else role, strict=False
                )
            except RolecallError:
                self.count["refused by the format"] += 1
                continue
            stand = [turn.message for turn in split(self.fmt, rendering, self.made.bos).turns]
            if presets.is_declared(messages, self.places):
                self.count["declared: written otherwise"] += 1
            elif stand != list(range(len(messages))):
                assert self.moved, (self.fmt.name, messages)
                self.count["declared: moved"] += 1
            else:
                self.count["compared"] += 1
                yield messages, name, rendering.text.removeprefix(self.made.bos)

    def name(self, messages: list[dict[str, str]], rng: random.Random) -> None:
        names: dict[str, tuple[str, ...]] = {"user": ("Bob",), "assistant": ("Amy Lee", "Zoë")}
        for message in messages:
            author: Author = "client" if message["role"] == "user" else "model"
            if message["role"] in names and self.named(author):
                message["name"] = rng.choice(names[message["role"]])

    def named(self, author: Author) -> bool:
        return self.made.names and bool(set(_headers(self.fmt, author)) & {"name", "speaker"})


def _headers(fmt: Format, author: Author) -> list[str]:
    from rolecall.pattern import slots

    return list(slots(fmt.turns[author].open))


def _records(made: Exported, places: list[Difference], moved: list[Lost]) -> None:
    """Whatever a comparison leaves out is a record of the export."""
    assert {place.record for place in places} <= set(made.lost)
    assert set(moved) <= set(made.lost)


@pytest.mark.parametrize("name", FORMATS)
def test_kobold_writes_the_format(name: str) -> None:
    fmt = rc.format(name)
    exported = fmt.export("kobold")
    adapter = json.loads(exported.text)
    made = frames(fmt, {})
    places, moved = kobold.declared(made, adapter)
    _records(exported, places, moved)
    comparison = Comparison(fmt, made, places, moved)
    for messages, _, text in comparison.cases(CHATS, 1):
        assert presets.kobold(adapter, messages) == text, messages
    assert comparison.count["compared"] >= CHATS // 50, comparison.count


@pytest.mark.parametrize("name", FORMATS)
def test_sillytavern_writes_the_format(name: str) -> None:
    fmt = rc.format(name)
    exported = fmt.export("sillytavern")
    instruct, context = _presets(exported)
    made = frames(fmt, {}, names=True)
    places, moved = tavern.declared(made)
    _records(exported, places, moved)
    comparison = Comparison(fmt, made, places, moved)
    for messages, speaker, text in comparison.cases(CHATS, 2):
        chat = presets.tavern_chat(messages, speaker)
        assert presets.tavern(instruct, context, chat) == text, messages
    assert comparison.count["compared"] >= CHATS // 50, comparison.count


def _presets(exported: Exported) -> tuple[dict[str, Any], dict[str, Any]]:
    return (
        json.loads(exported.files["instruct.json"]),
        json.loads(exported.files["context.json"]),
    )


@pytest.mark.full
def test_sillytavern_s_own_code_writes_the_format() -> None:
    requests: list[dict[str, Any]] = []
    expected: list[tuple[str, list[str], tuple[str, ...]]] = []
    for name in FORMATS:
        fmt = rc.format(name)
        instruct, context = _presets(fmt.export("sillytavern"))
        made = frames(fmt, {}, names=True)
        comparison = Comparison(fmt, made, *tavern.declared(made))
        cases = list(comparison.cases(400, 3))
        chats = [presets.tavern_chat(messages, speaker) for messages, speaker, _ in cases]
        requests.append({"instruct": instruct, "context": context, "chats": chats})
        stop = fmt.render(
            [{"role": "user", "content": "x"}], add_generation_prompt=True, strict=False
        ).stop
        expected.append((name, [text for *_, text in cases], stop))
    answers = presets.tavern_code(requests)
    for (name, texts, stop), answer, request in zip(expected, answers, requests, strict=True):
        assert answer["texts"] == texts, name
        assert answer["stops"] == [end for end in stop if "\n" not in end.strip()], name
        # The reader that the short run trusts agrees with it.
        instruct, context = request["instruct"], request["context"]
        assert answer["texts"] == [presets.tavern(instruct, context, c) for c in request["chats"]]


def test_a_planted_change_of_the_format_s_file_shows_in_every_target(tmp_path: Any) -> None:
    source = rc.format("chatml").path.read_text(encoding="utf-8")
    changed = tmp_path / "planted.toml"
    changed.write_text(source.replace("<|im_start|>{role}", "<|im_start|>~{role}~"), "utf-8")
    fmt = rc.format(str(changed))
    for target in FILES:
        text = "".join(str(content) for content in fmt.export(target).files.values())
        assert "<|im_start|>~" in text, target


def test_presets_have_the_keys_of_sillytavern_s_own() -> None:
    # Those of 1.19's "ChatML-Names", as its npm package has them.
    instruct, context = _presets(rc.format("chatml").export("sillytavern"))
    assert set(instruct) == {
        *("input_sequence", "output_sequence", "last_output_sequence", "system_sequence"),
        *("stop_sequence", "wrap", "macro", "names_behavior", "activation_regex"),
        *("first_output_sequence", "skip_examples", "output_suffix", "input_suffix"),
        *("system_suffix", "user_alignment_message", "system_same_as_user"),
        *("last_system_sequence", "first_input_sequence", "last_input_sequence"),
        *("sequences_as_stop_strings", "story_string_prefix", "story_string_suffix", "name"),
    }
    assert set(context) == {
        *("story_string", "example_separator", "chat_start", "use_stop_strings"),
        *("names_as_stop_strings", "story_string_position", "story_string_depth"),
        *("story_string_role", "always_force_name2", "trim_sentences", "single_line", "name"),
    }


@pytest.mark.full
def test_keys_of_presets_are_those_of_the_npm_package() -> None:
    made = rc.format("chatml").export("sillytavern")
    for kind, ours in zip(("instruct", "context"), _presets(made), strict=True):
        spec = f"npm:sillytavern==1.19.0/default/content/presets/{kind}/ChatML-Names.json"
        assert set(json.loads(asset(spec).read_text())) == set(ours)


def test_speakers_of_other_roles_and_without_names() -> None:
    lucid = rc.format("lucid")
    instruct, _ = _presets(lucid.export("sillytavern", speaker="writer"))
    asked = lucid.render([{"role": "user", "content": "x"}], speaker=("writer", "Amy Lee"))
    assert asked.text.endswith(instruct["output_sequence"].replace("{{name}}", "Amy Lee"))
    instruct, _ = _presets(lucid.export("sillytavern", speaker="writer", names=False))
    assert "{{name}}" not in json.dumps(instruct)
    with pytest.raises(InputError, match="nobody says who authors it"):
        rc.format("chatml").export("kobold", speaker="judge")
    adapter = json.loads(
        rc.format("chatml").export("kobold", speaker="judge", cast={"judge": "model"}).text
    )
    assert adapter["assistant_start"] == "<|im_start|>judge\n"


def test_reasoning_of_sillytavern_stands_where_the_format_has_it() -> None:
    for name in FORMATS:
        fmt = rc.format(name)
        if not writes_reasoning(fmt):
            continue
        files = fmt.export("sillytavern").files
        if "reasoning.json" not in files:
            continue
        preset = json.loads(files["reasoning.json"])
        instruct, _ = _presets(fmt.export("sillytavern", names=False))
        reply = {"role": "assistant", "content": "Yes.", "reasoning_content": "Why not?"}
        text = fmt.render([{"role": "user", "content": "Hm?"}, reply]).text
        thought = f"{preset['prefix']}Why not?{preset['suffix']}{preset['separator']}"
        assert f"{instruct['output_sequence']}{thought}Yes." in text


def test_options_are_written_and_unknown_ones_refused() -> None:
    qwen = rc.format("qwen3")
    prompt = json.loads(qwen.export("kobold", enable_thinking=False).text)["assistant_gen"]
    assert prompt == "<|im_start|>assistant\n<think>\n\n</think>\n\n"
    with pytest.raises(InputError, match="did you mean 'enable_thinking'"):
        qwen.export("kobold", enable_thinkin=False)
    with pytest.raises(InputError, match="must be a bool"):
        qwen.export("kobold", enable_thinking="no")
    with pytest.raises(InputError, match="did you mean 'ollama'"):
        qwen.export("olama")


# --- axolotl and llama.cpp ------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
def test_axolotl_s_configuration_reads_back(name: str) -> None:
    fmt = rc.format(name)
    config = yaml.safe_load(fmt.export("axolotl", model="some/model").text)
    assert config["chat_template"] == "jinja"
    assert config["chat_template_jinja"] == fmt.to_jinja()
    assert config["base_model"] == "some/model"
    assert set(config.get("eot_tokens", ())) <= set(fmt.control)
    (dataset,) = config["datasets"]
    assert set(dataset["roles_to_train"]) <= set(dataset["roles"])
    authors = {**fmt.declared, "assistant": "model"}
    assert dataset["roles_to_train"] == [
        role for role in dataset["roles"] if authors.get(role) == "model"
    ]
    special = config.get("special_tokens", {})
    assert {*config.get("tokens", ()), *special.values()} >= set(fmt.control)


def test_yaml_holds_any_text() -> None:
    config = {
        "plain": "word",
        "a: b": "no",
        "lines": "  a\n\n\tb: {c}\n#d",
        "ended": "a\nb\n",
        "twice": "a\n\n",
        "odd": "a\u200b\nb\x07",
        "empty": "",
        "number": 3,
        "flag": True,
        "list": ["<|x|>", "1", "true", "- a"],
        "long": list("abcd"),
        "tables": [{"k": {"x y": ["z"]}, "l": "m\nn"}],
    }
    assert yaml.safe_load(write_yaml(config)) == config


AXOLOTL = "pypi:axolotl==0.19.0/axolotl/utils/schemas/config.py"


def _fields(name: str) -> set[str]:
    """The fields of every model in a file of axolotl's schema, which imports too much to be run."""
    source = asset(AXOLOTL).with_name(name).read_text()
    return {
        item.target.id
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ClassDef)
        for item in node.body
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
    }


@pytest.mark.full
def test_axolotl_s_schema_takes_the_configurations() -> None:
    configs: list[dict[str, Any]] = []
    for name in FORMATS:
        fmt = rc.format(name)
        options = {key: option.default for key, option in fmt.options.items()}
        configs.append(yaml.safe_load(fmt.export("axolotl", model="m", **options).text))
    known = _fields("config.py") | _fields("model.py")
    assert set().union(*configs) <= known
    script = Path(presets.__file__).with_name("axolotl_schema.py")
    command = [sys.executable, script, package(AXOLOTL)]

    def read(given: list[dict[str, Any]]) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            command, input=json.dumps(given).encode(), capture_output=True, check=False
        )

    done = read(configs)
    assert done.returncode == 0, done.stderr.decode()[-1000:]
    broken = {**configs[0], "datasets": [{**configs[0]["datasets"][0], "train_on_eos": "always"}]}
    assert b"train_on_eos" in read([broken]).stderr


def test_llama_cpp_is_told_what_the_template_needs() -> None:
    fmt = rc.format("qwen3")
    made = fmt.export("llama-cpp", model="my model.gguf", enable_thinking=False)
    assert made.files == {"qwen3.jinja": fmt.to_jinja()}
    command = (
        "llama-server -m 'my model.gguf' --jinja --chat-template-file qwen3.jinja "
        """--chat-template-kwargs '{"enable_thinking": false}'"""
    )
    assert made.notes[0].endswith(command)
    (asked,) = [note for note in rc.format("alpaca").export("llama-cpp").notes if "'stop'" in note]
    assert '["### Instruction:"]' in asked


def test_the_python_of_the_page_on_exporting_does_what_is_shown() -> None:
    run_examples("exporting.md")


def test_a_default_system_prompt_that_is_folded_gives_way_to_another(tmp_path: Path) -> None:
    folded = presets.small_format("folded", tmp_path)
    exported = folded.export("sillytavern")
    instruct, context = _presets(exported)
    assert context["story_string"].startswith("<|u|>{{#if system}}{{system}}{{#if anchorBefore}}")
    assert context["story_string"].endswith(" | {{else}}You are nice. | {{/if}}")
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    ]
    for given in (messages, [{"role": "system", "content": "Be brief."}, *messages]):
        chat = presets.tavern_chat(given, "Amy")
        text = folded.render(given, add_generation_prompt=True).text
        assert presets.tavern(instruct, context, chat) == text
    adapter = folded.export("kobold")
    assert json.loads(adapter.text)["user_start"] == "<|u|>"
    assert any("You are nice." in note for note in adapter.notes)


def test_a_brace_before_a_macro_of_the_story_string_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "brace.toml"
    file.write_text(
        'control = ["<u>", "<m>"]\n[turn.client]\nopen = "<u>{"\n[turn.model]\nopen = "<m>"\n',
        encoding="utf-8",
    )
    exported = rc.format(str(file)).export("sillytavern")
    assert _presets(exported)[1]["story_string"].startswith("<u>{{{#if system}}")
    assert [r.code for r in exported.lost if "in story_string for" in r.detail] == ["macro-clash"]


@pytest.fixture(params=presets.SMALL)
def small(request: pytest.FixtureRequest, tmp_path: Path) -> Format:
    return presets.small_format(request.param, tmp_path)


def test_small_formats_are_written_or_said_not_to_be(small: Format) -> None:
    exported = small.export("sillytavern")
    instruct, context = _presets(exported)
    made = frames(small, {}, names=True)
    clashes = [record for record in exported.lost if record.code == "macro-clash"]
    assert bool(clashes) == (small.name == "clash")
    comparison = Comparison(small, made, *tavern.declared(made))
    for messages, speaker, text in comparison.cases(100, 4):
        assert presets.tavern(instruct, context, presets.tavern_chat(messages, speaker)) == text
    adapter = json.loads(small.export("kobold").text)
    other = Comparison(small, frames(small, {}), *kobold.declared(frames(small, {}), adapter))
    for messages, _, text in other.cases(100, 4):
        assert presets.kobold(adapter, messages) == text
    assert comparison.count["compared"] > 10, comparison.count
    assert other.count["compared"] > 10, other.count
    template = presets.modelfile_template(small.export("ollama"))
    assert ('{{ "{{" }} time' in template) == (small.name == "clash")


def test_the_page_on_exporting_lists_every_code_of_the_targets() -> None:
    text = (DOCS / "exporting.md").read_text(encoding="utf-8")
    table = text[text.index("## What records of presets") :].partition("\n## How")[0]
    listed = set(re.findall(r"`([a-z-]+)`", table))
    sources = (tavern, kobold, losses, frames_module, ollama, axolotl)
    found = {
        code
        for module in sources
        for code in re.findall(
            r'(?:Lost\(\s*|code = )(?:"(?:error|warning|note)",\s*)?"([a-z]+-?[a-z-]*)"',
            Path(str(module.__file__)).read_text(encoding="utf-8"),
        )
    }
    used = {
        record.code
        for name in FORMATS
        for target in ("sillytavern", "kobold", "ollama")
        for record in rc.format(name).export(target).lost
    }
    assert used <= listed
    assert found - {"error", "warning", "note"} <= listed
    assert listed <= found | {"system-kept", "system-unmoved"}
