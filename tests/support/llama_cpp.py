"""llama.cpp as the wheel xllamacpp carries it: its own ids for the tokenizer of a GGUF file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.assets import asset
from tests.support.gguf import Typed

WHEEL = "pypi:xllamacpp==2026.10.11549/xllamacpp/__init__.py"

# The package has no tokenizer of its own, only llama.cpp's server, which loads a whole model.
_ASK = """
import json, os, sys, urllib.request
import xllamacpp

file, texts = sys.argv[1], json.load(sys.stdin)
params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, params.warmup, params.n_parallel = file, 64, False, 1
server = xllamacpp.Server(params)
found = []
for text in texts:
    body = {"content": text, "add_special": False, "parse_special": False}
    request = urllib.request.Request(
        server.listening_address + "/tokenize",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        found.append(json.load(answer)["tokens"])
with open(sys.argv[2], "w") as out:
    json.dump(found, out)
os._exit(0)
"""


def write_model(file: Path, metadata: Mapping[str, Any]) -> None:
    """The smallest model that llama.cpp loads, with the tokenizer of the metadata."""
    import gguf
    import numpy as np

    width = 32
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_block_count(1)
    writer.add_context_length(512)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(width)
    writer.add_head_count(1)
    writer.add_head_count_kv(1)
    writer.add_rope_dimension_count(width)
    writer.add_layer_norm_rms_eps(1e-5)
    for key, value in ({"tokenizer.ggml.bos_token_id": 0} | dict(metadata)).items():
        plain = value.value if isinstance(value, Typed) else value
        if key == "tokenizer.ggml.add_bos_token":
            continue
        if isinstance(plain, list):
            writer.add_array(key, plain)
        elif isinstance(plain, str):
            writer.add_string(key, plain)
        else:
            writer.add_uint32(key, plain)
    writer.add_add_bos_token(False)
    count = len(metadata["tokenizer.ggml.tokens"])
    shapes = {"token_embd": (count, width), "output_norm": (width,)}
    shapes |= {f"blk.0.{name}_norm": (width,) for name in ("attn", "ffn")}
    for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        shapes[f"blk.0.{name}"] = (width, width)
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", np.zeros(shape, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def llama_cpp_ids(file: Path, texts: Sequence[str]) -> list[list[int]]:
    """What llama.cpp makes of texts, special tokens taken for text."""
    package = asset(WHEEL).parent.parent
    answer = file.with_suffix(".ids.json")
    subprocess.run(
        [sys.executable, "-c", _ASK, str(file), str(answer)],
        input=json.dumps(list(texts)),
        env=os.environ | {"PYTHONPATH": str(package)},
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return json.loads(answer.read_text())
