"""nDCG against scikit-learn's, and the reader on a set small enough to check by eye."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from crumb.evaluation.beir import read_retrieval_set
from crumb.evaluation.metrics import ndcg


@given(
    grades=st.lists(st.integers(0, 3), min_size=2, max_size=30).filter(any),
    k=st.integers(1, 12),
    seed=st.integers(0, 99),
)
def test_ndcg(grades: list[int], k: int, seed: int) -> None:
    scores = np.random.default_rng(seed).permutation(len(grades)).astype(float)
    ranking = [str(i) for i in np.argsort(-scores)]
    expected = ndcg_score([grades], [scores], k=k)
    assert ndcg(ranking, {str(i): g for i, g in enumerate(grades)}, k) == pytest.approx(expected)


def test_ndcg_needs_a_relevant_document() -> None:
    with pytest.raises(ValueError, match="at least one positive grade"):
        ndcg(["a"], {"a": 0})


def test_reading_a_set(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "corpus.jsonl.gz", "wt", encoding="utf-8") as file:
        for row in ({"_id": "d1", "title": "T", "text": "one"}, {"_id": "d2", "title": "", "text": "two "}):
            file.write(json.dumps(row) + "\n")
    (tmp_path / "queries.jsonl").write_text('{"_id":"q1","text":"?"}\n{"_id":"q2","text":"!"}\n')
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td2\t1\nq2\td1\t0\n")
    data = read_retrieval_set(tmp_path)
    assert data.corpus == {"d1": "T one", "d2": "two"}
    assert data.queries == {"q1": "?"}
    assert data.qrels == {"q1": {"d2": 1}}
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq1\tnone\t1\n")
    with pytest.raises(ValueError, match="'none' does not exist"):
        read_retrieval_set(tmp_path)
    with pytest.raises(FileNotFoundError, match="neither corpus.jsonl nor corpus.jsonl.gz"):
        read_retrieval_set(tmp_path / "elsewhere")
