"""Small random models for tests of evaluation: real checkpoints that load and encode in milliseconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

WORDS = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *"abcdefghijklmnopqrstuvwxyz0123456789.,:?'",
    *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz0123456789"),
    *("the", "cat", "sat", "on", "a", "mat", "query", "passage"),
]


def tiny_model(folder: Path, *, context: int = 64, include_prompt: bool = True, prompts: Any = None) -> Path:
    """A random BERT of 2 layers and 32 dimensions with mean pooling, in sentence-transformers' layout."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel

    torch.manual_seed(11)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=context,
        initializer_range=0.3,
    )
    inner = folder / "bert"
    BertModel(config).eval().save_pretrained(inner)
    (inner / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    (inner / "tokenizer_config.json").write_text(
        json.dumps({"do_lower_case": True, "model_max_length": context, "tokenizer_class": "BertTokenizer"})
    )
    modules: list[Any] = [Transformer(str(inner)), Pooling(32, pooling_mode="mean", include_prompt=include_prompt)]
    saved = folder / "tiny"
    SentenceTransformer(modules=modules, device="cpu", prompts=prompts).save(str(saved))
    return saved
