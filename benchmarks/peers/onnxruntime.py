"""ONNX Runtime, float32 or with its dynamic int8 quantisation (weights per channel)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from onnxruntime.quantization import QuantType, quantize_dynamic

from benchmarks.peers.batches import Encode, batched
from benchmarks.peers.export import INPUTS, ROWS, onnx_file


def build(folder: Path, threads: int, context: int, *, quantised: bool) -> Encode:
    """A session over an export of the model, in padded batches of texts of like length."""
    path = onnx_file(folder, context)
    if quantised:
        path = quantised_file(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        rows: np.ndarray = session.run([ROWS], dict(zip(INPUTS, (ids, mask), strict=True)))[0]
        return rows

    return batched(folder, context, run)


def quantised_file(path: Path) -> Path:
    """An int8 twin beside an ONNX file."""
    small = path.with_name("int8.onnx")
    quantize_dynamic(path, small, weight_type=QuantType.QInt8, per_channel=True)
    return small
