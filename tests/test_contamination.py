"""Shared n-grams against a search that compares every stretch of words with every other; files as they are on disk."""

from __future__ import annotations

import gzip
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crumb.evaluation import ngrams
from crumb.evaluation.beir import RetrievalSet
from crumb.evaluation.contamination import Contamination, Example, contamination
from crumb.evaluation.ngrams import Met, Wanted, words_of
from crumb.evaluation.sts import StsSet
from crumb.evaluation.tasks import RetrievalTask, StsTask


def covered_by(test: list[str], training: list[list[str]], n: int) -> list[bool]:
    """The direct form: words of `test` in a stretch of n that some training text has."""
    if len(test) < n:
        return [bool(test) and test in training] * len(test)
    stretches = {tuple(words[i : i + n]) for words in training for i in range(len(words) - n + 1)}
    found = [False] * len(test)
    for i in range(len(test) - n + 1):
        if tuple(test[i : i + n]) in stretches:
            found[i : i + n] = [True] * n
    return found


def is_in(test: list[str], training: list[str], n: int) -> bool:
    if len(test) < n:
        return bool(test) and test == training
    return any(training[i : i + len(test)] == test for i in range(len(training) - len(test) + 1))


FEW_WORDS = st.lists(st.sampled_from("abc"), max_size=9)


@settings(deadline=None, max_examples=300)
@given(
    tested=st.lists(FEW_WORDS, max_size=6),
    training=st.lists(st.lists(st.sampled_from("abcd"), max_size=14), max_size=8),
    n=st.integers(1, 5),
    batch=st.integers(1, 40),
)
def test_what_is_met_is_what_a_slow_search_meets(
    tested: list[list[str]], training: list[list[str]], n: int, batch: int
) -> None:
    wanted = Wanted(n)
    assert wanted.add(map(" ".join, tested)) == range(len(tested))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ngrams, "_BATCH", batch)
        met = Met(wanted)
        for words in training:
            met.add(" ".join(words))
        met.flush()
    assert (met.texts, met.words) == (len(training), sum(map(len, training)))
    for i, test in enumerate(tested):
        mask = covered_by(test, training, n)
        assert met.covered(i).tolist() == mask
        whole = [number for number, words in enumerate(training) if is_in(test, words, n)]
        assert met.whole.get(i) == (whole[0] if whole else None)
        if any(mask):
            begin, end, number = met.longest(i)
            assert all(mask[begin:end])
            runs = "".join("x" if m else " " for m in mask).split()
            assert end - begin == max(map(len, runs))
            assert is_in(test[begin : min(end, begin + n)], training[number], n)
        else:
            with pytest.raises(ValueError, match="no word of text"):
                met.longest(i)


def test_words() -> None:
    assert words_of("The  QUICK—brown_fox's 3.5 Straße!") == ["the", "quick", "brown", "fox", "s", "3", "5", "strasse"]
    assert words_of("… _ --") == []


def test_hashes_do_not_collide() -> None:
    """Small numbers in every order: all n-grams of four words, and of pairs among many, are told apart."""
    ids = np.array(np.meshgrid(*[np.arange(1, 12)] * 4), dtype=np.int32).reshape(4, -1).T
    assert len({int(ngrams._grams(row, 4)[1][0]) for row in ids}) == 11**4
    many = np.random.default_rng(0).integers(1, 50_000, 400_000).astype(np.int32)
    pairs = {(int(a), int(b)) for a, b in itertools.pairwise(many)}
    assert len(np.unique(ngrams._grams(many, 2)[1])) == len(pairs)


LONG = "the station master waved a small green flag and the last train left for the coast"


@pytest.fixture
def training(tmp_path: Path) -> Path:
    folder = tmp_path / "train"
    (folder / "b").mkdir(parents=True)
    rows = [
        {
            "query": "When does it leave?",
            "positive": "nothing here",
            "negatives": ["x y", f"So {LONG.upper()}, he said."],
        },
        {"query": "who\u2028waved", "positive": 3, "negatives": [1, None]},
    ]
    with gzip.open(folder / "b" / "pairs.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write(json.dumps(rows[0]) + "\n\n" + json.dumps(rows[1], ensure_ascii=False) + "\n")
    (folder / "a.jsonl").write_bytes(
        b'{"text": "a small green flag and the last"}\n["no object"]\n{"text": "brok\n{"text": "\xff"}\n'
    )
    (folder / "README.md").write_text(LONG)
    return folder


def task() -> RetrievalTask:
    one = RetrievalSet("one", {"d1": f"{LONG} at nine", "d2": "small green flag"}, {"q1": "when DOES it leave"}, {})
    two = RetrievalSet("two", {"d1": LONG, "d3": ""}, {"q2": "when does it", "q3": "Who waved?"}, {})
    return RetrievalTask("stations", lambda: {"1": one, "2": two})


def test_files_and_tasks(training: Path) -> None:
    pairs = StsTask("pairs", lambda: StsSet("pairs", ["nothing here", "b"], ["c", LONG], [1.0, 2.0]))
    found = contamination([task(), pairs], [training, training / "a.jsonl"], n=5)
    a, b = str(training / "a.jsonl"), str(training / "b" / "pairs.jsonl.gz")
    assert found.files == {a: 1, b: 2}
    assert found.unreadable == {a: 3}
    assert (found.n, found.texts, found.words) == (5, 6, 7 + 4 + 2 + 2 + 19 + 2)

    queries, passages = found.tasks["stations"]["queries"], found.tasks["stations"]["passages"]
    assert (queries.texts, queries.short, queries.verbatim, queries.half, queries.shared) == (3, 3, 2, 2, 2)
    assert queries.examples == [
        Example("q1", 1.0, "when does it leave", f"{b}:1 (query)"),
        Example("q3", 1.0, "who waved", f"{b}:3 (query)"),
    ]
    # "small green flag" is short, and no training text consists of it; d1 of the second part is all there
    assert (passages.texts, passages.short, passages.verbatim, passages.half, passages.shared) == (4, 2, 1, 2, 2)
    assert passages.examples == [
        Example("2/d1", 1.0, LONG, f"{b}:1 (negatives)"),
        Example("d1", round(16 / 18, 4), LONG, f"{b}:1 (negatives)"),
    ]
    sentences = found.tasks["pairs"]["sentences"]
    assert [e.id for e in sentences.examples] == ["0.1", "1.2"]
    assert Contamination.from_dict(json.loads(json.dumps(found.as_dict()))) == found


def test_fields_are_chosen(training: Path) -> None:
    found = contamination([task()], [training], n=5, fields=["text"], examples=1)
    passages = found.tasks["stations"]["passages"]
    assert (passages.verbatim, passages.shared, found.tasks["stations"]["queries"].shared) == (0, 2, 0)
    assert passages.examples == [
        Example("2/d1", round(7 / 16, 4), "a small green flag and the last", passages.examples[0].at)
    ]
    with pytest.raises(ValueError, match=r"3 objects in 2 files have no string in nothing"):
        contamination([task()], [training], fields=["nothing"])


@pytest.mark.parametrize("n", [0, -1, True, 2.5])
def test_n_is_a_number_of_words(training: Path, n: Any) -> None:
    with pytest.raises(ValueError, match="n must be a whole number of at least 1"):
        contamination([task()], [training], n=n)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no .*nowhere"):
        contamination([task()], [tmp_path / "nowhere"])
    with pytest.raises(FileNotFoundError, match=r"no .jsonl or .jsonl.gz below"):
        contamination([task()], [tmp_path])
