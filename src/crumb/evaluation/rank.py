"""The best documents of each query, from vectors in any form.

Enters: `Embedded` and a `Setting`. Leaves: document numbers with scores, best first. Knows nothing of texts, ids or
judgements. Search is exact, by crumb's own scorer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from crumb.evaluation.embed import Embedded
from crumb.evaluation.settings import Setting
from crumb.vectors.codes import Codes
from crumb.vectors.normalize import Floats, cut, normalize
from crumb.vectors.quantize import Ranges
from crumb.vectors.score import Best, top_k

DEPTH = 1000
"""Documents a query that are kept, as mteb does."""

# Rows that are found at a time over all queries, where documents have several: 200 MB of scores and numbers.
_MOST_FOUND = 1 << 24

Search = Callable[[npt.NDArray[np.int64], int], Best]


class Ranked(NamedTuple):
    """`scores` float64 and `documents` int64, [q, n] each, best first; n is at most the depth asked for."""

    scores: npt.NDArray[np.float64]
    documents: npt.NDArray[np.int64]


def rank(embedded: Embedded, setting: Setting, ranges: Ranges | None = None, depth: int = DEPTH) -> Ranked:
    """Ranks every document for every query; equal scores by rising document, or rising row where it has several.

    A document of several rows counts once, at its best row.

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

    def search(which: npt.NDArray[np.int64], k: int) -> Best:
        if isinstance(asked, Codes):
            some = Codes(asked.array[which], asked.encoding, asked.ranges, asked.dimensions)
            return top_k(some, corpus, k, score="dot")
        return top_k(asked[which], corpus, k, originals=rows if setting.rescore else None)

    if embedded.owner is None:
        found = search(np.arange(len(queries)), depth)
        return Ranked(found.scores.astype(np.float64), found.rows)
    # how many rows are searched also says how many candidates codes choose: then it must not depend on what was found
    return _rank_owners(search, embedded.owner, len(queries), depth, patient=not setting.rescore)


def _rank_owners(search: Search, owner: npt.NDArray[np.int64], queries: int, depth: int, patient: bool) -> Ranked:
    """The best row of each document, for as many documents as there are, `depth` at most.

    Rows come best first, so the documents of any number of them are right as far as they go; a query whose rows were of
    too few documents asks for more, where one may be `patient`. Enough for sure are `depth` times the most that a
    document has.
    """
    rows = np.bincount(owner) if len(owner) else np.zeros(1, dtype=np.int64)
    n = min(depth, int(np.count_nonzero(rows)))
    enough = min(len(owner), depth * int(rows.max()))
    ranked = Ranked(np.empty((queries, n)), np.empty((queries, n), dtype=np.int64))
    wide = min(enough, 2 * n) if patient else enough
    left = np.arange(queries)
    while n and len(left):
        short = []
        for part in np.array_split(left, -(-len(left) * wide // _MOST_FOUND)):
            found = search(part, wide)
            for query, scores, documents in zip(part, found.scores, owner[found.rows], strict=True):
                _, first = np.unique(documents, return_index=True)
                if len(first) < n:
                    short.append(query)
                    continue
                best = np.sort(first)[:n]
                ranked.scores[query], ranked.documents[query] = scores[best], documents[best]
        left = np.array(short, dtype=np.int64)
        wide = min(enough, 4 * wide)
    return ranked
