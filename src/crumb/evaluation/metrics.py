"""Metrics of rankings and of similarities, computed by the libraries that the field compares with.

Enters: scores of documents with graded judgements, or cosines with gold scores. Leaves: a value for each query, or one
for a set of pairs. Knows nothing of models or files. Rankings go through ir-measures, whose nDCG, recall and MAP are
trec_eval's: gains are linear, and among equal scores the greater document id comes first, whatever order they had.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from crumb.evaluation.extras import need

RANKING = ("nDCG@10", "R@100", "RR@10", "AP@1000")
"""What retrieval tasks report: nDCG (Järvelin and Kekäläinen 2002), recall, reciprocal rank, average precision."""

_RECIPROCAL = re.compile(r"RR@\d+")

Qrels = Mapping[str, Mapping[str, int]]
Run = Mapping[str, Mapping[str, float]]


def score_rankings(qrels: Qrels, run: Run, measures: Sequence[str] = RANKING) -> dict[str, dict[str, float]]:
    """The value of each measure for each judged query, 0..1; a query that the run lacks has 0.

    Args:
        qrels: query id to document id to grade; grades below 1 are not relevant.
        run: query id to document id to score, higher is better.
        measures: names as ir-measures spells them: "nDCG@10", "R@100", "RR@10", "AP@1000", "P@1", …

    Returns:
        measure to query id to value, queries in the order of `qrels`.

    Raises:
        MissingExtraError: ir-measures is not installed.
        ValueError: ir-measures does not know a measure, or a query of the run has no judgements.
    """
    unjudged = [query for query in run if query not in qrels]
    if unjudged:
        raise ValueError(f"{len(unjudged)} ranked queries have no judgements, first {unjudged[0]!r}")
    library = need("ir_measures")
    try:
        parsed = {name: library.parse_measure(name) for name in measures}
    except (NameError, ValueError) as error:
        raise ValueError(f"ir-measures does not know one of the measures {', '.join(measures)}: {error}") from None
    # trec_eval knows no negative grades: they are as good as none
    known = {query: {d: max(int(g), 0) for d, g in grades.items()} for query, grades in qrels.items()}
    values: dict[str, dict[str, float]] = {name: dict.fromkeys(qrels, 0.0) for name in measures}
    # trec_eval has no reciprocal rank with a cutoff, and what ir-measures takes instead is slow and breaks ties in
    # another way; 1 / rank tells the rank, so the cutoff is made here
    cut = {name: measure["cutoff"] for name, measure in parsed.items() if _RECIPROCAL.fullmatch(name)}
    asked = {name: library.RR if name in cut else measure for name, measure in parsed.items()}
    names = {measure: name for name, measure in asked.items()}
    for found in library.iter_calc(list(names), known, run):
        name, value = names[found.measure], float(found.value)
        values[name][found.query_id] = value if name not in cut or round(value * cut[name], 6) >= 1 else 0.0
    return values


def cutoff(measure: str) -> int | None:
    """How many documents of a query a measure looks at ("nDCG@10": 10); None for all.

    Raises:
        MissingExtraError: ir-measures is not installed.
        ValueError: ir-measures does not know the measure.
    """
    library = need("ir_measures")
    try:
        found = library.parse_measure(measure).params.get("cutoff")
    except (NameError, ValueError) as error:
        raise ValueError(f"ir-measures does not know the measure {measure}: {error}") from None
    return None if found is None else int(found)


def spearman(values: npt.ArrayLike, gold: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Spearman's rank correlations of rows of numbers, [..., n] each, -1..1, shape [...]; ties have their mean rank.

    Raises:
        ValueError: fewer than two numbers a row, different shapes, or a row without any difference.
    """
    a, b = np.asarray(values, dtype=np.float64), np.asarray(gold, dtype=np.float64)
    if a.ndim < 1 or a.shape != b.shape or a.shape[-1] < 2:
        raise ValueError(f"a correlation needs two lists of n >= 2 numbers, got {list(a.shape)} and {list(b.shape)}")
    if (np.ptp(a, axis=-1) == 0).any() or (np.ptp(b, axis=-1) == 0).any():
        raise ValueError("a list whose numbers are all equal correlates with nothing")
    rank = need("scipy.stats").rankdata
    x, y = (r - r.mean(axis=-1, keepdims=True) for r in (rank(a, axis=-1), rank(b, axis=-1)))
    length = np.sqrt((x * x).sum(axis=-1) * (y * y).sum(axis=-1))
    return np.asarray((x * y).sum(axis=-1) / length, dtype=np.float64)
