"""The losses once more, as their equations stand: Python loops over lists, in float64, nothing shared with crumb.

Texts of a batch are given as queries q[i], positives p[i] and negatives n[i][j], each a list of numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

Vector = Sequence[float]
Matrix = Sequence[Vector]
Similarity = Callable[[Vector, Vector], float]


def dot(x: Vector, y: Vector) -> float:
    return sum(a * b for a, b in zip(x, y, strict=True))


def cosine(x: Vector, y: Vector) -> float:
    return dot(x, y) / math.sqrt(dot(x, x) * dot(y, y))


def angle(x: Vector, y: Vector) -> float:
    """AnglE's similarity by complex division: |sum of the parts of z conj(w) / |w|²|, over |z| / |w|."""
    half = len(x) // 2
    z = [complex(a, b) for a, b in zip(x[:half], x[half:], strict=True)]
    w = [complex(a, b) for a, b in zip(y[:half], y[half:], strict=True)]
    z_length, w_length = (math.sqrt(sum(abs(number) ** 2 for number in numbers)) for numbers in (z, w))
    quotients = [a * b.conjugate() / w_length**2 / (z_length / w_length) for a, b in zip(z, w, strict=True)]
    return abs(sum(number.real + number.imag for number in quotients))


def contrastive(
    q: Matrix,
    p: Matrix,
    n: Sequence[Matrix] | None = None,
    *,
    scale: float = 20.0,
    symmetric: bool = False,
    in_batch_positives: bool = True,
    in_batch_negatives: bool = True,
    masked: Sequence[Sequence[bool]] | None = None,
) -> float:
    size, hard = len(q), len(n[0]) if n else 0

    def hidden(i: int, column: int) -> bool:
        return masked is not None and bool(masked[i][column])

    there = back = 0.0
    for i in range(size):
        terms = [math.exp(scale * cosine(q[i], p[i]))]
        for j in range(size):
            if j != i and in_batch_positives and not hidden(i, j):
                terms.append(math.exp(scale * cosine(q[i], p[j])))
            for h in range(hard):
                if (j == i or in_batch_negatives) and not hidden(i, size + j * hard + h):
                    terms.append(math.exp(scale * cosine(q[i], n[j][h])))  # type: ignore[index]
        there -= math.log(terms[0] / sum(terms))
        terms = [math.exp(scale * cosine(q[i], p[i]))]
        terms += [math.exp(scale * cosine(q[j], p[i])) for j in range(size) if j != i and not hidden(j, i)]
        back -= math.log(terms[0] / sum(terms))
    return (there + back) / 2 / size if symmetric else there / size


def ranking(scores: Vector, labels: Vector, scale: float = 20.0) -> float:
    total = 1.0
    for i in range(len(scores)):
        for j in range(len(scores)):
            if labels[i] < labels[j]:
                total += math.exp(scale * (scores[i] - scores[j]))
    return math.log(total)


def labelled(q: Matrix, p: Matrix, labels: Vector, similarity: Similarity, scale: float = 20.0) -> float:
    return ranking([similarity(a, b) for a, b in zip(q, p, strict=True)], labels, scale)


def binary(
    q: Matrix,
    p: Matrix,
    n: Sequence[Matrix] | None,
    similarity: Similarity,
    *,
    scale: float = 20.0,
    in_batch: bool = False,
    masked: Sequence[Sequence[bool]] | None = None,
) -> float:
    """Positives are labelled 1; own negatives, or every other text of the batch, 0."""
    size, hard = len(q), len(n[0]) if n else 0
    scores, labels = [], []
    for i in range(size):
        scores.append(similarity(q[i], p[i]))
        labels.append(1.0)
        for j in range(size):
            columns = [(j, p[j])] if in_batch and j != i else []
            if n and (in_batch or j == i):
                columns += [(size + j * hard + h, n[j][h]) for h in range(hard)]
            for column, text in columns:
                if masked is None or not masked[i][column]:
                    scores.append(similarity(q[i], text))
                    labels.append(0.0)
    return ranking(scores, labels, scale)


def all_pairs(
    q: Matrix,
    p: Matrix,
    together: Sequence[bool],
    *,
    scale: float = 20.0,
    masked: Sequence[Sequence[bool]] | None = None,
) -> float:
    size = len(q)
    texts = [*q, *p]
    loss = 0.0
    for i in range(2 * size):
        partner = (i + size) % (2 * size)
        if not together[i % size]:
            continue
        total = 0.0
        for j in range(2 * size):
            row, column = min(i, j), max(i, j) - size
            across = row < size <= max(i, j)
            if j == i or (masked is not None and across and row != column and masked[row][column]):
                continue
            total += math.exp(scale * cosine(texts[i], texts[j]))
        loss -= math.log(math.exp(scale * cosine(texts[i], texts[partner])) / total)
    return loss / (2 * size)


def softmax(logits: Vector) -> list[float]:
    top = max(logits)
    powers = [math.exp(value - top) for value in logits]
    return [power / sum(powers) for power in powers]


def divergence(student: Vector, teacher: Vector) -> float:
    """KL(softmax(teacher) || softmax(student))."""
    return sum(
        t * (math.log(t) - math.log(s)) for t, s in zip(softmax(teacher), softmax(student), strict=True) if t > 0
    )
