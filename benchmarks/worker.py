"""One process of the measuring: one model on one or both cores, some loads, all contenders.

``python -m benchmarks.throughput`` starts it, with the cores and the threads of every engine set
before anything is imported, and reads the JSON that it writes.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.contender import Contender, Conversation
from benchmarks.limit import limit
from benchmarks.loads import Load, few, message_count
from benchmarks.models import MODELS, Model
from benchmarks.ours import ours, templates
from benchmarks.row import Row

REFERENCE = "encode"
"""The contender whose ids the others' are compared with."""


def contenders(
    model: Model,
    cores: int,
    groups: Collection[str],
    keys: Collection[str],
    folder: Path,
    learnt: Path | None,
) -> tuple[list[Contender], list[str]]:
    """The contenders of some groups, and some others by name."""
    makers: dict[str, Callable[[], tuple[list[Contender], list[str]]]] = {
        "limit": lambda: limit(model, cores),
        "ours": lambda: (ours(model, folder), []),
        "templates": lambda: (templates(model, folder, learnt), []),
        "peers": lambda: _peers(model),
    }
    found: list[Contender] = []
    missing: list[str] = []
    for group, make in makers.items():
        if group in groups or keys:
            made, absent = make()
            found += made if group in groups else [one for one in made if one.key in keys]
            missing += absent
    return found, missing


def _peers(model: Model) -> tuple[list[Contender], list[str]]:
    from benchmarks.peers import peers

    return peers(model)


def measure(
    load: Load, model: Model, found: Sequence[Contender], rounds: int, cores: int
) -> tuple[list[Row], list[str]]:
    """The rows of one load."""
    with_tools = load.shape == "agent" and model.tools
    taking = [one for one in found if one.tools or not with_tools]
    seconds: dict[str, list[float]] = {one.key: [] for one in taking}
    sizes: dict[str, list[int]] = {one.key: [] for one in taking}
    alike: dict[str, list[bool]] = {one.key: [] for one in taking}
    failed: dict[str, str] = {}
    for number in range(rounds + 1):
        batch = [model.suited(one) for one in load.conversations(number)]
        some = few(batch)
        made: dict[str, list[list[int]]] = {}
        turned = number % len(taking)
        for one in (*taking[turned:], *taking[:turned]):
            if one.key in failed:
                continue
            given = some if one.slow else batch
            try:
                spent, result = _timed(one, given)
            except Exception as error:  # what a peer refuses is reported, not hidden
                failed[one.key] = f"{type(error).__name__}: {error}"
                continue
            seconds[one.key].append(spent)
            sizes[one.key].append(message_count(given))
            if one.ids is not None:
                made[one.key] = [list(map(int, ids)) for ids in one.ids(result)[: len(some)]]
            del result
        own = made.get(REFERENCE)
        for key, ids in made.items():
            if own is not None:
                alike[key] += [mine == theirs for mine, theirs in zip(own, ids, strict=True)]
    rows = [
        _row(one, load, model, rounds, cores, seconds, sizes, alike)
        for one in taking
        if one.key not in failed
    ]
    lines = [f"{model.name}, {load.shape}, {key}: {why}" for key, why in failed.items()]
    return rows, lines


def _timed(one: Contender, conversations: Sequence[Conversation]) -> tuple[float, Any]:
    given = one.prepare(conversations)
    gc.collect()
    begin = time.perf_counter()
    result = one.run(given)
    return time.perf_counter() - begin, result


def _row(
    one: Contender,
    load: Load,
    model: Model,
    rounds: int,
    cores: int,
    seconds: dict[str, list[float]],
    sizes: dict[str, list[int]],
    alike: dict[str, list[bool]],
) -> Row:
    # The first round is for warming up.
    spent, messages = seconds[one.key][1:], sizes[one.key][1:]
    each = [taken / count for taken, count in zip(spent, messages, strict=True)]
    facts: dict[str, Any] = {
        "messages": statistics.median(messages),
        "each": [round(taken, 12) for taken in each],
    }
    if alike[one.key]:
        facts["same_ids"] = round(100 * sum(alike[one.key]) / len(alike[one.key]), 1)
    return Row(
        what="throughput",
        contender=one.key,
        median=statistics.median(each),
        unit="s/message",
        rounds=rounds,
        tokenizer=model.name,
        shape=load.shape,
        words=load.words,
        cores=cores,
        facts=facts,
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worker", description=__doc__)
    parser.add_argument("job", help="JSON: model, cores, groups, loads, rounds, keys, learnt")
    parser.add_argument("out", type=Path)
    asked = parser.parse_args()
    job = json.loads(asked.job)
    model = MODELS[job["model"]]
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        learnt = Path(job["learnt"]) if job.get("learnt") else None
        found, missing = contenders(
            model, job["cores"], job["groups"], job["keys"], Path(scratch), learnt
        )
        for shape, words, size in job["loads"]:
            more, failed = measure(
                Load(shape, words, size), model, found, job["rounds"], job["cores"]
            )
            rows += more
            missing += failed
    calls = {one.key: [one.call, one.returns] for one in found}
    made = {"rows": [asdict(row) for row in rows], "calls": calls, "missing": missing}
    asked.out.write_text(json.dumps(made), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
