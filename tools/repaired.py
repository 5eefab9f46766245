"""What repair makes of the published templates: ``docs/repaired.md``.

python -m tools.repaired RESULTS             repair what it does not hold yet, write the page
python -m tools.repaired RESULTS --every 3   of every third template only
python -m tools.repaired RESULTS --page      write the page from what RESULTS holds

RESULTS is a file of JSON lines, one a template, to which each is added as soon as it is through, so
that an interrupted run goes on where it was. All of them take half an hour of a processor's time.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rolecall.errors import RolecallError
from rolecall.repair import repair
from rolecall.repair.edits import kinds
from rolecall.template.source import Source
from rolecall.template.template import Template
from tests.support.assets import AssetUnavailable
from tests.support.templates import TEMPLATES, Published
from tools.library import DOCS, Row, cell, table
from tools.rules import link

REPAIRED = {rule for kind in kinds().values() for rule in kind.rules}

PAGE = DOCS / "repaired.md"

HEAD = Path(__file__).with_suffix(".md")

LEFT = """
## What is left, and why

"""


def one(found: Published) -> dict[str, Any]:
    """What becomes of a template.

    Raises:
        AssetUnavailable: It cannot be downloaded.
    """
    tokens = dict(found.tokens)
    source = Source(found.name, {"default": found.text}, tokens, (tokens["eos_token"],))
    start = time.process_time()
    try:
        made = repair(Template(source))
    except RolecallError as error:
        return {"name": found.name, "error": str(error)}
    return {
        "name": found.name,
        "seconds": time.process_time() - start,
        # One change may mend what several rules find.
        "repaired": sorted({one.rule for one in made.proof.gone} & REPAIRED),
        "left": {left.rule: left.why for left in made.unrepaired},
        "compared": made.proof.compared,
        "changes": len(made.proof.changes),
        "offered": made.offer is not None,
    }


def run(results: Path, every: int) -> None:
    """Repair what is not in the results yet."""
    done = {row["name"] for row in read(results)}
    names = [name for name, found in TEMPLATES.items() if not found.spec.startswith("npm:")]
    for name in names[::every]:
        if name in done:
            continue
        try:
            row = one(TEMPLATES[name])
        except AssetUnavailable as error:
            sys.stderr.write(f"{error}\n")
            continue
        with results.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(row)}\n")


def read(results: Path) -> list[dict[str, Any]]:
    """The rows of the results, in the order of the templates."""
    if not results.exists():
        return []
    rows = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    order = {name: number for number, name in enumerate(TEMPLATES)}
    return sorted(rows, key=lambda row: order.get(row["name"], len(order)))


def page(rows: Sequence[Mapping[str, Any]]) -> str:
    """The page of these results."""
    through = [row for row in rows if "error" not in row]
    seconds = sorted(row["seconds"] for row in through)
    changed = [row for row in through if row["repaired"]]
    head = HEAD.read_text(encoding="utf-8").format(
        number=len(rows),
        all=len(TEMPLATES),
        slowest=seconds[-1],
        median=max(1.0, seconds[len(seconds) // 2]),
        changed=len(changed),
        clean=sum(not row["repaired"] and not row["left"] for row in through),
        compared=sum(row["compared"] for row in through),
        changes=sum(row["changes"] for row in through),
    )
    named = table(["finding", "templates", "repaired", "left"], list(_by_rule(through)))
    left = table(["template", "finding", "why"], list(_left(through)))
    failed = "".join(f"\n- {row['name']}: {row['error']}" for row in rows if "error" in row)
    return head + named + LEFT + left + (f"\n## Not repaired at all\n{failed}\n" if failed else "")


def _by_rule(rows: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    for rule in dict.fromkeys(rule for kind in kinds().values() for rule in kind.rules):
        mended = [
            row["name"] for row in rows if rule in row["repaired"] and rule not in row["left"]
        ]
        left = [row["name"] for row in rows if rule in row["left"]]
        if mended or left:
            yield [link(rule), str(len(mended) + len(left)), str(len(mended)), str(len(left))]


def _left(rows: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    for row in rows:
        for rule, why in row["left"].items():
            # What one change did in one conversation says little to a reader of many.
            yield [cell(row["name"]), rule, cell(why.partition(" (with one change")[0])]


def main(arguments: Sequence[str] | None = None) -> int:
    """Repair the templates and write the page."""
    parser = argparse.ArgumentParser(prog="python -m tools.repaired")
    parser.add_argument("results", type=Path)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--page", action="store_true")
    given = parser.parse_args(arguments)
    if not given.page:
        run(given.results, given.every)
    PAGE.write_text(page(read(given.results)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
