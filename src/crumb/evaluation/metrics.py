"""Ranking metrics.

Enters: a ranking and graded judgements. Leaves: numbers between 0 and 1. Knows nothing of models or files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence


def ndcg(ranking: Sequence[str], grades: Mapping[str, int], k: int = 10) -> float:
    """nDCG@k with linear gain and log2 discount, as trec_eval computes it (Järvelin and Kekäläinen 2002).

    Args:
        ranking: document ids, best first.
        grades: document id to grade; ids that are missing, and grades below 0, count as 0.
        k: how far to look.

    Raises:
        ValueError: no grade is positive, so the ideal ranking gains nothing.
    """
    ideal = sorted((grade for grade in grades.values() if grade > 0), reverse=True)[:k]
    if not ideal:
        raise ValueError("nDCG needs at least one positive grade")
    gained = [max(grades.get(document, 0), 0) for document in ranking[:k]]
    return _dcg(gained) / _dcg(ideal)


def _dcg(gains: Sequence[int]) -> float:
    return sum(gain / math.log2(rank + 2) for rank, gain in enumerate(gains))
