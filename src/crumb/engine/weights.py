"""What an encoder is made of, by role.

Enters: nothing. Leaves: two frozen records that checkpoint fills and the engine packs. Knows neither of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class LayerWeights:
    """One layer, as PyTorch's Linear and LayerNorm store it: weights [out, in] and vectors [out], float32."""

    query: Floats
    query_bias: Floats
    key: Floats
    key_bias: Floats
    value: Floats
    value_bias: Floats
    output: Floats
    output_bias: Floats
    attention_norm: Floats
    attention_norm_bias: Floats
    up: Floats
    up_bias: Floats
    down: Floats
    down_bias: Floats
    ffn_norm: Floats
    ffn_norm_bias: Floats

    def arrays(self) -> list[Floats]:
        """The sixteen arrays in the order of the fields."""
        return [getattr(self, name) for name in self.__dataclass_fields__]


@dataclass(frozen=True)
class EncoderWeights:
    """A BERT encoder: embedding tables [vocabulary, hidden], [positions, hidden], [types, hidden], and its layers.

    `heads` divides hidden; `activation` is "gelu" (exact) or "gelu_tanh"; `epsilon` is LayerNorm's. `mapped`: the
    layers' arrays lie in a file that is mapped read-only, so that their pages may be given back once they are packed.
    """

    word: Floats
    position: Floats
    token_type: Floats
    embedding_norm: Floats
    embedding_norm_bias: Floats
    layers: tuple[LayerWeights, ...]
    heads: int
    activation: str
    epsilon: float
    mapped: bool = False
