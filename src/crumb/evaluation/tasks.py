"""What can be measured: a task is data, a metric, and what is known of it.

Enters: folders and files, or a generator's name. Leaves: `RetrievalTask` and `StsTask`, which read their data when
asked. Knows nothing of models.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from crumb.evaluation.beir import RetrievalSet
from crumb.evaluation.sts import StsSet


@dataclass(frozen=True)
class RetrievalTask:
    """Queries against documents.

    Attributes:
        name: e.g. "scifact".
        read: returns the parts, by name: a set each, searched by itself; the task's value is their mean. Most tasks
            have one part, named "".
        main: the metric that stands for the task, as ir-measures spells it.
        files: what was read, for digests; empty where the data are generated (then `recipe` says how).
        recipe: parameters of generated data.
        licence: of the data.
        drop_same_id: whether a document with the query's own id is left out of its ranking (BEIR's ArguAna, …).
        long: whether documents are longer than a usual encoder's context, so that readings are worth comparing.
    """

    name: str
    read: Callable[[], Mapping[str, RetrievalSet]]
    main: str = "nDCG@10"
    files: tuple[Path, ...] = ()
    recipe: Mapping[str, object] = field(default_factory=dict)
    licence: str = ""
    drop_same_id: bool = False
    long: bool = False


@dataclass(frozen=True)
class StsTask:
    """Pairs of sentences with gold scores; the metric is Spearman's correlation of the cosines with them."""

    name: str
    read: Callable[[], StsSet]
    main: str = "Spearman"
    files: tuple[Path, ...] = ()
    licence: str = ""


Task = RetrievalTask | StsTask


def digests(task: Task) -> dict[str, str]:
    """SHA-256 of each file of a task, by file name; by as many of its folders too as tell the files apart."""
    several = len({path.name for path in task.files}) < len(task.files)
    above = Path(os.path.commonpath(task.files)) if several else None
    found = {}
    for path in task.files:
        with path.open("rb") as file:
            name = path.name if above is None else path.relative_to(above).as_posix()
            found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found
