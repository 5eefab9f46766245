"""The audit: what a chat template does to the conversations that it is given.

Small conversations are rendered with every character's origin traced, and rules ask what became of
them. A rule is a file of `rolecall.audit.rules`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from rolecall.audit.finding import Finding
from rolecall.audit.report import Failure, Report, Silenced, sorted_findings
from rolecall.errors import OptionError, TemplateError, nearest

if TYPE_CHECKING:
    from rolecall.audit.probe import Probe
    from rolecall.audit.rule import Rule
    from rolecall.template.template import Template

__all__ = ["Failure", "Finding", "Report", "Silenced", "audit"]


def audit(
    source: object,
    *,
    template: str | None = None,
    tokenizer: object = None,
    rules: Iterable[str] | None = None,
    silence: Mapping[str, str] | None = None,
) -> Report:
    """Audit a chat template.

    Args:
        source: What `rolecall.template` takes, or a Template.
        template: Name of one of several templates that the source holds; otherwise every one of
            them is audited.
        tokenizer: The model's tokenizer where it does not lie beside the template. Rules that read
            ids are quiet without one.
        rules: Names of the rules to ask; otherwise all.
        silence: Rules whose findings are not to be reported, and for each the reason.

    Raises:
        TemplateError: If the source holds no template, or one that does not parse.
        OptionError: If there is no such rule, or a silence has no reason.
        TokenizerError: If the tokenizer given cannot be loaded.
    """
    from rolecall.audit.probe import Probe
    from rolecall.audit.rules import chosen, known

    silence = dict(silence or {})
    for name, reason in silence.items():
        known(name)
        if not reason.strip():
            raise OptionError(f"silence of {name}: give the reason, it is shown in reports")
    asked = chosen(rules)
    if tokenizer is not None:
        from rolecall.tokenizers import tokenizer as load

        tokenizer = load(tokenizer)
    found: list[Finding] = []
    failures: list[Failure] = []
    named = _templates(source, template)
    assumed = _assumed(next(iter(named.values())))
    named = {name: _given(one, assumed) for name, one in named.items()}
    for one in named.values():
        one.program()  # one that is no Jinja is the caller's to know, and no finding
    probes: list[Probe] = []
    for name, one in named.items():
        beside = probes[0] if probes else None
        probes.append(Probe(one, name=name, tokenizer=tokenizer, beside=beside))
        _ask(probes[-1], asked, found, failures)
    return Report(
        template=next(iter(named.values())).name,
        templates=tuple(named),
        findings=sorted_findings(one for one in found if one.rule not in silence),
        silenced=tuple(
            Silenced(rule, reason, sorted_findings(one for one in found if one.rule == rule))
            for rule, reason in silence.items()
        ),
        failures=tuple(failures),
        unread=next((probe.unread for probe in probes if probe.unread), ""),
        unasked={name: why for probe in probes for name, why in probe.unasked.items()},
        assumed=assumed,
    )


def _ask(
    probe: Probe, asked: Iterable[Rule], found: list[Finding], failures: list[Failure]
) -> None:
    """Ask the rules about one template."""
    for rule in asked:
        try:
            if rule.unrendered or probe.renders:
                # What `default` writes with tools is `tool_use`, which is audited for itself too.
                found.extend(one for one in rule.findings(probe) if one not in found)
        except Exception as error:
            failures.append(Failure(rule.name, probe.name, f"{type(error).__name__}: {error}"))


def _templates(source: object, wanted: str | None) -> dict[str, Template]:
    """Every template that a source holds, or the one wanted, by name."""
    from rolecall.template.source import read_source
    from rolecall.template.template import Template

    made = source if isinstance(source, Template) else Template(read_source(source))
    names = made.source.templates
    if wanted is not None and wanted not in names:
        raise TemplateError(
            f"{made.name}: there is no template {wanted!r}{nearest(wanted, names)}; "
            f"it holds {', '.join(names)}"
        )
    asked = wanted or made.source.chosen
    if asked is not None:
        return {asked: _naming(made, asked)}
    # Where `default` is not chosen by name, `tool_use` takes its place as soon as there are tools.
    return {name: made if name == "default" else _naming(made, name) for name in names}


STAND_INS = {"bos_token": "<s>", "eos_token": "</s>"}
"""What a template is given for tokens that nobody tells."""


def _assumed(made: Template) -> dict[str, str]:
    """Tokens that a template asks for, of which no file beside it tells any.

    A file with a template alone is not to be blamed for what its model's files would say.
    """
    if made.source.tokens:
        return {}
    return {name: text for name, text in STAND_INS.items() if re.search(rf"\b{name}\b", made.jinja)}


def _given(made: Template, assumed: Mapping[str, str]) -> Template:
    if not assumed:
        return made
    source = dataclasses.replace(made.source, tokens=assumed)
    return dataclasses.replace(made, source=source)


def _naming(made: Template, name: str) -> Template:
    """A template whose source chooses another of its named templates."""
    from rolecall.template.template import Template

    return Template(dataclasses.replace(made.source, chosen=name), made.limits, made.now)
