"""Training data: every format says the same, bad rows are told, batches keep their promises.

What a batch must not hold is checked by comparing every pair of its rows; what a run brings, by running it in one
piece.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import re
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Sequence
from itertools import combinations, islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import crumb
from crumb.errors import DamagedFileError, MissingExtraError
from crumb.training.batch import Batch, Example
from crumb.training.data import (
    BadRowsWarning,
    DataError,
    Mixture,
    Rows,
    Source,
    digest,
    estimate,
    read_source,
    tokens_of,
)
from crumb.training.data.rows import normal_form
from crumb.training.data.shapes import Row

PAIRS = [{"query": f"question {i}", "positive": f"answer {i}, längér ✓ than it"} for i in range(7)]
TRIPLETS = [{**row, "negatives": [f"not {i}", "never"]} for i, row in enumerate(PAIRS)]
GRADED = [{"sentence1": f"a {i}", "sentence2": f"b {i}", "score": i / 2} for i in range(5)]


def write(path: Path, rows: Sequence[Any]) -> Path:
    """JSON lines; a row that is a str is written as it is."""
    data = "".join((row if isinstance(row, str) else json.dumps(row, ensure_ascii=False)) + "\n" for row in rows)
    with gzip.open(path, "wb") if path.suffix == ".gz" else path.open("wb") as stream:
        stream.write(data.encode())
    return path


def said(rows: Rows) -> list[tuple[Any, ...]]:
    return [(e.query, e.positive, e.negatives, e.label, e.scores) for e in rows]


def made(pairs: Sequence[Sequence[Any]], name: str = "made", **settings: Any) -> Rows:
    """Rows from (query, positive, negatives…, group) without a file."""
    rows = Rows(Source("nowhere", name=name, **settings))
    for number, (query, positive, negatives, group) in enumerate(pairs):
        rows.add(Row(query, positive, negatives, group=group), number, number + 1)
        rows.total += 1
    rows.close("")
    return rows


# formats


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "csv", "tsv", "parquet", "folder"])
def test_every_format_says_the_same(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"set.{suffix}"
    if suffix.startswith("jsonl"):
        write(path, PAIRS)
    elif suffix in ("csv", "tsv"):
        with path.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, delimiter="," if suffix == "csv" else "\t", lineterminator="\n")
            table.writerows([["query", "positive", "more"], *([*row.values(), "x"] for row in PAIRS)])
    elif suffix == "parquet":
        parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra [train]")
        parquet.write_table(sys.modules["pyarrow"].Table.from_pylist(PAIRS), path)
    else:
        datasets = pytest.importorskip("datasets", reason="needs datasets")
        datasets.Dataset.from_list(PAIRS).save_to_disk(path)
    rows = read_source(Source(path))
    assert said(rows) == [(row["query"], row["positive"], (), None, None) for row in PAIRS]
    assert [example.row for example in rows] == list(range(len(PAIRS)))
    assert not rows.bad.count
    assert rows.source.name == "set"
    line = {"csv": 3, "tsv": 3}.get(suffix, 2)
    assert rows.example(1).place == f"{path}:{line}"


def test_lists_and_numbers_from_parquet(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra [train]")
    rows = [{**row, "scores": [0.5, 0.25, -1.0]} for row in TRIPLETS]
    parquet.write_table(sys.modules["pyarrow"].Table.from_pylist(rows), tmp_path / "a.parquet")
    expected = [(r["query"], r["positive"], tuple(r["negatives"]), None, (0.5, 0.25, -1.0)) for r in rows]
    assert said(read_source(Source(tmp_path / "a.parquet"))) == expected
    assert said(read_source(Source(write(tmp_path / "a.jsonl", rows)))) == expected


def test_splits_of_a_dataset_are_not_chosen_for_the_user(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="needs datasets")
    both = datasets.DatasetDict({"train": datasets.Dataset.from_list(PAIRS), "dev": datasets.Dataset.from_list(PAIRS)})
    both.save_to_disk(tmp_path / "both")
    with pytest.raises(DataError, match=r"several splits \(dev, train\); give one of them"):
        read_source(Source(tmp_path / "both"))
    assert len(read_source(Source(tmp_path / "both" / "train"))) == len(PAIRS)


def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "state.json").write_text("{}")
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "datasets", None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match="pip install datasets"):
        read_source(Source(tmp_path / "saved"))
    with pytest.raises(MissingExtraError, match=r"crumb-embed\[train\]"):
        read_source(Source(tmp_path / "a.parquet"))


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"anchor": "q", "positive": "p", "negative": "n"}, ("q", "p", ("n",), None, None)),
        ({"query": "q", "positive": "p", "negative_10": "z", "negative_2": "y"}, ("q", "p", ("y", "z"), None, None)),
        ({"query": "q", "positive": "p", "negatives": []}, ("q", "p", (), None, None)),
        ({"query": "q", "positive": "p", "negative": "n", "scores": [3, 1]}, ("q", "p", ("n",), None, (3.0, 1.0))),
        ({"query": "q", "candidates": ["a", "b", "c"], "scores": [1, 3, 2]}, ("q", "b", ("c", "a"), None, (3, 2, 1))),
        ({"text1": "q", "text2": "p", "label": 1}, ("q", "p", (), 1.0, None)),
        ({"sentence1": "q", "sentence2": "p", "score": 0.25}, ("q", "p", (), 0.25, None)),
    ],
)
def test_shapes(tmp_path: Path, row: dict[str, Any], expected: tuple[Any, ...]) -> None:
    rows = read_source(Source(write(tmp_path / "a.jsonl", [{**row, "id": 3}])))
    assert said(rows) == [expected]
    assert rows.has_labels == (expected[3] is not None)
    assert rows.has_scores == (expected[4] is not None)


def test_columns_say_what_is_what(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"q": "Q", "a": "A", "x": "X", "y": ["Y", "Z"], "positive": "no", "s": 2}])
    columns = {"query": "q", "positive": "a", "negatives": ["x", "y"]}
    assert said(read_source(Source(path, columns=columns))) == [("Q", "A", ("X", "Y", "Z"), None, None)]
    graded = {"query": "q", "positive": "a", "label": "s"}
    assert said(read_source(Source(path, columns=graded))) == [("Q", "A", (), 2.0, None)]
    for wrong, message in (
        ({"query": "q"}, "query make no shape"),
        ({"query": "q", "answer": "a"}, "unknown role 'answer'"),
        ({"query": "q", "positive": "b"}, "columns 'q', 'a', 'x', 'y', 'positive', 's'; positive was to be in 'b'"),
        ({"query": "q", "positive": ["a", "x"]}, "positive is one column, got 2"),
        ({"query": "q", "positive": "a", "label": "s", "negatives": "y"}, "make no shape"),
    ):
        with pytest.raises(DataError, match=message):
            read_source(Source(path, columns=wrong))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"title": "a", "body": "b"}, "columns 'title', 'body', which fit no shape: expected query and positive"),
        ({"query": "a", "pos": ["b"], "neg": ["c"]}, "fit no shape"),
        ({"query": "a", "positive": "b", "score": 1}, "positive pairs, or pairs graded by 'score'"),
        ({"query": "a", "positive": "b", "text1": "c", "text2": "d", "label": 1}, "graded by 'label'"),
        ({"text1": "c", "text2": "d", "label": 1, "score": 2}, "fit no shape"),
        ({"query": "a", "positive": "b", "candidates": ["c"]}, "both positive and candidates"),
        ({"query": "a", "candidates": ["c", "d"]}, "fit no shape"),
    ],
)
def test_unknown_shapes_are_refused_with_what_was_found(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_source(Source(write(tmp_path / "a.jsonl", [row])))


def test_what_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n \n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.json").write_text("[]")
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b'{"query": "a", "positive": "b"}\n' * 1000)[:-20])
    (tmp_path / "twice.tsv").write_text("query\tquery\n")
    (tmp_path / "broken.parquet").write_bytes(b"nothing")
    for name, message in (
        ("missing.jsonl", "no such file"),
        ("empty.jsonl", "empty"),
        ("folder", "without state.json"),
        ("a.json", r"\.json is not read"),
        ("cut.jsonl.gz", "damaged gzip"),
        ("twice.tsv", "repeats a name"),
        ("broken.parquet", "not a Parquet file"),
    ):
        with pytest.raises(DamagedFileError if "gzip" in message else DataError, match=message):
            read_source(Source(tmp_path / name))


def test_settings_are_checked(tmp_path: Path) -> None:
    for wrong in ({"weight": -1}, {"max_bad": 2}, {"limit": 0}, {"negatives": -1}, {"group": "a", "group_before": ":"}):
        with pytest.raises(DataError):
            Source(tmp_path / "a.jsonl", **wrong)
    rows = made([("q", "p", (), None)])
    for wrong in (
        {"size": 0},
        {"size": 2, "alpha": 1.5},
        {"size": 2, "tokens": 9},
        {"size": 2, "rank": 2, "world": 2},
        {"size": 1, "world": 2},
    ):
        with pytest.raises(ValueError, match=r"must be|number|needs|cannot"):
            Mixture([rows], **wrong)
    with pytest.raises(DataError, match="called 'made'"):
        Mixture([rows, rows], size=2)
    with pytest.raises(DataError, match="weight above 0"):
        Mixture([made([("q", "p", (), None)], weight=0)], size=2)


# bad rows


def test_bad_rows_are_counted_and_told_with_their_lines(tmp_path: Path) -> None:
    good = {"query": "q", "positive": "p", "negatives": ["n"], "scores": [1, 0]}
    bad: dict[str, Any] = {
        "not JSON": '{"query": ',
        "not an object": "[1]",
        "no 'positive'": {**good, "positive": None},
        "'query' is empty": {**good, "query": " \n"},
        "'query' is no string": {**good, "query": 3},
        "'query' is not UTF-8": '{"query": "\\ud800", "positive": "p", "negatives": ["n"], "scores": [1, 0]}',
        "'negatives' is no list": None,
        "a text of 'negatives' is empty": {**good, "negatives": [""]},
        "'scores' has not one number for the positive and each negative": {**good, "scores": [1]},
        "a number of 'scores' is not finite": '{"query": "q", "positive": "p", "negatives": ["n"], "scores": [NaN, 0]}',
        "a number of 'scores' is no number": {**good, "scores": ["1", "2"]},
        "a negative is the positive's text": {**good, "negatives": ["p"]},
        "a text is longer than 20 characters": {**good, "positive": "p" * 21},
        "has 'candidates', which the first row has not": {**good, "candidates": ["a"]},
    }
    bad.pop("'negatives' is no list")
    lines = [good, "", *bad.values(), *[good] * 40, "{", "{"]
    path = write(tmp_path / "a.jsonl", lines)
    with pytest.warns(BadRowsWarning) as caught:
        rows = read_source(Source(path, max_bad=0.3, max_characters=20))
    assert rows.bad.count == Counter({**dict.fromkeys(bad, 1), "not JSON": 3})
    assert rows.bad.lines["not JSON"] == [3, 56, 57]
    assert (len(rows), rows.total) == (41, 56)
    message = str(caught[0].message)
    assert f"{path}: 15 of 56 rows are bad (26.79%): 3 x not JSON (line 3, 56, 57); " in message
    for number, reason in enumerate(bad, 3):
        assert f"{reason} (line {number}" in message
    # rows keep the numbers that they have in the file: vectors of a teacher are found by them
    assert [example.row for example in rows][:3] == [0, 14, 15]
    with pytest.raises(DataError, match=r"15 of 56 rows are bad .* at most 1.00% are let pass.*max_bad"):
        read_source(Source(path, max_characters=20))


def test_the_threshold_is_exact(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [*PAIRS, "{", *PAIRS[:2]])
    with pytest.warns(BadRowsWarning):
        assert len(read_source(Source(path, max_bad=0.1))) == 9
    with pytest.raises(DataError, match="10.00%"):
        read_source(Source(path, max_bad=0.0999))


def test_bad_cells_of_tables(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_bytes(
        b'score\tsentence1\tsentence2\n1.5\ta "quoted" word\tb\nfive\ta\tb\nnan\ta\tb\n2\ta\n3\t\xff\tb\n'
    )
    with pytest.warns(BadRowsWarning):
        rows = read_source(Source(tmp_path / "a.tsv", max_bad=1))
    assert said(rows) == [('a "quoted" word', "b", (), 1.5, None)]
    assert rows.bad.lines == {
        "'score' is no number": [3],
        "'score' is not finite": [4],
        "not as many cells as the header has": [5],
        "'sentence1' is not UTF-8": [6],
    }


def test_digests(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl.gz", PAIRS)
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    assert digest(path) == expected == read_source(Source(path, sha256=expected.upper())).sha256
    with pytest.raises(DataError, match=f"SHA-256 is {expected}"):
        read_source(Source(path, sha256="0" * 64))
    folder = tmp_path / "folder"
    (folder / "b").mkdir(parents=True)
    (folder / "b" / "x").write_bytes(b"1")
    before = digest(folder)
    (folder / "b" / "x").rename(folder / "y")
    assert digest(folder) != before


def test_limit_groups_and_splits(tmp_path: Path) -> None:
    rows = [{"query": f"Inn {i % 3}: {i}?", "positive": f"yes {i}", "of": "xy"[i % 2], "g": i // 5} for i in range(10)]
    path = write(tmp_path / "a.jsonl", [*rows, {"query": "no colon", "positive": "yes", "of": "x", "g": None}])
    assert len(read_source(Source(path, limit=4))) == 4
    assert [e.group for e in read_source(Source(path, group="g"))] == ["0"] * 5 + ["1"] * 5 + [None]
    found = read_source(Source(path, group_before=": ", split="of"))
    assert [e.group for e in found] == [f"Inn {i % 3}" for i in range(10)] + [None]
    assert {part.name: part.members.tolist() for part in found.parts} == {
        "a/x": [0, 2, 4, 6, 8, 10],
        "a/y": [1, 3, 5, 7, 9],
    }
    seen = {batch.source: {e.row for e in batch.examples} for batch in islice(Mixture([found], size=99).batches(), 20)}
    assert set(seen) == {"a/x", "a/y"}
    for name, members in seen.items():
        assert all(row % 2 == (name == "a/y") for row in members)
    with pytest.raises(DataError, match="no column 'what' to split by"):
        read_source(Source(path, split="what"))


# batches


def keys(example: Example) -> tuple[set[str], set[str]]:
    """What another row of the batch must not have at all, and what it must not have as query or positive."""
    strong = {normal_form(example.query), normal_form(example.positive)}
    if example.group is not None:
        strong.add(f"group: {example.group}")
    return strong, {normal_form(text) for text in example.negatives}


def check(batch: Batch, size: int) -> None:
    assert 1 <= len(batch) <= size
    assert len({len(example.negatives) for example in batch.examples}) == 1
    for a, b in combinations(batch.examples, 2):
        (strong_a, weak_a), (strong_b, weak_b) = keys(a), keys(b)
        assert not strong_a & (strong_b | weak_b)
        assert not strong_b & weak_a


text = st.sampled_from([f"text {i}" for i in range(30)] + ["Text  1", "TEXT 2"])
row = st.tuples(text, text, st.lists(text, max_size=3), st.one_of(st.none(), st.sampled_from("abcdefghijkl"))).filter(
    lambda row: row[1] not in row[2]
)
many = st.lists(row, min_size=1, max_size=60)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(many, min_size=1, max_size=3),
    st.integers(1, 9),
    st.integers(0, 2**40),
    st.integers(0, 4000),
    st.booleans(),
)
def test_batches_keep_their_promises(data: list[list[Any]], size: int, seed: int, start: int, by_tokens: bool) -> None:
    sources = [made(rows, name=f"source {i}") for i, rows in enumerate(data)]
    more: dict[str, Any] = {"tokens": 40, "lengths": estimate(64)} if by_tokens else {}
    mixture = Mixture(sources, size=size, seed=seed, alpha=0.5, **more)
    report = {part.name: part for part in mixture.report}
    epochs: dict[tuple[str, int], list[int]] = {}
    for step, batch in enumerate(islice(mixture.batches(), 80)):
        assert batch.step == step
        check(batch, size)
        part, turn = mixture.turn(step)
        assert list(report)[part] == batch.source
        if by_tokens and len(batch) > 1:
            assert int(estimate(64)(batch.texts()).sum()) <= 40
        epoch = epochs.setdefault((batch.source, turn // report[batch.source].batches), [])
        epoch += [example.row for example in batch.examples]
    for rows in epochs.values():
        assert len(rows) == len(set(rows))
    # from any step on, a new process sees what an uninterrupted one does
    again = Mixture(sources, size=size, seed=seed, alpha=0.5, **more)
    assert list(islice(again.batches(start), 5)) == [mixture.at(start + i) for i in range(5)]


@settings(max_examples=30, deadline=None)
@given(many, st.integers(2, 4), st.integers(4, 12), st.integers(0, 99))
def test_processes_get_disjoint_equal_parts_of_the_same_batch(
    data: list[Any], world: int, size: int, seed: int
) -> None:
    try:
        whole = [made(data) for _ in range(world)]
        ranks = [Mixture([whole[r]], size=size, seed=seed, rank=r, world=world) for r in range(world)]
        parts = [[ranks[r].at(step) for r in range(world)] for step in range(15)]
    except DataError as error:
        assert "too few for a batch" in str(error) or "keep each other out" in str(error)  # noqa: PT017 (either is right)
        return
    for batches in parts:
        assert len({len(batch) for batch in batches}) == 1
        together = [example for batch in batches for example in batch.examples]
        check(Batch(0, "", tuple(together)), size)
        assert len({example.row for example in together}) == len(together)


def test_every_row_comes_once_an_epoch(tmp_path: Path) -> None:
    rows = made([(f"q {i}", f"p {i}", (), None) for i in range(1000)])
    for more in ({}, {"tokens": 100, "lengths": estimate(64)}):
        mixture = Mixture([rows], size=32, seed=5, **more)
        n = mixture.report[0].batches
        orders = []
        for epoch in range(3):
            seen = [e.row for b in islice(mixture.batches(epoch * n), n) for e in b.examples]
            assert sorted(seen) == list(range(1000))
            orders.append(seen)
        assert orders[0] != orders[1] != orders[2]
        assert Mixture([rows], size=32, seed=6, **more).at(0) != mixture.at(0)


def test_an_epoch_of_twins_leaves_none_out_while_there_is_room() -> None:
    # five answers to each of 20 questions: two batches of 64 could take 40 rows, five of 20 take all
    rows = made([(f"q {i % 20}", f"p {i}", (), None) for i in range(100)])
    mixture = Mixture([rows], size=64)
    assert mixture.report[0].batches == 5
    batches = [mixture.at(step) for step in range(5)]
    assert sorted(e.row for batch in batches for e in batch.examples) == list(range(100))
    # one question has 50 answers: batches stay full, and its rows take turns
    rows = made([(f"q {i}" if i < 1000 else "q", f"p {i}", (), None) for i in range(1050)])
    mixture = Mixture([rows], size=64)
    n = mixture.report[0].batches
    assert n <= 20
    epochs = [{e.row for b in islice(mixture.batches(i * n), n) for e in b.examples} for i in range(12)]
    assert all(set(range(1000)) <= seen and len(seen) == 1000 + n for seen in epochs)
    assert len(set().union(*epochs)) > 1045


def test_one_entity_a_batch() -> None:
    rows = made([(f"Inn {i % 40}: {i}?", f"yes {i}", (), f"Inn {i % 40}") for i in range(800)])
    mixture = Mixture([rows], size=32)
    batches = list(islice(mixture.batches(), mixture.report[0].batches))
    for batch in batches:
        assert max(Counter(example.group for example in batch.examples).values()) == 1
    assert len(batches) == 25
    assert sum(map(len, batches)) >= 790  # 25 batches of 32 leave not one seat empty


def test_other_sources_do_not_change_a_source() -> None:
    one = made([(f"q {i}", f"p {i}", (), None) for i in range(100)], name="one")
    two = made([(f"q {i}", f"p {i}", (), None) for i in range(300)], name="two")
    alone = Mixture([one], size=10, seed=3)
    both = Mixture([two, one], size=10, seed=3)
    found = [batch.examples for batch in islice(both.batches(), 200) if batch.source == "one"]
    assert found == [alone.at(step).examples for step in range(len(found))]
    assert len(found) > 20


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_shares_of_sources(alpha: float) -> None:
    sizes, weights = [1000, 100, 10], [1.0, 1.0, 2.0]
    sources = [
        made([(f"q {i}", f"p {i}", (), None) for i in range(n)], name=str(n), weight=w)
        for n, w in zip(sizes, weights, strict=True)
    ]
    mixture = Mixture(sources, size=10, alpha=alpha)
    expected = np.array(weights) * np.array([100, 10, 1]) ** alpha
    expected /= expected.sum()
    np.testing.assert_allclose([part.share for part in mixture.report], expected)
    turns = np.bincount([mixture.turn(step)[0] for step in range(4096)], minlength=3)
    np.testing.assert_allclose(turns, 4096 * expected, atol=4)  # one a block
    # the numbers of turns are those of a run from the start
    counts = [0, 0, 0]
    fresh = Mixture(sources, size=10, alpha=alpha)
    assert fresh.turn(5000) == mixture.turn(5000)
    for step in range(2500):
        part, turn = mixture.turn(step)
        assert turn == counts[part]
        counts[part] += 1


def test_negatives_of_a_batch_are_equally_many() -> None:
    def rows(counts: Sequence[int], **settings: Any) -> Rows:
        return made(
            [(f"q {i}", f"p {i}", [f"n {i} {j}" for j in range(n)], None) for i, n in enumerate(counts)], **settings
        )

    mixture = Mixture([rows([7] * 50 + [3] * 50 + [6] * 4)], size=10)
    seen = Counter(n for b in islice(mixture.batches(), mixture.report[0].batches) for n in [b.negatives] * len(b))
    assert seen == {7: 50, 3: 54}  # four rows with six are too few for a batch of their own
    batch = Mixture([rows([7] * 20, negatives=2)], size=10).at(0)
    assert all(e.negatives == (f"n {e.row} 0", f"n {e.row} 1") for e in batch.examples)
    assert batch.texts()[20:] == [f"n {e.row} {j}" for e in batch.examples for j in (0, 1)]


def test_a_new_process_makes_the_same_batches(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"query": f"q {i % 50}", "positive": f"p {i}"} for i in range(120)])
    script = (
        "import sys; from crumb.training.data import Mixture, Source\n"
        "m = Mixture([Source(sys.argv[1])], size=8, seed=4)\n"
        "print([[e.row for e in m.at(s).examples] for s in range(70, 90)])"
    )
    made_there = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    mixture = Mixture([Source(path)], size=8, seed=4)
    assert json.loads(made_there.stdout) == [[e.row for e in mixture.at(step).examples] for step in range(70, 90)]


def test_token_counts_are_the_models(model: crumb.Model, texts: list[str]) -> None:
    counts = tokens_of(model.tokenizer, model.context)(texts)
    assert counts.tolist() == np.diff(model.prepare(texts).offsets).tolist()
    assert counts.max() == model.context
    few = [f"{text[:50]} {i}" for i, text in enumerate(texts)]
    exact = tokens_of(model.tokenizer, 10**6)(few)
    assert exact.tolist() == [n + model.tokenizer.n_special for n in model.tokenizer.count(few)]


def test_the_guides_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: crumb.Model) -> None:
    guide = (Path(__file__).parent.parent / "docs" / "training.md").read_text(encoding="utf-8")
    block = next(part for part in re.findall(r"```python\n(.*?)```", guide, re.DOTALL) if "crumb.training.data" in part)
    monkeypatch.chdir(tmp_path)
    for name in ("medquad", "faq", "pairs"):
        write(Path(f"{name}.jsonl.gz"), [{**row, "source": "ab"[i % 2]} for i, row in enumerate(PAIRS)])
    np.savez("vectors.npz", query=np.eye(7), positive=np.eye(7))
    names: dict[str, Any] = {"model": model, "start_step": 7}
    exec(block.replace("    ...\n", "    break\n"), names)
    assert names["batch"].step == 7
    assert [part.name for part in names["mixture"].report] == [
        "medquad",
        "faq",
        f"{tmp_path.name}/a",
        f"{tmp_path.name}/b",
    ]


def test_columns_of_a_batch(tmp_path: Path) -> None:
    graded = Mixture([Source(write(tmp_path / "g.jsonl", GRADED))], size=5).at(0)
    labels = graded.labels()
    assert labels is not None
    assert labels.dtype == np.float32
    assert labels.tolist() == [example.row / 2 for example in graded.examples]
    assert graded.scores() is None
    rows = [
        {"query": f"q {i}", "positive": f"p {i}", "negatives": [f"n {i}", f"m {i}"], "scores": [i, 0.5, -i]}
        for i in range(6)
    ]
    scored = Mixture([Source(write(tmp_path / "s.jsonl", rows), negatives=1)], size=6).at(0)
    scores = scored.scores()
    assert scores is not None
    assert scores.tolist() == [[example.row, 0.5] for example in scored.examples]
    assert scored.labels() is None


# a teacher's vectors


@pytest.mark.parametrize("form", ["npz", "int8", "npy"])
@pytest.mark.parametrize("center", [True, False])
def test_teacher_vectors_belong_to_the_rows(tmp_path: Path, form: str, center: bool) -> None:
    random = np.random.default_rng(3)
    vectors = random.normal(size=(2, 9, 5)).astype(np.float32) + np.array([[[3.0]], [[1.0]]], dtype=np.float32)
    if form == "int8":
        codes = np.round(vectors * 20).astype(np.int8)
        vectors = codes * np.float32(0.05)
        path = tmp_path / "v.npz"
        np.savez(path, query=codes[0], positive=codes[1], scale=np.float32(0.05))
    elif form == "npz":
        path = tmp_path / "v.npz"
        np.savez(path, query=vectors[0], positive=vectors[1])
    else:
        path = tmp_path / "v.npy"
        np.save(path, vectors)
    expected = vectors.astype(np.float64)
    if center:
        expected = expected - expected.mean(axis=1, keepdims=True)
    expected /= np.linalg.norm(expected, axis=2, keepdims=True)
    data = write(tmp_path / "a.jsonl", [*PAIRS[:2], "{", *PAIRS[2:], "{"][:9])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BadRowsWarning)
        batch = Mixture([Source(data, vectors=path, center=center, max_bad=1)], size=4, seed=1).at(1)
    numbers = [example.row for example in batch.examples]
    assert batch.teacher_queries is not None
    assert batch.teacher_positives is not None
    assert batch.teacher_queries.dtype == np.float32
    np.testing.assert_allclose(batch.teacher_queries, expected[0][numbers], atol=1e-6)
    np.testing.assert_allclose(batch.teacher_positives, expected[1][numbers], atol=1e-6)


def test_vectors_that_do_not_fit(tmp_path: Path) -> None:
    data = write(tmp_path / "a.jsonl", PAIRS)
    np.savez(tmp_path / "short.npz", query=np.ones((6, 2)), positive=np.ones((6, 2)))
    np.savez(tmp_path / "one.npz", query=np.ones((7, 2)))
    np.savez(tmp_path / "other.npz", query=np.ones((7, 2)), positive=np.ones((7, 3)))
    np.save(tmp_path / "flat.npy", np.ones((7, 2)))
    np.savez(tmp_path / "text.npz", query=np.array(["a"]), positive=np.array(["a"]))
    (tmp_path / "broken.npz").write_bytes(b"PK nothing")
    np.savez(tmp_path / "nan.npz", query=np.full((7, 2), np.nan), positive=np.ones((7, 2)))
    for name, message in (
        ("none.npz", "no such file"),
        ("short.npz", "vectors of 6 rows, .* has 7 rows"),
        ("one.npz", "no 'positive' among query"),
        ("other.npz", r"\[7, 2\], of positives \[7, 3\]"),
        ("flat.npy", r"expected \[2, n, t\]"),
        ("text.npz", "expected floats"),
        ("broken.npz", "not a NumPy file"),
        ("nan.npz", "not finite"),
    ):
        with pytest.raises(DataError, match=message):
            Mixture([Source(data, vectors=tmp_path / name)], size=4).at(0)
