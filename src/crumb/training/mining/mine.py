"""Hard negatives: passages that rank high for a query and are none of its answers.

Enters: rows of a source and rankers of its passages. Leaves: each row with its negatives and their scores, and an
account of what was passed over. Knows nothing of files or models.

The passages of a source are its positives and the negatives that its rows have already. A ranker's list for a row is
its best `depth` passages without those that are known to be answers: the positives of every row with the same query,
and the query's own text. Lists become one by rank fusion. From its head come the negatives, each of which has to be
less like the query than the row's positive, by a margin, in the eyes of every model: what is more alike is likely an
answer that nobody has marked (NV-Retriever, arXiv 2407.15831, section 3.2).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from crumb.training.data.rows import Rows
from crumb.training.mining.bm25 import Bm25
from crumb.training.mining.ranking import Ints, Ranker, fuse

Scores = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
BLOCK = 128  # queries that are scored at a time

RANK, RELATIVE, ABSOLUTE = "among the first ranks", "too close to the positive (relative)", "too close (absolute)"
ANSWER = "known answers and the query itself"


@dataclass(frozen=True)
class Choice:
    """How negatives are chosen.

    Attributes:
        count: negatives a row, at most.
        depth: passages of each ranker that are looked at.
        skip: a passage among the first so many of any ranker is passed over.
        relative: keep what scores below this share of the positive's score (for a positive score s: s - |s| (1 -
            share)); None for no such bound.
        margin: keep what scores below the positive's score less this; None for no such bound.
        intersect: look at passages only that every ranker's list has, instead of those that any has.

    Raises:
        ValueError: a number is out of range.
    """

    count: int = 7
    depth: int = 100
    skip: int = 0
    relative: float | None = 0.95
    margin: float | None = None
    intersect: bool = False

    def __post_init__(self) -> None:
        if self.count < 1 or self.depth < 1:
            raise ValueError(f"count and depth must be at least 1, got {self.count} and {self.depth}")
        if not 0 <= self.skip < self.depth:
            raise ValueError(f"skip must be from 0 to below the depth of {self.depth}, got {self.skip}")
        if self.relative is not None and not 0 < self.relative <= 1:
            raise ValueError(f"relative is a share of the positive's score, above 0 and at most 1, got {self.relative}")
        if self.margin is not None and not 0 <= self.margin < float("inf"):
            raise ValueError(f"margin must be at least 0, got {self.margin}")


@dataclass
class Report:
    """What happened.

    Attributes:
        rows: rows that were looked at.
        negatives: negatives that were found.
        without, short: rows with none, and with fewer than were asked for.
        passed: reason to how many passages were passed over, on the way to the last one that was taken.
        first: ranker to the number of rows whose positive it puts before every passage that is no answer.
    """

    rows: int = 0
    negatives: int = 0
    without: int = 0
    short: int = 0
    passed: Counter[str] = field(default_factory=Counter)
    first: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        """For JSON. (dataclasses.asdict cannot copy a Counter before Python 3.12.)"""
        return {**vars(self), "passed": dict(self.passed), "first": dict(self.first)}


@dataclass(frozen=True)
class Mined:
    """A row's negatives, best ranked first.

    Attributes:
        row: the row's place in its `Rows`.
        negatives: numbers of texts.
        scores: ranker to its scores of the positive and of each negative, 1 + len(negatives).
    """

    row: int
    negatives: list[int]
    scores: dict[str, list[float]]


class Pool:
    """The queries and passages of some rows.

    Attributes:
        members: the rows, in the file's order.
        queries, passages: numbers of texts, each once.
        query, positive: of each of the rows, its places in these.
    """

    def __init__(self, rows: Rows, members: Ints) -> None:
        self.rows, self.members = rows, members
        keys = rows.texts.keys
        self.queries, self.query = np.unique(rows.query[members], return_inverse=True)
        starts, ends = rows.negative_starts[members], rows.negative_starts[members + 1]
        theirs = [rows.negatives[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
        everything = np.concatenate([rows.positive[members], *theirs])
        self.passages = np.unique(everything)
        # texts that differ in case and white space only are one passage
        _, first = np.unique(keys[self.passages], return_index=True)
        self.passages = self.passages[np.sort(first)]
        by_key = {key: place for place, key in enumerate(keys[self.passages].tolist())}
        self.positive = np.array([by_key[key] for key in keys[rows.positive[members]].tolist()], dtype=np.int64)
        self._answers: dict[int, set[int]] = {}  # a query's key to the places of its positives, and of its own text
        for text, place in zip(rows.query[members].tolist(), self.positive.tolist(), strict=True):
            key = int(keys[text])
            known = self._answers.setdefault(key, {by_key[key]} if key in by_key else set())
            known.add(place)

    def query_texts(self) -> list[str]:
        """The queries, in the order of `queries`."""
        return [self.rows.texts[number] for number in self.queries.tolist()]

    def passage_texts(self) -> list[str]:
        """The passages, in the order of `passages`."""
        return [self.rows.texts[number] for number in self.passages.tolist()]

    def answers(self, query: int) -> Ints:
        """Places of the passages that are known to answer a query (by its place), or that are the query."""
        return np.array(sorted(self._answers[int(self.rows.texts.keys[self.queries[query]])]), dtype=np.int64)


def mine(
    pool: Pool,
    rankers: Sequence[Ranker],
    choice: Choice,
    report: Report,
    done: Callable[[int], object] = lambda count: None,
) -> Iterator[Mined]:
    """The negatives of every row of a pool, in the pool's order; `report` grows on the way.

    Margins are judged by all models, and by BM25 where it is alone: how often words occur says little of how right an
    answer is.

    Args:
        pool: queries and passages.
        rankers: made of `pool.query_texts()` and `pool.passage_texts()`; at least one.
        choice: how to choose.
        report: is added to.
        done: called with the number of rows that are ready since the last call.

    Raises:
        ValueError: no ranker, or two of one name.
    """
    names = [ranker.name for ranker in rankers]
    if not names or len(set(names)) != len(names):
        raise ValueError(f"expected rankers of different names, at least one, got {names}")
    judges = [i for i, ranker in enumerate(rankers) if not isinstance(ranker, Bm25)] or [0]
    for start in range(0, len(pool.members), BLOCK):
        window = slice(start, start + BLOCK)
        queries, asked = np.unique(pool.query[window], return_inverse=True)
        known = [pool.answers(query) for query in queries.tolist()]
        blocks = [ranker.block(queries) for ranker in rankers]
        tops = [block.top(choice.depth + max(map(len, known)))[1] for block in blocks]
        rows = zip(pool.members[window].tolist(), asked.tolist(), pool.positive[window].tolist(), strict=True)
        for row, at, positive in rows:
            lists = []
            for top in tops:
                ranked = top[at][top[at] >= 0]
                others = ranked[~np.isin(ranked, known[at])]
                report.passed[ANSWER] += len(ranked) - len(others)
                lists.append(others[: choice.depth])
            fused = fuse(lists, intersect=choice.intersect)
            early = np.isin(fused, np.concatenate([one[: choice.skip] for one in lists]))
            # the positive in front of the passages, so that one product has them all
            scores = np.stack([block.at(at, np.append(positive, fused)) for block in blocks]).astype(np.float64)
            for name, block, score, one in zip(names, blocks, scores, lists, strict=True):
                report.first[name] += bool((score[0] >= block.at(at, one[:1])).all())
            chosen = _choose(choice, early, scores[judges, 1:], scores[judges, 0], report)
            kept = scores[:, np.append(0, 1 + chosen)]
            yield Mined(
                row, pool.passages[fused[chosen]].tolist(), {name: kept[i].tolist() for i, name in enumerate(names)}
            )
        done(len(asked))


def thresholds(choice: Choice, positive: Scores) -> tuple[Scores, Scores]:
    """Below which score a passage is far enough from a positive of this score: by the share, and by the margin."""
    endless = np.full(positive.shape, np.inf)
    share = endless if choice.relative is None else positive - np.abs(positive) * (1 - choice.relative)
    margin = endless if choice.margin is None else positive - choice.margin
    return share, margin


def _choose(choice: Choice, early: Flags, scores: Scores, positive: Scores, report: Report) -> Ints:
    """Which of the candidates are taken, by their places.

    Args:
        choice: how.
        early: bool [n], those that are among the first ranks.
        scores: [judges, n].
        positive: [judges].
        report: is added to.
    """
    share, margin = thresholds(choice, positive)
    near = (scores >= share[:, None]).any(axis=0)
    close = (scores >= margin[:, None]).any(axis=0)
    kept = np.flatnonzero(~(early | near | close))[: choice.count]
    # what lies behind the last one that was taken was not looked at
    seen = int(kept[-1]) + 1 if len(kept) == choice.count else len(early)
    report.passed[RANK] += int(early[:seen].sum())
    report.passed[RELATIVE] += int((near & ~early)[:seen].sum())
    report.passed[ABSOLUTE] += int((close & ~near & ~early)[:seen].sum())
    report.rows += 1
    report.negatives += len(kept)
    report.without += not len(kept)
    report.short += len(kept) < choice.count
    return kept
