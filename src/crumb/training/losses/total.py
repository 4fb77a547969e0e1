"""Sums of losses, each with a weight and a name in the log.

Enters: losses. Leaves: one loss. Knows nothing of what they compute.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, cast

from torch import Tensor

from crumb.training.losses import checks
from crumb.training.losses.layerwise import as_layerwise
from crumb.training.losses.loss import Embedded, LayerwiseLoss, Loss, Targets, part


class Term(NamedTuple):
    """One loss of a sum: what the log calls it, the loss, its weight."""

    name: str
    loss: Loss | LayerwiseLoss
    weight: float = 1.0


def _check(total: object, terms: object) -> None:
    if not isinstance(terms, tuple) or not terms or not all(isinstance(term, Term) for term in terms):
        raise ValueError(f"{type(total).__name__}: terms must be a tuple of Term, not empty, got {terms!r}")
    names = [term.name for term in terms]
    if len(set(names)) < len(names):
        raise ValueError(f"{type(total).__name__}: two terms have the same name: {', '.join(names)}")
    for term in terms:
        if not checks.is_number(term.weight) or term.weight <= 0:
            raise ValueError(
                f"{type(total).__name__}: the weight of {term.name!r} must be a number above 0, got {term.weight!r}"
            )


@dataclass(frozen=True)
class Total:
    """For several aims at once: the sum of weighted losses, each logged by name without its weight.

    Args:
        terms: the losses over one layer, as `Term(name, loss, weight)`; names differ.

    References:
        None: a sum.

    Accepts:
        What all of its losses accept.

    Relations:
        `LayerwiseTotal` is the sum of losses over layers. `AngleTotal` is a sum whose parts depend on the batch.

    Example:
        >>> import torch
        >>> from crumb.training.losses import Contrastive, CoSENT, Embedded, Targets, Term, Total
        >>> targets = Targets()
        >>> total = Total((Term("find", Contrastive()), Term("order", CoSENT(in_batch=True), 0.1)))
        >>> value = total(Embedded(torch.eye(3), torch.eye(3)), targets)
        >>> sorted(targets.parts)
        ['find', 'order']
    """

    terms: tuple[Term, ...]

    def __post_init__(self) -> None:
        _check(self, self.terms)
        for term in self.terms:
            if isinstance(term.loss, LayerwiseLoss):
                raise ValueError(
                    f"Total: {term.name!r} is a loss over layers: expected losses over one, or LayerwiseTotal"
                )

    def __call__(self, embedded: Embedded, targets: Targets, /) -> Tensor:
        """The weighted sum."""
        values = [term.weight * part(term.name, cast(Loss, term.loss), embedded, targets) for term in self.terms]
        return sum(values[1:], values[0])


@dataclass(frozen=True)
class LayerwiseTotal:
    """For several aims at once, some of them over layers: the sum of weighted losses.

    Args:
        terms: as in `Total`, of either kind; a loss over one layer sees the last.

    References:
        None: a sum.

    Accepts:
        What all of its losses accept, and all layers they want.

    Relations:
        `Total` for losses over layers.

    Example:
        >>> import torch
        >>> from crumb.training.losses import Contrastive, Embedded, Layerwise, LayerwiseTotal, Targets, Term
        >>> total = LayerwiseTotal((Term("all", Layerwise(Contrastive())), Term("last", Contrastive())))
        >>> batch = Embedded(torch.eye(3), torch.eye(3))
        >>> total.wants(2)
        (1, 2)
        >>> total({1: batch, 2: batch}, Targets()) < 1e-5
        tensor(True)
    """

    terms: tuple[Term, ...]

    def __post_init__(self) -> None:
        _check(self, self.terms)

    def wants(self, depth: int) -> tuple[int, ...]:
        """All that one of the losses wants."""
        return tuple(sorted({layer for term in self.terms for layer in as_layerwise(term.loss).wants(depth)}))

    def __call__(self, layers: dict[int, Embedded], targets: Targets, /) -> Tensor:
        """The weighted sum."""
        values = [term.weight * part(term.name, as_layerwise(term.loss), layers, targets) for term in self.terms]
        return sum(values[1:], values[0])
