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
from typing import Any, NamedTuple

from benchmarks.contender import Contender, Conversation
from benchmarks.limit import limit
from benchmarks.loads import Load, few, message_count
from benchmarks.models import MODELS, Model
from benchmarks.ours import ours, templates
from benchmarks.row import Row

WARM_UP = Load("short", 60, 3_000_000)
"""What every engine is given before anything is timed."""

REFERENCES = {True: "encode", False: "encode_batch"}
"""Whose ids the others' are compared with, by whether they are slow."""


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


class Measured(NamedTuple):
    """What is known of one contender under one load."""

    each: list[float]
    """Seconds a message, by round."""
    messages: list[int]
    alike: list[bool]
    """Of each conversation, whether its ids are the reference's."""


class Process:
    """The measuring of one model.

    Args:
        model: The model.
        found: Its contenders.
        loads: The loads. A round goes through all of them, so that whatever else the machine does
            falls on all alike.
        cores: How many cores this process has.
    """

    def __init__(
        self, model: Model, found: Sequence[Contender], loads: Sequence[Load], cores: int
    ) -> None:
        self.model = model
        self.found = found
        self.loads = loads
        self.cores = cores
        self.failed: dict[tuple[Load, str], str] = {}
        self.measured: dict[tuple[Load, str], Measured] = {}

    def warm_up(self) -> None:
        """Fill every engine's cache of words."""
        batch = [self.model.suited(one) for one in WARM_UP.conversations(0)]
        for one in self.found:
            if one.warm:
                one.run(one.prepare(batch))
        # What was loaded stays: collections need not go through it again each time.
        gc.collect()
        gc.freeze()

    def round(self, number: int, load: Load, *, counts: bool) -> None:
        """Time every contender once."""
        batch = [self.model.suited(one) for one in load.conversations(number)]
        some = few(batch)
        rest = batch[len(some) :]
        taking = self.taking(load)
        turned = number % len(taking)
        made: dict[str, list[list[int]]] = {}
        for one in (*taking[turned:], *taking[:turned]):
            if (load, one.key) in self.failed:
                continue
            given = some if one.slow else rest
            try:
                spent, result = self.timed(one, given)
            except Exception as error:  # what a contender refuses is reported, not hidden
                self.failed[load, one.key] = f"{type(error).__name__}: {error}"
                continue
            if one.ids is not None:
                made[one.key] = [list(map(int, ids)) for ids in one.ids(result)]
            del result
            if counts:
                found = self.measured.setdefault((load, one.key), Measured([], [], []))
                found.each.append(spent / message_count(given))
                found.messages.append(message_count(given))
        for one in taking if counts else ():
            own, ids = made.get(REFERENCES[one.slow]), made.get(one.key)
            if own is not None and ids is not None:
                alike = [mine == theirs for mine, theirs in zip(own, ids, strict=True)]
                self.measured[load, one.key].alike.extend(alike)

    def timed(self, one: Contender, conversations: Sequence[Conversation]) -> tuple[float, Any]:
        # On one core, what the processor spent on us: other programs do not count then.
        clock = time.process_time if self.cores == 1 else time.perf_counter
        given = one.prepare(conversations)
        gc.collect()
        begin = clock()
        result = one.run(given)
        return clock() - begin, result

    def taking(self, load: Load) -> list[Contender]:
        with_tools = load.shape == "agent" and self.model.tools
        return [one for one in self.found if one.tools or not with_tools]

    def rows(self) -> list[Row]:
        """What was measured."""
        return [
            self._row(load, key, found)
            for (load, key), found in self.measured.items()
            if (load, key) not in self.failed
        ]

    def _row(self, load: Load, key: str, found: Measured) -> Row:
        facts: dict[str, Any] = {
            "messages": statistics.median(found.messages),
            "each": [round(taken, 12) for taken in found.each],
        }
        if found.alike:
            facts["same_ids"] = round(100 * sum(found.alike) / len(found.alike), 1)
        return Row(
            what="throughput",
            contender=key,
            median=statistics.median(found.each),
            unit="s/message",
            rounds=len(found.each),
            tokenizer=self.model.name,
            shape=load.shape,
            words=load.words,
            cores=self.cores,
            facts=facts,
        )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worker", description=__doc__)
    parser.add_argument("job", help="JSON: model, cores, groups, loads, rounds, keys, learnt")
    parser.add_argument("out", type=Path)
    asked = parser.parse_args()
    job = json.loads(asked.job)
    model = MODELS[job["model"]]
    with tempfile.TemporaryDirectory() as scratch:
        learnt = Path(job["learnt"]) if job.get("learnt") else None
        found, missing = contenders(
            model, job["cores"], job["groups"], job["keys"], Path(scratch), learnt
        )
        loads = [Load(*one) for one in job["loads"]]
        process = Process(model, found, loads, job["cores"])
        process.warm_up()
        for number in range(job["rounds"] + 1):
            for load in loads:
                process.round(number, load, counts=number > 0)
    calls = {one.key: [one.call, one.returns] for one in found}
    missing += [
        f"{model.name}, {load.shape}, {load.words} words, {key}: {why}"
        for (load, key), why in process.failed.items()
    ]
    made = {"rows": [asdict(row) for row in process.rows()], "calls": calls, "missing": missing}
    asked.out.write_text(json.dumps(made), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
