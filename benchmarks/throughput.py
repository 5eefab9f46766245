"""Everything that is measured; run with ``python -m benchmarks.throughput``, or ``make bench``.

Each model is measured in a process of its own, on one core and then on both, with every engine's
threads set before it starts. In every round all contenders are given the same fresh texts, in an
order that rotates; the first round is for warming up.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import Path

from benchmarks.results import RESULTS, Results, known_cores, machine
from benchmarks.row import Row
from benchmarks.targets import Outcome, by_case, outcomes

ROOT = Path(__file__).parents[1]

MODELS = ("qwen3", "llama-3.2", "mistral-nemo", "gemma-3")
ALSO = "gpt-oss"
"""Measured for openai-harmony's sake, with messages of 60 words."""
SHAPES = ("short", "long", "agent")
WORDS = (15, 60, 200)
LOADS = (*product(SHAPES, (15, 60)), ("short", 200))
"""The shapes and lengths that are measured: long messages in short chats alone, to save time."""
GROUPS = ("limit", "ours", "templates", "peers")

ROUNDS = 5

BYTES = 600_000
BOTH_BYTES = 2_000_000
"""Of the texts of a round: on both cores more, for threads to be worth it."""

BOTH_LOADS = (("short", 15), ("short", 60), ("long", 60), ("agent", 60))

MODULES = ("extend_stream", "templates", "start", "memory", "profile")
"""Those that measure something else, each with a function ``rows(rounds)``."""


def run_python(arguments: list[str], cores: int) -> None:
    """Run a module in a process that has so many cores and no thread more."""
    known = known_cores()
    chosen = set(known[-cores:])
    environment = {
        **os.environ,
        "RAYON_NUM_THREADS": str(cores),
        "OMP_NUM_THREADS": str(cores),
        "TOKENIZERS_PARALLELISM": "true" if cores > 1 else "false",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
    }

    def confine() -> None:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, chosen)

    subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, check=True, preexec_fn=confine
    )


def throughput(
    results: Results,
    *,
    models: Iterable[str] = MODELS,
    loads: Iterable[tuple[str, int]] = LOADS,
    cores: int = 1,
    groups: Iterable[str] = GROUPS,
    keys: Iterable[str] = (),
    rounds: int = ROUNDS,
    size: int = BYTES,
    folder: Path,
) -> None:
    """Measure, and put the rows to the results."""
    for model in models:
        job = {
            "model": model,
            "cores": cores,
            "groups": list(groups),
            "keys": list(keys),
            "loads": [[*load, size] for load in loads],
            "rounds": rounds,
            "learnt": str(folder / f"{model}.toml") if (folder / f"{model}.toml").exists() else "",
        }
        _collect(["-m", "benchmarks.worker", json.dumps(job)], results, folder, cores, model)


def _collect(
    arguments: list[str], results: Results, folder: Path, cores: int, name: str
) -> list[Row]:
    out = folder / "out.json"
    begin = time.perf_counter()
    try:
        run_python([*arguments, str(out)], cores)
    except subprocess.CalledProcessError as error:
        results.missing.append(f"{name}: its process ended with status {error.returncode}")
        return []
    made = json.loads(out.read_text(encoding="utf-8"))
    rows = [Row(**row) for row in made["rows"]]
    results.rows += rows
    results.calls |= made.get("calls", {})
    results.missing += [one for one in made["missing"] if one not in results.missing]
    print(f"{name}, cores: {cores}: {time.perf_counter() - begin:.0f} s", file=sys.stderr)
    return rows


def others(results: Results, modules: Iterable[str], rounds: int, folder: Path) -> None:
    """The rows of the other modules, each in a process of its own, on one core."""
    for module in modules:
        code = ["-m", "benchmarks.others", module, str(rounds)]
        _collect(code, results, folder, 1, module)


def show_rows(rows: Iterable[Row], calls: Mapping[str, list[str]]) -> None:
    """Every contender under every load."""
    print(
        f"{'tokenizer':13} {'shape':6} {'words':>5} {'cores':>5} {'contender':24} "
        f"{'µs/message':>11} {'x limit':>8} {'same ids':>8}"
    )
    for case, found in by_case(rows).items():
        limits = [row.median for key, row in found.items() if key.startswith("limit")]
        for row in sorted(found.values(), key=lambda row: row.median):
            if row.what != "throughput":
                continue
            times = f"{row.median / min(limits):8.2f}" if limits else ""
            same = row.facts.get("same_ids")
            print(
                f"{case.tokenizer:13} {case.shape:6} {case.words:5} {case.cores:5} "
                f"{row.contender:24} {1e6 * row.median:11.2f} {times:>8} "
                f"{'' if same is None else f'{same:.1f} %':>8}"
            )


def show_outcomes(found: Iterable[Outcome]) -> None:
    """Whether what must hold holds."""
    for one in found:
        (where, worst), (_, best) = one.worst, one.best
        sign = ">=" if one.target.at_least else "<="
        print(
            f"{'holds' if one.holds else 'FAILS'}  {worst:8.2f} (best {best:.2f}) {sign} "
            f"{one.target.limit:g} {one.target.unit}: {one.target.key}; worst: {where}"
        )


def _arguments() -> argparse.Namespace:
    def words(text: str) -> list[str]:
        return text.split(",")

    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="one tokenizer, three rounds, us and the limit")
    add("--tokenizer", type=words, help=f"some of {','.join(MODELS)}")
    add("--shape", type=words, help=f"some of {','.join(SHAPES)}")
    add("--words", type=words, help=f"averages of a message (default {WORDS})")
    add("--cores", type=words, help="1, 2 or both (default both)")
    add("--only", type=words, help=f"some of {','.join(GROUPS)}, or names of contenders")
    add("--rows", type=words, help=f"measure only some of {','.join(MODULES)}")
    add("--rounds", type=int, help=f"rounds that count (default {ROUNDS})")
    add("--out", type=Path, help="write the results to this file")
    return parser.parse_args()


def main() -> int:
    asked = _arguments()
    results = Results(machine=machine())
    chosen = asked.tokenizer or asked.shape or asked.words or asked.cores or asked.only
    whole = not (chosen or asked.quick or asked.rows)
    rounds = asked.rounds or (3 if asked.quick else ROUNDS)
    named = asked.only or (["limit", "ours"] if asked.quick else list(GROUPS))
    groups = [one for one in named if one in GROUPS]
    keys = [one for one in named if one not in GROUPS]
    models = asked.tokenizer or (MODELS[:1] if asked.quick else MODELS)
    cores = [int(one) for one in asked.cores or ("1" if asked.quick else "12")]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if not asked.rows:
            if "templates" in groups or "learnt" in keys:
                learn(models, folder, results)
            for count in cores:
                both = count > 1
                throughput(
                    results,
                    models=models,
                    loads=_loads(asked, both=both),
                    cores=count,
                    groups=() if both and not asked.only else groups,
                    keys=BATCHES if both and not asked.only else keys,
                    rounds=rounds,
                    size=BOTH_BYTES if both else BYTES,
                    folder=folder,
                )
        if whole:
            throughput(results, models=[ALSO], loads=product(SHAPES, [60]), folder=folder)
        if whole or asked.rows:
            others(results, asked.rows or MODULES, rounds, folder)
    show_rows(results.rows, results.calls)
    print()
    show_outcomes(outcomes(results.rows))
    for line in results.missing:
        print(f"not measured: {line}")
    if asked.out or whole:
        results.write(asked.out or RESULTS)
    return 0


def _loads(asked: argparse.Namespace, *, both: bool) -> list[tuple[str, int]]:
    if asked.words:
        return [*product(asked.shape or SHAPES, map(int, asked.words))]
    known = BOTH_LOADS if both else LOADS
    shapes = asked.shape or SHAPES
    return [
        (shape, words)
        for shape, words in known
        if shape in shapes and (words <= 60 or not asked.quick)
    ]


BATCHES = (
    "limit_fastokens", "limit_gigatoken", "encode_batch", "encode_batch_few", "encode_iter",
    "transformers_list", "transformers_mask_list",
)  # fmt: skip
"""What may use both cores; nobody else does."""


def learn(models: Iterable[str], folder: Path, results: Results) -> None:
    """Write the format that is learnt from each model's template."""
    for model in models:
        try:
            run_python(["-m", "benchmarks.learn", model, str(folder / f"{model}.toml")], 1)
        except subprocess.CalledProcessError as error:
            results.missing.append(f"learning {model}'s template: status {error.returncode}")


if __name__ == "__main__":
    sys.exit(main())
