"""Runs chat templates with minijinja: a line of JSON in, a line of JSON out.

A program of its own, since minijinja counts a template's steps and not the memory it takes. It is
run as a file and takes the folders of packages as arguments, so that nothing of rolecall is loaded.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

FUEL = 5_000_000
"""Steps of one rendering; the conversations of an audit need some thousands."""
MEMORY = 2**29

CHAT, AROUND = "chat", "around"
PLACE = re.compile(rf"^(?:caused by: )?(?P<what>.*) \(in {CHAT}:(?P<line>\d+)\)$", re.MULTILINE)


class _Raised(Exception):  # noqa: N818  (what the template raised)
    pass


def main() -> None:
    """Answer until the input ends."""
    sys.path[:] = sys.argv[1:]
    _limit()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_answer(json.loads(line))) + "\n")
        sys.stdout.flush()


def _limit() -> None:
    """Take no more memory than `MEMORY`, where the system has such a limit."""
    try:
        resource: Any = importlib.import_module("resource")
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    except (ImportError, OSError, ValueError):
        return


def _answer(question: dict[str, Any]) -> list[dict[str, Any]]:
    package: Any = importlib.import_module("minijinja")
    templates: dict[str, str] = {CHAT: question["jinja"]}
    now = datetime.fromisoformat(question["now"])
    environment = package.Environment(
        loader=templates.get,
        filters={"tojson": _tojson},
        globals={"raise_exception": _raise_exception, "strftime_now": now.strftime},
        # By its default it escapes what is named like a page.
        auto_escape_callback=_never,
        fuel=FUEL,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    answers: list[dict[str, Any]] = []
    for variables in question["variables"]:
        named = (f"{{% set {name} = {_literal(value)} %}}" for name, value in variables.items())
        templates[AROUND] = "".join(named) + f"{{% include '{CHAT}' %}}"
        environment.reload()
        try:
            answers.append({"text": environment.render_template(AROUND)})
        except _Raised as error:
            answers.append({"error": str(error)})
        except package.TemplateError as error:
            answers.append(_failed(error))
    return answers


def _never(_: object) -> bool:
    return False


def _raise_exception(message: object) -> None:
    raise _Raised(message)


def _tojson(value: Any, **arguments: Any) -> str:
    """As transformers: `json.dumps`, with non-ASCII as it is."""
    given: dict[str, Any] = {"ensure_ascii": False, **arguments}
    return json.dumps(value, **given)


def _literal(value: Any) -> str:
    """A value of JSON as minijinja spells it."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()
        return "{" + ", ".join(f"{_literal(k)}: {_literal(item)}" for k, item in items) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_literal, cast("Sequence[object]", value))) + "]"
    return json.dumps(value)


def _failed(error: Any) -> dict[str, Any]:
    """What an error says of the template; the one around it is nobody's."""
    found = list(PLACE.finditer(str(error)))
    if not found:
        return {"error": str(error.message)}
    what = found[-1]["what"]
    parsed = not what.startswith("syntax error")
    return {"error": what, "line": int(found[-1]["line"]), "parsed": parsed}


if __name__ == "__main__":
    main()
