"""The contrastive loss: a query finds its positive among hard negatives and other examples' texts.

Enters: a batch's vectors. Leaves: a scalar. Knows nothing of how negatives were found or what made the mask.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from crumb.training.losses import checks
from crumb.training.losses.loss import Embedded, Targets
from crumb.training.losses.scores import cosines


@dataclass(frozen=True)
class Contrastive:
    """For retrieval: pulls a query to its positive and away from everything else in the batch.

    With s = scale * cosine, the loss of query i is

        -log(exp s(q_i, p_i) / sum over candidates c of exp s(q_i, c)),

    the candidates being p_i, the k hard negatives of i, and of each other example j its positive p_j and its hard
    negatives. `symmetric` adds the way back, p_i among the queries, and takes the mean of the two.

    Args:
        scale: what cosines are multiplied by, the inverse of the temperature. 20 is the field's habit; 50 to 100 for
            data with well-filtered negatives.
        symmetric: positives look for their queries too.
        in_batch_positives: the positives of the other examples are negatives.
        in_batch_negatives: so are the hard negatives of the other examples.

    References:
        van den Oord et al., InfoNCE, arXiv 1807.03748, eq. 4; with hard negatives Karpukhin et al., DPR, arXiv
        2004.04906, eq. 2.

    Accepts:
        (query, positive) and (query, positive, negatives), any k. `masked`, if there, leaves candidates out (see
        `Filtered`). Refuses graded labels: a pair that is half alike is no positive.

    Relations:
        `InBatch` is the form for labelled pairs, where texts of one kind are compared. `ScoreDistillation` has the same
        candidates and a teacher's opinion of them. `AngleTotal` contains this loss.

    Example:
        >>> import torch
        >>> from crumb.training.losses import Contrastive, Embedded, Targets
        >>> vectors = torch.eye(4)
        >>> Contrastive(scale=20)(Embedded(vectors, vectors), Targets()) < 1e-6
        tensor(True)
    """

    scale: float = 20.0
    symmetric: bool = False
    in_batch_positives: bool = True
    in_batch_negatives: bool = True

    def __post_init__(self) -> None:
        checks.above_zero(self, "scale")
        checks.flag(self, "symmetric", "in_batch_positives", "in_batch_negatives")
        if self.symmetric and not self.in_batch_positives:
            raise ValueError(
                "Contrastive: symmetric=True compares positives with the queries of the other examples, which "
                "in_batch_positives=False leaves out: set one of them otherwise"
            )

    def __call__(self, embedded: Embedded, targets: Targets, /) -> Tensor:
        """The mean over queries (and positives, where symmetric)."""
        if targets.labels is not None:
            raise ValueError(
                "Contrastive takes every pair for one that belongs together, but this batch has graded labels: use "
                "InBatch, CoSENT or AnglE"
            )
        vectors = embedded.exact()
        n = vectors.examples
        if vectors.negatives is None and not self.in_batch_positives:
            raise ValueError("Contrastive: in_batch_positives=False and no hard negatives: nothing to contrast with")
        left_out = self._left_out(vectors, targets)
        own = torch.arange(n, device=vectors.queries.device)
        logits = self.scale * cosines(vectors.queries, vectors.candidates())  # [n, n (1 + k)]
        there = functional.cross_entropy(logits.masked_fill(left_out, -torch.inf), own)
        if not self.symmetric:
            return there
        back = logits[:, :n].masked_fill(left_out[:, :n], -torch.inf).T
        return (there + functional.cross_entropy(back, own)) / 2

    def _left_out(self, vectors: Embedded, targets: Targets) -> Tensor:
        """bool [n, n (1 + k)]: candidates that are not in the sum."""
        n, device = vectors.examples, vectors.queries.device
        own = torch.eye(n, dtype=torch.bool, device=device)
        others = [~own if not self.in_batch_positives else torch.zeros_like(own)]
        if vectors.negatives is not None:
            away = (~own).repeat_interleave(vectors.hard, dim=1)
            others.append(away if not self.in_batch_negatives else torch.zeros_like(away))
        left_out = torch.cat(others, dim=1)
        if targets.masked is not None:
            left_out = left_out | targets.masked
            left_out[:, :n] &= ~own
        return left_out
