"""Retrieval sets in BEIR's layout, from disk.

Enters: a folder with corpus.jsonl, queries.jsonl (either may be .gz) and qrels.tsv. Leaves: texts and judgements. Knows
nothing of models or metrics.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class RetrievalSet:
    """`corpus` and `queries` by id; `qrels`: query id to document id to grade; queries have a positive grade."""

    name: str
    corpus: dict[str, str]
    queries: dict[str, str]
    qrels: dict[str, dict[str, int]]


def read_retrieval_set(folder: Path) -> RetrievalSet:
    """Reads one set; a document's text is title, a blank, text, stripped (BEIR, arXiv 2104.08663).

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a judgement names a query or document that does not exist.
    """
    corpus = {row["_id"]: f"{row.get('title') or ''} {row['text']}".strip() for row in _rows(folder, "corpus")}
    texts = {row["_id"]: row["text"] for row in _rows(folder, "queries")}
    qrels: dict[str, dict[str, int]] = {}
    with (folder / "qrels.tsv").open(encoding="utf-8", newline="") as file:
        for query, document, grade in list(csv.reader(file, delimiter="\t"))[1:]:
            if query not in texts or document not in corpus:
                raise ValueError(f"{folder}/qrels.tsv: query {query!r} or document {document!r} does not exist")
            qrels.setdefault(query, {})[document] = int(grade)
    judged = {query: grades for query, grades in qrels.items() if max(grades.values()) > 0}
    return RetrievalSet(folder.name, corpus, {query: texts[query] for query in judged}, judged)


def _rows(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    packed = folder / f"{name}.jsonl.gz"
    plain = folder / f"{name}.jsonl"
    if not packed.exists() and not plain.exists():
        raise FileNotFoundError(f"{folder} has neither {plain.name} nor {packed.name}: expected a set in BEIR's layout")
    with gzip.open(packed, "rt", encoding="utf-8") if packed.exists() else plain.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)
