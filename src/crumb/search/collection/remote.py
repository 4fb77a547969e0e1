"""A collection on a Qdrant server, through qdrant-client.

Enters and leaves: what backend.py says. The manifest is kept as the collection's metadata on the server. A replacement
is one request, which the server has in whole or not at all. Knows nothing of models, texts or documents.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from crumb.errors import CrumbError, MissingExtraError
from crumb.search.collection.backend import BM25, DENSE, Found, Payload, Point, Replacement, Sparse
from crumb.search.collection.errors import CollectionError
from crumb.search.collection.filters import (
    METADATA,
    AnyOf,
    Condition,
    Empty,
    HasId,
    Null,
    Within,
    flags,
)
from crumb.search.collection.qdrant import filter_of, found_of
from crumb.vectors.normalize import Floats

_KEY = "crumb"  # of the collection's metadata
_TIMEOUT = 120  # seconds; a search takes milliseconds, writing a batch while the server builds its graph may not


def library() -> Any:
    """qdrant-client's module.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import qdrant_client
    except ImportError as error:
        raise MissingExtraError(
            f"a collection on a server needs qdrant-client, which cannot be imported ({error}): "
            'pip install "crumb-embed[search]"'
        ) from None
    return qdrant_client


def connect(url: str, api_key: str | None) -> tuple[Any, str]:
    """A client for the server of `url`, whose last part names the collection.

    Raises:
        CollectionError: the URL names no collection.
        MissingExtraError: qdrant-client is not installed.
    """
    server, _, name = url.rstrip("/").rpartition("/")
    if not name or server.endswith(("/", ":")):
        raise CollectionError(f"{url!r} names no collection; expected http://HOST:6333/COLLECTION")
    return library().QdrantClient(url=server, api_key=api_key, timeout=_TIMEOUT), name


class Remote:
    """The engine behind a client. Use `create` or `open`."""

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self._name = name
        self._m = library().models
        self._local = type(client._client).__name__ == "QdrantLocal"

    @classmethod
    def manifest(cls, client: Any, name: str) -> object | None:
        """What was kept when the collection was made; None if there is no such collection."""
        with _explained(name):
            if not client.collection_exists(name):
                return None
            metadata = client.get_collection(name).config.metadata or {}
            found: object = metadata.get(_KEY, {})
            return found

    @classmethod
    def create(cls, client: Any, name: str, *, dimensions: int, encoding: str, manifest: Payload) -> Remote:
        """A new collection on the server."""
        remote = cls(client, name)
        m = remote._m
        quantization = {
            "int8": lambda: m.ScalarQuantization(
                scalar=m.ScalarQuantizationConfig(type=m.ScalarType.INT8, quantile=0.99, always_ram=True)
            ),
            "binary": lambda: m.BinaryQuantization(binary=m.BinaryQuantizationConfig(always_ram=True)),
        }.get(encoding, lambda: None)()
        with _explained(name):
            client.create_collection(
                name,
                vectors_config={
                    DENSE: m.VectorParams(
                        size=dimensions,
                        distance=m.Distance.COSINE,
                        datatype=m.Datatype.FLOAT16 if encoding == "float16" else None,
                        quantization_config=quantization,
                    )
                },
                sparse_vectors_config={BM25: m.SparseVectorParams(modifier=m.Modifier.IDF)},
                metadata={_KEY: manifest},
            )
        return remote

    def upsert(self, points: Sequence[Point], replacements: Sequence[Replacement]) -> None:
        m = self._m
        operations: list[Any] = [
            m.UpsertOperation(
                upsert=m.PointsList(
                    points=[
                        m.PointStruct(
                            id=point.id,
                            vector={
                                DENSE: point.dense,
                                BM25: m.SparseVector(indices=point.sparse.indices, values=point.sparse.values),
                            },
                            payload=point.payload,
                        )
                        for point in points
                    ]
                )
            )
        ]
        stale = [point for replacement in replacements for point in replacement.stale]
        if stale:
            operations.append(m.DeleteOperation(delete=m.PointIdsList(points=stale)))
        with _explained(self._name):
            self._client.batch_update_points(self._name, operations, wait=True)

    def delete(self, ids: Sequence[str]) -> None:
        with _explained(self._name):
            self._client.delete(self._name, self._m.PointIdsList(points=list(ids)), wait=True)

    def set_metadata(self, ids: Sequence[str], metadata: Payload) -> None:
        with _explained(self._name):
            self._client.set_payload(self._name, {METADATA: metadata, **flags(metadata)}, points=list(ids), wait=True)

    def retrieve(
        self, ids: Sequence[str], keys: Sequence[str] | None = None, *, vectors: bool = False
    ) -> dict[str, Found]:
        with _explained(self._name):
            records = self._client.retrieve(
                self._name,
                list(ids),
                with_payload=True if keys is None else list(keys),
                with_vectors=[DENSE, BM25] if vectors else False,
            )
        return {found.id: found for found in map(found_of, records)}

    def scroll(
        self, where: Condition | None, limit: int, after: str | None, keys: Sequence[str] | None
    ) -> tuple[list[Found], str | None]:
        with _explained(self._name):
            records, following = self._client.scroll(
                self._name,
                scroll_filter=self._filter(where),
                limit=limit,
                offset=after,
                with_payload=True if keys is None else list(keys),
                with_vectors=False,
            )
        return [found_of(record) for record in records], None if following is None else str(following)

    def count(self, where: Condition | None) -> int:
        with _explained(self._name):
            return int(self._client.count(self._name, count_filter=self._filter(where), exact=True).count)

    def nearest(
        self, vector: Floats, limit: int, where: Condition | None, *, exact: bool, oversample: float | None
    ) -> list[Found]:
        m = self._m
        params = None  # local mode compares with every vector, and warns if it is given any
        if not self._local:
            quantization = m.QuantizationSearchParams(ignore=exact, rescore=True, oversampling=oversample)
            acorn = None if where is None else m.AcornSearchParams(enable=True, max_selectivity=1.0)  # see edge.py
            params = m.SearchParams(exact=exact, quantization=quantization, acorn=acorn)
        return self._query(vector.tolist(), DENSE, limit, where, params)

    def best_words(self, words: Sparse, limit: int, where: Condition | None) -> list[Found]:
        query = self._m.SparseVector(indices=words.indices, values=words.values)
        return self._query(query, BM25, limit, where, None)

    def _query(self, query: Any, using: str, limit: int, where: Condition | None, params: Any) -> list[Found]:
        with _explained(self._name):
            answer = self._client.query_points(
                self._name,
                query=query,
                using=using,
                limit=limit,
                query_filter=self._filter(where),
                search_params=params,
                with_payload=True,
                with_vectors=False,
            )
        return [found_of(point, point.score) for point in answer.points]

    def index_field(self, key: str, schema: str) -> None:
        if not self._local:  # qdrant-client's local mode has none, and warns that it has none
            with _explained(self._name):
                self._client.create_payload_index(self._name, key, field_schema=schema, wait=True)

    def indexed_fields(self) -> dict[str, str]:
        with _explained(self._name):
            schema = self._client.get_collection(self._name).payload_schema or {}
            return {key: str(info.data_type.value) for key, info in schema.items()}

    def flush(self) -> None:
        """A server answers when it has written to its log."""

    def needs_optimizing(self) -> bool:
        """A server does that by itself."""
        return False

    def optimize(self) -> bool:
        """A server does that by itself."""
        return False

    def close(self) -> None:
        """The client is closed by whoever made it."""

    def _filter(self, where: Condition | None) -> Any:
        return filter_of(where, self._m.Filter, self._leaf)

    def _leaf(self, c: Condition) -> Any:
        m = self._m
        match c:
            case AnyOf(key, values):
                return m.FieldCondition(key=key, match=m.MatchAny(any=list(values)))
            case Within(key):
                return m.FieldCondition(key=key, range=m.Range(lt=c.lt, lte=c.lte, gt=c.gt, gte=c.gte))
            case Null(key):
                return m.IsNullCondition(is_null=m.PayloadField(key=key))
            case Empty(key):
                return m.IsEmptyCondition(is_empty=m.PayloadField(key=key))
            case HasId(ids):
                return m.HasIdCondition(has_id=list(ids))


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """The client's errors, said in ours; its warnings about an old server or an open connection as they are."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Local mode is not recommended")
            yield
    except CrumbError:
        raise
    except Exception as error:
        raise CollectionError(
            f"the Qdrant server did not do what was asked for collection {name!r}: {type(error).__name__}: "
            f"{str(error)[:500]}. Look at the server's address, its log and the API key"
        ) from error
