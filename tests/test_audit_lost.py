"""What a rule of the audit says is lost, and what it says a format has no place for."""

from __future__ import annotations

import pytest

from rolecall.audit.finding import Finding
from tests.support.audit import CLEAN, audited

LABELS = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
"""Turns under a label and nothing else."""

CALLS = (
    "{% for m in messages %}[{{ m.role }}]{{ m.content or '' }}"
    "{% for call in m.tool_calls or [] %}CALL{% endfor %}{% endfor %}"
)
"""The same with calls, of which CALL says what is written."""


def finding(jinja: str, rule: str) -> Finding:
    (found,) = audited(jinja, rule).findings
    return found


@pytest.mark.parametrize("rule", ["tool-call-dropped", "reasoning-dropped"])
def test_a_format_without_a_thing_has_no_place_for_it(rule: str) -> None:
    found = finding(LABELS, rule)
    assert (found.severity, found.kind) == ("note", "no-place")
    assert found.message.startswith("The format has no place for")


@pytest.mark.parametrize("rule", ["tool-result-dropped", "parallel-call-dropped"])
def test_what_a_format_has_no_place_for_is_said_once(rule: str) -> None:
    users = LABELS.replace("messages", "messages if m.role != 'tool'")
    assert not audited(users, rule).findings


def test_schemas_without_calls_are_a_loss() -> None:
    found = finding("{{ tools | tojson }}" + LABELS, "tool-call-dropped")
    assert (found.severity, found.kind) == ("error", "loses")
    assert found.place == "[assistant]"


@pytest.mark.parametrize(
    ("written", "severity", "says"),
    [
        ("{{ call.function.name }}", "error", "arguments of a tool call are dropped"),
        ("{{ call.function.arguments | tojson }}", "error", "function of a tool call is dropped"),
        ("{{ call.id }}{{ call.function.arguments }}", "warning", "its id stands there instead"),
    ],
)
def test_half_a_call_is_named(written: str, severity: str, says: str) -> None:
    found = finding(CALLS.replace("CALL", written), "tool-call-dropped")
    assert found.severity == severity
    assert says in found.message


def test_a_call_that_only_null_lets_through() -> None:
    found = finding(
        LABELS.replace(
            "{{ m.content }}",
            "{{ m.content if m.content is not none else m.tool_calls | tojson }}",
        ),
        "tool-call-dropped",
    )
    assert found.message == "A tool call is dropped unless its content is null."
    assert found.severity == "error"


def test_ids_on_one_side_are_a_loss_and_on_neither_are_not() -> None:
    neither = finding(CALLS.replace("CALL", "{{ call.function | tojson }}"), "tool-call-id-dropped")
    one = finding(CALLS.replace("CALL", "{{ call | tojson }}"), "tool-call-id-dropped")
    assert (neither.severity, neither.kind) == ("note", "no-place")
    assert (one.severity, one.kind) == ("warning", "loses")


def test_reasoning_is_looked_for_under_the_options_that_ask_for_it() -> None:
    asked = (
        "{% for m in messages %}[{{ m.role }}]"
        "{% if thinking and m.reasoning_content and not m.tool_calls %}"
        "{{ m.reasoning_content }}{% endif %}{{ m.content }}{{ m.tool_calls or '' }}{% endfor %}"
    )
    found = finding(asked, "reasoning-dropped")
    assert "while tools are used" in found.message
    assert found.conversation["options"] == {"thinking": True, "add_generation_prompt": True}


def test_a_template_that_refuses_tools_is_not_said_to_lack_reasoning() -> None:
    """Its place may be beside the calls that cannot be tried."""
    refusing = "{{ tools | tojson if tools else '' }}" + LABELS.replace(
        "{{ m.content }}",
        "{{ raise_exception('No.') if m.role == 'tool' or m.tool_calls else m.content }}",
    )
    assert not audited(refusing, "reasoning-dropped").findings


def test_the_missing_message_is_marked_between_its_neighbours() -> None:
    jinja = CLEAN.replace(
        "{{- message.content }}",
        "{{- message.content if message.role != 'system' or loop.index0 != 2 else '' }}",
    )
    found = finding(jinja, "system-mid-dropped")
    assert found.output is not None
    assert found.span is not None
    start, end = found.span
    assert found.output[:start].endswith("Good day to you.")
    assert found.output[end:].startswith("How is the weather?")


def test_the_loop_in_which_the_system_message_vanishes_is_shown() -> None:
    jinja = CLEAN.replace(
        "{{- message.content }}",
        "{{- message.content if message.role != 'system' or messages | length != 4 else '' }}",
    )
    found = finding(jinja, "system-dropped-in-tool-loop")
    assert [message["role"] for message in found.conversation["messages"]] == [
        "system",
        "user",
        "assistant",
        "tool",
    ]


@pytest.mark.parametrize("filter", ["trim", "upper", "lower", "capitalize", "string"])
def test_a_list_that_a_filter_makes_text_of_is_printed_and_not_lost(filter: str) -> None:
    jinja = LABELS.replace("m.content", f"m.content | {filter}")
    report = audited(jinja, "list-content-printed", "list-content-dropped", "content-dropped")
    assert [one.rule for one in report.findings] == ["list-content-printed"]
