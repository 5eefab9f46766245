"""Work on foreign files, in processes that can be ended: one that hangs keeps nothing waiting."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

from rolecall.errors import RolecallError

T = TypeVar("T")


@dataclass(frozen=True)
class Done(Generic[T]):
    """What became of one piece of work."""

    index: int
    result: T | None
    error: str = ""
    """Why there is no result."""
    seconds: float = 0.0


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def spread(
    work: Callable[[str], T],
    given: Sequence[str],
    *,
    seconds: float,
    processes: int | None = None,
    prepare: Callable[[], object] | None = None,
) -> Iterator[Done[T]]:
    """Do a piece of work for each of several strings; what is done first comes first.

    Args:
        work: A function that another process can import. What it raises of Rolecall's errors is the
            error of its piece.
        given: The strings.
        seconds: Wall-clock time for each. A process that needs more is killed.
        processes: How many; None is one a core.
        prepare: What each process does first, on no one's time.
    """
    waiting = list(enumerate(given))[::-1]
    crew = [_Worker(work, prepare) for _ in range(min(processes or cores(), len(given)))]
    try:
        while crew:
            crew = [member for member in crew if waiting or member.busy or member.starting]
            for member in list(crew):
                if member.idle and waiting:
                    member.give(*waiting.pop())
            for member in _ready(crew, seconds):
                done = member.look(seconds)
                if done is not None:
                    yield done
                if member.gone:
                    crew.remove(member)
                    if waiting:
                        crew.append(_Worker(work, prepare))
    finally:
        for member in crew:
            member.kill()


def _ready(crew: Sequence[_Worker[T]], seconds: float) -> Iterable[_Worker[T]]:
    """The workers that have something to say, or have had their time."""
    active = [member for member in crew if member.busy or member.starting]
    if not active:
        return ()
    ends = [member.began + seconds for member in active if member.busy]
    pause = max(0.0, min(ends) - time.monotonic()) if ends else None
    told = wait([member.pipe for member in active], pause)
    now = time.monotonic()
    return [
        member
        for member in active
        if member.pipe in told or (member.busy and now >= member.began + seconds)
    ]


class _Worker(Generic[T]):
    """A process that does one piece of work after the other."""

    def __init__(self, work: Callable[[str], T], prepare: Callable[[], object] | None) -> None:
        # A fork would copy the threads of a progress bar, half of them.
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(work, prepare, theirs), daemon=True)
        with _uninterrupted():
            self.process.start()
        theirs.close()
        self.starting = True
        self.gone = False
        self.index: int | None = None
        self.began = 0.0

    @property
    def busy(self) -> bool:
        return self.index is not None

    @property
    def idle(self) -> bool:
        return not (self.busy or self.starting or self.gone)

    def give(self, index: int, text: str) -> None:
        self.index, self.began = index, time.monotonic()
        with suppress(OSError):  # A process that is gone is noticed where its word is awaited.
            self.pipe.send(text)

    def look(self, seconds: float) -> Done[T] | None:
        """Take what the process says, or end it."""
        index, self.index = self.index, None
        spent = time.monotonic() - self.began
        if not self.pipe.poll():
            self.kill()
            assert index is not None
            return Done(index, None, f"it took more than {seconds:g} seconds and was ended", spent)
        try:
            kind, value = self.pipe.recv()
        except (EOFError, OSError):
            self.kill()
            code = self.process.exitcode
            error = f"the process that worked on it ended with the status {code}"
            # One that cannot even start would be followed by others without end.
            if index is None:
                raise RolecallError(f"cannot start a process to audit in: status {code}") from None
            return Done(index, None, error, spent)
        if kind == "ready":
            self.starting = False
            return None
        assert index is not None
        return Done(
            index, value if kind == "done" else None, "" if kind == "done" else value, spent
        )

    def kill(self) -> None:
        self.gone = True
        self.process.kill()
        self.process.join()
        self.pipe.close()


@contextmanager
def _uninterrupted() -> Generator[None]:
    """Have processes that are started here not be told of Ctrl-C; this one is told afterwards.

    A process that is told while it still imports writes a traceback to the terminal.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield  # Windows tells in another way.
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # it would lift the block where it is started first
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(
    work: Callable[[str], Any], prepare: Callable[[], object] | None, pipe: Connection
) -> None:
    """What a worker's process runs."""
    # Ctrl-C reaches every process of a terminal; the parent ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if prepare is not None:
        prepare()
    with suppress(EOFError, OSError):
        pipe.send(("ready", None))
        while True:
            text = pipe.recv()
            try:
                answer = ("done", work(text))
            except RolecallError as error:
                answer = ("error", str(error))
            except RecursionError:
                answer = ("error", "it is nested too deeply")
            except MemoryError:
                answer = ("error", "it takes more memory than there is")
            except Exception as error:
                answer = ("error", f"{type(error).__name__}: {error}; this is a bug of Rolecall")
            pipe.send(answer)
