"""llama.cpp: a template for its server, with the arguments to start it with."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rolecall.export import Exported
from rolecall.export.template_file import template

if TYPE_CHECKING:
    from rolecall.format import Format


def export(
    fmt: Format,
    options: Mapping[str, Any],
    *,
    model: str = "model.gguf",
    cast: object = None,
) -> Exported:
    """Write the template of a format, and how to start the server with it.

    Args:
        fmt: The format.
        options: Values of its options; the server hands them to the template.
        model: The model's file.
        cast: Who authors which role.

    Raises:
        InputError: If the format cannot be written as a template.
    """
    text, lost = template(fmt, cast)
    name = f"{fmt.name}.jinja"
    command = ["llama-server", "-m", model, "--jinja", "--chat-template-file", name]
    tokens = {key: options[key] for key in ("bos_token", "eos_token") if key in options}
    given = {key: value for key, value in options.items() if key not in tokens}
    if given:
        command += ["--chat-template-kwargs", json.dumps(given, ensure_ascii=False)]
    notes = [f"start the server with: {shlex.join(command)}"]
    stop = fmt.render(
        [{"role": "user", "content": "x"}], add_generation_prompt=True, strict=False, **options
    ).stop
    control = [end for end in stop if end in fmt.control]
    strings = [end for end in stop if end not in fmt.control]
    if control:
        notes.append(
            f"a reply ends with {', '.join(control)}: the server stops there if the model's file "
            "has it as an end token (tokenizer.ggml.eos_token_id or eot_token_id)"
        )
    if strings:
        notes.append(f"send these in 'stop' with each request: {json.dumps(strings)}")
    notes += [f"{key} is that of the model's file, whatever is given" for key in tokens]
    notes.append("a message that spells a control token becomes one there")
    return Exported("llama-cpp", {name: text}, lost, tuple(notes))
