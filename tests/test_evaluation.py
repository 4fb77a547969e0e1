"""Metrics against scikit-learn, SciPy and direct forms; readers on sets small enough to check by eye; intervals against
SciPy's bootstrap; and one real evaluation through the command line, computed once more with sentence-transformers."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap, spearmanr
from sklearn.metrics import ndcg_score

from crumb.cli import main
from crumb.errors import DamagedFileError
from crumb.evaluation.beir import read_retrieval_set
from crumb.evaluation.catalogue import TaskNotFoundError, find_tasks
from crumb.evaluation.compare import compare
from crumb.evaluation.embed import Cost, Embedded
from crumb.evaluation.evaluate import Asked, rival_settings
from crumb.evaluation.measure import as_run, measure
from crumb.evaluation.metrics import RANKING, score_rankings, spearman
from crumb.evaluation.published import published_for
from crumb.evaluation.rank import Ranked, rank
from crumb.evaluation.results import Measured
from crumb.evaluation.settings import Setting
from crumb.evaluation.sts import read_sts
from crumb.evaluation.tasks import RetrievalTask, StsTask, digests
from crumb.model import Model

DOCUMENTS = {
    "d1": ("Rotating keys", "Secrets are replaced every month by the operations team."),
    "d2": ("", "Tea is served at four o'clock in the kitchen."),
    "d3": ("Birds", "Small birds look for crumbs of bread under the tables of the square."),
    "d4": ("", "The train to the coast leaves from the third platform."),
}
QUERIES = {"q1": "how often are passwords changed?", "q2": "when do we drink tea?", "q3": "what do sparrows eat?"}
QRELS = [("q1", "d1", 2), ("q1", "d2", 0), ("q2", "d2", 1), ("q3", "d3", 1)]


def write_set(folder: Path, *, packed: bool = False, qrels: str = "qrels.tsv") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = {
        "corpus": [{"_id": i, "title": title, "text": text} for i, (title, text) in DOCUMENTS.items()],
        "queries": [{"_id": i, "text": text} for i, text in QUERIES.items()],
    }
    for name, objects in rows.items():
        text = "".join(json.dumps(row) + "\n" for row in objects)
        if packed:
            with gzip.open(folder / f"{name}.jsonl.gz", "wt", encoding="utf-8") as file:
                file.write(text)
        else:
            (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    path = folder / qrels
    path.parent.mkdir(exist_ok=True)
    path.write_text("query-id\tcorpus-id\tscore\n" + "".join(f"{q}\t{d}\t{g}\n" for q, d, g in QRELS))
    return folder


def measured(values: dict[str, list[float]], *, main_metric: str = "nDCG@10", task: str = "t", **more: Any) -> Measured:
    per_query = {part: {f"q{i}": v for i, v in enumerate(row)} for part, row in values.items()}
    mean = float(np.mean([np.mean(row) for row in values.values()]))
    facts: dict[str, Any] = {
        "model": "m",
        "fingerprint": "0",
        "setting": Setting(),
        "context": 256,
        "precision": "float32",
        "isa": "avx2",
        "metrics": {main_metric: mean},
        "parts": {},
        "queries": sum(map(len, values.values())),
        "documents": 9,
        "query_cost": Cost(1, 2, 0, 0, 0.5),
        "document_cost": Cost(1, 2, 1, 3, 0.5),
        "search_seconds": 0.1,
        "data": {"qrels.tsv": "0"},
    }
    return Measured(task=task, main=main_metric, per_query=per_query, **{**facts, **more})


# metrics


@given(
    grades=st.lists(st.integers(-1, 3), min_size=2, max_size=30).filter(lambda g: max(g) > 0), seed=st.integers(0, 99)
)
@settings(deadline=None)
def test_ranking_metrics(grades: list[int], seed: int) -> None:
    scores = np.random.default_rng(seed).permutation(len(grades)).astype(float)
    ranking = [grades[i] for i in np.argsort(-scores)]
    relevant = [grade > 0 for grade in ranking]
    precisions = [sum(relevant[: i + 1]) / (i + 1) for i, hit in enumerate(relevant) if hit]
    expected = {
        "nDCG@10": ndcg_score([np.maximum(grades, 0)], [scores], k=10),
        "R@100": 1.0,
        "RR@10": next((1 / (i + 1) for i, hit in enumerate(relevant[:10]) if hit), 0.0),
        "AP@1000": sum(precisions) / sum(relevant),
    }
    qrels = {"q": {str(i): grade for i, grade in enumerate(grades)}}
    found = score_rankings(qrels, {"q": {str(i): float(s) for i, s in enumerate(scores)}})
    assert {name: found[name]["q"] for name in RANKING} == pytest.approx(expected)


def test_what_is_not_found_counts_as_nothing() -> None:
    qrels = {"q": {"a": 1}, "r": {"a": 1}}
    assert score_rankings(qrels, {"q": {"a": 1.0}}, ["nDCG@10"]) == {"nDCG@10": {"q": 1.0, "r": 0.0}}
    with pytest.raises(ValueError, match="no judgements, first 's'"):
        score_rankings(qrels, {"s": {"a": 1.0}})
    with pytest.raises(ValueError, match="does not know one of the measures nDCG@ten"):
        score_rankings(qrels, {}, ["nDCG@ten"])


@given(st.lists(st.tuples(st.integers(0, 6), st.floats(-1, 1)), min_size=3, max_size=40))
@settings(deadline=None)
def test_spearman(pairs: list[tuple[int, float]]) -> None:
    gold, cosines = [float(a) for a, _ in pairs], [b for _, b in pairs]
    if len(set(gold)) == 1 or len(set(cosines)) == 1:
        with pytest.raises(ValueError, match="all equal"):
            spearman(cosines, gold)
    else:
        assert spearman(cosines, gold) == pytest.approx(spearmanr(cosines, gold).statistic)


# sets on disk


@pytest.mark.parametrize(("packed", "qrels"), [(False, "qrels.tsv"), (True, "qrels.tsv"), (False, "qrels/test.tsv")])
def test_reading_a_set(tmp_path: Path, packed: bool, qrels: str) -> None:
    data = read_retrieval_set(write_set(tmp_path / "small", packed=packed, qrels=qrels))
    assert data.name == "small"
    assert data.corpus["d1"] == "Rotating keys Secrets are replaced every month by the operations team."
    assert data.corpus["d2"] == "Tea is served at four o'clock in the kitchen."
    assert data.queries == QUERIES
    assert data.qrels == {"q1": {"d1": 2, "d2": 0}, "q2": {"d2": 1}, "q3": {"d3": 1}}


def test_queries_without_a_relevant_document_are_left_out(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "small")
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td2\t0\n")
    assert list(read_retrieval_set(folder).queries) == ["q1"]


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("qrels.tsv", "h\nq1\tnone\t1\n", r"qrels.tsv:2: query 'q1' or document 'none' does not exist"),
        ("qrels.tsv", "h\nq1\td1\thigh\n", r"qrels.tsv:2: expected query id, document id and grade"),
        ("qrels.tsv", "h\nq1\td1\t0\n", "judges no document relevant"),
        ("corpus.jsonl", '{"_id": "d1"}\n', r"corpus.jsonl:1: expected an object with _id and text"),
        ("corpus.jsonl", "{\n", r"corpus.jsonl:1: no JSON"),
        ("queries.jsonl", '{"_id":"a","text":""}\n' * 2, r"queries.jsonl:2: the id 'a' occurs twice"),
    ],
)
def test_a_broken_set(tmp_path: Path, file: str, text: str, message: str) -> None:
    folder = write_set(tmp_path / "small")
    (folder / file).write_text(text)
    with pytest.raises(ValueError, match=message):
        read_retrieval_set(folder)


def test_files_as_other_tools_write_them(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "small")
    whole = read_retrieval_set(folder)
    path = folder / "corpus.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    assert read_retrieval_set(folder) == whole


def test_damaged_files_are_named(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "small", packed=True)
    path = folder / "corpus.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DamagedFileError, match=r"corpus\.jsonl\.gz: damaged gzip data after line"):
        read_retrieval_set(folder)
    (tmp_path / "a.tsv").write_bytes(b"score\tsentence1\tsentence2\n1\tna\xefve\tb\n")
    with pytest.raises(ValueError, match=r"a\.tsv:2: not UTF-8 \(byte 5 of the line\)"):
        read_sts(tmp_path / "a.tsv")
    (tmp_path / "a.csv").write_text('sentence1,sentence2,score\n"open,b,1\n')
    with pytest.raises(DamagedFileError, match=r"a\.csv:2: not CSV"):
        read_sts(tmp_path / "a.csv")


def test_a_missing_set(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="neither corpus.jsonl nor corpus.jsonl.gz"):
        read_retrieval_set(tmp_path)


def test_pairs_of_sentences(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text('score\tsentence1\tsentence2\n2.5\ta "b\tc\n0\td\te"\n')
    (tmp_path / "a.csv").write_text('sentence1,sentence2,score\n"a ""b",c,2.5\nd,"e""",0\n')
    with gzip.open(tmp_path / "a.jsonl.gz", "wt") as file:
        file.write(
            '{"sentence1":"a \\"b","sentence2":"c","score":2.5}\n{"sentence1":"d","sentence2":"e\\"","score":0}\n'
        )
    for name in ("a.tsv", "a.csv", "a.jsonl.gz"):
        found = read_sts(tmp_path / name)
        assert (found.first, found.second, found.scores) == (['a "b', "d"], ["c", 'e"'], [2.5, 0.0])
    (tmp_path / "b.tsv").write_text("score\tsentence1\tsentence2\nhigh\ta\tb\n")
    with pytest.raises(ValueError, match=r"b\.tsv:2: score 'high' is no finite number"):
        read_sts(tmp_path / "b.tsv")
    (tmp_path / "c.csv").write_text("sentence1,score\na,1\n")
    with pytest.raises(ValueError, match=r"c\.csv:2: no sentence2"):
        read_sts(tmp_path / "c.csv")


def test_names_of_tasks(tmp_path: Path) -> None:
    write_set(tmp_path / "eval" / "arguana")
    write_set(tmp_path / "eval" / "small", packed=True)
    (tmp_path / "sts").mkdir()
    for name in ("test", "train"):
        (tmp_path / "sts" / f"{name}.tsv").write_text("score\tsentence1\tsentence2\n1\ta\tb\n2\tc\td\n")
    everything = find_tasks(["all"], tmp_path)
    assert [(type(task), task.name) for task in everything] == [
        (RetrievalTask, "arguana"),
        (RetrievalTask, "small"),
        (StsTask, "sts"),
    ]
    assert isinstance(everything[0], RetrievalTask)
    assert everything[0].drop_same_id
    assert set(digests(everything[1])) == {"corpus.jsonl.gz", "queries.jsonl.gz", "qrels.tsv"}
    again = find_tasks([str(tmp_path / "eval" / "small"), "small", str(tmp_path / "sts" / "train.tsv")], tmp_path)
    assert [task.name for task in again] == ["small", "train"]
    with pytest.raises(TaskNotFoundError, match="no task 'smal'.*arguana, small, sts; did you mean small"):
        find_tasks(["smal"], tmp_path)
    assert [task.name for task in find_tasks(["longembed", "passkey"])][3:] == [
        "lemb-2wikimqa",
        "lemb-needle",
        "lemb-passkey",
        "passkey",
    ]
    with pytest.raises(TaskNotFoundError, match="name the folder of sets with --data"):
        find_tasks(["small"])
    with pytest.raises(TaskNotFoundError, match="is no task: expected a folder with corpus.jsonl"):
        find_tasks([str(tmp_path / "eval")], tmp_path)


# ranking


@given(
    seed=st.integers(0, 999),
    rows=st.integers(1, 30),
    depth=st.integers(1, 12),
    stored=st.sampled_from(["float32", "binary"]),
)
@settings(deadline=None, max_examples=40)
def test_the_best_chunk_of_each_document(seed: int, rows: int, depth: int, stored: Any) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(rows + 3, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    owner = np.sort(rng.integers(0, 5, rows))
    owner = np.unique(owner, return_inverse=True)[1].astype(np.int64)
    cost = Cost(0, 0, 0, 0, 0.0)
    embedded = Embedded(vectors[:3], vectors[3:], owner, cost, cost)
    found = rank(embedded, Setting(stored=stored), depth=depth)
    corpus = vectors[3:] if stored == "float32" else np.where(vectors[3:] > 0, 1.0, -1.0) / 4
    scores = vectors[:3].astype(np.float64) @ corpus.T
    best = np.stack([scores[:, owner == d].max(axis=1) for d in range(owner.max() + 1)], axis=1)
    assert found.documents.shape == (3, min(depth, best.shape[1]))
    expected = -np.sort(-best, axis=1)[:, : found.scores.shape[1]]
    np.testing.assert_allclose(found.scores, expected, atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(best, found.documents, 1), found.scores, atol=1e-5)


def test_a_document_with_the_id_of_the_query(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "arguana")
    (folder / "queries.jsonl").write_text('{"_id": "d1", "text": "?"}\n')
    (folder / "qrels.tsv").write_text("h\nd1\td2\t1\n")
    data = read_retrieval_set(folder)
    ranked = Ranked(np.array([[0.9, 0.5]]), np.array([[0, 1]]))
    assert as_run(data, ranked) == {"d1": {"d1": 0.9, "d2": 0.5}}
    assert as_run(data, ranked, drop_same_id=True) == {"d1": {"d2": 0.5}}


# comparisons


def test_intervals_against_scipy() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random(300), rng.random(300)
    found = compare([measured({"": list(a)})], [measured({"": list(b)})], resamples=9999)[0]
    theirs = bootstrap((a - b,), np.mean, n_resamples=9999, method="percentile", random_state=1).confidence_interval
    assert found.difference == pytest.approx(np.mean(a) - np.mean(b))
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.003)


def test_intervals_of_a_correlation_against_scipy() -> None:
    rng = np.random.default_rng(0)
    gold = rng.integers(0, 6, 200).astype(float)
    a, b = gold + rng.normal(size=200), gold + 2 * rng.normal(size=200)
    facts = {"main_metric": "Spearman", "gold": list(gold)}
    found = compare([measured({"": list(a)}, **facts)], [measured({"": list(b)}, **facts)], resamples=2000)[0]

    def difference(x: Any, y: Any, z: Any) -> float:
        return float(spearmanr(x, z).statistic - spearmanr(y, z).statistic)

    theirs = bootstrap(
        (a, b, gold), difference, paired=True, vectorized=False, n_resamples=999, method="percentile", random_state=1
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.02)
    assert found.clear


def test_parts_weigh_alike_and_the_mean_is_over_tasks() -> None:
    model = [measured({"x": [1.0] * 9, "y": [0.0]}, task="t"), measured({"": [0.5, 0.5]}, task="u")]
    base = [measured({"x": [0.0] * 9, "y": [0.0]}, task="t"), measured({"": [0.5, 0.5]}, task="u")]
    t, u, mean = compare(model, base)
    assert (t.difference, t.low, t.high, t.clear) == (0.5, 0.5, 0.5, True)
    assert (u.difference, u.low, u.high, u.clear) == (0.0, 0.0, 0.0, False)
    assert (mean.task, mean.difference, mean.low) == ("mean", 0.25, 0.25)
    assert compare(model, base) == [t, u, mean]


def test_what_cannot_be_compared() -> None:
    one = measured({"": [0.1, 0.2]})
    with pytest.raises(ValueError, match="different tasks"):
        compare([one], [measured({"": [0.1, 0.2]}, task="u")])
    with pytest.raises(ValueError, match="different queries"):
        compare([one], [measured({"": [0.1]})])
    with pytest.raises(ValueError, match="other data"):
        compare([one], [measured({"": [0.1, 0.2]}, data={"qrels.tsv": "1"})])
    with pytest.raises(ValueError, match="values of each query"):
        compare([one], [replace(one, per_query={})])


# results, questions, published figures


def test_results_and_questions_are_plain_data() -> None:
    one = measured({"": [0.1, 0.2]}, setting=Setting(dimensions=64, stored="int8"))
    assert Measured.from_dict(json.loads(json.dumps(one.as_dict()))) == one
    asked = Asked("m", ("a", "b"), "data", Setting(layers=2), compare="n", rivals=True)
    assert Asked.from_dict(json.loads(json.dumps(asked.as_dict()))) == asked
    with pytest.raises(TypeError, match="surprise"):
        Asked.from_dict({**asked.as_dict(), "surprise": 1})


def test_pairs_have_no_stored_form_and_no_chunks(tmp_path: Path, default: Model) -> None:
    (tmp_path / "a.tsv").write_text("score\tsentence1\tsentence2\n1\ta cat\ta dog\n2\ta tree\ta wood\n")
    (task,) = find_tasks([str(tmp_path / "a.tsv")])
    with pytest.raises(ValueError, match="pairs are measured as float32, not stored='binary'"):
        measure(default, task, Setting(stored="binary"))
    assert measure(default, task, Setting(reading="chunk-mean")).setting.reading == "whole"


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="unknown stored 'int4'"):
        Setting(stored="int4")  # type: ignore[arg-type]  # what is tested
    with pytest.raises(ValueError, match="rescore=True needs float queries"):
        Setting(stored="binary", coded_queries=True, rescore=True)


def test_a_published_figure_is_found_for_its_own_setting_only() -> None:
    facts: dict[str, Any] = {"task": "scifact", "model": "all-MiniLM-L6-v2", "queries": 300}
    row = published_for(measured({"": [0.6]}, **facts))
    assert row is not None
    assert row.value == 64.51
    assert published_for(measured({"": [0.6]}, **facts, context=512)) is None
    assert published_for(measured({"": [0.6]}, **facts, setting=Setting(layers=3))) is None
    assert published_for(measured({"": [0.6]}, **{**facts, "model": "another"})) is None
    assert published_for(measured({"": [0.6]}, **{**facts, "queries": 299})) is None


def test_the_rivals_of_a_long_vector() -> None:
    ways = [(s.context, s.reading, s.chunk) for s in rival_settings(Setting(context=4096, positions="tile"), 4096)]
    assert ways == [(256, "whole", 512), (512, "whole", 512), (512, "chunk-mean", 512), (512, "chunk-best", 512)]
    assert [s.context for s in rival_settings(Setting(), 256)] == [256, 256]


# the whole, from the command line


def test_eval_says_what_sentence_transformers_says(
    tmp_path: Path, model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from sentence_transformers import SentenceTransformer

    folder = write_set(tmp_path / "small")
    assert (
        main(["eval", "--tasks", str(folder), "--precision", "float32", "--compare", "all-MiniLM-L6-v2", "--json"]) == 0
    )
    found = json.loads(capsys.readouterr().out)
    theirs = SentenceTransformer(str(model_folder), device="cpu")
    scores = (
        theirs.encode(list(QUERIES.values())) @ theirs.encode([f"{a} {b}".strip() for a, b in DOCUMENTS.values()]).T
    )
    grades = np.zeros_like(scores)
    for query, document, grade in QRELS:
        grades[list(QUERIES).index(query), list(DOCUMENTS).index(document)] = grade
    assert found["results"][0]["metrics"]["nDCG@10"] == pytest.approx(ndcg_score(grades, scores, k=10))
    assert found["differences"][0]["difference"] == 0
    assert found["results"][0]["documents"] == 4


def test_eval_used_wrongly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval"]) == 1
    assert "nothing to measure: name tasks" in capsys.readouterr().err
    assert main(["eval", "--tasks", "none", "--data", str(tmp_path / "nowhere")]) == 1
    assert "nowhere is no folder" in capsys.readouterr().err


def test_a_report_that_cannot_be_written_is_refused_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    words = ["eval", "--tasks", str(write_set(tmp_path / "small")), "--report", str(tmp_path / "file" / "report")]
    assert main(words) == 1
    assert capsys.readouterr().err.startswith("crumb eval: [Errno 20]")


@pytest.mark.parametrize(("module", "words"), [("ir_measures", []), ("matplotlib", ["--report", "report"])])
def test_a_missing_library_is_told_before_anything_is_measured(
    tmp_path: Path, run_crumb: Any, module: str, words: list[str]
) -> None:
    """The library's finder is told that it is not there, in a process of its own."""
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as util\n"
        "found = util.find_spec\n"
        f"util.find_spec = lambda name, *more: None if name == {module!r} else found(name, *more)\n"
    )
    folder = write_set(tmp_path / "small")
    done = run_crumb("eval", "--tasks", str(folder), *words, env={"PYTHONPATH": str(tmp_path)}, cwd=tmp_path)
    assert done.returncode == 1
    assert 'pip install "crumb-embed[eval]"' in done.stderr
    assert "nDCG" not in done.stdout + done.stderr
