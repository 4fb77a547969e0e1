"""One model on one task.

Enters: a model, a task and settings. Leaves: `Measured`. Knows the order of things (read, embed, rank, score) and does
none of them itself.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from crumb.evaluation.beir import RetrievalSet
from crumb.evaluation.embed import Cost, Embedded, embed, prompts
from crumb.evaluation.metrics import RANKING, score_rankings, spearman
from crumb.evaluation.rank import Ranked, rank
from crumb.evaluation.relevant import relevant_tokens
from crumb.evaluation.results import Measured
from crumb.evaluation.settings import Setting
from crumb.evaluation.tasks import RetrievalTask, StsTask, Task, digests
from crumb.loading import load
from crumb.model import Model
from crumb.vectors.normalize import cut, normalize


def load_for(name: str | Path | None, setting: Setting, threads: int | None = None) -> Model:
    """The model with the setting's context, positions and precision."""
    return load(
        name, context=setting.context, positions=setting.positions, precision=setting.precision, threads=threads
    )


def measure(model: Model, task: Task, setting: Setting, name: str | None = None) -> Measured:
    """Measures one task.

    Args:
        model: loaded for the setting (`load_for`).
        task: what to measure.
        setting: how.
        name: what to call the model in reports; None for its own name.
    """
    if isinstance(task, StsTask):
        return _measure_sts(model, task, setting, name)
    parts = task.read()
    vectors = {
        part: embed(model, list(data.queries.values()), list(data.corpus.values()), setting)
        for part, data in parts.items()
    }
    measured = measure_embedded(model, task, setting, parts, vectors, name)
    return replace(
        measured, relevant_tokens={part: relevant_tokens(data, model.tokenizer) for part, data in parts.items()}
    )


def measure_embedded(
    model: Model,
    task: RetrievalTask,
    setting: Setting,
    parts: Mapping[str, RetrievalSet],
    vectors: Mapping[str, Embedded],
    name: str | None = None,
) -> Measured:
    """Measures a retrieval task whose texts are vectors already, of full size (`embed`): for many forms of them."""
    ranges = model.ranges(setting.dimensions) if setting.stored in ("int8", "uint8") else None
    measures = tuple(dict.fromkeys((task.main, *RANKING)))
    values: dict[str, dict[str, dict[str, float]]] = {}
    started = time.perf_counter()
    ranked = {part: rank(vectors[part], setting, ranges) for part in parts}
    searched = time.perf_counter() - started
    for part, data in parts.items():
        run = as_run(data, ranked[part], drop_same_id=task.drop_same_id)
        values[part] = score_rankings(data.qrels, run, measures)
    by_part = {part: {m: float(np.mean(list(v.values()))) for m, v in found.items()} for part, found in values.items()}
    return Measured(
        **_identity(model, task, setting, name),
        metrics={m: float(np.mean([found[m] for found in by_part.values()])) for m in measures},
        parts=by_part if len(parts) > 1 else {},
        queries=sum(len(data.queries) for data in parts.values()),
        documents=sum(len(data.corpus) for data in parts.values()),
        query_cost=_total([v.query_cost for v in vectors.values()]),
        document_cost=_total([v.document_cost for v in vectors.values()]),
        search_seconds=searched,
        data=digests(task) or dict(task.recipe),
        per_query={part: found[task.main] for part, found in values.items()},
    )


def as_run(data: RetrievalSet, ranked: Ranked, *, drop_same_id: bool = False) -> dict[str, dict[str, float]]:
    """Query id to document id to score, as trec_eval's heirs want it; `drop_same_id` as in `RetrievalTask`."""
    ids = list(data.corpus)
    run = {
        query: dict(zip([ids[i] for i in documents], scores.tolist(), strict=True))
        for query, documents, scores in zip(data.queries, ranked.documents.tolist(), ranked.scores, strict=True)
    }
    if drop_same_id:
        for query, documents in run.items():
            documents.pop(query, None)
    return run


def _measure_sts(model: Model, task: StsTask, setting: Setting, name: str | None) -> Measured:
    if setting.stored != "float32":
        raise ValueError(f"{task.name}: pairs are measured as float32, not stored={setting.stored!r}; see retention")
    setting = replace(setting, reading="whole")  # sentences are no documents, and the figure says so
    pairs = task.read()
    prompt, _ = prompts(model, setting)
    started = time.perf_counter()
    vectors, report = model.encode(
        pairs.first + pairs.second, prompt=prompt, layers=setting.layers, truncation="end", return_report=True
    )
    seconds = time.perf_counter() - started
    vectors = normalize(cut(vectors, setting.dimensions))
    n = len(pairs.first)
    cosines = np.einsum("nd,nd->n", vectors[:n], vectors[n:], dtype=np.float64)
    return Measured(
        **_identity(model, task, setting, name),
        metrics={task.main: float(spearman(cosines, pairs.scores))},
        parts={},
        queries=n,
        documents=n,
        query_cost=Cost.of(report, seconds),
        document_cost=Cost(0, 0, 0, 0, 0.0),
        search_seconds=0.0,
        data=digests(task),
        per_query={"": {str(i): float(value) for i, value in enumerate(cosines)}},
        gold=list(pairs.scores),
    )


def _identity(model: Model, task: Task, setting: Setting, name: str | None) -> dict[str, Any]:
    """What was measured, and on which kernels."""
    return {
        "task": task.name,
        "model": name or model.name,
        "fingerprint": model.fingerprint,
        "setting": setting,
        "context": model.context,
        "precision": model.engine.precision,
        "isa": model.engine.isa,
        "main": task.main,
    }


def _total(costs: Sequence[Cost]) -> Cost:
    return sum(costs, start=Cost(0, 0, 0, 0, 0.0))
