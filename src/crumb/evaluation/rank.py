"""The best documents of each query, from vectors in any form.

Enters: `Embedded` and a `Setting`. Leaves: document numbers with scores, best first. Knows nothing of texts, ids or
judgements. Search is exact, by crumb's own scorer.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from crumb.evaluation.embed import Embedded
from crumb.evaluation.settings import Setting
from crumb.vectors.codes import Codes
from crumb.vectors.normalize import Floats, cut, normalize
from crumb.vectors.quantize import Ranges
from crumb.vectors.score import top_k

DEPTH = 1000
"""Documents a query that are kept, as mteb does."""


class Ranked(NamedTuple):
    """`scores` float64 and `documents` int64, [q, n] each, best first; n is at most the depth asked for."""

    scores: npt.NDArray[np.float64]
    documents: npt.NDArray[np.int64]


def rank(embedded: Embedded, setting: Setting, ranges: Ranges | None = None, depth: int = DEPTH) -> Ranked:
    """Ranks every document for every query.

    Args:
        embedded: vectors of full size.
        setting: dimensions, stored, coded_queries and rescore decide the form.
        ranges: of the dimensions that are kept, for bytes (`Model.ranges`).
        depth: documents a query that are kept.

    Raises:
        ValueError: bytes without ranges, or a form that crumb.vectors refuses.
    """
    queries, rows = (normalize(cut(v, setting.dimensions)) for v in (embedded.queries, embedded.documents))
    if setting.stored in ("int8", "uint8") and ranges is None:
        raise ValueError(f"stored={setting.stored!r} needs the ranges of the model's dimensions (Model.ranges)")
    corpus: Floats | Codes = rows if setting.stored == "float32" else Codes.of(rows, setting.stored, ranges=ranges)
    asked: Floats | Codes = queries
    if setting.coded_queries and setting.stored != "float32":
        asked = Codes.of(queries, setting.stored, ranges=ranges)
    wide = depth if embedded.owner is None else min(len(rows), depth * _longest(embedded.owner))
    found = top_k(
        asked,
        corpus,
        wide,
        score="dot" if isinstance(asked, Codes) else "cosine",
        originals=rows if setting.rescore else None,
    )
    if embedded.owner is None:
        return Ranked(found.scores.astype(np.float64), found.rows)
    return _best_row_of_each(Ranked(found.scores.astype(np.float64), embedded.owner[found.rows]), depth)


def _longest(owner: npt.NDArray[np.int64]) -> int:
    """Rows of the document that has most of them: so many times the depth reach `depth` documents for sure."""
    return int(np.bincount(owner).max())


def _best_row_of_each(found: Ranked, depth: int) -> Ranked:
    """A document counts once a query, at its best row; documents are as many as every query has."""
    kept = []
    for documents in found.documents:
        _, first = np.unique(documents, return_index=True)
        kept.append(np.sort(first)[:depth])
    n = min(map(len, kept), default=0)
    pick = np.array([first[:n] for first in kept], dtype=np.int64).reshape(len(kept), n)
    return Ranked(np.take_along_axis(found.scores, pick, 1), np.take_along_axis(found.documents, pick, 1))
