"""Scored pairs of texts, and the loss that wants their order: what CoSENT and AnglE share.

Enters: a batch, and how two unit vectors are scored. Leaves: a scalar. Knows nothing of either loss.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from crumb.training.losses.loss import Embedded, Targets
from crumb.training.losses.scores import dots, unit


def misordered(scores: Tensor, labels: Tensor, scale: float) -> Tensor:
    """log(1 + sum over pairs with l_i < l_j of exp(scale (s_i - s_j))), a scalar; 0 where no two labels differ.

    The sum over i is a running one along the sorted labels, so m scores take memory for m numbers and not for m².

    Args:
        scores, labels: [m].
    """
    order = labels.argsort()
    labels, logits = labels[order], scale * scores[order]
    below = torch.searchsorted(labels, labels)  # how many labels are smaller than each
    nothing = logits.new_full((1,), -torch.inf)
    lower = torch.cat((nothing, logits.logcumsumexp(0)))[below]  # log of the sum over i, for each j
    return torch.cat((logits.new_zeros(1), lower - logits)).logsumexp(0)


def pairs(
    embedded: Embedded,
    targets: Targets,
    *,
    loss: object,
    in_batch: bool,
    turn: Callable[[Tensor], Tensor] = lambda vectors: vectors,
) -> tuple[Tensor, Tensor]:
    """The pairs of a batch that have a label, as scores [m] and labels [m].

    Labelled pairs keep their labels. In other batches a query and its positive have label 1 and a query and its own
    hard negatives 0, or, with `in_batch`, a query and every candidate but its positive.

    Args:
        embedded: in float32.
        loss: who asks, for messages.
        in_batch: other examples' texts make pairs of label 0.
        turn: applied to the unit vectors of the second texts before the inner product.

    Raises:
        ValueError: nothing in the batch has a label of 0, or labelled pairs have negatives or are to make pairs in the
            batch.
    """
    name = type(loss).__name__
    queries, others = unit(embedded.queries), embedded.map(lambda vectors: turn(unit(vectors)))
    if targets.labels is not None:
        if embedded.negatives is not None:
            raise ValueError(f"{name}: this batch has labels and hard negatives: expected one of them")
        if in_batch:
            raise ValueError(
                f"{name}: in_batch=True needs pairs that belong together, but this batch has graded labels"
            )
        return (queries * others.positives).sum(-1), targets.labels.to(queries.dtype)
    if not in_batch and others.negatives is None:
        raise ValueError(
            f"{name} needs labels, hard negatives, or in_batch=True to make negatives of the other examples"
        )
    n, k = others.examples, others.hard
    own = torch.eye(n, dtype=torch.bool, device=queries.device)
    masked = torch.zeros(n, n * (1 + k), dtype=torch.bool, device=queries.device)
    if targets.masked is not None:
        masked |= targets.masked
    if in_batch:
        scores = dots(queries, others.candidates())
        labels = torch.cat((own, own.new_zeros(n, n * k)), dim=1)
        used = labels | ~masked
        return scores[used], labels[used].to(scores.dtype)
    positive = (queries * others.positives).sum(-1)
    assert others.negatives is not None
    negative = (queries[:, None] * others.negatives).sum(-1)  # [n, k]
    used = ~masked[:, n:].reshape(n, n, k)[own]  # [n, k]: the blocks of the own negatives
    scores = torch.cat((positive, negative[used]))
    return scores, torch.cat((torch.ones_like(positive), torch.zeros_like(negative[used])))
