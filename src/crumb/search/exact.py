"""Exact search: every query against every vector of the corpus, in the shape that sentence-transformers gives.

Enters: query and corpus vectors, or codes of them. Leaves: the best of the corpus for each query, best first. Knows
nothing of texts or models, nor of how scores are found (crumb.vectors.score).
"""

from __future__ import annotations

from typing import TypedDict

import numpy.typing as npt

from crumb.vectors.codes import Codes
from crumb.vectors.score import Score
from crumb.vectors.score import top_k as best_rows


class Hit(TypedDict):
    """One found row: its place in the corpus and its score."""

    corpus_id: int
    score: float


def semantic_search(
    query_vectors: npt.ArrayLike | Codes,
    corpus_vectors: npt.ArrayLike | Codes,
    *,
    top_k: int = 10,
    score: Score = "cosine",
    originals: npt.ArrayLike | Codes | None = None,
    rescore_multiplier: int | None = None,
    threads: int | None = None,
) -> list[list[Hit]]:
    """The `top_k` best corpus rows for each query, in the shape of sentence_transformers.util.semantic_search.

    The corpus is read in place and in one pass; no matrix of scores is made.

    Args:
        query_vectors: float [n, d], or [d] for one query; or `crumb.vectors.Codes` of the corpus's own encoding.
        corpus_vectors: float32 or float16 [m, d] (another dtype is copied), which may be a numpy memmap; or
            `crumb.vectors.Codes` of bytes or bits, which are scored as the vectors that they stand for.
        top_k: hits a query (fewer if the corpus is smaller).
        score: "cosine", or "dot" for vectors taken as they are.
        originals: the corpus in a better form. `corpus_vectors` then choose `top_k * rescore_multiplier` candidates,
            and the originals decide.
        rescore_multiplier: 20 where there are originals; see `crumb.vectors.top_k`.
        threads: of this call.

    Returns:
        A list for each query of {"corpus_id", "score"}, by falling score; equal scores by rising corpus_id.

    Raises:
        ValueError: shapes or encodings that do not fit, a `top_k` below 1, an unknown score, or a NaN score.
    """
    if isinstance(top_k, int) and top_k < 1:
        raise ValueError(f"top_k must be at least 1, got {top_k!r}")
    found = best_rows(
        query_vectors,
        corpus_vectors,
        top_k,
        score=score,
        originals=originals,
        rescore_multiplier=rescore_multiplier,
        threads=threads,
    )
    return [
        [Hit(corpus_id=row, score=value) for row, value in zip(rows, values, strict=True)]
        for rows, values in zip(found.rows.tolist(), found.scores.tolist(), strict=True)
    ]
