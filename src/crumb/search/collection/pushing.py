"""From one engine to another: every point with its vectors, so that nothing is embedded again.

Enters: an engine, its manifest, the address of a server. Leaves: the same points there, compared by count. What is
there already is not sent again, so that a push which was interrupted goes on. Knows nothing of models or texts.
"""

from __future__ import annotations

from typing import Any

from crumb.progress import bar
from crumb.search.collection.backend import Backend, Point, Replacement
from crumb.search.collection.errors import CollectionError
from crumb.search.collection.filters import METADATA, AnyOf
from crumb.search.collection.ids import points_of
from crumb.search.collection.manifest import Manifest
from crumb.search.collection.opening import make_on_server
from crumb.search.collection.remote import Remote, connect

_BATCH = 256  # points of a request: a megabyte or two
_SAME = ["hash", "chunk", "chunks", METADATA]


def push(source: Backend, manifest: Manifest, url: str, api_key: str | None, client: Any, progress: bool | None) -> int:
    """Brings everything over; see `Collection.push`."""
    ours = client is None
    client, name = connect(url, api_key) if ours else (client, url)
    try:
        target = _target(client, name, manifest)
        total = source.count(None)
        with bar(total, "pushing", "passages", progress) as shown:
            after: str | None = None
            while True:
                page, after = source.scroll(None, _BATCH, after, ["id"])
                _send(source, target, [found.id for found in page])
                shown.update(len(page))
                if after is None:
                    break
        there = target.count(None)
        if there != total:
            raise CollectionError(
                f"collection {name!r} on the server holds {there} passages where {total} were pushed: it has documents "
                "that are not in this one. Push into a collection of its own, or delete there what is too much"
            )
        for key, kind in source.indexed_fields().items():
            target.index_field(key, kind)
        return target.count(AnyOf("chunk", (0,)))
    finally:
        if ours:
            client.close()


def _target(client: Any, name: str, manifest: Manifest) -> Remote:
    kept = Remote.manifest(client, name)
    if kept is None:
        return make_on_server(client, name, manifest)
    theirs = Manifest.read(kept, f"collection {name!r} on the server")
    if theirs != manifest:
        mine, other = manifest.as_dict(), theirs.as_dict()
        differing = ", ".join(f"{key} ({other[key]!r}, not {mine[key]!r})" for key in mine if mine[key] != other[key])
        raise CollectionError(
            f"collection {name!r} on the server was made with another {differing}; push into a new collection"
        )
    return Remote(client, name)


def _send(source: Backend, target: Backend, ids: list[str]) -> None:
    there = target.retrieve(ids, _SAME)
    here = source.retrieve(ids, _SAME)
    stale = [
        Replacement(i, found.payload["hash"], points_of(i, there[i].payload["chunks"], found.payload["chunks"]))
        for i, found in here.items()
        if found.payload["chunk"] == 0 and i in there and there[i].payload["chunks"] > found.payload["chunks"]
    ]
    missing = [i for i in ids if i not in there or there[i].payload != here[i].payload]
    if missing:
        points = []
        for found in source.retrieve(missing, vectors=True).values():
            assert found.dense is not None
            assert found.sparse is not None
            points.append(Point(found.id, found.dense.tolist(), found.sparse, found.payload))
        target.upsert(points, stale)
