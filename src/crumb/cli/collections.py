"""`crumb collections`: what collections there are on this machine. And what the commands that use one share.

Enters: nothing, or the name of a place. Leaves: a table or JSON on stdout; a collection that is open. Touches no
network but for a place that is a URL.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crumb.search.collection import Collection

HELP = "Lists the collections of this machine: those that have a name, and lie below CRUMB_HOME/collections."

_WAIT = 10.0  # seconds
_RETRY = 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--json", action="store_true", help="JSON instead of text")


def run(args: argparse.Namespace) -> int:
    """Prints the list."""
    facts = [_facts(name) for name in names()]
    if args.json:
        print(json.dumps(facts, indent=2))
        return 0
    if not facts:
        print("no collections yet: crumb index PATH… --into NAME makes one", file=sys.stderr)
        return 0
    rows = [("name", "model", "precision", "encoding", "documents", "on disk")]
    rows += [
        (
            fact["name"],
            fact["model"],
            fact["precision"],
            fact["encoding"],
            f"{fact['documents']:,}" if fact["documents"] is not None else fact["note"],
            f"{fact['bytes'] / 1e6:.1f} MB",
        )
        for fact in facts
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (
            cell.rjust(width) if column >= 4 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join(cells).rstrip())
    return 0


def names() -> list[str]:
    """The names of the collections on this machine, in order."""
    from crumb.search.collection.opening import MANIFEST
    from crumb.store.places import collections_dir

    return sorted(path.parent.name for path in collections_dir().glob(f"*/{MANIFEST}"))


def add_collection_arguments(group: argparse._ActionsContainer) -> None:
    """Adds `--api-key` and `--wait`."""
    group.add_argument("--api-key", metavar="KEY", help="for a server")
    group.add_argument(
        "--wait",
        type=seconds,
        metavar="SECONDS",
        help="how long to wait while another process has the collection open (default: 10)",
    )


def seconds(word: str) -> float:
    """An `argparse` type: a number that is not negative."""
    try:
        number = float(word)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{word!r} is not a number of seconds")
    return number


def check_exists(place: str) -> None:
    """Refuses a name or folder that holds no collection, and says which there are; a server is not asked.

    Raises:
        CollectionError: it holds none.
    """
    from crumb.search.collection import CollectionError
    from crumb.search.collection.opening import MANIFEST, folder_of

    if "://" not in place and not (folder_of(place) / MANIFEST).is_file():
        there = names()
        known = f"there are {', '.join(there)}" if there else "there are none yet"
        raise CollectionError(f"there is no collection {place} ({known}); crumb index PATH… --into {place} makes one")


def when_free(open_it: Callable[[], Collection], wait: float | None) -> Collection:
    """Opens a collection, and waits for as many seconds (None: 10) while another process has it open.

    Raises:
        CollectionInUseError: it still has.
    """
    from crumb.search.collection import CollectionInUseError

    end = time.monotonic() + (_WAIT if wait is None else wait)
    while True:
        try:
            return open_it()
        except CollectionInUseError:
            if time.monotonic() >= end:
                raise
        time.sleep(_RETRY)


def _facts(name: str) -> dict[str, Any]:
    """What there is to say about one; `documents` is None, and `note` says why, where it cannot be opened."""
    from crumb.errors import CrumbError
    from crumb.search.collection import Collection, CollectionInUseError
    from crumb.search.collection.opening import MANIFEST, folder_of

    folder = folder_of(name)
    settings: dict[str, Any] = {}
    documents, note = None, ""
    try:
        settings = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        with Collection(name, create=False) as collection:
            documents = len(collection)
    except CollectionInUseError:
        note = "in use"
    except (CrumbError, OSError, ValueError) as error:
        note = f"unusable: {error}"
    return {
        "name": name,
        "folder": str(folder),
        "model": settings.get("model", "?"),
        "precision": settings.get("precision", "?"),
        "encoding": settings.get("encoding", "?"),
        "strategy": settings.get("strategy", "?"),
        "documents": documents,
        "note": note,
        "bytes": _disk_usage(folder),
    }


def _disk_usage(folder: Path) -> int:
    """Bytes on the disk, which are fewer than the files' sizes: the engine's are full of holes."""
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))
