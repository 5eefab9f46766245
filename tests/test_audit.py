"""The audit as a whole: reports, named templates, silences, and the questions that rules ask."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from rolecall.audit import Finding, Report, audit
from rolecall.audit.finding import SEVERITIES
from rolecall.audit.messages import assistant, calling, result, system, text_part, user, weather
from rolecall.audit.messages import call as tool_call
from rolecall.audit.probe import MOST_LIMITS, Probe
from rolecall.audit.rule import SECTIONS, Rule, read_rule
from rolecall.audit.rules import rules
from rolecall.errors import OptionError, TemplateError, TemplateSyntaxError, TokenizerError
from rolecall.template.source import Source
from rolecall.template.template import Template
from tests.support import templates
from tests.support.audit import CLEAN, TOKENS, audited, check_findings, rule_names, template

DROPS = "{% for m in messages %}{% if m.role != 'system' %}[{{ m.role }}]{{ m.content }}{% endif %}{% endfor %}"


def probe(jinja: str = CLEAN) -> Probe:
    return Probe(template(jinja))


# --- Reports ---


def test_a_template_alone_is_not_blamed_for_tokens_that_its_models_files_would_tell(
    tmp_path: Path,
) -> None:
    jinja = (
        "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content + eos_token }}"
        "{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    alone = tmp_path / "alone.jinja"
    alone.write_text(jinja, encoding="utf-8")
    report = audit(alone)
    assert report.assumed == {"bos_token": "<s>", "eos_token": "</s>"}
    assert "nothing-renders" not in rule_names(report)
    assert "history-raises" not in rule_names(report)
    # A model's file that tells one token and not the other is taken at its word.
    config = {"chat_template": jinja, "bos_token": "<s>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    report = audit(tmp_path / "tokenizer_config.json")
    assert report.assumed == {}
    assert "nothing-renders" in rule_names(report)


def test_a_report_is_json_with_stable_keys() -> None:
    report = json.loads(json.dumps(audited(DROPS).to_json()))
    assert list(report) == [
        "template",
        "templates",
        "counts",
        "findings",
        "silenced",
        "failures",
        "unread",
        "assumed",
        "unasked",
    ]
    assert report["template"] == "clean"
    first = report["findings"][0]
    assert list(first) == [
        "rule", "severity", "kind", "message", "template", "conversation", "output", "span",
        "expected", "error",
    ]  # fmt: skip
    assert first["rule"] == "system-dropped"
    assert first["conversation"] == {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello."},
        ],
        "options": {"add_generation_prompt": True},
    }
    assert first["output"] == "[user]Hello."
    assert first["span"] == [0, 6]


def test_the_worst_finding_comes_first() -> None:
    found = [SEVERITIES.index(finding.severity) for finding in audited(DROPS).findings]
    assert len(set(found)) > 1
    assert found == sorted(found)


def test_findings_can_be_had_from_a_severity_on() -> None:
    report = audited(DROPS)
    assert {one.severity for one in report.at_least("error")} == {"error"}
    assert report.at_least("note") == report.findings
    with pytest.raises(OptionError, match="did you mean 'warning'"):
        report.at_least("warnings")


def test_a_silenced_rule_is_counted_with_its_reason() -> None:
    report = audit(template(DROPS), silence={"system-dropped": "trained without one"})
    assert "system-dropped" not in {finding.rule for finding in report.findings}
    (silenced,) = report.silenced
    assert (silenced.rule, silenced.reason, len(silenced.findings)) == (
        "system-dropped", "trained without one", 1,
    )  # fmt: skip


def test_a_silence_needs_a_reason_and_a_rule() -> None:
    with pytest.raises(OptionError, match="give the reason"):
        audit(template(DROPS), silence={"system-dropped": " "})
    with pytest.raises(OptionError, match="did you mean 'system-dropped'"):
        audit(template(DROPS), silence={"system-droped": "why not"})


def test_only_the_rules_asked_for_run() -> None:
    assert {one.rule for one in audited(DROPS, "name-dropped").findings} == {"name-dropped"}
    with pytest.raises(OptionError, match="there is no rule 'name'"):
        audited(DROPS, "name")


def test_a_template_that_is_no_jinja_is_an_error_and_no_finding() -> None:
    with pytest.raises(TemplateSyntaxError):
        audited("{% for message in messages %}")


def test_a_rule_that_fails_is_named_and_the_others_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(_: Probe) -> list[object]:
        raise KeyError("oops")

    known = dict(rules())
    broken = Rule("broken", "note", "adds", "moved", "", "", check, False, False)  # type: ignore[arg-type]
    # By its full name the public `rolecall.audit` would be found, which is the function.
    registry = sys.modules["rolecall.audit.rules"]
    monkeypatch.setattr(registry, "rules", lambda: {"broken": broken, **known})
    report = audit(template(DROPS))
    assert "system-dropped" in {finding.rule for finding in report.findings}
    (failure,) = report.failures
    assert failure.rule == "broken"
    assert "rule broken failed on template 'default': KeyError: 'oops'" in str(failure)


# --- Named templates ---


def named(**jinja: str) -> Template:
    return Template(Source(name="model", templates=jinja, tokens=TOKENS))


def test_every_named_template_is_audited() -> None:
    report = audit(named(default=CLEAN, rag=DROPS))
    assert report.templates == ("default", "rag")
    assert {finding.template for finding in report.findings} == {"rag"}


def test_what_default_writes_with_tools_is_told_of_tool_use() -> None:
    two = named(default=CLEAN, tool_use="{{ raise_exception('no') }}")
    report = audit(two, rules=["system-dropped", "nothing-renders"])
    assert {(one.rule, one.template) for one in report.findings} == {
        ("nothing-renders", "tool_use")
    }
    both = Probe(named(default=CLEAN, tool_use=DROPS))
    assert both.used(both.run([user()])) == "default"
    assert both.used(both.run([user()], tools=[weather()])) == "tool_use"


def test_a_folder_is_audited(tmp_path: Path) -> None:
    config = {
        "chat_template": [
            {"name": "default", "template": CLEAN},
            {"name": "rag", "template": DROPS},
        ],
        **TOKENS,
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    report = audit(tmp_path)
    assert report.template == tmp_path.name
    assert report.templates == ("default", "rag")
    assert {finding.template for finding in report.findings} == {"rag"}
    assert audit(str(tmp_path), template="default").templates == ("default",)
    with pytest.raises(TemplateError, match="there is no file or folder"):
        audit(tmp_path / "nothing")


def test_where_no_ids_can_be_read_the_report_says_why() -> None:
    asked = probe()
    assert asked.unread == ""
    assert asked.tokenizer is None
    assert "there is no tokenizer" in asked.unread
    second = Probe(template(), beside=asked)
    assert second.tokenizer is None
    assert second.unread == asked.unread
    broken = Probe(template(tokenizer="/nowhere/tokenizer.json"))
    assert broken.tokenizer is None
    assert "cannot be loaded" in broken.unread
    with pytest.raises(TokenizerError):
        audit(template(), tokenizer="/nowhere/tokenizer.json")


def test_one_named_template_can_be_asked_for() -> None:
    two = named(default=DROPS, rag=CLEAN)
    assert audit(two, template="rag").findings == ()
    with pytest.raises(TemplateError, match="did you mean 'rag'"):
        audit(two, template="rags")


# --- Rules as modules ---


def module(page: str, **content: object) -> ModuleType:
    made = ModuleType("rolecall.audit.rules.some_thing", page)
    made.__dict__.update(content)
    return made


PAGE = "What.\n\n" + "\n\nText.\n\n".join(SECTIONS)


def test_a_rule_is_read_from_its_module() -> None:
    rule = read_rule(module(PAGE, SEVERITY="note", KIND="adds", check=lambda _: ()))
    assert (rule.name, rule.severity, rule.summary) == ("some-thing", "note", "What.")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"SEVERITY": "fatal"}, "SEVERITY is 'fatal'"),
        ({"KIND": None}, "KIND is None"),
        ({"GROUP": "added"}, "GROUP is 'added'"),
        ({"check": None}, "has no check"),
    ],
)
def test_a_module_that_is_no_rule_is_refused(changes: dict[str, object], says: str) -> None:
    content = {"SEVERITY": "note", "KIND": "adds", "check": lambda _: (), **changes}
    with pytest.raises(TypeError, match=f"rule some-thing: .*{says}"):
        read_rule(module(PAGE, **content))


def test_a_page_without_its_sections_is_refused() -> None:
    with pytest.raises(TypeError, match="its page has the sections"):
        read_rule(module("What.", SEVERITY="note", KIND="adds", check=lambda _: ()))


@pytest.mark.parametrize("rule", rules().values(), ids=rules())
def test_a_page_tells_what_the_rule_reports(rule: Rule) -> None:
    assert rule.summary.endswith(".")
    parts = [part.strip() for part in re.split(r"(?m)^## ", rule.page)]
    assert len(parts) == 1 + len(SECTIONS)
    # Each section says something under its heading.
    assert all("\n" in part for part in parts[1:])
    assert "```" in rule.page.partition("## Example")[2]


def test_a_format_without_room_for_something_has_a_note() -> None:
    made = {"rule": "r", "message": "m", "template": "t", "conversation": {}, "expected": None}
    with pytest.raises(ValueError, match="is a note"):
        Finding(severity="error", kind="no-place", output="", span=None, error=None, **made)
    with pytest.raises(ValueError, match="is no place in the output"):
        Finding(severity="note", kind="adds", output="ab", span=(1, 3), error=None, **made)
    with pytest.raises(ValueError, match="either an output or an error"):
        Finding(severity="note", kind="adds", output=None, span=None, error=None, **made)


# --- Probes ---


def test_a_conversation_is_rendered_once() -> None:
    asked = probe()
    assert asked.run([user()]) is asked.run([user()])
    assert asked.run([user()]) is not asked.run([user()], add_generation_prompt=True)


def test_a_template_that_changes_its_messages_does_not_change_the_finding() -> None:
    asked = probe(
        "{% for m in messages %}{% set _ = m.update({'x': 1}) %}{{ m.content }}{% endfor %}"
    )
    assert asked.run([user()]).messages == [user()]


def test_to_refuse_is_judged_by_what_it_raised_on() -> None:
    asked = probe("{{ raise_exception('always') }}")
    assert not asked.refuses(asked.run([system(), user()]), asked.run([user()]))
    asked = probe("{% if messages | length > 1 %}{{ raise_exception('one') }}{% endif %}")
    assert asked.refuses(asked.run([system(), user()]), asked.run([user()]))


def test_typed_content_is_given_only_to_templates_that_take_nothing_else() -> None:
    assert probe().typed == frozenset()
    every = (
        "{% for m in messages %}{% for part in m.content %}{{ part.text }}{% endfor %}{% endfor %}"
    )
    asked = probe(every)
    assert asked.typed == {"user", "system", "assistant", "tool"}
    assert asked.run([user()]).messages == [user([text_part("Hello.")])]
    assert asked.run([user()]).reached(0)
    assert asked.run([user()], as_given=True).messages == [user()]
    users = every.replace(
        "m.content %}", "(m.content if m.role == 'user' else [{'text': m.content}]) %}"
    )
    assert probe(users).typed == {"user"}


def test_what_a_template_needs_is_given_with_every_conversation() -> None:
    grounded = "{{ documents[0].text + '' }}{% for m in messages %}{{ m.content }}{% endfor %}"
    asked = probe(grounded)
    assert asked.renders
    assert "documents" in asked.run([system(), user()]).conversation


def test_facts_of_the_clean_template() -> None:
    asked = probe()
    assert asked.generation_prompt == "<|im_start|>assistant\n"
    assert asked.takes_system
    assert asked.keeps_system
    assert asked.takes_tools
    assert asked.takes_calls
    assert not asked.alternates
    assert not asked.plain_words
    assert asked.header("user") == "<|im_start|>user\n"
    assert asked.header("assistant") == "<|im_start|>assistant\n"
    assert asked.words("<s><|im_start|>user\n") == "user"


def test_facts_of_other_templates() -> None:
    assert not probe(DROPS).keeps_system
    assert probe(DROPS).takes_system
    assert probe(DROPS).generation_prompt == ""
    assert not probe(DROPS).takes_tools
    assert not probe(DROPS).takes_calls
    assert probe("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}").plain_words
    last = "{% if not add_generation_prompt %}!{% endif %}{{ messages[0].content }}"
    assert probe(last).generation_prompt is None
    published = templates.published("llama.cpp/mistralai-Mistral-7B-Instruct-v0.2")
    assert Probe(Template.from_text(published.text, tokens=published.tokens)).alternates


@pytest.mark.parametrize("form", [{"city": "Lima"}, '{"city": "Lima"}'])
def test_arguments_are_given_in_the_form_that_a_template_takes(form: object) -> None:
    calls = "{% for m in messages %}{{ m.content }}{% for c in m.tool_calls or [] %}{{ c.function.name }}{{ ARGUMENTS }}{% endfor %}{% endfor %}"
    written = {str: "'' + c.function.arguments", dict: "c.function.arguments | tojson if c.function.arguments is mapping else raise_exception('no')"}  # fmt: skip
    asked = probe(calls.replace("ARGUMENTS", written[type(form)]))
    assert asked.takes_calls
    assert asked.arguments({"city": "Lima"}) == form


def test_a_template_that_is_stopped_twice_is_not_run_again() -> None:
    asked = probe("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}")
    assert not asked.renders
    assert len(asked.limits) > MOST_LIMITS
    assert asked.hello.limited
    assert not asked.hello.refused
    assert not asked.refuses(asked.chat)


# --- Outcomes ---


def test_places_and_gaps() -> None:
    shown = probe(DROPS).run([system(), user(), system("Be kind."), assistant()])
    assert shown.text == "[user]Hello.[assistant]Good day to you."
    assert shown.place(0) is None
    assert shown.place(1) == (6, 12)
    assert shown.turn(1) == (0, 12)
    assert shown.gap(0) == (0, 6)
    assert shown.gap(2) == (12, 23)
    assert shown.between(1, 3) == "[assistant]"
    assert shown.between(None, 1) == "[user]"
    assert shown.structure() == "[][]"


def test_what_is_missing_of_a_content() -> None:
    shown = probe("{{ messages[0].content | trim }}").run([user(" a b\n")])
    assert shown.missing(0) == [("content", 0, 1), ("content", 4, 5)]
    assert shown.ranges(0) == [("content", 1, 4)]
    shown = probe("{{ messages[0].content | upper }}").run([user(" a b\n")])
    assert shown.reached(0)
    assert shown.spelled(0)
    assert shown.missing(0) == []


def test_what_reaches_of_calls_and_tools() -> None:
    shown = probe().run([user(), calling(tool_call()), result()], tools=[weather()])
    assert shown.reached(1, "tool_calls[0].id")
    assert shown.reached(1, "tool_calls[0].function.arguments")
    assert shown.reached(2, "tool_call_id")
    assert shown.reached(None, "tools[0].function.description")
    assert not shown.reached(None, "documents")


def test_text_of_unknown_origin_counts_as_arrived() -> None:
    # The trace does not follow what a filter writes in another alphabet.
    jinja = "{{ messages[0].content | urlencode | replace('%20', ' ') }}"
    shown = probe(jinja).run([user("plain words")])
    assert shown.trace is not None
    assert "plain words" in shown.text
    assert shown.reached(0)


# --- Published templates ---


@pytest.mark.parametrize("name", templates.parameters())
def test_no_rule_fails_on_a_published_template_and_every_finding_is_true(name: str) -> None:
    found = templates.published(name)
    one = Template.from_text(found.text, tokens=found.tokens, name=name)
    report: Report = audit(one)
    rule_names(report)
    check_findings(report, one)


def test_an_end_token_that_the_models_own_settings_leave_out_is_a_warning(tmp_path: Path) -> None:
    config = {
        "chat_template": CLEAN.replace("{{ eos_token }}", "<|im_end|>"),
        "eos_token": "<|endoftext|>",
        "added_tokens_decoder": {"7": {"content": "<|endoftext|>", "special": True}},
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")

    def severity() -> list[str]:
        found = audit(tmp_path, rules=["end-of-turn-not-stop"]).findings
        return [finding.severity for finding in found]

    assert severity() == ["note"]
    settings = tmp_path / "generation_config.json"
    settings.write_text(json.dumps({"eos_token_id": 7}), encoding="utf-8")
    assert severity() == ["warning"]
