"""The engine in a folder by itself: the graph and the encodings, held to numpy on vectors of our own making."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crumb.search.collection.backend import Point, Sparse
from crumb.search.collection.filters import parse
from crumb.search.collection.ids import head_of

pytest.importorskip("qdrant_edge")
from crumb.search.collection.edge import Edge

D = 96


def vectors(n: int, seed: int = 0) -> Any:
    """Unit rows around 40 centres, float32 [n, D]: neighbours are near, as those of texts are."""
    rng = np.random.default_rng(seed)
    rows = np.random.default_rng(9).standard_normal((40, D))[rng.integers(0, 40, n)] + 0.7 * rng.standard_normal((n, D))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def points(rows: Any, first: int = 0) -> list[Point]:
    return [
        Point(head_of(first + i), row.tolist(), Sparse([i % 7], [1.0]), {"n": first + i, "meta": {"part": i % 10}})
        for i, row in enumerate(rows)
    ]


def numbers(found: Sequence[Any]) -> list[int]:
    return [point.payload["n"] for point in found]


@pytest.mark.parametrize(
    ("encoding", "least", "off"),
    [
        ("float32", 0.99, 1e-6),
        ("float16", 0.99, 1e-3),
        ("int8", 0.98, 1e-6),
        ("binary", 0.7, 1e-6),
    ],
)
def test_the_graph_finds_what_numpy_finds(tmp_path: Path, encoding: str, least: float, off: float) -> None:
    rows = vectors(3_000)
    edge = Edge.create(tmp_path, dimensions=D, encoding=encoding, graph_from=200)
    edge.upsert(points(rows), [])
    assert edge.optimize()
    edge.index_field('meta."part"', "float")
    part = parse({"part": 3})
    for where, among in ((None, np.arange(3_000)), (part.condition, np.arange(3, 3_000, 10))):
        hits = {True: 0, False: 0}
        for query in vectors(50, seed=1):
            cosine = rows[among] @ query
            best = set(among[np.argsort(-cosine)[:10]].tolist())
            for exact in hits:
                found = edge.nearest(query, 10, where, exact=exact, oversample=4.0)
                # the candidates are compared again with the original vectors, whatever the scan went over
                assert [p.score for p in found] == pytest.approx([rows[n] @ query for n in numbers(found)], abs=off)
                hits[exact] += len(best & set(numbers(found)))
        assert hits[True] >= (500 if encoding != "float16" else 490)
        assert hits[False] >= least * 500
    edge.close()


def test_a_filter_leaves_no_dead_ends_in_the_graph(tmp_path: Path) -> None:
    """A filter that comes after the graph, and leaves one point in ten of it: too many to compare with each."""
    rows = np.random.default_rng(5).standard_normal((4_000, D)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    edge = Edge.create(tmp_path, dimensions=D, encoding="float32", graph_from=10)
    edge.upsert(points(rows), [])
    assert edge.optimize()
    edge.index_field('meta."part"', "float")
    few = np.arange(3, 4_000, 10)
    same = 0
    for query in vectors(50, seed=1):
        best = set(few[np.argsort(-(rows[few] @ query))[:10]].tolist())
        same += len(
            best & set(numbers(edge.nearest(query, 10, parse({"part": 3}).condition, exact=False, oversample=None)))
        )
    assert same >= 0.9 * 500
    edge.close()


def test_the_graph_is_asked_for_when_it_pays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crumb.search.collection.edge.UNINDEXED", 500)
    edge = Edge.create(tmp_path, dimensions=D, encoding="float32", graph_from=20)
    rows = vectors(3_000)
    edge.upsert(points(rows[:400]), [])
    assert not edge.needs_optimizing()  # few
    edge.upsert(points(rows[400:1_000], 400), [])
    assert edge.needs_optimizing()  # many
    assert edge.optimize()
    assert not edge.needs_optimizing()
    edge.upsert(points(rows[1_000:1_400], 1_000), [])
    assert not edge.needs_optimizing()
    edge.flush()
    edge.close()
    edge = Edge.open(tmp_path)
    edge.upsert(points(rows[1_400:2_000], 1_400), [])
    assert edge.needs_optimizing()  # those before the folder was opened count as well
    edge.optimize()
    assert edge.count(None) == 2_000
    edge.delete([head_of(i) for i in range(800)])
    assert edge.needs_optimizing()
    edge.optimize()
    assert not edge.needs_optimizing()
    assert edge.count(None) == 1_200
    found = edge.nearest(rows[1_999], 1, None, exact=False, oversample=None)
    assert numbers(found) == [1_999]
    edge.close()
