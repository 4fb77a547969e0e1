"""How scores depend on the length of what is to be found.

Enters: a retrieval set and a tokenizer; then the values of its queries. Leaves: the tokens of each query's relevant
documents, and means by length. Knows nothing of models or pages.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from crumb.evaluation.beir import RetrievalSet
from crumb.text.tokenizer import Tokenizer

Query = TypeVar("Query", bound=Hashable)


@dataclass(frozen=True)
class Bin:
    """Queries whose relevant documents have more than `low` and at most `high` tokens.

    Attributes:
        low, high: tokens.
        queries: how many.
        mean: of their values.
        error: the standard error of the mean; 0 for one query.
    """

    low: int
    high: int
    queries: int
    mean: float
    error: float


def relevant_tokens(data: RetrievalSet, tokenizer: Tokenizer) -> dict[str, float]:
    """Query id to the tokens of its relevant document, uncut, special tokens included; of several, their mean."""
    wanted = {document for grades in data.qrels.values() for document, grade in grades.items() if grade > 0}
    ids = [document for document in data.corpus if document in wanted]
    counts = tokenizer.count([data.corpus[document] for document in ids])
    tokens = {document: count + tokenizer.n_special for document, count in zip(ids, counts, strict=True)}
    return {
        query: float(np.mean([tokens[document] for document, grade in grades.items() if grade > 0]))
        for query, grades in data.qrels.items()
    }


def by_length(values: Mapping[Query, float], tokens: Mapping[Query, float], least: int = 32) -> list[Bin]:
    """Means of queries in bins whose upper bounds double: up to `least` tokens, up to twice that, and so on.

    Bins without queries are left out.

    Args:
        values: query id to value.
        tokens: query id to tokens (`relevant_tokens`).
        least: the first bin's upper bound.

    Raises:
        ValueError: a query has no length.
    """
    missing = [query for query in values if query not in tokens]
    if missing:
        raise ValueError(f"{len(missing)} queries have no length of what is relevant to them, first {missing[0]!r}")
    found: dict[int, list[float]] = {}
    for query, value in values.items():
        doublings = max(0, math.ceil(math.log2(tokens[query] / least))) if tokens[query] > 0 else 0
        found.setdefault(doublings, []).append(value)
    return [
        Bin(
            least << n - 1 if n else 0,
            least << n,
            len(inside),
            float(np.mean(inside)),
            float(np.std(inside, ddof=1) / math.sqrt(len(inside))) if len(inside) > 1 else 0.0,
        )
        for n, inside in sorted(found.items())
    ]
