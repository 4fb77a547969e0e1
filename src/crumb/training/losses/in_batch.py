"""The contrastive loss of labelled pairs: every text of the batch against every other.

Enters: labelled pairs. Leaves: a scalar. Knows nothing of hard negatives.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from crumb.training.losses import checks
from crumb.training.losses.loss import Embedded, Targets, needed
from crumb.training.losses.scores import cosines


@dataclass(frozen=True)
class InBatch:
    """For labelled pairs: of those that belong together, each text finds the other among all texts of the batch.

    All 2n texts are compared with each other (not with themselves). A text of a pair that belongs together has a term

        -log(exp s(t, partner) / sum over the other texts u of exp s(t, u)),  s = scale * cosine,

    a text of any other pair has none, and the loss is the sum of the terms divided by 2n.

    Args:
        scale: what cosines are multiplied by (tau).
        positive_at: labels from here on belong together. None: labels are 0 or 1, and anything else is refused.
            Labels are
            never made whole numbers: a label of 3.2 in AnglE's own code points to a text that is not the partner.

    References:
        Chen et al., NT-Xent, arXiv 2002.05709, eq. 1; `in_batch_negative_loss` of AnglE 0.4 to 0.6 for labels 0 and 1.

    Accepts:
        Labelled pairs without hard negatives. `masked`, if there, leaves out first texts against second ones and back.

    Relations:
        `Contrastive` is the form for queries and positives; `AngleTotal` takes this one where there are labels.

    Example:
        >>> import torch
        >>> from crumb.training.losses import Embedded, InBatch, Targets
        >>> labels = torch.tensor([4.5, 1.0, 3.2, 4.0])
        >>> InBatch(positive_at=4)(Embedded(torch.eye(4), torch.eye(4)), Targets(labels=labels)) < 1e-6
        tensor(True)
    """

    scale: float = 20.0
    positive_at: float | None = None

    def __post_init__(self) -> None:
        checks.above_zero(self, "scale")
        if self.positive_at is not None:
            checks.number(self, "positive_at")

    def __call__(self, embedded: Embedded, targets: Targets, /) -> Tensor:
        """The mean over all 2n texts, those without a term included."""
        labels = needed(targets.labels, self, "labels of pairs")
        if embedded.negatives is not None:
            raise ValueError("InBatch: this batch has labels and hard negatives: expected one of them")
        vectors = embedded.exact()
        n = vectors.examples
        texts = vectors.rows()
        hidden = torch.eye(2 * n, dtype=torch.bool, device=texts.device)
        if targets.masked is not None:
            across = targets.masked & ~hidden[:n, :n]
            hidden[:n, n:] |= across
            hidden[n:, :n] |= across.T
        logits = (self.scale * cosines(texts, texts)).masked_fill(hidden, -torch.inf)
        partner = torch.arange(2 * n, device=texts.device).roll(n)
        terms = -logits.log_softmax(-1)[partner.roll(n), partner]
        together = self._together(labels).repeat(2)
        return torch.where(together, terms, 0).mean()

    def _together(self, labels: Tensor) -> Tensor:
        if self.positive_at is not None:
            return labels >= self.positive_at
        graded = labels[(labels != 0) & (labels != 1)]
        if len(graded):
            raise ValueError(
                f"InBatch: a label is {graded[0].item():g}, which is neither 0 nor 1: graded labels need positive_at, "
                "the label from which on two texts belong together"
            )
        return labels == 1
