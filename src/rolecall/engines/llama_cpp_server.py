"""Runs chat templates with llama.cpp: a line of JSON in, a line of JSON out.

A program of its own, since a template that llama.cpp chokes on may end the process. It is run as a
file and takes the folders of packages as arguments, so that nothing of rolecall is loaded.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import secrets
import sys
import tempfile
import urllib.error
import urllib.request
from typing import IO, Any

REASON = re.compile(
    r"chat template parsing error: (.*?)(?=^\d+\.\d+\.\d+\.\d+ |\Z)", re.DOTALL | re.MULTILINE
)
"""What the log says, up to its next entry."""
SECONDS = 10.0
MEMORY = 4 * 2**30


def main() -> None:
    """Answer until the input ends."""
    sys.path[:] = sys.argv[1:]
    _limit()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # llama.cpp logs where it likes, and why it refuses a template stands only in the log.
    log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    for line in sys.stdin:
        answers.write(json.dumps(_answer(json.loads(line), log)) + "\n")
        answers.flush()
    # Its threads may still run.
    os._exit(0)


def _limit() -> None:
    """Take no more memory than `MEMORY`, where the system has such a limit."""
    try:
        resource: Any = importlib.import_module("resource")
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    except (ImportError, OSError, ValueError):
        return


def _answer(question: dict[str, Any], log: IO[str]) -> dict[str, Any]:
    package: Any = importlib.import_module("xllamacpp")
    # By its default it listens on this machine only.
    key = secrets.token_hex(16)
    params: Any = package.CommonParams()
    params.model.path = question["model"]
    params.chat_template = question["jinja"]
    params.use_jinja = True
    params.api_keys = [key]
    params.n_ctx = params.n_batch = params.n_ubatch = 64
    params.n_parallel = params.cpuparams.n_threads = 1
    params.warmup = params.fit_params = False
    params.cache_ram_mib = 0
    # By its default the server itself continues a last message of the assistant.
    params.prefill_assistant = False
    start = log.seek(0, os.SEEK_END)
    try:
        server: Any = package.Server(params)
    except RuntimeError as error:
        log.seek(start)
        said = REASON.search(log.read())
        return {"refused": said[1] if said else str(error)}
    address = f"{server.listening_address}/apply-template"
    return {"answers": [_ask(address, key, request) for request in question["requests"]]}


def _ask(address: str, key: str, request: dict[str, Any]) -> dict[str, Any]:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    asked = urllib.request.Request(address, json.dumps(request).encode(), headers)
    # Without the proxies that the environment may name.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(asked, timeout=SECONDS) as answer:
            return {"text": json.load(answer)["prompt"]}
    except urllib.error.HTTPError as error:
        body = error.read().decode("utf-8", "replace")
        try:
            return {"error": json.loads(body)["error"]["message"]}
        except (ValueError, LookupError, TypeError):
            return {"error": body}


if __name__ == "__main__":
    main()
