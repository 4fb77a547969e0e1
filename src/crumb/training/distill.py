"""What teachers say of rows: scores of a query with its passages, and vectors.

Enters: rows and the teachers' vectors of their texts. Leaves: a score for the positive and each negative of a row; or
one vector for each query and positive. Knows nothing of models or files.

Cosines of different models are not comparable: one spreads its scores over 0.3, another over 0.03. Several teachers are
therefore standardised: each one's scores are divided by their standard deviation over random pairs, and the mean is
taken. A score that is added to all passages of a query alike changes nothing that is trained on (a softmax over them),
so nothing is subtracted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crumb.training.batch import Floats
from crumb.training.data.rows import Rows
from crumb.training.teachers import Kind, Teacher

Ints = npt.NDArray[np.int64]
RANDOM_PAIRS = 20_000
WINDOW = 8192  # rows that are float64 at a time


class Wanted:
    """The texts of some rows that teachers have to read, each once.

    Attributes:
        queries, passages: numbers of texts.
        query, positive: int64 [rows], places in these.
        negatives: int64 [all negatives], places in `passages`; empty without them.
    """

    def __init__(self, rows: Rows, *, negatives: bool) -> None:
        self.rows = rows
        self.queries, self.query = np.unique(rows.query, return_inverse=True)
        theirs = rows.negatives if negatives else rows.negatives[:0]
        self.passages, places = np.unique(np.concatenate([rows.positive, theirs]), return_inverse=True)
        self.positive, self.negatives = places[: len(rows)], places[len(rows) :]

    def texts(self, kind: Kind) -> list[str]:
        """The texts of one kind, in order."""
        numbers = self.queries if kind == "query" else self.passages
        return [self.rows.texts[number] for number in numbers.tolist()]


@dataclass(frozen=True)
class Taught:
    """One teacher's vectors of the texts of a `Wanted`.

    Attributes:
        name: the teacher's.
        queries, passages: float32 [n, d] and [m, d], of unit length.
        spread: the standard deviation of its scores over random pairs; None where nothing is standardised.
    """

    name: str
    queries: Floats
    passages: Floats
    spread: float | None = None

    @property
    def divisor(self) -> float:
        """What its scores are divided by."""
        return 1.0 if self.spread is None else self.spread


def teach(wanted: Wanted, teacher: Teacher, *, standardized: bool, progress: bool | None = None) -> Taught:
    """Has a teacher read the texts.

    Raises:
        ValueError: `standardized`, and there is nothing to divide by (`spread`).
    """
    queries = teacher.encode(wanted.texts("query"), "query", progress=progress)
    passages = teacher.encode(wanted.texts("passage"), "passage", progress=progress)
    divisor = spread(queries[wanted.query], passages, wanted.positive) if standardized else None
    return Taught(teacher.name, queries, passages, divisor)


def spread(queries: Floats, passages: Floats, positive: Ints, *, seed: int = 0) -> float:
    """The standard deviation of inner products over random pairs of one row's query and another row's positive.

    Args:
        queries: of each row, float32 [n, d].
        passages: float32 [m, d].
        positive: of each row, its place in `passages`.
        seed: chooses the pairs.

    Raises:
        ValueError: fewer than two rows, or all pairs score the same.
    """
    n = len(queries)
    if n < 2:
        raise ValueError(f"scores are standardised over pairs of different rows, and there is only {n}")
    random = np.random.default_rng(seed)
    left = random.integers(0, n, RANDOM_PAIRS)
    right = (left + random.integers(1, n, RANDOM_PAIRS)) % n
    products = [
        np.einsum("ij,ij->i", queries[a], passages[positive[b]], dtype=np.float64)
        for a, b in zip(np.array_split(left, 20), np.array_split(right, 20), strict=True)
    ]
    found = float(np.concatenate(products).std())
    if not found > 1e-9:
        raise ValueError("a teacher gives all random pairs the same score: it has nothing to teach")
    return found


def scores(wanted: Wanted, taught: Sequence[Taught], row: int) -> npt.NDArray[np.float64]:
    """Scores of one row's query with its positive and each of its negatives, float64 [1 + negatives].

    The mean over teachers of cosine / spread; of one teacher that is not standardised, its cosines.
    """
    start, end = int(wanted.rows.negative_starts[row]), int(wanted.rows.negative_starts[row + 1])
    passages = np.concatenate([wanted.positive[row : row + 1], wanted.negatives[start:end]])
    each = [
        (one.passages[passages].astype(np.float64) @ one.queries[wanted.query[row]].astype(np.float64)) / one.divisor
        for one in taught
    ]
    total: npt.NDArray[np.float64] = np.mean(each, axis=0)
    return total


def joined(wanted: Wanted, taught: Sequence[Taught], *, dimensions: int | None = None) -> tuple[Floats, Floats]:
    """One vector for each query and positive, float32 [rows of the file, d]; zeros where a row was bad.

    Each teacher's vectors are divided by sqrt(teachers * spread) and put side by side, so that an inner product is what
    `scores` says. With `dimensions` they are projected on so many of their principal directions (not centred), which
    keeps inner products as well as can be.

    Raises:
        ValueError: there are not so many dimensions.
    """
    rows = wanted.rows
    factors = [np.float32(1 / np.sqrt(len(taught) * one.divisor)) for one in taught]
    out = [
        np.concatenate([one.queries[wanted.query] * f for one, f in zip(taught, factors, strict=True)], axis=1),
        np.concatenate([one.passages[wanted.positive] * f for one, f in zip(taught, factors, strict=True)], axis=1),
    ]
    width = out[0].shape[1]
    if dimensions is not None:
        if not 1 <= dimensions <= width:
            raise ValueError(f"dimensions must be from 1 to the {width} that the teachers have, got {dimensions}")
        if dimensions < width:
            directions = principal(out, dimensions)
            out = [vectors @ directions for vectors in out]
    found = []
    for vectors in out:
        full = np.zeros((rows.total, vectors.shape[1]), dtype=np.float32)
        full[rows.numbers] = vectors
        found.append(full)
    return found[0], found[1]


def principal(parts: list[Floats], dimensions: int) -> Floats:
    """The first principal directions of all rows of `parts` (n, t) about the origin, float32 [t, dimensions]."""
    gram = np.zeros((parts[0].shape[1],) * 2)
    for part in parts:
        for start in range(0, len(part), WINDOW):
            window = part[start : start + WINDOW].astype(np.float64)
            gram += window.T @ window
    _, directions = np.linalg.eigh(gram)
    return np.ascontiguousarray(directions[:, ::-1][:, :dimensions].astype(np.float32))
