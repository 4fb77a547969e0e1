"""Our tasks as mteb's: folders on disk measured by mteb itself, with any model and without a network.

Enters: a `RetrievalTask` or `StsTask`. Leaves: an instance of mteb's own task class that holds the same texts. Knows
nothing of models.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

from crumb.errors import MissingExtraError
from crumb.evaluation.beir import RetrievalSet
from crumb.evaluation.tasks import StsTask, Task, digests

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask

# what mteb calls the metrics that tasks are known by
_MAIN = {"nDCG@10": "ndcg_at_10", "nDCG@1": "ndcg_at_1", "Spearman": "cosine_spearman"}


def as_mteb_task(task: Task) -> AbsTask:
    """The task, for `mteb.evaluate(model, tasks=[as_mteb_task(task)])`; parts become splits.

    Texts, judgements and the metric are the task's. mteb reports the mean over splits as we do over parts.

    Raises:
        MissingExtraError: mteb is not installed.
        ValueError: mteb does not have the task's metric.
        OSError, ValueError: the data cannot be read.
    """
    try:
        from datasets import Dataset
        from mteb.abstasks import AbsTaskRetrieval, AbsTaskSTS
        from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData
        from mteb.abstasks.task_metadata import TaskMetadata
    except ImportError as error:
        raise MissingExtraError(f'this needs mteb: pip install "crumb-embed[mteb]" ({error})') from None
    if task.main not in _MAIN:
        raise ValueError(f"mteb has no {task.main}; it has {', '.join(_MAIN)}")
    name = "".join(word.capitalize() for word in re.split(r"\W+", task.name))

    def described(kind: Literal["Retrieval", "STS"], splits: list[str]) -> TaskMetadata:
        revision = "-".join(digest[:8] for digest in digests(task).values()) or "generated"
        return TaskMetadata(
            name=f"Local{name}",
            description=f"{task.name}, read from this machine",
            dataset={"path": f"local/{task.name}", "revision": revision},
            type=kind,
            category="t2t",
            eval_splits=splits,
            eval_langs=["eng-Latn"],
            main_score=_MAIN[task.main],
        )

    def rows(texts: dict[str, str]) -> Dataset:
        return Dataset.from_dict({"id": list(texts), "text": list(texts.values())})

    def split(data: RetrievalSet) -> RetrievalSplitData:
        judged = {query: dict(grades) for query, grades in data.qrels.items()}
        return {
            "corpus": rows(data.corpus),
            "queries": rows(data.queries),
            "relevant_docs": judged,
            "top_ranked": None,
        }

    if isinstance(task, StsTask):
        pairs = task.read()
        columns = {"sentence1": pairs.first, "sentence2": pairs.second, "score": pairs.scores}

        class LocalSts(AbsTaskSTS):
            metadata = described("STS", ["test"])

            def load_data(self, num_proc: int | None = None, **kwargs: Any) -> None:
                self.dataset = {"test": Dataset.from_dict(columns)}
                self.data_loaded = True

        return LocalSts()

    parts = {f"test_{part}" if part else "test": data for part, data in task.read().items()}

    class LocalRetrieval(AbsTaskRetrieval):
        metadata = described("Retrieval", list(parts))

        def load_data(self, num_proc: int | None = None, **kwargs: Any) -> None:
            self.dataset = {"default": {name: split(data) for name, data in parts.items()}}
            self.data_loaded = True

    return LocalRetrieval()
