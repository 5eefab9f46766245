"""The rules of the audit, one file each. The folder is the registry.

A rule is a module here whose name is the rule's with underscores, and whose docstring is its page.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from functools import cache

from rolecall.audit.rule import Rule, read_rule
from rolecall.errors import OptionError, nearest


@cache
def rules() -> dict[str, Rule]:
    """Every rule by its name, in the order in which they run."""
    found = [
        read_rule(importlib.import_module(f"{__name__}.{module.name}"))
        for module in pkgutil.iter_modules(__path__)
    ]
    found.sort(key=lambda rule: (rule.last, rule.name))
    return {rule.name: rule for rule in found}


def chosen(names: Iterable[str] | None) -> list[Rule]:
    """The rules of these names, or all of them.

    Raises:
        OptionError: If there is no rule of a name.
    """
    if names is None:
        return list(rules().values())
    wanted = {known(name) for name in names}
    return [rule for name, rule in rules().items() if name in wanted]


def known(name: str) -> str:
    """The name, if there is a rule of it.

    Raises:
        OptionError: If there is none.
    """
    if name not in rules():
        raise OptionError(f"there is no rule {name!r}{nearest(name, rules())}")
    return name
