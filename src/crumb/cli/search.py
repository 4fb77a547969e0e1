"""`crumb search QUERY PATH…` and `crumb search QUERY --in NAME`: files, or a collection, searched by meaning.

Enters: a question, and paths or the name of a collection. Leaves: ranked passages on stdout, for people or as JSON; one
summary line on stderr. Finding and showing is done elsewhere; here is how it is asked for.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crumb.cli.collections import add_collection_arguments, check_exists, when_free
from crumb.cli.hits import Found, counted, name_of, show, warn_unread
from crumb.cli.options import (
    add_file_arguments,
    add_model_arguments,
    load_asked_model,
    load_model,
    positive_int,
)
from crumb.errors import CrumbError

if TYPE_CHECKING:
    from crumb.search import collection
    from crumb.search.files import Hit, SearchReport

HELP = """Searches files and folders by meaning, or with --in a collection (see crumb index). What git ignores, hidden
names, links and files that are no text are passed over; the summary counts them. Vectors of files are kept in a cache:
the next search embeds only what has changed."""

# crumb.search.collection's, without loading numpy to say `--help`
MODES = ("dense", "bm25", "hybrid")
PER = ("document", "chunk")
# What only means something for one of the two
_OF_FILES = ("globs", "max_file_size", "no_ignore", "chunk_tokens", "no_cache")
_OF_COLLECTIONS = ("mode", "filter", "per", "exact", "api_key", "wait")


class NothingToSearchError(CrumbError, LookupError):
    """No text was found at the paths; the message says what was passed over."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `crumb search`."""
    parser.set_defaults(_usage=parser.error)
    parser.add_argument("query", metavar="QUERY", help="a question, or words to search for")
    parser.add_argument("paths", nargs="*", metavar="PATH", type=Path, help="files, folders (default: .)")
    parser.add_argument("--top-k", type=positive_int, default=5, metavar="K", help="passages to show (default: 5)")
    parser.add_argument("--json", action="store_true", help="print hits, in full, and the report as one JSON object")
    stored = parser.add_argument_group("collection")
    stored.add_argument(
        "--in", dest="place", metavar="NAME", help="search a collection instead of files: its name, folder or URL"
    )
    stored.add_argument("--mode", choices=MODES, help="by meaning (default: dense), by words, or by both")
    stored.add_argument(
        "--filter",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help='only documents with this metadata, as kind=pdf; or a filter as JSON, \'{"size": {"<": 5000}}\'; all of '
        "several have to hold",
    )
    stored.add_argument("--per", choices=PER, help="the best passage of each document (default), or passages")
    stored.add_argument("--exact", action="store_true", help="compare with every vector, not along the graph")
    add_collection_arguments(stored)
    add_file_arguments(parser)
    passages = parser.add_argument_group("passages")
    passages.add_argument(
        "--chunk-tokens",
        type=positive_int,
        metavar="N",
        help="most tokens of a passage (default: 256, or the context if less, special tokens and prompt included)",
    )
    passages.add_argument("--no-cache", action="store_true", help="neither read nor keep passages and vectors")
    add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Searches and prints; returns 0, or raises if there is nothing to search."""
    if args.place is None:
        _refuse(args, _OF_COLLECTIONS, "is for collections; name one with --in")
        return _search_files(args)
    if args.paths:
        args._usage(f"search {args.paths[0]} or --in {args.place}, not both")
    _refuse(args, _OF_FILES, "is for files and not for --in; crumb index decides what is in a collection")
    return _search_collection(args)


def _refuse(args: argparse.Namespace, names: Sequence[str], why: str) -> None:
    for name in names:
        if getattr(args, name):
            args._usage(f"--{'glob' if name == 'globs' else name.replace('_', '-')} {why}")


def _search_files(args: argparse.Namespace) -> int:
    started = time.perf_counter()
    from crumb.search.cache import Cache
    from crumb.search.files import search_files
    from crumb.store import cache_dir

    paths = args.paths or [Path()]
    model = load_model(args)
    with nullcontext() if args.no_cache else Cache(cache_dir()) as cache:
        result = search_files(
            model,
            args.query,
            paths,
            top_k=args.top_k,
            budget=args.chunk_tokens,
            cache=cache,
            ignore=not args.no_ignore,
            globs=args.globs,
            max_file_size=args.max_file_size,
        )
    report = result.report
    if not report.passages:
        raise NothingToSearchError(_nothing(paths, report))
    _print([_of_file(hit) for hit in result.hits], report.as_dict(), as_json=args.json)
    _say(report, time.perf_counter() - started)
    return 0


def _search_collection(args: argparse.Namespace) -> int:
    started = time.perf_counter()
    where = _filter(args)
    check_exists(args.place)
    from crumb.errors import TruncationWarning
    from crumb.search.collection import Collection

    if not args.query.strip():
        raise ValueError("the question is empty; expected some words to search for")
    model = load_asked_model(args)
    opened = when_free(lambda: Collection(args.place, model, create=False, api_key=args.api_key), args.wait)
    with opened as documents, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", TruncationWarning)
        hits = documents.search(
            args.query,
            top_k=args.top_k,
            filter=where,
            mode=args.mode or "dense",
            per=args.per or "document",
            exact=args.exact,
        )
        count = len(documents)
    report = {"collection": args.place, "documents": count, "question_cut": bool(caught)}
    _print([_of_document(hit) for hit in hits], report, as_json=args.json)
    if caught:
        print("crumb: warning: the question was longer than the context and lost its end; shorten it", file=sys.stderr)
    matched = "" if hits or not where else "; none meets the filter"
    print(
        f"crumb: {args.place}: {counted(count, 'document')}{matched}; {time.perf_counter() - started:.1f} s",
        file=sys.stderr,
    )
    return 0


def _filter(args: argparse.Namespace) -> dict[str, Any] | None:
    """All of `--filter` in one dict; wrong use if that cannot be."""
    where: dict[str, Any] = {}
    for word in args.filter:
        try:
            part = _condition(word)
        except ValueError as error:
            args._usage(f"--filter {word}: {error}; expected KEY=VALUE or a JSON object")
        twice = next((key for key in part if key in where), None)
        if twice is not None:
            args._usage(f'--filter names {twice!r} twice; say it once, as JSON: {{"{twice}": {{"in": […]}}}}')
        where |= part
    return where or None


def _condition(word: str) -> dict[str, Any]:
    if word.lstrip().startswith("{"):
        found: dict[str, Any] = json.loads(word)
        return found
    key, equals, value = word.partition("=")
    if not key or not equals:
        raise ValueError("no KEY=VALUE")
    try:
        meant = json.loads(value)
    except ValueError:
        meant = value
    return {key: meant if isinstance(meant, str | int | float | bool | None) else value}


def _print(found: list[Found], report: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"hits": [hit.as_dict() for hit in found], "report": report}))
    elif found:
        print(show(found))
    sys.stdout.flush()  # hits before the summary, also where both go to one file


def _of_file(hit: Hit) -> Found:
    from crumb.text.structure import kind_of, unit_of

    unit = unit_of(kind_of(hit.path))
    return Found(hit.score, name_of(hit.path), unit, hit.start_line, hit.end_line, hit.heading, hit.text)


def _of_document(hit: collection.Hit) -> Found:
    """A hit in a document, which need not be that of a file."""
    from crumb.text.structure import unit_of

    path = hit.metadata.get("path")
    name = _short(path) if isinstance(path, str) else str(hit.id)
    unit = unit_of(str(hit.metadata.get("kind")))
    more = {"id": hit.id, "chunk": hit.chunk, "metadata": hit.metadata}
    return Found(hit.score, name, unit, hit.start_line, hit.end_line, hit.heading, hit.text, more)


def _short(path: str) -> str:
    """The path as seen from here, if the file lies here or below."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path


def _say(report: SearchReport, seconds: float) -> None:
    """What was done, in one line on stderr; warnings before it."""
    if report.query_tokens_cut:
        print(
            f"crumb: warning: the question was longer than the context and lost {report.query_tokens_cut} tokens at "
            "its end; shorten it, or ask for more with --context",
            file=sys.stderr,
        )
    warn_unread(report.walk.unreadable)
    parts = [
        counted(report.walk.files, "file"),
        f"{counted(report.passages, 'passage')} ({report.embedded:,} embedded, {report.cached:,} from cache)",
    ]
    if report.walk.skipped:
        parts.append(f"passed over: {report.walk.reasons()}")
    print(f"crumb: {'; '.join(parts)}; {seconds:.1f} s", file=sys.stderr)


def _nothing(paths: list[Path], report: SearchReport) -> str:
    where = ", ".join(name_of(path) for path in paths)
    reasons = [reason for reason in (report.walk.reasons(), *report.walk.unreadable) if reason]
    if report.walk.files:
        reasons.insert(0, f"{counted(report.walk.files, 'file')} without any text")
    why = f"passed over: {'; '.join(reasons)}" if reasons else "there are no files"
    return f"nothing to search in {where} ({why}). Name files directly, or see --no-ignore, --glob and --max-file-size"
