"""Learns every published template, and writes `docs/learnt-templates.md`: what came of each.

    python -m tools.learned                  every template: about half an hour on two cores
    python -m tools.learned --sample 30      thirty of them, and no page
    python -m tools.learned --only trl/qwen3

What was learnt is proved on conversations from a new seed in each run. Results are kept in a file
(`--results`), so that a run that was stopped goes on where it was.
"""

import argparse
import json
import random
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from rolecall.errors import RolecallError
from rolecall.learn import learn
from rolecall.template.template import Template
from tests.support.assets import AssetUnavailable
from tests.support.templates import MODELS, PAIRS, TEMPLATES, TWINS, published

PAGE = Path("docs/learnt-templates.md")
KINDS = ("plain", "system anywhere", "any order", "tools", "calls", "results", "reasoning")
SIZE = 120
"""How many conversations a proof takes here; fewer than usual, for the sake of time."""
LONGEST = 160
"""Characters of a reason on the page."""

Row = dict[str, Any]


def tried(name: str) -> Row:
    """What came of one template."""
    begun = time.process_time()
    try:
        one = published(name)
        text = one.text
    except AssetUnavailable as error:
        return {"name": name, "unavailable": str(error)}
    row: Row = {"name": name, "claims": {}, "unclaimed": {}, "refused": ""}
    try:
        made = learn(Template.from_text(text, tokens=one.tokens, name=name), size=SIZE)
        row |= {"claims": made.claims, "unclaimed": made.unclaimed, "domain": made.domain}
    except RolecallError as error:
        row["refused"] = str(error)
    row["seconds"] = round(time.process_time() - begun, 1)
    return row


def run(names: Iterable[str], results: Path, workers: int) -> dict[str, Row]:
    """Try templates, and keep what came of each as soon as it is there."""
    known: dict[str, Row] = {}
    if results.exists():
        known = json.loads(results.read_text(encoding="utf-8"))
    waiting = [name for name in names if name not in known]
    with ProcessPoolExecutor(workers) as pool:
        jobs = [pool.submit(tried, name) for name in waiting]
        for job in as_completed(jobs):
            row = job.result()
            known[row["name"]] = row
            scratch = results.with_suffix(".new")
            scratch.write_text(json.dumps(known, indent=1), encoding="utf-8")
            scratch.replace(results)
            print(_line(row), flush=True)
    return known


def _line(row: Mapping[str, Any]) -> str:
    if "unavailable" in row:
        return f"{row['name']}: not to be had"
    said = ", ".join(row["claims"]) or f"refused: {_short(row['refused'], row['name'])}"
    return f"{row['name']} ({row['seconds']} s): {said}"


def _short(reason: str, name: str) -> str:
    text = " ".join(reason.removeprefix(f"{name}: ").removeprefix("it cannot be learnt: ").split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def of_models() -> list[str]:
    """The templates of the models of bundled formats."""
    names = [*MODELS.values(), *(pair.template for pair in PAIRS), *(name for name, _ in TWINS)]
    return sorted({published(name).name for name in names})


NEEDED = (
    "- A key for arguments that are written one by one, each in tags of its own: Qwen3-Coder, "
    "Qwen3.5, GLM-4.5 and later, MiniMax, Seed-OSS, Nemotron 3, Gemma 4. It must be obeyed by "
    "parser, stream and all exports.",
    "- Slots for a tool's description and parameters (Cohere, DeepSeek-V3.x, YandexGPT), and "
    "notations of schemas that are XML or pseudo-code (Gemma 4, Nemotron 3, Qwen3-Coder).",
    "- Arguments as indented or compact JSON (Command R+).",
    "- Variables without which a template refuses every conversation (Firefunction, GigaChat), and "
    "messages with fields of their own (TranslateGemma, K2-Horizon).",
)


def page(rows: Mapping[str, Row]) -> str:
    """The page."""
    had = {name: row for name, row in rows.items() if "unavailable" not in row}
    models = [name for name in of_models() if name in had]
    lines = [
        "# Templates that were learnt",
        "",
        "What `rolecall learn` makes of every public chat template that the tests know, by name. "
        "`python -m tools.learned` writes this page; each run proves on conversations of a new "
        f"seed, here {2 * SIZE} plain ones and {SIZE // 2} of each other kind. How learning works, "
        "and what a claim is: [learning.md](learning.md).",
        "",
        "| | templates | plain | tools | calls | results | reasoning |",
        "|---|---|---|---|---|---|---|",
        _totals("of the models of bundled formats", [had[name] for name in models]),
        _totals("all", list(had.values())),
        "",
        "A template that writes no tools or calls counts here as one that is not learnt for them. "
        f"Of the {_writing(had.values(), 'tools')} that write tool schemas "
        f"{_share(had.values(), 'tools')} are learnt with them, of the "
        f"{_writing(had.values(), 'calls')} that write calls {_share(had.values(), 'calls')}.",
        "",
        "## What the rest would need",
        "",
        *NEEDED,
        "",
        "## Each of them",
        "",
        "| template | " + " | ".join(KINDS) + " | why not |",
        "|---|" + "---|" * len(KINDS) + "---|",
    ]
    lines += [_entry(had[name]) for name in TEMPLATES if name in had]
    missing = [name for name in TEMPLATES if name not in had]
    if missing:
        lines += ["", f"Not tried when this page was written: {', '.join(missing)}."]
    return "\n".join(lines) + "\n"


def _totals(label: str, rows: list[Row]) -> str:
    cells = [label, str(len(rows))]
    for kind in ("plain", "tools", "calls", "results", "reasoning"):
        count = sum(kind in row["claims"] for row in rows)
        cells.append(f"{count} ({100 * count // max(len(rows), 1)} %)")
    return f"| {' | '.join(cells)} |"


NONE = ("it writes no ", "the template writes none")


def _writing(rows: Iterable[Row], kind: str) -> int:
    return sum(
        kind in row["claims"] or not row["unclaimed"].get(kind, NONE[0]).startswith(NONE)
        for row in rows
    )


def _share(rows: Iterable[Row], kind: str) -> str:
    """How many are learnt for a kind, of those that write it at all."""
    rows = list(rows)
    count = sum(kind in row["claims"] for row in rows)
    return f"{count} ({100 * count // max(_writing(rows, kind), 1)} %)"


def _entry(row: Row) -> str:
    marks = ["yes" if kind in row["claims"] else "" for kind in KINDS]
    if row["refused"]:
        why = _short(row["refused"], row["name"])
    else:
        reasons = [
            f"{kind}: {_short(why, row['name'])}"
            for kind, why in row["unclaimed"].items()
            if kind in ("tools", "calls", "results", "reasoning", "parse", "system")
            and kind not in row["claims"]
            and not why.startswith(NONE)
        ]
        why = "; ".join(reasons)
    return f"| {row['name']} | {' | '.join(marks)} | {_cell(why)} |"


def _cell(text: str) -> str:
    """Text that stands in a table of Markdown as it is."""
    shown = text.encode("unicode_escape").decode() if not text.isprintable() else text
    for character in "\\`*_{}[]<>#|~$":
        shown = shown.replace(character, f"\\{character}")
    return shown


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, help="try so many, and write no page")
    parser.add_argument("--only", nargs="+", help="try these, and write no page")
    parser.add_argument("--results", type=Path, default=Path(".cache/learned.json"))
    parser.add_argument(
        "--page", action="store_true", help="write the page from the results that are there"
    )
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    names = given.only or list(TEMPLATES)
    if given.sample:
        names = random.sample(names, given.sample)
    given.results.parent.mkdir(parents=True, exist_ok=True)
    if given.page:
        names = []
    first = {name: number for number, name in enumerate(of_models())}
    names = sorted(names, key=lambda name: first.get(name, len(first)))
    rows = run(names, given.results, given.workers)
    if not given.sample and not given.only:
        PAGE.write_text(page(rows), encoding="utf-8")
        print(f"written: {PAGE}")


if __name__ == "__main__":
    main()
