"""The pages on audits do what they show."""

import json
import re
from pathlib import Path

import pytest

import rolecall as rc
from rolecall.audit.finding import KINDS, SEVERITIES
from rolecall.audit.rule import GROUPS, Rule
from rolecall.audit.rules import rules
from tests.support.pages import FENCE, blocks
from tests.test_docs import run_examples
from tools import audits
from tools import rules as rule_page
from tools.library import DOCS, ROOT, StaleError

AUDITING = (DOCS / "auditing.md").read_text(encoding="utf-8")
MISTRAL = (DOCS / "mistral-template.md").read_text(encoding="utf-8")


# --- Auditing -------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the templates that the page writes, as the current one."""
    audits.write_templates(tmp_path, AUDITING)
    assert {file.name for file in tmp_path.iterdir()} == {"chat.jinja", "repaired.jinja"}
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_python_of_the_page_on_auditing_does_what_is_shown(folder: Path) -> None:
    run_examples("auditing.md")


def test_the_commands_of_the_page_on_auditing_write_what_is_shown(folder: Path) -> None:
    assert len(audits.COMMAND.findall(AUDITING)) >= 5
    assert audits.with_sessions(AUDITING, folder) == AUDITING, audits.MEND


def test_a_session_shows_what_commands_write_and_how_they_end(folder: Path) -> None:
    asked = (
        "$ rolecall audit chat.jinja --rules system-mid-dropped,system-raises --json\n$ echo $?\n"
    )
    command, report, echo, status = audits.played(f"{asked}stale\n", folder).splitlines()
    assert f"{command}\n{echo}\n" == asked
    assert [one["rule"] for one in json.loads(report)["findings"]] == ["system-mid-dropped"]
    assert status == "1"
    with pytest.raises(StaleError, match=r"writes an error: .*gone"):
        audits.played("$ rolecall audit gone.jinja\n", folder)
    with pytest.raises(StaleError, match="no command of Rolecall's"):
        audits.played("$ cat chat.jinja\n", folder)


def rows(heading: str, text: str = AUDITING) -> list[str]:
    """The code in the first cells of the table under a heading."""
    section = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)


def test_the_page_on_auditing_explains_every_severity_and_kind() -> None:
    assert rows("How to read a finding") == [*SEVERITIES, *KINDS]


def test_the_page_on_auditing_lists_every_key_of_the_json(folder: Path) -> None:
    silence = {"system-mid-dropped": "known"}
    report = rc.audit("chat.jinja", silence=silence).to_json()
    expected: list[str] = []
    for key, value in report.items():
        if key == "findings":
            expected += [f"findings[].{inner}" for inner in value[0]]
        else:
            expected.append(f"{key}[]" if key in ("silenced", "failures") else key)
    assert rows("As JSON") == [*expected, "error"]


# --- The rules ------------------------------------------------------------------------------------

FIXED = {
    "lost": "system-dropped system-dropped-with-prefill system-dropped-in-tool-loop "
    "system-mid-dropped system-last-dropped second-system-dropped developer-dropped "
    "unknown-role-dropped unknown-role-unlabelled name-dropped reasoning-dropped "
    "text-before-think-lost tool-call-dropped parallel-call-dropped tool-result-dropped "
    "tool-call-id-dropped list-content-dropped list-content-printed none-printed "
    "whitespace-trimmed whitespace-in-prefill-trimmed",
    "refused": "system-raises system-mid-raises developer-raises unknown-role-raises "
    "same-role-twice-raises assistant-first-raises tool-call-id-raises list-content-raises "
    "none-raises",
    "moved": "system-moved default-system-added content-duplicated tools-duplicated "
    "empty-system-differs",
    "generation": "generation-prompt-ignored generation-prompt-not-trained-prefix "
    "generation-prompt-after-assistant prefill-closed history-not-append-only "
    "history-not-append-only-with-reasoning end-of-turn-missing end-of-turn-not-stop bos-missing "
    "bos-twice",
    "security": "content-becomes-control role-becomes-control name-becomes-control "
    "role-word-collision",
    "form": "date-dependent mutates-input json-broken arguments-double-encoded",
}
"""Rules whose names people may rely on, by their group."""


@pytest.mark.parametrize("group", FIXED)
def test_rules_with_fixed_names_are_there_and_stand_in_their_group(group: str) -> None:
    found = {name for name, rule in rules().items() if rule.group == group}
    assert set(FIXED[group].split()) <= found


def test_every_rule_stands_once_in_the_tables_and_once_behind_them() -> None:
    page = rule_page.rules_body()
    listed = re.findall(r"^\| \[([\w-]+)\]\(#\1\) \| (\w+) \|", page, re.MULTILINE)
    headed = re.findall(r"^### ([\w-]+)$", FENCE.sub("", page), re.MULTILINE)
    assert sorted(listed) == sorted((rule.name, rule.severity) for rule in rules().values())
    assert headed == [name for name, _ in listed]


def test_every_group_has_a_title() -> None:
    assert tuple(rule_page.TITLES) == GROUPS


def test_headings_of_a_rule_are_lowered_and_lines_of_code_are_not() -> None:
    page = "What.\n\n## Why\n\n```jinja\n## no heading\n{# nor this #}\n```\n"
    assert rule_page.lowered(page) == (
        "What.\n\n#### Why\n\n```jinja\n## no heading\n{# nor this #}\n```\n"
    )


def test_paragraphs_of_a_rule_stand_on_one_line_and_lists_and_code_keep_theirs() -> None:
    page = "One\ntwo.\n\n- three\n  four\n- five\n\n```jinja\na\nb\n```\n\n## Six\nseven\n"
    assert rule_page.unwrapped(page) == (
        "One two.\n\n- three four\n- five\n\n```jinja\na\nb\n```\n\n## Six\nseven\n"
    )


# --- The Mistral template -------------------------------------------------------------------------


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(ROOT)
    return audits.write_model(tmp_path / "mistral")


def test_the_python_of_the_page_on_the_mistral_template_does_what_is_shown(model: Path) -> None:
    run_examples("mistral-template.md", {"path/to/mistral": model})


def test_the_lines_of_the_page_on_the_mistral_template_stand_in_it() -> None:
    found = audits.mistral()
    assert f"`{found.sha256}…`" in MISTRAL
    assert f"`{Path(found.spec).name}`" in MISTRAL
    assert "xllamacpp==2026.10.11549" in found.spec
    excerpts = [body for kind, body in blocks(MISTRAL) if kind == "jinja excerpt"]
    assert len(excerpts) == 2
    assert all(excerpt in found.text for excerpt in excerpts)


def test_the_findings_on_the_page_of_the_mistral_template_are_those_of_an_audit(
    model: Path,
) -> None:
    report = rc.audit(str(model))
    assert {"system-dropped-with-prefill", "prefill-closed"} <= {
        finding.rule for finding in report.at_least("error")
    }
    assert not report.failures
    assert audits.with_findings(MISTRAL, report) == MISTRAL, audits.MEND
    assert all(audits.said(MISTRAL).values())


def test_a_finding_that_is_new_to_the_page_is_found_and_reasons_stay(model: Path) -> None:
    report = rc.audit(str(model), rules=["prefill-closed", "system-dropped-with-prefill"])
    head, tail = MISTRAL.split(audits.BEGIN)
    empty = head + audits.BEGIN + "| | rule | | |\n| --- | --- | --- | --- |\n" + "\n\nBehind.\n"
    filled = audits.with_findings(empty, report)
    assert filled != empty
    reason = rule_page.why(rules()["prefill-closed"])
    assert audits.said(filled)["prefill-closed", 0] == reason
    changed = filled.replace(reason, "By hand.")
    assert audits.with_findings(changed, report) == changed
    assert changed.endswith("\n\nBehind.\n")
    assert tail


def first_sentence(section: str) -> str:
    return rule_page.why(
        Rule("some", "note", "adds", "moved", "", section, lambda _: (), False, False)
    )


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("One thing. Another.", "One thing."),
        ("Code `a. b` stays,\nalso 1.5 does. Another.", "Code `a. b` stays, also 1.5 does."),
        ("First: second.", "First."),
    ],
)
def test_the_first_sentence_of_why_a_rule_matters(section: str, expected: str) -> None:
    assert first_sentence(f"What.\n\n## Why it matters\n\n{section}\n\n## Example\n") == expected
