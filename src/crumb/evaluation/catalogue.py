"""From what a user names to tasks.

Enters: names, folders in BEIR's layout and files of sentence pairs. Leaves: tasks, with what is known of them: the
metric that they are published with, their licence. Knows nothing of models.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from crumb.errors import CrumbError
from crumb.evaluation.beir import RetrievalSet, is_retrieval_folder, read_retrieval_set, set_files
from crumb.evaluation.sts import is_sts_file, read_sts
from crumb.evaluation.tasks import RetrievalTask, StsTask, Task

ALL = "all"
STS_SPLIT = "test"


class TaskNotFoundError(CrumbError, LookupError):
    """A name that is no task, folder or file; the message lists what there is."""


@dataclass(frozen=True)
class Known:
    """What is known of a data set by its name; see `RetrievalTask`."""

    licence: str
    long: bool = False
    drop_same_id: bool = False


KNOWN: dict[str, Known] = {
    "scifact": Known("CC BY 4.0, ODC-By; BEIR's copy says CC BY-NC"),
    "mlquestions": Known("CC BY-NC-SA"),
    "feedbackqa": Known("Apache-2.0; the WHO part CC BY-NC-SA"),
    "xquad-en": Known("CC BY-SA 4.0"),
    "mbpp": Known("CC BY 4.0"),
    "cosqa": Known("MIT"),
    "cranfield": Known("none stated"),
    "stackfaq": Known("CC BY-SA; paraphrases unclear"),
    "selqa": Known("Apache-2.0, CC BY-SA"),
    "hotpotqa-mini": Known("CC BY-SA 4.0"),
    "nq-mini": Known("CC BY-SA 3.0"),
    "qmsum-long": Known("MIT", long=True),
    "squality-long": Known("CC BY 4.0; stories from Project Gutenberg", long=True),
    # BEIR's own evaluation leaves out a document with the query's id: in these sets it is the query itself
    "arguana": Known("CC BY 4.0", drop_same_id=True),
    "fever": Known("CC BY-SA 3.0", drop_same_id=True),
    "fiqa": Known("none stated", drop_same_id=True),
    "msmarco": Known("non-commercial research", drop_same_id=True),
    "quora": Known("none stated", drop_same_id=True),
}


def find_tasks(names: Iterable[str], data: Path | None = None) -> list[Task]:
    """The tasks of names, each once, in order.

    Args:
        names: of each, the first that fits: "all", for every set and file of pairs below `data`; a folder in BEIR's
            layout; a file of sentence pairs; a set's name below `data`.
        data: where sets lie, at any depth.

    Raises:
        TaskNotFoundError: a name fits nothing; or "all" without `data`, or with nothing there.
    """
    here = _below(data) if data else {}
    found: dict[str, Task] = {}
    for name in names:
        if name == ALL:
            if not here:
                raise TaskNotFoundError(f"--tasks all takes every set below --data, but found none in {data}")
            found |= {task.name: task for task in map(task_at, here.values())}
            continue
        path = Path(name)
        if is_retrieval_folder(path) or (path.is_file() and is_sts_file(path)):
            task = task_at(path)
        elif name in here:
            task = task_at(here[name])
        else:
            raise TaskNotFoundError(_unknown(name, path, here, data))
        found[task.name] = task
    return list(found.values())


def task_at(path: Path) -> Task:
    """The task of a folder in BEIR's layout, or of a file of sentence pairs."""
    if not path.is_dir():
        name = _pairs_name(path)
        return StsTask(name, lambda: read_sts(path, name), files=(path,))
    name = path.resolve().name
    known = KNOWN.get(name, Known(""))

    def read() -> Mapping[str, RetrievalSet]:
        return {"": read_retrieval_set(path)}

    return RetrievalTask(
        name,
        read,
        files=set_files(path),
        licence=known.licence,
        long=known.long,
        drop_same_id=known.drop_same_id,
    )


def _pairs_name(path: Path) -> str:
    """Of `sts-benchmark/test.tsv` the folder, of another file its own name."""
    stem = path.name.split(".")[0]
    return path.resolve().parent.name if stem == STS_SPLIT else stem


def _below(data: Path) -> dict[str, Path]:
    """Every set below a folder, by name; of files of pairs those that are a test split."""
    if not data.is_dir():
        raise TaskNotFoundError(f"--data {data} is no folder; expected one with sets in BEIR's layout below it")
    found: dict[str, Path] = {}
    for place, folders, files in os.walk(data):
        folder = Path(place)
        folders.sort()
        if is_retrieval_folder(folder):
            found.setdefault(folder.name, folder)
            folders.clear()
        for file in sorted(files):
            if file.split(".")[0] == STS_SPLIT and is_sts_file(folder / file):
                found.setdefault(folder.name, folder / file)
    return dict(sorted(found.items()))


def _unknown(name: str, path: Path, here: Mapping[str, Path], data: Path | None) -> str:
    if path.exists():
        return (
            f"{name} is no task: expected a folder with corpus.jsonl, queries.jsonl (either may be .gz) and qrels.tsv "
            "or qrels/test.tsv, or a .tsv, .csv or .jsonl file with sentence1, sentence2 and score"
        )
    close = difflib.get_close_matches(name, here, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    there = f"below {data} there are {', '.join(here) or 'none'}" if data else "name their folder with --data"
    return f"no task {name!r}: {there}{hint}"
