"""Scores of the model in the making, as users would get them.

Enters: a model folder, and sets in BEIR's layout or files of sentence pairs. Leaves: a score a set, and the mean. The
folder is loaded and measured as `crumb eval` does it, so what is scored is what is saved, run by the engine that will
run it. Knows nothing of training.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from crumb.evaluation.catalogue import task_at
from crumb.evaluation.measure import load_for, measure
from crumb.evaluation.settings import Setting


@dataclass(frozen=True)
class Figures:
    """The main metric of each set (nDCG@10, of sentence pairs Spearman's correlation); at least one."""

    scores: dict[str, float]

    @property
    def mean(self) -> float:
        """The mean over the sets, each counted once."""
        return statistics.fmean(self.scores.values())


class Validation:
    """Sets that models are scored on."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """`paths` as `crumb.evaluation.catalogue.task_at` takes them."""
        self._tasks = [task_at(path) for path in paths]

    def score(self, model: Path) -> Figures:
        """Scores the model in that folder: float32, whole vectors, its own prompts, texts cut at its context.

        Raises:
            ValueError: a set cannot be read, or a vector is not finite.
        """
        setting = Setting()
        loaded = load_for(model, setting)
        return Figures({task.name: measure(loaded, task, setting).value for task in self._tasks})
