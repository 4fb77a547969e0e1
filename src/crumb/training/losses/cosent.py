"""CoSENT: cosines in the order of their labels.

Enters: labelled pairs, or queries with positives and negatives. Leaves: a scalar. Knows nothing of label scales:
only order counts.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from crumb.training.losses import checks
from crumb.training.losses.loss import Embedded, Targets
from crumb.training.losses.ranking import misordered, pairs


@dataclass(frozen=True)
class CoSENT:
    """For graded similarity: wherever one pair of texts is labelled lower than another, its cosine should be lower too.

        log(1 + sum over pairs i, j with l_i < l_j of exp(scale (cos_i - cos_j)))

    Args:
        scale: what differences of cosines are multiplied by (tau).
        in_batch: without labels, a query and any other example's text make a pair of label 0, not only a query and
            its own hard negatives.

    References:
        Su, CoSENT (2022); Li and Li, AnglE, arXiv 2309.12871, the cosine objective.

    Accepts:
        Labelled pairs (labels of any scale); (query, positive, negatives), where positives have label 1 and
        negatives 0; (query, positive) with `in_batch`.

    Relations:
        `AnglE` is the same with another similarity. `Contrastive` compares a query's candidates with each other
        only, this one all pairs of the batch.

    Example:
        >>> import torch
        >>> from crumb.training.losses import CoSENT, Embedded, Targets
        >>> first, second = torch.eye(2), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
        >>> right, wrong = torch.tensor([1.0, 0.2]), torch.tensor([0.2, 1.0])
        >>> batch = Embedded(first, second)
        >>> CoSENT()(batch, Targets(labels=right)) < CoSENT()(batch, Targets(labels=wrong))
        tensor(True)
    """

    scale: float = 20.0
    in_batch: bool = False

    def __post_init__(self) -> None:
        checks.above_zero(self, "scale")
        checks.flag(self, "in_batch")

    def __call__(self, embedded: Embedded, targets: Targets, /) -> Tensor:
        """One figure for the batch: the sum is over all pairs, not a mean."""
        scores, labels = pairs(embedded.exact(), targets, loss=self, in_batch=self.in_batch)
        return misordered(scores, labels, self.scale)
