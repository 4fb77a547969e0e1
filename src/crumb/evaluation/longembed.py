"""LongEmbed's six tasks (Zhu et al. 2024, arXiv 2404.12096), from disk.

Enters: the folder that holds a user's data. Leaves: `RetrievalTask`s with the benchmark's metrics. Knows nothing of
models, and fetches nothing: an error says where the data are to be had.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crumb.evaluation.beir import RetrievalSet, is_retrieval_folder, read_retrieval_set, set_files
from crumb.evaluation.lengths import by_length
from crumb.evaluation.tasks import RetrievalTask

SOURCE = "dwzhu/LongEmbed"
"""The data set's id on the Hugging Face Hub; the benchmark's own release, which names no licence."""

_BY_LENGTH = "nDCG@1"  # of the two tasks that come in lengths
_FILES = ("corpus.jsonl", "queries.jsonl", "qrels.jsonl")


@dataclass(frozen=True)
class _Known:
    """`config`: the folder in the release; `stand_in`: a set of ours with the same texts, in BEIR's layout."""

    config: str
    licence: str
    main: str = "nDCG@10"
    stand_in: str = ""


# The four are read from one part each (NarrativeQA, 2WikiMultihopQA: test; QMSum: train and validation; SummScreenFD:
# validation). Passkey and Needle have eight, one a length of 256 to 32,768 tokens, each with 100 documents and 50
# queries of its own; the task's figure is the mean of the eight.
_KNOWN = {
    "lemb-narrativeqa": _Known("narrativeqa", "NarrativeQA: Apache-2.0; its books and scripts: their own"),
    "lemb-qmsum": _Known("qmsum", "QMSum: MIT", stand_in="qmsum-long"),
    "lemb-summscreenfd": _Known("summ_screen_fd", "none stated; transcripts of television series"),
    "lemb-2wikimqa": _Known("2wikimqa", "2WikiMultihopQA: Apache-2.0; Wikipedia: CC BY-SA"),
    "lemb-needle": _Known("needle", "none stated; Paul Graham's essays", _BY_LENGTH),
    "lemb-passkey": _Known("passkey", "none stated; generated", _BY_LENGTH),
}

NAMES = tuple(_KNOWN)
"""The six, as `task` takes them."""


def task(name: str, data: Path) -> RetrievalTask:
    """One of the six.

    Its data are, the first that is there: `data`/<name> in BEIR's layout; for QMSum `data`/qmsum-long, rebuilt from the
    original release with the same characters; or `data`/LongEmbed/<config>, the release as it is. Of Passkey and Needle
    in BEIR's layout, ids of the form q256-0 and d256-0 tell the length.

    Raises:
        KeyError: no such task. (That there are no data is said when they are read, as a FileNotFoundError.)
    """
    known = _KNOWN[name]
    return RetrievalTask(
        name=name,
        read=lambda: _read(name, data),
        main=known.main,
        files=_found(name, data),
        licence=known.licence,
        long=True,
    )


def _found(name: str, data: Path) -> tuple[Path, ...]:
    """The files of a task; none where it is not there."""
    known = _KNOWN[name]
    for folder in filter(None, (name, known.stand_in)):
        if is_retrieval_folder(data / folder):
            return set_files(data / folder)
    release = tuple(data / "LongEmbed" / known.config / file for file in _FILES)
    return release if all(file.is_file() for file in release) else ()


def _read(name: str, data: Path) -> dict[str, RetrievalSet]:
    files = _found(name, data)
    known = _KNOWN[name]
    if not files:
        raise FileNotFoundError(
            f"{name} is not under {data}. Either bring the release there once (hf download {SOURCE} "
            f"--repo-type dataset --include '{known.config}/*' --local-dir {data / 'LongEmbed'}), or put it into "
            f"{data / name} in BEIR's layout: corpus.jsonl, queries.jsonl (_id, text), qrels.tsv"
        )
    if is_retrieval_folder(files[0].parent):
        whole = read_retrieval_set(files[0].parent)
        return by_length(whole) if known.main == _BY_LENGTH else {"": whole}
    return _read_release(name, files)


def _read_release(name: str, files: tuple[Path, ...]) -> dict[str, RetrievalSet]:
    """The release: rows (doc_id, text), (qid, text), (qid, doc_id), all with a context_length where there are many."""
    rows = [list(_rows(file)) for file in files]
    lengths = sorted({row.get("context_length", 0) for row in rows[0]})
    parts = {}
    for length in lengths:
        # ids are those of the release; a part's name before them keeps queries of different lengths apart
        head = f"{length}/" if length else ""
        documents, queries, judged = ([row for row in r if row.get("context_length", 0) == length] for r in rows)
        qrels: dict[str, dict[str, int]] = {}
        for row in judged:
            qrels.setdefault(head + str(row["qid"]), {})[head + str(row["doc_id"])] = 1
        corpus = {head + str(row["doc_id"]): row["text"].strip() for row in documents}
        texts = {head + str(row["qid"]): row["text"] for row in queries if head + str(row["qid"]) in qrels}
        strays = [d for grades in qrels.values() for d in grades if d not in corpus] + [
            q for q in qrels if q not in texts
        ]
        if strays:
            raise ValueError(f"{files[-1]}: {strays[0]!r} does not exist")
        part = str(length) if length else ""
        parts[part] = RetrievalSet(name, corpus, texts, {query: qrels[query] for query in texts})
    return parts


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                yield json.loads(line)
