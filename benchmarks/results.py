"""What a run writes down: the rows, and what they depend on."""

from __future__ import annotations

import json
import os
import platform
import time
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.row import Row

RESULTS = Path(__file__).with_name("results.json")

PACKAGES = (
    "rolecall", "numpy", "tokenizers", "fastokens", "gigatoken", "transformers", "renderers",
    "mistral-common", "openai-harmony", "jinja2",
)  # fmt: skip


@dataclass
class Results:
    """A run."""

    rows: list[Row] = field(default_factory=list[Row])
    calls: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """Of each contender, its call and what that returns."""
    missing: list[str] = field(default_factory=list[str])
    """What could not be measured, and why."""
    machine: dict[str, Any] = field(default_factory=dict[str, Any])

    def write(self, file: Path) -> None:
        made = {
            "machine": self.machine,
            "calls": self.calls,
            "missing": self.missing,
            "rows": [asdict(row) for row in self.rows],
        }
        file.write_text(json.dumps(made, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def read_results(file: Path = RESULTS) -> Results:
    """What a run wrote."""
    made = json.loads(file.read_text(encoding="utf-8"))
    rows = [Row(**row) for row in made["rows"]]
    return Results(rows, made["calls"], made["missing"], made["machine"])


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    versions: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "date": time.strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "processor": _processor(),
        "cores": len(known_cores()),
        "packages": versions,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    known = dict(line.split(":", 1) for line in lines if ":" in line)
    found = {key.strip(): value.strip() for key, value in known.items()}
    name = found.get("model name", platform.machine())
    return f"{name}, family {found.get('cpu family')}, model {found.get('model')}"


def known_cores() -> list[int]:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))
