"""`crumb index PATH… --into NAME`: files and folders into a collection, once or for as long as it runs.

Enters: paths and the name of a collection. Leaves: the collection, brought up to date; an account on stdout, for people
or as JSON. The work is done elsewhere; here is how it is asked for and told.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from crumb.cli.collections import add_collection_arguments, when_free
from crumb.cli.hits import counted, name_of, warn_unread
from crumb.cli.options import add_file_arguments, add_model_arguments, load_asked_model, positive_int

if TYPE_CHECKING:
    from crumb.model import Model
    from crumb.search.collection import Collection
    from crumb.search.index import IndexReport

HELP = """Brings a collection up to date with files and folders: new files are added, changed ones replaced, those that
are gone removed; what has not changed is not read again. `crumb search QUERY --in NAME` searches it."""

# crumb.search.collection's, without loading numpy to say `--help`
ENCODINGS = ("float32", "float16", "int8", "binary")
STRATEGIES = ("chunks", "one-vector")
_DAYS = 86_400.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `crumb index`."""
    parser.add_argument("paths", nargs="+", metavar="PATH", type=Path, help="files, folders")
    parser.add_argument(
        "--into",
        required=True,
        metavar="NAME",
        help="a name, a folder (with a / in it) or http://HOST:6333/NAME on a Qdrant server",
    )
    parser.add_argument("--watch", action="store_true", help="go on, and follow the files as they change, until Ctrl-C")
    parser.add_argument("--json", action="store_true", help="print the account as one JSON object a line")
    add_file_arguments(parser)
    collection = parser.add_argument_group(
        "collection", "settings of a new one; an existing one keeps its own, and refuses others"
    )
    collection.add_argument("--encoding", choices=ENCODINGS, help="what the search goes over (default: float32)")
    collection.add_argument(
        "--strategy", choices=STRATEGIES, help="a vector for each passage (default: chunks), or one for each file"
    )
    collection.add_argument(
        "--chunk-tokens",
        type=positive_int,
        metavar="N",
        help="most tokens of a passage (default: 256 with special tokens and prompt, or the context if less)",
    )
    collection.add_argument(
        "--overlap", type=int, metavar="N", help="tokens that a passage repeats of the one before (default: 0)"
    )
    collection.add_argument(
        "--dimensions", type=positive_int, metavar="D", help="keep the first D components (Matryoshka)"
    )
    add_collection_arguments(collection)
    add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Indexes and prints; returns 0, or with `--watch` ends by Ctrl-C."""
    from crumb.search.index import FileIndex

    index = FileIndex(args.paths, ignore=not args.no_ignore, globs=args.globs, max_file_size=args.max_file_size)
    tell = _Teller(args.into, as_json=args.json)
    open_collection = _opener(args)
    try:
        if not args.watch:
            with when_free(open_collection, args.wait) as collection:
                tell(index.run(collection))
            return 0
        from crumb.search.watch import watch_files

        # Whoever else has the collection open will be done with it: a watcher has all the time there is.
        for number, report in enumerate(watch_files(index, lambda: when_free(open_collection, _DAYS))):
            tell(report)
            if number == 0:
                where = ", ".join(name_of(path) for path in args.paths)
                print(f"crumb: watching {where}; Ctrl-C ends it", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        if not tell.told:
            print("crumb index: what is done stays; the same command goes on from there", file=sys.stderr)
        raise
    return 0


def _opener(args: argparse.Namespace) -> Callable[[], Collection]:
    """Opens the collection, as often as it is called, with one model."""
    from crumb.search.collection import Collection

    model: Model | None = load_asked_model(args)

    def open_it() -> Collection:
        nonlocal model
        collection = Collection(
            args.into,
            model,
            encoding=args.encoding,
            dimensions=args.dimensions,
            strategy=args.strategy,
            chunk_tokens=args.chunk_tokens,
            overlap=args.overlap,
            api_key=args.api_key,
        )
        if args.watch:
            model = collection.model
        return collection

    return open_it


class _Teller:
    """Tells what each run did."""

    def __init__(self, place: str, *, as_json: bool) -> None:
        self._place = place
        self._as_json = as_json
        self._warned: set[str] = set()
        self.told = False

    def __call__(self, report: IndexReport) -> None:
        if self._as_json:
            print(json.dumps(report.as_dict()), flush=True)
        else:
            print(f"{self._place}: {self._line(report)}", flush=True)
        # One warning a file, however often the rest of the folder changes
        warn_unread(problem for problem in report.walk.unreadable if problem not in self._warned)
        self._warned = set(report.walk.unreadable)
        if report.truncated_files:
            print(
                f"crumb: warning: {counted(report.truncated_files, 'file')} longer than the context lost "
                f"{report.tokens_cut:,} tokens at the end; --strategy chunks cuts them into passages",
                file=sys.stderr,
            )
        self.told = True

    @staticmethod
    def _line(report: IndexReport) -> str:
        parts = [
            f"{report.added:,} added, {report.updated:,} updated, {report.removed:,} removed, "
            f"{report.unchanged:,} unchanged",
            f"{counted(report.passages, 'passage')} embedded",
        ]
        if report.walk.skipped:
            parts.append(f"passed over: {report.walk.reasons()}")
        return f"{'; '.join(parts)}; {report.seconds:.1f} s"
