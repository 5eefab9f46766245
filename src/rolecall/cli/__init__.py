"""The command line: one file a command, and here what they share.

Everything is worked out before anything is written, so that an error leaves nothing half-written.
Exit status: 0 output written, 1 `--fail-on` was reached, 2 bad input or refused.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import Annotated, Any

import typer

from rolecall import __version__
from rolecall.cli.screen import Output, one_line
from rolecall.errors import (
    LossError,
    ParseError,
    RolecallError,
    UndeclaredRoleError,
    nearest,
)

FAILED = 2
BROKEN_PIPE = 141
"""What a shell reports for a program that SIGPIPE ended."""
INTERRUPTED = 130
LONGEST = 1000
"""Characters of a line of an error message; what it quotes may be of any length."""

OPTIONAL_VALUES = {
    "--strict": "--strict=error",
    "--no-strict": "--strict=off",
    "--continue-final-message": "--continue-final-message=true",
}
"""Options that may stand without a value, and what they then mean: a value only follows ``=``, so
that a file named after the option is not taken for it."""

UsageError: Any = typer.BadParameter.__base__
"""The command line itself is wrong; typer gives its exception no public name."""

COMMANDS = ("formats", "render", "parse", "compare", "audit", "repair", "learn", "export", "card")
"""Every command, in the order of the help; each is the `command` of the module of its name."""


def _app(commands: Sequence[str]) -> typer.Typer:
    """The command line with these commands; their modules are loaded."""
    app = typer.Typer(
        name="rolecall",
        help="The compiler for chat formats: see what a model reads of a conversation.",
        rich_markup_mode=None,
        add_completion=False,
    )
    app.callback()(_top)
    for name in commands:
        app.command(name)(import_module(f"rolecall.cli.{name}").command)
    return app


def _version(given: bool) -> None:
    if given:
        typer.echo(f"rolecall {__version__}")
        raise typer.Exit


def _top(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line of this process and exit."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit status."""
    if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison]
        return _fail("cannot write to standard output: it is closed")
    try:
        # Only the command that is run is loaded, and all of them where none is named first.
        named = arguments[:1] if arguments and arguments[0] in COMMANDS else COMMANDS
        command = typer.main.get_command(_app(named))
        output = command.main(
            _with_values(arguments or ["--help"]), prog_name="rolecall", standalone_mode=False
        )
        # typer ends the process itself where a pipe breaks, so nothing is written until it is done.
        return _write(output) if isinstance(output, Output) else output or 0
    except UsageError as error:
        return _fail(_usage(error))
    except RolecallError as error:
        return _fail(f"{error}{_way_out(error)}")
    except RecursionError:
        return _fail("the input is nested too deeply")
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED


def _write(output: Output) -> int:
    try:
        output.write()
        sys.stdout.flush()
    except OSError as error:
        _abandon_stdout()
        if isinstance(error, BrokenPipeError):
            return BROKEN_PIPE
        return _fail(f"cannot write to standard output: {error.strerror or error}")
    _complain("".join(f"{one_line(note)}\n" for note in output.notes))
    return output.status


def _with_values(arguments: Sequence[str]) -> list[str]:
    """The arguments with a value for each option that stands without one."""
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    return [OPTIONAL_VALUES.get(given, given) for given in arguments[:cut]] + list(arguments[cut:])


def _usage(error: Any) -> str:
    """What is wrong with the command line, in the same words under every version of typer."""
    text = re.sub(r"\s*(Did you mean.*|\(Possible options.*)?$", "", error.format_message())
    text = text[:1].lower() + text[1:].rstrip(".")
    context = getattr(error, "ctx", None)
    if context is None:
        return text
    known = [name for parameter in context.command.params for name in parameter.opts]
    known += getattr(context.command, "commands", {})
    unknown = re.fullmatch(r"no such (\w+):? '?([^' ]+)'?", text)
    near = ""
    if unknown is not None:
        text, near = "no such {} {!r}".format(*unknown.groups()), nearest(unknown[2], known)
    return f"{text}{near}\nsee '{context.command_path} --help'"


def _way_out(error: RolecallError) -> str:
    """What the error's advice, written for Python, is on the command line."""
    if isinstance(error, (LossError, ParseError)):
        return "\non the command line: --no-strict"
    if isinstance(error, UndeclaredRoleError):
        return "\non the command line: --cast ROLE=AUTHOR, or a key 'cast' in the file"
    return ""


def _fail(text: str) -> int:
    lines = [one_line(line) for line in text.split("\n")]
    lines = [line if len(line) <= LONGEST else f"{line[:LONGEST]}…" for line in lines]
    _complain("\n".join([f"rolecall: {lines[0]}", *lines[1:]]) + "\n")
    return FAILED


def _complain(text: str) -> None:
    # Where nobody is there to read it, the exit status still says it.
    with suppress(OSError, AttributeError):
        sys.stderr.write(text)
        sys.stderr.flush()


def _abandon_stdout() -> None:
    """Let what is buffered go nowhere, so that Python's own flush at exit does not fail again."""
    with suppress(OSError, ValueError):
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, sys.stdout.fileno())
        os.close(descriptor)
