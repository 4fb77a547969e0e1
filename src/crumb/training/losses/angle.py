"""AnglE: angle similarities in the order of their labels.

Enters: labelled pairs, or queries with positives and negatives. Leaves: a scalar. Knows nothing of label scales:
only order counts.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from crumb.training.losses import checks
from crumb.training.losses.loss import Embedded, Targets
from crumb.training.losses.ranking import misordered, pairs
from crumb.training.losses.scores import turned


@dataclass(frozen=True)
class AnglE:
    """For graded similarity where cosines are saturated: a cosine near 1 or -1 has no gradient left, an angle has.

    Vectors are read as complex numbers, the halves [c; d] as c + di. Let z be the first text's and w the second's: the
    quotient z conj(w) / |w|², divided by |z| / |w|, has real and imaginary parts, and the absolute value of the sum of
    all of them is the similarity,

        a = |cos(x, y) + cos(x, Jy)|,  J[c; d] = [-d; c],

    which is what the published code computes. It lies between 0 and the square root of 2 and is not symmetric: x is the
    query. The loss is CoSENT's with a in place of the cosine:

        log(1 + sum over pairs i, j with l_i < l_j of exp(scale (a_i - a_j)))

    Gradients are finite everywhere: a vector of length 0 has none (its similarity is 0), and where a is 0, the kink
    of the absolute value, they are 0.

    Args:
        scale: what differences are multiplied by (tau).
        in_batch: without labels, a query and any other example's text make a pair of label 0, not only a query and
            its own hard negatives.

    References:
        Li and Li, AnglE-optimized text embeddings, arXiv 2309.12871, the angle objective; `angle_loss` of AnglE 0.4
        to 0.6.

    Accepts:
        Labelled pairs (labels of any scale); (query, positive, negatives), where positives have label 1 and
        negatives 0; (query, positive) with `in_batch`. Vectors of an even number of dimensions.

    Relations:
        Made to be added to a contrastive loss: `AngleTotal` does that with the published weights.

    Example:
        >>> import torch
        >>> from crumb.training.losses import AnglE, Embedded, Targets
        >>> first, second = torch.eye(2), torch.tensor([[1.0, 0.0], [0.0, -1.0]])
        >>> AnglE()(Embedded(first, second), Targets(labels=torch.tensor([3.0, 3.0])))
        tensor(0.)
    """

    scale: float = 20.0
    in_batch: bool = False

    def __post_init__(self) -> None:
        checks.above_zero(self, "scale")
        checks.flag(self, "in_batch")

    def __call__(self, embedded: Embedded, targets: Targets, /) -> Tensor:
        """One figure for the batch: the sum is over all pairs, not a mean."""
        sums, labels = pairs(embedded.exact(), targets, loss=self, in_batch=self.in_batch, turn=turned)
        return misordered(sums.abs(), labels, self.scale)
