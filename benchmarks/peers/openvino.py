"""OpenVINO: float32, bfloat16, or int8 as its compression framework (NNCF) quantises a transformer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino

from benchmarks.peers.batches import Encode, batched, batches, tokenizer_of
from benchmarks.peers.export import example, rows_module
from benchmarks.texts import rows

_CALIBRATION_TEXTS = 300


def build(folder: Path, threads: int, context: int, *, precision: str) -> Encode:
    """A compiled model in padded batches of texts of like length."""
    model = openvino.convert_model(rows_module(folder, context), example_input=example())
    if precision == "int8":
        model, precision = _quantised(model, folder), "f32"
    settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(model, "CPU", settings)
    return batched(folder, context, lambda ids, mask: np.asarray(compiled([ids, mask])[0]))


def _quantised(model: openvino.Model, folder: Path) -> openvino.Model:
    import nncf

    texts = [row["text"] for row in rows()][:_CALIBRATION_TEXTS]
    ids = [encoding.ids for encoding in tokenizer_of(folder, 256).encode_batch_fast(texts)]
    data = nncf.Dataset([[matrix, mask] for _, matrix, mask in batches(ids)])
    # with no more than the first batches it would see long texts only
    return nncf.quantize(model, data, model_type=nncf.ModelType.TRANSFORMER, subset_size=len(ids))
