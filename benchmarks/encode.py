"""Tokens a second, text to vector, beside other encoders: `python -m benchmarks.encode --peers crumb-int8 openvino`.

Enters: names of peers (benchmarks/peers). Leaves: for each kind of work a line a peer: cosine to crumb in float32, the
mean and the least (checked before any time is taken), median tokens a second over alternating runs, and the ratio of
the first peer to it. --isa holds all of them to an older instruction set; --json appends the results to a file that
benchmarks/plot.py draws.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

import crumb
from benchmarks.held import HELD, hold
from benchmarks.peers import LOWEST_COSINE, PEERS, build
from benchmarks.peers.batches import Encode
from benchmarks.report import line_of, machine, versions
from benchmarks.texts import Work, work
from crumb import store


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=["crumb-auto", "crumb", "sentence-transformers"])
    parser.add_argument("--work", nargs="+", choices=tuple(work()), default=["passages", "queries", "document"])
    parser.add_argument("--isa", choices=HELD, help="hide newer instruction sets from the process")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="append the results to this file, a line a kind of work")
    args = parser.parse_args()
    hold(args.isa)

    folder = store.resolve(None, fetch=True)
    about = machine(args.threads)
    print(f"{line_of(about)}; medians of {args.runs} alternating runs")
    about["versions"] = versions(name for peer in args.peers for name in PEERS[peer].needs)
    print(", ".join(f"{name} {found}" for name, found in about["versions"].items()))
    for name in args.work:
        todo = work()[name]
        encoders = {peer: build(peer, folder, args.threads, todo.context) for peer in args.peers}
        rows = compare(name, todo, encoders, args.runs)
        if args.json:
            with args.json.open("a") as file:
                print(json.dumps({**about, "work": name, "runs": args.runs, "rows": rows}), file=file)


def compare(name: str, todo: Work, encoders: dict[str, Encode], runs: int) -> list[dict[str, Any]]:
    """Checks, then times, every encoder on the same texts; prints a table and gives its rows."""
    texts = todo.texts
    model = crumb.load(context=todo.context, positions="tile", precision="float32")
    expected, report = model.encode(texts, truncation="end", return_report=True)
    print(f"\n{name}: {report.texts} texts of {report.tokens / report.texts:.0f} tokens")
    cosines = {}
    for peer, encode in encoders.items():
        cosines[peer] = (encode(texts) * expected).sum(1)
        if cosines[peer].min() < LOWEST_COSINE:
            raise SystemExit(f"{peer} gives other vectors: least cosine {cosines[peer].min():.4f}")
    rates: dict[str, list[float]] = {peer: [] for peer in encoders}
    for _ in range(runs):
        for peer, encode in encoders.items():
            started = time.perf_counter()
            encode(texts)
            rates[peer].append(report.tokens / (time.perf_counter() - started))
    first = statistics.median(next(iter(rates.values())))
    rows = []
    for peer, found in rates.items():
        rate = statistics.median(found)
        spread = f"{min(found):,.0f} to {max(found):,.0f}"
        mean, least = float(cosines[peer].mean()), float(cosines[peer].min())
        print(
            f"{peer:30} {rate:9,.0f} tokens/s ({spread:>19})  {first / rate:6.2f}x  "
            f"cosine {mean:.5f}, least {least:.5f}"
        )
        rows.append({"peer": peer, "rate": rate, "min": min(found), "max": max(found), "mean": mean, "least": least})
    return rows


if __name__ == "__main__":
    np.seterr(all="raise", under="ignore")
    main()
