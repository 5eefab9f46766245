"""Exported templates pass our own audit, but for what is true of the format itself.

`DECLARED` names the rules that report an error nevertheless, each with the formats, by what their
files say, and a reason. It is exact: a rule that reports nothing where it is declared fails too.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

import rolecall as rc
from rolecall.audit import Finding, Report
from rolecall.format import Format
from rolecall.template.template import Template
from tests.conftest import PROFILE
from tests.support import engines as brought
from tests.support.export_limits import PROBE, PROBE_TOOL, gets_arguments_as_text
from tests.support.exports import Case, tokens_of

SHARE = {"quick": 6, "default": 3, "full": 1}[PROFILE]
"""Every how many-th format is audited."""


@dataclass(frozen=True)
class Declared:
    """Where a rule reports an error that is true of the format."""

    holds: Callable[[Format], bool]
    """Of which formats, by what their files say."""
    why: str


def answers_without_header(fmt: Format) -> bool:
    """Nothing can be written behind a closed turn of the model to have it speak again."""
    spec = fmt.turns["model"]
    return not spec.header("model") and bool(spec.end) and spec.merge is None


def forgets_thoughts(fmt: Format) -> bool:
    """Reasoning before an answer is gone as soon as the answer stands, with no option set."""
    return fmt.reasoning.keep_for(fmt.option_values({})) == "after-first-reply"


def forgets_calls(fmt: Format) -> bool:
    return fmt.calls is not None and fmt.calls.keep != "all"


DECLARED = {
    "prefill-closed": Declared(
        answers_without_header,
        "The model's turn has no header: a generation prompt behind it writes nothing. To continue "
        "a message, give the template continue_final_message.",
    ),
    "reasoning-dropped": Declared(
        forgets_thoughts,
        "The format keeps the reasoning of calls that are under way and no other.",
    ),
    "tool-call-dropped": Declared(forgets_calls, "The format drops calls of earlier questions."),
    "tool-result-dropped": Declared(forgets_calls, "The format drops results likewise."),
}


def audited(name: str) -> Report:
    """The audit of a format's exported template, as it is published: for the standard roles."""
    jinja = rc.format(name).to_jinja()
    return rc.audit(Template.from_text(jinja, tokens=tokens_of(name), name=name))


@pytest.mark.parametrize("name", rc.formats()[::SHARE])
def test_the_audit_finds_no_error_beyond_those_declared(name: str) -> None:
    report = audited(name)
    assert report.failures == ()
    fmt = rc.format(name)
    errors = [one for one in report.findings if one.severity == "error"]
    wrong = [one for one in errors if one.rule not in DECLARED or not DECLARED[one.rule].holds(fmt)]
    assert not wrong, shown(wrong)
    found = {one.rule for one in errors}
    missing = [rule for rule, one in DECLARED.items() if one.holds(fmt) and rule not in found]
    assert not missing, f"{name} is declared for {missing}, which report nothing"


@pytest.mark.full
@pytest.mark.parametrize("name", rc.formats())
def test_the_audit_finds_the_template_portable(name: str) -> None:
    with ExitStack() as stack:
        stack.enter_context(brought.huggingface_js())
        stack.enter_context(brought.llama_cpp())
        report = audited(name)
    assert report.unasked == {}
    foreign = [one for one in report.findings if one.rule.startswith("not-portable")]
    rules = {one.rule for one in foreign}
    assert rules == ({LLAMA} if reads_what_the_server_gives(rc.format(name)) else set()), shown(
        foreign
    )


LLAMA = "not-portable-llama-cpp"


def reads_what_the_server_gives(fmt: Format) -> bool:
    """llama-server has a date of its own, and arguments as text where it sees none written."""
    tried = Case({"messages": PROBE, "tools": [PROBE_TOOL], "options": {}}, None)
    return "date_string" in fmt.options or (
        forgets_calls(fmt) and gets_arguments_as_text(fmt, tried)
    )


def shown(findings: list[Finding]) -> str:
    return "\n".join(f"{one.rule}: {one.message}" for one in findings)


def test_every_declared_rule_has_its_formats() -> None:
    for rule, declared in DECLARED.items():
        assert any(declared.holds(rc.format(name)) for name in rc.formats()), rule
