"""Law 7: an exported template gives the text of `Format.render`, and refuses what it refuses.

Each bundled format's template runs in jinja2 as transformers sets it up, minijinja,
``@huggingface/jinja`` under node and llama.cpp's engine, on conversations of every kind: prompts,
finished ones, prefills, other speakers, and any order of roles, names, calls and reasoning, so that
many are refused. Where an engine differs is declared in `LIMITS`, each with its case, and a limit
that does not differ any more fails.
"""

from __future__ import annotations

import json
import re
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

import rolecall as rc
from rolecall.engines import ENGINES, Answer
from rolecall.format import Format
from tests.conftest import PROFILE
from tests.support import engines as brought
from tests.support.export_limits import LIMITS, Limit, comparable
from tests.support.exports import Case, answers, cases, exported, reasons, tokens_of

CONVERSATIONS = {"quick": 8, "default": 16, "full": 240}[PROFILE]
SEED = 5

BRINGS = {"huggingface_js": brought.huggingface_js, "llama_cpp": brought.llama_cpp}
ALL = ("jinja2", *ENGINES)

every_format = pytest.mark.parametrize("name", rc.formats())
every_engine = pytest.mark.parametrize(
    "engine",
    [pytest.param(name, marks=[pytest.mark.full] if name in BRINGS else []) for name in ALL],
)


def brings(engine: str) -> AbstractContextManager[None]:
    return BRINGS[engine]() if engine in BRINGS else nullcontext()


@every_engine
@every_format
def test_the_template_gives_the_text_of_the_format(name: str, engine: str) -> None:
    fmt = rc.format(name)
    given = cases(name, CONVERSATIONS, SEED)
    compared = comparable(engine, fmt, given)
    with brings(engine):
        found = answers(engine, exported(name), compared, tokens_of(name))
    written = 0
    for one, answer in zip(compared, found, strict=True):
        assert agree(fmt, one, answer), told(one, answer)
        written += one.text is not None
    assert 3 * written > len(given), f"too few of the conversations of {name} are compared"


def agree(fmt: Format, one: Case, answer: Answer) -> bool:
    """Whether an engine wrote what the format writes, or refused with words of the format."""
    if one.text is not None or answer.text is not None:
        return answer.text == one.text
    return any(words in str(answer.error) for words in reasons(fmt, one.conversation))


def told(one: Case, answer: Answer) -> str:
    """A difference, to be read."""
    return (
        f"\nconversation: {json.dumps(one.conversation, ensure_ascii=False)}"
        f"\nthe format:   {one.text if one.text is not None else one.refusal!r}"
        f"\nthe template: {answer.text if answer.text is not None else answer}"
    )


# --- Declared limits ------------------------------------------------------------------------------


@every_engine
@pytest.mark.parametrize("limit", LIMITS, ids=[limit.what for limit in LIMITS])
def test_a_limit_is_where_it_is_declared(limit: Limit, engine: str) -> None:
    differing: list[str] = []
    with brings(engine):
        for name in rc.formats():
            one = limit.case(rc.format(name))
            if one.text is None and not limit.refused:
                continue
            (answer,) = answers(engine, exported(name), [one], tokens_of(name))
            if not agree(rc.format(name), one, answer):
                differing.append(name)
    assert bool(differing) == (engine in limit.engines), differing


def test_the_documentation_has_every_limit() -> None:
    page = (Path(__file__).parent.parent / "docs" / "exporting.md").read_text(encoding="utf-8")
    section = re.sub(r"[`\\\\]", "", page.partition("### Engines")[2])
    for limit in LIMITS:
        (row,) = [line for line in section.splitlines() if line.startswith(f"| {limit.what} |")]
        named = row.split(" | ")[-1].rstrip(" |").split(", ")
        assert named == ([NAMES[one] for one in limit.engines] if len(limit.engines) < 4 else EVERY)


NAMES = {"minijinja": "minijinja", "huggingface_js": "huggingface.js", "llama_cpp": "llama.cpp"}
EVERY = ["every one"]
