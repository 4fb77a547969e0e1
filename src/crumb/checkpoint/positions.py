"""Position rows beyond those that were trained.

Enters: the checkpoint's table [rows, hidden] and the context wanted. Leaves: a table [context, hidden] whose first rows
are the checkpoint's, bit for bit, so that short texts keep their vectors. Knows nothing of models. Without training,
tiling measured best on long meetings (docs/log.md).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

METHODS = ("tile", "interpolate", "hierarchical")
_HIERARCHY = 0.4  # weight of the coarse position, as Su (2020) proposes


def extend_positions(table: Floats, context: int, method: str) -> Floats:
    """`table` itself where it has `context` rows, else one with `context` rows.

    Args:
        table: float32 [rows, hidden].
        context: rows wanted.
        method: "tile": row t is row t mod rows. "interpolate": the table stretched linearly over the context
            (LongEmbed, arXiv 2404.12096). "hierarchical": a u[t div rows] + (1 - a) u[t mod rows], where u is chosen so
            that the first rows come out as they are (Su 2020, as tried by LongEmbed).

    Raises:
        ValueError: the method is not one of these and rows are missing, or the hierarchy is too small for `context`.
    """
    rows = table.shape[0]
    if context <= rows:
        return table
    t = np.arange(rows, context)
    if method == "tile":
        new = table[t % rows]
    elif method == "interpolate":
        at = t * ((rows - 1) / (context - 1))
        low = np.floor(at).astype(np.int64)
        high = np.minimum(low + 1, rows - 1)
        part = (at - low)[:, None]
        new = table[low] * (1.0 - part) + table[high] * part
    elif method == "hierarchical":
        if context > rows * rows:
            raise ValueError(f"hierarchical positions reach {rows * rows} tokens from {rows} rows, not {context}")
        base = (table.astype(np.float64) - _HIERARCHY * table[0]) / (1.0 - _HIERARCHY)
        new = _HIERARCHY * base[t // rows] + (1.0 - _HIERARCHY) * base[t % rows]
    else:
        raise ValueError(f"unknown positions {method!r}; choose {', '.join(METHODS)}")
    return np.ascontiguousarray(np.concatenate([table, new.astype(np.float32)]))
