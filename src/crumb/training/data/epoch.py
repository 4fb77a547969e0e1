"""One epoch of one bucket: which rows make which batch.

Enters: a `Bucket` and a generator of random numbers. Leaves: the rows of each batch. Knows nothing of texts or sources.

Every row is in at most one batch. Rows that cannot be in a batch with some other are placed first, those with most such
others before all; what is left of each batch is filled with the rest, so that batches are of equal size up to one row.
A row that finds no place, because its query has more positives than there are batches, waits for the next epoch: which
ones do is a matter of chance.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from crumb.training.data.buckets import Bucket

Ints = npt.NDArray[np.int64]


def deal(bucket: Bucket, random: np.random.Generator, world: int) -> list[Ints]:
    """The members' places (in the bucket's part) of each batch, in random order; a multiple of `world` in each.

    A batch may come out empty where `world` is above 1 and nearly all rows keep each other out.
    """
    order = random.permutation(len(bucket.members))
    entangled = order[bucket.entangled[order]]
    # stable: in random order among equals
    entangled = entangled[np.argsort(-bucket.crowd[entangled], kind="stable")]
    free = order[~bucket.entangled[order]]
    placed = _place(bucket, entangled.tolist())
    counts = np.array([len(rows) for rows in placed])
    # the k-th seat of every batch comes before the (k+1)-th of any
    _, seats = np.nonzero(np.arange(bucket.size)[:, None] >= counts[None, :])
    seats = seats[: len(free)]
    by_batch = np.argsort(seats, kind="stable")
    groups = np.split(free[: len(seats)][by_batch], np.cumsum(np.bincount(seats, minlength=bucket.batches))[:-1])
    batches = []
    for first, rest in zip(placed, groups, strict=True):
        rows = random.permutation(np.concatenate([np.array(first, dtype=np.int64), rest]))
        batches.append(bucket.members[rows[: len(rows) - len(rows) % world]])
    return batches


def _place(bucket: Bucket, rows: list[int]) -> list[list[int]]:
    """Each row in a batch where nothing keeps it out, if there is one.

    Rows begin to look at one batch after the other in turn, so that all are equally full and none stays empty.
    """
    m = bucket.batches
    batches: list[list[int]] = [[] for _ in range(m)]
    strong: list[set[int]] = [set() for _ in range(m)]
    weak: list[set[int]] = [set() for _ in range(m)]
    used: dict[int, int] = {}  # strong key to the number of batches that have it
    for turn, row in enumerate(rows):
        hard, soft = bucket.strong[row], bucket.weak[row]
        if any(used.get(key, 0) == m for key in hard):
            continue  # every batch has it: no use in looking
        for at in range(turn, turn + m):
            batch = at % m
            there = strong[batch]
            if (
                len(batches[batch]) < bucket.size
                and there.isdisjoint(hard)
                and there.isdisjoint(soft)
                and weak[batch].isdisjoint(hard)
            ):
                batches[batch].append(row)
                there.update(hard)
                weak[batch].update(soft)
                for key in hard:
                    used[key] = used.get(key, 0) + 1
                break
    return batches
