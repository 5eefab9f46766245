"""The tables of ``docs/speed.md``, made from ``results.json``.

python -m benchmarks.page            write them into the page
python -m benchmarks.page --check    fail where the page says something else
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks.results import Results, read_results
from benchmarks.row import Row
from benchmarks.targets import Case, Outcome, by_case, outcomes
from tools.library import cell, table

PAGE = Path(__file__).parents[1] / "docs/speed.md"

WORDS = 60
"""The average length of messages that the long table is of."""


def figure(number: float) -> str:
    """Three digits, no more."""
    size = abs(number)
    if size >= 1000:
        return f"{round(number, -1):,.0f}"
    if size >= 100:
        return f"{number:.0f}"
    return f"{number:.1f}" if size >= 10 else f"{number:.2f}"


# --- The tables -----------------------------------------------------------------------------------


def machine(results: Results) -> str:
    made = results.machine
    packages = ", ".join(f"{name} {found}" for name, found in made["packages"].items() if found)
    return (
        f"Measured on {made['date']}: {made['processor']}, {made['cores']} cores, "
        f"Python {made['python']}, {packages}."
    )


def _verdict(one: Outcome) -> str:
    if not one.holds:
        return "**no**"
    reach = one.target.reach
    return "yes" if reach is None or not one.target.reached(one.worst[1]) else "yes, and reached"


def held(results: Results) -> str:
    """What must hold, with the worst of all cases."""
    lines: list[list[str]] = []
    for one in outcomes(results.rows):
        (where, worst), (_, best) = one.worst, one.best
        target = one.target
        reach = "" if target.reach is None else f"; reach for {target.reach:g}"
        sign = "≥" if target.at_least else "≤"
        lines.append(
            [
                target.what,
                f"{sign} {target.limit:g} {target.unit}{reach}",
                f"{figure(worst)}: {where}",
                figure(best),
                str(len(one.figures)),
                _verdict(one),
            ]
        )
    return table(["what", "must be", "the worst", "the best", "cases", "holds"], lines)


def by_tokenizer(results: Results) -> str:
    """Each target that is of conversations, its worst case under each tokenizer."""
    rows = [row for row in results.rows if row.what == "throughput"]
    names = list(dict.fromkeys(row.tokenizer for row in rows))
    parts = {
        name: {
            one.target.key: one for one in outcomes(row for row in rows if row.tokenizer == name)
        }
        for name in names
    }
    lines: list[list[str]] = []
    for one in outcomes(rows):
        target = one.target
        sign = "≥" if target.at_least else "≤"
        cells = [
            figure(found.worst[1]) if (found := parts[name].get(target.key)) else "-"
            for name in names
        ]
        lines.append([f"{target.what} ({sign} {target.limit:g} {target.unit})", *cells])
    return table(["the worst case", *names], lines)


def contenders(results: Results, cores: int) -> str:
    """Microseconds a message, of every contender, at one length and over the shapes."""
    cases = {
        case: rows
        for case, rows in by_case(results.rows).items()
        if case.words == WORDS and case.cores == cores and _timed(rows.values())
    }
    names = list(dict.fromkeys(case.tokenizer for case in cases))
    keys = list(dict.fromkeys(key for rows in cases.values() for key in rows))
    lines: list[list[str]] = []
    for key in keys:
        found = [[case, rows[key]] for case, rows in cases.items() if key in rows]
        if not found or found[0][1].what != "throughput":
            continue
        call = results.calls[key][0]
        lines.append(
            [
                f"`{key}`",
                f"`{call}`",
                *(_cells(name, cases, key) for name in names),
                _same_ids(row for _, row in found),
            ]
        )
    return table(["contender", "call", *names, "same ids"], lines)


def _timed(rows: Iterable[Row]) -> bool:
    return any(row.what == "throughput" for row in rows)


def _cells(name: str, cases: dict[Case, dict[str, Row]], key: str) -> str:
    shown = [
        figure(1e6 * rows[key].median) if key in rows else "-"
        for case, rows in cases.items()
        if case.tokenizer == name
    ]
    return " / ".join(shown) if set(shown) != {"-"} else "-"


def _same_ids(rows: Iterator[Row]) -> str:
    known = [row.facts["same_ids"] for row in rows if "same_ids" in row.facts]
    if not known:
        return "-"
    low, high = min(known), max(known)
    return f"{low:g} %" if low == high else f"{low:g} to {high:g} %"


def returns(results: Results) -> str:
    """What each contender gives."""
    return table(
        ["contender", "gives"], [[f"`{key}`", what] for key, (_, what) in results.calls.items()]
    )


def others(results: Results) -> str:
    """What is held against a limit and is no encoding of conversations."""
    lines = [
        [
            row.what,
            ", ".join(filter(None, (row.tokenizer, row.facts.get("format"), row.shape))) or "-",
            row.contender,
            _time(row),
            "-" if row.ratio is None else figure(row.ratio),
        ]
        for row in results.rows
        if row.what not in {"throughput", "profile"}
    ]
    return table(["what", "of", "call", "median", "figure"], lines)


def _time(row: Row) -> str:
    if row.unit != "s":
        return f"{figure(row.median)} {row.unit}"
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if abs(row.median) * factor >= 1:
            return f"{figure(row.median * factor)} {unit}"
    return f"{row.median * 1e9:.0f} ns"


def profile(results: Results) -> str:
    """What the time of `encode_batch` went to."""
    known = [row for row in results.rows if row.what == "profile"]
    kinds = list(dict.fromkeys(kind for row in known for kind in row.facts["shares"]))
    lines = [
        [
            f"{row.tokenizer}, {row.shape}, {row.words} words",
            *(f"{100 * row.facts['shares'].get(kind, 0):.0f} %" for kind in kinds),
        ]
        for row in known
    ]
    return table(["of", *kinds], lines)


def missing(results: Results) -> str:
    """What was not measured, and why."""
    lines = [cell(line) for line in results.missing]
    return "\n".join(f"- {line[:300]}{'…' * (len(line) > 300)}" for line in lines) or "Nothing."


PARTS: dict[str, Callable[[Results], str]] = {
    "machine": machine,
    "held": held,
    "by tokenizer": by_tokenizer,
    "one core": lambda results: contenders(results, 1),
    "both cores": lambda results: contenders(results, 2),
    "returns": returns,
    "others": others,
    "missing": missing,
    "profile": profile,
}


# --- The page -------------------------------------------------------------------------------------


def filled(page: str, results: Results) -> str:
    """The page with every part between its marks made anew."""
    for name, make in PARTS.items():
        begin, end = f"<!-- results: {name} -->", "<!-- end of results -->"
        found = re.search(f"{re.escape(begin)}.*?{re.escape(end)}", page, re.DOTALL)
        if found is None:
            raise ValueError(f"{PAGE.name} has no place for {name!r}")
        made = f"{begin}\n\n{make(results).strip()}\n\n{end}"
        page = page[: found.start()] + made + page[found.end() :]
    return page


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    asked = parser.parse_args(arguments)
    page = PAGE.read_text(encoding="utf-8")
    made = filled(page, read_results())
    if made == page:
        return 0
    if asked.check:
        print(f"{PAGE} is not what results.json gives: run `python -m benchmarks.page`")
        return 1
    PAGE.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
