"""Arguments and options that several commands take."""

from __future__ import annotations

from typing import Annotated

import typer

ToolsOption = Annotated[
    str | None,
    typer.Option("--tools", metavar="FILE", help="Tool schemas; they replace those of FILE."),
]

File = Annotated[
    str,
    typer.Argument(
        metavar="FILE",
        help="A list of messages, {messages, tools, cast, options}, or a JSONL file with one of "
        "either on each line; - is standard input.",
        show_default=False,
    ),
]

CastOption = Annotated[
    list[str] | None,
    typer.Option(
        "--cast",
        metavar="ROLE[:NAME]=AUTHOR | FILE",
        help="Who writes under a role: owner, client, model or tool. A FILE holds "
        "[{role, name, author}] or {role: author}. Repeatable.",
    ),
]

TemplateArgument = Annotated[
    str,
    typer.Argument(
        metavar="TEMPLATE",
        help="A model's folder, a tokenizer_config.json, a .jinja or .gguf file; - is a template "
        "or tokenizer_config.json on standard input.",
        show_default=False,
    ),
]

TemplateName = Annotated[
    str | None,
    typer.Option("--template", metavar="NAME", help="Which of several named templates."),
]

Force = Annotated[bool, typer.Option("--force", help="Write over what is there.")]

FailOnLoss = Annotated[
    str | None,
    typer.Option(
        "--fail-on",
        metavar="LEVEL",
        help="Exit with 1 if something of this level is lost: note, warning or error.",
    ),
]
