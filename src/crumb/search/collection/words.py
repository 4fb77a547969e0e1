"""BM25 vectors: words and their weights, the same for every engine because they are made here.

Enters: texts. Leaves: sparse vectors. Knows nothing of where they are kept.

A word of a passage weighs tf (k + 1) / (tf + k (1 - b + b length / average)) with k = 1.2 and b = 0.75 (Robertson and
Zaragoza 2009); the engine multiplies by the inverse frequency, log(1 + (N - n + 0.5) / (n + 0.5)). Words are in lower
case, without stop words, and as stems (Snowball).
"""

from __future__ import annotations

from crumb.search.collection.backend import Sparse
from crumb.search.collection.edge import engine

LANGUAGE = "english"
# Fixed, because weights are stored and the true mean changes with every text. Passages of 256 tokens have about 100
# words that count; Qdrant's 256 loses up to 2.7 of nDCG@10 against this (docs/log.md).
AVERAGE_WORDS = 100.0


class Words:
    """Makes BM25 vectors for one language and one usual length of passages."""

    def __init__(self, language: str = LANGUAGE, average: float = AVERAGE_WORDS) -> None:
        q = engine()
        self._bm25 = q.Bm25(q.Bm25Config(language=language, avg_len=average))

    def of_passage(self, text: str) -> Sparse:
        """A passage's words with their weights."""
        vector = self._bm25.embed_document(text)
        return Sparse(vector.indices, vector.values)

    def of_query(self, text: str) -> Sparse:
        """A question's words, each with weight 1; none where it holds nothing but stop words."""
        vector = self._bm25.embed_query(text)
        return Sparse(vector.indices, vector.values)
