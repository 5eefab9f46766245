"""axolotl: the part of its configuration that is about the chat."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rolecall.conversation import STANDARD_ROLES, Author, Cast
from rolecall.export import Exported
from rolecall.export.frames import writes_name
from rolecall.export.template_file import template
from rolecall.lost import Lost

if TYPE_CHECKING:
    from rolecall.format import Format

ALIASES: Mapping[str, tuple[str, ...]] = {"user": ("human",), "assistant": ("gpt",)}
"""What data calls standard roles beside their names."""


def export(
    fmt: Format,
    options: Mapping[str, Any],
    *,
    model: str | None = None,
    data: str = "data.jsonl",
    cast: object = None,
) -> Exported:
    """Write the configuration of a format.

    Args:
        fmt: The format.
        options: Values of its options.
        model: The base model, or None to leave it to the rest of the configuration.
        data: The dataset.
        cast: Who authors which role; roles of the model are trained on.

    Raises:
        InputError: If the format cannot be written as a template.
    """
    given = Cast.read(cast)
    text, lost = template(fmt, given)
    authors = _authors(fmt, given)
    tokens = {"bos_token": fmt.bos_token, "eos_token": fmt.eos_token}
    tokens |= {key: value for key, value in options.items() if key in tokens}
    kwargs = {key: value for key, value in options.items() if key not in tokens}
    stop = fmt.render(
        [{"role": "user", "content": "x"}], add_generation_prompt=True, strict=False, **options
    ).stop
    ends = [end for end in stop if end in fmt.control]
    added = [token for token in fmt.control if token not in tokens.values()]
    trained = [role for role, author in authors.items() if author == "model"]
    dataset: dict[str, Any] = {
        "path": data,
        "type": "chat_template",
        "field_messages": "messages",
        "message_property_mappings": {"role": "role", "content": "content"},
        "roles": {role: [role, *ALIASES.get(role, ())] for role in authors},
        "roles_to_train": trained,
        "train_on_eos": "turn",
    }
    config: dict[str, Any] = {"base_model": model} if model is not None else {}
    config |= {"chat_template": "jinja", "chat_template_jinja": text}
    if kwargs:
        config["chat_template_kwargs"] = kwargs
    if ends:
        config["eot_tokens"] = ends
    special = {key: value for key, value in tokens.items() if value}
    if special:
        config["special_tokens"] = special
    if added:
        config["tokens"] = added
    config["datasets"] = [dataset]
    notes = [f"{data!r} stands for your data; put the rest of your configuration beside this"]
    if added:
        notes.append("tokens that the base model lacks are added, and their rows need training")
    if not ends:
        notes.append(
            "no control token ends a turn here: see with axolotl preprocess --debug what is trained"
        )
    return Exported(
        "axolotl",
        {"axolotl.yml": yaml(config)},
        (*_lost(fmt, authors), *lost),
        tuple(notes),
    )


def _authors(fmt: Format, cast: Cast) -> dict[str, Author]:
    """The roles that data may have, with their authors."""
    found: dict[str, Author] = {
        role: author
        for role, author in STANDARD_ROLES.items()
        if author in fmt.turns and (role != "developer" or role in fmt.roles)
    }
    found.update(fmt.declared)
    found.update({role: author for (role, name), author in cast.entries.items() if name is None})
    return found


def _lost(fmt: Format, authors: Mapping[str, Author]) -> Iterator[Lost]:
    if any(writes_name(fmt, author, role) for role, author in authors.items() if author == "model"):
        detail = (
            "axolotl 0.19 finds a message in the text by one without a name, so a name in the "
            "header of a trained message is trained on too"
        )
        yield Lost("warning", "name-trained", None, "name", detail)
    detail = (
        "axolotl trains on a message or does not (message_field_training), weights are not read"
    )
    yield Lost("note", "weight-dropped", None, "weight", detail)


def yaml(config: Mapping[str, Any]) -> str:
    """A configuration as YAML: tables, lists and texts, nothing else."""
    return "".join(f"{line}\n" for line in _table(config, 0))


def _table(table: Mapping[str, Any], depth: int) -> Iterator[str]:
    pad = "  " * depth
    for name, value in table.items():
        key = _scalar(name)
        if isinstance(value, str) and "\n" in value and _plain(value):
            # The number says how far the text is indented, whatever it begins with.
            chomp = "" if value.endswith("\n") else "-"
            yield f"{pad}{key}: |2{chomp}"
            yield from (f"{pad}  {line}" if line else "" for line in _lines(value))
        elif isinstance(value, Mapping):
            yield f"{pad}{key}:"
            yield from _table(value, depth + 1)  # pyright: ignore[reportUnknownArgumentType]
        elif isinstance(value, list):
            yield from _list(f"{pad}{key}", value, depth)  # pyright: ignore[reportUnknownArgumentType]
        else:
            yield f"{pad}{key}: {_scalar(value)}"


def _list(head: str, values: Sequence[Any], depth: int) -> Iterator[str]:
    if not any(isinstance(value, Mapping) for value in values):
        if len(values) < 4:
            yield f"{head}: [{', '.join(map(_scalar, values))}]"
            return
        yield f"{head}:"
        yield from (f"{'  ' * depth}  - {_scalar(value)}" for value in values)
        return
    yield f"{head}:"
    for value in values:
        first, *rest = _table(value, depth + 2)
        yield f"{'  ' * depth}  - {first.strip()}"
        yield from rest


def _lines(text: str) -> list[str]:
    return text.removesuffix("\n").split("\n")


def _plain(text: str) -> bool:
    """Whether a text can stand as it is between lines, and ends in at most one newline."""
    return not text.endswith("\n\n") and all(c.isprintable() or c in "\n\t" for c in text)


WORDS = ("true", "false", "null", "yes", "no", "on", "off", "y", "n")


def _scalar(value: object) -> str:
    if isinstance(value, str):
        simple = value.replace("_", "a").replace(".", "a").replace("/", "a")
        if simple.isascii() and simple.isalpha() and value.lower() not in WORDS and value[0] != ".":
            return value
        # JSON is YAML; what is no printable character is escaped.
        return json.dumps(value, ensure_ascii=not value.isprintable())
    return json.dumps(value)
