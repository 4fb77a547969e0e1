"""Encoders to measure beside: each takes a model folder and gives a function from texts to unit vectors [n, d].

Enters: a name, a folder, a number of threads, a context. Leaves: a callable. A module here is one library; it is
imported when one of its peers is asked for, so that none of them is needed for the others. Each peer gets what its
users would give it: all threads, texts of like length together, bfloat16 or int8 where it has them.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from benchmarks.peers.batches import Encode


class Peer(NamedTuple):
    """`build` of `module` makes it with `options`; `needs` are the distributions to install and to name in a report."""

    module: str
    needs: tuple[str, ...]
    options: dict[str, str | bool]


# below, a peer computes something else; dynamic int8 comes near, which is why cosines are shown
LOWEST_COSINE = 0.85

_ST = ("sentence-transformers", "torch")
_EXPORT = ("torch", "transformers")

PEERS: dict[str, Peer] = {
    "crumb": Peer("ours", (), {"precision": "float32"}),
    "crumb-bf16": Peer("ours", (), {"precision": "bf16"}),
    "crumb-int8": Peer("ours", (), {"precision": "int8"}),
    "crumb-auto": Peer("ours", (), {"precision": "auto"}),
    "sentence-transformers": Peer("pytorch", _ST, {"dtype": "float32"}),
    "sentence-transformers-bf16": Peer("pytorch", _ST, {"dtype": "bfloat16"}),
    "sentence-transformers-onnx": Peer("pytorch", (*_ST, "optimum-onnx", "onnxruntime"), {"backend": "onnx"}),
    "sentence-transformers-openvino": Peer("pytorch", (*_ST, "optimum-intel", "openvino"), {"backend": "openvino"}),
    "openvino": Peer("openvino", ("openvino", *_EXPORT), {"precision": "f32"}),
    "openvino-bf16": Peer("openvino", ("openvino", *_EXPORT), {"precision": "bf16"}),
    "openvino-int8": Peer("openvino", ("openvino", "nncf", *_EXPORT), {"precision": "int8"}),
    "onnxruntime": Peer("onnxruntime", ("onnxruntime", "onnx", *_EXPORT), {"quantised": False}),
    "onnxruntime-int8": Peer("onnxruntime", ("onnxruntime", "onnx", *_EXPORT), {"quantised": True}),
    "fastembed": Peer("fastembed", ("fastembed", "onnxruntime", "onnx", *_EXPORT), {}),
    "ctranslate2": Peer("ctranslate2", ("ctranslate2", *_EXPORT), {"compute_type": "float32"}),
    "ctranslate2-bf16": Peer("ctranslate2", ("ctranslate2", *_EXPORT), {"compute_type": "bfloat16"}),
    "ctranslate2-int8": Peer("ctranslate2", ("ctranslate2", *_EXPORT), {"compute_type": "int8"}),
    "llama.cpp": Peer("llama_cpp", ("llama-cpp-python", "gguf"), {"outtype": "ALL_F32"}),
    "llama.cpp-f16": Peer("llama_cpp", ("llama-cpp-python", "gguf"), {"outtype": "MOSTLY_F16"}),
    "llama.cpp-q8": Peer("llama_cpp", ("llama-cpp-python", "gguf"), {"outtype": "MOSTLY_Q8_0"}),
}


def build(name: str, folder: Path, threads: int, context: int) -> Encode:
    """The encoder of that name.

    Raises:
        SystemExit: a library that it needs is not installed; the message says which.
    """
    peer = PEERS[name]
    try:
        encode: Encode = import_module(f"benchmarks.peers.{peer.module}").build(
            folder, threads, context, **peer.options
        )
    except ImportError as error:
        raise SystemExit(f"{name} cannot be measured here ({error}): pip install {' '.join(peer.needs)}") from None
    return encode
