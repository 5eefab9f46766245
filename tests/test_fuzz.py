"""A short round of the fuzz target; ``python -m tests.fuzz`` runs a long one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rolecall as rc
from tests import fuzz
from tests.conftest import EXAMPLES, PROFILE
from tests.test_laws import every_format

# Each example is read a thousand times and more, id by id and byte by byte.
short = settings(max_examples=max(10, EXAMPLES[PROFILE] // 10))


class Drawn:
    """Decisions that Hypothesis takes."""

    def __init__(self, data: st.DataObject) -> None:
        self._data = data

    def number(self, low: int, high: int, /) -> int:
        return self._data.draw(st.integers(low, high))


@every_format
@short
@given(data=st.data())
def test_streams_keep_their_promises_whatever_a_model_writes(
    name: str, data: st.DataObject
) -> None:
    fuzz.check(fuzz.case(name, Drawn(data)))


@every_format
@short
@given(ids=st.lists(st.one_of(st.integers(), st.integers(0, 152_000)), max_size=12))
def test_any_numbers_are_read(name: str, ids: list[int]) -> None:
    fuzz.check(fuzz.Case(name, None, tuple(ids), dict(fuzz.PLAIN), (5,)))


def test_a_seed_gives_the_same_case_again() -> None:
    name = rc.formats()[0]
    first, second = (fuzz.case(name, fuzz.Seeded(7)) for _ in range(2))
    assert (first.ids, first.arguments, first.cuts) == (second.ids, second.arguments, second.cuts)


def test_what_is_broken_is_found_and_made_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The target can fail: a reader that loses a word is found out."""
    made = fuzz.Case("chatml", None, (*fuzz.plain_ids("so "), *fuzz.marker_ids(3)), fuzz.PLAIN, ())
    assert fuzz.fails(made) is None
    from rolecall.stream import Stream

    feed = Stream.feed
    marker = set(fuzz.marker_ids(3))

    def losing(self: Stream, given: object) -> object:
        kept = [i for i in given if i not in marker] if isinstance(given, list) else given
        return feed(self, kept)

    monkeypatch.setattr(Stream, "feed", losing)
    error = fuzz.fails(made)
    assert error is not None
    assert "is nowhere" in str(error)
    assert fuzz.smaller(made, error).ids == fuzz.marker_ids(3)


def test_the_command_runs_and_says_how_to_repeat_it() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "--cases", "3", "--seed", "11"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent.parent,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "--seed 11" in done.stdout
    assert "3 cases, 0 failures" in done.stdout
