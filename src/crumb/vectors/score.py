"""The best rows of a corpus for each query, in whatever form the corpus is stored.

Enters: queries and a corpus, as matrices or `Codes`. Leaves: scores and row numbers, best first. Knows nothing of
texts. Codes are scored as the vectors that they stand for (`Codes.dequantize`), without making them: what a code is
worth is folded into the query once, and the scan in native/scoring is a plain sum over the codes.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from crumb import _native
from crumb.engine.threads import check_threads, default_threads
from crumb.vectors.codes import Codes
from crumb.vectors.normalize import Floats, normalize
from crumb.vectors.quantize import steps_of

Score = Literal["cosine", "dot"]
RESCORE_MULTIPLIER = 20  # finds 0.99 of the exact ten best from one bit a dimension (docs/performance.md)


class Best(NamedTuple):
    """`scores` [n, k], float32 (float64 where codes were multiplied as whole numbers), and `rows` [n, k], int64."""

    scores: npt.NDArray[Any]
    rows: npt.NDArray[np.int64]


def top_k(
    queries: npt.ArrayLike | Codes,
    corpus: npt.ArrayLike | Codes,
    k: int = 10,
    *,
    score: Score = "cosine",
    originals: npt.ArrayLike | Codes | None = None,
    rescore_multiplier: int | None = None,
    threads: int | None = None,
    scan: str = "",
) -> Best:
    """The `k` best rows of the corpus for each query, by falling score; equal scores by rising row.

    What is found, to the bit, depends on neither the threads nor the other queries. The corpus is read in place, in one
    pass for all queries; it may be a memmap. A matrix of another dtype than float32 or float16, or whose rows are not
    contiguous, is copied first.

    Args:
        queries: float [n, d], or [d] for one; or `Codes` of the same encoding as the corpus: bits are then compared by
            their Hamming distance, bytes multiplied as whole numbers (`score="dot"` only).
        corpus: float [m, d], or `Codes`.
        k: rows a query; fewer if the corpus is smaller.
        score: "cosine", or "dot" for vectors taken as they are. Bits stand for vectors of unit length.
        originals: the same rows in a better form. The corpus then only chooses `k * rescore_multiplier` candidates a
            query, and the originals decide.
        rescore_multiplier: 20 where there are originals. Given without them, for bits: candidates are chosen by queries
            rounded to a sign and four bits, which is several times as fast, and scored again by the whole query.
        threads: of this call.
        scan: the instruction set by name (`crumb._native.scans()`), for tests; the best of this CPU by default.

    Raises:
        ValueError: shapes, dtypes or encodings that do not fit, numbers below 1, an unknown score, or a NaN score.
    """
    rows = _codes(corpus, "corpus")
    for name, value in (("k", k), ("rescore_multiplier", rescore_multiplier)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1):
            raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
    if score not in ("cosine", "dot"):
        raise ValueError(f"unknown score {score!r}; choose 'cosine' or 'dot'")
    workers = default_threads() if threads is None else check_threads(threads)
    if isinstance(queries, Codes):
        if originals is not None or rescore_multiplier is not None:
            raise ValueError("rescoring needs float queries: codes have nothing more to tell")
        return _codes_against_codes(queries, rows, int(k), score, workers, scan)
    asked = np.atleast_2d(np.asarray(queries, dtype=np.float32))
    if asked.ndim != 2 or asked.shape[1] != rows.dimensions:
        raise ValueError(
            f"expected queries [n, d] and corpus [m, d], got {list(asked.shape)} and {[len(rows), rows.dimensions]}"
        )
    asked = normalize(asked) if score == "cosine" else np.ascontiguousarray(asked)
    if originals is None:
        if rescore_multiplier is None:
            return _dots(asked, rows, int(k), score, workers, scan)
        if not rows.bits:
            raise ValueError(f"rescoring needs originals: {rows.encoding} rows have been scored exactly already")
    better = rows if originals is None else _codes(originals, "originals")
    if (len(better), better.dimensions) != (len(rows), rows.dimensions):
        raise ValueError(
            f"originals must be the corpus in another form, {[len(rows), rows.dimensions]}, "
            f"got {[len(better), better.dimensions]}"
        )
    wide = int(k) * int(RESCORE_MULTIPLIER if rescore_multiplier is None else rescore_multiplier)
    if rows.bits:
        found = _empty(len(asked), rows, wide, np.int32)
        turned = _turned(asked, rows)
        _native.top_weighted_bits(
            isa=scan, rows=_bytes(rows), queries=turned, threads=workers, scores=found.scores, found=found.rows
        )
    else:
        found = _dots(asked, rows, wide, score, workers, scan)
    return _dots(asked, better, int(k), score, workers, scan, candidates=found.rows)


def _codes(rows: npt.ArrayLike | Codes, what: str) -> Codes:
    """Plain matrices as codes of their dtype; whatever is no float16 becomes float32."""
    if isinstance(rows, Codes):
        codes = rows
    else:
        array = np.asanyarray(rows)
        if array.dtype in (np.int8, np.uint8):
            raise ValueError(
                f"a {what} of {array.dtype} may be bytes or bits: say which with crumb.vectors.Codes(array, encoding)"
            )
        if array.ndim != 2:
            raise ValueError(f"expected queries [n, d] and {what} [m, d], got a {what} of shape {list(array.shape)}")
        encoding: Literal["float16", "float32"] = "float16" if array.dtype == np.float16 else "float32"
        codes = Codes(np.asanyarray(array, dtype=encoding), encoding)
    if codes.dimensions < 1:
        raise ValueError(f"the {what} has no dimensions")
    return codes


def _bytes(codes: Codes) -> npt.NDArray[np.uint8]:
    """The rows' bytes in native order; no copy where rows are contiguous."""
    array = np.ascontiguousarray(codes.array)
    return array.astype(array.dtype.newbyteorder("="), copy=False).view(np.uint8)


def _empty(queries: int, rows: Codes, k: int, dtype: Any) -> Best:
    shape = (queries, min(k, len(rows)))
    return Best(np.empty(shape, dtype=dtype), np.empty(shape, dtype=np.int64))


def _turned(queries: Floats, rows: Codes) -> Floats:
    """Queries in the order in which the scan meets bits, from the lowest of each byte to the highest.

    "binary" is "ubinary" minus 128, which turns the highest bit of every byte over: there the query changes its sign.
    """
    n, d = queries.shape
    size = 8 * rows.array.shape[1]
    padded = np.zeros((n, size), dtype=np.float32)
    padded[:, :d] = queries
    if rows.encoding == "binary":
        padded[:, ::8] *= -1
    return np.ascontiguousarray(padded.reshape(n, size // 8, 8)[:, :, ::-1]).reshape(n, size)


def _dots(
    queries: Floats,
    rows: Codes,
    k: int,
    score: Score,
    threads: int,
    scan: str,
    candidates: npt.NDArray[np.int64] | None = None,
) -> Best:
    """Sums of products of float queries, scaled to unit length for cosines, with what the rows stand for."""
    affine = None
    form: str = rows.encoding
    bias = np.zeros(len(queries), dtype=np.float32)
    with np.errstate(invalid="ignore", over="ignore"):  # queries that are not finite: refused by the scan
        if rows.bits:
            form = "bits"
            queries = _turned(queries, rows) / np.float32(np.sqrt(rows.dimensions))
            # plus or minus q is 2 q where the bit is set, and always minus q
            bias = -queries.sum(axis=1, dtype=np.float64).astype(np.float32)
            queries = queries * np.float32(2)
        elif rows.ranges is not None:
            steps = steps_of(rows.ranges)
            middle = np.float32(0.5 if rows.encoding == "uint8" else 128.5)
            base = np.asarray(rows.ranges.low + middle * steps, dtype=np.float32)
            bias = (queries.astype(np.float64) * base).sum(axis=1).astype(np.float32)
            queries = queries * steps
            affine = np.stack([steps, base])
    found = _empty(len(queries), rows, k, np.float32)
    _native.top_dots(
        isa=scan,
        rows=_bytes(rows),
        form=form,
        queries=np.ascontiguousarray(queries, dtype=np.float32),
        bias=bias,
        cosine=score == "cosine" and not rows.bits,
        affine=affine,
        candidates=candidates,
        threads=threads,
        scores=found.scores,
        found=found.rows,
    )
    return found


def _codes_against_codes(queries: Codes, rows: Codes, k: int, score: Score, threads: int, scan: str) -> Best:
    if queries.encoding != rows.encoding or queries.dimensions != rows.dimensions:
        raise ValueError(
            f"codes are compared with codes of their own kind: queries are {queries.encoding} of {queries.dimensions} "
            f"dimensions, the corpus {rows.encoding} of {rows.dimensions}"
        )
    if not rows.bits and rows.encoding not in ("int8", "uint8"):
        return top_k(queries.array, rows, k, score=score, threads=threads, scan=scan)
    found = _empty(len(queries), rows, k, np.int32)
    if rows.bits:
        _native.top_hamming(
            isa=scan,
            rows=_bytes(rows),
            queries=_bytes(queries),
            threads=threads,
            scores=found.scores,
            found=found.rows,
        )
        # the cosine of the vectors of plus and minus one that bits stand for
        return Best((1 + 2 * found.scores / np.float64(rows.dimensions)).astype(np.float32), found.rows)
    if score != "dot":
        raise ValueError("bytes are multiplied as whole numbers with score='dot' only; for cosines give float queries")
    _native.top_integer_dots(
        isa=scan,
        rows=_bytes(rows),
        form=rows.encoding,
        queries=queries.array.astype(np.int16),
        threads=threads,
        scores=found.scores,
        found=found.rows,
    )
    return Best(found.scores.astype(np.float64), found.rows)
