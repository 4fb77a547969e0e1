"""Teachers' scores and vectors: against sentence-transformers, an SVD, and the equations written out."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import crumb
from crumb.errors import CheckpointError, ModelNotFoundError
from crumb.training.data import Mixture, Rows, Source, read_source
from crumb.training.data.shapes import Row
from crumb.training.distill import Taught, Wanted, joined, principal, scores, spread, teach
from crumb.training.teachers import open_teacher

Run = Callable[..., subprocess.CompletedProcess[str]]

ROWS: list[dict[str, Any]] = [
    {
        "query": "how are keys rotated?",
        "positive": "Every month, by night.",
        "negatives": ["Tea is ready.", "No."],
    },
    {
        "query": "when is tea served?",
        "positive": "Tea is ready at four.",
        "negatives": ["Every month, by night."],
    },
    {"query": "who feeds the cat?", "positive": "Ann does before breakfast.", "negatives": []},
    {"query": "when is tea served?", "positive": "At four.", "negatives": ["At five.", "Ann does before breakfast."]},
]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "house.jsonl"
    lines = [json.dumps(row) for row in ROWS]
    path.write_text("\n".join([*lines[:2], "{", *lines[2:]]) + "\n")
    return path


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, model_folder: Path) -> Path:
    """A random BERT of 2 layers and 32 dimensions that sentence-transformers reads, with prompts of its own."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import AutoTokenizer, BertConfig, BertModel

    torch.manual_seed(0)
    bare = tmp_path_factory.mktemp("bare")
    config = BertConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, max_position_embeddings=32
    )
    BertModel(config).save_pretrained(bare)
    AutoTokenizer.from_pretrained(str(model_folder)).save_pretrained(bare)
    encoder = Transformer(str(bare), max_seq_length=16)
    prompts = {"query": "ask: ", "document": "tell: "}
    folder = tmp_path_factory.mktemp("tiny")
    made = SentenceTransformer(modules=[encoder, Pooling(32)], prompts=prompts, device="cpu")
    made.save_pretrained(str(folder))
    return folder


def test_teachers_of_both_libraries_agree(tiny: Path) -> None:
    texts = ["a cat", "keys are rotated", "word " * 40]
    ours, theirs = open_teacher(str(tiny)), open_teacher(f"st:{tiny}")
    for kind in ("query", "passage"):
        a, b = ours.encode(texts, kind), theirs.encode(texts, kind)
        assert a.dtype == b.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(b, axis=1), 1, atol=1e-5)
        assert (a * b).sum(1).min() > 0.999
    assert ours.cut == theirs.cut == 2
    # the checkpoint's own prompts, unless others are given
    assert not np.allclose(ours.encode(["a"], "query"), ours.encode(["a"], "passage"), atol=1e-3)
    for name in (str(tiny), f"st:{tiny}"):
        given = open_teacher(name, query_prompt="tell: ", passage_prompt="")
        np.testing.assert_allclose(given.encode(["a"], "query"), open_teacher(name).encode(["a"], "passage"), atol=1e-6)
        assert given.settings()["prompts"]["passage" if ":" not in name else "query"] in ("", "tell: ")


def test_what_is_no_teacher(tmp_path: Path, tiny: Path) -> None:
    with pytest.raises(ModelNotFoundError):
        open_teacher("no-such-model")
    with pytest.raises(CheckpointError, match="no such folder"):
        open_teacher(f"st:{tmp_path / 'none'}")
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    with pytest.raises(CheckpointError, match=f"if sentence-transformers loads it, call it st:{tmp_path}"):
        open_teacher(str(tmp_path))
    with pytest.raises(CheckpointError, match="sentence-transformers cannot load it"):
        open_teacher(f"st:{tmp_path}")


def made(n: int, seed: int = 0) -> tuple[Rows, Wanted, list[Taught]]:
    """Random rows that share texts, and two teachers with random vectors."""
    random = np.random.default_rng(seed)
    rows = Rows(Source("nowhere", name="made"))
    for i in range(n):
        negatives = [f"p {j}" for j in random.choice(n, random.integers(0, 4), replace=False) if j != i // 2]
        rows.add(Row(f"q {i // 3}", f"p {i // 2}", negatives), i + i // 2, i + 1)
    rows.total = n + n // 2
    rows.close("")
    wanted = Wanted(rows, negatives=True)
    taught = []
    for name, d in (("a", 5), ("b", 3)):
        q, p = random.normal(size=(len(wanted.queries), d)), random.normal(1, 1, size=(len(wanted.passages), d))
        q, p = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (q, p))
        q, p = q.astype(np.float32), p.astype(np.float32)
        taught.append(Taught(name, q, p, spread(q[wanted.query], p, wanted.positive)))
    return rows, wanted, taught


def test_scores_are_the_mean_of_standardised_cosines() -> None:
    rows, wanted, taught = made(40)
    queries, passages = wanted.texts("query"), wanted.texts("passage")
    assert len(set(queries)) == len(queries)
    assert len(set(passages)) == len(passages)
    for row, example in enumerate(rows):
        q = queries.index(example.query)
        texts = [passages.index(text) for text in (example.positive, *example.negatives)]
        each = [one.passages[texts].astype(float) @ one.queries[q].astype(float) for one in taught]
        expected = sum(s / one.spread for s, one in zip(each, taught, strict=True) if one.spread) / 2
        np.testing.assert_allclose(scores(wanted, taught, row), expected, rtol=1e-12)
        plain = Taught("a", taught[0].queries, taught[0].passages)
        np.testing.assert_allclose(scores(wanted, [plain], row), each[0], rtol=1e-12)


def test_spread_is_that_of_all_pairs() -> None:
    _, wanted, taught = made(60)
    for one in taught:
        table = one.queries[wanted.query].astype(float) @ one.passages[wanted.positive].astype(float).T
        everything = table[~np.eye(60, dtype=bool)]
        assert one.spread == pytest.approx(everything.std(), rel=0.03)  # 20,000 drawn of 3,540
    same = np.ones((4, 2), dtype=np.float32)
    with pytest.raises(ValueError, match="same score"):
        spread(same, same, np.arange(4))
    with pytest.raises(ValueError, match="there is only 1"):
        spread(same[:1], same, np.arange(1))


def test_joined_vectors_have_the_scores_as_products() -> None:
    rows, wanted, taught = made(30)
    query, positive = joined(wanted, taught)
    assert query.shape == positive.shape == (45, 8)
    bad = np.setdiff1d(np.arange(45), rows.numbers)
    assert not query[bad].any()
    assert not positive[bad].any()
    for row, number in enumerate(rows.numbers.tolist()):
        assert query[number] @ positive[number] == pytest.approx(scores(wanted, taught, row)[0], rel=1e-5)
    # projected, they keep as much as the best rank-k approximation does (Eckart and Young 1936)
    stacked = np.concatenate([query, positive]).astype(float)
    values = np.linalg.svd(stacked, compute_uv=False)
    for k in (1, 3, 8):
        cut = np.concatenate(joined(wanted, taught, dimensions=k))
        assert cut.shape[1] == k
        assert (cut**2).sum() == pytest.approx((values[:k] ** 2).sum(), rel=1e-5)
        directions = principal([query, positive], k)
        np.testing.assert_allclose(directions.T @ directions, np.eye(k), atol=1e-5)
    with pytest.raises(ValueError, match="from 1 to the 8"):
        joined(wanted, taught, dimensions=9)


def test_the_command(run_crumb: Run, source: Path, tmp_path: Path, tiny: Path, default: crumb.Model) -> None:
    out, npz = tmp_path / "scored.jsonl", tmp_path / "v.npz"
    command = ["distill", str(source), "--teacher", "all-MiniLM-L6-v2", "--query-prompt", "ask: ", "--max-bad", "0.5"]
    done = run_crumb(*command, "-o", str(out), "--vectors", str(npz))
    assert done.returncode == 0, done.stderr
    assert "1 of 5 rows are bad" in done.stderr
    assert f"wrote the scores of 4 rows to {out}" in done.stderr
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    for line, row in zip(lines, ROWS, strict=True):
        assert {name: line[name] for name in row} == row
        vectors = default.encode([row["positive"], *row["negatives"]])
        np.testing.assert_allclose(line["scores"], vectors @ default.encode("ask: " + row["query"]), atol=2e-6)
    rows = read_source(Source(out))
    assert rows.has_scores
    for example, line in zip(rows, lines, strict=True):
        assert example.scores == pytest.approx(line["scores"])
    # vectors keep the numbers of the file's rows, the bad one's too
    with np.load(npz) as arrays:
        assert arrays["query"].shape == (5, 384)
        assert not arrays["query"][2].any()
        np.testing.assert_allclose(arrays["positive"][4], default.encode("At four."), atol=1e-3)
    with pytest.warns(UserWarning, match="rows are bad"):
        batch = Mixture([Source(source, vectors=npz, center=False, max_bad=0.5, negatives=0)], size=2).at(0)
    assert batch.teacher_queries is not None
    expected = default.encode(["ask: " + example.query for example in batch.examples])
    np.testing.assert_allclose(batch.teacher_queries, expected, atol=1e-3)
    # two teachers of two libraries: the mean of what each says, divided by its spread
    two = tmp_path / "two.jsonl"
    done = run_crumb(*command, "--teacher", f"st:{tiny}", "-o", str(two))
    assert done.returncode == 0, done.stderr
    record = json.loads(Path(f"{two}.crumb.json").read_text())
    assert record["settings"]["standardized"] is True
    divisors = record["spreads"]["house"]
    with pytest.warns(UserWarning, match="rows are bad"):
        wanted = Wanted(read_source(Source(source, max_bad=0.5)), negatives=True)
    second = open_teacher(f"st:{tiny}")
    other = teach(wanted, second, standardized=False)
    for i, text in enumerate(two.read_text().splitlines()):
        ours = np.array(lines[i]["scores"]) / divisors["all-MiniLM-L6-v2"]
        theirs = scores(wanted, [other], i) / divisors[second.name]
        np.testing.assert_allclose(json.loads(text)["scores"], (ours + theirs) / 2, rtol=1e-3)
    assert divisors[second.name] == pytest.approx(
        spread(other.queries[wanted.query], other.passages, wanted.positive), rel=1e-4
    )


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--teacher", "x"], "give -o for scores, --vectors for vectors"),
        (["-o", "a.jsonl"], "--teacher"),
        (["-o", "a.jsonl", "--teacher", "x", "--teacher", "x"], "the same teacher twice"),
        (["-o", "a.jsonl", "--teacher", "x", "--dimensions", "3"], "--dimensions is for --vectors"),
        (["other.jsonl", "--vectors", "a.npz", "--teacher", "x"], "the rows of one source"),
    ],
)
def test_wrong_use(run_crumb: Run, source: Path, more: list[str], message: str) -> None:
    done = run_crumb("distill", str(source), *more)
    assert done.returncode == 2
    assert message in done.stderr


def test_graded_pairs_and_pairs_without_negatives(run_crumb: Run, tmp_path: Path) -> None:
    graded, pairs = tmp_path / "graded.jsonl", tmp_path / "pairs.jsonl"
    graded.write_text('{"text1": "a", "text2": "b", "label": 1}\n')
    pairs.write_text('{"query": "a", "positive": "b"}\n{"query": "c", "positive": "d"}\n')
    refused = run_crumb("distill", str(graded), "--teacher", "all-MiniLM-L6-v2", "-o", str(tmp_path / "o.jsonl"))
    assert refused.returncode == 1
    assert "graded pairs have their labels" in refused.stderr
    done = run_crumb("distill", str(pairs), "--teacher", "all-MiniLM-L6-v2", "-o", str(tmp_path / "o.jsonl"))
    assert done.returncode == 0, done.stderr
    assert "has no negatives: each row has one score only" in done.stderr
    assert [len(e.scores or ()) for e in read_source(Source(tmp_path / "o.jsonl"))] == [1, 1]
