"""Learning: from a chat template in Jinja to a format file, and the proof that it says the same.

Small conversations are tried on the template; what it writes between their contents becomes the
tables of a format file; the file is held against the template on random conversations that were
made afterwards. A kind of conversation that comes out otherwise is not claimed, and a template of
which not even plain conversations come out alike is refused.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rolecall.learn.learning import Learnt

__all__ = ["learn"]

SECONDS = 28.0
"""How long learning may take, in time of the processor."""
SIZE = 1000
"""How many conversations in the usual order a proof takes, and as many in any other."""


def learn(
    source: object,
    *,
    template: str | None = None,
    seed: int | None = None,
    seconds: float = SECONDS,
    size: int = SIZE,
    progress: Callable[[str, int], None] | None = None,
) -> Learnt:
    """Learn a format from a model's own chat template.

    Args:
        source: What `rolecall.template` takes, or a Template.
        template: Which of several named templates.
        seed: Seed of the conversations that the format is proved on; None takes a new one.
        seconds: How long it may take, in time of the processor.
        size: How many plain conversations in the usual order the proof takes, as many in any other
            order, and half as many of every other kind.
        progress: Told what is being done and how many conversations were tried.

    Returns:
        The format, the text of its file, what is claimed and what is not.

    Raises:
        LearnError: If no format file writes plain conversations as the template does.
        TemplateError: If the source holds no template, or one that is no Jinja.
    """
    from rolecall.audit import STAND_INS
    from rolecall.learn.learning import learn_format
    from rolecall.template import load_template

    made = load_template(source, template)
    assumed: dict[str, str] = {}
    if not made.source.tokens:
        # A file with a template alone does not say what its tokens are.
        asked = {name for name in STAND_INS if re.search(rf"\b{name}\b", made.jinja)}
        assumed = {name: STAND_INS[name] for name in asked}
        made = dataclasses.replace(
            made, source=dataclasses.replace(made.source, tokens=assumed), _programs={}, _habits={}
        )
    return learn_format(
        made, assumed=assumed, seed=seed, seconds=seconds, size=size, progress=progress
    )
