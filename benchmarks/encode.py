"""Tokens a second, text to vector, beside other encoders: `python -m benchmarks.encode --peers crumb crumb-bf16
openvino-bf16`.

Enters: names of peers (benchmarks/peers.py). Leaves: for each kind of work a line a peer: least cosine to crumb in
float32 (checked before any time is taken), median tokens a second over alternating runs, and the ratio to the first
peer. The texts are those of tests/data, repeated: abstracts, titles, and meeting transcripts of 4,096 tokens.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

import crumb
from benchmarks.peers import PEERS, Encode
from crumb import store
from crumb.engine.cpu import cpu_name

_TEXTS = Path(__file__).parent.parent / "tests" / "data" / "texts.jsonl.gz"
_LOWEST_COSINE = 0.85  # below, a peer computes something else; dynamic int8 comes near, which is why cosines are shown


def work() -> dict[str, tuple[list[str], int]]:
    """Kind of work to its texts and context."""
    with gzip.open(_TEXTS, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    arxiv = [row["text"] for row in rows if row["source"] == "arxiv"]
    longest = max((row["text"] for row in rows), key=len)
    return {
        "passages": ([text for text in arxiv if len(text) > 500] * 2, 512),
        "queries": ([text for text in arxiv if len(text) < 200] * 6, 512),
        "documents": ([longest], 4096),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=["crumb", "crumb-bf16", "sentence-transformers"])
    parser.add_argument("--work", nargs="+", choices=("passages", "queries", "documents"), default=None)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()

    folder = store.resolve(None, fetch=True)
    load = os.getloadavg()[0]
    print(f"{cpu_name()}, {args.threads} threads, load {load:.1f}, median of {args.runs} alternating runs")
    print(", ".join(f"{name} {found}" for name in _DISTRIBUTIONS if (found := _version(name))))
    for name, (texts, context) in work().items():
        if args.work is None or name in args.work:
            encoders = {peer: PEERS[peer](folder, args.threads, context) for peer in args.peers}
            compare(name, texts, context, encoders, args.runs)


def compare(name: str, texts: list[str], context: int, encoders: dict[str, Encode], runs: int) -> None:
    """Checks, then times, every encoder on the same texts; prints a table."""
    model = crumb.load(context=context, positions="tile", precision="float32")
    expected, report = model.encode(texts, truncation="end", return_report=True)
    print(f"\n{name}: {report.texts} texts of {report.tokens / report.texts:.0f} tokens")
    cosines = {}
    for peer, encode in encoders.items():
        cosines[peer] = float((encode(texts) * expected).sum(1).min())
        if cosines[peer] < _LOWEST_COSINE:
            raise SystemExit(f"{peer} gives other vectors: least cosine {cosines[peer]:.4f}")
    rates: dict[str, list[float]] = {peer: [] for peer in encoders}
    for _ in range(runs):
        for peer, encode in encoders.items():
            started = time.perf_counter()
            encode(texts)
            rates[peer].append(report.tokens / (time.perf_counter() - started))
    first = statistics.median(next(iter(rates.values())))
    for peer, found in rates.items():
        rate = statistics.median(found)
        spread = f"{min(found):,.0f} to {max(found):,.0f}"
        print(f"{peer:28} {rate:9,.0f} tokens/s ({spread:>19})  {rate / first:5.2f}x  cosine {cosines[peer]:.5f}")


_DISTRIBUTIONS = ("crumb-embed", "numpy", "torch", "sentence-transformers", "openvino", "onnxruntime")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    np.seterr(all="raise", under="ignore")
    main()
