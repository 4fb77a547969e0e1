"""LoCo's twelve tasks (LoCoV1: Saad-Falcon et al. 2024, arXiv 2402.07440), from disk.

Enters: the folder that holds a user's data. Leaves: `RetrievalTask`s. Knows nothing of models, and fetches nothing: an
error says where the data are to be had.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crumb.evaluation.beir import RetrievalSet, is_retrieval_folder, read_retrieval_set, set_files
from crumb.evaluation.tasks import RetrievalTask

QUERIES, DOCUMENTS = "hazyresearch/LoCoV1-Queries", "hazyresearch/LoCoV1-Documents"
"""The data sets' ids on the Hugging Face Hub: Apache-2.0 by their cards, over sources with terms of their own."""

# our name: what rows call it in their "dataset"
_KNOWN = {
    "loco-summscreenfd": "summ_screen_fd",
    "loco-govreport": "gov_report",
    "loco-qmsum": "qmsum",
    "loco-qasper-title": "qasper_title",
    "loco-qasper-abstract": "qasper_abstract",
    "loco-multifieldqa": "multifieldqa",
    "loco-2wikimqa": "2wikimqa",
    "loco-passage-retrieval": "passage_retrieval",
    "loco-legal-case-reports": "legal_case_reports",
    "loco-courtlistener-html": "courtlistener_HTML",
    "loco-courtlistener-plain-text": "courtlistener_Plain_Text",
    "loco-stackoverflow": "stackoverflow",
}

NAMES = tuple(_KNOWN)
"""LoCoV1's twelve, as `task` takes them; the benchmark's figure is the mean of their nDCG@10."""

V0 = NAMES[:5]
"""The five of the first form of the benchmark (January 2024)."""


def task(name: str, data: Path) -> RetrievalTask:
    """One of the twelve; one part, nDCG@10 with grades of 0 and 1.

    Its data are, the first that is there: `data`/<name> in BEIR's layout, or the release as it is, in
    `data`/LoCoV1-Queries and `data`/LoCoV1-Documents. Documents without text are left out, as the authors do (QASPER
    has some), and so are queries that nothing answers then.

    Raises:
        KeyError: no such task. (That there are no data is said when they are read, as a FileNotFoundError.)
    """
    subset = _KNOWN[name]
    return RetrievalTask(
        name=name,
        read=lambda: {"": _read(name, subset, data)},
        files=_found(name, subset, data),
        licence="Apache-2.0 by its card; the source's own terms",
        long=True,
    )


def _found(name: str, subset: str, data: Path) -> tuple[Path, ...]:
    """The files of a task; none where it is not there."""
    if is_retrieval_folder(data / name):
        return set_files(data / name)
    release = [
        sorted((data / folder).rglob(f"{subset}_test.jsonl"))[:1] for folder in ("LoCoV1-Documents", "LoCoV1-Queries")
    ]
    return (*release[0], *release[1]) if all(release) else ()


def _read(name: str, subset: str, data: Path) -> RetrievalSet:
    files = _found(name, subset, data)
    if not files:
        raise FileNotFoundError(
            f"{name} is not under {data}. Either bring the release there once (hf download {QUERIES} "
            f"--repo-type dataset --local-dir {data / 'LoCoV1-Queries'}, and the same with {DOCUMENTS} to "
            f"{data / 'LoCoV1-Documents'}), or put it into {data / name} in BEIR's layout: corpus.jsonl, queries.jsonl "
            "(_id, text), qrels.tsv"
        )
    if is_retrieval_folder(data / name):
        return read_retrieval_set(files[0].parent)
    documents, queries = files
    corpus = {str(row["pid"]): row["passage"].strip() for row in _rows(documents, subset) if row["passage"]}
    texts, qrels = {}, {}
    for row in _rows(queries, subset):
        grades = {str(pid): 1 for pid in row["answer_pids"] if str(pid) in corpus}
        if grades:
            texts[str(row["qid"])], qrels[str(row["qid"])] = row["query"], grades
    if not texts:
        raise ValueError(f"{queries}: no query of {subset!r} is answered by a document of {documents}")
    return RetrievalSet(name, corpus, texts, qrels)


def _rows(path: Path, subset: str) -> Iterator[dict[str, Any]]:
    """Rows of one subset: a file may hold several."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line) if line.strip() else {}
            if row.get("dataset", subset) == subset and row:
                yield row
