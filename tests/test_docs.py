"""The documentation does what it shows, and a page that is stale is found."""

import ast
import doctest
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import rolecall as rc
from rolecall.parse import DETAILS
from tests.support import pages
from tests.support.assets import tokenizer_file
from tests.support.pages import blocks, page
from tests.test_pages import line
from tools import docs, links
from tools.library import DOCS, ROOT, Used, used_strategies

PLACEHOLDER = '"path/to/tokenizer.json"'


def block(text: str, kind: str) -> str:
    (found,) = [body for what, body in blocks(text) if what == kind]
    return found + "\n"


def run_examples(name: str, paths: Mapping[str, Path] | None = None) -> None:
    """Run the Python examples of a page, all in one session.

    `paths` are those that stand on the page for some of the reader's.
    """
    text = (DOCS / name).read_text(encoding="utf-8")
    examples = "\n".join(body for kind, body in blocks(text) if kind == "python")
    if PLACEHOLDER in examples:
        examples = examples.replace(PLACEHOLDER, repr(str(tokenizer_file("qwen3"))))
    # The folder holds tokenizer_config.json too, with Qwen3's own template.
    examples = examples.replace('"path/to/model"', repr(str(tokenizer_file("qwen3").parent)))
    for shown, path in (paths or {}).items():
        assert f'"{shown}"' in examples
        examples = examples.replace(f'"{shown}"', repr(str(path)))
    test = doctest.DocTestParser().get_doctest(examples, {}, name, name, 0)
    assert test.examples, f"{name} shows no Python"
    report: list[str] = []
    failed = doctest.DocTestRunner().run(test, out=report.append).failed
    assert not failed, "".join(report)


@pytest.fixture
def parley(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the format that the page on adding one adds, as the folder of formats."""
    text = (DOCS / "adding-a-format.md").read_text(encoding="utf-8")
    (tmp_path / "parley.toml").write_text(block(text, "toml format"), encoding="utf-8")
    (tmp_path / "parley.md").write_text(block(text, "markdown page"), encoding="utf-8")
    # `rolecall.format` is the function; the module of that name is behind it.
    monkeypatch.setattr(sys.modules["rolecall.format"], "FOLDER", tmp_path)
    monkeypatch.setattr(pages, "FOLDER", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_two_files_of_the_page_on_adding_a_format_are_all_a_format_needs(parley: Path) -> None:
    assert rc.formats() == ["parley"]
    shown = page("parley")
    assert len(shown.examples) == 3
    assert any(example.parsed for example in shown.examples)
    for example in shown.examples:
        if example.error is not None:
            with pytest.raises(rc.InputError) as raised:
                example.render()
            assert example.error in str(raised.value)
        else:
            rendering = example.render()
            assert rendering.text == example.text
            assert [line(record) for record in rendering.lost] == list(example.lost)
            for parsed in example.parsed.values():
                assert example.parse().to_wire() == parsed == example.canonical.to_wire()


def test_the_python_of_the_page_on_adding_a_format_does_what_is_shown(parley: Path) -> None:
    run_examples("adding-a-format.md")


def test_the_python_of_the_page_on_concepts_does_what_is_shown() -> None:
    run_examples("concepts.md")


def test_the_python_of_the_page_on_engines_does_what_is_shown() -> None:
    run_examples("engines.md")


def test_the_python_of_the_page_on_counting_headers_does_what_is_shown() -> None:
    run_examples("counting-headers.md")


def test_the_python_of_the_page_on_templates_does_what_is_shown() -> None:
    run_examples("templates.md")


def test_the_python_of_the_page_on_parsing_does_what_is_shown() -> None:
    run_examples("parsing.md")


def test_the_text_of_the_example_is_what_the_format_makes_of_the_conversation() -> None:
    folder = ROOT / "examples"
    given = json.loads((folder / "lighthouse.json").read_text(encoding="utf-8"))
    text = rc.format("chatml-name-attr").render(given["messages"], cast=given["cast"]).text
    assert (folder / "lighthouse.txt").read_text(encoding="utf-8") == text


def codes_of_unread() -> set[tuple[str, str]]:
    """Code and level of every record of what could not be read, from the source."""
    found = {(code, level) for code, (level, _) in DETAILS.items()}
    for file in (ROOT / "src" / "rolecall").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Unread":
                level, code = node.args[:2]
                if isinstance(level, ast.Constant) and isinstance(code, ast.Constant):
                    found.add((str(code.value), str(level.value)))
    return found


def test_the_page_on_parsing_lists_every_code_of_what_cannot_be_read() -> None:
    expected = codes_of_unread()
    assert {"unexpected", "reads-as-call", "foreign-speaker"} <= {code for code, _ in expected}
    text = (DOCS / "parsing.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w-]+)` \| (error|warning|note) \|", text, re.MULTILINE)
    assert len(rows) == len(set(rows))
    assert set(rows) == expected


@pytest.fixture
def written(tmp_path: Path) -> Path:
    docs.write(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", docs.PAGES)
def test_a_generated_page_as_written_is_not_stale(name: str, written: Path) -> None:
    assert docs.stale(written / name, docs.PAGES[name]()) is None


@pytest.mark.parametrize("name", docs.PAGES)
def test_a_changed_page_is_found_with_its_line_and_the_command_that_mends_it(
    name: str, written: Path
) -> None:
    file = written / name
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    file.write_text("".join([*lines[:4], "planted\n", *lines[5:]]), encoding="utf-8")
    fault = docs.stale(file, docs.PAGES[name]())
    assert fault is not None
    first, found, expected = fault.splitlines()
    assert first == (
        f"{file} is stale from line 5; run `make docs` (python -m tools.docs) and commit the result"
    )
    assert found == "  found:    planted"
    assert expected.startswith("  expected: ")


def test_a_missing_page_is_found(tmp_path: Path) -> None:
    fault = docs.stale(tmp_path / "api.md", "text")
    assert fault is not None
    assert fault.endswith(
        "is not there; run `make docs` (python -m tools.docs) and commit the result"
    )


def test_the_table_of_what_was_compared_must_have_a_row_for_every_format(tmp_path: Path) -> None:
    file = tmp_path / "compared.md"
    assert len(docs.check_compared(file)) == 1
    rows = [f"| {docs.page_link(name)} | - |" for name in rc.formats()]
    file.write_text("\n".join(rows[1:]), encoding="utf-8")
    (fault,) = docs.check_compared(file)
    assert f"has no row for {rc.formats()[0]}; run `make check-full`" in fault


def test_a_run_without_records_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(docs.StaleError, match="holds no record of a run"):
        docs.compared_page(tmp_path)


def test_too_many_strategies_with_a_single_user_and_unused_ones_are_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used = used_strategies()
    planted = [Used("KEEP", f"planted-{n}", used[0].strategy, ["one"]) for n in range(7)]
    unused = Used("KEEP", "planted-unused", used[0].strategy, [])
    monkeypatch.setattr(docs.library, "used_strategies", lambda: [*planted, unused])
    monkeypatch.setattr(docs, "FEWEST_STANDARD", 0)
    single, without = docs.check_strategies()
    assert single.startswith("7 strategies have a single user, 6 may: planted-0 (one)")
    assert without == "no format uses the strategy 'planted-unused' of KEEP; remove it"


def test_too_few_formats_without_strategies_of_their_own_are_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(docs.library, "beyond_standard", lambda name: ["planted"])
    assert any(
        fault.startswith("0 formats name none but standard strategies")
        for fault in docs.check_strategies()
    )


def test_broken_links_anchors_and_paths_are_found(tmp_path: Path) -> None:
    other = tmp_path / "other.md"
    other.write_text("# One `word`, two\n", encoding="utf-8")
    file = tmp_path / "page.md"
    file.write_text(
        "[a](other.md#one-word-two) [b](gone.md) [c](other.md#gone) [d](https://example.org/x)\n"
        "`tests/gone.py` and `tests/test_docs.py` and `[INST](x)`\n"
        "```text\n[e](gone-too.md)\n```\n",
        encoding="utf-8",
    )
    assert list(links.broken(file)) == [
        "links to gone.md, which is not there",
        "links to other.md#gone, and there is no such heading",
        "names the file tests/gone.py, which is not there",
    ]


def test_every_page_of_the_repository_is_checked_for_links() -> None:
    checked = {file.relative_to(ROOT).as_posix() for file in links.pages()}
    assert {
        "README.md",
        "CONTRIBUTING.md",
        "docs/concepts.md",
        "docs/adding-a-format.md",
    } <= checked
    assert any(name.startswith("src/rolecall/formats/") for name in checked)
