"""What a search has computed, kept for the next one: passages of documents, vectors of passages.

Enters: keys (digests over everything that shapes the value), vectors, passages. Leaves: the same. One SQLite file that
any number of processes may use at once; it holds the texts of what was searched, so that only its owner may read it.
Knows nothing of models or of where texts come from.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from crumb.errors import CrumbError
from crumb.text.chunk import Passage
from crumb.vectors.normalize import Floats

FILE_NAME = "search.sqlite3"
KEEP_DAYS = 90  # an entry that no search has used for so long is removed

_SCHEMA = 1
_BUSY_SECONDS = 60.0
_BATCH = 500  # keys of one query; SQLite allows 999 everywhere
_TABLES = ("documents", "vectors")


class CacheError(CrumbError, OSError):
    """The cache cannot be used; the message names its file and says what to do."""


class Cache:
    """The cache in a folder, which is made if it is not there. Close it, or use it in a `with`.

    A file that is no database any more is set aside (stderr says so) and a new one begun.

    Raises:
        CacheError: the file cannot be opened, read or written, or is damaged in its middle; from any method.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME
        self._today = int(time.time() // 86_400)
        with self._explained():
            folder.mkdir(parents=True, exist_ok=True)
            # One at a time: SQLite's own locks do not cover making the file, or setting it aside.
            with self.path.with_suffix(".lock").open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._database = self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file."""
        self._database.close()

    def vectors(self, keys: Sequence[bytes], dimensions: int) -> dict[bytes, Floats]:
        """The vectors that are there, float32 [dimensions] each, by key."""
        found = {key: np.frombuffer(value, dtype="<f4") for key, value in self._get("vectors", keys)}
        wrong = next((len(vector) for vector in found.values() if len(vector) != dimensions), None)
        if wrong is not None:
            raise CacheError(self._damaged(f"a vector has {wrong} components instead of {dimensions}"))
        return found

    def add_vectors(self, vectors: Mapping[bytes, Floats]) -> None:
        """Keeps float32 vectors under their keys."""
        self._add("vectors", ((key, vector.astype("<f4").tobytes()) for key, vector in vectors.items()))

    def documents(self, keys: Sequence[bytes]) -> dict[bytes, list[Passage]]:
        """The passages of the documents that are there, by key."""
        try:
            return {key: [Passage(*row) for row in json.loads(value)] for key, value in self._get("documents", keys)}
        except (ValueError, TypeError) as error:
            raise CacheError(self._damaged(str(error))) from error

    def add_documents(self, documents: Mapping[bytes, Sequence[Passage]]) -> None:
        """Keeps the passages of documents under their keys."""
        rows = {
            key: [(p.text, p.start_line, p.end_line, p.heading) for p in passages]
            for key, passages in documents.items()
        }
        self._add("documents", ((key, json.dumps(row).encode()) for key, row in rows.items()))

    def _get(self, table: str, keys: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
        found: list[tuple[bytes, bytes]] = []
        stale: list[tuple[int, bytes]] = []
        with self._explained():
            for i in range(0, len(keys), _BATCH):
                batch = keys[i : i + _BATCH]
                marks = ",".join("?" * len(batch))
                query = f"SELECT key, value, used FROM {table} WHERE key IN ({marks})"
                for key, value, used in self._database.execute(query, batch):
                    found.append((key, value))
                    if used != self._today:
                        stale.append((self._today, key))
            if stale:
                with self._transaction():
                    self._database.executemany(f"UPDATE {table} SET used = ? WHERE key = ?", stale)
        return found

    def _add(self, table: str, rows: Iterable[tuple[bytes, bytes]]) -> None:
        with self._explained(), self._transaction():
            self._database.executemany(
                f"INSERT OR REPLACE INTO {table} (key, value, used) VALUES (?, ?, ?)",
                ((key, value, self._today) for key, value in rows),
            )

    def _open(self) -> sqlite3.Connection:
        try:
            return self._connect()
        except sqlite3.OperationalError:
            raise  # locked, read-only, no room: not the file's fault
        except sqlite3.DatabaseError as error:
            aside = self.path.with_name(self.path.name + ".damaged")
            self.path.replace(aside)
            for suffix in ("-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
            print(
                f"crumb: {self.path} was damaged ({error}); set aside as {aside.name}, starting anew", file=sys.stderr
            )
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        database = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
        try:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            (schema,) = database.execute("PRAGMA user_version").fetchone()
            for table in _TABLES:
                if schema != _SCHEMA:
                    database.execute(f"DROP TABLE IF EXISTS {table}")
                database.execute(
                    f"CREATE TABLE IF NOT EXISTS {table} "
                    "(key BLOB PRIMARY KEY, value BLOB NOT NULL, used INTEGER NOT NULL)"
                )
                database.execute(f"CREATE INDEX IF NOT EXISTS {table}_used ON {table} (used)")
                database.execute(f"DELETE FROM {table} WHERE used < ?", (self._today - KEEP_DAYS,))
            database.execute(f"PRAGMA user_version = {_SCHEMA}")
        except sqlite3.Error:
            database.close()
            raise
        return database

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise CacheError(self._unusable(str(error))) from error
        except sqlite3.DatabaseError as error:
            raise CacheError(self._damaged(str(error))) from error
        except CacheError:
            raise
        except OSError as error:
            raise CacheError(self._unusable(str(error))) from error

    def _unusable(self, why: str) -> str:
        return (
            f"the cache {self.path} cannot be used: {why}. Expected a file that can be written; free it, choose "
            "another place with CRUMB_HOME, or search with --no-cache"
        )

    def _damaged(self, why: str) -> str:
        return f"the cache {self.path} is damaged: {why}. Delete it (it will be made anew), or search with --no-cache"
