"""`crumb distill`: what teachers say of training data, written down once.

Enters: files of rows, names of teachers. Leaves: rows with scores as JSON lines, or vectors of queries and positives as
.npz, or both, with a record beside each; an account on stderr. Scoring is done in crumb.training.distill.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crumb.cli.options import positive_int
from crumb.cli.sources import (
    add_named_models,
    add_output_arguments,
    add_source_arguments,
    check_output,
    facts,
    lines,
    read_sources,
    whole,
    write_line,
)

if TYPE_CHECKING:
    from crumb.training.data.rows import Rows
    from crumb.training.distill import Taught, Wanted

HELP = """Writes teachers' scores of each query with its positive and its negatives, as candidates that `crumb train`
reads; or, with --vectors, the teachers' vectors of queries and positives. Scores of several teachers are divided by
their standard deviation over random pairs and averaged."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `crumb distill`."""
    parser.set_defaults(_usage=parser.error)
    add_source_arguments(parser)
    add_output_arguments(parser, required=False)
    parser.add_argument(
        "--vectors", type=Path, metavar="NPZ", help="write vectors of queries and positives (one source)"
    )
    parser.add_argument(
        "--dimensions",
        type=positive_int,
        metavar="D",
        help="project --vectors on D principal directions (default: all)",
    )
    add_named_models(
        parser,
        "--teacher",
        "a model that crumb loads, or st:FOLDER for sentence-transformers; may be repeated",
    )
    parser.add_argument(
        "--standardize", action="store_true", help="divide the scores of a single teacher too (several always are)"
    )


def run(args: argparse.Namespace) -> int:
    """Scores; returns 0, or raises."""
    if args.output is None and args.vectors is None:
        args._usage("give -o for scores, --vectors for vectors, or both")
    if args.vectors is not None and len(args.sources) > 1:
        args._usage("--vectors: vectors belong to the rows of one source")
    if args.dimensions is not None and args.vectors is None:
        args._usage("--dimensions is for --vectors")
    names = [model.name for model in args.models]
    if len(set(names)) != len(names):
        args._usage("--teacher: the same teacher twice")
    for out, suffixes in ((args.output, (".jsonl", ".jsonl.gz")), (args.vectors, (".npz",))):
        if out is not None:
            check_output(out, args.sources, suffixes, force=args.force)

    from crumb.training.data import DataError
    from crumb.training.distill import Wanted, teach
    from crumb.training.teachers import open_teacher

    sources = read_sources(args)
    for rows in sources:
        if rows.has_labels:
            raise DataError(f"{rows.source.path}: graded pairs have their labels; teachers score pairs and triplets")
        if args.output is not None and not len(rows.negatives):
            _say(f"{rows.source.path} has no negatives: each row has one score only (`crumb mine` finds negatives)")
    teachers = [
        open_teacher(model.name, query_prompt=model.query_prompt, passage_prompt=model.passage_prompt)
        for model in args.models
    ]
    standardized = args.standardize or len(teachers) > 1
    taught = {}
    for rows in sources:
        wanted = Wanted(rows, negatives=args.output is not None)
        taught[rows.source.name] = wanted, [teach(wanted, teacher, standardized=standardized) for teacher in teachers]
    settings = {"teachers": [teacher.settings() for teacher in teachers], "standardized": standardized}
    spreads = {name: {one.name: one.spread for one in each} for name, (_, each) in taught.items()}
    if args.output is not None:
        _write_scores(args.output, taught, settings, data=facts(sources), spreads=spreads)
    if args.vectors is not None:
        (pair,) = taught.values()
        _write_vectors(args.vectors, *pair, args.dimensions, settings, data=facts(sources), spreads=spreads)
    for teacher in teachers:
        if teacher.cut:
            _say(f"{teacher.cut:,} texts were longer than the context of {teacher.name} and were cut there")
    return 0


def _write_scores(
    out: Path, taught: dict[str, tuple[Wanted, list[Taught]]], settings: dict[str, Any], **more: Any
) -> None:
    from crumb.cli.sidecar import sidecar_path, write_sidecar
    from crumb.training.distill import scores

    count = 0
    with lines(out) as stream:
        for wanted, teachers in taught.values():
            rows = wanted.rows
            for part in rows.parts:
                for row in part.members.tolist():
                    # six digits: more than a float32 score of a model is worth
                    said = [round(score, 6) for score in scores(wanted, teachers, row).tolist()]
                    write_line(stream, _line(rows, row, part.name, said))
                    count += 1
        sidecar_path(out).unlink(missing_ok=True)
    write_sidecar(out, settings, complete=True, **more)
    _say(f"wrote the scores of {count:,} rows to {out}")


def _write_vectors(
    out: Path,
    wanted: Wanted,
    taught: list[Taught],
    dimensions: int | None,
    settings: dict[str, Any],
    **more: Any,
) -> None:
    import numpy as np

    from crumb.cli.sidecar import sidecar_path, write_sidecar
    from crumb.training.distill import joined

    query, positive = joined(wanted, taught, dimensions=dimensions)
    with whole(out) as stream:
        # float16 keeps three digits, more than what projecting loses
        np.savez(stream, query=query.astype(np.float16), positive=positive.astype(np.float16))
        sidecar_path(out).unlink(missing_ok=True)
    write_sidecar(out, {**settings, "dimensions": query.shape[1]}, complete=True, **more)
    _say(f"wrote vectors of {len(query):,} rows, {query.shape[1]} dimensions, to {out}")


def _line(rows: Rows, row: int, source: str, scores: list[float]) -> dict[str, Any]:
    example = rows.example(row)
    line: dict[str, Any] = {
        "query": example.query,
        "positive": example.positive,
        "negatives": example.negatives,
        "scores": scores,
        "source": source,
    }
    if rows.group_names:
        line["group"] = example.group
    return line


def _say(words: str) -> None:
    print(f"crumb distill: {words}", file=sys.stderr)
