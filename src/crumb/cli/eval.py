"""`crumb eval`: how good a model is, on data of the user's own or on the field's, with everything needed to check it.

Enters: a model, tasks, perhaps a base to compare with; or a report to be checked. Leaves: tables on stdout or JSON;
with --report a folder. Knows nothing of metrics: crumb.evaluation has them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from crumb.cli.options import POSITIONS, add_model_arguments, positive_int

if TYPE_CHECKING:
    from crumb.evaluation.evaluate import Asked
    from crumb.evaluation.report.record import Record
    from crumb.evaluation.results import Measured

HELP = """Measures a model on retrieval sets (folders in BEIR's layout) and on sentence pairs: nDCG@10, recall@100,
MRR@10, MAP, or Spearman's correlation; beside figures published elsewhere, and against another model with --compare."""

READINGS = ("whole", "chunk-mean", "chunk-best")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `crumb eval`."""
    parser.add_argument("model", nargs="?", metavar="MODEL", help="a name from `crumb models`, a folder or a Hub id")
    parser.add_argument(
        "--tasks",
        nargs="+",
        default=[],
        metavar="TASK",
        help="folders in BEIR's layout, files of sentence pairs, names below --data, or all that is there",
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="a folder with sets, at any depth below it")
    parser.add_argument("--report", type=Path, metavar="DIR", help="write report.html, report.md and report.json there")
    parser.add_argument(
        "--reproduce",
        type=Path,
        metavar="REPORT",
        help="measure what this report says again, and compare; MODEL, --data and --tasks say where things are here",
    )
    parser.add_argument("--json", action="store_true", help="JSON on stdout")
    add_model_arguments(parser, name=False)
    form = parser.add_argument_group("how")
    form.add_argument("--layers", type=positive_int, metavar="N", help="run the first N layers only")
    form.add_argument("--dimensions", type=positive_int, metavar="N", help="keep the first N dimensions only")
    form.add_argument(
        "--reading",
        choices=READINGS,
        default="whole",
        help="of a long document the whole, up to the context; the mean of its chunks; its best chunk (default: whole)",
    )
    form.add_argument("--chunk", type=positive_int, default=512, metavar="N", help="tokens of a chunk (default: 512)")
    form.add_argument("--query-prompt", metavar="TEXT", help="put before queries (default: as the model says)")
    form.add_argument("--passage-prompt", metavar="TEXT", help="put before documents (default: as the model says)")
    beside = parser.add_argument_group("beside it")
    beside.add_argument("--compare", metavar="BASE", help="another model, with an interval for each difference")
    beside.add_argument("--compare-context", type=positive_int, metavar="N", help="its context (default: its own)")
    beside.add_argument("--compare-positions", choices=POSITIONS, help="its --positions")
    beside.add_argument("--rivals", action="store_true", help="long documents cut at 256 and 512, and as chunks")
    beside.add_argument(
        "--retention", action="store_true", help="what fewer dimensions, layers and bytes keep, in every precision"
    )
    beside.add_argument(
        "--trained-on",
        nargs="+",
        type=Path,
        default=[],
        metavar="PATH",
        help="training files (JSON lines) or folders of them: what the tasks share with them is reported",
    )
    beside.add_argument("--seed", type=int, default=0, help="of the resampling behind the intervals (default: 0)")


def run(args: argparse.Namespace) -> int:
    """Measures, and shows what was found; 1 where a report is not reproduced."""
    if args.reproduce is not None:
        return _reproduce(args)
    from crumb.cli.evaluated import show
    from crumb.evaluation.extras import check

    # what would fail at the end of hours fails now
    check(drawing=args.report is not None)
    if args.report is not None:
        args.report.mkdir(parents=True, exist_ok=True)
    record = _answer(_asked(args), args.threads, args.trained_on, retention=args.retention)
    if args.json:
        from crumb.evaluation.report.record import JSON, as_files

        print(as_files(record)[JSON].decode("utf-8"), end="")
    else:
        show(record)
    _write(record, args.report)
    return 0


def _answer(asked: Asked, threads: int | None, trained_on: Sequence[Path], *, retention: bool) -> Record:
    """Everything that a report holds."""
    from crumb.evaluation.evaluate import evaluate, tasks_of
    from crumb.evaluation.report.record import Record

    if retention:  # a model without ranges for its bytes is refused now, not once all else is measured
        from crumb.evaluation.measure import load_for

        load_for(asked.model, asked.setting).ranges()
    tasks = tasks_of(asked)
    shared = None
    if trained_on:  # before hours of measuring: it takes none of them, and a missing file ends it
        from crumb.evaluation.contamination import contamination

        shared = contamination(tasks, trained_on)
    evaluation = evaluate(asked, threads=threads, done=_say)
    kept = None
    if retention:
        from dataclasses import replace

        from crumb.evaluation.retention import retention as measure

        common = replace(asked.setting, precision="float32", layers=None, dimensions=None)
        kept = measure(asked.model, tasks, setting=common, threads=threads, done=_done)
    licences = {task.name: task.licence for task in tasks if task.licence}
    return Record.of(evaluation, ("crumb", *sys.argv[1:]), licences, kept, shared)


def _reproduce(args: argparse.Namespace) -> int:
    from crumb.evaluation.evaluate import tasks_of
    from crumb.evaluation.report.outcome import outcome
    from crumb.evaluation.report.record import read_record
    from crumb.evaluation.report.reproduce import asked_here, check_data, check_models, reproduce

    then = read_record(args.reproduce)
    data = None if args.data is None else str(args.data)
    asked = asked_here(then, data=data, tasks=args.tasks or None, model=args.model)
    check_data(then, tasks_of(asked))
    check_models(then, asked)

    def again(question: Asked) -> Record:
        return _answer(question, args.threads, args.trained_on, retention=then.retention is not None)

    found = reproduce(then, asked, again)
    print(outcome(found))
    return 0 if found.reproduced else 1


def _write(record: Record, folder: Path | None) -> None:
    if folder is None:
        return
    from crumb.evaluation.report.write import write_report

    for path in write_report(record, folder):
        print(f"crumb: wrote {path}", file=sys.stderr)


def _asked(args: argparse.Namespace) -> Asked:
    from dataclasses import replace

    from crumb.evaluation.evaluate import Asked
    from crumb.evaluation.settings import Setting

    setting = Setting(
        context=args.context,
        positions=args.positions,
        precision=args.precision,
        layers=args.layers,
        dimensions=args.dimensions,
        reading=args.reading,
        chunk=args.chunk,
        query_prompt=args.query_prompt,
        passage_prompt=args.passage_prompt,
    )
    # the base keeps its own prompts: those given are the model's
    theirs = replace(
        setting,
        context=args.compare_context,
        positions=args.compare_positions,
        query_prompt=None,
        passage_prompt=None,
    )
    return Asked(
        model=args.model,
        tasks=tuple(args.tasks),
        data=None if args.data is None else str(args.data),
        setting=setting,
        compare=args.compare,
        compare_setting=theirs,
        rivals=args.rivals,
        seed=args.seed,
    )


def _say(m: Measured) -> None:
    """One line on stderr for each figure: what it cost, and what was cut."""
    cost = m.query_cost + m.document_cost
    cut = f", {cost.truncated_texts:,} texts lost {cost.tokens_cut:,} tokens" if cost.truncated_texts else ""
    rate = cost.tokens / cost.seconds if cost.seconds else 0
    print(
        f"crumb: {m.task}: {m.main} {100 * m.value:.2f} ({m.model}, {m.setting}; {m.queries:,} queries, "
        f"{m.documents:,} documents{cut}; {cost.seconds + m.search_seconds:.1f} s, {rate:,.0f} tokens/s)",
        file=sys.stderr,
        flush=True,
    )


def _done(task: str) -> None:
    print(f"crumb: {task}: measured in every form", file=sys.stderr, flush=True)
