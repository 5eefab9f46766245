"""Holds configurations against axolotl's own schema, of its wheel: ``python FILE WHEEL``.

Its packages are loaded without what they load at their beginning, and torch, which enumerations name
types of, is a stand-in. Standard input is a list of configurations; what a model refuses is an
error on standard error, and the exit status is 1.
"""

import importlib
import json
import logging
import sys
import types
from pathlib import Path
from unittest.mock import MagicMock


def main() -> None:
    root = Path(sys.argv[1]) / "axolotl"
    for name in ("axolotl", "axolotl.utils", "axolotl.utils.schemas"):
        package = types.ModuleType(name)
        package.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = package
    stand_in = types.ModuleType("axolotl.utils.logging")
    stand_in.get_logger = logging.getLogger  # pyright: ignore[reportAttributeAccessIssue]
    sys.modules["axolotl.utils.logging"] = stand_in
    sys.modules["torch"] = MagicMock()
    datasets = importlib.import_module("axolotl.utils.schemas.datasets")
    model = importlib.import_module("axolotl.utils.schemas.model")
    for config in json.load(sys.stdin):
        for dataset in config["datasets"]:
            read = datasets.SFTDataset(**dataset)
            assert set(dataset) <= set(datasets.SFTDataset.model_fields), dataset
            assert read.roles_to_train == dataset["roles_to_train"]
        special = config.get("special_tokens", {})
        assert set(special) <= set(model.SpecialTokensConfig.model_fields), special
        model.SpecialTokensConfig(**special)


if __name__ == "__main__":
    main()
