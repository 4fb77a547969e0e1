"""Which of many texts, and which words of them, occur in a stream of other texts.

Enters: texts to look for (`Wanted`), then texts to look through (`Met`). Leaves: for each text that is looked for which
n-grams of words were met, where first, and whether the whole text was. Knows nothing of files or tasks.

Texts become lists of words: runs of letters and digits, case folded, all else dropped. What is looked for stays in
memory as numbers, a few dozen bytes a word; what is looked through is read once and forgotten. Words are numbered
exactly; n-grams are compared by 64-bit hashes with random multipliers: among 10 million of them beside 100 million the
chance of a single false one is below 1 in 10,000.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import repeat

import numpy as np
import numpy.typing as npt

_WORD = re.compile(r"[^\W_]+")
_BATCH = 1 << 20  # words that are looked up at a time
_SIEVE_BITS = 27  # 16 MB: most n-grams that nobody looks for are told apart without a search
_SEED = 20200528

Ids = npt.NDArray[np.int32]
Hashes = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]


def words_of(text: str) -> list[str]:
    """Runs of letters and digits, case folded."""
    return _WORD.findall(text.casefold())


class Wanted:
    """Texts to look for, by number in the order in which they were added.

    Attributes:
        n: words of an n-gram.
        texts: the words of each text, as numbers in `vocabulary`.
        vocabulary: word by number; 0 is no word.
    """

    def __init__(self, n: int) -> None:
        self.n = n
        self.texts: list[Ids] = []
        self.vocabulary: list[str] = [""]
        self.ids: dict[str, int] = {}

    def add(self, texts: Iterable[str]) -> range:
        """Adds texts; returns their numbers."""
        first = len(self.texts)
        for text in texts:
            words = words_of(text)
            for word in words:
                if word not in self.ids:
                    self.ids[word] = len(self.vocabulary)
                    self.vocabulary.append(word)
            self.texts.append(np.fromiter((self.ids[word] for word in words), dtype=np.int32, count=len(words)))
        return range(first, len(self.texts))

    def words(self, i: int) -> list[str]:
        """The words of text `i`."""
        return [self.vocabulary[word] for word in self.texts[i]]

    def short(self, i: int) -> bool:
        """Whether text `i` has fewer words than an n-gram."""
        return len(self.texts[i]) < self.n


class Met:
    """What of `wanted`, which must be complete, occurs in the texts that are added.

    Attributes:
        texts, words: how much was looked through.
        whole: text that is looked for to the number of the first text that has all its words one behind the other; of
            a short one, that has these words and no others.
    """

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self.texts = 0
        self.words = 0
        self.whole: dict[int, int] = {}
        # the n-grams of all texts, each once, rising; where those of text i stand among them; who begins with which
        _, hashes = _grams(np.concatenate([np.zeros(1, np.int32), *map(_ended, wanted.texts)]), wanted.n)
        self._hashes, places = np.unique(hashes, return_inverse=True)
        counts = [max(0, len(ids) - wanted.n + 1) for ids in wanted.texts]
        ends = np.cumsum(counts, dtype=np.int64)
        self._places = np.split(places.astype(np.int32), ends[:-1]) if counts else []
        self._begin: dict[int, list[int]] = {}
        self._short: dict[str, list[int]] = {}
        for i, found in enumerate(self._places):
            if len(found):
                self._begin.setdefault(int(found[0]), []).append(i)
            elif len(wanted.texts[i]):
                self._short.setdefault(" ".join(wanted.words(i)), []).append(i)
        self._begins = np.zeros(len(self._hashes), dtype=np.bool_)
        self._begins[list(self._begin)] = True
        self._sieve = _Sieve(self._hashes)
        self._first = np.full(len(self._hashes), -1, dtype=np.int64)  # the first text that has an n-gram
        # words of texts that wait to be looked up, one after the other, "" behind each; and where each ends
        self._waiting: list[str] = []
        self._ends: list[int] = []

    def add(self, text: str) -> None:
        """Looks through one text; what is found shows after `flush`."""
        words = words_of(text)
        if len(words) < self._wanted.n:
            for i in self._short.get(" ".join(words), ()):
                self.whole.setdefault(i, self.texts)
        self._waiting += words
        self._waiting.append("")
        self._ends.append(len(self._waiting))
        self.texts += 1
        self.words += len(words)
        if len(self._waiting) >= _BATCH:
            self.flush()

    def flush(self) -> None:
        """Looks up what waits."""
        n = self._wanted.n
        # 0 for a word that nobody looks for, and between texts: an n-gram over it cannot be shared
        known = map(self._wanted.ids.get, self._waiting, repeat(0))
        ids = np.fromiter(known, dtype=np.int32, count=len(self._waiting))
        ends = np.array(self._ends, dtype=np.int64)
        earlier = self.texts - len(ends)
        self._waiting, self._ends = [], []
        start, hashes = _grams(ids, n)
        maybe = self._sieve.may_have(hashes)
        start, hashes = start[maybe], hashes[maybe]
        place = np.searchsorted(self._hashes, hashes)
        same = self._hashes[np.minimum(place, len(self._hashes) - 1)] == hashes if len(hashes) else maybe[:0]
        start, place = start[same], place[same]
        text = earlier + np.searchsorted(ends, start, side="right")
        new, which = np.unique(place, return_index=True)
        unmet = self._first[new] < 0
        self._first[new[unmet]] = text[which[unmet]]
        begins = self._begins[place]
        for at, gram, number in zip(start[begins], place[begins].tolist(), text[begins].tolist(), strict=True):
            for i in self._begin[gram]:
                words = self._wanted.texts[i]
                if i not in self.whole and np.array_equal(ids[at : at + len(words)], words):
                    self.whole[i] = number

    def covered(self, i: int) -> Mask:
        """Of each word of text `i`, whether an n-gram that was met has it; of a short text all or none."""
        size = len(self._wanted.texts[i])
        if self._wanted.short(i):
            return np.full(size, i in self.whole)
        met = self._first[self._places[i]] >= 0
        steps = np.zeros(size + 1, dtype=np.int64)
        steps[: len(met)] += met
        steps[self._wanted.n :] -= met
        return np.asarray(np.cumsum(steps)[:-1] > 0)

    def longest(self, i: int) -> tuple[int, int, int]:
        """Of text `i` the longest run of covered words, from and up to, and the first text that has its beginning.

        Raises:
            ValueError: none is covered.
        """
        mask = np.concatenate([[False], self.covered(i), [False]])
        if not mask.any():
            raise ValueError(f"no word of text {i} was met")
        runs = np.flatnonzero(mask[1:] != mask[:-1]).reshape(-1, 2)
        begin, end = (int(edge) for edge in runs[np.argmax(runs[:, 1] - runs[:, 0])])
        number = int(self._first[self._places[i][begin]]) if not self._wanted.short(i) else self.whole[i]
        return begin, end, number


class _Sieve:
    """A bit for each of 2^27 groups of hashes: no bit, no hash of the group."""

    def __init__(self, hashes: Hashes) -> None:
        groups = np.unique(hashes >> np.uint64(64 - _SIEVE_BITS))
        self._bits = np.zeros(1 << (_SIEVE_BITS - 3), dtype=np.uint8)
        np.bitwise_or.at(self._bits, groups >> np.uint64(3), self._bit(groups))

    def may_have(self, hashes: Hashes) -> Mask:
        groups = hashes >> np.uint64(64 - _SIEVE_BITS)
        return np.asarray((self._bits[groups >> np.uint64(3)] & self._bit(groups)) != 0)

    def _bit(self, groups: Hashes) -> npt.NDArray[np.uint8]:
        return np.asarray(1 << (groups & np.uint64(7)).astype(np.uint8), dtype=np.uint8)


def _grams(ids: Ids, n: int) -> tuple[npt.NDArray[np.int64], Hashes]:
    """The n-grams without a 0 in them: where each begins, and its hash, a sum of mixed numbers times factors."""
    count = max(0, len(ids) - n + 1)
    factors = np.random.default_rng(_SEED).integers(0, 2**64, size=n, dtype=np.uint64) | np.uint64(1)
    mixed = _mixed(ids)
    total = np.zeros(count, dtype=np.uint64)
    for i in range(n):
        total += mixed[i : i + count] * factors[i]
    zeros = np.concatenate([[0], np.cumsum(ids == 0)])
    start = np.flatnonzero(zeros[n:] == zeros[:count]) if count else np.empty(0, dtype=np.int64)
    return start, total[start]


def _ended(ids: Ids) -> Ids:
    return np.append(ids, np.int32(0))


def _mixed(ids: Ids) -> Hashes:
    """Numbers spread over 64 bits (splitmix64, Steele et al. 2014), so that sums of small ones do not collide."""
    x = ids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)), dtype=np.uint64)
