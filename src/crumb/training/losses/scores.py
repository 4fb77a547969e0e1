"""How two vectors are compared, in float32 and with gradients that stay finite.

Enters: vectors. Leaves: cosines, angle similarities and divergences of rows of scores. Knows nothing of batches.
"""

from __future__ import annotations

import torch
from torch import Tensor

# A vector shorter than this counts as none: it is compared as 0 and gets no gradient (1/length would be no number,
# or noise).
SHORTEST = 1e-12

# What a candidate that does not count gets for a logit where both sides of a divergence hide it: exp of it is 0, and
# unlike with infinity 0 * (a - a) is 0.
HIDDEN = -1e4


def unit(vectors: Tensor) -> Tensor:
    """Vectors of unit length, [..., d]; one shorter than 1e-12 becomes 0 and has a gradient of 0."""
    squared = vectors.square().sum(-1, keepdim=True)
    return vectors * squared.masked_fill(squared < SHORTEST**2, torch.inf).rsqrt()


def dots(first: Tensor, second: Tensor) -> Tensor:
    """Inner products of all rows with all rows, [n, d] and [m, d] to [n, m].

    Autocast is off: it would round the vectors to 8 bits here, and a score of 20 cosines is told to two digits.
    """
    with torch.autocast(first.device.type, enabled=False):
        return first @ second.T


def cosines(first: Tensor, second: Tensor) -> Tensor:
    """Cosines of all rows with all rows, [n, d] and [m, d] to [n, m]."""
    return dots(unit(first), unit(second))


def turned(vectors: Tensor) -> Tensor:
    """y + Jy, where J turns the halves [c; d] of a vector into [-d; c]: in complex numbers, i times c + di.

    With it the sum in AnglE's similarity, cos(x, y) + cos(x, Jy), is one inner product of unit vectors: J keeps
    lengths.

    Raises:
        ValueError: the vectors have no halves.
    """
    if vectors.shape[-1] % 2:
        raise ValueError(
            f"AnglE splits vectors into halves: expected an even number of dimensions, got {vectors.shape[-1]}"
        )
    c, d = vectors.chunk(2, dim=-1)
    return vectors + torch.cat((-d, c), dim=-1)


def angle(first: Tensor, second: Tensor) -> Tensor:
    """AnglE's similarity |cos(x, y) + cos(x, Jy)| of paired rows, [..., d] and [..., d] to [...].

    From 0 to the square root of 2, and not symmetric: (y, x) gives |cos(x, y) - cos(x, Jy)|. At 0, the kink of the
    absolute value, its gradient is 0.
    """
    return (unit(first) * turned(unit(second))).sum(-1).abs()


def divergence(logits: Tensor, teacher: Tensor) -> Tensor:
    """KL(softmax(teacher) || softmax(logits)) over the last dimension, the mean of the rows.

    No gradient reaches the teacher.
    """
    wanted = teacher.detach().log_softmax(-1)
    return (wanted.exp() * (wanted - logits.log_softmax(-1))).sum(-1).mean()
