"""The page on repairing shows what is written, and what it says of every class is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rolecall.repair.edits import kinds, opt_ins
from tests.test_docs import run_examples
from tools import audits
from tools.library import DOCS, ROOT

PAGE = (DOCS / "repairing.md").read_text(encoding="utf-8")


def test_the_python_of_the_page_does_what_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    model = audits.write_model(tmp_path / "mistral")
    run_examples("repairing.md", {"path/to/mistral": model})


def test_the_commands_of_the_page_write_what_is_shown(tmp_path: Path) -> None:
    audits.write_templates(tmp_path, PAGE)
    assert audits.with_sessions(PAGE, tmp_path) == PAGE


def test_the_table_of_classes_names_every_rule_that_is_repaired_and_every_permission() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and "`" in line]
    named = {name for row in rows for name in re.findall(r"`([\w-]+)`", row)}
    for kind in kinds().values():
        for rule in kind.rules:
            assert rule in named or rule.startswith(("not-portable-", "system-dropped-")), rule
    assert set(opt_ins()) == set(re.findall(r"`--allow ([\w-]+)`", PAGE))
