"""From the name of a place to an engine that is open, and the settings of the collection in it.

Enters: a name, a path or a URL, a model, settings. Leaves: an engine, the manifest, and how to let go of the place.
Knows nothing of what is done with a collection.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crumb.loading import load
from crumb.model import Model
from crumb.search.collection.backend import Backend
from crumb.search.collection.edge import PENDING, REPLACING, SHARD, Edge, engine
from crumb.search.collection.errors import CollectionError
from crumb.search.collection.files import write_whole
from crumb.search.collection.lock import FILE_NAME as LOCK
from crumb.search.collection.lock import Lock
from crumb.search.collection.manifest import Manifest
from crumb.search.collection.remote import Remote, connect
from crumb.store.places import collections_dir

MANIFEST = "crumb-collection.json"  # written last: a folder without it holds no collection

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Opened:
    """An open collection. `model` is None where it is yet to be loaded; `release` lets go of the place."""

    where: str
    backend: Backend
    manifest: Manifest
    model: Model | None
    release: Callable[[], None]


def open_backend(
    place: str | Path, model: Model | None, wishes: Mapping[str, Any], *, create: bool, api_key: str | None, client: Any
) -> Opened:
    """Opens what is there, or makes it.

    Args:
        wishes: `encoding`, `dimensions`, `strategy`, `chunk_tokens`, `overlap`; None for no wish.

    Raises:
        CollectionError: see `crumb.search.collection.Collection`.
    """
    if client is not None:
        return _on_server(client, str(place), model, wishes, create, lambda: None)
    if isinstance(place, str) and "://" in place:
        client, name = connect(place, api_key)
        return _on_server(client, name, model, wishes, create, client.close)
    engine()  # says what to install before anything is made
    return _in_folder(folder_of(place), model, wishes, create)


def folder_of(place: str | Path) -> Path:
    """The folder that a name or a path means.

    Raises:
        CollectionError: a str that is neither.
    """
    if isinstance(place, str) and os.sep not in place:
        if not _NAME.fullmatch(place):
            raise CollectionError(
                f"{place!r} is no name of a collection: expected letters, digits, '.', '_' and '-'; or a path, as in "
                f"'./{place}'"
            )
        return collections_dir() / place
    return Path(place).expanduser().absolute()


def _in_folder(folder: Path, model: Model | None, wishes: Mapping[str, Any], create: bool) -> Opened:
    if not (folder / MANIFEST).exists():
        if not create:
            raise CollectionError(f"{folder} holds no collection; create=True makes one")
        others = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        if folder.exists() and (not folder.is_dir() or others - {LOCK, SHARD, REPLACING, PENDING}):
            raise CollectionError(f"{folder} is no collection, and not empty: choose another place")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = Lock(folder)
    try:
        backend: Edge
        if (folder / MANIFEST).exists():  # by now, if another process has just made it
            manifest = _read(folder / MANIFEST)
            _check(manifest, model, wishes, str(folder))
            backend = Edge.open(folder)
        else:
            model = load() if model is None else model
            manifest = Manifest.of(model, **wishes)
            backend = Edge.create(folder, dimensions=manifest.dimensions, encoding=manifest.encoding)
            if manifest.strategy == "chunks":
                backend.index_field("chunk", "integer")
            backend.flush()
            write_whole(folder / MANIFEST, json.dumps(manifest.as_dict(), indent=1))
    except BaseException:
        lock.release()
        raise
    return Opened(str(folder), backend, manifest, model, lock.release)


def _on_server(
    client: Any, name: str, model: Model | None, wishes: Mapping[str, Any], create: bool, release: Callable[[], None]
) -> Opened:
    where = f"collection {name!r} on the server"
    try:
        kept = Remote.manifest(client, name)
        if kept is not None:
            manifest = Manifest.read(kept, where)
            _check(manifest, model, wishes, where)
            return Opened(where, Remote(client, name), manifest, model, release)
        if not create:
            raise CollectionError(f"there is no {where}; create=True makes one")
        model = load() if model is None else model
        manifest = Manifest.of(model, **wishes)
        return Opened(where, make_on_server(client, name, manifest), manifest, model, release)
    except BaseException:
        release()
        raise


def make_on_server(client: Any, name: str, manifest: Manifest) -> Remote:
    """A new collection on a server, with these settings."""
    remote = Remote.create(
        client, name, dimensions=manifest.dimensions, encoding=manifest.encoding, manifest=manifest.as_dict()
    )
    if manifest.strategy == "chunks":
        remote.index_field("chunk", "integer")
    return remote


def _check(manifest: Manifest, model: Model | None, wishes: Mapping[str, Any], where: str) -> None:
    if model is not None:
        manifest.check_model(model, where)
    manifest.check_settings(wishes, where)


def _read(path: Path) -> Manifest:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CollectionError(f"{path} is damaged: {error}") from error
    return Manifest.read(data, str(path.parent))
