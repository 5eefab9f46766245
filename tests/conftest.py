"""How the tests run: their Hypothesis profile, no network for model hubs, and the long run.

``ROLECALL_TEST_PROFILE`` picks the number of examples a law is tried on: ``quick`` while editing,
``default`` in ``make check``, ``full`` in ``make check-full``. The first two try the same examples
every time, so that a change is judged by what it changed; with ``ROLECALL_TEST_FRESH=1``, as always
in the long run, they are others in every run: that is where new counterexamples come from.
"""

import os

import pytest
from hypothesis import HealthCheck, Phase, settings

# Model hubs are never asked: what the tests need comes from package registries. These are read
# when the libraries are imported, so they are set before any test module is.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
# The tests run in several processes already, and a forked tokenizers pool warns.
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# Colour is for terminals; a CI service that forces it must not change what commands print.
for _name in ("FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS"):
    os.environ.pop(_name, None)

EXAMPLES = {"quick": 25, "default": 100, "full": 3000}

PROFILE = os.environ.get("ROLECALL_TEST_PROFILE", "default")
if PROFILE not in EXAMPLES:
    raise pytest.UsageError(
        f"ROLECALL_TEST_PROFILE is {PROFILE!r}; it must be one of {', '.join(EXAMPLES)}"
    )

FRESH = PROFILE == "full" or os.environ.get("ROLECALL_TEST_FRESH", "") not in ("", "0")

for _name, _examples in EXAMPLES.items():
    settings.register_profile(
        _name,
        max_examples=_examples,
        derandomize=not FRESH,
        # A time limit an example, and a complaint about slow generation, would make the result
        # depend on how busy the machine is.
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        print_blob=True,
        # Everything but `explain`, which takes minutes to comment on a failure.
        phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.target, Phase.shrink],
    )
settings.load_profile(PROFILE)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="also run the tests marked full")


def pytest_report_header() -> str:
    which = "fresh ones" if FRESH else "the same every time"
    return f"rolecall profile: {PROFILE}, {EXAMPLES[PROFILE]} examples a law, {which}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--full"):
        return
    long = [item for item in items if item.get_closest_marker("full")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if not item.get_closest_marker("full")]
