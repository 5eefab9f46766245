"""Every rule of the audit: a published template that triggers it, one that does not, and a mutant of
a clean template on which it appears alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from rolecall.audit import Report, audit
from rolecall.audit.probe import Probe
from rolecall.audit.rules import rules
from rolecall.engines import huggingface_js
from rolecall.template.source import Source
from rolecall.template.template import Template
from tests.support import templates
from tests.support.audit import Case, cases, check_findings, mutant, rule_names, template

RULES = list(rules())


def marks(rule: str, *names: str) -> list[pytest.MarkDecorator]:
    """What belongs to the long run: a rule whose engine is there only then, templates of npm's."""
    full = cases()[rule].engine is not None or any(templates.published(one).full for one in names)
    return [pytest.mark.full] if full else []


@pytest.fixture(autouse=True)
def engine(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[None]:
    """The engine that a rule asks, and none that happens to be on this machine."""
    monkeypatch.setenv(huggingface_js.FOLDER, str(tmp_path / "nowhere"))
    rule = request.node.callspec.params.get("rule") if hasattr(request.node, "callspec") else None
    brings = cases()[rule].engine if rule in cases() else None
    with brings() if brings else nullcontext():
        yield


def published(name: str, case: Case) -> Template:
    found = templates.published(name)
    source = Source(
        name=name,
        templates={"default": found.text},
        tokens=dict(found.tokens),
        eos=(found.tokens["eos_token"],),
        added=(),
        tokenizer=case.tokenizer() if case.tokenizer else None,
        add_bos=None,
    )
    return Template(source)


def with_tokenizer(case: Case, one: Template) -> Report:
    return audit(one, tokenizer=case.tokenizer() if case.tokenizer else None)


def of_published(which: str) -> list[object]:
    """Rule and template, those of the long run marked so."""
    found: list[object] = []
    for rule, case in cases().items():
        name = getattr(case, which)
        if name is not None:
            found.append(pytest.param(rule, name, marks=marks(rule, name), id=f"{rule}-{name}"))
    return found


def test_every_rule_has_a_case_and_every_case_a_rule() -> None:
    assert sorted(cases()) == sorted(RULES)


def test_no_rule_says_anything_of_the_clean_template() -> None:
    report = audit(template())
    assert rule_names(report) == set(), [finding.message for finding in report.findings]


def test_no_rule_says_anything_of_the_clean_template_with_a_tokenizer() -> None:
    for case in (case for case in cases().values() if case.tokenizer is not None):
        report = with_tokenizer(case, template())
        shown = [finding.message for finding in report.findings]
        assert rule_names(report) == set(case.beside), shown


@pytest.mark.parametrize("rule", [pytest.param(rule, marks=marks(rule)) for rule in RULES])
def test_a_rule_appears_alone_on_a_mutant_of_the_clean_template(rule: str) -> None:
    case = cases()[rule]
    report = with_tokenizer(case, mutant(case))
    assert rule_names(report) == {rule, *case.beside}
    assert any(case.says in one.message for one in report.findings if one.rule == rule)
    check_findings(report, mutant(case))


@pytest.mark.parametrize(("rule", "name"), of_published("fires"))
def test_a_published_template_triggers_a_rule(rule: str, name: str) -> None:
    one = published(name, cases()[rule])
    report = audit(one, rules=[rule])
    assert rule_names(report) == {rule}
    check_findings(report, one)


@pytest.mark.parametrize(("rule", "name"), of_published("quiet"))
def test_a_published_template_does_not_trigger_a_rule(rule: str, name: str) -> None:
    one = published(name, cases()[rule])
    assert Probe(one).renders
    assert rule_names(audit(one, rules=[rule])) == set()


def of_own(which: str) -> list[object]:
    return [
        pytest.param(rule, jinja, marks=marks(rule), id=f"{rule}-{number}")
        for rule, case in cases().items()
        for number, jinja in enumerate(getattr(case, which))
    ]


@pytest.mark.parametrize(("rule", "jinja"), of_own("harmful"))
def test_further_templates_trigger_a_rule(rule: str, jinja: str) -> None:
    report = audit(template(jinja), rules=[rule])
    assert rule_names(report) == {rule}
    check_findings(report, template(jinja))


@pytest.mark.parametrize(("rule", "jinja"), of_own("harmless"))
def test_what_a_format_may_do_triggers_no_rule(rule: str, jinja: str) -> None:
    report = audit(template(jinja), rules=[rule])
    assert rule_names(report) == set(), [finding.message for finding in report.findings]


@pytest.mark.parametrize("rule", RULES)
def test_where_no_published_template_is_named_the_case_says_why(rule: str) -> None:
    case = cases()[rule]
    assert (case.fires is None or case.quiet is None) == bool(case.why)
