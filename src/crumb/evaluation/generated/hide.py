"""A fact hidden in filler: documents of a given length, and where in each the fact ends.

Enters: facts, a source of filler sentences, lengths, a seed. Leaves: a `Hidden` set for each length. Knows nothing of
what the facts or the filler say, nor of models.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from crumb.evaluation.beir import RetrievalSet

LENGTHS = (256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
"""Tokens of a document, as in LongEmbed (arXiv 2404.12096)."""

SPECIAL = 2
"""Tokens that BERT puts around a text: a document of so many tokens fits a context of as many."""

Count = Callable[[Sequence[str]], list[int]]
"""Tokens of each text, special tokens left out: `Model.tokenizer.count`, or `words_and_marks`."""

_TOKEN = re.compile(r"\w+|[^\w\s]")


def words_and_marks(texts: Sequence[str]) -> list[int]:
    """Words and punctuation marks of each text: within 3 % of BERT's tokens here, where words are common ones."""
    return [len(_TOKEN.findall(text)) for text in texts]


@dataclass(frozen=True)
class Fact:
    """What is hidden: `text`, and the `question` that it answers."""

    question: str
    text: str


@dataclass(frozen=True)
class Hidden:
    """A set of one length; `ends`: document id to the characters up to the end of its fact."""

    data: RetrievalSet
    ends: Mapping[str, int]


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the texts; equal recipes make equal texts, on every machine.

    Attributes:
        lengths: tokens of a document, two special ones included; a document has as many or a few less.
        documents: of each length, each with a fact of its own.
        queries: of each length, asking for the first so many documents.
        seed: another one makes other texts.

    Raises:
        ValueError: no length, or one below 64; or not 1 <= queries <= documents.
    """

    lengths: tuple[int, ...] = LENGTHS
    documents: int = 100
    queries: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.lengths or min(self.lengths) < 64 or len(set(self.lengths)) != len(self.lengths):
            raise ValueError(f"lengths must be different numbers of at least 64 tokens, got {self.lengths!r}")
        if not 1 <= self.queries <= self.documents:
            raise ValueError(f"expected 1 <= queries <= documents, got {self.queries!r} and {self.documents!r}")


def hide(
    name: str,
    recipe: Recipe,
    facts: Callable[[Random, int], list[Fact]],
    filler: Callable[[Random], Iterator[str]],
    count: Count = words_and_marks,
) -> dict[str, Hidden]:
    """A set for each length, by the length as a str; ids are q<length>-<i> and d<length>-<i>.

    Facts of documents that are asked for lie evenly over the length: one in each of `queries` equal parts of it, at
    random within. Only `Random.random` is used, whose numbers Python keeps the same for good.
    """
    return {
        str(length): _of_one_length(f"{name}/{recipe.seed}/{length}", length, recipe, facts, filler, count)
        for length in recipe.lengths
    }


def shuffled(random: Random, count: int) -> list[int]:
    """The numbers 0 to count - 1 in random order."""
    keys = [random.random() for _ in range(count)]
    return sorted(range(count), key=keys.__getitem__)


def pick(random: Random, choices: Sequence[str]) -> str:
    """One of them."""
    return choices[int(random.random() * len(choices))]


def _of_one_length(
    seed: str,
    length: int,
    recipe: Recipe,
    facts: Callable[[Random, int], list[Fact]],
    filler: Callable[[Random], Iterator[str]],
    count: Count,
) -> Hidden:
    random = Random(seed)
    hidden = facts(random, recipe.documents)
    asked = shuffled(random, recipe.queries)
    parts = [part / recipe.queries for part in asked] + [random.random() for _ in hidden[recipe.queries :]]
    corpus, ends = {}, {}
    for i, (fact, part) in enumerate(zip(hidden, parts, strict=True)):
        within = random.random() / recipe.queries if i < recipe.queries else 0.0
        document = f"d{length}-{i}"
        corpus[document], ends[document] = _around(
            fact.text, part + within, length - SPECIAL, filler(Random(f"{seed}/{i}")), count
        )
    queries = {f"q{length}-{i}": fact.question for i, fact in enumerate(hidden[: recipe.queries])}
    qrels = {f"q{length}-{i}": {f"d{length}-{i}": 1} for i in range(recipe.queries)}
    return Hidden(RetrievalSet(str(length), corpus, queries, qrels), ends)


def _around(fact: str, depth: float, room: int, filler: Iterator[str], count: Count) -> tuple[str, int]:
    """The text of at most `room` tokens, and the characters up to the end of the fact, `depth` (0..1) of the way."""
    sentences: list[str] = []
    left = room - count([fact])[0]
    while True:
        block = [next(filler) for _ in range(max(1, min(256, left // 8)))]
        for sentence, tokens in zip(block, count(block), strict=True):
            left -= tokens
            if left < 0:
                break
            sentences.append(sentence)
        if left < 0:
            break
    while True:
        place = int(depth * (len(sentences) + 1))
        before = " ".join([*sentences[:place], fact])
        text = " ".join([before, *sentences[place:]])
        if not sentences or count([text])[0] <= room:
            return text, len(before)
        sentences.pop()  # a tokenizer may count a whole as more than its sentences
