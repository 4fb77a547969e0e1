"""Every loss with targets that suit it: what gradients, precisions, cached gradients and processes are tested with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor

from crumb.training.losses import (
    AnglE,
    AngleTotal,
    Contrastive,
    CoSENT,
    Embedded,
    Espresso,
    Filtered,
    FixedPairs,
    InBatch,
    LastLayer,
    Layerwise,
    LayerwiseLoss,
    LayerwiseTotal,
    Loss,
    Matryoshka,
    RelationalDistillation,
    ScoreDistillation,
    Targets,
    Term,
    Total,
    as_layerwise,
)

seeds = st.integers(0, 10_000)
sizes = st.integers(1, 5)
hards = st.integers(0, 3)
# loops in Python are slow: few examples, and no deadline on a machine with other work
quick = settings(max_examples=30, deadline=None)


def batch(seed: int, n: int = 4, k: int = 2, d: int = 6, dtype: torch.dtype = torch.float64) -> Embedded:
    """Random vectors that are somewhat alike, as a model's are."""
    rows = torch.randn(n * (2 + k), d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.3
    return Embedded.of_rows(rows.to(dtype), k)


def mask(seed: int, n: int, k: int) -> Tensor:
    return torch.rand(n, n * (1 + k), generator=torch.Generator().manual_seed(seed)) < 0.3


def graded(seed: int, n: int) -> Tensor:
    """Labels with ties."""
    return torch.randint(0, 4, (n,), generator=torch.Generator().manual_seed(seed)) / 2


def lists(embedded: Embedded) -> tuple[Any, Any, Any]:
    hard = None if embedded.negatives is None else embedded.negatives.tolist()
    return embedded.queries.tolist(), embedded.positives.tolist(), hard


def same(found: Tensor, expected: float) -> None:
    assert found.ndim == 0
    assert found.item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


@dataclass(frozen=True)
class Case:
    """A loss, how many negatives it gets, and which targets."""

    loss: Loss | LayerwiseLoss
    k: int = 0
    needs: tuple[str, ...] = ()

    def __str__(self) -> str:
        return type(self.loss).__name__ + "".join(f"-{need}" for need in self.needs)

    @property
    def layerwise(self) -> LayerwiseLoss:
        return as_layerwise(self.loss)

    def targets(self, n: int, seed: int = 0) -> Targets:
        generator = torch.Generator().manual_seed(seed)
        known = {
            "labels": graded(seed, n),
            "scores": torch.rand(n, 1 + self.k, generator=generator),
            "teacher_queries": torch.nn.functional.normalize(torch.randn(n, 5, generator=generator)),
            "teacher_positives": torch.nn.functional.normalize(torch.randn(n, 5, generator=generator)),
            "texts": torch.randint(0, 3 * n, (n * (2 + self.k),), generator=generator),
            "masked": mask(seed, n, self.k),
        }
        return Targets(**{name: value for name, value in known.items() if name in self.needs})


CASES = [
    Case(Contrastive()),
    Case(Contrastive(scale=5, symmetric=True), 2, ("masked",)),
    Case(CoSENT(), 0, ("labels",)),
    Case(CoSENT(in_batch=True), 1),
    Case(AnglE(), 0, ("labels",)),
    Case(AnglE(), 2, ("masked",)),
    Case(InBatch(positive_at=1), 0, ("labels",)),
    Case(AngleTotal.preset("angle-0.4.12", positive_at=1), 0, ("labels",)),
    Case(AngleTotal.preset("angle-0.6", cosine=0.5), 2),
    Case(Filtered(Contrastive(), by="own", absolute=0.1), 1, ("texts",)),
    Case(ScoreDistillation(), 2, ("scores",)),
    Case(RelationalDistillation(pairs=("qp", "qq", "pp")), 0, ("teacher_queries", "teacher_positives")),
    Case(RelationalDistillation("mse", standardise=True, teachers=(2, 3)), 0, ("teacher_queries", "teacher_positives")),
    Case(Matryoshka(AnglE(), (6, 4, 2), (1, 0.5, 0.25)), 1),
    Case(Total((Term("find", Contrastive()), Term("judge", ScoreDistillation(), 2))), 2, ("scores",)),
    Case(LastLayer(Contrastive()), 1),
    Case(Layerwise(Contrastive(), layers=(1, 2), weights=(0.5, 1)), 1),
    Case(FixedPairs(Contrastive(), sizes=((1, 2), (2, 6))), 1, ("masked",)),
    Case(Espresso(Contrastive(), dimensions=4), 1),
    Case(Espresso(AnglE(), dimensions=4, weights="uniform", teacher="last"), 1),
    Case(Espresso(Contrastive(), dimensions=4, as_published=True), 1),
    Case(LayerwiseTotal((Term("all", Layerwise(Contrastive())), Term("judge", ScoreDistillation()))), 2, ("scores",)),
]
