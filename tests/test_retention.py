"""Every form of a tiny model against a direct computation: transformers' hidden states, numpy, scikit-learn's nDCG."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import PRECISIONS
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import ndcg_score
from test_checkpoint import save
from transformers import BertConfig, BertModel, BertTokenizerFast

import crumb
from crumb.checkpoint.extras import CALIBRATION, write_section
from crumb.errors import CheckpointError
from crumb.evaluation.beir import RetrievalSet
from crumb.evaluation.embed import Cost, Embedded
from crumb.evaluation.forms import ENCODINGS, Form
from crumb.evaluation.measure import as_run, load_for, measure
from crumb.evaluation.metrics import cutoff, score_rankings
from crumb.evaluation.rank import rank
from crumb.evaluation.rates import sample
from crumb.evaluation.retained import Retention
from crumb.evaluation.retention import best_of, retention
from crumb.evaluation.settings import Setting
from crumb.evaluation.sts import StsSet
from crumb.evaluation.tasks import RetrievalTask, StsTask
from crumb.vectors import cut, dequantize, normalize, quantize
from crumb.vectors.calibrate import calibrate

WORDS = [f"w{a}{b}" for a in "abcdef" for b in "abcdef"]
SIZES = [32, 12]


def sentences(seed: int, count: int, longest: int = 12) -> list[str]:
    generator = np.random.default_rng(seed)
    return [" ".join(generator.choice(WORDS, generator.integers(1, longest))) for _ in range(count)]


def a_set(name: str, seed: int, documents: int, queries: int) -> RetrievalSet:
    """Graded judgements, and documents that are equal, whose ids do not rise with their rows."""
    generator = np.random.default_rng(seed)
    texts = sentences(seed, documents - 6)
    texts += [texts[i] for i in range(6)]
    ids = [f"d{i:03}" for i in generator.permutation(documents)]
    asked = {f"q{i}": text for i, text in enumerate(sentences(seed + 1, queries))}
    qrels = {q: {ids[i]: int(generator.integers(1, 4)) for i in generator.integers(0, documents, 5)} for q in asked}
    return RetrievalSet(name, dict(zip(ids, texts, strict=True)), asked, qrels)


PARTS = {"one": a_set("one", 1, 40, 9), "two": a_set("two", 2, 26, 5)}
PAIRS = StsSet("pairs", sentences(7, 30), sentences(8, 30), [float(i % 6) for i in range(30)])
RETRIEVAL = RetrievalTask("found", lambda: PARTS, recipe={"seed": 1})
STS = StsTask("pairs", lambda: PAIRS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.3,
    )
    path = save(tmp_path_factory.mktemp("tiny"), BertModel(config, add_pooling_layer=False).eval())
    (path / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    found = calibrate(crumb.load(path, precision="float32").encode(sentences(5, 150)))
    write_section(path, CALIBRATION, found.as_dict())
    return path


@pytest.fixture(scope="module")
def found(folder: Path) -> Retention:
    return retention(folder, [RETRIEVAL, STS], precisions=("float32", "int8"), dimensions=[12], rounds=1)


@pytest.fixture(scope="module")
def states(folder: Path) -> Any:
    """Texts to mean-pooled hidden states of every layer, by transformers: float64 [layers + 1, n, 32]."""
    bert = BertModel.from_pretrained(folder, add_pooling_layer=False).eval().double()
    tokenizer = BertTokenizerFast(str(folder / "vocab.txt"), do_lower_case=True)

    def of(texts: list[str]) -> np.ndarray:
        rows = []
        for text in texts:
            with torch.no_grad():
                output = bert(**tokenizer(text, return_tensors="pt"), output_hidden_states=True)
            rows.append([state[0].mean(0).numpy() for state in output.hidden_states])
        return np.asarray(rows).transpose(1, 0, 2)

    return of


def unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def slow_ndcg(data: RetrievalSet, scores: np.ndarray, k: int = 10) -> float:
    """scikit-learn's over trec_eval's order: falling scores, then falling ids."""
    ids = list(data.corpus)
    values = []
    for query, row in zip(data.queries, np.round(scores, 6), strict=True):
        order = sorted(range(len(ids)), key=lambda i: (row[i], ids[i]), reverse=True)
        grades = [[data.qrels[query].get(ids[i], 0) for i in order]]
        values.append(ndcg_score(grades, [np.arange(len(ids), 0, -1)], k=k))
    return float(np.mean(values))


def test_the_grid_is_what_transformers_and_scikit_learn_say(found: Retention, states: Any) -> None:
    sides = {
        part: (states(list(data.queries.values())), states(list(data.corpus.values()))) for part, data in PARTS.items()
    }
    first, second = states(PAIRS.first), states(PAIRS.second)
    for layers in (1, 2, 3):
        for size in SIZES:
            expected = [
                slow_ndcg(PARTS[part], unit(q[layers][:, :size]) @ unit(d[layers][:, :size]).T)
                for part, (q, d) in sides.items()
            ]
            cell = found.cell(layers=layers, dimensions=size)
            assert cell.values["found"] == pytest.approx(np.mean(expected), abs=1e-9)
            cosines = (unit(first[layers][:, :size]) * unit(second[layers][:, :size])).sum(1)
            assert cell.values["pairs"] == pytest.approx(spearmanr(cosines, PAIRS.scores).statistic, abs=1e-9)
    assert len({found.cell(layers=i, dimensions=j).values["found"] for i in (1, 2, 3) for j in SIZES}) == 6


def test_encodings_are_what_they_stand_for(found: Retention, folder: Path) -> None:
    """Scores of codes by numpy, from `quantize` and `dequantize`."""
    model = crumb.load(folder, precision="float32")
    for size in SIZES:
        ranges = model.ranges(size)

        def vectors(texts: Any, size: int = size) -> np.ndarray:
            return normalize(cut(model.encode(list(texts)), size))

        def kept(rows: np.ndarray, encoding: Any, ranges: Any = ranges, size: int = size) -> np.ndarray:
            bits = {"dimensions": size} if encoding == "binary" else {}
            back = dequantize(quantize(rows, encoding, ranges=ranges), encoding, ranges=ranges, **bits)
            return unit(back.astype(np.float64))

        for name in ("float16", "int8", "binary", "binary-both"):
            stored = name.removesuffix("-both")
            expected = []
            for data in PARTS.values():
                asks, rows = vectors(data.queries.values()), vectors(data.corpus.values())
                scores = (kept(asks, stored) if name == "binary-both" else asks) @ kept(rows, stored).T
                expected.append(slow_ndcg(data, scores))
            cell = found.cell(dimensions=size, encoding=name)
            assert cell.values["found"] == pytest.approx(np.mean(expected), abs=1e-9), name
            a, b = vectors(PAIRS.first), vectors(PAIRS.second)
            cosines = ((kept(a, stored) if name == "binary-both" else a) * kept(b, stored)).sum(1)
            close = spearmanr(np.round(cosines, 9), PAIRS.scores).statistic
            assert cell.values["pairs"] == pytest.approx(close, abs=2e-3), name
        # 200 candidates are all there are: rescored, bits lose nothing here; pairs have no candidates
        rescored = found.cell(dimensions=size, encoding="binary-rescore").values
        assert rescored == {"found": found.cell(dimensions=size).values["found"]}
    assert found.cell(encoding="binary-both").values["found"] < found.full.values["found"]


def test_other_precisions_are_measured_as_by_themselves(found: Retention, folder: Path) -> None:
    model = load_for(folder, Setting(precision="int8"))
    for layers in (1, 2, 3):
        setting = Setting(precision="int8", layers=layers)
        cell = found.cell(precision="int8", layers=layers)
        for task in (RETRIEVAL, STS):
            assert cell.values[task.name] == measure(model, task, setting).value
        assert cell.tokens_per_second is not None
        assert cell.tokens_per_second > 0


def test_shares_and_data(found: Retention) -> None:
    assert (found.layers, found.dimensions, found.precisions) == ([3, 2, 1], SIZES, ["float32", "int8"])
    assert found.full.form == Form("float32", 3, 32)
    assert found.full.shares == {"found": 1.0, "pairs": 1.0}
    assert len(found.cells) == 3 * 2 + 5 * 2 + 3
    cell = found.cell(layers=2, dimensions=12)
    assert cell.shares == {name: cell.values[name] / found.full.values[name] for name in ("found", "pairs")}
    assert cell.mean == pytest.approx(sum(cell.shares.values()) / 2)
    assert cell.worst == min(cell.shares.items(), key=lambda item: item[1])
    sizes = {name: found.cell(dimensions=12, encoding=name).form.stored_bytes for name in ENCODINGS}
    assert sizes == {"float32": 48, "float16": 24, "int8": 12, "binary": 2, "binary-both": 2, "binary-rescore": 2}
    assert found.tasks == {"found": "nDCG@10", "pairs": "Spearman"}
    assert found.data["found"] == {"seed": 1}
    assert Retention.from_dict(json.loads(json.dumps(found.as_dict()))) == found
    with pytest.raises(KeyError, match="not measured"):
        found.cell(layers=2, encoding="int8")


def test_chunks_are_read_layer_by_layer(folder: Path) -> None:
    """Readings in chunks take one pass a layer, and come to the same."""
    setting = Setting(reading="chunk-best", chunk=6)
    found = retention(
        folder, [RETRIEVAL], precisions=["float32"], dimensions=[], encodings=[], setting=setting, rounds=0
    )
    model = load_for(folder, setting)
    for layers in (1, 3):
        expected = measure(model, RETRIEVAL, Setting(reading="chunk-best", chunk=6, layers=layers)).value
        assert found.cell(layers=layers).values["found"] == expected
    assert found.full.tokens_per_second is None


@settings(deadline=None, max_examples=60)
@given(
    rows=st.integers(1, 120),
    size=st.integers(1, 8),
    k=st.integers(1, 12),
    both=st.booleans(),
    seed=st.integers(0, 999),
)
def test_ties_are_seen_to_their_end(rows: int, size: int, k: int, both: bool, seed: int) -> None:
    """Few bits tie all the time; what is scored is as if every document had been ranked."""
    generator = np.random.default_rng(seed)
    ids = [str(i) for i in generator.permutation(rows)]
    data = RetrievalSet(
        "", dict.fromkeys(ids, ""), {"a": "", "b": ""}, {"a": {ids[0]: 1}, "b": {ids[-1]: 2, ids[0]: 1}}
    )
    cost = Cost(0, 0, 0, 0, 0.0)
    vectors = [generator.standard_normal((n, size)).astype(np.float32) for n in (2, rows)]
    embedded = Embedded(*vectors, None, cost, cost)
    setting = Setting(stored="binary", coded_queries=both)
    measures = [f"nDCG@{k}", f"R@{k}"]
    some = as_run(data, best_of(embedded, setting, None, k))
    assert score_rankings(data.qrels, some, measures) == score_rankings(
        data.qrels, as_run(data, rank(embedded, setting, None, rows)), measures
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tasks": []}, "nothing to measure"),
        ({"precisions": ["auto"]}, r"precisions must be named, 'float32', 'bf16', 'int8', got \['auto'\]"),
        ({"precisions": []}, "precisions must be named"),
        ({"encodings": ["int4"]}, "unknown encoding 'int4'; choose 'float32', 'float16'"),
        ({"layers": [4]}, "layers must be whole numbers from 1 to 3, got 4"),
        ({"dimensions": [0]}, "dimensions must be whole numbers from 1 to 32, got 0"),
        ({"setting": Setting(layers=2)}, "layers=2 is a form, of which all are measured"),
        ({"setting": Setting(stored="int8")}, "stored='int8' is a form"),
    ],
)
def test_what_cannot_be_measured(folder: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        retention(folder, **{"tasks": [STS], "precisions": ["float32"], **arguments})


def test_every_precision_that_runs_here(folder: Path) -> None:
    found = retention(folder, [STS], layers=[], dimensions=[], encodings=[], rounds=0)
    assert found.precisions == [p for p in ("float32", "bf16", "int8") if p in set(PRECISIONS.values())]


def test_bytes_need_ranges(folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        if path.name != "crumb.json":
            (tmp_path / path.name).symlink_to(path)
    with pytest.raises(CheckpointError, match="crumb calibrate"):
        retention(tmp_path, [STS], precisions=["float32"])


def test_cutoffs() -> None:
    assert [cutoff(name) for name in ("nDCG@10", "R@100", "AP")] == [10, 100, None]
    with pytest.raises(ValueError, match="does not know the measure nDCG@ten"):
        cutoff("nDCG@ten")


def test_a_sample_takes_from_all() -> None:
    assert sample([["a" * 10] * 3, ["b" * 10] * 900], characters=45) == ["a" * 10, "b" * 10] * 2 + ["a" * 10]
    assert sample([[], ["c"]]) == ["c"]
    assert sample([]) == []
