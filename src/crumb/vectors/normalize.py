"""Cutting vectors to their first dimensions and scaling them to unit length.

Enters: float32 rows. Leaves: float32 rows. Knows nothing of models.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from crumb import _native

Floats = npt.NDArray[np.float32]


def normalize(vectors: npt.ArrayLike) -> Floats:
    """Rows of unit Euclidean length, float32 [n, d] (or [d] for one vector); a row of zeros stays zero.

    Each row is summed by itself in float64, so its bits do not depend on the others.

    Raises:
        ValueError: not one or two dimensions.
    """
    rows = np.ascontiguousarray(vectors, dtype=np.float32)
    if rows.ndim not in (1, 2):
        raise ValueError(f"vectors must have shape [d] or [n, d], got {list(rows.shape)}")
    flat = np.atleast_2d(rows)
    out = np.empty_like(flat)
    _native.normalize_rows(flat, out)
    return out.reshape(rows.shape)


def cut(vectors: Floats, dimensions: int | None) -> Floats:
    """The first `dimensions` columns (Matryoshka), not normalised again; None keeps all.

    Raises:
        ValueError: `dimensions` is not between 1 and the vectors' size.
    """
    if dimensions is None:
        return vectors
    size = vectors.shape[-1]
    if isinstance(dimensions, bool) or not isinstance(dimensions, int | np.integer) or not 1 <= dimensions <= size:
        raise ValueError(f"dimensions must be a whole number from 1 to {size}, got {dimensions!r}")
    return np.ascontiguousarray(vectors[..., :dimensions])
