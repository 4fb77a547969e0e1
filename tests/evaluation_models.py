"""Small random models for tests of evaluation: real checkpoints that are made, load and encode in milliseconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

WORDS = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *"abcdefghijklmnopqrstuvwxyz0123456789.,:?'",
    *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz0123456789"),
    *("the", "cat", "sat", "on", "mat", "query", "passage"),
]
HIDDEN, FFN, LAYERS = 32, 64, 2


def tiny_model(folder: Path, *, context: int = 64, include_prompt: bool = True, prompts: Any = None) -> Path:
    """A random BERT of 2 layers and 32 dimensions with mean pooling, in sentence-transformers' layout."""
    random = np.random.default_rng(11)

    def array(*shape: int) -> np.ndarray:
        return (0.3 * random.normal(size=shape)).astype(np.float32)

    def linear(name: str, inputs: int, outputs: int) -> dict[str, np.ndarray]:
        return {f"{name}.weight": array(outputs, inputs), f"{name}.bias": array(outputs)}

    def norm(name: str) -> dict[str, np.ndarray]:
        return {f"{name}.weight": 1 + array(HIDDEN), f"{name}.bias": array(HIDDEN)}

    weights = {
        "embeddings.word_embeddings.weight": array(len(WORDS), HIDDEN),
        "embeddings.position_embeddings.weight": array(context, HIDDEN),
        "embeddings.token_type_embeddings.weight": array(2, HIDDEN),
        **norm("embeddings.LayerNorm"),
    }
    for i in range(LAYERS):
        layer = f"encoder.layer.{i}"
        for name in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            weights |= linear(f"{layer}.{name}", HIDDEN, HIDDEN)
        weights |= norm(f"{layer}.attention.output.LayerNorm")
        weights |= linear(f"{layer}.intermediate.dense", HIDDEN, FFN)
        weights |= linear(f"{layer}.output.dense", FFN, HIDDEN)
        weights |= norm(f"{layer}.output.LayerNorm")
    config = {
        "model_type": "bert",
        "architectures": ["BertModel"],
        "vocab_size": len(WORDS),
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 2,
        "intermediate_size": FFN,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": context,
        "type_vocab_size": 2,
    }
    pooling = {"word_embedding_dimension": HIDDEN, "pooling_mode_mean_tokens": True, "include_prompt": include_prompt}
    kind = "sentence_transformers.models"
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": f"{kind}.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"{kind}.Pooling"},
    ]
    saved = folder / "tiny"
    (saved / "1_Pooling").mkdir(parents=True)
    save_file(weights, saved / "model.safetensors")
    (saved / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    tokenizer = {"do_lower_case": True, "model_max_length": context, "tokenizer_class": "BertTokenizer"}
    for name, content in {
        "config.json": config,
        "tokenizer_config.json": tokenizer,
        "sentence_bert_config.json": {"max_seq_length": context, "do_lower_case": False},
        "modules.json": modules,
        "1_Pooling/config.json": pooling,
        "config_sentence_transformers.json": {"prompts": prompts or {}, "default_prompt_name": None},
    }.items():
        (saved / name).write_text(json.dumps(content))
    return saved
