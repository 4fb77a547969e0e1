"""What a collection asks of the engine beneath it, in our own plain terms.

Enters and leaves: points, filters and UUIDs as plain data. Two modules answer to it: edge.py (a folder) and remote.py
(a server). Whatever differs between the two engines ends there. Knows nothing of models, texts or documents.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from crumb.search.collection.filters import Condition
from crumb.vectors.normalize import Floats

DENSE, BM25 = "dense", "bm25"  # the names of the two vectors of a point

Payload = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sparse:
    """A vector of few components: their numbers and values."""

    indices: list[int]
    values: list[float]


@dataclass(frozen=True, slots=True)
class Point:
    """A passage on its way in: its UUID, its vectors, what is stored with it."""

    id: str
    dense: list[float]
    sparse: Sparse
    payload: Payload


@dataclass(frozen=True, slots=True)
class Found:
    """A point on its way out; `score` where it was searched for, `dense` float32 [d] and `sparse` where asked for."""

    id: str
    payload: Payload
    score: float = 0.0
    dense: Floats | None = None
    sparse: Sparse | None = None


@dataclass(frozen=True, slots=True)
class Replacement:
    """Points of one document that go once its new ones are there: `head` then has the content hash `digest`."""

    head: str
    digest: str
    stale: list[str]


class Backend(Protocol):
    """An engine. Every method may raise CollectionError; what has returned survives the process."""

    def upsert(self, points: Sequence[Point], replacements: Sequence[Replacement]) -> None:
        """Writes the points and removes the stale ones: all of it or nothing, whatever happens to the process."""

    def delete(self, ids: Sequence[str]) -> None:
        """Removes points, all or none."""

    def set_metadata(self, ids: Sequence[str], metadata: Payload) -> None:
        """Replaces what is stored under METADATA (and its flags) in the points, all or none."""

    def retrieve(
        self, ids: Sequence[str], keys: Sequence[str] | None = None, *, vectors: bool = False
    ) -> dict[str, Found]:
        """The points that are there, with these keys of the payload (None for all)."""

    def scroll(
        self, where: Condition | None, limit: int, after: str | None, keys: Sequence[str] | None
    ) -> tuple[list[Found], str | None]:
        """Points in order of their UUIDs from `after` on, and where the next page begins (None: nowhere)."""

    def count(self, where: Condition | None) -> int:
        """How many points meet the condition."""

    def nearest(
        self, vector: Floats, limit: int, where: Condition | None, *, exact: bool, oversample: float | None
    ) -> list[Found]:
        """By falling cosine."""

    def best_words(self, words: Sparse, limit: int, where: Condition | None) -> list[Found]:
        """By falling BM25."""

    def index_field(self, key: str, schema: str) -> None:
        """Makes filters on a key of the payload quick: "keyword", "float" or "integer"."""

    def indexed_fields(self) -> dict[str, str]:
        """The keys that have an index, and of which kind."""

    def flush(self) -> None:
        """Puts what was written where a power failure does not reach it."""

    def needs_optimizing(self) -> bool:
        """Whether so much was written since the last time that searching has become slow."""

    def optimize(self) -> bool:
        """Builds the graph over new points, and clears what was deleted; whether there was anything to do."""

    def close(self) -> None:
        """Lets go of everything."""
