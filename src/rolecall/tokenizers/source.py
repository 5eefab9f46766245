"""The JSON of a ``tokenizer.json``, whose model is megabytes that are read once and not written."""

from __future__ import annotations

import ctypes
import json
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

_MODEL = re.compile(r'"model"\s*:\s*')


class Model(dict[str, Any]):
    """The model of a ``tokenizer.json`` without its merges, with the text that it was read from.

    Only the engines ask for the merges; as objects they would take some 100 MB.
    """

    def __init__(self, data: dict[str, Any], text: str) -> None:
        """Keep the text beside what it says."""
        super().__init__({key: value for key, value in data.items() if key != "merges"})
        self.text = text

    def whole(self) -> dict[str, Any]:
        """All that the text says."""
        return json.loads(self.text)


def loads(text: str) -> Any:
    """Read JSON; where its last key is a model, as tokenizers write it, that is a `Model`.

    Raises:
        ValueError: If it is no JSON.
    """
    found = _MODEL.search(text)
    if found is None:
        return json.loads(text)
    try:
        model, end = json.JSONDecoder().raw_decode(text, found.end())
        # It parses only if the key found is one of the outermost object.
        data = json.loads(text[: found.start()] + '"model": null}')
    except ValueError:
        return json.loads(text)
    if text[end:].strip() != "}" or not isinstance(model, dict):
        return json.loads(text)
    data["model"] = Model(model, text[found.end() : end])  # pyright: ignore[reportUnknownArgumentType]
    return data


def give_back() -> None:
    """Give memory that was freed back to the system, where the C library keeps it.

    Reading megabytes of JSON into objects leaves a hundred and more.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # not every C library has it
            ctypes.CDLL(None).malloc_trim(0)


def dumps(data: Mapping[str, Any]) -> str:
    """Write JSON; of a `Model` the text is written that it was read from."""
    model = data.get("model")
    if not isinstance(model, Model):
        return json.dumps(data, ensure_ascii=False)
    rest = {key: value for key, value in data.items() if key != "model"}
    # The model stands first: there need be nothing else.
    return f'{{"model": {model.text}, {json.dumps(rest, ensure_ascii=False)[1:]}'
