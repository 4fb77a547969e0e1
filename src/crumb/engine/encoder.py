"""An encoder ready to run: packed weights behind `Engine.encode`.

Enters: `EncoderWeights` (float32 arrays by role) and ragged batches of token ids. Leaves: pooled vectors or hidden
rows, float32. Knows nothing of text, files, prompts or normalisation. The kernels are chosen at run time by the CPU;
CRUMB_ISA names one instead.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from crumb import _native
from crumb.engine.precision import choose
from crumb.engine.threads import check_threads, default_threads
from crumb.engine.weights import EncoderWeights

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]


class Engine:
    """Runs one encoder. Safe to call from many threads at once, and after a fork: a call's threads end with it.

    Args:
        weights: the arrays; linear layers are packed (copied), the word and position tables are used where they lie.
        isa: kernels to use, by a name of `kernels()`; None for CRUMB_ISA, or else the best this CPU runs.
        precision: what linear layers multiply: "float32"; "bf16", pairs of bfloat16 summed in float32 (with AVX2 alone
            only the weights are bfloat16); "int8", bytes with a step per token and per output column; or "auto"
            (crumb.engine.precision). Residuals, LayerNorm and softmax are float32 in every case.
        threads: threads a call uses unless it says otherwise; None for the physical cores available to the process.

    Raises:
        ValueError: shapes that do not fit, weights that are not finite, kernels this CPU cannot run.
    """

    def __init__(
        self,
        weights: EncoderWeights,
        *,
        isa: str | None = None,
        precision: str = "auto",
        threads: int | None = None,
    ) -> None:
        self.hidden: int = weights.word.shape[1]
        self.layers: int = len(weights.layers)
        self.positions: int = weights.position.shape[0]
        self.threads: int = default_threads() if threads is None else check_threads(threads)
        isa = os.environ.get("CRUMB_ISA", "") if isa is None else isa
        self._native = _native.Encoder(
            isa=isa,
            hidden=self.hidden,
            precision=choose(precision, isa).precision,
            heads=weights.heads,
            ffn=weights.layers[0].up.shape[0] if weights.layers else 1,
            activation=weights.activation,
            epsilon=weights.epsilon,
            word=weights.word,
            position=weights.position,
            type=weights.token_type,
            gamma=weights.embedding_norm,
            beta=weights.embedding_norm_bias,
            layers=[layer.arrays() for layer in weights.layers],
            threads=self.threads,
            mapped=weights.mapped,
        )

    @property
    def isa(self) -> str:
        """The name of the kernels in use."""
        return self._native.isa

    @property
    def precision(self) -> str:
        """What is multiplied: "float32", "bf16" or "int8"."""
        return self._native.precision

    @property
    def packed_bytes(self) -> int:
        """Bytes of the packed weights, without the embedding tables that are used in place."""
        return self._native.packed_bytes

    def encode(
        self,
        ids: Ints,
        offsets: npt.NDArray[np.int64],
        *,
        pooling: Sequence[str] = ("mean",),
        first_pooled: Ints | None = None,
        layers: int | None = None,
        threads: int | None = None,
    ) -> Floats:
        """Pooled vectors of a ragged batch.

        Args:
            ids: int32 [tokens], the texts one behind the other, special tokens included.
            offsets: int64 [texts + 1]; text i is ids[offsets[i]:offsets[i + 1]], at least one token each.
            pooling: one or more of "cls", "max", "mean", "mean_sqrt_len", "lasttoken"; several are put side by side.
            first_pooled: int32 [texts], the first token of each text that pooling takes in; None for all of them.
            layers: how many layers to run, 1 to all; None for all.
            threads: for this call only.

        Returns:
            float32 [texts, hidden * len(pooling)], not normalised. A text's bits depend on nothing but its ids.

        Raises:
            ValueError: offsets, ids, layers or threads out of range, or a vector that is not finite.
        """
        exits = [self.layers if layers is None else layers]
        found: Floats = self.encode_layers(
            ids, offsets, exits, pooling=pooling, first_pooled=first_pooled, threads=threads
        )[0]
        return found

    def encode_layers(
        self,
        ids: Ints,
        offsets: npt.NDArray[np.int64],
        layers: Sequence[int],
        *,
        pooling: Sequence[str] = ("mean",),
        first_pooled: Ints | None = None,
        threads: int | None = None,
    ) -> Floats:
        """Pooled vectors after several layers, from one pass.

        Args:
            layers: after how many layers to pool, rising, each 1 to all; the last of them are run.
            ids, offsets, pooling, first_pooled, threads: as for `encode`.

        Returns:
            float32 [len(layers), texts, hidden * len(pooling)]; [i] has the bits of `encode` with layers[i].

        Raises:
            ValueError: as `encode`, or layers that do not rise.
        """
        texts = max(len(offsets) - 1, 0)
        out = np.empty((len(layers) * texts, self.hidden * len(pooling)), dtype=np.float32)
        if texts:
            self._native.encode(
                ids,
                offsets,
                list(pooling),
                first_pooled,
                list(layers),
                self.threads if threads is None else check_threads(threads),
                out,
            )
        bad = np.flatnonzero(~np.isfinite(out).all(axis=1))
        if bad.size:
            raise ValueError(f"the vector of text {bad[0] % texts} is not finite: the weights overflow float32 on it")
        return out.reshape(len(layers), texts, out.shape[1])

    def hidden_rows(
        self,
        ids: Ints,
        offsets: npt.NDArray[np.int64],
        *,
        layers: int | None = None,
        threads: int | None = None,
    ) -> Floats:
        """Hidden rows, float32 [tokens, hidden], after `layers` layers (0 to all; 0 gives the embedding rows).

        Raises:
            ValueError: as `encode`.
        """
        out = np.empty((len(ids), self.hidden), dtype=np.float32)
        if len(offsets) > 1:
            self._native.hidden_rows(
                ids,
                offsets,
                self.layers if layers is None else layers,
                self.threads if threads is None else check_threads(threads),
                out,
            )
        return out
