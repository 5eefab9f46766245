"""The rows of a module that measures something of its own: ``… MODULE ROUNDS OUT``."""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import asdict
from pathlib import Path


def main() -> int:
    module, rounds, out = sys.argv[1:]
    rows = importlib.import_module(f"benchmarks.{module}").rows(int(rounds))
    made = {"rows": [asdict(row) for row in rows], "missing": []}
    Path(out).write_text(json.dumps(made), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
