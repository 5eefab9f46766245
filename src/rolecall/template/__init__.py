"""Chat templates in Jinja, run so that the origin of every character is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rolecall.template.template import Template


def load_template(source: object, template: str | None = None) -> Template:
    """Load a model's own chat template.

    Args:
        source: A model's folder, its `tokenizer_config.json`, a `.jinja` file, a `.gguf` file
            (its weights are not read), or a transformers tokenizer.
        template: Which of several named templates; None chooses as transformers does:
            ``tool_use`` where tools are given and there is one, else ``default``.

    Raises:
        TemplateError: If there is no template to be read, or it is no Jinja.
    """
    from rolecall.template.source import read_source
    from rolecall.template.template import Template

    if isinstance(source, Template):
        if template is None:
            return source
        source = source.source
    made = Template(read_source(source, template))
    made.program()
    return made
