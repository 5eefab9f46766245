"""A format as the file of a `chat_template`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rolecall.export import Exported
from rolecall.lost import Lost

if TYPE_CHECKING:
    from rolecall.format import Format


def export(
    fmt: Format,
    options: Mapping[str, Any],
    *,
    cast: object = None,
    generation_markers: bool = False,
) -> Exported:
    """Write the `chat_template` of a format.

    Args:
        fmt: The format.
        options: Values of its options; a template takes them as arguments, so these are refused.
        cast: Who authors which role.
        generation_markers: Mark what the model samples with `{% generation %}`, for transformers.

    Raises:
        InputError: If options are given.
    """
    refuse_options(fmt, options, "jinja")
    text, lost = template(fmt, cast, generation_markers=generation_markers)
    notes: tuple[str, ...] = ()
    if fmt.options:
        names = ", ".join(fmt.options)
        notes = (f"options of the format are arguments of the template: {names}",)
    return Exported("jinja", {"chat_template.jinja": text}, lost, notes)


def template(
    fmt: Format, cast: object = None, *, generation_markers: bool = False
) -> tuple[str, tuple[Lost, ...]]:
    """The template of a format, and what it cannot carry."""
    from rolecall.export import jinja

    return jinja.to_jinja(fmt, cast, generation_markers=generation_markers), jinja.lost(fmt)


def refuse_options(fmt: Format, options: Mapping[str, Any], target: str) -> None:
    """Refuse values of options where a template asks for them itself.

    Raises:
        OptionError: If there are any.
    """
    from rolecall.errors import OptionError

    for name in options:
        raise OptionError(
            f"option {name}: {target} writes a template, which takes it as an argument when it is "
            f"rendered; leave it out here"
        )
