"""Whether one model is better than another, or only luckier.

Enters: two `Measured` of the same task. Leaves: the difference with a bootstrap interval over the queries that both
answered. Knows nothing of models. The resampling is paired: both models are judged on the same drawn queries (Efron and
Tibshirani 1993; for retrieval Sakai, SIGIR 2006).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crumb.evaluation.metrics import spearman
from crumb.evaluation.results import Measured

RESAMPLES = 2000
LEVEL = 0.95
_AT_ONCE = 100  # draws of a correlation that are ranked together: a few MB
MEAN_OF = "nDCG@10"  # means over unlike metrics would mean nothing

Draws = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """`model` less `base` on a task, in the metric's own unit (0..1).

    Attributes:
        task: the task; "mean" for the mean over the tasks whose metric is nDCG@10.
        model, base: their values.
        difference: of the two.
        low, high: the interval that holds `level` of the resampled differences.
        level: e.g. 0.95.
        queries: how many were drawn from.
    """

    task: str
    model: float
    base: float
    difference: float
    low: float
    high: float
    level: float
    queries: int

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {**asdict(self), "clear": self.clear}


def compare(
    model: Sequence[Measured],
    base: Sequence[Measured],
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> list[Difference]:
    """One difference a task, in order, and after them that of mean nDCG@10 (over the tasks that have it, if several).

    Args:
        model, base: measured on the same tasks, in the same order, with the values of each query.
        resamples: draws with replacement.
        level: share of the draws inside the interval.
        seed: of the draws; the same seed, the same interval.

    Raises:
        ValueError: tasks, data or queries differ, or values of queries were not kept.
    """
    if not 0 < level < 1 or resamples < 1:
        raise ValueError(f"level must be between 0 and 1 and resamples at least 1, got {level!r} and {resamples!r}")
    if [m.task for m in model] != [m.task for m in base]:
        raise ValueError(f"measured on different tasks: {[m.task for m in model]} and {[m.task for m in base]}")
    found, draws, alike = [], [], []
    for i, (a, b) in enumerate(zip(model, base, strict=True)):
        drawn = _draws(a, b, resamples, np.random.default_rng((seed, i)))
        found.append(_difference(a.task, a.value, b.value, drawn, level, a.queries))
        if a.main == MEAN_OF:
            alike.append(found[-1])
            draws.append(drawn)
    if len(alike) > 1:
        values, bases = float(np.mean([d.model for d in alike])), float(np.mean([d.base for d in alike]))
        queries = sum(d.queries for d in alike)
        found.append(_difference("mean", values, bases, np.mean(draws, axis=0), level, queries))
    return found


def _difference(task: str, model: float, base: float, drawn: Draws, level: float, queries: int) -> Difference:
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Difference(task, model, base, model - base, float(low), float(high), level, queries)


def _draws(a: Measured, b: Measured, resamples: int, rng: np.random.Generator) -> Draws:
    """Resampled differences, float64 [resamples]; queries are drawn inside their part."""
    if a.main != b.main or a.data != b.data:
        raise ValueError(f"{a.task}: the two were measured with other data or by other metrics")
    if not a.per_query or a.per_query.keys() != b.per_query.keys():
        raise ValueError(f"{a.task}: a comparison needs the values of each query, of the same parts, for both")
    parts = []
    for part, values in a.per_query.items():
        others = b.per_query[part]
        if values.keys() != others.keys():
            raise ValueError(f"{a.task}: the two answered different queries")
        x, y = (np.fromiter((side[query] for query in values), dtype=np.float64) for side in (values, others))
        parts.append(_correlations(x, y, a.gold, resamples, rng) if a.gold else _means(x - y, resamples, rng))
    return np.asarray(np.mean(parts, axis=0), dtype=np.float64)


def _means(differences: Draws, resamples: int, rng: np.random.Generator) -> Draws:
    n = len(differences)
    counts = rng.multinomial(n, np.full(n, 1 / n), size=resamples)
    return np.asarray(counts @ differences / n, dtype=np.float64)


def _correlations(x: Draws, y: Draws, gold: Sequence[float], resamples: int, rng: np.random.Generator) -> Draws:
    wanted, n = np.asarray(gold), len(x)
    found = []
    for start in range(0, resamples, _AT_ONCE):
        drawn = rng.integers(0, n, (min(_AT_ONCE, resamples - start), n))
        # a draw whose scores are all equal has no correlation: draw it again
        while (flat := np.ptp(wanted[drawn], axis=1) == 0).any():
            drawn[flat] = rng.integers(0, n, (int(flat.sum()), n))
        found.append(spearman(x[drawn], wanted[drawn]) - spearman(y[drawn], wanted[drawn]))
    return np.concatenate(found)
