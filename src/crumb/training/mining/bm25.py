"""Passages by the words that they share with a query.

Enters: queries and passages. Leaves: BM25 scores. Knows nothing of rows.

A word of a passage weighs idf * tf / (tf + k1 (1 - b + b length / mean length)), with idf = ln(1 + (N - n + 0.5) /
(n + 0.5)): Robertson and Zaragoza 2009, as Lucene writes it, without the constant factor k1 + 1. A query's word counts
as often as the query has it. Words are runs of letters, digits and underscores in lower case; nothing is stemmed or
left out, since what is sought looks like an answer, down to its common words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from types import ModuleType

import numpy as np

from crumb.errors import MissingExtraError
from crumb.training.batch import Floats
from crumb.training.mining.ranking import Ints, Scored, best

K1, B = 1.2, 0.75
_WORD = re.compile(r"\w+")


class Bm25:
    """Ranks the passages of one pool.

    Raises:
        MissingExtraError: bm25s is not installed.
    """

    name = "bm25"

    def __init__(self, queries: Sequence[str], passages: Sequence[str]) -> None:
        bm25s = _import_bm25s()
        vocabulary: dict[str, int] = {}
        documents = [[vocabulary.setdefault(word, len(vocabulary)) for word in _words(passage)] for passage in passages]
        self._size = len(passages)
        self._queries = [[vocabulary[word] for word in _words(query) if word in vocabulary] for query in queries]
        self._index = None
        if vocabulary:
            self._index = bm25s.BM25(k1=K1, b=B, method="lucene")
            self._index.index((documents, vocabulary), show_progress=False)

    def block(self, queries: Ints) -> Scored:
        """Scores of some queries, by their places."""
        scores = np.zeros((len(queries), self._size), dtype=np.float32)
        for row, query in enumerate(queries.tolist()):
            words = self._queries[query]
            if words and self._index is not None:
                scores[row] = self._index.get_scores_from_ids(words)
        return _Scores(scores)


class _Scores:
    def __init__(self, scores: Floats) -> None:
        self._scores = scores

    def top(self, k: int) -> tuple[Floats, Ints]:
        found = [best(row, k) for row in self._scores]
        rows = np.stack(found)
        scores = np.take_along_axis(self._scores, rows, axis=1)
        return scores, np.where(scores > 0, rows, -1)  # without a common word a passage has no rank

    def at(self, query: int, passages: Ints) -> Floats:
        scores: Floats = self._scores[query, passages]
        return scores


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _import_bm25s() -> ModuleType:
    try:
        import bm25s
    except ImportError as error:
        raise MissingExtraError(
            f'BM25 needs bm25s, which cannot be imported ({error}): pip install "crumb-embed[train]"'
        ) from None
    module: ModuleType = bm25s
    return module
