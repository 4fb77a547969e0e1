"""The arguments that name training data and models beside it, and the file that rows are written to.

Enters: an `argparse` parser, later the parsed arguments. Leaves: rows, models by name with their prompts, an output.
Knows nothing of what is done with them.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from crumb.cli.options import positive_int
from crumb.cli.sidecar import partial_path
from crumb.errors import CrumbError

if TYPE_CHECKING:
    from crumb.training.data.rows import Rows


class OutputError(CrumbError, OSError):
    """An output that must not be written; the message says why and what to do."""


class Sink(Protocol):
    """What lines are written to."""

    def write(self, data: bytes, /) -> object:
        """Takes some bytes."""
        ...


@dataclass
class Named:
    """A model as the command line names it."""

    name: str
    query_prompt: str | None = None
    passage_prompt: str | None = None


class _Model(argparse.Action):
    """`--teacher NAME`: one more model."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, value: Any, option: str | None = None) -> None:
        setattr(namespace, self.dest, [*(getattr(namespace, self.dest) or []), Named(value)])


class _Prompt(argparse.Action):
    """`--query-prompt TEXT`: belongs to the model that was named before it."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, value: Any, option: str | None = None) -> None:
        models = getattr(namespace, self.dest)
        if not models:
            raise argparse.ArgumentError(self, "belongs to the model that is named before it, and there is none")
        setattr(models[-1], str(self.const), value)


def add_named_models(parser: argparse.ArgumentParser, option: str, help: str) -> None:
    """Adds `option NAME`, which may be repeated, and the prompts of each, for `args.models`: a list of `Named`."""
    group = parser.add_argument_group("models")
    group.add_argument(option, dest="models", action=_Model, required=True, metavar="NAME", help=help)
    for what, of in (("query", "queries"), ("passage", "passages")):
        group.add_argument(
            f"--{what}-prompt",
            dest="models",
            action=_Prompt,
            const=f"{what}_prompt",
            metavar="TEXT",
            help=f"put before {of}, for the model named before this (default: the model's own prompt)",
        )


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the sources, `--columns`, `--split`, `--group`, `--limit` and `--max-bad`, for `read_sources`."""
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help=".jsonl, .ndjson, .csv, .tsv (each also .gz), .parquet, or a folder of datasets' save_to_disk",
    )
    data = parser.add_argument_group("data")
    data.add_argument(
        "--columns",
        nargs="+",
        action="extend",
        type=_column,
        metavar="ROLE=COLUMN",
        help="what is in which column, where names do not tell: query=question positive=answer",
    )
    data.add_argument("--split", metavar="COLUMN", help="the rows of each of its values are a source of their own")
    data.add_argument("--group", metavar="COLUMN", help="carried to the output, where `crumb train` may heed it")
    data.add_argument("--limit", type=positive_int, metavar="N", help="the first N good rows of each source only")
    data.add_argument(
        "--max-bad", type=float, default=0.01, metavar="SHARE", help="bad rows that are let pass (default: 0.01)"
    )


def add_output_arguments(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """Adds `-o` and `--force`."""
    parser.add_argument("-o", "--output", type=Path, required=required, metavar="OUT", help="a .jsonl or .jsonl.gz")
    parser.add_argument("--force", action="store_true", help="replace an existing output")


def read_sources(args: argparse.Namespace) -> list[Rows]:
    """The rows that the arguments of `add_source_arguments` name; bad ones are told on stderr.

    Raises:
        DataError: as `read_source`; or two sources have one name.
    """
    from crumb.training.data import BadRowsWarning, DataError, Source, read_source

    columns: dict[str, list[str]] = {}
    for role, column in args.columns or []:
        columns.setdefault(role, []).append(column)
    found: list[Rows] = []
    for path in args.sources:
        source = Source(
            path, columns=columns or None, split=args.split, group=args.group, limit=args.limit, max_bad=args.max_bad
        )
        if any(source.name == rows.source.name for rows in found):
            raise DataError(f"two sources are called {source.name!r}; work on one at a time, or rename a file")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", BadRowsWarning)
            found.append(read_source(source))
        for warning in caught:
            print(f"crumb: warning: {warning.message}", file=sys.stderr)
    return found


def facts(rows: Iterable[Rows]) -> list[dict[str, Any]]:
    """What stands in the record of an output about the data it was made from."""
    return [
        {"source": one.source.name, "sha256": one.sha256, "rows": len(one), "bad": one.bad.count.total()}
        for one in rows
    ]


def check_output(out: Path, inputs: Sequence[str], suffixes: Sequence[str], *, force: bool) -> None:
    """Refuses an output that would destroy something, or that cannot be.

    Raises:
        OutputError: the message says why.
    """
    if not out.name.endswith(tuple(suffixes)):
        raise OutputError(f"{out}: expected a name that ends in {' or '.join(suffixes)}")
    if out.exists() and not (force and out.is_file()):
        raise OutputError(f"{out}: exists already; --force replaces a file")
    if not out.parent.is_dir():
        raise OutputError(f"{out}: there is no folder {out.parent}")
    for name in inputs:
        source = Path(name).resolve()
        if source == out.resolve() or source in out.resolve().parents:
            raise OutputError(f"{out}: is, or lies in, the input {name}; write it elsewhere")


@contextmanager
def whole(out: Path) -> Iterator[BinaryIO]:
    """A file that appears under its name when it is complete; an exception, Ctrl-C too, leaves what was there."""
    part = partial_path(out)
    try:
        with part.open("wb") as stream:
            yield stream
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def lines(out: Path) -> Iterator[Sink]:
    """As `whole`, gzipped where the name says so; the same lines make the same bytes."""
    with whole(out) as stream:
        if out.suffix != ".gz":
            yield stream
            return
        with gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0) as packed:
            yield packed


def write_line(stream: Sink, row: dict[str, Any]) -> None:
    """One row as a JSON line."""
    stream.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")


def _column(word: str) -> tuple[str, str]:
    role, equals, column = word.partition("=")
    if not equals or not role or not column:
        raise argparse.ArgumentTypeError(f"{word!r} is not ROLE=COLUMN")
    return role, column
