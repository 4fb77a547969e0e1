"""A whole evaluation: a model on tasks, the base beside it, the rivals on long documents.

Enters: `Asked`, plain data. Leaves: `Evaluation`, plain data too; the same question gives the same figures again. Knows
what is measured with what, and neither how nor how it is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from crumb.evaluation.catalogue import find_tasks
from crumb.evaluation.compare import Difference, compare
from crumb.evaluation.measure import load_for, measure
from crumb.evaluation.results import Measured
from crumb.evaluation.settings import Setting
from crumb.evaluation.tasks import RetrievalTask, Task

RIVAL_CONTEXTS = (256, 512)
RIVAL_CHUNK = 512

Report = Callable[[Measured], None]


@dataclass(frozen=True)
class Asked:
    """What to measure.

    Attributes:
        model: a name, folder or Hub id; None for the default model.
        tasks: as `crumb.evaluation.catalogue.find_tasks` takes them.
        data: the folder below which named tasks lie.
        setting: how.
        compare: another model to measure beside it, and `compare_setting` how.
        rivals: whether long documents are also read in the ways that one long vector competes with: cut at 256 and at
            512 tokens, the mean of 512-token chunks, the best chunk.
        seed: of the resampling.
    """

    model: str | None
    tasks: tuple[str, ...]
    data: str | None = None
    setting: Setting = field(default_factory=Setting)
    compare: str | None = None
    compare_setting: Setting = field(default_factory=Setting)
    rivals: bool = False
    seed: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        settings = {"setting": self.setting.as_dict(), "compare_setting": self.compare_setting.as_dict()}
        return {**asdict(self), **settings, "tasks": list(self.tasks)}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Asked:
        """The inverse of `as_dict`.

        Raises:
            TypeError: a field is missing or unknown.
        """
        settings = {name: Setting(**found[name]) for name in ("setting", "compare_setting")}
        return cls(**{**found, **settings, "tasks": tuple(found["tasks"])})


@dataclass(frozen=True)
class Evaluation:
    """What was found.

    Attributes:
        asked: the question.
        results: of the model, one a task, in order.
        base: of the model compared with, one a task; empty without one.
        differences: one a task and the mean (`compare`).
        rivals: long tasks read in other ways.
    """

    asked: Asked
    results: list[Measured]
    base: list[Measured]
    differences: list[Difference]
    rivals: list[Measured]


def evaluate(asked: Asked, *, threads: int | None = None, done: Report | None = None) -> Evaluation:
    """Answers the question; `done` is called with each figure as it comes.

    Raises:
        CrumbError, ValueError, OSError: a model, task or setting that cannot be had.
    """
    tasks = tasks_of(asked)
    results = _measure(asked.model, tasks, asked.setting, threads, done)
    base = [] if asked.compare is None else _measure(asked.compare, tasks, asked.compare_setting, threads, done)
    rivals = []
    long = [task for task in tasks if isinstance(task, RetrievalTask) and task.long]
    if asked.rivals and long:
        context = results[0].context
        for setting in rival_settings(asked.setting, context):
            rivals += _measure(asked.model, long, setting, threads, done)
    differences = compare(results, base, seed=asked.seed) if base else []
    return Evaluation(asked, results, base, differences, rivals)


def tasks_of(asked: Asked) -> list[Task]:
    """The tasks that are asked for.

    Raises:
        TaskNotFoundError: a name is no task.
        ValueError: none is named.
    """
    tasks = find_tasks(asked.tasks, None if asked.data is None else Path(asked.data))
    if not tasks:
        raise ValueError("nothing to measure: name tasks (folders in BEIR's layout, files of sentence pairs, or all)")
    return tasks


def rival_settings(setting: Setting, context: int) -> list[Setting]:
    """The ways to read a long document beside `setting`, for a model that reads `context` tokens."""
    shorter = [n for n in RIVAL_CONTEXTS if n < context]
    chunks = replace(setting, context=min(RIVAL_CHUNK, context), positions=None, chunk=min(RIVAL_CHUNK, context))
    return [
        *(replace(setting, context=n, positions=None) for n in shorter),
        replace(chunks, reading="chunk-mean"),
        replace(chunks, reading="chunk-best"),
    ]


def _measure(
    name: str | None, tasks: Sequence[Task], setting: Setting, threads: int | None, done: Report | None
) -> list[Measured]:
    model = load_for(name, setting, threads)
    found = []
    for task in tasks:
        found.append(measure(model, task, setting))
        if done is not None:
            done(found[-1])
    return found
