"""The page of the public surface, from signatures and docstrings.

Everything is read from the source, so that the page is the same under every Python.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from functools import cache

import rolecall as rc

REACHED = (
    "rolecall.encode.Encoding",
    "rolecall.stream.Stream",
    "rolecall.unread.Unread",
    "rolecall.template.template.Template",
    "rolecall.template.rendering.TemplateRendering",
    "rolecall.template.trace.Trace",
    "rolecall.template.trace.Span",
    "rolecall.template.runs.Origin",
    "rolecall.template.limits.Limits",
    "rolecall.audit.report.Report",
    "rolecall.audit.finding.Finding",
)
"""Public classes that are reached through others and are not exported."""

IMPORTED = ("rolecall.events",)
"""Modules that are public: what they define is imported from them."""

LISTED = ("Args", "Raises", "Attributes")
"""Sections of a docstring that list names."""

Definition = ast.FunctionDef | ast.ClassDef


@cache
def module_tree(name: str) -> ast.Module:
    """The syntax tree of a module."""
    return ast.parse(inspect.getsource(importlib.import_module(name)))


def sources() -> dict[str, tuple[str, str]]:
    """Public name to the module that defines it and its name there."""
    # The package loads its names when they are asked for; what a checker reads says where they are.
    body = module_tree("rolecall").body
    checked = [inner for node in body if isinstance(node, ast.If) for inner in node.body]
    found = {
        alias.asname or alias.name: (str(node.module), alias.name)
        for node in (*body, *checked)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    named = {name: found.get(name, ("rolecall", name)) for name in rc.__all__}
    for path in REACHED:
        module, _, name = path.rpartition(".")
        named[name] = (module, name)
    for module in IMPORTED:
        named |= {f"{module}.{name}": (module, name) for name in defined(module)}
    return named


def defined(module: str) -> list[str]:
    """The public names that a module defines and documents, in its order."""
    body = module_tree(module).body
    documented = {name for name, (_, doc) in attributes(body).items() if doc}
    found: list[str] = []
    for node in body:
        if isinstance(node, ast.ClassDef):
            found.append(node.name)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found += documented & {node.targets[0].id}
    return [name for name in found if not name.startswith("_")]


def attributes(body: list[ast.stmt]) -> dict[str, tuple[ast.stmt, str]]:
    """Assigned name to its statement and the docstring below it."""
    found: dict[str, tuple[ast.stmt, str]] = {}
    for index, node in enumerate(body):
        target = (
            node.target
            if isinstance(node, ast.AnnAssign)
            else node.targets[0]
            if isinstance(node, ast.Assign)
            else None
        )
        if isinstance(target, ast.Name):
            below = body[index + 1] if index + 1 < len(body) else None
            doc = ""
            if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
                doc = inspect.cleandoc(str(below.value.value))
            found[target.id] = (node, doc)
    return found


def prose(doc: str) -> str:
    """A Google docstring as Markdown."""
    out: list[str] = []
    section = ""
    for line in inspect.cleandoc(doc).splitlines():
        heading = re.fullmatch(r"(Args|Returns|Raises|Yields|Attributes):", line)
        if heading is not None:
            section = heading[1]
            out.append("Arguments:\n" if section == "Args" else f"{section}:\n")
        elif section and line.startswith("    "):
            item = re.match(r"    (\*{0,2}\w+): (.*)", line)
            if item is not None and section in LISTED:
                out.append(f"- `{item[1]}`: {item[2]}")
            elif section in LISTED:
                out.append(f"  {line.strip()}")
            else:
                out.append(line.strip())
        else:
            out.append(line)
    # Sphinx's double backquotes are Markdown's single ones.
    return re.sub(r"``([^`]+)``", r"`\1`", "\n".join(out)).strip() + "\n"


def signature(name: str, node: ast.FunctionDef, *, method: bool) -> str:
    """The call of a function as the page shows it."""
    arguments = ast.unparse(node.args)
    if method:
        arguments = re.sub(r"^(self|cls)(, )?", "", arguments)
    returned = f" -> {ast.unparse(node.returns)}" if node.returns is not None else ""
    return f"{name}({arguments}){returned}"


def decorators(node: Definition) -> set[str]:
    """The names of the decorators of a definition."""
    return {ast.unparse(one).partition("(")[0] for one in node.decorator_list}


def bases(node: ast.ClassDef) -> str:
    """The bases of a class, as the page shows them."""
    found = ", ".join(ast.unparse(base) for base in node.bases)
    return f"({found})" if found else ""


def class_section(name: str, node: ast.ClassDef) -> str:
    """A class with its public fields, properties and methods."""
    out = [f"```python\nclass {name}{bases(node)}\n```\n", prose(ast.get_docstring(node) or "")]
    fields: list[str] = []
    methods: list[str] = []
    for field, (statement, doc) in attributes(node.body).items():
        if not field.startswith("_") and isinstance(statement, ast.AnnAssign):
            kind = ast.unparse(statement.annotation)
            text = " ".join(prose(doc).split())
            fields.append(f"- `{field}: {kind}`" + (f": {text}" if text else ""))
    for inner in node.body:
        if not isinstance(inner, ast.FunctionDef) or inner.name.startswith("_"):
            continue
        marks = decorators(inner)
        doc = prose(ast.get_docstring(inner) or "")
        if marks & {"property", "cached_property"}:
            kind = ast.unparse(inner.returns) if inner.returns is not None else "object"
            fields.append(f"- `{inner.name}: {kind}`: {' '.join(doc.split())}")
        else:
            bound = not marks & {"classmethod", "staticmethod"}
            called = inner.name if bound else f"{name}.{inner.name}"
            shown = signature(called, inner, method="staticmethod" not in marks)
            methods.append(f"### `{name}.{inner.name}`\n\n```python\n{shown}\n```\n\n{doc}")
    if fields:
        out.append("\n".join(fields) + "\n")
    return "\n".join([*out, *methods])


def section(public: str, module: str, name: str) -> str:
    """One public name."""
    tree = module_tree(module)
    shown_name = public.rpartition(".")[2]
    title = f"## `rc.{public}`\n" if public in rc.__all__ else f"## `{public}`\n"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            shown = signature(f"rc.{public}", node, method=False)
            doc = prose(ast.get_docstring(node) or "")
            return f"{title}\n```python\n{shown}\n```\n\n{doc}"
        if isinstance(node, ast.ClassDef) and node.name == name:
            return f"{title}\n{class_section(shown_name, node)}"
    statement, doc = attributes(tree.body)[name]
    return f"{title}\n```python\n{ast.unparse(statement)}\n```\n\n{prose(doc)}"


def api_page() -> str:
    """The page."""
    found = sources()
    own = [name for name in found if "." not in name]
    functions = sorted(name for name in own if name[0].islower())
    rest = sorted(name for name in own if not name[0].islower())
    imported = [name for name in found if "." in name]
    return "\n".join(section(name, *found[name]) for name in (*functions, *rest, *imported))
