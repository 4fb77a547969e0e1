"""AnglE's whole objective: cosine order, in-batch contrast and angle order, with the weights that AnglE's versions
shipped.

Enters: a batch of labelled pairs, of rows with negatives, or of plain pairs. Leaves: a scalar and its parts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from crumb.training.losses import checks
from crumb.training.losses.angle import AnglE
from crumb.training.losses.contrastive import Contrastive
from crumb.training.losses.cosent import CoSENT
from crumb.training.losses.in_batch import InBatch
from crumb.training.losses.loss import Embedded, Targets, part

# The weights that go with two published versions; 0.4.12 is the one that saved mxbai-embed-xsmall-v1.
PRESETS: dict[str, dict[str, Any]] = {
    "angle-0.4.12": {"cosine": 0.0, "in_batch": 30.0, "angle": 1.0, "halves": False},
    "angle-0.6": {"cosine": 0.0, "in_batch": 1.0, "angle": 0.02, "halves": True},
}


@dataclass(frozen=True)
class AngleTotal:
    """For similarity and retrieval at once: what AnglE-trained models were trained with.

        cosine * CoSENT + in_batch * contrast + angle * AnglE

    What each batch gets depends on what it holds, as published:

    - labelled pairs (format A): all three, contrast being `InBatch`;
    - query, positive, negatives (format B of 0.4, C of 0.6): all three, positives labelled 1 and negatives 0, contrast
      being `Contrastive` over [positives; negatives];
    - query, positive (format C of 0.4, B of 0.6): `Contrastive` alone, with weight 1 and not `in_batch`.

    Args:
        cosine, in_batch, angle: the weights; a part of weight 0 is not computed.
        halves: with negatives, contrast is the mean of `Contrastive` with them and without (0.6), not the one with them
            alone (0.4).
        cosine_scale, in_batch_scale, angle_scale: the tau of each part.
        positive_at: for labels other than 0 and 1, those from here on are a positive pair to `InBatch`. None refuses
            such labels where `in_batch` has a weight: they never enter its targets as numbers.

    References:
        Li and Li, AnglE, arXiv 2309.12871, the combined objective; `AngleLoss` of AnglE 0.4.12 and 0.6.1. Presets
        "angle-0.4.12" (0 : 30 : 1) and "angle-0.6" (0 : 1 : 0.02, halves) give their numbers for one negative; more are
        ours, each a pair of label 0.

    Accepts:
        Any batch (see above). `masked`, if there, leaves pairs and candidates out.

    Relations:
        A `Total` of its parts, chosen by what the batch holds.

    Example:
        >>> import torch
        >>> from crumb.training.losses import AngleTotal, Embedded, Targets
        >>> targets = Targets()
        >>> batch = Embedded(torch.eye(2), torch.eye(2), -torch.eye(2)[:, None])
        >>> value = AngleTotal.preset("angle-0.6")(batch, targets)
        >>> sorted(targets.parts)
        ['angle', 'in_batch']
    """

    cosine: float = 0.0
    in_batch: float = 1.0
    angle: float = 0.02
    halves: bool = True
    cosine_scale: float = 20.0
    in_batch_scale: float = 20.0
    angle_scale: float = 20.0
    positive_at: float | None = None

    @classmethod
    def preset(cls, name: str, **changed: Any) -> AngleTotal:
        """The settings of a published version, "angle-0.4.12" or "angle-0.6", some of them changed.

        Raises:
            ValueError: no such preset.
        """
        if name not in PRESETS:
            raise ValueError(f"unknown preset {name!r}: expected one of {', '.join(PRESETS)}")
        return cls(**{**PRESETS[name], **changed})

    def __post_init__(self) -> None:
        checks.not_negative(self, "cosine", "in_batch", "angle")
        checks.above_zero(self, "cosine_scale", "in_batch_scale", "angle_scale")
        checks.flag(self, "halves")
        if not self.cosine + self.in_batch + self.angle:
            raise ValueError("AngleTotal: cosine, in_batch and angle are all 0: nothing is left to train")
        if self.positive_at is not None:
            checks.number(self, "positive_at")

    def __call__(self, embedded: Embedded, targets: Targets, /) -> Tensor:
        """The weighted sum; parts without their weights in `targets.parts`."""
        if targets.labels is None and embedded.negatives is None:
            return part("in_batch", Contrastive(self.in_batch_scale), embedded, targets)
        contrast = self._contrast if targets.labels is None else InBatch(self.in_batch_scale, self.positive_at)
        parts: tuple[tuple[str, float, Callable[[Embedded, Targets], Tensor]], ...] = (
            ("cosine", self.cosine, CoSENT(self.cosine_scale)),
            ("in_batch", self.in_batch, contrast),
            ("angle", self.angle, AnglE(self.angle_scale)),
        )
        values = [weight * part(name, loss, embedded, targets) for name, weight, loss in parts if weight]
        return sum(values[1:], values[0])

    def _contrast(self, embedded: Embedded, targets: Targets) -> Tensor:
        contrastive = Contrastive(self.in_batch_scale)
        hard = contrastive(embedded, targets)
        if not self.halves:
            return hard
        masked = None if targets.masked is None else targets.masked[:, : embedded.examples]
        return (hard + contrastive(embedded._replace(negatives=None), replace(targets, masked=masked))) / 2
