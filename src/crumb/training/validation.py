"""Scores of the model in the making: nDCG@10 on retrieval sets, as users would get it.

Enters: a model folder and sets in BEIR's layout. Leaves: a score a set, and the mean. The folder is loaded by
`crumb.load`, so what is scored is what is saved, run by the engine that will run it. Knows nothing of training.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from crumb.evaluation.beir import read_retrieval_set
from crumb.evaluation.metrics import ndcg
from crumb.model import load
from crumb.vectors import top_k

DEPTH = 10


@dataclass(frozen=True)
class Figures:
    """nDCG@10 by set; at least one."""

    scores: dict[str, float]

    @property
    def mean(self) -> float:
        """The mean over the sets, each counted once."""
        return statistics.fmean(self.scores.values())


class Validation:
    """Sets that are read once and scored many times."""

    def __init__(self, folders: Sequence[Path]) -> None:
        """Reads the sets.

        Raises:
            FileNotFoundError, ValueError: a folder holds no retrieval set.
        """
        self._sets = [read_retrieval_set(folder) for folder in folders]

    def score(self, model: Path) -> Figures:
        """Scores the model in that folder: float32, no prompt but the model's default, cosine, exact search.

        Texts longer than the model's context are cut there.
        """
        loaded = load(model, precision="float32")
        scores = {}
        for data in self._sets:
            ids = list(data.corpus)
            documents = loaded.encode(list(data.corpus.values()), truncation="end", progress=False)
            queries = loaded.encode(list(data.queries.values()), truncation="end", progress=False)
            best = top_k(queries, documents, DEPTH)
            scores[data.name] = statistics.fmean(
                ndcg([ids[row] for row in rows], data.qrels[query], DEPTH)
                for query, rows in zip(data.queries, best.rows.tolist(), strict=True)
            )
        return Figures(scores)
