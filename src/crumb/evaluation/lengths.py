"""Sets whose documents come in known lengths, and what a reader that truncates can find in them at best.

Enters: a set whose ids tell the length, or lengths and a context. Leaves: a set for each length; shares, 0..1. Knows
nothing of models.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from crumb.evaluation.beir import RetrievalSet
from crumb.evaluation.generated.hide import SPECIAL, Count, Hidden

_LENGTH = re.compile(r"[A-Za-z]*(\d+)-")


def by_length(data: RetrievalSet) -> dict[str, RetrievalSet]:
    """The parts of a set by the length in its ids (q256-0, d256-17: "256"), shortest first.

    Raises:
        ValueError: an id tells no length, or a judgement joins two lengths.
    """
    corpora: dict[str, dict[str, str]] = {}
    for document, text in data.corpus.items():
        corpora.setdefault(_length(document), {})[document] = text
    queries: dict[str, dict[str, str]] = {length: {} for length in corpora}
    qrels: dict[str, dict[str, dict[str, int]]] = {length: {} for length in corpora}
    for query, text in data.queries.items():
        length = _length(query)
        strays = [document for document in data.qrels[query] if _length(document) != length]
        if strays:
            raise ValueError(f"query {query!r} and document {strays[0]!r} are of different lengths")
        queries[length][query] = text
        qrels[length][query] = data.qrels[query]
    asked = [length for length in sorted(corpora, key=int) if queries[length]]
    return {length: RetrievalSet(length, corpora[length], queries[length], qrels[length]) for length in asked}


def ceilings(context: int, lengths: Iterable[int]) -> dict[int, float]:
    """The share of facts within the first `context` tokens, by length, where they lie evenly: context / length.

    Raises:
        ValueError: no lengths, or a number below 1.
    """
    known = tuple(lengths)
    if not known or min(known) < 1 or context < 1:
        raise ValueError(f"expected a context and lengths of at least one token, got {context!r} and {known!r}")
    return {length: min(1.0, context / length) for length in known}


def ceiling(context: int, lengths: Iterable[int]) -> float:
    """What a perfect reader of `context` tokens scores over documents of these lengths, each counting the same.

    Over LongEmbed's eight lengths (256 to 32,768) that is 24.9 % for 256 tokens and 73.4 % for 4,096.
    """
    shares = ceilings(context, lengths)
    return sum(shares.values()) / len(shares)


def seen(hidden: Hidden, context: int, count: Count, special: int = SPECIAL) -> float:
    """The exact share for one generated set: of queries whose fact ends within the context.

    Args:
        hidden: a set of `generated.passkey.generate` or `generated.needle.generate`.
        context: tokens that are read, special tokens included.
        count: tokens of texts as the reader counts them (`Model.tokenizer.count`).
        special: special tokens that it puts around a text.
    """
    asked = [next(iter(grades)) for grades in hidden.data.qrels.values()]
    tokens = count([hidden.data.corpus[document][: hidden.ends[document]] for document in asked])
    return sum(n + special <= context for n in tokens) / len(asked)


def _length(name: str) -> str:
    found = _LENGTH.match(name)
    if found is None:
        raise ValueError(f"the id {name!r} tells no length; expected a form like q256-0")
    return found[1]
