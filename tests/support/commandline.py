"""A command in this process: what it writes where, and its exit status."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from typing import Any, NamedTuple
from unittest.mock import patch

from rolecall import cli


class Done(NamedTuple):
    status: int
    out: bytes
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """The value of each line of JSON."""
        return [json.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Done]


def run(*arguments: str, stdin: bytes = b"") -> Done:
    """Run a command, its output being a pipe."""
    out, err = io.BytesIO(), io.StringIO()
    pipe = io.TextIOWrapper(out, encoding="utf-8")
    given = io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8")
    with redirect_stdout(pipe), redirect_stderr(err), patch.object(sys, "stdin", given):
        status = cli.run(arguments)
    pipe.flush()
    return Done(status, out.getvalue(), err.getvalue())
