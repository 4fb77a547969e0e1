"""CTranslate2's encoder, converted from the checkpoint, in one of its compute types."""

from __future__ import annotations

from pathlib import Path

import ctranslate2
import numpy as np

from benchmarks.peers.batches import Encode, batched
from benchmarks.peers.export import tiled_folder


def build(folder: Path, threads: int, context: int, *, compute_type: str) -> Encode:
    """An encoder in padded batches of texts of like length; padding is masked by lengths."""
    source = tiled_folder(folder, context)
    target = source.with_name("ct2")
    ctranslate2.converters.TransformersConverter(str(source)).convert(str(target))
    encoder = ctranslate2.Encoder(
        str(target), device="cpu", compute_type=compute_type, inter_threads=1, intra_threads=threads
    )

    def run(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        lengths = ctranslate2.StorageView.from_array(mask.sum(1).astype(np.int32))
        view = ctranslate2.StorageView.from_array(ids.astype(np.int32))
        return np.asarray(encoder.forward_batch(view, lengths).last_hidden_state, dtype=np.float32)

    return batched(folder, context, run)
