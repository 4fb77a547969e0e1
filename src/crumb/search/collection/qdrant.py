"""What Qdrant's two libraries say alike: filters that are made of filters, and points as they come back.

Enters: our conditions, and records of qdrant_edge or qdrant_client. Leaves: their filters, and our points. Knows
neither library: what differs is handed in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from crumb.search.collection.backend import BM25, DENSE, Found, Sparse
from crumb.search.collection.filters import All, Condition, Either, Not


def filter_of(where: Condition | None, kind: Any, leaf: Callable[[Condition], Any]) -> Any:
    """The library's filter: `kind` is its class, and `leaf` makes the conditions that hold no others."""
    if where is None:
        return None
    built = _condition(where, kind, leaf)
    return built if isinstance(built, kind) else kind(must=[built])


def _condition(where: Condition, kind: Any, leaf: Callable[[Condition], Any]) -> Any:
    match where:
        case All(parts):
            return kind(must=[_condition(part, kind, leaf) for part in parts])
        case Either(parts):
            return kind(should=[_condition(part, kind, leaf) for part in parts])
        case Not(part):
            return kind(must_not=[_condition(part, kind, leaf)])
        case _:
            return leaf(where)


def found_of(record: Any, score: float = 0.0) -> Found:
    """A record of either library."""
    vector = getattr(record, "vector", None)
    if not vector:
        return Found(str(record.id), record.payload or {}, float(score))
    words = vector.get(BM25)
    sparse = Sparse([], []) if words is None else Sparse(list(words.indices), list(words.values))
    return Found(
        str(record.id), record.payload or {}, float(score), np.asarray(vector[DENSE], dtype=np.float32), sparse
    )
