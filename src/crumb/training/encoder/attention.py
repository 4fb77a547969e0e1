"""Attention over texts of different lengths.

Enters: queries, keys and values of all tokens, flat. Leaves: the context of each token. A text sees itself alone. Knows
nothing of layers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from crumb.training.encoder.ragged import Group


def attend(qkv: Tensor, groups: tuple[Group, ...], heads: int, dropout: float = 0.0) -> Tensor:
    """softmax(q k' / sqrt(d)) v within each text.

    Args:
        qkv: [tokens, 3 hidden]: queries, keys and values side by side, tokens as `Plan` sorts them.
        groups: of that plan.
        heads: divides hidden.
        dropout: probability that a weight is dropped.

    Returns:
        [tokens, hidden], of the dtype of `qkv`.
    """
    hidden = qkv.shape[1] // 3
    parts = []
    # split and not slices: the gradient of each slice would be a tensor of the whole batch, mostly zeros
    sizes = [group.end - group.begin for group in groups]
    for group, rows in zip(groups, torch.split_with_sizes(qkv, sizes), strict=True):
        if group.pad is not None and group.unpad is not None:
            rows = _regroup(rows, group.pad, group.unpad)
        q, k, v = rows.view(group.texts, group.longest, 3, heads, hidden // heads).permute(2, 0, 3, 1, 4)
        context = functional.scaled_dot_product_attention(q, k, v, attn_mask=group.mask, dropout_p=dropout)
        context = context.transpose(1, 2).reshape(group.texts * group.longest, hidden)
        parts.append(context if group.unpad is None else context.index_select(0, group.unpad))
    return torch.cat(parts)


def _regroup(rows: Tensor, pad: Tensor, unpad: Tensor) -> Tensor:
    cells: Tensor = _Regroup.apply(rows, pad, unpad)  # type: ignore[no-untyped-call]  # torch has no types for it
    return cells


class _Regroup(torch.autograd.Function):
    """Rows to the cells of a rectangle; padding repeats a row, and gives no gradient."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, pad: Tensor, unpad: Tensor) -> Tensor:
        ctx.save_for_backward(unpad)
        return rows.index_select(0, pad)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (unpad,) = ctx.saved_tensors
        return gradient.index_select(0, unpad), None, None
