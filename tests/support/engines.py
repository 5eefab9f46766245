"""Engines of other languages for the tests: brought from the registries, and gone afterwards."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rolecall import engines
from rolecall.engines import huggingface_js as javascript
from tests.support import llama_cpp as server
from tests.support.assets import asset, package

JINJA = "npm:@huggingface/jinja==0.5.11/package.json"


@contextmanager
def huggingface_js() -> Iterator[None]:
    """``@huggingface/jinja``, run by the node that pyright's package brings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(javascript.FOLDER, str(package(JINJA)))
        yield from _fresh()


@contextmanager
def llama_cpp() -> Iterator[None]:
    """llama.cpp as the wheel xllamacpp carries it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path, str(asset(server.WHEEL).parent.parent)])
        yield from _fresh()


def _fresh() -> Iterator[None]:
    """Engines that look anew for what is installed, inside and afterwards."""
    engines.engine.cache_clear()
    try:
        yield
    finally:
        engines.engine.cache_clear()
