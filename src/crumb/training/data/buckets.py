"""Which rows may share a batch, and how many batches they make: settled once, the same in every epoch.

Enters: rows' lengths and keys. Leaves: `Bucket`s. Knows nothing of texts, seeds or epochs.

Rows are sorted by length and cut into buckets of some batches each; a batch takes its rows from one bucket, so that its
texts are of like length and a bound on tokens is a bound on rows. The number of a bucket's batches is the same in every
epoch, whichever rows meet: that is what makes any step of a run known without the steps before it.

A row's keys are its texts (their normal forms) and its group. Two rows of a batch must not share a query, a positive
or a group, and a query or positive of one must be no negative of the other: it would be pushed away from a query that
it belongs to. That two rows have the same negative does no harm.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

# A bucket has at least so many batches, so that rows meet others from one epoch to the next, and goes on while its
# rows are no longer than this many times its first: what is left unused of a token budget.
BATCHES = 8
STRETCH = 1.1
# Rows of one key need as many batches as they are. More batches are made for them while those stay as full as this.
FULLNESS = 0.9


@dataclass(frozen=True)
class Keys:
    """What rows must not share, for each row of a part.

    Attributes:
        strong: int64 [n, 3], of query, positive and group; the query's again for a row without one.
        weak: of the negatives, int64 [all of them], those of row i between `weak_starts` i and i + 1.
        weak_starts: int64 [n + 1].
    """

    strong: Ints
    weak: Ints
    weak_starts: Ints

    def __len__(self) -> int:
        return len(self.strong)


@dataclass(frozen=True)
class Bucket:
    """Rows that batches are made of.

    Attributes:
        members: int64 [n], places in the part.
        batches: how many they make, in every epoch.
        size: rows that a batch holds at most.
        negatives: hard negatives of each example.
        entangled: bool [n], rows that cannot be in a batch with some other.
        crowd: int64 [n], how many members have the one of a row's strong keys that most have.
        strong, weak: for each member, those of its keys that keep it from another.
    """

    members: Ints
    batches: int
    size: int
    negatives: int
    entangled: npt.NDArray[np.bool_]
    crowd: Ints
    strong: list[tuple[int, ...]]
    weak: list[tuple[int, ...]]


def make_buckets(
    keys: Keys, members: Ints, lengths: Ints | None, *, size: int, tokens: int | None, world: int, negatives: int
) -> Iterator[Bucket]:
    """The buckets of `members`.

    Args:
        keys: of the whole part.
        members: int64, places in the part.
        lengths: int64 [of the part], tokens of each row's texts together; None where `tokens` is None.
        size: rows a batch at most.
        tokens: tokens a batch at most; a row that is longer by itself makes a batch of `world` rows all the same.
        world: a batch has a multiple of so many rows.
        negatives: hard negatives an example.
    """
    if lengths is None or tokens is None:
        yield _bucket(keys, members, size, world, negatives)
        return
    order = members[np.argsort(lengths[members], kind="stable")]
    sorted_lengths = np.maximum(lengths[order], 1)
    start = 0
    while start < len(order):
        end = _end(sorted_lengths, start, size, tokens, world)
        fits = _fits(int(sorted_lengths[end - 1]), size, tokens, world)
        yield _bucket(keys, order[start:end], fits, world, negatives)
        start = end


def _fits(length: int, size: int, tokens: int, world: int) -> int:
    """Rows of this length that a batch holds: a multiple of `world`."""
    return max(min(size, tokens // length) // world, 1) * world


def _end(lengths: Ints, start: int, size: int, tokens: int, world: int) -> int:
    """Where the bucket that begins at `start` ends."""
    # rows of its first length for so many batches, and all that are hardly longer
    least = start + BATCHES * _fits(int(lengths[start]), size, tokens, world)
    alike = int(np.searchsorted(lengths, lengths[start] * STRETCH, side="right"))
    end = max(least, alike)
    # what would be left is too little to be a bucket
    if end >= len(lengths) or len(lengths) - end < BATCHES * _fits(int(lengths[-1]), size, tokens, world) // 2:
        return len(lengths)
    return end


def _bucket(keys: Keys, members: Ints, size: int, world: int, negatives: int) -> Bucket:
    strong = keys.strong[members]
    values, inverse = np.unique(strong, return_inverse=True)
    inverse = inverse.reshape(strong.shape)
    # a key that a row has twice is one row's all the same
    first = np.ones(strong.shape, dtype=bool)
    first[:, 1] = strong[:, 1] != strong[:, 0]
    first[:, 2] = (strong[:, 2] != strong[:, 0]) & (strong[:, 2] != strong[:, 1])
    times = np.bincount(inverse[first], minlength=len(values))[inverse]
    owners, weak = _weak(keys, members, negatives)
    clash = np.isin(weak, values)  # negatives that are somebody's query or positive
    owners, weak = owners[clash], weak[clash]
    shared = ((times > 1) | np.isin(strong, weak)) & first
    entangled = np.array(shared.any(axis=1))
    entangled[owners] = True
    strong_keys: list[tuple[int, ...]] = [()] * len(members)
    weak_keys: list[tuple[int, ...]] = [()] * len(members)
    for row in np.flatnonzero(shared.any(axis=1)).tolist():
        strong_keys[row] = tuple(strong[row][shared[row]].tolist())
    for owner, key in zip(owners.tolist(), weak.tolist(), strict=True):
        weak_keys[owner] += (key,)
    crowd = times.max(axis=1)
    batches = _batches(crowd, size, world)
    return Bucket(members, batches, size, negatives, entangled, crowd, strong_keys, weak_keys)


def _weak(keys: Keys, members: Ints, negatives: int) -> tuple[Ints, Ints]:
    """The first negatives of each of `members`, as (whose, key)."""
    starts = keys.weak_starts[members]
    counts = np.minimum(keys.weak_starts[members + 1] - starts, negatives)
    owners = np.repeat(np.arange(len(members)), counts)
    within = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
    return owners, keys.weak[starts[owners] + within]


def _batches(crowd: Ints, size: int, world: int) -> int:
    """How many batches rows make, each of which shares a key with `crowd` rows, itself among them.

    A key that c rows share fills c of m batches with at most one row each, so min(c, m) of its rows find a place. With
    more batches more do, and the batches are emptier.
    """
    n = len(crowd)

    def fill(batches: int) -> float:  # falls with the number of batches
        return float(np.minimum(1 / batches, 1 / crowd).sum())

    fewest = max(min(-(-n // size), n // world), 1)
    floor = max(FULLNESS * fill(fewest), world)
    low, high = fewest, max(min(int(crowd.max()), n // world), fewest)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fill(middle) >= floor else (low, middle - 1)
    return low
