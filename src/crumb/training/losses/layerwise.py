"""A loss over one layer made a loss over several.

Enters: a loss. Leaves: a layerwise one. Knows nothing of what it computes.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from crumb.training.losses import checks
from crumb.training.losses.loss import Embedded, LayerwiseLoss, Loss, Targets, layer_of, part


@dataclass(frozen=True)
class LastLayer:
    """For one code path in a trainer: a loss over the last layer, in the form of one over layers.

    Args:
        loss: the loss.

    References:
        None: a change of form.

    Accepts:
        What the loss accepts.

    Relations:
        What `as_layerwise` makes of a loss that is not layerwise.

    Example:
        >>> from crumb.training.losses import Contrastive, LastLayer
        >>> LastLayer(Contrastive()).wants(6)
        (6,)
    """

    loss: Loss

    def __post_init__(self) -> None:
        checks.plain(self, "loss")

    def wants(self, depth: int) -> tuple[int, ...]:
        """The last."""
        return (depth,)

    def __call__(self, layers: dict[int, Embedded], targets: Targets, /) -> Tensor:
        """The loss of the last layer; its parts are its own."""
        return self.loss(layers[max(layers)], targets)


@dataclass(frozen=True)
class Layerwise:
    """For a model that may stop early: the same loss on several layers' vectors, as a weighted sum.

        sum over layers l of weight_l * loss(vectors of layer l)

    Args:
        loss: a loss over one layer.
        layers: the layers, counted from 1; None for all.
        weights: one for each of `layers`; None for 1 each.

    References:
        Kusupati et al., arXiv 2205.13147, eq. 1, with layers in the place of dimensions; Li et al., arXiv
        2402.14776, "learn to express", with equal weights.

    Accepts:
        What the loss accepts.

    Relations:
        `Espresso` adds a target for each layer's first dimensions; `FixedPairs` cuts each layer to its own size and
        lets the last teach. `Matryoshka` inside it trains every layer at every size.

    Example:
        >>> import torch
        >>> from crumb.training.losses import Contrastive, Embedded, Layerwise, Targets
        >>> loss = Layerwise(Contrastive(), layers=(2, 4), weights=(0.5, 1.0))
        >>> loss.wants(6)
        (2, 4, 6)
        >>> batch = Embedded(torch.eye(3), torch.eye(3))
        >>> loss({2: batch, 4: batch, 6: batch}, Targets()) < 1e-5
        tensor(True)
    """

    loss: Loss
    layers: tuple[int, ...] | None = None
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        checks.plain(self, "loss")
        if self.layers is not None:
            checks.counts(self, "layers")
            checks.weights(self, "weights", beside="layers")
        elif self.weights is not None:
            raise ValueError(f"Layerwise: weights={self.weights!r} need layers, to say which layers they are for")

    def wants(self, depth: int) -> tuple[int, ...]:
        """Those that are trained, and the last."""
        if self.layers is None:
            return tuple(range(1, depth + 1))
        if max(self.layers) > depth:
            raise ValueError(f"Layerwise: layers has layer {max(self.layers)}, but the model has {depth}")
        return tuple(sorted({*self.layers, depth}))

    def __call__(self, layers: dict[int, Embedded], targets: Targets, /) -> Tensor:
        """The weighted sum; each layer's loss in `targets.parts`."""
        used = self.layers or tuple(range(1, max(layers) + 1))
        weights = self.weights or (1.0,) * len(used)
        values = [
            weight * part(f"layer {layer}", self.loss, layer_of(layers, layer, self), targets)
            for layer, weight in zip(used, weights, strict=True)
            if weight
        ]
        return sum(values[1:], values[0])


def as_layerwise(loss: Loss | LayerwiseLoss) -> LayerwiseLoss:
    """The loss as one over layers: itself, or on the last layer."""
    return loss if isinstance(loss, LayerwiseLoss) else LastLayer(loss)
