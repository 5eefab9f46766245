"""Repair of chat templates: what an audit found is mended in the template's own Jinja.

Small changes of the text, derived from its syntax tree, are tried, and one is kept only with a
proof: see `rolecall.repair.search`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from rolecall.errors import OptionError, TemplateError, nearest
from rolecall.repair.made import Repair
from rolecall.repair.proof import Change, Proof, Step, Unrepaired

if TYPE_CHECKING:
    from rolecall.template.source import Source

__all__ = ["Change", "Proof", "Repair", "Step", "Unrepaired", "repair"]


def repair(
    source: object,
    *,
    template: str | None = None,
    rules: Iterable[str] | None = None,
    allow: Iterable[str] = (),
    progress: Callable[[str], None] | None = None,
) -> Repair:
    """Repair a chat template: change as little of its Jinja as mends what an audit finds.

    A change is kept only if the finding is gone, the audit finds nothing new, and on random
    conversations nothing changes but what the finding is about. The template is never worse
    afterwards; where nothing can be repaired it is the same, and the template of a format that was
    learnt from it may be offered in its place.

    Args:
        source: What `rolecall.template` takes, or a Template.
        template: Name of one of several templates that the source holds; otherwise ``default``.
        rules: Names of the rules whose findings are to be repaired; otherwise all that can be.
        allow: What else may be repaired, though it changes what a model was trained on or needs
            an engine that knows it: ``names``; ``whitespace``; ``markers`` for transformers'
            ``{% generation %}``, or ``no-markers`` to be without for other engines.
        progress: Is told in a few words what is being done.

    Raises:
        TemplateError: If the source holds no template, or one that does not parse.
        OptionError: If there is no such rule, none that can be repaired, or nothing of the name
            that is to be allowed.
    """
    from rolecall.audit import STAND_INS
    from rolecall.repair.edits import kinds, of_rule, own_rules
    from rolecall.repair.learnt import offer
    from rolecall.repair.search import Search, prove
    from rolecall.repair.trial import SEARCHING, SECONDS, Clock, OutOfTime, Trial
    from rolecall.template.template import Template

    allowed = frozenset(allow)
    wanted = _wanted(rules, allowed)
    given, named = _given(source, template)
    told = progress or _silent
    told("auditing")
    now = source.now() if isinstance(source, Template) else None
    clock = Clock(SECONDS)
    before = Trial(given.templates[named], given, named, now, clock)
    repaired = {rule for kind in kinds().values() for rule in kind.rules}
    asked = [
        finding
        for finding in (*before.audit(), *(one for x in own_rules() for one in before.findings(x)))
        if (wanted is None and finding.rule in repaired) or finding.rule in (wanted or ())
        if of_rule(finding.rule, allowed)
    ]
    search = Search(before, allowed, told)
    clock.seconds = SEARCHING * SECONDS
    search.repair(asked)
    clock.seconds = SECONDS
    try:
        proof = prove(before, search)
    except OutOfTime:
        proof = f"there was no time to compare all conversations ({SECONDS:.0f} seconds)"
    steps, unrepaired, after = search.steps, search.unrepaired, search.trial
    if isinstance(proof, str):
        why = f"each change alone is right, but not proved for all of them together: {proof}"
        unrepaired = [*unrepaired, *(Unrepaired(one.rule, one.finding, why) for one in steps)]
        steps, after = [], before
        found = tuple(before.audit())
        proof = Proof(found, found, 0, 0, ())
    offered = offer(before, unrepaired, told) if unrepaired and not steps else None
    tokens = {} if given.tokens else {k: v for k, v in STAND_INS.items() if k in before.jinja}
    return Repair(
        given.name,
        named,
        before.jinja,
        after.jinja,
        tuple(steps),
        tuple(unrepaired),
        proof,
        offered,
        tokens,
    )


def _wanted(rules: Iterable[str] | None, allowed: frozenset[str]) -> set[str] | None:
    """The rules whose findings are to be repaired; None for all that can be.

    Raises:
        OptionError: If there is no such rule, none that can be repaired, or nothing of the name
            that is to be allowed.
    """
    from rolecall.audit.rules import known
    from rolecall.repair.edits import of_rule, opt_ins, own_rules

    for one in allowed:
        if one not in opt_ins():
            raise OptionError(
                f"nothing is called {one!r}{nearest(one, opt_ins())}; what can be allowed is: "
                f"{', '.join(opt_ins())}"
            )
    if rules is None:
        return None
    wanted = {name if name in own_rules() else known(name) for name in rules}
    for name in sorted(wanted):
        if not of_rule(name, allowed):
            raise OptionError(_cannot(name))
    return wanted


def _given(source: object, template: str | None) -> tuple[Source, str]:
    """What holds the template, and which of its templates it is.

    Raises:
        TemplateError: If it holds none, or none of that name.
    """
    from rolecall.template.source import DEFAULT, read_source
    from rolecall.template.template import Template

    given = source.source if isinstance(source, Template) else read_source(source)
    named = template or given.chosen or _only(given.templates, DEFAULT)
    if named not in given.templates:
        raise TemplateError(
            f"{given.name}: there is no template {named!r}{nearest(named, given.templates)}; it "
            f"holds {', '.join(given.templates)}"
        )
    return given, named


def _cannot(rule: str) -> str:
    """Why nothing is repaired for a rule."""
    from rolecall.repair.edits import kinds

    optional = {kind.opt_in for kind in kinds().values() if rule in kind.rules and kind.opt_in}
    if optional:
        return f"{rule} is repaired only where it is allowed: allow={sorted(optional)!r}"
    return (
        f"what {rule} finds is not repaired by a change of the template; "
        f"'rolecall audit --explain {rule}' says what to do"
    )


def _only(templates: Mapping[str, str], default: str) -> str:
    return default if default in templates or len(templates) != 1 else next(iter(templates))


def _silent(doing: str) -> None:
    pass
