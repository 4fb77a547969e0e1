"""Retrieval sets in BEIR's layout, from disk.

Enters: a folder with corpus.jsonl, queries.jsonl (either may be .gz) and qrels.tsv or qrels/test.tsv. Leaves: texts and
judgements. Knows nothing of models or metrics.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from crumb.evaluation.rows import read_rows

_QRELS = ("qrels.tsv", "qrels/test.tsv", "qrels/dev.tsv")  # BEIR judges MS MARCO on its dev split


@dataclass(frozen=True)
class RetrievalSet:
    """`corpus` and `queries` by id; `qrels`: query id to document id to grade; queries have a positive grade."""

    name: str
    corpus: dict[str, str]
    queries: dict[str, str]
    qrels: dict[str, dict[str, int]]


def is_retrieval_folder(folder: Path) -> bool:
    """Whether the files of a set are there."""
    return all(_texts(folder, name) is not None for name in ("corpus", "queries")) and _qrels(folder) is not None


def set_files(folder: Path) -> tuple[Path, ...]:
    """The files that `read_retrieval_set` reads."""
    found = (_texts(folder, "corpus"), _texts(folder, "queries"), _qrels(folder))
    return tuple(path for path in found if path is not None)


def read_retrieval_set(folder: Path) -> RetrievalSet:
    """Reads one set; a document's text is title, a blank, text, stripped (BEIR, arXiv 2104.08663).

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a line is no JSON object with the fields of its kind, an id occurs twice, or a judgement is no
            whole number or names a query or document that does not exist; the message names the line.
    """
    corpus = _by_id(folder, "corpus")
    texts = _by_id(folder, "queries")
    path = _qrels(folder)
    if path is None:
        raise FileNotFoundError(f"{folder} has none of {', '.join(_QRELS)}: expected a set in BEIR's layout")
    qrels: dict[str, dict[str, int]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        next(rows, None)  # the header
        for row in rows:
            try:
                query, document, grade = row[0], row[1], int(row[2])
            except (IndexError, ValueError):
                raise ValueError(
                    f"{path}:{rows.line_num}: expected query id, document id and grade, tab-separated, got {row!r}"
                ) from None
            if query not in texts or document not in corpus:
                raise ValueError(f"{path}:{rows.line_num}: query {query!r} or document {document!r} does not exist")
            qrels.setdefault(query, {})[document] = grade
    judged = {query: grades for query, grades in qrels.items() if max(grades.values()) > 0}
    if not judged:
        raise ValueError(f"{path} judges no document relevant: there is nothing to measure")
    return RetrievalSet(folder.resolve().name, corpus, {query: texts[query] for query in judged}, judged)


def _by_id(folder: Path, name: str) -> dict[str, str]:
    """Texts by id, in the file's order; titles stand before them."""
    path = _texts(folder, name)
    if path is None:
        raise FileNotFoundError(
            f"{folder} has neither {name}.jsonl nor {name}.jsonl.gz: expected a set in BEIR's layout"
        )
    found: dict[str, str] = {}
    for number, row in read_rows(path):
        if not isinstance(row, dict) or not isinstance(row.get("text"), str) or "_id" not in row:
            raise ValueError(f"{path}:{number}: expected an object with _id and text, got {str(row)[:80]!r}")
        if str(row["_id"]) in found:
            raise ValueError(f"{path}:{number}: the id {row['_id']!r} occurs twice")
        title = row.get("title") if name == "corpus" else None
        found[str(row["_id"])] = f"{title or ''} {row['text']}".strip() if name == "corpus" else row["text"]
    return found


def _texts(folder: Path, name: str) -> Path | None:
    files = (folder / f"{name}.jsonl.gz", folder / f"{name}.jsonl")
    return next((path for path in files if path.is_file()), None)


def _qrels(folder: Path) -> Path | None:
    return next((folder / name for name in _QRELS if (folder / name).is_file()), None)
