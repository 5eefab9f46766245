"""A process that answers one line of JSON with one line of JSON."""

from __future__ import annotations

import atexit
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

from rolecall.engines import EngineError


class Process:
    """A helper process, started when it is first asked and kept.

    One that does not answer in time is ended, and so is one that answers something else: a template
    is foreign code, and an engine may run it for ever.

    Args:
        name: What to call it in errors.
        command: Makes the command; called when the process is started.
        environment: Variables that it gets beside our own.
    """

    def __init__(
        self,
        name: str,
        command: Callable[[], Sequence[str]],
        environment: dict[str, str] | None = None,
    ) -> None:
        self.name = name
        self._command = command
        self._environment = environment or {}
        self._running: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str] = queue.Queue()
        self._owner = 0

    def ask(self, question: dict[str, Any], seconds: float) -> Any:
        """Send a question and wait for the answer.

        Args:
            question: What can be written as JSON.
            seconds: How long to wait.

        Raises:
            EngineError: If there is no answer in time, or the process ended.
        """
        # A process that was forked from ours has no thread that reads.
        if self._running is None or self._owner != os.getpid():
            self._start()
        assert self._running is not None
        try:
            assert self._running.stdin is not None
            self._running.stdin.write(json.dumps(question) + "\n")
            self._running.stdin.flush()
            line = self._lines.get(timeout=seconds)
            return json.loads(line)
        except queue.Empty:
            self.end()
            raise EngineError(f"{self.name} did not answer within {seconds:g} seconds") from None
        except (OSError, ValueError):
            self.end()
            raise EngineError(f"{self.name} ended without an answer") from None

    def _start(self) -> None:
        try:
            self._running = subprocess.Popen(
                self._command(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                encoding="utf-8",
                env=os.environ | self._environment,
            )
        except OSError as error:
            raise EngineError(f"{self.name} cannot be started: {error}") from None
        self._owner = os.getpid()
        self._lines = queue.Queue()
        reader = threading.Thread(
            target=_read, args=(self._running.stdout, self._lines), daemon=True
        )
        reader.start()
        atexit.register(self.end)

    def end(self) -> None:
        """End the process, if it runs and is ours."""
        running, self._running = self._running, None
        atexit.unregister(self.end)
        if running is not None and self._owner == os.getpid():
            running.kill()
            running.wait()
            for pipe in (running.stdin, running.stdout):
                if pipe is not None:
                    try:
                        pipe.close()
                    except OSError:
                        continue  # What was still to be written has no reader any more.


def python(script: str) -> list[str]:
    """The command for a program in this folder, which finds the packages that we find.

    Not those of the current folder, where things lie that are to be looked at and not run.

    Args:
        script: Name of the file.
    """
    folders = [folder for folder in sys.path if Path(folder).is_absolute()]
    # -P: nor those beside the program, which are called like packages.
    return [sys.executable, "-P", str(Path(__file__).with_name(script)), *folders]


def _read(lines: IO[str], into: queue.Queue[str]) -> None:
    try:
        for line in lines:
            into.put(line)
    except (OSError, ValueError):
        pass  # It was ended.
    into.put("")  # No JSON: whoever waits learns that nothing comes.
