"""The encoder that is trained: token ids in, pooled vectors of any layers out, with gradients.

Enters: a model folder (through checkpoint) and `TokenBatch`es. Leaves: float32 vectors, not normalised, and folders
that crumb, transformers and sentence-transformers load. Knows nothing of losses, data or optimizers. The engine
(native/forward.cpp) computes the same without gradients, and a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from crumb.checkpoint import Contract, read_contract
from crumb.checkpoint.context import Positions, with_context
from crumb.checkpoint.weights import read_weights
from crumb.engine.cpu import cpu_name, instruction_sets
from crumb.engine.weights import EncoderWeights
from crumb.text.tokenizer import Tokenizer
from crumb.text.truncate import fit
from crumb.training.encoder.folder import write_folder
from crumb.training.encoder.network import Embeddings, Layer
from crumb.training.encoder.pooling import pool
from crumb.training.encoder.ragged import TokenBatch, plan

Activations = Literal["auto", "float32", "bf16"]


class _Stack(nn.Module):
    # the checkpoint calls its layers encoder.layer.N
    def __init__(self, contract: Contract) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Layer(contract) for _ in range(contract.layers))


class Encoder(nn.Module):
    """BERT as crumb trains it; float32 parameters with the checkpoint's names.

    Args:
        contract: the model's shape, pooling and context.
        types: rows of the token type table; the first alone is used.
        dropout: of embeddings, attention weights and both residual branches, in `train()` mode. 0 unless asked for,
            whatever config.json says: a CPU spends a good part of a step on its masks (docs/training.md).
        activations: what the products are computed in. "bf16": bfloat16, with float32 weights, residuals, LayerNorm and
            pooling. "auto": that, on a GPU, or where the CPU multiplies bfloat16 faster (AMX; AVX-512 of AMD); else
            float32.
        split: the first position row that counts as new; None for the checkpoint's number of rows.

    Attributes:
        contract: with the context and the number of layers trained.
        folder: where the model came from; None where it came from no folder.
    """

    def __init__(
        self,
        contract: Contract,
        *,
        types: int = 2,
        dropout: float = 0.0,
        activations: Activations = "auto",
        split: int | None = None,
    ) -> None:
        super().__init__()
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"dropout must be at least 0 and below 1, got {dropout}")
        if activations not in get_args(Activations):
            raise ValueError(f"unknown activations {activations!r}; choose {', '.join(get_args(Activations))}")
        split = contract.position_rows if split is None else split
        if split < 1:
            raise ValueError(f"split must be at least 1 row, got {split}")
        self.contract = contract
        self.folder: Path | None = None
        self.dropout = dropout
        self.activations: Activations = activations
        self.embeddings = Embeddings(contract, types, split)
        self.encoder = _Stack(contract)
        self._tokenizer: Tokenizer | None = None

    @classmethod
    def from_folder(
        cls,
        folder: str | Path,
        *,
        context: int | None = None,
        positions: Positions | None = None,
        layers: int | None = None,
        dropout: float = 0.0,
        activations: Activations = "auto",
        split: int | None = None,
    ) -> Encoder:
        """From a Hugging Face folder of the BERT family.

        Args:
            folder: as `crumb.load` takes it.
            context: longest input in tokens; None for the checkpoint's own.
            positions: how to make the rows that the checkpoint does not have ("tile", "interpolate", "hierarchical"),
                needed where `context` asks for more than there are (crumb.checkpoint.positions).
            layers: keep the first so many; None for all.
            dropout, activations, split: as above.

        Raises:
            CheckpointError: the folder cannot be read, or is no model that crumb runs.
            ValueError: an argument is out of range.
        """
        folder = Path(folder)
        contract = with_context(read_contract(folder), context, positions)
        if layers is not None and (isinstance(layers, bool) or not 1 <= layers <= contract.layers):
            raise ValueError(f"layers must be a whole number from 1 to {contract.layers}, got {layers!r}")
        weights = read_weights(contract)
        contract = replace(contract, layers=layers or contract.layers)
        encoder = cls(contract, types=len(weights.token_type), dropout=dropout, activations=activations, split=split)
        encoder.folder = folder
        encoder._fill(weights)
        return encoder

    @property
    def layers(self) -> int:
        """Layers there are."""
        return len(self.encoder.layer)

    @property
    def tokenizer(self) -> Tokenizer:
        """The folder's tokenizer."""
        if self._tokenizer is None:
            self._tokenizer = Tokenizer(self.contract.folder, lowercase=self.contract.lowercase)
        return self._tokenizer

    def tokenize(
        self, texts: Sequence[str], *, prefix: str = "", cut: int | None = None, threads: int = 1
    ) -> TokenBatch:
        """Token ids of texts with `prefix` (a prompt) before each and special tokens around.

        What is longer than the context, or than `cut` tokens where that is fewer, loses its end; the batch's `cut`
        counts the tokens lost.
        """
        tokenizer = self.tokenizer
        kept = tokenizer.count([prefix])[0] if prefix else 0
        ragged = fit(
            *tokenizer.ragged([prefix + text for text in texts] if prefix else texts, threads=threads),
            context=min(cut or self.contract.context, self.contract.context),
            side="end",
            prefix=tokenizer.prefix,
            suffix=tokenizer.suffix,
        )
        first = None
        if prefix and not self.contract.include_prompt:
            first = np.minimum(len(tokenizer.prefix) + kept, np.diff(ragged.offsets) - 1)
        return replace(TokenBatch.of(ragged.ids, ragged.offsets, first), cut=sum(ragged.cut))

    def forward(self, batch: TokenBatch, layers: Sequence[int] | None = None) -> dict[int, Tensor]:
        """Pooled vectors after each of `layers`.

        Args:
            batch: on any device; it is moved to the weights'.
            layers: numbers from 1 on, in any order, or 0 for the embeddings; None for the last. Layers above the
                largest are not run.

        Returns:
            {layer: float32 [texts, contract.dimensions]}, not normalised, in the order of the batch. A vector depends
            on its own text alone, but for the last bits: products of other shapes round differently.

        Raises:
            ValueError: there is no such layer, or a token has no word or position row.
        """
        wanted = [self.layers] if layers is None else list(layers)
        for layer in wanted:
            if isinstance(layer, bool) or not 0 <= layer <= self.layers:
                raise ValueError(f"layers must be whole numbers from 0 to {self.layers}, got {layer!r}")
        if not wanted:
            raise ValueError("layers names no layer; give numbers, or None for the last")
        device = self.embeddings.LayerNorm.weight.device
        if not len(batch):
            return {layer: torch.zeros(0, self.contract.dimensions, device=device) for layer in wanted}
        order = plan(batch.lengths, device)
        last_position = self._check(batch)
        dtype = self._dtype(device)
        dropout = self.dropout if self.training else 0.0

        ids = batch.ids.to(device)[order.rows]
        positions = order.places if batch.positions is None else batch.positions.to(device)[order.rows]
        x = self.embeddings(ids, positions, last_position)
        if dropout:
            x = nn.functional.dropout(x, dropout)
        taken, lengths = None, order.lengths
        if batch.first_pooled is not None:
            first = batch.first_pooled.to(device)[order.order]
            taken = torch.nonzero(order.places >= first.repeat_interleave(lengths)).squeeze(1)
            lengths = lengths - first
        pooled = {}
        for number in range(max(wanted) + 1):
            if number:
                x = self.encoder.layer[number - 1](x, order.groups, dtype, dropout)
            if number in wanted:
                rows = x if taken is None else x.index_select(0, taken)
                pooled[number] = pool(rows, lengths, self.contract.pooling).index_select(0, order.back)
        return {layer: pooled[layer] for layer in wanted}

    def save(self, folder: str | Path) -> Path:
        """Writes a Hugging Face folder that crumb, transformers and sentence-transformers load as it is.

        The folder appears whole or not at all: it is written beside its place and renamed.

        Raises:
            FileExistsError: there is something at `folder`.
            ValueError: the encoder came from no folder, so that there is no tokenizer to go with it.
        """
        if self.folder is None:
            raise ValueError("an encoder that came from no folder has no tokenizer to be saved with; use from_folder")
        tensors = {name: tensor.detach().cpu() for name, tensor in self.state_dict().items()}
        tensors.pop("embeddings.new_positions.weight", None)
        tensors["embeddings.position_embeddings.weight"] = self.embeddings.position_table().detach().cpu()
        return write_folder(Path(folder), self.folder, self.contract, tensors)

    def _fill(self, weights: EncoderWeights) -> None:
        split = self.embeddings.position_embeddings.num_embeddings
        arrays = {
            "embeddings.word_embeddings.weight": weights.word,
            "embeddings.position_embeddings.weight": weights.position[:split],
            "embeddings.token_type_embeddings.weight": weights.token_type,
            "embeddings.LayerNorm.weight": weights.embedding_norm,
            "embeddings.LayerNorm.bias": weights.embedding_norm_bias,
        }
        if self.embeddings.new_positions is not None:
            arrays["embeddings.new_positions.weight"] = weights.position[split:]
        names = (
            *(f"attention.self.{name}" for name in ("query", "key", "value")),
            *("attention.output.dense", "attention.output.LayerNorm"),
            *("intermediate.dense", "output.dense", "output.LayerNorm"),
        )
        for number, layer in enumerate(weights.layers[: self.layers]):
            fields = iter(layer.arrays())
            for name in names:
                for kind in ("weight", "bias"):
                    arrays[f"encoder.layer.{number}.{name}.{kind}"] = next(fields)
        # copies: the arrays are mapped from a file, read-only
        self.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in arrays.items()})

    def _check(self, batch: TokenBatch) -> int:
        """The largest position; refuses what has no row."""
        last = int((batch.lengths if batch.positions is None else batch.positions + 1).max()) - 1
        lowest = 0 if batch.positions is None else int(batch.positions.min())
        if last >= self.embeddings.position_rows or lowest < 0:
            raise ValueError(
                f"a token stands at position {last if lowest >= 0 else lowest}, but there are "
                f"{self.embeddings.position_rows} position rows; cut the texts, or ask from_folder for a larger context"
            )
        if int(batch.ids.max()) >= self.contract.vocabulary or int(batch.ids.min()) < 0:
            raise ValueError(
                f"token ids must lie between 0 and {self.contract.vocabulary - 1}, got {int(batch.ids.min())} to "
                f"{int(batch.ids.max())}: they are another tokenizer's"
            )
        return last

    def _dtype(self, device: torch.device) -> torch.dtype:
        if self.activations == "auto":
            return torch.bfloat16 if device.type == "cuda" or _multiplies_bf16() else torch.float32
        return torch.bfloat16 if self.activations == "bf16" else torch.float32


@cache
def _multiplies_bf16() -> bool:
    # Intel's AVX-512 without AMX has the instructions, at a quarter of float32's speed (docs/log.md)
    sets = instruction_sets()
    return "amx_bf16" in sets or ("avx512_bf16" in sets and "AMD" in cpu_name())
