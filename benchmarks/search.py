"""Searching vectors: `python -m benchmarks.search --corpus vectors.npy --queries queries.npy`, or `--texts lines.txt`.

Enters: a corpus and queries, as matrices of float32 or float16 or as lines of text to embed first. Leaves: for every
form of the corpus and every peer bytes a vector, recall@10 of the exact answer in float32, quantiles of the time of one
query and queries a second in batches; all in one run, in blocks that alternate between the methods. Queries are float32
vectors: what a method makes of them first is part of its time, what it makes of the corpus is not.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import crumb
from benchmarks.report import line_of, machine, versions
from crumb.vectors import Codes, Ranges, normalize, top_k

K = 10
_SINGLES = 10  # single queries of a method in a row
_REST = 0.05  # seconds: some libraries' threads go on spinning for a while after a call

Rows = np.ndarray
Method = Callable[[Rows], Rows]


class Entry(NamedTuple):
    """What a method holds a vector in, in bytes, and its answer to queries [n, d]: rows [n, K]."""

    bytes_held: float
    search: Method


def ours(corpus: Rows, threads: int) -> dict[str, Entry]:
    """Every form of the corpus."""
    d = corpus.shape[1]
    sample = corpus[:: max(1, len(corpus) // 100_000)]
    ranges = Ranges(sample.min(0), sample.max(0))
    half = corpus.astype(np.float16)
    int8 = Codes.of(corpus, "int8", ranges=ranges)
    bits = Codes.of(corpus, "ubinary")

    def method(rows: Any, **how: Any) -> Method:
        return lambda queries: top_k(queries, rows, K, score="dot", threads=threads, **how).rows

    return {
        "crumb float32": Entry(4 * d, method(corpus)),
        "crumb float16": Entry(2 * d, method(half)),
        "crumb int8": Entry(d, method(int8)),
        "crumb bits, 20x by int8": Entry(d / 8 + d, method(bits, originals=int8)),
        "crumb bits, 20x by float16": Entry(d / 8 + 2 * d, method(bits, originals=half)),
        "crumb bits, 20x by themselves": Entry(d / 8, method(bits, rescore_multiplier=20)),
        "crumb bits, whole query": Entry(d / 8, method(bits)),
        "crumb bits, Hamming": Entry(
            d / 8,
            lambda queries: top_k(Codes.of(queries, "ubinary"), bits, K, threads=threads).rows,
        ),
    }


def peers(corpus: Rows, threads: int, wanted: list[str]) -> dict[str, Entry]:
    """faiss, usearch and numpy."""
    d = corpus.shape[1]
    entries: dict[str, Entry] = {}
    if "faiss" in wanted:
        import faiss

        faiss.omp_set_num_threads(threads)
        flat = faiss.IndexFlatIP(d)
        flat.add(corpus)
        entries["faiss IndexFlatIP"] = Entry(4 * d, lambda queries: flat.search(queries, K)[1])
        binary = faiss.IndexBinaryFlat(d)
        binary.add(np.packbits(corpus > 0, axis=1))
        entries["faiss IndexBinaryFlat"] = Entry(
            d / 8, lambda queries: binary.search(np.packbits(queries > 0, axis=1), K)[1]
        )
    if "usearch" in wanted:
        from usearch.index import MetricKind, search

        def exact(queries: Rows) -> Rows:
            found = search(corpus, queries, K, MetricKind.IP, exact=True, threads=threads)
            return found.keys.astype(np.int64).reshape(len(queries), -1)

        entries["usearch exact float32"] = Entry(4 * d, exact)
    if "numpy" in wanted:

        def product(queries: Rows) -> Rows:
            best = []
            for begin in range(0, len(queries), 32):  # a matrix of all scores would not fit
                scores = queries[begin : begin + 32] @ corpus.T
                some = np.argpartition(scores, -K, axis=1)[:, -K:]
                order = np.argsort(-np.take_along_axis(scores, some, 1), axis=1)
                best.append(np.take_along_axis(some, order, 1))
            return np.concatenate(best)

        entries["numpy"] = Entry(4 * d, product)
    return entries


def vectors(args: argparse.Namespace) -> tuple[Rows, Rows]:
    """Corpus and queries as float32 of unit length."""
    if (args.corpus is None) == (args.texts is None):
        raise SystemExit("give either --corpus FILE.npy with --queries FILE.npy, or --texts FILE")
    if args.texts is not None:
        lines = [line for line in args.texts.read_text(encoding="utf-8").splitlines() if line.strip()]
        if len(lines) < 2 * args.queries_of_texts:
            raise SystemExit(f"{args.texts}: {len(lines)} lines; expected at least {2 * args.queries_of_texts}")
        encoded = crumb.load().encode(lines, truncation="end")
        return encoded[: -args.queries_of_texts], encoded[-args.queries_of_texts :]
    if args.queries is None:
        raise SystemExit("--corpus needs --queries FILE.npy")
    corpus, queries = np.load(args.corpus, mmap_mode="r")[: args.rows], np.load(args.queries)
    if args.rows is not None and len(corpus) != args.rows:
        raise SystemExit(f"{args.corpus} has {len(corpus)} rows, fewer than --rows {args.rows}")
    if queries.ndim != 2 or corpus.ndim != 2 or queries.shape[1] != corpus.shape[1]:
        raise SystemExit(f"corpus {list(corpus.shape)} and queries {list(queries.shape)} do not fit")
    return normalize(corpus), normalize(queries)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, help=".npy [n, d]")
    parser.add_argument("--queries", type=Path, help=".npy [n, d]")
    parser.add_argument("--rows", type=int, help="only the first rows of the corpus")
    parser.add_argument("--texts", type=Path, help="one text a line, embedded first; the last lines are the queries")
    parser.add_argument("--queries-of-texts", type=int, default=200)
    parser.add_argument(
        "--peers", nargs="*", choices=("faiss", "usearch", "numpy"), default=["faiss", "usearch", "numpy"]
    )
    parser.add_argument("--singles", type=int, default=100, help="single queries of each method")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--batches", type=int, default=3)
    parser.add_argument("--recall-queries", type=int, default=300)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="append the results to this file")
    args = parser.parse_args()

    corpus, queries = vectors(args)
    about = {**machine(args.threads), "versions": versions(["faiss-cpu", "usearch"])}
    print(f"{line_of(about)}; {len(corpus):,} vectors of {corpus.shape[1]} dimensions, {len(queries)} queries")
    print(" ".join(f"{name} {version}" for name, version in about["versions"].items()))
    entries = {**ours(corpus, args.threads), **peers(corpus, args.threads, args.peers)}

    asked = queries[: args.recall_queries]
    truth = entries["crumb float32"].search(asked)
    checked = np.argsort(-(asked[:5].astype(np.float64) @ corpus.T.astype(np.float64)), axis=1, kind="stable")[:, :K]
    if not (truth[:5] == checked).all():
        raise SystemExit("float32 search differs from numpy in float64")
    recall = {}
    for name, entry in entries.items():
        found = entry.search(asked) if "crumb" in name or "Binary" in name else entry.search(asked[:20])
        recall[name] = float(np.mean([len(set(a) & set(b)) / K for a, b in zip(truth, found, strict=False)]))

    singles: dict[str, list[float]] = {name: [] for name in entries}
    for done in range(0, args.singles, _SINGLES):
        for name, entry in entries.items():
            time.sleep(_REST)
            entry.search(queries[:1])
            for i in range(done, done + _SINGLES):
                query = queries[i % len(queries)][None]
                started = time.perf_counter()
                entry.search(query)
                singles[name].append((time.perf_counter() - started) * 1e3)
    rates: dict[str, list[float]] = {name: [] for name in entries}
    batch = np.resize(queries, (args.batch, queries.shape[1]))
    for _ in range(args.batches):
        for name, entry in entries.items():
            time.sleep(_REST)
            started = time.perf_counter()
            entry.search(batch)
            rates[name].append(args.batch / (time.perf_counter() - started))

    print(f"\n{'':32} bytes  recall@10     p50      p90 ms   queries/s in batches of {args.batch}")
    rows = []
    for name, entry in entries.items():
        p50, p90 = (float(np.quantile(singles[name], q)) for q in (0.5, 0.9))
        rate = float(np.median(rates[name]))
        print(f"{name:32} {entry.bytes_held:5.0f}  {recall[name]:8.4f}  {p50:7.2f}  {p90:7.2f}   {rate:10.0f}")
        rows.append(
            {"method": name, "bytes": entry.bytes_held, "recall": recall[name], "p50": p50, "p90": p90, "rate": rate}
        )
    if args.json:
        with args.json.open("a") as file:
            print(json.dumps({**about, "work": "search", "vectors": len(corpus), "rows": rows}), file=file)


if __name__ == "__main__":
    main()
