"""Chunked readings against chunks encoded one by one; the best row of each document against all scores there are."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluation_models import tiny_model
from hypothesis import given, settings
from hypothesis import strategies as st

import crumb
from crumb.evaluation import loco, longembed
from crumb.evaluation.beir import RetrievalSet
from crumb.evaluation.embed import Cost, Embedded
from crumb.evaluation.generated import needle, passkey
from crumb.evaluation.generated.hide import Recipe, words_and_marks
from crumb.evaluation.lengths import by_length, ceiling, ceilings, seen
from crumb.evaluation.measure import measure
from crumb.evaluation.published import PUBLISHED
from crumb.evaluation.rank import rank
from crumb.evaluation.readings import read_documents
from crumb.evaluation.settings import Setting
from crumb.evaluation.tasks import digests
from crumb.vectors.normalize import normalize
from crumb.vectors.quantize import quantize

GENERATORS = {"passkey": passkey, "needle": needle}
FREE = Cost(0, 0, 0, 0, 0.0)
TEXTS = ["the cat sat on a mat. " * 40, "", "a cat", "query: passages? " * 3, "x", "0123456789 " * 30]


@pytest.fixture(scope="module", params=[True, False], ids=["prompt pooled", "prompt left out"])
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> crumb.Model:
    folder = tiny_model(tmp_path_factory.mktemp("tiny"), include_prompt=request.param)
    return crumb.load(folder, precision="float32")


def one_by_one(model: crumb.Model, text: str, chunk: int, prompt: str) -> np.ndarray:
    """Rows of a text's chunks, each run by itself: float64 [chunks, d], of unit length."""
    lead = model.tokenizer.encode([prompt])[0] if prompt else []
    ids = model.tokenizer.encode([text])[0]
    room = chunk - 2 - len(lead)
    pieces = [ids[i : i + room] for i in range(0, len(ids), room)] or [[]]
    rows = []
    for piece in pieces:
        whole = np.array([2, *lead, *piece, 3], dtype=np.int32)
        states = model.engine.hidden_rows(whole, np.array([0, len(whole)])).astype(np.float64)
        skipped = 0 if model.contract.include_prompt or not lead else min(1 + len(lead), len(whole) - 1)
        mean = states[skipped:].mean(0)
        rows.append(mean / np.linalg.norm(mean))
    return np.array(rows)


@pytest.mark.parametrize("chunk", [16, 64])
@pytest.mark.parametrize("prompt", ["", "passage: "])
def test_chunks_as_one_by_one(tiny: crumb.Model, chunk: int, prompt: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crumb.evaluation.readings._MOST_TOKENS", 100)  # several calls of the engine for one text
    slow = [one_by_one(tiny, text, chunk, prompt) for text in TEXTS]
    rows, owner, report = read_documents(tiny, TEXTS, Setting(reading="chunk-best", chunk=chunk), prompt)
    assert owner is not None
    assert owner.tolist() == [i for i, parts in enumerate(slow) for _ in parts]
    np.testing.assert_allclose(rows, np.concatenate(slow), atol=2e-6)
    lead = len(tiny.tokenizer.encode([prompt])[0])
    assert report.texts == len(TEXTS)
    assert report.tokens == sum(tiny.tokenizer.count(TEXTS)) + (2 + lead) * len(rows)
    assert report.tokens_cut == 0
    means, no_owner, _ = read_documents(tiny, TEXTS, Setting(reading="chunk-mean", chunk=chunk), prompt)
    assert no_owner is None
    expected = np.array([parts.mean(0) / np.linalg.norm(parts.mean(0)) for parts in slow])
    np.testing.assert_allclose(means, expected, atol=2e-6)


def test_a_text_that_fits_is_itself(tiny: crumb.Model) -> None:
    short = [text for text in TEXTS if len(text) < 30]
    whole = tiny.encode(short)
    for reading in ("chunk-mean", "chunk-best"):
        rows, _, _ = read_documents(tiny, short, Setting(reading=reading, chunk=64), "")
        np.testing.assert_allclose(rows, whole, atol=1e-7)


@pytest.mark.parametrize("reading", ["whole", "chunk-mean", "chunk-best"])
def test_no_documents(tiny: crumb.Model, reading: Any) -> None:
    rows, _, report = read_documents(tiny, [], Setting(reading=reading, chunk=64), "")
    assert rows.shape == (0, 32)
    assert report.texts == 0


def test_chunks_that_cannot_be(tiny: crumb.Model) -> None:
    with pytest.raises(ValueError, match="chunk=512 is longer than the context of 64"):
        read_documents(tiny, ["a"], Setting(reading="chunk-best"), "")
    with pytest.raises(ValueError, match="chunk=4 leaves no room .* prompt of 2 tokens"):
        read_documents(tiny, ["a"], Setting(reading="chunk-mean", chunk=4), "passage: ")
    with pytest.raises(ValueError, match="layers must be"):
        read_documents(tiny, ["a"], Setting(reading="chunk-mean", chunk=64, layers=9), "")


def embedded(queries: np.ndarray, rows: np.ndarray, owner: np.ndarray) -> Embedded:
    return Embedded(queries.astype(np.float32), rows.astype(np.float32), owner, FREE, FREE)


def every_best(scores: np.ndarray, owner: np.ndarray, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Best score of every document and the row that has it first; by falling score, then rising row."""
    found = []
    for line in scores:
        best = [
            (-line[owner == d].max(), np.flatnonzero((owner == d) & (line == line[owner == d].max()))[0], d)
            for d in np.unique(owner)
        ]
        found.append(sorted(best)[:depth])
    kept = np.array(found).reshape(len(scores), min(depth, len(np.unique(owner))), 3)
    return -kept[:, :, 0], kept[:, :, 2].astype(int)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    counts=st.lists(st.integers(1, 30), min_size=1, max_size=12),
    queries=st.integers(0, 5),
    depth=st.integers(1, 14),
)
def test_best_row_of_each(seed: int, counts: list[int], queries: int, depth: int) -> None:
    generator = np.random.default_rng(seed)
    owner = np.repeat(np.arange(len(counts)), counts)
    rows = normalize(generator.normal(size=(len(owner), 24)))
    # what makes the first rows found belong to few documents: those of one lie together
    rows = normalize(rows + 2 * normalize(generator.normal(size=(len(counts), 24)))[owner])
    asked = normalize(generator.normal(size=(queries, 24)))
    found = rank(embedded(asked, rows, owner), Setting(), depth=depth)
    scores, documents = every_best(asked.astype(np.float64) @ rows.astype(np.float64).T, owner, depth)
    np.testing.assert_allclose(found.scores, scores.reshape(found.scores.shape), atol=1e-6)
    assert (found.documents == documents.reshape(found.documents.shape)).all()
    # bits against bits: whole numbers, full of ties, so the order of equals shows
    bits = rank(embedded(asked, rows, owner), Setting(stored="ubinary", coded_queries=True), depth=depth)
    signs = [np.unpackbits(quantize(v, "ubinary"), axis=1).astype(int) * 2 - 1 for v in (asked, rows)]
    scores, documents = every_best(signs[0] @ signs[1].T / 24, owner, depth)
    np.testing.assert_allclose(bits.scores, scores.reshape(bits.scores.shape), atol=1e-6)
    assert (bits.documents == documents.reshape(bits.documents.shape)).all()


def test_one_document_hides_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """500 rows of one document lie before every other: more rows are asked for, of few queries at a time."""
    monkeypatch.setattr("crumb.evaluation.rank._MOST_FOUND", 1000)
    generator = np.random.default_rng(3)
    asked = normalize(generator.normal(size=(7, 16)))
    crowd = normalize(asked[generator.integers(0, 7, 500)] + 0.01 * generator.normal(size=(500, 16)))
    rows = np.concatenate([crowd, normalize(generator.normal(size=(90, 16)))])
    owner = np.concatenate([np.zeros(500, dtype=int), 1 + np.arange(90) // 3])
    found = rank(embedded(asked, rows, owner), Setting(), depth=20)
    scores, documents = every_best(asked.astype(np.float64) @ rows.astype(np.float64).T, owner, 20)
    assert (found.documents == documents).all()
    np.testing.assert_allclose(found.scores, scores, atol=1e-6)
    rescored = rank(embedded(asked, rows, owner), Setting(stored="ubinary", rescore=True), depth=20)
    assert (rescored.documents == documents).all()


LEMB_LENGTHS = (256, 512, 1024, 2048, 4096, 8192, 16384, 32768)


def test_ceilings_of_longembed() -> None:
    """The figures of a perfect reader that truncates, as others have worked them out."""
    expected = {256: 24.9, 512: 37.3, 1024: 49.6, 2048: 61.7, 4096: 73.4, 32768: 100.0}
    assert {w: round(100 * ceiling(w, LEMB_LENGTHS), 1) for w in expected} == expected
    assert ceilings(512, (256, 1024)) == {256: 1.0, 1024: 0.5}
    with pytest.raises(ValueError, match="at least one token"):
        ceiling(0, LEMB_LENGTHS)


@pytest.mark.parametrize("name", ["passkey", "needle"])
@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    lengths=st.lists(st.integers(64, 700), min_size=1, max_size=3, unique=True),
    queries=st.integers(1, 12),
    more=st.integers(0, 5),
)
def test_generated(name: str, seed: int, lengths: list[int], queries: int, more: int) -> None:
    recipe = Recipe(tuple(lengths), documents=queries + more, queries=queries, seed=seed)
    made = GENERATORS[name].generate(recipe)
    assert made == GENERATORS[name].generate(recipe)
    assert list(made) == [str(length) for length in lengths]
    for length in lengths:
        data, ends = made[str(length)].data, made[str(length)].ends
        assert len(data.corpus) == queries + more
        assert len(data.queries) == len(set(data.queries.values())) == queries
        assert max(words_and_marks(list(data.corpus.values()))) <= length - 2
        assert min(words_and_marks(list(data.corpus.values()))) > length - 2 - 40  # a sentence less at most
        reached = []
        for query, question in data.queries.items():
            (document,) = data.qrels[query]
            person = " ".join(w.strip("?") for w in question.split() if w[0].isupper())
            person = " ".join(person.split()[1:3])
            text = data.corpus[document]
            assert [d for d, other in data.corpus.items() if person in other] == [document]
            assert person in text[: ends[document]]
            assert person not in text[ends[document] :]
            assert text[ends[document] - 1] == "."
            reached.append(words_and_marks([text[: ends[document]]])[0] + 2)
        for context in (64, 200, length):
            assert seen(made[str(length)], context, words_and_marks) == np.mean([n <= context for n in reached])
        # facts lie evenly: as far as sentences have lengths, each in its own part of the document
        ordered = np.sort(reached) / length
        assert (np.abs(ordered - (np.arange(queries) + 0.5) / queries) < 0.5 / queries + 60 / length).all()


def test_generated_texts_stay_the_same() -> None:
    """On every machine and with every Python: a change here is a new version of the generator."""
    found = {}
    for name, generator in GENERATORS.items():
        made = generator.generate(Recipe((256, 1024), documents=7, queries=5, seed=3))
        plain = [[h.data.corpus, h.data.queries, h.data.qrels, dict(h.ends)] for h in made.values()]
        found[name] = hashlib.sha256(json.dumps(plain).encode()).hexdigest()[:16]
    assert found == {"passkey": "debac2d5911bff00", "needle": "e01a64b1600386d9"}


def test_generated_by_a_models_own_count(tiny: crumb.Model) -> None:
    recipe = Recipe((400,), documents=6, queries=4)
    for generator in GENERATORS.values():
        texts = generator.generate(recipe, tiny.tokenizer.count)["400"].data.corpus.values()
        counts = tiny.tokenizer.count(list(texts))
        assert 250 < min(counts) <= max(counts) <= 398


def test_words_and_marks_are_near_tokens(model: crumb.Model) -> None:
    for generator in GENERATORS.values():
        hidden = generator.generate(Recipe((2048,), documents=20, queries=10))["2048"]
        counts = np.array(model.tokenizer.count(list(hidden.data.corpus.values()))) + 2
        assert (np.abs(counts / 2048 - 1) < 0.03).all()
        # a tenth of the facts lies in each tenth of the length
        for share in (0.25, 0.5):
            assert abs(seen(hidden, int(share * 2048), model.tokenizer.count) - share) <= 0.11


def test_recipes_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="at least 64 tokens"):
        Recipe((32,))
    with pytest.raises(ValueError, match="1 <= queries <= documents"):
        Recipe(documents=3, queries=4)
    with pytest.raises(ValueError, match=r"there are \d+ names"):
        passkey.generate(Recipe((64,), documents=5000))


def test_generated_task(tiny: crumb.Model) -> None:
    """A reader of everything finds nothing here (its weights are random), but every length is a part of its own."""
    recipe = Recipe((64, 100), documents=6, queries=4)
    task = passkey.task(recipe)
    found = measure(tiny, task, Setting())
    assert list(found.parts) == ["64", "100"]
    assert found.main == "nDCG@1"
    assert (found.queries, found.documents) == (8, 12)
    assert found.data == {**task.recipe}
    assert found.data["lengths"] == (64, 100)


def set_of(ids: dict[str, str]) -> RetrievalSet:
    """A query and the document that answers it, for each."""
    return RetrievalSet(
        "s", {d: f"text {d}" for d in ids.values()}, {q: f"? {q}" for q in ids}, {q: {d: 1} for q, d in ids.items()}
    )


def test_parts_by_length() -> None:
    parts = by_length(set_of({"q512-0": "n512-0", "q256-0": "n256-0", "q256-1": "n256-7"}))
    assert list(parts) == ["256", "512"]
    assert set(parts["256"].corpus) == {"n256-0", "n256-7"}
    assert parts["512"].qrels == {"q512-0": {"n512-0": 1}}
    with pytest.raises(ValueError, match="'q256-0' and document 'd512-0' are of different lengths"):
        by_length(set_of({"q256-0": "d512-0", "q512-0": "d256-0"}))
    with pytest.raises(ValueError, match="the id 'x' tells no length"):
        by_length(set_of({"q256-0": "x"}))


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_beir(folder: Path, data: RetrievalSet) -> None:
    write(folder / "corpus.jsonl", [{"_id": i, "title": "", "text": t} for i, t in data.corpus.items()])
    write(folder / "queries.jsonl", [{"_id": i, "text": t} for i, t in data.queries.items()])
    lines = [f"{q}\t{d}\t{g}" for q, grades in data.qrels.items() for d, g in grades.items()]
    (folder / "qrels.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *lines]) + "\n")


def test_longembed_from_its_release(tmp_path: Path) -> None:
    assert len(longembed.NAMES) == 6
    assert {name for name in PUBLISHED if name.startswith("lemb-")} == set(longembed.NAMES)
    release = tmp_path / "LongEmbed"
    write(release / "qmsum" / "corpus.jsonl", [{"doc_id": "d0", "text": " long "}, {"doc_id": "d1", "text": "longer"}])
    write(release / "qmsum" / "queries.jsonl", [{"qid": "q0", "text": "?"}])
    write(release / "qmsum" / "qrels.jsonl", [{"qid": "q0", "doc_id": "d1"}])
    task = longembed.task("lemb-qmsum", tmp_path)
    assert (task.main, task.long) == ("nDCG@10", True)
    assert set(digests(task)) == {"corpus.jsonl", "queries.jsonl", "qrels.jsonl"}
    (data,) = task.read().values()
    assert data.corpus == {"d0": "long", "d1": "longer"}
    assert (data.queries, data.qrels) == ({"q0": "?"}, {"q0": {"d1": 1}})
    # the same ids in two lengths are two queries
    for file, rows in {
        "corpus": [{"doc_id": "d", "text": "a"}],
        "queries": [{"qid": "q", "text": "b"}],
        "qrels": [{"qid": "q", "doc_id": "d"}],
    }.items():
        both = [{**row, "context_length": length} for length in (512, 256) for row in rows]
        write(release / "needle" / f"{file}.jsonl", both)
    task = longembed.task("lemb-needle", tmp_path)
    assert task.main == "nDCG@1"
    parts = task.read()
    assert list(parts) == ["256", "512"]
    assert parts["512"].qrels == {"512/q": {"512/d": 1}}
    write(release / "needle" / "qrels.jsonl", [{"qid": "q", "doc_id": "other", "context_length": 256}])
    with pytest.raises(ValueError, match="other' does not exist"):
        longembed.task("lemb-needle", tmp_path).read()


def test_longembed_in_beirs_layout(tmp_path: Path) -> None:
    write_beir(tmp_path / "qmsum-long", set_of({"q0": "d0"}))
    assert list(longembed.task("lemb-qmsum", tmp_path).read()) == [""]
    write_beir(tmp_path / "lemb-passkey", set_of({"q256-0": "d256-0", "q512-0": "d512-0"}))
    assert list(longembed.task("lemb-passkey", tmp_path).read()) == ["256", "512"]


def test_loco_from_its_release(tmp_path: Path) -> None:
    assert len(loco.NAMES) == 12
    assert loco.V0 == (
        "loco-summscreenfd",
        "loco-govreport",
        "loco-qmsum",
        "loco-qasper-title",
        "loco-qasper-abstract",
    )
    subset = "qasper_title"
    documents = [
        {"pid": "P0", "passage": "text", "dataset": subset},
        {"pid": "P1", "passage": None, "dataset": subset},
        {"pid": "P2", "passage": "of another", "dataset": "qmsum"},
    ]
    queries = [
        {"qid": "Q0", "query": "?", "answer_pids": ["P0"], "dataset": subset},
        {"qid": "Q1", "query": "!", "answer_pids": ["P1"], "dataset": subset},
    ]
    write(tmp_path / "LoCoV1-Documents" / "documents" / f"{subset}_test.jsonl", documents)
    write(tmp_path / "LoCoV1-Queries" / "documents" / f"{subset}_test.jsonl", queries)
    task = loco.task("loco-qasper-title", tmp_path)
    (data,) = task.read().values()
    assert (data.corpus, data.queries, data.qrels) == ({"P0": "text"}, {"Q0": "?"}, {"Q0": {"P0": 1}})
    assert len(digests(task)) == 2  # the files have the same name
    write_beir(tmp_path / "loco-stackoverflow", set_of({"q": "d"}))
    assert loco.task("loco-stackoverflow", tmp_path).read()[""].qrels == {"q": {"d": 1}}


@pytest.mark.parametrize("module", [longembed, loco])
def test_data_that_are_not_there(module: Any, tmp_path: Path) -> None:
    for name in module.NAMES:
        task = module.task(name, tmp_path)
        assert task.files == ()
        with pytest.raises(FileNotFoundError, match=rf"{name} is not under .*hf download .*BEIR's layout"):
            task.read()
