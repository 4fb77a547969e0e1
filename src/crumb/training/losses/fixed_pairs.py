"""Fixed pairs of layer and dimensions: each smaller model inside the large one at its own size, taught by the large
one.

Enters: a loss. Leaves: a layerwise loss. Knows nothing of what it computes.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from crumb.training.losses import checks
from crumb.training.losses.loss import Embedded, Loss, Targets, layer_of, part
from crumb.training.losses.scores import HIDDEN, cosines, divergence


@dataclass(frozen=True)
class FixedPairs:
    """For a model served at a few sizes: layers and dimensions grow together, and only the sizes in use are trained.

        mean over pairs (l, k) of loss(first k dimensions of layer l)
        + kl * mean over all pairs but the last of KL(softmax(scale * full cosines) || softmax(scale * its cosines)),

    row by row over a query's candidates, where the full cosines are those of the last pair and get no gradient.

    Args:
        loss: a loss over one layer.
        sizes: pairs of layer, from 1, and dimensions, smallest first; the last is the teacher.
        kl: the divergence's weight; 0 leaves it out.
        scale: what cosines are multiplied by in the divergence.

    References:
        Zhuang et al., Starbucks, arXiv 2410.13230 (fixed sizes, all in every step, divergence of scores to the
        largest); Wang et al., arXiv 2411.17299, on what is lost with random ones.

    Accepts:
        What the loss accepts. Candidates of the divergence are all positives and negatives of the batch, less the
        masked ones.

    Relations:
        `Espresso` trains every layer at one size, `Layerwise` with `Matryoshka` every layer at every size; few fixed
        pairs did better than both at each size (MS MARCO MRR@10 at 6 layers and 128 dimensions .2983,
        two-dimensional Matryoshka .2532, trained alone .2935).

    Example:
        >>> import torch
        >>> from crumb.training.losses import Contrastive, Embedded, FixedPairs, Targets
        >>> loss = FixedPairs(Contrastive(), sizes=((1, 2), (2, 4)))
        >>> loss.wants(2)
        (1, 2)
        >>> batch = Embedded(torch.eye(4), torch.eye(4))
        >>> targets = Targets()
        >>> value = loss({1: batch, 2: batch}, targets)
        >>> list(targets.parts)
        ['layer 1, 2 dimensions', 'layer 2, 4 dimensions', 'kl']
    """

    loss: Loss
    sizes: tuple[tuple[int, int], ...]
    kl: float = 1.0
    scale: float = 20.0

    def __post_init__(self) -> None:
        checks.plain(self, "loss")
        checks.not_negative(self, "kl")
        checks.above_zero(self, "scale")
        if not self._growing():
            raise ValueError(
                "FixedPairs: sizes must be two or more pairs (layer, dimensions) of whole numbers from 1, growing, got "
                f"{self.sizes!r}"
            )

    def _growing(self) -> bool:
        pairs = self.sizes
        if not isinstance(pairs, tuple) or len(pairs) < 2:
            return False
        if not all(isinstance(pair, tuple) and len(pair) == 2 and all(map(checks.is_count, pair)) for pair in pairs):
            return False
        return all(small != large and small[0] <= large[0] and small[1] <= large[1] for small, large in pairwise(pairs))

    def wants(self, depth: int) -> tuple[int, ...]:
        """Those of the pairs; the last pair's must be the model's last."""
        if self.sizes[-1][0] != depth:
            raise ValueError(
                f"FixedPairs: the last of sizes is {self.sizes[-1]!r}, but the model has {depth} layers: expected "
                f"({depth}, …)"
            )
        return tuple(sorted({layer for layer, _ in self.sizes}))

    def __call__(self, layers: dict[int, Embedded], targets: Targets, /) -> Tensor:
        """The mean loss and the weighted divergence; each pair's loss and the divergence in `targets.parts`."""
        cuts = [layer_of(layers, layer, self).cut(size).exact() for layer, size in self.sizes]
        names = [f"layer {layer}, {size} dimensions" for layer, size in self.sizes]
        values = [part(name, self.loss, cut, targets) for name, cut in zip(names, cuts, strict=True)]
        value = sum(values[1:], values[0]) / len(values)
        if self.kl:
            *logits, teacher = (self._logits(cut, targets) for cut in cuts)
            apart = [divergence(own, teacher) for own in logits]
            mean = sum(apart[1:], apart[0]) / len(apart)
            targets.parts["kl"] = mean.item()
            value = value + self.kl * mean
        return value

    def _logits(self, vectors: Embedded, targets: Targets) -> Tensor:
        logits = self.scale * cosines(vectors.queries, vectors.candidates())
        if targets.masked is None:
            return logits
        masked = targets.masked.clone()
        masked[:, : vectors.examples].fill_diagonal_(False)
        return logits.masked_fill(masked, HIDDEN)
