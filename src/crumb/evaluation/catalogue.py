"""From what a user names to tasks.

Enters: names, folders in BEIR's layout and files of sentence pairs. Leaves: tasks, with what is known of them: the
metric that they are published with, their licence. Knows nothing of models.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from crumb.errors import CrumbError
from crumb.evaluation import loco, longembed
from crumb.evaluation.beir import RetrievalSet, is_retrieval_folder, read_retrieval_set, set_files
from crumb.evaluation.generated import needle, passkey
from crumb.evaluation.lengths import by_length
from crumb.evaluation.sts import is_sts_file, read_sts
from crumb.evaluation.tasks import RetrievalTask, StsTask, Task

ALL = "all"
STS_SPLIT = "test"


class TaskNotFoundError(CrumbError, LookupError):
    """A name that is no task, folder or file; the message lists what there is."""


@dataclass(frozen=True)
class Known:
    """What is known of a data set by its name; see `RetrievalTask`.

    `by_length`: ids tell the length of the documents, and each length is a part of its own, scored by nDCG@1.
    """

    licence: str
    long: bool = False
    drop_same_id: bool = False
    by_length: bool = False


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
    "passkey-gen": Known("CC0 1.0", long=True, by_length=True),
    "needle-gen": Known("facts CC0 1.0, prose from Project Gutenberg", long=True, by_length=True),
    # BEIR's own evaluation leaves out a document with the query's id: in these sets it is the query itself
    "arguana": Known("CC BY 4.0", drop_same_id=True),
    "fever": Known("CC BY-SA 3.0", drop_same_id=True),
    "fiqa": Known("none stated", drop_same_id=True),
    "msmarco": Known("non-commercial research", drop_same_id=True),
    "quora": Known("none stated", drop_same_id=True),
}

NAMED: dict[str, Callable[[Path], RetrievalTask]] = {
    "passkey": lambda _: passkey.task(),
    "needle": lambda _: needle.task(),
    **{name: partial(longembed.task, name) for name in longembed.NAMES},
    **{name: partial(loco.task, name) for name in loco.NAMES},
}
"""Tasks by name: generated ones, and those of the long-document benchmarks, given the folder of the data."""

GROUPS = {"longembed": list(longembed.NAMES), "loco": list(loco.NAMES)}


def find_tasks(names: Iterable[str], data: Path | None = None) -> list[Task]:
    """The tasks of names, each once, in order.

    Args:
        names: of each, the first that fits: "all", for every set and file of pairs below `data`; "longembed" and
            "loco", for the benchmarks' six and twelve; a folder in BEIR's layout; a file of sentence pairs; a set's
            name below `data`; one of `NAMED`, whose data lie in `data` or are generated.
        data: where sets lie, at any depth.

    Raises:
        TaskNotFoundError: a name fits nothing; or "all" without `data`, or with nothing there.
    """
    here = _below(data) if data else {}
    found: dict[str, Task] = {}
    for name in names:
        if name == ALL and not here:
            raise TaskNotFoundError(f"--tasks all takes every set below --data, but found none in {data}")
        group = list(here) if name == ALL else GROUPS.get(name, [name])
        for task in (_find(each, here, data) for each in group):
            found[task.name] = task
    return list(found.values())


def _find(name: str, here: Mapping[str, Path], data: Path | None) -> Task:
    path = Path(name)
    if is_retrieval_folder(path) or (path.is_file() and is_sts_file(path)):
        return task_at(path)
    if name in here:
        return task_at(here[name])
    if name in NAMED:
        return NAMED[name](data or Path())
    raise TaskNotFoundError(_unknown(name, path, here, data))


def task_at(path: Path) -> Task:
    """The task of a folder in BEIR's layout, or of a file of sentence pairs."""
    if not path.is_dir():
        name = _pairs_name(path)
        return StsTask(name, lambda: read_sts(path, name), files=(path,))
    name = path.resolve().name
    known = KNOWN.get(name, Known(""))

    def read() -> Mapping[str, RetrievalSet]:
        data = read_retrieval_set(path)
        return by_length(data) if known.by_length else {"": data}

    return RetrievalTask(
        name,
        read,
        main="nDCG@1" if known.by_length else "nDCG@10",
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
    close = difflib.get_close_matches(name, [*here, *NAMED, *GROUPS], n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    there = f"below {data} there are {', '.join(here) or 'none'}" if data else "name the folder of sets with --data"
    return f"no task {name!r}: {there}{hint}. Without data there are passkey and needle, which are generated"
