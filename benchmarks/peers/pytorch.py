"""sentence-transformers: PyTorch in float32 or bfloat16, and its ONNX and OpenVINO backends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer

from benchmarks.peers.batches import Encode


def build(folder: Path, threads: int, context: int, *, dtype: str = "float32", backend: str = "torch") -> Encode:
    """Its own encode(), which sorts by length and pads batches of 32; attention is PyTorch's fused one."""
    torch.set_num_threads(threads)
    if backend == "torch":
        model = SentenceTransformer(str(folder), device="cpu", model_kwargs={"dtype": getattr(torch, dtype)})
        tile(model[0].auto_model, context)
    elif context > 512:
        raise SystemExit(f"the {backend} backend of sentence-transformers exports 512 positions, not {context}")
    else:
        model = SentenceTransformer(str(folder), device="cpu", backend=backend, model_kwargs={"export": True})
    model.max_seq_length = context
    return lambda texts: model.encode(list(texts), normalize_embeddings=True, convert_to_tensor=True).float().numpy()


def tile(bert: Any, context: int) -> None:
    """Gives a transformers BertModel the position rows that crumb's "tile" gives."""
    embeddings = bert.embeddings
    rows = embeddings.position_embeddings.weight.data
    if context > len(rows):
        tiled = rows.repeat(-(-context // len(rows)), 1)[:context]
        embeddings.position_embeddings = torch.nn.Embedding.from_pretrained(tiled)
        embeddings.position_ids = torch.arange(context)[None]
        embeddings.token_type_ids = torch.zeros((1, context), dtype=torch.long)
        bert.config.max_position_embeddings = context
