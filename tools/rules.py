"""The page of the audit's rules, from the docstrings of their modules."""

from __future__ import annotations

import re
from collections.abc import Mapping

from rolecall.audit.finding import SEVERITIES
from rolecall.audit.rule import GROUPS, Group, Rule
from rolecall.audit.rules import rules
from tests.support.pages import FENCE
from tools.library import cell, table

TITLES: Mapping[Group, tuple[str, str]] = {
    "lost": ("Lost", "What was said does not arrive, or arrives as something else."),
    "refused": ("Refused", "The template raises, or has to be stopped."),
    "moved": ("Moved or added", "It arrives in another place or twice, or nobody wrote it."),
    "generation": (
        "Generation and training",
        "The prompt for a reply, the end of a reply, and the history that training and caches "
        "take for the same text.",
    ),
    "security": ("Security", "What a caller wrote becomes structure."),
    "form": (
        "Determinism and form",
        "The same conversation gives another prompt, or what is meant as JSON is none.",
    ),
    "portability": (
        "Portability",
        "Engines that run Jinja elsewhere give another prompt, or none.",
    ),
}

BEGINS = re.compile(r" *(?:[-*>|]|\d+\.|#+) ")
"""The beginning of an item, a quote, a row or a heading; any other line goes on with
a paragraph."""

DEEPER = "##"
"""By how much the headings of a rule's page are lowered; the rule's own name is the third level."""


def grouped() -> dict[Group, list[Rule]]:
    """The rules of each group: those that find the graver things first, then by name."""
    found: dict[Group, list[Rule]] = {group: [] for group in GROUPS}
    for rule in sorted(
        rules().values(), key=lambda one: (SEVERITIES.index(one.severity), one.name)
    ):
        found[rule.group].append(rule)
    return {group: members for group, members in found.items() if members}


def lowered(page: str) -> str:
    """A page with its headings lowered; a line of code that begins with ``#`` is none."""
    out: list[str] = []
    at = 0
    for fence in FENCE.finditer(page):
        out += [_lowered(page[at : fence.start()]), fence[0]]
        at = fence.end()
    return "".join([*out, _lowered(page[at:])])


def _lowered(text: str) -> str:
    return re.sub(r"^(#+ )", rf"{DEEPER}\1", text, flags=re.MULTILINE)


def unwrapped(page: str) -> str:
    """A page whose paragraphs stand on one line each, as in the other pages of ``docs/``."""
    out: list[str] = []
    at = 0
    for fence in FENCE.finditer(page):
        out += [_unwrapped(page[at : fence.start()]), fence[0]]
        at = fence.end()
    return "".join([*out, _unwrapped(page[at:])])


def _unwrapped(text: str) -> str:
    out: list[str] = []
    for line in text.split("\n"):
        going_on = out and out[-1] and line.strip() and not BEGINS.match(line)
        if going_on and not out[-1].startswith("#"):
            out[-1] += f" {line.strip()}"
        else:
            out.append(line)
    return "\n".join(out)


def why(rule: Rule) -> str:
    """The first sentence of what a rule's page says under "Why it matters"."""
    section = rule.page.partition("## Why it matters\n")[2].strip()
    paragraph = " ".join(section.partition("\n\n")[0].split())
    # A sentence ends with a period that is neither inside code nor that of an abbreviation.
    end = re.compile(r"(?:[^`.:]|`[^`]*`|[.:](?!\s|$))*[.:]").match(paragraph)
    return f"{end[0][:-1]}." if end is not None else paragraph


def link(name: str) -> str:
    """A link to a rule, from another page of ``docs/``."""
    return f"[{name}](audit-rules.md#{name})"


def rules_body() -> str:
    """The page behind its head: a table of all rules, and the page of each."""
    groups = grouped()
    out: list[str] = []
    for group, members in groups.items():
        title, about = TITLES[group]
        rows = [
            [f"[{rule.name}](#{rule.name})", rule.severity, cell(rule.summary)] for rule in members
        ]
        out.append(
            f"**{title}.** {about}\n\n{table(['rule', 'severity', 'what it reports'], rows)}\n"
        )
    for group, members in groups.items():
        out.append(f"## {TITLES[group][0]}\n\n")
        for rule in members:
            page = lowered(unwrapped(rule.page)).strip()
            out.append(f"### {rule.name}\n\n*{rule.severity}, {rule.kind}.* {page}\n\n")
    return "".join(out).rstrip("\n") + "\n"
