"""Files into a collection, which then follows the files: what is new is added, what has changed replaced, what is gone
removed.

Enters: paths, and a collection that is open. Leaves: one document for each file, and an account. Knows the order of
things (walk, compare, read, write) and does none of them itself.

A document's id is its file's absolute path with links resolved, so that it does not matter from where, and by which
name, a folder is indexed. Its metadata: `path` (the id again), `kind`, `size` (bytes), `modified` (seconds since 1970),
`sha256` (of the bytes). Documents that something else has put into the collection are not touched.

A file whose size and time are those of its document is not opened. (So that this is safe, a file that was written this
very moment is given time before it is read: what is written to it after that gets another time.) A file whose text has
not changed is not embedded. Files go in a window at a time, so what an interrupted run has done stays, and the next one
goes on from there.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from crumb.errors import TruncationWarning
from crumb.progress import bar
from crumb.search.collection import AddReport, Collection
from crumb.search.contents import content_of, extract
from crumb.search.walk import Globs, PathError, WalkReport, walk
from crumb.text.structure import Kind, kind_of

NOT_UTF8 = "its name is not UTF-8, and ids are"

_WINDOW_FILES = 64
_WINDOW_CHARACTERS = 250_000
# File systems keep times in ticks (of 4 ms, say). A file that changes twice within one looks as it did before.
_TICK = 0.05  # seconds
_SAME_TIME = 1e-6  # seconds; what a time loses on its way through JSON and back is less


@dataclass
class IndexReport:
    """What a run did, in files: `added`, `updated`, `unchanged`, `removed`.

    `walk` counts the files that were read in this run, and those passed over; `passages` and `tokens` (special ones
    included) were embedded; `truncated_files` lost `tokens_cut` tokens to the context (with strategy "one-vector").
    `unchanged` counts files whose text is as it was, whether they had to be read to know or not.
    """

    walk: WalkReport = field(default_factory=WalkReport)
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    removed: int = 0
    passages: int = 0
    tokens: int = 0
    truncated_files: int = 0
    tokens_cut: int = 0
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {
            "added": self.added,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "removed": self.removed,
            "passages": self.passages,
            "tokens": self.tokens,
            "truncated_files": self.truncated_files,
            "tokens_cut": self.tokens_cut,
            "seconds": round(self.seconds, 3),
            "skipped": dict(self.walk.skipped),
            "unreadable": self.walk.unreadable,
        }


class Stamp(NamedTuple):
    """What a file shows without being opened."""

    size: int
    modified: float

    def equals(self, other: Stamp) -> bool:
        """Whether it is the same, apart from what a time loses in JSON."""
        return self.size == other.size and abs(self.modified - other.modified) < _SAME_TIME


def index_files(
    collection: Collection,
    paths: Sequence[Path],
    *,
    ignore: bool = True,
    globs: Sequence[str] = (),
    max_file_size: int | None = None,
    progress: bool | None = None,
) -> IndexReport:
    """Makes a collection hold the files at and below `paths`; see `FileIndex` for the arguments and errors."""
    return FileIndex(paths, ignore=ignore, globs=globs, max_file_size=max_file_size).run(collection, progress=progress)


class FileIndex:
    """Files on their way into a collection; for one run after another it remembers what could not be read.

    Args:
        paths: files and folders.
        ignore, globs, max_file_size: see `crumb.search.walk.walk`. With `globs`, documents of files that are there and
            do not match stay as they are.

    Raises:
        PathError: a path is no file or folder.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        ignore: bool = True,
        globs: Sequence[str] = (),
        max_file_size: int | None = None,
    ) -> None:
        for path in paths:
            if not path.is_dir() and not path.is_file():
                wrong = "is neither a file nor a folder" if path.exists() else "does not exist"
                raise PathError(f"{path} {wrong}; name files and folders to index")
        self.roots = list(dict.fromkeys(path.resolve() for path in paths))
        self._ignore = ignore
        self._patterns = globs
        self._globs = Globs(globs)
        self._max_file_size = max_file_size
        self._seen: dict[str, Stamp] = {}
        self._refused: dict[str, tuple[Stamp, WalkReport]] = {}

    def run(self, collection: Collection, *, progress: bool | None = None) -> IndexReport:
        """Brings a collection up to date.

        Args:
            progress: a bar over the files that have to be read, on stderr; None for one on long work at a terminal.

        Raises:
            CollectionError: it cannot be written; what was written before stays.
        """
        started = time.perf_counter()
        report = IndexReport()
        self._seen = self._walk(report.walk)
        known = dict(self._documents(collection))
        new = [name for name, stamp in self._seen.items() if not _is_current(known.get(name), stamp, name)]
        report.unchanged = len(self._seen) - len(new)
        kept = set(self._seen)
        with bar(len(new), "indexing", "files", progress) as shown:
            for window, passed in _windows(self._load(name, known.get(name), report, kept) for name in new):
                _write(collection, window, report)
                shown.update(passed)
        gone = [name for name in known if name not in kept and (name in self._seen or self._is_gone(name, report.walk))]
        if gone:
            report.removed = collection.delete(gone)
        report.seconds = time.perf_counter() - started
        return report

    def is_current(self) -> bool:
        """Whether the files look as they did in the last run."""
        return self._walk(WalkReport()) == self._seen

    def _walk(self, report: WalkReport) -> dict[str, Stamp]:
        """Every file, by its id."""
        there = [root for root in self.roots if root.exists()]  # others went since we began: their files are gone
        seen = {}
        for path in walk(there, report, ignore=self._ignore, globs=self._patterns, max_file_size=self._max_file_size):
            if not _is_utf8(path):
                report.fail(path, NOT_UTF8)
                continue
            try:
                status = path.stat()
            except OSError:  # gone this moment; the next run will not meet it
                continue
            seen[path.as_posix()] = Stamp(status.st_size, status.st_mtime)
        return seen

    def _documents(self, collection: Collection) -> Iterator[tuple[str, dict[str, Any]]]:
        """The documents of files below our paths, with their metadata."""
        for name, metadata in collection.metadata():
            if not isinstance(name, str) or metadata.get("path") != name or "sha256" not in metadata:
                continue  # not from a file
            if any(self._top(Path(name))):
                yield name, metadata

    def _top(self, path: Path) -> Iterator[Path]:
        """Those of our paths that a file is or lies below."""
        return (root for root in self.roots if root == path or root in path.parents)

    def _load(self, name: str, known: dict[str, Any] | None, report: IndexReport, kept: set[str]) -> _Loaded | None:
        """A file as it goes into the collection; None, and accounted for, if it does not. What then has to leave the
        collection is taken out of `kept`.
        """
        stamp = self._seen[name]
        refused = self._refused.pop(name, None)
        if refused is not None and refused[0] == stamp:
            self._refused[name] = refused
            report.walk.add(refused[1])
            kept.discard(name)
            return None
        path = Path(name)
        _settle(stamp)
        account = WalkReport()
        try:
            stamp = _stamp(path)
            data = path.read_bytes()
        except FileNotFoundError:
            kept.discard(name)
            return None
        except OSError as error:  # it is there, but not for us now: what is known of it stays
            report.walk.fail(path, error)
            return None
        content = content_of(path, data, account)
        extracted = None if content is None else extract(path, content, account)
        if extracted is not None and not extracted.text.strip():
            account.skipped["without text"] += 1
            extracted = None
        report.walk.add(account)
        if content is None or extracted is None:
            self._refused[name] = (stamp, account)
            kept.discard(name)
            return None
        metadata = {
            "path": name,
            "kind": content.kind,
            "size": stamp.size,
            "modified": stamp.modified,
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        if known is None:
            report.added += 1
        elif (known["sha256"], known.get("kind")) == (metadata["sha256"], content.kind):
            report.unchanged += 1
        else:
            report.updated += 1
        return _Loaded(name, extracted.text, content.kind, metadata)

    def _is_gone(self, name: str, report: WalkReport) -> bool:
        """Whether the document of a file that the walk has not met is to go."""
        path = Path(name)
        if any(folder in path.parents for folder in report.closed):
            return False  # who knows
        try:
            mode = path.lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:
            return False
        if not stat.S_ISREG(mode):
            return True
        # It is there, but ignored now, or too large, or what was asked for this time is something else.
        return any(root == path or self._globs.match(path, root) for root in self._top(path))


class _Loaded(NamedTuple):
    name: str
    text: str
    kind: Kind
    metadata: dict[str, Any]


def _write(collection: Collection, window: Sequence[_Loaded], report: IndexReport) -> None:
    if not window:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncationWarning)  # the report says it
        done: AddReport = collection.upsert(
            [loaded.text for loaded in window],
            ids=[loaded.name for loaded in window],
            metadata=[loaded.metadata for loaded in window],
            kinds=[loaded.kind for loaded in window],
            progress=False,
        )
    report.passages += done.chunks
    report.tokens += done.tokens
    report.truncated_files += done.truncated_texts
    report.tokens_cut += done.tokens_cut


def _windows(files: Iterable[_Loaded | None]) -> Iterator[tuple[list[_Loaded], int]]:
    """Files a window at a time, and how many it took to fill that."""
    window: list[_Loaded] = []
    size = passed = 0
    for loaded in files:
        passed += 1
        if loaded is not None:
            window.append(loaded)
            size += len(loaded.text)
        if passed == _WINDOW_FILES or size >= _WINDOW_CHARACTERS:
            yield window, passed
            window, size, passed = [], 0, 0
    yield window, passed


def _is_current(known: dict[str, Any] | None, stamp: Stamp, name: str) -> bool:
    """Whether the document is that of the file as it is, by what can be seen without opening it."""
    if known is None or known.get("kind") != kind_of(Path(name)):
        return False
    size, modified = known.get("size"), known.get("modified")
    return isinstance(size, int) and isinstance(modified, int | float) and stamp.equals(Stamp(size, modified))


def _settle(stamp: Stamp) -> None:
    age = time.time() - stamp.modified
    if 0 <= age < _TICK:
        time.sleep(_TICK - age)


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    return Stamp(status.st_size, status.st_mtime)


def _is_utf8(path: Path) -> bool:
    try:
        os.fsencode(path).decode()
    except UnicodeDecodeError:
        return False
    return True
