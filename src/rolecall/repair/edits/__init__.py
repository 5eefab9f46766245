"""The classes of repair, one file each. The folder is the registry.

A class is a module with

- ``RULES``: the rules of the audit whose findings it repairs;
- ``OPT_IN``: what ``allow`` has to name before it is tried, or an empty string;
- ``propose(trial, finding)``: candidates, each a change of the text that may repair the finding;
- ``concerns(old, new)``: whether a conversation is one that the finding is about, so that its
  output may change. Every other one has to come out as before, byte for byte;
- ``find(trial)``, where its rule is none of the audit's: what is to be repaired;
- ``like(conversation)``, where it has one: another conversation, as which a message that was lost
  has to be written now where it has no label of its own; a shorter one has to be its beginning;
- ``TRADES``, where it has any: rules that may have a lighter finding in place of the repaired one,
  because it says what the repair does on purpose;
- ``WHY``: what is said where no candidate serves.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from rolecall.repair.edit import Candidate

if TYPE_CHECKING:
    from rolecall.audit.finding import Finding
    from rolecall.audit.outcome import Outcome
    from rolecall.repair.trial import Trial


Find = Callable[["Trial"], "list[Finding]"]
Like = Callable[[Mapping[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Kind:
    """A class of repair."""

    name: str
    rules: tuple[str, ...]
    opt_in: str
    propose: Callable[[Trial, Finding], Iterable[Candidate]]
    concerns: Callable[[Outcome, Outcome], bool]
    why: str
    trades: tuple[str, ...]
    like: Like | None
    find: Find | None


@cache
def kinds() -> dict[str, Kind]:
    """Every class of repair by its name."""
    found: dict[str, Kind] = {}
    for info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{info.name}")
        name = info.name.replace("_", "-")
        found[name] = Kind(
            name,
            module.RULES,
            module.OPT_IN,
            module.propose,
            module.concerns,
            module.WHY,
            getattr(module, "TRADES", ()),
            getattr(module, "like", None),
            getattr(module, "find", None),
        )
    return found


def of_rule(rule: str, allow: frozenset[str]) -> list[Kind]:
    """The classes that may repair what a rule finds."""
    return [
        kind
        for kind in kinds().values()
        if rule in kind.rules and (not kind.opt_in or kind.opt_in in allow)
    ]


def own_rules() -> dict[str, Find]:
    """What is repaired though no audit reports it, by name."""
    return {
        rule: kind.find for kind in kinds().values() if kind.find is not None for rule in kind.rules
    }


def opt_ins() -> list[str]:
    """What ``allow`` may name."""
    return sorted({kind.opt_in for kind in kinds().values() if kind.opt_in})
