"""Unit length, cosine and exact search, against numpy in float64 and sentence-transformers."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sentence_transformers import util

import crumb
from crumb.vectors.normalize import cut, normalize

FLOATS = st.floats(-1e6, 1e6, width=32)
MATRICES = hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12), elements=FLOATS)


@given(vectors=MATRICES)
def test_normalize(vectors: np.ndarray) -> None:
    expected = torch.nn.functional.normalize(torch.from_numpy(vectors.astype(np.float64)), dim=1).numpy()
    np.testing.assert_allclose(normalize(vectors), expected, atol=1e-7)
    rows = np.stack([normalize(row) for row in vectors])
    assert rows.tobytes() == normalize(vectors).tobytes()


def test_cut() -> None:
    vectors = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert (cut(vectors, 2) == vectors[:, :2]).all()
    assert cut(vectors, None) is vectors
    for wrong in (0, 5, -1, 1.0, True, "2"):
        with pytest.raises(ValueError, match="dimensions must be a whole number from 1 to 4"):
            cut(vectors, wrong)


@given(data=st.data(), d=st.integers(1, 8))
def test_similarity(data: st.DataObject, d: int) -> None:
    a, b = (data.draw(hnp.arrays(np.float32, (data.draw(st.integers(1, 6)), d), elements=FLOATS)) for _ in "ab")
    expected = util.cos_sim(torch.from_numpy(a.astype(np.float64)), torch.from_numpy(b.astype(np.float64))).numpy()
    found = crumb.similarity(a, b)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert crumb.similarity(a[0], b[0]).shape == (1, 1)


def test_similarity_of_other_shapes() -> None:
    with pytest.raises(ValueError, match="different sizes: 3 and 4 dimensions"):
        crumb.similarity(np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match=r"shape \[d\] or \[n, d\]"):
        crumb.similarity(np.zeros((1, 2, 3)), np.zeros(3))


@settings(deadline=None)
@given(
    seed=st.integers(0, 999),
    n=st.integers(1, 9),
    m=st.integers(1, 60),
    top_k=st.integers(1, 70),
)
def test_search_as_sentence_transformers(seed: int, n: int, m: int, top_k: int) -> None:
    generator = np.random.default_rng(seed)
    queries, corpus = (generator.normal(size=(size, 16)).astype(np.float32) for size in (n, m))
    found = crumb.semantic_search(queries, corpus, top_k=top_k)
    expected = util.semantic_search(torch.from_numpy(queries), torch.from_numpy(corpus), top_k=top_k)
    assert [[hit["corpus_id"] for hit in hits] for hits in found] == [
        [h["corpus_id"] for h in hits] for hits in expected
    ]
    for ours, theirs in zip(found, expected, strict=True):
        assert [type(value) for value in ours[0].values()] == [int, float]
        assert list(ours[0]) == list(theirs[0])
        np.testing.assert_allclose([h["score"] for h in ours], [h["score"] for h in theirs], atol=1e-6)


@given(
    queries=hnp.arrays(np.float32, (3, 2), elements=st.integers(-2, 2)),
    corpus=hnp.arrays(np.float32, (30, 2), elements=st.integers(-2, 2)),
    top_k=st.integers(1, 30),
)
def test_ties_go_to_the_first(queries: np.ndarray, corpus: np.ndarray, top_k: int) -> None:
    """Small whole numbers tie all the time: ties keep the order of the corpus."""
    found = crumb.semantic_search(queries, corpus, top_k=top_k, score="dot")
    for query, hits in zip(queries, found, strict=True):
        scores = corpus @ query
        order = sorted(range(30), key=lambda i: (-scores[i], i))[:top_k]
        assert [hit["corpus_id"] for hit in hits] == order
        assert [hit["score"] for hit in hits] == [float(scores[i]) for i in order]


def test_search_edges() -> None:
    corpus = np.eye(3, dtype=np.float32)
    assert crumb.semantic_search(np.empty((0, 3)), corpus) == []
    assert crumb.semantic_search(corpus, np.empty((0, 3))) == [[], [], []]
    assert [hit["corpus_id"] for hit in crumb.semantic_search(corpus[1], corpus)[0]] == [1, 0, 2]
    with pytest.raises(ValueError, match="a score is NaN"):
        crumb.semantic_search(np.full((1, 3), np.nan), corpus)
    with pytest.raises(ValueError, match=r"got \[1, 2\] and \[3, 3\]"):
        crumb.semantic_search(np.zeros((1, 2)), corpus)
    with pytest.raises(ValueError, match="top_k must be at least 1, got 0"):
        crumb.semantic_search(corpus, corpus, top_k=0)
    with pytest.raises(ValueError, match="unknown score 'euclid'"):
        crumb.semantic_search(corpus, corpus, score="euclid")


def test_a_million_rows_need_no_matrix() -> None:
    """1,000 queries x 1,000,000 rows would be 4 GB of scores; the search may take 50 MB over the corpus."""
    code = """
import resource, numpy as np, crumb
corpus = np.random.default_rng(0).normal(size=(1_000_000, 8)).astype(np.float32)
queries = corpus[::1000].copy()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
hits = crumb.semantic_search(queries, corpus, top_k=3)
assert [h[0]["corpus_id"] for h in hits] == list(range(0, 1_000_000, 1000))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 50
