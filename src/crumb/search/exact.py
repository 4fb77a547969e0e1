"""Exact search: every query against every vector of the corpus.

Enters: query and corpus vectors. Leaves: the best of the corpus for each query, best first. Knows nothing of texts or
models. Works in chunks, so that a million corpus rows never need a [queries, 1,000,000] matrix.
"""

from __future__ import annotations

from typing import Literal, TypedDict

import numpy as np
import numpy.typing as npt

from crumb.vectors.normalize import Floats, normalize


class Hit(TypedDict):
    """One found row: its place in the corpus and its score."""

    corpus_id: int
    score: float


def semantic_search(
    query_vectors: npt.ArrayLike,
    corpus_vectors: npt.ArrayLike,
    *,
    top_k: int = 10,
    score: Literal["cosine", "dot"] = "cosine",
    query_chunk: int = 256,
    corpus_chunk: int = 65_536,
) -> list[list[Hit]]:
    """The `top_k` best corpus rows for each query, in the shape of sentence_transformers.util.semantic_search.

    Args:
        query_vectors: [n, d], or [d] for one query.
        corpus_vectors: [m, d]; may be a numpy memmap.
        top_k: hits a query (fewer if the corpus is smaller).
        score: "cosine", or "dot" for vectors taken as they are.
        query_chunk, corpus_chunk: rows scored at a time; the largest matrix is query_chunk x corpus_chunk float32.

    Returns:
        A list for each query of {"corpus_id", "score"}, by falling score; equal scores by rising corpus_id.

    Raises:
        ValueError: shapes that do not fit, a `top_k` or chunk below 1, an unknown score, or a NaN score.
    """
    queries = np.atleast_2d(np.asarray(query_vectors, dtype=np.float32))
    corpus = np.asarray(corpus_vectors)
    if queries.ndim != 2 or corpus.ndim != 2 or queries.shape[1] != corpus.shape[1]:
        raise ValueError(
            f"expected queries [n, d] and corpus [m, d], got {list(queries.shape)} and {list(corpus.shape)}"
        )
    for name, value in (("top_k", top_k), ("query_chunk", query_chunk), ("corpus_chunk", corpus_chunk)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value!r}")
    if score not in ("cosine", "dot"):
        raise ValueError(f"unknown score {score!r}; choose 'cosine' or 'dot'")
    if score == "cosine":
        queries = normalize(queries)

    n = len(queries)
    best_scores = np.empty((n, 0), dtype=np.float32)
    best_ids = np.empty((n, 0), dtype=np.int64)
    for begin in range(0, len(corpus), corpus_chunk):
        block = np.asarray(corpus[begin : begin + corpus_chunk], dtype=np.float32)
        if score == "cosine":
            block = normalize(block)
        found = [_top(queries[i : i + query_chunk] @ block.T, top_k) for i in range(0, n, query_chunk)]
        if not found:
            break
        ids = np.concatenate([f[0] for f in found]) + begin
        scores = np.concatenate([f[1] for f in found])
        # earlier chunks hold smaller ids and come first, so a stable sort keeps ties in order of corpus_id
        best_scores = np.concatenate([best_scores, scores], axis=1)
        best_ids = np.concatenate([best_ids, ids], axis=1)
        order = np.argsort(-best_scores, axis=1, kind="stable")[:, :top_k]
        best_scores = np.take_along_axis(best_scores, order, axis=1)
        best_ids = np.take_along_axis(best_ids, order, axis=1)
    return [
        [Hit(corpus_id=int(i), score=float(s)) for i, s in zip(row_ids, row_scores, strict=True)]
        for row_ids, row_scores in zip(best_ids, best_scores, strict=True)
    ]


def _top(scores: Floats, top_k: int) -> tuple[npt.NDArray[np.int64], Floats]:
    """Ids and scores of the `top_k` best columns of each row, best first, ties by column."""
    if np.isnan(scores).any():
        raise ValueError("a score is NaN: the vectors hold NaN or infinite values")
    k = min(top_k, scores.shape[1])
    if k < scores.shape[1]:
        # argpartition leaves open which of several equal scores it takes: take all that reach the k-th score, then cut
        threshold = np.partition(scores, scores.shape[1] - k, axis=1)[:, scores.shape[1] - k]
        ids = np.empty((len(scores), k), dtype=np.int64)
        for row, (line, limit) in enumerate(zip(scores, threshold, strict=True)):
            reach = np.flatnonzero(line >= limit)
            ids[row] = reach[np.argsort(-line[reach], kind="stable")[:k]]
    else:
        ids = np.argsort(-scores, axis=1, kind="stable")
    return ids, np.take_along_axis(scores, ids, axis=1)
