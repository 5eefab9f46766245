"""Cases of the audit's rules: a clean template, and what each rule is tried on.

How to add a rule `some-thing` in a minute:

1. ``src/rolecall/audit/rules/some_thing.py``: the page as its docstring, ``SEVERITY``, ``KIND`` and
   ``check(probe)``. Copy a rule that is like it.
2. ``tests/audit_cases/some_thing.py``: one constant, ``CASE = Case(…)``::

       CASE = Case(
           fires="mistral-7b-v0.1",                  # a name of tests/support/templates.py
           quiet="qwen3",                            # another one, on which it does not
           mutant=[("{{ message.content }}", "")],   # replacements in CLEAN below
           says="dropped",                           # what stands in its message
       )

3. ``pytest tests/test_audit_rules.py -k some-thing``.

The rule has to appear alone on the mutant, and no rule may appear on CLEAN. Where CLEAN lacks what
the rule is about, add it there in the most harmless way, and run the whole of
``tests/test_audit_rules.py`` afterwards.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest

from rolecall.audit import Report, audit
from rolecall.audit.probe import LIMITS
from rolecall.audit.rules import rules
from rolecall.errors import TemplateLimit, TemplateRaised
from rolecall.template.source import Source
from rolecall.template.template import Template
from tests import audit_cases

CLEAN = r"""
{{- bos_token }}
{%- if tools and (not messages or messages[0].role != 'system') %}
    {{- '<|im_start|>system\n' }}
    {%- for tool in tools %}{{ tool | tojson }}{{ '\n' }}{% endfor %}
    {{- '<|im_end|>\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if '<' in message.role %}{{ raise_exception('A role is a word.') }}{% endif %}
    {%- if '<' in (message.name or '') %}{{ raise_exception('A name is words.') }}{% endif %}
    {%- if message.content is string and '<|im_' in message.content %}
        {{- raise_exception('Text holds no control tokens.') }}
    {%- endif %}
    {%- if message.role != 'system' or message.content or (tools and loop.first) %}
        {{- '<|im_start|>' + message.role }}
        {%- if message.name %}{{ ' name=' + message.name }}{% endif %}
        {%- if message.tool_call_id %}{{ ' id=' + message.tool_call_id }}{% endif %}
        {{- '\n' }}
        {%- if message.reasoning_content %}
            {{- '<think>\n' + message.reasoning_content + '\n</think>\n\n' }}
        {%- endif %}
        {%- if message.content is string %}
            {{- message.content }}
        {%- elif message.content %}
            {%- for part in message.content %}{{ part.text }}{% endfor %}
        {%- endif %}
        {%- if tools and loop.first and message.role == 'system' %}
            {{- '\n\n' }}
            {%- for tool in tools %}{{ tool | tojson }}{{ '\n' }}{% endfor %}
        {%- endif %}
        {%- for call in message.tool_calls or [] %}
            {{- '\n<tool_call' }}
            {%- if call.id %}{{ ' id=' + call.id }}{% endif %}
            {{- '>\n{"name": ' + (call.function.name | tojson) + ', "arguments": ' }}
            {%- if call.function.arguments is string %}
                {{- call.function.arguments }}
            {%- else %}
                {{- call.function.arguments | tojson }}
            {%- endif %}
            {{- '}\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}
"""
"""A template of our own, on which no rule has anything to say.

ChatML with names, reasoning that is kept, tools, calls with their ids, results, typed content,
any word as a role and an empty system message that is as good as none. What could be a control token
in a role, a name or a text is refused.
"""

TOKENS = {"bos_token": "<s>", "eos_token": "<|im_end|>"}
CONTROL = ("<s>", "<|im_start|>", "<|im_end|>")


def source(jinja: str = CLEAN, **changes: Any) -> Source:
    """A template as it stands in a model's folder; `changes` are fields of the Source."""
    made = Source(
        name="clean",
        templates={"default": jinja.strip("\n")},
        tokens=TOKENS,
        eos=("<|im_end|>",),
        added=CONTROL,
        tokenizer=None,
        add_bos=False,
    )
    return dataclasses.replace(made, **changes)


def template(jinja: str = CLEAN, **changes: Any) -> Template:
    """A Template of a Jinja text with the tokens of CLEAN."""
    return Template(source(jinja, **changes))


@dataclass(frozen=True)
class Case:
    """What a rule is tried on."""

    fires: str | None
    """Name of a published template that triggers it. None where no published one can be had that
    does; `why` says so then."""
    quiet: str | None
    """Name of a published template that does not."""
    mutant: Sequence[tuple[str, str]]
    """Replacements in CLEAN after which this rule appears, and no other one."""
    says: str = ""
    """A part of the message on the mutant."""
    sources: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the Source that the mutant has otherwise, such as ``eos``."""
    tokenizer: Callable[[], object] | None = None
    """Makes the tokenizer for the mutant and for CLEAN, for rules that read ids."""
    beside: Sequence[str] = ()
    """Rules that speak of CLEAN too once there is a tokenizer. Leave it empty if at all possible."""
    harmless: Sequence[str] = ()
    """Whole templates on which the rule is quiet: what might be a false alarm."""
    harmful: Sequence[str] = ()
    """Further whole templates on which it fires."""
    why: str = ""
    """Why there is no published template of one sort."""
    engine: Callable[[], AbstractContextManager[None]] | None = None
    """Brings the engine that the rule asks, which is there in the long run only: the rule is tried
    then."""


@cache
def cases() -> dict[str, Case]:
    """The case of every rule, by the rule's name."""
    modules = [
        importlib.import_module(f"{audit_cases.__name__}.{module.name}")
        for module in pkgutil.iter_modules(audit_cases.__path__)
    ]
    return {module.__name__.rpartition(".")[2].replace("_", "-"): module.CASE for module in modules}


def mutant(case: Case) -> Template:
    """CLEAN with the replacements of a case."""
    jinja = CLEAN
    for old, new in case.mutant:
        assert old in jinja, f"the clean template does not hold {old!r}"
        jinja = jinja.replace(old, new)
    assert jinja != CLEAN or case.sources, "the mutant is the clean template"
    return template(jinja, **case.sources)


def rule_names(report: Report) -> set[str]:
    """The rules that have something to say, once it is sure that none of them failed."""
    assert not report.failures, "\n".join(map(str, report.failures))
    return {finding.rule for finding in report.findings}


def all_rules() -> list[str]:
    """Names of every rule."""
    return list(rules())


def audited(jinja: str, *only: str) -> Report:
    """The report on a Jinja text with the tokens of CLEAN, by some rules or all."""
    return audit(template(jinja), rules=only or None)


def check_findings(report: Report, one: Template) -> None:
    """What a finding shows is true: the conversation renders to the output, the place is in it."""
    # With a probe's limits: what runs without end need not run for long.
    one = dataclasses.replace(one, limits=LIMITS)
    for finding in report.findings:
        shown = json.loads(json.dumps(finding.to_json()))
        assert shown["message"].endswith("."), shown
        assert "\n" not in shown["message"], shown
        conversation = dict(shown["conversation"])
        options = conversation.pop("options", {})
        options.pop("continue_final_message", None)
        if finding.output is None:
            with pytest.raises((TemplateRaised, TemplateLimit)):
                one.trace(**conversation, **options)
        else:
            assert one.trace(**conversation, **options).text == finding.output
            assert finding.span is None or shown["span"] == list(finding.span)
