"""llama.cpp through llama-cpp-python, from a GGUF file that is written here (float32, float16 or Q8_0)."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import llama_cpp
import numpy as np
from safetensors.numpy import load_file

from benchmarks.peers.batches import Encode, tokenizer_of
from benchmarks.peers.export import temporary_folder

# Attention takes every token of a batch against every other, whatever their texts: 24 passages of 220 tokens at once
# come to 540 tokens/s, two to 1,500, one to 1,800 (AMD EPYC, Zen 3).
_BATCH_TOKENS = 256
_TEXTS = 32

# BERT's names to GGUF's; layers below blk.{i}
_OUTSIDE = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm",
}
_INSIDE = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}


def build(folder: Path, threads: int, context: int, *, outtype: str) -> Encode:
    """Its own tokenising and mean pooling; texts packed without padding into batches of up to 256 tokens, or alone."""
    path = temporary_folder() / f"model-{outtype}.gguf"
    write_gguf(folder, path, context, gguf.LlamaFileType[outtype])
    room = max(context, _BATCH_TOKENS)  # of a call, which is the engine's batch too
    model = llama_cpp.Llama(
        str(path),
        embedding=True,
        n_ctx=room,
        n_batch=room,
        n_ubatch=room,
        n_seq_max=_TEXTS,
        n_threads=threads,
        n_threads_batch=threads,
        pooling_type=llama_cpp.LLAMA_POOLING_TYPE_MEAN,
        verbose=False,
    )
    tokenizer = tokenizer_of(folder, context)

    def packed(kept: list[str]) -> list[list[str]]:
        batches: list[list[str]] = []
        left = 0
        for text, encoding in zip(kept, tokenizer.encode_batch(kept), strict=True):
            if len(encoding.ids) > left or len(batches[-1]) == _TEXTS:
                batches.append([])
                left = _BATCH_TOKENS
            batches[-1].append(text)
            left -= len(encoding.ids)
        return batches

    def encode(texts: list[str]) -> np.ndarray:
        # it has no limit per text: what the context cuts is cut before, by the characters of the tokens that stay
        kept = [text[: tokenizer.encode(text).offsets[-2][1]] if len(text) > context else text for text in texts]
        vectors = [model.embed(batch, normalize=True, truncate=False) for batch in packed(kept)]
        return np.concatenate([np.asarray(batch, dtype=np.float32) for batch in vectors])

    return encode


def write_gguf(folder: Path, path: Path, context: int, kind: gguf.LlamaFileType) -> None:
    """The checkpoint as GGUF: matrices of the layers in `kind`, all else in float32; positions tiled to `context`."""
    config = json.loads((folder / "config.json").read_text())
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_context_length(context)
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_file_type(kind)
    _add_vocabulary(writer, folder)
    quantised = {
        gguf.LlamaFileType.ALL_F32: gguf.GGMLQuantizationType.F32,
        gguf.LlamaFileType.MOSTLY_F16: gguf.GGMLQuantizationType.F16,
        gguf.LlamaFileType.MOSTLY_Q8_0: gguf.GGMLQuantizationType.Q8_0,
    }[kind]
    for name, tensor in load_file(folder / "model.safetensors").items():
        stem, _, part = name.removeprefix("bert.").rpartition(".")
        if stem in _OUTSIDE:
            if stem == "embeddings.position_embeddings":
                tensor = np.tile(tensor, (-(-context // len(tensor)), 1))[:context]
            writer.add_tensor(f"{_OUTSIDE[stem]}.{part}", tensor)
        elif stem.startswith("encoder.layer."):
            layer, _, rest = stem.removeprefix("encoder.layer.").partition(".")
            matrix = part == "weight" and tensor.ndim == 2
            data = gguf.quantize(tensor, quantised) if matrix else tensor
            raw = quantised if matrix else None
            writer.add_tensor(f"blk.{layer}.{_INSIDE[rest]}.{part}", data, raw_dtype=raw)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_vocabulary(writer: gguf.GGUFWriter, folder: Path) -> None:
    vocabulary: dict[str, int] = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    pieces = sorted(vocabulary, key=lambda piece: vocabulary[piece])
    special = [piece.startswith("[") and piece.endswith("]") for piece in pieces]
    # GGUF marks the beginning of a word where BERT marks its inside
    words = [p if s else p[2:] if p.startswith("##") else "\u2581" + p for p, s in zip(pieces, special, strict=True)]
    writer.add_tokenizer_model("bert")
    writer.add_token_list(words)
    writer.add_token_types([gguf.TokenType.CONTROL if s else gguf.TokenType.NORMAL for s in special])
    writer.add_token_type_count(2)
    writer.add_bos_token_id(vocabulary["[CLS]"])
    writer.add_sep_token_id(vocabulary["[SEP]"])
    writer.add_unk_token_id(vocabulary["[UNK]"])
    writer.add_pad_token_id(vocabulary["[PAD]"])
    writer.add_mask_token_id(vocabulary["[MASK]"])
