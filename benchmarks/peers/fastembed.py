"""fastembed with a local ONNX file: its own tokenising, batching and pooling."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

import fastembed
import numpy as np
from fastembed.common.model_description import ModelSource, PoolingType

from benchmarks.peers.batches import Encode
from benchmarks.peers.export import onnx_file, tiled_folder


def build(folder: Path, threads: int, context: int) -> Encode:
    """The model under a name of its own, from a folder; batches of 32 texts sorted by length."""
    name = f"local/{uuid.uuid4()}"  # a name can be registered once
    local = tiled_folder(folder, context)
    shutil.copy(onnx_file(folder, context), local / "model.onnx")
    (local / "special_tokens_map.json").write_text("{}")
    fastembed.TextEmbedding.add_custom_model(
        name, PoolingType.MEAN, True, ModelSource(hf=name), dim=384, model_file="model.onnx"
    )
    model = fastembed.TextEmbedding(name, specific_model_path=str(local), threads=threads, local_files_only=True)
    model.model.tokenizer.enable_truncation(context)

    def encode(texts: list[str]) -> np.ndarray:
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))  # it batches in the order given
        found = np.stack(list(model.embed([texts[i] for i in order], batch_size=32)))
        vectors = np.empty_like(found)
        vectors[order] = found
        return vectors.astype(np.float32)

    return encode
