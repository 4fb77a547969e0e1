"""A collection in a folder: Qdrant Edge, in this process.

Enters and leaves: what backend.py says. Below the folder lie `shard` (Qdrant Edge's files) and, while points are being
replaced, `replacing.json`.

What survives: an update is one record of the write-ahead log, which is there or not when the process is killed at any
moment; `flush` brings it to the disk itself. Points that are replaced by fewer ones need two records (the new points,
the removal of the rest), so what is to go is written down before and finished when the folder is next opened.

Knows nothing of models, texts or documents.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crumb.errors import MissingExtraError
from crumb.search.collection.backend import BM25, DENSE, Found, Payload, Point, Replacement, Sparse
from crumb.search.collection.errors import CollectionError
from crumb.search.collection.files import write_whole
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
from crumb.search.collection.space import LEAST, need
from crumb.vectors.normalize import Floats

SHARD, REPLACING, PENDING = "shard", "replacing.json", "pending.json"

# Points without a graph are compared one by one (0.1 µs each here), so some thousands cost nothing that is felt; the
# graph is built when they are many, and many beside what it holds, because building takes 0.7 ms a point.
UNINDEXED, UNINDEXED_SHARE = 20_000, 0.25

_INT8_QUANTILE = 0.99


def engine() -> Any:
    """Qdrant Edge's module.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import qdrant_edge
    except ImportError as error:
        raise MissingExtraError(
            f'collections need Qdrant Edge, which cannot be imported ({error}): pip install "crumb-embed[search]"'
        ) from None
    return qdrant_edge


class Edge:
    """The engine in a folder. Use `create` or `open`; the caller holds the folder's lock."""

    def __init__(self, folder: Path, shard: Any) -> None:
        self._folder = folder
        self._shard = shard
        self._q = engine()
        self._pending = _read_pending(folder / PENDING)  # points written or removed since the graph was built
        self._kept_pending = self._pending

    @classmethod
    def create(cls, folder: Path, *, dimensions: int, encoding: str, graph_from: int | None = None) -> Edge:
        """A new shard; whatever a creation that was killed has left in its place goes.

        Args:
            graph_from: kB of vectors from which `optimize` makes a graph of them and encodes them; None for Qdrant's
                own bound of 10 MB, below which comparing with all is as fast.
        """
        q = engine()
        need(folder, 0, "a new collection")
        shutil.rmtree(folder / SHARD, ignore_errors=True)
        quantization = {
            "int8": lambda: q.ScalarQuantizationConfig(
                type=q.ScalarType.Int8, quantile=_INT8_QUANTILE, always_ram=True
            ),
            "binary": lambda: q.BinaryQuantizationConfig(always_ram=True),
        }.get(encoding, lambda: None)()
        config = q.EdgeConfig(
            vectors={
                DENSE: q.EdgeVectorParams(
                    size=dimensions,
                    distance=q.Distance.Cosine,
                    datatype=q.VectorStorageDatatype.Float16 if encoding == "float16" else None,
                    quantization_config=quantization,
                )
            },
            sparse_vectors={BM25: q.EdgeSparseVectorParams(modifier=q.Modifier.Idf)},
            optimizers=None if graph_from is None else q.EdgeOptimizersConfig(indexing_threshold=graph_from),
            hnsw_config=None if graph_from is None else q.HnswIndexConfig(16, 100, full_scan_threshold=graph_from),
        )
        return cls(folder, q.EdgeShard.create(str(folder / SHARD), config))

    @classmethod
    def open(cls, folder: Path) -> Edge:
        """The shard that is there, with whatever was left half-done finished."""
        # Reading a hole of a file takes room on some file systems (tmpfs), and all vectors are read.
        holes = sum(_hole(path) for path in (folder / SHARD).rglob("chunk_*.mmap"))
        need(folder, holes, "opening the collection", reserve=LEAST)
        try:
            edge = cls(folder, engine().EdgeShard.load(str(folder / SHARD)))
        except Exception as error:
            if isinstance(error, CollectionError | MissingExtraError):
                raise
            raise CollectionError(f"{folder} cannot be opened: Qdrant Edge says: {error}") from error
        edge._finish_replacing()
        return edge

    def upsert(self, points: Sequence[Point], replacements: Sequence[Replacement]) -> None:
        q = self._q
        need(self._folder, sum(map(_size, points)), f"{len(points)} passages")
        stale = [point for replacement in replacements for point in replacement.stale]
        if stale:
            self._finish_replacing()  # should the removal have failed the last time
            rows = [[replacement.head, replacement.digest, replacement.stale] for replacement in replacements]
            write_whole(self._folder / REPLACING, json.dumps(rows))
        self._update(
            q.UpdateOperation.upsert_points(
                [
                    q.Point(
                        id=point.id,
                        vector={
                            DENSE: point.dense,
                            BM25: q.SparseVector(indices=point.sparse.indices, values=point.sparse.values),
                        },
                        payload=point.payload,
                    )
                    for point in points
                ]
            )
        )
        self._pending += len(points) + len(stale)
        if stale:
            self._update(q.UpdateOperation.delete_points(stale))
            (self._folder / REPLACING).unlink()

    def delete(self, ids: Sequence[str]) -> None:
        need(self._folder, 64 * len(ids), "a removal", reserve=LEAST)
        self._update(self._q.UpdateOperation.delete_points(list(ids)))
        self._pending += len(ids)

    def set_metadata(self, ids: Sequence[str], metadata: Payload) -> None:
        payload = {METADATA: metadata, **flags(metadata)}
        need(self._folder, 2 * len(ids) * len(json.dumps(payload)), "metadata")
        self._update(self._q.UpdateOperation.set_payload(list(ids), payload))

    def retrieve(
        self, ids: Sequence[str], keys: Sequence[str] | None = None, *, vectors: bool = False
    ) -> dict[str, Found]:
        payload = True if keys is None else list(keys)
        records = self._shard.retrieve(list(ids), payload, [DENSE, BM25] if vectors else False)
        return {found.id: found for found in map(found_of, records)}

    def scroll(
        self, where: Condition | None, limit: int, after: str | None, keys: Sequence[str] | None
    ) -> tuple[list[Found], str | None]:
        records, following = self._shard.scroll(
            self._q.ScrollRequest(
                offset=after,
                limit=limit,
                filter=self._filter(where),
                with_payload=True if keys is None else list(keys),
                with_vector=False,
            )
        )
        return [found_of(record) for record in records], None if following is None else str(following)

    def count(self, where: Condition | None) -> int:
        return int(self._shard.count(self._q.CountRequest(exact=True, filter=self._filter(where))))

    def nearest(
        self, vector: Floats, limit: int, where: Condition | None, *, exact: bool, oversample: float | None
    ) -> list[Found]:
        q = self._q
        quantization = q.QuantizationSearchParams(ignore=exact, rescore=True, oversampling=oversample)
        # A filter takes most of a point's neighbours in the graph away, and the walk ends in a dead end: of 200,000
        # passages a filter of 5 % found nothing of the exact answer. ACORN (Patel et al. 2024) looks past them.
        acorn = None if where is None else q.AcornSearchParams(enable=True, max_selectivity=1.0)
        return self._query(
            q.Query.Nearest(vector.tolist(), using=DENSE),
            limit,
            where,
            q.SearchParams(exact=exact, quantization=quantization, acorn=acorn),
        )

    def best_words(self, words: Sparse, limit: int, where: Condition | None) -> list[Found]:
        q = self._q
        # Naming a corpus, if only "everything", has the frequencies counted now. Otherwise they are those of the
        # index, which go on counting what was deleted until the shard is next loaded.
        return self._query(
            q.Query.Nearest(q.SparseVector(indices=words.indices, values=words.values), using=BM25),
            limit,
            where,
            q.SearchParams(idf=q.IdfParams(corpus=q.Filter())),
        )

    def _query(self, query: Any, limit: int, where: Condition | None, params: Any) -> list[Found]:
        request = self._q.QueryRequest(
            limit=limit,
            query=query,
            filter=self._filter(where),
            params=params,
            with_payload=True,
            with_vector=False,
        )
        return [found_of(point, point.score) for point in self._shard.query(request)]

    def index_field(self, key: str, schema: str) -> None:
        need(self._folder, 64 * self.count(None), f"an index on {key}")
        kind = getattr(self._q.PayloadSchemaType, schema.capitalize())
        self._update(self._q.UpdateOperation.create_field_index(key, kind))

    def indexed_fields(self) -> dict[str, str]:
        schema = self._shard.info().payload_schema
        return {key: str(info.data_type).rpartition(".")[2].lower() for key, info in schema.items()}

    def flush(self) -> None:
        self._shard.flush()
        if self._pending != self._kept_pending:
            write_whole(self._folder / PENDING, str(self._pending), durable=False)
            self._kept_pending = self._pending

    def needs_optimizing(self) -> bool:
        # Counted here, as Qdrant's own figures mix both vectors of a point and what was deleted.
        return bool(self._pending > max(UNINDEXED, UNINDEXED_SHARE * self._shard.info().points_count))

    def optimize(self) -> bool:
        size = sum(path.stat().st_blocks * 512 for path in (self._folder / SHARD).rglob("*") if path.is_file())
        need(self._folder, size, "building the graph (segments are copied)")
        done = bool(self._shard.optimize())
        self._pending = 0
        self.flush()
        return done

    def close(self) -> None:
        self._shard.close()

    def _update(self, operation: Any) -> None:
        self._shard.update(operation)

    def _finish_replacing(self) -> None:
        """Removes what a killed process had replaced but not yet removed. Where the new points are not there, the
        record of the log was not written: everything is as it was before.
        """
        path = self._folder / REPLACING
        if not path.exists():
            return
        for head, digest, stale in json.loads(path.read_text(encoding="utf-8")):
            found = self.retrieve([head], ["hash"]).get(head)
            if found is not None and found.payload.get("hash") == digest:
                self._update(self._q.UpdateOperation.delete_points(stale))
        self.flush()
        path.unlink()

    def _filter(self, where: Condition | None) -> Any:
        return filter_of(where, self._q.Filter, self._leaf)

    def _leaf(self, c: Condition) -> Any:
        q = self._q
        match c:
            case AnyOf(key, values):
                return q.FieldCondition(key=key, match=q.MatchAny(list(values)))
            case Within(key):
                return q.FieldCondition(key=key, range=q.RangeFloat(lt=c.lt, lte=c.lte, gt=c.gt, gte=c.gte))
            case Null(key):
                return q.IsNullCondition(key)
            case Empty(key):
                return q.IsEmptyCondition(key)
            case HasId(ids):
                return q.HasIdCondition(set(ids))


def _hole(path: Path) -> int:
    """Bytes of a sparse file that have no room on the disk yet."""
    stat = path.stat()
    return max(0, stat.st_size - 512 * stat.st_blocks)


def _read_pending(path: Path) -> int:
    try:
        return int(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # not there yet, or lost with the machine's power: it only says when to tidy up
        return 0


def _size(point: Point) -> int:
    """Bytes that a point takes, once in the log and once in its segment; no less than was measured (docs/log.md)."""
    payload = len(json.dumps(point.payload, ensure_ascii=False).encode())
    return 12 * len(point.dense) + 32 * len(point.sparse.indices) + 5 * payload // 2 + 1024
