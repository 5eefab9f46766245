"""What it takes to begin: the import, and whole processes of the command line.

Processes are started by turns, each with compiled modules at hand, as an installation has them.
What counts is the time of the clock, as whoever waits for a command sees it; the least of some
starts would be the machine's best, so it is their median.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.row import Row
from tests.support.assets import tokenizer_file

ROOT = Path(__file__).parents[1]
CHAT = "examples/seed3-opening.json"
TOKENIZER = "qwen3"

LOAD = (
    "import sys, time; begin = time.perf_counter(); from tokenizers import Tokenizer; "
    "Tokenizer.from_file(sys.argv[1]); print(time.perf_counter() - begin)"
)
"""Prints how long the engine alone takes to load that the command uses for a single chat."""


def rows(rounds: int) -> list[Row]:
    """The import, a format, and `rolecall render` without a tokenizer and with one."""
    tokenizer = str(tokenizer_file(TOKENIZER))
    render = ["-m", "rolecall", "render", CHAT, "--format", "chatml"]
    taken = measure(
        {
            "bare": ["-c", "pass"],
            "import": ["-c", "import rolecall"],
            "format": ["-c", "import rolecall; rolecall.format('chatml')"],
            "cli": render,
            "load": ["-c", LOAD, tokenizer],
            "cli-tokenizer": [*render, "--tokenizer", tokenizer, "--json"],
        },
        # One start says little.
        max(3 * rounds, 9),
    )
    loads = [float(text) for text in taken["load"].printed]
    middle = {name: statistics.median(starts.seconds) for name, starts in taken.items()}
    bare, load = middle["bare"], statistics.median(loads)
    calls = {
        "import": ("import rolecall", middle["import"] - bare),
        "import-format": ("import rolecall; rolecall.format", middle["format"] - bare),
        "cli": ("rolecall render", middle["cli"]),
        "cli-tokenizer": ("rolecall render --tokenizer", middle["cli-tokenizer"] - load),
    }
    facts = {"bare_ms": 1e3 * bare, "load_ms": 1e3 * load}
    limited = ("import", "cli", "cli-tokenizer")
    return [
        Row(
            what=what,
            contender=call,
            median=seconds,
            rounds=len(loads),
            tokenizer=TOKENIZER if what == "cli-tokenizer" else "",
            ratio=1e3 * seconds if what in limited else None,
            facts=facts,
        )
        for what, (call, seconds) in calls.items()
    ]


class Starts:
    """What several starts of one process took and printed."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.printed: list[str] = []


def measure(commands: Mapping[str, Sequence[str]], rounds: int) -> dict[str, Starts]:
    """Start each of these with Python, by turns; the first turn compiles and is left out."""
    taken = {name: Starts() for name in commands}
    # Compiled modules are kept, whatever this shell says.
    environment = {
        name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
    }
    with tempfile.TemporaryDirectory() as bytecode:
        environment["PYTHONPYCACHEPREFIX"] = bytecode
        for number in range(rounds + 1):
            for name, arguments in commands.items():
                begin = time.perf_counter()
                done = subprocess.run(
                    [sys.executable, *arguments],
                    cwd=ROOT,
                    env=environment,
                    check=True,
                    stdout=subprocess.PIPE,
                    text=True,
                )
                if number:
                    taken[name].seconds.append(time.perf_counter() - begin)
                    taken[name].printed.append(done.stdout)
    return taken


def show(found: Sequence[Row]) -> None:
    for row in found:
        print(f"{row.contender:34} {1e3 * row.median:7.1f} ms  {json.dumps(row.facts)}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="a third of the starts (default 5)")
    show(rows(parser.parse_args().rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
