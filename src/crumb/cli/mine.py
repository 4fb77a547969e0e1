"""`crumb mine`: hard negatives for pairs, by words and by models.

Enters: files of pairs, names of rankers. Leaves: triplets as JSON lines with a record beside them; an account on
stderr. Ranking and choosing are done in crumb.training.mining.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
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
    write_line,
)

if TYPE_CHECKING:
    from crumb.training.mining.mine import Choice, Mined, Pool, Report
    from crumb.training.mining.ranking import Ranker
    from crumb.training.teachers import Teacher

HELP = """Finds hard negatives: passages of the same source that rank high for a query and are not its answer. What
scores close to the query's own positive is passed over, since it is likely an answer that nobody has marked. Negatives
that rows have already are passages among others; the output has the new ones."""

BM25 = "bm25"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `crumb mine`."""
    parser.set_defaults(_usage=parser.error)
    add_source_arguments(parser)
    add_output_arguments(parser, required=True)
    add_named_models(
        parser,
        "--by",
        f"what ranks passages: {BM25}, a model that crumb loads, or st:FOLDER (sentence-transformers); may be repeated",
    )
    choice = parser.add_argument_group("choice")
    choice.add_argument("--count", type=positive_int, default=7, metavar="K", help="negatives a row (default: 7)")
    choice.add_argument(
        "--depth", type=positive_int, default=100, metavar="N", help="ranks of each that are looked at (default: 100)"
    )
    choice.add_argument("--skip", type=int, default=0, metavar="R", help="pass over the first R ranks (default: 0)")
    choice.add_argument(
        "--relative",
        type=_share,
        default=0.95,
        metavar="SHARE",
        help="keep what scores below SHARE of the positive's score; none for no such bound (default: 0.95)",
    )
    choice.add_argument(
        "--margin",
        type=float,
        metavar="M",
        help="keep what scores below the positive's score less M (default: no bound)",
    )
    choice.add_argument(
        "--intersect", action="store_true", help="only passages that every ranker has, instead of those that any has"
    )


def run(args: argparse.Namespace) -> int:
    """Mines; returns 0, or raises."""
    names = [model.name for model in args.models]
    if len(set(names)) != len(names):
        args._usage("--by: the same ranker twice")
    if any(model.name == BM25 and (model.query_prompt or model.passage_prompt) for model in args.models):
        args._usage(f"--by {BM25} has no prompts")
    check_output(args.output, args.sources, (".jsonl", ".jsonl.gz"), force=args.force)

    from crumb.cli.sidecar import sidecar_path, write_sidecar
    from crumb.progress import bar
    from crumb.training.mining.mine import Choice, Pool, Report, mine
    from crumb.training.teachers import open_teacher

    choice = Choice(args.count, args.depth, args.skip, args.relative, args.margin, args.intersect)
    sources = read_sources(args)
    teachers: list[Teacher | None] = [
        None
        if model.name == BM25
        else open_teacher(model.name, query_prompt=model.query_prompt, passage_prompt=model.passage_prompt)
        for model in args.models
    ]
    report = Report()
    settings = {
        "by": [BM25 if teacher is None else teacher.settings() for teacher in teachers],
        "choice": asdict(choice),
    }
    with lines(args.output) as stream:
        for rows in sources:
            for part in rows.parts:
                pool = Pool(rows, part.members)
                rankers = _rankers(pool, teachers)
                with bar(len(part.members), f"{part.name}: mining", "rows", None) as shown:
                    for mined in mine(pool, rankers, choice, report, shown.update):
                        write_line(stream, _line(pool, mined, part.name))
        # without a record nobody knows how lines were made: the old one goes before the new lines come
        sidecar_path(args.output).unlink(missing_ok=True)
    write_sidecar(args.output, settings, complete=True, data=facts(sources), report=report.as_dict())
    _say(report, choice, teachers)
    return 0


def _rankers(pool: Pool, teachers: list[Teacher | None]) -> list[Ranker]:
    from crumb.training.mining.bm25 import Bm25
    from crumb.training.mining.ranking import Dense

    queries, passages = pool.query_texts(), pool.passage_texts()
    rankers: list[Ranker] = []
    for teacher in teachers:
        if teacher is None:
            rankers.append(Bm25(queries, passages))
        else:
            rankers.append(Dense(teacher.name, teacher.encode(queries, "query"), teacher.encode(passages, "passage")))
    return rankers


def _line(pool: Pool, mined: Mined, source: str) -> dict[str, Any]:
    example = pool.rows.example(mined.row, negatives=0)
    line: dict[str, Any] = {
        "query": example.query,
        "positive": example.positive,
        "negatives": [pool.rows.texts[number] for number in mined.negatives],
        "source": source,
    }
    if pool.rows.group_names:
        line["group"] = example.group
    # six digits: more than a float32 score of a model is worth
    line["mined"] = {name: [round(score, 6) for score in scores] for name, scores in mined.scores.items()}
    return line


def _say(report: Report, choice: Choice, teachers: list[Teacher | None]) -> None:
    def say(words: str) -> None:
        print(f"crumb mine: {words}", file=sys.stderr)

    say(
        f"{report.rows:,} rows have {report.negatives:,} negatives; {report.short:,} rows have fewer than "
        f"{choice.count}, of these {report.without:,} have none"
    )
    for reason, count in report.passed.most_common():
        if count:
            say(f"{count:,} passages passed over: {reason}")
    for name, count in report.first.items():
        say(f"{name} puts the positive first in {count / report.rows:.1%} of rows")
    for teacher in teachers:
        if teacher is not None and teacher.cut:
            say(f"{teacher.cut:,} texts were longer than the context of {teacher.name} and were cut there")


def _share(word: str) -> float | None:
    if word == "none":
        return None
    try:
        return float(word)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{word!r} is neither a number nor none") from None
