"""The best rows of every form of a corpus, against numpy in float64, faiss, usearch and sentence-transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import crumb
from crumb import _native
from crumb.vectors import Codes, Ranges, dequantize, normalize, quantize, top_k

SCANS = [name for name, runs in _native.scans() if runs]
ENCODINGS = ["float32", "float16", "int8", "uint8", "binary", "ubinary"]


def made(n: int, d: int, encoding: Any, seed: int = 0) -> tuple[np.ndarray, Codes]:
    """Random rows and their codes, with ranges that clip some of them."""
    rows = np.random.default_rng([seed, n, d]).normal(size=(n, d)).astype(np.float32)
    ranges = Ranges(np.full(d, -2, np.float32), np.linspace(1.5, 2.5, d, dtype=np.float32))
    return rows, Codes.of(rows, encoding, ranges=ranges)


def slow(queries: np.ndarray, corpus: np.ndarray, score: str) -> np.ndarray:
    """Every score in float64."""
    left, right = queries.astype(np.float64), corpus.astype(np.float64)
    if score == "cosine":
        left, right = (
            x / np.where((length := np.linalg.norm(x, axis=1, keepdims=True)) == 0, 1, length) for x in (left, right)
        )
    return left @ right.T


def assert_best(found: Any, scores: np.ndarray, k: int) -> None:
    """`found` is a true top k of `scores`, up to rounding: right scores, in order, and nothing better left out."""
    n, m = scores.shape
    k = min(k, m)
    assert found.scores.shape == found.rows.shape == (n, k)
    assert found.rows.dtype == np.int64
    for line, values, rows in zip(scores, found.scores, found.rows, strict=True):
        assert len(set(rows.tolist())) == k
        scale = 1e-5 * max(1.0, np.abs(line).max(initial=0))
        np.testing.assert_allclose(values, line[rows], atol=scale)
        assert (np.diff(values) <= 0).all()
        assert all(a < b for a, b, tie in zip(rows, rows[1:], np.diff(values) == 0, strict=False) if tie)
        if k < m:
            assert np.delete(line, rows).max() <= values[-1] + scale


@settings(deadline=None, max_examples=150)
@given(
    seed=st.integers(0, 99),
    n=st.integers(0, 9),
    m=st.integers(0, 90),
    d=st.sampled_from([1, 2, 3, 7, 8, 9, 15, 16, 17, 24, 31, 33, 40, 63, 64, 65, 127, 200, 384]),
    k=st.integers(1, 100),
    encoding=st.sampled_from(ENCODINGS),
    score=st.sampled_from(["cosine", "dot"]),
    scan=st.sampled_from(SCANS),
    threads=st.integers(1, 3),
)
def test_float_queries(
    seed: int, n: int, m: int, d: int, k: int, encoding: Any, score: Any, scan: str, threads: int
) -> None:
    """Codes score as the vectors that they stand for."""
    _, codes = made(m, d, encoding, seed)
    queries = np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)
    found = top_k(queries, codes, k, score=score, scan=scan, threads=threads)
    assert_best(found, slow(queries, codes.dequantize(), score), k)
    assert found.scores.dtype == np.float32


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 99),
    m=st.integers(1, 300),
    d=st.sampled_from([1, 5, 8, 13, 64, 100, 128, 384, 1030]),
    k=st.integers(1, 40),
    encoding=st.sampled_from(["binary", "ubinary"]),
    scan=st.sampled_from(SCANS),
)
def test_hamming(seed: int, m: int, d: int, k: int, encoding: Any, scan: str) -> None:
    """Bits against bits: exactly the Hamming distance, ties by row."""
    rows, corpus = made(m, d, encoding, seed)
    asked, queries = made(4, d, encoding, seed + 1)
    found = top_k(queries, corpus, k, scan=scan, threads=2)
    distances = ((asked > 0)[:, None] != (rows > 0)[None]).sum(2)
    expected = np.argsort(distances, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(found.rows, expected)
    np.testing.assert_allclose(found.scores, 1 - 2 * np.take_along_axis(distances, expected, 1) / d, atol=1e-6)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 99),
    m=st.integers(1, 80),
    n=st.integers(1, 9),
    d=st.sampled_from([1, 5, 16, 31, 32, 33, 100, 384]),
    encoding=st.sampled_from(["int8", "uint8"]),
    scan=st.sampled_from(SCANS),
)
def test_whole_numbers(seed: int, m: int, n: int, d: int, encoding: Any, scan: str) -> None:
    generator = np.random.default_rng(seed)
    low, high = np.iinfo(encoding).min, np.iinfo(encoding).max
    corpus, queries = (generator.integers(low, high + 1, (size, d)).astype(encoding) for size in (m, n))
    found = top_k(Codes(queries, encoding), Codes(corpus, encoding), 10, score="dot", scan=scan)
    products = queries.astype(np.int64) @ corpus.astype(np.int64).T
    expected = np.argsort(-products, axis=1, kind="stable")[:, :10]
    np.testing.assert_array_equal(found.rows, expected)
    np.testing.assert_array_equal(found.scores, np.take_along_axis(products, expected, 1))


@pytest.mark.parametrize("scan", SCANS)
@pytest.mark.parametrize("d", [5, 384, 1100])
def test_weighted_bits(scan: str, d: int) -> None:
    """The first pass over bits: distances weighted by the query's parts rounded to 0 to 15, exact and in order."""
    rows = np.random.default_rng(0).normal(size=(777, d)).astype(np.float32)
    queries = np.random.default_rng(1).normal(size=(5, d)).astype(np.float32)
    size = -(-d // 8) * 8
    queries = np.pad(queries, ((0, 0), (0, size - d)))
    bits = np.packbits(rows > 0, axis=1, bitorder="little")
    scores, found = np.empty((5, 60), np.int32), np.empty((5, 60), np.int64)
    _native.top_weighted_bits(isa=scan, rows=bits, queries=queries, threads=2, scores=scores, found=found)
    weights = np.rint(np.abs(queries) / np.abs(queries).max(1, keepdims=True) * np.float32(15)).astype(np.int64)
    differ = (queries > 0)[:, None] != np.unpackbits(bits, axis=1, bitorder="little").astype(bool)[None]
    distances = (differ * weights[:, None]).sum(2)
    expected = np.argsort(distances, axis=1, kind="stable")[:, :60]
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(scores, -np.take_along_axis(distances, expected, 1))


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("scan", SCANS)
def test_bits_depend_on_the_pair_alone(encoding: Any, scan: str) -> None:
    """A score's bits are the same whatever the threads, the other queries, and where in the corpus the row stands."""
    rows, codes = made(3001, 100, encoding)
    queries = rows[:70] + rows[70:140]
    together = top_k(queries, codes, 3001, scan=scan, threads=1)
    for threads in (2, 5):
        again = top_k(queries, codes, 3001, scan=scan, threads=threads)
        assert together.scores.tobytes() == again.scores.tobytes()
        assert together.rows.tobytes() == again.rows.tobytes()
    for i in (0, 1, 69):
        alone = top_k(queries[i], codes, 3001, scan=scan, threads=2)
        assert together.scores[i].tobytes() == alone.scores.tobytes()
        assert together.rows[i].tobytes() == alone.rows.tobytes()
    few = Codes(codes.array[1234:1241], encoding, codes.ranges, codes.dimensions)
    placed = np.argsort(together.rows, axis=1)
    everywhere = np.take_along_axis(together.scores, placed, 1)[:, 1234:1241]
    part = top_k(queries, few, 7, scan=scan)
    np.testing.assert_array_equal(np.take_along_axis(everywhere, part.rows, 1), part.scores)


@given(
    queries=st.lists(st.lists(st.integers(-2, 2), min_size=3, max_size=3), min_size=1, max_size=6),
    seed=st.integers(0, 99),
    k=st.integers(1, 400),
    scan=st.sampled_from(SCANS),
    threads=st.integers(1, 4),
)
def test_ties_go_to_the_first(queries: list[list[int]], seed: int, k: int, scan: str, threads: int) -> None:
    """Small whole numbers tie all the time."""
    corpus = np.random.default_rng(seed).integers(-2, 3, (350, 3)).astype(np.float32)
    found = top_k(queries, corpus, k, score="dot", scan=scan, threads=threads)
    products = np.asarray(queries) @ corpus.T
    np.testing.assert_array_equal(found.rows, np.argsort(-products, axis=1, kind="stable")[:, :k])


def test_the_first_of_equal_rows_across_tasks() -> None:
    """Equal rows far enough apart to be found by different threads."""
    corpus = np.tile(np.eye(8, dtype=np.float32), (40_000, 1))
    for threads in (1, 2, 4):
        found = top_k(np.eye(8), corpus, 5, threads=threads)
        np.testing.assert_array_equal(found.rows, np.arange(8)[:, None] + 8 * np.arange(5))


def test_extreme_lengths() -> None:
    """Cosines of rows whose squares leave float32, and of rows without length."""
    corpus = np.float32([[1e-30, 0], [0, 1e30], [3e38, 3e38], [0, 0], [1e-44, 1e-44], [1, 1]])
    for count in (1, 6):
        found = top_k(np.tile(np.float32([[1, 1]]), (count, 1)), corpus, 6)
        for rows, scores in zip(found.rows, found.scores, strict=True):
            expected = [0.5**0.5, 0.5**0.5, 1, 0, 1, 1]
            np.testing.assert_allclose(scores, np.take(expected, rows), atol=1e-6)


@pytest.mark.parametrize("where", ["query", "row"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_is_refused(where: str, value: float) -> None:
    """NaN and infinite cosines name their pair; finding the best of the others would hide a broken corpus."""
    queries, corpus = np.ones((3, 4), np.float32), np.ones((500, 4), np.float32)
    (queries if where == "query" else corpus)[2] = value
    pattern = (
        "a score is NaN: query 2 or row 0" if where == "query" else "a score is NaN: query 0 or row 2 of the corpus"
    )
    with pytest.raises(ValueError, match=pattern):
        top_k(queries, corpus, 3)
    # an infinite score is one that can be ordered
    if value == np.inf and where == "row":
        found = top_k(queries, corpus, 3, score="dot")
        assert found.rows[0].tolist() == [2, 0, 1]


def test_a_memmap_is_read_in_place(tmp_path: Path) -> None:
    rows, _ = made(5000, 96, "float32")
    for dtype in ("float32", "float16"):
        np.save(tmp_path / "corpus.npy", rows.astype(dtype))
        mapped = np.load(tmp_path / "corpus.npy", mmap_mode="r")
        from_file, from_memory = top_k(rows[:9], mapped, 7), top_k(rows[:9], rows.astype(dtype), 7)
        assert from_file.scores.tobytes() == from_memory.scores.tobytes()
        assert from_file.rows.tobytes() == from_memory.rows.tobytes()
    # rows that are not contiguous, or in another order of bytes, are copied and score alike
    for other in (np.asfortranarray(rows), rows.astype(">f4"), rows.astype(np.float64), np.repeat(rows, 2, 1)[:, ::2]):
        assert top_k(rows[:9], other, 7).scores.tobytes() == top_k(rows[:9], rows, 7).scores.tobytes()


@pytest.mark.parametrize("encoding", ["binary", "ubinary", "int8", "uint8", "float16"])
def test_rescoring(encoding: Any) -> None:
    """With enough candidates the answer is that of the originals, to the bit."""
    rows, codes = made(2000, 120, encoding)
    queries = np.random.default_rng(5).normal(size=(12, 120)).astype(np.float32)
    exact = top_k(queries, rows, 10)
    rescored = top_k(queries, codes, 10, originals=rows, rescore_multiplier=200)
    assert rescored.scores.tobytes() == exact.scores.tobytes()
    np.testing.assert_array_equal(rescored.rows, exact.rows)
    # with few, what is found has the originals' scores all the same
    few = top_k(queries, codes, 10, originals=rows, rescore_multiplier=2)
    np.testing.assert_allclose(few.scores, np.take_along_axis(slow(queries, rows, "cosine"), few.rows, 1), atol=1e-6)
    # originals may be codes too, and the default finds nearly everything
    bytes_ = Codes.of(rows, "int8", ranges=Ranges(rows.min(0), rows.max(0)))
    found = top_k(queries, codes, 10, originals=bytes_)
    shared = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.rows, exact.rows, strict=True)])
    assert shared > 0.85


def test_bits_rescored_by_themselves() -> None:
    _, codes = made(3000, 256, "ubinary")
    queries = np.random.default_rng(5).normal(size=(8, 256)).astype(np.float32)
    exact, quick = top_k(queries, codes, 10), top_k(queries, codes, 10, rescore_multiplier=30)
    assert quick.scores.tobytes() == exact.scores.tobytes()
    np.testing.assert_array_equal(quick.rows, exact.rows)


def test_as_faiss() -> None:
    faiss = pytest.importorskip("faiss", reason="faiss-cpu is an independent peer")
    rows, codes = made(4000, 128, "ubinary")
    queries = normalize(rows[:40] + 0.5 * rows[40:80])
    corpus = normalize(rows)
    index = faiss.IndexFlatIP(128)
    index.add(corpus)
    scores, ids = index.search(queries, 10)
    found = top_k(queries, corpus, 10)
    np.testing.assert_array_equal(found.rows, ids)
    np.testing.assert_allclose(found.scores, scores, atol=1e-6)
    binary = faiss.IndexBinaryFlat(128)
    binary.add(codes.array)
    distances, _ = binary.search(quantize(queries, "ubinary"), 10)
    found = top_k(Codes.of(queries, "ubinary"), codes, 10)
    np.testing.assert_allclose((1 - found.scores) * 64, distances, atol=1e-4)  # which of equal ones is its own choice


def test_as_usearch() -> None:
    usearch = pytest.importorskip("usearch.index", reason="usearch is an independent peer")
    _, codes = made(3000, 96, "int8")
    _, queries = made(20, 96, "int8", seed=9)
    matches = usearch.search(codes.array, queries.array, 10, usearch.MetricKind.IP, exact=True)
    found = top_k(Codes(queries.array, "int8"), Codes(codes.array, "int8"), 10, score="dot")
    products = queries.array.astype(np.int64) @ codes.array.astype(np.int64).T
    np.testing.assert_array_equal(found.scores, np.take_along_axis(products, matches.keys.astype(np.int64), 1))


def test_as_sentence_transformers() -> None:
    """Its rescoring over faiss finds from the same codes what ours finds, where ours is asked to do the same."""
    pytest.importorskip("faiss", reason="faiss-cpu is what it searches with")
    from sentence_transformers.util.quantization import semantic_search_faiss

    rows, _ = made(2000, 64, "float32")
    rows = normalize(rows)
    codes = Codes.of(rows, "ubinary")
    queries = normalize(rows[:10] + 0.3 * rows[10:20])
    theirs, _ = semantic_search_faiss(
        queries,
        corpus_embeddings=codes.array,
        corpus_precision="ubinary",
        top_k=10,
        rescore=True,
        rescore_multiplier=20,
        exact=True,
    )
    ours = crumb.semantic_search(queries, codes, top_k=10, rescore_multiplier=20)
    shared = [
        len({hit["corpus_id"] for hit in a} & {hit["corpus_id"] for hit in b}) / 10
        for a, b in zip(theirs, ours, strict=True)
    ]
    assert np.mean(shared) > 0.8  # candidates by Hamming distance there, by the whole query here


def test_many_queries_and_a_large_k() -> None:
    """More heaps than are kept at once: queries are then taken in parts."""
    rows, _ = made(3000, 8, "float32")
    found = top_k(rows[:900], rows, 3000, threads=4)
    products = slow(rows[:900], rows, "cosine")
    np.testing.assert_allclose(found.scores, -np.sort(-products, axis=1), atol=1e-6)


def test_codes() -> None:
    rows, codes = made(5, 20, "binary")
    assert len(codes) == 5
    assert codes.dimensions == 20
    np.testing.assert_array_equal(codes.dequantize(), dequantize(codes.array, "binary", dimensions=20))
    _, plain = made(5, 20, "int8")
    np.testing.assert_array_equal(Codes(plain.array, "int8").dequantize(), plain.array)
    assert Codes(codes.array, "binary").dimensions == 24
    assert rows.shape == codes.dequantize().shape


RANGES = Ranges(np.zeros(4, np.float32), np.ones(4, np.float32))
INT8 = Codes(np.zeros((3, 4), np.int8), "int8", RANGES)
BITS = Codes(np.zeros((3, 1), np.uint8), "ubinary")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Codes(np.zeros((3, 4)), "int8"), r"int8 codes are an array of int8 .* got float64 \[3, 4\]"),
        (lambda: Codes([[1]], "int8"), "got no array"),
        (lambda: Codes(np.zeros((3, 4), np.int8), "base64"), "codes to be searched are 'float32', .* not 'base64'"),
        (lambda: Codes(np.zeros((3, 1), np.int8), "binary", dimensions=9), "1 bytes of bits do not hold 9"),
        (lambda: Codes(np.zeros((3, 4), np.int8), "int8", dimensions=5), "do not have 5 dimensions"),
        (lambda: Codes(np.zeros((3, 5), np.int8), "int8", RANGES), r"ranges.low must have shape \[5\]"),
        (lambda: Codes(np.zeros((3, 1), np.int8), "binary", RANGES), "ranges belong to int8 and uint8"),
        (lambda: Codes.of(np.zeros(3), "binary"), r"shape \[n, d\], got \[3\]"),
        (
            lambda: top_k(np.zeros(4), np.zeros((3, 4), np.int8)),
            "may be bytes or bits: say which with crumb.vectors.Codes",
        ),
        (lambda: top_k(np.zeros(4), np.zeros(4)), r"a corpus of shape \[4\]"),
        (lambda: top_k(np.zeros((1, 5)), INT8), r"got \[1, 5\] and \[3, 4\]"),
        (lambda: top_k(np.zeros(4), INT8, 0), "k must be a whole number of at least 1, got 0"),
        (lambda: top_k(np.zeros(4), INT8, 1.5), "k must be a whole number of at least 1, got 1.5"),
        (lambda: top_k(np.zeros(8), BITS, rescore_multiplier=0), "rescore_multiplier must be a whole number"),
        (lambda: top_k(np.zeros(4), INT8, score="euclid"), "unknown score 'euclid'"),
        (lambda: top_k(np.zeros(4), INT8, threads=0), "threads must be a whole number of at least 1, got 0"),
        (
            lambda: top_k(np.zeros(4), INT8, rescore_multiplier=4),
            "rescoring needs originals: int8 rows have been scored",
        ),
        (lambda: top_k(np.zeros(4), INT8, originals=np.zeros((2, 4))), r"in another form, \[3, 4\], got \[2, 4\]"),
        (lambda: top_k(BITS, BITS, rescore_multiplier=4), "rescoring needs float queries"),
        (lambda: top_k(BITS, INT8), "queries are ubinary of 8 dimensions, the corpus int8 of 4"),
        (lambda: top_k(INT8, INT8), "score='dot' only"),
        (lambda: top_k(np.zeros(4), INT8, scan="mmx"), "unknown scans 'mmx'; this CPU runs"),
        (lambda: top_k(np.full(8, np.inf), BITS, score="dot", rescore_multiplier=4), "query 0 is not finite"),
        (lambda: top_k(np.zeros((1, 0)), np.zeros((3, 0))), "the corpus has no dimensions"),
    ],
)
def test_what_cannot_be_scored(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
