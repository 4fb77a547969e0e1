"""Chunked readings against chunks encoded one by one; the best row of each document against all scores there are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from evaluation_models import tiny_model
from hypothesis import given, settings
from hypothesis import strategies as st

import crumb
from crumb.evaluation.embed import Cost, Embedded
from crumb.evaluation.rank import rank
from crumb.evaluation.readings import read_documents
from crumb.evaluation.settings import Setting
from crumb.vectors.normalize import normalize
from crumb.vectors.quantize import quantize

FREE = Cost(0, 0, 0, 0, 0.0)
TEXTS = ["the cat sat on a mat. " * 40, "", "a cat", "query: passages? " * 3, "x", "0123456789 " * 30]


@pytest.fixture(scope="module", params=[True, False], ids=["prompt pooled", "prompt left out"])
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> crumb.Model:
    folder = tiny_model(tmp_path_factory.mktemp("tiny"), include_prompt=request.param)
    return crumb.load(folder, precision="float32")


def one_by_one(model: crumb.Model, text: str, chunk: int, prompt: str) -> np.ndarray:
    """Rows of a text's chunks, each run by itself: float64 [chunks, d], of unit length."""
    lead = model.tokenizer.encode([prompt])[0] if prompt else []
    ids = model.tokenizer.encode([text])[0]
    room = chunk - 2 - len(lead)
    pieces = [ids[i : i + room] for i in range(0, len(ids), room)] or [[]]
    rows = []
    for piece in pieces:
        whole = np.array([2, *lead, *piece, 3], dtype=np.int32)
        states = model.engine.hidden_rows(whole, np.array([0, len(whole)])).astype(np.float64)
        skipped = 0 if model.contract.include_prompt or not lead else min(1 + len(lead), len(whole) - 1)
        mean = states[skipped:].mean(0)
        rows.append(mean / np.linalg.norm(mean))
    return np.array(rows)


@pytest.mark.parametrize("chunk", [16, 64])
@pytest.mark.parametrize("prompt", ["", "passage: "])
def test_chunks_as_one_by_one(tiny: crumb.Model, chunk: int, prompt: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crumb.evaluation.readings._MOST_TOKENS", 100)  # several calls of the engine for one text
    slow = [one_by_one(tiny, text, chunk, prompt) for text in TEXTS]
    rows, owner, report = read_documents(tiny, TEXTS, Setting(reading="chunk-best", chunk=chunk), prompt)
    assert owner is not None
    assert owner.tolist() == [i for i, parts in enumerate(slow) for _ in parts]
    np.testing.assert_allclose(rows, np.concatenate(slow), atol=2e-6)
    lead = len(tiny.tokenizer.encode([prompt])[0])
    assert report.texts == len(TEXTS)
    assert report.tokens == sum(tiny.tokenizer.count(TEXTS)) + (2 + lead) * len(rows)
    assert report.tokens_cut == 0
    means, no_owner, _ = read_documents(tiny, TEXTS, Setting(reading="chunk-mean", chunk=chunk), prompt)
    assert no_owner is None
    expected = np.array([parts.mean(0) / np.linalg.norm(parts.mean(0)) for parts in slow])
    np.testing.assert_allclose(means, expected, atol=2e-6)


def test_a_text_that_fits_is_itself(tiny: crumb.Model) -> None:
    short = [text for text in TEXTS if len(text) < 30]
    whole = tiny.encode(short)
    for reading in ("chunk-mean", "chunk-best"):
        rows, _, _ = read_documents(tiny, short, Setting(reading=reading, chunk=64), "")
        np.testing.assert_allclose(rows, whole, atol=1e-7)


@pytest.mark.parametrize("reading", ["whole", "chunk-mean", "chunk-best"])
def test_no_documents(tiny: crumb.Model, reading: Any) -> None:
    rows, _, report = read_documents(tiny, [], Setting(reading=reading, chunk=64), "")
    assert rows.shape == (0, 32)
    assert report.texts == 0


def test_chunks_that_cannot_be(tiny: crumb.Model) -> None:
    with pytest.raises(ValueError, match="chunk=512 is longer than the context of 64"):
        read_documents(tiny, ["a"], Setting(reading="chunk-best"), "")
    with pytest.raises(ValueError, match="chunk=4 leaves no room .* prompt of 2 tokens"):
        read_documents(tiny, ["a"], Setting(reading="chunk-mean", chunk=4), "passage: ")
    with pytest.raises(ValueError, match="layers must be"):
        read_documents(tiny, ["a"], Setting(reading="chunk-mean", chunk=64, layers=9), "")


def embedded(queries: np.ndarray, rows: np.ndarray, owner: np.ndarray) -> Embedded:
    return Embedded(queries.astype(np.float32), rows.astype(np.float32), owner, FREE, FREE)


def every_best(scores: np.ndarray, owner: np.ndarray, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Best score of every document and the row that has it first; by falling score, then rising row."""
    found = []
    for line in scores:
        best = [
            (-line[owner == d].max(), np.flatnonzero((owner == d) & (line == line[owner == d].max()))[0], d)
            for d in np.unique(owner)
        ]
        found.append(sorted(best)[:depth])
    kept = np.array(found).reshape(len(scores), min(depth, len(np.unique(owner))), 3)
    return -kept[:, :, 0], kept[:, :, 2].astype(int)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    counts=st.lists(st.integers(1, 30), min_size=1, max_size=12),
    queries=st.integers(0, 5),
    depth=st.integers(1, 14),
)
def test_best_row_of_each(seed: int, counts: list[int], queries: int, depth: int) -> None:
    generator = np.random.default_rng(seed)
    owner = np.repeat(np.arange(len(counts)), counts)
    rows = normalize(generator.normal(size=(len(owner), 24)))
    # what makes the first rows found belong to few documents: those of one lie together
    rows = normalize(rows + 2 * normalize(generator.normal(size=(len(counts), 24)))[owner])
    asked = normalize(generator.normal(size=(queries, 24)))
    found = rank(embedded(asked, rows, owner), Setting(), depth=depth)
    scores, documents = every_best(asked.astype(np.float64) @ rows.astype(np.float64).T, owner, depth)
    np.testing.assert_allclose(found.scores, scores.reshape(found.scores.shape), atol=1e-6)
    assert (found.documents == documents.reshape(found.documents.shape)).all()
    # bits against bits: whole numbers, full of ties, so the order of equals shows
    bits = rank(embedded(asked, rows, owner), Setting(stored="ubinary", coded_queries=True), depth=depth)
    signs = [np.unpackbits(quantize(v, "ubinary"), axis=1).astype(int) * 2 - 1 for v in (asked, rows)]
    scores, documents = every_best(signs[0] @ signs[1].T / 24, owner, depth)
    np.testing.assert_allclose(bits.scores, scores.reshape(bits.scores.shape), atol=1e-6)
    assert (bits.documents == documents.reshape(bits.documents.shape)).all()


def test_one_document_hides_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """500 rows of one document lie before every other: more rows are asked for, of few queries at a time."""
    monkeypatch.setattr("crumb.evaluation.rank._MOST_FOUND", 1000)
    generator = np.random.default_rng(3)
    asked = normalize(generator.normal(size=(7, 16)))
    crowd = normalize(asked[generator.integers(0, 7, 500)] + 0.01 * generator.normal(size=(500, 16)))
    rows = np.concatenate([crowd, normalize(generator.normal(size=(90, 16)))])
    owner = np.concatenate([np.zeros(500, dtype=int), 1 + np.arange(90) // 3])
    found = rank(embedded(asked, rows, owner), Setting(), depth=20)
    scores, documents = every_best(asked.astype(np.float64) @ rows.astype(np.float64).T, owner, 20)
    assert (found.documents == documents).all()
    np.testing.assert_allclose(found.scores, scores, atol=1e-6)
    rescored = rank(embedded(asked, rows, owner), Setting(stored="ubinary", rescore=True), depth=20)
    assert (rescored.documents == documents).all()
