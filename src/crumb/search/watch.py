"""Files, watched: a collection that follows them.

Enters: a `FileIndex`, and a way to open the collection. Leaves: a report for each time that something was written.
Needs watchfiles, from the extra `[watch]`. Knows nothing of what a change is: what the system tells is only the
occasion to look, and the index finds by itself what is new.

The collection is open only while it is written, because one process at a time can hold it: between two changes
everybody may search it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from crumb.errors import MissingExtraError
from crumb.search.collection import Collection
from crumb.search.index import FileIndex, IndexReport
from crumb.search.walk import GENERATED

Watch = Callable[..., Iterator[set[Any]]]

QUIET = 200  # ms without a change after which what has changed is looked at: an editor saves in several steps
LONGEST = 2_000  # ms after which it is looked at although changes go on
_LOOK = 1_000  # ms between two looks at files that were named themselves


def watch_files(
    index: FileIndex, open_collection: Callable[[], Collection], *, progress: bool | None = None
) -> Iterator[IndexReport]:
    """Brings the collection up to date, and again whenever files change; ends with KeyboardInterrupt, or never.

    Args:
        open_collection: called for each time that something is to be written; what it gives is closed again.
        progress: see `FileIndex.run`.

    Raises:
        MissingExtraError: watchfiles is not installed.
        OSError: the system cannot watch so many folders.
        CollectionError: the collection cannot be opened or written.
    """
    occasions = _occasions(_watch(), index.roots)
    while True:
        with open_collection() as collection:
            report = index.run(collection, progress=progress)
        yield report
        for _ in occasions:
            if not index.is_current():
                break


def _watch() -> Watch:
    try:
        from watchfiles import watch
    except ImportError as error:
        raise MissingExtraError(
            f'watching needs watchfiles, which cannot be imported ({error}): pip install "crumb-embed[watch]"'
        ) from None
    return watch


def _occasions(watch: Watch, roots: Sequence[Path]) -> Iterator[None]:
    """One whenever something may have changed; the first comes when the watch stands, for what changed before."""
    folders = [root for root in roots if root.is_dir()]
    # A watch on a file ends when an editor puts another in its place, one on its folder may be one on a whole home.
    files = [root for root in roots if not root.is_dir()]
    if not folders:
        while True:
            yield
            time.sleep(_LOOK / 1000)
    changes: Iterator[set[Any]] = watch(
        *folders,
        watch_filter=lambda _, path: _matters(Path(path), folders),
        debounce=LONGEST,
        step=QUIET,
        rust_timeout=_LOOK,
        yield_on_timeout=True,
        ignore_permission_denied=True,
    )
    first = True
    for found in changes:
        if first or found or files:
            yield
        first = False


def _matters(path: Path, folders: Sequence[Path]) -> bool:
    """Whether a change there can be one of files that are indexed: not in what the walk does not enter."""
    for folder in folders:
        if folder in path.parents:
            parts = path.relative_to(folder).parts
            if not any((part.startswith(".") and part != ".gitignore") or part in GENERATED for part in parts):
                return True
    return path in folders
