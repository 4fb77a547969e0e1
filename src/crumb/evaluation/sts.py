"""Pairs of sentences with gold scores, from disk.

Enters: a .tsv, .csv or .jsonl file (each may be .gz) with sentence1, sentence2 and score. Leaves: the pairs. Knows
nothing of models or metrics.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from crumb.evaluation.rows import read_rows
from crumb.text.lines import WITH_FIELDS, suffix_of

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
    return suffix_of(path) in WITH_FIELDS


def read_sts(path: Path, name: str | None = None) -> StsSet:
    """Reads the pairs of one file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a field is missing, or a score is no finite number; the message names the row.
    """
    first, second, scores = [], [], []
    for line, row in read_rows(path):
        missing = [field for field in FIELDS if not isinstance(row, dict) or row.get(field) in (None, "")]
        if missing:
            raise ValueError(f"{path}:{line}: no {', '.join(missing)}; expected {', '.join(FIELDS)}")
        try:
            score = float(row["score"])
        except (TypeError, ValueError):
            score = math.nan
        if not math.isfinite(score):
            raise ValueError(f"{path}:{line}: score {row['score']!r} is no finite number")
        first.append(str(row["sentence1"]))
        second.append(str(row["sentence2"]))
        scores.append(score)
    if len(scores) < 2:
        raise ValueError(f"{path} holds {len(scores)} pairs; a correlation needs two")
    return StsSet(name or path.parent.name, first, second, scores)
