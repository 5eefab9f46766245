"""Learn a model's template, for the benchmarks: ``python -m benchmarks.learn MODEL FILE``."""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
from pathlib import Path

import rolecall as rc
from benchmarks.loads import CACHE
from benchmarks.models import MODELS, Model
from benchmarks.ours import write_template


def learnt(model: Model) -> str:
    """The file of the format that is learnt from a model's template."""
    with tempfile.TemporaryDirectory() as scratch:
        return rc.learn(write_template(model, Path(scratch, model.name))).toml


def _fingerprint(model: Model) -> str:
    """What the learnt format depends on."""
    whole = hashlib.sha256(model.jinja().encode())
    for file in sorted(Path(rc.__file__).parent.glob("learn/*.py")):
        whole.update(file.read_bytes())
    return whole.hexdigest()[:16]


def main() -> int:
    name, out = sys.argv[1:]
    kept = CACHE / f"{name}-{_fingerprint(MODELS[name])}.toml"
    if not kept.exists():
        made = learnt(MODELS[name])
        CACHE.mkdir(parents=True, exist_ok=True)
        kept.write_text(made, encoding="utf-8")
    shutil.copy(kept, out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
