"""From points that an engine has found to hits: one for a document, two rankings fused, examples averaged.

Enters: functions that ask the engine, and what they find. Leaves: hits, best first. Knows nothing of models or engines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from crumb.search.collection.backend import Found
from crumb.search.collection.filters import METADATA
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
