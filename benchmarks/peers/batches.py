"""Padded batches for libraries that want matrices: `batched` makes an encoder of a function over token ids.

Enters: texts. Leaves: unit vectors, in the order of the texts. Texts are sorted by length, so that a batch of up to 32
texts and 8,192 tokens carries as little padding as it can; rows are mean-pooled over the mask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Encode = Callable[[Sequence[str]], np.ndarray]

_TEXTS = 32
_TOKENS = 8192


def tokenizer_of(folder: Path, context: int) -> Any:
    """The tokenizers library's tokenizer, cutting at `context` tokens and padding nothing."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(context)
    return tokenizer


def batches(ids: Sequence[Sequence[int]]) -> Iterator[tuple[list[int], np.ndarray, np.ndarray]]:
    """Places of the texts of a batch, their ids int64 [batch, longest] and mask, longest texts first."""
    order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
    while order:
        count = max(1, min(_TEXTS, _TOKENS // len(ids[order[0]])))
        batch, order = order[:count], order[count:]
        lengths = np.array([len(ids[i]) for i in batch])
        mask = (np.arange(lengths[0]) < lengths[:, None]).astype(np.int64)
        matrix = np.zeros_like(mask)
        matrix[mask.astype(bool)] = np.concatenate([np.asarray(ids[i]) for i in batch])
        yield batch, matrix, mask


def batched(folder: Path, context: int, run: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Encode:
    """An encoder of `run`, which takes ids and mask [batch, length] to hidden rows [batch, length, d]."""
    tokenizer = tokenizer_of(folder, context)

    def encode(texts: Sequence[str]) -> np.ndarray:
        ids = [encoding.ids for encoding in tokenizer.encode_batch_fast(list(texts))]
        vectors: list[Any] = [None] * len(ids)
        for places, matrix, mask in batches(ids):
            rows = run(matrix, mask)
            pooled = (rows * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True)
            for i, vector in zip(places, pooled / np.linalg.norm(pooled, axis=1, keepdims=True), strict=True):
                vectors[i] = vector
        return np.stack(vectors).astype(np.float32)

    return encode
