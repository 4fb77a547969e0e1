"""Pairs of sentences with gold scores, from disk.

Enters: a .tsv, .csv or .jsonl file (each may be .gz) with sentence1, sentence2 and score. Leaves: the pairs. Knows
nothing of models or metrics.
"""

from __future__ import annotations

import csv
import gzip
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, cast

FIELDS = ("sentence1", "sentence2", "score")


@dataclass(frozen=True)
class StsSet:
    """n pairs: `first` and `second` sentences, and how much they agree, as people judged (any scale)."""

    name: str
    first: list[str]
    second: list[str]
    scores: list[float]


def is_sts_file(path: Path) -> bool:
    """Whether the name is that of a file that `read_sts` reads."""
    return path.name.removesuffix(".gz").endswith((".tsv", ".csv", ".jsonl"))


def read_sts(path: Path, name: str | None = None) -> StsSet:
    """Reads the pairs of one file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a field is missing, or a score is no finite number; the message names the row.
    """
    first, second, scores = [], [], []
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        for number, row in enumerate(_rows(cast(TextIO, file), path.name.removesuffix(".gz")), start=1):
            missing = [field for field in FIELDS if not isinstance(row, dict) or row.get(field) in (None, "")]
            if missing:
                raise ValueError(f"{path}, pair {number}: no {', '.join(missing)}; expected {', '.join(FIELDS)}")
            try:
                score = float(row["score"])
            except (TypeError, ValueError):
                score = math.nan
            if not math.isfinite(score):
                raise ValueError(f"{path}, pair {number}: score {row['score']!r} is no finite number")
            first.append(str(row["sentence1"]))
            second.append(str(row["sentence2"]))
            scores.append(score)
    if len(scores) < 2:
        raise ValueError(f"{path} holds {len(scores)} pairs; a correlation needs two")
    return StsSet(name or path.parent.name, first, second, scores)


def _rows(file: TextIO, name: str) -> Iterator[Any]:
    if name.endswith(".jsonl"):
        for line in file:
            yield json.loads(line)
    elif name.endswith(".csv"):
        yield from csv.DictReader(file)
    else:  # tab-separated sentences hold quotation marks of their own
        yield from csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
