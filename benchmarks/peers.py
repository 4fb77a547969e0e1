"""Encoders to measure beside: each takes a model folder and gives a function from texts to unit vectors [n, d].

Enters: a folder, a number of threads, a context. Leaves: callables. Each peer is optional, imported when it is asked
for, and given
what its users would give it: batches of texts of like length, all threads, bf16 where it has it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Encode = Callable[[Sequence[str]], np.ndarray]


def crumb_float32(folder: Path, threads: int, context: int) -> Encode:
    return _crumb(folder, threads, context, "float32")


def crumb_bf16(folder: Path, threads: int, context: int) -> Encode:
    return _crumb(folder, threads, context, "bf16")


def _crumb(folder: Path, threads: int, context: int, precision: Any) -> Encode:
    import crumb

    model = crumb.load(folder, context=context, positions="tile", threads=threads, precision=precision)
    return lambda texts: model.encode(list(texts), truncation="end")


def sentence_transformers(folder: Path, threads: int, context: int) -> Encode:
    return _sentence_transformers(folder, threads, context, "float32")


def sentence_transformers_bf16(folder: Path, threads: int, context: int) -> Encode:
    return _sentence_transformers(folder, threads, context, "bfloat16")


def _sentence_transformers(folder: Path, threads: int, context: int, dtype: str) -> Encode:
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(threads)
    model = SentenceTransformer(str(folder), device="cpu", model_kwargs={"dtype": getattr(torch, dtype)})
    _tile(model[0].auto_model, context)
    model.max_seq_length = context
    return lambda texts: model.encode(list(texts), normalize_embeddings=True, convert_to_tensor=True).float().numpy()


def _tile(bert: Any, context: int) -> None:
    """Gives a transformers BertModel the position rows that crumb's "tile" gives."""
    import torch

    embeddings = bert.embeddings
    rows = embeddings.position_embeddings.weight.data
    if context > len(rows):
        tiled = rows.repeat(-(-context // len(rows)), 1)[:context]
        embeddings.position_embeddings = torch.nn.Embedding.from_pretrained(tiled)
        embeddings.position_ids = torch.arange(context)[None]
        embeddings.token_type_ids = torch.zeros((1, context), dtype=torch.long)


def _rows_module(folder: Path, context: int) -> Any:
    """A module from (ids, mask), both [batch, length], to hidden rows, in a form that the exporters can trace."""
    import torch
    from transformers import BertModel

    bert = BertModel.from_pretrained(folder, add_pooling_layer=False, attn_implementation="eager").eval()
    _tile(bert, context)

    class Rows(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bert = bert

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            hidden = self.bert.embeddings(input_ids=ids)
            keep = (1.0 - mask[:, None, None, :].to(hidden.dtype)) * -1e9
            for layer in self.bert.encoder.layer:
                found = layer(hidden, attention_mask=keep)
                hidden = found[0] if isinstance(found, tuple) else found
            return hidden

    return Rows().eval()


def openvino_float32(folder: Path, threads: int, context: int) -> Encode:
    return _openvino(folder, threads, context, "f32")


def openvino_bf16(folder: Path, threads: int, context: int) -> Encode:
    return _openvino(folder, threads, context, "bf16")


def _openvino(folder: Path, threads: int, context: int, precision: str) -> Encode:
    import openvino as ov
    import torch

    ones = torch.ones((2, 8), dtype=torch.long)
    converted = ov.convert_model(_rows_module(folder, context), example_input=(ones, ones))
    settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    compiled = ov.Core().compile_model(converted, "CPU", settings)

    def run(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return np.asarray(compiled([ids, mask])[0])

    return _batched(folder, context, run)


def onnxruntime_float32(folder: Path, threads: int, context: int) -> Encode:
    return _onnxruntime(folder, threads, context, quantised=False)


def onnxruntime_int8(folder: Path, threads: int, context: int) -> Encode:
    return _onnxruntime(folder, threads, context, quantised=True)


def _onnxruntime(folder: Path, threads: int, context: int, quantised: bool) -> Encode:
    import onnxruntime
    import torch

    path = Path(tempfile.mkdtemp()) / "model.onnx"
    ones = torch.ones((2, 8), dtype=torch.long)
    names = ["input_ids", "attention_mask"]
    axes = {name: {0: "batch", 1: "length"} for name in (*names, "rows")}
    torch.onnx.export(
        _rows_module(folder, context),
        (ones, ones),
        path,
        input_names=names,
        output_names=["rows"],
        dynamic_axes=axes,
        dynamo=False,
    )
    if quantised:
        from onnxruntime.quantization import QuantType, quantize_dynamic

        small = path.with_name("int8.onnx")
        quantize_dynamic(path, small, weight_type=QuantType.QInt8, per_channel=True)
        path = small
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        rows: np.ndarray = session.run(["rows"], {"input_ids": ids, "attention_mask": mask})[0]
        return rows

    return _batched(folder, context, run)


def _batched(folder: Path, context: int, run: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Encode:
    """Texts sorted by length, in padded batches of up to 32 and 8,192 tokens, mean-pooled and normalised."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(context)

    def encode(texts: Sequence[str]) -> np.ndarray:
        ids = [encoding.ids for encoding in tokenizer.encode_batch_fast(list(texts))]
        order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
        vectors: list[Any] = [None] * len(ids)
        while order:
            count = max(1, min(32, 8192 // len(ids[order[0]])))
            batch, order = order[:count], order[count:]
            longest = len(ids[batch[0]])
            matrix = np.array([ids[i] + [0] * (longest - len(ids[i])) for i in batch], dtype=np.int64)
            mask = np.array([[1] * len(ids[i]) + [0] * (longest - len(ids[i])) for i in batch], dtype=np.int64)
            rows = run(matrix, mask)
            pooled = (rows * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True)
            for i, vector in zip(batch, pooled / np.linalg.norm(pooled, axis=1, keepdims=True), strict=True):
                vectors[i] = vector
        return np.stack(vectors)

    return encode


PEERS: dict[str, Callable[[Path, int, int], Encode]] = {
    "crumb": crumb_float32,
    "crumb-bf16": crumb_bf16,
    "sentence-transformers": sentence_transformers,
    "sentence-transformers-bf16": sentence_transformers_bf16,
    "openvino": openvino_float32,
    "openvino-bf16": openvino_bf16,
    "onnxruntime": onnxruntime_float32,
    "onnxruntime-int8": onnxruntime_int8,
}
