"""From rows of tokens to one vector a text.

Enters: hidden rows of all tokens, flat, and the texts' lengths. Leaves: pooled vectors, float32, not normalised. Knows
nothing of layers. Must agree with the engine's pooling (native/pooling), which a test holds it to.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def pool(rows: Tensor, lengths: Tensor, modes: Sequence[str]) -> Tensor:
    """Pools each text in each mode, side by side.

    Args:
        rows: [tokens, hidden], texts one behind the other.
        lengths: int64 [texts], at least 1, on the device of `rows`.
        modes: of "cls", "max", "mean", "mean_sqrt_len", "lasttoken".

    Returns:
        float32 [texts, len(modes) * hidden].
    """
    rows = rows.float()
    parts = []
    for mode in modes:
        if mode in ("mean", "mean_sqrt_len"):
            count = lengths.to(rows.dtype)[:, None]
            parts.append(_sum(rows, lengths) / (count if mode == "mean" else count.sqrt()))
        elif mode == "max":
            parts.append(torch.segment_reduce(rows, "max", lengths=lengths))
        elif mode == "cls":
            parts.append(rows.index_select(0, lengths.cumsum(0) - lengths))
        elif mode == "lasttoken":
            parts.append(rows.index_select(0, lengths.cumsum(0) - 1))
        else:
            raise ValueError(f"unknown pooling {mode!r}; choose cls, max, mean, mean_sqrt_len, lasttoken")
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def _sum(rows: Tensor, lengths: Tensor) -> Tensor:
    return torch.segment_reduce(rows, "sum", lengths=lengths)
