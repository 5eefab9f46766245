"""Who is to speak: a role, a role with a name, or whoever the model chooses."""

from __future__ import annotations


class ModelChoice:
    """The type of `rolecall.ANY`: the model chooses who speaks."""

    def __repr__(self) -> str:
        return "rolecall.ANY"

    def __reduce__(self) -> str:
        return "ANY"


ANY = ModelChoice()
"""As `speaker`: open a header and let the model choose who speaks."""

Speaker = str | tuple[str, str] | ModelChoice
