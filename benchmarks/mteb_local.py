"""The same model on the same data, by mteb and by `crumb eval`: scores side by side.

    python -m benchmarks.mteb_local SET... [--context N] [--precision P]

A SET is a folder in BEIR's layout or a file of sentence pairs. Tasks are instances of mteb's own classes, held in
memory: nothing is fetched, and nothing is kept in mteb's cache. Ends with 1 where two scores differ by more than 1e-4.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # before mteb is imported

import mteb

import crumb
from crumb.evaluation.beir import read_retrieval_set
from crumb.evaluation.measure import measure
from crumb.evaluation.mteb_task import as_mteb_task
from crumb.evaluation.sts import is_sts_file, read_sts
from crumb.evaluation.tasks import RetrievalTask, StsTask, Task

TOLERANCE = 1e-4


def task_of(path: Path) -> Task:
    """The task of a folder or file; a file of pairs is called after its folder."""
    if path.is_file() and is_sts_file(path):
        return StsTask(path.parent.name, lambda: read_sts(path), files=(path,))
    return RetrievalTask(path.name, lambda: {"": read_retrieval_set(path)})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", type=Path)
    parser.add_argument("--model", help="default: the default model")
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--precision", default="float32")
    args = parser.parse_args()
    model = crumb.mteb_model(args.model, context=args.context, precision=args.precision)
    worst = 0.0
    print(f"{'task':24} {'metric':10} {'mteb':>9} {'crumb':>9} {'difference':>11} {'seconds':>8} {'seconds':>8}")
    for path in args.sets:
        task = task_of(path)
        started = time.perf_counter()
        result = mteb.evaluate(model, as_mteb_task(task), cache=None, show_progress_bar=False)
        between = time.perf_counter()
        theirs = float(result.task_results[0].get_score())
        ours = measure(model.model, task, model.setting)
        ended = time.perf_counter()
        worst = max(worst, abs(theirs - ours.value))
        print(
            f"{task.name:24} {task.main:10} {theirs:9.5f} {ours.value:9.5f} {theirs - ours.value:11.6f} "
            f"{between - started:8.1f} {ended - between:8.1f}",
            flush=True,
        )
    return int(worst > TOLERANCE)


if __name__ == "__main__":
    raise SystemExit(main())
