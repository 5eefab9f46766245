"""Every command that the documentation shows is run, and what it shows is what comes out.

In a block marked ``console`` a line that begins with ``$ `` is a command and the lines below it, up
to the next one, are what it writes to standard output; a command that shows none is only run.
``path/to/tokenizer.json`` stands for Qwen3's tokenizer, ``path/to/NAME/tokenizer.json`` for the
test tokenizer of that name (see ``tests/support/assets.py``); ``path/to/model`` for the folder that
holds Qwen3's with its template, and ``path/to/tokenizer_config.json`` for the file in it. What is
not ours (``make``, ``pip``) is left out. `rolecall audit` may find something and say so by its
status.
"""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.assets import tokenizer_file

ROOT = Path(__file__).parents[1]
# The blocks of these pages are sessions of their own, which tests/test_docs_audit.py and
# tests/test_docs_repair.py run.
SESSIONS = {ROOT / "docs" / "auditing.md", ROOT / "docs" / "repairing.md"}
PAGES = [ROOT / "README.md", *sorted({*(ROOT / "docs").rglob("*.md")} - SESSIONS)]
PLACEHOLDER = re.compile(r"path/to/(?:(?P<name>[\w.-]+)/)?tokenizer\.json")


class Shown(NamedTuple):
    where: str
    command: str
    output: str


def commands(page: Path) -> Iterator[Shown]:
    text = page.read_text(encoding="utf-8")
    for block in re.finditer(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        line = text.count("\n", 0, block.start()) + 2
        for piece in re.split(r"^(?=\$ )", block[1], flags=re.MULTILINE):
            command, _, output = piece.removeprefix("$ ").partition("\n")
            own = command.split("&&")[-1].strip()
            if piece.startswith("$ ") and own.startswith("rolecall"):
                yield Shown(f"{page.relative_to(ROOT)}:{line}", own, output)
            line += piece.count("\n")


SHOWN = [shown for page in PAGES for shown in commands(page)]


def test_the_readme_and_the_page_on_headers_show_commands() -> None:
    pages = {shown.where.rpartition(":")[0] for shown in SHOWN}
    assert {"README.md", "docs/counting-headers.md"} <= pages


@pytest.mark.parametrize("shown", SHOWN, ids=[shown.where for shown in SHOWN])
def test_a_command_of_the_documentation_writes_what_is_shown(shown: Shown) -> None:
    command = PLACEHOLDER.sub(
        lambda found: shlex.quote(str(tokenizer_file(found["name"] or "qwen3"))), shown.command
    )
    model = tokenizer_file("qwen3").parent
    config = model / "tokenizer_config.json"
    command = command.replace("path/to/model", shlex.quote(str(model)))
    command = command.replace("path/to/tokenizer_config.json", shlex.quote(str(config)))
    _, *arguments = shlex.split(command)
    assert not {"|", ">", "<", "\\"} & set(arguments), "only plain commands can be checked"
    done = subprocess.run(
        [sys.executable, "-m", "rolecall", *arguments],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if arguments[0] != "audit" or done.returncode != 1:
        assert (done.returncode, done.stderr if done.returncode else "") == (0, "")
    if shown.output:
        assert done.stdout.rstrip("\n") == shown.output.rstrip("\n")
