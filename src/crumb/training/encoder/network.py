"""BERT's layers in plain PyTorch, over rows of tokens without padding.

Enters: a contract, token ids and positions. Leaves: modules whose parameters bear the checkpoint's names. Knows nothing
of files, texts or pooling.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from crumb.checkpoint import Contract
from crumb.training.encoder.attention import attend
from crumb.training.encoder.ragged import Group


class Embeddings(nn.Module):
    """Word, position and token type rows, added and normalised.

    The position table is in two parameters: `position_embeddings`, and `new_positions` for the rows from `split` on
    (None where there are none), so that one can be frozen and the other trained.

    Attributes:
        always_whole: both tables take part however short the texts are. Processes that average gradients need the same
            parameters in every graph.
    """

    def __init__(self, contract: Contract, types: int, split: int) -> None:
        super().__init__()
        hidden, rows = contract.hidden, max(contract.context, contract.position_rows)
        self.word_embeddings = nn.Embedding(contract.vocabulary, hidden)
        self.position_embeddings = nn.Embedding(min(split, rows), hidden)
        self.new_positions = nn.Embedding(rows - split, hidden) if split < rows else None
        self.token_type_embeddings = nn.Embedding(types, hidden)
        self.always_whole = False
        self.LayerNorm = nn.LayerNorm(hidden, eps=contract.layer_norm_epsilon)

    @property
    def position_rows(self) -> int:
        """Rows of both tables."""
        new = 0 if self.new_positions is None else self.new_positions.num_embeddings
        return self.position_embeddings.num_embeddings + new

    def position_table(self) -> Tensor:
        """Both tables as one, [position_rows, hidden]."""
        if self.new_positions is None:
            return self.position_embeddings.weight
        return torch.cat([self.position_embeddings.weight, self.new_positions.weight])

    def forward(self, ids: Tensor, positions: Tensor, last_position: int) -> Tensor:
        """[tokens, hidden]; `last_position` is the largest of `positions`."""
        # Without a row that it needs, a table stays out of the graph: neither gradient nor optimizer touch it.
        short = last_position < self.position_embeddings.num_embeddings and not self.always_whole
        table = self.position_embeddings.weight if short else self.position_table()
        x = self.word_embeddings(ids) + functional.embedding(positions, table) + self.token_type_embeddings.weight[0]
        return _norm(x, self.LayerNorm)


class SelfAttention(nn.Module):
    """The three projections."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.query = nn.Linear(hidden, hidden)
        self.key = nn.Linear(hidden, hidden)
        self.value = nn.Linear(hidden, hidden)


class Output(nn.Module):
    """A projection back to the hidden size, and the LayerNorm after the residual."""

    def __init__(self, size: int, hidden: int, epsilon: float) -> None:
        super().__init__()
        self.dense = nn.Linear(size, hidden)
        self.LayerNorm = nn.LayerNorm(hidden, eps=epsilon)


class Attention(nn.Module):
    """Attention's parameters."""

    def __init__(self, hidden: int, epsilon: float) -> None:
        super().__init__()
        self.self = SelfAttention(hidden)
        self.output = Output(hidden, hidden, epsilon)


class Intermediate(nn.Module):
    """The FFN's first projection."""

    def __init__(self, hidden: int, ffn: int) -> None:
        super().__init__()
        self.dense = nn.Linear(hidden, ffn)


class Layer(nn.Module):
    """Attention, residual, LayerNorm; FFN, residual, LayerNorm."""

    def __init__(self, contract: Contract) -> None:
        super().__init__()
        self.heads = contract.heads
        self.approximate = "none" if contract.activation == "gelu" else "tanh"
        self.attention = Attention(contract.hidden, contract.layer_norm_epsilon)
        self.intermediate = Intermediate(contract.hidden, contract.ffn)
        self.output = Output(contract.ffn, contract.hidden, contract.layer_norm_epsilon)

    def forward(self, x: Tensor, groups: tuple[Group, ...], dtype: torch.dtype, dropout: float) -> Tensor:
        """[tokens, hidden] to the same; products in `dtype`, the residual stream and LayerNorm in float32."""
        projections = (self.attention.self.query, self.attention.self.key, self.attention.self.value)
        weight = torch.cat([p.weight for p in projections]).to(dtype)
        bias = torch.cat([p.bias for p in projections]).to(dtype)
        qkv = functional.linear(x.to(dtype), weight, bias)
        context = attend(qkv, groups, self.heads, dropout)
        x = _add_and_norm(x, _linear(context, self.attention.output.dense), self.attention.output.LayerNorm, dropout)
        lifted = functional.gelu(_linear(x.to(dtype), self.intermediate.dense), approximate=self.approximate)
        return _add_and_norm(x, _linear(lifted, self.output.dense), self.output.LayerNorm, dropout)


def _linear(x: Tensor, module: nn.Linear) -> Tensor:
    return functional.linear(x, module.weight.to(x.dtype), module.bias.to(x.dtype))


def _add_and_norm(x: Tensor, y: Tensor, norm: nn.LayerNorm, dropout: float) -> Tensor:
    if dropout:
        y = functional.dropout(y, dropout)
    return _norm(x + y, norm)


def _norm(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    return functional.layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
