"""Collections held to independent twins: a dict for what they contain, numpy for cosines, BM25 and RRF written here.

Everything runs on both engines: Qdrant Edge in a folder, and qdrant-client, in its local mode (no server is needed, and
none could be had where these tests were written).
"""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import crumb
from crumb.errors import TruncationWarning
from crumb.search.collection import (
    AddReport,
    CollectionError,
    DuplicateIdError,
    FilterError,
    Item,
)
from crumb.text.chunk import chunk

qdrant_client = pytest.importorskip("qdrant_client")
qdrant_edge = pytest.importorskip("qdrant_edge")

SENTENCES = [
    "The cat sleeps on the warm roof.",
    "Keys are rotated every month by the operator.",
    "Bread rises overnight in a cold kitchen.",
    "The train to the north leaves at nine.",
    "A cat chases the train of keys.",
    "Operators rotate the roof at night.",
    "Nine kitchens bake bread for the north.",
    "Naïve façades, 東京 and emoji 🙂 too.",
]

Make = Callable[..., crumb.Collection]


@pytest.fixture(params=["folder", "client"])
def make(request: pytest.FixtureRequest, tmp_path: Path, model: crumb.Model) -> Iterator[Make]:
    """Opens the collection of the test, again and again if need be: in a folder, or in a client's memory."""
    client = qdrant_client.QdrantClient(":memory:") if request.param == "client" else None
    opened: list[crumb.Collection] = []

    def make(model: crumb.Model | None = model, name: str = "c", **settings: Any) -> crumb.Collection:
        place = tmp_path / name if client is None else name
        opened.append(crumb.Collection(place, model, client=client, **settings))
        return opened[-1]

    yield make
    for collection in opened:
        collection.close()


# --- against a dict, on both engines at once

VALUES = st.one_of(
    st.sampled_from(["en", "de", ""]),
    st.integers(-3, 3),
    st.sampled_from([0.5, 1.0, -2.5, 2**60]),
    st.booleans(),
    st.none(),
)
METADATA = st.fixed_dictionaries(
    {},
    optional={
        "lang": VALUES,
        "year": st.one_of(VALUES, st.lists(VALUES.filter(lambda v: v is not None), max_size=3)),
        "deep": st.fixed_dictionaries({}, optional={"a b": VALUES}),
    },
)
FIELDS = st.sampled_from(["lang", "year", "deep.a b", "nowhere"])
OPERATORS = st.one_of(
    VALUES,
    st.fixed_dictionaries(
        {}, optional={">=": st.integers(-3, 3), "<": st.floats(-3, 3), ">": st.integers(-3, 3), "<=": st.just(1)}
    ).filter(bool),
    st.fixed_dictionaries({"in": st.lists(VALUES, max_size=3)}),
    st.fixed_dictionaries({"not in": st.lists(VALUES, max_size=3)}),
    st.fixed_dictionaries({"exists": st.booleans()}),
)
FILTERS = st.recursive(
    st.dictionaries(FIELDS, OPERATORS, max_size=2),
    lambda inner: st.one_of(
        st.fixed_dictionaries({"or": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"not": inner}),
        st.tuples(st.dictionaries(FIELDS, OPERATORS, max_size=1), inner).map(lambda two: {**two[0], "not": two[1]}),
    ),
    max_leaves=4,
)


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, bool) or isinstance(other, bool) or one is None or other is None:
        return one is other
    if isinstance(one, str) or isinstance(other, str):
        return type(one) is type(other) and one == other
    return bool(one == other)


def meets(metadata: dict[str, Any], where: dict[str, Any]) -> bool:
    """What the documentation says a filter means, in plain Python."""
    for field, wanted in where.items():
        if field == "or":
            if not any(meets(metadata, part) for part in wanted):
                return False
        elif field == "not":
            if meets(metadata, wanted):
                return False
        else:
            value: Any = metadata
            there = True
            for name in field.split("."):
                there = isinstance(value, dict) and name in value
                value = value[name] if there else None
                if not there:
                    break
            elements = value if isinstance(value, list) else [value] if there else []
            if not all(holds(elements, op, arg) for op, arg in operators(wanted)):
                return False
    return True


def operators(wanted: Any) -> list[tuple[str, Any]]:
    return list(wanted.items()) if isinstance(wanted, dict) else [("=", wanted)]


def holds(elements: list[Any], op: str, arg: Any) -> bool:
    if op == "=":
        return any(equal(element, arg) for element in elements)
    if op == "in":
        return any(equal(element, one) for element in elements for one in arg)
    if op == "not in":
        return not holds(elements, "in", arg)
    if op == "exists":
        return bool([element for element in elements if element is not None]) == arg
    numbers = [element for element in elements if isinstance(element, int | float) and not isinstance(element, bool)]
    compare = {"<": float.__lt__, "<=": float.__le__, ">": float.__gt__, ">=": float.__ge__}[op]
    return any(compare(float(number), float(arg)) for number in numbers)


IDS = st.one_of(st.integers(0, 4), st.sampled_from(["0", "1", "a/b", "é"]))
TEXTS = st.lists(st.sampled_from(SENTENCES), max_size=6).map("\n".join)
DOCUMENTS = st.dictionaries(IDS, st.tuples(TEXTS, METADATA), min_size=1, max_size=4)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("upsert"), DOCUMENTS),
        st.tuples(st.just("add"), DOCUMENTS),
        st.tuples(st.just("delete"), st.lists(IDS, max_size=4)),
        st.tuples(st.just("delete by filter"), FILTERS),
        st.tuples(st.just("reopen"), st.none()),
        st.tuples(st.just("index"), st.sampled_from([("lang", "keyword"), ("year", "float"), ("deep.a b", "float")])),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS, filters=st.lists(FILTERS, min_size=1, max_size=6), question=st.sampled_from(SENTENCES))
def test_both_engines_hold_what_a_dict_would(
    tmp_path_factory: pytest.TempPathFactory,
    model: crumb.Model,
    steps: list[tuple[str, Any]],
    filters: list[dict[str, Any]],
    question: str,
) -> None:
    folder = tmp_path_factory.mktemp("twin") / "c"
    client = qdrant_client.QdrantClient(":memory:")

    def both() -> list[crumb.Collection]:
        return [
            crumb.Collection(folder, model, chunk_tokens=16),
            crumb.Collection("c", model, client=client, chunk_tokens=16),
        ]

    collections = both()
    expected: dict[int | str, tuple[str, dict[str, Any]]] = {}
    for step, argument in steps:
        if step in ("upsert", "add"):
            news = [document for document in argument if document not in expected]
            same = [d for d, pair in argument.items() if d in expected and exactly(expected[d], pair)]
            for c in collections:
                call = c.upsert if step == "upsert" else c.add
                ids, pairs = list(argument), argument.values()
                given = {"ids": ids, "metadata": [meta for _, meta in pairs]}
                if step == "add" and len(news) < len(ids):
                    with pytest.raises(DuplicateIdError, match="in the collection already"):
                        call([text for text, _ in pairs], **given)
                else:
                    report = call([text for text, _ in pairs], **given)
                    assert (report.added, report.unchanged) == (len(news), len(same))
                    assert report.added + report.updated + report.unchanged == len(ids)
            if step == "upsert" or len(news) == len(argument):
                expected |= argument
        elif step == "delete":
            for c in collections:
                assert c.delete(argument) == len({d for d in argument if d in expected})
            expected = {d: pair for d, pair in expected.items() if d not in argument}
        elif step == "delete by filter":
            gone = [d for d, (_, meta) in expected.items() if meets(meta, argument)]
            for c in collections:
                assert c.delete(filter=argument) == len(gone)
            expected = {d: pair for d, pair in expected.items() if d not in gone}
        elif step == "index":
            key = crumb.search.collection.filters.json_path(argument[0].split("."))
            for c in collections:
                c._backend.index_field(key, argument[1])
        else:
            for c in collections:
                c.close()
            collections = both()
        for c in collections:
            assert len(c) == len(expected)
            assert set(c.ids()) == set(expected)
            assert {item.id: (item.text, item.metadata) for item in c} == expected
    passages = cut(model, {d: text for d, (text, _) in expected.items()}, 16)
    for where in filters:
        meeting = {d for d, (_, meta) in expected.items() if meets(meta, where)}
        scores = cosines(model, question, [p for p in passages if p[0] in meeting])
        for c in collections:
            assert c.count(where) == len(meeting), where
            found = c.search(question, filter=where, exact=True, top_k=20)
            assert {hit.id for hit in found} == meeting
            for hit in found:
                assert hit.score == pytest.approx(scores[hit.id], abs=2e-6)
            ranked = [hit.score for hit in found]
            assert ranked == sorted(ranked, reverse=True)
    for c in collections:
        c.close()


def exactly(one: Any, other: Any) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def cut(model: crumb.Model, texts: dict[Any, str], budget: int) -> list[tuple[Any, str]]:
    """Every document's passages as they are embedded."""
    count, offsets = model.tokenizer.count, model.tokenizer.offsets
    found = []
    for name, text in texts.items():
        passages = chunk(text, "text", budget=budget, count=count, offsets=offsets)
        found += [(name, p.embedding_text) for p in passages] or [(name, text)]
    return found


def cosines(model: crumb.Model, question: str, passages: list[tuple[Any, str]]) -> dict[Any, float]:
    """The best cosine of each document's passages, in float64."""
    if not passages:
        return {}
    vectors = model.encode([text for _, text in passages]).astype(np.float64)
    scores = vectors @ model.encode(question).astype(np.float64)
    best: dict[Any, float] = {}
    for (name, _), score in zip(passages, scores, strict=True):
        best[name] = max(best.get(name, -1.0), float(score))
    return best


# --- words, and both rankings together


def bm25(question: str, passages: list[tuple[Any, str]], k: float = 1.2, b: float = 0.75, length: float = 100) -> Any:
    """BM25 of every passage, written out; words are those of SENTENCES that need no stemming."""

    def words(text: str) -> list[str]:
        return re.findall(r"[a-z]+", text.lower())

    documents = [Counter(words(text)) for _, text in passages]
    scores = []
    for document in documents:
        total = 0.0
        for word in set(words(question)):
            n = sum(word in other for other in documents)
            idf = math.log(1 + (len(documents) - n + 0.5) / (n + 0.5))
            tf = document[word]
            total += idf * tf * (k + 1) / (tf + k * (1 - b + b * sum(document.values()) / length))
        scores.append(total)
    return scores


PLAIN = [
    "red apple",
    "red red plum",
    "green apple plum tart",
    "green tart fig kiwi",
    "plum",
    "red apple tart tart tart",
    "fig",
    "green",
]


def test_bm25_is_what_the_formula_says(make: Make) -> None:
    with make() as c:
        c.add(PLAIN, ids=range(len(PLAIN)))
        for removed in ([], [1], [1, 3]):  # the frequencies follow what is there, at once
            c.delete(removed)
            left = [(i, text) for i, text in enumerate(PLAIN) if i not in removed]
            for question in ("red plum", "apple tart tart", "fig", "grape"):
                scores = {i: s for (i, _), s in zip(left, bm25(question, left), strict=True) if s > 0}
                found = c.search(question, mode="bm25", top_k=20)
                assert {hit.id: hit.score for hit in found} == pytest.approx(scores, abs=1e-5)
        assert c.search("the of and", mode="bm25") == []


def test_hybrid_is_reciprocal_rank_fusion(make: Make, model: crumb.Model) -> None:
    question = "red plum tart"
    with make() as c:
        c.add(PLAIN, ids=range(len(PLAIN)))
        cosine = model.encode(PLAIN) @ model.encode(question)
        words = bm25(question, list(enumerate(PLAIN)))
        dense = sorted(range(len(PLAIN)), key=lambda i: -cosine[i])
        sparse = sorted((i for i in range(len(PLAIN)) if words[i] > 0), key=lambda i: -words[i])
        assert len({round(words[i], 6) for i in sparse}) == len(sparse)  # no ties, whose order would be open
        fused: Counter[int] = Counter()
        for ranking in (dense, sparse):
            for rank, i in enumerate(ranking, start=1):
                fused[i] += 1 / (60 + rank)
        found = c.search(question, mode="hybrid", top_k=4)
        assert [hit.score for hit in found] == pytest.approx(sorted(fused.values(), reverse=True)[:4], abs=1e-12)
        assert {hit.id: hit.score for hit in found} == pytest.approx({hit.id: fused[hit.id] for hit in found})


# --- passages of long documents


def test_long_texts_are_found_by_their_passages(make: Make, texts: list[str], model: crumb.Model) -> None:
    longest = [text[:4_000] for text in sorted(texts, key=len)[-6:]]
    with make(chunk_tokens=64, overlap=16) as c:
        report = c.add(longest, ids=[f"t{i}" for i in range(6)])
        assert report.added == 6
        assert report.chunks > 6 * 5
        assert (report.truncated_texts, report.tokens_cut) == (0, 0)
        count, offsets = model.tokenizer.count, model.tokenizer.offsets
        for i in (0, 3):
            cut = chunk(longest[i], "text", budget=64, count=count, offsets=offsets, overlap=16)
            number = len(cut) // 2
            (hit,) = c.search(cut[number].embedding_text, top_k=1, exact=True)
            assert (hit.id, hit.chunk, hit.text) == (f"t{i}", number, cut[number].text)
            assert (hit.start_line, hit.end_line) == (cut[number].start_line, cut[number].end_line)
            assert hit.score == pytest.approx(1, abs=1e-5)
        found = c.search("what was said about the results?", top_k=6, exact=True)
        assert len({hit.id for hit in found}) == 6
        passages = c.search("what was said about the results?", top_k=1_000, per="chunk", exact=True)
        assert len(passages) == report.chunks
        assert Counter(hit.id for hit in passages) == {item.id: item.chunks for item in c}
        best: dict[Any, float] = {}
        for hit in passages:
            best.setdefault(hit.id, hit.score)
        assert [(hit.id, hit.score) for hit in found] == list(best.items())
        assert {item.id: item.text for item in c} == {f"t{i}": text for i, text in enumerate(longest)}


def test_one_vector_cuts_and_says_so(make: Make, texts: list[str], model: crumb.Model) -> None:
    longest = max(texts, key=len)
    with make(strategy="one-vector") as c:
        with pytest.warns(TruncationWarning, match=r"1 texts were longer than the context of 256 tokens"):
            report = c.add(["short", longest], ids=[0, 1])
        assert report.chunks == 2
        assert report.truncated_texts == 1
        assert report.tokens_cut == model.tokenizer.count([longest])[0] + 2 - 256
        (hit,) = c.search(longest[:500], top_k=1)
        assert (hit.id, hit.text) == (1, longest)
        assert hit.score == pytest.approx(float(model.encode(longest[:500]) @ model.encode(longest, truncation="end")))


def test_kinds_of_text_are_cut_their_own_way(make: Make) -> None:
    page = "# Tea\n\nBoil water.\n\n# Bread\n\nKnead dough."
    with make(chunk_tokens=8) as c:
        c.add([page, page, ""], ids=["plain", "md", "none"], kinds=["text", "markdown", "text"])
        headings = {(hit.id, hit.heading) for hit in c.search("dough", per="chunk", top_k=20)}
        assert ("md", "Bread") in headings
        assert {heading for name, heading in headings if name == "plain"} == {""}
        assert c.upsert([page], ids=["md"], kinds=["markdown"]).unchanged == 1
        assert c.upsert([page], ids=["md"], kinds=["text"]).updated == 1
        with pytest.raises(CollectionError, match=r"kinds\[0\] is 'prose'; choose 'markdown'"):
            c.add([page], kinds=["prose"])  # type: ignore[list-item]


# --- near these, far from those


def test_recommend(make: Make, model: crumb.Model) -> None:
    with make(chunk_tokens=8) as c:
        documents = {i: "\n".join(SENTENCES[i : i + 2]) for i in range(len(SENTENCES))}
        c.add(documents.values(), ids=list(documents))
        passages = cut(model, documents, 8)
        rows = model.encode([text for _, text in passages]).astype(np.float64)
        names = np.array([name for name, _ in passages])

        def mean(*some: int) -> Any:
            return np.mean([rows[names == one].mean(axis=0) for one in some], axis=0)

        target = 2 * mean(0, 4) - np.mean([mean(2), model.encode("bread")], axis=0)
        scores = rows @ (target / np.linalg.norm(target))
        best = {i: scores[names == i].max() for i in documents if i not in (0, 4, 2)}
        found = c.recommend([0, 4], [2, "bread"], top_k=20, exact=True)
        assert {hit.id: hit.score for hit in found} == pytest.approx(best, abs=1e-6)
        assert [hit.score for hit in found] == sorted((hit.score for hit in found), reverse=True)
        by_text = c.recommend(["bread in a kitchen"], top_k=1)
        assert by_text[0].id in (1, 2, 5, 6)
        c.add(["Steam engines pull trains."], ids=["bread in a kitchen"])
        assert "train" in c.recommend(["bread in a kitchen"], top_k=1)[0].text  # near the document now, not the text
        with pytest.raises(CollectionError, match="99 is no id of this collection"):
            c.recommend([99])
        with pytest.raises(CollectionError, match="something to be near to"):
            c.recommend([], unlike=[1])


# --- texts and ids as they come


def test_the_same_text_is_one_document(make: Make) -> None:
    with make() as c:
        assert c.add(["one", "two", "one"]) == AddReport(added=2, unchanged=1, chunks=2, tokens=6)
        assert c.add(["two", "three"], metadata=[{"n": 2}, {"n": 3}]) == AddReport(1, 1, 0, 1, 3)
        assert c.add(["two"]) == AddReport(unchanged=1)
        assert sorted((item.text, item.metadata.get("n", 0)) for item in c) == [("one", 0), ("three", 3), ("two", 2)]
        assert all(isinstance(name, str) for name in c.ids())


def test_a_text_that_did_not_change_is_not_embedded_again(make: Make) -> None:
    with make() as c:
        c.add(["one", "two"], ids=[1, 2], metadata=[{"a": 1}, {"a": True}])
        report = c.upsert(["one", "two", "three"], ids=[1, 2, 3], metadata=[{"a": 1}, {"a": 1}, {}])
        assert report == AddReport(added=1, updated=1, unchanged=1, chunks=1, tokens=3)
        assert [item.metadata for item in c.get([1, 2, 3])] == [{"a": 1}, {"a": 1}, {}]
        assert (c.count({"a": 1}), c.count({"a": True})) == (2, 0)
        assert c.upsert(["ONE"], ids=[1]).updated == 1  # no metadata given: it keeps its own
        assert c.get([1]) == [Item(1, "ONE", {"a": 1})]


def test_generators_are_read_in_windows(make: Make) -> None:
    with make() as c:

        def numbers() -> Iterator[str]:
            yield from (f"text number {i}" for i in range(600))
            raise RuntimeError("the source broke")

        with pytest.raises(RuntimeError, match="the source broke"):
            c.add(numbers(), ids=iter(range(1_000)))
        assert sorted(c.ids()) == list(range(512))  # two windows of 256
        assert c.upsert((f"text number {i}" for i in range(600)), ids=iter(range(600))).added == 88
        with pytest.raises(CollectionError, match="one of them ends after 3 documents"):
            c.upsert(iter("abcd"), ids=iter(range(3)))
        with pytest.raises(CollectionError, match="one of them ends after 3 documents"):
            c.upsert(iter("abc"), ids=iter(range(4)))


def test_surrogates_are_stored_as_the_tokenizer_sees_them(make: Make) -> None:
    with make() as c:
        c.add(["half \ud800 a pair", "\ud83d\ude00"], ids=[0, 1])
        assert [item.text for item in c.get([0, 1])] == ["half \ufffd a pair", "😀"]


def test_arguments_that_are_wrong_are_named(make: Make) -> None:
    with make() as c:
        c.add(["there"], ids=["x"])
        refused: list[tuple[type[Exception], str, dict[str, Any]]] = [
            (TypeError, r"texts\[1\] must be a str, got int", {"texts": ["a", 2]}),
            (TypeError, "texts must be an ordered iterable", {"texts": "a"}),
            (TypeError, r"ids\[0\] must be a str or a whole number, got bool", {"texts": ["a"], "ids": [True]}),
            (CollectionError, r"ids\[0\] must be from 0", {"texts": ["a"], "ids": [-1]}),
            (CollectionError, r"ids\[0\] is the empty str", {"texts": ["a"], "ids": [""]}),
            (CollectionError, "half a surrogate", {"texts": ["a"], "ids": ["\ud800"]}),
            (CollectionError, "got 2 texts, 1 ids", {"texts": ["a", "b"], "ids": [1]}),
            (DuplicateIdError, "the id 'b' is given to two texts", {"texts": ["a", "b", "c"], "ids": ["b", "a", "b"]}),
            (DuplicateIdError, "the id 'x' is in the collection already", {"texts": ["a", "b"], "ids": ["new", "x"]}),
            (TypeError, r"metadata\[0\] must be a dict, got list", {"texts": ["a"], "metadata": [[]]}),
            (TypeError, "a key must be a str, got 1", {"texts": ["a"], "metadata": [{1: 2}]}),
            (TypeError, r"metadata\[0\] holds what JSON cannot", {"texts": ["a"], "metadata": [{"a": {1}}]}),
            (CollectionError, r"metadata\[0\] cannot be stored", {"texts": ["a"], "metadata": [{"a": math.nan}]}),
            (CollectionError, "no 64-bit integer", {"texts": ["a"], "metadata": [{"a": [2**64]}]}),
        ]
        for error, message, arguments in refused:
            with pytest.raises(error, match=message):
                c.add(**arguments)
        assert list(c.ids()) == ["x"]  # before any work
        for error, message, search in [
            (CollectionError, "unknown mode 'fuzzy'", {"mode": "fuzzy"}),
            (CollectionError, "unknown per 'page'", {"per": "page"}),
            (CollectionError, "top_k must be a whole number of at least 1, got 0", {"top_k": 0}),
            (CollectionError, "oversample must be at least 1", {"oversample": 0.5}),
            (CollectionError, r"must be 384 finite numbers, got shape \[3\]", {"query": [1, 2, 3]}),
            (CollectionError, "mode 'bm25' needs a question of words", {"query": np.ones(384), "mode": "bm25"}),
        ]:
            with pytest.raises(error, match=message):
                c.search(**{"query": "a", **search})
        with pytest.raises(CollectionError, match="not both"):
            c.delete([1], filter={})
        with pytest.raises(CollectionError, match="not both"):
            c.delete()
        with pytest.raises(TypeError, match="expected a list, got str"):
            c.get("x")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"a": {"~": 1}}, "unknown operator '~' for 'a'; choose from <, <=, >, >=, in, not in, exists"),
        ({"a": {}}, "no operator for 'a'"),
        ({"a": {">": "2020"}}, "'>' of 'a' needs a number, got '2020'"),
        ({"a": {">": True}}, "'>' of 'a' needs a number, got True"),
        ({"a": [1, 2]}, r"'a' cannot equal \[1, 2\].*say {\"in\": \[…\]}"),
        ({"a": {"in": "xyz"}}, '"in" and "not in" of \'a\' need a list'),
        ({"a": {"exists": 1}}, "must be True or False, got 1"),
        ({"a..b": 1}, "cannot filter on 'a..b'"),
        ({'a"b': 1}, "cannot filter on"),
        ({"or": []}, '"or" must be a list of at least one filter'),
        ({"not": 1}, "a filter must be a dict, got int"),
        ({1: 1}, "keys must be str, got int"),
        ([("a", 1)], "a filter must be a dict, got list"),
    ],
)
def test_filters_that_mean_nothing(where: Any, message: str, model: crumb.Model) -> None:
    with (
        crumb.Collection("c", model, client=qdrant_client.QdrantClient(":memory:")) as c,
        pytest.raises(FilterError, match=message),
    ):
        c.count(where)


# --- what a collection is


def test_vectors_can_be_asked_with(make: Make, model: crumb.Model) -> None:
    with make(dimensions=128) as c:
        c.add(SENTENCES, ids=range(8))
        vectors = model.encode(SENTENCES, dimensions=128)
        query = 3 * vectors[2] + vectors[5]
        found = c.search(query, top_k=8)
        expected = vectors @ (query / np.linalg.norm(query))
        assert {hit.id: hit.score for hit in found} == pytest.approx(dict(enumerate(expected)), abs=1e-5)


def test_another_model_or_other_settings_are_refused(make: Make, model: crumb.Model) -> None:
    with make() as c:
        c.add(["one"])
    other = crumb.load(context=128, precision="float32")
    with pytest.raises(CollectionError) as raised:
        make(other)
    for part in (model.fingerprint[:12], other.fingerprint[:12], "model=None", "into a new collection"):
        assert part in str(raised.value)
    with pytest.raises(CollectionError, match=r"int8.*their vectors do not compare"):
        make(crumb.load(precision="int8"))
    for wish, message in [
        ({"encoding": "int8"}, "encoding='float32', not 'int8'"),
        ({"dimensions": 128}, "dimensions=384, not 128"),
        ({"strategy": "one-vector"}, "strategy='chunks', not 'one-vector'"),
        ({"chunk_tokens": 100}, "chunk_tokens=254, not 100"),
        ({"overlap": 8}, "overlap=0, not 8"),
    ]:
        with pytest.raises(CollectionError, match=message):
            make(**wish)
    with make(None) as c:  # the model that made it is loaded when it is needed
        assert len(c) == 1
        assert "model" not in vars(c)
        assert c.search("one")[0].score == pytest.approx(1, abs=1e-5)
        assert (c.model.fingerprint, c.model.engine.precision) == (model.fingerprint, "float32")
    with pytest.raises(CollectionError, match="create=True makes one"):
        make(name="nowhere", create=False)
    for wrong, message in [
        ({"encoding": "int4"}, "unknown encoding 'int4'"),
        ({"strategy": "one-vector", "overlap": 3}, 'need strategy="chunks"'),
        ({"chunk_tokens": 300}, "do not fit the context of 256"),
        ({"chunk_tokens": 20, "overlap": 11}, "overlap by 0 to 10 tokens, got 11"),
        ({"dimensions": 999}, "from 1 to 384, got 999"),
    ]:
        with pytest.raises(ValueError, match=message):
            make(name="new", **wrong)


@pytest.mark.filterwarnings("ignore:Failed to obtain server version")
def test_places(tmp_path: Path, model: crumb.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRUMB_HOME", str(tmp_path / "home"))
    with crumb.Collection("notes", model) as c:
        c.add(["one"])
    assert (tmp_path / "home" / "collections" / "notes").is_dir()
    monkeypatch.chdir(tmp_path)
    with crumb.Collection("./notes", model):
        assert (tmp_path / "notes").is_dir()
    with pytest.raises(CollectionError, match="'two words' is no name of a collection"):
        crumb.Collection("two words", model)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.txt").write_text("mine")
    with pytest.raises(CollectionError, match="no collection, and not empty"):
        crumb.Collection(tmp_path / "full", model)
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["a.txt"]
    with pytest.raises(CollectionError, match="names no collection; expected http://HOST:6333/COLLECTION"):
        crumb.Collection("http://localhost:6333/", model)
    with pytest.raises(CollectionError, match="the Qdrant server did not do what was asked"):
        crumb.Collection("http://127.0.0.1:9/notes", model)
    (tmp_path / "notes" / "crumb-collection.json").write_text('{"schema": 2')
    with pytest.raises(CollectionError, match="is damaged"):
        crumb.Collection("./notes", model)
    c.close()  # twice is once
    with pytest.raises(CollectionError, match="was closed; open it again"):
        c.search("one")


def test_importing_crumb_brings_no_qdrant(tmp_path: Path) -> None:
    code = (
        "import sys, crumb, crumb.search.files; crumb.Collection.__name__\n"
        "print([m for m in sys.modules if m.startswith('qdrant')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- to a server


def test_push_brings_everything_and_goes_on_where_it_stopped(
    tmp_path: Path, model: crumb.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = qdrant_client.QdrantClient(":memory:")
    documents = {i: f"{SENTENCES[i % 8]}\n{i} of many\n{SENTENCES[(i * 3) % 8]}" for i in range(300)}
    with crumb.Collection(tmp_path / "c", model, chunk_tokens=16) as here:
        here.add(documents.values(), ids=list(documents), metadata=[{"n": i, "even": i % 2 == 0} for i in documents])
        points = here._backend.count(None)
        assert points > 512

        sent: list[int] = []
        whole = client.batch_update_points

        def failing(name: str, operations: Any, **kwargs: Any) -> Any:
            if len(sent) == 1:
                raise ConnectionError("the network is gone")
            sent.append(len(operations[0].upsert.points))
            return whole(name, operations, **kwargs)

        client.batch_update_points = failing
        with pytest.raises(CollectionError, match="the network is gone"):
            here.push("there", client=client)
        assert client.count("there").count == sum(sent) < points
        sent.append(0)
        assert here.push("there", client=client) == 300
        assert sum(sent) == points  # nothing was sent twice
        assert here.push("there", client=client) == 300
        assert sum(sent) == points
        here.upsert(["something else\nentirely"], ids=[7])
        assert here.push("there", client=client) == 300

        with crumb.Collection("there", client=client) as there:
            assert {item.id: item for item in there} == {item.id: item for item in here}
            for mode in ("dense", "bm25", "hybrid"):
                for where in (None, {"n": {">=": 100}, "even": True}):
                    mine = here.search("rotate the keys", mode=mode, filter=where, top_k=300, exact=True)
                    theirs = there.search("rotate the keys", mode=mode, filter=where, top_k=300, exact=True)
                    assert len(mine) == len(theirs)
                    if mode != "hybrid":  # whose sums depend on the order of equal scores
                        scores = {hit.id: hit.score for hit in theirs}
                        assert {hit.id: hit.score for hit in mine} == pytest.approx(scores, abs=2e-5)
            there.add(["one more"])
        with pytest.raises(CollectionError, match="it has documents that are not in this one"):
            here.push("there", client=client)
    with (
        crumb.Collection(tmp_path / "d", model) as other,
        pytest.raises(CollectionError, match=r"another budget \(16, not 254\)"),
    ):
        other.push("there", client=client)
