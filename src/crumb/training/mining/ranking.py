"""What ranks passages for queries, and how several rankings become one.

Enters: scores. Leaves: passages in order. Knows nothing of texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from crumb.training.batch import Floats
from crumb.vectors.score import top_k

Ints = npt.NDArray[np.int64]
FUSION = 60  # Cormack, Clarke and Büttcher 2009


class Scored(Protocol):
    """A block of queries against all passages."""

    def top(self, k: int) -> tuple[Floats, Ints]:
        """Scores and passages, [queries, k] each (fewer columns if there are fewer passages): by falling score, equal
        ones by rising number; -1 where a query has fewer passages that score at all."""
        ...

    def at(self, query: int, passages: Ints) -> Floats:
        """The scores of some passages for one query of the block."""
        ...


class Ranker(Protocol):
    """Scores the passages of a pool for its queries, block by block."""

    name: str

    def block(self, queries: Ints) -> Scored:
        """Scores of some queries, at least one, by their places."""
        ...


class Dense:
    """Ranks by inner products of vectors, exactly (crumb.vectors.top_k).

    Args:
        name: the model's.
        queries, passages: float32 [n, d] and [m, d].
    """

    def __init__(self, name: str, queries: Floats, passages: Floats) -> None:
        self.name = name
        self._queries, self._passages = queries, passages

    def block(self, queries: Ints) -> Scored:
        """Scores of some queries, by their places."""
        return _Products(self._queries[queries], self._passages)


class _Products:
    def __init__(self, queries: Floats, passages: Floats) -> None:
        self._queries, self._passages = queries, passages

    def top(self, k: int) -> tuple[Floats, Ints]:
        found = top_k(self._queries, self._passages, k, score="dot")
        return found.scores, found.rows

    def at(self, query: int, passages: Ints) -> Floats:
        scores: Floats = self._passages[passages] @ self._queries[query]
        return scores


def best(scores: Floats, k: int) -> Ints:
    """Places of the `k` greatest of `scores` [m], by falling score, equal ones by rising place; all if m is less."""
    k = min(k, len(scores))
    if k < len(scores):
        # everything above the k-th score, and the first of those that equal it
        least = np.partition(scores, len(scores) - k)[len(scores) - k]
        above = np.flatnonzero(scores > least)
        places = np.concatenate([above, np.flatnonzero(scores == least)[: k - len(above)]])
    else:
        places = np.arange(len(scores))
    return places[np.lexsort((places, -scores[places]))]


def fuse(lists: Sequence[Ints], *, intersect: bool) -> Ints:
    """One list of several, best first: each passage counts 1 / (60 + rank) for every list that has it, ranks from 1
    (reciprocal rank fusion, Cormack, Clarke and Büttcher 2009). Equal ones by rising number.

    Args:
        lists: passages, best first, none twice in a list.
        intersect: keep those only that all lists have.
    """
    passages, where = np.unique(np.concatenate(lists), return_inverse=True)
    points = np.zeros(len(passages))
    ranks = np.concatenate([np.arange(1, len(one) + 1) for one in lists])
    np.add.at(points, where, 1 / (FUSION + ranks))
    order = np.lexsort((passages, -points))
    if intersect:
        order = order[np.bincount(where, minlength=len(passages))[order] == len(lists)]
    return passages[order]
