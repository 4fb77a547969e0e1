"""Distillation of scores: a query's candidates as a teacher sees them.

Enters: a batch with hard negatives and a teacher's scores. Leaves: a scalar. Knows nothing of the teacher.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from crumb.training.losses import checks
from crumb.training.losses.loss import Embedded, Targets, needed
from crumb.training.losses.scores import divergence, unit


@dataclass(frozen=True)
class ScoreDistillation:
    """For retrieval with a better judge at hand, a cross-encoder or large embedders: how much better the positive is
    than each hard negative, and not only that it is.

        mean over queries of KL(softmax(t / teacher_temperature) || softmax(cosines / temperature)),

    over the query's own positive and k hard negatives.

    Args:
        temperature: of the model's cosines; 0.05 is a scale of 20.
        teacher_temperature: of the teacher's scores: near to how far a query's scores lie apart. Cosines want what
            `temperature` has, logits of a cross-encoder about 1.

    References:
        Hinton et al., arXiv 1503.02531, eq. 1, over candidates; the divergence over passages is that of Ren et al.,
        RocketQAv2, arXiv 2110.07367. No factor of temperature squared: give it a weight in `Total`.

    Accepts:
        (query, positive, negatives) with `scores` [n, 1 + k]. `masked` is not heeded: a false negative is one that the
        teacher scores high, which is what is learnt here.

    Relations:
        `RelationalDistillation` takes the teacher's vectors and compares the batch's texts; usually added to
        `Contrastive`.

    Example:
        >>> import torch
        >>> from crumb.training.losses import Embedded, ScoreDistillation, Targets
        >>> batch = Embedded(torch.eye(2), torch.eye(2), torch.zeros(2, 1, 2))
        >>> scores = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
        >>> ScoreDistillation()(batch, Targets(scores=scores))
        tensor(0.)
    """

    temperature: float = 0.05
    teacher_temperature: float = 0.05

    def __post_init__(self) -> None:
        checks.above_zero(self, "temperature", "teacher_temperature")

    def __call__(self, embedded: Embedded, targets: Targets, /) -> Tensor:
        """The mean over queries."""
        vectors = embedded.exact()
        negatives = needed(vectors.negatives, self, "hard negatives")
        scores = needed(targets.scores, self, "a teacher's scores (Targets.scores)")
        if scores.shape != (vectors.examples, 1 + vectors.hard):
            raise ValueError(
                f"ScoreDistillation: scores must have shape {[vectors.examples, 1 + vectors.hard]}, a positive and "
                f"{vectors.hard} negatives for each query, got {list(scores.shape)}"
            )
        queries = unit(vectors.queries)
        positive = (queries * unit(vectors.positives)).sum(-1, keepdim=True)
        negative = (queries[:, None] * unit(negatives)).sum(-1)
        cosines = torch.cat((positive, negative), dim=1)  # [n, 1 + k]
        return divergence(cosines / self.temperature, scores.to(cosines.dtype) / self.teacher_temperature)
