"""Matryoshka: any loss on the first dimensions of the vectors, at several sizes.

Enters: a loss. Leaves: a loss. Knows nothing of what it computes.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from crumb.training.losses import checks
from crumb.training.losses.loss import Embedded, Loss, Targets, part


@dataclass(frozen=True)
class Matryoshka:
    """For vectors that may be cut: the same loss on the first k dimensions, for several k, as a weighted sum.

        sum over k of weight_k * loss(first k dimensions)

    Vectors are cut before anything is normalised, so each size is compared as it will be in use.

    Args:
        loss: a loss over one layer.
        dimensions: the sizes k; the full one is trained only if it is among them.
        weights: one for each of `dimensions`; None for 1 each.

    References:
        Kusupati et al., Matryoshka representation learning, arXiv 2205.13147, eq. 1.

    Accepts:
        What the loss accepts, of vectors at least as long as the largest size.

    Relations:
        `FixedPairs` joins sizes to layers. Inside `Layerwise` every layer is trained at every size.

    Example:
        >>> import torch
        >>> from crumb.training.losses import Contrastive, Embedded, Matryoshka, Targets
        >>> targets = Targets()
        >>> loss = Matryoshka(Contrastive(), dimensions=(4, 2), weights=(1.0, 0.3))
        >>> value = loss(Embedded(torch.randn(3, 4), torch.randn(3, 4)), targets)
        >>> list(targets.parts)
        ['4 dimensions', '2 dimensions']
    """

    loss: Loss
    dimensions: tuple[int, ...]
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        checks.plain(self, "loss")
        checks.counts(self, "dimensions")
        checks.weights(self, "weights", beside="dimensions")

    def __call__(self, embedded: Embedded, targets: Targets, /) -> Tensor:
        """The weighted sum; each size's loss in `targets.parts`."""
        weights = self.weights or (1.0,) * len(self.dimensions)
        values = [
            weight * part(f"{size} dimensions", self.loss, embedded.cut(size), targets)
            for size, weight in zip(self.dimensions, weights, strict=True)
            if weight
        ]
        return sum(values[1:], values[0])
