"""From tensor names to the roles the engine knows.

Enters: a contract. Leaves: `EncoderWeights`. Knows BERT's names, with or without the `bert.` prefix, old (gamma, beta)
and new (weight, bias). A tensor it does not know is refused: a projection that were ignored would give other vectors.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from crumb.checkpoint.contract import Contract
from crumb.checkpoint.positions import extend_positions
from crumb.checkpoint.tensors import is_mapped, read_tensors
from crumb.engine.weights import EncoderWeights, LayerWeights
from crumb.errors import CheckpointError

Floats = npt.NDArray[np.float32]

# heads of other tasks and buffers: they take no part in an embedding
_UNUSED = ("pooler.", "cls.", "embeddings.position_ids", "embeddings.token_type_ids")


def read_weights(contract: Contract) -> EncoderWeights:
    """The weights behind `contract`, position rows extended to its context if its `positions` say how.

    Raises:
        CheckpointError: a tensor is missing, unknown or of the wrong shape.
    """
    found = read_tensors(contract.folder, contract.weight_files)
    tensors = {_canonical(name): array for name, array in found.items()}
    where = contract.folder / contract.weight_files[0]

    def take(name: str, *shape: int) -> Floats:
        array = tensors.pop(name, None)
        if array is None:
            raise CheckpointError(f"{where} has no tensor {name!r}; config.json promises {contract.layers} BERT layers")
        if array.shape != shape or array.dtype != np.float32:
            raise CheckpointError(f"{where}: {name} is {array.dtype} {array.shape}, expected float32 {shape}")
        return np.ascontiguousarray(array, dtype=np.float32)

    h, f = contract.hidden, contract.ffn
    types = tensors.get("embeddings.token_type_embeddings.weight")
    word = take("embeddings.word_embeddings.weight", contract.vocabulary, h)
    position = take("embeddings.position_embeddings.weight", contract.position_rows, h)
    token_type = take("embeddings.token_type_embeddings.weight", 1 if types is None else types.shape[0], h)
    norm = take("embeddings.LayerNorm.weight", h), take("embeddings.LayerNorm.bias", h)
    layers = []
    for i in range(contract.layers):
        prefix = f"encoder.layer.{i}."
        arrays = []
        for name, out, size in (
            ("attention.self.query", h, h),
            ("attention.self.key", h, h),
            ("attention.self.value", h, h),
            ("attention.output.dense", h, h),
            ("attention.output.LayerNorm", h, 0),
            ("intermediate.dense", f, h),
            ("output.dense", h, f),
            ("output.LayerNorm", h, 0),
        ):
            arrays.append(take(f"{prefix}{name}.weight", *((out, size) if size else (out,))))
            arrays.append(take(f"{prefix}{name}.bias", out))
        layers.append(LayerWeights(*arrays))
    unknown = sorted(name for name in tensors if not name.startswith(_UNUSED))
    if unknown:
        raise CheckpointError(
            f"{where} holds {len(unknown)} tensors that a BERT encoder of {contract.layers} layers does not have, "
            f"first {unknown[0]!r}: crumb will not leave them out silently"
        )
    return EncoderWeights(
        word=word,
        position=extend_positions(position, contract.context, contract.positions),
        token_type=token_type,
        embedding_norm=norm[0],
        embedding_norm_bias=norm[1],
        layers=tuple(layers),
        heads=contract.heads,
        activation=contract.activation,
        epsilon=contract.layer_norm_epsilon,
        mapped=all(is_mapped(array) for layer in layers for array in layer.arrays()),
    )


def _canonical(name: str) -> str:
    name = name.removeprefix("bert.")
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
