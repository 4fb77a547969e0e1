"""From what an engine finds to hits: one for a document, two rankings fused, examples averaged.

Enters: an engine, a condition, vectors and words. Leaves: hits, best first. Knows nothing of models, or of which engine
it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from crumb.search.collection.backend import Backend, Found, Sparse
from crumb.search.collection.errors import CollectionError
from crumb.search.collection.filters import METADATA, Condition, HasId, Not, both
from crumb.search.collection.ids import Id, check_id, head_of, points_of
from crumb.search.collection.items import Hit
from crumb.vectors.normalize import Floats, normalize

RRF_K = 60  # Cormack, Clarke and Büttcher, Reciprocal Rank Fusion, SIGIR 2009
LEAST_DEPTH = 100  # of each of two rankings that are fused


def hit(found: Found, score: float | None = None) -> Hit:
    """A point as users see it."""
    payload = found.payload
    return Hit(
        id=payload["id"],
        score=found.score if score is None else score,
        text=payload["text"],
        metadata=payload[METADATA],
        chunk=payload["chunk"],
        start_line=payload["start"],
        end_line=payload["end"],
        heading=payload["heading"],
    )


def best(ask: Callable[[int], list[Found]], top_k: int, *, per_document: bool) -> list[Found]:
    """The best `top_k` points, or the best point each of the best `top_k` documents.

    Args:
        ask: the best so many points; asked again for more where too many of them are of the same documents.
    """
    if not per_document:
        return ask(top_k)
    wanted = 3 * top_k
    while True:
        found = ask(wanted)
        first: dict[int | str, Found] = {}
        for point in found:
            first.setdefault(point.payload["id"], point)
        if len(first) >= top_k or len(found) < wanted:
            return list(first.values())[:top_k]
        wanted *= 4


def fuse(rankings: Sequence[Sequence[Found]], top_k: int, *, per_document: bool) -> list[Hit]:
    """Reciprocal rank fusion: a document (or passage) gets 1 / (60 + rank) from each ranking it is in, ranks from 1.

    A document is shown with its passage of the ranking where it stands highest. Equal sums stay in the order of that
    rank, then of the rankings.
    """
    scores: dict[int | str, float] = {}
    shown: dict[int | str, tuple[int, int, Found]] = {}
    for which, ranking in enumerate(rankings):
        for rank, found in enumerate(ranking, start=1):
            key = found.payload["id"] if per_document else found.id
            scores[key] = scores.get(key, 0.0) + 1 / (RRF_K + rank)
            if key not in shown or rank < shown[key][0]:
                shown[key] = (rank, which, found)
    order = sorted(scores, key=lambda key: (-scores[key], *shown[key][:2]))
    return [hit(shown[key][2], scores[key]) for key in order[:top_k]]


def away(like: Sequence[Floats], unlike: Sequence[Floats]) -> Floats:
    """The direction near these and far from those: twice the mean of `like` less the mean of `unlike`, unit length.

    Rocchio's (1971) with Qdrant's weights ("average_vector" of its recommendation API); without `unlike` just the mean.
    """
    near = np.asarray(np.mean(np.stack(like), axis=0, dtype=np.float64))
    if unlike:
        near = 2 * near - np.mean(np.stack(unlike), axis=0, dtype=np.float64)
    return normalize(near.astype(np.float32))


class Finder:
    """Searches in one way: under one condition, for documents or passages, exactly or along the graph."""

    def __init__(
        self,
        backend: Backend,
        where: Condition | None,
        *,
        per_document: bool,
        exact: bool,
        oversample: float | None,
    ) -> None:
        self._backend = backend
        self._where = where
        self._per_document = per_document
        self._exact = exact
        self._oversample = oversample

    def without(self, points: Sequence[str]) -> Finder:
        """The same search among all but these points."""
        return Finder(
            self._backend,
            both(self._where, Not(HasId(tuple(points)))) if points else self._where,
            per_document=self._per_document,
            exact=self._exact,
            oversample=self._oversample,
        )

    def find(self, vector: Floats | None, words: Sparse | None, top_k: int) -> list[Hit]:
        """By the vector, by the words, or by both fused; best first."""
        if vector is None or words is None:
            return [hit(found) for found in self._best(vector, words, top_k)]
        depth = max(LEAST_DEPTH, 4 * top_k)
        rankings = [self._best(vector, None, depth), self._best(None, words, depth)]
        return fuse(rankings, top_k, per_document=self._per_document)

    def _best(self, vector: Floats | None, words: Sparse | None, top_k: int) -> list[Found]:
        def ask(count: int) -> list[Found]:
            if vector is not None:
                return self._backend.nearest(vector, count, self._where, exact=self._exact, oversample=self._oversample)
            # a question of nothing but stop words finds nothing
            return self._backend.best_words(words, count, self._where) if words and words.indices else []

        return best(ask, top_k, per_document=self._per_document)

    def means(self, documents: Sequence[Id]) -> tuple[dict[Id, Floats], list[str]]:
        """The mean vector, float32 [d], of each document that is there, and all their points.

        Raises:
            CollectionError: a number is no id here (a str may be meant as a text).
        """
        heads = {document: head_of(check_id(document)) for document in documents}
        known = self._backend.retrieve(list(heads.values()), ["chunks"]) if heads else {}
        means: dict[Id, Floats] = {}
        points: list[str] = []
        for document, head in heads.items():
            if head not in known:
                if isinstance(document, str):
                    continue
                raise CollectionError(
                    f"{document!r} is no id of this collection; expected ids that are in it, or texts"
                )
            names = points_of(head, known[head].payload["chunks"])
            found = self._backend.retrieve(names, ["id"], vectors=True).values()
            rows = [point.dense for point in found if point.dense is not None]
            means[document] = np.asarray(np.mean(rows, axis=0, dtype=np.float64), dtype=np.float32)
            points += names
        return means, points
