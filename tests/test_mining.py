"""Hard negatives: every ranking, fusion and margin against a slow direct form; the command as a person runs it."""

from __future__ import annotations

import gzip
import json
import math
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import can_be_interrupted
from hypothesis import given, settings
from hypothesis import strategies as st

import crumb
from crumb.training.data import Mixture, Rows, Source, read_source
from crumb.training.data.rows import normal_form
from crumb.training.data.shapes import Row
from crumb.training.mining.bm25 import Bm25
from crumb.training.mining.mine import ABSOLUTE, ANSWER, RANK, RELATIVE, Choice, Pool, Report, mine
from crumb.training.mining.ranking import Dense, best, fuse

Run = Callable[..., subprocess.CompletedProcess[str]]
words = st.lists(st.sampled_from(["alpha", "beta", "Beta", "the", "a", "é_1", "7"]), max_size=8).map(" ".join)


def slow_bm25(query: str, passages: Sequence[str], k1: float = 1.2, b: float = 0.75) -> list[float]:
    """Robertson and Zaragoza's formula as it stands in the module, one word after the other."""
    tokens = [re.findall(r"\w+", passage.lower()) for passage in passages]
    mean = sum(map(len, tokens)) / len(tokens)
    scores = [0.0] * len(passages)
    for word in re.findall(r"\w+", query.lower()):
        n = sum(word in there for there in tokens)
        if n:
            idf = math.log(1 + (len(passages) - n + 0.5) / (n + 0.5))
            for i, there in enumerate(tokens):
                tf = there.count(word)
                scores[i] += idf * tf / (tf + k1 * (1 - b + b * len(there) / mean))
    return scores


@settings(max_examples=60, deadline=None)
@given(st.lists(words, min_size=1, max_size=4), st.lists(words, min_size=1, max_size=12))
def test_bm25_is_the_formula(queries: list[str], passages: list[str]) -> None:
    pytest.importorskip("bm25s", reason="needs the extra [train]")
    block = Bm25(queries, passages).block(np.arange(len(queries)))
    scores, ranked = block.top(5)
    for i, query in enumerate(queries):
        expected = slow_bm25(query, passages)
        np.testing.assert_allclose(block.at(i, np.arange(len(passages))), expected, rtol=1e-5, atol=1e-6)
        kept = ranked[i][ranked[i] >= 0]
        assert len(kept) == min(5, sum(score > 0 for score in expected))
        np.testing.assert_allclose(scores[i][: len(kept)], sorted(expected, reverse=True)[: len(kept)], rtol=1e-5)
        assert len(set(kept.tolist())) == len(kept)


@given(st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=20), st.integers(1, 25))
def test_best_is_a_stable_sort(scores: list[float], k: int) -> None:
    expected = sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:k]
    assert best(np.array(scores, dtype=np.float32), k).tolist() == expected


@given(st.lists(st.lists(st.integers(0, 15), unique=True, max_size=10), min_size=1, max_size=3), st.booleans())
def test_fusion_is_the_sum_of_reciprocal_ranks(lists: list[list[int]], intersect: bool) -> None:
    points: Counter[int] = Counter()
    for one in lists:
        for rank, passage in enumerate(one, 1):
            points[passage] += 1 / (60 + rank)
    allowed = set.intersection(*map(set, lists)) if intersect else set(points)
    expected = sorted(allowed, key=lambda passage: (-points[passage], passage))
    assert fuse([np.array(one, dtype=np.int64) for one in lists], intersect=intersect).tolist() == expected


def made(triples: Sequence[tuple[str, str, Sequence[str]]]) -> Rows:
    rows = Rows(Source("nowhere", name="made"))
    for number, (query, positive, negatives) in enumerate(triples):
        rows.add(Row(query, positive, negatives), number, number + 1)
        rows.total += 1
    rows.close("")
    return rows


def slow_mine(rows: Rows, rankers: dict[str, np.ndarray], pool: Pool, choice: Choice) -> list[dict[str, Any]]:
    """The module's text, followed to the letter; rankers: scores [queries, passages]."""
    out = []
    passages, queries = pool.passage_texts(), pool.query_texts()
    examples = list(rows)
    for example in examples:
        q = queries.index(example.query)
        answers = {normal_form(e.positive) for e in examples if normal_form(e.query) == normal_form(example.query)}
        answers.add(normal_form(example.query))
        lists = []
        for scores in rankers.values():
            order = sorted(range(len(passages)), key=lambda p: (-scores[q, p], p))
            lists.append([p for p in order if normal_form(passages[p]) not in answers][: choice.depth])
        points: Counter[int] = Counter()
        for one in lists:
            for rank, p in enumerate(one, 1):
                points[p] += 1 / (60 + rank)
        candidates = [p for p in points if not choice.intersect or all(p in one for one in lists)]
        positive = next(p for p in range(len(passages)) if normal_form(passages[p]) == normal_form(example.positive))
        taken = []
        for p in sorted(candidates, key=lambda p: (-points[p], p)):
            if any(p in one[: choice.skip] for one in lists) or len(taken) == choice.count:
                continue
            far = True
            for scores in rankers.values():
                s, own = float(scores[q, p]), float(scores[q, positive])
                if choice.relative is not None:
                    far &= s < own - abs(own) * (1 - choice.relative)
                if choice.margin is not None:
                    far &= s < own - choice.margin
            if far:
                taken.append(p)
        out.append(
            {
                "negatives": [passages[p] for p in taken],
                "scores": {n: [float(s[q, p]) for p in [positive, *taken]] for n, s in rankers.items()},
            }
        )
    return out


short = st.sampled_from([f"text {i}" for i in range(18)] + ["Text  1", "TEXT 2"])
triple = st.tuples(short, short, st.lists(short, max_size=3)).filter(lambda row: row[1] not in row[2])


@settings(max_examples=80, deadline=None)
@given(
    st.lists(triple, min_size=1, max_size=25),
    st.integers(0, 10**6),
    st.integers(1, 2),
    st.builds(
        Choice,
        count=st.integers(1, 4),
        depth=st.integers(3, 12),
        skip=st.integers(0, 2),
        relative=st.sampled_from([None, 0.5, 0.95, 1.0]),
        margin=st.sampled_from([None, 0.0, 0.2]),
        intersect=st.booleans(),
    ),
)
def test_mining_is_what_its_text_says(data: list[Any], seed: int, models: int, choice: Choice) -> None:
    rows = made(data)
    pool = Pool(rows, rows.parts[0].members)
    random = np.random.default_rng(seed)
    rankers, tables = [], {}
    for i in range(models):
        # whole numbers over 8: products are exact, so that ties are ties
        queries = (random.integers(-8, 9, (len(pool.queries), 4)) / 8).astype(np.float32)
        passages = (random.integers(-8, 9, (len(pool.passages), 4)) / 8).astype(np.float32)
        rankers.append(Dense(f"m{i}", queries, passages))
        tables[f"m{i}"] = queries @ passages.T
    report, done = Report(), []
    found = list(mine(pool, rankers, choice, report, done.append))
    expected = slow_mine(rows, tables, pool, choice)
    assert [mined.row for mined in found] == list(range(len(rows)))
    assert sum(done) == report.rows == len(rows)
    for mined, slow in zip(found, expected, strict=True):
        assert [rows.texts[number] for number in mined.negatives] == slow["negatives"]
        assert mined.scores == slow["scores"]
    counts = [len(slow["negatives"]) for slow in expected]
    assert report.negatives == sum(counts)
    assert report.without == counts.count(0)
    assert report.short == sum(n < choice.count for n in counts)


def test_what_is_passed_over_is_counted_by_its_reason() -> None:
    rows = made([("q", "p", [f"n{i}" for i in range(6)]), ("Q ", "other answer", [])])
    pool = Pool(rows, rows.parts[0].members)
    scores = {"p": 1, "other answer": 1, "n0": 0.875, "n1": 0.99, "n2": 0.97, "n3": 0.92, "n4": 0.5, "n5": 0.4}
    passages = np.array([[scores[text]] for text in pool.passage_texts()], dtype=np.float32)
    report = Report()
    dense = Dense("m", np.ones((2, 1), dtype=np.float32), passages)
    first, second = mine(pool, [dense], Choice(count=1, skip=1, relative=0.95, margin=0.1), report)
    # n1 is the first rank, n2 above 0.95, n3 above 0.9, n0 is taken, and nobody looks at n4 and n5
    assert [rows.texts[n] for n in first.negatives] == [rows.texts[n] for n in second.negatives] == ["n0"]
    assert report.as_dict() == {
        "rows": 2,
        "negatives": 2,
        "without": 0,
        "short": 0,
        "passed": {RANK: 2, RELATIVE: 2, ABSOLUTE: 2, ANSWER: 4},
        "first": {"m": 2},
    }


def test_choices_are_checked() -> None:
    for wrong in (
        {"count": 0},
        {"skip": 100},
        {"relative": 0},
        {"relative": 1.1},
        {"margin": -1},
        {"margin": math.nan},
    ):
        with pytest.raises(ValueError, match=r"must be|is a share"):
            Choice(**wrong)
    rows = made([("q", "p", [])])
    dense = Dense("m", np.ones((1, 1), dtype=np.float32), np.ones((1, 1), dtype=np.float32))
    for rankers in ([], [dense, dense]):
        with pytest.raises(ValueError, match="different names"):
            list(mine(Pool(rows, rows.parts[0].members), rankers, Choice(), Report()))


# the command

TEXTS = [
    ("how are keys rotated?", "Keys are rotated every month by the night job."),
    ("when is tea served?", "Tea is ready at four in the kitchen."),
    ("who feeds the cat?", "Ann feeds the cat before breakfast."),
    ("where do bicycles go?", "Bicycles are kept in the shed behind the house."),
    ("what does the night job do?", "The night job makes backups and rotates keys."),
    ("when is coffee served?", "Coffee is ready at three in the kitchen."),
    ("how is bread made?", "Bread rises overnight and is baked at six."),
    ("who waters the plants?", "Ben waters the plants on Mondays."),
]


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "house.jsonl"
    path.write_text(
        "".join(json.dumps({"query": q, "positive": p, "who": i % 2}) + "\n" for i, (q, p) in enumerate(TEXTS))
    )
    return path


def test_the_command_by_a_model_and_by_words(run_crumb: Run, pairs: Path, tmp_path: Path, default: crumb.Model) -> None:
    pytest.importorskip("bm25s", reason="needs the extra [train]")
    out = tmp_path / "mined.jsonl.gz"
    command = ["mine", str(pairs), "--by", "bm25", "--by", "all-MiniLM-L6-v2", "--query-prompt", "question: "]
    command += ["-o", str(out), "--count", "3", "--skip", "1", "--relative", "0.9", "--group", "who"]
    done = run_crumb(*command)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    lines = [json.loads(line) for line in gzip.decompress(out.read_bytes()).decode().splitlines()]
    assert [(line["query"], line["positive"]) for line in lines] == TEXTS
    assert [line["group"] for line in lines] == [str(i % 2) for i in range(8)]
    queries = default.encode([f"question: {q}" for q, _ in TEXTS])
    passages = [p for _, p in TEXTS]
    cosines = queries @ default.encode(passages).T
    for i, line in enumerate(lines):
        places = [passages.index(text) for text in line["negatives"]]
        words = slow_bm25(line["query"], passages)
        np.testing.assert_allclose(line["mined"]["all-MiniLM-L6-v2"], cosines[i, [i, *places]], atol=2e-6)
        np.testing.assert_allclose(line["mined"]["bm25"], [words[p] for p in [i, *places]], atol=2e-6)
        others = np.delete(cosines[i], i)
        assert max(cosines[i, places], default=-1) < 0.9 * cosines[i, i]
        assert others.max() not in cosines[i, places]  # the first rank was to be passed over
    found = sum(len(line["negatives"]) for line in lines)
    assert found > 12
    assert f"8 rows have {found} negatives" in done.stderr
    assert "passages passed over: among the first ranks" in done.stderr
    assert "all-MiniLM-L6-v2 puts the positive first in " in done.stderr
    # what the output was made from stands beside it, and the reader reads it
    record = json.loads((tmp_path / "mined.jsonl.gz.crumb.json").read_text())
    assert record["complete"] is True
    assert record["data"] == [{"source": "house", "sha256": read_source(Source(pairs)).sha256, "rows": 8, "bad": 0}]
    assert record["settings"]["choice"]["relative"] == 0.9
    assert record["settings"]["by"][1]["prompts"] == {"query": "question: ", "passage": ""}
    assert record["report"]["negatives"] == found
    rows = read_source(Source(out, group="group"))
    assert [e.negatives for e in rows] == [tuple(line["negatives"]) for line in lines]
    assert next(islice(Mixture([rows], size=2).batches(), 1)).texts()
    # the same command makes the same bytes, and an existing file is not replaced unasked
    before = out.read_bytes()
    assert run_crumb(*command).returncode == 1
    assert run_crumb(*command, "--force").returncode == 0
    assert out.read_bytes() == before


def test_sources_and_their_parts_are_mined_each_for_itself(run_crumb: Run, pairs: Path, tmp_path: Path) -> None:
    pytest.importorskip("bm25s", reason="needs the extra [train]")
    rows = [{"q": q, "a": a, "of": "xy"[i % 2]} for i, (q, a) in enumerate(TEXTS)]
    other = tmp_path / "other.jsonl"
    other.write_text("".join(json.dumps(row) + "\n" for row in rows) + "{\n")
    out = tmp_path / "o.jsonl"
    command = [
        "mine",
        str(other),
        "--by",
        "bm25",
        "-o",
        str(out),
        "--columns",
        "query=q",
        "positive=a",
        "--split",
        "of",
    ]
    refused = run_crumb(*command)
    assert refused.returncode == 1
    assert f"{other}: 1 of 9 rows are bad (11.11%): 1 x not JSON (line 9)" in refused.stderr
    assert not out.exists()
    done = run_crumb(*command, "--max-bad", "0.2", "--relative", "none")
    assert done.returncode == 0, done.stderr
    assert "crumb: warning: " in done.stderr
    place = {a: i for i, (_, a) in enumerate(TEXTS)}
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert sorted(line["source"] for line in lines) == ["other/x"] * 4 + ["other/y"] * 4
    assert sum(len(line["negatives"]) for line in lines) > 8
    for line in lines:
        assert {place[text] % 2 for text in line["negatives"]} <= {place[line["positive"]] % 2}
    assert [part.name for part in read_source(Source(out, split="source", name="all")).parts] == [
        "all/other/x",
        "all/other/y",
    ]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "--by"),
        (["--by", "bm25", "--by", "bm25"], "the same ranker twice"),
        (["--by", "bm25", "--query-prompt", "q"], "bm25 has no prompts"),
        (["--query-prompt", "q", "--by", "bm25"], "belongs to the model that is named before it"),
        (["--by", "bm25", "--relative", "much"], "neither a number nor none"),
        (["--by", "bm25", "--columns", "query"], "not ROLE=COLUMN"),
    ],
)
def test_wrong_use(run_crumb: Run, pairs: Path, more: list[str], message: str) -> None:
    done = run_crumb("mine", str(pairs), "-o", "out.jsonl", *more)
    assert done.returncode == 2
    assert message in done.stderr


@pytest.mark.parametrize(
    ("out", "more", "message"),
    [
        ("out.txt", [], "expected a name that ends in .jsonl or .jsonl.gz"),
        ("none/out.jsonl", [], "there is no folder"),
        ("house.jsonl", ["--force"], "is, or lies in, the input"),
        ("out.jsonl", ["--by", "st:none"], "no such folder"),
        ("out.jsonl", ["--skip", "100"], "skip must be"),
    ],
)
def test_what_is_refused(run_crumb: Run, pairs: Path, tmp_path: Path, out: str, more: list[str], message: str) -> None:
    done = run_crumb("mine", str(pairs), "--by", "bm25", "-o", str(tmp_path / out), *more)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["house.jsonl"]


def test_an_interrupted_run_leaves_what_was_there(tmp_path: Path, crumb_env: dict[str, str]) -> None:
    pytest.importorskip("bm25s", reason="needs the extra [train]")
    random = np.random.default_rng(0)
    source, out = tmp_path / "much.jsonl", tmp_path / "out.jsonl"
    common = [f"w{i}" for i in range(300)]
    with source.open("w") as file:
        for i in range(6000):
            text = " ".join(random.choice(common, 60))
            file.write(json.dumps({"query": f"{text} {i}", "positive": f"{i} {text}"}) + "\n")
    out.write_text("old\n")
    command = [sys.executable, "-m", "crumb.cli", "mine", str(source), "--by", "bm25", "-o", str(out), "--force"]
    process = subprocess.Popen(command, env=crumb_env, stderr=subprocess.PIPE, text=True, preexec_fn=can_be_interrupted)
    deadline = time.monotonic() + 60
    while not any(path.name.endswith(".part") and path.stat().st_size for path in tmp_path.iterdir()):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.endswith("crumb: interrupted\n")
    assert out.read_text() == "old\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["much.jsonl", "out.jsonl"]
