"""`crumb search QUERY PATH…`: files and folders, searched by meaning.

Enters: a question and paths. Leaves: ranked passages on stdout, for people or as JSON; one summary line on stderr.
Finding is done elsewhere; here is how it is asked for and shown.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from crumb.cli.options import add_model_arguments, load_model, positive_int
from crumb.errors import CrumbError

if TYPE_CHECKING:
    from crumb.search.files import Hit, SearchReport

HELP = """Searches files and folders by meaning. What git ignores, hidden names, links and files that are no text are
passed over; the summary counts them. Vectors are kept in a cache: the next search embeds only what has changed."""

SHOWN_LINES = 8  # of a passage
SHOWN_CHARACTERS = 160  # of a line
_UNITS = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}
# What a terminal would obey rather than show
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class NothingToSearchError(CrumbError, LookupError):
    """No text was found at the paths; the message says what was passed over."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `crumb search`."""
    parser.add_argument("query", metavar="QUERY", help="a question, or words to search for")
    parser.add_argument(
        "paths", nargs="*", metavar="PATH", type=Path, default=[Path()], help="files, folders (default: .)"
    )
    parser.add_argument("--top-k", type=positive_int, default=5, metavar="K", help="passages to show (default: 5)")
    parser.add_argument("--json", action="store_true", help="print hits, in full, and the report as one JSON object")
    files = parser.add_argument_group("files")
    files.add_argument(
        "--glob",
        dest="globs",
        action="append",
        default=[],
        metavar="PATTERN",
        help="only files that match, as in a .gitignore; !PATTERN leaves out; may be repeated, the last one decides",
    )
    files.add_argument(
        "--max-file-size",
        type=_size,
        metavar="SIZE",
        help="pass over larger files: bytes, or 500kB, 5MB (default: 5MB)",
    )
    files.add_argument("--no-ignore", action="store_true", help="also what git ignores and folders that tools make")
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
    started = time.perf_counter()
    from crumb.search.cache import Cache
    from crumb.search.files import search_files
    from crumb.store import cache_dir

    model = load_model(args)
    with nullcontext() if args.no_cache else Cache(cache_dir()) as cache:
        result = search_files(
            model,
            args.query,
            args.paths,
            top_k=args.top_k,
            budget=args.chunk_tokens,
            cache=cache,
            ignore=not args.no_ignore,
            globs=args.globs,
            max_file_size=args.max_file_size,
        )
    report = result.report
    if not report.passages:
        raise NothingToSearchError(_nothing(args.paths, report))
    if args.json:
        print(json.dumps({"hits": [_as_dict(hit) for hit in result.hits], "report": report.as_dict()}))
    else:
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        print("\n\n".join(_shown(rank, hit, colour) for rank, hit in enumerate(result.hits, 1)))
    sys.stdout.flush()  # hits before the summary, also where both go to one file
    _say(report, time.perf_counter() - started)
    return 0


def _as_dict(hit: Hit) -> dict[str, object]:
    return {**asdict(hit), "path": _name(hit.path)}


def _shown(rank: int, hit: Hit, colour: bool) -> str:
    """A hit as a person reads it: one line about it, and the first lines of the passage."""
    bold, dim, plain = ("\x1b[1m", "\x1b[2m", "\x1b[0m") if colour else ("", "", "")
    lines = hit.text.split("\n")
    where = f"{_name(hit.path)}:{hit.start_line}-{hit.end_line}"
    head = f"{rank}. {hit.score:.3f}  {bold}{_safe(where)}{plain}"
    if hit.heading:
        head += f"  {dim}{_safe(hit.heading)}{plain}"
    shown = [head, *(f"    {_clipped(_safe(line))}".rstrip() for line in lines[:SHOWN_LINES])]
    more = len(lines) - SHOWN_LINES
    if more > 0:
        shown.append(f"    {dim}… {_counted(more, 'more line')}{plain}")
    return "\n".join(shown)


def _say(report: SearchReport, seconds: float) -> None:
    """What was done, in one line on stderr; warnings before it."""
    if report.query_tokens_cut:
        print(
            f"crumb: warning: the question was longer than the context and lost {report.query_tokens_cut} tokens at "
            "its end; shorten it, or ask for more with --context",
            file=sys.stderr,
        )
    for problem in report.walk.unreadable:
        print(f"crumb: warning: not read: {_safe(problem)}", file=sys.stderr)
    parts = [
        _counted(report.walk.files, "file"),
        f"{_counted(report.passages, 'passage')} ({report.embedded:,} embedded, {report.cached:,} from cache)",
    ]
    if report.walk.skipped:
        parts.append(f"passed over: {_reasons(report)}")
    print(f"crumb: {'; '.join(parts)}; {seconds:.1f} s", file=sys.stderr)


def _nothing(paths: list[Path], report: SearchReport) -> str:
    where = ", ".join(_name(path) for path in paths)
    reasons = [reason for reason in (_reasons(report), *report.walk.unreadable) if reason]
    if report.walk.files:
        reasons.insert(0, f"{_counted(report.walk.files, 'file')} without any text")
    why = f"passed over: {'; '.join(reasons)}" if reasons else "there are no files"
    return f"nothing to search in {where} ({why}). Name files directly, or see --no-ignore, --glob and --max-file-size"


def _reasons(report: SearchReport) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in sorted(report.walk.skipped.items()))


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _name(path: Path) -> str:
    """The path as text, also where its bytes are not UTF-8."""
    return os.fsencode(path).decode("utf-8", "replace")


def _safe(text: str) -> str:
    return _CONTROLS.sub("\ufffd", text)


def _clipped(line: str) -> str:
    return line if len(line) <= SHOWN_CHARACTERS else line[: SHOWN_CHARACTERS - 1] + "…"


def _size(word: str) -> int:
    """An `argparse` type: bytes, or a number with a unit of 1000, 1000 kB or 1000 MB."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmg]?)b?", word.strip().lower())
    size = int(float(match[1]) * _UNITS[match[2]]) if match else 0
    if size < 1:
        raise argparse.ArgumentTypeError(f"{word!r} is not a size such as 500000, 500kB or 5MB")
    return size
