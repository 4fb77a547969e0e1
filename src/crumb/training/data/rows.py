"""One source's rows in memory: compact, and quick to read back.

Enters: rows one by one. Leaves: `Rows`, and `Example`s of them. Knows nothing of files or batches.

A text is kept once, as UTF-8 in one buffer, however many rows have it: mined negatives are other rows' positives. A row
is numbers into that buffer; `Example`s are made when they are asked for.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from crumb.training.batch import Example
from crumb.training.data.shapes import Row
from crumb.training.data.source import Source

Ints = npt.NDArray[np.int64]
_Number = TypeVar("_Number", np.int32, np.int64, np.float32, np.float64)
PLACES = 5  # bad rows whose lines are told, for each reason


@dataclass
class BadRows:
    """How many rows were bad, by reason, and the lines of the first of each reason."""

    count: Counter[str] = field(default_factory=Counter)
    lines: dict[str, list[int]] = field(default_factory=dict)

    def add(self, reason: str, line: int) -> None:
        """Counts one."""
        self.count[reason] += 1
        places = self.lines.setdefault(reason, [])
        if len(places) < PLACES:
            places.append(line)

    def __str__(self) -> str:
        return "; ".join(
            f"{count:,} x {reason} (line {', '.join(map(str, self.lines[reason]))}"
            f"{', …' if count > len(self.lines[reason]) else ''})"
            for reason, count in self.count.most_common()
        )


class Texts:
    """Texts by number, each kept once.

    Attributes:
        starts: int64 [n + 1], where each text begins in the buffer.
        keys: int64 [n], equal for texts that differ in case and white space only.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._starts = array("q", [0])
        self._keys = array("q")
        self._numbers: dict[int, int] | None = {}

    def add(self, text: str) -> int:
        """The number of `text`, a new one where it is not there yet."""
        assert self._numbers is not None, "closed"
        data = text.encode("utf-8")
        key = _hash(data)
        number = self._numbers.get(key)
        if number is not None and self._bytes(number) == data:
            return number
        new = len(self._keys)
        self._buffer += data
        self._starts.append(len(self._buffer))
        self._keys.append(_hash(normal_form(text).encode("utf-8")))
        if number is None:  # with two texts of one hash (once in 10^13 of them) the second is kept each time
            self._numbers[key] = new
        return new

    def close(self) -> None:
        """Forgets what only `add` needs."""
        self._numbers = None
        self.starts, self.keys = _view(self._starts, np.int64), _view(self._keys, np.int64)

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, number: int) -> str:
        return self._bytes(number).decode("utf-8")

    def _bytes(self, number: int) -> bytes:
        return bytes(memoryview(self._buffer)[self._starts[number] : self._starts[number + 1]])


class Part(NamedTuple):
    """Rows that batches are made of: all of a source, or those of one value of its `split` column."""

    name: str
    members: Ints


class Rows:
    """The good rows of one source, numbered from 0.

    Attributes:
        source: what was asked for.
        texts: their texts.
        query, positive: int32 [n], numbers of texts.
        negatives, negative_starts: int32 [all of them] and int64 [n + 1]: those of row i lie between starts i and i+1.
        labels: float64 [n], or None.
        scores: float32 [n + all negatives], or None; those of row i begin at negative_starts[i] + i.
        group: int32 [n], -1 for none.
        numbers: int64 [n], each row's number among all rows of the file, bad ones included, from 0.
        lines: int64 [n].
        total: rows that were read, bad ones included.
        bad: the bad ones.
        sha256: the data's digest.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.texts = Texts()
        self.total = 0
        self.bad = BadRows()
        self.has_labels = self.has_scores = False
        self._query, self._positive, self._negatives = array("i"), array("i"), array("i")
        self._starts = array("q", [0])
        self._labels, self._scores = array("d"), array("f")
        self._group, self._part = array("i"), array("i")
        self._numbers, self._lines = array("q"), array("q")
        self._groups: dict[str, int] = {}
        self._parts: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._query)

    def add(self, row: Row, number: int, line: int, part: str = "") -> None:
        """Takes one more good row."""
        self._query.append(self.texts.add(row.query))
        self._positive.append(self.texts.add(row.positive))
        self._negatives.extend(self.texts.add(text) for text in row.negatives)
        self._starts.append(len(self._negatives))
        if row.label is not None:
            self._labels.append(row.label)
        if row.scores is not None:
            self._scores.extend(row.scores)
        self._group.append(-1 if row.group is None else self._groups.setdefault(row.group, len(self._groups)))
        self._part.append(self._parts.setdefault(part, len(self._parts)))
        self._numbers.append(number)
        self._lines.append(line)

    def close(self, sha256: str) -> None:
        """Ends the reading: from here on rows are only read."""
        self.sha256 = sha256
        self.texts.close()
        self.query, self.positive = _view(self._query, np.int32), _view(self._positive, np.int32)
        self.negatives = _view(self._negatives, np.int32)
        self.negative_starts: Ints = _view(self._starts, np.int64)
        self.group = _view(self._group, np.int32)
        self.numbers: Ints = _view(self._numbers, np.int64)
        self.lines: Ints = _view(self._lines, np.int64)
        self.labels = _view(self._labels, np.float64) if self.has_labels else None
        self.scores = _view(self._scores, np.float32) if self.has_scores else None
        self.group_names = tuple(self._groups)
        values = _view(self._part, np.int32)
        self.parts = tuple(
            Part(f"{self.source.name}/{name}" if self.source.split else self.source.name, np.flatnonzero(values == i))
            for name, i in self._parts.items()
        )

    def example(self, row: int, *, negatives: int | None = None, source: str = "") -> Example:
        """Row `row`, with its first `negatives` negatives (None for all), called `source`'s."""
        start, end = int(self.negative_starts[row]), int(self.negative_starts[row + 1])
        if negatives is not None:
            end = min(end, start + negatives)
        group = int(self.group[row])
        scores = None
        if self.scores is not None:
            scores = tuple(self.scores[start + row : end + row + 1].tolist())
        return Example(
            query=self.texts[int(self.query[row])],
            positive=self.texts[int(self.positive[row])],
            negatives=tuple(self.texts[number] for number in self.negatives[start:end].tolist()),
            label=None if self.labels is None else float(self.labels[row]),
            scores=scores,
            source=source or self.source.name,
            group=None if group < 0 else self.group_names[group],
            row=int(self.numbers[row]),
            place=f"{self.source.path}:{int(self.lines[row])}",
        )

    def __iter__(self) -> Iterator[Example]:
        return (self.example(row) for row in range(len(self)))

    @property
    def nbytes(self) -> int:
        """Bytes of texts and numbers, about what the rows take."""
        arrays = (self.query, self.positive, self.negatives, self.negative_starts, self.group, self.numbers, self.lines)
        optional = (array.nbytes for array in (self.labels, self.scores) if array is not None)
        texts = int(self.texts.starts[-1]) + self.texts.starts.nbytes + self.texts.keys.nbytes
        return texts + sum(array.nbytes for array in arrays) + sum(optional)


def normal_form(text: str) -> str:
    """What is the same of texts that differ in case and white space only."""
    return " ".join(text.casefold().split())


def _hash(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little", signed=True)


def _view(values: array[Any], dtype: type[_Number]) -> npt.NDArray[_Number]:
    return np.frombuffer(values, dtype=dtype) if len(values) else np.zeros(0, dtype)
