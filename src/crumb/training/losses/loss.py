"""What a loss is: a pure function of vectors to a scalar.

Enters: nothing. Leaves: the shapes that every loss agrees on. Dimensions (Matryoshka), layers (Espresso), processes and
cached gradients are loops around such functions, and none of them knows of another.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from torch import Tensor


class Embedded(NamedTuple):
    """A batch's vectors, not normalised: `queries` and `positives` [n, d], `negatives` [n, k, d] or None.

    Where several layers are trained there is one `Embedded` a layer.
    """

    queries: Tensor
    positives: Tensor
    negatives: Tensor | None = None


@dataclass(frozen=True)
class Targets:
    """What a loss may compare vectors with; a loss says which of these it needs, and refuses to go without.

    Attributes:
        labels: of graded pairs, float32 [n].
        scores: a teacher's, of each query with its positive and negatives, float32 [n, 1 + k].
        teacher_queries, teacher_positives: a teacher's vectors, float32 [n, t], unit length.
        masked: bool [n, n (1 + k)]: True where a column (n positives, then the negatives of example 0, of example 1, …)
            is no negative of that row's query although it is another example's text: a duplicate or a false negative.
            The row's own positive (and, in `labels`-free losses, its own negatives) are never masked by it.
        parts: figures that a loss wants to be logged, by name; filled by it.
    """

    labels: Tensor | None = None
    scores: Tensor | None = None
    teacher_queries: Tensor | None = None
    teacher_positives: Tensor | None = None
    masked: Tensor | None = None
    parts: dict[str, float] = field(default_factory=dict)


class Loss(Protocol):
    """A loss over the vectors of one layer, cut to any number of dimensions."""

    def __call__(self, embedded: Embedded, targets: Targets) -> Tensor:
        """The mean loss of the batch, a scalar with gradients."""
        ...


class LayerwiseLoss(Protocol):
    """A loss over the vectors of several layers: {layer: its vectors}, counted from 1, the last always in."""

    def __call__(self, layers: dict[int, Embedded], targets: Targets) -> Tensor:
        """The mean loss of the batch, a scalar with gradients."""
        ...
