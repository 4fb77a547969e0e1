"""What a loss is: a pure function of vectors to a scalar.

Enters: nothing. Leaves: the shapes that every loss agrees on, and how a loss runs another inside itself. Dimensions
(Matryoshka), layers (Espresso), processes and cached gradients are loops around such functions, and none of them
knows of another.

Losses compute in float32 whatever the encoder computes in (float64 stays float64, for tests), also under autocast.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor


class Embedded(NamedTuple):
    """A batch's vectors, not normalised: `queries` and `positives` [n, d], `negatives` [n, k, d] or None.

    Where several layers are trained there is one `Embedded` a layer.
    """

    queries: Tensor
    positives: Tensor
    negatives: Tensor | None = None

    @classmethod
    def of_rows(cls, rows: Tensor, negatives: int = 0) -> Embedded:
        """From the encoder's rows in the order of `Batch.texts`: n queries, n positives, k negatives of each example.

        Args:
            rows: [n (2 + k), d].
            negatives: k.

        Raises:
            ValueError: the number of rows is no multiple of 2 + k.
        """
        n, rest = divmod(len(rows), 2 + negatives)
        if rest:
            raise ValueError(
                f"{len(rows)} rows are no whole number of examples of {2 + negatives} texts each "
                f"(a query, a positive, {negatives} negatives)"
            )
        hard = rows[2 * n :].reshape(n, negatives, -1) if negatives else None
        return cls(rows[:n], rows[n : 2 * n], hard)

    @property
    def examples(self) -> int:
        """n."""
        return len(self.queries)

    @property
    def hard(self) -> int:
        """k, the hard negatives of an example; 0 where there are none."""
        return 0 if self.negatives is None else self.negatives.shape[1]

    @property
    def dimensions(self) -> int:
        """d."""
        return self.queries.shape[-1]

    def candidates(self) -> Tensor:
        """What a query is compared with, [n (1 + k), d]: n positives, then the negatives of example 0, of 1, …"""
        if self.negatives is None:
            return self.positives
        return torch.cat((self.positives, self.negatives.flatten(0, 1)))

    def rows(self) -> Tensor:
        """All vectors, [n (2 + k), d], in the order of `Batch.texts`; the inverse of `of_rows`."""
        return torch.cat((self.queries, self.candidates()))

    def map(self, function: Callable[[Tensor], Tensor]) -> Embedded:
        """The same batch with `function` applied to each of its tensors."""
        hard = None if self.negatives is None else function(self.negatives)
        return Embedded(function(self.queries), function(self.positives), hard)

    def cut(self, dimensions: int) -> Embedded:
        """The first `dimensions` of every vector.

        Raises:
            ValueError: the vectors are shorter.
        """
        if dimensions > self.dimensions:
            raise ValueError(
                f"cannot cut vectors of {self.dimensions} dimensions to {dimensions}: expected at most that"
            )
        return self.map(lambda vectors: vectors[..., :dimensions])

    def exact(self) -> Embedded:
        """In float32, where the vectors are of fewer bits."""
        return self.map(lambda vectors: vectors.float() if vectors.dtype.itemsize < 4 else vectors)


@dataclass(frozen=True)
class Targets:
    """What a loss may compare vectors with; a loss says which of these it needs, and refuses to go without.

    Attributes:
        labels: of graded pairs, float32 [n].
        scores: a teacher's, of each query with its positive and negatives, float32 [n, 1 + k].
        teacher_queries, teacher_positives: a teacher's vectors, float32 [n, t], unit length; or those of several
            teachers side by side, each of unit length (see `RelationalDistillation`).
        texts: what tells equal texts, int64 [n (2 + k)] in the order of `Batch.texts` (see `filtered.text_keys`).
        masked: bool [n, n (1 + k)]: True where a column (n positives, then the negatives of example 0, of example 1, …)
            is no negative of that row's query: a duplicate or a false negative. The row's own positive is never masked
            by it, whatever it says; the row's own negatives are.
        parts: figures that a loss wants to be logged, by name; filled by it.
    """

    labels: Tensor | None = None
    scores: Tensor | None = None
    teacher_queries: Tensor | None = None
    teacher_positives: Tensor | None = None
    texts: Tensor | None = None
    masked: Tensor | None = None
    parts: dict[str, float] = field(default_factory=dict)


@runtime_checkable
class Loss(Protocol):
    """A loss over the vectors of one layer, cut to any number of dimensions."""

    def __call__(self, embedded: Embedded, targets: Targets, /) -> Tensor:
        """The mean loss of the batch, a scalar with gradients.

        Raises:
            ValueError: the batch or its targets lack something that the loss needs.
        """
        ...


@runtime_checkable
class LayerwiseLoss(Protocol):
    """A loss over the vectors of several layers: {layer: its vectors}, counted from 1, the last always in.

    Layer 0, where a loss asks for it, is what the first layer gets: the pooled token embeddings.
    """

    def wants(self, depth: int) -> tuple[int, ...]:
        """The layers that it wants of a model that has `depth` of them, ascending, the last one included."""
        ...

    def __call__(self, layers: dict[int, Embedded], targets: Targets, /) -> Tensor:
        """The mean loss of the batch, a scalar with gradients.

        Raises:
            ValueError: a layer that it wants, or something else that it needs, is not there.
        """
        ...


T = TypeVar("T")
Vectors = TypeVar("Vectors", Embedded, dict[int, Embedded])


def needed(value: T | None, loss: object, what: str) -> T:
    """`value`, which `loss` cannot do without; `what` names it and says where it comes from.

    Raises:
        ValueError: it is None.
    """
    if value is None:
        raise ValueError(f"{type(loss).__name__} needs {what}, and this batch has none")
    return value


def layer_of(layers: dict[int, Embedded], layer: int, loss: object) -> Embedded:
    """A layer's vectors, which `loss` cannot do without.

    Raises:
        ValueError: the layer is not there.
    """
    if layer not in layers:
        raise ValueError(f"{type(loss).__name__} needs layer {layer}, and has {', '.join(map(str, sorted(layers)))}")
    return layers[layer]


def part(name: str, loss: Callable[[Vectors, Targets], Tensor], vectors: Vectors, targets: Targets) -> Tensor:
    """Runs a loss inside another one: its value is logged as `name`, its own parts as `name/part`."""
    inner = replace(targets, parts={})
    value = loss(vectors, inner)
    targets.parts[name] = value.item()
    targets.parts.update({f"{name}/{key}": figure for key, figure in inner.parts.items()})
    return value
