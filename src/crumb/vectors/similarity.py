"""How alike vectors are.

Enters: two sets of vectors. Leaves: a matrix of cosines. Knows nothing of texts.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from crumb.vectors.normalize import Floats, normalize


def similarity(a: npt.ArrayLike, b: npt.ArrayLike) -> Floats:
    """Cosine similarity of every vector of `a` with every one of `b`.

    Args:
        a: [n, d], or [d] for one vector.
        b: [m, d], or [d].

    Returns:
        float32 [n, m]; a vector of zeros has similarity 0 with everything.

    Raises:
        ValueError: other shapes, or different d.
    """
    left, right = np.atleast_2d(normalize(a)), np.atleast_2d(normalize(b))
    if left.shape[1] != right.shape[1]:
        raise ValueError(f"the vectors have different sizes: {left.shape[1]} and {right.shape[1]} dimensions")
    product: Floats = left @ right.T
    return product
