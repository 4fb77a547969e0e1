"""Folders that are there whole or not at all.

Enters: a name and whoever fills it. Leaves: a folder on disk, synced, renamed into place. Knows nothing of what is in
it. A kill at any moment leaves the folder as it was, and at most one `*.partial` beside it, which `sweep` removes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PARTIAL = ".partial"


@contextmanager
def whole(folder: Path) -> Iterator[Path]:
    """Gives a temporary folder to fill; when the block ends without an error it is synced and renamed to `folder`.

    Raises:
        FileExistsError: `folder` is there already.
    """
    if folder.exists():
        raise FileExistsError(f"{folder} is there already")
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(folder.name + PARTIAL)
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir()
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    for path in partial.rglob("*"):
        _sync(path)
    _sync(partial)
    partial.rename(folder)
    _sync(folder.parent)


def move_in(source: Path, target: Path, last: str) -> None:
    """Moves the files of `source` into `target`, which may hold others, each whole; `last` comes last.

    Whoever takes `last` for the sign of a complete folder never sees half of one: a file of that name that is there
    before is removed first.
    """
    target.mkdir(parents=True, exist_ok=True)
    (target / last).unlink(missing_ok=True)
    files = sorted(path.relative_to(source) for path in source.rglob("*") if path.is_file())
    for name in sorted(files, key=lambda name: str(name) == last):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        _sync(source / name)
        (source / name).replace(target / name)
    shutil.rmtree(source)
    _sync(target)


def remove(folder: Path) -> None:
    """Removes a folder so that a kill leaves no half of it under its name; nothing happens if there is none."""
    if folder.exists():
        partial = folder.with_name(folder.name + PARTIAL)
        shutil.rmtree(partial, ignore_errors=True)
        folder.rename(partial)
        shutil.rmtree(partial)


def sweep(folder: Path) -> None:
    """Removes what a kill in the middle of `whole` or `remove` left in `folder`."""
    for path in folder.glob(f"*{PARTIAL}"):
        shutil.rmtree(path)


def _sync(path: Path) -> None:
    if os.name != "posix" and path.is_dir():
        return  # Windows opens no folders; its renames are journalled
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
