"""Batches of a run: which source has its turn at a step, and which of its rows.

Enters: sources, a seed, bounds on a batch. Leaves: `Batch`es by step, without end. Knows nothing of models or losses.

What comes at a step is a function of the seed, the data and the step's number. The turns of sources are drawn in blocks
of steps, so that the number of a source's turns before any step is a sum; the number of batches of its epoch is the
same in every epoch, so that this number tells the epoch, and the batch in it. So a run goes on at any step at once,
and the other sources of a mixture do not change which batches a source makes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crumb.training.batch import Batch
from crumb.training.data.buckets import Bucket, Ints, Keys, make_buckets
from crumb.training.data.epoch import deal
from crumb.training.data.files import DataError
from crumb.training.data.lengths import Lengths
from crumb.training.data.reading import read_source
from crumb.training.data.rows import Rows, Texts
from crumb.training.data.source import Source
from crumb.training.data.vectors import TeacherVectors

BLOCK = 1024  # steps whose sources are drawn at a time: in each, every source has its share of them up to one
WINDOW = 4096  # texts that are measured at a time


@dataclass(frozen=True)
class PartReport:
    """What a run will see of one source: of its `rows`, `used` can be in a batch; so many `batches` an epoch; at each
    step it has its turn with probability `share`."""

    name: str
    rows: int
    used: int
    batches: int
    share: float


class Mixture:
    """Batches of several sources, each batch of one of them.

    At each step a source has its turn with probability proportional to weight * batches ** alpha, where `batches` is
    how many its epoch has. In an epoch of a source each row comes at most once; which rows meet is drawn anew.

    Args:
        sources: what to read, or rows that are read already.
        size: examples a batch, at most.
        tokens: tokens of all texts of a batch, at most (a row that is longer by itself is a batch all the same);
            batches are then made of rows of like length. None for no bound.
        lengths: counts tokens (crumb.training.data.lengths); needed with `tokens`. The bound is kept as far as it
            counts right.
        alpha: 1 lets all sources end their epochs at the same time, 0 gives all the same number of steps (temperature
            sampling, Devlin's exponentially smoothed weighting: arXiv 1907.05019, section 4.2, with alpha = 1 / T).
        seed: decides everything that is left to chance.
        rank, world: of this process among all; each gets an equal part of every batch, and the parts are disjoint.

    Raises:
        DataError: a source cannot be read, has too few rows for a batch, or has no vectors for its rows; two are called
            the same; or no source has a weight.
        ValueError: a number is out of range.
    """

    def __init__(
        self,
        sources: Sequence[Source | Rows],
        *,
        size: int,
        tokens: int | None = None,
        lengths: Lengths | None = None,
        alpha: float = 1.0,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        for name, value, least in (("size", size, 1), ("tokens", tokens, 1), ("seed", seed, 0), ("world", world, 1)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
        if not 0 <= rank < world:
            raise ValueError(f"rank must be from 0 to {world - 1}, got {rank!r}")
        if size < world:
            raise ValueError(f"size={size} examples cannot be shared by {world} processes")
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha is a number from 0 to 1, got {alpha!r}")
        if tokens is not None and lengths is None:
            raise ValueError("a bound on tokens needs `lengths` to count them (crumb.training.data.lengths)")
        self.seed, self.rank, self.world = seed, rank, world
        self.rows = [source if isinstance(source, Rows) else read_source(source) for source in sources]
        self._parts = [
            part
            for rows in self.rows
            if rows.source.weight > 0
            for part in _parts(rows, size, tokens, lengths if tokens is not None else None, world)
        ]
        names = [part.name for part in self._parts]
        for name in names:
            if names.count(name) > 1:
                raise DataError(f"two sources are called {name!r}; give one of them another name")
        if not names:
            raise DataError("no source with a weight above 0")
        scale = np.array([part.weight * part.batches**alpha for part in self._parts])
        self._shares = scale / scale.sum()
        self._before = np.zeros((1, len(self._parts)), dtype=np.int64)  # turns of each before each block
        self._drawn = 0, self._block(0)

    def batches(self, start: int = 0) -> Iterator[Batch]:
        """The batches from step `start` on, without end."""
        if start < 0:
            raise ValueError(f"start must be at least 0, got {start!r}")
        step = start
        while True:
            yield self.at(step)
            step += 1

    def at(self, step: int) -> Batch:
        """The batch of one step.

        Raises:
            DataError: its rows keep each other out, so that not every process gets one (`world` above 1 only).
        """
        part, turn = self.turn(step)
        rows, negatives = self._parts[part].batch(turn, self.seed, self.world)
        return self._parts[part].load(rows[self.rank :: self.world], negatives, step)

    def turn(self, step: int) -> tuple[int, int]:
        """Which part has its turn at `step`, and how many turns it had before."""
        block, within = divmod(step, BLOCK)
        while len(self._before) <= block + 1:
            counts = np.bincount(self._block(len(self._before) - 1), minlength=len(self._parts))
            self._before = np.concatenate([self._before, self._before[-1:] + counts])
        if block != self._drawn[0]:
            self._drawn = block, self._block(block)
        drawn = self._drawn[1]
        part = int(drawn[within])
        return part, int(self._before[block, part]) + int((drawn[:within] == part).sum())

    def _block(self, block: int) -> Ints:
        """The parts of one block's steps: their shares of it up to one step, in random order."""
        random = _random(self.seed, "turns", block)
        points = (np.arange(BLOCK) + random.random()) / BLOCK
        drawn = np.searchsorted(np.cumsum(self._shares)[:-1], points, side="right")
        return random.permutation(drawn)

    @property
    def report(self) -> list[PartReport]:
        """What the run will see of each source."""
        return [
            PartReport(part.name, part.count, part.used, part.batches, float(share))
            for part, share in zip(self._parts, self._shares, strict=True)
        ]


class _Part:
    """Rows of one name, and the batches of their epochs."""

    def __init__(
        self, name: str, rows: Rows, buckets: list[Bucket], count: int, vectors: TeacherVectors | None
    ) -> None:
        self.name, self.rows, self.buckets, self.count = name, rows, buckets, count
        self.weight = rows.source.weight
        self.batches = sum(bucket.batches for bucket in buckets)
        self.used = sum(len(bucket.members) for bucket in buckets)
        self._vectors = vectors
        self._starts = np.cumsum([0] + [bucket.batches for bucket in buckets])
        self._negatives = np.repeat([bucket.negatives for bucket in buckets], [bucket.batches for bucket in buckets])
        self._epoch = -1
        self._dealt: list[Ints] = []
        self._order = np.zeros(0, dtype=np.int64)

    def batch(self, turn: int, seed: int, world: int) -> tuple[Ints, int]:
        """Row numbers of the batch at one of this part's turns, and its negatives an example."""
        epoch, index = divmod(turn, self.batches)
        if epoch != self._epoch:
            self._dealt = [
                batch
                for number, bucket in enumerate(self.buckets)
                for batch in deal(bucket, _random(seed, self.name, epoch, number), world)
            ]
            self._order = _random(seed, self.name, epoch).permutation(self.batches)
            self._epoch = epoch
        at = int(self._order[index])
        rows = self._dealt[at]
        if not len(rows):
            raise DataError(
                f"{self.name}: its rows keep each other out of a batch so much that {world} processes do not get one "
                "each (same queries, positives or groups); use fewer processes, larger batches, or leave the source out"
            )
        return rows, int(self._negatives[at])

    def load(self, rows: Ints, negatives: int, step: int) -> Batch:
        """The rows as a batch."""
        examples = tuple(self.rows.example(row, negatives=negatives, source=self.name) for row in rows.tolist())
        if self._vectors is None:
            return Batch(step, self.name, examples)
        queries, positives = self._vectors.rows(self.rows.numbers[rows])
        return Batch(step, self.name, examples, queries, positives)


def _parts(rows: Rows, size: int, tokens: int | None, lengths: Lengths | None, world: int) -> Iterator[_Part]:
    vectors = _vectors(rows)
    keys = _keys(rows)
    counted = None if lengths is None else _count(rows.texts, lengths)
    available = np.diff(rows.negative_starts)
    if rows.source.negatives is not None:
        available = np.minimum(available, rows.source.negatives)
    for name, members in rows.parts:
        buckets: list[Bucket] = []
        for negatives, some in _by_negatives(members, available, size):
            if len(some) < world:
                continue
            long = None if counted is None else _row_lengths(rows, counted, negatives)
            buckets += make_buckets(keys, some, long, size=size, tokens=tokens, world=world, negatives=negatives)
        if not buckets:
            raise DataError(
                f"{name}: {len(members)} rows are too few for a batch of {world} processes; leave the source out"
            )
        yield _Part(name, rows, buckets, len(members), vectors)


def _by_negatives(members: Ints, available: Ints, size: int) -> list[tuple[int, Ints]]:
    """Rows by how many negatives their batches have, since all examples of a batch have the same number.

    Rows with as many as the most are together; where they are too few for a batch, they join those with fewer.
    """
    found: list[tuple[int, Ints]] = []
    waiting = np.zeros(0, dtype=np.int64)
    for count in np.unique(available[members])[::-1].tolist():
        waiting = np.concatenate([waiting, members[available[members] == count]])
        if len(waiting) >= size or count == available[members].min():
            found.append((count, np.sort(waiting)))
            waiting = np.zeros(0, dtype=np.int64)
    return found


def _keys(rows: Rows) -> Keys:
    texts = rows.texts.keys
    query, positive = texts[rows.query], texts[rows.positive]
    named = np.array([_hash(f"group\0{name}") for name in rows.group_names] or [0], dtype=np.int64)
    group = np.where(rows.group >= 0, named[rows.group], query)
    return Keys(np.stack([query, positive, group], axis=1), texts[rows.negatives], rows.negative_starts)


def _count(texts: Texts, lengths: Lengths) -> Ints:
    counted = [
        lengths([texts[i] for i in range(start, min(start + WINDOW, len(texts)))])
        for start in range(0, len(texts), WINDOW)
    ]
    return np.concatenate(counted)


def _row_lengths(rows: Rows, counted: Ints, negatives: int) -> Ints:
    """Tokens of each row's query, positive and first negatives."""
    sums = np.concatenate([[0], np.cumsum(counted[rows.negatives])])
    starts = rows.negative_starts[:-1]
    ends = np.minimum(rows.negative_starts[1:], starts + negatives)
    total: Ints = counted[rows.query] + counted[rows.positive] + sums[ends] - sums[starts]
    return total


def _vectors(rows: Rows) -> TeacherVectors | None:
    source = rows.source
    if source.vectors is None:
        return None
    vectors = TeacherVectors(Path(source.vectors), center=source.center)
    if len(vectors) != rows.total and (source.limit is None or len(vectors) < rows.total):
        raise DataError(f"{source.vectors} has vectors of {len(vectors):,} rows, {source.path} has {rows.total:,} rows")
    return vectors


def _random(seed: int, *what: str | int) -> np.random.Generator:
    """Random numbers that belong to the seed and to what they are for."""
    key = hashlib.blake2b("\0".join(map(str, (seed, *what))).encode("utf-8"), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(key, "little")))


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8"), digest_size=8).digest(), "little", signed=True)
