"""Espresso: shallow layers learn the loss, first dimensions learn the whole vector's principal parts.

Enters: a loss. Leaves: a layerwise loss. Knows nothing of what it computes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from crumb.training.losses import checks
from crumb.training.losses.loss import Embedded, Loss, Targets, layer_of, part
from crumb.training.losses.scores import divergence


@dataclass(frozen=True)
class Espresso:
    """For a model that may stop early and be cut at once: all layers i = 1 … n learn the loss on their first k
    dimensions ("learn to express"), and these dimensions are drawn to principal components of the whole vector
    ("learn to compress").

        loss(X_n) + f(X_n) + 1/(n-1) * sum over i < n of w_i f(X_i)
        f(X) = loss(X[:k]) + compress * (MSE(X[:k], P) + T KL(softmax(P / T) || softmax(X[:k] / T)))

    X has a row for each text of the batch. P = X U S, with U and S the first k left singular vectors and values of
    softmax(XᵀX / sqrt(d)), by rows; it gets no gradient. MSE is the mean over all numbers, KL over rows.

    Args:
        loss: a loss over one layer.
        dimensions: k.
        temperature: T.
        weights: "log" for the paper's w_i = 1 / (1 + ln i), "uniform" for 1 each.
        teacher: whose vectors P is made of: "own", each layer's, as published; "last", the last layer's for all.
        compress: the weight of the alignment; 0 leaves it out.
        as_published: what the code of AnglE 0.4 to 0.6 does, to the letter: the shallow "layers" are hidden states 0
            to n-2, so that the input embeddings are trained as the first layer and layer n-1 never; and U comes from
            a randomised decomposition (it draws from torch's generator). Needs layer 0.

    Costs one decomposition of d x d a layer and step (20 ms for 384 on one core), one in all with teacher="last".

    Not as published otherwise: U is exact, and as singular vectors have no sign, each column of P gets the one that
    is nearer to the dimension it is the target of. A random sign would ask a dimension to turn over from step to step.

    References:
        Li et al., ESE, arXiv 2402.14776 (ICLR 2025), learn to express and learn to compress; `AngleESETrainer` of
        AnglE.

    Accepts:
        What the loss accepts, of more than k dimensions. Every layer.

    Relations:
        `Layerwise` is learn to express alone. With weights="uniform" and teacher="last" it is near to
        sentence-transformers' AdaptiveLayerLoss. `FixedPairs` did better in independent studies (arXiv 2410.13230,
        2411.17299).

    Example:
        >>> import torch
        >>> from crumb.training.losses import Contrastive, Embedded, Espresso, Targets
        >>> loss = Espresso(Contrastive(), dimensions=2)
        >>> loss.wants(3)
        (1, 2, 3)
        >>> targets = Targets()
        >>> batch = Embedded(torch.eye(4), torch.eye(4))
        >>> value = loss({1: batch, 2: batch, 3: batch}, targets)
        >>> [name for name in targets.parts if "layer 1" in name]
        ['layer 1', 'layer 1 compress']
    """

    loss: Loss
    dimensions: int = 128
    temperature: float = 1.0
    weights: str = "log"
    teacher: str = "own"
    compress: float = 1.0
    as_published: bool = False

    def __post_init__(self) -> None:
        checks.plain(self, "loss")
        checks.count(self, "dimensions")
        checks.above_zero(self, "temperature")
        checks.one_of(self, "weights", ("log", "uniform"))
        checks.one_of(self, "teacher", ("own", "last"))
        checks.not_negative(self, "compress")
        checks.flag(self, "as_published")
        if self.as_published and (self.weights, self.teacher, self.compress) != ("log", "own", 1):
            raise ValueError(
                f"Espresso: as_published=True has weights='log', teacher='own' and compress=1, got {self.weights!r}, "
                f"{self.teacher!r} and {self.compress!r}"
            )

    def wants(self, depth: int) -> tuple[int, ...]:
        """All; as published 0 in the place of the last but one."""
        return (*self._shallow(depth), depth)

    def __call__(self, layers: dict[int, Embedded], targets: Targets, /) -> Tensor:
        """The sum above; each layer's loss and alignment, without weights, in `targets.parts`."""
        depth = max(layers)
        full = layer_of(layers, depth, self).exact()
        last = self._principal(full)
        value = part("full", self.loss, full, targets) + self._small(f"layer {depth}", full, last, targets)
        shallow = self._shallow(depth)
        for place, layer in enumerate(shallow, 1):
            weight = 1 / (1 + math.log(place)) if self.weights == "log" else 1.0
            vectors = layer_of(layers, layer, self).exact()
            wanted = last if self.teacher == "last" else self._principal(vectors)
            value = value + weight / len(shallow) * self._small(f"layer {layer}", vectors, wanted, targets)
        return value

    def _shallow(self, depth: int) -> tuple[int, ...]:
        return tuple(range(depth - 1)) if self.as_published else tuple(range(1, depth))

    def _small(self, name: str, vectors: Embedded, wanted: Tensor | None, targets: Targets) -> Tensor:
        """f(X); `wanted` is P, [texts, k]."""
        small = vectors.cut(self.dimensions)
        value = part(name, self.loss, small, targets)
        if wanted is None:
            return value
        rows = small.rows()
        if not self.as_published:
            wanted = torch.where((wanted * rows.detach()).sum(0) < 0, -wanted, wanted)
        apart = self.temperature * divergence(rows / self.temperature, wanted / self.temperature)
        align = functional.mse_loss(rows, wanted) + apart
        targets.parts[f"{name} compress"] = align.item()
        return value + self.compress * align

    @torch.no_grad()
    def _principal(self, embedded: Embedded) -> Tensor | None:
        """P of a layer's vectors but for the signs of its columns, [texts, k]; None where nothing is aligned."""
        if not self.compress:
            return None
        vectors = embedded.rows()  # [texts, d]
        with torch.autocast(vectors.device.type, enabled=False):
            related = (vectors.T @ vectors / vectors.shape[1] ** 0.5).softmax(-1)  # [d, d]
            if self.as_published:
                left, values, _ = torch.svd_lowrank(related, q=self.dimensions)
            else:
                left, values, _ = torch.linalg.svd(related)
            wanted: Tensor = vectors @ (left * values)[:, : self.dimensions]
        return wanted
